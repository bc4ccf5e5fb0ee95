# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console scripts of training: ctrl-C is handled before the command is imported."""

from monodepth2_ros.interrupts import run_command

TYPE_CHECKING = False  # importing typing would delay the handler
if TYPE_CHECKING:
    from collections.abc import Sequence


def extract(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_extract``."""
    return run_command("depth_extract", "training.extract", arguments)


def train(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_train``."""
    return run_command("depth_train", "training.train", arguments)


def evaluate(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_evaluate``."""
    return run_command("depth_evaluate", "training.evaluate", arguments)


def calibrate(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_calibrate``."""
    return run_command("depth_calibrate", "training.calibrate", arguments)


def export(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_export``."""
    return run_command("depth_export", "training.export", arguments)


def synthesize(arguments: "Sequence[str] | None" = None) -> int:
    """Run ``depth_synthesize``."""
    return run_command("depth_synthesize", "training.synthesize", arguments)
