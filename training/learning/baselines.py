# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What depth is worth that was not learned: a constant, a plane, the mean depth image.

A model that is not better than the best constant depth has learned nothing; one that is not better
than the mean depth image has learned where things usually are, not what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.learning.dataset import Samples
from training.learning.motion_from_tracks import (
    CERTAIN_WEIGHT,
    LARGEST_ERROR,
    SparseGeometry,
    corner_errors,
    corner_noise,
)
from training.metrics import evaluate_frame, valid_mask, weighted_median

Floats = NDArray[np.float64]

#: Frames of the training stretch from which the mean depth image is taken, at most.
_MOST_FRAMES = 30

#: Columns of the grid in which triangulated depth is averaged to a mean depth image.
_COLUMNS = 12

#: Farthest ground truth that counts, in metres.
FARTHEST = 80.0


@dataclass(frozen=True)
class Baselines:
    """Mean abs_rel of depth that was not learned, on the held-out frames; None where unknown.

    Attributes
    ----------
    constant, mean_image : float or None
        Against ground truth: the best constant depth, and the mean depth image of the training
        stretch; both scaled by the medians.
    sparse_constant, sparse_plane, sparse_mean_image : float or None
        Against triangulated depth: the same, and the plane that fits each frame's points best.
    sparse_noise : float or None
        The error against triangulated depth that right depth would have, by the uncertainty of the
        triangulation alone.
    """

    constant: float | None = None
    mean_image: float | None = None
    sparse_constant: float | None = None
    sparse_plane: float | None = None
    sparse_mean_image: float | None = None
    sparse_noise: float | None = None


def measure_baselines(
    training: Samples,
    validation: Samples,
    chosen: NDArray[np.int64],
    sparse_chosen: NDArray[np.int64],
) -> Baselines:
    """Judge what was not learned.

    Parameters
    ----------
    training, validation : Samples
        With `measure_tracks`, if triangulated depth is to be compared.
    chosen, sparse_chosen : ndarray of int
        Held-out samples to compare with ground truth and with triangulated depth.
    """
    truths = [validation.truth(sample) for sample in chosen.tolist()]
    known = [truth for truth in truths if truth is not None]
    image = _mean_truth(training)
    constants, means = [], []
    for truth in known:
        flat = evaluate_frame(truth, np.ones(truth.shape), max_depth=FARTHEST)
        if flat is not None:
            constants.append(flat.metrics["abs_rel"])
        if image is not None and image.shape == truth.shape:
            result = evaluate_frame(truth, image, max_depth=FARTHEST)
            if result is not None:
                means.append(result.metrics["abs_rel"])
    sparse = [] if validation.measure_tracks is None else validation.geometries(sparse_chosen)
    found = [geometry for geometry in sparse if geometry is not None]
    grid = _mean_sparse(training) if found else None
    size = (validation.width, validation.height)
    return Baselines(
        _mean(constants),
        _mean(means),
        _mean([sparse_error(g, np.ones(len(g.points))) for g in found]),
        _mean([sparse_error(g, _best_plane(g)) for g in found]),
        None if grid is None else _mean([sparse_error(g, _at(grid, g, *size)) for g in found]),
        _mean([_noise(g) for g in found]),
    )


def sparse_error(geometry: SparseGeometry, prediction: NDArray[np.floating]) -> float:
    """Return the error of predicted depth at the triangulated points, each counting by its area.

    Scaled by the median ratio at the points whose depth can be told. Without the areas, crowded
    corners decide and what lies between them hardly counts: the order of models then differs from
    that by dense ground truth.

    Parameters
    ----------
    geometry : SparseGeometry
        Geometry of P points.
    prediction : ndarray, shape (P,) or (P, 5)
        Positive; at the points, or around them as
        :func:`training.learning.motion_from_tracks.read_around` reads it.

    Returns
    -------
    float
        Mean of :func:`training.learning.motion_from_tracks.corner_errors`.
    """
    errors, areas = _errors(geometry, prediction)
    return float(np.average(errors, weights=areas))


def disputed_share(
    geometry: SparseGeometry, first: NDArray[np.floating], second: NDArray[np.floating]
) -> float:
    """Return the share of the area whose corners contradict two predictions by as much as counts.

    Such corners are on things that move, more often than not, or their motion was found wrongly:
    two models that are both right have them, too.

    Parameters
    ----------
    geometry : SparseGeometry
        Geometry of P points.
    first, second : ndarray, shape (P,) or (P, 5)
        See :func:`sparse_error`.
    """
    errors, areas = _errors(geometry, first)
    contradicts = np.minimum(errors, _errors(geometry, second)[0]) >= LARGEST_ERROR
    return float(np.average(contradicts, weights=areas))


