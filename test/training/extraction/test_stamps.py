# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing by stamps."""

from __future__ import annotations

import numpy as np

from training.extraction.stamps import StampMatcher, nearest_stamp


def test_the_nearest_stamp() -> None:
    stamps = np.array([10, 20, 40])
    wanted = {-5: 0, 10: 0, 14: 0, 16: 1, 29: 1, 31: 2, 40: 2, 99: 2}
    assert {stamp: nearest_stamp(stamps, stamp) for stamp in wanted} == wanted


def test_each_frame_takes_its_nearest_measurement() -> None:
    matcher = StampMatcher(np.array([100, 300, 200]), tolerance=20)
    assert matcher.take(110) == 0
    assert matcher.take(115) is None  # farther than the one before
    assert matcher.take(98) == 0  # nearer
    assert matcher.take(102) is None  # as near
    assert matcher.take(280) == 1
    assert matcher.take(221) is None
    assert matcher.take(200) == 2
    assert StampMatcher(np.zeros(0, np.int64), 20).take(5) is None
