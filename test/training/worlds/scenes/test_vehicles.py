# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vehicles, people and animals have real sizes and stand on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from training.worlds.scenes.beings import being, dog, figure
from training.worlds.scenes.vehicles import bus, modern_car, two_wheeler
from training.worlds.world import box_bounds


@pytest.mark.parametrize(
    ("builder", "length", "width", "height"),
    [
        (modern_car, (3.4, 6.2), (1.6, 2.5), (1.35, 2.7)),
        (bus, (7.9, 13.2), (2.4, 2.8), (2.8, 3.7)),
        (two_wheeler, (1.6, 2.3), (0.5, 0.95), (1.0, 2.3)),
        (dog, (0.2, 1.9), (0.05, 0.5), (0.25, 1.4)),
    ],
)
def test_sizes(builder, length, width, height):
    for seed in range(40):
        low, high = (
            bound(values, axis=0)
            for bound, values in zip(
                (np.min, np.max), box_bounds(builder(np.random.default_rng(seed))), strict=True
            )
        )
        for axis, (least, most) in enumerate((length, width, height)):
            assert least <= high[axis] - low[axis] <= most, (seed, axis)
        assert -0.03 <= low[2] <= 0.1, seed  # turned blocks reach a little into the ground


@pytest.mark.parametrize("pose", ["standing", "walking"])
def test_a_person_is_as_tall_as_asked(pose):
    for seed in range(30):
        low, high = box_bounds(figure(np.random.default_rng(seed), pose, 1.75))
        assert high[:, 2].max() == pytest.approx(1.75, abs=0.13), seed
        assert -0.03 <= low[:, 2].min() <= 0.1, seed


def test_a_seated_person_has_the_seat_as_origin():
    for seed in range(30):
        low, high = box_bounds(figure(np.random.default_rng(seed), "sitting", 1.75))
        assert 0.75 < high[:, 2].max() < 1.02  # sitting height
        assert -0.85 < low[:, 2].min() < -0.3  # the feet


def test_beings_follow_the_generator():
    first, again, other = (being(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again != other
