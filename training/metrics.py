# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good depth and motion are, by the definitions that papers compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monodepth2_ros.depth_errors import METRICS as METRICS
from monodepth2_ros.depth_errors import as_array
from monodepth2_ros.depth_errors import depth_metrics as depth_metrics

#: Rows and columns, as fractions of height and width, that the Garg crop keeps:
#: top, bottom, left, right.
GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)

#: Frames of an odometry snippet.
SNIPPET_LENGTH = 5

#: A pixel predicted more than this many times too far is a hole.
HOLE_FACTOR = 3.0

Floats = NDArray[np.float64]


def valid_mask(
    truth: ArrayLike,
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
    crop: Sequence[float] | None = None,
) -> NDArray[np.bool_]:
    """Select the pixels of a depth image that count.

    Parameters
    ----------
    truth : array_like, shape (H, W)
        Metres; 0 or not finite where unknown.
    min_depth, max_depth : float
        Exclusive limits.
    crop : sequence of float, optional
        Top, bottom, left, right as fractions of height and width, :data:`GARG_CROP` for KITTI.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    depth = as_array(truth)
    with np.errstate(invalid="ignore"):
        mask = (depth > min_depth) & (depth < max_depth)
    if crop is not None:
        height, width = depth.shape
        top, bottom = int(crop[0] * height), int(crop[1] * height)
        left, right = int(crop[2] * width), int(crop[3] * width)
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        mask &= inside
    return mask


@dataclass(frozen=True)
class FrameResult:
    """Figures of one depth image.

    Attributes
    ----------
    metrics : dict
        See :func:`depth_metrics`.
    scale_ratio : float
        median(truth) / median(prediction), whether or not it was applied.
    pixels : int
        Number of pixels compared.
    """

    metrics: dict[str, float]
    scale_ratio: float
    pixels: int


def evaluate_frame(
    truth: ArrayLike,
    prediction: ArrayLike,
    median_scaling: bool = True,
    min_depth: float = 1e-3,
    max_depth: float = 80.0,
    crop: Sequence[float] | None = None,
) -> FrameResult | None:
    """Compare a predicted depth image with the truth.

    Parameters
    ----------
    truth : array_like, shape (H, W)
        Metres; 0 or not finite where unknown.
    prediction : array_like, shape (H, W)
        Depth at the size of the truth. Resize disparity, not depth.
    median_scaling : bool
        Scale the prediction by the ratio of the medians; not for a metric model.
    min_depth, max_depth, crop
        See :func:`valid_mask`; the scaled prediction is clipped to the limits.

    Returns
    -------
    FrameResult, or None where the truth has no valid pixel
    """
    mask = valid_mask(truth, min_depth, max_depth, crop)
    if not mask.any():
        return None
    true, found = as_array(truth)[mask], as_array(prediction)[mask]
    ratio = float(np.median(true) / np.median(found))
    if median_scaling:
        found = found * ratio
    return FrameResult(
        depth_metrics(true, np.clip(found, min_depth, max_depth)), ratio, int(mask.sum())
    )


def mean_metrics(results: Sequence[FrameResult]) -> dict[str, float]:
    """Average the figures over images, each image counting the same.

    Parameters
    ----------
    results : sequence of FrameResult
        At least one.
    """
    return {name: float(np.mean([r.metrics[name] for r in results])) for name in METRICS}


def scale_statistics(ratios: ArrayLike) -> tuple[float, float]:
    """Return the median of the scale ratios and their relative spread.

    Parameters
    ----------
    ratios : array_like, shape (N,)
        See :class:`FrameResult`.

    Returns
    -------
    median : float
        Metres per unit of the prediction.
    spread : float
        Standard deviation of ratio / median.
    """
    values = as_array(ratios)
    median = float(np.median(values))
    return median, float(np.std(values / median))


@dataclass(frozen=True)
class ScaleDrift:
    """How the scale of predictions changes over a recording.

    Attributes
    ----------
    median : float
        Metres per unit of the prediction.
    spread : float
        (p84 − p16) / 2 of the ratios over their median: the standard deviation of a normal
        distribution, but blind to single frames that are far off.
    deviation : float
        Standard deviation of the ratios over their median, as papers quote it.
    trend : float or None
        Median of the last fifth over median of the first fifth; None below five frames.
    """

    median: float
    spread: float
    deviation: float
    trend: float | None


def scale_drift(ratios: ArrayLike) -> ScaleDrift:
    """Measure how the scale drifts.

    Parameters
    ----------
    ratios : array_like, shape (N,)
        median(truth) / median(prediction) of each frame in the order of time, at least one.
    """
    values = as_array(ratios)
    median, deviation = scale_statistics(values)
    low, high = np.percentile(values, (16, 84))
    fifth = len(values) // 5
    trend = float(np.median(values[-fifth:]) / np.median(values[:fifth])) if fifth else None
    return ScaleDrift(median, float(high - low) / 2.0 / median, deviation, trend)


def hole_share(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the share of pixels that are predicted more than three times too far.

    Parameters
    ----------
    truth, prediction : array_like of equal shape
        Positive depths, valid values only; the prediction scaled, but not clipped.
    """
    return float(np.mean(as_array(prediction) > HOLE_FACTOR * as_array(truth)))


