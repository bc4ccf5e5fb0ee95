# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a synthetic recording is made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monodepth2_ros.option_fields import check_options, option, shared_option
from monodepth2_ros.recordings.writer import STORAGES
from training.worlds.bag_writer import DEPTH_ENCODINGS, IMAGE_TOPIC
from training.worlds.camera_path import MANNERS
from training.worlds.odometry import OdometryErrors, read_errors
from training.worlds.scenes.layouts import LAYOUTS

_SPEEDS = ", ".join(f"{layout} {MANNERS[layout].speed:g}" for layout in LAYOUTS)
_HEIGHTS = ", ".join(f"{layout} {MANNERS[layout].height:g}" for layout in LAYOUTS)


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of ``depth_synthesize``; None stands for the usual value, or one that is drawn.

    Raises
    ------
    OptionError
        If a value is outside its limits.
    """

    out: Path = shared_option("out", details="folder of the recording, or of those of --worlds")
    force: bool = shared_option("force", False)
    quiet: bool = shared_option("quiet", False)
    workers: int = shared_option("workers", 1, "processes that render; 1: in this one", least=1)

    layout: str | None = option(
        None,
        "Kind of place (usually street; random with --vary)",
        section="world",
        choices=(*LAYOUTS, "random"),
    )
    seed: int = shared_option("seed", 0, section="world", least=0)
    vary: bool = option(
        False,
        "Draw from the seed what is not given of layout, field of view and its centre, camera "
        "height, speed, pitch, roll, sway, looking aside and around, and sensor",
        section="world",
    )
    worlds: int | None = option(
        None,
        "Write N recordings into the folder --out, for the seeds --seed to --seed + N - 1; those "
        "that are there are kept",
        section="world",
        metavar="N",
        least=1,
    )
    moving_objects: int | None = option(
        None,
        "Number of moving objects, in turn: one ahead at the camera's own speed, one that crosses, "
        "and outdoors one that comes towards the camera (usually 0; up to 4 on a highway and in a "
        "city with --vary)",
        section="world",
        metavar="N",
        least=0,
    )

    frames: int = shared_option("frames", 200, "in each recording", section="camera", least=1)
    frame_rate: float = option(
        10.0, "Images per second of the recording", section="camera", metavar="HZ", above=0
    )
    width: int = shared_option("width", 320, section="camera", least=1)
    height: int = shared_option("height", 96, section="camera", least=1)
    hfov: float | None = option(
        None,
        "Horizontal field of view (usually 80)",
        section="camera",
        metavar="DEGREES",
        above=0,
        below=179,
    )
    fx: float | None = option(
        None, "Focal length, instead of --hfov", section="camera", metavar="PIXELS", above=0
    )
    camera_height: float | None = option(
        None,
        f"Height above the ground (usually {_HEIGHTS})",
        section="camera",
        metavar="METRES",
        above=0,
    )
    pitch: float | None = option(
        None,
        "Angle by which the camera looks down (usually 0)",
        section="camera",
        metavar="DEGREES",
        above=-90,
        below=90,
    )
    roll: float | None = option(
        None,
        "Angle by which it is turned clockwise (usually 0)",
        section="camera",
        metavar="DEGREES",
        above=-180,
        below=180,
    )
    aside: float | None = option(
        None,
        "Angle by which it looks to the left (usually 0)",
        section="camera",
        metavar="DEGREES",
        above=-360,
        below=360,
    )
    gaze: float | None = option(
        None,
        "Angle to which its view direction wanders slowly to both sides (usually 0)",
        section="camera",
        metavar="DEGREES",
        least=0,
        below=180,
    )
    speed: float | None = option(
        None, f"Speed (usually {_SPEEDS})", section="camera", metavar="M/S", above=0
    )
    sway: float | None = option(
        None,
        "Strength of the camera's shaking; 0: it glides (usually 1)",
        section="camera",
        metavar="FACTOR",
        least=0,
    )
    standstill: float = option(
        0.0,
        "How long the camera stands still, in the middle of the recording",
        section="camera",
        metavar="SECONDS",
        least=0,
    )
    sensor: Literal["none", "random"] | None = option(
        None,
        "random: exposure, colours, blur and noise of a camera drawn from the seed (usually none; "
        "random with --vary)",
        section="camera",
    )
    antialias: int = option(
        2, "Pixels on outlines average N x N rays", section="camera", metavar="N", least=1
    )

    odometry: str = option(
        "exact",
        "The camera's own pose (exact), or odometry of a body on the ground with a list of errors, "
        "each with or without its value: slip=0.02 (distances too long), drift=0.1 (degrees per "
        "second), noise=0.05 (share of each step), delay=0.02 (seconds that stamps are late), "
        "planar (x, y and yaw alone)",
        section="recording",
        metavar="ERRORS",
    )
    scan_height: float | None = option(
        None,
        "Also write /scan, a level planar range scan of 8 m range from this height above the "
        "ground, and /camera/height",
        section="recording",
        metavar="METRES",
        above=0,
    )
    compressed: bool = option(
        False,
        f"Write JPEG on {IMAGE_TOPIC}/compressed instead of raw images on {IMAGE_TOPIC}",
        section="recording",
    )
    jpeg_quality: int = option(
        90, "With --compressed", section="recording", metavar="1..100", least=1, most=100
    )
    depth_encoding: str = option(
        "32FC1",
        "Metres with NaN for unknown, or millimetres with 0 for unknown",
        section="recording",
        choices=tuple(DEPTH_ENCODINGS),
    )
    storage: str = option(
        "mcap",
        "Storage plugin of the rosbag2",
        section="recording",
        choices=tuple(STORAGES),
    )

    def __post_init__(self) -> None:
        check_options(self)
        _ = self.odometry_errors

    @property
    def odometry_errors(self) -> OdometryErrors:
        """What is wrong with the odometry; OptionError if it cannot be read."""
        return read_errors(self.odometry)
