# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the insides of synthetic buildings are made of: walls, floors, cloth, wood and print."""

from __future__ import annotations

import colorsys
from dataclasses import replace

from numpy.random import Generator

from training.worlds.scenes.props import art, bricks, dull, vivid
from training.worlds.world import Color, Material


def any_color(rng: Generator) -> Color:
    """Draw a colour as things have it: white, black, grey, brown, pale or strong."""
    kind = rng.random()
    if kind < 0.22:
        return dull(rng, 0.72, 0.92, 0.05)
    if kind < 0.40:
        return dull(rng, 0.04, 0.2, 0.03)
    if kind < 0.55:
        return dull(rng, 0.2, 0.7, 0.06)
    if kind < 0.75:
        return brown(rng)
    if kind < 0.88:
        return _hsv(rng, (0.1, 0.4), (0.5, 0.9))
    return _hsv(rng, (0.5, 0.95), (0.3, 0.85))


def brown(rng: Generator) -> Color:
    """Draw the colour of some wood."""
    red, green, blue = colorsys.hsv_to_rgb(
        rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.7), rng.uniform(0.18, 0.85)
    )
    return (red, green, blue)


def _hsv(rng: Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    """Draw a colour of any hue."""
    red, green, blue = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    )
    return (red, green, blue)


def darker(color: Color, factor: float) -> Color:
    """Scale a colour."""
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def smooth(rng: Generator, color: Color | None = None) -> Material:
    """Lacquer, plastic, metal or paint: nearly without texture."""
    color = any_color(rng) if color is None else color
    return Material(
        color, darker(color, 0.85), mottle=rng.uniform(0.0, 0.3),
        contrast=rng.uniform(0.01, 0.12), grain=(0.7, 0.7),
    )  # fmt: skip


def timber(rng: Generator) -> Material:
    """Wood, plain or in boards."""
    color = brown(rng)
    if rng.random() < 0.4:
        return Material(
            color, darker(color, 0.35), (rng.uniform(0.4, 2.0), rng.uniform(0.06, 0.3)),
            (0.995, rng.uniform(0.93, 0.99)), shift=0.37, tint=rng.uniform(0.03, 0.25), mottle=0.2,
            contrast=rng.uniform(0.1, 0.4), grain=(0.9, 0.1),
        )  # fmt: skip
    grain = (0.9, 0.08) if rng.random() < 0.6 else (0.08, 0.9)
    return Material(
        color, darker(color, 0.55), mottle=rng.uniform(0.0, 0.5), contrast=rng.uniform(0.1, 0.4),
        grain=grain,
    )  # fmt: skip


def front(rng: Generator) -> Material:
    """Lacquered or wooden fronts of furniture."""
    return timber(rng) if rng.random() < 0.35 else smooth(rng)


def cloth(rng: Generator) -> Material:
    """Cloth or leather: plain, striped, checked or patterned."""
    kind, color = rng.random(), any_color(rng)
    if kind < 0.6:
        return Material(
            color, darker(color, 0.7), mottle=rng.uniform(0.1, 0.6),
            contrast=rng.uniform(0.08, 0.4), grain=(0.4, 0.4),
        )  # fmt: skip
    size = rng.uniform(0.03, 0.25)
    return Material(
        color, any_color(rng), (size, size * rng.uniform(0.5, 2.0)),
        (rng.uniform(0.4, 0.9), rng.choice([0.6, 1.0])), variety=rng.choice([0.0, 0.2]),
        contrast=rng.uniform(0.1, 0.35), grain=(0.4, 0.4),
    )  # fmt: skip


def printed(rng: Generator) -> Material:
    """Paper with lines of print, or a cover with pictures."""
    if rng.random() < 0.5:
        line = rng.uniform(0.008, 0.03)
        return Material(
            dull(rng, 0.1, 0.5), dull(rng, 0.8, 0.95), (rng.uniform(0.02, 0.08), line),
            (rng.uniform(0.6, 0.95), rng.uniform(0.3, 0.6)), shift=0.3, tint=0.5, contrast=0.05,
        )  # fmt: skip
    if rng.random() < 0.5:
        return art(rng)
    size = rng.uniform(0.04, 0.2)
    return Material(
        vivid(rng), any_color(rng), (size, size * rng.uniform(0.4, 1.5)), (0.8, 0.7), tint=0.3,
        variety=0.5, mottle=rng.uniform(0.0, 0.6), contrast=0.2, grain=(0.2, 0.2),
    )  # fmt: skip


