# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A frame that waits is prepared while the network is busy, and only where that is of use."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from std_msgs.msg import Header

from monodepth2_ros.cdr import ReceivedImage
from monodepth2_ros.node import frame_processor as module
from monodepth2_ros.node.fixed_scale import FixedScale
from monodepth2_ros.node.frame_processor import FrameProcessor, ReceivedFrame
from monodepth2_ros.node.parameters import PARAMETERS
from monodepth2_ros.predictor import Prediction

SIZE = 8


class Predictor:
    """Gives back the first sample of the image; while it is busy, something else may be done."""

    can_overlap = True

    def __init__(self):
        self.meanwhile = lambda: None
        self.given = []

    def network_image(self, image):
        return image[:2, :2]

    def begin(self, image, camera, options, outputs, network_image=None):
        if network_image is not None:
            np.testing.assert_array_equal(network_image, image[:2, :2])
        self.given.append(network_image is not None)
        self.meanwhile()
        depth = np.full((2, 2), image[0, 0, 0], np.float32)
        return lambda: Prediction(depth=depth, seconds={"preprocess": 0.0, "network": 0.0})


class Outputs:
    def __init__(self):
        self.published = []

    def listeners(self):
        names = ("depth", "camera_info", "color", "points", "color_image", "color_info")
        return {name: int(name == "depth") for name in names}

    def publish_image(self, name, header, pixels, encoding):
        self.published.append((header.stamp.sec, float(pixels[0, 0])))


def frame(number, received=None, size=SIZE):
    header = Header(frame_id="camera_optical_frame")
    header.stamp.sec = number
    data = memoryview(np.full((SIZE, size, 3), number, np.uint8).tobytes())
    image = ReceivedImage(header, SIZE, SIZE, "rgb8", 0, 3 * SIZE, data)
    return ReceivedFrame(image, None, float(number) if received is None else received)


@pytest.fixture
def made(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    values = {one.name: one.plain(one.default) for one in PARAMETERS} | {"bit_depth": 0}
    predictor, outputs = Predictor(), Outputs()
    frames = SimpleNamespace(announce=lambda *_: None)
    processor = FrameProcessor(
        *(predictor, values, FixedScale(), outputs, frames, "/image", pytest.fail)
    )
    decoded = []
    decode = module.decode_image
    monkeypatch.setattr(
        module,
        "decode_image",
        lambda image, bits: (decoded.append(image.header.stamp.sec), decode(image, bits))[1],
    )
    return SimpleNamespace(
        processor=processor, predictor=predictor, outputs=outputs, decoded=decoded, clock=clock
    )


def process(made, one, meanwhile=lambda: None):
    """Let the worker process a frame, and something happen while its network runs."""
    made.predictor.meanwhile = meanwhile
    return made.processor.begin(one)()


def test_a_frame_that_waits_is_prepared_once(made):
    following = frame(2)
    process(made, frame(1), lambda: made.processor.prepare_ahead(following))
    assert made.decoded == [1, 2]
    stages = process(made, following)
    assert made.decoded == [1, 2] and made.predictor.given == [False, True]
    assert made.outputs.published == [(1, 1.0), (2, 2.0)]
    assert stages["preprocess"] >= 0.0 and stages["wait"] >= 0.0


def test_the_newest_frame_wins(made):
    newer = frame(3)

    def meanwhile():
        made.processor.prepare_ahead(frame(2))
        made.processor.prepare_ahead(newer)

    process(made, frame(1), meanwhile)
    assert made.decoded == [1, 2]  # one in vain is enough
    process(made, newer)
    assert made.outputs.published == [(1, 1.0), (3, 3.0)]
    assert made.predictor.given == [False, False]
    # None for some time; then the next one again.
    for number in range(4, 3 + module._PAUSE):
        process(made, frame(number), lambda: made.processor.prepare_ahead(frame(90)))
    assert 90 not in made.decoded
    process(made, frame(50), lambda: made.processor.prepare_ahead(frame(91)))
    assert made.decoded[-2:] == [50, 91]


def test_what_was_prepared_is_for_its_frame_alone(made):
    process(made, frame(1), lambda: made.processor.prepare_ahead(frame(2)))
    process(made, frame(3))
    assert made.outputs.published == [(1, 1.0), (3, 3.0)]
    assert made.predictor.given == [False, False]
    process(made, frame(4))
    assert made.predictor.given[-1] is False


def test_nothing_is_prepared_while_the_network_is_free(made):
    made.processor.prepare_ahead(frame(1))
    process(made, frame(2))
    made.processor.prepare_ahead(frame(3))
    assert made.decoded == [2]


def test_a_frame_that_the_worker_has_taken_is_not_prepared_again(made):
    one = frame(1)
    process(made, one, lambda: made.processor.prepare_ahead(one))
    assert made.decoded == [1]


def test_a_frame_that_another_will_replace_is_left_alone(made):
    """The network takes ten seconds, the camera sends an image each second."""
    process(made, frame(1), lambda: setattr(made.clock, "now", 10.0))  # how long it takes
    made.clock.now = 20.0
    made.processor.prepare_ahead(frame(20))  # the network is free; from here on it knows the rate

    def meanwhile():
        for number in (21, 22, 23):
            made.processor.prepare_ahead(frame(number))
        assert made.decoded == [1, 20]
        made.processor.prepare_ahead(frame(29, received=29.5))  # the next one comes too late
        made.clock.now = 30.0

    process(made, frame(20), meanwhile)
    assert made.decoded == [1, 20, 29]


def test_what_fails_ahead_fails_when_its_turn_comes(made):
    broken = frame(2, size=SIZE // 2)
    process(made, frame(1), lambda: made.processor.prepare_ahead(broken))
    with pytest.raises(ValueError, match="are needed"):
        process(made, broken)
    process(made, frame(3))
    assert made.outputs.published == [(1, 1.0), (3, 3.0)]


def test_what_cannot_overlap_is_not_prepared(made):
    process(made, frame(1), lambda: setattr(made.predictor, "can_overlap", False))
    made.processor._network_began = 0.0
    made.processor.prepare_ahead(frame(2))
    assert made.decoded == [1]
