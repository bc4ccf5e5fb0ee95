# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In which precision and memory layout a CPU trains fastest, by trying.

What a processor's flags promise does not tell: bfloat16 pays several times over with AMX, and on
some processors with AVX512_BF16, but not on all; a layout that suits the convolutions costs time
elsewhere. So what the options leave open is timed, once for a processor and a size of the images.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from monodepth2_ros.backends.kept_answers import KeptAnswers, time_in_turns
from monodepth2_ros.backends.processor import has_bfloat16, processor_name
from training.learning.learner import Learner
from training.learning.options import TrainOptions

# What is used without trying stays unless another takes less than this share of its time.
_GAIN = 0.95

# Seconds and rounds to spend on timing.
_SECONDS = 10.0
_ROUNDS = (1, 3)


@dataclass(frozen=True)
class Arithmetic:
    """How convolutions are computed.

    Attributes
    ----------
    bfloat16 : bool
        In bfloat16, not in float32.
    channels_last : bool
        With the channels of a pixel next to each other in memory.
    """

    bfloat16: bool
    channels_last: bool

    def __str__(self) -> str:
        precision = "bfloat16" if self.bfloat16 else "float32"
        return f"{precision}, {'channels-last' if self.channels_last else 'contiguous'}"


def arithmetic_of(learner: Learner) -> Arithmetic:
    """Return how a learner computes."""
    return Arithmetic(learner.bfloat16, learner.channels_last)


def with_arithmetic(learner: Learner, arithmetic: Arithmetic) -> Learner:
    """Return a learner that computes so; the weights of its model change their layout in place."""
    layout = torch.channels_last if arithmetic.channels_last else torch.contiguous_format
    learner.model.to(memory_format=layout)
    return replace(learner, **asdict(arithmetic))


def open_choices(options: TrainOptions, default: Arithmetic) -> list[Arithmetic]:
    """Return what the options leave open on this CPU, the default first.

    Parameters
    ----------
    options : TrainOptions
    default : Arithmetic
        What is used without trying.
    """
    both = [False, True]
    precisions = both if options.precision == "auto" and has_bfloat16() else [default.bfloat16]
    layouts = both if options.channels_last == "auto" else [default.channels_last]
    others = [Arithmetic(*pair) for pair in itertools.product(precisions, layouts)]
    return [default, *(one for one in others if one != default)]


def question(options: TrainOptions, width: int, height: int) -> tuple[Any, ...]:
    """Return all that decides which choice is fastest, but for the choices themselves."""
    networks = (options.num_layers, options.pose, options.pose_layers, options.stereo)
    engine = (processor_name(), torch.__version__, torch.get_num_threads())
    return (*engine, *networks, width, height)


def known_choice(
    choices: list[Arithmetic], answers: KeptAnswers, asked: tuple[Any, ...]
) -> Arithmetic | None:
    """Return what was found before among the same choices, None if nothing was."""
    if len(choices) == 1:
        return choices[0]
    name = answers.get(*asked, *map(str, choices)).get("choice")
    return next((one for one in choices if str(one) == name), None)


def find_choice(
    choices: list[Arithmetic],
    learner: Learner,
    step: Callable[[Learner], float],
    average: Callable[[float], float] = lambda seconds: seconds,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Arithmetic, dict[str, float]]:
    """Time steps with all choices, in turns.

    Parameters
    ----------
    choices : list of Arithmetic
        The default first.
    learner : Learner
        Left as it is.
    step : callable
        Takes a step with a learner and returns its seconds.
    average : callable
        Averages seconds over all processes, so that they decide alike.
    clock : callable

    Returns
    -------
    Arithmetic
    dict of str to float
        Seconds of a step with each choice, the shortest.
    """
    seconds: dict[str, list[float]] = {str(one): [] for one in choices}

    def run(choice: Arithmetic) -> Callable[[], None]:
        tried = with_arithmetic(replace(learner, model=copy.deepcopy(learner.model)), choice)
        return lambda: seconds[str(choice)].append(step(tried))

    time_in_turns({str(one): run(one) for one in choices}, _SECONDS, _ROUNDS, clock)
    shortest = {name: average(min(values)) for name, values in seconds.items()}
    best = min(choices, key=lambda one: shortest[str(one)])
    if shortest[str(best)] >= _GAIN * shortest[str(choices[0])]:
        best = choices[0]
    return best, shortest


def keep_choice(
    choice: Arithmetic,
    seconds: dict[str, float],
    choices: list[Arithmetic],
    answers: KeptAnswers,
    asked: tuple[Any, ...],
) -> None:
    """Keep what was found for the next run."""
    answer = {"choice": str(choice), "seconds": seconds, "processor": processor_name()}
    answers.put(answer, *asked, *map(str, choices))
