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

Floats = NDArray[np.float64]

#: Corners are looked for at least this far apart, as a share of the image width and in pixels.
_CORNER_DISTANCE = (1 / 96, 2.0)

#: At most this many corners, of at least this share of the strongest one's quality.
_CORNERS, _CORNER_QUALITY = 800, 0.002

#: A track must lead back to where it began within this many pixels.
_RETURN_ERROR = 0.35

#: Fewer tracked corners than this say nothing about motion.
FEWEST = 30

#: Residuals up to this many pixels count about fully (Cauchy).
_ROBUST = 0.35

#: No corner is tracked better than this, in pixels.
_LEAST_NOISE = 0.08

#: A corner is at most this many times as uncertain along an edge as across it.
_MOST_ALONG = 6.0

#: A rotation takes up much of the displacement by a shift to the side, but hardly more than all
#: but one part in this many. A turn and a shift that cancel nearly completely explain far things
#: that stand still as well as the right motion does, so such motions cost more.
_CANCELLED = 10.0

# A source from which the motion is guessed shows at least this share of the most that one shows.
_ENOUGH_SEEN = 0.6

# Guesses of the motion are compared after a few iterations on some of the corners.
_TRIED_ITERATIONS, _TRIED_CORNERS = 5, 120
_ITERATIONS = 10
_DAMPING = 1e-3


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
        Pixels of the corners that the motion explains and whose parallax is measurable.
    depth : ndarray, shape (N,), float64
        Along the optical axis; its median over all corners is 1.
    deviation : ndarray, shape (N,), float64
        Standard deviation of log depth.
    transforms : ndarray, shape (S, 4, 4), float64
        From the frame's camera to each source's, in the unit of the depth.
    parallax : float
        Median displacement that is left without the rotation, in pixels, over all tracked corners
        and the source in which it is largest.
    explained : float
        Share of the tracked corners that the motion explains.
    residual : float
        Median reprojection error of the corners that the motion explains, in pixels.
    """

    points: Floats
    depth: Floats
    deviation: Floats
    transforms: Floats
    parallax: float
    explained: float
    residual: float


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
    rays = np.column_stack([(tracks.points - centre) / focal, np.ones(len(tracks.points))])
    result = np.zeros(len(tracks.ends))
    for source, (end, seen) in enumerate(zip(tracks.ends, tracks.seen, strict=True)):
        if seen.sum() >= FEWEST:
            ends = (end[seen] - centre) / focal
            shift = _displacement(rays[seen] @ _rotation_only(rays[seen], ends).T, ends)
            result[source] = np.median(np.hypot(*(shift * focal).T))
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
    rays = np.column_stack([(tracks.points - centre) / focal, np.ones(count)])
    ends = (tracks.ends - centre) / focal
    mean_focal = float(focal.mean())
    sees = tracks.seen
    if sees.sum(axis=1).min() < FEWEST:
        return None
    turns, parallax = [], []
    for end, seen in zip(ends, sees, strict=True):
        turns.append(_rotation_only(rays[seen], end[seen]))
        shift = _displacement(rays[seen] @ turns[-1].T, end[seen])
        parallax.append(np.median(np.hypot(*shift.T)))
    # The guess is made with the source that shows most parallax among those that show enough.
    enough = sees.sum(axis=1) >= _ENOUGH_SEEN * sees.sum(axis=1).max()
    best = int(np.argmax(np.where(enough, parallax, -1.0)))
    # Every guess is tried on some of the corners; the best two go on with all of them.
    some = np.unique(np.linspace(0, count - 1, min(count, _TRIED_CORNERS)).astype(int))
    tried = []
    sharp = tracks.sharpness
    if sharp is None:
        sharp = np.tile(np.eye(2), (count, 1, 1))
    left = max(float(np.max(parallax)) * mean_focal, _LEAST_NOISE)
    part = _Observed(rays[some], ends[:, some], sees[:, some], sharp[some], mean_focal, left)
    every = _Observed(rays, ends, sees, sharp, mean_focal, left)
    seen = sees[best]
    for rotation, translation in _starts(rays[seen], ends[best, seen], turns[best], mean_focal):
        solution = _start(part, turns, best, rotation, translation)
        if _refine(solution, part, best, _TRIED_ITERATIONS):
            tried.append(solution)
    tried.sort(key=lambda candidate: candidate.cost)
    solutions = []
    for found in tried[:2]:
        solution = _with_depths(found, every, best)
        if _refine(solution, every, best, _ITERATIONS, pose_first=False):
            solutions.append(solution)
    if not solutions:
        return None
    solution = min(solutions, key=lambda candidate: candidate.cost)
    return _summarize(tracks, every, solution)


@dataclass(frozen=True, eq=False)
class _Observed:
    """Normalised tracks: rays (N, 3), ends (S, N, 2), which count (S, N), sharpness (N, 2, 2).

    And the focal length and the displacement that rotations alone leave, in pixels.
    """

    rays: Floats
    ends: Floats
    seen: NDArray[np.bool_]
    sharpness: Floats
    focal: float
    left: float


@dataclass(eq=False)
class _PosesAndDepths:
    rotations: Floats  # (S, 3, 3)
    translations: Floats  # (S, 3)
    inverse_depth: Floats  # (N,)
    cost: float


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = np.ascontiguousarray(image)
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _displacement(turned: Floats, ends: Floats) -> Floats:
    """From where rotated rays would be seen to where their points are seen, normalised."""
    return np.asarray(ends - turned[:, :2] / np.maximum(turned[:, 2:], 1e-3))


def _rotation_only(rays: Floats, ends: Floats) -> Floats:
    """Fit the rotation that leaves the least displacement: robust, by its first-order flow."""
    rotation = np.eye(3)
    for _ in range(8):
        turned = rays @ rotation.T
        x, y = (turned[:, :2] / np.maximum(turned[:, 2:], 1e-3)).T
        error = ends - np.column_stack([x, y])
        length = np.hypot(*error.T)
        weight = 1.0 / np.maximum(length, 0.2 * np.median(length) + 1e-9)
        by_x = np.column_stack([-x * y, 1 + x * x, -y])
        by_y = np.column_stack([-1 - y * y, x * y, x])
        normal = (by_x * weight[:, None]).T @ by_x + (by_y * weight[:, None]).T @ by_y
        gradient = (by_x * weight[:, None]).T @ error[:, 0]
        gradient += (by_y * weight[:, None]).T @ error[:, 1]
        step = np.linalg.solve(normal + 1e-9 * np.eye(3), gradient)
        rotation = cv2.Rodrigues(step)[0] @ rotation
    return np.asarray(rotation)


def _starts(rays: Floats, ends: Floats, turn: Floats, focal: float) -> list[tuple[Floats, Floats]]:
    """Guess the motion to one source: by an essential matrix, and straight ahead or sideways."""
    starts: list[tuple[Floats, Floats]] = []
    essential, _ = cv2.findEssentialMat(
        np.ascontiguousarray(rays[:, :2]),
        np.ascontiguousarray(ends),
        np.eye(3),
        method=cv2.USAC_MAGSAC,
        prob=0.999,
        threshold=0.5 / focal,
    )
    if essential is not None and essential.shape == (3, 3) and np.isfinite(essential).all():
        _, rotation, translation, _ = cv2.recoverPose(
            essential, np.ascontiguousarray(rays[:, :2]), np.ascontiguousarray(ends), np.eye(3)
        )
        starts.append((np.asarray(rotation, float), np.asarray(translation, float).reshape(3)))
    for direction in ([0.0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]):
        starts.append((turn, np.array(direction)))
    return starts


def _start(
    data: _Observed,
    turns: Sequence[Floats],
    best: int,
    rotation: Floats,
    translation: Floats,
) -> _PosesAndDepths:
    """Begin with a guess of one motion; the other sources turn, but do not move yet."""
    rotations = np.array(turns)
    rotations[best] = rotation
    translations = np.zeros((len(data.ends), 3))
    translations[best] = translation
    guess = _PosesAndDepths(rotations, translations, np.ones(len(data.rays)), np.inf)
    return _with_depths(guess, data, best)


def _with_depths(solution: _PosesAndDepths, data: _Observed, best: int) -> _PosesAndDepths:
    """Triangulate all corners with the motion to one source, and bring their median to 1."""
    rotation, translation = solution.rotations[best], solution.translations[best]
    turned = data.rays @ rotation.T
    inverse = _linear_inverse_depth(turned, translation, data.ends[best], data.sharpness)
    seen = data.seen[best]
    scale = float(np.median(inverse[seen])) if seen.any() else 1.0
    if not np.isfinite(scale) or scale <= 0:
        scale = float(np.median(np.abs(inverse[seen]))) + 1e-12
    inverse = np.where(seen, np.clip(inverse / scale, 0.02, 20.0), 1.0)
    return _PosesAndDepths(
        solution.rotations.copy(), solution.translations * scale, inverse, solution.cost
    )


def _refine(
    solution: _PosesAndDepths,
    data: _Observed,
    best: int,
    iterations: int,
    pose_first: bool = True,
) -> bool:
    """Refine motions and inverse depths together, in place; False where it leads nowhere."""
    others = [index for index in range(len(data.ends)) if index != best]
    if pose_first and others:
        for _ in range(3):
            if not _iterate(solution, data, others, depth=False):
                return False
    every = list(range(len(data.ends)))
    for _ in range(iterations):
        if not _iterate(solution, data, every, depth=True):
            return False
    solution.cost = _cost(solution, data)
    return bool(np.isfinite(solution.cost))


def _sharpened(sharpness: Floats, vectors: Floats) -> Floats:
    """Multiply vectors, shape (N, 2), by the matrices of their corners."""
    return np.einsum("nij,nj->ni", sharpness, vectors)


def _linear_inverse_depth(
    turned: Floats, translation: Floats, ends: Floats, sharpness: Floats
) -> Floats:
    """Triangulate from one pair: the least-squares w of (turned + w t) ~ (end, 1)."""
    left = _sharpened(sharpness, translation[:2] - ends * translation[2])
    right = _sharpened(sharpness, ends * turned[:, 2:] - turned[:, :2])
    return np.asarray((left * right).sum(axis=1) / np.maximum((left**2).sum(axis=1), 1e-12))


def _project(solution: _PosesAndDepths, rays: Floats, source: int) -> tuple[Floats, Floats]:
    moved = rays @ solution.rotations[source].T
    moved = moved + solution.inverse_depth[:, None] * solution.translations[source]
    moved[:, 2] = np.maximum(moved[:, 2], 0.05)
    return moved, moved[:, :2] / moved[:, 2:]


def _cost(solution: _PosesAndDepths, data: _Observed) -> float:
    total = 0.0
    for source, end in enumerate(data.ends):
        seen = _project(solution, data.rays, source)[1]
        error = _sharpened(data.sharpness, (seen - end) * data.focal)
        shift = _displacement(data.rays @ solution.rotations[source].T, seen) * data.focal
        robust = np.log1p((error**2).sum(axis=1) / _ROBUST**2)
        robust += np.log1p((shift**2).sum(axis=1) / (_CANCELLED * data.left) ** 2)
        total += float(robust[data.seen[source]].sum())
    return total / data.seen.sum()


def _iterate(
    solution: _PosesAndDepths,
    data: _Observed,
    moving: Sequence[int],
    depth: bool,
    damping: float = _DAMPING,
) -> bool:
    """Take a Gauss-Newton step over some motions and, by a Schur complement, all inverse depths.

    Returns False where it leads nowhere.
    """
    rays, ends, focal = data.rays, data.ends, data.focal
    count, size = len(rays), 6 * len(moving)
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    by_depth, depth_gradient = np.zeros(count), np.zeros(count)
    mixed = np.zeros((count, size))
    for place, source in enumerate(moving):
        moved, seen = _project(solution, rays, source)
        error = _sharpened(data.sharpness, (seen - ends[source]) * focal)
        weight = data.seen[source] / (1.0 + (error**2).sum(axis=1) / _ROBUST**2)
        near = focal / moved[:, 2]
        # Derivatives of the projection by a shift of the moved point are (near, 0, far_x) for x and
        # (0, near, far_y) for y.
        far_x, far_y = -near * seen[:, 0], -near * seen[:, 1]
        w = solution.inverse_depth
        shift = solution.translations[source]
        x, y, z = (moved - w[:, None] * shift).T  # the turned ray
        # By translation: w times those. By rotation: the turned ray's cross product with them, as a
        # left rotation of R alone moves R·ray, not the translation.
        jacobian = np.zeros((count, 2, 6))
        jacobian[:, 0, 0] = jacobian[:, 1, 1] = near * w
        jacobian[:, 0, 2], jacobian[:, 1, 2] = far_x * w, far_y * w
        jacobian[:, 0, 3], jacobian[:, 1, 3] = y * far_x, y * far_y - z * near
        jacobian[:, 0, 4], jacobian[:, 1, 4] = z * near - x * far_x, -x * far_y
        jacobian[:, 0, 5], jacobian[:, 1, 5] = -y * near, x * near
        jacobian = data.sharpness @ jacobian
        along = np.empty((count, 2))
        along[:, 0] = near * shift[0] + far_x * shift[2]
        along[:, 1] = near * shift[1] + far_y * shift[2]
        along = _sharpened(data.sharpness, along)
        part = slice(6 * place, 6 * place + 6)
        weighted = jacobian * weight[:, None, None]
        normal[part, part] = np.einsum("nci,ncj->ij", weighted, jacobian)
        gradient[part] = np.einsum("nci,nc->i", weighted, error)
        by_depth += weight * (along**2).sum(axis=1)
        depth_gradient += weight * (along * error).sum(axis=1)
        mixed[:, part] = np.einsum("nci,nc->ni", weighted, along)
    if depth:
        # A weak pull to inverse depth 1, so that points without parallax stay where they are.
        pulled = by_depth + damping * (by_depth + 1.0)
        reduced = normal - (mixed / pulled[:, None]).T @ mixed
        right = gradient - mixed.T @ (depth_gradient / pulled)
    else:
        reduced, right = normal, gradient
    reduced = reduced + np.diag(damping * (1e-3 + np.diag(normal)))
    try:
        step = -np.linalg.solve(reduced, right)
    except np.linalg.LinAlgError:
        return False
    if not np.isfinite(step).all():
        return False
    if depth:
        change = -(depth_gradient + mixed @ step) / pulled
        inverse = np.clip(solution.inverse_depth + change, 1e-3, 50.0)
    for place, source in enumerate(moving):
        own = step[6 * place : 6 * place + 6]
        turn = own[3:] / max(1.0, float(np.linalg.norm(own[3:])) / 0.2)
        solution.rotations[source] = cv2.Rodrigues(turn)[0] @ solution.rotations[source]
        solution.translations[source] += own[:3]
    if depth:
        scale = float(np.median(inverse))
        solution.inverse_depth = inverse / scale
        solution.translations *= scale
    return True


def _summarize(tracks: CornerTracks, data: _Observed, solution: _PosesAndDepths) -> Triangulation:
    """Keep the corners that are explained and whose parallax is measurable."""
    rays, focal = data.rays, data.focal
    information = np.zeros(len(rays))
    worst = np.zeros(len(rays))
    parallax = 0.0
    for source, end in enumerate(data.ends):
        counts = data.seen[source]
        moved, seen = _project(solution, rays, source)
        error = np.hypot(*_sharpened(data.sharpness, (seen - end) * focal).T)
        worst = np.where(counts, np.maximum(worst, error), worst)
        turned = rays @ solution.rotations[source].T
        shift = np.hypot(*_displacement(turned, seen).T) * focal
        parallax = max(parallax, float(np.median(shift[counts])))
        translation = solution.translations[source]
        # Derivative of the seen position by log inverse depth, in pixels.
        slope = (translation[:2] - seen * translation[2]) * focal / moved[:, 2:]
        slope = _sharpened(data.sharpness, slope)
        information += counts * ((slope * solution.inverse_depth[:, None]) ** 2).sum(axis=1)
    explained = worst < 3 * _ROBUST
    residual = float(np.median(worst[explained])) if explained.any() else float("inf")
    noise = max(_LEAST_NOISE, residual)
    deviation = noise / np.sqrt(np.maximum(information, 1e-12))
    inside = (solution.inverse_depth > 2e-3) & (solution.inverse_depth < 49.0)
    kept = explained & inside & (deviation < 0.25)
    transforms = np.tile(np.eye(4), (len(data.ends), 1, 1))
    transforms[:, :3, :3] = solution.rotations
    transforms[:, :3, 3] = solution.translations
    return Triangulation(
        tracks.points[kept],
        1.0 / solution.inverse_depth[kept],
        deviation[kept],
        transforms,
        parallax,
        float(explained.mean()),
        residual,
    )
