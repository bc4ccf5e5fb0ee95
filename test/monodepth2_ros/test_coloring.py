# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colour pictures of depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from monodepth2_ros.coloring import (
    COLOR_MAPS,
    adapt_limits,
    colorize,
    disparity_limits,
    disparity_range,
)


@pytest.mark.parametrize("name", [name for name in COLOR_MAPS if name != "gray"])
def test_maps_are_opencvs(name):
    ramp = torch.linspace(0, 1, 256)[None]
    levels = np.arange(256, dtype=np.uint8)[None]
    expected = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{name.upper()}"))[..., ::-1]
    np.testing.assert_array_equal(colorize(ramp, 0.0, 1.0, name).numpy(), expected)


def test_near_is_bright_nan_is_black_and_ends_saturate():
    disparity = torch.tensor([[-5.0, 0.0, 0.5, 1.0, 9.0, torch.nan]])
    grey = colorize(disparity, 0.0, 1.0, "gray")[0, :, 0].tolist()
    assert grey == [0, 0, 128, 255, 255, 0]
    assert colorize(disparity, 0.3, 0.3, "gray").shape == (1, 6, 3)  # an empty range


def test_range_leaves_out_extremes_and_nan():
    disparity = torch.linspace(1.0, 2.0, 100 * 100).reshape(100, 100)
    disparity[0, :8] = 1e6
    disparity[50:60] = torch.nan
    low, high = disparity_range(disparity)
    assert 1.0 < low < 1.1 and 1.9 < high < 2.0
    assert disparity_range(torch.full((8, 8), torch.nan)) == (0.0, 1.0)


@pytest.mark.parametrize("known", [1, 2, 50, 397, 6400])
def test_limits_are_quantiles_of_what_is_finite(known):
    generator = torch.Generator().manual_seed(known)
    values = torch.rand(6400, generator=generator) + 0.01
    values[known:] = torch.nan
    shuffled = values[torch.randperm(6400, generator=generator)].reshape(80, 80)
    disparity = torch.full((320, 320), torch.inf)
    disparity[::4, ::4] = shuffled
    expected = torch.quantile(values[:known], torch.tensor([0.02, 0.98]))
    limits = disparity_limits(disparity)
    torch.testing.assert_close(limits, expected.double(), rtol=2e-7, atol=0)
    picture = colorize(disparity, limits[0], limits[1])
    np.testing.assert_array_equal(picture, colorize(disparity, *limits.tolist()))


def _shown(frames):
    """The limits and grey picture of each frame with an automatic range."""
    limits = torch.full((2,), torch.nan, dtype=torch.float64)
    for disparity in frames:
        limits = adapt_limits(limits, disparity_limits(disparity))
        yield limits, colorize(disparity, limits[0], limits[1], "gray")[..., 0]


def _scene(near, far, noise=0.0, seed=0):
    """Disparity spread evenly between those of two depths in metres, with relative noise."""
    disparity = torch.linspace(1.0 / far, 1.0 / near, 64 * 64).reshape(64, 64)
    generator = torch.Generator().manual_seed(seed)
    return disparity * (1.0 + noise * torch.randn(64, 64, generator=generator))


def test_range_keeps_up_with_a_scene_that_jumps():
    # A camera that turns from a room to a street to a wall, some frames each, and back.
    bounds = [(1, 3), (5, 60), (0.4, 0.6), (5, 60), (2, 8), (0.3, 40), (1, 1.2)]
    frames = [_scene(*bound, noise=0.02, seed=i) for bound in bounds for i in range(4)]
    for _, picture in _shown(frames):
        at_the_ends = ((picture <= 1) | (picture >= 254)).float().mean()
        assert at_the_ends < 0.3
        assert 30 < picture.float().mean() < 225


def test_range_hardly_moves_where_the_scene_does_not():
    limits = torch.stack(
        [limits for limits, _ in _shown(_scene(1, 20, 0.03, i) for i in range(60))]
    )
    span = limits[:, 1] - limits[:, 0]
    raw = torch.stack([disparity_limits(_scene(1, 20, 0.03, i)) for i in range(60)])
    assert (limits.diff(dim=0).abs().amax(1) / span[1:]).max() < 0.02
    assert limits.diff(dim=0).abs().mean() < 0.25 * raw.diff(dim=0).abs().mean()


def test_range_reaches_a_scene_that_drifts():
    *_, (limits, _) = _shown(_scene(1, 20 + i / 10) for i in range(100))
    expected = disparity_limits(_scene(1, 30))
    assert (limits - expected).abs().amax() < 0.02 * (expected[1] - expected[0])


@pytest.mark.parametrize("value", [0.5, torch.nan])
def test_range_of_a_frame_without_contrast(value):
    flat = torch.full((16, 16), value)
    for limits, picture in _shown([flat, _scene(1, 20), flat, flat]):
        assert torch.isfinite(limits).all()
        assert picture.shape[-1] in (16, 64)


def test_unknown_map_is_named():
    with pytest.raises(ValueError, match="'rainbow' is unknown; one of magma"):
        colorize(torch.ones(2, 2), 0.0, 1.0, "rainbow")
