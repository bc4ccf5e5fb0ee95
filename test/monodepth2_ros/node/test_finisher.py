# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A frame is finished in another thread, one at a time and in order."""

from __future__ import annotations

import functools
import threading
from types import SimpleNamespace

import pytest

from monodepth2_ros.node.finisher import Finisher
from monodepth2_ros.node.mailbox import Mailbox

PATIENCE = 60.0


def test_jobs_are_done_in_order_and_one_at_a_time():
    done, running = [], []
    finisher = Finisher()

    def job(number):
        running.append(number)
        assert len(running) == 1
        done.append((number, threading.current_thread().name))
        running.clear()

    for number in range(50):
        finisher.give(lambda number=number: job(number))
    finisher.close()
    assert done == [(number, "depth_finisher") for number in range(50)]


def test_the_giver_goes_on_while_a_job_is_done_and_waits_for_it_with_the_next():
    finisher, go_on, second = Finisher(), threading.Event(), threading.Event()
    finisher.give(lambda: go_on.wait(PATIENCE))
    giver = threading.Thread(target=lambda: finisher.give(second.set), daemon=True)
    giver.start()
    giver.join(0.05)
    assert giver.is_alive() and not second.is_set()
    go_on.set()
    giver.join(PATIENCE)
    finisher.wait()
    assert second.is_set() and not giver.is_alive()
    finisher.close()


def test_an_unused_one_has_no_thread(monkeypatch):
    started = []
    monkeypatch.setattr(threading.Thread, "start", started.append)
    finisher = Finisher()
    finisher.wait()
    finisher.close()
    assert not [thread for thread in started if thread.name == "depth_finisher"]


class Camera:
    """Stands for a CameraStream; keeps which thread published which frame."""

    def __init__(self, can_overlap):
        self.can_overlap = can_overlap
        self.published, self.failures = [], []

    def note_failure(self, frame, error):
        self.failures.append((frame, str(error)))

    def begin(self, frame):
        if "begin" in frame:
            raise ValueError("begin")
        return None if frame == "nobody listens" else functools.partial(self.publish, frame)

    def publish(self, frame):
        if "publish" in frame:
            raise ValueError("publish")
        self.published.append((frame, threading.current_thread().name))


@pytest.mark.ros
@pytest.mark.parametrize("can_overlap", [True, False])
def test_the_worker_leaves_publishing_to_it_where_a_frame_waits(can_overlap):
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from monodepth2_ros.node.depth_node import DepthNode

    frames = ("1", "2 fails to begin", "3 fails to publish", "nobody listens", "5", "6")
    camera, mailbox = Camera(can_overlap), Mailbox(len(frames))
    for slot, frame in enumerate(frames):
        mailbox.put((camera, frame), slot)
    node = SimpleNamespace(context=SimpleNamespace(ok=lambda: True), _batch=None)
    node._note_failure = functools.partial(DepthNode._note_failure, node)
    node._process = lambda stream, frame: stream.begin(frame)

    def finish(stream, frame, publish):
        DepthNode._finish(node, stream, frame, publish)
        if frame == frames[-1]:
            mailbox.close()

    node._finish = finish
    worker = threading.Thread(target=DepthNode._work, args=(node, mailbox), name="worker")
    worker.start()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    there = "depth_finisher" if can_overlap else "worker"
    # Nothing waits behind the last one, and another thread would only take longer.
    assert camera.published == [("1", there), ("5", there), ("6", "worker")]
    assert camera.failures == [(frames[1], "begin"), (frames[2], "publish")]
