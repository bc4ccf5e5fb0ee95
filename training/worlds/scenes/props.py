# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Things that stand and move in the synthetic worlds, and what they are made of.

Every builder draws sizes and colours from the random generator that it is given. Outdoors, things
are built around the origin, on the ground. Furniture is built with its back at y = 0, facing +y,
and comes with its width along x.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from training.worlds.world import Box, Color, Material

_GLASS: Color = (0.16, 0.20, 0.26)
_WOODS: tuple[Color, ...] = ((0.55, 0.38, 0.22), (0.42, 0.27, 0.15), (0.70, 0.55, 0.36))
_TYRE = Material((0.07, 0.07, 0.08), contrast=0.3, grain=(0.3, 0.3))
_SHADE = Material((0.12, 0.12, 0.13), contrast=0.4, grain=(0.6, 0.6))
_STEEL = Material((0.42, 0.44, 0.46), contrast=0.15, grain=(0.5, 0.5))


def car(rng: Generator, length: float = 4.2) -> list[Box]:
    """Build a car (a van when long), heading along x, its origin on the ground in the middle."""
    width, height = 0.42 * length, 0.16 * length
    color = vivid(rng) if rng.random() < 0.4 else dull(rng, 0.1, 0.85, 0.03)
    paint = Material(
        color, (0.1, 0.1, 0.1), cell=(length / 4, 1.0), fill=(0.97, 1.0), contrast=0.15
    )
    cabin = Material(_GLASS, color, cell=(0.22 * length, 1.0), fill=(0.85, 0.75), tint=0.3)
    wheel = 0.075 * length
    boxes = [
        Box((0.0, 0.0, wheel + height / 2), (length, width, height), paint),
        Box(
            (-0.06 * length, 0.0, wheel + 1.42 * height),
            (0.55 * length, 0.88 * width, 0.84 * height),
            cabin,
            top=paint,
        ),
        # Lamps and number plate give the rear and the front something to hold on to.
        Box(
            (0.0, 0.0, wheel + 0.62 * height),
            (length + 0.04, 0.94 * width, 0.24 * height),
            Material((0.75, 0.1, 0.08), (0.9, 0.88, 0.8), (0.3 * width, 1.0), (0.5, 1.0)),
        ),
    ]
    boxes += [
        Box((x * length, y * width, wheel), (0.15 * length, 0.2, 2 * wheel), _TYRE)
        for x in (-0.3, 0.3)
        for y in (-0.46, 0.46)
    ]
    # A dark sheet on the ground, for the shadow.
    boxes.append(Box((0.0, 0.0, 0.01), (length + 0.2, width + 0.2, 0.02), _SHADE))
    return boxes


def person(rng: Generator) -> list[Box]:
    """Build a standing person, facing along x."""
    height = rng.uniform(1.55, 1.9)
    coat = Material(vivid(rng), vivid(rng), (0.3, 0.16), (1.0, 0.7), contrast=0.35)
    trousers = Material(dull(rng, 0.15, 0.4), contrast=0.4, grain=(0.4, 0.4))
    skin = Material((0.72, 0.53, 0.42), contrast=0.25, grain=(0.2, 0.2))
    boxes = [
        Box((0.0, 0.0, 0.70 * height), (0.26, 0.46, 0.34 * height), coat),
        Box((0.0, 0.0, 0.92 * height), (0.2, 0.18, 0.16 * height), skin),
    ]
    boxes += [
        Box((0.0, y, 0.265 * height), (0.18, 0.17, 0.53 * height), trousers) for y in (-0.11, 0.11)
    ]
    return boxes


def cart(rng: Generator) -> list[Box]:
    """Build a small wheeled robot, heading along x."""
    body = Material(vivid(rng), (0.1, 0.1, 0.1), (0.15, 0.1), (0.8, 0.7), tint=0.3)
    return [
        Box((0.0, 0.0, 0.30), (0.6, 0.5, 0.4), body),
        Box((0.0, 0.0, 0.75), (0.25, 0.3, 0.5), Material(vivid(rng), contrast=0.4)),
        Box((0.0, 0.24, 0.1), (0.3, 0.08, 0.2), _TYRE),
        Box((0.0, -0.24, 0.1), (0.3, 0.08, 0.2), _TYRE),
    ]


