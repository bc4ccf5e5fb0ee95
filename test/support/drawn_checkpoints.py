# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with drawn weights that behave like trained ones."""

from __future__ import annotations

import dataclasses
from typing import Any

from monodepth2_ros.checkpoint import Checkpoint, random_checkpoint

WIDTH, HEIGHT = 96, 64


def spread_checkpoint() -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    drawn = random_checkpoint(18, WIDTH, HEIGHT, seed=3)
    drawn.state["depth"]["decoder.10.conv.weight"] *= 40.0
    metadata = dataclasses.replace(
        drawn.metadata, min_depth=0.2, max_depth=50.0, crop=(0.0, 0.25, 0.0, 0.125), scale=3.0
    )
    return dataclasses.replace(drawn, metadata=metadata)


def with_metadata(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    return dataclasses.replace(
        checkpoint, metadata=dataclasses.replace(checkpoint.metadata, **changes)
    )


def published(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    """A variant that the published layout can hold."""
    values = {"min_depth": 0.1, "max_depth": 100.0, "crop": (0.0,) * 4, "scale": 1.0, **changes}
    return with_metadata(checkpoint, **values)
