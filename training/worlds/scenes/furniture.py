# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Furniture of the rooms in the synthetic worlds.

Every builder draws from the random generator that it is given. What stands against a wall has its
back at y = 0, faces +y, and comes with its width along x; the rest is built around the origin.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from training.worlds.scenes.clutter import drum, foliage, lifted, potted, screen, strew
from training.worlds.scenes.finishes import (
    any_color,
    cloth,
    darker,
    front,
    glow,
    outlook,
    printed,
    smooth,
    tile,
    timber,
)
from training.worlds.scenes.props import art, dull
from training.worlds.world import Box, Material

Built = tuple[float, list[Box]]


def steel(rng: Generator) -> Material:
    """Bare or painted metal."""
    return smooth(rng, dull(rng, 0.05, 0.75, 0.02))


def chair(rng: Generator) -> list[Box]:
    """Build a chair with legs and a back, facing +y."""
    seat, width, depth = rng.uniform(0.42, 0.48), rng.uniform(0.38, 0.5), rng.uniform(0.38, 0.48)
    top = rng.uniform(0.78, 1.0)
    frame = timber(rng) if rng.random() < 0.5 else steel(rng)
    cover = frame if rng.random() < 0.4 else cloth(rng)
    thick = rng.uniform(0.02, 0.05)
    boxes = [Box((0.0, 0.0, seat), (width, depth, rng.uniform(0.03, 0.08)), cover)]
    x, y = width / 2 - thick / 2, depth / 2 - thick / 2
    lean = rng.uniform(0.0, 0.2)
    if rng.random() < 0.8:
        boxes += [
            Box((a * x, b * y, seat / 2), (thick, thick, seat), frame)
            for a in (-1, 1)
            for b in (-1, 1)
        ]
    else:
        boxes += [Box((0.0, 0.0, seat / 2), (0.06, 0.06, seat), frame)]
        boxes += [Box((0.0, 0.0, 0.03), (0.55, 0.05, 0.05), frame, yaw=k * 1.05) for k in range(3)]
    style, high = rng.integers(3), top - seat
    back = -y - 0.5 * lean * high
    if style == 0:
        middle = (0.0, back, seat + 0.65 * high)
        boxes.append(Box(middle, (width, 0.04, 0.65 * high), cover, tilt=(lean, 0.0)))
    else:
        for side in (-x, x):
            rail = (side, back, seat + high / 2)
            boxes.append(Box(rail, (thick, thick, high), frame, tilt=(lean, 0.0)))
        for k in range(int(rng.integers(2, 6))):
            share = 0.95 - 0.18 * k if style == 1 else 0.95
            place = (0.0, -y - lean * high * share, seat + high * share)
            boxes.append(Box(place, (width, 0.02, 0.06), frame, tilt=(lean, 0.0)))
    return boxes


def table(rng: Generator, length: float, width: float, height: float = 0.74) -> list[Box]:
    """Build a table with legs, square or round, with things on it."""
    board = timber(rng) if rng.random() < 0.7 else smooth(rng)
    leg = board if rng.random() < 0.5 else steel(rng)
    thick = rng.uniform(0.02, 0.06)
    if abs(length - width) < 0.3 and rng.random() < 0.5:
        boxes = [*drum(width / 2, thick, board, height - thick), *drum(0.04, height, leg)]
        boxes += drum(0.25 * width, 0.03, leg)
        length = width = 0.7 * width
    else:
        boxes = [Box((0.0, 0.0, height - thick / 2), (length, width, thick), board)]
        side = rng.uniform(0.04, 0.1)
        inset = rng.uniform(0.0, 0.15)
        x, y = length / 2 - inset - side / 2, width / 2 - 0.3 * inset - side / 2
        tall = height - thick
        boxes += [
            Box((a * x, b * y, tall / 2), (side, side, tall), leg) for a in (-1, 1) for b in (-1, 1)
        ]
        if rng.random() < 0.5:
            frame = (0.0, 0.0, tall - 0.04)
            boxes.append(Box(frame, (2 * x, 2 * y, 0.08), leg))
    if rng.random() < 0.15:
        spread = (0.0, 0.0, height + 0.002)
        boxes.append(Box(spread, (length + 0.01, width + 0.01, 0.006), cloth(rng)))
    return boxes + strew(rng, length, width, height + 0.003, rng.choice([1.0, 4.0, 9.0]))


