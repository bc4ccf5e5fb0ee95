# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How to find the factor of a model, and when one factor will do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monodepth2_ros.option_fields import OptionError, check_options, flag, option, shared_option

_FROM = "what the factor rests on"


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of ``depth_calibrate``.

    Raises
    ------
    OptionError
        If a value is outside its limits, or two contradict each other.
    """

    checkpoint: str = shared_option("checkpoint", positional=True, metavar="CHECKPOINT")
    data: tuple[Path, ...] = shared_option(
        "data",
        details="recordings are extracted to temporary ones",
        section=_FROM,
        metavar="STORE_OR_BAG",
    )
    source: Literal["ground-truth", "odometry", "camera-height", "range"] = option(
        description="ground-truth: recorded depth; odometry: recorded poses; camera-height: "
        "the height of the camera above level ground; range: the recording's LaserScan, "
        "PointCloud2, Range or depth image",
        section=_FROM,
        spelling="--from",
    )
    out: Path | None = shared_option(
        "out",
        None,
        "model.safetensors, a copy of CHECKPOINT with depth in metres (without it the factor is "
        "only shown)",
        metavar="FILE.safetensors",
    )
    force: bool = shared_option(
        "force", False, "and write although the factor's spread is above --max-spread"
    )
    quiet: bool = shared_option("quiet", False)

    ground_height: float | None = option(
        None,
        "Height of the camera above the ground, for --from camera-height",
        section=_FROM,
        metavar="METRES",
        above=0,
    )
    ground_pitch: float | None = option(
        None,
        "Angle by which the camera looks down, for --from camera-height (usually estimated)",
        section=_FROM,
        metavar="DEGREES",
        above=-90,
        below=90,
    )
    range_topic: str = option(
        "auto",
        "Topic of the range sensor, for --from range; auto: the only one",
        section=_FROM,
        metavar="TOPIC",
    )
    range_mounting: tuple[float, float, float, float, float, float] | None = option(
        None,
        "Where the range sensor sits in the camera's body (x ahead, y left, z up): metres and "
        "radians, as scaling.range_mounting of the node (usually from /tf_static)",
        section=_FROM,
        metavar=("X", "Y", "Z", "ROLL", "PITCH", "YAW"),
    )
    max_spread: float = option(
        0.1,
        "Largest spread of the factor over the frames (relative standard deviation, without the "
        "noise of its measurement) with which one factor is written",
        section=_FROM,
        metavar="SHARE",
        above=0,
    )

    device: str = shared_option("device", "auto", section="running")

    json: Path | None = shared_option("json", None, section="output", metavar="FILE.json")
    picture: Path | None = shared_option(
        "picture",
        None,
        "the factor over time and its histogram",
        section="output",
        metavar="FILE.png",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if not self.data:
            raise OptionError("--data is empty; give frame stores of depth_extract, or recordings")
        if (self.ground_height is None) == (self.source == "camera-height"):
            raise OptionError(
                "--from camera-height and --ground-height METRES belong together; give both or none"
            )
        for name, needed in (
            ("ground_pitch", "camera-height"),
            ("range_mounting", "range"),
        ):
            if getattr(self, name) is not None and self.source != needed:
                raise OptionError(f"{flag(name)} has no meaning without --from {needed}")
        if self.range_topic != "auto" and self.source != "range":
            raise OptionError("--range-topic has no meaning without --from range")
        if self.out is not None and self.out.suffix != ".safetensors":
            raise OptionError(f"--out {self.out}: give a name that ends in .safetensors")
        for name in ("out", "json", "picture"):
            path = getattr(self, name)
            if path is not None and not path.absolute().parent.is_dir():
                raise OptionError(
                    f"{flag(name)} {path}: the folder {path.absolute().parent} does not exist; "
                    "make it"
                )
        if self.out is not None and self.out.exists() and not self.force:
            raise OptionError(f"--out {self.out} exists; choose another name, or give --force")
