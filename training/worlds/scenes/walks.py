# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ways through furnished rooms, clear of everything at the height of the camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.worlds.world import Box, Route, box_bounds

_CELL = 0.05  # metres
_BELOW, _ABOVE = 0.45, 0.3  # metres; what is within this of the camera's height is in its way
_MARGINS = (0.5, 0.42, 0.36, 0.32)  # metres from everything in the way, tried in turn
_SHARP_TURN = 1.3  # radians
_COMPARED_GOALS = 4  # those without a sharp turn of which the farthest is taken
_STEP = 0.02  # metres between the points of a route
_LEAST_STEP = 0.005  # metres between two of them where it turns back
_ROUND = 25  # points over which corners are rounded


def clear_ground(
    boxes: Sequence[Box], area: tuple[float, float, float, float], height: float
) -> NDArray[np.float32]:
    """Measure how far every place is from what is in the way of a camera.

    Parameters
    ----------
    boxes : sequence of Box
    area : tuple of 4 float
        Area between the walls around: least x, least y, greatest x, greatest y.
    height : float
        Height of the camera, in metres.

    Returns
    -------
    array of float32, shape (rows, columns)
        Metres, for cells of 5 cm along y and x from the first corner of the area.
    """
    size = [int((area[k + 2] - area[k]) / _CELL) for k in (1, 0)]
    free = np.ones((size[0] + 2, size[1] + 2), dtype=np.uint8)
    free[[0, -1]] = 0
    free[:, [0, -1]] = 0
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij"), axis=-1).reshape(8, 3)
    lows, highs = box_bounds(boxes)
    in_way = (highs[:, 2] > height - _BELOW) & (lows[:, 2] < height + _ABOVE)
    for box, chosen in zip(boxes, in_way, strict=True):
        if chosen:
            corners = (signs * box.size) @ box.rotation().T + box.center
            cells = np.rint((corners[:, :2] - area[:2]) / _CELL + 0.5).astype(np.int32)
            cv2.fillConvexPoly(free, cv2.convexHull(cells), 0)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 5)
    return np.asarray(distance[1:-1, 1:-1], np.float32) * np.float32(_CELL)


def stroll(
    rng: Generator,
    boxes: Sequence[Box],
    area: tuple[float, float, float, float],
    length: float,
    height: float,
) -> Route | None:
    """Draw a way from place to place, each in sight of the one before.

    Parameters
    ----------
    rng : Generator
    boxes, area, height
        As in :func:`clear_ground`.
    length : float
        Metres that the way shall have.

    Returns
    -------
    Route or None
        None where there is no room to move.
    """
    distance = clear_ground(boxes, area, height)
    for margin in _MARGINS:
        free = distance > margin
        count, labels, stats, _ = cv2.connectedComponentsWithStats(free.astype(np.uint8))
        if count < 2:
            continue
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        cells = np.argwhere(labels == largest)
        if len(cells) * _CELL**2 < 0.25:
            continue
        return _visit(rng, free, cells, area, length)
    return None


def _visit(
    rng: Generator,
    free: NDArray[np.bool_],
    cells: NDArray[np.intp],
    area: tuple[float, float, float, float],
    length: float,
) -> Route:
    """Go to random free cells, straight over free ground, until the way is long enough."""
    here = cells[rng.integers(len(cells))].astype(np.float64)
    length = max(length, 1.0)
    stops, total, wanted = [here], 0.0, length
    while True:
        while total < wanted:
            goals = cells[rng.integers(len(cells), size=24)].astype(np.float64)
            # In a narrow place anything nearby will do.
            nearby = here + rng.uniform(-1.5, 1.5, 2)
            before = stops[-2] if len(stops) > 1 else here
            straight = [goal for goal in goals if _is_straight(free, here, goal)]
            goal = _without_turning_back(here, here - before, straight or [nearby])
            if not _is_straight(free, here, goal):
                continue
            total += float(np.hypot(*(goal - here))) * _CELL
            here = goal
            stops.append(here)
        route = _rounded(np.array(stops)[:, ::-1] * _CELL + area[:2] + 0.5 * _CELL)
        if route.length >= length:
            return route
        wanted += length  # the rounding has shortened it


def _without_turning_back(
    here: NDArray[np.float64], heading: NDArray[np.float64], goals: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Choose a far goal of those that need no sharp turn, or that of the least sharp one."""
    ways = np.array(goals) - here
    turns = np.abs(np.angle((ways @ [1.0, 1.0j]) * np.conj(heading @ [1.0, 1.0j])))
    gentle = np.flatnonzero(turns < _SHARP_TURN)
    if not len(gentle):
        return goals[int(turns.argmin())]
    some = gentle[:_COMPARED_GOALS]
    return goals[int(some[np.hypot(*ways[some].T).argmax()])]


def _rounded(points: NDArray[np.float64]) -> Route:
    """Join points, (N, 2), by straight lines whose corners are rounded."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.arange(0.0, along[-1], _STEP)
    way = np.stack([np.interp(at, along, axis) for axis in points.T])
    # A mean over half a metre stays within the margin.
    padded = np.pad(way, ((0, 0), (_ROUND // 2, _ROUND // 2)), mode="edge")
    mean = np.full(_ROUND, 1.0 / _ROUND)
    rounded = np.stack([np.convolve(axis, mean, "valid") for axis in padded], axis=1)
    # Where a way turns back its points are so near each other that their directions are rounding
    # errors.
    kept = [0]
    for k, point in enumerate(rounded):
        if np.hypot(*(point - rounded[kept[-1]])) > _LEAST_STEP:
            kept.append(k)
    return Route(rounded[kept])


def _is_straight(
    free: NDArray[np.bool_], start: NDArray[np.float64], goal: NDArray[np.float64]
) -> bool:
    """Whether all cells between two are free."""
    count = int(2 * np.abs(goal - start).max()) + 2
    cells = np.rint(start + np.linspace(0.0, 1.0, count)[:, None] * (goal - start)).astype(int)
    if (cells < 0).any() or (cells >= free.shape).any():
        return False
    return bool(free[cells[:, 0], cells[:, 1]].all())
