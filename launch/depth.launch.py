# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the depth node, and rviz if asked.

    ros2 launch monodepth2_ros depth.launch.py image:=/camera/image_raw rviz:=true

`--show-args` lists the arguments. All the node's parameters are in the parameter file; an argument
that is left empty leaves the value that is written there.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# Beside this file in a checkout as in share/.
CONFIG = Path(__file__).parent.parent / "config"

# Fast DDS 3 (Kilted and later) reads the first, Fast DDS 2 (Humble, Jazzy) only the second.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

BOOLEAN = ["", "true", "false"]

ARGUMENTS = [
    DeclareLaunchArgument("name", default_value="depth", description="Name of the node."),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the node and its topics."
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "depth.yaml"),
        description="YAML file with the node's parameters.",
    ),
    DeclareLaunchArgument(
        "image",
        default_value="image",
        description="Topic of the camera's images, as its driver names it; with /compressed at the "
        "end the compressed ones are taken.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="Topic of the camera's calibration; empty: camera_info beside the image topic.",
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Weights: a .safetensors file, a folder with encoder.pth and depth.pth, "
        "OpenVINO IR (.xml), random for untrained ones, or default for those that the package "
        "ships.",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="Where the network runs: auto, cpu, cuda, cuda:0, cuda:1, ...",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "auto", "torch", "openvino"],
        description="What runs the network.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="How the images come: raw (sensor_msgs/Image) or compressed (CompressedImage).",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=BOOLEAN,
        description="Take the time from /clock, as a simulator or a player gives it.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=BOOLEAN,
        description="Whether the node configures and activates itself; false leaves that to the "
        "lifecycle services.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the node logs at least.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
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


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start what they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions from the values of the arguments."""
    value = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS
    }

    given = value["image"] or "image"
    image = given.removesuffix("/compressed")
    if image != given and not value["image_transport"]:
        value["image_transport"] = "compressed"
    parent, slash, _ = image.rpartition("/")
    camera_info = value["camera_info"] or f"{parent}{slash}camera_info"
    inputs = {
        "image": image,
        "image/compressed": f"{image}/compressed",
        "camera_info": camera_info,
    }

    texts = ("checkpoint", "device", "backend", "image_transport")
    switches = ("use_sim_time", "autostart")
    # A value type is stated, for else a device "0" would arrive as a number.
    overrides = {key: ParameterValue(value[key], value_type=str) for key in texts if value[key]}
    overrides |= {key: value[key] == "true" for key in switches if value[key]}

    logger = ".".join([*value["namespace"].strip("/").split("/"), value["name"]]).strip(".")
    actions: list[LaunchDescriptionEntity] = []
    if not any(context.environment.get(variable) for variable in PROFILE_VARIABLES):
        profile = str(CONFIG / "fastdds.xml")
        actions += [SetEnvironmentVariable(variable, profile) for variable in PROFILE_VARIABLES]
    actions.append(
        Node(
            package="monodepth2_ros",
            executable="depth_node",
            name=value["name"],
            namespace=value["namespace"],
            parameters=[value["params_file"], overrides],
            remappings=list(inputs.items()),
            ros_arguments=["--log-level", f"{logger}:={value['log_level']}"],
            output="screen",
        )
    )
    if value["rviz"] == "true":
        # The configuration names the topics from the root; here they follow the node.
        topics = {**inputs, "depth/image_color": "depth/image_color", "points": "points"}
        frame = ["--fixed-frame", value["fixed_frame"]] if value["fixed_frame"] else []
        actions.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=value["namespace"],
                arguments=["--display-config", str(CONFIG / "depth.rviz"), *frame],
                parameters=[{"use_sim_time": value["use_sim_time"] == "true"}],
                remappings=[(f"/{topic}", target) for topic, target in topics.items()],
                output="log",
            )
        )
    return actions
