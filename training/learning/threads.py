# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many threads a long training on a CPU takes, where other programs want the cores, too.

Each layer ends with its slowest thread. With a thread on every core, one other busy program holds
up all of them at each layer, and a step can take ten times as long as in one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from monodepth2_ros.backends.kept_answers import time_in_turns
from monodepth2_ros.backends.processor import is_busy

# All cores are kept unless fewer take less than this share of the time: the others may end soon.
_GAIN = 0.75

# Seconds and rounds to spend on timing.
_SECONDS = 4.0
_ROUNDS = (3, 6)

# What is timed: forth and back through so many convolutions of so many channels.
_LAYERS, _CHANNELS, _SIZE = 8, 32, (48, 96)


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads are taken, and why.

    Attributes
    ----------
    threads : int
    seconds : dict of int to float
        What the same work took with each number that was tried, in seconds.
    """

    threads: int
    seconds: dict[int, float]

    def __str__(self) -> str:
        most = max(self.seconds)
        return (
            f"{self.threads} of {most} threads, as other programs use this machine: "
            f"{self.seconds[most] / self.seconds[self.threads]:.1f} times as fast as all of them "
            "(OMP_NUM_THREADS overrides)"
        )


def choose_threads(
    most: int,
    load: float,
    work: Callable[[int], object],
    clock: Callable[[], float] = time.perf_counter,
) -> ThreadChoice:
    """Time the same work with all threads, with as many as there are idle cores, and with one.

    Parameters
    ----------
    most : int
        All threads.
    load : float
        Programs that want a core, on average.
    work : callable
        Does the work with so many threads.
    clock : callable
    """
    counts = sorted({most, min(most, max(1, most - round(load))), 1}, reverse=True)

    def run(count: int) -> Callable[[], object]:
        return lambda: work(count)

    runs = {str(count): run(count) for count in counts}
    for one in runs.values():
        one()  # the first time, memory is allocated and threads begin
    taken = time_in_turns(runs, _SECONDS, _ROUNDS, clock)
    seconds = {int(name): float(np.median(values)) for name, values in taken.items()}
    best = min(counts, key=lambda count: seconds[count])
    if seconds[best] >= _GAIN * seconds[most]:
        best = most
    return ThreadChoice(best, seconds)


def take_idle_cores() -> ThreadChoice | None:
    """Let torch use fewer threads where the machine is busy and that is faster.

    Returns
    -------
    ThreadChoice, or None
        None where nothing was changed: the machine is idle, the user has set a number, or all
        threads are fastest.
    """
    most = torch.get_num_threads()
    if most < 2 or os.environ.get("OMP_NUM_THREADS") or not is_busy():
        return None
    choice = choose_threads(most, os.getloadavg()[0], _convolve)
    torch.set_num_threads(choice.threads)
    return None if choice.threads == most else choice


def _convolve(threads: int) -> None:
    """Do what a step does most of."""
    torch.set_num_threads(threads)
    values = torch.zeros(2, _CHANNELS, *_SIZE)
    weights = torch.zeros(_CHANNELS, _CHANNELS, 3, 3, requires_grad=True)
    for _ in range(_LAYERS):
        values = functional.relu(functional.conv2d(values, weights, padding=1))
    torch.autograd.grad(values.sum(), weights)
