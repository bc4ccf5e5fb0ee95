# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_evaluate``: how good a model's depth is, compared with recorded depth and motion."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_evaluate")

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from monodepth2_ros.atomic_files import check_target
from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from training.evaluation.options import EvaluateOptions


@guarded("depth_evaluate")
def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_evaluate``.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0, or 1 if there is no result.
    """
    options = make_command_line().parse(argv)
    require("train", "rosbags", "torch")
    if options.report is not None:
        require("train", "jinja2")
    for path in filter(None, (options.json, options.report, options.picture)):
        check_target(path)
    return _run(options)


def _run(options: EvaluateOptions) -> int:
    """Evaluate, print the tables and write what is asked for."""
    from monodepth2_ros.atomic_files import write_atomically
    from training.evaluation.html_report import as_html
    from training.evaluation.json_report import as_json
    from training.evaluation.picture_report import as_png
    from training.evaluation.run import evaluate
    from training.evaluation.text_report import as_text
    from training.extraction.console import progress_console

    console = progress_console(options.quiet)
    with tempfile.TemporaryDirectory(prefix="depth_evaluate.") as scratch:
        report = evaluate(options, Path(scratch), console)
        print(as_text(report))
        for path, write in (
            (options.json, as_json),
            (options.report, as_html),
            (options.picture, as_png),
        ):
            if path is not None:
                content = write(report)
                data = content if isinstance(content, bytes) else content.encode()
                write_atomically(path, data)
                print(f"written: {path}")
    return 0


def make_command_line() -> CommandLine[EvaluateOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_evaluate",
        EvaluateOptions,
        "Compare a model's depth with recorded depth: the figures of the papers, next to baselines "
        "that need no network. On request also the motion of its pose network, and how steady its "
        "depth is.",
        renamed={
            "--crop": "--garg-crop instead of --crop garg",
            "--min-depth": "--min-truth METRES",
            "--odometry": "--ego-motion",
        },
    )


if __name__ == "__main__":
    sys.exit(main())
