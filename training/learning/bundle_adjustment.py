# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Refine the motions to a frame's sources and the inverse depths of its corners together.

Several guesses of the same motions are refined side by side: the arrays are small, so that seven
guesses take hardly longer than one. Corners come last in all arrays of this module, for the same
reason.

The step is that of Gauss and Newton on reprojection errors under a Cauchy weight, with the inverse
depths eliminated by a Schur complement: Triggs, McLauchlan, Hartley and Fitzgibbon, "Bundle
Adjustment - A Modern Synthesis", 1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Residuals up to this many pixels count about fully (Cauchy).
ROBUST = 0.35

#: A rotation takes up much of the displacement by a shift to the side, but hardly more than all
#: but one part in this many. A turn and a shift that cancel nearly completely explain far things
#: that stand still as well as the right motion does, so such motions cost more.
_CANCELLED = 10.0

_DAMPING = 1e-3

#: No step turns a camera further than this, in radians.
_LARGEST_TURN = 0.2

#: Points come no nearer to a camera than this, where the median distance is 1.
_NEAREST = 0.05


@dataclass(frozen=True, eq=False)
class Observed:
    """Corners and where the sources see them.

    Attributes
    ----------
    rays : ndarray, shape (3, N)
        Viewing rays of the corners; z is 1.
    ends : ndarray, shape (S, 2, N)
        Normalised image coordinates in each source.
    seen : ndarray of bool, shape (S, N)
        Whether a source sees a corner.
    sharpness : ndarray, shape (2, 2, N)
        What errors are multiplied by: less along an edge than across it.
    focal : float
        In pixels.
    left : float
        The displacement that rotations alone leave, in pixels.
    """

    rays: Floats
    ends: Floats
    seen: NDArray[np.bool_]
    sharpness: Floats
    focal: float
    left: float


@dataclass(eq=False)
class Guesses:
    """Motions and depths that may explain the corners.

    Attributes
    ----------
    rotations : ndarray, shape (G, S, 3, 3)
    translations : ndarray, shape (G, S, 3)
    inverse_depth : ndarray, shape (G, N)
    cost : ndarray, shape (G,)
        Infinite where the refinement led nowhere.
    """

    rotations: Floats
    translations: Floats
    inverse_depth: Floats
    cost: Floats

    def chosen(self, index: Sequence[int] | NDArray[np.intp]) -> Guesses:
        """Return some of the guesses."""
        place = np.asarray(index, np.intp)
        return Guesses(
            self.rotations[place],
            self.translations[place],
            self.inverse_depth[place],
            self.cost[place],
        )


def sharpened(sharpness: Floats, vectors: Floats) -> Floats:
    """Multiply vectors, shape (..., 2, N), by the matrices of their corners."""
    x, y = vectors[..., 0, :], vectors[..., 1, :]
    across = sharpness[0, 0] * x + sharpness[0, 1] * y
    along = sharpness[1, 0] * x + sharpness[1, 1] * y
    return np.stack([across, along], axis=-2)


def displacement(turned: Floats, ends: Floats) -> Floats:
    """From where rotated rays would be seen to where their points are seen.

    Both normalised: shapes (..., 3, N) and (..., 2, N).
    """
    return np.asarray(ends - turned[..., :2, :] / np.maximum(turned[..., 2:, :], 1e-3))


def project(guesses: Guesses, rays: Floats) -> tuple[Floats, Floats]:
    """Return the corners in the sources' frames, (G, S, 3, N), and where they are seen."""
    moved = guesses.rotations @ rays
    moved += guesses.translations[..., None] * guesses.inverse_depth[:, None, None, :]
    np.maximum(moved[..., 2, :], _NEAREST, out=moved[..., 2, :])
    return moved, moved[..., :2, :] / moved[..., 2:, :]


def refine(
    guesses: Guesses, data: Observed, iterations: int, sources: Sequence[int], depth: bool
) -> None:
    """Improve guesses in place.

    Parameters
    ----------
    guesses : Guesses
    data : Observed
    iterations : int
    sources : sequence of int
        To which of them the motion changes.
    depth : bool
        Whether the inverse depths change, too; their median stays 1.
    """
    for _ in range(iterations):
        _step(guesses, data, list(sources), depth)