def table_with_chairs(rng: Generator, length: float, width: float) -> list[Box]:
    """Build a table with chairs around it, some pulled out and turned."""
    boxes = table(rng, length, width, rng.uniform(0.7, 0.78))
    model = int(rng.integers(2**31))
    places = [
        (x, side) for x in np.arange(-length / 2 + 0.35, length / 2 - 0.3, 0.6) for side in (0, 1)
    ]
    for x, side in places:
        if rng.random() < 0.2:
            continue
        parts = chair(np.random.default_rng(model))
        out = -(width / 2 + rng.uniform(-0.1, 0.4))
        turned = [part.moved((x, out, 0.0)) for part in _turned(parts, rng.normal(0.0, 0.3))]
        boxes += _turned(turned, side * math.pi)
    return boxes


def _turned(parts: list[Box], yaw: float) -> list[Box]:
    """Turn parts about the z axis."""
    return [part.moved((0.0, 0.0, 0.0), yaw) for part in parts]


def cabinet(rng: Generator) -> Built:
    """Build a wardrobe, a chest of drawers or a sideboard, with things on the low ones."""
    width, depth = rng.uniform(0.5, 2.0), rng.uniform(0.3, 0.65)
    height = rng.choice([rng.uniform(0.5, 1.1), rng.uniform(1.1, 2.3)])
    face = front(rng)
    boxes = [Box((0.0, depth / 2, height / 2), (width, depth, height), face)]
    boxes += _fronts(rng, width, 0.05, height, depth, face)
    if height < 1.3:
        if rng.random() < 0.4:
            top = (0.0, depth / 2, height + 0.015)
            boxes.append(Box(top, (width + 0.03, depth + 0.03, 0.03), timber(rng)))
            height += 0.03
        things = strew(rng, width, depth, height, rng.choice([1.0, 5.0]))
        boxes += [part.moved((0.0, depth / 2, 0.0)) for part in things]
    return width, boxes


def _fronts(
    rng: Generator, width: float, bottom: float, top: float, depth: float, face: Material
) -> list[Box]:
    """Divide a front into doors or drawers with gaps and handles."""
    columns = max(1, round(width / rng.uniform(0.4, 0.7)))
    rows = int(rng.choice([1, 1, 2, 3, 4]))
    handle = steel(rng)
    upright = rng.random() < 0.5
    wide, high = width / columns, (top - bottom) / rows
    shape = (
        (0.015, 0.025, min(0.2, 0.4 * high)) if upright else (min(0.2, 0.5 * wide), 0.025, 0.015)
    )
    boxes = []
    for i in range(columns):
        for j in range(rows):
            x, z = -width / 2 + (i + 0.5) * wide, bottom + (j + 0.5) * high
            boxes.append(Box((x, depth, z), (wide - 0.008, 0.03, high - 0.008), face))
            place = (x + (0.35 * wide if upright else 0.0), depth + 0.03, z + 0.3 * high)
            boxes.append(Box(place, shape, handle))
    return boxes


