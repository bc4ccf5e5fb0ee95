# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""torch's CPU threads, which belong to the whole process, next to those of another engine."""

from __future__ import annotations

import torch

# How many there were before they were sent to rest; None while they work.
_before: int | None = None


def rest() -> None:
    """Leave torch one thread."""
    global _before
    threads = torch.get_num_threads()
    if threads > 1:
        _before = threads
        torch.set_num_threads(1)


def work() -> None:
    """Give torch back the threads that :func:`rest` took, unless somebody chose others since."""
    global _before
    if _before is not None and torch.get_num_threads() == 1:
        torch.set_num_threads(_before)
    _before = None
