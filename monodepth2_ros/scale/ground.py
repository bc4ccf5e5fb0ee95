# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scale of predicted depth from the height of the camera above the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.factor import Measurement, interpolated_weighted_median, usual_weights

_GRID = (64, 48)  # rays that are looked at
_HYPOTHESES = 150

# A point within this share of the plane's inverse depth is on it.
_TOLERANCE = 0.08

# Less than this share of the rays below the horizon on the plane: it is not the ground.
_LEAST_GROUND = 0.25
# The ground says too little of an image of which it is less than this share: on rendered worlds the
# network's factor there differed from that of the image by 3 to 9 % above, by 3 to 22 % below.
_LEAST_OF_IMAGE = 0.2
# More than this share below the plane: it is a table, or a kerb.
_MOST_BELOW = 0.12

# Largest angle between the plane and the horizontal, in degrees.
_LARGEST_TILT = 12.0
_LARGEST_TILT_UNKNOWN = 35.0

# Logarithm of the height that points of the ground may differ by, as a network bends it.
_CURVED = 0.25
# Spread of the logarithm of distance about the image's usual one in which the ground counts.
_NEAR_USUAL = 0.35
# Relative error of the depth of a point, and of the ground as a whole against the image.
_POINT_NOISE, _SHAPE_NOISE = 0.1, 0.045
# Error of the ground as a whole for each unit of its spread.
_SHAPED = 0.5
# Radians by which a body nods on its wheels or legs.
_PITCH_NOISE = 0.009
# Relative standard deviation where gravity is not known: measured on rendered worlds.
_TILTED = 0.2


