# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A clock for tests of what is chosen by measuring."""

from __future__ import annotations


class StoppedClock:
    """Stands still unless somebody moves `now`, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
