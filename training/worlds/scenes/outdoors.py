# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places of the synthetic worlds under the sky: a highway, a yard to fly about in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.clutter import drum, foliage
from training.worlds.scenes.finishes import any_color, darker, printed, smooth, tile, timber
from training.worlds.scenes.props import (
    bricks,
    car,
    crates,
    dull,
    fence,
    grass,
    gravel,
    house,
    hut,
    lamp_post,
    low_wall,
    rocks,
    tree,
)
from training.worlds.scenes.walks import stroll
from training.worlds.world import (
    Box,
    Lamp,
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

Placer = Callable[..., None]  # (metres along, metres to the left, boxes, turn)

_STEP = 0.05  # metres between the points of a route
_AHEAD = 230.0  # metres of scenery beyond the end of a route
_TRIES = 20  # yards drawn for one in which the camera can move


def highway(rng: Generator, length: float, height: float) -> World:
    """Build a wide road with several lanes, traffic, and little next to it."""
    lanes, lane = int(rng.integers(1, 5)), rng.uniform(3.2, 3.8)
    both_ways = rng.random() < 0.5
    shoulder = rng.uniform(0.6, 3.2)
    half = (lanes * (2 if both_ways else 1) * lane) / 2 + shoulder
    waves = (
        (rng.uniform(0.0, 14.0), rng.uniform(260.0, 600.0), rng.uniform(0.0, 6.28)),
        (rng.uniform(0.0, 1.5), rng.uniform(120.0, 200.0), rng.uniform(0.0, 6.28)),
    )
    inner = half - shoulder
    lines = tuple(float(y) for y in np.arange(-inner + lane, inner - 0.5 * lane, lane))
    white = dull(rng, 0.7, 0.95, 0.03)
    asphalt = dull(rng, 0.16, 0.5, 0.03)
    road = Road(
        half,
        0.0,
        waves,
        asphalt,
        white,
        dull(rng, 0.3, 0.6),
        lanes=lines,
        edge=shoulder,
        smoothness=rng.uniform(0.2, 0.95),
    )
    # Keep to the right, on any lane of one's own.
    own = -inner + (rng.integers(lanes) + 0.5) * lane
    route = road.lane(length, own, _STEP)

    end = length + _AHEAD
    boxes: list[Box] = []

    def place(at: float, lateral: float, parts: list[Box], turn: float = 0.0) -> None:
        boxes.extend(road.placed(parts, at, lateral, turn))

    # Traffic on all lanes, nobody too near on the camera's own.
    for number in range(round(2 * inner / lane)):
        lateral = -inner + (number + 0.5) * lane
        mine = abs(lateral - own) < 0.5 * lane
        at = rng.uniform(-20.0, 40.0)
        while at < end and not mine:
            turn = math.pi if both_ways and lateral > 0.0 else 0.0
            parts = truck(rng) if rng.random() < 0.15 else car(rng, rng.uniform(3.8, 5.2))
            place(at, lateral + rng.normal(0.0, 0.15), parts, turn)
            at += rng.uniform(14.0, rng.choice([35.0, 120.0]))
    for side in (-1.0, 1.0):
        _roadside(rng, side, half, end, place)
    ground = _ground(rng)
    middle_of_route = (0.5 * length, 0.0, 0.0)
    return under_the_sky(
        rng, boxes, ground, route, "highway", middle_of_route, 0.6 * length + 60.0, road
    )


def _roadside(rng: Generator, side: float, half: float, end: float, place: Placer) -> None:
    """Line a road with rails, walls, slopes, poles, signs and trees."""
    metal = smooth(rng, dull(rng, 0.35, 0.75, 0.02))
    rail = rng.random()
    edge = side * (half + rng.uniform(0.3, 1.2))
    if rail < 0.4:
        for at in np.arange(-20.0, end, 4.0):
            place(at, edge, [Box((0.0, 0.0, 0.35), (0.1, 0.1, 0.7), metal)])
            place(at + 2.0, edge, [Box((0.0, 0.0, 0.62), (4.0, 0.06, 0.3), metal)])
    elif rail < 0.6:
        concrete = Material(dull(rng, 0.45, 0.75, 0.04), (0.3, 0.3, 0.3), (4.0, 0.9), (0.99, 0.99))
        tall = rng.choice([0.85, rng.uniform(2.0, 5.0)])
        for at in np.arange(-20.0, end, 8.0):
            place(at, edge, [Box((0.0, 0.0, tall / 2), (8.05, 0.35, tall), concrete)])
    if rng.random() < 0.5:  # an embankment
        rise, bank = rng.uniform(0.1, 0.45), _ground(rng)
        for at in np.arange(-20.0, end, 20.0):
            width = 22.0
            out = half + 4.0 + 0.5 * width * math.cos(rise)
            slab = Box((0.0, 0.0, 0.5 * width * math.sin(rise) - 0.15), (20.4, width, 0.3), bank,
                       tilt=(side * rise, 0.0))  # fmt: skip
            place(at, side * out, [slab])
    if rng.random() < 0.4:
        boards = timber(rng) if rng.random() < 0.5 else smooth(rng, dull(rng, 0.3, 0.7))
        tall = rng.uniform(0.8, 2.5)
        for at in np.arange(-20.0, end, 10.0):
            place(at, side * (half + 7.0), [Box((0.0, 0.0, tall / 2), (10.0, 0.1, tall), boards)])
    spacing = rng.choice([25.0, 60.0])
    for at in np.arange(rng.uniform(-10.0, 20.0), end, spacing):
        kind, out = rng.random(), half + rng.uniform(2.0, 8.0)
        if kind < 0.3:
            tall = rng.uniform(6.0, 11.0)
            place(at, side * out, [Box((0.0, 0.0, tall / 2), (0.2, 0.2, tall), metal)])
        elif kind < 0.5:
            board = Box((0.0, 0.0, 3.0), (0.08, rng.uniform(0.6, 3.0), rng.uniform(0.6, 1.6)),
                        printed(rng))  # fmt: skip
            place(at, side * out, [Box((0.0, 0.0, 1.5), (0.1, 0.1, 3.0), metal), board])
        elif kind < 0.58:
            place(at, 0.0, gantry(rng, half + 1.0))
    trees = rng.choice([0.0, 0.02, 0.08, 0.2])
    for _ in range(int(rng.poisson(trees * end))):
        out = half + 6.0 + 40.0 * rng.random() ** 1.5
        place(rng.uniform(-20.0, end), side * out, bush(rng, rng.uniform(0.8, 3.0)))
    for at in np.arange(0.0, end + 100.0, 45.0):
        if rng.random() < 0.5:
            size = (rng.uniform(50.0, 90.0), rng.uniform(20.0, 40.0), rng.uniform(4.0, 22.0))
            lean = (rng.normal(0.0, 0.08), rng.normal(0.0, 0.1))
            hill = Box((0.0, 0.0, 0.3 * size[2]), size, _leaves(rng), rng.normal(0.0, 0.2), lean)
            place(at, side * rng.uniform(90.0, 160.0), [hill])


def truck(rng: Generator) -> list[Box]:
    """Build a lorry, heading along x."""
    length, tall = rng.uniform(6.0, 12.0), rng.uniform(2.8, 3.8)
    load = smooth(rng) if rng.random() < 0.6 else printed(rng)
    tyre = smooth(rng, (0.06, 0.06, 0.07))
    boxes = [
        Box((-1.0, 0.0, 0.9 + (tall - 0.9) / 2), (length - 2.2, 2.45, tall - 0.9), load),
        Box((length / 2 - 0.9, 0.0, 1.7), (1.8, 2.3, 2.4), smooth(rng)),
        Box((length / 2 - 0.3, 0.0, 2.2), (0.65, 2.1, 0.9), smooth(rng, (0.12, 0.14, 0.17))),
        Box((0.0, 0.0, 0.7), (length - 0.4, 1.8, 0.4), tyre),
    ]
    for x in (-0.4, -0.28, 0.36):
        boxes += [Box((x * length, y, 0.5), (1.0, 0.3, 1.0), tyre) for y in (-1.05, 1.05)]
    return boxes


def gantry(rng: Generator, half: float) -> list[Box]:
    """Build a bridge of signs, or a plain bridge, over a road along x."""
    metal, z = smooth(rng, dull(rng, 0.3, 0.7)), rng.uniform(5.5, 7.0)
    boxes = [Box((0.0, y, z / 2), (0.4, 0.4, z), metal) for y in (-half, half)]
    if rng.random() < 0.3:
        return [
            *boxes,
            Box((0.0, 0.0, z + 0.6), (8.0, 6.0 * half, 1.2), smooth(rng, dull(rng, 0.4, 0.7))),
        ]
    boxes.append(Box((0.0, 0.0, z), (0.4, 2.0 * half, 0.4), metal))
    green = Material((0.05, 0.3, 0.15), (0.9, 0.9, 0.9), (0.8, 0.7), (0.8, 0.8), contrast=0.05)
    for y in rng.uniform(-0.7, 0.7, 2) * half:
        boxes.append(Box((-0.3, float(y), z + 0.3), (0.1, rng.uniform(2.5, 5.0), 2.4), green))
    return boxes


def bush(rng: Generator, size: float) -> list[Box]:
    """Build a tree or a bush of turned leafy blocks."""
    leaves = _leaves(rng)
    tall = rng.choice([0.0, 0.8, 1.5]) * size
    boxes = []
    if tall:
        bark = smooth(rng, darker((0.4, 0.3, 0.2), rng.uniform(0.4, 1.0)))
        boxes += drum(0.07 * size + 0.03, tall + 0.5 * size, bark)
    for _ in range(int(rng.integers(4, 8))):
        x, y = rng.normal(0.0, 0.35 * size, 2)
        a, b, c = size * rng.uniform(0.5, 1.1, 3)
        lean = (rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0))
        place = (float(x), float(y), tall + size * rng.uniform(0.3, 1.0))
        boxes.append(Box(place, (a, b, c), leaves, rng.uniform(0.0, 3.14), lean))
    if size < 1.3:
        boxes += foliage(rng, 1.2 * size, 20)
    return boxes


