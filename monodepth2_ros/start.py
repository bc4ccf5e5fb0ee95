# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console scripts of demo and rviz: ctrl-C is handled before the command is imported."""

from monodepth2_ros.interrupts import run_command

TYPE_CHECKING = False  # importing typing would delay the handler
if TYPE_CHECKING:
    from collections.abc import Sequence


def demo(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_demo``."""
    return run_command("depth_demo", "monodepth2_ros.demo.__main__", arguments)


def rviz(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_rviz``."""
    return run_command("depth_rviz", "monodepth2_ros.demo.rviz", arguments)
