# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of frames that wait at the same time, whatever step of one of them fails."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from monodepth2_ros.node.mailbox import Mailbox
from monodepth2_ros.node.together import process_together


class Stream:
    """A camera that notes what is published; it may fail at a step."""

    def __init__(self, name, size=(4, 6), fails_at="", can_batch=True):
        self.name, self.size, self.fails_at, self.can_batch = name, size, fails_at, can_batch
        self.published, self.failures = [], []

    def fail(self, step):
        if self.fails_at == step:
            raise ValueError(f"{self.name} at {step}")

    def prepare(self, frame):
        self.fail("prepare")
        if frame == "idle":
            return None
        if frame == "info":
            return SimpleNamespace(request=None, finish=None)
        image = np.zeros((*self.size, 3), np.uint8)
        return SimpleNamespace(request=SimpleNamespace(image=image, of=self), finish=None)

    def conclude(self, prepared, prediction):
        self.fail("conclude")
        self.published.append(prediction)

    def begin(self, frame):
        self.fail("begin")
        return lambda: self.published.append("alone")


class Batch:
    def __init__(self):
        self.calls = []

    def predict(self, requests):
        self.calls.append([request.of.name for request in requests.values()])
        for request in requests.values():
            request.of.fail("predict")
        return {number: f"depth {number}" for number in requests}


def process(*streams, frame="image"):
    batch = Batch()
    items = [(stream, frame) for stream in streams]
    process_together(
        batch, streams, items, lambda stream, frame, error: stream.failures.append(str(error))
    )
    return batch.calls


def test_cameras_of_one_size_are_one_batch():
    streams = [Stream("a"), Stream("b"), Stream("c")]
    assert process(*streams) == [["a", "b", "c"]]
    assert [one.published for one in streams] == [["depth 0"], ["depth 1"], ["depth 2"]]


def test_other_sizes_are_batches_of_their_own():
    streams = [
        Stream("a"),
        Stream("b", (8, 6)),
        Stream("c"),
        Stream("d", (8, 6)),
        Stream("e", (1, 1)),
    ]
    assert process(*streams) == [["a", "c"], ["b", "d"], ["e"]]
    assert [one.published for one in streams] == [[f"depth {number}"] for number in range(5)]


@pytest.mark.parametrize("step", ["prepare", "predict", "conclude"])
def test_a_camera_that_fails_leaves_the_others_alone(step):
    streams = [Stream("a"), Stream("bad", fails_at=step), Stream("c")]
    process(*streams)
    assert [one.published for one in streams] == [["depth 0"], [], ["depth 2"]]
    assert [one.failures for one in streams] == [[], [f"bad at {step}"], []]


def test_a_camera_that_fails_by_itself_fails_once():
    bad = Stream("bad", fails_at="predict")
    assert process(bad) == [["bad"]]
    assert bad.failures == ["bad at predict"]


def test_a_measured_factor_goes_its_own_way():
    streams = [Stream("a"), Stream("live", can_batch=False), Stream("c")]
    assert process(*streams) == [["a", "c"]]
    assert streams[1].published == ["alone"]
    broken = Stream("live", can_batch=False, fails_at="begin")
    process(broken, Stream("b"))
    assert broken.failures == ["live at begin"]


def test_frames_that_need_no_network_need_no_batch():
    streams = [Stream("a"), Stream("b")]
    assert process(*streams, frame="idle") == []
    assert [one.published for one in streams] == [[], []]
    assert process(*streams, frame="info") == []
    assert [one.published for one in streams] == [[None], [None]]


def test_all_that_waits_is_taken_in_turns_one_of_each_camera():
    mailbox: Mailbox[str] = Mailbox(3)
    assert mailbox.take_waiting() == []
    for slot, item in ((0, "a 1"), (2, "c 1"), (0, "a 2"), (1, "b 1")):
        mailbox.put(item, slot)
    assert mailbox.take() == "a 2"
    mailbox.put("a 3", 0)
    # The camera that was served last comes last.
    assert mailbox.take_waiting() == ["b 1", "c 1", "a 3"]
    mailbox.put("a 4", 0)
    mailbox.close()
    assert mailbox.take_waiting() == []
