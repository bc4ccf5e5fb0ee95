# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres in an evaluation: the node's estimator, replayed over a recording.

All frames of each segment go through it in their order, with the poses that were recorded, and each
frame's depth is multiplied by the factor that is known at its time. Ground truth is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.preprocessing import Crop, crop_box, remaining_crop
from monodepth2_ros.scale import Beam, ScaleEstimate, ScaleEstimator, ScaleOptions
from monodepth2_ros.scale.poses import quaternion
from training.evaluation.protocol import Predict
from training.frames.store import FrameStore

_CHUNK = 8  # frames predicted at once

#: What a range sensor saw nearest to a stamp in nanoseconds, with its own stamp; None: nothing.
Ranges = Callable[[int], "tuple[int, NDArray[np.float64] | Beam] | None"]


@dataclass
class LiveScale:
    """A predictor in metres, and what was found on the way.

    Parameters
    ----------
    predict : Predict
        In the network's unit.
    crop : tuple of float
        Crop of the model: outside there is no prediction.
    options : ScaleOptions
        Source "odometry" takes the store's poses.
    ranges : callable, optional
        Gives source "range" its measurements, in the camera's optical frame.
    down : ndarray, shape (3,), optional
        Direction of gravity in the camera's optical frame, for source "camera_height".

    Attributes
    ----------
    estimates : dict of Path to list of ScaleEstimate
        For each store one for each frame, once it was asked for.
    """

    predict: Predict
    crop: Crop
    options: ScaleOptions = field(default_factory=ScaleOptions)
    ranges: Ranges | None = None
    down: NDArray[np.float64] | None = None
    estimates: dict[Path, list[ScaleEstimate]] = field(default_factory=dict)

    def __call__(self, store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Predict depth in metres; see :data:`training.evaluation.protocol.Predict`."""
        if store.path not in self.estimates:
            self.estimates[store.path] = replay(self, store)
        factors = [self.estimates[store.path][frame].factor for frame in frames.tolist()]
        return self.predict(store, frames) * np.array(factors, np.float32)[:, None, None]

    def describe(self) -> str:
        """Say in a sentence how the factor went."""
        found = [estimate for estimates in self.estimates.values() for estimate in estimates]
        known = [estimate for estimate in found if estimate.source]
        if not known:
            reasons = {estimate.reason for estimate in found}
            return f"live scale: no factor was found ({', '.join(sorted(reasons))})"
        factors = np.array([estimate.factor for estimate in known])
        held = np.mean([bool(estimate.reason) for estimate in found])
        return (
            f"live scale by {known[-1].source}: factor {np.median(factors):.3g} (median), "
            f"{np.quantile(factors, 0.1):.3g} to {np.quantile(factors, 0.9):.3g} (10 to 90 %); "
            f"held or unknown in {held:.0%} of the frames"
        )


def replay(
    live: LiveScale,
    store: FrameStore,
    progress: Callable[[int], object] | None = None,
    late: bool = False,
) -> list[ScaleEstimate]:
    """Run the estimator over all frames of a store.

    Parameters
    ----------
    live : LiveScale
    store : FrameStore
    progress : callable, optional
        Called with the number of frames whenever some are done.
    late : bool
        Measure each frame and give what is known then. The node applies to a frame what is known
        before, and measures only those that are worth it.

    Returns
    -------
    list of ScaleEstimate
        For each frame.
    """
    estimates: list[ScaleEstimate] = []
    crop = remaining_crop(store.crop, live.crop)
    for start, end in store.segment_ranges().tolist():
        # A segment follows a gap or another recording: what was known does not carry over.
        estimator = ScaleEstimator(live.options, down=live.down)
        for first in range(start, end, _CHUNK):
            frames = np.arange(first, min(first + _CHUNK, end))
            for frame, depth in zip(frames.tolist(), live.predict(store, frames), strict=True):
                inverse = np.full(depth.shape, np.nan)
                x, y, width, height = crop_box(depth.shape[1], depth.shape[0], crop)
                inside = (slice(y, y + height), slice(x, x + width))
                inverse[inside] = 1.0 / depth[inside]
                stamp, camera = int(store.stamps[frame]), store.cameras[store.camera_index[frame]]
                pose = store.poses[frame]
                if np.isfinite(pose).all():
                    position, rotation = pose[:3, 3].tolist(), quaternion(pose[:3, :3])
                    estimator.add_odometry(stamp, tuple(position), rotation)
                seen = live.ranges(stamp) if live.ranges is not None else None
                if seen is not None:
                    estimator.add_ranges(*seen)
                applied = estimator.glance(stamp, inverse, camera)
                was_known = bool(estimator.estimate.source)
                image = np.asarray(store.images[frame])
                if late:
                    estimator.track(stamp, image, camera)
                    estimates.append(estimator.measure(stamp, inverse, camera))
                    continue
                measured = estimator.update(stamp, image, camera, inverse, camera)
                estimates.append(applied if was_known else measured)
            if progress is not None:
                progress(len(frames))
    return estimates
