# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play a recording (rosbag2) through the depth node and show the result in rviz.

    ros2 launch monodepth2_ros demo.launch.py bag:=my_recording

The node takes its time from the recording. `depth_demo` does the same without rviz or an installed
ROS 2, and keeps pictures.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    TimerAction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

DEPTH_LAUNCH = Path(__file__).parent / "depth.launch.py"

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")

# Handed on to depth.launch.py.
NODE_ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="",
        description="Topic of the camera's images; empty: the only one in the recording that is no "
        "depth image.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="Topic of the camera's calibration; empty: camera_info beside the image topic.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(DEPTH_LAUNCH.parent.parent / "config" / "depth.yaml"),
        description="YAML file with the node's parameters.",
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Weights: a .safetensors file, a folder with encoder.pth and depth.pth, "
        "OpenVINO IR (.xml), random for untrained ones, or default for those that the package "
        "ships.",
    ),
    DeclareLaunchArgument(
        "device", default_value="", description="Where the network runs: auto, cpu, cuda, ..."
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "auto", "torch", "openvino"],
        description="What runs the network.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="true",
        choices=["true", "false"],
        description="Start rviz2 with the image, the depth picture and the cloud.",
    ),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="",
        description="Fixed frame of rviz, if not the one of its configuration: the frame_id of the "
        "images, or any frame that tf connects with it.",
    ),
]

PLAYER_ARGUMENTS = [
    DeclareLaunchArgument("bag", description="The recording: a rosbag2 folder."),
    DeclareLaunchArgument(
        "rate", default_value="1.0", description="Speed, as a multiple of the recorded one."
    ),
    DeclareLaunchArgument(
        "loop",
        default_value="true",
        choices=["true", "false"],
        description="Start again at the end.",
    ),
    DeclareLaunchArgument(
        "delay",
        default_value="5.0",
        description="Seconds before the recording starts, in which the node loads.",
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription([*PLAYER_ARGUMENTS, *NODE_ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions from the values of the arguments."""
    value = {
        argument.name: LaunchConfiguration(argument.name).perform(context)
        for argument in [*PLAYER_ARGUMENTS, *NODE_ARGUMENTS]
    }
    bag = Path(value["bag"]).expanduser()
    handed_on = {argument.name: value[argument.name] for argument in NODE_ARGUMENTS}
    handed_on["image"] = value["image"] or _image_topic(bag)
    handed_on["use_sim_time"] = "true"

    play = ["ros2", "bag", "play", str(bag), "--clock", "100", "--rate", value["rate"]]
    play += ["--disable-keyboard-controls"]
    play += ["--loop"] if value["loop"] == "true" else []
    return [
        # First, for the player is to have the Fast DDS profile that it sets: the sender's counts.
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(DEPTH_LAUNCH)), launch_arguments=handed_on.items()
        ),
        TimerAction(
            period=float(value["delay"]), actions=[ExecuteProcess(cmd=play, output="screen")]
        ),
    ]


def _image_topic(bag: Path) -> str:
    """Find the recording's one image topic that is no depth image."""
    metadata = bag / "metadata.yaml"
    if not metadata.is_file():
        raise RuntimeError(f"bag:={bag}: no metadata.yaml in it; give the folder of a rosbag2.")
    recorded = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
    topics = [entry["topic_metadata"] for entry in recorded["topics_with_message_count"]]
    images = [
        topic["name"]
        for topic in topics
        if topic["type"] in IMAGE_TYPES and "depth" not in topic["name"].lower()
    ]
    if len(images) != 1:
        found = ", ".join(sorted(images)) or "none"
        raise RuntimeError(f"bag:={bag}: which images? Give image:=<topic>; found: {found}.")
    return images[0]