def rate(guesses: Guesses, data: Observed) -> None:
    """Set the cost of each guess: the mean robust error of what is seen, infinite if it failed."""
    seen = project(guesses, data.rays)[1]
    error = sharpened(data.sharpness, (seen - data.ends) * data.focal)
    shift = displacement(guesses.rotations @ data.rays, seen) * data.focal
    robust = np.log1p((error**2).sum(axis=-2) / ROBUST**2)
    robust += np.log1p((shift**2).sum(axis=-2) / (_CANCELLED * data.left) ** 2)
    total = np.where(data.seen, robust, 0.0).sum(axis=(1, 2)) / data.seen.sum()
    guesses.cost = np.where(np.isfinite(guesses.cost) & np.isfinite(total), total, np.inf)


def direction_deviation(guesses: Guesses, data: Observed, noise: float) -> float:
    """Return how uncertain the directions of travel of the first guess are.

    Parameters
    ----------
    guesses : Guesses
        Refined.
    data : Observed
    noise : float
        Standard deviation of where a corner is seen, in sharpened pixels.

    Returns
    -------
    float
        Root mean square over the sources, in degrees: of the covariance of the motions, the inverse
        of the normal matrix without the depths, its part across each translation. Infinite where
        nothing holds the directions.
    """
    moving = list(range(guesses.rotations.shape[1]))
    first = guesses.chosen([0])
    system = _linearised(first, data, moving)
    information, _, mixed = system.of_depth()
    normal = system.normal[0] - (mixed[0] / np.maximum(information, 1e-9)) @ mixed[0].T
    # All lengths together are free: what all translations have in common is held, not uncertain.
    lengths = np.zeros((len(moving), 6))
    lengths[:, :3] = first.translations[0]
    lengths /= max(float(np.linalg.norm(lengths)), 1e-12)
    normal = normal + np.trace(normal) * np.outer(lengths, lengths)
    try:
        covariance = noise**2 * np.linalg.inv(normal)
    except np.linalg.LinAlgError:
        return float("inf")
    variances = []
    for place, translation in enumerate(first.translations[0]):
        length = max(float(np.linalg.norm(translation)), 1e-12)
        across = np.eye(3) - np.outer(translation, translation) / length**2
        part = covariance[6 * place : 6 * place + 3, 6 * place : 6 * place + 3]
        variances.append(np.trace(across @ part @ across) / length**2)
    variance = float(np.mean(variances))
    return float(np.degrees(np.sqrt(variance))) if 0 <= variance < np.inf else float("inf")


@dataclass(frozen=True, eq=False)
class _System:
    """Weighted normal equations of G guesses, with K = 6 S unknowns of motion and N depths.

    Attributes
    ----------
    normal : ndarray, shape (G, K, K)
        Of the motions alone; sources do not mix.
    gradient : ndarray, shape (G, K)
    weight : ndarray, shape (G, S, N)
    error, by_depth : ndarray, shape (G, S, 2, N)
        What is seen and was not expected, and its derivative by inverse depth, in sharpened pixels.
    weighted : ndarray, shape (G, S, 6, 2, N)
        The derivatives by the motions, times the weights.
    """

    normal: Floats
    gradient: Floats
    weight: Floats
    error: Floats
    by_depth: Floats
    weighted: Floats

    def of_depth(self) -> tuple[Floats, Floats, Floats]:
        """Return normal matrix and gradient of the depths, (G, N), and what mixes, (G, K, N)."""
        mixed = (self.weighted * self.by_depth[:, :, None]).sum(axis=-2)
        return (
            (self.weight * (self.by_depth**2).sum(axis=-2)).sum(axis=1),
            (self.weight * (self.by_depth * self.error).sum(axis=-2)).sum(axis=1),
            mixed.reshape(*self.gradient.shape, mixed.shape[-1]),
        )


def _linearised(guesses: Guesses, data: Observed, moving: list[int]) -> _System:
    """Linearise the reprojection errors in some sources, of guesses of the motion to these."""
    moved, seen = project(guesses, data.rays)
    error = sharpened(data.sharpness, (seen - data.ends[moving]) * data.focal)
    weight = data.seen[moving] / (1.0 + (error**2).sum(axis=-2) / ROBUST**2)
    by_motion, by_depth = _derivatives(guesses, data, moved, seen)
    count, sources, _, _, corners = by_motion.shape
    weighted = by_motion * weight[:, :, None, None]
    flat = (count, sources, 6, 2 * corners)
    blocks = weighted.reshape(flat) @ by_motion.reshape(flat).swapaxes(-1, -2)
    size = 6 * sources
    normal = np.zeros((count, size, size))
    for place in range(sources):
        part = slice(6 * place, 6 * place + 6)
        normal[:, part, part] = blocks[:, place]
    gradient = (weighted * error[:, :, None]).sum(axis=(-2, -1)).reshape(count, size)
    return _System(normal, gradient, weight, error, by_depth, weighted)


