# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far depth is from the ground truth, by the definitions that papers compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Names of the depth figures, in the order of the papers' tables.
METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")


def depth_metrics(truth: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """Compare depth with the ground truth.

    Parameters
    ----------
    truth, prediction : array_like of equal shape
        Positive depths, valid values only (see :func:`valid_mask`).

    Returns
    -------
    dict
        abs_rel: ``mean |d − t| / t``; sq_rel: mean (d − t)² / t; rmse: root of mean (d − t)²;
        rmse_log: root of mean (log d − log t)²; a1, a2, a3: share of values with
        max(d / t, t / d) below 1.25, 1.25², 1.25³ (Eigen et al. 2014).

    Raises
    ------
    ValueError
        If the shapes differ, there is no value, or a value is not positive.
    """
    true, found = as_array(truth), as_array(prediction)
    if true.shape != found.shape:
        raise ValueError(f"depth_metrics: truth {true.shape} and prediction {found.shape} differ")
    if true.size == 0:
        raise ValueError("depth_metrics: no depth to compare")
    if not (np.all(true > 0.0) and np.all(found > 0.0)):
        raise ValueError("depth_metrics: depths must be positive; select the valid ones first")
    difference = found - true
    ratio = np.maximum(found / true, true / found)
    return {
        "abs_rel": float(np.mean(np.abs(difference) / true)),
        "sq_rel": float(np.mean(difference**2 / true)),
        "rmse": float(np.sqrt(np.mean(difference**2))),
        "rmse_log": float(np.sqrt(np.mean((np.log(found) - np.log(true)) ** 2))),
        "a1": float(np.mean(ratio < 1.25)),
        "a2": float(np.mean(ratio < 1.25**2)),
        "a3": float(np.mean(ratio < 1.25**3)),
    }


def as_array(values: Any) -> NDArray[np.float64]:
    """Convert an array, or a tensor on any device, to float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=np.float64)
