# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The data of the synthetic worlds, and the places drawn from a seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from training.worlds.scenes.layouts import LAYOUTS, pick_layout, sample_world
from training.worlds.world import (
    Box,
    Faces,
    Material,
    Mover,
    Road,
    Route,
    World,
    box_faces,
    straight_route,
)

PLAIN = Material((0.5, 0.5, 0.5))


def corners(faces: Faces) -> np.ndarray:
    """All corners of all faces, (F, 4, 3)."""
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    return (
        faces.center[:, None]
        + (signs[:, 0] * faces.half[:, :1])[..., None] * faces.axis_a[:, None]
        + (signs[:, 1] * faces.half[:, 1:])[..., None] * faces.axis_b[:, None]
    )


def test_faces_of_a_box_are_its_sides():
    box = Box((4.0, -2.0, 3.0), (2.0, 1.0, 0.5), PLAIN, yaw=0.7, tilt=(0.3, -0.4))
    faces = box_faces([box], seed=0)
    assert faces.center.shape == (6, 3)
    # In the box's own frame all corners are at (±1, ±0.5, ±0.25), three faces meeting in each.
    local = (corners(faces) - box.center) @ box.rotation()
    np.testing.assert_allclose(np.abs(local), np.broadcast_to([1.0, 0.5, 0.25], (6, 4, 3)))
    _, count = np.unique(np.round(local.reshape(-1, 3), 6), axis=0, return_counts=True)
    assert count.tolist() == [3] * 8
    # Normals are unit vectors away from the middle, square to both axes.
    outward = np.einsum("fk,fk->f", faces.normal, faces.center - np.array(box.center))
    np.testing.assert_allclose(outward, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25])
    for axis in (faces.axis_a, faces.axis_b):
        np.testing.assert_allclose(np.einsum("fk,fk->f", faces.normal, axis), 0.0, atol=1e-12)
    inward = box_faces([box], seed=0, inward=True)
    np.testing.assert_array_equal(inward.normal, -faces.normal)


def test_a_box_turns_about_the_vertical_as_its_faces_do():
    box = Box((1.0, 2.0, 0.5), (1.0, 2.0, 1.0), PLAIN, yaw=0.2, tilt=(0.5, 0.1))
    moved = box_faces([box.moved((3.0, -1.0, 0.0), yaw=1.1)], seed=5)
    expected = box_faces([box], seed=5).moved(np.array([3.0, -1.0, 0.0]), 1.1)
    for field in dataclasses.fields(Faces):
        np.testing.assert_allclose(
            getattr(moved, field.name), getattr(expected, field.name), atol=1e-12
        )
    # A quarter turn to the left takes x to y.
    quarter = Box((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), PLAIN).moved((0.0, 0.0, 0.0), np.pi / 2)
    np.testing.assert_allclose(quarter.center, (0.0, 1.0, 0.0), atol=1e-12)


def test_cells_are_fitted_to_the_face():
    material = Material((0.5, 0.5, 0.5), cell=(0.3, 10.0))
    row = material.row((1.0, 2.0))
    assert row[6:8] == [pytest.approx(1.0 / 3.0), 2.0]  # three whole cells, and one
    assert material.row((np.inf, np.inf))[6:8] == [0.3, 10.0]


