# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lamps and their shadows, against rays met with boxes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from training.worlds.rendering.lamps import illuminate, lamp_view
from training.worlds.rendering.ray_caster import cast_shadows
from training.worlds.world import (
    Box,
    Lamp,
    Light,
    Material,
    Sky,
    World,
    box_faces,
    ground_face,
    join_faces,
    straight_route,
)

GREY = Material((0.5, 0.5, 0.5))
TABLE = Box((0.0, 0.0, 0.75), (1.2, 0.8, 0.1), GREY, yaw=0.4)


def lit_world(*lamps: Lamp, **light) -> World:
    faces = join_faces([ground_face(GREY, 1), box_faces([TABLE], 2)])
    return World(faces, straight_route(5.0), Light(lamps=lamps, **light), Sky())


def on_floor(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the floor and their normals, (3, N) each."""
    point = np.stack([x, y, np.zeros_like(x)]).astype(np.float32)
    return point, np.tile(np.array([[0.0], [0.0], [1.0]], np.float32), x.size)


@pytest.mark.parametrize("position", [(0.1, 0.2, 2.4), (1.4, -0.5, 2.2)])
def test_the_shadow_of_a_table_is_its_projection(position):
    lamp = Lamp(position, (position[0], position[1], 0.0), 1.0, math.inf)
    world = lit_world(lamp)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-2, 2, 81), np.linspace(-2, 2, 81)))
    given, _ = illuminate(world.light, *on_floor(x, y), cast_shadows(world))
    # The rays from the floor to the lamp, met with the slab z 0.7..0.8 in the table's own frame.
    start = np.stack([x, y, np.zeros_like(x)], axis=1)
    towards = np.array(position) - start
    dark = np.zeros(x.size, dtype=bool)
    for z in np.linspace(0.7, 0.8, 21):
        local = (start + z / position[2] * towards - np.array(TABLE.center)) @ TABLE.rotation()
        dark |= (np.abs(local[:, 0]) < 0.6) & (np.abs(local[:, 1]) < 0.4)
    cosine = position[2] / np.linalg.norm(towards, axis=1)
    share = given / cosine
    assert 0.02 < dark.mean() < 0.5
    # Soft at the outline, which is a few entries of the map wide.
    assert (np.abs(share - ~dark) < 0.01).mean() > 0.9
    assert np.abs(share - ~dark).mean() < 0.04


def test_light_falls_off_with_distance_and_slant():
    lamp = Lamp((3.0, 0.0, 2.0), (3.0, 0.0, 0.0), 0.8, 2.0)
    world = lit_world(lamp)
    point, normal = on_floor(np.array([3.0, 5.0]), np.array([0.0, 0.0]))
    given, _ = illuminate(world.light, point, normal, cast_shadows(world))
    # Half at the distance of the falloff; then at 2√2 m, under 45°.
    np.testing.assert_allclose(given, [0.4, 0.8 * math.sqrt(0.5) / 3.0], rtol=1e-4)
    # A face turned away gets nothing.
    given, _ = illuminate(world.light, point, -normal, cast_shadows(world))
    np.testing.assert_array_equal(given, 0.0)


def test_walls_do_not_shadow_themselves():
    lamp = Lamp((0.0, 0.0, 2.3), (0.01, 0.0, 0.0), 1.0, math.inf, spread=150.0)
    room = box_faces([Box((0.0, 0.0, 1.25), (4.0, 3.0, 2.5), GREY)], 1, inward=True)
    world = World(room, straight_route(1.0), Light(lamps=(lamp,)), Sky())
    y, z = (
        grid.ravel() for grid in np.meshgrid(np.linspace(-1.4, 1.4, 60), np.linspace(0.1, 2, 60))
    )
    point = np.stack([np.full_like(y, 2.0), y, z]).astype(np.float32)
    normal = np.tile(np.array([[-1.0], [0.0], [0.0]], np.float32), y.size)
    given, _ = illuminate(world.light, point, normal, cast_shadows(world))
    cosine = 2.0 / np.sqrt(4.0 + y * y + (2.3 - z) ** 2)
    np.testing.assert_allclose(given, cosine, rtol=1e-4)


def test_upright_faces_darken_towards_floor_and_ceiling():
    light = Light(crease=0.4, ceiling=2.5)
    z = np.array([0.0, 1.25, 2.5], np.float32)
    point = np.stack([np.zeros(3, np.float32), np.zeros(3, np.float32), z])
    wall = np.tile(np.array([[1.0], [0.0], [0.0]], np.float32), 3)
    _, left = illuminate(light, point, wall, [])
    np.testing.assert_allclose(left, [0.6, 1.0, 0.6], atol=1e-3)
    floor = np.tile(np.array([[0.0], [0.0], [1.0]], np.float32), 3)
    np.testing.assert_allclose(illuminate(light, point, floor, [])[1], 1.0)


@pytest.mark.parametrize("target", [(0.0, 0.0, 0.0), (5.0, 3.0, 2.0), (1.0, 2.0, 0.5)])
def test_the_view_of_a_lamp_looks_at_its_target(target):
    lamp = dataclasses.replace(Lamp((1.0, 2.0, 3.0), target), spread=90.0, map_size=100)
    pose, camera = lamp_view(lamp)
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    ahead = rotation.T @ (np.array(target) - pose[:3, 3])
    np.testing.assert_allclose(ahead[:2], 0.0, atol=1e-12)
    assert ahead[2] > 0.0
    assert camera.fx == pytest.approx(50.0)
