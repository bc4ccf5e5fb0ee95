# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places for the synthetic worlds, drawn at random, each by its own function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.city import city
from training.worlds.scenes.close_up import hall, tabletop
from training.worlds.scenes.interiors import corridor, home, kitchen
from training.worlds.scenes.outdoors import highway, yard
from training.worlds.scenes.props import (
    bricks,
    car,
    crates,
    cupboard,
    desk,
    door,
    dull,
    fence,
    floorboards,
    grass,
    gravel,
    house,
    hut,
    lamp_post,
    low_wall,
    plant,
    posters,
    rocks,
    shelf,
    sofa,
    table_with_chairs,
    tiles,
    tree,
    wallpaper,
)
from training.worlds.world import (
    Box,
    Light,
    Material,
    Road,
    Route,
    Sky,
    World,
    box_faces,
    ground_face,
    join_faces,
)

#: Kinds of places that :func:`sample_world` can draw.
LAYOUTS = (
    "street",
    "room",
    "open",
    "home",
    "kitchen",
    "corridor",
    "highway",
    "yard",
    "city",
    "hall",
    "tabletop",
)

_OTHERS = {
    "home": home,
    "kitchen": kitchen,
    "corridor": corridor,
    "highway": highway,
    "yard": yard,
    "city": city,
    "hall": hall,
    "tabletop": tabletop,
}
_ROUTE_STEP = 0.02  # metres between the points of a route
_AHEAD = 160.0  # metres of street and scenery beyond the end of the route


def sample_world(
    seed: int, layout: str = "random", length: float = 100.0, height: float = 1.2
) -> World:
    """Draw a place at random.

    Parameters
    ----------
    seed : int
        The same seed gives the same world.
    layout : str
        One of :data:`LAYOUTS`, or "random" for one of them.
    length : float
        Metres of route that the world shall have; a room's route goes round as often as needed.
    height : float
        Height of the camera, in metres: the route of a home, a kitchen, a corridor and a yard is
        clear of what reaches that high, and goes above what is lower.

    Returns
    -------
    World
        Without moving objects.

    Raises
    ------
    ValueError
        If the layout is unknown, or the seed or the length negative.
    """
    if seed < 0:
        raise ValueError(f"sample_world: seed is {seed}; give 0 or more")
    if not 0.0 <= length < np.inf:
        raise ValueError(f"sample_world: length is {length} m; give 0 or more")
    rng = np.random.default_rng(seed)
    if layout == "random":
        layout = pick_layout(seed)
    if layout == "street":
        return _street(rng, length)
    if layout == "room":
        return _room(rng, length)
    if layout == "open":
        return _open(rng, length)
    if layout in _OTHERS:
        return _OTHERS[layout](rng, length, height)
    raise ValueError(f"sample_world: layout is '{layout}'; give {', '.join(LAYOUTS)} or random")


def pick_layout(seed: int) -> str:
    """Draw one of :data:`LAYOUTS`, the one that ``layout="random"`` stands for."""
    return LAYOUTS[np.random.default_rng([seed, 1]).integers(len(LAYOUTS))]


def _street(rng: Generator, length: float) -> World:
    """Lay out houses, trees and parked cars on both sides of a winding street."""
    waves = (
        (rng.uniform(2.0, 5.0), rng.uniform(90.0, 140.0), rng.uniform(0.0, 6.28)),
        (rng.uniform(0.5, 1.2), rng.uniform(40.0, 60.0), rng.uniform(0.0, 6.28)),
    )
    road = Road(
        rng.uniform(5.2, 6.0), rng.uniform(1.8, 3.0), waves, asphalt=dull(rng, 0.24, 0.38, 0.02)
    )
    kerb = road.half_width + road.pavement
    boxes: list[Box] = []
    for side in (-1.0, 1.0):
        at = -25.0
        while at < length + _AHEAD:
            width, depth = rng.uniform(8.0, 17.0), rng.uniform(8.0, 13.0)
            front = kerb + rng.choice([0.2, rng.uniform(1.0, 4.0)])
            if rng.random() < 0.85:
                parts, lateral = house(rng, width, depth), front + depth / 2
            else:
                parts, lateral = fence(rng, width), front
            boxes += road.placed(parts, at + width / 2, side * lateral)
            at += width + rng.choice([0.0, 0.0, rng.uniform(1.5, 7.0)])
        for at in np.arange(-10.0, length + _AHEAD / 2, 7.0) + rng.uniform(0.0, 3.0):
            kind = rng.random()
            if kind < 0.4:
                boxes += road.placed(tree(rng), at, side * (kerb - 0.9))
            elif kind < 0.7:
                boxes += road.placed(lamp_post(rng), at, side * (kerb - 0.5))
            elif kind < 0.85:
                boxes += road.placed(crates(rng), at, side * (kerb - 0.8))
            if rng.random() < 0.45:
                turn = (0.0 if side < 0 else np.pi) + rng.normal(0.0, 0.02)
                parked = car(rng, rng.uniform(3.8, 5.2))
                boxes += road.placed(parked, at + 3.0, side * (road.half_width - 1.1), turn)

    # Drive on the right.
    route = road.lane(length, -0.33 * road.half_width, _ROUTE_STEP)
    ground = grass(rng) if rng.random() < 0.5 else gravel(rng)
    return _outdoors(rng, boxes, ground, route, "street", road)


