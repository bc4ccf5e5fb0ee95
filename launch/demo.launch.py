# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play a recording (rosbag2) through the depth node and show the result in rviz.

    ros2 launch monodepth2_ros demo.launch.py bag:=my_recording

The node takes its time from the recording. With loop:=false the launch ends with the recording, or,
where rviz is open, when its window is closed. `depth_demo` does the same without rviz or an
installed ROS 2, and keeps pictures.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger

from monodepth2_ros.node.launch_arguments import (
    LaunchArgumentError,
    argument_values,
    node_arguments,
    read_boolean,
    read_number,
)
from monodepth2_ros.user_paths import user_path

DEPTH_LAUNCH = Path(__file__).parent / "depth.launch.py"

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
STORAGES = (".mcap", ".db3")

# In the node's message (severity info) about the model that it has loaded.
LOADED = b"loaded in"

# Seconds that the player waits where that message is not to be heard.
UNHEARD_DELAY = 10.0

NODE_ARGUMENTS = node_arguments(
    "camera_info", "params_file", "log_level", "fixed_frame", without=["cameras"]
)
NODE_DEFAULTS = {
    "image": "",
    **{argument.name: argument.default for argument in NODE_ARGUMENTS},
}
PLAYER_DEFAULTS = {"rviz": "auto", "rate": "1.0", "loop": "true", "delay": "auto"}

# Handed on to depth.launch.py.
DECLARED = [
    DeclareLaunchArgument(
        "image",
        default_value=NODE_DEFAULTS["image"],
        description="Topic of the camera's images; empty: the recording's only one that is not a "
        "depth image.",
    ),
    *(
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=argument.choices,
        )
        for argument in NODE_ARGUMENTS
    ),
]

