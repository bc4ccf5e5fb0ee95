# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's command line, and what follows from it for the node."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monodepth2_ros import __version__
from monodepth2_ros.backends.kept_answers import user_cache
from monodepth2_ros.command_line import CommandLine
from monodepth2_ros.node.parameters import RENAMED
from monodepth2_ros.option_fields import OptionError, check_options, option, shared_option
from monodepth2_ros.recordings.playback import PlayedTopics
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
    # Wheels as robots have them: 2 % too long, stamped 20 ms late.
    *("--odometry", "slip=0.02,delay=0.02"),
)

#: What is said of the shipped model's figures on that recording.
UNSEEN_NOTE = (
    "this rendered world took no part in the training of the default model, though others of its "
    "kind did: real images are harder (docs/reference/model_card.md)"
)

#: The unit of depth that is right up to a factor.
UNSCALED = "m, unscaled"

# Seconds between the node's reports: soon enough to learn that it failed on a frame.
_DIAGNOSTICS_PERIOD = 0.25


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class DemoModel:
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
        return "m" if self.is_metric else UNSCALED


@dataclass(frozen=True)
class DemoOptions:
    """Options of ``depth_demo``.

    Raises
    ------
    OptionError
        If a value is outside its limits, or two contradict each other.
    """

    bag: Path | None = option(
        None,
        "Recording: a rosbag2 folder, or an .mcap, .db3 or ROS 1 .bag file; without it a short one "
        "is rendered",
        positional=True,
        metavar="BAG",
    )

    image_topic: str = shared_option(
        "image_topic", "", "usually found by type", section="what is played", metavar="TOPIC"
    )
    camera_info_topic: str = shared_option(
        "camera_info_topic",
        "",
        "usually the one that belongs to the images",
        section="what is played",
        metavar="TOPIC",
    )
    truth_topic: str = shared_option(
        "truth_topic",
        "",
        "usually the one in the frame of the images",
        section="what is played",
        metavar="TOPIC",
    )
    start: float = option(
        0.0,
        "Begin so many seconds into the recording",
        section="what is played",
        metavar="SECONDS",
        least=0,
    )
    frames: int | None = shared_option(
        "frames", None, "end after so many", section="what is played", metavar="N", least=1
    )
    rate: float | None = option(
        None,
        "Speed of playback, as a multiple of the recorded one (usually 1); what the node cannot "
        "keep up with is dropped",
        section="what is played",
        metavar="FACTOR",
        above=0,
    )
    as_fast_as_possible: bool = option(
        False,
        "Send each image when the one before has come back: every frame is processed",
        section="what is played",
    )

    checkpoint: str | None = shared_option(
        "checkpoint",
        None,
        "usually the shipped one; 'random' for an untrained one",
        section="the node",
        metavar="MODEL",
    )
    params: Path | None = option(
        None, "The node's parameter file (YAML)", section="the node", metavar="FILE"
    )
    param: tuple[str, ...] = option(
        (),
        "A parameter of the node, as after --ros-args; can be repeated",
        section="the node",
        metavar="NAME:=VALUE",
        short="-p",
        repeated=True,
    )

    out: Path = shared_option(
        "out",
        Path("demo_output"),
        "folder for the pictures; those of an earlier demo are replaced",
        section="what is kept",
        metavar="DIR",
    )
    record: Path | None = option(
        None,
        "Also write what the node published as a rosbag2 (MCAP)",
        section="what is kept",
        metavar="DIR",
    )
    video: str = option(
        "auto",
        "Codec: browsers play vp9, which takes long to write; mp4v is quick; auto takes vp9 for "
        "short videos",
        section="what is kept",
        choices=("auto", *CODECS),
    )
    force: bool = shared_option(
        "force",
        False,
        "write into a folder that holds other files, and replace the recording of --record",
        section="what is kept",
    )
    quiet: bool = shared_option("quiet", False, section="what is kept")

    def __post_init__(self) -> None:
        check_options(self)
        for text in self.param:
            name, assigned, _ = text.partition(":=")
            if not assigned or not name:
                raise OptionError(
                    f"--param '{text}' assigns nothing; write NAME:=VALUE, for example scale:=1.5"
                )
        if self.rate is not None and self.as_fast_as_possible:
            raise OptionError("--rate and --as-fast-as-possible exclude each other; give one")