def _open(rng: Generator, length: float) -> World:
    """Scatter trees, rocks, crates, walls and huts over open ground."""
    distance = np.arange(0.0, length + 1.0, _ROUTE_STEP)
    heading = np.zeros_like(distance)
    for wavelength in (rng.uniform(22.0, 35.0), rng.uniform(50.0, 80.0)):
        phase = 2.0 * np.pi * distance / wavelength + rng.uniform(0.0, 6.28)
        heading += rng.uniform(0.25, 0.5) * np.sin(phase)
    steps = _ROUTE_STEP * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    route = Route(np.cumsum(steps, axis=0))
    boxes: list[Box] = []
    makers = (tree, tree, rocks, rocks, crates, hut, low_wall, tree)
    count = int(1.1 * (length + _AHEAD))
    ahead = rng.uniform(-20.0, length + _AHEAD, count)
    # Dense near the route, thinner away from it.
    aside = rng.choice([-1.0, 1.0], count) * (2.2 + 45.0 * rng.random(count) ** 1.7)
    points, headings = route.at(ahead)
    for (x, y), angle, lateral in zip(points, headings, aside, strict=True):
        parts = makers[rng.integers(len(makers))](rng)
        where = np.array([x - lateral * np.sin(angle), y + lateral * np.cos(angle)])
        size = max(max(part.size[:2]) / 2 + np.hypot(*part.center[:2]) for part in parts)
        if np.hypot(*(route.points[::25] - where).T).min() < size + 1.2:
            continue
        turn = rng.uniform(0.0, 6.28)
        boxes.extend(part.moved((*where, 0.0), turn) for part in parts)
    boxes += _hills(rng, route)
    return _outdoors(rng, boxes, grass(rng), route, "open")


def _hills(rng: Generator, route: Route) -> list[Box]:
    """Close the view with hills on both sides of a route and across its end."""
    end = route.length + _AHEAD
    along = np.arange(-60.0, end, 26.0)
    across = np.arange(-90.0, 91.0, 26.0)
    places = [(x, side) for x in along for side in (-1.0, 1.0)]
    spots = [(x, side * rng.uniform(75.0, 120.0)) for x, side in places]
    spots += [(end + rng.uniform(-20.0, 20.0), y) for y in across]
    points, headings = route.at(np.array([x for x, _ in spots]))
    boxes = []
    for (x, y), angle, (_, lateral) in zip(points, headings, spots, strict=True):
        size = rng.uniform(18.0, 34.0)
        where = (x - lateral * np.sin(angle), y + lateral * np.cos(angle), -0.3 * size)
        if np.hypot(*(route.points[::50] - where[:2]).T).min() < 1.6 * size:
            continue
        rock = Material(
            dull(rng, 0.25, 0.45), dull(rng, 0.2, 0.3), mottle=0.8, contrast=0.4,
            grain=(9.0, 9.0),
        )  # fmt: skip
        tilt = (rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9))
        boxes.append(Box(where, (size, 1.6 * size, size), rock, rng.uniform(0.0, 6.28), tilt))
    return boxes


