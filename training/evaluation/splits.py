# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of a frame store: stretches of recordings, and what training learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.evaluation.protocol import Frames
from training.frames.store import FrameStore
from training.learning.dataset import find_samples, split_samples
from training.learning.options import TrainOptions


def frames_of_stretch(store: FrameStore, first: float, last: float) -> Frames:
    """Return the frames in a part of each recording.

    Parameters
    ----------
    store : FrameStore
    first, last : float
        Fractions of the recording's frames in the order of their stamps; `last` is exclusive
        unless it is 1. Cameras of one recording are cut at the same time.

    Returns
    -------
    ndarray, shape (N,)
        Ascending.
    """
    names = [source.recording for source in store.sources] or [""]
    recordings = np.array([names[source] for source in store.segment_source])[store.segment]
    place = np.empty(len(store))
    for recording in np.unique(recordings):
        members = np.flatnonzero(recordings == recording)
        stamps = np.sort(store.stamps[members])
        place[members] = np.searchsorted(stamps, store.stamps[members]) / len(members)
    rounding = 1e-9
    return np.flatnonzero((place >= first - rounding) & (place < last - rounding))


def training_split(
    store: FrameStore, options: Mapping[str, Any], fraction: float | None = None
) -> tuple[Frames, Frames]:
    """Return the frames that depth_train learns from, and those that it holds out.

    Parameters
    ----------
    store : FrameStore
    options : mapping
        Those of the training run; what is missing has its default.
    fraction : float, optional
        Share of each recording to hold out, instead of the one in `options`.

    Returns
    -------
    fitted, held_out : ndarray, shape (N,)
        Targets of the samples, ascending.

    Raises
    ------
    DatasetError
        If the store gives no samples.
    """
    defaults = TrainOptions()
    samples = find_samples(
        [store],
        options.get("sources", defaults.sources),
        options.get("stereo", defaults.stereo),
        options.get("spacing", defaults.spacing),
    )
    if fraction is None:
        fraction = float(options.get("validation_fraction", defaults.validation_fraction))
    fitted, held_out = split_samples(samples, fraction)
    return np.unique(fitted.frames[:, 0]), np.unique(held_out.frames[:, 0])