def open_shelf(rng: Generator) -> Built:
    """Build an open shelf with books and things on its boards."""
    width, height, depth = rng.uniform(0.6, 1.4), rng.uniform(0.8, 2.2), rng.uniform(0.24, 0.4)
    board = front(rng)
    boxes = [
        Box((side * (width / 2 - 0.01), depth / 2, height / 2), (0.02, depth, height), board)
        for side in (-1, 1)
    ]
    if rng.random() < 0.6:
        boxes.append(Box((0.0, 0.01, height / 2), (width, 0.02, height), board))
    step = rng.uniform(0.28, 0.45)
    for z in np.arange(0.05, height, step):
        boxes.append(Box((0.0, depth / 2, z), (width, depth, 0.02), board))
        x = -width / 2 + 0.05
        if rng.random() < 0.6:
            while x < rng.uniform(-0.2, 0.45) * width:
                thick, tall = rng.uniform(0.015, 0.07), rng.uniform(0.55, 0.92) * step
                book = Box(
                    (x + thick / 2, 0.04 + 0.35 * depth, z + 0.01 + tall / 2),
                    (thick - 0.002, 0.7 * depth, tall),
                    printed(rng) if rng.random() < 0.2 else smooth(rng),
                )
                boxes.append(book)
                x += thick
        room = width / 2 - x
        if room > 0.2:
            things = strew(rng, room, depth, z + 0.01, 5.0, z + step - 0.03)
            boxes += [part.moved((x + room / 2, depth / 2, 0.0)) for part in things]
    return width, boxes


def couch(rng: Generator) -> Built:
    """Build a sofa or an armchair with cushions."""
    width, cover = rng.choice([rng.uniform(0.7, 1.0), rng.uniform(1.5, 2.4)]), cloth(rng)
    seat, depth, arm = rng.uniform(0.36, 0.46), rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.25)
    back = rng.uniform(0.7, 0.95)
    boxes = [
        Box((0.0, depth / 2, seat / 2 + 0.03), (width, depth, seat - 0.06), cover),
        Box((0.0, 0.13, back / 2 + 0.05), (width, 0.22, back - 0.05), cover, tilt=(0.12, 0.0)),
    ]
    for side in (-1, 1):
        place = (side * (width / 2 - arm / 2), depth / 2, 0.33)
        boxes.append(Box(place, (arm, depth, 0.6), cover))
    count = max(1, round(width / 0.75))
    inside = (width - 2 * arm) / count
    for k in range(count):
        x = -width / 2 + arm + (k + 0.5) * inside
        boxes.append(
            Box((x, depth / 2 + 0.1, seat + 0.04), (inside - 0.01, depth - 0.25, 0.12), cover)
        )
    for _ in range(int(rng.integers(0, 4))):
        x = rng.uniform(-0.5, 0.5) * (width - 2 * arm - 0.3)
        lean = (rng.uniform(0.2, 0.5), rng.normal(0.0, 0.3))
        place = (x, 0.36, seat + 0.26)
        boxes.append(Box(place, (0.42, 0.13, 0.4), cloth(rng), rng.normal(0.0, 0.2), lean))
    return width, boxes


def bed(rng: Generator) -> Built:
    """Build a bed, its head at the wall."""
    width, high = rng.uniform(0.9, 1.8), rng.uniform(0.35, 0.6)
    frame, sheet, cover = front(rng), cloth(rng), cloth(rng)
    boxes = [
        Box((0.0, 1.03, 0.5 * high), (width + 0.06, 2.06, 0.6 * high), frame),
        Box((0.0, 1.03, high), (width, 2.0, 0.2), sheet),
        Box((0.0, 1.35, high + 0.06), (width + 0.1, 1.36, 0.16), cover, rng.normal(0.0, 0.04)),
        Box((0.0, 0.03, 0.5), (width + 0.06, 0.06, rng.uniform(0.8, 1.2)), frame),
    ]
    for x in (-0.25, 0.25) if width > 1.2 else (0.0,):
        place = (x * width, 0.3, high + 0.18)
        lean = (rng.uniform(-0.1, 0.4), rng.normal(0.0, 0.1))
        boxes.append(Box(place, (0.6, 0.4, 0.16), sheet, rng.normal(0.0, 0.1), lean))
    return width + 0.1, boxes


def worktable(rng: Generator) -> Built:
    """Build a desk with things on it and a chair before it, or a coffee table."""
    width, depth = rng.uniform(1.0, 1.8), rng.uniform(0.5, 0.8)
    boxes = [part.moved((0.0, depth / 2, 0.0)) for part in table(rng, width, depth)]
    out = depth + rng.uniform(0.0, 0.4)
    seat = _turned(chair(rng), math.pi + rng.normal(0.0, 0.5))
    return width, boxes + [part.moved((rng.normal(0.0, 0.15), out, 0.0)) for part in seat]


