# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rooms of the synthetic worlds: homes and offices, kitchens, corridors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.clutter import floor_things, strew
from training.worlds.scenes.finishes import carpet, floor_finish, smooth, wall_finish
from training.worlds.scenes.furniture import (
    Built,
    bed,
    cabinet,
    ceiling_lamp,
    chair,
    couch,
    doorway,
    floor_lamp,
    fridge,
    kitchen_run,
    on_wall,
    open_shelf,
    table,
    table_with_chairs,
    tall_plant,
    window,
    worktable,
)
from training.worlds.scenes.props import dull
from training.worlds.scenes.walks import stroll
from training.worlds.world import (
    Box,
    Faces,
    Lamp,
    Light,
    Material,
    Route,
    Sky,
    World,
    box_bounds,
    box_faces,
    join_faces,
)

Maker = Callable[[Generator], Built]
Area = tuple[float, float, float, float]  # least x, least y, greatest x, greatest y

_KINDS: tuple[tuple[Maker, ...], ...] = (
    (couch, couch, cabinet, open_shelf, tall_plant, floor_lamp),
    (bed, bed, cabinet, cabinet, worktable, floor_lamp),
    (worktable, worktable, cabinet, open_shelf, tall_plant),
    (cabinet, open_shelf, open_shelf, worktable, couch),
    (cabinet, couch, tall_plant, worktable, bed, open_shelf, fridge),
)
_TRIES = 20  # rooms drawn for one in which the camera can move


def home(rng: Generator, length: float, height: float) -> World:
    """Furnish a living room, a bedroom, an office or a store."""
    return _room(rng, length, height, "home", _home_boxes)


def kitchen(rng: Generator, length: float, height: float) -> World:
    """Furnish a kitchen, mostly with a table."""
    return _room(rng, length, height, "kitchen", _kitchen_boxes)


def _room(
    rng: Generator,
    length: float,
    height: float,
    layout: str,
    furnish: Callable[[Generator, Area, float], list[Box]],
) -> World:
    """Build a room with walls of their own kinds; draw again where the camera could not move."""
    for _ in range(_TRIES):
        small = rng.random() < 0.4
        wide, deep = (
            rng.uniform(2.5, 4.2 if small else 8.0),
            rng.uniform(2.5, 3.8 if small else 6.5),
        )
        top = rng.uniform(2.25, 3.3)
        area = (-wide / 2, -deep / 2, wide / 2, deep / 2)
        boxes = furnish(rng, area, top)
        route = stroll(rng, boxes, area, length, height)
        if route is not None:
            return world_of_a_room(rng, boxes, area, top, route, layout)
    raise RuntimeError(f"{layout}: no room was found with space at {height:g} m")


def _home_boxes(rng: Generator, area: Area, top: float) -> list[Box]:
    """Fill a room along its walls and in its middle."""
    boxes: list[Box] = []
    wide, deep = area[2] - area[0], area[3] - area[1]
    if min(wide, deep) > 4.0 and rng.random() < 0.4:
        boxes.append(_nook(rng, area, top))
    makers = _KINDS[rng.integers(len(_KINDS))]
    boxes += along_walls(rng, area, makers, boxes)
    kind = rng.random()
    middle: list[Box] = []
    if kind < 0.35 and min(wide, deep) > 3.4:
        length = rng.uniform(0.9, max(1.0, 0.55 * wide))
        middle = table_with_chairs(rng, length, min(1.1, rng.uniform(0.7, 0.35 * deep)))
    elif kind < 0.6:
        middle = table(rng, rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.5))
    elif kind < 0.75 and wide > 5.0:
        for x in (-0.8, 0.8):
            middle += [part.moved((x, 0.0, 0.0)) for part in worktable(rng)[1]]
    elif kind < 0.85:
        middle = chair(rng)
    turn = rng.integers(4) * math.pi / 2 + rng.choice([0.0, rng.normal(0.0, 0.4)])
    place = (rng.uniform(-0.15, 0.15) * wide, rng.uniform(-0.15, 0.15) * deep, 0.0)
    boxes += if_free([part.moved(place, turn) for part in middle], boxes, 0.1)
    if rng.random() < 0.35:
        size = (rng.uniform(1.0, 0.8 * wide), rng.uniform(1.0, 0.8 * deep), 0.014)
        place = (place[0], place[1], 0.007)
        boxes.append(Box(place, size, carpet(rng), rng.choice([0.0, rng.normal(0.0, 0.2)])))
    return boxes + _scatter(rng, area, boxes) + lights(rng, area, top)


