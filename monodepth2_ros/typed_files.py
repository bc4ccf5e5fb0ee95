# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is read from disk becomes typed data, or one error that names file, field and value.

The structures are dataclasses whose annotations hold the constraints, checked by msgspec. Files
are never trusted: they may be damaged, of another program, or edited by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from monodepth2_ros.damage import describe_impostor

_Kind = TypeVar("_Kind")

#: Numbers that a size, a count or an index can have.
Count = Annotated[int, Meta(ge=0, lt=2**40)]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
ImageSide = Annotated[int, Meta(ge=1, le=65_536)]

#: Finite numbers; a comparison with NaN fails, so it is refused, too.
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
Positive = Annotated[float, Meta(gt=0.0, le=1e9)]
NotNegative = Annotated[float, Meta(ge=0.0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]

#: Sides of an image that a crop removes: left, top, right, bottom.
CropFractions = tuple[Fraction, Fraction, Fraction, Fraction]

_AT = re.compile(r"^(.*?)(?: - at (`key` in )?`\$(.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[\.\.\.\]")
_LONGEST_VALUE = 80


def parse_json(
    text: str | bytes, kind: type[_Kind], place: object, error: Callable[[str], Exception]
) -> _Kind:
    """Read JSON as a structure.

    Parameters
    ----------
    text : str or bytes
    kind : type
        A dataclass, TypedDict or other type that msgspec knows.
    place : object
        What the message begins with: the file's path.
    error : callable
        Makes the exception from the message.

    Raises
    ------
    Exception
        Exception of class `error`, if it is not JSON or does not fit.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as cause:
        impostor = describe_impostor(place) if isinstance(place, Path) else ""
        if impostor:
            raise error(impostor) from cause
        raise error(f"{place} is damaged: it is not JSON ({cause})") from cause
    return as_structure(values, kind, place, error)


def as_structure(
    values: Any, kind: type[_Kind], place: object, error: Callable[[str], Exception]
) -> _Kind:
    """Turn plain data into a structure.

    Parameters
    ----------
    values : object
        Dictionaries, lists, numbers and strings, as JSON or YAML give them.
    kind, place, error
        As in :func:`parse_json`.
    """
    try:
        return msgspec.convert(values, kind)
    except (ValueError, TypeError, OverflowError, RecursionError) as cause:
        raise error(f"{place}: {_explain(str(cause), values)}") from cause


def _explain(message: str, values: Any) -> str:
    """Name the field and its value in a message of msgspec."""
    match = _AT.match(message)
    assert match is not None  # the pattern takes any text
    problem, is_key, path = match[1], match[2], match[3] or ""
    problem = problem[:1].lower() + problem[1:]
    if problem.startswith("object missing required field"):
        where = f"{path.lstrip('.')} " if path else ""
        return f"{where}has no {problem.removeprefix('object missing required ')}"
    if not path:
        return problem if isinstance(values, dict) else f"it is {_shown(values)}: {problem}"
    value = values
    for name, index in _STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)] if index else value
        except (KeyError, IndexError, TypeError):
            break
    what = "a key of " if is_key else ""
    return f"{what}{path.lstrip('.')} is {_shown(value)}: {problem}"


def _shown(value: Any) -> str:
    """Write a value, shortened."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, deep nesting
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
