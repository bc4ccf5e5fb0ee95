# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_calibrate``: one factor that turns a model's depth into metres, for one's own camera."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_calibrate")

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from monodepth2_ros.atomic_files import check_target
from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from training.deployment.calibrate_options import CalibrateOptions


@guarded("depth_calibrate")
def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_calibrate``.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0, or 1 if there is no factor, or none that was written.
    """
    options = make_command_line().parse(argv)
    require("train", "rosbags", "torch")
    if options.picture is not None:
        require("train", "matplotlib")
    for path in filter(None, (options.json, options.picture, options.out)):
        check_target(path)
    return _run(options)


def _run(options: CalibrateOptions) -> int:
    """Measure, say what came of it, and write what is asked for."""
    from monodepth2_ros.atomic_files import write_atomically
    from training.deployment.scale_calibration import measure_scale, write_calibrated
    from training.deployment.scale_picture import draw_factors
    from training.extraction.console import progress_console

    console = progress_console(options.quiet)
    with tempfile.TemporaryDirectory(prefix="depth_calibrate.") as scratch:
        found = measure_scale(options, Path(scratch), console)
    print(found.as_text())
    if options.json is not None:
        write_atomically(options.json, found.as_json().encode())
        print(f"written: {options.json}")
    if options.picture is not None:
        write_atomically(options.picture, draw_factors(found))
        print(f"written: {options.picture}")
    if options.out is not None:
        write_calibrated(options, found)
        print(f"written: {options.out}, whose depth is in metres")
    elif found.problem:
        print(found.problem)
    return 0


def make_command_line() -> CommandLine[CalibrateOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_calibrate",
        CalibrateOptions,
        "Find the factor that turns a model's depth into metres for one's camera, from a "
        "recording with ground truth, odometry, a known camera height or a range sensor, and write "
        "a checkpoint that is metric from then on.",
    )


if __name__ == "__main__":
    sys.exit(main())
