# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small things that lie and stand about in the rooms of the synthetic worlds.

Every builder draws from the random generator that it is given and builds around the origin,
standing on z = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from numpy.random import Generator

from training.worlds.scenes.finishes import any_color, darker, glow, printed, smooth
from training.worlds.scenes.props import dull, vivid
from training.worlds.world import Box, Material


def drum(radius: float, height: float, material: Material, z: float = 0.0) -> list[Box]:
    """Build an upright prism of eight sides."""
    side = 2.0 * radius * math.tan(math.pi / 8.0)
    return [
        Box((0.0, 0.0, z + height / 2), (2.0 * radius, side, height), material, yaw=k * math.pi / 4)
        for k in range(4)
    ]


def lifted(parts: Sequence[Box], z: float) -> list[Box]:
    """Raise parts."""
    return [part.moved((0.0, 0.0, z)) for part in parts]


def ball(rng: Generator, radius: float, material: Material) -> list[Box]:
    """Build something round of three turned blocks."""
    size = 1.5 * radius
    return [
        Box(
            (0.0, 0.0, radius),
            (size, size, size),
            material,
            yaw=rng.uniform(0.0, 1.57),
            tilt=(rng.uniform(0.0, 1.57), rng.uniform(0.0, 1.57)),
        )
        for _ in range(3)
    ]


def packet(rng: Generator) -> list[Box]:
    """Build a box, a carton or an appliance."""
    width, depth, height = rng.uniform(0.06, 0.35), rng.uniform(0.04, 0.25), rng.uniform(0.04, 0.35)
    look = printed(rng) if rng.random() < 0.5 else smooth(rng)
    return [Box((0.0, 0.0, height / 2), (width, depth, height), look)]


def papers(rng: Generator) -> list[Box]:
    """Lay out a few sheets or magazines."""
    boxes = []
    for k in range(int(rng.integers(1, 4))):
        size = (0.21, 0.297) if rng.random() < 0.7 else (0.15, 0.21)
        x, y = rng.normal(0.0, 0.09, 2) if k else (0.0, 0.0)
        place = (float(x), float(y), 0.002 + 0.004 * k)
        boxes.append(Box(place, (*size, 0.004), printed(rng), rng.uniform(0.0, 3.14)))
    return boxes


def book_pile(rng: Generator) -> list[Box]:
    """Pile up books."""
    boxes, z = [], 0.0
    for _ in range(int(rng.integers(1, 6))):
        size = (rng.uniform(0.12, 0.25), rng.uniform(0.16, 0.32), rng.uniform(0.01, 0.05))
        cover = printed(rng) if rng.random() < 0.5 else smooth(rng)
        boxes.append(Box((0.0, 0.0, z + size[2] / 2), size, cover, rng.normal(0.0, 0.25)))
        z += size[2]
    return boxes


def standing_card(rng: Generator) -> list[Box]:
    """Build a picture, a book or a screen that leans back a little."""
    width, height = rng.uniform(0.1, 0.3), rng.uniform(0.12, 0.35)
    place = (0.0, 0.0, 0.48 * height)
    return [Box(place, (width, 0.015, height), printed(rng), tilt=(-rng.uniform(0.05, 0.4), 0.0))]


def mug(rng: Generator) -> list[Box]:
    """Build a mug with a handle, or a jar."""
    radius, height = rng.uniform(0.03, 0.05), rng.uniform(0.07, 0.13)
    look = smooth(rng)
    dark = Material(darker(look.color, 0.3), contrast=0.05)
    boxes = [replace(part, top=dark) for part in drum(radius, height, look)]
    return [*boxes, Box((radius + 0.015, 0.0, height / 2), (0.03, 0.012, 0.6 * height), look)]


def bottle(rng: Generator) -> list[Box]:
    """Build a bottle."""
    radius, height, look = rng.uniform(0.025, 0.05), rng.uniform(0.15, 0.25), smooth(rng)
    neck = drum(0.4 * radius, 0.35 * height, look, height)
    label = drum(radius + 0.002, 0.4 * height, printed(rng), 0.25 * height)
    return [*drum(radius, height, look), *label[: 4 * int(rng.integers(2))], *neck]


def bowl(rng: Generator) -> list[Box]:
    """Build a bowl or a basket of fruit."""
    radius = rng.uniform(0.1, 0.2)
    boxes = drum(radius, 0.07, smooth(rng))
    for _ in range(int(rng.integers(3, 8))):
        x, y = rng.uniform(-0.6, 0.6, 2) * radius
        fruit = ball(rng, rng.uniform(0.03, 0.05), smooth(rng, vivid(rng)))
        boxes += [part.moved((float(x), float(y), 0.04)) for part in fruit]
    return boxes


def laptop(rng: Generator) -> list[Box]:
    """Build an open laptop, its screen facing +y."""
    shell = smooth(rng, dull(rng, 0.05, 0.75, 0.02))
    keys = Material(dull(rng, 0.03, 0.2), shell.color, (0.02, 0.02), (0.85, 0.85), contrast=0.02)
    lid = Box((0.0, -0.15, 0.11), (0.33, 0.01, 0.22), screen(rng), tilt=(-0.3, 0.0))
    return [Box((0.0, 0.0, 0.01), (0.33, 0.23, 0.02), shell, top=keys), lid]


def screen(rng: Generator) -> Material:
    """Draw what a screen shows: often nothing."""
    if rng.random() < 0.5:
        return Material((0.05, 0.05, 0.06), (0.15, 0.15, 0.17), mottle=0.4, contrast=0.1)
    return Material(
        any_color(rng), vivid(rng), (rng.uniform(0.05, 0.3), rng.uniform(0.03, 0.2)), (0.9, 0.8),
        tint=0.4, variety=0.3, contrast=0.1,
    )  # fmt: skip