def _errors(geometry: SparseGeometry, prediction: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return errors and areas of the points that are known."""
    kept = geometry.points[:, 3] > 0
    points, areas = geometry.points[kept].astype(float), geometry.areas[kept].astype(float)
    read = np.asarray(prediction, float)[kept].reshape(len(points), -1)
    told = points[:, 3] >= CERTAIN_WEIGHT
    factor = weighted_median(read[told, 0] / points[told, 2], areas[told])
    errors = corner_errors(
        torch.from_numpy(points)[None],
        torch.from_numpy(read)[None],
        torch.tensor([factor], dtype=torch.float64).log(),
    )
    return errors[0].numpy(), areas


def _noise(geometry: SparseGeometry) -> float:
    """Return what :func:`sparse_error` is of right depth, by the stated uncertainty."""
    kept = geometry.points[:, 3] > 0
    return float(np.average(corner_noise(geometry.points[kept]), weights=geometry.areas[kept]))


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spread(count: int, most: int) -> list[int]:
    """Choose indices evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def _mean_truth(training: Samples) -> Floats | None:
    """Average the ground truth of the training stretch, pixel by pixel; 0 is filled by the mean."""
    total: Floats | None = None
    count: Floats | None = None
    for sample in _spread(len(training), _MOST_FRAMES) if len(training) else []:
        truth = training.truth(sample)
        if truth is None or (total is not None and truth.shape != total.shape):
            continue
        mask = valid_mask(truth, max_depth=FARTHEST)
        if total is None or count is None:
            total, count = np.zeros(truth.shape), np.zeros(truth.shape)
        total += np.where(mask, truth, 0.0)
        count += mask
    if total is None or count is None or not count.any():
        return None
    mean = total / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, mean, mean[count > 0].mean()), float)


def _mean_sparse(training: Samples) -> Floats | None:
    """Average the triangulated inverse depth of the training stretch over a coarse grid."""
    if training.measure_tracks is None or not len(training):
        return None
    chosen = np.array(_spread(len(training), _MOST_FRAMES))
    found = [g for g in training.geometries(chosen) if g is not None]
    rows = max(1, round(_COLUMNS * training.height / training.width))
    total, count = np.full((rows, _COLUMNS), 1e-3), np.full((rows, _COLUMNS), 1e-3)
    for geometry in found:
        points = geometry.points[geometry.points[:, 3] > 0]
        nearness = np.median(points[:, 2]) / points[:, 2]
        y, x = _cells(points, training.width, training.height, rows)
        np.add.at(total, (y, x), nearness)
        np.add.at(count, (y, x), 1.0)
    # Cells with few points lean on their neighbours.
    for _ in range(2):
        total, count = (0.7 * part + 0.3 * _blurred(part) for part in (total, count))
    return total / count if found else None


def _blurred(values: Floats) -> Floats:
    """Average each cell with its neighbours."""
    padded = np.pad(values, 1, mode="edge")
    rows, columns = values.shape
    parts = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return np.asarray(np.mean(parts, axis=0))


def _cells(
    points: NDArray[np.float32], width: int, height: int, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the grid for each point."""
    y = np.clip((points[:, 1] + 0.5) / height * rows, 0, rows - 1).astype(np.int64)
    x = np.clip((points[:, 0] + 0.5) / width * _COLUMNS, 0, _COLUMNS - 1).astype(np.int64)
    return y, x


def _at(grid: Floats, geometry: SparseGeometry, width: int, height: int) -> Floats:
    """Return the depth of the mean image at the points."""
    return np.asarray(1.0 / grid[_cells(geometry.points, width, height, grid.shape[0])])


def _best_plane(geometry: SparseGeometry) -> Floats:
    """Fit inverse depth that is linear in x and y, robustly, and return its depth at the points."""
    points = geometry.points.astype(float)
    design = np.column_stack([points[:, :2] / 100.0, np.ones(len(points))])
    target, weight = 1.0 / points[:, 2], len(points) * geometry.areas.astype(float)
    # Far corners count by what is known of their inverse depth, near ones relative to it.
    sharpness = points[:, 2] * np.sqrt(points[:, 3])
    plane = np.zeros(3)
    robust = np.ones(len(points))
    for _ in range(10):
        weighted = design * (weight * robust * sharpness**2)[:, None]
        plane = np.linalg.solve(weighted.T @ design + 1e-9 * np.eye(3), weighted.T @ target)
        error = np.abs(design @ plane - target) * sharpness
        robust = 1.0 / np.maximum(error, 0.05)
    return np.asarray(1.0 / np.clip(design @ plane, 0.02, 50.0))
