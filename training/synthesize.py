# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_synthesize``: recordings of synthetic worlds, with exact depth and poses.

The recordings are rosbag2 with the topics of :mod:`training.worlds.bag_writer`. To use the frames
as they are, call :func:`training.worlds.film.synthesize`.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from training.worlds.bag_writer import (
    DEPTH_ENCODINGS,
    IMAGE_TOPIC,
    STORAGES,
    check_target,
    write_recording,
)
from training.worlds.camera_path import MANNERS
from training.worlds.many_worlds import render_options, write_worlds
from training.worlds.options import SynthesisOptions
from training.worlds.scenes.layouts import LAYOUTS


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_synthesize``."""
    from tqdm import tqdm

    options = SynthesisOptions(**vars(make_parser().parse_args(argv)))
    # SIGTERM ends it as an interrupt does: by way of the code that removes what is unfinished.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.worlds is not None:
            with tqdm(unit="world", disable=options.quiet) as bar:

                def show(done: int, total: int) -> None:
                    bar.total = total
                    bar.update(done - bar.n)

                made, kept = write_worlds(options, show)
            print(f"{options.out}: {made} worlds of {options.frames} frames made, {kept} kept")
            return 0
        # Before anything is rendered.
        check_target(options.out, options.force)
        frames = render_options(options, options.seed, options.workers)
        count = write_recording(
            options.out,
            tqdm(frames, total=options.frames, unit="frame", disable=options.quiet),
            options.storage,
            options.compressed,
            options.jpeg_quality,
            options.depth_encoding,
            options.force,
        )
    except (OSError, ValueError) as error:
        print(f"depth_synthesize: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = "nothing was written" if options.worlds is None else "the same command goes on"
        print(f"depth_synthesize: interrupted; {left}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    size = f"{options.width}x{options.height}"
    print(f"{options.out}: {count} frames of {size}, {count / options.rate:g} s")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_synthesize",
        description="Render small worlds with exact depth and poses, and write them as rosbag2.",
    )
    add = parser.add_argument
    speeds = ", ".join(f"{layout} {MANNERS[layout].speed:g}" for layout in LAYOUTS)
    heights = ", ".join(f"{layout} {MANNERS[layout].height:g}" for layout in LAYOUTS)
    add("--out", type=Path, required=True, help="folder of the recording (or of --worlds) to write")
    add(
        "--layout",
        choices=(*LAYOUTS, "random"),
        help="kind of place [street; random with --vary]",
    )
    add(
        "--seed",
        type=_integer(0),
        default=0,
        help="the same seed gives the same recording [%(default)s]",
    )
    add("--frames", type=_integer(1), default=200, help="length of the recording [%(default)s]")
    add("--rate", type=_number(0.0), default=10.0, help="frames per second [%(default)g]")
    add("--width", type=_integer(1), default=320, help="image width in pixels [%(default)s]")
    add("--height", type=_integer(1), default=96, help="image height in pixels [%(default)s]")
    add(
        "--hfov",
        type=_number(0.0, 179.0),
        help="horizontal field of view in degrees [80]",
    )
    add("--fx", type=_number(0.0), help="focal length in pixels, in place of --hfov")
    add("--camera-height", type=_number(0.0), help=f"metres above the ground [{heights}]")
    add(
        "--pitch",
        type=_number(-90.0, 90.0),
        help="degrees by which the camera looks down [0]",
    )
    add("--roll", type=_number(-180.0, 180.0), help="degrees by which it is turned clockwise [0]")
    add("--aside", type=_number(-360.0, 360.0), help="degrees by which it looks to the left [0]")
    add(
        "--gaze",
        type=_number(0.0, 180.0, closed=True),
        help="degrees to which its look wanders slowly to both sides [0]",
    )
    add("--speed", type=_number(0.0), help=f"m/s [{speeds}]")
    add(
        "--sway",
        type=_number(0.0, closed=True),
        help="0 for a camera that glides [1]",
    )
    add(
        "--sensor",
        choices=("none", "random"),
        help="random: exposure, colours, blur and noise of a camera drawn from the seed "
        "[none; random with --vary]",
    )
    add(
        "--vary",
        action="store_true",
        help="draw from the seed what is not given of layout, field of view and its centre, "
        "camera height, speed, pitch, roll, sway, looking aside and around, and sensor",
    )
    add(
        "--worlds",
        type=_integer(1),
        metavar="N",
        help="write N recordings into the folder --out, of the seeds --seed to --seed + N - 1; "
        "those that are there are kept",
    )
    add(
        "--standstill",
        type=_number(0.0, closed=True),
        default=0.0,
        metavar="SECONDS",
        help="how long the camera stands still, in the middle of the recording [%(default)g]",
    )
    add(
        "--moving-objects",
        type=_integer(0),
        default=0,
        metavar="N",
        help="in turn: one ahead at the camera's own speed, one that crosses, and outdoors one "
        "that comes towards the camera [%(default)s]",
    )
    add(
        "--antialias",
        type=_integer(1),
        default=2,
        metavar="N",
        help="pixels on outlines average N x N rays [%(default)s]",
    )
    add(
        "--compressed",
        action="store_true",
        help=f"write JPEG on {IMAGE_TOPIC}/compressed instead of raw images on {IMAGE_TOPIC}",
    )
    add("--jpeg-quality", type=_integer(1, 100), default=90, help="of --compressed [%(default)s]")
    add(
        "--depth-encoding",
        choices=DEPTH_ENCODINGS,
        default="32FC1",
        help="metres with NaN for unknown, or millimetres with 0 for unknown [%(default)s]",
    )
    add(
        "--storage",
        choices=STORAGES,
        default="mcap",
        help="storage plugin of the rosbag2 [%(default)s]",
    )
    add("--force", action="store_true", help="replace a recording that is there")
    add(
        "--workers",
        type=_integer(1),
        default=os.cpu_count() or 1,
        help="processes that render; 1 for none beside this one [%(default)s]",
    )
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Make a type for argparse: an integer in a range."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            bound = f"at least {low}" if high is None else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"{value} given; give {bound}")
        return value

    parse.__name__ = "integer"
    return parse


def _number(low: float, high: float = math.inf, closed: bool = False) -> Callable[[str], float]:
    """Make a type for argparse: a finite number above `low` (or equal: `closed`), below `high`."""

    def parse(text: str) -> float:
        value = float(text)
        if not (low < value < high or (closed and value == low)):
            bound = f"at least {low:g}" if closed else f"more than {low:g}"
            bound += "" if math.isinf(high) else f" and less than {high:g}"
            raise argparse.ArgumentTypeError(f"{value:g} given; give {bound}")
        return value

    parse.__name__ = "number"
    return parse


if __name__ == "__main__":
    raise SystemExit(main())
