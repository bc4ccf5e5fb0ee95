# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Vehicles at their real sizes: cars of several kinds, vans, buses, motorcycles, bicycles.

Every builder draws from the random generator that it is given; a vehicle heads along x, with its
origin on the ground in the middle. Sizes are those of common models, in metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.beings import figure
from training.worlds.scenes.finishes import darker, printed, smooth
from training.worlds.scenes.props import dull, vivid
from training.worlds.world import Box, Material

_TYRE = Material((0.06, 0.06, 0.07), contrast=0.2, grain=(0.3, 0.3))
_RIM = Material((0.55, 0.56, 0.58), (0.2, 0.2, 0.2), (0.12, 0.12), (0.6, 0.6), contrast=0.1)
_SHADE = Material((0.10, 0.10, 0.11), contrast=0.3, grain=(0.6, 0.6))
_RED = Material((0.65, 0.06, 0.05), contrast=0.05)
_WHITE = Material((0.95, 0.95, 0.9), contrast=0.05)
_PLATE = Material((0.1, 0.1, 0.12), (0.9, 0.9, 0.85), (0.07, 0.2), (0.5, 0.6), tint=0.3)


@dataclass(frozen=True)
class _Body:
    """Proportions of a kind of car; lengths as shares of the whole length."""

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    bonnet: tuple[float, float]  # from the front bumper to the windscreen's foot
    boot: tuple[float, float]  # from the rear window's foot to the rear bumper
    front_slope: float  # horizontal run of the windscreen, metres
    rear_slope: float


_BODIES = (
    _Body((3.5, 4.1), (1.62, 1.78), (1.42, 1.55), (0.20, 0.26), (0.0, 0.03), 0.55, 0.25),
    _Body((4.4, 5.0), (1.75, 1.90), (1.40, 1.50), (0.25, 0.30), (0.15, 0.22), 0.75, 0.65),
    _Body((4.3, 4.9), (1.75, 1.90), (1.42, 1.55), (0.24, 0.29), (0.0, 0.03), 0.70, 0.30),
    _Body((4.2, 5.0), (1.80, 2.00), (1.60, 1.85), (0.24, 0.29), (0.0, 0.02), 0.50, 0.20),
    _Body((4.5, 6.0), (1.85, 2.05), (1.90, 2.60), (0.10, 0.18), (0.0, 0.0), 0.55, 0.05),
)


def modern_car(rng: Generator) -> list[Box]:
    """Build a small car, a saloon, an estate, an off-roader or a van."""
    kind = _BODIES[rng.choice(len(_BODIES), p=(0.28, 0.22, 0.18, 0.2, 0.12))]
    length, width, height = (rng.uniform(*span) for span in (kind.length, kind.width, kind.height))
    paint = smooth(rng, vivid(rng) if rng.random() < 0.3 else dull(rng, 0.05, 0.9, 0.03))
    glass = smooth(rng, dull(rng, 0.06, 0.3, 0.03))
    wheel = rng.uniform(0.29, 0.36)
    floor, belt = 0.6 * wheel, 0.62 * height if height < 1.88 else 0.55 * height
    lower = Box((0.0, 0.0, 0.5 * (floor + belt)), (length, width, belt - floor), paint)
    # Bumpers, sills and the dark gap under the car.
    trim = smooth(rng, dull(rng, 0.04, 0.2, 0.02) if rng.random() < 0.5 else paint.color)
    skirt = Box((0.0, 0.0, floor + 0.12), (length + 0.06, width + 0.02, 0.22), trim)
    front = 0.5 * length - rng.uniform(*kind.bonnet) * length
    rear = -0.5 * length + rng.uniform(*kind.boot) * length
    roof_front, roof_rear = front - kind.front_slope, rear + kind.rear_slope
    tall, inner = height - belt, 0.86 * width
    middle = 0.5 * (roof_front + roof_rear)
    pillar = Material(glass.color, paint.color, (0.95, 2.0), (0.9, 0.98), contrast=0.05)
    boxes = [
        lower,
        skirt,
        Box((middle, 0.0, belt + 0.5 * tall), (roof_front - roof_rear, inner, tall), pillar,
            top=paint),
        Box((middle, 0.0, height - 0.03), (roof_front - roof_rear, 0.96 * inner, 0.06), paint),
    ]  # fmt: skip
    for foot, top in ((front, roof_front), (rear, roof_rear)):
        run = abs(foot - top)
        if run > 0.02:
            angle = math.atan2(tall, run) * (1.0 if foot > top else -1.0)
            place = (0.5 * (foot + top), 0.0, belt + 0.48 * tall)
            slab = (math.hypot(run, tall), inner, 0.06)
            boxes.append(Box(place, slab, glass, tilt=(0.0, angle)))
    boxes += _wheels(length, width, wheel, rng.uniform(0.60, 0.66))
    for x, look in ((0.5 * length, _WHITE), (-0.5 * length, _RED)):
        y = 0.36 * width
        size = (0.07, 0.26 * rng.uniform(0.7, 1.2), rng.uniform(0.1, 0.2))
        boxes += [Box((x, side * y, 0.82 * belt), size, look) for side in (-1.0, 1.0)]
    boxes += [Box((x * (0.5 * length + 0.03), 0.0, 0.5 * belt), (0.04, 0.5, 0.12), _PLATE)
              for x in (-1.0, 1.0)]  # fmt: skip
    boxes += [Box((front - 0.1, side * (0.5 * width + 0.09), belt + 0.08), (0.12, 0.2, 0.14), trim)
              for side in (-1.0, 1.0)]  # fmt: skip
    return [*boxes, _shade(length, width)]