def doorway(rng: Generator) -> Built:
    """Build a door in its frame, closed or standing open into the room."""
    leaf = smooth(rng) if rng.random() < 0.6 else timber(rng)
    frame = leaf if rng.random() < 0.3 else smooth(rng)
    boxes = [Box((x, 0.02, 1.03), (0.09, 0.06, 2.06), frame) for x in (-0.48, 0.48)]
    boxes.append(Box((0.0, 0.02, 2.06), (1.05, 0.06, 0.09), frame))
    parts = [Box((0.44, 0.0, 1.01), (0.86, 0.04, 2.0), leaf)]
    if rng.random() < 0.4:
        panel = Material(darker(leaf.color, 0.8), leaf.color, contrast=0.05)
        parts += [Box((0.44, 0.0, z), (0.6, 0.044, 0.75), panel) for z in (0.55, 1.45)]
    parts += [Box((0.8, y, 1.02), (0.13, 0.03, 0.025), steel(rng)) for y in (-0.05, 0.05)]
    angle = rng.uniform(0.3, 1.8) if rng.random() < 0.35 else 0.0
    boxes += [part.moved((-0.43, 0.045, 0.0), angle) for part in parts]
    if angle:
        boxes.append(Box((0.0, 0.005, 1.0), (0.9, 0.01, 2.0), smooth(rng, dull(rng, 0.05, 0.8))))
    return 1.1, boxes


def window(rng: Generator) -> Built:
    """Build a bright window with bars, a sill, perhaps a radiator below and curtains."""
    width, low = rng.uniform(0.7, 2.2), rng.choice([0.1, rng.uniform(0.7, 1.1)])
    high = rng.uniform(max(1.7, low + 0.7), 2.2)
    middle, tall = (low + high) / 2, high - low
    frame = smooth(rng, dull(rng, 0.6, 0.95, 0.03)) if rng.random() < 0.7 else timber(rng)
    boxes = [Box((0.0, 0.005, middle), (width, 0.01, tall), outlook(rng))]
    count = int(rng.integers(1, 4))
    for k in range(count + 1):
        x = -width / 2 + k * width / count
        boxes.append(Box((x, 0.03, middle), (0.07, 0.06, tall + 0.07), frame))
    for z in (low, high, *([low + 0.7 * tall] if rng.random() < 0.4 else [])):
        boxes.append(Box((0.0, 0.03, z), (width + 0.07, 0.06, 0.07), frame))
    boxes.append(Box((0.0, 0.1, low - 0.02), (width + 0.2, 0.2, 0.03), frame))
    if low > 0.6:
        if rng.random() < 0.6:
            boxes += radiator(rng, 0.9 * width, low - 0.15)
        if rng.random() < 0.4:
            things = strew(rng, width, 0.15, low, 12.0)
            boxes += [part.moved((0.0, 0.1, 0.0)) for part in things]
    if rng.random() < 0.4:
        curtain, fold = cloth(rng), rng.uniform(0.06, 0.12)
        for side in (-1, 1):
            for k in range(int(rng.integers(3, 8))):
                x = side * (width / 2 + 0.2 - k * fold)
                place = (x, 0.14 + 0.03 * (k % 2), 1.15)
                boxes.append(Box(place, (fold, 0.05, 2.25), curtain, 0.5 * (-1) ** k))
    return width + 0.4, boxes


def radiator(rng: Generator, width: float, height: float) -> list[Box]:
    """Build a ribbed radiator against the wall."""
    white = smooth(rng, dull(rng, 0.75, 0.95, 0.03))
    step = rng.uniform(0.05, 0.09)
    high = max(0.3, height - 0.12)
    ribs = np.arange(-width / 2, width / 2, step)
    boxes = [Box((0.0, 0.07, 0.1 + high / 2), (width, 0.04, 0.9 * high), white)]
    return boxes + [Box((x, 0.08, 0.1 + high / 2), (0.6 * step, 0.1, high), white) for x in ribs]


