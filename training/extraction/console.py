# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How an extraction tells what it does: commands pass a console, libraries call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Counts progress: called with a number of messages.
Advance = Callable[..., object]


class Console:
    """Shows nothing; the default of a library call."""

    def say(self, text: str) -> None:
        """Take lines for the user."""

    @contextmanager
    def progress(self, total: int, name: str) -> Iterator[Advance]:
        """Begin a stage of `total` messages; gives the function that counts them."""
        yield lambda count=1: None


class ProgressBars(Console):
    """Shows progress bars on a terminal, and no lines."""

    @contextmanager
    def progress(self, total: int, name: str) -> Iterator[Advance]:
        """Show a stage as a bar on stderr."""
        from tqdm import tqdm

        with tqdm(total=total, desc=name, unit=" messages", disable=None) as bar:
            yield bar.update


class WithoutLines(Console):
    """Shows the progress of another console, and no lines: not what is said of a recording's worth.

    Parameters
    ----------
    console : Console
    """

    def __init__(self, console: Console) -> None:
        self.progress = console.progress  # type: ignore[method-assign]


class Terminal(ProgressBars):
    """Prints lines and shows progress bars."""

    def say(self, text: str) -> None:
        """Print."""
        print(text)


def progress_console(quiet: bool) -> Console:
    """Return the console of a command that prints its results itself.

    Parameters
    ----------
    quiet : bool
        The command's option.
    """
    return Console() if quiet else ProgressBars()
