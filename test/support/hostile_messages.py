# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random messages of any ROS type, with the values that programs trip over."""

from __future__ import annotations

import random
import re
from importlib import import_module
from typing import Any

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
    for name, type_name in kind.get_fields_and_field_types().items():
        if rng.random() < 0.2:
            continue  # the default
        setattr(message, name, _value(type_name, rng, depth))
    return message


def _value(type_name: str, rng: random.Random, depth: int) -> Any:
    """Return a hostile value of a field, by the name of its type."""
    fixed = re.fullmatch(r"(.+)\[(\d+)\]", type_name)
    if fixed:
        return [_value(fixed[1], rng, depth + 1) for _ in range(int(fixed[2]))]
    sequence = re.fullmatch(r"sequence<(.+?)(?:, (\d+))?>", type_name)
    if sequence:
        length = rng.choice((0, 0, 1, 2, 3, 4, 5, 6, 9, 12, 200 if depth < 2 else 1))
        if sequence[2]:
            length = min(length, int(sequence[2]))
        if sequence[1] in ("uint8", "octet"):
            data = rng.randbytes(length)
            return [bytes([byte]) for byte in data] if sequence[1] == "octet" else data
        return [_value(sequence[1], rng, depth + 1) for _ in range(length)]
    if type_name in _INTEGERS:
        sign, bits = _INTEGERS[type_name]
        low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        small = rng.randrange(0, 13)
        return min(
            max(rng.choice((low, high, 0, 1, -1, small, small, rng.randint(low, high))), low), high
        )
    if type_name in ("float", "double"):
        return rng.choice(_FLOATS) if type_name == "double" else min(rng.choice(_FLOATS), 3e38)
    if type_name.startswith("string"):
        return rng.choice(_WORDS)
    if type_name == "boolean":
        return rng.random() < 0.5
    if type_name == "octet":
        return rng.randbytes(1)
    package, name = type_name.split("/")
    module = import_module(f"{package}.msg")
    return hostile(getattr(module, name), rng, depth + 1)
