# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training.averaging``: the mean of the weights of two stages of one training.

A model that goes on learning from other data becomes better there and forgets some of what it knew.
As long as both are stages of one training, models on the straight line between their weights work,
too, and some way along it are often better than either end at what neither was trained for
(Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from monodepth2_ros.extras import require_for_command

require_for_command("averaging", "train", "torch")

import torch
from torch import Tensor

from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)


def average(first: Checkpoint, second: Checkpoint, share: float) -> Checkpoint:
    """Average the depth networks of two checkpoints.

    Parameters
    ----------
    first, second : Checkpoint
        Of one architecture, size, crop and depth range; the second was trained further from the
        first.
    share : float
        Of the second, from 0 to 1.

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
    names = ("num_layers", "width", "height", "crop", "min_depth", "max_depth")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Average two files into a third."""
    parser = argparse.ArgumentParser(
        prog="python -m training.averaging", description=(__doc__ or "").split("\n", 1)[0]
    )
    add = parser.add_argument
    add("first", type=Path, metavar="FIRST.safetensors")
    add("second", type=Path, metavar="SECOND.safetensors", help="trained further from the first")
    add("--share", type=float, default=0.5, help="of the second, from 0 to 1 [%(default)s]")
    add("--out", type=Path, required=True, metavar="FILE.safetensors")
    options = parser.parse_args(argv)
    try:
        averaged = average(
            load_checkpoint(options.first), load_checkpoint(options.second), options.share
        )
        save_checkpoint(options.out, averaged.metadata, averaged.state)
    except (OSError, ValueError) as error:
        print(f"averaging: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.out}: {1 - options.share:g} of {options.first}, {options.share:g} of the other"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
