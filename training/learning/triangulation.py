# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera motion and sparse depth from the images alone: corners tracked to its sources.

Motion that is solved *through* a predicted depth can be dragged along by it: with a flat depth, a
wrong rotation that is cancelled by a wrong translation explains small motions nearly as well as the
right one, so a flat depth confirms itself. Here no network takes part. Corners are tracked to all
sources of a frame, an essential matrix is found robustly, and the motions to all sources and the
inverse depth of all corners are refined together (bundle adjustment) under a robust error.

What comes out is known up to one factor for each frame: the length of the motions and the scale of
the depth. The same idea, with dense flow in place of corners: Zhao, Liu, Shu and Liu, "Towards
Better Generalization: Joint Depth-Pose Learning without PoseNet", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.learning.bundle_adjustment import (
    ROBUST,
    Guesses,
    Observed,
    direction_deviation,
    displacement,
    project,
    rate,
    refine,
    sharpened,
)

Floats = NDArray[np.float64]

#: Corners are looked for at least this far apart, as a share of the image width and in pixels.
_CORNER_DISTANCE = (1 / 96, 2.0)

#: At most this many corners, of at least this share of the strongest one's quality.
_CORNERS, _CORNER_QUALITY = 800, 0.002

#: A track must lead back to where it began within this many pixels.
_RETURN_ERROR = 0.35

#: Fewer tracked corners than this say nothing about motion.
FEWEST = 30

#: No corner is tracked better than this, in pixels.
_LEAST_NOISE = 0.08

#: A corner is at most this many times as uncertain along an edge as across it.
_MOST_ALONG = 6.0

#: A depth can be told where its logarithm is less uncertain than this.
CERTAIN = 0.25

# A source from which the motion is guessed shows at least this share of the most that one shows.
_ENOUGH_SEEN = 0.6

# Guesses of the motion are compared after a few iterations on some of the corners.
_TRIED_ITERATIONS, _TRIED_CORNERS = 5, 120
_FIRST_ITERATIONS = 3  # of the motion to the other sources alone
_ITERATIONS = 10


