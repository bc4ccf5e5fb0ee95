# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Many worlds at once, and how much they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.synthesize import main
from training.worlds.film import synthesize
from training.worlds.options import SynthesisOptions
from training.worlds.scenes.layouts import LAYOUTS, sample_world
from training.worlds.scenes.walks import clear_ground, stroll
from training.worlds.take import complete, draw_take
from training.worlds.world import Box, Material, box_bounds

SMALL = [
    "--width",
    "48",
    "--height",
    "32",
    "--frames",
    "3",
    "--frame-rate",
    "1",
    "--vary",
    "--quiet",
]


def contents(folder) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/*.mcap"))}


@pytest.mark.slow
def test_several_processes_write_the_same_worlds(tmp_path, capsys):
    options = ["--worlds", "3", "--seed", "4", "--layout", "home", *SMALL]
    assert main(["--out", str(tmp_path / "one"), "--workers", "1", *options]) == 0
    assert main(["--out", str(tmp_path / "two"), "--workers", "2", *options]) == 0
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert list(one) == ["world_00004", "world_00005", "world_00006"]
    assert one == two
    assert len(set(one.values())) == 3
    assert "3 worlds of 3 frames made, 0 kept" in capsys.readouterr().out


@pytest.mark.slow
def test_worlds_that_are_there_are_kept(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--workers", "1", "--layout", "home", *SMALL]
    assert main([*out, "--worlds", "1"]) == 0
    first = tmp_path / "world_00000" / "world_00000.mcap"
    before = first.stat().st_mtime_ns
    assert main([*out, "--worlds", "2"]) == 0
    assert "1 worlds of 3 frames made, 1 kept" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == before
    assert main([*out, "--worlds", "2", "--force"]) == 0
    assert "2 worlds of 3 frames made, 0 kept" in capsys.readouterr().out


def test_worlds_of_other_options_are_not_mixed(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--workers", "1", "--layout", "home", "--worlds", "1"]
    assert main([*out, *SMALL]) == 0
    assert main([*out, *SMALL, "--frame-rate", "2"]) == 1
    assert "were made with --frame-rate 1.0, not 2.0" in capsys.readouterr().err


def test_what_is_given_is_not_drawn():
    free = complete(SynthesisOptions(Path("x"), vary=True), 5)
    given = complete(SynthesisOptions(Path("x"), vary=True, pitch=7.0, hfov=60.0), 5)
    assert given.pitch == 7.0 and free.pitch != 7.0
    assert given.camera.fx == pytest.approx(0.5 * 320 / np.tan(np.radians(30.0)))
    assert given.speed == free.speed and given.sensor == free.sensor
    plain = complete(SynthesisOptions(Path("x")), 5)
    assert (plain.layout, plain.pitch, plain.roll, plain.gaze) == ("street", 0.0, 0.0, 0.0)
    assert plain.sensor is None


def test_takes_follow_the_seed_and_spread():
    takes = [draw_take(seed, 192, 128) for seed in range(200)]
    assert takes[7] == draw_take(7, 192, 128) != takes[8]
    assert {take.layout for take in takes} == set(LAYOUTS)
    views = [2 * np.degrees(np.arctan(96 / take.camera.fx)) for take in takes]
    assert 45.0 <= min(views) < 50.0 and 95.0 < max(views) <= 100.0
    assert np.std([take.camera.cx for take in takes]) > 1.0
    assert np.std([take.pitch for take in takes]) > 5.0
    assert 2.0 < np.std([take.roll for take in takes]) < 15.0
    with pytest.raises(ValueError, match="layout is 'harbour'"):
        draw_take(0, 192, 128, "harbour")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_camera_is_never_in_things_nor_close_to_them(layout):
    medians = []
    for seed in range(3):
        take = draw_take(seed, 48, 32, layout)
        frames = list(
            synthesize(
                seed,
                layout,
                take.camera,
                6,
                1.0,
                take.speed,
                camera_height=take.height,
                pitch=take.pitch,
                roll=take.roll,
                aside=take.aside,
                gaze=take.gaze,
            )
        )
        for frame in frames:
            depth = frame.depth[np.isfinite(frame.depth)]
            assert not np.isnan(frame.depth).any()
            # The floor is near to a camera that is low.
            assert (frame.depth < min(0.2, 0.5 * take.height)).mean() < 0.05
            medians.append(np.median(depth) if depth.size else np.inf)
    assert np.median(medians) > 0.5


@pytest.mark.slow
def test_indoor_worlds_differ():
    medians, colors = [], []
    for seed in range(10):
        options = SynthesisOptions(Path("x"), vary=True, layout="home", width=48, height=32)
        choice = complete(options, seed)
        frames = synthesize(
            seed, "home", choice.camera, 3, 0.3, choice.speed, camera_height=choice.camera_height,
            pitch=choice.pitch, aside=choice.aside, gaze=choice.gaze, sensor=choice.sensor,
        )  # fmt: skip
        for frame in frames:
            medians.append(np.median(frame.depth))
            colors.append(frame.image.mean(axis=(0, 1)))
    assert np.percentile(medians, 90) > 1.7 * np.percentile(medians, 10)
    assert np.std(colors, axis=0).min() > 15.0


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["home", "kitchen", "corridor", "yard"])
def test_routes_keep_clear_at_the_height_of_the_camera(layout):
    for seed, height in ((0, 0.8), (1, 1.6)):
        world = sample_world(seed, layout, 15.0, height)
        assert world.route.length >= 15.0
        points, _ = world.route.at(np.arange(0.0, 12.0, 0.25))
        share = np.linspace(-1.0, 1.0, 9)
        a, b = (grid.ravel() for grid in np.meshgrid(share, share))
        faces = world.faces.take(np.isfinite(world.faces.half[:, 0]))
        samples = (
            faces.center[:, None]
            + (a * faces.half[:, :1])[..., None] * faces.axis_a[:, None]
            + (b * faces.half[:, 1:])[..., None] * faces.axis_b[:, None]
        ).reshape(-1, 3)
        level = samples[np.abs(samples[:, 2] - height) < 0.25, :2]
        distance = np.hypot(*(level[:, None] - points).transpose(2, 0, 1))
        assert distance.min() > 0.22


def test_clear_ground_measures_the_distance_to_what_is_in_the_way():
    grey = Material((0.5, 0.5, 0.5))
    table = Box((0.0, 0.0, 0.4), (1.0, 1.0, 0.8), grey)
    area = (-2.0, -2.0, 2.0, 2.0)
    beside = clear_ground([table], area, 1.0)
    assert beside.shape == (80, 80)
    assert beside[40, 40] == 0.0
    assert beside[40, 60] == pytest.approx(0.5, abs=0.1)  # 1 m from the middle, half a metre free
    # From high above, only the walls are in the way.
    above = clear_ground([table], area, 1.6)
    assert above[40, 40] == pytest.approx(2.0, abs=0.1)
    full = [Box((0.0, 0.0, 1.0), (4.0, 4.0, 2.0), grey)]
    assert stroll(np.random.default_rng(0), full, area, 5.0, 1.0) is None


def test_bounds_are_those_of_the_corners():
    rng = np.random.default_rng(3)
    grey = Material((0.5, 0.5, 0.5))
    boxes = [
        Box(tuple(rng.normal(size=3)), tuple(rng.uniform(0.1, 2.0, 3)), grey, rng.uniform(0, 6),
            tuple(rng.uniform(-2.0, 2.0, 2)))
        for _ in range(20)
    ]  # fmt: skip
    low, high = box_bounds(boxes)
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3), axis=-1).reshape(8, 3)
    for k, box in enumerate(boxes):
        corners = (signs * box.size) @ box.rotation().T + box.center
        np.testing.assert_allclose(low[k], corners.min(axis=0), atol=1e-12)
        np.testing.assert_allclose(high[k], corners.max(axis=0), atol=1e-12)
