# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node, in one table.

The node declares its parameters from this table, and docs/make_parameters.py writes
config/depth.yaml and the table of docs/reference/node.md from it. Nothing else states a default.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monodepth2_ros.options import BACKENDS, COLOR_MAPS, PRECISIONS, RECTIFY, read_scale_sources

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node


@dataclass(frozen=True)
class Parameter:
    """One ROS parameter.

    Attributes
    ----------
    name : str
    default : bool, int, float, str, tuple of float or tuple of str
        Gives the type.
    description : str
    choices : tuple of str
        The values a string may have; empty for any.
    minimum, maximum : float or None
        Inclusive range of a number, or of each number of an array.
    step : int
        An integer must be a multiple of it.
    live : bool
        Whether it can change while the node is configured; else it is read on configure.
    of_process : bool
        Whether it is the same for all cameras of a node.
    is_switch : bool
        A string with the choices "true" and "false", which may be given as a boolean too: YAML
        and the command line read these words as booleans.
    """

    name: str
    default: bool | int | float | str | tuple[float, ...] | tuple[str, ...]
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: int = 1
    live: bool = False
    is_switch: bool = False
    of_process: bool = False

    @property
    def type_name(self) -> str:
        """The type, as it is called in ROS documentation."""
        if self.is_list_of_names:
            return "string[]"
        if isinstance(self.default, tuple):
            return "double[]"
        return {bool: "bool", int: "int", float: "double", str: "string"}[type(self.default)]

    @property
    def is_list_of_names(self) -> bool:
        """Whether it is an array of strings."""
        return isinstance(self.default, tuple) and isinstance(self.default[0], str)

    def plain(self, value: Any) -> Any:
        """Return an array as a list and a switch as a string, as they compare; others as is."""
        if self.is_switch and isinstance(value, bool):
            return str(value).lower()
        return list(value) if isinstance(self.default, tuple) and value is not None else value

    def check(self, value: Any) -> str | None:
        """Return why a value is refused, or None if it is fine.

        Parameters
        ----------
        value : bool, int, float, str or sequence of float or str
            Value of the parameter's type, which ROS has checked, or None for a parameter without
            value.
        """
        if value is None:
            return f"{self.name} has no value; it takes a {self.type_name}"
        if self.choices and value not in self.choices:
            return f"{self.name} is '{value}'; it must be one of {', '.join(self.choices)}"
        if self.is_list_of_names:
            return _check_camera_names(self.name, value)
        if isinstance(self.default, tuple):
            if len(value) != len(self.default):
                return f"{self.name} has {len(value)} values; it takes {len(self.default)}"
            numbers = list(value)
        elif isinstance(self.default, bool | str):
            numbers = []
        else:
            numbers = [value]
        for number in numbers:
            if not math.isfinite(number):
                return f"{self.name} is {number}; it must be finite"
            if self.minimum is not None and number < self.minimum:
                return f"{self.name} is {number}; the least is {self.minimum:g}"
            if self.maximum is not None and number > self.maximum:
                return f"{self.name} is {number}; the most is {self.maximum:g}"
            if self.step > 1 and number % self.step:
                return f"{self.name} is {number}; it must be a multiple of {self.step}"
        return None


