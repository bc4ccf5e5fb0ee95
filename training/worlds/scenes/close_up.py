# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places seen from near: bare floors from a low robot, the things on a table from close by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.beings import being, dog, figure
from training.worlds.scenes.clutter import drum, floor_things, strew
from training.worlds.scenes.finishes import floor_finish, smooth
from training.worlds.scenes.furniture import (
    cabinet,
    chair,
    couch,
    open_shelf,
    table,
    table_with_chairs,
    tall_plant,
    worktable,
)
from training.worlds.scenes.interiors import along_walls, if_free, lights, world_of_a_room
from training.worlds.scenes.props import cart, crates, dull
from training.worlds.scenes.walks import stroll
from training.worlds.world import Box, Material, Route, World

_TRIES = 20  # places drawn for one in which the camera can move


def hall(rng: Generator, length: float, height: float) -> World:
    """Build a large room with a bare, often shiny floor and little in it, for a low robot."""
    for _ in range(_TRIES):
        wide, deep = rng.uniform(4.0, 18.0), rng.uniform(4.0, 14.0)
        top = rng.uniform(2.4, 4.5)
        area = (-wide / 2, -deep / 2, wide / 2, deep / 2)
        gap = float(rng.choice([1.5, 3.0, 6.0]))
        boxes = along_walls(
            rng, area, (cabinet, open_shelf, tall_plant, worktable, couch), [], gap=gap
        )
        for _ in range(int(rng.poisson(wide * deep * rng.choice([0.01, 0.03, 0.08])))):
            place = (rng.uniform(-0.42, 0.42) * wide, rng.uniform(-0.42, 0.42) * deep, 0.0)
            parts = _stander(rng, top)
            turned = [part.moved(place, rng.uniform(0.0, 6.28)) for part in parts]
            boxes += if_free(turned, boxes, 0.15)
        boxes += lights(rng, area, top)
        route = stroll(rng, boxes, area, length, height)
        if route is None:
            continue
        floor = _bare_floor(rng)
        world = world_of_a_room(rng, boxes, area, top, route, "hall", floor)
        return replace(world, mirror=rng.choice([0.0, rng.uniform(0.03, 0.35)], p=(0.4, 0.6)))
    raise RuntimeError(f"hall: none was found with space at {height:g} m")


def _stander(rng: Generator, top: float) -> list[Box]:
    """Build something that stands about in a hall."""
    kind = int(rng.integers(9))
    if kind == 0:
        return drum(rng.uniform(0.15, 0.4), top, smooth(rng))
    if kind == 1:
        return table_with_chairs(rng, rng.uniform(0.9, 2.0), rng.uniform(0.7, 1.0))
    if kind == 2:
        return chair(rng)
    if kind == 3:
        return being(rng)
    if kind == 4:
        return cart(rng)
    if kind == 5:
        return crates(rng)
    if kind == 6:
        return dog(rng) if rng.random() < 0.3 else floor_things(rng)
    if kind == 7:
        return table(rng, rng.uniform(0.6, 1.6), rng.uniform(0.5, 0.9))
    return floor_things(rng)


def _bare_floor(rng: Generator) -> Material:
    """Lay concrete, linoleum or stone nearly without texture, or any other floor."""
    if rng.random() < 0.6:
        color = dull(rng, 0.2, 0.85, 0.08)
        return Material(
            color, dull(rng, 0.2, 0.8), mottle=rng.uniform(0.0, 0.25),
            contrast=rng.uniform(0.01, 0.1), grain=(1.5, 1.5),
        )  # fmt: skip
    return floor_finish(rng)


def tabletop(rng: Generator, length: float, height: float) -> World:
    """Build a table full of things in a room, and a way round it that a hand or an arm takes."""
    wide, deep = rng.uniform(0.8, 2.0), rng.uniform(0.6, 1.0)
    # The camera is above the table by what its height is above the floor, or below a high one.
    level = min(rng.uniform(0.45, 0.95), height - 0.12)
    board = table(rng, wide, deep, level)
    things = strew(rng, wide, deep, level, rng.choice([8.0, 20.0, 45.0]), 0.45)
    boxes = [*board, *things]
    reach = (0.5 * wide + rng.uniform(0.3, 0.8), 0.5 * deep + rng.uniform(0.3, 0.8))
    around = (reach[0] + rng.uniform(0.4, 2.5), reach[1] + rng.uniform(0.4, 2.5))
    area = (-around[0], -around[1], around[0], around[1])
    top = rng.uniform(max(2.25, height + 0.3), max(3.3, height + 0.6))
    walls = along_walls(rng, area, (cabinet, open_shelf, tall_plant, couch), [], gap=0.6)
    # Nothing may stand on the way round the table.
    for part in walls:
        clear = np.hypot(*part.size[:2]) / 2 + 0.3
        near = (abs(part.center[0]) - clear < reach[0], abs(part.center[1]) - clear < reach[1])
        if not all(near):
            boxes.append(part)
    if rng.random() < 0.3:
        sitter = figure(rng, "sitting")
        boxes += [part.moved((-0.2, -0.5 * deep - 0.1, 0.45), math.pi / 2) for part in sitter
                  if part.center[2] > 0.3]  # fmt: skip
    boxes += lights(rng, area, top)
    angle = np.linspace(0.0, 2.0 * np.pi, 4000, endpoint=False) + rng.uniform(0.0, 6.28)
    wobble = 1.0 + 0.06 * np.sin(3.0 * angle + rng.uniform(0.0, 6.28))
    lap = np.array(reach) * (wobble * np.stack([np.cos(angle), np.sin(angle)])).T
    laps = int(np.ceil((length + 2.0) / Route(lap).length))
    route = Route(np.concatenate([lap] * laps))
    return world_of_a_room(rng, boxes, area, top, route, "tabletop", floor_finish(rng))
