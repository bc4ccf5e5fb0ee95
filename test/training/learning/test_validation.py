# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How sure a difference on held-out samples is."""

from __future__ import annotations

import numpy as np
import pytest

from training.learning.validation import _standard_error, _stretches


def test_samples_are_divided_in_order_into_stretches_of_about_equal_numbers() -> None:
    stretches = _stretches([3, 10, 11, *range(20, 41)])
    assert list(stretches.values()) == sorted(stretches.values())
    assert np.bincount(list(stretches.values())).tolist() == [3] * 8
    assert list(_stretches([5, 7]).values()) == [0, 4]


def test_the_standard_error_is_that_of_the_means_of_stretches() -> None:
    gains = np.random.default_rng(0).normal(0.1, 1.0, (8, 5))
    sums = np.stack([gains.sum(axis=1), np.full(8, 5.0)])
    expected = gains.mean(axis=1).std(ddof=1) / np.sqrt(8)
    assert _standard_error(sums) == pytest.approx(expected)


def test_one_stretch_tells_nothing_and_the_same_gain_everywhere_is_sure() -> None:
    sums = np.zeros((2, 8))
    sums[:, 2] = 0.6, 6
    assert _standard_error(sums) is None
    sums[:, 5] = 0.3, 3
    assert _standard_error(sums) == pytest.approx(0.0, abs=1e-12)


def test_images_that_follow_one_another_do_not_count_as_many() -> None:
    """Forty images of eight places: independent ones would have a smaller error."""
    places = np.random.default_rng(1).normal(0.0, 1.0, 8)
    sums = np.stack([5 * places, np.full(8, 5.0)])
    found = _standard_error(sums)
    assert found is not None
    assert found > 2 * np.repeat(places, 5).std(ddof=1) / np.sqrt(40)
