# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options as dataclasses: one field an option, with its meaning and its limits.

A library function takes such a dataclass; its command reads one from the command line
(:mod:`monodepth2_ros.command_line`). The same name means the same in every command: what several
commands have in common is described once, in :data:`SHARED`.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

#: What an option means in every command that has it. A command may add details.
SHARED = {
    "batch_size": "Images or samples computed together",
    "camera_info_topic": "Topic of the calibration",
    "checkpoint": "Depth model: a file, a folder of the published layout, or 'default' for the "
    "shipped one",
    "crop": "Fractions of the image to remove at the left, top, right and bottom",
    "data": "Frame stores of depth_extract",
    "device": "Where to compute: auto, cpu, cuda or cuda:N",
    "force": "Replace what is there",
    "frames": "Number of images",
    "height": "Image height in pixels",
    "image_topic": "Topic of the images",
    "init": "Weights the ResNets start from: imagenet, none, or a file",
    "json": "Write all figures of all frames",
    "kitti_raw": "Folder of KITTI raw recordings, with velodyne ground truth",
    "kitti_split": "List of KITTI frames, one a line; with --kitti-raw",
    "out": "What to write",
    "picture": "Write a picture",
    "precision": "Arithmetic of the convolutions",
    "quiet": "Show no progress",
    "seed": "Seed of all random choices",
    "spacing": "Frames from one neighbour to the next",
    "truth_topic": "Topic of the ground truth",
    "validation_fraction": "Share of each recording, at its end, that is held out",
    "width": "Image width in pixels",
    "workers": "Threads or processes that work at the same time",
}

#: Values that were spelt otherwise in earlier versions, by option. Old ones are refused.
OLD_VALUES = {"precision": {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}}


class OptionError(ValueError):
    """An option has a value that cannot be used; the message names it and what it takes."""


def option(
    default: Any = dataclasses.MISSING,
    description: str = "",
    *,
    section: str = "",
    metavar: str | tuple[str, ...] | None = None,
    positional: bool = False,
    short: str = "",
    spelling: str = "",
    choices: tuple[Any, ...] = (),
    repeated: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Any:
    """Describe one option, as the default of a dataclass's field.

    Parameters
    ----------
    default
        Its value if it is not given; an option without one must be given.
    description : str
        What it does, with unit and range where it has one.
    section : str
        Heading in the command's help.
    metavar : str or tuple of str, optional
        Stands for the value in the help.
    positional : bool
        Given by its place on the command line, without a name.
    short : str
        One-letter spelling, "-p" for example.
    spelling : str
        On the command line, where the field's name will not do ("--from", a word of Python).
    choices : tuple
        What the value may be, where no Literal says so.
    repeated : bool
        Whether each value of a list has its own "--name".
    least, most : float, optional
        Limits that are allowed themselves.
    above, below : float, optional
        Limits that are not.
    """
    metadata = {
        "section": section,
        "description": description,
        "metavar": metavar,
        "positional": positional,
        "short": short,
        "spelling": spelling,
        "choices": choices,
        "repeated": repeated,
        "least": least,
        "above": above,
        "most": most,
        "below": below,
    }
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def shared_option(
    name: str, default: Any = dataclasses.MISSING, details: str = "", **more: Any
) -> Any:
    """Describe an option that means the same in several commands; see :data:`SHARED`.

    Parameters
    ----------
    name : str
        The field's name.
    default
        See :func:`option`.
    details : str
        What this command adds to the common meaning.
    more
        See :func:`option`.
    """
    meaning = SHARED[name]
    return option(default, f"{meaning}; {details}" if details else meaning, **more)


def flag(name: str) -> str:
    """Spell an option as on the command line."""
    return "--" + name.replace("_", "-")


def check_options(options: Any) -> None:
    """Check the values of a dataclass of options against their types' choices and their limits.

    Raises
    ------
    OptionError
        Naming the option, its value, and what it takes.
    """
    hints = get_type_hints(type(options))
    for field in dataclasses.fields(options):
        if not field.metadata:
            continue
        value = getattr(options, field.name)
        check_type(field.name, hints[field.name], value)
        choices = field.metadata.get("choices")
        if choices and value is not None and value not in choices:
            raise OptionError(
                f"{flag(field.name)} is '{value}'; it takes {', '.join(map(str, choices))}"
            )
        for number in value if isinstance(value, tuple) else (value,):
            _check_limits(field, number)


def check_type(name: str, hint: Any, value: Any) -> None:
    """Check that a value is of an option's type.

    Parameters
    ----------
    name : str
        The field's name.
    hint
        bool, int, float, str, Path, a Literal, a tuple of these; or one of these or None.
    value
        Integers do for floats.

    Raises
    ------
    OptionError
    """
    if not _fits(hint, value):
        new = OLD_VALUES.get(name, {}).get(value) if isinstance(value, str) else None
        instead = f"write {new}" if new else f"it takes {expected(hint)}"
        raise OptionError(f"{flag(name)} is {_shown(value)}; {instead}")


def without_none(hint: Any) -> tuple[Any, bool]:
    """Take "or None" from a type; say whether it was there."""
    members = get_args(hint)
    if type(None) not in members:
        return hint, False
    (other,) = (member for member in members if member is not type(None))
    return other, True


def expected(hint: Any) -> str:
    """Say in words what an option takes."""
    hint, is_optional = without_none(hint)
    suffix = " or null" if is_optional else ""
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint))) + suffix
    if get_origin(hint) is tuple:
        members = get_args(hint)
        if members[-1] is Ellipsis:
            return f"a list, each {expected(members[0])}{suffix}"
        return f"{len(members)} values, each {expected(members[0])}{suffix}"
    names = {bool: "true or false", int: "an integer", float: "a number", Path: "a path"}
    return names.get(hint, "text") + suffix


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type."""
    hint, is_optional = without_none(hint)
    if value is None:
        return is_optional
    if get_origin(hint) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if get_origin(hint) is tuple:
        members = get_args(hint)
        if not isinstance(value, (tuple, list)):
            return False
        if members[-1] is Ellipsis:
            members = (members[0],) * len(value)
        return len(members) == len(value) and all(map(_fits, members, value))
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    if hint is Path:
        return isinstance(value, (str, Path)) and str(value) != ""
    return isinstance(hint, type) and isinstance(value, hint)


def _check_limits(field: dataclasses.Field[Any], value: Any) -> None:
    """Raise OptionError if a number is outside its limits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    least, above, most, below = (
        field.metadata.get(name) for name in ("least", "above", "most", "below")
    )
    name = flag(field.name)
    if least is not None and not value >= least:
        raise OptionError(f"{name} is {value}; give at least {least}")
    if above is not None and not value > above:
        raise OptionError(f"{name} is {value}; give more than {above}")
    if most is not None and not value <= most:
        raise OptionError(f"{name} is {value}; give at most {most}")
    if below is not None and not value < below:
        raise OptionError(f"{name} is {value}; give less than {below}")


def _shown(value: Any) -> str:
    """Write a value for an error, shortened."""
    text = f"'{value}'" if isinstance(value, (str, Path)) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