def test_route_on_a_circle():
    angle = np.linspace(0.0, 1.5 * np.pi, 20_000)
    route = Route(5.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert route.length == pytest.approx(5.0 * 1.5 * np.pi, rel=1e-6)
    distance = np.array([1.0, 10.0, 20.0])
    points, headings = route.at(distance)
    expected = distance / 5.0
    np.testing.assert_allclose(
        points, 5.0 * np.stack([np.cos(expected), np.sin(expected)], axis=1), atol=1e-5
    )
    # Counter-clockwise the heading is a right angle ahead, and does not jump at ±π.
    np.testing.assert_allclose(headings, expected + np.pi / 2, atol=1e-3)


def test_route_goes_straight_on_beyond_its_ends():
    points, headings = straight_route(10.0, start=(1.0, 2.0)).at(np.array([-3.0, 4.0, 15.0]))
    np.testing.assert_allclose(points, [[-2.0, 2.0], [5.0, 2.0], [16.0, 2.0]])
    np.testing.assert_allclose(headings, 0.0)


def test_road_measures_the_distance_to_its_centre_line():
    road = Road(5.0, 2.0, ((4.0, 110.0, 0.3), (1.0, 50.0, 2.0)))
    line = np.linspace(-50.0, 150.0, 400_001)
    center, _ = road.center(line)
    for x, y in ((10.0, 3.0), (40.0, -6.0), (70.0, 5.0), (33.0, 0.0)):
        nearest = np.hypot(line - x, center - y).min()
        above = np.sign(y - road.center(np.array(x))[0])
        # To first order: within a few per cent of the width of a street.
        assert road.lateral(np.array(x), np.array(y)) == pytest.approx(above * nearest, abs=0.15)


def test_mover_is_between_its_times_and_waits_outside():
    faces = box_faces([Box((0.0, 0.0, 0.5), (1.0, 1.0, 1.0), PLAIN)], seed=0)
    mover = Mover(
        faces,
        np.array([1.0, 3.0]),
        np.array([[0.0, 0.0, 0.0], [4.0, 2.0, 0.0]]),
        np.array([0.0, 1.0]),
    )
    middle = mover.at(2.0)
    np.testing.assert_allclose(middle.center.mean(axis=0), [2.0, 1.0, 0.5])
    np.testing.assert_allclose(middle.normal[0], [np.cos(0.5), np.sin(0.5), 0.0], atol=1e-12)
    np.testing.assert_array_equal(mover.at(0.0).center, mover.at(1.0).center)
    np.testing.assert_array_equal(mover.at(9.0).center, mover.at(3.0).center)


def same(first: World, second: World) -> bool:
    return all(
        np.array_equal(getattr(first.faces, field.name), getattr(second.faces, field.name))
        for field in dataclasses.fields(Faces)
    ) and np.array_equal(first.route.points, second.route.points)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_worlds_follow_the_seed(layout):
    first = sample_world(3, layout, 30.0)
    assert same(first, sample_world(3, layout, 30.0))
    assert not same(first, sample_world(4, layout, 30.0))
    assert first.layout == layout


@pytest.mark.parametrize("layout", ["street", "room", "open"])
@pytest.mark.parametrize("seed", range(4))
def test_the_route_is_long_enough_and_free(layout, seed):
    world = sample_world(seed, layout, 40.0)
    assert world.route.length >= 40.0
    # No corner or side of anything higher than a kerb comes near the route up to a camera's height.
    points, _ = world.route.at(np.arange(0.0, 40.0, 0.5))
    upright = np.abs(world.faces.normal[:, 2]) < 0.5
    faces = world.faces.take(upright)
    share = np.linspace(-1.0, 1.0, 9)
    a, b = (grid.ravel() for grid in np.meshgrid(share, share))
    samples = (
        faces.center[:, None]
        + (a * faces.half[:, :1])[..., None] * faces.axis_a[:, None]
        + (b * faces.half[:, 1:])[..., None] * faces.axis_b[:, None]
    ).reshape(-1, 3)
    low = samples[(samples[:, 2] > 0.1) & (samples[:, 2] < 1.6), :2]
    distance = np.hypot(*(low[:, None] - points).transpose(2, 0, 1)).min()
    assert distance > {"street": 1.0, "room": 0.4, "open": 0.6}[layout]


def test_random_layout_is_one_of_them():
    drawn = {pick_layout(seed) for seed in range(150)}
    assert drawn == set(LAYOUTS)
    world = sample_world(7, "random", 10.0)
    assert world.layout == pick_layout(7)
    assert same(world, sample_world(7, pick_layout(7), 10.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "harbour"), "layout is 'harbour'; give street, room, open, .* or random"),
        ((-1, "room"), "seed is -1"),
        ((0, "room", -2.0), "length is -2.0 m"),
        ((0, "room", float("inf")), "length is inf m"),
    ],
)
def test_unusable_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_world(*arguments)