def _kitchen_boxes(rng: Generator, area: Area, top: float) -> list[Box]:
    """Line one to three walls with units; put a table or an island into the middle."""
    boxes: list[Box] = []
    first, count = int(rng.integers(4)), int(rng.integers(1, 4))
    look = int(rng.integers(2**31))
    for k in range(count):
        side = (first + k) % 4
        along = (area[2] - area[0]) if side % 2 == 0 else (area[3] - area[1])
        width = along * rng.uniform(0.5, 1.0) if k else along - 0.02
        # The same look on all walls.
        parts = kitchen_run(np.random.default_rng([look, k if rng.random() < 0.2 else 0]), width)
        at = -along / 2 + width / 2 if rng.random() < 0.5 else along / 2 - width / 2
        placed = _against(parts, area, side, at)
        boxes += placed if not k else _without_overlap(placed, boxes)
    makers = (fridge, cabinet, open_shelf, tall_plant, worktable)
    boxes += along_walls(rng, area, makers, boxes)
    wide, deep = area[2] - area[0], area[3] - area[1]
    if rng.random() < 0.75 and min(wide, deep) > 2.9:
        length = rng.uniform(0.9, max(1.0, min(2.4, 0.5 * wide)))
        width = rng.uniform(0.7, max(0.75, min(1.1, 0.32 * deep)))
        middle = (
            table_with_chairs(rng, length, width)
            if rng.random() < 0.8
            else [part.moved((0.0, -0.3, 0.0)) for part in kitchen_run(rng, length)]
        )
        turn = rng.integers(4) * math.pi / 2 + rng.normal(0.0, 0.1)
        place = (rng.uniform(-0.1, 0.1) * wide, rng.uniform(-0.1, 0.1) * deep, 0.0)
        boxes += [part.moved(place, turn) for part in middle if part.center[2] < 1.25]
    return boxes + _scatter(rng, area, boxes) + lights(rng, area, top)


def corridor(rng: Generator, length: float, height: float) -> World:
    """Build a corridor between rooms whose doors stand open here and there."""
    for _ in range(_TRIES):
        half, wide, side = rng.uniform(5.0, 11.0), rng.uniform(1.3, 3.2), rng.uniform(2.2, 3.5)
        top = rng.uniform(2.3, 3.4)
        area = (-half, -wide / 2 - side, half, wide / 2 + side)
        look, thick = wall_finish(rng), 0.12
        boxes: list[Box] = []
        for sign in (-1.0, 1.0):
            boxes += _partition(rng, half, sign * (wide / 2 + thick / 2), thick, top, look)
            for x in np.arange(-half + 3.0, half - 2.0, rng.uniform(3.0, 5.0)):
                place = (float(x), sign * (wide / 2 + thick + side / 2), top / 2)
                boxes.append(Box(place, (0.1, side - thick, top), wall_finish(rng)))
        makers = _KINDS[rng.integers(len(_KINDS))]
        boxes += _without_overlap(along_walls(rng, area, makers, []), boxes)
        inner = (-half, -wide / 2, half, wide / 2)
        sparse: tuple[Maker, ...] = (cabinet, tall_plant, _pictures, _pictures, _bench)
        boxes += along_walls(rng, inner, sparse, boxes, sides=(0, 2), gap=rng.uniform(1.0, 5.0))
        boxes += _scatter(rng, area, boxes)
        for x in np.arange(-half + 1.0, half, rng.uniform(1.8, 3.5)):
            boxes += [part.moved((float(x), 0.0, 0.0)) for part in ceiling_lamp(rng, top)]
        route = stroll(rng, boxes, area, length, height)
        if route is not None:
            return world_of_a_room(rng, boxes, area, top, route, "corridor")
    raise RuntimeError(f"corridor: none was found with space at {height:g} m")


def _pictures(rng: Generator) -> Built:
    """Hang something on the wall of a corridor."""
    return 1.2, on_wall(rng, 1.2)


def _bench(rng: Generator) -> Built:
    """Put two chairs against the wall."""
    model = int(rng.integers(2**31))
    parts = chair(np.random.default_rng(model))
    return 1.2, [part.moved((x, 0.32, 0.0)) for x in (-0.3, 0.3) for part in parts]


