# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A street in a town with its traffic, seen from a car or from a robot on the pavement."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.beings import being, figure
from training.worlds.scenes.clutter import drum
from training.worlds.scenes.finishes import darker, smooth
from training.worlds.scenes.outdoors import bush, truck, under_the_sky
from training.worlds.scenes.props import crates, dull, fence, grass, gravel, house, lamp_post
from training.worlds.scenes.vehicles import bus, modern_car, two_wheeler
from training.worlds.world import Box, Light, Material, Road, Sky, World

_STEP = 0.05  # metres between the points of a route
_AHEAD = 170.0  # metres of street beyond the end of a route

Placer = Callable[..., None]  # (metres along, metres to the left, boxes, turn)


def city(rng: Generator, length: float, height: float) -> World:
    """Build a street with houses, parked cars, traffic, people on the pavements, by day or night.

    The camera is in a car that keeps to the right, or, low above the ground, on the pavement.
    """
    waves = (
        (rng.uniform(0.0, 5.0), rng.uniform(110.0, 200.0), rng.uniform(0.0, 6.28)),
        (rng.uniform(0.0, 1.0), rng.uniform(50.0, 80.0), rng.uniform(0.0, 6.28)),
    )
    white = dull(rng, 0.6, 0.95, 0.03)
    road = Road(
        rng.uniform(3.0, 7.5),
        rng.uniform(1.6, 4.5),
        waves,
        dull(rng, 0.15, 0.45, 0.02),
        white,
        dull(rng, 0.4, 0.7),
        lanes=(0.0,) if rng.random() < 0.7 else (),
        smoothness=rng.uniform(0.2, 0.9),
    )
    half, kerb = road.half_width, road.half_width + road.pavement
    on_foot = height < 0.8 or rng.random() < 0.15
    own = -(half + 0.5 * road.pavement) if on_foot else -0.4 * half
    route = road.lane(length, own, _STEP)

    end = length + _AHEAD
    boxes: list[Box] = []

    def place(at: float, lateral: float, parts: list[Box], turn: float = 0.0) -> None:
        boxes.extend(road.placed(parts, at, lateral, turn))

    green = rng.random() < 0.3  # a suburb: gardens instead of walls of houses
    for side in (-1.0, 1.0):
        _houses(rng, side, kerb, end, green, place)
        _pavement(rng, side, half, road.pavement, own, end, place)
    if half > 3.6:
        _parked(rng, half, end, place)
    _traffic(rng, half, None if on_foot else own, end, place)

    ground = grass(rng) if green else gravel(rng)
    world = under_the_sky(
        rng, boxes, ground, route, "city", (0.5 * length, 0.0, 0.0), 0.6 * length + 60.0, road
    )
    world = replace(world, mirror=rng.choice([0.0, rng.uniform(0.02, 0.12)], p=(0.75, 0.25)))
    return _by_night(rng, world) if rng.random() < 0.15 else world


def _houses(
    rng: Generator, side: float, kerb: float, end: float, green: bool, place: Placer
) -> None:
    """Line one side with houses, walls, hedges and gaps."""
    at = -25.0
    while at < end:
        width, depth = rng.uniform(6.0, 18.0), rng.uniform(8.0, 13.0)
        setback = rng.uniform(3.0, 9.0) if green else rng.choice([0.2, rng.uniform(0.5, 3.0)])
        place(at + width / 2, side * (kerb + setback + depth / 2), house(rng, width, depth))
        if setback > 2.0:
            kind = rng.random()
            if kind < 0.4:
                place(at + width / 2, side * (kerb + 0.3), fence(rng, width))
            elif kind < 0.75:
                hedge = Material(
                    (0.15, rng.uniform(0.22, 0.4), 0.1), (0.06, 0.12, 0.05), mottle=0.8,
                    contrast=0.5, grain=(0.5, 0.5),
                )  # fmt: skip
                tall = rng.uniform(0.7, 2.0)
                size = (width * rng.uniform(0.5, 1.0), 0.7, tall)
                place(at + width / 2, side * (kerb + 0.5), [Box((0, 0, tall / 2), size, hedge)])
            for _ in range(int(rng.poisson(1.2))):
                lateral = kerb + rng.uniform(1.0, setback)
                place(at + rng.uniform(0.0, width), side * lateral, bush(rng, rng.uniform(0.8, 2)))
            if rng.random() < 0.35:
                lateral = side * (kerb + 2.6)
                place(at + rng.uniform(0.0, width), lateral, modern_car(rng), rng.uniform(1.4, 1.7))
        at += width + rng.choice([0.0, 0.0, rng.uniform(2.0, 9.0)])


