# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What this machine can train in a given time: by timing steps, before anything is learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from training.frames.store import FrameStore
from training.learning.dataset import find_samples, split_samples
from training.learning.learner import build_learner
from training.learning.motion_from_tracks import standing_geometry
from training.learning.options import TrainOptions
from training.learning.processes import Processes, join_processes
from training.learning.recipe import apply_recipe
from training.learning.size_choice import (
    ENOUGH_SAMPLES,
    Size,
    SizeChoice,
    candidate_sizes,
    choose_size,
    expected_size,
)
from training.learning.threads import take_idle_cores
from training.learning.timing import Duration, measure_duration, parse_duration


@dataclass(frozen=True)
class _Timing:
    """How to time a step at a size, the stored size, and the steps between validations."""

    measure: Callable[[Size], Duration]
    stored: Size
    between: int


def affordable_size(
    options: TrainOptions, stores: Sequence[FrameStore], processes: Processes
) -> SizeChoice | None:
    """Time steps at some sizes and choose the one that a budget is best spent at.

    Parameters
    ----------
    options : TrainOptions
        With a budget.
    stores : sequence of FrameStore
    processes : Processes

    Returns
    -------
    SizeChoice, or None
        None where the size cannot be chosen: flow would have to be measured for each.
    """
    timing = None if options.pose == "flow" else _timing(options, stores, processes)
    if timing is None:
        return None
    enough = math.ceil(ENOUGH_SAMPLES / options.batch_size)
    seconds = parse_duration(options.budget)
    sizes = candidate_sizes(timing.stored)
    return choose_size(sizes, timing.measure, seconds, timing.between, enough)


def suggested_size(store: FrameStore, seconds: float) -> tuple[Size, int, int] | None:
    """Estimate what a training with default options would do in a time, in a few seconds.

    Steps are timed at the smallest size, and taken to grow with the number of pixels.

    Parameters
    ----------
    store : FrameStore
    seconds : float
        What the training may take.

    Returns
    -------
    size : tuple of int
        Width and height of the images.
    steps, batch : int
        Steps that fit, and their samples.
    None
        In their place, where there are too few samples for a step.

    Raises
    ------
    DatasetError
        If nothing in the store can be trained on.
    """
    options = TrainOptions(data=(str(store.path),), init="none")
    timing = _timing(options, [store], join_processes(options.device))
    if timing is None:
        return None
    small = candidate_sizes(timing.stored)[-1]
    area = timing.stored[0] * timing.stored[1] / (small[0] * small[1])
    threads = torch.get_num_threads()
    take_idle_cores()
    try:
        step = area * timing.measure(small).step
    finally:
        torch.set_num_threads(threads)
    return *expected_size(timing.stored, step, options.batch_size, seconds), options.batch_size


def averaged(own: Duration, processes: Processes) -> Duration:
    """Average a duration over the processes, so that all of them decide alike."""
    if processes.count == 1:
        return own
    values = torch.tensor([own.step, own.validation], device=processes.device)
    step, validation = (processes.total(values) / processes.count).tolist()
    return Duration(step, validation)


def _timing(
    options: TrainOptions, stores: Sequence[FrameStore], processes: Processes
) -> _Timing | None:
    """Prepare to time steps; None where there are too few samples for one."""
    samples = find_samples(stores, options.sources, options.stereo, options.spacing, options.truth)
    training, held_out = split_samples(samples, options.validation_fraction)
    if len(training) < options.batch_size:
        return None
    # The motion of tracked corners costs nothing in a step, so any will do.
    pose = "tracks" if options.pose == "auto" and options.stereo == "none" else options.pose
    if pose in ("tracks", "recorded"):
        still = standing_geometry(training.frames.shape[1] - 1)
        training = replace(training, measure_tracks=lambda store, target, sources: still)
    filled = apply_recipe(replace(options, budget="", pose=pose), len(training), determined=1.0)
    _, learner = build_learner(filled, processes.device)
    rows = processes.share(options.batch_size)
    judged = math.ceil(min(len(held_out), options.validation_samples) / processes.count)
    epoch = len(training) // options.batch_size
    between = math.ceil(options.validate_every / epoch) * epoch

    def measure(size: Size) -> Duration:
        own = measure_duration(learner, filled, training, rows, judged, size)
        return averaged(own, processes)

    return _Timing(measure, (training.width, training.height), between)
