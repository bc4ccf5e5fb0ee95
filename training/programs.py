# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Call the commands of this package from code, with the words of their command lines."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from training.train import NOTHING_LEARNED

#: Commands by their modules' names.
PROGRAMS = (
    "averaging",
    "calibrate",
    "evaluate",
    "export",
    "extract",
    "panoramas",
    "synthesize",
    "train",
)


def call(name: str, words: Sequence[object]) -> None:
    """Run a command in this process.

    A training that ends no better than it began is no failure here: what it learned may be
    averaged or judged all the same.

    Parameters
    ----------
    name : str
        One of :data:`PROGRAMS`.
    words : sequence
        Its command line.

    Raises
    ------
    RuntimeError
        If the command fails; it has printed why.
    KeyboardInterrupt
        If it was interrupted.
    """
    if name not in PROGRAMS:
        raise ValueError(f"'{name}' is not a command; there are {', '.join(PROGRAMS)}")
    # Imported here: each needs extras of its own, and says so.
    program = importlib.import_module(f"training.{name}")
    try:
        status = program.main([str(word) for word in words])
    except SystemExit as stopped:  # a command line that is refused
        status = stopped.code
    if status == 130:
        raise KeyboardInterrupt
    if status not in (0, NOTHING_LEARNED):
        raise RuntimeError(f"training.{name} ended with status {status}; the reason is above")