def _partition(
    rng: Generator, half: float, y: float, thick: float, top: float, look: Material
) -> list[Box]:
    """Build a wall along x with openings, some with a door that stands open or is shut."""
    boxes: list[Box] = []
    rail = smooth(rng, dull(rng, 0.2, 0.8))
    frame, leaf = smooth(rng), smooth(rng)
    skirting = rng.choice([0.0, 0.1, 0.25, 1.0])
    opening, high = rng.uniform(0.85, 1.3), min(top - 0.1, rng.uniform(2.0, 2.2))
    at = -half
    while at < half:
        to = min(half, at + rng.uniform(0.6, 4.0))
        middle = (at + to) / 2
        boxes.append(Box((middle, y, top / 2), (to - at, thick, top), look))
        if skirting:
            band = (to - at, thick + 0.03, 0.1 if skirting == 1.0 else skirting)
            boxes.append(Box((middle, y, max(0.05, skirting - 0.05)), band, rail))
        if to + opening > half:
            break
        x = to + opening / 2
        boxes.append(Box((x, y, (high + top) / 2), (opening, thick, top - high), look))
        for edge in (to + 0.03, to + opening - 0.03):
            boxes.append(Box((edge, y, high / 2), (0.08, thick + 0.05, high), frame))
        boxes.append(Box((x, y, high - 0.03), (opening, thick + 0.05, 0.07), frame))
        if rng.random() < 0.85:
            angle = rng.choice([0.0, rng.uniform(0.4, 2.6) * rng.choice([-1.0, 1.0])])
            width = opening - 0.13
            parts = [Box((width / 2, 0.0, high / 2 - 0.02), (width, 0.04, high - 0.06), leaf)]
            parts += [
                Box((width - 0.08, s * 0.04, 1.0), (0.12, 0.04, 0.025), frame) for s in (-1, 1)
            ]
            boxes += [part.moved((to + 0.065, y, 0.0), angle) for part in parts]
        at = to + opening
    return boxes


def _nook(rng: Generator, area: Area, top: float) -> Box:
    """Fill a corner of a room, which makes it L-shaped."""
    wide, deep = ((area[k + 2] - area[k]) * rng.uniform(0.25, 0.5) for k in (0, 1))
    x = rng.choice([area[0] + wide / 2, area[2] - wide / 2])
    y = rng.choice([area[1] + deep / 2, area[3] - deep / 2])
    return Box((float(x), float(y), top / 2), (wide, deep, top), wall_finish(rng))


def _against(parts: Sequence[Box], area: Area, side: int, at: float) -> list[Box]:
    """Stand parts against a wall: 0 that of least y, then counter-clockwise."""
    middle = ((area[0] + area[2]) / 2, (area[1] + area[3]) / 2, 0.0)
    away = (area[3] - area[1]) if side % 2 == 0 else (area[2] - area[0])
    turned = (part.moved((at, -away / 2, 0.0)) for part in parts)
    return [part.moved(middle, side * math.pi / 2) for part in turned]


def along_walls(
    rng: Generator,
    area: Area,
    makers: Sequence[Maker],
    there: Sequence[Box],
    sides: Sequence[int] = (0, 1, 2, 3),
    gap: float | None = None,
) -> list[Box]:
    """Stand things side by side against the walls, with doors, windows and pictures between."""
    boxes: list[Box] = []
    gap = rng.choice([0.1, 0.6, 1.5]) if gap is None else gap
    for side in sides:
        along = (area[2] - area[0]) if side % 2 == 0 else (area[3] - area[1])
        x = -along / 2 + rng.uniform(0.02, 0.6)
        while x < along / 2 - 0.4:
            kind = rng.random()
            if (gap < 1.0 and len(sides) < 4) or kind > 0.35:
                width, parts = makers[int(rng.integers(len(makers)))](rng)
                highest = max((p.center[2] + p.size[2] / 2 for p in parts), default=0.0)
                if highest < 1.35 and len(sides) == 4:
                    parts = parts + on_wall(rng, width)
            elif kind < 0.12:
                width, parts = doorway(rng)
            elif kind < 0.26:
                width, parts = window(rng)
            else:
                width = rng.uniform(0.5, 1.6)
                parts = on_wall(rng, width)
            if x + width > along / 2:
                x += 0.3
                continue
            placed = _against(parts, area, side, x + width / 2)
            boxes += if_free(placed, [*there, *boxes], 0.0)
            x += width + rng.uniform(0.0, gap)
    return boxes


def _overlapping(parts: Sequence[Box], others: Sequence[Box], gap: float) -> list[bool]:
    """Whether each part's upright block meets any other's."""
    if not others or not parts:
        return [False] * len(parts)
    (low, high), (lows, highs) = box_bounds(parts), box_bounds(others)
    below, above = low[:, None] < highs - 0.005 + gap, high[:, None] > lows + 0.005 - gap
    meets = np.all(below & above, axis=2)
    return [bool(found) for found in np.any(meets, axis=1)]


