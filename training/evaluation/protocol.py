# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How depth is compared with ground truth: limits, scaling, windows; what predicts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.preprocessing import Crop, crop_box
from training.frames.store import FrameStore
from training.metrics import (
    GARG_CROP,
    FrameResult,
    evaluate_frame,
    valid_mask,
)

#: Called with a number of frames whenever so many are done.
Progress = Callable[[int], object]


#: Predicts depth at the size of :func:`depth_size`, (B, Ht, Wt), for frames of a store (indices,
#: (B,)).
#: It may be anything outside the window that :func:`evaluate_depth` is given.
Predict = Callable[[FrameStore, NDArray[np.int64]], NDArray[np.float32]]


Frames = NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """How depth is compared.

    Attributes
    ----------
    scaling : {"median", "metric", "live", "none"}
        Scale each image by the ratio of the medians; or take the checkpoint's scale to metres; or
        multiply it by the live factor (:mod:`training.evaluation.live_scale`); or take the
        network's own unit for metres.
    min_depth, max_depth : float
        Limits of the truth in metres, exclusive; predictions are clipped to them.
    garg_crop : bool
        Compare only inside the crop of KITTI's Eigen split.
    flip : bool
        Blend with the prediction from the mirrored image.
    """

    scaling: str = "median"
    min_depth: float = 1e-3
    max_depth: float = 80.0
    garg_crop: bool = False
    flip: bool = False


@dataclass(frozen=True, eq=False)
class Selection:
    """Frames of a store to compare.

    Attributes
    ----------
    store : FrameStore
    frames : ndarray, shape (N,), int64
        Ascending.
    window : tuple of float
        Fractions of the stored image (left, top, right, bottom) that are not compared, because a
        model that is evaluated does not see them.
    """

    store: FrameStore
    frames: NDArray[np.int64]
    window: Crop = (0.0, 0.0, 0.0, 0.0)


def compare(
    truth: NDArray[np.float32], depth: NDArray[np.float32], protocol: Protocol
) -> FrameResult:
    """Compare one depth image with its truth (:func:`truth_of`), which must have a valid pixel."""
    result = evaluate_frame(
        truth,
        depth,
        protocol.scaling == "median",
        protocol.min_depth,
        protocol.max_depth,
    )
    assert result is not None
    return result


def truth_of(selection: Selection, frame: int, protocol: Protocol) -> NDArray[np.float32]:
    """Return a frame's truth where it counts.

    Returns
    -------
    ndarray, shape (Ht, Wt), float32
        Metres; 0 outside the limits, the window and the Garg crop.
    """
    assert selection.store.truth is not None
    truth = selection.store.truth[frame].astype(np.float32)
    crop = GARG_CROP if protocol.garg_crop else None
    mask = valid_mask(truth, protocol.min_depth, protocol.max_depth, crop)
    x, y, width, height = crop_box(truth.shape[1], truth.shape[0], selection.window)
    seen = np.zeros_like(mask)
    seen[y : y + height, x : x + width] = True
    return np.where(mask & seen, truth, 0.0)


def aligned_depth(
    depth: NDArray[np.float32], result: FrameResult, protocol: Protocol
) -> NDArray[np.float32]:
    """Return a prediction as it was compared: scaled and clipped."""
    scale = result.scale_ratio if protocol.scaling == "median" else 1.0
    return np.clip(depth * np.float32(scale), protocol.min_depth, protocol.max_depth)