def _outdoors(
    rng: Generator,
    boxes: Sequence[Box],
    ground: Material,
    route: Route,
    layout: str,
    road: Road | None = None,
) -> World:
    """Put ground, weather and light around what was built."""
    seed = int(rng.integers(2**31))
    clouds = rng.uniform(0.1, 0.9)
    azimuth, elevation = rng.uniform(0.0, 6.28), rng.uniform(0.5, 1.2)
    direction = (
        float(np.cos(azimuth) * np.cos(elevation)),
        float(np.sin(azimuth) * np.cos(elevation)),
        float(np.sin(elevation)),
    )
    warmth = rng.uniform(-0.05, 0.08)
    sky = Sky(
        horizon=(0.78 + warmth, 0.82, 0.86 - warmth),
        zenith=(0.30 + warmth, 0.48 + warmth, rng.uniform(0.68, 0.9)),
        clouds=clouds,
        visibility=rng.uniform(250.0, 700.0),
        seed=seed + 1,
    )
    # Under clouds there is less sun and more light from all sides.
    light = Light(direction, ambient=0.45 + 0.25 * clouds, diffuse=0.65 - 0.35 * clouds)
    faces = join_faces([ground_face(ground, seed), box_faces(boxes, seed)])
    return World(faces, route, light, sky, road, layout=layout)


def _room(rng: Generator, length: float) -> World:
    """Furnish a room along its walls and in its middle; the route goes round between them."""
    size = (rng.uniform(9.0, 13.0), rng.uniform(7.5, 10.0), rng.uniform(2.5, 3.3))
    wall = wallpaper(rng)
    floor = floorboards(rng) if rng.random() < 0.6 else tiles(rng)
    ceiling = Material(dull(rng, 0.7, 0.85, 0.03), (0.5, 0.5, 0.5), (1.2, 0.6), (0.97, 0.95))
    shell = box_faces(
        [Box((0.0, 0.0, size[2] / 2), size, wall, top=ceiling)], int(rng.integers(2**31)), True
    )
    shell.material[5] = floor.row((size[0], size[1]))  # the face at −z

    boxes: list[Box] = []
    makers = (shelf, shelf, cupboard, cupboard, sofa, desk, desk, plant, door, posters)
    for side in range(4):
        turn = side * np.pi / 2
        along, away = (size[0], size[1]) if side % 2 == 0 else (size[1], size[0])
        x = -along / 2 + rng.uniform(0.1, 0.6)
        while True:
            width, parts = makers[rng.integers(len(makers))](rng)
            if x + width > along / 2 - 0.1:
                break
            # Built facing +y with their backs at y = 0: stand them against the wall, then turn.
            for part in parts:
                boxes.append(
                    part.moved((x + width / 2, -away / 2, 0.0)).moved((0.0, 0.0, 0.0), turn)
                )
            x += width + rng.uniform(0.1, 0.9)
    boxes += _middle(rng, size)
    lamp = Material((1.0, 1.0, 0.95), (0.6, 0.6, 0.6), (0.6, 0.6), (0.9, 0.9), contrast=0.05)
    boxes += [
        Box((x, 0.0, size[2] - 0.03), (1.2, 0.6, 0.06), lamp)
        for x in np.arange(-size[0] / 2 + 1.5, size[0] / 2 - 1.0, 2.5)
    ]

    radius = np.array([size[0] / 2 - 2.1, size[1] / 2 - 1.9])
    angle = np.linspace(0.0, 2.0 * np.pi, 4000, endpoint=False) + rng.uniform(0.0, 6.28)
    wobble = 1.0 + 0.05 * np.sin(3.0 * angle + rng.uniform(0.0, 6.28))
    lap = radius * (wobble * np.stack([np.cos(angle), np.sin(angle)])).T
    if rng.random() < 0.5:
        lap = lap[::-1]
    laps = int(np.ceil((length + 5.0) / Route(lap).length))
    route = Route(np.concatenate([lap] * laps))

    light = Light((0.30, 0.42, 0.857), ambient=rng.uniform(0.5, 0.75), diffuse=0.35)
    sky = Sky(visibility=1e4, range=100.0)
    faces = join_faces([shell, box_faces(boxes, int(rng.integers(2**31)))])
    return World(faces, route, light, sky, layout="room")


def _middle(rng: Generator, size: tuple[float, float, float]) -> list[Box]:
    """Furnish the middle of a room: a table with chairs, a pillar, or piles of crates."""
    kind = rng.integers(3)
    if kind == 0:
        return table_with_chairs(rng, min(2.0, 0.8 * size[0] - 5.1), min(1.0, 0.8 * size[1] - 4.8))
    if kind == 1:
        return [Box((0.0, 0.0, size[2] / 2), (0.6, 0.6, size[2]), bricks(rng, 0.24))]
    return [
        part.moved((x, rng.normal(0.0, 0.3), 0.0)) for x in (-0.8, 0.2, 0.9) for part in crates(rng)
    ]