def _step(guesses: Guesses, data: Observed, moving: list[int], depth: bool) -> None:
    """Take one step; a guess that it leads nowhere gets an infinite cost and stays as it is."""
    some = Guesses(
        guesses.rotations[:, moving],
        guesses.translations[:, moving],
        guesses.inverse_depth,
        guesses.cost,
    )
    system = _linearised(some, data, moving)
    reduced, right = system.normal, system.gradient
    count, sources = len(reduced), len(moving)
    diagonal = np.arange(6 * sources)
    damped = _DAMPING * (1e-3 + reduced[:, diagonal, diagonal])
    if depth:
        information, slope, mixed = system.of_depth()
        # A weak pull to where it is, so that points without parallax stay there.
        pulled = information + _DAMPING * (information + 1.0)
        reduced = reduced - (mixed / pulled[:, None]) @ mixed.swapaxes(-1, -2)
        right = right - (mixed @ (slope / pulled)[..., None])[..., 0]
    reduced[:, diagonal, diagonal] += damped
    step = -_solve(reduced, right)
    good = np.isfinite(step).all(axis=1) & np.isfinite(guesses.cost)
    guesses.cost = np.where(good, guesses.cost, np.inf)
    step[~good] = 0.0

    own = step.reshape(count, sources, 6)
    length = np.linalg.norm(own[..., 3:], axis=-1, keepdims=True)
    turns = own[..., 3:] / np.maximum(1.0, length / _LARGEST_TURN)
    matrices = np.array([cv2.Rodrigues(turn)[0] for turn in turns.reshape(-1, 3)])
    guesses.rotations[:, moving] = matrices.reshape(count, sources, 3, 3) @ some.rotations
    guesses.translations[:, moving] = some.translations + own[..., :3]
    if depth:
        change = -(slope + (step[:, None] @ mixed)[:, 0]) / pulled
        inverse = np.where(good[:, None], guesses.inverse_depth + change, guesses.inverse_depth)
        inverse = np.clip(inverse, 1e-3, 50.0)
        scale = np.median(inverse, axis=1)
        guesses.inverse_depth = inverse / scale[:, None]
        guesses.translations *= scale[:, None, None]


def _derivatives(
    guesses: Guesses, data: Observed, moved: Floats, seen: Floats
) -> tuple[Floats, Floats]:
    """Differentiate where corners are seen, in sharpened pixels.

    By translation and rotation, shape (G, S, 6, 2, N), and by inverse depth, (G, S, 2, N).
    """
    near = data.focal / moved[..., 2, :]
    # Derivatives of the projection by a shift of the moved point are (near, 0, far_x) for x and
    # (0, near, far_y) for y.
    far_x, far_y = -near * seen[..., 0, :], -near * seen[..., 1, :]
    w = guesses.inverse_depth[:, None, :]
    shift = guesses.translations[..., None]
    turned = moved - w[:, :, None] * shift
    x, y, z = turned[..., 0, :], turned[..., 1, :], turned[..., 2, :]
    # By translation: w times those. By rotation: the turned ray's cross product with them, as a
    # left rotation of R alone moves R·ray, not the translation.
    plain = np.zeros((*near.shape[:2], 6, 2, near.shape[-1]))
    plain[:, :, 0, 0] = plain[:, :, 1, 1] = near * w
    plain[:, :, 2, 0], plain[:, :, 2, 1] = far_x * w, far_y * w
    plain[:, :, 3, 0], plain[:, :, 3, 1] = y * far_x, y * far_y - z * near
    plain[:, :, 4, 0], plain[:, :, 4, 1] = z * near - x * far_x, -x * far_y
    plain[:, :, 5, 0], plain[:, :, 5, 1] = -y * near, x * near
    along = np.stack(
        [
            near * shift[:, :, 0] + far_x * shift[:, :, 2],
            near * shift[:, :, 1] + far_y * shift[:, :, 2],
        ],
        axis=-2,
    )
    return sharpened(data.sharpness, plain), sharpened(data.sharpness, along)


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """Solve linear systems, shapes (G, K, K) and (G, K); NaN where one has no solution."""
    try:
        return np.asarray(np.linalg.solve(matrices, vectors[..., None])[..., 0])
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(vectors, np.nan)
        rows = [_solve(m[None], v[None])[0] for m, v in zip(matrices, vectors, strict=True)]
        return np.stack(rows)
