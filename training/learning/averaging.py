# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The mean of the weights of two stages of one training."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from monodepth2_ros.checkpoint import Checkpoint, CheckpointError


def average(first: Checkpoint, second: Checkpoint, share: float) -> Checkpoint:
    """Average the depth networks of two checkpoints.

    Parameters
    ----------
    first, second : Checkpoint
        They have one architecture, crop and depth range; the second was trained further from the
        first, perhaps at another image size.
    share : float
        Weight of the second, from 0 to 1.

    Returns
    -------
    Checkpoint
        float32, depth network alone, with the metadata of the second. Running statistics of batch
        normalisation are averaged like weights.

    Raises
    ------
    CheckpointError
        If the two do not fit together.
    ValueError
        If the share is not from 0 to 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"the share is {share}; give one from 0 (the first) to 1 (the second)")
    names = ("num_layers", "crop", "min_depth", "max_depth")
    for name in names:
        one, other = getattr(first.metadata, name), getattr(second.metadata, name)
        if one != other:
            raise CheckpointError(
                f"{first.source} has {name} {one}, {second.source} has {other}; average stages of "
                "one training"
            )
    state = {}
    for network in ("encoder", "depth"):
        one, other = first.state[network], second.state[network]
        # The classifier is never used; files may leave it out.
        shared = [key for key in other if ".fc." not in key]
        missing = [key for key in shared if key not in one or one[key].shape != other[key].shape]
        if missing:
            raise CheckpointError(
                f"{first.source} and {second.source} differ in {network}: {missing[0]}; average "
                "stages of one training"
            )
        state[network] = {key: _between(one[key], other[key], share) for key in shared}
    return dataclasses.replace(second, state=state)


def _between(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Go a share of the way; counters are the second's."""
    if not other.is_floating_point():
        return other.clone()
    return torch.lerp(one.double(), other.double(), share).float()