def bus(rng: Generator) -> list[Box]:
    """Build a bus or a coach."""
    length, height = rng.uniform(8.0, 13.0), rng.uniform(2.9, 3.6)
    paint = smooth(rng, vivid(rng) if rng.random() < 0.6 else dull(rng, 0.5, 0.9))
    windows = Material(
        dull(rng, 0.05, 0.3), paint.color, (1.4, 1.2), (0.94, 0.95), tint=0.3, contrast=0.05
    )
    boxes = [
        Box((0.0, 0.0, 0.5 * (0.35 + height)), (length, 2.5, height - 0.35), paint),
        Box((0.0, 0.0, 0.62 * height), (length + 0.02, 2.53, 0.36 * height), windows),
    ]
    if rng.random() < 0.5:
        boxes.append(Box((0.0, 0.0, 0.3 * height), (0.7 * length, 2.54, 0.5), printed(rng)))
    boxes += _wheels(length, 2.5, 0.48, 0.55)
    for x, look in ((0.5 * length, _WHITE), (-0.5 * length, _RED)):
        boxes += [Box((x, side, 0.8), (0.06, 0.25, 0.2), look) for side in (-1.0, 1.0)]
    return [*boxes, _shade(length, 2.5)]


def two_wheeler(rng: Generator) -> list[Box]:
    """Build a bicycle or a motorcycle, mostly with its rider."""
    heavy = rng.random() < 0.35
    radius, base = (0.31, 1.35) if heavy else (rng.uniform(0.32, 0.36), 1.05)
    frame = smooth(rng, vivid(rng) if rng.random() < 0.6 else dull(rng, 0.05, 0.4))
    thick = 0.12 if heavy else 0.05
    boxes: list[Box] = []
    for x in (-0.5 * base, 0.5 * base):
        boxes += _wheel((x, 0.0), radius, thick)
    if heavy:
        boxes += [
            Box((0.0, 0.0, 0.52), (0.85, 0.34, 0.42), smooth(rng, darker(frame.color, 0.5))),
            Box((0.2, 0.0, 0.82), (0.5, 0.3, 0.22), frame),
            Box((-0.4, 0.0, 0.82), (0.7, 0.28, 0.12), smooth(rng, (0.08, 0.08, 0.08))),
        ]
    else:
        boxes += [
            Box((0.0, 0.0, 0.72), (0.62, 0.04, 0.05), frame),
            Box((-0.05, 0.0, 0.55), (0.7, 0.04, 0.04), frame, tilt=(0.0, 0.7)),
            Box((-0.25, 0.0, 0.62), (0.05, 0.04, 0.6), frame, tilt=(0.0, -0.25)),
        ]
    boxes += [
        Box((0.42 * base, 0.0, 0.7), (0.05, 0.05, 0.7), frame, tilt=(0.0, -0.3)),
        Box((0.32 * base, 0.0, 1.02), (0.05, 0.6, 0.04), smooth(rng, (0.1, 0.1, 0.1))),
    ]
    if rng.random() < 0.85:
        seat = 0.88 if heavy else 0.95
        boxes += [part.moved((-0.25, 0.0, seat)) for part in figure(rng, "riding")]
    return boxes


def _wheels(length: float, width: float, radius: float, base: float) -> list[Box]:
    """Build four wheels under a body."""
    boxes: list[Box] = []
    for x in (-0.5 * base * length, 0.5 * base * length):
        for side in (-1.0, 1.0):
            place = (x, side * (0.5 * width - 0.08))
            boxes += _wheel(place, radius, 0.2)
            boxes.append(Box((*place, radius), (0.9 * radius, 0.24, 0.9 * radius), _RIM))
    return boxes


def _wheel(place: tuple[float, float], radius: float, thick: float) -> list[Box]:
    """Build a wheel that rolls along x: a prism of eight sides."""
    side = 2.0 * radius * math.tan(math.pi / 8.0)
    size = (2.0 * radius, thick, side)
    return [
        Box((*place, radius), size, _TYRE, tilt=(0.0, float(turn)))
        for turn in np.arange(4) * math.pi / 4.0
    ]


def _shade(length: float, width: float) -> Box:
    """Lay a dark sheet on the ground, for the shadow under a body."""
    return Box((0.0, 0.0, 0.006), (length + 0.1, width + 0.1, 0.012), _SHADE)