def if_free(parts: list[Box], others: Sequence[Box], gap: float) -> list[Box]:
    """Keep parts, or none if any of them meets others."""
    return [] if any(_overlapping(parts, others, gap)) else parts


def _without_overlap(parts: list[Box], others: Sequence[Box]) -> list[Box]:
    """Keep those parts that meet no others."""
    meets = _overlapping(parts, others, 0.0)
    return [part for part, out in zip(parts, meets, strict=True) if not out]


def _scatter(rng: Generator, area: Area, others: Sequence[Box]) -> list[Box]:
    """Leave things about on the floor."""
    boxes: list[Box] = []
    space = (area[2] - area[0]) * (area[3] - area[1])
    for _ in range(int(rng.poisson(space * rng.choice([0.0, 0.1, 0.4])))):
        x, y = (float(rng.uniform(area[k] + 0.3, area[k + 2] - 0.3)) for k in (0, 1))
        parts = [part.moved((x, y, 0.0), rng.uniform(0.0, 6.28)) for part in floor_things(rng)]
        boxes += if_free(parts, [*others, *boxes], 0.0)
    if rng.random() < 0.3:
        boxes += strew(rng, 0.8 * (area[2] - area[0]), 0.8 * (area[3] - area[1]), 0.002, 0.6)
    return boxes


def lights(rng: Generator, area: Area, top: float) -> list[Box]:
    """Hang lamps under the ceiling, in a row or none."""
    boxes: list[Box] = []
    style = int(rng.integers(2**31))
    count = int(rng.integers(0, 4))
    for k in range(count):
        x = area[0] + (k + 0.5) / count * (area[2] - area[0])
        parts = ceiling_lamp(np.random.default_rng(style), top)
        boxes += [part.moved((x, 0.0, 0.0)) for part in parts]
    return boxes


def world_of_a_room(
    rng: Generator,
    boxes: list[Box],
    area: Area,
    top: float,
    route: Route,
    layout: str,
    floor: Material | None = None,
) -> World:
    """Put walls around and light into a place."""
    size = (area[2] - area[0], area[3] - area[1], top)
    wall = wall_finish(rng)
    shell = box_faces([Box((0.0, 0.0, top / 2), size, wall)], int(rng.integers(2**31)), True)
    if rng.random() < 0.5:  # one wall of another kind, or several
        for k in rng.choice(4, int(rng.integers(1, 4)), replace=False):
            across = size[1] if k < 2 else size[0]
            shell.material[k] = wall_finish(rng).row((across, top))
    ceiling = smooth(rng, dull(rng, 0.7, 0.95, 0.02))
    if rng.random() < 0.3:
        ceiling = Material(ceiling.color, dull(rng, 0.4, 0.7), (0.6, 0.6), (0.96, 0.96))
    shell.material[4] = ceiling.row((size[0], size[1]))
    floor = floor_finish(rng) if floor is None else floor
    shell.material[5] = floor.row((size[0], size[1]))
    faces: list[Faces] = [shell, box_faces(boxes, int(rng.integers(2**31)))]
    sky = Sky(visibility=1e4, range=100.0)
    return World(join_faces(faces), route, _light(rng, area, top), sky, layout=layout)


def _light(rng: Generator, area: Area, top: float) -> Light:
    """Draw the light of a room: much or little from all sides, one to three lamps."""
    ambient, total = rng.uniform(0.22, 0.55), rng.uniform(0.5, 1.0)
    lamps = []
    count = int(rng.integers(1, 4 if area[2] - area[0] > 4.0 else 3))
    for _ in range(count):
        x, y = (float(rng.uniform(0.85 * area[k], 0.85 * area[k + 2])) for k in (0, 1))
        if rng.random() < 0.7:
            z, target = top - rng.uniform(0.1, 0.5), (x + 0.01, y, 0.0)
        else:  # from the side, as a window's
            z = rng.uniform(1.2, 2.0)
            target = (0.3 * x, 0.3 * y, 0.4)
        lamps.append(
            Lamp(
                (x, y, z),
                target,
                strength=total / count * rng.uniform(0.7, 1.4),
                falloff=rng.uniform(1.5, 5.0),
                spread=150.0,
            )
        )
    azimuth = rng.uniform(0.0, 6.28)
    direction = (0.8 * math.cos(azimuth), 0.8 * math.sin(azimuth), 0.6)
    return Light(
        direction, ambient, rng.uniform(0.05, 0.3), tuple(lamps), rng.uniform(0.1, 0.4), top
    )