def wall_finish(rng: Generator) -> Material:
    """Walls: mostly plain paint, also panels, tiles, stripes, patterns and brick."""
    kind = rng.random()
    if kind < 0.62:
        pale = rng.random()
        color = (
            dull(rng, 0.7, 0.93, 0.06) if pale < 0.6 else dull(rng, 0.25, 0.7, 0.05)
            if pale < 0.75 else _hsv(rng, (0.08, 0.55), (0.45, 0.9))
        )  # fmt: skip
        return Material(
            color, darker(color, rng.uniform(0.8, 0.97)), mottle=rng.uniform(0.0, 0.7),
            contrast=rng.choice([0.01, 0.04, 0.12]), grain=(1.5, 1.5),
        )  # fmt: skip
    if kind < 0.74:
        color = dull(rng, 0.6, 0.92, 0.05)
        return Material(
            color, darker(color, rng.uniform(0.3, 0.8)),
            (rng.uniform(0.6, 1.8), rng.uniform(0.4, 1.5)), (0.985, 0.98), tint=0.02,
            contrast=rng.uniform(0.01, 0.08), grain=(1.5, 1.5),
        )  # fmt: skip
    if kind < 0.81:
        return tile(rng)
    if kind < 0.86:
        return bricks(rng, 0.24)
    if kind < 0.90:
        return timber(rng)
    color = any_color(rng)
    return Material(
        color, any_color(rng) if rng.random() < 0.3 else darker(color, 0.8),
        (rng.uniform(0.06, 0.5), rng.choice([rng.uniform(0.06, 0.5), 4.0])),
        (rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.0)), shift=rng.choice([0.0, 0.5]), tint=0.05,
        contrast=rng.uniform(0.02, 0.2), grain=(1.0, 1.0),
    )  # fmt: skip


def tile(rng: Generator) -> Material:
    """Tiles of a wall or a floor, small or large, laid square or as bricks."""
    color, side = any_color(rng), rng.choice([0.05, 0.1, 0.15, 0.3, 0.45, 0.6])
    joint = darker(color, rng.uniform(0.4, 0.8)) if rng.random() < 0.6 else dull(rng, 0.5, 0.85)
    return Material(
        color, joint, (side * rng.choice([1.0, 1.0, 2.0]), side), (0.97, 0.97),
        shift=rng.choice([0.0, 0.0, 0.5]), tint=rng.uniform(0.0, 0.15),
        mottle=rng.uniform(0.0, 0.3), contrast=rng.uniform(0.02, 0.2), grain=(0.8, 0.8),
    )  # fmt: skip


def floor_finish(rng: Generator) -> Material:
    """Floors: wood, tiles, carpet or plain."""
    kind = rng.random()
    if kind < 0.4:
        color = brown(rng)
        return Material(
            color, darker(color, 0.4), (rng.uniform(0.6, 2.0), rng.uniform(0.07, 0.22)),
            (0.995, 0.97), shift=0.37, tint=rng.uniform(0.03, 0.3), mottle=0.2,
            contrast=rng.uniform(0.1, 0.4), grain=(0.9, 0.15),
        )  # fmt: skip
    if kind < 0.6:
        return tile(rng)
    if kind < 0.88:
        return carpet(rng)
    return smooth(rng, dull(rng, 0.2, 0.8, 0.08))


def carpet(rng: Generator) -> Material:
    """Carpet: plain, in squares or in fine stripes."""
    color = any_color(rng)
    frame = darker(color, rng.uniform(0.5, 0.9))
    plain = Material(
        color, frame, mottle=rng.uniform(0.0, 0.5), contrast=rng.uniform(0.1, 0.45),
        grain=(0.3, 0.3),
    )  # fmt: skip
    kind = rng.random()
    if kind < 0.6:
        return plain
    if kind < 0.8:
        return replace(plain, cell=(0.5, 0.5), tint=rng.uniform(0.05, 0.3))
    return replace(
        plain, frame=dull(rng, 0.3, 0.8), cell=(0.5, rng.uniform(0.01, 0.06)),
        fill=(1.0, rng.uniform(0.4, 0.8)), tint=0.3,
    )  # fmt: skip


def glow(rng: Generator) -> Material:
    """Lamps: brighter than white."""
    return Material((1.6, 1.6, 1.5 * rng.uniform(0.8, 1.1)), contrast=0.02)


def outlook(rng: Generator) -> Material:
    """Bright windows, with something of the outside in them."""
    bright = rng.uniform(0.8, 1.7)
    return Material(
        (bright * rng.uniform(0.85, 1.0), bright * 0.98, bright * rng.uniform(0.95, 1.1)),
        dull(rng, 0.3, 0.9, 0.1), mottle=rng.uniform(0.0, 0.9), contrast=0.1, grain=(1.2, 0.8),
    )  # fmt: skip