@dataclass(frozen=True, eq=False)
class CornerTracks:
    """Corners of a frame, found again in its sources.

    Attributes
    ----------
    points : ndarray, shape (N, 2), float64
        Pixels (x, y) of the frame, centres of pixels at whole numbers.
    ends : ndarray, shape (S, N, 2), float64
        Where they are in each source.
    seen : ndarray, shape (S, N), bool
        Whether they were found there.
    sharpness : ndarray, shape (N, 2, 2), float64, or None
        Symmetric matrices that an error in pixels is multiplied by: on an edge, a track is good
        across it and slides along it. None stands for the identity.
    """

    points: Floats
    ends: Floats
    seen: NDArray[np.bool_]
    sharpness: Floats | None = None


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Motion to the sources of a frame, and the depth of its corners, up to one common factor.

    Attributes
    ----------
    points : ndarray, shape (N, 2), float64
        Pixels of the corners that the motion explains, near and far ones alike.
    depth : ndarray, shape (N,), float64
        Along the optical axis; its median over all corners is 1. A corner without parallax has a
        large depth with a large deviation: that it is far is known, how far is not.
    deviation : ndarray, shape (N,), float64
        Standard deviation of log depth. That of inverse depth, this / `depth`, hardly depends on
        the depth itself.
    transforms : ndarray, shape (S, 4, 4), float64
        From the frame's camera to each source's, in the unit of the depth.
    parallax : float
        Median displacement that is left without the rotation, in pixels, over all tracked corners
        and the source in which it is largest.
    explained : float
        Share of the tracked corners that the motion explains.
    residual : float
        Median reprojection error of the corners that the motion explains, in pixels.
    direction : float
        Standard deviation of the directions of travel, in degrees, by the errors of all tracked
        corners, the unexplained ones among them.
    """

    points: Floats
    depth: Floats
    deviation: Floats
    transforms: Floats
    parallax: float
    explained: float
    residual: float
    direction: float = 0.0

    @property
    def is_certain(self) -> NDArray[np.bool_]:
        """Which corners have a depth that can be told, shape (N,)."""
        return self.deviation < CERTAIN


def track_corners(image: NDArray[np.uint8], sources: Sequence[NDArray[np.uint8]]) -> CornerTracks:
    """Track the corners of an image to others (pyramidal Lucas-Kanade, there and back).

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), RGB, or (H, W), grey; uint8
    sources : sequence of ndarray
        Likewise.

    Returns
    -------
    Tracks
        Corners that were found in at least two sources, or in the only one.
    """
    grey = _grey(image)
    distance = max(_CORNER_DISTANCE[0] * grey.shape[1], _CORNER_DISTANCE[1])
    corners: Any = cv2.goodFeaturesToTrack(grey, _CORNERS, _CORNER_QUALITY, distance, blockSize=5)
    if corners is None:
        nothing = np.zeros((len(sources), 0), bool)
        return CornerTracks(np.zeros((0, 2)), np.zeros((len(sources), 0, 2)), nothing)
    corners = corners.reshape(-1, 1, 2).astype(np.float32)
    height, width = grey.shape
    side = 11 if width <= 256 else 15
    settings: dict[str, Any] = {
        "winSize": (side, side),
        "maxLevel": 3,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.003),
    }
    ends, seen = [], []
    for source in sources:
        other = _grey(source)
        there, found, _ = cv2.calcOpticalFlowPyrLK(grey, other, corners, None, **settings)  # type: ignore[call-overload]
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(other, grey, there, None, **settings)  # type: ignore[call-overload]
        error = np.hypot(*(back - corners)[:, 0].T)
        x, y = there[:, 0].T
        inside = (x >= 1) & (y >= 1) & (x <= width - 2) & (y <= height - 2)
        is_found = (found[:, 0] > 0) & (found_back[:, 0] > 0)
        seen.append(inside & is_found & (error < _RETURN_ERROR))
        ends.append(there[:, 0])
    table = np.array(seen)
    kept = table.sum(axis=0) >= min(2, len(sources))
    return CornerTracks(
        corners[kept, 0].astype(np.float64),
        np.array(ends)[:, kept].astype(np.float64),
        table[:, kept],
        _sharpness(grey, corners[kept, 0], side),
    )


def _sharpness(grey: NDArray[np.uint8], corners: NDArray[np.float32], side: int) -> Floats:
    """Return the square root of the structure tensor around points, its larger eigenvalue 1.

    The covariance of a track is proportional to the inverse of the tensor.
    """
    values = cv2.cornerEigenValsAndVecs(grey, side, 3)
    x, y = np.rint(corners).astype(int).T
    found = values[y, x].astype(np.float64)
    pairs, vectors = found[:, :2], found[:, 2:].reshape(-1, 2, 2)
    roots = np.sqrt(np.maximum(pairs, 0.0) / np.maximum(pairs.max(axis=1), 1e-12)[:, None])
    roots = np.maximum(roots, 1 / _MOST_ALONG)
    return np.einsum("nk,nki,nkj->nij", roots, vectors, vectors)


def median_parallax(tracks: CornerTracks, intrinsics: Floats) -> Floats:
    """Return the median displacement of the corners that is left without the rotation.

    Parameters
    ----------
    tracks : CornerTracks
    intrinsics : ndarray, shape (3, 3) or more

    Returns
    -------
    ndarray, shape (S,)
        In pixels, for each source; 0 where too few corners were found. The rotation that fits best
        swallows some of the displacement of a sideways motion, so this is a lower bound.
    """
    focal = np.array([intrinsics[0, 0], intrinsics[1, 1]])
    centre = np.asarray(intrinsics[:2, 2])
    rays = np.vstack([((tracks.points - centre) / focal).T, np.ones(len(tracks.points))])
    result = np.zeros(len(tracks.ends))
    for source, (end, seen) in enumerate(zip(tracks.ends, tracks.seen, strict=True)):
        if seen.sum() >= FEWEST:
            ends = ((end[seen] - centre) / focal).T
            shift = displacement(_rotation_only(rays[:, seen], ends) @ rays[:, seen], ends)
            result[source] = np.median(np.hypot(*(shift * focal[:, None])))
    return result


def triangulate(tracks: CornerTracks, intrinsics: Floats) -> Triangulation | None:
    """Solve the motions and the depths that explain some tracks.

    Parameters
    ----------
    tracks : CornerTracks
    intrinsics : ndarray, shape (3, 3) or more
        In pixels, the same for all images.

    Returns
    -------
    Triangulation, or None
        None where too few corners were tracked or nothing explains them.
    """
    count = len(tracks.points)
    if count < FEWEST:
        return None
    focal = np.array([intrinsics[0, 0], intrinsics[1, 1]])
    centre = np.asarray(intrinsics[:2, 2])
    rays = np.vstack([((tracks.points - centre) / focal).T, np.ones(count)])
    ends = np.ascontiguousarray(((tracks.ends - centre) / focal).swapaxes(1, 2))
    mean_focal = float(focal.mean())
    sees = tracks.seen
    if sees.sum(axis=1).min() < FEWEST:
        return None
    turns, parallax = [], []
    for end, seen in zip(ends, sees, strict=True):
        turns.append(_rotation_only(rays[:, seen], end[:, seen]))
        shift = displacement(turns[-1] @ rays[:, seen], end[:, seen])
        parallax.append(np.median(np.hypot(*shift)))
    # The guess is made with the source that shows most parallax among those that show enough.
    enough = sees.sum(axis=1) >= _ENOUGH_SEEN * sees.sum(axis=1).max()
    best = int(np.argmax(np.where(enough, parallax, -1.0)))
    # Every guess is tried on some of the corners; the best two go on with all of them.
    some = np.unique(np.linspace(0, count - 1, min(count, _TRIED_CORNERS)).astype(int))
    sharp = tracks.sharpness
    if sharp is None:
        sharp = np.tile(np.eye(2), (count, 1, 1))
    left = max(float(np.max(parallax)) * mean_focal, _LEAST_NOISE)
    sharp = np.ascontiguousarray(np.moveaxis(sharp, 0, -1))
    every = Observed(rays, ends, sees, sharp, mean_focal, left)
    part = Observed(
        rays[:, some], ends[..., some], sees[:, some], sharp[..., some], mean_focal, left
    )
    sources = list(range(len(ends)))
    others = [index for index in sources if index != best]
    seen = sees[best]
    starts = _starts(rays[:, seen], ends[best][:, seen], turns[best], mean_focal)
    tried = _begin(part, turns, best, starts)
    if others:
        refine(tried, part, _FIRST_ITERATIONS, others, depth=False)
    refine(tried, part, _TRIED_ITERATIONS, sources, depth=True)
    rate(tried, part)
    order = np.argsort(tried.cost, kind="stable")
    order = order[np.isfinite(tried.cost[order])][:2]
    if not len(order):
        return None
    solutions = _with_depths(tried.chosen(order), every, best)
    refine(solutions, every, _ITERATIONS, sources, depth=True)
    rate(solutions, every)
    found = int(np.argmin(solutions.cost))
    if not np.isfinite(solutions.cost[found]):
        return None
    return _summarize(tracks, every, solutions.chosen([found]))


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(image)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _rotation_only(rays: Floats, ends: Floats) -> Floats:
    """Fit the rotation that leaves the least displacement: robust, by its first-order flow.

    Shapes (3, N) and (2, N).
    """
    rotation = np.eye(3)
    for _ in range(8):
        turned = rotation @ rays
        x, y = turned[:2] / np.maximum(turned[2:], 1e-3)
        error = displacement(turned, ends)
        length = np.hypot(*error)
        weight = 1.0 / np.maximum(length, 0.2 * np.median(length) + 1e-9)
        flow = np.array([[-x * y, 1 + x * x, -y], [-1 - y * y, x * y, x]])
        weighted = flow * weight
        normal = np.einsum("cin,cjn->ij", weighted, flow)
        step = np.linalg.solve(
            normal + 1e-9 * np.eye(3), (weighted * error[:, None]).sum(axis=(0, 2))
        )
        rotation = cv2.Rodrigues(step)[0] @ rotation
    return np.asarray(rotation)


def _starts(rays: Floats, ends: Floats, turn: Floats, focal: float) -> list[tuple[Floats, Floats]]:
    """Guess the motion to one source: by an essential matrix, and straight ahead or sideways."""
    starts: list[tuple[Floats, Floats]] = []
    here, there = np.ascontiguousarray(rays[:2].T), np.ascontiguousarray(ends.T)
    essential, _ = cv2.findEssentialMat(
        here, there, np.eye(3), method=cv2.USAC_MAGSAC, prob=0.999, threshold=0.5 / focal
    )
    if essential is not None and essential.shape == (3, 3) and np.isfinite(essential).all():
        _, rotation, translation, _ = cv2.recoverPose(essential, here, there, np.eye(3))
        starts.append((np.asarray(rotation, float), np.asarray(translation, float).reshape(3)))
    for direction in ([0.0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]):
        starts.append((turn, np.array(direction)))
    return starts


def _begin(
    data: Observed,
    turns: Sequence[Floats],
    best: int,
    starts: Sequence[tuple[Floats, Floats]],
) -> Guesses:
    """Begin with guesses of one motion; the other sources turn, but do not move yet."""
    rotations = np.tile(np.array(turns), (len(starts), 1, 1, 1))
    translations = np.zeros((len(starts), len(turns), 3))
    for index, (rotation, translation) in enumerate(starts):
        rotations[index, best], translations[index, best] = rotation, translation
    depth = np.ones((len(starts), data.rays.shape[1]))
    return _with_depths(Guesses(rotations, translations, depth, np.zeros(len(starts))), data, best)


def _with_depths(guesses: Guesses, data: Observed, best: int) -> Guesses:
    """Triangulate all corners with the motion to one source, and bring their median to 1."""
    turned = guesses.rotations[:, best] @ data.rays
    inverse = _linear_inverse_depth(
        turned, guesses.translations[:, best], data.ends[best], data.sharpness
    )
    seen = data.seen[best]
    scale = np.ones(len(inverse))
    if seen.any():
        scale = np.median(inverse[:, seen], axis=1)
        least = np.median(np.abs(inverse[:, seen]), axis=1) + 1e-12
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, least)
    inverse = np.where(seen, np.clip(inverse / scale[:, None], 0.02, 20.0), 1.0)
    translations = guesses.translations * scale[:, None, None]
    return Guesses(guesses.rotations.copy(), translations, inverse, guesses.cost)


def _linear_inverse_depth(
    turned: Floats, translation: Floats, ends: Floats, sharpness: Floats
) -> Floats:
    """Triangulate from one pair: the least-squares w of (turned + w t) ~ (end, 1).

    Shapes (G, 3, N), (G, 3), (2, N) and (2, 2, N).
    """
    left = sharpened(sharpness, translation[:, :2, None] - ends * translation[:, 2:, None])
    right = sharpened(sharpness, ends * turned[:, 2:] - turned[:, :2])
    return np.asarray((left * right).sum(axis=1) / np.maximum((left**2).sum(axis=1), 1e-12))


def _summarize(tracks: CornerTracks, data: Observed, found: Guesses) -> Triangulation:
    """Keep the corners that are explained and whose parallax would be measurable."""
    moved, seen = project(found, data.rays)
    rotations, translations = found.rotations[0], found.translations[0]
    inverse_depth = found.inverse_depth[0]
    error = sharpened(data.sharpness, (seen[0] - data.ends) * data.focal)
    worst = np.where(data.seen, np.hypot(error[:, 0], error[:, 1]), 0.0).max(axis=0)
    shift = displacement(rotations @ data.rays, seen[0]) * data.focal
    shift = np.hypot(shift[:, 0], shift[:, 1])
    parallax = max(
        float(np.median(of[counts])) for of, counts in zip(shift, data.seen, strict=True)
    )
    # Derivative of the seen position by log inverse depth, in pixels.
    slope = translations[:, :2, None] - seen[0] * translations[:, 2:, None]
    slope = sharpened(data.sharpness, slope * data.focal / moved[0, :, 2:]) * inverse_depth
    information = (data.seen * (slope**2).sum(axis=1)).sum(axis=0)
    explained = worst < 3 * ROBUST
    residual = float(np.median(worst[explained])) if explained.any() else float("inf")
    noise = max(_LEAST_NOISE, residual)
    deviation = noise / np.sqrt(np.maximum(information, 1e-12))
    # By the uncertainty of the inverse depth, where the median is 1. If the depth itself had to be
    # certain, a far corner would stay only where an error made it come near.
    kept = explained & (inverse_depth < 49.0)
    kept &= deviation * inverse_depth < CERTAIN * np.maximum(1.0, inverse_depth)
    # What is left unexplained is noise as well: where that is much, the motion is a guess.
    squares = np.minimum((error**2).sum(axis=1), (3 * ROBUST) ** 2)
    spread = float(np.sqrt(squares[data.seen].mean() / 2))
    transforms = np.tile(np.eye(4), (len(data.ends), 1, 1))
    transforms[:, :3, :3] = rotations
    transforms[:, :3, 3] = translations
    return Triangulation(
        tracks.points[kept],
        1.0 / inverse_depth[kept],
        deviation[kept],
        transforms,
        parallax,
        float(explained.mean()),
        residual,
        direction_deviation(found, data, max(_LEAST_NOISE, spread)),
    )
