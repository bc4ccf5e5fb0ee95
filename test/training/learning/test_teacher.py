# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that a run began with, near which depth is kept."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from monodepth2_ros.checkpoint import CheckpointMetadata
from training.learning.motion_from_tracks import CERTAIN_WEIGHT
from training.learning.teacher import (
    away_from_corners,
    change_loss,
    far_loss,
    far_share,
    keeping_loss,
    make_teacher,
)


class Said(NamedTuple):
    disparities: list[Tensor]


class Brightness(nn.Module):
    """Says that what is bright is near, and notes what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))
        self.saw: list[tuple[int, ...]] = []

    def forward(self, images: Tensor, neighbours: tuple, precedes: tuple) -> Said:
        self.saw.append(tuple(images.shape))
        return Said([self.factor * images.mean(dim=1, keepdim=True)])


def test_the_loss_ignores_a_factor_of_each_image_and_measures_the_rest() -> None:
    taught = torch.rand(2, 1, 4, 5) + 1
    factors = torch.tensor([3.0, 0.1]).view(2, 1, 1, 1)
    assert keeping_loss(factors * taught, taught) == pytest.approx(0.0, abs=1e-6)
    moved = taught.clone()
    moved[0, 0, 0] *= math.e  # one row of four, by 1 in the logarithm
    assert keeping_loss(moved, taught) == pytest.approx(0.25 / 2, abs=1e-6)


def test_an_even_change_costs_nothing_and_a_ramp_its_slope() -> None:
    taught = torch.rand(2, 1, 32, 48, dtype=torch.float64) + 1
    everywhere = torch.ones_like(taught)
    assert change_loss(7 * taught, taught, everywhere) == pytest.approx(0.0, abs=1e-9)
    ramp = torch.exp(0.01 * torch.arange(48, dtype=torch.float64)).expand_as(taught)
    # From one pixel, and from one square of 4 and of 16 pixels, to the next.
    assert change_loss(ramp * taught, taught, everywhere) == pytest.approx(0.01 * (1 + 4 + 16))
    half = everywhere.clone()
    half[..., 24:] = 0.0
    left = change_loss(ramp * taught, taught, half)
    # Of 47, 11 and 2 differences, those within the left half, and half of that at its border.
    expected = 0.01 * (23.5 / 47 + 4 * 5.5 / 11 + 16 * (0.75 + 0.25) / 2)
    assert left == pytest.approx(expected)


def test_a_jump_costs_where_no_corner_is_near_alone() -> None:
    taught = torch.full((1, 1, 32, 48), 2.0)
    depth = taught.clone()
    depth[..., 8:16, 8:16] *= math.e  # a thing that the start did not see
    away = torch.ones_like(taught)
    found = change_loss(depth, taught, away)
    away[..., 4:20, 4:20] = 0.0
    # Its outline costs nothing more; what is left is that the means over large squares differ.
    assert 0 < change_loss(depth, taught, away) < 0.4 * found


@pytest.mark.parametrize("size", [(128, 192), (64, 192), (192, 640), (33, 47)])
def test_away_is_where_no_told_corner_is_near(size: tuple[int, int]) -> None:
    height, width = size
    told = [0.3 * width, 0.6 * height, 1.0, CERTAIN_WEIGHT]
    doubtful = [0.9 * width, 0.2 * height, 1.0, 0.9 * CERTAIN_WEIGHT]
    points = torch.tensor([[told, doubtful], [[0.0] * 4, [0.0] * 4]])
    away = away_from_corners(points, height, width)
    assert away.shape == (2, 1, height, width)
    assert away[1].min() == 1  # no corners
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = torch.hypot(columns - told[0], rows - told[1])
    cell = max(width / 24, height / max(1, round(24 * height / width)))
    assert away[0, 0][distance < 0.9 * cell - 1].max() == 0
    assert away[0, 0][distance > 2 * 2**0.5 * cell + 1].min() == 1


def test_the_gradient_leads_back() -> None:
    taught = torch.full((1, 1, 3, 3), 2.0)
    depth = taught.clone()
    depth[0, 0, 1, 1] = 4.0
    depth.requires_grad_(True)
    keeping_loss(depth, taught).backward()
    assert depth.grad is not None
    assert depth.grad[0, 0, 1, 1] > 0
    depth.grad[0, 0, 1, 1] = 0
    assert depth.grad.abs().max() == 0


def test_what_was_far_is_held_at_eight_times_the_rest() -> None:
    taught = torch.full((3, 1, 4, 5), 3.0)
    taught[:2, 0, 0] = 90.0  # a row of four is sky
    taught[2] = 90.0  # nothing else is there
    depth = torch.full((3, 1, 4, 5), 0.5)
    depth[0, 0, 0] = 4.0  # far enough
    depth[1, 0, 0] = 4.0 / math.e
    assert far_loss(depth, taught, 100.0) == pytest.approx(0.25 / 3, abs=1e-6)
    assert far_loss(10 * depth, taught, 100.0) == pytest.approx(0.25 / 3, abs=1e-6)
    depth.requires_grad_(True)
    far_loss(depth, taught, 100.0).backward()
    assert depth.grad is not None and torch.isfinite(depth.grad).all()
    assert (depth.grad[1, 0, 0] < 0).all()  # it is pushed away
    depth.grad[1, 0, 0] = 0
    assert depth.grad.abs().max() == 0
    assert far_loss(depth, torch.full_like(taught, 3.0), 100.0) == 0


def test_share_of_what_is_as_far_as_the_sky() -> None:
    depth = torch.tensor([[1.0, 49.0, 51.0, 100.0, 20.0]])
    assert far_share(depth, 100.0) == pytest.approx(2 / 5)
    assert far_share(depth, 1000.0) == 0


def test_a_teacher_sees_its_own_image_size_and_never_learns() -> None:
    model = Brightness()
    teacher = make_teacher(model, CheckpointMetadata(width=96, height=64))
    with torch.no_grad():
        model.factor.fill_(0.0)  # as training does
    images = torch.full((2, 3, 12, 20), 0.5)
    images[1] = 0.25
    depth = teacher.depth(images, bfloat16=False)
    assert depth.shape == (2, 1, 12, 20) and not depth.requires_grad
    assert teacher.model.saw == [(2, 3, 64, 96)]
    expected = [1 / (0.01 + (10 - 0.01) * value) for value in (0.5, 0.25)]
    torch.testing.assert_close(depth[:, 0, 0, 0], torch.tensor(expected))
    assert not any(weight.requires_grad for weight in teacher.model.parameters())
