# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure again, once and in the background, what was measured on a busier machine.

What is faster is measured at the first start and kept. If other programs had the processor then,
the answer may be wrong for all later starts. So the load is kept with it. The first start at half
that load uses the answer as it is, and measures again in a thread, for the starts that follow.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from monodepth2_ros.backends.kept_answers import KeptAnswers
from monodepth2_ros.backends.processor import machine_load

# Load average for each usable core from which on a measurement is doubtful, and the share of it at
# which another one is worth its time.
_BUSY = 0.5
_QUIETER = 0.5

# Seconds until then: the first frames are not disturbed.
_DELAY = 10.0

#: Does something later, in the background.
Later = Callable[[Callable[[], None]], Any]

_T = TypeVar("_T")


def is_due(answer: Mapping[str, Any], load: float) -> bool:
    """Whether an answer should be measured again at this load, for each usable core.

    Parameters
    ----------
    answer : mapping
        With the "load" at which it was measured, unknown in caches of earlier versions, and with
        "again" if it was measured again already.
    load : float
    """
    if answer.get("again"):
        return False
    then = answer.get("load")
    busy = float(then) if isinstance(then, int | float) and not math.isnan(then) else math.inf
    return busy >= _BUSY and load <= _QUIETER * busy


def look_later(measure: Callable[[], None], delay: float = _DELAY) -> threading.Thread:
    """Measure in a thread after some seconds; what fails there changes nothing."""

    def wait_and_measure() -> None:
        # Nobody sets it: a wait that is no polling, in a thread that ends with the process.
        threading.Event().wait(delay)
        try:
            measure()
        except Exception:  # whatever an engine raises: the kept answer is as good as before
            logging.getLogger(__name__).debug("not measured again", exc_info=True)

    thread = threading.Thread(target=wait_and_measure, name="second_look", daemon=True)
    thread.start()
    return thread


def kept_or_measured(
    answers: KeptAnswers,
    question: tuple[Any, ...],
    is_known: Callable[[Mapping[str, Any]], bool],
    measure: Callable[[], tuple[dict[str, Any], _T]],
    load: Callable[[], float] | None = None,
    later: Later = look_later,
) -> tuple[Mapping[str, Any], _T | None]:
    """Return the kept answer to a question, or measure and keep it.

    A kept answer that :func:`is_due` is used, and measured again in the background.

    Parameters
    ----------
    answers : KeptAnswers
    question : tuple
        What the answer depends on.
    is_known : callable
        Whether what was kept is an answer.
    measure : callable
        Returns what is to be kept, and what was made to find it.
    load : callable, optional
        The machine's load for each core, by default :func:`machine_load`.
    later : callable
        Does something in the background.

    Returns
    -------
    answer : mapping
    made : object or None
        What was made to find it; None if it was kept.
    """
    look = load or machine_load

    def find(again: bool = False) -> tuple[Mapping[str, Any], _T]:
        busy = round(look(), 2)  # before it is measured, which is a load, too
        found, made = measure()
        answers.put({**found, "load": busy, "again": again}, *question)
        return found, made

    answer = answers.get(*question)
    if not is_known(answer):
        return find()

    def look_again() -> None:
        if is_due(answer, look()):
            find(again=True)

    if is_due(answer, look()):
        later(look_again)
    return answer, None