def make_command_line() -> CommandLine[DemoOptions]:
    """Describe the command line."""
    return CommandLine(
        "depth_demo",
        DemoOptions,
        "Play a recording through the depth node, over DDS, and keep pictures of what comes out.",
        epilog=f"The output folder gets {', '.join(FILES)}.",
        renamed={"--output": "--out DIR", "--depth-topic": "--truth-topic TOPIC"},
    )


def choose_model(options: DemoOptions) -> DemoModel:
    """Find out which model the node will run.

    Raises
    ------
    DemoError
        If it cannot be loaded.
    """
    from monodepth2_ros.checkpoint import CheckpointError, is_default, open_checkpoint

    name = options.checkpoint
    if name is None:
        name = str(asked_for(options, "checkpoint") or "")
    if name == "random":
        return DemoModel("random", is_random=True, is_metric=False)
    try:
        metadata = open_checkpoint(name).metadata
    except CheckpointError as error:
        raise DemoError(str(error)) from error
    scale = asked_for(options, "scale")
    is_metric = metadata.is_metric or (scale is not None and float(scale) != 1.0)
    return DemoModel(name, is_random=False, is_metric=is_metric, is_default=is_default(name))


def asked_scale(options: DemoOptions) -> dict[str, Any]:
    """Return what the user gave of the parameters that decide how metres are found."""
    names = ("scale", "scaling.source", "scaling.mounting", "rotate")
    values = {name: asked_for(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def asked_rectify(options: DemoOptions) -> str:
    """Return the node's parameter ``rectify``: "auto" unless the user gave it."""
    value = asked_for(options, "rectify")
    return "auto" if value is None else str(value).lower()


def node_command_line(
    options: DemoOptions, topics: PlayedTopics, model: DemoModel, scale: Sequence[str] = ()
) -> list[str]:
    """Return the node's command line, what follows ``--ros-args``; `scale` is a part of it."""
    image = topics.image
    words = ["-r", f"image:={image.base_name}"]
    if topics.camera_info is not None:
        words += ["-r", f"camera_info:={topics.camera_info.name}"]
    # The last of equal parameters counts: what the recording demands stands over a file that was
    # written for a robot, what the user says here over that, and lock-step over everything.
    if options.params is not None:
        words += ["--params-file", str(options.params)]
    words += scale
    given = [f"diagnostics_period:={_DIAGNOSTICS_PERIOD}"]
    given += [f"image_transport:={'compressed' if image.is_compressed else 'raw'}"]
    if topics.info_is_rare:
        given += ["pairing:=latest"]
    given += options.param
    if options.as_fast_as_possible:
        given += ["input_reliability:=reliable", "output_reliability:=reliable"]
    if model.checkpoint:
        given += [f"checkpoint:={model.checkpoint}"]
    for assignment in given:
        words += ["-p", assignment]
    return words


def asked_for(options: DemoOptions, name: str) -> Any:
    """Return the value that the user gave a parameter, None if none."""
    value = None
    if options.params is not None:
        value = _in_file(options.params, name)
    for parameter in options.param:
        key, _, text = parameter.partition(":=")
        if RENAMED.get(key, key) == name:
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
        if isinstance(parameters, dict):
            given = {RENAMED.get(key, key): one for key, one in _flat(parameters).items()}
            value = given.get(name, value)
    return value


def _flat(parameters: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return parameters by their full names: {"scaling": {"source": x}} has scaling.source."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


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
    # Another version may render another world.
    digest = hashlib.sha256(" ".join((__version__, *_OWN_RECORDING)).encode()).hexdigest()[:8]
    path = user_cache() / f"demo_recording_{digest}"
    if (path / "metadata.yaml").is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(
            f"no recording is given, and {path.parent}, where one is rendered, cannot be made "
            f"({error.strerror}); set XDG_CACHE_HOME to a folder, or give one: depth_demo BAG"
        ) from error
    print(f"No recording is given: rendering a short one into {path}", flush=True)
    command = [sys.executable, "-m", "training.synthesize", "--out", str(path), "--force"]
    status = subprocess.run([*command, *_OWN_RECORDING], check=False).returncode
    if status != 0 or not path.is_dir():
        raise DemoError(
            f"rendering a recording failed (status {status}, see above); give one: depth_demo BAG"
        )
    return path
