# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random messages of any ROS type, with the values that programs trip over."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

Maker = Callable[[random.Random, int], Any]

_LENGTHS = (0, 0, 1, 2, 3, 4, 5, 6, 9, 12, 200)

_INTEGERS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"), 500.0)
_WORDS = (
    *("", " ", "/", "~", "..", "a.b.c", "%s%n", "'", '"', "None", "\x00", "x" * 5000),
    *("rgb8", "bgr8", "mono16", "nv12", "bayer_rggb8", "jpeg", "png", "rgb8; jpeg compressed bgr8"),
    *("plumb_bob", "equidistant", "camera_optical_frame", "\n\x1b[31m", "\u20ac\U0001f600"),
    *("scale", "crop", "use_sim_time", "diagnostics_period", "autostart", "image_transport"),
    *("configure", "activate", "deactivate", "cleanup", "shutdown", "destroy"),
    *("transition_success", "qos_overrides./points.publisher.depth"),
)


def hostile(kind: Any, rng: random.Random, depth: int = 0) -> Any:
    """Return a message of a type with hostile values.

    Parameters
    ----------
    kind : type
        Message, request or response class of rclpy.
    rng : random.Random
    """
    message = kind()
    for name, make in _fields(kind):
        if rng.random() >= 0.2:  # else the default
            setattr(message, name, make(rng, depth))
    return message


def every_value(kind: Any, rng: random.Random) -> Iterator[Any]:
    """Yield messages of a type in which each field has each of its hostile values once.

    All other fields have their defaults in one message and hostile values in the next. Fields of
    messages within messages count, too.

    Parameters
    ----------
    kind : type
        Message, request or response class of rclpy.
    rng : random.Random
        Draws the other fields.
    """
    for name, type_name in _types(kind).items():
        for value in _values(type_name):
            for message in (kind(), hostile(kind, rng)):
                setattr(message, name, value)
                yield message


def _values(type_name: str) -> Iterator[Any]:
    """Yield the hostile values of a type: for sequences of each length, then of each item."""
    fixed = re.fullmatch(r"(.+)\[(\d+)\]", type_name)
    sequence = re.fullmatch(r"sequence<(.+?)(?:, (\d+))?>", type_name)
    if fixed:
        yield from ([value] * int(fixed[2]) for value in _values(fixed[1]))
    elif sequence:
        item, longest = sequence[1], int(sequence[2] or 10**9)
        lengths = sorted({min(length, longest) for length in _LENGTHS})
        if item == "uint8":
            yield from (bytes(range(length)) for length in lengths)
            return
        values = list(_values(item))
        yield from ([values[i % len(values)] for i in range(length)] for length in lengths)
        yield from ([value] for value in values)
    elif type_name in _INTEGERS:
        yield from sorted(set(_usual_integers(type_name)))
    elif type_name in ("float", "double"):
        yield from _usual_floats(type_name)
    elif type_name.startswith("string"):
        yield from _WORDS
    elif type_name == "boolean":
        yield from (False, True)
    elif type_name == "octet":
        yield from (b"\x00", b"\xff")
    else:
        kind = _message_class(type_name)
        for name, inner in _types(kind).items():
            for value in _values(inner):
                message = kind()
                setattr(message, name, value)
                yield message


@cache
def _fields(kind: Any) -> list[tuple[str, Maker]]:
    """List the fields of a type, each with what makes hostile values for it."""
    return [(name, _maker(type_name)) for name, type_name in _types(kind).items()]


def _types(kind: Any) -> dict[str, str]:
    """Return the names of the types of the fields of a message."""
    return dict(kind.get_fields_and_field_types())


@cache
def _maker(type_name: str) -> Maker:
    """Return what makes a hostile value of a type, given by its name, at a depth of nesting."""
    fixed = re.fullmatch(r"(.+)\[(\d+)\]", type_name)
    if fixed:
        item, count = _maker(fixed[1]), int(fixed[2])
        return lambda rng, depth: [item(rng, depth + 1) for _ in range(count)]
    sequence = re.fullmatch(r"sequence<(.+?)(?:, (\d+))?>", type_name)
    if sequence:
        return _sequence_maker(sequence[1], int(sequence[2] or 10**9))
    if type_name in _INTEGERS:
        usual = _usual_integers(type_name)
        low, high = usual[:2]

        def integer(rng: random.Random, depth: int) -> int:
            return rng.randint(low, high) if rng.random() < 0.125 else rng.choice(usual)

        return integer
    if type_name in ("float", "double"):
        floats = _usual_floats(type_name)
        return lambda rng, depth: rng.choice(floats)
    if type_name.startswith("string"):
        return lambda rng, depth: rng.choice(_WORDS)
    if type_name == "boolean":
        return lambda rng, depth: rng.random() < 0.5
    if type_name == "octet":
        return lambda rng, depth: rng.randbytes(1)
    kind = _message_class(type_name)
    return lambda rng, depth: hostile(kind, rng, depth + 1)


def _usual_integers(type_name: str) -> list[int]:
    """Return the least and the greatest integer of a type, then small ones."""
    sign, bits = _INTEGERS[type_name]
    low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return [min(max(value, low), high) for value in (low, high, -1, *range(13))]


def _usual_floats(type_name: str) -> list[float]:
    """Return the hostile values of a floating-point type."""
    return [value if type_name == "double" else min(value, 3e38) for value in _FLOATS]


def _message_class(type_name: str) -> Any:
    """Return the class of a message by the name of its type, as in ``std_msgs/Header``."""
    package, name = type_name.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def _sequence_maker(type_name: str, longest: int) -> Maker:
    """Return what makes sequences."""
    item = _maker(type_name)

    def sequence(rng: random.Random, depth: int) -> Any:
        length = rng.choice(_LENGTHS)
        length = min(length, longest) if depth < 2 or length <= 12 else 1
        if type_name == "uint8":
            return rng.randbytes(length)
        return [item(rng, depth + 1) for _ in range(length)]

    return sequence
