# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long and how fast to learn: the published recipe, and one for short recordings."""

from __future__ import annotations

import math
from dataclasses import replace

from training.options import TrainOptions

#: With fewer training samples than this, ``--recipe auto`` takes the recipe for short recordings.
SMALL = 8000


def apply_recipe(options: TrainOptions, samples: int) -> TrainOptions:
    """Fill in the options that are None.

    Parameters
    ----------
    options : TrainOptions
    samples : int
        Number of training samples.

    Returns
    -------
    TrainOptions
        With `recipe` named and every None replaced; `steps` is the whole number of steps.
    """
    recipe = options.recipe
    if recipe == "auto":
        recipe = "small" if samples < SMALL else "published"
    epoch_steps = max(1, samples // options.batch_size)
    if recipe == "published":
        defaults = {"epochs": 20, "learning_rate": 1e-4, "warmup_steps": 0, "clip_norm": 0.0}
        defaults["initial_depth"] = 0.0
    else:
        defaults = {"learning_rate": 2e-4, "warmup_steps": 100, "clip_norm": 1.0}
        defaults["epochs"] = math.ceil(4000 / epoch_steps)
        defaults["initial_depth"] = 0.0
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    filled = replace(options, recipe=recipe, **missing)  # type: ignore[arg-type]
    if filled.steps is None:
        assert filled.epochs is not None
        filled = replace(filled, steps=filled.epochs * epoch_steps)
    else:
        filled = replace(filled, epochs=math.ceil(filled.steps / epoch_steps))
    return filled


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
