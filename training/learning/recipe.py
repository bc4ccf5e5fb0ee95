# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long and how fast to learn: the published recipe, and one for short recordings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
import torch

from training.learning.dataset import Samples
from training.learning.flow import cell_size
from training.learning.motion_from_flow import solve_motion
from training.learning.options import SOLVED, WITHOUT_NETWORK, TrainOptions

#: With fewer training samples than this, ``--recipe auto`` takes the recipe for short recordings.
SMALL = 8000

#: Length of the published training, and of the recipe for short recordings.
PUBLISHED_EPOCHS, SMALL_STEPS = 20, 3000

#: Adam's step size, and that for starting from a trained model with few samples.
LEARNING_RATE, FINE_TUNING_RATE = 1e-4, 2e-5

#: ... and that for learning from a short recording alone, where its motion is known before depth
#: is. A model that was trained before is thrown about by such steps.
KNOWN_MOTION_RATE = 4e-4

#: Whoever learns so for at least this many steps, from a checkpoint that hardly knows the place,
#: keeps its encoder alone: the decoder has been drawn to the depth of other places, and a new one
#: is better by then.
FRESH_DECODER_STEPS = 300

#: Motion comes from tracked corners where they determine it for this share of the samples.
DETERMINED = 0.5

#: Else motion is solved from optical flow where a constant depth explains this share of it.
FLAT = 0.8

_T = TypeVar("_T")


