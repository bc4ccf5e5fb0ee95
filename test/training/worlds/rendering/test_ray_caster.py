# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ray caster against closed forms, a plain slab intersection, and its own larger pictures."""

from __future__ import annotations

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.worlds.rendering.ray_caster import render_frame
from training.worlds.rendering.textures import _pulse, grain
from training.worlds.scenes.layouts import sample_world
from training.worlds.world import (
    Box,
    Light,
    Material,
    Mover,
    Sky,
    World,
    box_faces,
    ground_face,
    join_faces,
    straight_route,
)

GREY = Material((0.5, 0.5, 0.5), contrast=0.3)
WHITE = Material((1.0, 1.0, 1.0), contrast=0.0)
#: No shading, no haze: surfaces have exactly their material's colour.
BARE = {"light": Light(ambient=1.0, diffuse=0.0), "sky": Sky(visibility=1e9, clouds=0.0)}


def make_camera(width: int = 80, height: int = 60, focal: float = 50.0) -> PinholeCamera:
    return PinholeCamera(width, height, focal, 1.1 * focal, 0.45 * width, 0.55 * height)


def make_world(boxes: list[Box], ground: Material | None = GREY, **options) -> World:
    parts = [ground_face(ground, 1)] if ground else []
    parts += [box_faces(boxes, 2)] if boxes else []
    return World(
        join_faces(parts), straight_route(10.0), **{"light": Light(), "sky": Sky()} | options
    )