PLAYER_ARGUMENTS = [
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="The recording, which has to be given: a rosbag2 folder, or an .mcap or .db3 "
        "file.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value=PLAYER_DEFAULTS["rviz"],
        description="true starts rviz2 with the image, the depth picture and the cloud; auto does "
        "so where rviz2 is installed.",
    ),
    DeclareLaunchArgument(
        "rate",
        default_value=PLAYER_DEFAULTS["rate"],
        description="Speed, as a multiple of the recorded one.",
    ),
    DeclareLaunchArgument(
        "loop",
        default_value=PLAYER_DEFAULTS["loop"],
        description="true starts again at the end of the recording; false ends there.",
    ),
    DeclareLaunchArgument(
        "delay",
        default_value=PLAYER_DEFAULTS["delay"],
        description="Seconds before the recording starts; auto waits until the node has loaded its "
        "model.",
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription([*PLAYER_ARGUMENTS, *DECLARED, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions from the values of the arguments."""
    log = get_logger("demo.launch")
    declared = {"bag": "", **PLAYER_DEFAULTS, **NODE_DEFAULTS}
    value = argument_values(context, declared, log.warning)
    rate = read_number("rate", value["rate"], above=0.0)
    delay = None if value["delay"] == "auto" else read_number("delay", value["delay"], least=0.0)
    if delay is None and (value["log_level"] not in ("", "debug", "info") or value["autostart"]):
        delay = UNHEARD_DELAY
    loops = read_boolean("loop", value["loop"])
    shows = _has_rviz() if value["rviz"] == "auto" else read_boolean("rviz", value["rviz"])
    if not shows and value["rviz"] == "auto":
        log.info("rviz2 is not installed, so the demo runs without it; see topics with ros2 topic")
    bag = _find_bag(value["bag"])
    if shutil.which("ros2") is None:  # else the node would wait for ever
        raise RuntimeError("the command 'ros2', which plays the recording, is not on the PATH")

    handed_on = {
        name: text for name, text in value.items() if name not in ("bag", *PLAYER_DEFAULTS)
    }
    topics = _topics(bag, value["image"])
    handed_on["image"] = _image_topic(bag, topics, value["image"], value["image_transport"])
    handed_on["camera_info"] = _info_topic(bag, topics, handed_on["image"], value["camera_info"])
    handed_on["use_sim_time"] = "true"
    handed_on["rviz"] = "true" if shows else "false"

    play = ["ros2", "bag", "play", str(bag), "--clock", "100", "--rate", f"{rate:g}"]
    play += ["--disable-keyboard-controls"]
    play += ["--loop"] if loops else []
    player = ExecuteProcess(cmd=play, output="screen")
    if delay is None:
        hear = _start_when_loaded(player)
        start = RegisterEventHandler(OnProcessIO(on_stdout=hear, on_stderr=hear))
    else:
        start = TimerAction(period=delay, actions=[player])
    return [
        start,
        # Scoped, so that the arguments of the demo and of the node end with them.
        GroupAction(
            [
                RegisterEventHandler(OnProcessExit(on_exit=_end_with(player, shows))),
                # Before the player, which is to have the Fast DDS profile that this sets: it is
                # the sender's shared memory that counts.
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(DEPTH_LAUNCH)),
                    launch_arguments=handed_on.items(),
                ),
            ]
        ),
    ]


def _start_when_loaded(player: ExecuteProcess) -> Any:
    """Return a handler that starts the player once the node says that its model is loaded."""
    waiting = True

    def hear(event: Any) -> list[LaunchDescriptionEntity] | None:
        nonlocal waiting
        if not waiting or not event.process_name.startswith("depth_node"):
            return None
        if LOADED not in bytes(event.text):
            return None
        waiting = False
        return [player]

    return hear


def _end_with(player: ExecuteProcess, shows: bool) -> Any:
    """Return a handler that ends the demo when the player, the node or rviz has ended."""

    def handle(event: Any, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        if context.is_shutdown:
            return None
        name = event.process_name
        if event.action is player:
            if event.returncode != 0:
                raise RuntimeError(f"'ros2 bag play' failed with status {event.returncode}")
            if shows:
                get_logger("demo.launch").info("the recording is over; close rviz to end the demo")
                return None
        elif event.returncode != 0 and not name.startswith("depth_rviz"):
            raise RuntimeError(f"{name} failed with status {event.returncode}")
        return [EmitEvent(event=Shutdown(reason=f"{name} has ended"))]

    return handle


def _has_rviz() -> bool:
    """Say whether rviz2 is installed."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return False
    return True


def _find_bag(text: str) -> Path:
    """Return what the player is to open: the folder of a recording, or a single file of it."""
    if not text:
        raise LaunchArgumentError("no recording is given; add bag:=<folder or file>")
    bag = user_path(text)
    if not bag.exists():
        raise LaunchArgumentError(f"bag:={text} does not exist (looked from {Path.cwd()})")
    if bag.name == "metadata.yaml":
        bag = bag.parent
    if bag.is_file():
        if bag.suffix == ".zstd" and Path(bag.stem).suffix in STORAGES:
            raise LaunchArgumentError(
                f"bag:={bag} is compressed; give its folder, whose metadata.yaml says how"
            )
        if bag.suffix not in STORAGES:
            raise LaunchArgumentError(
                f"bag:={bag} is not a rosbag2: give its folder or an .mcap or .db3 file; a ROS 1 "
                "bag is converted with rosbags-convert, or played with depth_demo"
            )
        folder = bag.parent
        if (folder / "metadata.yaml").is_file() and _files(folder) == [bag.name]:
            return folder
        return bag
    if not (bag / "metadata.yaml").is_file():
        files = sorted(file for file in bag.iterdir() if file.suffix in STORAGES)
        if len(files) == 1:
            return files[0]
        inside = sorted(str(path.parent) for path in bag.glob("*/metadata.yaml"))
        if not files and inside:
            raise LaunchArgumentError(
                f"bag:={bag} holds no recording itself; give one of {', '.join(inside)}"
            )
        raise LaunchArgumentError(
            f"bag:={bag}: no metadata.yaml in it; give the folder of a rosbag2, or make the file "
            f"with 'ros2 bag reindex {bag}'"
        )
    return bag


def _recorded(folder: Path) -> dict[str, Any]:
    """Read what metadata.yaml says of a recording."""
    path = folder / "metadata.yaml"
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise LaunchArgumentError(f"bag:={folder}: {path.name} cannot be read: {error}") from error


def _files(folder: Path) -> list[str]:
    """Return the names of a recording's files."""
    return [Path(name).name for name in _recorded(folder).get("relative_file_paths") or ()]


def _topics(bag: Path, image: str) -> list[tuple[str, str]]:
    """Return names and types of a recording's topics; none where nothing here can read them."""
    folder = bag if bag.is_dir() else bag.parent
    if (folder / "metadata.yaml").is_file():
        entries = _recorded(folder).get("topics_with_message_count") or ()
        topics = [entry["topic_metadata"] for entry in entries]
        return [(topic["name"], topic["type"]) for topic in topics]
    try:
        from monodepth2_ros.recordings.bags import list_topics, open_recording

        with open_recording(bag) as reader:
            return [(topic.name, topic.type) for topic in list_topics(reader)]
    except ImportError:
        if image:
            return []
        raise LaunchArgumentError(
            f"bag:={bag} has no metadata.yaml; give image:=<topic> (or pip install rosbags, with "
            "which the topics are found)"
        ) from None
    except ValueError as error:
        raise LaunchArgumentError(f"bag:={bag}: {error}") from error


def _image_topic(bag: Path, topics: list[tuple[str, str]], asked: str, transport: str) -> str:
    """Return the recording's topic of images: the one asked for, or its one that is not depth."""
    every = [name for name, kind in topics if kind in IMAGE_TYPES]
    if asked:
        name = _absolute(asked)
        if (
            not topics
            or name in every
            or (transport == "compressed" and f"{name}/compressed" in every)
        ):
            return asked
        if not transport and f"{name}/compressed" in every:
            return f"{asked}/compressed"
        raise LaunchArgumentError(
            f"image:={asked} is not in the recording {bag}; its images are on "
            f"{', '.join(sorted(every)) or 'no topic'}"
        )
    images = [name for name in every if "depth" not in name.lower()]
    raw = {name.removesuffix("/compressed") for name in images}
    if len(raw) == 1 and len(images) == 2:
        return raw.pop()  # one camera, recorded in both transports
    if len(images) != 1:
        found = ", ".join(sorted(images)) or "none"
        raise LaunchArgumentError(f"bag:={bag}: which images? Give image:=<topic>; found: {found}.")
    return images[0]


def _info_topic(bag: Path, topics: list[tuple[str, str]], image: str, asked: str) -> str:
    """Return the recording's topic of camera_info, "" for the one next to the images."""
    infos = [name for name, kind in topics if kind == "sensor_msgs/msg/CameraInfo"]
    if asked and topics and _absolute(asked) not in infos:
        raise LaunchArgumentError(
            f"camera_info:={asked} is not in the recording {bag}; it has "
            f"{', '.join(sorted(infos)) or 'none, so there is no cloud'}"
        )
    beside = f"{_absolute(image).removesuffix('/compressed').rpartition('/')[0]}/camera_info"
    return infos[0] if not asked and len(infos) == 1 and beside not in infos else asked


def _absolute(topic: str) -> str:
    """Return a topic as the recording names it; the demo's node is in no namespace."""
    return f"/{topic.lstrip('/')}"