PARAMETERS: tuple[Parameter, ...] = (
    # The model
    Parameter(
        "checkpoint",
        "",
        "Model: a .safetensors file, a folder with encoder.pth and depth.pth, OpenVINO IR "
        "(.xml), 'random' for "
        "untrained weights, or empty (or 'default') for the one that the package ships.",
        of_process=True,
    ),
    Parameter(
        "backend",
        "auto",
        "What runs the network. auto: torch where there is CUDA, else OpenVINO where it is "
        "installed, else torch.",
        choices=BACKENDS,
        of_process=True,
    ),
    Parameter(
        "device", "auto", "auto, cpu, cuda or cuda:N. auto: CUDA if there is any.", of_process=True
    ),
    Parameter(
        "precision",
        "auto",
        "Arithmetic of the convolutions. auto: fp16 on CUDA; on a CPU bf16 where it is faster "
        "and keeps the depth (measured once), else fp32.",
        choices=PRECISIONS,
        of_process=True,
    ),
    Parameter(
        "threads",
        0,
        "CPU threads of the network; 0: all cores or, where OpenVINO measures on a busy machine "
        "that it is as good, one.",
        minimum=0,
        maximum=1024,
        of_process=True,
    ),
    Parameter(
        "cache_dir",
        "",
        "Folder for converted OpenVINO models; empty for ~/.cache/monodepth2_ros.",
        of_process=True,
    ),
    Parameter(
        "batch_cameras",
        "auto",
        "Compute frames of several cameras that wait at the same time together, those of one image "
        "size in one batch. auto: with torch, not with OpenVINO, which gains nothing by it.",
        choices=("auto", "true", "false"),
        is_switch=True,
        of_process=True,
    ),
    Parameter(
        "crop",
        (-1.0, -1.0, -1.0, -1.0),
        "Fractions of the image to remove at the left, top, right and bottom before the network; "
        "four times -1 for the checkpoint's own crop.",
        minimum=-1.0,
        maximum=0.99,
    ),
    # The input
    Parameter(
        "cameras",
        ("",),
        "Names of the cameras that this node serves with one model: each has its topics in a "
        "namespace of its name ('front/image', 'front/points'), and parameters of its own where "
        "they are given ('front.max_range'). One empty name: one camera, without a namespace.",
        of_process=True,
    ),
    Parameter(
        "image_transport",
        "raw",
        "raw subscribes to 'image', compressed to 'image/compressed' (JPEG, PNG).",
        choices=("raw", "compressed"),
    ),
    Parameter(
        "rectify",
        "auto",
        "Whether to rectify the image here, with camera_info. auto: an image with distortion "
        "or a rotation R whose topic is not named rectified (image_rect, rect/image). false: "
        "the image is rectified already.",
        choices=RECTIFY,
        is_switch=True,
    ),
    Parameter(
        "camera_info_frame",
        "same",
        "Which camera_info is used. same: only one whose frame_id is the image's, or one of "
        "the two is empty. any: whatever its frame.",
        choices=("same", "any"),
    ),
    Parameter(
        "scale_camera_info",
        False,
        "Scale a camera_info of another size and the same aspect to the image, for drivers "
        "that resize images without it.",
    ),
    Parameter(
        "bit_depth",
        0,
        "Bits that images with 16-bit samples (mono16, 16UC1) use; 0 for all 16, with a "
        "warning if mono16 uses fewer. 16UC1 needs a number here, as it is the encoding of "
        "depth.",
        minimum=0,
        maximum=16,
    ),
    Parameter(
        "pairing",
        "stamp",
        "How an image finds its camera_info. stamp: equal stamps within pairing_tolerance. latest: "
        "the last one received, for cameras that publish it once (latched) or rarely.",
        choices=("stamp", "latest"),
    ),
    Parameter(
        "pairing_tolerance",
        0.001,
        "Largest difference of the stamps of an image and its camera_info, in seconds.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    Parameter(
        "input_reliability",
        "auto",
        "QoS reliability of the image subscription. auto: reliable where all publishers offer it, "
        "so that no image gets lost, else best effort, which hears every publisher.",
        choices=("auto", "best_effort", "reliable"),
    ),
    Parameter(
        "input_depth",
        1,
        "QoS depth of the image subscription; 1 keeps the newest frame only.",
        minimum=1,
        maximum=1000,
    ),
    Parameter(
        "lazy",
        True,
        "Subscribe to the camera only while someone subscribes to an output.",
    ),
    Parameter(
        "rotate",
        0,
        "Turn the image clockwise before the network, in degrees: 0, 90, 180 or 270. For cameras "
        "that are mounted on their side or upside down.",
        minimum=0,
        maximum=270,
        step=90,
    ),
    Parameter(
        "max_image_pixels",
        40_000_000,
        "Larger images are refused, compressed ones before they are decoded: a few kilobytes can "
        "declare an image of gigabytes.",
        minimum=1,
        maximum=2_000_000_000,
        live=True,
    ),
    # The outputs
    Parameter(
        "output_reliability",
        "reliable",
        "QoS reliability of the outputs. reliable serves subscribers of either kind (rviz asks for "
        "reliable by default); best_effort spares the resends on a weak network.",
        choices=("best_effort", "reliable"),
    ),
    Parameter(
        "output_depth",
        1,
        "QoS depth of the outputs.",
        minimum=1,
        maximum=1000,
    ),
    Parameter(
        "output_frame",
        "",
        "frame_id of the outputs; empty for that of the image. It must be an optical frame: x "
        "right, y down, z forward in the image (after 'rotate').",
    ),
    Parameter(
        "output_size",
        "network",
        "Size of depth, picture and cloud: the network's, or the image's pixel for pixel, with NaN "
        "where the crop has no depth.",
        choices=("network", "image"),
        live=True,
    ),
    Parameter(
        "depth_encoding",
        "32FC1",
        "Encoding of depth/image_rect: metres, or millimetres with 0 for unknown.",
        choices=("32FC1", "16UC1"),
        live=True,
    ),
    Parameter(
        "scale",
        1.0,
        "Multiplies depth, after the checkpoint's own scale. Turns a monocular model's depth into "
        "metres for the camera it was measured with.",
        minimum=1e-6,
        maximum=1e6,
        live=True,
    ),
    Parameter(
        "scaling.source",
        "fixed",
        "Where the factor to metres comes from. fixed: 'scale' alone. odometry: topic 'odom'; "
        "camera_height: the ground and scaling.camera_height; range: topics 'scan', 'range', "
        "'range/points' or 'range/depth'. Several are joined by '+', such as odometry+range.",
    ),
    Parameter(
        "scaling.camera_height",
        0.0,
        "Height of the camera above the ground, in metres, for the source camera_height.",
        minimum=0.0,
        maximum=1000.0,
        live=True,
    ),
    Parameter(
        "scaling.time_constant",
        0.1,
        "How fast measurements of the factor are forgotten, in seconds: shorter follows the "
        "scene, longer is steadier.",
        minimum=0.01,
        maximum=1000.0,
        live=True,
    ),
    Parameter(
        "scaling.require",
        0.0,
        "Publish depth and points only while the factor is known this well: its relative "
        "standard deviation, such as 0.1; 0 publishes always.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    Parameter(
        "scaling.mounting",
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "Pose of the camera (x ahead, y left, z up) in the child frame of the odometry: x, y, "
        "z in metres, roll, pitch, yaw in radians. All 0: from /tf_static, where tf2_msgs is "
        "installed. Not used for odometry of the camera's own frame.",
        minimum=-1000.0,
        maximum=1000.0,
    ),
    Parameter(
        "scaling.range_mounting",
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "Pose of the range sensor in the camera (x ahead, y left, z up): x, y, z in metres, "
        "roll, pitch, yaw in radians. All 0: from /tf_static, where tf2_msgs is installed.",
        minimum=-1000.0,
        maximum=1000.0,
    ),
    Parameter(
        "min_range",
        0.1,
        "Depth below is NaN, in metres.",
        minimum=0.0,
        maximum=1e6,
        live=True,
    ),
    Parameter(
        "max_range",
        100.0,
        "Depth beyond is NaN, in metres.",
        minimum=1e-3,
        maximum=1e6,
        live=True,
    ),
    Parameter(
        "points.stride",
        1,
        "Keep every n-th row and column of the cloud.",
        minimum=1,
        maximum=64,
        live=True,
    ),
    Parameter(
        "points.max_range",
        0.0,
        "Points farther away are left out, in metres; 0 for max_range alone.",
        minimum=0.0,
        maximum=1e6,
        live=True,
    ),
    Parameter(
        "points.far_filter",
        0.001,
        "Drop points at the far end of the network's range, such as the sky: those where its "
        "inverse depth is within this share of the range from the farthest (0.001 is beyond 50 m "
        "for a model of 0.1 to 100 m); 0 keeps all.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    ),
    Parameter(
        "points.edge_filter",
        0.1,
        "Drop points at depth edges, which trail from an object to what is behind it: the second "
        "difference of disparity, relative to it, from which on there is an edge; 0 keeps all.",
        minimum=0.0,
        maximum=10.0,
        live=True,
    ),
    Parameter(
        "color_map",
        "magma",
        "Colours of depth/image_color; near is bright.",
        choices=COLOR_MAPS,
        live=True,
    ),
    Parameter(
        "color_range",
        (0.0, 0.0),
        "Nearest and farthest depth of depth/image_color, in metres; zeros adapt to the scene.",
        minimum=0.0,
        maximum=1e6,
        live=True,
    ),
    # The node
    Parameter(
        "autostart",
        True,
        "Configure and activate at start, without a lifecycle manager.",
        of_process=True,
    ),
    Parameter(
        "diagnostics_period",
        1.0,
        "Seconds between messages on /diagnostics.",
        minimum=0.1,
        maximum=3600.0,
        live=True,
        of_process=True,
    ),
)


BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}

