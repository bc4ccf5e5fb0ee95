# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_synthesize``: recordings of synthetic worlds, with exact depth and poses.

The recordings are rosbag2 with the topics of :mod:`training.worlds.bag_writer`. To use the frames
as they are, call :func:`training.worlds.film.synthesize`.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_synthesize")

import os
import signal
import sys
from collections.abc import Sequence

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from monodepth2_ros.interrupts import interrupt_at
from training.worlds.bag_writer import check_bag_target, write_recording
from training.worlds.many_worlds import odometry_recorder, render_options, write_worlds
from training.worlds.options import SynthesisOptions
from training.worlds.room import check_room


@guarded("depth_synthesize")
def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_synthesize``."""
    from tqdm import tqdm

    options = make_command_line().parse(argv)
    # SIGTERM ends it as an interrupt does: by way of the code that removes what is unfinished.
    previous = signal.getsignal(signal.SIGTERM)
    interrupt_at(signal.SIGTERM)
    try:
        require("train", "rosbags")
        check_room(options)
        if options.worlds is not None:
            with tqdm(unit="world", disable=options.quiet or None) as bar:

                def show(done: int, total: int) -> None:
                    bar.total = total
                    bar.update(done - bar.n)

                made, kept = write_worlds(options, show)
            print(f"{options.out}: {made} worlds of {options.frames} frames made, {kept} kept")
            return 0
        # Before anything is rendered.
        check_bag_target(options.out, options.force)
        frames = render_options(options, options.seed, options.workers)
        count = write_recording(
            options.out,
            tqdm(frames, total=options.frames, unit="frame", disable=options.quiet or None),
            options.storage,
            options.compressed,
            options.jpeg_quality,
            options.depth_encoding,
            options.force,
            odometry_recorder(options, options.seed),
        )
    except KeyboardInterrupt:
        left = "nothing was written" if options.worlds is None else "the same command goes on"
        print(f"depth_synthesize: interrupted; {left}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    size = f"{options.width}x{options.height}"
    print(f"{options.out}: {count} frames of {size}, {count / options.frame_rate:g} s")
    return 0


def make_command_line() -> CommandLine[SynthesisOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_synthesize",
        SynthesisOptions,
        "Render small worlds with exact depth and poses, and write them as rosbag2.",
        renamed={"--rate": "--frame-rate HZ"},
        defaults={"workers": os.cpu_count() or 1},
    )


if __name__ == "__main__":
    raise SystemExit(main())
