# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's command line, and what follows from it for the node."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monodepth2_ros import __version__
from monodepth2_ros.recordings.playback import Topics
from monodepth2_ros.visualization.video import CODECS

#: What a demo leaves in its output folder.
FILES = (
    "video.mp4",
    "overview.png",
    "points.ply",
    "cloud_above.png",
    "cloud_side.png",
    "node.log",
    "report.json",
)

# The recording that is rendered where none is given. The worlds that the shipped model has seen
# have seeds from 1000 on (docs/reference/model_card.md): this one it has not.
_OWN_RECORDING = (
    *("--layout", "street", "--seed", "7", "--frames", "120", "--frame-rate", "10"),
    *("--width", "432", "--height", "288", "--moving-objects", "2"),
)

#: What is said of the shipped model's figures on that recording.
UNSEEN_NOTE = (
    "this rendered world took no part in the training of the default model, though others of its "
    "kind did: real images are harder (docs/reference/model_card.md)"
)

# Seconds between the node's reports: soon enough to learn that it failed on a frame.
_DIAGNOSTICS_PERIOD = 0.25


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Model:
    """What is known of the model before the node has loaded it.

    Attributes
    ----------
    checkpoint : str
        For the node's parameter; empty for the checkpoint that the package ships.
    is_random : bool
    is_metric : bool
        Whether its depth is in metres; if not, it is right up to a factor.
    is_default : bool
        Whether it is the one that the package ships.
    """

    checkpoint: str
    is_random: bool
    is_metric: bool
    is_default: bool = False

    @property
    def unit(self) -> str:
        """The unit of depth, for pictures."""
        return "m" if self.is_metric else "m, unscaled"


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_demo",
        description="Play a recording through the depth node, over DDS, and keep pictures of what "
        "comes out.",
        epilog=f"The output folder gets {', '.join(FILES)}.",
    )
    parser.add_argument(
        "bag",
        nargs="?",
        type=Path,
        metavar="BAG",
        help="recording: a rosbag2 folder, or an .mcap, .db3 or ROS 1 .bag file; without it a "
        "short one is rendered",
    )

    add = parser.add_argument_group("what is played").add_argument
    add("--image-topic", default="", metavar="T", help="images; without it they are found by type")
    add(
        "--camera-info-topic",
        default="",
        metavar="T",
        help="calibration; without it that beside the images",
    )
    add(
        "--depth-topic",
        default="",
        metavar="T",
        help="true depth to compare with; without it that in the frame of the images",
    )
    add(
        "--start",
        type=_number(0.0, inclusive=True),
        default=0.0,
        metavar="S",
        help="begin S seconds into the recording",
    )
    add("--frames", type=_count, metavar="N", help="end after N images")
    add(
        "--rate",
        type=_number(0.0),
        metavar="R",
        help="speed, as a multiple of the recorded one (1); what the node cannot keep up with is "
        "dropped",
    )
    add(
        "--as-fast-as-possible",
        action="store_true",
        help="send each image when the one before has come back: every frame is processed",
    )

    add = parser.add_argument_group("the node").add_argument
    add(
        "--checkpoint",
        metavar="C",
        help="model: a .safetensors file, a folder with encoder.pth and depth.pth, or 'random'; "
        "without it the one that the package ships",
    )
    add("--params", type=Path, metavar="FILE", help="the node's parameter file (YAML)")
    add(
        "-p",
        "--param",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME:=VALUE",
        help="a parameter of the node, as after --ros-args; can be repeated",
    )

    add = parser.add_argument_group("what is kept").add_argument
    add(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder for the pictures; those of an earlier demo are replaced (demo_output)",
    )
    add(
        "--record",
        type=Path,
        metavar="DIR",
        help="also write what the node published as a rosbag2 (MCAP)",
    )
    add(
        "--video",
        choices=("auto", *CODECS),
        default="auto",
        help="codec: browsers play vp9, which takes long to write; mp4v is quick; auto takes vp9 "
        "for short videos",
    )
    add(
        "--force",
        action="store_true",
        help="write into a folder that holds other files, and replace the recording of --record",
    )
    return parser


def _number(least: float, inclusive: bool = False) -> Any:
    """Return a parser of numbers above a bound."""

    def parse(text: str) -> float:
        value = float(text)
        if not (value > least or (inclusive and value == least)) or value == float("inf"):
            bound = "at least" if inclusive else "more than"
            raise argparse.ArgumentTypeError(f"{text} is out of range; give {bound} {least:g}")
        return value

    parse.__name__ = "number"  # argparse names it in its errors
    return parse


