# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of errors and of sparse ground truth."""

from __future__ import annotations

import numpy as np

from training.evaluation.pictures import error_picture, spread_points


def test_error_colours() -> None:
    truth = np.array([[1.0, 1.0, 1.0, np.nan]], np.float32)
    depth = np.array([[1.0, 0.5, 9.0, 1.0]], np.float32)
    agree, near, far, unknown = error_picture(truth, depth)[0].astype(int)
    assert agree.tolist() == [250, 250, 250]
    assert near[0] > near[2] + 100  # red
    assert far[2] > far[0] + 100  # blue
    assert len(set(unknown.tolist())) == 1


def test_sparse_truth_is_spread_to_be_seen() -> None:
    values = np.full((5, 7), np.nan, np.float32)
    values[2, 1], values[2, 5] = 1.0, 2.0
    spread = spread_points(values, 1)
    expected = np.full((5, 7), np.nan)
    expected[1:4, 0:3], expected[1:4, 4:7] = 1.0, 2.0
    assert np.array_equal(spread, expected, equal_nan=True)
