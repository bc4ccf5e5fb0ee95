# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scale of predicted depth from a range sensor: beam, planar scan, cloud or depth image."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.factor import (
    ELSEWHERE,
    NEAR_TOO_FAR,
    Measurement,
    apart_from_usual,
    region_numbers,
    usual_weights,
)
from monodepth2_ros.scale.odometry import sample_smooth

_MOST_POINTS = 600
_FEWEST_POINTS = 5

# Cells of the image, as shares of its width, of which the nearest point alone is seen.
_CELL = 0.015

# Relative error of a sensor.
_SENSOR_NOISE = 0.01

# Relative error of the factor of one place for the whole image: for points in one column, and at
# best; measured on rendered worlds.
_ONE_COLUMN, _SHAPE_NOISE = 0.2, 0.02
_COLUMNS = 10
# The same for a column in which the sensor hits what is above or below the image, as a wall close
# by: what is near is missed then, and networks often have the depth of it and of the rest differ by
# another factor. Not where the points that are seen are nearer by this logarithm than usual.
_HIDDEN_COLUMN, _NEAR = 0.5, 0.5
# The same for a beam, which hits one place: on rendered worlds its factor was off by 0.12 (streets)
# to 0.21 (corridors).
_ONE_PLACE = 0.17
# Standard deviation of NEAR_TOO_FAR between networks and places.
_SLOPE_NOISE = 0.06
# The same for what is farther from the image's usual distance, by its logarithm.
_FARTHEST_APART = 0.85
# Relative standard deviation above which points say little of the image.
_MOST_UNSURE = 0.1


def scan_points(
    ranges: NDArray[np.floating],
    angle_min: float,
    angle_increment: float,
    range_min: float,
    range_max: float,
) -> NDArray[np.float64]:
    """Return the points of a ``sensor_msgs/LaserScan`` in its frame (x ahead, y left), (N, 3)."""
    distance = np.asarray(ranges, np.float64)
    angle = angle_min + angle_increment * np.arange(len(distance))
    # Not finite, or at its ends: nothing was hit (REP 117).
    usable = np.isfinite(distance) & (distance >= max(range_min, 1e-3)) & (distance < range_max)
    distance, angle = distance[usable], angle[usable]
    return np.column_stack(
        [distance * np.cos(angle), distance * np.sin(angle), np.zeros(len(angle))]
    )


def depth_image_points(
    depth: NDArray[np.floating], camera: PinholeCamera, stride: int = 8
) -> NDArray[np.float64]:
    """Return points of a depth image in metres (H, W) in its optical frame, (N, 3)."""
    rows = np.arange(stride // 2, depth.shape[0], stride)
    columns = np.arange(stride // 2, depth.shape[1], stride)
    z = depth[np.ix_(rows, columns)].astype(np.float64)
    x, y = np.meshgrid((columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy)
    points = np.stack([x * z, y * z, z], axis=-1).reshape(-1, 3)
    return points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0.0)]


def measure_ranges(
    points: NDArray[np.float64],
    inverse_depth: NDArray[np.floating],
    camera: PinholeCamera,
    held: float = math.inf,
    wander: float = 0.0,
) -> Measurement | str:
    """Compare predicted depth with measured points.

    Points outside the image, at edges of the prediction, and behind nearer ones are left out.
    Points that say little of the image as a whole are refused where more is known without them;
    where nothing is known they are taken, with the large deviation that they have.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        In the camera's optical frame (x right, y down, z ahead), metres.
    inverse_depth : ndarray, shape (h, w)
        Predicted, in the inverse of the network's unit; NaN where unknown.
    camera : PinholeCamera
        Camera of the same field of view, any size.
    held : float
        Relative standard deviation of the factor without them; infinite before it is known.
    wander : float
        See :meth:`Measurement.variance`; what is held has it in its deviation.

    Returns
    -------
    Measurement, or str
        The reason why there is none.
    """
    points = np.asarray(points, np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[points[:, 2] > 0.02]
    if len(points) > _MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int)]
    if not len(points):
        return "the range sensor sees nothing"
    scaled = camera.resized(inverse_depth.shape[1], inverse_depth.shape[0])
    rays = points[:, :2] / points[:, 2:]
    pixels = rays * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
    # The sensor sees round corners that the camera does not: of each cell take the nearest.
    cell = np.floor(pixels / (_CELL * scaled.width)).astype(int)
    order = np.argsort(points[:, 2], kind="stable")
    _, first = np.unique(cell[order], axis=0, return_index=True)
    nearest = np.zeros(len(points), bool)
    nearest[order[first]] = True
    predicted = sample_smooth(inverse_depth, pixels)
    usable = nearest & np.isfinite(predicted)
    if usable.sum() < _FEWEST_POINTS:
        return "too few of the range sensor's points are in the image and off its edges"
    apart = apart_from_usual(predicted[usable], inverse_depth)
    values = np.log(points[usable, 2] * predicted[usable])
    values = values - _slope(values, apart, rays[usable]) * apart
    errors = np.full(len(values), _SENSOR_NOISE)
    found = Measurement.of_points(values, errors, rays[usable], importance=usual_weights(apart))
    seen, hidden = _shares_of_width(pixels, usable, (scaled.width, scaled.height))
    mean_apart = float(np.average(apart, weights=found.weights))
    near = min(max(-mean_apart / _NEAR, 0.0), 1.0)
    hidden_column = near * _ONE_COLUMN + (1.0 - near) * _HIDDEN_COLUMN
    elsewhere = _ONE_COLUMN * (1.0 - seen - hidden) + hidden_column * hidden
    alike = np.sqrt(_SHAPE_NOISE**2 + (ELSEWHERE * mean_apart) ** 2 + elsewhere**2)
    deviation = float(np.hypot(found.deviation, alike))
    found = replace(found, deviation=deviation, teaches=deviation < _MOST_UNSURE)
    unsure = math.sqrt(found.variance(wander))
    if unsure >= held:
        told = f"tells the factor to {unsure:.0%}, and it is held to {held:.0%}"
        if abs(mean_apart) > _FARTHEST_APART:
            where = "nearer" if mean_apart < 0.0 else "farther"
            return (
                f"what the range sensor sees is much {where} than the image usually is: it {told}"
            )
        if deviation > _MOST_UNSURE:
            return f"the range sensor sees {seen:.0%} of the image's width: it {told}"
    return found


