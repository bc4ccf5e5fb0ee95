# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands as tests call them."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def status_of(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command in this process; return its status, 2 if the command line is refused."""
    try:
        return main(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0)