def _pavement(
    rng: Generator, side: float, half: float, pavement: float, own: float, end: float, place: Placer
) -> None:
    """Put lamp posts, trees, signs, bins and people on one pavement, out of the camera's way."""
    mine = abs(side * (half + 0.5 * pavement) - own) < 0.5 * pavement
    curb, wall = half + 0.35, half + pavement - 0.3
    spacing = rng.uniform(6.0, 14.0)
    for at in np.arange(rng.uniform(-10.0, 0.0), end, spacing):
        kind = rng.random()
        if kind < 0.3:
            place(at, side * curb, bush(rng, rng.uniform(1.5, 2.8)) if not mine else lamp_post(rng))
        elif kind < 0.5:
            place(at, side * curb, lamp_post(rng))
        elif kind < 0.7:
            place(at, side * curb, _sign(rng))
        elif kind < 0.85 and not mine:
            place(at, side * (wall - 0.3), crates(rng))
    crowd = rng.choice([0.01, 0.05, 0.15])
    for at in rng.uniform(-5.0, end, int(rng.poisson(crowd * end))):
        turn = rng.choice([0.0, math.pi]) + rng.normal(0.0, 0.3)
        lateral = rng.uniform(curb, wall)
        if mine and abs(side * lateral - own) < 0.75:
            lateral = curb if rng.random() < 0.5 else wall
            if abs(side * lateral - own) < 0.75:
                continue
        parts = being(rng) if rng.random() < 0.9 else two_wheeler(rng)
        place(float(at), side * lateral, parts, float(turn))


def _parked(rng: Generator, half: float, end: float, place: Placer) -> None:
    """Park cars along one or both kerbs."""
    for side in (-1.0, 1.0):
        share = rng.choice([0.0, 0.3, 0.8])
        at = rng.uniform(-15.0, 5.0)
        while at < end:
            if rng.random() < share:
                turn = (0.0 if side < 0 else math.pi) + rng.normal(0.0, 0.03)
                kind = rng.random()
                parts = (
                    modern_car(rng) if kind < 0.9 else two_wheeler(rng) if kind < 0.95
                    else truck(rng)
                )  # fmt: skip
                place(at, side * (half - 1.0), parts, turn)
            at += rng.uniform(5.6, 8.0)


def _traffic(rng: Generator, half: float, own: float | None, end: float, place: Placer) -> None:
    """Let vehicles drive and people cross; `own` is the lane of the camera, if it has one."""
    for lane, turn in ((-0.4 * half, 0.0), (0.4 * half, math.pi)):
        mine = own is not None and abs(lane - own) < 1.0
        # The camera's own lane is left to the moving objects.
        at = rng.uniform(-5.0, 40.0)
        while at < end:
            kind = rng.random()
            parts = (
                modern_car(rng) if kind < 0.72 else bus(rng) if kind < 0.8
                else truck(rng) if kind < 0.88 else two_wheeler(rng)
            )  # fmt: skip
            if not mine:
                place(at, lane + rng.normal(0.0, 0.2), parts, turn + rng.normal(0.0, 0.02))
            at += rng.uniform(12.0, rng.choice([25.0, 80.0]))
    if own is None and rng.random() < 0.5:
        for at in rng.uniform(5.0, end, 3):
            place(float(at), rng.uniform(-half, half), figure(rng, "walking"), math.pi / 2)


def _sign(rng: Generator) -> list[Box]:
    """Build a traffic sign, a bollard or a bin."""
    metal = smooth(rng, dull(rng, 0.3, 0.7, 0.02))
    kind = rng.random()
    if kind < 0.5:
        face = smooth(rng, ((0.75, 0.08, 0.08), (0.1, 0.25, 0.65), (0.9, 0.85, 0.8))[
            int(rng.integers(3))])  # fmt: skip
        return [
            Box((0.0, 0.0, 1.2), (0.06, 0.06, 2.4), metal),
            Box((0.0, 0.0, 2.3), (0.03, rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.8)), face),
        ]
    if kind < 0.75:
        return drum(rng.uniform(0.05, 0.12), rng.uniform(0.7, 1.1), smooth(rng))
    return drum(rng.uniform(0.2, 0.35), rng.uniform(0.8, 1.2), smooth(rng))


def _by_night(rng: Generator, world: World) -> World:
    """Turn day into night: a dark sky, little light from all sides, the camera's own headlights."""
    level = rng.uniform(0.02, 0.12)
    horizon = (level, 0.95 * level, 1.05 * level)
    sky = Sky(horizon, darker(horizon, 0.5), 0.3, rng.uniform(150.0, 900.0), seed=world.sky.seed)
    light = Light(
        world.light.direction,
        ambient=rng.uniform(0.05, 0.2),
        diffuse=rng.uniform(0.0, 0.08),
        headlight=rng.choice([0.0, rng.uniform(0.4, 1.2)], p=(0.25, 0.75)),
        headlight_reach=rng.uniform(8.0, 25.0),
    )
    return replace(world, sky=sky, light=light)