def on_wall(rng: Generator, width: float) -> list[Box]:
    """Hang pictures, boards, a screen, a shelf with things or switches on a stretch of wall."""
    kind = rng.random()
    boxes: list[Box] = []
    if kind < 0.25:
        return boxes
    if kind < 0.65:
        for x in np.arange(-width / 2 + 0.3, width / 2 - 0.2, rng.uniform(0.5, 1.2)):
            size, z = (rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.7)), rng.normal(1.55, 0.12)
            boxes.append(Box((x, 0.012, z), (size[0], 0.024, size[1]), smooth(rng)))
            picture = printed(rng) if rng.random() < 0.6 else art(rng)
            boxes.append(Box((x, 0.015, z), (0.9 * size[0], 0.024, 0.9 * size[1]), picture))
    elif kind < 0.78:
        size = (min(width, rng.uniform(0.8, 1.5)), rng.uniform(0.5, 1.0))
        look = screen(rng) if rng.random() < 0.5 else smooth(rng, dull(rng, 0.75, 0.95))
        boxes.append(Box((0.0, 0.03, 1.55), (size[0], 0.06, size[1]), steel(rng)))
        boxes.append(Box((0.0, 0.034, 1.55), (size[0] - 0.05, 0.06, size[1] - 0.05), look))
    else:
        z, deep = rng.uniform(1.2, 1.7), rng.uniform(0.15, 0.3)
        boxes.append(Box((0.0, deep / 2, z), (0.8 * width, deep, 0.03), front(rng)))
        things = strew(rng, 0.8 * width, deep, z + 0.015, 12.0)
        boxes += [part.moved((0.0, deep / 2, 0.0)) for part in things]
    if rng.random() < 0.4:
        place = (rng.uniform(-0.4, 0.4) * width, 0.008, rng.choice([0.3, 1.1]))
        boxes.append(Box(place, (0.16, 0.016, 0.08), smooth(rng, dull(rng, 0.7, 0.95))))
    return boxes


def kitchen_run(rng: Generator, width: float) -> list[Box]:
    """Build a kitchen unit along a wall: cupboards below and above, worktop, sink, hob, things."""
    face, top = front(rng), timber(rng) if rng.random() < 0.4 else smooth(rng)
    deep, high = rng.uniform(0.55, 0.66), rng.uniform(0.84, 0.94)
    back = tile(rng) if rng.random() < 0.6 else smooth(rng)
    boxes = [
        Box((0.0, deep / 2 - 0.03, 0.06), (width, deep - 0.06, 0.12), steel(rng)),
        Box((0.0, deep / 2, 0.1 + (high - 0.14) / 2), (width, deep, high - 0.14), face),
        Box((0.0, deep / 2 + 0.01, high - 0.02), (width + 0.01, deep + 0.04, 0.04), top),
        Box((0.0, 0.004, high + 0.3), (width, 0.008, 0.6), back),
    ]
    boxes += _fronts(rng, width, 0.13, high - 0.06, deep, face)
    metal = smooth(rng, dull(rng, 0.5, 0.8, 0.02))
    x = rng.uniform(-0.3, 0.3) * width
    if rng.random() < 0.6:  # a sink and its tap
        basin = Material(darker(metal.color, 0.5), contrast=0.05)
        boxes.append(Box((x, deep / 2, high + 0.003), (0.5, 0.42, 0.006), metal))
        boxes.append(Box((x, deep / 2, high + 0.004), (0.42, 0.34, 0.006), basin))
        boxes.append(Box((x, 0.1, high + 0.14), (0.025, 0.025, 0.28), metal))
        boxes.append(Box((x, 0.18, high + 0.27), (0.025, 0.18, 0.025), metal))
    if rng.random() < 0.6:  # a hob above an oven
        x = math.copysign(width / 2 - 0.35, -x)
        black = smooth(rng, (0.04, 0.04, 0.045))
        boxes.append(Box((x, deep / 2, high + 0.004), (0.58, 0.5, 0.008), black))
        boxes.append(Box((x, deep, 0.45), (0.58, 0.05, 0.55), black))
        boxes.append(Box((x, deep + 0.05, 0.68), (0.45, 0.02, 0.02), metal))
    if rng.random() < 0.7:
        low, deeper, tall = (
            high + rng.uniform(0.45, 0.6),
            rng.uniform(0.3, 0.38),
            rng.uniform(0.4, 0.8),
        )
        wide = width * rng.uniform(0.5, 1.0)
        x = rng.uniform(-0.5, 0.5) * (width - wide)
        upper = [Box((0.0, deeper / 2, low + tall / 2), (wide, deeper, tall), face)]
        upper += _fronts(rng, wide, low, low + tall, deeper, face)
        boxes += [part.moved((x, 0.0, 0.0)) for part in upper]
    things = strew(rng, width, deep - 0.1, high, rng.choice([2.0, 6.0, 12.0]), high + 0.45)
    return boxes + [part.moved((0.0, deep / 2, 0.0)) for part in things]