def monitor(rng: Generator) -> list[Box]:
    """Build a monitor on its foot, facing +y."""
    width = rng.uniform(0.4, 0.75)
    black = smooth(rng, dull(rng, 0.03, 0.3, 0.01))
    return [
        Box((0.0, 0.0, 0.01), (0.24, 0.18, 0.02), black),
        Box((0.0, -0.03, 0.12), (0.05, 0.04, 0.24), black),
        Box((0.0, 0.0, 0.34), (width, 0.03, 0.58 * width), black),
        Box((0.0, 0.004, 0.34), (width - 0.03, 0.03, 0.58 * width - 0.03), screen(rng)),
    ]


def table_lamp(rng: Generator) -> list[Box]:
    """Build a lamp with a shade."""
    height, radius = rng.uniform(0.25, 0.45), rng.uniform(0.08, 0.15)
    shade = glow(rng) if rng.random() < 0.5 else smooth(rng)
    return [*drum(0.02, height, smooth(rng)), *drum(radius, 0.8 * radius + 0.06, shade, height)]


def foliage(rng: Generator, spread: float, count: int) -> list[Box]:
    """Build leaves in all directions, from the origin upwards."""
    green = rng.uniform(0.12, 0.4)
    color = (green * rng.uniform(0.3, 0.9), green, green * rng.uniform(0.15, 0.5))
    leaf = Material(color, darker(color, 0.5), mottle=0.6, contrast=0.35, grain=(0.15, 0.15))
    boxes = []
    for _ in range(count):
        length, rise, turn = (
            spread * rng.uniform(0.5, 1.0),
            rng.uniform(-0.3, 1.3),
            rng.uniform(0, 6.28),
        )
        middle = 0.55 * length
        out = middle * math.cos(rise)
        boxes.append(
            Box(
                (
                    out * math.cos(turn),
                    out * math.sin(turn),
                    middle * math.sin(rise) + 0.3 * spread,
                ),
                (length, rng.uniform(0.1, 0.3) * length, 0.01),
                leaf,
                yaw=turn,
                tilt=(rng.normal(0.0, 0.5), -rise),
            )
        )
    return boxes


def potted(rng: Generator, size: float = 0.0) -> list[Box]:
    """Build a plant in a pot, of a height in metres."""
    size = size or rng.uniform(0.15, 0.4)
    pot = drum(0.22 * size, 0.35 * size, smooth(rng))
    stem = Box((0.0, 0.0, 0.45 * size), (0.02, 0.02, 0.5 * size), smooth(rng, (0.25, 0.2, 0.1)))
    return [*pot, stem, *lifted(foliage(rng, 0.5 * size, int(rng.integers(10, 26))), 0.4 * size)]


_SMALL = (packet, packet, papers, papers, book_pile, standing_card, mug, mug, bottle, bowl)
_OTHERS = (laptop, monitor, table_lamp, potted)


def thing(rng: Generator) -> list[Box]:
    """Build any small thing, facing +y."""
    if rng.random() < 0.85:
        return _SMALL[rng.integers(len(_SMALL))](rng)
    return _OTHERS[rng.integers(len(_OTHERS))](rng)


def strew(
    rng: Generator, width: float, depth: float, z: float, density: float, tallest: float = 9.0
) -> list[Box]:
    """Strew small things over a surface around (0, 0, z); `density` is their number per m²."""
    boxes: list[Box] = []
    for _ in range(int(rng.poisson(density * width * depth))):
        parts = thing(rng)
        if max(part.center[2] + part.size[2] / 2 for part in parts) > tallest:
            continue
        x = rng.uniform(-0.5, 0.5) * max(width - 0.2, 0.0)
        y = rng.uniform(-0.5, 0.5) * max(depth - 0.2, 0.0)
        turn = rng.normal(0.0, 0.5) if rng.random() < 0.7 else rng.uniform(0.0, 6.28)
        boxes += [part.moved((x, y, z), turn) for part in parts]
    return boxes


def floor_things(rng: Generator) -> list[Box]:
    """Build something that stands on the floor: a carton, a bag, a bin, a ball, shoes, a toy."""
    kind = rng.integers(6)
    if kind == 0:
        size = rng.uniform(0.2, 0.6, 3)
        brownish = smooth(rng, (0.55, 0.4, 0.25))
        turn, lean = rng.uniform(0.0, 3.0), (rng.normal(0.0, 0.04), 0.0)
        place = (0.0, 0.0, float(size[2]) / 2)
        return [Box(place, (float(size[0]), float(size[1]), float(size[2])), brownish, turn, lean)]
    if kind == 1:
        bag, lean = smooth(rng), (rng.normal(0.0, 0.3), rng.normal(0.0, 0.2))
        return [
            Box((0.0, 0.0, 0.2), (0.32, 0.2, 0.42), bag, tilt=lean),
            Box((0.0, 0.13, 0.15), (0.24, 0.1, 0.22), smooth(rng), tilt=lean),
        ]
    if kind == 2:
        return drum(rng.uniform(0.1, 0.2), rng.uniform(0.25, 0.6), smooth(rng))
    if kind == 3:
        return ball(rng, rng.uniform(0.08, 0.2), smooth(rng, vivid(rng)))
    if kind == 4:
        shoe = smooth(rng)
        return [
            Box((x, rng.normal(0.0, 0.05), 0.05), (0.1, 0.28, 0.1), shoe, rng.normal(0.0, 0.3))
            for x in (-0.08, 0.08)
        ]
    return [*packet(rng), *(part.moved((0.3, 0.1, 0.0)) for part in packet(rng))]