def _leaves(rng: Generator) -> Material:
    """Draw leaves: from dark green to dry."""
    green, dry = rng.uniform(0.12, 0.4), rng.uniform(0.0, 0.8)
    color = (green * (0.5 + 0.6 * dry), green, green * rng.uniform(0.2, 0.6))
    scale = rng.uniform(0.4, 1.2)
    return Material(color, darker(color, 0.4), mottle=0.8, contrast=0.55, grain=(scale, scale))


def _ground(rng: Generator) -> Material:
    """Draw what lies outdoors: grass, dry grass, gravel, sand, concrete, paving."""
    kind = rng.random()
    if kind < 0.3:
        return grass(rng)
    if kind < 0.5:
        color = (rng.uniform(0.5, 0.75), rng.uniform(0.42, 0.58), rng.uniform(0.2, 0.4))
        return Material(color, (0.4, 0.38, 0.22), mottle=0.6, contrast=0.4, grain=(1.5, 1.5))
    if kind < 0.75:
        return gravel(rng)
    if kind < 0.9:
        look = tile(rng)
        return Material(
            dull(rng, 0.3, 0.7, 0.08), look.frame, (look.cell[0] + 0.2, look.cell[1] + 0.2),
            look.fill, look.shift, 0.15, mottle=0.4, contrast=0.25, grain=(1.5, 1.5),
        )  # fmt: skip
    return Material(dull(rng, 0.2, 0.6, 0.04), mottle=0.5, contrast=0.2, grain=(2.5, 2.5))


