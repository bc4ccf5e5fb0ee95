# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often something may be said or done."""

from __future__ import annotations

import math
import time


class LogLimit:
    """Keeps log lines on one subject, and other things, apart in time."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def is_due(self, subject: str, seconds: float) -> bool:
        """Return whether a subject is due, `seconds` after the last time; then it is that time."""
        now = time.monotonic()
        if now - self._last.get(subject, -math.inf) < seconds:
            return False
        self._last[subject] = now
        return True

    def has_seen(self, subject: str) -> bool:
        """Return whether a subject was ever due."""
        return subject in self._last
