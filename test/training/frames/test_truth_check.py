# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth that cannot be depth in metres is refused by training and evaluation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from training.frames.truth_check import truth_problem


class Store(SimpleNamespace):
    """A store's ground truth, as far as the check looks at it."""

    def __len__(self) -> int:
        return len(self.images)


def store(truth: np.ndarray | None) -> Store:
    count = 40 if truth is None else len(truth)
    return Store(images=range(count), truth=truth, path=SimpleNamespace(name="frames"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.5, 40.0), ""),
        ((500.0, 4000.0), "which is implausible; extract again with --truth-unit"),
        ((0.0005, 0.02), "which is implausible"),
        ((0.0, 0.0), "has no valid pixel"),
    ],
)
def test_implausible_ground_truth(values: tuple[float, float], words: str) -> None:
    truth = np.linspace(*values, 40 * 24).reshape(40, 4, 6).astype(np.float16)
    problem = truth_problem(store(truth))
    assert words in problem
    assert bool(problem) == bool(words)


def test_one_frame_with_ground_truth_is_enough() -> None:
    truth = np.full((40, 4, 6), np.nan, np.float16)
    assert "no valid pixel" in truth_problem(store(truth))
    truth[17] = 3.0  # none of those that are looked at first
    assert truth_problem(store(truth)) == ""
    assert truth_problem(store(None)) == ""