def look(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    """World from optical frame, from the directions in which the camera's axes point."""
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = x, y, z
    return pose


def rays(camera: PinholeCamera, pose: np.ndarray) -> np.ndarray:
    """Directions in the world of all pixels' rays, (H, W, 3), one unit along the optical axis."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    local = np.stack(
        [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1
    )
    return local @ pose[:3, :3].T


def slab_depth(box: Box, directions: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Depth at which rays enter a box, inf where they pass, by the slab method in float64."""
    rotation = box.rotation()
    start, way = (origin - np.array(box.center)) @ rotation, directions @ rotation
    half = 0.5 * np.array(box.size)
    with np.errstate(divide="ignore"):
        first, second = (-half - start) / way, (half - start) / way
    entry = np.minimum(first, second).max(axis=-1)
    leave = np.maximum(first, second).min(axis=-1)
    return np.where((entry <= leave) & (entry > 0.0), entry, np.inf)


@pytest.mark.parametrize("yaw", [0.0, 2.2])
@pytest.mark.parametrize("pitch", [0.0, 0.2, -0.1])
def test_ground_depth_has_its_closed_form(yaw, pitch):
    camera = make_camera()
    height = 1.3
    pose = look(200.0, -30.0, height, yaw, pitch)
    depth = render_frame(make_world([]), pose, camera).depth
    # A row v sees the ground at z = h / (cos p · (v − cy) / fy + sin p), whatever the column.
    v = np.arange(camera.height)
    down = np.cos(pitch) * (v - camera.cy) / camera.fy + np.sin(pitch)
    with np.errstate(divide="ignore"):
        expected = np.where(down > 0.0, height / down, np.inf)
    seen = expected < 250.0
    assert 10 < seen.sum() < camera.height
    np.testing.assert_allclose(
        depth[seen], np.broadcast_to(expected[seen, None], depth[seen].shape), rtol=2e-5
    )
    assert np.isposinf(depth[~seen]).all()


def test_a_frontal_box_has_one_depth_and_the_extent_of_its_projection():
    camera = make_camera()
    box = Box((6.0, 0.5, 1.0), (2.0, 3.1, 1.5), GREY)
    depth = render_frame(make_world([box], ground=None), look(0.0, 0.0, 1.0), camera).depth
    # The face is at x = 5, y from −1.05 to 2.05 (to the left), z from 0.25 to 1.75.
    v, u = np.mgrid[: camera.height, : camera.width]
    x, y = (u - camera.cx) / camera.fx * 5.0, (v - camera.cy) / camera.fy * 5.0
    inside = (x > -2.05) & (x < 1.05) & (np.abs(y) < 0.75)
    assert 100 < inside.sum() < inside.size / 2
    np.testing.assert_allclose(depth[inside], 5.0, rtol=1e-6)
    # Only the face that looks at the camera can be seen, so all around is sky.
    assert np.isposinf(depth[~inside]).all()


@pytest.mark.parametrize("seed", range(5))
def test_depth_of_many_boxes_agrees_with_the_slab_method(seed):
    rng = np.random.default_rng(seed)
    camera = make_camera(96, 64)
    boxes = [
        Box(
            tuple(rng.uniform([2.0, -8.0, 0.0], [25.0, 8.0, 3.0])),
            # Some of a few pixels, some large.
            tuple(rng.uniform(0.2, 3.0) * rng.uniform(0.5, 1.0, 3)),
            GREY,
            yaw=rng.uniform(0.0, 6.0),
            tilt=tuple(rng.uniform(-1.0, 1.0, 2)),
        )
        for _ in range(60)
    ]
    # One next to the camera and partly behind it.
    boxes.append(Box((0.0, -1.5, 1.0), (8.0, 1.0, 2.0), GREY))
    pose = look(0.1, 0.2, 1.4, yaw=0.1, pitch=0.05)
    depth = render_frame(make_world(boxes), pose, camera).depth
    directions = rays(camera, pose)
    every = [slab_depth(box, directions, pose[:3, 3]) for box in boxes]
    with np.errstate(divide="ignore"):
        ground = -pose[2, 3] / directions[..., 2]
    every.append(np.where(ground > 0.0, ground, np.inf))
    expected = np.min(every, axis=0)
    expected[expected > 250.0] = np.inf
    known = np.isfinite(expected)
    agree = np.isclose(depth, expected, rtol=1e-4)
    # A ray through the very edge of a box may fall to either side.
    assert agree.mean() > 0.998
    assert 0.5 < known.mean() < 1.0
    assert len(np.unique(np.argmin(every, axis=0))) > 15


def test_the_room_is_closed():
    world = sample_world(2, "room", 5.0)
    for yaw in (0.0, 1.7, 3.9):
        (x, y), _ = world.route.at(np.array(2.0))
        depth = render_frame(world, look(x, y, 1.2, yaw), make_camera()).depth
        assert np.isfinite(depth).all()
        assert depth.min() > 0.05 and depth.max() < 20.0


def test_light_falls_by_the_normal():
    box = Box((6.0, 0.0, 1.0), (2.0, 2.0, 2.0), WHITE)
    camera = make_camera()
    sun = Light((-0.6, 0.0, 0.8), ambient=0.2, diffuse=0.5)
    world = make_world([box], None, light=sun, sky=Sky(visibility=1e9))
    image = render_frame(world, look(0.0, 0.0, 1.0), camera).image
    assert image[33, 36].tolist() == [round(255 * (0.2 + 0.5 * 0.6))] * 3
    behind = render_frame(world, look(12.0, 0.0, 1.0, np.pi), camera).image
    assert behind[33, 36].tolist() == [round(255 * 0.2)] * 3


def test_the_sky_is_bluer_above_and_hazy_at_the_horizon():
    sky = Sky(clouds=0.0)
    image = render_frame(make_world([], sky=sky), look(0.0, 0.0, 1.5), make_camera()).image
    assert np.all(np.diff(image[:30, 40, 0].astype(int)) >= 0)
    horizon = np.array(sky.horizon) * 255
    np.testing.assert_allclose(image[31, 40], horizon, atol=30)


def test_outlines_mix_the_colours_by_their_share():
    # A black box before a white one; its left edge is at a fraction of a pixel.
    camera = PinholeCamera(40, 20, 40.0, 40.0, 19.5, 9.5)
    black = Material((0.0, 0.0, 0.0), contrast=0.0)
    for fraction in (0.25, 0.5, 0.75):
        # The left edge cuts pixel 10 so that `fraction` of it is black.
        edge = -(10.5 - fraction - camera.cx) / camera.fx * 4.0
        boxes = [
            Box((5.0, edge - 5.0, 1.0), (2.0, 10.0, 20.0), black),
            Box((9.0, 0.0, 1.0), (2.0, 40.0, 40.0), WHITE),
        ]
        world = make_world(boxes, None, **BARE)
        pose = look(0.0, 0.0, 1.0)
        smooth = render_frame(world, pose, camera, antialias=4).image
        np.testing.assert_allclose(smooth[:, 10], 255 * (1 - fraction), atol=1.0)
        assert (smooth[:, 9] == 255).all() and (smooth[:, 11] == 0).all()
        # Without it every pixel has one colour or the other.
        hard = render_frame(world, pose, camera, antialias=1).image
        assert set(np.unique(hard)) == {0, 255}


def test_antialiasing_leaves_the_depth_and_the_inside_of_faces():
    world = sample_world(1, "street", 20.0)
    (x, y), yaw = world.route.at(np.array(5.0))
    pose = look(x, y, 1.5, float(yaw))
    hard = render_frame(world, pose, make_camera(), antialias=1)
    smooth = render_frame(world, pose, make_camera(), antialias=3)
    np.testing.assert_array_equal(hard.depth, smooth.depth)
    same = (hard.image == smooth.image).all(axis=-1)
    assert 0.5 < same.mean() < 0.98


@pytest.mark.parametrize("layout", ["street", "room", "open"])
def test_a_small_picture_is_the_mean_of_a_large_one(layout):
    """What is finer than a pixel must be filtered, not skipped."""
    world = sample_world(5, layout, 20.0)
    (x, y), yaw = world.route.at(np.array(5.0))
    pose = look(x, y, 1.4, float(yaw), 0.1)
    small = PinholeCamera(80, 60, 60.0, 60.0, 39.5, 29.5)
    large = small.resized(80 * 6, 60 * 6)
    image = render_frame(world, pose, small).image.astype(np.float64)
    fine = render_frame(world, pose, large).image.astype(np.float64)
    mean = fine.reshape(60, 6, 80, 6, 3).mean(axis=(1, 3))
    difference = np.abs(image - mean).mean()
    # Taking every sixth pixel instead is the aliased picture.
    skipped = np.abs(fine[3::6, 3::6] - mean).mean()
    assert difference < 4.5
    assert difference < 0.7 * skipped


def test_a_wave_is_averaged_exactly():
    rng = np.random.default_rng(0)
    phase = rng.random(50).astype(np.float32)
    for width in (0.01, 0.3, 0.9, 2.7):
        for fill in (0.2, 0.7, 1.0):
            wide = np.full_like(phase, width)
            result = _pulse(phase, wide, np.full_like(phase, fill))
            # The part `fill` of a period that is 1 lies in its middle.
            place = phase[:, None] + np.linspace(-0.5, 0.5, 20_001) * width
            wave = np.abs(place - np.floor(place) - 0.5) <= 0.5 * fill
            np.testing.assert_allclose(result, wave.mean(axis=1), atol=2e-3)


def test_noise_is_smooth_balanced_and_its_own_for_every_seed():
    x = np.linspace(0.0, 40.0, 200_001).astype(np.float32)
    y = np.full_like(x, 3.3)
    step = np.full_like(x, 1e-4)
    none = np.zeros_like(x)
    seeds = np.full(x.shape, 12, dtype=np.uint32)
    fine, coarse = grain(x, y, [step, none, none, step], seeds)
    for field in (fine, coarse):
        assert abs(field.mean()) < 0.15
        assert 0.15 < field.std() < 0.6
        assert np.abs(np.diff(field)).max() < 0.06
    assert abs(np.corrcoef(fine, coarse)[0, 1]) < 0.3
    other, _ = grain(x, y, [step, none, none, step], seeds + np.uint32(50))
    assert abs(np.corrcoef(fine, other)[0, 1]) < 0.2
    # A footprint of many wavelengths leaves nothing.
    far, _ = grain(x, y, [step * 1e5, none, none, step * 1e5], seeds)
    assert not far.any()


def test_moving_objects_are_where_they_are_at_the_time():
    camera = make_camera()
    faces = box_faces([Box((0.0, 0.0, 1.0), (1.0, 1.0, 2.0), GREY)], 3)
    positions = np.array([[5.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
    mover = Mover(faces, np.array([0.0, 2.0]), positions, np.zeros(2))
    world = World(ground_face(GREY, 1), straight_route(10.0), Light(), Sky(), movers=(mover,))
    for time, expected in ((0.0, 4.5), (1.0, 6.5), (5.0, 8.5)):
        depth = render_frame(world, look(0.0, 0.0, 1.0), camera, time).depth
        assert depth[33, 36] == pytest.approx(expected, rel=1e-6)


def test_antialias_has_to_be_positive():
    with pytest.raises(ValueError, match="antialias is 0; give at least 1"):
        render_frame(make_world([]), look(0.0, 0.0, 1.0), make_camera(), antialias=0)


def test_a_shining_floor_shows_what_stands_on_it():
    """Where a reflected ray meets a red board, the floor is redder than without; depth stays."""
    red, black = Material((1.0, 0.0, 0.0), contrast=0.0), Material((0.0,) * 3, contrast=0.0)
    board = Box((4.0, 0.0, 1.0), (0.02, 40.0, 0.8), red)
    camera, pose = make_camera(), look(0.0, 0.0, 0.6)
    plain = make_world([board], black, **BARE)
    shining = make_world([board], black, mirror=0.25, **BARE)
    first, second = (render_frame(world, pose, camera) for world in (plain, shining))
    np.testing.assert_array_equal(first.depth, second.depth)
    ray = rays(camera, pose)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = -0.6 / ray[..., 2]  # on the floor
        # From there the ray climbs as steeply as it fell, to x = 4.
        height = (3.99 / ray[..., 0] - at) * -ray[..., 2]
    inside = (ray[..., 2] < 0.0) & (height > 0.75) & (height < 1.25)
    cosine = np.abs(ray[..., 2]) / np.linalg.norm(ray, axis=-1)
    share = 0.7 * (0.25 + 0.75 * (1.0 - cosine) ** 5)
    assert inside.sum() > 100
    assert not first.image[inside].any()
    expected = 255.0 * share[inside]
    np.testing.assert_allclose(second.image[inside][:, 0], expected, atol=3.0)
    below = (ray[..., 2] < 0.0) & (height < 0.4) & (height > 0.1)  # under the board: the sky
    red, _, blue = second.image[below].T.astype(int)
    assert below.sum() > 50 and (red < blue).all()


def test_headlights_fade_with_the_distance():
    camera = PinholeCamera(9, 9, 400.0, 400.0, 4.0, 4.0)
    light = Light(ambient=0.1, diffuse=0.0, headlight=0.8, headlight_reach=5.0)
    for distance in (2.0, 5.0, 20.0):
        wall = Box((distance + 0.5, 0.0, 1.0), (1.0, 9.0, 9.0), WHITE)
        world = make_world([wall], None, light=light, sky=BARE["sky"])
        centre = render_frame(world, look(0.0, 0.0, 1.0), camera).image[4, 4, 0] / 255.0
        expected = 0.1 + 0.8 / (1.0 + (distance / 5.0) ** 2)
        assert centre == pytest.approx(expected, abs=0.004)
