# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors of what is read from disk: they name file, field and value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from monodepth2_ros.typed_files import CropFractions, Finite, ImageSide, Positive, parse_json


class ReadError(ValueError):
    """The error of this file."""


@dataclass(frozen=True)
class Inner:
    """Something in a list."""

    focal: Positive


@dataclass(frozen=True)
class Outer:
    """Some kinds of fields."""

    width: ImageSide
    crop: CropFractions = (0.0, 0.0, 0.0, 0.0)
    offset: Finite = 0.0
    cameras: list[Inner] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)


def test_what_fits_is_taken() -> None:
    """Whole numbers are numbers; entries of later versions are ignored."""
    text = '{"width": 64, "offset": 1, "crop": [0, 0.5, 0, 0], "later": [], "sizes": {"a": 1}}'
    read = parse_json(text, Outer, "x.json", ReadError)
    assert read == Outer(64, (0.0, 0.5, 0.0, 0.0), 1.0, [], {"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x\.json is damaged: it is not JSON"),
        ('{"width": 64', r"x\.json is damaged: it is not JSON"),
        ("[" * 100_000, r"x\.json is damaged: it is not JSON"),
        (b"\xff\xfe\x00", r"x\.json is damaged: it is not JSON"),
        ("9" * 5000, r"x\.json is damaged: it is not JSON"),
        ("null", r"x\.json: it is None: expected `object`, got `null`"),
        ("[1]", r"x\.json: it is \[1\]: expected `object`"),
        ("{}", r"x\.json: has no field `width`"),
        ({"width": None}, r"x\.json: width is None: expected `int`, got `null`"),
        ({"width": "64"}, r"x\.json: width is '64': expected `int`"),
        ({"width": 64.0}, r"x\.json: width is 64\.0: expected `int`"),
        ({"width": True}, r"x\.json: width is True: expected `int`"),
        ({"width": -1}, r"x\.json: width is -1: expected `int` >= 1"),
        ({"width": 10**400}, r"x\.json: width is 10"),
        ({"width": 64, "crop": [0, 0, 0]}, r"crop is \[0, 0, 0\]: expected `array` of length 4"),
        ({"width": 64, "crop": [0, float("nan"), 0, 0]}, r"crop\[1\] is nan: expected `float`"),
        ({"width": 64, "offset": float("inf")}, r"offset is inf: expected `float` <="),
        ({"width": 64, "offset": 10**400}, r"offset is 10.*out of range"),
        ({"width": 64, "cameras": [{"focal": 1}, {"focal": 0}]}, r"cameras\[1\]\.focal is 0: "),
        ({"width": 64, "cameras": [{"focal": 1}, {}]}, r"cameras\[1\] has no field `focal`"),
        ({"width": 64, "sizes": {"a": "b"}}, r"sizes.* is .*'b'.*: expected `int`, got `str`"),
        ({"width": 64, "cameras": "x" * 1000}, r"cameras is 'x{50,78}…: expected `array`"),
    ],
)
def test_what_does_not_fit_is_named(text: Any, message: str) -> None:
    """Place, field and value, and nothing but the error that was asked for."""
    given = text if isinstance(text, (str, bytes)) else json.dumps(text)
    with pytest.raises(ReadError, match=message):
        parse_json(given, Outer, "x.json", ReadError)