def _shares_of_width(
    pixels: NDArray[np.float64], usable: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[float, float]:
    """Return in which shares of the image's width points are seen, and are outside it only.

    Parameters
    ----------
    pixels : ndarray, shape (N, 2)
        x, y of all points ahead of the camera, in the image or not.
    usable : ndarray of bool, shape (N,)
        Points that are compared.
    size : tuple of int
        Width and height of the image in pixels.

    Returns
    -------
    seen, hidden : float
        0 to 1; a column of the image is hidden where points are above or below the image alone.
    """
    x, y = (pixels / size).T
    column = np.clip(x * _COLUMNS, 0, _COLUMNS - 1).astype(int)
    seen = set(column[usable].tolist())
    outside = (x >= 0.0) & (x < 1.0) & ((y < 0.0) | (y >= 1.0))
    hidden = set(column[outside].tolist()) - seen
    return len(seen) / _COLUMNS, len(hidden) / _COLUMNS


def _slope(
    values: NDArray[np.float64], apart: NDArray[np.float64], rays: NDArray[np.float64]
) -> float:
    """Return how much the logarithm of the factor changes by that of the distance.

    The points themselves tell it where they are at several distances and agree with each other;
    what is usual of networks decides where they do not.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Logarithm of the factor at each point.
    apart : ndarray, shape (N,)
        Logarithm of distance over the usual one of the image.
    rays : ndarray, shape (N, 2)
        x / z and y / z.
    """
    regions = np.count_nonzero(np.bincount(region_numbers(rays)))
    slope, middle = NEAR_TOO_FAR, float(np.median(values - NEAR_TOO_FAR * apart))
    for _ in range(8):
        error = np.abs(values - middle - slope * apart)
        spread = max(1.48 * float(np.median(error)), _SENSOR_NOISE)
        # Cauchy's weights: edges and what the camera does not see have heavy tails.
        weights = 1.0 / (1.0 + (error / (2.0 * spread)) ** 2)
        weights /= weights.sum()
        off, deviates = apart - weights @ apart, values - weights @ values
        told = regions / spread**2
        square = float(weights @ off**2) * told + _SLOPE_NOISE**-2
        slope = float(
            (float(weights @ (off * deviates)) * told + NEAR_TOO_FAR * _SLOPE_NOISE**-2) / square
        )
        middle = float(np.median(values - slope * apart))
    return slope


def measure_beam(
    distance: float,
    origin: NDArray[np.float64],
    direction: NDArray[np.float64],
    field_of_view: float,
    inverse_depth: NDArray[np.floating],
    camera: PinholeCamera,
) -> Measurement | str:
    """Compare predicted depth with one beam, of ``sensor_msgs/Range``.

    A cone reports the nearest thing in it, so the nearest predicted depth in it is compared.

    Parameters
    ----------
    distance : float
        Metres from `origin`.
    origin, direction : ndarray, shape (3,)
        Origin and direction of the beam in the camera's optical frame.
    field_of_view : float
        Full angle of the cone, radians.
    inverse_depth, camera
        See :func:`measure_ranges`.

    Returns
    -------
    Measurement, or str
    """
    if not np.isfinite(distance) or distance <= 0.0:
        return "the range sensor sees nothing"
    direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    hit = np.asarray(origin, np.float64) + distance * direction
    scaled = camera.resized(inverse_depth.shape[1], inverse_depth.shape[0])
    if hit[2] <= 0.02:
        return "the range sensor looks away from the camera's image"
    centre = hit[:2] / hit[2] * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
    radius = max(1.5, distance * np.tan(0.5 * field_of_view) / hit[2] * scaled.fx)
    rows, columns = np.indices(inverse_depth.shape)
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    seen = inverse_depth[inside & np.isfinite(inverse_depth)]
    if len(seen) < 5:
        return "the range sensor looks outside the image"
    nearest = float(np.quantile(seen, 0.95))
    # The wider the cone, the less is known of what it hit.
    deviation = float(np.hypot(_ONE_PLACE, 0.25 * np.std(np.log(np.maximum(seen, 1e-9)))))
    apart = float(apart_from_usual(np.array([nearest]), inverse_depth)[0])
    deviation = float(np.hypot(deviation, ELSEWHERE * apart))
    value = np.log(hit[2] * nearest)
    return Measurement(np.array([value]), np.array([deviation**-2]), deviation, teaches=False)
