# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""People and animals of blocks, at their real sizes.

Every builder draws from the random generator that it is given. A being faces along x, its origin on
the ground below it; a sitting or riding one has its origin on the seat.
"""

from __future__ import annotations

import math

from numpy.random import Generator

from training.worlds.scenes.clutter import ball, drum, lifted
from training.worlds.scenes.finishes import any_color, cloth, darker, smooth
from training.worlds.scenes.props import dull
from training.worlds.world import Box, Color, Material

_SKIN: tuple[Color, ...] = (
    (0.86, 0.68, 0.57), (0.72, 0.53, 0.42), (0.55, 0.38, 0.27), (0.36, 0.24, 0.17),
)  # fmt: skip


def being(rng: Generator) -> list[Box]:
    """Build somebody on foot: mostly an adult, also a child, a pair, or an animal."""
    kind = rng.random()
    if kind < 0.68:
        return figure(rng, "walking" if rng.random() < 0.6 else "standing")
    if kind < 0.8:
        return figure(rng, "walking", rng.uniform(0.95, 1.45))
    if kind < 0.9:
        apart, turn = rng.uniform(0.5, 0.8), rng.normal(0.0, 0.3)
        second = figure(rng, "standing")
        return [*figure(rng, "standing"), *(part.moved((0.0, apart, 0.0), turn) for part in second)]
    return dog(rng)


def figure(rng: Generator, pose: str = "standing", height: float = 0.0) -> list[Box]:
    """Build a person.

    Parameters
    ----------
    rng : Generator
    pose : str
        standing, walking, sitting or riding.
    height : float
        In metres; drawn for an adult by default.
    """
    height = height or rng.uniform(1.5, 1.95)
    skin = smooth(rng, _SKIN[rng.integers(len(_SKIN))])
    coat, trousers = cloth(rng), cloth(rng)
    shoe = smooth(rng, dull(rng, 0.04, 0.5))
    leg, torso = 0.47 * height, 0.33 * height
    wide = rng.uniform(0.22, 0.28) * height
    thick = rng.uniform(0.52, 0.75) * wide
    boxes: list[Box] = []
    if pose in ("sitting", "riding"):
        hip = 0.06
        reach = 0.24 * height
        knee = -0.18 * height if pose == "sitting" else -0.12 * height
        for y in (-0.3 * wide, 0.3 * wide):
            boxes.append(Box((0.5 * reach, y, hip), (reach, 0.16, 0.16), trousers))
            boxes.append(Box((reach, y, knee), (0.13, 0.13, 0.26 * height), trousers))
            boxes.append(Box((reach + 0.06, y, knee - 0.14 * height), (0.26, 0.1, 0.09), shoe))
        lean = 0.0 if pose == "sitting" else rng.uniform(0.1, 0.5)
    else:
        hip, lean = leg, rng.normal(0.0, 0.04)
        stride = rng.uniform(0.15, 0.5) if pose == "walking" else rng.uniform(0.0, 0.06)
        for y, swing in ((-0.26 * wide, stride), (0.26 * wide, -stride)):
            # A leg turns about the hip.
            x, z = -0.5 * leg * math.sin(swing), hip - 0.5 * leg * math.cos(swing)
            boxes.append(Box((x, y, z), (0.15, 0.15, leg), trousers, tilt=(0.0, swing)))
            boxes.append(Box((2.0 * x + 0.05, y, 0.05), (0.27, 0.1, 0.1), shoe))
    up, ahead = math.cos(lean), math.sin(lean)
    size = (thick, wide, torso)
    place = (0.5 * torso * ahead, 0.0, hip + 0.5 * torso * up)
    boxes.append(Box(place, size, coat, tilt=(0.0, lean)))
    if lean < 0.1:  # rounds the chest; a drum cannot lean
        trunk = drum(0.5 * thick, torso, coat)
        boxes += [part.moved((0.3 * torso * ahead, 0.0, hip)) for part in trunk]
    neck = (torso * ahead, hip + torso * up)
    boxes.append(Box((neck[0], 0.0, neck[1] + 0.02), (0.1, 0.11, 0.12), skin))
    size_of_head = 0.068 * height
    head = drum(size_of_head, 2.5 * size_of_head, skin)
    boxes += [part.moved((neck[0] + 0.02, 0.0, neck[1] + 0.05)) for part in head]
    if rng.random() < 0.85:
        hair = smooth(rng, dull(rng, 0.04, 0.35, 0.08) if rng.random() < 0.8 else any_color(rng))
        top = neck[1] + 0.05 + 2.0 * size_of_head
        cap = drum(1.08 * size_of_head, 0.7 * size_of_head, hair)
        boxes += [part.moved((neck[0] - 0.01, 0.0, top)) for part in cap]
    arm = 0.36 * height
    for side in (-1.0, 1.0):
        swing = rng.normal(0.0, 0.35) if pose != "riding" else -1.1
        x = neck[0] - 0.5 * arm * math.sin(swing)
        z = neck[1] - 0.04 - 0.5 * arm * math.cos(swing)
        y = side * (0.5 * wide + 0.05)
        boxes.append(Box((x, y, z), (0.11, 0.1, arm), coat, tilt=(0.0, swing)))
        hand = (neck[0] - arm * math.sin(swing), y, neck[1] - 0.04 - arm * math.cos(swing))
        boxes.append(Box(hand, (0.09, 0.07, 0.12), skin))
    if pose in ("standing", "walking") and rng.random() < 0.35:
        bag = smooth(rng)
        back = rng.random() < 0.5
        where = (-0.5 * thick - 0.1, 0.0, hip + 0.6 * torso) if back else (
            0.0, 0.5 * wide + 0.16, 0.42 * height)  # fmt: skip
        boxes.append(Box(where, (0.2, 0.3, 0.42) if back else (0.36, 0.12, 0.3), bag))
    return boxes


def dog(rng: Generator) -> list[Box]:
    """Build a dog, or any four-legged animal of up to a metre."""
    shoulder = rng.uniform(0.25, 0.75)
    color = dull(rng, 0.05, 0.8, 0.1)
    spots = darker(color, rng.uniform(0.3, 1.0))
    fur = Material(color, spots, mottle=rng.uniform(0.0, 0.9), contrast=0.3, grain=(0.3, 0.3))
    length, thick = rng.uniform(1.0, 1.35) * shoulder, rng.uniform(0.32, 0.45) * shoulder
    leg = 0.55 * shoulder
    boxes = [Box((0.0, 0.0, leg + 0.5 * thick), (length, 0.85 * thick, thick), fur)]
    boxes += [
        Box((x * length, y * thick, 0.5 * leg + 0.02), (0.14 * shoulder, 0.12 * shoulder, leg),
            fur, tilt=(0.0, rng.normal(0.0, 0.15)))
        for x in (-0.4, 0.4) for y in (-0.28, 0.28)
    ]  # fmt: skip
    rise = rng.uniform(-0.2, 0.4) * shoulder
    boxes.append(
        Box((0.55 * length, 0.0, shoulder + 0.3 * rise), (0.4 * shoulder, 0.2 * shoulder,
            0.24 * shoulder), fur, tilt=(0.0, -0.6))
    )  # fmt: skip
    head = lifted(ball(rng, 0.16 * shoulder, fur), shoulder + rise)
    boxes += [part.moved((0.75 * length, 0.0, 0.0)) for part in head]
    snout = (0.3 * shoulder, 0.14 * shoulder, 0.14 * shoulder)
    boxes.append(Box((0.95 * length, 0.0, shoulder + rise + 0.12 * shoulder), snout, fur))
    tail = Box((-0.58 * length, 0.0, shoulder), (0.35 * shoulder, 0.05, 0.05), fur,
               tilt=(0.0, rng.uniform(-0.9, 0.5)))  # fmt: skip
    return [*boxes, tail]