def weighted_median(values: Floats, weights: Floats) -> float:
    """Return the smallest value that, with all below it, has half of the weight.

    Parameters
    ----------
    values, weights : ndarray, shape (N,)
        At least one; weights not below 0.
    """
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, 0.5 * reached[-1])])


def flip_postprocess(disparity: ArrayLike, mirrored: ArrayLike) -> Floats:
    """Blend a disparity with the one predicted from the mirrored image.

    Parameters
    ----------
    disparity, mirrored : array_like, shape (..., H, W)
        Predictions from the image and from its mirror image, the latter mirrored back.

    Returns
    -------
    ndarray, shape (..., H, W)
        Their mean, but near the left border `mirrored` and near the right border `disparity`,
        with ramps over the outer 5 to 10 % (Godard et al. 2017).
    """
    direct, back = as_array(disparity), as_array(mirrored)
    x = np.linspace(0.0, 1.0, direct.shape[-1])
    left = 1.0 - np.clip(20.0 * (x - 0.05), 0.0, 1.0)
    right = left[::-1]
    return right * direct + left * back + (1.0 - left - right) * 0.5 * (direct + back)


def snippet_error(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Error of a short trajectory, as the KITTI odometry tables of depth papers give it.

    Parameters
    ----------
    truth, prediction : array_like, shape (N, 3)
        Positions of the camera.

    Returns
    -------
    float
        sqrt(sum of squared errors) / N after moving the prediction's first point onto the
        truth's and scaling it by the one best factor (Zhou et al. 2017), in the truth's unit.
    """
    true, found = as_array(truth), as_array(prediction)
    found = found + (true[0] - found[0])
    energy = np.sum(found**2)
    scale = np.sum(true * found) / energy if energy > 0.0 else 0.0
    return float(np.sqrt(np.sum((scale * found - true) ** 2)) / len(true))


def odometry_errors(
    truth: ArrayLike, prediction: ArrayLike, length: int = SNIPPET_LENGTH
) -> Floats:
    """Errors of all snippets of a trajectory.

    Parameters
    ----------
    truth, prediction : array_like, shape (N, 4, 4)
        World from camera; the two worlds and units need not agree.
    length : int
        Frames in a snippet.

    Returns
    -------
    ndarray, shape (N − length + 1,)
        :func:`snippet_error` of each, in the frame of its first camera. Mean and standard
        deviation are what tables give.

    Raises
    ------
    ValueError
        If there are fewer than `length` poses.
    """
    true, found = as_array(truth), as_array(prediction)
    if true.shape != found.shape or len(true) < length:
        raise ValueError(
            f"odometry_errors: truth {true.shape} and prediction {found.shape}; equally many "
            f"poses, at least {length}, are needed"
        )
    errors = []
    for start in range(len(true) - length + 1):
        positions = [
            (np.linalg.inv(poses[start]) @ poses[start : start + length])[:, :3, 3]
            for poses in (true, found)
        ]
        errors.append(snippet_error(*positions))
    return np.array(errors)
