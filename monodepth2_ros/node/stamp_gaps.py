# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many images get lost between the camera and the node, from the gaps between their stamps."""

from __future__ import annotations

from collections import deque

import numpy as np

# Enough to tell a period, and few enough to follow a camera that changes its rate.
_WINDOW = 100
_FEWEST = 20

# The gap at this share of their order is the period: most of them are a period long
# unless more than three of four images get lost, and stamps may jitter by a third.
_PERIOD_QUANTILE = 0.2


class StampGaps:
    """Estimates the share of images that did not arrive.

    Cameras stamp at a steady rate; where one or more images are lost, the gap is a multiple of the
    period. Used from one thread.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._gaps: deque[int] = deque(maxlen=_WINDOW)

    def add(self, stamp_ns: int) -> None:
        """Take the stamp of an image that has arrived; a jump back in time starts again."""
        last, self._last_ns = self._last_ns, stamp_ns
        if last is None:
            return
        if stamp_ns > last:
            self._gaps.append(stamp_ns - last)
        elif stamp_ns < last:
            self._gaps.clear()

    def reset(self) -> None:
        """Forget everything, because nothing was asked for in between."""
        self._last_ns = None
        self._gaps.clear()

    @property
    def period(self) -> float:
        """The camera's period in seconds; NaN while it is not known."""
        if len(self._gaps) < _FEWEST:
            return float("nan")
        return 1e-9 * float(np.quantile(list(self._gaps), _PERIOD_QUANTILE))

    @property
    def lost_share(self) -> float:
        """The share of the last images that did not arrive, 0 to 1; 0 while it is not known."""
        period = self.period
        if not period > 0.0:
            return 0.0
        periods = np.maximum(1.0, np.round(1e-9 * np.array(self._gaps) / period))
        # A pause is not a loss: a recording that is paused, a camera that is switched off.
        periods = periods[periods <= _WINDOW]
        return float(1.0 - len(periods) / periods.sum()) if len(periods) else 0.0
