# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Change is measured where no corner is, up to one factor, and the sky may be anywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.learning.motion_from_tracks import MOST_POINTS, SparseGeometry
from training.learning.unjudged import change_away

HEIGHT, WIDTH = 64, 96


def corners(*places):
    """Put corners at some pixels (x, y)."""
    points = np.zeros((MOST_POINTS, 4), np.float32)
    points[:, 2] = 1.0
    points[: len(places), :2] = places
    points[: len(places), 3] = 1.0
    return SparseGeometry(np.eye(4)[None], points, np.zeros(MOST_POINTS, np.float32))


@pytest.fixture
def start():
    """A floor that comes near towards the bottom."""
    rows = torch.linspace(1.0, 0.2, HEIGHT)
    return (2.0 * rows)[None, None, :, None].expand(1, 1, HEIGHT, WIDTH).contiguous()


TOP = corners(*((x, y) for x in range(2, WIDTH, 4) for y in range(2, HEIGHT // 2, 4)))


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_one_factor_is_no_change(start, factor):
    assert change_away(factor * start, start, TOP) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_what_moves_where_no_corner_is_counts_as_its_logarithm(start, factor):
    moved = start.clone()
    moved[:, :, HEIGHT // 2 + 2 :] *= factor
    found = change_away(3 * moved, start, TOP)
    # Some of the rows that are away have not moved, and near is nearly a logarithm.
    assert found == pytest.approx(abs(math.log(factor)), rel=0.15)
    everywhere = corners(*((x, y) for x in range(0, WIDTH, 4) for y in range(0, HEIGHT, 4)))
    assert change_away(moved, start, everywhere) is None


def test_what_moves_at_corners_alone_is_no_change(start):
    moved = start.clone()
    moved[:, :, : HEIGHT // 4] *= 2.0
    assert change_away(moved, start, TOP) < 0.01


def test_how_far_the_sky_is_does_not_matter(start):
    sky = start.clone()
    sky[:, :, : HEIGHT // 4] = 60.0
    farther = sky.clone()
    farther[:, :, : HEIGHT // 4] = 100.0
    near = corners(*((x, y) for x in range(2, WIDTH, 4) for y in range(HEIGHT // 2, HEIGHT, 4)))
    assert change_away(farther, sky, near) < 0.02
    nearer = sky.clone()
    nearer[:, :, : HEIGHT // 4] = 2.0
    assert change_away(nearer, sky, near) > 0.4
