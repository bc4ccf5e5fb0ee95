# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much a model has changed where no corner judges it.

Triangulated corners say nothing of bare walls, roads and things that move, and that is where
training on a short recording goes wrong: at the corners everything gets better while a road rises
to the camera. No image tells. But if both the start and the trained model were as good there as
they are at the corners, they could not differ by more than both errors together.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from training.learning.motion_from_tracks import (
    CERTAIN_WEIGHT,
    SparseGeometry,
    sample_at,
    weighted_medians,
)

#: What is farther from all corners than this share of the image width is judged by none.
_AWAY = 1 / 24

#: With less than this share of the image there is nothing to compare.
_LEAST_AREA = 0.02

#: The inverse depth at which far begins, in units of that of the start's median depth. Beyond,
#: differences of inverse depth count, not of its logarithm: where the sky is does not matter.
_FAR = 0.5


def change_away(depth: Tensor, start: Tensor, geometry: SparseGeometry) -> float | None:
    """Return how much depth has changed from that of the start, away from all corners.

    Parameters
    ----------
    depth, start : Tensor, shape (1, 1, H, W)
        Compared up to the factor between them at the corners whose depth can be told.
    geometry : SparseGeometry
        The corners of this image.

    Returns
    -------
    float, or None
        Mean difference of log depth, where that is not far; None where corners are everywhere.
    """
    height, width = depth.shape[-2:]
    points = torch.from_numpy(geometry.points[geometry.points[:, 3] > 0]).to(depth.device)[None]
    away = torch.from_numpy(_away(points[0].cpu().numpy(), width, height)).to(depth.device)
    if away.float().mean() < _LEAST_AREA:
        return None
    told = (points[..., 3] >= CERTAIN_WEIGHT).float()
    ratio = torch.log(depth / start)
    factor = weighted_medians(sample_at(ratio, points[..., :2]), told).exp()
    unit = start.median() / _FAR
    difference = torch.asinh(unit * factor / depth) - torch.asinh(unit / start)
    return float(difference[0, 0][away].abs().mean())


def _away(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Mark the pixels of an image that are away from all points."""
    empty = np.ones((height, width), np.uint8)
    column, row = np.rint(points[:, :2]).astype(int).T
    empty[row.clip(0, height - 1), column.clip(0, width - 1)] = 0
    return np.asarray(cv2.distanceTransform(empty, cv2.DIST_L2, 5) > _AWAY * width)