def apply_recipe(
    options: TrainOptions, samples: int, flat: float = 0.0, determined: float = 0.0
) -> TrainOptions:
    """Fill in the options that are None or "auto".

    Parameters
    ----------
    options : TrainOptions
    samples : int
        Number of training samples.
    flat : float
        See :func:`constant_depth_share`.
    determined : float
        See :func:`determined_share`.

    Returns
    -------
    TrainOptions
        With `recipe` and `pose` named and every None replaced; `steps` is the whole number of
        steps.
    """
    recipe = recipe_name(options, samples)
    epoch_steps = max(1, samples // options.batch_size)
    filled = replace(
        options,
        recipe=recipe,
        warmup_steps=_given(options.warmup_steps, 0),
        clip_norm=_given(options.clip_norm, 0.0),
    )
    if filled.steps is None:
        default = (
            PUBLISHED_EPOCHS if recipe == "published" else math.ceil(SMALL_STEPS / epoch_steps)
        )
        filled = replace(filled, epochs=_given(filled.epochs, default))
        assert filled.epochs is not None
        filled = replace(filled, steps=filled.epochs * epoch_steps)
    assert filled.steps is not None
    easy = starts_easily(options, samples)
    pose = options.pose
    if pose == "auto":
        pose = "separate"
        if options.velocity_weight:
            pass  # it is the lengths of a network's motion that are learned
        elif may_solve_motion(options, samples) and determined >= DETERMINED:
            pose = "tracks"
        elif easy and flat >= FLAT and not options.motion_steps:
            pose = "flow"
    # Motion that is learned or solved with depth pulls a trained model away from what it knows, and
    # small steps keep it. Motion that is known before does not.
    is_known = pose in ("tracks", "recorded")
    decoder = options.decoder
    if decoder == "auto" and not (recipe == "small" and is_known and _may_forget(filled)):
        decoder = "keep"
    rate = LEARNING_RATE
    if recipe == "small" and is_known and (decoder == "fresh" or not options.checkpoint):
        rate = KNOWN_MOTION_RATE
    elif recipe == "small" and options.checkpoint and not is_known:
        rate = FINE_TUNING_RATE
    depth = min(10 * options.min_depth, math.sqrt(options.min_depth * options.max_depth))
    motion_steps = min(300, filled.steps // 8) if easy and pose not in WITHOUT_NETWORK else 0
    is_solved = pose in WITHOUT_NETWORK
    coarse_steps = min(200, filled.steps // 6) if is_solved else min(1000, filled.steps // 3)
    return replace(
        filled,
        pose=pose,
        decoder=decoder,
        learning_rate=_given(options.learning_rate, rate),
        epochs=math.ceil(filled.steps / epoch_steps),
        initial_depth=_given(options.initial_depth, depth if easy or pose in SOLVED else 0.0),
        difference_filters=_given(options.difference_filters, easy),
        motion_steps=_given(options.motion_steps, motion_steps),
        coarse_steps=_given(options.coarse_steps, coarse_steps if easy else 0),
    )


def _may_forget(options: TrainOptions) -> bool:
    """Whether a run has the time for a new decoder, and nothing asks for the old one."""
    assert options.steps is not None
    has_rate = options.learning_rate not in (None, LEARNING_RATE)
    asks = options.keep_weight or has_rate or options.truth != "none"
    return bool(options.checkpoint) and not asks and options.steps >= FRESH_DECODER_STEPS


def with_decoder(options: TrainOptions, fresh: bool) -> TrainOptions:
    """Decide what the recipe leaves open: whether a checkpoint's decoder is kept.

    Parameters
    ----------
    options : TrainOptions
        With the recipe applied.
    fresh : bool
        Whether the checkpoint hardly knows the place; does not count where the options have
        decided.
    """
    if options.decoder != "auto":
        return options
    if not fresh:
        return replace(options, decoder="keep")
    return replace(options, decoder="fresh", learning_rate=KNOWN_MOTION_RATE)


def recipe_name(options: TrainOptions, samples: int) -> Literal["published", "small"]:
    """Return the recipe of a run with so many training samples."""
    if options.recipe == "auto":
        return "small" if samples < SMALL else "published"
    return options.recipe


def starts_easily(options: TrainOptions, samples: int) -> bool:
    """Whether a run begins with motion, because it knows none yet.

    A checkpoint does, and the motion between the images of a stereo pair is known.
    """
    small = recipe_name(options, samples) == "small"
    return small and not options.checkpoint and options.stereo == "none"


def may_solve_motion(options: TrainOptions, samples: int) -> bool:
    """Whether ``--pose auto`` may do without a pose network."""
    is_small = recipe_name(options, samples) == "small"
    is_free = options.stereo == "none" and not options.motion_steps
    return is_small and is_free and not options.velocity_weight


def _given(value: _T | None, default: _T) -> _T:
    """Return the value, or the default if there is none."""
    return default if value is None else value


def learning_rate(options: TrainOptions, step: int) -> float:
    """Return the rate of a step.

    Parameters
    ----------
    options : TrainOptions
        With the recipe applied.
    step : int
        From 0.
    """
    assert options.learning_rate is not None and options.steps is not None
    rate = options.learning_rate
    if step >= options.drop_after * options.steps:
        rate *= 0.1
    if options.warmup_steps:
        rate *= min(1.0, (step + 1) / options.warmup_steps)
    return rate


def determined_share(samples: Samples, most: int = 40) -> float:
    """Return the share of the samples whose motion tracked corners determine.

    Parameters
    ----------
    samples : Samples
        With `measure_tracks`; those that learn from ground truth alone do not count.
    most : int
        At most this many samples are looked at, evenly spread over all.
    """
    needed = np.flatnonzero(samples.self_supervised())
    if not len(needed):
        return 0.0
    chosen = needed[np.unique(np.linspace(0, len(needed) - 1, min(most, len(needed))).astype(int))]
    return float(np.mean([found is not None for found in samples.geometries(chosen)]))


def constant_depth_share(samples: Samples, most: int = 40) -> float:
    """Return the share of the optical flow that motion past a constant depth explains.

    Where that is most of it (a camera that turns and sways in front of things), motion can be
    solved from the flow before depth is known. Where the ground rushes by below a far horizon, the
    solution is wrong, and depth that is learned with it stays wrong.

    Parameters
    ----------
    samples : Samples
        With `measure_flow`.
    most : int
        At most this many samples are looked at, evenly spread over all.

    Returns
    -------
    float
        1 less the median residual, relative to the median flow; at least 0.
    """
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round())
    batch = samples.read(chosen.astype(np.int64))
    if batch.flow is None:  # all learn from truth alone
        return 0.0
    flow = batch.flow.float().flatten(0, 1)[:, :2]
    sources = batch.flow.shape[1]
    intrinsics = batch.intrinsics[: len(batch.flow)].repeat_interleave(sources, dim=0)
    depth = torch.ones_like(flow[:, 0])
    _, residual = solve_motion(depth, flow, intrinsics, cell_size(samples.width))
    return max(0.0, 1.0 - (residual.median() / flow.norm(dim=1).median().clamp_min(1e-3)).item())