def container(rng: Generator) -> list[Box]:
    """Build one or two shipping containers."""
    length, boxes = rng.choice([6.0, 12.0]), []
    for k in range(int(rng.integers(1, 3))):
        color = any_color(rng)
        ribs = Material(color, darker(color, 0.5), (0.28, 2.6), (0.7, 0.97), contrast=0.25)
        place = (rng.normal(0.0, 0.3), rng.normal(0.0, 0.1), 1.3 + 2.6 * k)
        boxes.append(Box(place, (length, 2.4, 2.6), ribs, rng.normal(0.0, 0.05)))
    return boxes


def gate(rng: Generator) -> list[Box]:
    """Build an arch of two pillars and a lintel."""
    look = bricks(rng, 0.4) if rng.random() < 0.5 else smooth(rng)
    span, high, thick = rng.uniform(1.5, 5.0), rng.uniform(2.2, 5.0), rng.uniform(0.2, 0.8)
    boxes = [Box((s * span / 2, 0.0, high / 2), (thick, thick, high), look) for s in (-1, 1)]
    return [*boxes, Box((0.0, 0.0, high), (span + 1.4 * thick, thick, thick), look)]


def scaffold(rng: Generator) -> list[Box]:
    """Build a scaffold of poles and planks."""
    pole, plank = smooth(rng), timber(rng)
    length, floors = rng.uniform(3.0, 8.0), int(rng.integers(1, 4))
    boxes = [
        Box((x, y, floors), (0.08, 0.08, 2.0 * floors), pole)
        for x in np.linspace(-length / 2, length / 2, 4)
        for y in (-0.5, 0.5)
    ]
    for k in range(1, floors + 1):
        boxes.append(Box((0.0, 0.0, 1.9 * k), (length, 1.1, 0.06), plank))
        boxes.append(Box((0.0, 0.55, 1.9 * k + 0.9), (length, 0.05, 0.05), pole))
    return boxes


def tank(rng: Generator) -> list[Box]:
    """Build a round tank, a silo or a pillar."""
    radius = rng.uniform(0.2, 2.2)
    look = smooth(rng) if rng.random() < 0.6 else bricks(rng, 0.4)
    return drum(radius, rng.uniform(1.0, 7.0), look)