def fridge(rng: Generator) -> Built:
    """Build a refrigerator or another tall appliance."""
    width, height = rng.uniform(0.55, 0.8), rng.uniform(0.85, 2.0)
    white = smooth(rng, dull(rng, 0.4, 0.95, 0.03)) if rng.random() < 0.8 else smooth(rng)
    boxes = [Box((0.0, 0.3, height / 2), (width, 0.6, height), white)]
    boxes.append(Box((0.0, 0.61, 0.65 * height), (width, 0.04, 0.68 * height), white))
    boxes.append(Box((0.4 * width, 0.65, 0.6 * height), (0.03, 0.04, 0.3), steel(rng)))
    for _ in range(int(rng.integers(0, 5))):
        place = (rng.uniform(-0.3, 0.3) * width, 0.632, rng.uniform(0.5, 0.9) * height)
        boxes.append(
            Box(place, (0.12, 0.004, 0.15), printed(rng), tilt=(0.0, rng.normal(0.0, 0.1)))
        )
    return width, boxes


def tall_plant(rng: Generator) -> Built:
    """Build a plant as tall as a child or a person, in its pot."""
    size = rng.uniform(0.7, 1.9)
    boxes = potted(rng, size)
    for _ in range(int(rng.integers(1, 3))):
        boxes += lifted(foliage(rng, 0.4 * size, 16), rng.uniform(0.4, 0.8) * size)
    width = 0.5 * size + 0.2
    return width, [part.moved((0.0, width / 2, 0.0)) for part in boxes]


def floor_lamp(rng: Generator) -> Built:
    """Build a lamp on a pole."""
    height = rng.uniform(1.2, 1.8)
    shade = drum(
        rng.uniform(0.12, 0.25), 0.3, glow(rng) if rng.random() < 0.5 else cloth(rng), height
    )
    boxes = [*drum(0.15, 0.03, steel(rng)), *drum(0.015, height, steel(rng)), *shade]
    return 0.5, [part.moved((0.0, 0.25, 0.0)) for part in boxes]


def ceiling_lamp(rng: Generator, ceiling: float) -> list[Box]:
    """Build a lamp under the ceiling: a panel, a tube, a drum or a hanging one."""
    kind = rng.integers(4)
    if kind == 0:
        return [Box((0.0, 0.0, ceiling - 0.01), (0.6, rng.choice([0.6, 1.2]), 0.04), glow(rng))]
    if kind == 1:
        return [Box((0.0, 0.0, ceiling - 0.05), (0.12, 1.3, 0.08), glow(rng))]
    if kind == 2:
        return drum(rng.uniform(0.1, 0.25), 0.1, glow(rng), ceiling - 0.1)
    drop, radius = rng.uniform(0.3, 0.8), rng.uniform(0.12, 0.3)
    cord = Box((0.0, 0.0, ceiling - drop / 2), (0.01, 0.01, drop), steel(rng))
    return [cord, *drum(radius, 0.2, smooth(rng, any_color(rng)), ceiling - drop)]