#: Names of today by names of before, which parameter files and command lines may still have.
#: `scale` and `scale.source` cannot both stand in a YAML file, as `ros2 param dump` writes it.
RENAMED = {
    name.replace("scaling.", "scale."): name for name in BY_NAME if name.startswith("scaling.")
}

# Parameters of rclpy itself that may stand in a parameter file.
_ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")


# A name is a part of topics and of parameters.
_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# No camera is named like a parameter: `front` and `front.max_range` cannot both stand in a YAML
# file.
_TAKEN_NAMES = {name.split(".")[0] for name in BY_NAME} | set(_ROS_PARAMETERS)


def _check_camera_names(parameter: str, names: list[str]) -> str | None:
    """Return why names of cameras are refused, or None."""
    if list(names) == [""]:
        return None
    if not names:
        return f"{parameter} is empty; name the cameras, such as [front, rear]"
    for index, name in enumerate(names):
        if not _CAMERA_NAME.fullmatch(name):
            return (
                f"{parameter}: '{name}' cannot be the name of a camera; use letters, digits and _, "
                "a letter first"
            )
        if name in _TAKEN_NAMES:
            return (
                f"{parameter}: '{name}' cannot be the name of a camera, as it is that of a "
                f"parameter; call it, for example, {name}_camera"
            )
        if name in names[:index]:
            return f"{parameter} names '{name}' twice; their outputs would mix"
    return None


