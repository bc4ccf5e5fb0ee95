# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The factor from a model's depth to metres, frame by frame of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.preprocessing import Crop
from training.evaluation.live_scale import LiveScale, replay
from training.evaluation.protocol import Predict, Progress, Protocol, Selection, compare, truth_of
from training.frames.store import FrameStore

_CHUNK = 8  # frames predicted at once


@dataclass(frozen=True, eq=False)
class FactorSeries:
    """Factors of the frames of a store, where they could be measured.

    Attributes
    ----------
    name : str
        The recording's name.
    seconds : ndarray, shape (N,)
        Time of each measured frame, from the first frame of the store.
    factors : ndarray, shape (N,)
        Metres per unit of the model's depth.
    deviations : ndarray, shape (N,)
        Relative standard deviation of each; 0 for ground truth.
    frames : int
        Frames that were asked for.
    reasons : dict of str to int
        Why the other frames gave none, and how many of them.
    """

    name: str
    seconds: NDArray[np.float64]
    factors: NDArray[np.float64]
    deviations: NDArray[np.float64]
    frames: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class FactorSummary:
    """One factor for all frames, and how far they are from it.

    Attributes
    ----------
    factor : float
        Median.
    spread : float
        Half the distance between the 16 % and 84 % quantiles of the factors' logarithms: the
        standard deviation, if they were normally distributed.
    noise : float
        Median of the measurements' own deviations.
    low, high : float
        The 10 % and 90 % quantiles.
    measured, frames : int
        Frames with a factor, and all.
    """

    factor: float
    spread: float
    noise: float
    low: float
    high: float
    measured: int
    frames: int


def summarize_factors(series: list[FactorSeries]) -> FactorSummary:
    """Summarise the factors of all recordings.

    Raises
    ------
    ValueError
        If no frame has a factor, with the reasons.
    """
    factors = np.concatenate([one.factors for one in series])
    frames = sum(one.frames for one in series)
    if not len(factors):
        reasons: dict[str, int] = {}
        for one in series:
            for reason, count in one.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        told = sorted(reasons.items(), key=lambda item: -item[1])[:3]
        raise ValueError(
            f"none of the {frames} frames gives a factor: "
            + "; ".join(f"{reason} ({count} frames)" for reason, count in told)
        )
    logs = np.log(factors)
    early, late = np.quantile(logs, (0.16, 0.84))
    low, high = np.quantile(factors, (0.1, 0.9)).tolist()
    return FactorSummary(
        factor=float(np.exp(np.median(logs))),
        spread=float(0.5 * (late - early)),
        noise=float(np.median(np.concatenate([one.deviations for one in series]))),
        low=low,
        high=high,
        measured=len(factors),
        frames=frames,
    )


def truth_factors(
    predict: Predict, store: FrameStore, window: Crop, cap: float, progress: Progress
) -> FactorSeries:
    """Measure the ratio of the medians of ground truth and prediction.

    Parameters
    ----------
    predict : Predict
    store : FrameStore
        With ground truth.
    window : tuple of float
        Fractions of the stored image that the model does not see.
    cap : float
        Farthest ground truth that counts, metres.
    progress : callable
        Called with a number of frames whenever so many are done.
    """
    protocol = Protocol(scaling="median", max_depth=cap)
    every = np.arange(len(store))
    selection = Selection(store, every, window)
    measured, factors = [], []
    for start in range(0, len(store), _CHUNK):
        chunk = every[start : start + _CHUNK]
        truths = [truth_of(selection, frame, protocol) for frame in chunk.tolist()]
        known = [i for i, truth in enumerate(truths) if (truth > 0.0).any()]
        if known:
            depths = predict(store, chunk[known])
            for i, depth in zip(known, depths, strict=True):
                measured.append(int(chunk[i]))
                factors.append(compare(truths[i], depth, protocol).scale_ratio)
        progress(len(chunk))
    missing = len(store) - len(measured)
    reasons = {"no ground truth within the limits": missing} if missing else {}
    return _series(store, measured, factors, [0.0] * len(factors), reasons)


def live_factors(live: LiveScale, store: FrameStore, progress: Progress) -> FactorSeries:
    """Measure the factor as the node does while it runs; frames for which it is held do not count.

    Parameters
    ----------
    live : LiveScale
        Says how.
    store : FrameStore
    progress : callable
        Called with a number of frames whenever so many are done.
    """
    measured, factors, deviations = [], [], []
    reasons: dict[str, int] = {}
    for frame, estimate in enumerate(replay(live, store, progress, late=True)):
        if estimate.reason or not estimate.source:
            reasons[estimate.reason] = reasons.get(estimate.reason, 0) + 1
            continue
        measured.append(frame)
        factors.append(estimate.factor)
        deviations.append(estimate.deviation)
    return _series(store, measured, factors, deviations, reasons)


def _series(
    store: FrameStore,
    measured: list[int],
    factors: list[float],
    deviations: list[float],
    reasons: dict[str, int],
) -> FactorSeries:
    """Put lists into a series."""
    stamps = store.stamps[measured] - store.stamps[0] if measured else np.zeros(0)
    name = store.sources[0].recording if store.sources else store.path.name
    return FactorSeries(
        name,
        1e-9 * np.asarray(stamps, np.float64),
        np.array(factors),
        np.array(deviations),
        len(store),
        reasons,
    )
