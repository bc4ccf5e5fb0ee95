# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth compared with the recorded depth, frame by frame.

Whatever predicts depth is a function (:data:`training.evaluation.protocol.Predict`): networks and
the baselines next to them go through the same :func:`evaluate_depth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.outlines import near_outlines
from training.evaluation.protocol import (
    Predict,
    Progress,
    Protocol,
    Selection,
    aligned_depth,
    compare,
    truth_of,
)
from training.metrics import (
    METRICS,
    FrameResult,
    mean_metrics,
    scale_statistics,
)

#: Distances in metres at which the error by distance is split.
DISTANCES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, float("inf"))


@dataclass(frozen=True)
class FrameScore:
    """A frame's figures, and where it is.

    Attributes
    ----------
    selection : int
        Index of the selection.
    frame : int
        Index in its store.
    result : FrameResult
    """

    selection: int
    frame: int
    result: FrameResult


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The comparison of one predictor.

    Attributes
    ----------
    name : str
    scores : tuple of FrameScore
        Frames with truth, in order.
    without_truth : int
        Frames that have none inside the limits.
    by_distance : ndarray, shape (len(DISTANCES) − 1, 2), float64
        For each interval of :data:`DISTANCES` the sum of |d − t| / t and the number of pixels.
    at_outlines : tuple of 2 float
        The same sum and number for the pixels at outlines of things
        (:func:`training.evaluation.outlines.near_outlines`).
    """

    name: str
    scores: tuple[FrameScore, ...]
    without_truth: int
    by_distance: NDArray[np.float64]
    at_outlines: tuple[float, float] = (0.0, 0.0)

    @property
    def results(self) -> list[FrameResult]:
        """The figures of the frames."""
        return [score.result for score in self.scores]

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return a figure of each frame, shape (N,)."""
        return np.array([result.metrics[metric] for result in self.results])


@dataclass(frozen=True)
class Summary:
    """The figures of an evaluation that tables show.

    Attributes
    ----------
    frames, without_truth : int
    mean, median : dict
        Each figure over the frames.
    scale, scale_spread : float
        Median of median(truth) / median(prediction), and its relative spread.
    """

    frames: int
    without_truth: int
    mean: dict[str, float]
    median: dict[str, float]
    scale: float
    scale_spread: float


def summarize(evaluation: Evaluation) -> Summary:
    """Average the figures over the frames, each frame counting the same."""
    results = evaluation.results
    scale, spread = scale_statistics([result.scale_ratio for result in results])
    return Summary(
        len(results),
        evaluation.without_truth,
        mean_metrics(results),
        {name: float(np.median(evaluation.values(name))) for name in METRICS},
        scale,
        spread,
    )


def win_share(first: Evaluation, second: Evaluation, metric: str = "abs_rel") -> float:
    """Return the share of frames in which the first is better; equal frames count half.

    Raises
    ------
    ValueError
        If they are not of the same frames.
    """
    frames = [[(s.selection, s.frame) for s in e.scores] for e in (first, second)]
    if frames[0] != frames[1]:
        raise ValueError(f"win_share: '{first.name}' and '{second.name}' saw different frames")
    difference = second.values(metric) - first.values(metric)
    if metric.startswith("a") and metric != "abs_rel":  # shares of good pixels
        difference = -difference
    return float(np.mean(0.5 + 0.5 * np.sign(difference)))


def evaluate_depth(
    name: str,
    predict: Predict,
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare predictions with the truth of the stores.

    Parameters
    ----------
    name : str
    predict : Predict
        Called only for frames that have truth.
    selections : sequence of Selection
    protocol : Protocol
    batch_size : int
    progress : callable, optional
    """
    scores: list[FrameScore] = []
    by_distance = np.zeros((len(DISTANCES) - 1, 2))
    at_outlines = np.zeros(2)
    without_truth = 0
    for number, selection in enumerate(selections):
        if selection.store.truth is None:
            without_truth += len(selection.frames)
            continue
        for start in range(0, len(selection.frames), batch_size):
            batch = selection.frames[start : start + batch_size]
            truths = [truth_of(selection, frame, protocol) for frame in batch.tolist()]
            known = np.array([bool(truth.any()) for truth in truths])
            without_truth += int(np.sum(~known))
            if known.any():
                depths = predict(selection.store, batch[known])
                for frame, truth, depth in zip(
                    batch[known].tolist(),
                    [truth for truth in truths if truth.any()],
                    depths,
                    strict=True,
                ):
                    result = compare(truth, depth, protocol)
                    scores.append(FrameScore(number, frame, result))
                    error = _relative_error(truth, depth, result, protocol)
                    by_distance += _by_distance(truth, error)
                    at_outlines += _at_outlines(truth, error)
            if progress is not None:
                progress(len(batch))
    total, count = at_outlines.tolist()
    return Evaluation(name, tuple(scores), without_truth, by_distance, (total, count))


def _relative_error(
    truth: NDArray[np.float32],
    depth: NDArray[np.float32],
    result: FrameResult,
    protocol: Protocol,
) -> NDArray[np.float64]:
    """Return |d − t| / t of every pixel, shape (H, W); NaN where the truth is unknown."""
    known = truth > 0.0
    true = truth[known].astype(np.float64)
    error = np.full(truth.shape, np.nan)
    error[known] = np.abs(aligned_depth(depth[known], result, protocol) - true) / true
    return error


def _by_distance(truth: NDArray[np.float32], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the relative errors of a frame's pixels, and count them, by distance."""
    known = truth > 0.0
    interval = np.searchsorted(DISTANCES, truth[known], side="right") - 1
    count = len(DISTANCES) - 1
    sums = np.bincount(interval, weights=error[known], minlength=count)
    return np.stack([sums, np.bincount(interval, minlength=count)], axis=1)


def _at_outlines(truth: NDArray[np.float32], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the relative errors of the pixels at outlines, and count them, shape (2,)."""
    chosen = error[near_outlines(truth)]
    return np.array([chosen.sum(), chosen.size])
