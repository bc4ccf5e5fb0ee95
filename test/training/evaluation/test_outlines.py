# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Outlines of things in closed-form depth images."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.outlines import OUTLINE_RADIUS, near_outlines


def plane(a: float, b: float, c: float, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Depth of a plane: its inverse is a · column + b · row + c."""
    row, column = np.indices(shape)
    return (1.0 / (a * column + b * row + c)).astype(np.float32)


@pytest.mark.parametrize(
    "slant", [(0.0, 0.0, 0.2), (0.004, 0.0, 0.001), (0.0, 0.02, 0.0005), (0.003, -0.002, 0.3)]
)
def test_a_plane_has_none_however_slanted(slant):
    """The ground near the horizon is eight times further from one row to the next."""
    assert not near_outlines(plane(*slant)).any()


def test_walls_that_meet_have_none():
    left, right = plane(-0.002, 0.0, 0.3), plane(0.002, 0.0, 0.14)
    assert not near_outlines(np.minimum(left, right)).any()


@pytest.mark.parametrize("behind", [1.3, 2.0, 50.0])
def test_a_thing_in_front_of_a_wall(behind):
    depth = np.full((60, 80), behind, np.float32)
    depth[20:40, 30:50] = 1.0
    found = near_outlines(depth)
    row, column = np.indices(depth.shape)
    # How far a pixel is from the last one inside, counted to the outside, and the other way.
    outside = np.maximum(np.maximum(20 - row, row - 39), np.maximum(30 - column, column - 49))
    expected = (outside > -OUTLINE_RADIUS - 1) & (outside <= OUTLINE_RADIUS + 1)
    assert (found == expected).mean() > 0.99


def test_unknown_pixels_are_no_outlines():
    depth = np.full((60, 80), 3.0, np.float32)
    depth[20:40, 30:50] = 0.0
    assert not near_outlines(depth).any()
    depth[20:40, 50:] = 1.0
    found = near_outlines(depth)
    assert found.any() and not found[depth == 0.0].any()
