# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places seen from near, and the street with traffic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.worlds.film import synthesize
from training.worlds.options import SynthesisOptions
from training.worlds.scenes.layouts import sample_world
from training.worlds.take import complete


def median_depths(layout: str) -> list[float]:
    medians = []
    for seed in range(8):
        options = SynthesisOptions(Path("x"), vary=True, layout=layout, width=48, height=32)
        take = complete(options, seed)
        frames = synthesize(
            seed, layout, take.camera, 2, 0.5, take.speed, camera_height=take.camera_height,
            pitch=take.pitch, roll=take.roll, aside=take.aside, gaze=take.gaze,
        )  # fmt: skip
        medians += [float(np.nanmedian(frame.depth)) for frame in frames]
    return medians


@pytest.mark.slow
def test_a_tabletop_is_seen_from_near():
    assert 0.3 < np.median(median_depths("tabletop")) < 2.5


def test_the_camera_of_a_hall_is_low():
    for seed in range(30):
        take = complete(SynthesisOptions(Path("x"), vary=True, layout="hall"), seed)
        assert 0.08 <= take.camera_height <= 0.7


@pytest.mark.slow
def test_some_floors_and_streets_shine_and_some_streets_are_dark():
    halls = [sample_world(seed, "hall", 5.0, 0.3) for seed in range(12)]
    assert 3 <= sum(world.mirror > 0.0 for world in halls) <= 11
    cities = [sample_world(seed, "city", 5.0, 1.4) for seed in range(40)]
    assert 3 <= sum(world.mirror > 0.0 for world in cities) <= 20
    dark = [world for world in cities if world.light.ambient < 0.21]
    assert 1 <= len(dark) <= 15
    assert all(max(world.sky.horizon) < 0.15 for world in dark)
    assert any(world.light.headlight > 0.0 for world in dark)


def test_traffic_moves_in_the_city_alone():
    counts = {
        layout: {
            complete(SynthesisOptions(Path("x"), vary=True, layout=layout), seed).moving_objects
            for seed in range(40)
        }
        for layout in ("city", "highway", "home", "hall")
    }
    assert counts["city"] == counts["highway"] == {0, 1, 2, 3, 4}
    assert counts["home"] == counts["hall"] == {0}
    plain = complete(SynthesisOptions(Path("x"), layout="city"), 1)
    given = complete(SynthesisOptions(Path("x"), vary=True, layout="city", moving_objects=1), 1)
    assert (plain.moving_objects, given.moving_objects) == (0, 1)