def _count(text: str) -> int:
    """Read a number of frames."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few; give at least 1")
    return value


_count.__name__ = "number"


def _parameter(text: str) -> str:
    """Check that a parameter is written as ROS wants it."""
    name, assigned, _ = text.partition(":=")
    if not assigned or not name:
        raise argparse.ArgumentTypeError(
            f"'{text}' assigns nothing; write NAME:=VALUE, for example scale:=1.5"
        )
    return text


def choose_model(arguments: argparse.Namespace) -> Model:
    """Find out which model the node will run.

    Raises
    ------
    DemoError
        If it cannot be loaded.
    """
    from monodepth2_ros.checkpoint import CheckpointError, is_default, open_checkpoint

    name = arguments.checkpoint
    if name is None:
        name = str(_asked_for(arguments, "checkpoint") or "")
    if name == "random":
        return Model("random", is_random=True, is_metric=False)
    try:
        metadata = open_checkpoint(name).metadata
    except CheckpointError as error:
        raise DemoError(str(error)) from error
    scale = _asked_for(arguments, "scale")
    is_metric = metadata.is_metric or (scale is not None and float(scale) != 1.0)
    return Model(name, is_random=False, is_metric=is_metric, is_default=is_default(name))


def is_rectifying(arguments: argparse.Namespace) -> bool:
    """Tell whether the node was asked to undistort images."""
    return _asked_for(arguments, "rectify") is True


def node_arguments(arguments: argparse.Namespace, topics: Topics, model: Model) -> list[str]:
    """Return the node's command line, what follows ``--ros-args``."""
    image = topics.image
    words = ["-r", f"image:={image.base_name}"]
    if topics.camera_info is not None:
        words += ["-r", f"camera_info:={topics.camera_info.name}"]
    # Of equal parameters the last counts: what the recording demands stands over a file that was
    # written for a robot, what the user says here over that, and lock-step over everything.
    if arguments.params is not None:
        words += ["--params-file", str(arguments.params)]
    given = [f"diagnostics_period:={_DIAGNOSTICS_PERIOD}"]
    given += [f"image_transport:={'compressed' if image.is_compressed else 'raw'}"]
    if topics.info_is_rare:
        given += ["pairing:=latest"]
    given += arguments.param
    if arguments.as_fast_as_possible:
        given += ["input_reliability:=reliable", "output_reliability:=reliable"]
    if model.checkpoint:
        given += [f"checkpoint:={model.checkpoint}"]
    for assignment in given:
        words += ["-p", assignment]
    return words


def _asked_for(arguments: argparse.Namespace, name: str) -> Any:
    """Return the value that the user gave a parameter, None if none."""
    value = None
    if arguments.params is not None:
        value = _in_file(arguments.params, name)
    for parameter in arguments.param:
        key, _, text = parameter.partition(":=")
        if key == name:
            value = yaml.safe_load(text)
    return value


def _in_file(path: Path, name: str) -> Any:
    """Look a parameter up in a parameter file, whatever node it is written for."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DemoError(f"--params {path} cannot be read: {error}") from error
    sections = content.values() if isinstance(content, dict) else ()
    value = None
    for section in sections:
        parameters = section.get("ros__parameters") if isinstance(section, dict) else None
        if isinstance(parameters, dict) and name in parameters:
            value = parameters[name]
    return value


def own_recording() -> Path:
    """Render a short recording, unless it is there from an earlier demo.

    Returns
    -------
    Path
        In the user's cache.

    Raises
    ------
    DemoError
        If it cannot be rendered.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # Another version may render another world.
    digest = hashlib.sha256(" ".join((__version__, *_OWN_RECORDING)).encode()).hexdigest()[:8]
    path = cache / "monodepth2_ros" / f"demo_recording_{digest}"
    if (path / "metadata.yaml").is_file():
        return path
    print(f"No recording is given: rendering a short one into {path}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "training.synthesize", "--out", str(path), "--force"]
    status = subprocess.run([*command, *_OWN_RECORDING], check=False).returncode
    if status != 0 or not path.is_dir():
        raise DemoError(
            f"rendering a recording failed (status {status}, see above); give one: depth_demo BAG"
        )
    return path
