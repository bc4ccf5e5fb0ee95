# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What predicts the depth that is evaluated: networks, mirrored blending, baselines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluated_models import (
    CPU,
    HEIGHT,
    WIDTH,
    evaluated,
    make_store,
    some_images,
    with_metadata,
)
from monodepth2_ros.checkpoint import Checkpoint
from training.evaluation.depth import (
    evaluate_depth,
)
from training.evaluation.predictors import (
    constant_predictor,
    depth_predictor,
    mean_depth_predictor,
    saturation_depth,
)
from training.evaluation.protocol import Protocol, Selection
from training.frames.store import FrameStore


def test_disparity_is_resized_before_it_is_inverted(tmp_path: Path, checkpoint: Checkpoint) -> None:
    images = some_images(1)
    store = make_store(tmp_path / "frames", images, np.ones((1, 3 * HEIGHT, 2 * WIDTH)))
    depth = depth_predictor(checkpoint, CPU, Protocol())(store, np.array([0]))[0]
    with torch.inference_mode():
        planar = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
        sigmoid = checkpoint.depth_network()(planar)[0, 0].double().numpy()
    disparity = 1 / 50 + (1 / 0.5 - 1 / 50) * sigmoid
    # Pixel centres of the large image in the small one; bilinear by hand at a few places.
    for row, column in ((0, 0), (100, 77), (191, 191), (37, 150)):
        y = min(max((row + 0.5) / 3 - 0.5, 0), HEIGHT - 1)
        x = min(max((column + 0.5) / 2 - 0.5, 0), WIDTH - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, HEIGHT - 1), min(left + 1, WIDTH - 1)
        v, u = y - top, x - left
        value = (1 - v) * ((1 - u) * disparity[top, left] + u * disparity[top, right])
        value += v * ((1 - u) * disparity[bottom, left] + u * disparity[bottom, right])
        assert depth[row, column] == pytest.approx(1 / value, rel=1e-4)


def test_damaged_weights_are_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    depth = dict(checkpoint.state["depth"])
    depth["decoder.10.conv.bias"] = torch.full((1,), torch.nan)
    damaged = dataclasses.replace(checkpoint, state={**checkpoint.state, "depth": depth})
    store = make_store(tmp_path / "frames", some_images(1), np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match="frames 0 to 0 of .*frames; its weights are corrupt"):
        evaluated(damaged, store)


@pytest.mark.slow
def test_flip_blends_with_the_mirror_image(tmp_path: Path, checkpoint: Checkpoint) -> None:
    images = some_images(2)
    store = make_store(tmp_path / "frames", images, np.ones((2, HEIGHT, WIDTH)))
    frames = np.array([0, 1])

    def predicted(flip: bool, frame_store: FrameStore) -> np.ndarray:
        return depth_predictor(checkpoint, CPU, Protocol(flip=flip))(frame_store, frames)

    mirrored = make_store(tmp_path / "mirrored", images[:, :, ::-1], np.ones((2, HEIGHT, WIDTH)))
    direct = 1.0 / predicted(False, store)
    back = 1.0 / predicted(False, mirrored)[:, :, ::-1]
    assert np.abs(direct - back).max() > 0.1  # else it would not matter
    blended = 1.0 / predicted(True, store)
    for column in range(WIDTH):
        x = column / (WIDTH - 1)
        left = 1 - min(max(20 * (x - 0.05), 0), 1)
        right = 1 - min(max(20 * (1 - x - 0.05), 0), 1)
        expected = right * direct + left * back + (1 - left - right) * (direct + back) / 2
        assert np.allclose(blended[..., column], expected[..., column], rtol=1e-4)


def test_baselines(tmp_path: Path) -> None:
    truth = np.zeros((4, 2, 2))
    truth[0] = [[1.0, 2.0], [4.0, 0.0]]
    truth[1] = [[3.0, 2.0], [0.0, 0.0]]
    truth[2] = [[2.0, 2.0], [4.0, 3.0]]
    truth[3] = [[4.0, 4.0], [8.0, 5.5]]
    store = make_store(tmp_path / "frames", np.zeros((4, 32, 32, 3), np.uint8), truth)
    # Means of the first two frames: 2, 2, 4; the last pixel is never known, so 8 / 3.
    predict = mean_depth_predictor([Selection(store, np.array([0, 1]))], Protocol())
    assert predict(store, np.array([2, 3])) == pytest.approx(
        np.repeat([[[2.0, 2.0], [4.0, 8 / 3]]], 2, axis=0)
    )
    test = Selection(store, np.array([2, 3]))
    constant = evaluate_depth("constant", constant_predictor, [test], Protocol())
    assert constant.results[0].scale_ratio == 2.5
    assert constant.values("abs_rel")[0] == pytest.approx((0.25 + 0.25 + 0.375 + 0.5 / 3) / 4)
    with pytest.raises(ValueError, match="none of the 0 frames"):
        mean_depth_predictor([Selection(store, np.array([], np.int64))], Protocol())


def test_the_far_end_of_a_network(checkpoint: Checkpoint) -> None:
    metric = with_metadata(checkpoint, min_depth=0.1, max_depth=100.0, scale=5.4)
    # 1 % of the way from 1/100 to 1/0.1 per unit.
    depth = 1 / (0.01 + 0.01 * 9.99)
    assert saturation_depth(metric, Protocol(scaling="none")) == pytest.approx(depth)
    assert saturation_depth(metric, Protocol()) == pytest.approx(5.4 * depth)
