# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths and moving objects: speeds, standing still, and where things appear."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.worlds.camera_path import MANNERS, add_moving_objects, camera_path
from training.worlds.rendering.ray_caster import render_frame
from training.worlds.scenes.layouts import LAYOUTS, sample_world
from training.worlds.take import draw_take
from training.worlds.world import (
    Light,
    Material,
    Route,
    Sky,
    World,
    ground_face,
    straight_route,
)

CAMERA = PinholeCamera(96, 48, 60.0, 60.0, 47.5, 23.5)


def empty_world(layout: str = "street", length: float = 100.0) -> World:
    ground = ground_face(Material((0.4, 0.4, 0.4)), 1)
    return World(ground, straight_route(length), Light(), Sky(), layout=layout)


def test_a_plain_path_is_level_and_steady():
    path = camera_path(straight_route(50.0), 21, rate=10.0, speed=4.0, height=1.7, sway=0.0)
    np.testing.assert_allclose(path.times, np.arange(21) * 0.1)
    np.testing.assert_allclose(path.distances, np.arange(21) * 0.4)
    np.testing.assert_allclose(path.poses[:, 0, 3], np.arange(21) * 0.4)
    np.testing.assert_allclose(path.poses[:, 2, 3], 1.7)
    # Along the world's x axis: right is −y, down is −z, forward is x.
    expected = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    np.testing.assert_allclose(path.poses[:, :3, :3], np.broadcast_to(expected, (21, 3, 3)))


def test_the_camera_looks_where_it_goes_and_down_by_the_pitch():
    angle = np.linspace(0.0, 2.0 * np.pi, 5000)
    circle = Route(20.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    path = camera_path(circle, 40, rate=5.0, speed=3.0, pitch=12.0, sway=0.0)
    forward = path.poses[:, :3, 2]
    step = np.diff(path.poses[:, :3, 3], axis=0)
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    # The chord between two frames points along the mean of both headings.
    mean = forward[1:, :2] + forward[:-1, :2]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(mean, step[:, :2], atol=2e-3)
    np.testing.assert_allclose(forward[:, 2], -np.sin(np.radians(12.0)))
    np.testing.assert_allclose(path.poses[:, 2, 0], 0.0, atol=1e-12)  # no roll


@pytest.mark.parametrize("sway", [0.0, 1.0])
def test_poses_are_rigid_and_the_speed_is_kept(sway):
    path = camera_path(straight_route(200.0), 300, speed=5.0, sway=sway, seed=4)
    rotation = path.poses[:, :3, :3]
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    assert path.distances[-1] / path.times[-1] == pytest.approx(5.0, rel=0.05)
    assert np.ptp(path.poses[:, 2, 3]) <= 0.04
    assert (np.ptp(path.poses[:, 2, 3]) > 0.005) == (sway > 0.0)


def test_the_standstill_lasts_and_is_exact():
    path = camera_path(straight_route(100.0), 100, rate=10.0, speed=3.0, standstill=2.0, seed=1)
    stands = (np.diff(path.poses, axis=0) == 0.0).all(axis=(1, 2))
    # One run of 20 equal steps, in the middle.
    first, last = np.flatnonzero(stands)[[0, -1]]
    assert stands[first : last + 1].all()
    assert 19 <= stands.sum() <= 21
    assert first == pytest.approx(40, abs=1)
    assert np.diff(path.distances).max() > 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames is 0; give at least 1"),
        ({"frames": 5, "rate": 0.0}, "rate is 0.0 frames/s"),
        ({"frames": 50, "standstill": 5.0}, "standstill is 5.0 s in a recording of 5 s"),
        ({"frames": 50, "standstill": -1.0}, "standstill is -1.0 s"),
    ],
)
def test_impossible_paths(options, message):
    with pytest.raises(ValueError, match=message):
        camera_path(straight_route(10.0), **options)


def moving_pixels(world: World, pose: np.ndarray, time: float) -> np.ndarray:
    """Pixels that see a moving object, by the difference to the world without."""
    bare = dataclasses.replace(world, movers=())
    with_movers = render_frame(world, pose, CAMERA, time).depth
    return ~np.isclose(with_movers, render_frame(bare, pose, CAMERA, time).depth, equal_nan=True)


def test_what_drives_ahead_keeps_its_place_in_the_image():
    world = empty_world()
    path = camera_path(world.route, 40, speed=6.0, standstill=1.0, sway=0.0)
    world = add_moving_objects(world, path, 1, seed=3)
    masks = [moving_pixels(world, path.poses[k], path.times[k]) for k in (0, 7, 20, 39)]
    assert 30 < masks[0].sum() < masks[0].size / 2
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    frames = [render_frame(world, path.poses[k], CAMERA, path.times[k]) for k in (0, 39)]
    inside = masks[0] & np.roll(masks[0], 1, 0) & np.roll(masks[0], -1, 0)
    inside &= np.roll(masks[0], 1, 1) & np.roll(masks[0], -1, 1)
    # It looks the same there too, to rounding, while the ground has passed below.
    same = np.abs(frames[0].image.astype(int) - frames[1].image)[inside]
    assert np.quantile(same, 0.95) <= 2
    ground = ~masks[0] & np.isfinite(frames[0].depth)
    assert np.abs(frames[0].image.astype(int) - frames[1].image)[ground].mean() > 5.0


