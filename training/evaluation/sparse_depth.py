# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth for recordings that have none: the depth of corners, triangulated from the images.

No network and no depth sensor takes part: corners are tracked from a frame to its neighbours,
motion and depth are solved robustly (:mod:`training.learning.triangulation`), and only points whose
parallax is measurable are kept: some tens to hundreds a frame. They say nothing of bare walls, of
the sky and of things that move, and are known up to a factor for each frame, so predictions are
compared with them after median scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.evaluation.protocol import Predict, Selection
from training.frames.store import FrameStore
from training.learning.motion_from_tracks import is_determined, triangulate_frames


def with_sparse_truth(
    store: FrameStore,
    frames: NDArray[np.int64],
    progress: Callable[[int], object] | None = None,
) -> FrameStore:
    """Return the store with triangulated depth in place of recorded ground truth.

    Parameters
    ----------
    store : FrameStore
    frames : ndarray, shape (N,), int64
        Frames to triangulate; all others have no ground truth.
    progress : callable, optional
        Called with 1 after each frame.

    Returns
    -------
    FrameStore
        Its `truth`, shape (frames of the store, H, W) float16, is at the size of the images; 0
        where nothing was triangulated. The unit of a frame is the median depth of its corners.
    """
    truth = np.zeros(store.images.shape[:3], np.float16)
    for frame in frames.tolist():
        truth[frame] = sparse_depth(store, frame)
        if progress is not None:
            progress(1)
    return replace(store, truth=truth)


def sparse_depth(store: FrameStore, frame: int) -> NDArray[np.float16]:
    """Triangulate the corners of a frame with its neighbours at the store's spacing.

    Returns
    -------
    ndarray, shape (H, W), float16
        All 0 where the motion is not determined: at a standstill, or where the camera only turns.
    """
    image = np.zeros(store.images.shape[1:3], np.float16)
    sources = neighbours_of(store, frame)
    found = triangulate_frames(store, frame, sources) if sources else None
    if found is not None and is_determined(found):
        kept = found.is_certain
        x, y = np.round(found.points[kept]).astype(int).T
        image[y, x] = found.depth[kept]
    return image


def neighbours_of(store: FrameStore, frame: int) -> list[int]:
    """Return the two nearest frames of the segment at multiples of its spacing, or fewer."""
    segment = int(store.segment[frame])
    start, stop = store.segment_ranges()[segment]
    spacing = store.segment_spacing[segment]
    steps = (-spacing, spacing, -2 * spacing, 2 * spacing)
    inside = [frame + step for step in steps if start <= frame + step < stop]
    return sorted(inside[:2])


def mean_sparse_predictor(training: Sequence[Selection]) -> Predict:
    """Return a predictor that knows nothing but the mean triangulated depth of each store.

    Parameters
    ----------
    training : sequence of Selection
        Frames of each store from which the mean is taken, with triangulated depth.

    Raises
    ------
    ValueError
        If some store has none.
    """
    images = {}
    for selection in training:
        store = selection.store
        truth = None if store.truth is None else store.truth[selection.frames].astype(np.float32)
        if truth is None or not truth.any():
            raise ValueError(f"{store.path}: no frame to average has triangulated depth")
        known = truth > 0
        nearness = np.where(known, 1.0 / np.maximum(truth, 1e-3), 0.0).sum(axis=0)
        side = max(3, store.width // 8)
        total, count = (
            cv2.blur(part.astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
            for part in (nearness, known.sum(axis=0))
        )
        # Far from all points the mean over the image remains.
        weak = 1e-3 * float(count.max())
        image = (total + weak * float(total.sum() / count.sum())) / (count + weak)
        images[store.path] = (1.0 / image).astype(np.float32)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.repeat(images[store.path][None], len(frames), axis=0)

    return predict
