# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of several cameras in one batch: each gets what it gets by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.camera_batch import CameraBatch
from monodepth2_ros.checkpoint import random_checkpoint
from monodepth2_ros.device_pipeline import DevicePipeline
from monodepth2_ros.prediction_request import Request
from monodepth2_ros.predictor import OUTPUTS, DepthPredictor, OutputOptions

CROPS = [(0.0, 0.1, 0.0, 0.0), (0.0, 0.1, 0.0, 0.0), (0.1, 0.0, 0.05, 0.2)]
CAMERAS = [PinholeCamera(80, 60, 70.0 + n, 71.0, 39.0, 30.0) for n in range(3)]
OPTIONS = [
    OutputOptions(scale=2.0),
    OutputOptions(output_size="image", points_stride=2, color_range=(0.2, 20.0)),
    OutputOptions(depth_encoding="16UC1", max_range=3.0),
]


@pytest.fixture(scope="module")
def checkpoint():
    made = random_checkpoint(18, 64, 64, seed=4)
    made.state["depth"]["decoder.10.conv.weight"] *= 40.0
    return made


@pytest.fixture(scope="module")
def network(checkpoint):
    return DepthPredictor(checkpoint, backend="torch", device="cpu", precision="fp32", threads=1)


@pytest.fixture
def images():
    coarse = np.random.default_rng(2).integers(0, 256, (9, 6, 8, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=1).repeat(10, axis=2)


def predictors(network, recorded):
    """Return a predictor for each camera; `recorded` in the way of a GPU, on the CPU."""
    made = [network.sharing(crop) for crop in CROPS]
    if recorded:
        for one in made:
            one._use_device_pipeline()
    return made


def request(number, image, outputs=OUTPUTS):
    return Request(image, CAMERAS[number], OPTIONS[number], outputs)


def assert_close(actual, expected, outputs=OUTPUTS):
    """Compare predictions; a network may add up a batch in another order."""
    assert actual.camera == expected.camera
    for name in OUTPUTS:
        found, wanted = getattr(actual, name), getattr(expected, name)
        if name not in outputs:
            assert found is None
        elif name == "points":
            np.testing.assert_allclose(found[..., :3], wanted[..., :3], rtol=1e-4)
            np.testing.assert_array_equal(
                found.view(np.int32)[..., 3], wanted.view(np.int32)[..., 3]
            )
        else:
            np.testing.assert_allclose(found.astype(float), wanted, rtol=1e-4, atol=1.0)
            if found.dtype == np.float32:
                np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("recorded", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("members", [(0, 1), (2, 0), (0, 1, 2)])
def test_each_camera_gets_its_own_depth(network, images, recorded, members):
    alone, together = predictors(network, recorded), predictors(network, recorded)
    batch = CameraBatch(together)
    for round_ in range(2):  # the second goes on with the first one's range of colours
        requests = {n: request(n, images[3 * round_ + n]) for n in members}
        found = batch.predict(requests)
        assert list(found) == list(members)
        for n, one in requests.items():
            expected = alone[n].predict(one.image, one.camera, one.options, one.outputs)
            assert_close(found[n], expected)
            # Different cameras differ: a mix-up would be seen.
            other = next(m for m in members if m != n)
            if found[n].points.shape == found[other].points.shape:
                assert not np.allclose(
                    found[n].points[..., 2], found[other].points[..., 2], rtol=1e-2, equal_nan=True
                )


def test_only_what_is_asked_for_is_given(network, images):
    for recorded in (False, True):
        alone, batch = predictors(network, recorded), CameraBatch(predictors(network, recorded))
        batch.predict({0: request(0, images[0]), 1: request(1, images[1])})
        found = batch.predict({0: request(0, images[2], ("depth",)), 1: request(1, images[3])})
        expected = alone[0].predict(images[2], CAMERAS[0], OPTIONS[0], ("depth",))
        assert_close(found[0], expected, ("depth",))


def test_one_recording_serves_every_set_of_cameras(network, images):
    batch = CameraBatch(predictors(network, recorded=True))
    assert isinstance(batch._pipeline, DevicePipeline)
    batch.predict({n: request(n, images[n]) for n in range(3)})
    alone = predictors(network, recorded=True)
    for members in ((0, 1), (1, 2), (2,), (0, 2)):
        outputs = ("depth",) if members == (0, 2) else OUTPUTS
        found = batch.predict({n: request(n, images[n + 3], outputs) for n in members})
        assert set(found) == set(members)
    expected = alone[2].predict(images[5], CAMERAS[2], OPTIONS[2], ("depth",))
    assert_close(found[2], expected, ("depth",))
    assert len(batch._pipeline._recorded) == 1


def test_a_camera_without_a_frame_keeps_its_range_of_colours(network, images):
    together = predictors(network, recorded=True)
    batch = CameraBatch(together)
    batch.predict({n: request(n, images[n]) for n in range(3)})
    before = together[0].color_limits.clone()
    assert torch.isfinite(before).all()
    moved = together[2].color_limits.clone()
    for n in range(3, 9):
        batch.predict({1: request(1, images[n]), 2: request(2, images[n])})
    assert torch.equal(together[0].color_limits, before)
    assert not torch.equal(together[2].color_limits, moved)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_cannot_be_met_leaves_no_trace(network, images, recorded):
    batch = CameraBatch(predictors(network, recorded))
    wrong = Request(images[1], None, OPTIONS[1], ("points",))
    with pytest.raises(ValueError, match="points need a camera"):
        batch.predict({0: request(0, images[0]), 1: wrong})
    alone = predictors(network, recorded)
    found = batch.predict({0: request(0, images[0]), 2: request(2, images[2])})
    for n in (0, 2):
        assert_close(found[n], alone[n].predict(images[n], CAMERAS[n], OPTIONS[n], OUTPUTS))


def test_cameras_of_other_sizes_are_batches_of_their_own(network, images):
    small = images[:, ::2, ::2]
    camera = PinholeCamera(40, 30, 35.0, 35.0, 19.5, 15.0)
    for recorded in (False, True):
        alone, batch = predictors(network, recorded), CameraBatch(predictors(network, recorded))
        other = Request(small[2], camera, OPTIONS[2], OUTPUTS)
        with pytest.raises(ValueError, match="give one size"):
            batch.predict({0: request(0, images[0]), 2: other})
        first = batch.predict({0: request(0, images[0]), 1: request(1, images[1])})
        assert_close(first[0], alone[0].predict(images[0], CAMERAS[0], OPTIONS[0], OUTPUTS))
        second = batch.predict({2: other})
        assert set(second) == {2}
        assert_close(second[2], alone[2].predict(small[2], camera, OPTIONS[2], OUTPUTS))


def test_predictors_must_share_a_network(network, checkpoint):
    other = DepthPredictor(checkpoint, backend="torch", device="cpu", precision="fp32", threads=1)
    with pytest.raises(ValueError, match="share one network"):
        CameraBatch([network, other])
