# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairing messages by their stamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_stamp(stamps: NDArray[np.int64], stamp: int) -> int:
    """Return the index of the nearest of some stamps, which are ascending and not empty."""
    after = int(np.searchsorted(stamps, stamp).clip(0, len(stamps) - 1))
    before = max(0, after - 1)
    is_after = abs(int(stamps[after]) - stamp) <= abs(int(stamps[before]) - stamp)
    return after if is_after else before


class StampMatcher:
    """Finds the frame that a measurement belongs to.

    Parameters
    ----------
    stamps : ndarray, shape (N,)
        Stamps of the frames in nanoseconds, in any order.
    tolerance : int
        Largest distance in nanoseconds.
    """

    def __init__(self, stamps: NDArray[np.int64], tolerance: int) -> None:
        self._order = np.argsort(stamps, kind="stable")
        self._stamps = stamps[self._order]
        self._distance = np.full(len(stamps), tolerance + 1, np.int64)

    def take(self, stamp: int) -> int | None:
        """Return the index of the nearest frame.

        None if that is too far away, or if another measurement, at least as near to it, was
        matched before.
        """
        if not len(self._stamps):
            return None
        place = nearest_stamp(self._stamps, stamp)
        index = int(self._order[place])
        distance = abs(int(self._stamps[place]) - stamp)
        if distance >= self._distance[index]:
            return None
        self._distance[index] = distance
        return index
