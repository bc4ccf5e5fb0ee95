# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long a run takes on this machine: a step is measured before training begins."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from monodepth2_ros.option_fields import OptionError
from training.learning.dataset import Batch, Samples
from training.learning.learner import Learner, prepare
from training.learning.options import TrainOptions

#: Share of a budget that is planned with: saving, loading and other processes take the rest.
PLANNED = 0.9

#: A held-out sample costs about this share of a training sample: there is no backward pass.
_FORWARD_SHARE = 0.35

#: With fewer steps than this, smaller images would be better.
FEW_STEPS = 300

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Duration:
    """How long a run takes.

    Attributes
    ----------
    step : float
        Seconds of a training step.
    validation : float
        Seconds of a validation.
    """

    step: float
    validation: float

    def of_run(self, steps: int, between: int) -> float:
        """Return the seconds of a run with a validation every so many steps and at the start."""
        return steps * self.step + (1 + steps / max(1, between)) * self.validation

    def steps_within(self, seconds: float, between: int) -> int:
        """Return how many steps fit into so many seconds, at least 1."""
        left = PLANNED * seconds - self.validation
        return max(1, int(left / (self.step + self.validation / max(1, between))))


def parse_duration(text: str) -> float:
    """Return the seconds of "90s", "45min", "1.5h".

    Raises
    ------
    OptionError
        If it is something else.
    """
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text.strip()[len(number) :].strip()
    try:
        seconds = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise OptionError(f"--budget is '{text}'; give a time with its unit: 90s, 45min or 1.5h")
    return seconds


def describe_duration(seconds: float) -> str:
    """Write seconds as a person would."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def measure_duration(
    learner: Learner,
    options: TrainOptions,
    training: Samples,
    rows: slice,
    held_out: int,
    size: tuple[int, int] | None = None,
) -> Duration:
    """Take two steps with a copy of the networks, and time the second.

    Parameters
    ----------
    learner : Learner
        Not compiled, with the networks themselves. Left as it is.
    options : TrainOptions
        With the recipe applied.
    training : Samples
    rows : slice
        This process's rows of a batch.
    held_out : int
        Samples of a validation.
    size : tuple of int, optional
        Width and height to time, if not those of the images.
    """
    model = copy.deepcopy(learner.model)
    model.train()
    device = next(model.parameters()).device
    objective = replace(learner.objective, compiled=False)
    learner = replace(learner, model=model, objective=objective)
    assert options.steps is not None
    learner = learner.at_step(options, options.steps)
    chosen = np.arange(options.batch_size)[rows] % len(training)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        batch = training.read(chosen).to(device)
        views = prepare(batch if size is None else _resized(batch, size))
        _, output = learner.evaluate(views, torch.Generator(device).manual_seed(0))
        output.loss.backward()
        output.loss.item()  # a GPU is waited for
        seconds = time.perf_counter() - start
    sample = seconds / len(chosen)
    return Duration(seconds, _FORWARD_SHARE * sample * held_out)


def _resized(batch: Batch, size: tuple[int, int]) -> Batch:
    """Shrink the images of a batch, for what the time depends on alone."""
    width, height = size
    rows = torch.arange(height) * batch.images.shape[2] // height
    columns = torch.arange(width) * batch.images.shape[3] // width
    truth = batch.truth
    return replace(
        batch,
        images=batch.images[:, :, rows][:, :, :, columns].contiguous(),
        truth=None if truth is None else truth[:, rows][:, :, columns].contiguous(),
    )