def test_what_drives_ahead_turns_round_in_more_than_a_frame():
    """The route turns back at its end."""
    there = np.column_stack([np.arange(0.0, 12.1, 0.25), np.zeros(49)])
    there_and_back = Route(np.concatenate([there, there[::-1] + np.array([0.0, 0.05])]))
    world = dataclasses.replace(empty_world(), route=there_and_back)
    path = camera_path(there_and_back, 60, speed=3.0, sway=0.0)
    (mover,) = add_moving_objects(world, path, 1, seed=3).movers
    change = np.abs(np.diff(mover.yaws))
    assert abs(mover.yaws[-1] - mover.yaws[0]) == pytest.approx(np.pi, abs=1e-6)
    assert change.max() == pytest.approx(np.radians(120.0) * 0.1)
    assert np.ptp(mover.positions[:, 0]) > 3.0


def test_who_crosses_passes_from_one_side_to_the_other_during_the_standstill():
    world = empty_world()
    path = camera_path(world.route, 100, speed=6.0, standstill=4.0, sway=0.0)
    world = add_moving_objects(world, path, 2, seed=3)
    only = dataclasses.replace(world, movers=world.movers[1:])
    columns = []
    for k in (44, 50, 56):
        assert (path.poses[k] == path.poses[50]).all()
        mask = moving_pixels(only, path.poses[k], path.times[k])
        assert mask.any()
        columns.append(np.flatnonzero(mask.any(axis=0)).mean())
    assert columns[1] == pytest.approx(CAMERA.cx, abs=4.0)
    assert abs(columns[2] - columns[0]) > 15.0
    assert (columns[0] - columns[1]) * (columns[2] - columns[1]) < 0.0


def test_what_comes_towards_the_camera_comes_nearer_on_the_other_side():
    world = empty_world()
    path = camera_path(world.route, 60, speed=6.0, sway=0.0)
    world = add_moving_objects(world, path, 3, seed=3)
    only = dataclasses.replace(world, movers=world.movers[2:])
    nearest, columns = [], []
    for k in (0, 10, 20):
        mask = moving_pixels(only, path.poses[k], path.times[k])
        depth = render_frame(only, path.poses[k], CAMERA, path.times[k]).depth
        nearest.append(depth[mask].min())
        columns.append(np.flatnonzero(mask.any(axis=0)).mean())
    # It closes in by 6 m/s of the camera and 0.7 times the usual 8 m/s of its own.
    np.testing.assert_allclose(np.diff(nearest), -(6.0 + 0.7 * 8.0), atol=0.3)
    assert max(columns) < CAMERA.cx  # on the left


def test_objects_differ_by_the_seed_and_not_by_chance():
    world = sample_world(2, "room", 20.0)
    path = camera_path(world.route, 50, speed=0.8)
    first, second, other = (add_moving_objects(world, path, 5, seed) for seed in (1, 1, 2))
    assert len(first.movers) == 5
    for one, two in zip(first.movers, second.movers, strict=True):
        np.testing.assert_array_equal(one.faces.material, two.faces.material)
        np.testing.assert_array_equal(one.positions, two.positions)
    assert not np.array_equal(first.movers[0].faces.material, other.movers[0].faces.material)


def test_in_a_room_people_stay_inside():
    for seed in range(6):
        world = sample_world(seed, "room", 20.0)
        path = camera_path(world.route, 100, speed=MANNERS["room"].speed, seed=seed)
        world = add_moving_objects(world, path, 6, seed)
        walls = np.abs(world.faces.center[:4, :2]).max(axis=0)
        for mover in world.movers:
            assert (np.abs(mover.positions[:, :2]) < walls - 0.3).all()


def test_a_negative_count_is_refused():
    world = empty_world()
    with pytest.raises(ValueError, match="count is -1"):
        add_moving_objects(world, camera_path(world.route, 5), -1)


def rotations_per_frame(path):
    """Degrees."""
    turn = path.poses[:, :3, :3]
    cosine = 0.5 * (np.einsum("nij,nij->n", turn[1:], turn[:-1]) - 1.0)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_camera_turns_faster_than_a_robot_does(layout):
    manner = MANNERS[layout]
    for seed in range(9300, 9308):
        world = sample_world(seed, layout, 8.4 * manner.speed + 30.0, manner.height)
        plain = camera_path(
            world.route, 70, 10.0, manner.speed, height=manner.height, pitch=5.0, seed=seed
        )
        # 60° per second, and a little for the nodding.
        assert rotations_per_frame(plain).max() < 6.5, seed
        take = draw_take(seed, 64, 48, layout)
        around = camera_path(
            world.route, 70, 10.0, take.speed, height=take.height, pitch=take.pitch,
            sway=take.sway, seed=seed, roll=take.roll, aside=take.aside, gaze=take.gaze,
        )  # fmt: skip
        assert rotations_per_frame(around).max() < 13.0, seed


def test_a_camera_turns_back_on_the_spot_at_a_robots_pace():
    there = np.linspace(0.0, 3.0, 151)
    back = np.concatenate([there, there[-2::-1]])
    route = Route(np.column_stack([back, np.zeros(301)]))
    path = camera_path(route, 100, rate=10.0, speed=0.6, sway=0.0)
    turned = rotations_per_frame(path)
    # 180° at 60° per second.
    assert np.count_nonzero(turned > 1.0) in (30, 31)
    np.testing.assert_allclose(turned.sum(), 180.0, atol=1e-6)
    # Straight ahead it keeps its speed, before and after.
    steps = np.diff(path.distances)
    np.testing.assert_allclose(steps[:48], 0.06, rtol=1e-9)
    np.testing.assert_allclose(steps[-15:], 0.06, rtol=1e-9)
