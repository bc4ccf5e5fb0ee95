# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of a recording are kept, and where its segments end.

A frame is kept when enough of the picture moved since the last kept one. So a slow camera is
thinned out to frames that differ, a standing one gives nothing, and a repeated picture is skipped
without breaking the sequence. A segment ends where a neighbour would mislead: at a gap or a jump
of time, after a standstill, where the view jumps and where the calibration changes.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.extraction.motion import track

#: A lost frame may be bridged, two may not: a gap is longer than this many intervals.
GAP_INTERVALS = 2.5

#: After so many seconds without motion the light and the moving objects have changed.
STANDSTILL_S = 1.0

#: Less of the texture found again than this: the view jumped. Pictures of different places agree
#: by chance on 5 %, rarely on 20 %; neighbours in the recordings looked at, on more than 20 %
#: (keyframes metres apart) or 75 % (video).
_JUMP_MATCHED = 0.2

#: Mean difference in grey levels below which a picture is a repetition of the last one. Noise of
#: a live camera is above, even averaged down.
_SAME_PICTURE = 0.25

_INTERVALS = 31  # over which the usual interval is the median
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Decision:
    """What becomes of a frame.

    Attributes
    ----------
    keep : bool
    starts_segment : bool
        Kept as the first frame of a segment.
    reason : str
        Why it is left out, or why the segment before ended; empty otherwise.
    flow : float
        Median motion since the last kept frame, share of the image width; NaN where not measured.
    """

    keep: bool
    starts_segment: bool = False
    reason: str = ""
    flow: float = float("nan")


@dataclass
class FrameSelector:
    """Decides frame by frame, in the order of the recording.

    Parameters
    ----------
    min_flow : float
        Least motion since the last kept frame, share of the image width; 0 keeps every frame.
    max_gap_s : float, optional
        Seconds between frames that end a segment; by default 2.5 times the usual interval.

    With ``min_flow=0`` only time, calibration and the source itself end segments.

    Attributes
    ----------
    left_out, segment_ends : Counter
        Frames and segments by reason.
    """

    min_flow: float
    max_gap_s: float | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    segment_ends: Counter[str] = field(default_factory=Counter)
    _seen: NDArray[np.uint8] | None = None
    _kept: NDArray[np.uint8] | None = None
    _seen_stamp: int = 0
    _kept_stamp: int = 0
    _calibration: int = 0
    _intervals: deque[int] = field(default_factory=lambda: deque(maxlen=_INTERVALS))

    def consider(
        self, stamp: int, image: NDArray[np.uint8], calibration: int = 0, follows: bool = True
    ) -> Decision:
        """Decide about the next frame.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        image : ndarray, shape (h, w), uint8
            From :func:`training.extraction.motion.motion_image`.
        calibration : int
            Which calibration holds for it.
        follows : bool
            Whether the source says that it follows the frame before.
        """
        decision = self._decide(stamp, image, calibration, follows)
        if decision.reason:
            (self.segment_ends if decision.keep else self.left_out)[decision.reason] += 1
        if self._seen is not None and stamp > self._seen_stamp:
            self._intervals.append(stamp - self._seen_stamp)
        if decision.keep:
            self._kept, self._kept_stamp, self._calibration = image, stamp, calibration
        if stamp != self._seen_stamp or self._seen is None:
            self._seen, self._seen_stamp = image, stamp
        return decision

    def leave_out(self, reason: str) -> None:
        """Count a frame that cannot be used at all."""
        self.left_out[reason] += 1

    def _decide(
        self, stamp: int, image: NDArray[np.uint8], calibration: int, follows: bool
    ) -> Decision:
        """Apply the rules in order."""
        if self._seen is None or self._kept is None:
            return Decision(True, True)
        if stamp == self._seen_stamp:
            return Decision(False, reason="same stamp as the frame before")
        if stamp < self._seen_stamp:
            return Decision(True, True, "time jumps back")
        if not follows or stamp - self._seen_stamp > self._gap():
            return Decision(True, True, "gap in time")
        if calibration != self._calibration:
            return Decision(True, True, "calibration changes")
        if self.min_flow > 0.0 and _difference(self._seen, image) < _SAME_PICTURE:
            return Decision(False, reason="same picture as the frame before")
        tracks = track(self._kept, image)
        flow = tracks.median_flow
        if self.min_flow <= 0.0:
            return Decision(True, flow=flow)
        if flow < self.min_flow:
            return Decision(False, reason="no motion", flow=flow)
        if stamp - self._kept_stamp > max(STANDSTILL_S * _NANOSECONDS, self._gap()):
            return Decision(True, True, "standstill", flow)
        if tracks.matched_share < _JUMP_MATCHED:
            return Decision(True, True, "view jumps", flow)
        return Decision(True, flow=flow)

    def _gap(self) -> float:
        """Return the interval in nanoseconds from which on frames are missing."""
        if self.max_gap_s is not None:
            return self.max_gap_s * _NANOSECONDS
        if len(self._intervals) < 3:
            return float("inf")
        return GAP_INTERVALS * float(np.median(self._intervals))


def _difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the mean difference in grey levels."""
    return float(np.abs(first.astype(np.int16) - second).mean())