def house(rng: Generator, width: float, depth: float) -> list[Box]:
    """Build a house with windows, and perhaps a plinth or a shop; y leads away from the street."""
    storeys = int(rng.integers(1, 6))
    height = 3.0 * storeys + rng.uniform(0.5, 1.5)
    plaster = dull(rng, 0.4, 0.85, 0.1)
    facade = Material(
        _GLASS,
        plaster,
        cell=(rng.uniform(1.6, 3.0), 3.0),
        fill=(rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.6)),
        tint=0.6,
        contrast=rng.uniform(0.2, 0.35),
        grain=(3.0, 3.0),
    )
    roof = gravel(rng)
    boxes = [Box((0.0, 0.0, height / 2), (width, depth, height), facade, top=roof)]
    style = rng.random()
    if style < 0.4:
        base = bricks(rng, rng.uniform(0.3, 0.7))
        boxes.append(Box((0.0, 0.0, 0.6), (width + 0.1, depth + 0.1, 1.2), base))
    elif style < 0.75:
        # A shop: large panes under a coloured sign.
        shop = Material(_GLASS, dull(rng, 0.2, 0.6), (2.4, 3.0), (0.85, 0.8), 0.0, 0.5)
        sign = Material(vivid(rng), vivid(rng), (0.4, 0.6), (0.7, 0.6), variety=0.3)
        boxes.append(Box((0.0, 0.0, 1.5), (width + 0.1, depth + 0.1, 3.0), shop))
        boxes.append(Box((0.0, 0.0, 3.1), (width + 0.5, depth + 0.5, 0.5), sign))
    cornice = Material(dull(rng, 0.3, 0.7), contrast=0.3)
    boxes.append(Box((0.0, 0.0, height), (width + 0.4, depth + 0.4, 0.4), cornice, top=roof))
    return boxes


def fence(rng: Generator, width: float) -> list[Box]:
    """Build a fence or a garden wall along x."""
    height = rng.uniform(1.0, 2.4)
    material = bricks(rng, 0.5) if rng.random() < 0.5 else planks(rng)
    return [Box((0.0, 0.0, height / 2), (width, 0.3, height), material)]


def tree(rng: Generator) -> list[Box]:
    """Build a tree: a trunk, and a crown of three leafy blocks."""
    height, spread = rng.uniform(1.6, 3.2), rng.uniform(1.4, 2.8)
    bark = Material(_WOODS[1], (0.25, 0.2, 0.15), mottle=0.6, contrast=0.5, grain=(0.2, 0.8))
    hue = rng.uniform(0.0, 0.15)
    leaves = Material(
        (0.20 + hue, 0.36 + hue / 2, 0.12),
        (0.10 + hue, 0.20 + hue / 2, 0.06),
        mottle=0.9,
        contrast=0.6,
        grain=(0.9, 0.9),
    )
    boxes = [Box((0.0, 0.0, height / 2), (0.25, 0.25, height), bark)]
    for _ in range(3):
        x, y, z = rng.normal(0.0, 0.15 * spread, 3)
        size = spread * rng.uniform(0.6, 1.0, 3)
        boxes.append(
            Box(
                (x, y, height + 0.35 * spread + z),
                (size[0], size[1], size[2]),
                leaves,
                yaw=rng.uniform(0.0, 3.14),
                tilt=(rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)),
            )
        )
    return boxes


def lamp_post(rng: Generator) -> list[Box]:
    """Build a street lamp whose arm is along y."""
    height = rng.uniform(4.0, 6.0)
    return [
        Box((0.0, 0.0, height / 2), (0.14, 0.14, height), _STEEL),
        Box((0.0, 0.0, height), (0.3, 0.9, 0.15), _STEEL),
        Box((0.0, 0.0, 0.4), (0.3, 0.3, 0.8), Material(vivid(rng), contrast=0.3)),
    ]


def crates(rng: Generator) -> list[Box]:
    """Pile up to three wooden crates."""
    boxes, z = [], 0.0
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.4, 0.9)
        turn = rng.uniform(0.0, 1.57)
        boxes.append(Box((0.0, 0.0, z + size / 2), (size, size, size), planks(rng), yaw=turn))
        z += size
    return boxes


def rocks(rng: Generator) -> list[Box]:
    """Heap up to three rocks."""
    stone = Material(
        dull(rng, 0.35, 0.6, 0.04), (0.3, 0.3, 0.27), mottle=0.7, contrast=0.5, grain=(0.8, 0.8)
    )
    boxes = []
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.4, 1.8) * rng.uniform(0.5, 1.0, 3)
        x, y = rng.normal(0.0, 0.8, 2)
        boxes.append(
            Box(
                (x, y, 0.2 * size[2]),
                (size[0], size[1], size[2]),
                stone,
                yaw=rng.uniform(0.0, 3.14),
                tilt=(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)),
            )
        )
    return boxes


