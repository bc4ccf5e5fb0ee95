# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparison of a written model, read back, with the checkpoint in torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from monodepth2_ros.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
)
from training.deployment.depth_model import DepthModel, Images, metadata_json


class ExportError(RuntimeError):
    """An export is impossible or failed its check; the message says why and what to do."""


@dataclass(frozen=True)
class WrittenModel:
    """A written model, read back: what runs it, its metadata, and images → depth, disparity."""

    engine: str
    description: dict[str, Any]
    run: Callable[[Images], tuple[Images, Images]]


def open_written_checkpoint(path: Path) -> WrittenModel:
    """Open what this package itself loads."""
    checkpoint = load_checkpoint(path)
    model = DepthModel(checkpoint.depth_network(), checkpoint.metadata)
    description = json.loads(metadata_json(checkpoint.metadata))

    def run(images: Images) -> tuple[Images, Images]:
        with torch.inference_mode():
            depth, disparity = model(torch.from_numpy(images))
        return depth.numpy(), disparity.numpy()

    return WrittenModel(f"torch {torch.__version__}", description, run)


def largest_difference(model: DepthModel, written: WrittenModel, batch: int) -> float:
    """Return the largest difference of disparity: as given, and as recovered from the depth."""
    low, high = written.description["min_depth"], written.description["max_depth"]
    scale = written.description["scale"]
    largest = 0.0
    for images in test_images(model.metadata, batch):
        with torch.inference_mode():
            expected = model.network(torch.from_numpy(images)).numpy()
        depth, disparity = written.run(images)
        recovered = (scale / depth - 1.0 / high) / (1.0 / low - 1.0 / high)
        for found in (disparity, recovered):
            if found.shape != expected.shape:
                return float("nan")
            # Not max(): it would drop a NaN.
            largest = float(np.maximum(largest, np.abs(found - expected).max()))
    return largest


def test_images(metadata: CheckpointMetadata, batch: int) -> list[Images]:
    """Make images that excite the network: from smooth shades to pixel noise.

    Batches of `batch` images; where any size will do (0), batches of two sizes.
    """
    generator = torch.Generator().manual_seed(0)
    size = (metadata.height, metadata.width)
    batches = []
    for count in (batch,) if batch else (1, 3):
        images = []
        for index in range(max(count, 2) if batch == 1 else count):
            coarse = torch.rand(1, 3, 2 + 5 * (index % 3), 3 + 5 * (index % 3), generator=generator)
            smooth = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
            noise = torch.rand(1, 3, *size, generator=generator)
            images.append(0.8 * smooth + 0.2 * noise)
        stack = torch.cat(images).numpy()
        batches += [stack[i : i + count] for i in range(0, len(stack), count)]
    return batches
