# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the depth node, and rviz if asked.

    ros2 launch monodepth2_ros depth.launch.py image:=/camera/image_raw rviz:=true

`--show-args` lists the arguments: every parameter of the node is one. A parameter whose argument is
left empty keeps the value of the parameter file. Unknown arguments and unusable values are refused.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.logging import get_logger
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from monodepth2_ros.node.launch_arguments import (
    LaunchArgumentError,
    argument_values,
    check_params_file,
    input_topics,
    node_arguments,
    profile_environment,
    read_boolean,
    read_parameters,
)

# Next to this file's folder, in a checkout as in share/.
CONFIG = Path(__file__).parent.parent / "config"

NODE_ARGUMENTS = node_arguments(
    "name", "namespace", "params_file", "camera_info", "use_sim_time", "log_level", "fixed_frame"
)

DEFAULTS = {
    "image": "image",
    "rviz": "false",
    **{argument.name: argument.default for argument in NODE_ARGUMENTS},
}

ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value=DEFAULTS["image"],
        description="Topic of the camera's images, as its driver names it; with /compressed at the "
        "end the compressed ones are taken.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value=DEFAULTS["rviz"],
        description="true starts rviz2 with the image, the depth picture and the cloud.",
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
    """Make the actions from the values of the arguments."""
    value = argument_values(context, DEFAULTS, get_logger("depth.launch").warning)

    if value["cameras"] and (value["image"] != DEFAULTS["image"] or value["camera_info"]):
        raise LaunchArgumentError(
            "image and camera_info are of one camera, and cameras names several; list them with "
            "their topics for cameras.launch.py one_process:=true"
        )
    inputs = input_topics(value)

    # launch_ros would make a number of a text like "0", unless its type is stated.
    overrides = {
        name: ParameterValue(parameter, value_type=str) if isinstance(parameter, str) else parameter
        for name, parameter in read_parameters(value).items()
    }
    if value["use_sim_time"]:
        overrides["use_sim_time"] = read_boolean("use_sim_time", value["use_sim_time"])

    namespace = value["namespace"]
    if not namespace.startswith("/"):
        # A PushRosNamespace in the launch file that includes this one.
        pushed = context.launch_configurations.get("ros_namespace", "")
        namespace = f"{pushed}/{namespace}"
    tokens = [token for token in namespace.split("/") if token]
    parameter_file = check_params_file(
        value["params_file"] or str(CONFIG / "depth.yaml"), namespace, value["name"]
    )
    logger = ".".join([*tokens, value["name"]])

    profile = profile_environment(context.environment, CONFIG / "fastdds.xml")
    actions: list[LaunchDescriptionEntity] = [
        SetEnvironmentVariable(variable, path) for variable, path in profile.items()
    ]
    actions.append(
        Node(
            package="monodepth2_ros",
            executable="depth_node",
            name=value["name"],
            namespace=value["namespace"],
            parameters=[str(parameter_file), overrides],
            remappings=list(inputs.items()),
            ros_arguments=["--log-level", f"{logger}:={value['log_level'] or 'info'}"],
            output="screen",
        )
    )
    if read_boolean("rviz", value["rviz"]):
        _require_rviz()
        # The configuration names the topics from the root; here they follow the node.
        outputs = ("depth/image_rect", "depth/image_color", "points")
        topics = {**inputs, **{topic: topic for topic in outputs}}
        frame = ["--fixed-frame", value["fixed_frame"]] if value["fixed_frame"] else []
        actions.append(
            Node(
                package="monodepth2_ros",
                executable="depth_rviz",
                namespace=value["namespace"],
                arguments=["--display-config", str(CONFIG / "depth.rviz"), *frame],
                parameters=[{"use_sim_time": overrides.get("use_sim_time", False)}],
                remappings=[(f"/{topic}", target) for topic, target in topics.items()],
                output="screen",
            )
        )
    return actions


def _require_rviz() -> None:
    """Refuse rviz:=true where it is not installed."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise RuntimeError(
            "rviz:=true needs rviz2, which is not installed: sudo apt install "
            "ros-$ROS_DISTRO-rviz2, or launch with rviz:=false"
        ) from None