def measure_height(
    inverse_depth: NDArray[np.floating],
    camera: PinholeCamera,
    height: float,
    down: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Measurement | str:
    """Fit the ground and compare its distance with the known height of the camera.

    A plane n · X = h (n down, h the height) is linear in inverse depth ρ: as X = r / ρ for the ray
    r = (x, y, 1), ρ = (n / h) · r. Planes through three rays each are tried (RANSAC), the best is
    refined by least squares.

    Parameters
    ----------
    inverse_depth : ndarray, shape (h, w)
        Predicted, in the inverse of the network's unit; NaN where unknown.
    camera : PinholeCamera
        Camera of the same field of view, any size.
    height : float
        Height of the camera above the ground, metres.
    down : ndarray, shape (3,), optional
        Direction of gravity in the optical frame (x right, y down, z ahead); without it the
        ground is assumed within 35° of it for a level camera.
    seed : int
        Seed of the choice of the planes that are tried.

    Returns
    -------
    Measurement, or str
        The reason why no ground was found.
    """
    if down is None:
        direction, tilt = np.array([0.0, 1.0, 0.0]), _LARGEST_TILT_UNKNOWN
    else:
        direction, tilt = np.asarray(down, np.float64) / np.linalg.norm(down), _LARGEST_TILT
    rows = np.linspace(0, inverse_depth.shape[0] - 1, _GRID[1]).round().astype(int)
    columns = np.linspace(0, inverse_depth.shape[1] - 1, _GRID[0]).round().astype(int)
    scaled = camera.resized(inverse_depth.shape[1], inverse_depth.shape[0])
    x, y = np.meshgrid((columns - scaled.cx) / scaled.fx, (rows - scaled.cy) / scaled.fy)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    everywhere = inverse_depth[np.ix_(rows, columns)].reshape(-1).astype(np.float64)
    inverse = everywhere
    below_horizon = rays @ direction > 0.05 * np.linalg.norm(rays, axis=1)
    usable = below_horizon & np.isfinite(inverse) & (inverse > 0.0)
    if usable.sum() < 100:
        return "no ground in view: the camera sees nothing below the horizon"
    rays, inverse = rays[usable], inverse[usable]
    chosen = np.random.default_rng(seed).integers(len(rays), size=(_HYPOTHESES, 3))
    corners = rays[chosen]
    good = np.abs(np.linalg.det(corners)) > 1e-4
    if not good.any():
        return "no ground in view"
    planes = np.linalg.solve(corners[good], inverse[chosen][good][..., None])[..., 0]
    # Those that nothing but the ground can be: it faces up.
    planes = planes[_tilt(planes, direction) < tilt]
    if not len(planes):
        return "no ground in view: no level plane"
    error = (rays @ planes.T) / inverse[:, None] - 1.0  # > 0: the plane is nearer than the point
    on = np.abs(error) < _TOLERANCE
    # A plane with much below it is a table; one through the air has little on it.
    score = on.mean(axis=0) - 2.0 * (error > 2.0 * _TOLERANCE).mean(axis=0)
    plane = planes[score.argmax()]
    for _ in range(3):
        error = (rays @ plane) / inverse - 1.0
        weight = np.where(np.abs(error) < _TOLERANCE, 1.0 / inverse**2, 0.0)
        if np.count_nonzero(weight) < 50:
            return "no ground in view"
        weighted = rays.T * weight
        plane = np.linalg.solve(weighted @ rays + 1e-12 * np.eye(3), weighted @ inverse)
    error = (rays @ plane) / inverse - 1.0
    share = float(np.mean(np.abs(error) < _TOLERANCE))
    if share < _LEAST_GROUND:
        return f"no ground in view: {share:.0%} of what is below the horizon is one plane"
    if float(np.mean(error > 2.0 * _TOLERANCE)) > _MOST_BELOW:
        return "no ground in view: much lies below the largest plane"
    if float(_tilt(plane[None], direction)[0]) > tilt:
        return "no ground in view: the largest plane is not level"
    seen = float(np.count_nonzero(np.abs(error) < _TOLERANCE)) / np.isfinite(everywhere).sum()
    if seen < _LEAST_OF_IMAGE:
        return f"too little ground in view: {seen:.0%} of the image"
    if down is None:
        value = float(np.log(height * np.linalg.norm(plane)))
        return Measurement(np.array([value]), np.array([_TILTED**-2]), _TILTED)
    usual = float(np.median(1.0 / everywhere[np.isfinite(everywhere) & (everywhere > 0.0)]))
    return _compare_heights(rays, inverse, np.abs(error) < _TOLERANCE, direction, height, usual)


def _compare_heights(
    rays: NDArray[np.float64],
    inverse: NDArray[np.float64],
    start: NDArray[np.bool_],
    down: NDArray[np.float64],
    height: float,
    usual: float,
) -> Measurement | str:
    """Compare the height over the ground that each point of it tells.

    A network's ground is no plane: near by it is often a tenth too far, so that a plane fitted to
    it is tilted, and its distance from the camera is an extrapolation. With gravity known each
    point tells the height by itself. Those about as far as the image usually is count most, as
    the factor is wanted for the image.

    Parameters
    ----------
    rays : ndarray, shape (N, 3)
    inverse : ndarray, shape (N,)
    start : ndarray of bool, shape (N,)
        Points of the ground to begin with.
    down : ndarray, shape (3,)
    height : float
        Metres.
    usual : float
        Median depth of the image in the network's unit.
    """
    fall = rays @ down
    values = np.log(height * inverse / fall)
    middle = float(np.median(values[start]))
    for _ in range(3):
        on = np.abs(values - middle) < _CURVED
        if on.sum() < 50:
            return "no ground in view: it is not level"
        middle = float(np.median(values[on]))
    values, fall = values[on], fall[on]
    # How much the height changes by an error of the pitch.
    lever = np.sqrt(np.maximum(np.sum(rays[on] ** 2, axis=1) - fall**2, 0.0)) / fall
    weights = 1.0 / (_POINT_NOISE**2 + (_PITCH_NOISE * lever) ** 2)
    weights *= usual_weights(np.log(inverse[on] * usual), _NEAR_USUAL)
    weights /= weights.sum()
    middle = interpolated_weighted_median(values, weights)
    spread = float(np.sqrt(weights @ (values - middle) ** 2))
    pitch = _PITCH_NOISE * float(weights @ lever)
    # Depth errors of a network are alike over the whole ground: the residual does not average out.
    deviation = float(np.sqrt(_SHAPE_NOISE**2 + (_SHAPED * spread) ** 2 + pitch**2))
    return Measurement(np.array([middle]), np.array([deviation**-2]), deviation)


def _tilt(planes: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles between planes (N, 3) and the horizontal, in degrees."""
    cosine = planes @ down / (np.linalg.norm(planes, axis=1) + 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