def hut(rng: Generator) -> list[Box]:
    """Build a hut with a door and a window on two sides."""
    width, depth, height = rng.uniform(2.5, 6.0), rng.uniform(2.5, 5.0), rng.uniform(2.2, 3.2)
    wall = bricks(rng, 0.4) if rng.random() < 0.5 else planks(rng)
    door = Material(vivid(rng), _WOODS[1], (0.25, 2.0), (0.9, 0.97))
    window = Material(_GLASS, (0.85, 0.85, 0.8), (0.5, 0.5), (0.85, 0.85), tint=0.4)
    return [
        Box((0.0, 0.0, height / 2), (width, depth, height), wall),
        Box((0.0, 0.0, height + 0.1), (width + 0.6, depth + 0.6, 0.25), planks(rng)),
        Box((-0.2 * width, 0.0, 1.0), (0.9, depth + 0.1, 2.0), door),
        Box((0.25 * width, 0.0, 1.5), (1.0, depth + 0.1, 0.9), window),
    ]


def low_wall(rng: Generator) -> list[Box]:
    """Build a stretch of brick wall."""
    height = rng.uniform(0.6, 2.0)
    size = (rng.uniform(2.0, 7.0), 0.4, height)
    return [Box((0.0, 0.0, height / 2), size, bricks(rng, rng.uniform(0.3, 0.8)))]


def shelf(rng: Generator) -> tuple[float, list[Box]]:
    """Build a shelf full of books."""
    width, height = rng.uniform(0.8, 1.6), rng.uniform(1.6, 2.2)
    books = Material(
        (0.5, 0.42, 0.36),
        (0.16, 0.11, 0.08),
        (0.045, 0.32),
        (0.95, 0.82),
        tint=0.4,
        variety=0.35,
        contrast=0.2,
        grain=(0.5, 0.5),
    )
    board = wood(rng)
    return width, [
        Box((0.0, 0.15, height / 2), (width - 0.08, 0.28, height - 0.06), books),
        Box((-width / 2 + 0.02, 0.16, height / 2), (0.04, 0.32, height), board),
        Box((width / 2 - 0.02, 0.16, height / 2), (0.04, 0.32, height), board),
        Box((0.0, 0.16, height), (width, 0.32, 0.04), board),
    ]


def cupboard(rng: Generator) -> tuple[float, list[Box]]:
    """Build a cupboard; a low one carries an ornament, with a picture above."""
    width, height, depth = rng.uniform(0.7, 1.8), rng.uniform(0.8, 2.0), rng.uniform(0.4, 0.6)
    doors = Material(
        _WOODS[rng.integers(3)], (0.15, 0.1, 0.07), (0.45, 0.6), (0.96, 0.97), tint=0.15,
        contrast=0.35, grain=(0.15, 1.2),
    )  # fmt: skip
    boxes = [Box((0.0, depth / 2, height / 2), (width, depth, height), doors)]
    if height < 1.3:
        boxes += [Box((0.0, depth / 2, height + 0.15), (0.35, 0.2, 0.3), art(rng))]
        boxes += posters(rng)[1][:1]
    return width, boxes


def sofa(rng: Generator) -> tuple[float, list[Box]]:
    """Build a sofa with a pillow, and a picture above."""
    width, cloth = rng.uniform(1.6, 2.2), fabric(rng)
    pillow = Material(vivid(rng), vivid(rng), (0.12, 0.12), (0.5, 1.0))
    return width, [
        Box((0.0, 0.45, 0.22), (width, 0.85, 0.44), cloth),
        Box((0.0, 0.14, 0.6), (width, 0.26, 0.5), cloth),
        Box((-width / 2 + 0.1, 0.45, 0.5), (0.2, 0.85, 0.25), cloth),
        Box((width / 2 - 0.1, 0.45, 0.5), (0.2, 0.85, 0.25), cloth),
        Box((0.2 * width, 0.36, 0.62), (0.4, 0.15, 0.4), pillow, tilt=(0.3, 0.0)),
        *posters(rng)[1][:1],
    ]


