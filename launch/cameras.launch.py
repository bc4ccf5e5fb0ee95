# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start a depth node for each camera of a list, or one for all of them.

    ros2 launch monodepth2_ros cameras.launch.py cameras:=/path/to/cameras.yaml
    ros2 launch monodepth2_ros cameras.launch.py cameras:=... one_process:=true

The list is YAML (see config/cameras.yaml). Each entry has a namespace, in which its node and
outputs are, and the topic of its images; the other arguments of depth.launch.py, which include
every parameter of the node, can be added. What is given to this launch file holds for all cameras
whose entry does not say otherwise. With one_process one node has one model for all cameras; its
outputs have the same names.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from monodepth2_ros.node.launch_arguments import (
    argument_values,
    check_params_file,
    join_cameras,
    node_arguments,
    profile_environment,
    read_boolean,
    read_cameras,
)

DEPTH_LAUNCH = Path(__file__).parent / "depth.launch.py"

# Next to this file's folder, in a checkout as in share/.
CONFIG = Path(__file__).parent.parent / "config"

# What an entry can have besides the arguments for all.
OF_A_CAMERA = ("namespace", "name", "image", "camera_info", "rviz", "fixed_frame")

# The argument `cameras` is the list.
NODE_ARGUMENTS = node_arguments("params_file", "use_sim_time", "log_level", without=["cameras"])
COMMON = [argument.name for argument in NODE_ARGUMENTS]

ARGUMENTS = [
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="YAML file with the list of cameras, which has to be given.",
    ),
    DeclareLaunchArgument(
        "one_process",
        default_value="false",
        description="true serves all cameras with one node and one model, which needs the memory "
        "of one; false starts a node for each.",
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


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make a group of actions for each camera."""
    declared = {"cameras": "", "one_process": "false", **dict.fromkeys(COMMON, "")}
    value = argument_values(context, declared, get_logger("cameras.launch").warning)
    own = ("cameras", "one_process")
    common = {name: text for name, text in value.items() if text and name not in own}
    cameras = read_cameras(value["cameras"], [*OF_A_CAMERA, *COMMON], common)
    if read_boolean("one_process", value["one_process"]):
        return _one_node(context, cameras)
    # A group each: without it the arguments of one camera reach the next. This file's own
    # `cameras` would reach all of them, as a parameter of the node with the same name.
    return [
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(DEPTH_LAUNCH)),
                    launch_arguments={**camera, "cameras": ""}.items(),
                )
            ]
        )
        for camera in cameras
    ]


def _one_node(
    context: LaunchContext, cameras: list[dict[str, str]]
) -> list[LaunchDescriptionEntity]:
    """Make the actions for one node that serves all cameras."""
    arguments, parameters, topics = join_cameras(cameras)
    # launch_ros would make a number of a text like "0", unless its type is stated.
    overrides = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
    if arguments.get("use_sim_time"):
        overrides["use_sim_time"] = read_boolean("use_sim_time", arguments["use_sim_time"])
    pushed = context.launch_configurations.get("ros_namespace", "")
    params_file = arguments.get("params_file") or str(CONFIG / "depth.yaml")
    file = check_params_file(params_file, pushed, "depth")
    logger = ".".join([*(token for token in pushed.split("/") if token), "depth"])
    profile = profile_environment(context.environment, CONFIG / "fastdds.xml")
    actions: list[LaunchDescriptionEntity] = [
        SetEnvironmentVariable(variable, path) for variable, path in profile.items()
    ]
    actions.append(
        Node(
            package="monodepth2_ros",
            executable="depth_node",
            name="depth",
            parameters=[str(file), overrides],
            remappings=list(topics.items()),
            ros_arguments=["--log-level", f"{logger}:={arguments.get('log_level') or 'info'}"],
            output="screen",
        )
    )
    return actions
