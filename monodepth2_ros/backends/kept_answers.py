# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about speed that are answered by trying, and what was answered before."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monodepth2_ros.atomic_files import write_atomically
from monodepth2_ros.options import BackendError


def time_in_turns(
    runs: Mapping[str, Callable[[], Any]],
    budget: float,
    rounds: tuple[int, int],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time several ways to do the same, in turns, so that other programs disturb all alike.

    Parameters
    ----------
    runs : mapping of str to callable
    budget : float
        Seconds after which no round is begun, once there were enough.
    rounds : tuple of int
        Fewest and most.
    clock : callable

    Returns
    -------
    dict of str to list of float
        Seconds of each run, round by round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    started = clock()
    for number in range(rounds[1]):
        if number >= rounds[0] and clock() - started > budget:
            break
        for name, run in runs.items():
            begun = clock()
            run()
            seconds[name].append(clock() - begun)
    return seconds


class KeptAnswers:
    """Answers in a JSON file; trouble with it costs only the time to find them again.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, *question: Any) -> dict[str, Any]:
        """Return an answer; empty if there is none that can be read."""
        answer = self._read().get(_key(question))
        return answer if isinstance(answer, dict) else {}

    def put(self, answer: Mapping[str, Any], *question: Any) -> None:
        """Keep an answer."""
        answers = {**self._read(), _key(question): dict(answer)}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps(answers, indent=1).encode())

    def _read(self) -> dict[str, Any]:
        try:
            answers = json.loads(self._file.read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return answers if isinstance(answers, dict) else {}


def cache_folder(given: str | os.PathLike[str] | None) -> Path:
    """Return the folder that a user chose to keep things in, or the user's cache folder.

    Parameters
    ----------
    given : str or path, optional

    Raises
    ------
    BackendError
        If it begins with a home folder that nobody knows.
    """
    if not given:
        return user_cache()
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise BackendError(
            f"cache_dir is '{given}', and that home folder is not known; give an absolute path"
        ) from error


def user_cache() -> Path:
    """Return the user's cache folder for this package.

    A user without a home folder, as in a container that runs under a number of its own, gets one
    that cannot be made: nothing is kept. A shared place such as /tmp would not be safe.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # others are to be ignored, by the specification of that variable
        return Path(base) / "monodepth2_ros"
    try:
        return Path.home() / ".cache" / "monodepth2_ros"
    except RuntimeError:
        return Path(os.devnull) / "monodepth2_ros"


def _key(question: tuple[Any, ...]) -> str:
    """Name a question by all that the answer may depend on."""
    return hashlib.sha256(" ".join(map(str, question)).encode()).hexdigest()[:16]