def check_together(values: Mapping[str, Any]) -> str | None:
    """Return why values that are fine one by one do not fit together, or None.

    Parameters
    ----------
    values : mapping of str to value
        All parameters.
    """
    if values["min_range"] >= values["max_range"]:
        return (
            f"min_range is {values['min_range']:g} and max_range {values['max_range']:g}; the "
            "first must be the smaller"
        )
    near, far = values["color_range"]
    if (near, far) != (0.0, 0.0) and not 0.0 < near < far:
        return f"color_range is [{near:g}, {far:g}]; give near < far above 0, or two zeros"
    try:
        sources = read_scale_sources(values["scaling.source"])
    except ValueError as error:
        return str(error)
    if sources and values["rotate"]:
        return (
            f"scaling.source is '{values['scaling.source']}' and rotate {values['rotate']}; the "
            "factor is not measured on turned images. Set one of them back ('fixed', or 0)"
        )
    if "camera_height" in sources and values["scaling.camera_height"] <= 0.0:
        return (
            f"scaling.camera_height is {values['scaling.camera_height']:g}; the source "
            "camera_height needs the height of the camera above the ground in metres"
        )
    crop = values["crop"]
    if any(part < 0.0 for part in crop) and any(part != -1.0 for part in crop):
        return (
            f"crop is {list(crop)}; give four fractions of at least 0, or four times -1 for the "
            "checkpoint's own crop"
        )
    if crop[0] + crop[2] >= 1.0 or crop[1] + crop[3] >= 1.0:
        return f"crop is {list(crop)}; it leaves no image"
    return None


