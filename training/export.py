# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_export``: a checkpoint for other engines, compared with torch before it has its name.

Formats: ``onnx``; ``openvino`` (IR: .xml and .bin); ``published`` (a folder with encoder.pth and
depth.pth); ``safetensors`` (this package's own file, to convert a published folder, to halve the
size, to leave out what depth does not need, or to record where it comes from). OpenVINO IR in int8,
which cannot agree with torch to many digits, is accepted or refused by its errors on held-out
frames; see :mod:`training.deployment`.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_export")

import sys
from collections.abc import Sequence
from pathlib import Path

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from training.deployment.options import ExportOptions


@guarded("depth_export", interrupted="nothing was written")
def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_export``.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0, or 1 if nothing was written.
    """
    options = make_command_line().parse(argv)
    require("train", "torch")
    if options.calibrate:
        require("train", "rosbags")
    return _run(options)


def _run(options: ExportOptions) -> int:
    """Show or export, and say what came of it."""
    from monodepth2_ros.checkpoint import open_checkpoint
    from training.deployment.int8 import Int8Result
    from training.deployment.provenance import summarize_checkpoint
    from training.deployment.run import export
    from training.extraction.console import progress_console

    if options.show:
        print(summarize_checkpoint(open_checkpoint(options.checkpoint)))
        return 0
    result = export(options, progress_console(options.quiet))
    size = _megabytes(result.path)
    if isinstance(result, Int8Result):
        print(
            f"{result.path}: OpenVINO IR in int8, {size:.1f} MB, calibrated with "
            f"{result.calibration_frames} frames; {result.judgement}"
        )
        return 0
    for note in result.notes:
        print(f"note: {note}")
    print(
        f"{result.path}: {result.format}, {size:.1f} MB; run by {result.engine} its disparity "
        f"differs from torch by at most {result.difference:.2g} (allowed {result.tolerance:g})"
    )
    return 0


def make_command_line() -> CommandLine[ExportOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_export",
        ExportOptions,
        "Write a checkpoint as ONNX, OpenVINO IR, a folder of the published layout, or this "
        "package's own file; what was written is run and compared with torch.",
    )


def _megabytes(path: Path) -> float:
    """Sum up the sizes of what was written."""
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    if path.is_dir():
        files = list(path.iterdir())
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    sys.exit(main())