def desk(rng: Generator) -> tuple[float, list[Box]]:
    """Build a desk with a screen and a chair."""
    width = rng.uniform(1.2, 1.8)
    screen = Material((0.2, 0.3, 0.5), (0.05, 0.05, 0.06), (0.12, 0.06), (0.8, 0.8), variety=0.5)
    legs = [
        Box((x * (width - 0.1), y, 0.35), (0.06, 0.06, 0.7), _STEEL)
        for x in (-0.5, 0.5)
        for y in (0.06, 0.64)
    ]
    return width, [
        Box((0.0, 0.35, 0.73), (width, 0.7, 0.05), wood(rng)),
        *legs,
        Box((0.0, 0.25, 1.0), (0.55, 0.05, 0.35), screen),
        Box((0.3 * width, 0.4, 0.85), (0.22, 0.3, 0.2), art(rng), yaw=0.4),
        Box((0.1, 0.75, 0.45), (0.45, 0.45, 0.08), fabric(rng), yaw=0.3),
        Box((0.15, 0.95, 0.75), (0.42, 0.06, 0.5), fabric(rng), yaw=0.3),
    ]


def table_with_chairs(rng: Generator, length: float, width: float) -> list[Box]:
    """Build a table with four chairs around the origin."""
    board, cloth = wood(rng), fabric(rng)
    boxes = [Box((0.0, 0.0, 0.73), (length, width, 0.05), board)]
    for x in (-1.0, 1.0):
        boxes.append(Box((x * length / 4, 0.0, 0.82), (0.2, 0.25, 0.14), art(rng)))
        for side in (-1.0, 1.0):
            leg = (0.45 * x * length, 0.4 * side * width, 0.35)
            boxes.append(Box(leg, (0.07, 0.07, 0.7), board))
            y = side * (width / 2 + 0.15)
            boxes.append(Box((x * length / 4, y, 0.45), (0.42, 0.42, 0.06), cloth))
            boxes.append(Box((x * length / 4, y + side * 0.2, 0.7), (0.42, 0.05, 0.5), cloth))
    return boxes


def plant(rng: Generator) -> tuple[float, list[Box]]:
    """Build a plant in a pot."""
    pot = Material((0.6, 0.33, 0.22), contrast=0.3, grain=(0.4, 0.4))
    return 0.7, [
        Box((0.0, 0.35, 0.2), (0.36, 0.36, 0.4), pot),
        *(
            part.moved((0.0, 0.35, 0.0))
            for part in (
                Box((0.0, 0.0, 0.8), (0.5, 0.35, 0.5), _LEAVES, 0.4, (0.5, 0.4)),
                Box((0.05, 0.0, 1.1), (0.3, 0.45, 0.5), _LEAVES, 1.2, (-0.6, 0.3)),
            )
        ),
    ]


def door(rng: Generator) -> tuple[float, list[Box]]:
    """Build a closed door."""
    panel = Material(
        _WOODS[rng.integers(3)], (0.3, 0.22, 0.15), (0.42, 0.66), (0.8, 0.85), contrast=0.3,
        grain=(0.12, 1.0),
    )  # fmt: skip
    frame = Material(dull(rng, 0.6, 0.9), contrast=0.15)
    return 1.1, [
        Box((0.0, 0.02, 1.0), (0.9, 0.04, 2.0), panel),
        Box((-0.5, 0.03, 1.03), (0.1, 0.06, 2.06), frame),
        Box((0.5, 0.03, 1.03), (0.1, 0.06, 2.06), frame),
        Box((0.36, 0.06, 1.0), (0.12, 0.06, 0.04), _STEEL),
    ]


def posters(rng: Generator) -> tuple[float, list[Box]]:
    """Build a framed picture, to hang on the wall."""
    width = rng.uniform(0.8, 1.5)
    size = (rng.uniform(0.4, 0.9) * width, rng.uniform(0.4, 0.8))
    frame = Material(dull(rng, 0.1, 0.4), contrast=0.2)
    return width, [
        Box((0.0, 0.03, 1.6), (size[0], 0.03, size[1]), art(rng)),
        Box((0.0, 0.02, 1.6), (size[0] + 0.08, 0.02, size[1] + 0.08), frame),
    ]


_LEAVES = Material(
    (0.16, 0.36, 0.12), (0.08, 0.2, 0.05), mottle=0.9, contrast=0.6, grain=(0.3, 0.3)
)


def bricks(rng: Generator, length: float) -> Material:
    """Brickwork or blocks of a length in metres."""
    red = rng.uniform(0.35, 0.6)
    color = (red, red * rng.uniform(0.55, 0.95), red * rng.uniform(0.4, 0.85))
    return Material(
        color, (0.62, 0.6, 0.56), (length, length / 2.6), (0.95, 0.88), shift=0.5, tint=0.3,
        contrast=0.3, grain=(1.5, 1.5),
    )  # fmt: skip


