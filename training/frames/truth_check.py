# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the ground truth of a frame store can be what it is taken for: depth in metres."""

from __future__ import annotations

import numpy as np

from training.frames.store import FrameStore

# In metres, as in training/extraction/ground_truth.py: three quarters of a scene are not farther,
# and 5 % of it not nearer. A store may hold anything, so the bounds are wider.
_FARTHEST = 250.0
_NEAREST = 0.03
_FRAMES = 16


def truth_problem(store: FrameStore) -> str:
    """Say why a store's ground truth cannot be used; "" if it can, or if there is none.

    Parameters
    ----------
    store : FrameStore
        Some of its frames, spread over it, are looked at; more if these have no valid pixel.
    """
    if store.truth is None or not len(store):
        return ""
    few = np.unique(np.linspace(0, len(store) - 1, _FRAMES).astype(int)).tolist()
    known = _depth(store, few)
    if not known.size:
        known = _depth(store, range(len(store)))
    if not known.size:
        return (
            f"the ground truth of {store.path.name} has no valid pixel; see truth_problems in its "
            "report.json, and extract again"
        )
    quarter, high = np.percentile(known, (25, 95)).tolist()
    median = float(np.median(known))
    if quarter > _FARTHEST or high < _NEAREST:
        return (
            f"the ground truth of {store.path.name} has a median of {median:.4g} m, which is "
            "implausible; extract again with --truth-unit m, mm, cm or metres per unit"
        )
    return ""


def _depth(store: FrameStore, frames: list[int] | range) -> np.ndarray:
    """Return the valid depth of some frames, thinned out."""
    assert store.truth is not None
    rows = []
    for frame in frames:
        depth = np.asarray(store.truth[frame], np.float32).reshape(-1)
        valid = depth[np.isfinite(depth) & (depth > 0.0)]
        rows.append(valid[:: max(1, valid.size // 2000)])
    return np.concatenate(rows) if rows else np.zeros(0, np.float32)