def declare_parameters(node: Node) -> dict[str, Any]:
    """Declare every parameter of the table on a node and warn about unknown names.

    Parameters
    ----------
    node : rclpy.node.Node

    Returns
    -------
    dict of str to value
        The values, from the command line, a parameter file or the defaults.

    Raises
    ------
    ValueError
        If a value has the wrong type, is out of range or does not fit the others.
    """
    _take_old_names(node)
    values = {parameter.name: _declare(node, parameter.name, parameter) for parameter in PARAMETERS}
    refusal = check_together(values)
    if refusal:
        raise ValueError(f"parameter {refusal}")
    # rclpy has no public way to ask which overrides nobody declared.
    for name in getattr(node, "_parameter_overrides", {}):
        if is_known(name, values["cameras"]) or name.split(".")[0] in _ROS_PARAMETERS:
            continue
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        camera, _, rest = name.partition(".")
        if camera in values["cameras"] and rest in BY_NAME:
            hint = f"; {rest} is the same for all cameras, set it without '{camera}.'"
        node.get_logger().warning(f"parameter '{name}' is unknown and ignored{hint}")
    return values


def _take_old_names(node: Node) -> None:
    """Give values that come under an old name to the parameter of today, with a warning."""
    from rclpy.parameter import Parameter as RosParameter

    # rclpy has no public way to change overrides before parameters are declared.
    overrides = getattr(node, "_parameter_overrides", {})
    for name in list(overrides):
        old = next((one for one in RENAMED if name == one or name.endswith(f".{one}")), None)
        if old is None:
            continue
        new = name.removesuffix(old) + RENAMED[old]
        given = overrides.pop(name)
        overrides.setdefault(new, RosParameter(new, given.type_, given.value))
        node.get_logger().warning(f"parameter '{name}' is called '{new}' now; change the name")


def is_known(name: str, cameras: Sequence[str]) -> bool:
    """Return whether there is a parameter of a name, of the node or of one of its cameras."""
    return name in BY_NAME or camera_parameter(name, cameras) is not None


def camera_parameter(name: str, cameras: Sequence[str]) -> tuple[str, Parameter] | None:
    """Return camera and parameter of a name such as "front.max_range", or None."""
    camera, _, rest = name.partition(".")
    parameter = BY_NAME.get(rest)
    if not camera or camera not in cameras or parameter is None or parameter.of_process:
        return None
    return camera, parameter


def declare_camera_parameters(node: Node, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Declare those parameters of single cameras that are given.

    Parameters
    ----------
    node : rclpy.node.Node
    values : mapping of str to value
        Result of :func:`declare_parameters`.

    Returns
    -------
    dict of str to dict
        For each camera the values that differ from the node's.

    Raises
    ------
    ValueError
        As :func:`declare_parameters`, with the camera.
    """
    found: dict[str, dict[str, Any]] = {camera: {} for camera in values["cameras"]}
    for name in getattr(node, "_parameter_overrides", {}):
        known = camera_parameter(name, values["cameras"])
        if known is not None:
            camera, parameter = known
            found[camera][parameter.name] = _declare(node, name, parameter)
    for camera, own in found.items():
        refusal = check_together({**values, **own})
        if refusal:
            raise ValueError(f"parameters of camera '{camera}': {refusal}")
    return found


def _declare(node: Node, name: str, parameter: Parameter) -> Any:
    """Declare one parameter, unless that is done, and return its value."""
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    default = parameter.default
    value = list(default) if isinstance(default, tuple) else default
    try:
        if node.has_parameter(name):
            declared = node.get_parameter(name)
        else:
            declared = node.declare_parameter(name, value, _descriptor(parameter))
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        of_integers = "of type 'INTEGER" in str(error) and "type 'DOUBLE" in str(error)
        hint = " (write a number with a decimal point)" if of_integers else ""
        raise ValueError(f"parameter {name}: {error}{hint}") from error
    plain = parameter.plain(declared.value)
    refusal = parameter.check(plain)
    if refusal:
        raise ValueError(f"parameter {name.removesuffix(parameter.name)}{refusal}")
    return plain


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    """Describe a parameter to ROS."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    descriptor = ParameterDescriptor(
        description=parameter.description, dynamic_typing=parameter.is_switch
    )
    if parameter.choices:
        descriptor.additional_constraints = f"one of {', '.join(parameter.choices)}"
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None:
        return descriptor
    if isinstance(parameter.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif isinstance(parameter.default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=int(low), to_value=int(high), step=parameter.step)
        ]
    return descriptor