def planks(rng: Generator) -> Material:
    """Boards of wood."""
    wood = _WOODS[rng.integers(3)]
    return Material(
        wood, (0.15, 0.1, 0.06), (rng.uniform(1.0, 2.0), 0.15), (0.99, 0.93), shift=0.37,
        tint=0.25, mottle=0.3, contrast=0.45, grain=(0.8, 0.15),
    )  # fmt: skip


def floorboards(rng: Generator) -> Material:
    """Boards of a wooden floor."""
    wood = _WOODS[rng.integers(3)]
    return Material(
        wood, (0.12, 0.08, 0.05), (rng.uniform(0.8, 1.6), rng.uniform(0.1, 0.2)), (0.995, 0.96),
        shift=0.37, tint=0.3, mottle=0.25, contrast=0.4, grain=(0.9, 0.2),
    )  # fmt: skip


def tiles(rng: Generator) -> Material:
    """Square tiles."""
    side = rng.uniform(0.25, 0.6)
    return Material(
        dull(rng, 0.45, 0.75, 0.08), dull(rng, 0.2, 0.4), (side, side), (0.97, 0.97),
        tint=rng.uniform(0.1, 0.45), mottle=0.35, contrast=0.3, grain=(0.9, 0.9),
    )  # fmt: skip


def wallpaper(rng: Generator) -> Material:
    """Plain, striped or brick walls of a room."""
    style = rng.random()
    if style < 0.2:
        return bricks(rng, 0.24)
    color = dull(rng, 0.5, 0.85, 0.12)
    darker = (color[0] * 0.75, color[1] * 0.75, color[2] * 0.75)
    contrast, grain = rng.uniform(0.2, 0.35), (1.2, 1.2)
    if style < 0.6:
        return Material(color, darker, mottle=0.6, contrast=contrast, grain=grain)
    return Material(
        color, darker, (rng.uniform(0.2, 0.5), 1.0), (rng.uniform(0.5, 0.8), 1.0), tint=0.06,
        mottle=0.4, contrast=contrast, grain=grain,
    )  # fmt: skip


def fabric(rng: Generator) -> Material:
    """Patterned cloth."""
    return Material(
        vivid(rng), vivid(rng), (rng.uniform(0.1, 0.3), 0.2), (0.7, rng.choice([0.7, 1.0])),
        tint=0.1, contrast=0.3, grain=(0.5, 0.5),
    )  # fmt: skip


def wood(rng: Generator) -> Material:
    """Grained wood."""
    return Material(
        _WOODS[rng.integers(3)], (0.2, 0.13, 0.08), mottle=0.5, contrast=0.45, grain=(1.0, 0.12)
    )


def art(rng: Generator) -> Material:
    """Patches of many colours."""
    return Material(
        vivid(rng), vivid(rng), (rng.uniform(0.08, 0.3), rng.uniform(0.08, 0.3)), (1.0, 1.0),
        shift=rng.choice([0.0, 0.5]), tint=0.3, variety=0.3, mottle=0.8, contrast=0.5,
        grain=(0.4, 0.4),
    )  # fmt: skip


def grass(rng: Generator) -> Material:
    """Grass with dry patches."""
    dry = rng.uniform(0.0, 0.25)
    return Material(
        (0.24 + dry, 0.36 + dry / 3, 0.14 + dry / 4), (0.42 + dry / 2, 0.36, 0.22), mottle=0.7,
        contrast=0.6, grain=(2.0, 2.0),
    )  # fmt: skip


def gravel(rng: Generator) -> Material:
    """Gravel, or a flat roof."""
    return Material(
        dull(rng, 0.35, 0.6, 0.05), dull(rng, 0.3, 0.45), mottle=0.6, contrast=0.5,
        grain=(2.0, 2.0),
    )  # fmt: skip


def dull(rng: Generator, low: float, high: float, spread: float = 0.06) -> Color:
    """Draw a colour near grey: warmer or cooler, as building materials are."""
    value, warmth = rng.uniform(low, high), rng.uniform(-0.4, 1.0) * spread
    shade = value + warmth * np.array([1.0, 0.2, -1.0]) + rng.uniform(-0.2, 0.2, 3) * spread
    red, green, blue = np.clip(shade, 0.03, 0.95)
    return (float(red), float(green), float(blue))


def vivid(rng: Generator) -> Color:
    """Draw a saturated colour of any hue."""
    hue, value, saturation = rng.uniform(0.0, 6.28), rng.uniform(0.35, 0.8), rng.uniform(0.3, 0.8)
    wheel = 0.5 + 0.5 * np.cos(hue - np.array([0.0, 2.094, 4.189]))
    red, green, blue = value * (1.0 - saturation * wheel)
    return (float(red), float(green), float(blue))
