# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion of training samples from recorded poses, so that depth is learned in metres.

Where tracked corners determine rotation and direction of a sample, these are taken from the images,
which show a thousandth of a radian, and the length alone from the poses. So odometry of wheels,
which knows the plane only, will do. The triangulated corners are then in metres, too. Elsewhere the
recorded motion is taken as it is, without corners. Samples whose poses are unknown, jump or
contradict the images are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.frames.store import FrameStore
from training.learning.motion_from_tracks import (
    MOST_POINTS,
    MeasureTracks,
    SparseGeometry,
    is_determined,
    sparse_geometry,
    triangulate_frames,
)

# Metres: a shorter motion is the noise of the poses.
_SHORTEST = 0.003

# One of two neighbours may be so many times as far away as the other; a jump is farther.
_LARGEST_RATIO = 5.0

# Degrees by which recorded and seen rotation may differ, and recorded and seen direction.
_ROTATION, _DIRECTION = 3.0, 40.0


def recorded_transforms(
    store: FrameStore, target: int, sources: Sequence[int]
) -> NDArray[np.float64] | None:
    """Return the recorded motion from a frame to others.

    Returns
    -------
    ndarray, shape (S, 4, 4), or None
        From the frame's camera to each source's, in metres; None where poses are unknown or one of
        the sources is much farther away than another.
    """
    poses = store.poses[[target, *sources]]
    if not np.isfinite(poses).all():
        return None
    transforms = np.linalg.inv(poses[1:]) @ poses[0]
    lengths = np.linalg.norm(transforms[:, :3, 3], axis=1)
    spans = np.abs(np.array(sources) - target)
    speeds = lengths / spans
    if lengths.max() > 10 * _SHORTEST and speeds.max() > _LARGEST_RATIO * max(speeds.min(), 1e-9):
        return None
    return np.asarray(transforms, np.float64)


def remember_recorded(stores: Sequence[FrameStore]) -> MeasureTracks:
    """Return a function that finds the motion of each sample once, in metres.

    Parameters
    ----------
    stores : sequence of FrameStore
    """

    @cache
    def measure(store: int, target: int, sources: tuple[int, ...]) -> SparseGeometry | None:
        recorded = recorded_transforms(stores[store], target, sources)
        if recorded is None:
            return None
        lengths = np.linalg.norm(recorded[:, :3, 3], axis=1)
        if lengths.max() < _SHORTEST:
            return None
        found = triangulate_frames(stores[store], target, sources)
        if found is None or not is_determined(found):
            nothing = np.zeros((MOST_POINTS, 4), np.float32)
            nothing[:, 2] = 1.0
            areas = np.zeros(MOST_POINTS, np.float32)
            return SparseGeometry(recorded.astype(np.float32), nothing, areas)
        if not agree(recorded, found.transforms):
            return None
        seen = np.linalg.norm(found.transforms[:, :3, 3], axis=1)
        metres = float(lengths @ seen / (seen @ seen))
        transforms = found.transforms.copy()
        transforms[:, :3, 3] *= metres
        found = replace(found, depth=found.depth * metres)
        size = (stores[store].width, stores[store].height)
        return sparse_geometry(found, transforms, size)

    return measure


def remember_lengths(stores: Sequence[FrameStore]) -> MeasureTracks:
    """Return a function that gives the recorded motion of each sample as it is, without corners.

    A motion network learns from its lengths alone (``--velocity-weight``), so its rotation may be
    poor.

    Parameters
    ----------
    stores : sequence of FrameStore
    """
    nothing = np.zeros((MOST_POINTS, 4), np.float32)
    nothing[:, 2] = 1.0

    @cache
    def measure(store: int, target: int, sources: tuple[int, ...]) -> SparseGeometry | None:
        recorded = recorded_transforms(stores[store], target, sources)
        if recorded is None or np.linalg.norm(recorded[:, :3, 3], axis=1).max() < _SHORTEST:
            return None
        areas = np.zeros(MOST_POINTS, np.float32)
        return SparseGeometry(recorded.astype(np.float32), nothing, areas)

    return measure


def length_loss(transforms: Sequence[Tensor], recorded: Tensor) -> Tensor:
    """Return the error of the lengths of predicted translations, relative to the recorded ones.

    The velocity supervision of Guizilini et al., "3D Packing for Self-Supervised Monocular Depth
    Estimation", CVPR 2020, divided by the mean recorded length, so that a weight means the same
    for a robot and a car.

    Parameters
    ----------
    transforms : sequence of S Tensor, shape (B, 4, 4)
        Predicted.
    recorded : Tensor, shape (B, S, 4, 4)
        In metres.

    Returns
    -------
    Tensor, scalar
    """
    predicted = torch.stack([transform[:, :3, 3] for transform in transforms], dim=1)
    lengths = recorded[:, :, :3, 3].norm(dim=-1)
    # The root has no gradient at 0.
    error = (predicted.square().sum(dim=-1) + 1e-12).sqrt() - lengths
    return error.abs().mean() / lengths.mean().clamp_min(_SHORTEST)


def agree(recorded: NDArray[np.float64], seen: NDArray[np.float64]) -> bool:
    """Tell whether recorded motions (S, 4, 4) are those that the images show, up to length."""
    for one, other in zip(recorded, seen, strict=True):
        rotation = one[:3, :3].T @ other[:3, :3]
        cosine = (np.trace(rotation) - 1.0) / 2.0
        if np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) > _ROTATION:
            return False
        lengths = np.linalg.norm(one[:3, 3]), np.linalg.norm(other[:3, 3])
        if lengths[0] < 5 * _SHORTEST or lengths[1] < 1e-6:
            continue  # its direction is noise
        direction = float(one[:3, 3] @ other[:3, 3] / (lengths[0] * lengths[1]))
        if np.degrees(np.arccos(np.clip(direction, -1.0, 1.0))) > _DIRECTION:
            return False
    return True
