# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start a depth node for each camera of a list.

    ros2 launch monodepth2_ros cameras.launch.py cameras:=/path/to/cameras.yaml

The list is YAML (see config/cameras.yaml). Each entry has a namespace, in which its node and
outputs are, and the topic of its images; the other arguments of depth.launch.py, which include
every parameter of the node, can be added. What is given to this launch file holds for all cameras
whose entry does not say otherwise.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger

from monodepth2_ros.node.launch_arguments import (
    argument_values,
    parameter_arguments,
    read_cameras,
)

DEPTH_LAUNCH = Path(__file__).parent / "depth.launch.py"

# What an entry can have besides the arguments for all.
OF_A_CAMERA = ("namespace", "name", "image", "camera_info", "rviz", "fixed_frame")

COMMON_ARGUMENTS = [
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="YAML file with the nodes' parameters; empty: config/depth.yaml.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        description="true takes the time from /clock, as a simulator or a player gives it.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="",
        choices=["", "debug", "info", "warn", "error", "fatal"],
        description="Lowest severity of the nodes' log messages.",
    ),
    *(
        DeclareLaunchArgument(
            argument.name,
            default_value="",
            description=argument.description,
            choices=argument.choices,
        )
        for argument in parameter_arguments()
    ),
]
COMMON = [
    *("params_file", "use_sim_time", "log_level"),
    *(argument.name for argument in parameter_arguments()),
]

ARGUMENTS = [
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="YAML file with the list of cameras, which has to be given.",
    ),
    *COMMON_ARGUMENTS,
]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make a group of actions for each camera."""
    declared = {"cameras": "", **dict.fromkeys(COMMON, "")}
    value = argument_values(context, declared, get_logger("cameras.launch").warning)
    common = {name: text for name, text in value.items() if text and name != "cameras"}
    cameras = read_cameras(value["cameras"], [*OF_A_CAMERA, *COMMON], common)
    # A group each: without it the arguments of one camera reach the next.
    return [
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(DEPTH_LAUNCH)),
                    launch_arguments=camera.items(),
                )
            ]
        )
        for camera in cameras
    ]
