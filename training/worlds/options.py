# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line of ``depth_synthesize``, and what it leaves open."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monodepth2_ros.camera import PinholeCamera
from training.worlds.bag_writer import DEPTH_ENCODINGS, IMAGE_TOPIC, STORAGES
from training.worlds.camera_path import MANNERS
from training.worlds.scenes.layouts import LAYOUTS, pick_layout
from training.worlds.sensor import Sensor, draw_sensor
from training.worlds.take import draw_take


def camera_from_field_of_view(width: int, height: int, degrees: float) -> PinholeCamera:
    """Make the camera with a horizontal field of view, square pixels and a centred axis.

    Parameters
    ----------
    width, height : int
        Image size in pixels.
    degrees : float
        Angle between the left and the right border of the image.
    """
    focal = 0.5 * width / math.tan(math.radians(0.5 * degrees))
    return PinholeCamera(width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1))


@dataclass(frozen=True)
class Choice:
    """What one recording is made with, as the command line says or a seed has drawn.

    Attributes
    ----------
    layout : str
    camera : PinholeCamera
    speed, camera_height : float
        In m/s and metres.
    pitch, roll, aside, gaze : float
        In degrees, as in :func:`training.worlds.camera_path.camera_path`.
    sway : float
    sensor : Sensor, optional
    """

    layout: str
    camera: PinholeCamera
    speed: float
    camera_height: float
    pitch: float
    roll: float
    sway: float
    aside: float
    gaze: float
    sensor: Sensor | None


def complete(options: argparse.Namespace, seed: int) -> Choice:
    """Settle what the command line leaves open.

    Parameters
    ----------
    options : argparse.Namespace
        Of :func:`make_parser`. With --vary the seed draws what is not given, else it is the usual.
    seed : int

    Returns
    -------
    Choice
    """
    width, height = options.width, options.height

    def given(name: str, usual: float) -> float:
        value = getattr(options, name)
        return usual if value is None else value

    layout = options.layout or ("random" if options.vary else "street")
    layout = pick_layout(seed) if layout == "random" else layout
    take = draw_take(seed, width, height, layout)
    manner = MANNERS[layout]
    if options.fx is not None:
        center = (0.5 * (width - 1), 0.5 * (height - 1))
        camera = PinholeCamera(width, height, options.fx, options.fx, *center)
    elif options.hfov is not None or not options.vary:
        camera = camera_from_field_of_view(width, height, given("hfov", 80.0))
    else:
        camera = take.camera
    sensor = options.sensor or ("random" if options.vary else "none")
    vary = options.vary
    return Choice(
        layout,
        camera,
        given("speed", take.speed if vary else manner.speed),
        given("camera_height", take.height if vary else manner.height),
        given("pitch", take.pitch if vary else 0.0),
        given("roll", take.roll if vary else 0.0),
        given("sway", take.sway if vary else 1.0),
        given("aside", take.aside if vary else 0.0),
        given("gaze", take.gaze if vary else 0.0),
        draw_sensor(seed) if sensor == "random" else None,
    )


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