def stairs(rng: Generator) -> list[Box]:
    """Build a flight of steps."""
    look, count = smooth(rng, dull(rng, 0.3, 0.8)), int(rng.integers(4, 14))
    width = rng.uniform(1.0, 4.0)
    return [
        Box((0.3 * k, 0.0, 0.09 * (k + 1)), (0.32, width, 0.18 * (k + 1)), look)
        for k in range(count)
    ]


def building(rng: Generator) -> list[Box]:
    """Build a house of any size."""
    return house(rng, rng.uniform(5.0, 16.0), rng.uniform(5.0, 12.0))


_STRUCTURES = (
    container,
    gate,
    scaffold,
    tank,
    stairs,
    hut,
    low_wall,
    crates,
    crates,
    rocks,
    tree,
    car,
    lamp_post,
    lambda rng: bush(rng, rng.uniform(0.4, 2.5)),
    lambda rng: fence(rng, rng.uniform(3.0, 12.0)),
    building,
)


def yard(rng: Generator, length: float, height: float) -> World:
    """Stand buildings and other things about, to fly or walk between them."""
    for _ in range(_TRIES):
        half = rng.uniform(8.0, 28.0)
        boxes: list[Box] = []
        kinds = [_STRUCTURES[k] for k in rng.choice(len(_STRUCTURES), 7, replace=False)]
        count = int(rng.choice([0.02, 0.04, 0.07]) * (2.0 * half) ** 2)
        for _ in range(min(count, 120)):
            x, y = rng.uniform(-half, half, 2)
            parts = kinds[int(rng.integers(len(kinds)))](rng)
            boxes += [
                part.moved((float(x), float(y), 0.0), rng.uniform(0.0, 6.28)) for part in parts
            ]
        for angle in np.arange(0.0, 6.28, rng.uniform(0.3, 0.8)):  # around it, houses or trees
            out = half + rng.uniform(8.0, 25.0)
            far = building(rng) if rng.random() < 0.6 else bush(rng, rng.uniform(2.0, 5.0))
            spot = (out * math.cos(angle), out * math.sin(angle), 0.0)
            boxes += [part.moved(spot, float(angle) + 1.57) for part in far]
        area = (-half, -half, half, half)
        if not boxes:
            continue
        route = stroll(rng, boxes, area, length, height)
        if route is not None:
            return under_the_sky(
                rng, boxes, _ground(rng), route, "yard", (0.0, 0.0, 0.0), half + 25.0
            )
    raise RuntimeError(f"yard: none was found with space at {height:g} m")


def under_the_sky(
    rng: Generator,
    boxes: list[Box],
    ground: Material,
    route: Route,
    layout: str,
    middle: tuple[float, float, float],
    radius: float,
    road: Road | None = None,
) -> World:
    """Add ground, sky and sun: clear, clouded, hazy or low in the evening."""
    seed = int(rng.integers(2**31))
    azimuth, weather = rng.uniform(0.0, 6.28), rng.random()
    elevation, clouds = rng.uniform(0.35, 1.3), rng.uniform(0.0, 0.7)
    horizon = (rng.uniform(0.62, 0.85), rng.uniform(0.75, 0.87), rng.uniform(0.82, 0.95))
    blue = rng.uniform(0.1, 0.5)
    zenith = (blue, rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.9))
    ambient, strength = rng.uniform(0.3, 0.55), rng.uniform(0.5, 0.95)
    visibility = rng.uniform(300.0, 2500.0)
    if weather < 0.25:  # overcast
        grey = rng.uniform(0.55, 0.95)
        horizon, zenith, clouds = (grey, grey, grey), darker((grey, grey, grey), 0.85), 0.9
        ambient, strength = rng.uniform(0.7, 0.95), rng.uniform(0.0, 0.15)
        visibility = rng.uniform(100.0, 600.0)
    elif weather < 0.4:  # evening
        elevation = rng.uniform(0.12, 0.35)
        horizon = (0.95, rng.uniform(0.55, 0.8), rng.uniform(0.35, 0.6))
        zenith = (0.25, 0.32, rng.uniform(0.45, 0.65))
        ambient, strength = rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.9)
    sky = Sky(horizon, zenith, clouds, visibility, seed=seed + 1)
    direction = np.array(
        [
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
        ]
    )
    # So far away that its rays are nearly parallel; the shadow map just holds the place.
    x, y, z = np.array(middle) + 8.0 * radius * direction
    sun = Lamp(
        (float(x), float(y), float(z)),
        middle,
        strength,
        math.inf,
        spread=2.0 * math.degrees(math.atan(1.0 / 8.0)),
        map_size=1024,
    )
    light = Light(
        (float(direction[0]), float(direction[1]), float(direction[2])), ambient, 0.05, (sun,)
    )
    faces = join_faces([ground_face(ground, seed), box_faces(boxes, seed)])
    return World(faces, route, light, sky, road, layout=layout)
