# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, the rviz configuration and the Fast DDS profile.

What the launch files make of their arguments is tested everywhere, with stand-ins for the few
classes of `launch` that they use. Where `launch_ros` is installed, it also starts a process, whose
command line and environment are compared.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from installation import installation

from monodepth2_ros.node.launch_arguments import (
    LaunchArgumentError,
    argument_values,
    check_params_file,
)
from monodepth2_ros.node.parameters import PARAMETERS, Parameter
from monodepth2_ros.visualization.rviz_configuration import fit_configuration
from paths import REPOSITORY

CONFIG = REPOSITORY / "config"
PROFILE = str(CONFIG / "fastdds.xml")
SEGMENT_BYTES = 64 * 2**20

needs_launch = pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None, reason="needs launch_ros (an installed ROS 2)"
)
needs_rclpy = pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None, reason="needs rclpy (ROS 2, or the extra [ros])"
)


# Stand-ins for the classes of launch, which keep what they are given.


class Recorder:
    """Any action, description or parameter value."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments = arguments
        self.options = options

    @property
    def name(self) -> Any:
        return self.arguments[0]


class Context:
    """The arguments' values and the environment."""

    def __init__(self, values: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.launch_configurations = dict(values)
        self.environment = dict(environment)
        self.is_shutdown = False


def _actions_named(actions: list[Recorder], name: str) -> list[Recorder]:
    return [action for action in actions if type(action).__name__ == name]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Load a launch file with the stand-ins in place of launch."""
    modules = {
        "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
        "launch.actions": (
            *("DeclareLaunchArgument", "EmitEvent", "ExecuteProcess", "GroupAction"),
            *("IncludeLaunchDescription", "OpaqueFunction", "RegisterEventHandler"),
            *("SetEnvironmentVariable", "TimerAction"),
        ),
        "launch.event_handlers": ("OnProcessExit", "OnProcessIO"),
        "launch.events": ("Shutdown",),
        "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
        "launch.logging": (),
        "ament_index_python": (),
        "ament_index_python.packages": (),
        "launch_ros": (),
        "launch_ros.actions": ("Node",),
        "launch_ros.parameter_descriptions": ("ParameterValue",),
    }
    for name, classes in modules.items():
        module = ModuleType(name)
        for class_name in classes:
            setattr(module, class_name, type(class_name, (Recorder,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys.modules["launch.logging"], "get_logger", logging.getLogger, False)
    index = sys.modules["ament_index_python.packages"]
    monkeypatch.setattr(index, "PackageNotFoundError", KeyError, False)
    monkeypatch.setattr(index, "get_package_prefix", {"rviz2": "/opt/ros"}.__getitem__, False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/ros/bin/{name}")

    def load_file(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location("launch_file", REPOSITORY / "launch" / name)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_file


def _arguments(module: ModuleType) -> dict[str, dict[str, Any]]:
    """The declared arguments of a launch file, by name."""
    (description,) = module.generate_launch_description().arguments
    return {a.name: a.options for a in _actions_named(description, "DeclareLaunchArgument")}


def _start(
    module: ModuleType, environment: Mapping[str, str] | None = None, **given: str
) -> list[Recorder]:
    """The actions that a launch file makes of these arguments."""
    values = {
        name: options["default_value"]
        for name, options in _arguments(module).items()
        if "default_value" in options
    }
    assert given.keys() <= _arguments(module).keys()
    (description,) = module.generate_launch_description().arguments
    (function,) = _actions_named(description, "OpaqueFunction")
    return function.options["function"](Context({**values, **given}, environment or {}))


def _overrides(node: Recorder) -> dict[str, Any]:
    """The parameters that are laid over the file's."""
    _, overrides = node.options["parameters"]
    return {
        key: value.arguments[0] if isinstance(value, Recorder) else value
        for key, value in overrides.items()
    }


@pytest.mark.parametrize("file", ["depth.launch.py", "demo.launch.py", "cameras.launch.py"])
def test_every_argument_is_described(load: Callable[[str], ModuleType], file: str) -> None:
    for name, options in _arguments(load(file)).items():
        assert len(options["description"]) > 10, name
        assert options["default_value"] in (options.get("choices") or [options["default_value"]])


def test_arguments_of_depth(load: Callable[[str], ModuleType]) -> None:
    assert _arguments(load("depth.launch.py")).keys() >= {
        *("name", "namespace", "params_file", "image", "camera_info", "checkpoint", "device"),
        *("backend", "image_transport", "rviz", "log_level", "use_sim_time", "autostart"),
    }


def test_defaults_leave_the_parameter_file_alone(load: Callable[[str], ModuleType]) -> None:
    actions = _start(load("depth.launch.py"))
    (node,) = _actions_named(actions, "Node")
    assert node.options["package"] == "monodepth2_ros"
    assert node.options["executable"] == "depth_node"
    assert node.options["name"] == "depth"
    assert node.options["parameters"][0] == str(CONFIG / "depth.yaml")
    assert _overrides(node) == {}
    assert all(source == target for source, target in node.options["remappings"])


def test_given_arguments_override_parameters(load: Callable[[str], ModuleType]) -> None:
    given = {"checkpoint": "10", "device": "cuda:0", "backend": "torch", "image_transport": "raw"}
    actions = _start(load("depth.launch.py"), use_sim_time="true", autostart="false", **given)
    (node,) = _actions_named(actions, "Node")
    assert _overrides(node) == {**given, "use_sim_time": True, "autostart": False}
    # Else YAML would make a number of "10".
    for key in given:
        assert node.options["parameters"][1][key].options == {"value_type": str}


@pytest.mark.parametrize("file", ["depth.launch.py", "demo.launch.py", "cameras.launch.py"])
def test_every_parameter_is_an_argument(load: Callable[[str], ModuleType], file: str) -> None:
    arguments = _arguments(load(file))
    for parameter in PARAMETERS:
        if parameter.name == "cameras" and file != "depth.launch.py":
            continue  # the demo has one camera, and cameras.launch.py a list with their topics
        argument = arguments[parameter.name]
        assert argument["default_value"] == ""
        assert parameter.description in argument["description"]
        if parameter.choices:
            assert set(argument["choices"]) == {"", *parameter.choices}


def _as_argument(value: Any) -> str:
    """A parameter's value as one writes it after name:=."""
    if isinstance(value, bool):
        return str(value)  # with a capital, as in Python: people write both
    return json.dumps(list(value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_any_parameter_can_be_set(load: Callable[[str], ModuleType], parameter: Parameter) -> None:
    default = parameter.default
    value = parameter.choices[-1] if parameter.choices else default
    if value == "":
        value = "0"  # a text all the same
    (node,) = _actions_named(
        _start(load("depth.launch.py"), **{parameter.name: _as_argument(value)}), "Node"
    )
    overrides = _overrides(node)
    expected = list(value) if isinstance(value, tuple) else value
    assert overrides == {parameter.name: expected}
    assert type(overrides[parameter.name]) is type(expected)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"scale": "fast"}, "scale:=fast is not of type double"),
        ({"scale": "0"}, "scale is 0.0; the least is"),
        ({"scale": "nan"}, "scale is nan; it must be finite"),
        ({"autostart": "1"}, "autostart:=1 is not a boolean; give true or false"),
        ({"rectify": "maybe"}, "rectify is 'maybe'; it must be one of auto, true, false"),
        ({"points.stride": "1.5"}, "points.stride:=1.5 is not of type int"),
        ({"points.stride": "true"}, "points.stride:=true is not of type int"),
        ({"color_range": "[1, 2, 3]"}, "color_range has 3 values; it takes 2"),
        ({"color_range": "1"}, r"color_range:=1 is not of type double\[\]"),
        ({"crop": "[0, a, 0, 0]"}, r"crop:=.* is not of type double\[\]"),
        ({"crop": "[0, 0"}, "crop:=.* cannot be read"),
        ({"use_sim_time": "sim"}, "use_sim_time:=sim is not a boolean"),
        ({"rviz": "maybe"}, "rviz:=maybe is not a boolean"),
        ({"params_file": "/nowhere/depth.yaml"}, "/nowhere/depth.yaml does not exist"),
        ({"params_file": "/"}, "params_file:=/ is a folder"),
        ({"image": "/cam/im age"}, "image:=/cam/im age cannot be the name of a topic; write"),
        ({"image": "/cam//image"}, "image:=/cam//image cannot be the name of a topic"),
        ({"image": "/0/image"}, "image:=/0/image cannot be the name of a topic"),
        ({"camera_info": "/cam/info/"}, "camera_info:=/cam/info/ cannot be the name of a topic"),
    ],
)
def test_unusable_values_are_refused(
    load: Callable[[str], ModuleType], given: dict[str, str], complaint: str
) -> None:
    with pytest.raises(LaunchArgumentError, match=complaint):
        _start(load("depth.launch.py"), **given)


def test_small_numbers_are_numbers(load: Callable[[str], ModuleType]) -> None:
    (node,) = _actions_named(_start(load("depth.launch.py"), scale="1e-3"), "Node")
    assert _overrides(node) == {"scale": 0.001}  # YAML 1.1 takes 1e-3 for text


@pytest.mark.parametrize(
    ("section", "namespace", "name", "fits"),
    [
        ("/**", "", "depth", True),
        ("depth", "", "depth", True),
        ("/depth", "", "depth", True),
        ("/robot/eye", "/robot", "eye", True),
        ("/*/eye", "robot", "eye", True),
        ("/**/eye", "a/b", "eye", True),
        ("/*/eye", "a/b", "eye", False),
        ("depth", "robot", "depth", False),
        ("controller_server", "", "depth", False),
    ],
)
def test_parameter_file_of_another_node_is_refused(
    tmp_path: Path, section: str, namespace: str, name: str, fits: bool
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"{section}:\n  ros__parameters:\n    scale: 2.0\n", encoding="utf-8")
    if fits:
        assert check_params_file(str(file), namespace, name) == file
        return
    with pytest.raises(LaunchArgumentError, match=f"{file} has no parameters for the node /"):
        check_params_file(str(file), namespace, name)


def test_parameter_file_in_nested_namespaces_and_broken_ones(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("robot:\n  eye:\n    ros__parameters: {scale: 2.0}\n", encoding="utf-8")
    assert check_params_file(str(file), "/robot", "eye") == file
    for broken in ("scale: 2.0\n", "", "- 1\n"):
        file.write_text(broken, encoding="utf-8")
        with pytest.raises(LaunchArgumentError, match="no section ros__parameters"):
            check_params_file(str(file), "", "depth")
    file.write_text("a: [1\n", encoding="utf-8")
    with pytest.raises(LaunchArgumentError, match=f"{file} cannot be read"):
        check_params_file(str(file), "", "depth")


# What was given, as launch visits a launch file that another one includes


class IncludeLaunchDescription:
    """An include and the arguments that it is given."""

    def __init__(self, inside: Any, **arguments: str) -> None:
        self.inside = [inside]
        self.launch_arguments = list(arguments.items())

    def visit(self, context: Context) -> list[Any]:
        context.launch_configurations.update(self.launch_arguments)
        return self.inside


class LaunchDescription:
    """Entities, of which some are launch files that ask for their arguments."""

    def __init__(self, *entities: Any) -> None:
        self.entities = entities

    def visit(self, context: Context) -> tuple[Any, ...]:
        return self.entities


class DeclareLaunchArgument:
    """An argument that is declared."""

    def __init__(self, name: str, default: str) -> None:
        self.name, self.default = name, default

    def visit(self, context: Context) -> tuple[()]:
        context.launch_configurations.setdefault(self.name, self.default)
        return ()


class Ask:
    """What the OpaqueFunction of a launch file does."""

    def __init__(self, **declared: str) -> None:
        self.declared = declared
        self.values: dict[str, str] = {}
        self.warnings: list[str] = []

    def visit(self, context: Context) -> tuple[()]:
        self.values = argument_values(context, self.declared, self.warnings.append)
        return ()


def visit_all_entities_and_collect_futures(entity: Any, context: Context) -> None:
    """As the function of launch by this name."""
    for inside in entity.visit(context):
        visit_all_entities_and_collect_futures(inside, context)


def _visit(entity: Any) -> None:
    visit_all_entities_and_collect_futures(entity, Context({}, {}))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("rectfy", r"rectfy \(did you mean rectify\?\)"),
        ("stride", r"stride \(did you mean points.stride\?\)"),
        ("colour_map", r"colour_map \(did you mean color_map or color_range\?\)"),
        ("scale.source", r"scale.source \(did you mean scaling.source\?\)"),
        (
            "qos_override./a.publisher.depth",
            r".* \(did you mean qos_overrides./a.publisher.depth\?\)",
        ),
        ("zzz", "zzz; --show-args"),
    ],
)
def test_unknown_arguments_are_refused_by_name(wrong: str, hint: str) -> None:
    ask = Ask(**{parameter.name: "" for parameter in PARAMETERS})
    with pytest.raises(LaunchArgumentError, match=f"unknown launch argument {hint}"):
        _visit(IncludeLaunchDescription(LaunchDescription(ask), **{wrong: "1"}))


def test_arguments_of_the_launch_file_around_are_not_unknown() -> None:
    ask = Ask(scale="")
    given = {"scale": "2", "launch-prefix": "gdb", "qos_overrides./points.publisher.depth": "3"}
    _visit(
        IncludeLaunchDescription(
            LaunchDescription(IncludeLaunchDescription(ask, **given)), robot="x", sim="true"
        )
    )
    assert ask.values == {"scale": "2", "qos_overrides./points.publisher.depth": "3"}


def test_arguments_of_one_include_do_not_reach_the_next() -> None:
    first, second, third = (Ask(autostart="", name="depth") for _ in range(3))
    _visit(
        LaunchDescription(
            IncludeLaunchDescription(first, autostart="false", name="left"),
            IncludeLaunchDescription(second, name="right"),
            IncludeLaunchDescription(third, autostart="false"),
        )
    )
    assert first.values == {"autostart": "false", "name": "left"}
    assert second.values == {"autostart": "", "name": "right"}
    assert third.values == {"autostart": "false", "name": "depth"}
    assert not first.warnings
    (warning,) = second.warnings
    assert "autostart:=false was given to another include" in warning
    assert "GroupAction" in warning


def test_arguments_of_what_is_around_still_reach_the_include() -> None:
    ask = Ask(use_sim_time="", device="", scale="")
    _visit(
        IncludeLaunchDescription(
            LaunchDescription(
                DeclareLaunchArgument("use_sim_time", "true"),
                IncludeLaunchDescription(ask, device="cpu"),
            ),
            scale="2",
        )
    )
    assert ask.values == {"use_sim_time": "true", "device": "cpu", "scale": "2"}
    assert not ask.warnings


@pytest.mark.parametrize(
    ("given", "image", "camera_info", "transport"),
    [
        ({"image": "/camera/image_raw"}, "/camera/image_raw", "/camera/camera_info", None),
        ({"image": "image_raw"}, "image_raw", "camera_info", None),
        ({"image": "/image_raw"}, "/image_raw", "/camera_info", None),
        ({"image": "~/image"}, "~/image", "~/camera_info", None),
        ({"image": "{node}_cam/image"}, "{node}_cam/image", "{node}_cam/camera_info", None),
        ({"image": "/cam/rgb/compressed"}, "/cam/rgb", "/cam/camera_info", "compressed"),
        ({"image": "/cam/rgb", "camera_info": "/calibration"}, "/cam/rgb", "/calibration", None),
        (
            {"image": "/cam/rgb", "image_transport": "compressed"},
            *("/cam/rgb", "/cam/camera_info", "compressed"),
        ),
    ],
)
def test_topics(
    load: Callable[[str], ModuleType],
    given: dict[str, str],
    image: str,
    camera_info: str,
    transport: str | None,
) -> None:
    (node,) = _actions_named(_start(load("depth.launch.py"), **given), "Node")
    assert dict(node.options["remappings"]) == {
        "image": image,
        "image/compressed": f"{image}/compressed",
        "camera_info": camera_info,
    }
    assert _overrides(node).get("image_transport") == transport


@pytest.mark.parametrize(
    ("namespace", "logger"), [("", "depth"), ("/", "depth"), ("/robot/left", "robot.left.depth")]
)
def test_log_level_is_that_of_the_node(
    load: Callable[[str], ModuleType], namespace: str, logger: str
) -> None:
    actions = _start(load("depth.launch.py"), namespace=namespace, log_level="debug")
    (node,) = _actions_named(actions, "Node")
    assert node.options["ros_arguments"] == ["--log-level", f"{logger}:=debug"]


VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def test_profile_is_set_before_the_node_starts(load: Callable[[str], ModuleType]) -> None:
    *settings, node = _start(load("depth.launch.py"), environment={VARIABLES[0]: ""})
    assert type(node).__name__ == "Node"
    assert dict(setting.arguments for setting in settings) == dict.fromkeys(VARIABLES, PROFILE)


@pytest.mark.parametrize("variable", VARIABLES)
def test_profile_of_the_user_is_kept(load: Callable[[str], ModuleType], variable: str) -> None:
    actions = _start(load("depth.launch.py"), environment={variable: "/etc/mine.xml"})
    assert not _actions_named(actions, "SetEnvironmentVariable")


def test_rviz_follows_the_node(load: Callable[[str], ModuleType]) -> None:
    given = {"image": "/camera/image_raw", "namespace": "robot", "fixed_frame": "camera_optical"}
    actions = _start(load("depth.launch.py"), rviz="true", use_sim_time="true", **given)
    _, rviz = _actions_named(actions, "Node")
    assert (rviz.options["package"], rviz.options["executable"]) == ("monodepth2_ros", "depth_rviz")
    assert rviz.options["namespace"] == "robot"
    assert rviz.options["arguments"] == [
        *("--display-config", str(CONFIG / "depth.rviz")),
        *("--fixed-frame", "camera_optical"),
    ]
    assert rviz.options["parameters"] == [{"use_sim_time": True}]
    remappings = dict(rviz.options["remappings"])
    assert remappings["/image"] == "/camera/image_raw"
    assert remappings["/points"] == "points"
    assert remappings["/depth/image_rect"] == "depth/image_rect"  # the frame is learned from it
    shown = {display["Topic"]["Value"] for display in _displays() if "Topic" in display}
    assert shown <= remappings.keys()


def test_rviz_that_is_not_installed(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    depth, demo = load("depth.launch.py"), load("demo.launch.py")
    for module in (depth, demo):
        monkeypatch.setattr(module, "get_package_prefix", {}.__getitem__)
    with pytest.raises(RuntimeError, match=r"needs rviz2, which is not installed: sudo apt"):
        _start(depth, rviz="true")
    _write_metadata(tmp_path, ("/camera/image_raw", "Image"))
    handed_on, _ = _demo(demo, bag=str(tmp_path))
    assert handed_on["rviz"] == "false"
    handed_on, _ = _demo(demo, bag=str(tmp_path), rviz="true")
    assert handed_on["rviz"] == "true"


def _demo(module: ModuleType, **given: str) -> tuple[dict[str, str], list[str]]:
    """What the demo hands on to depth.launch.py, and the command of its player."""
    timer, group = _start(module, delay="1", **given)
    _, include = group.arguments[0]
    assert include.arguments[0].arguments == (str(REPOSITORY / "launch" / "depth.launch.py"),)
    (player,) = timer.options["actions"]
    return dict(include.options["launch_arguments"]), player.options["cmd"]


def test_demo_plays_through_the_node(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    _write_metadata(tmp_path, ("/camera/image_raw/compressed", "CompressedImage"))
    module = load("demo.launch.py")
    handed_on, command = _demo(
        module, bag=str(tmp_path), rate="0.5", checkpoint="random", scale="2"
    )
    assert handed_on.keys() <= _arguments(load("depth.launch.py")).keys()
    assert handed_on["image"] == "/camera/image_raw/compressed"
    assert handed_on["checkpoint"] == "random"
    assert handed_on["scale"] == "2"
    assert handed_on["use_sim_time"] == "true"
    assert command[:4] == ["ros2", "bag", "play", str(tmp_path)]
    assert command[command.index("--rate") + 1] == "0.5"
    assert "--clock" in command
    assert "--loop" in command
    _, command = _demo(module, bag=str(tmp_path), loop="false")
    assert "--loop" not in command


def test_demo_plays_once_the_model_is_loaded(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    _write_metadata(tmp_path, ("/camera/image_raw", "Image"))
    module = load("demo.launch.py")
    start, _ = _start(module, bag=str(tmp_path))
    hear = start.arguments[0].options["on_stderr"]

    def said(process: str, text: bytes) -> Any:
        return hear(SimpleNamespace(process_name=process, text=text))

    loaded = b"[INFO] [depth]: default model: ResNet-18 at 192x128 on cpu; loaded in 5.1 s"
    assert not said("depth_node-1", b"[INFO] [depth]: something else")
    assert not said("another-2", loaded)
    (player,) = said("depth_node-1", loaded)
    assert player.options["cmd"][:3] == ["ros2", "bag", "play"]
    assert not said("depth_node-1", loaded)  # as after it is configured again
    # The node says so, in these words.
    sources = (REPOSITORY / "monodepth2_ros" / "node").glob("*.py")
    assert any("loaded in" in path.read_text(encoding="utf-8") for path in sources)
    for given in ({"log_level": "warn"}, {"autostart": "false"}):  # nothing is heard
        start, _ = _start(module, bag=str(tmp_path), **given)
        assert start.options["period"] == module.UNHEARD_DELAY
    start, _ = _start(module, bag=str(tmp_path), delay="2.5")
    assert start.options["period"] == 2.5


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"rate": "fast"}, "rate:=fast is not a finite number; write, for example, rate:=1.0"),
        ({"rate": "0"}, "rate:=0 is out of range; give a number above 0"),
        ({"rate": "-1"}, "rate:=-1 is out of range"),
        ({"rate": "inf"}, "rate:=inf is not a finite number"),
        ({"delay": "-1"}, "delay:=-1 is out of range; give at least 0"),
        ({"delay": "soon"}, "delay:=soon is not a finite number"),
        ({"loop": "twice"}, "loop:=twice is not a boolean"),
    ],
)
def test_demo_refuses_unusable_values(
    load: Callable[[str], ModuleType], tmp_path: Path, given: dict[str, str], complaint: str
) -> None:
    _write_metadata(tmp_path, ("/camera/image_raw", "Image"))
    with pytest.raises(LaunchArgumentError, match=complaint):
        _start(load("demo.launch.py"), bag=str(tmp_path), **given)


def _write_metadata(bag: Path, *topics: tuple[str, str], files: tuple[str, ...] = ()) -> None:
    """Write the part of a recording's metadata.yaml that names its topics and files."""
    recorded = [
        {"topic_metadata": {"name": name, "type": f"sensor_msgs/msg/{kind}"}, "message_count": 1}
        for name, kind in topics
    ]
    content = {
        "rosbag2_bagfile_information": {
            "topics_with_message_count": recorded,
            "relative_file_paths": list(files),
        }
    }
    (bag / "metadata.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_demo_finds_the_colour_images(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    _write_metadata(
        tmp_path,
        ("/camera/camera_info", "CameraInfo"),
        ("/camera/depth/image_raw/compressedDepth", "CompressedImage"),
        ("/camera/image_rect", "Image"),
    )
    handed_on, _ = _demo(load("demo.launch.py"), bag=str(tmp_path))
    assert handed_on["image"] == "/camera/image_rect"
    _write_metadata(tmp_path, ("/cam/image/compressed", "CompressedImage"), ("/cam/image", "Image"))
    handed_on, _ = _demo(load("demo.launch.py"), bag=str(tmp_path))
    assert handed_on["image"] == "/cam/image"  # the same camera in two transports


def test_demo_takes_the_transport_and_calibration_that_were_recorded(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = load("demo.launch.py")
    _write_metadata(
        tmp_path, ("/cam/image/compressed", "CompressedImage"), ("/calibration", "CameraInfo")
    )
    handed_on, _ = _demo(module, bag=str(tmp_path), image="/cam/image")
    assert (handed_on["image"], handed_on["camera_info"]) == (
        "/cam/image/compressed",
        "/calibration",
    )
    with pytest.raises(LaunchArgumentError, match="camera_info:=/info is not in .* it has /calibr"):
        _start(module, bag=str(tmp_path), camera_info="/info")
    _write_metadata(tmp_path, ("/cam/image", "Image"), ("/cam/camera_info", "CameraInfo"))
    handed_on, _ = _demo(module, bag=str(tmp_path))
    assert (handed_on["image"], handed_on["camera_info"]) == ("/cam/image", "")


def test_demo_takes_a_file_as_well_as_its_folder(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    module = load("demo.launch.py")
    for name in ("x_0.mcap", "x_1.mcap"):
        (tmp_path / name).touch()

    def played(file: str) -> str:
        handed_on, command = _demo(module, bag=str(tmp_path / file))
        assert handed_on["image"] == "/camera/image_rect"
        return command[3]

    # The only file of a recording is the recording; of several, the one that is named is played.
    _write_metadata(tmp_path, ("/camera/image_rect", "Image"), files=("x_0.mcap",))
    assert played("") == played("x_0.mcap") == played("metadata.yaml") == str(tmp_path)
    (tmp_path / "all" / "walk").mkdir(parents=True)
    _write_metadata(tmp_path / "all" / "walk", ("/camera/image_rect", "Image"))
    with pytest.raises(LaunchArgumentError, match="holds no recording itself; give one of .*/walk"):
        _start(module, bag=str(tmp_path / "all"))
    (tmp_path / "x_0.db3.zstd").touch()
    with pytest.raises(LaunchArgumentError, match="is compressed; give its folder"):
        _start(module, bag=str(tmp_path / "x_0.db3.zstd"))
    _write_metadata(tmp_path, ("/camera/image_rect", "Image"), files=("x_0.mcap", "x_1.mcap"))
    assert played("x_1.mcap") == str(tmp_path / "x_1.mcap")


def test_demo_reads_the_topics_of_a_file_without_metadata(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed")
    from bag_builder import Bag

    with Bag(tmp_path / "bag", storage="mcap") as bag:
        bag.image("/cam/image_raw", 10**9, np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "bag" / "metadata.yaml").unlink()
    (file,) = (tmp_path / "bag").glob("*.mcap")
    for given in (file, file.parent):
        handed_on, command = _demo(load("demo.launch.py"), bag=str(given))
        assert handed_on["image"] == "/cam/image_raw"
        assert command[3] == str(file)


def test_demo_asks_which_images(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = load("demo.launch.py")
    with pytest.raises(LaunchArgumentError, match=r"no metadata\.yaml"):
        _start(module, bag=str(tmp_path))
    with pytest.raises(LaunchArgumentError, match="no recording is given"):
        _start(module)
    with pytest.raises(LaunchArgumentError, match="does not exist .looked from /"):
        _start(module, bag=str(tmp_path / "none"))
    (tmp_path / "x.bag").touch()
    with pytest.raises(LaunchArgumentError, match="is not a rosbag2"):
        _start(module, bag=str(tmp_path / "x.bag"))
    _write_metadata(tmp_path, ("/left/image_raw", "Image"), ("/right/image_raw", "Image"))
    with pytest.raises(LaunchArgumentError, match="image:=.*: /left/image_raw, /right/image_raw"):
        _start(module, bag=str(tmp_path))
    for given in ("/left/image_raw", "left/image_raw"):
        handed_on, _ = _demo(module, bag=str(tmp_path), image=given)
        assert handed_on["image"] == given
    with pytest.raises(LaunchArgumentError, match="image:=/lft.* not in .* on /left/image_raw, /r"):
        _start(module, bag=str(tmp_path), image="/lft/image_raw")
    (tmp_path / "metadata.yaml").write_text("nothing", encoding="utf-8")
    with pytest.raises(LaunchArgumentError, match=r"metadata\.yaml cannot be read"):
        _start(module, bag=str(tmp_path))


@pytest.mark.parametrize(
    ("rviz", "process", "status", "outcome"),
    [
        ("false", "player", 0, "ends"),
        ("false", "player", 2, "'ros2 bag play' failed with status 2"),
        ("true", "player", 0, "goes on"),
        ("true", "player", 2, "'ros2 bag play' failed with status 2"),
        ("true", "depth_rviz-2", 0, "ends"),
        ("false", "depth_node-1", 1, "depth_node-1 failed with status 1"),
        ("true", "depth_node-1", 0, "ends"),
    ],
)
def test_demo_ends(
    load: Callable[[str], ModuleType],
    tmp_path: Path,
    rviz: str,
    process: str,
    status: int,
    outcome: str,
) -> None:
    _write_metadata(tmp_path, ("/camera/image_raw", "Image"))
    timer, group = _start(
        load("demo.launch.py"), bag=str(tmp_path), rviz=rviz, loop="false", delay="1"
    )
    handler, _ = group.arguments[0]
    (player,) = timer.options["actions"]
    event = SimpleNamespace(
        action=player if process == "player" else None, process_name=process, returncode=status
    )
    end = handler.arguments[0].options["on_exit"]
    if "failed" in outcome:
        with pytest.raises(RuntimeError, match=outcome):
            end(event, Context({}, {}))
        return
    actions = end(event, Context({}, {}))
    assert [type(action).__name__ for action in actions or ()] == (
        ["EmitEvent"] if outcome == "ends" else []
    )


# Several cameras


CAMERA_FILES = {
    "list": """\
- {namespace: left, image: /l/image}
- {namespace: right, image: /r/image/compressed}
""",
    "nested": """\
defaults: {threads: 2, rectify: true}
cameras:
  - namespace: /left
    image: /l/image
    points: {stride: 3}
    color_range: [1, 20]
  - namespace: right
    image: /r/image
    rectify: false
""",
}


def _cameras(load: Any, tmp_path: Path, content: str, **given: str) -> list[dict[str, str]]:
    """The arguments of the includes that cameras.launch.py makes of a list."""
    file = tmp_path / "cameras.yaml"
    file.write_text(content, encoding="utf-8")
    groups = _start(load("cameras.launch.py"), cameras=str(file), **given)
    includes = []
    for group in groups:
        assert type(group).__name__ == "GroupAction"  # else they share their arguments
        ((include,),) = group.arguments
        includes.append(dict(include.options["launch_arguments"]))
    return includes


def test_each_camera_has_a_node_of_its_own(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    assert _cameras(load, tmp_path, CAMERA_FILES["list"], scale="2") == [
        {"scale": "2", "namespace": "left", "image": "/l/image", "cameras": ""},
        {"scale": "2", "namespace": "right", "image": "/r/image/compressed", "cameras": ""},
    ]
    left, right = _cameras(load, tmp_path, CAMERA_FILES["nested"], threads="1")
    assert left["points.stride"] == "3" and json.loads(left["color_range"]) == [1, 20]
    assert (left["threads"], left["rectify"], right["rectify"]) == ("1", "true", "false")
    for camera in (left, right):
        module = load("depth.launch.py")
        (node,) = _actions_named(_start(module, **camera), "Node")
        assert node.options["namespace"] == camera["namespace"]
        assert _overrides(node)["threads"] == 1


def test_one_node_can_serve_all_cameras(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(
        "defaults: {threads: 2, max_range: 30.0}\n"
        "cameras:\n"
        "  - {namespace: /left, image: /l/image, points: {stride: 3}}\n"
        "  - {namespace: right, image: /r/image/compressed, camera_info: /r/info, max_range: 9}\n",
        encoding="utf-8",
    )
    given = {"cameras": str(file), "one_process": "true", "use_sim_time": "true"}
    actions = _start(load("cameras.launch.py"), **given, lazy="false")
    (node,) = _actions_named(actions, "Node")
    assert _overrides(node) == {
        "cameras": ["left", "right"],
        **{"threads": 2, "lazy": False, "use_sim_time": True},
        **{"left.points.stride": 3, "left.max_range": 30.0, "right.max_range": 9.0},
        "right.image_transport": "compressed",
    }
    assert dict(node.options["remappings"]) == {
        **{"left/image": "/l/image", "left/image/compressed": "/l/image/compressed"},
        **{"left/camera_info": "/l/camera_info", "right/camera_info": "/r/info"},
        **{"right/image": "/r/image", "right/image/compressed": "/r/image/compressed"},
    }


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("namespace: /a/b, image: /a", "'a/b' cannot be the name of a camera"),
        ("namespace: points, image: /a", "'points' cannot be the name of a camera"),
        ("namespace: b, image: /a, threads: 1", "threads differs between cameras"),
        ("namespace: b, image: /a, rviz: true", "camera b has rviz"),
    ],
)
def test_what_one_node_cannot_have_for_a_camera_is_refused(
    load: Callable[[str], ModuleType], tmp_path: Path, entry: str, complaint: str
) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(f"- {{namespace: front, image: /f}}\n- {{{entry}}}\n", encoding="utf-8")
    with pytest.raises(LaunchArgumentError, match=complaint):
        _start(load("cameras.launch.py"), cameras=str(file), one_process="true")


def test_several_cameras_have_no_single_image_topic(load: Callable[[str], ModuleType]) -> None:
    with pytest.raises(LaunchArgumentError, match="cameras names several"):
        _start(load("depth.launch.py"), cameras="[front,rear]", image="/front/image_raw")


def test_example_of_cameras_is_one(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    example = (CONFIG / "cameras.yaml").read_text(encoding="utf-8")
    assert [c["namespace"] for c in _cameras(load, tmp_path, example)] == ["front", "rear"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "has no list of cameras"),
        ("cameras: []", "has no list of cameras"),
        ("cameras: {front: /a}", "has no list of cameras"),
        ("camera: []", "unknown key camera; there are 'defaults' and 'cameras'"),
        ("- front", "camera 1 is 'front'; write a mapping"),
        ("- {image: /a}", "camera 1 has no namespace"),
        ("- {namespace: front}", r"camera 1 \(front\) has no image"),
        ("- {namespace: front, image: }", r"camera 1 \(front\): image has no value"),
        (
            "- {namespace: front, image: /a, rectfy: true}",
            r"camera 1 \(front\): unknown launch argument rectfy \(did you mean rectify",
        ),
        (
            "- {namespace: front, image: /a, points: {strid: 2}}",
            r"camera 1 \(front\): unknown launch argument points.strid \(did you mean points.stri",
        ),
        ("- {namespace: a, image: /a, scale: big}", r"camera 1 \(a\): scale:=big is not of type"),
        (
            "- {namespace: a, image: /a}\n- {namespace: /a/, image: /b}",
            "cameras 1 and 2 are both in namespace a",
        ),
        ("defaults: {scal: 1}\ncameras: [{namespace: a, image: /a}]", "defaults: unknown .* scal"),
        (
            "- {namespace: a, image: /a b}",
            r"camera 1 \(a\): image:=/a b cannot be the name of a to",
        ),
        ("- [", "cannot be read"),
    ],
)
def test_wrong_lists_of_cameras_are_refused(
    load: Callable[[str], ModuleType], tmp_path: Path, content: str, complaint: str
) -> None:
    with pytest.raises(LaunchArgumentError, match=complaint):
        _cameras(load, tmp_path, content)


def test_missing_lists_of_cameras_are_refused(load: Callable[[str], ModuleType]) -> None:
    with pytest.raises(LaunchArgumentError, match="no list of cameras is given"):
        _start(load("cameras.launch.py"))
    with pytest.raises(LaunchArgumentError, match="/nowhere.yaml does not exist"):
        _start(load("cameras.launch.py"), cameras="/nowhere.yaml")


# rviz


def _displays() -> list[dict[str, Any]]:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    return configuration["Visualization Manager"]["Displays"]


def test_rviz_shows_image_depth_and_cloud() -> None:
    displays = {display["Topic"]["Value"]: display for display in _displays() if "Topic" in display}
    # rviz enables an image display whose panel appears, so there is one for the camera.
    assert displays.keys() == {"/image", "/depth/image_color", "/points"}
    for topic in ("/image", "/depth/image_color"):
        assert displays[topic]["Class"] == "rviz_default_plugins/Image"
        assert displays[topic]["Enabled"]
    cloud = displays["/points"]
    assert cloud["Class"] == "rviz_default_plugins/PointCloud2"
    assert cloud["Color Transformer"] == "RGB8"
    assert cloud["Size (Pixels)"] == 3
    for display in displays.values():
        # rviz would ask for reliable, which a best-effort publisher does not serve.
        assert display["Topic"]["Reliability Policy"] == "Best Effort"


TOPIC = {"Depth", "Durability Policy", "History Policy", "Reliability Policy", "Value"}
EVERY_DISPLAY = {"Class", "Enabled", "Name", "Value"}
# From the sources of rviz 14 (Jazzy): properties of the displays, the view and the window.
PROPERTIES = {
    "rviz_default_plugins/Grid": {
        *("Alpha", "Cell Size", "Color", "Line Style", "Normal Cell Count", "Offset", "Plane"),
        *("Plane Cell Count", "Reference Frame"),
    },
    "rviz_default_plugins/Axes": {"Length", "Radius", "Reference Frame"},
    "rviz_default_plugins/Image": {
        *("Max Value", "Median window", "Min Value", "Normalize Range", "Topic"),
    },
    "rviz_default_plugins/PointCloud2": {
        *("Alpha", "Color Transformer", "Decay Time", "Position Transformer", "Selectable"),
        *("Size (Pixels)", "Size (m)", "Style", "Topic"),
    },
}
ORBIT = {
    *("Class", "Distance", "Focal Point", "Invert Z Axis", "Name", "Near Clip Distance", "Pitch"),
    *("Target Frame", "Value", "Yaw"),
}


def test_rviz_knows_every_property() -> None:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    for display in _displays():
        assert display.keys() <= PROPERTIES[display["Class"]] | EVERY_DISPLAY, display["Name"]
        assert display.get("Topic", {}).keys() <= TOPIC
    assert configuration["Visualization Manager"]["Views"]["Current"].keys() <= ORBIT
    assert [panel["Class"] for panel in configuration["Panels"]] == ["rviz_common/Displays"]
    # rviz reads these two into a variable that it does not initialise.
    geometry = configuration["Window Geometry"]
    assert geometry["Hide Left Dock"] is geometry["Hide Right Dock"] is False


def test_layout_of_rviz_names_its_panels() -> None:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    state = bytes.fromhex(configuration["Window Geometry"]["QMainWindow State"])
    names = [panel["Name"] for panel in configuration["Panels"]]
    names += [d["Name"] for d in _displays() if d["Class"] == "rviz_default_plugins/Image"]
    places = [state.find(name.encode("utf-16-be")) for name in (*names, "Tools")]
    assert min(places) > 0
    # From top to bottom: the camera's image, the depth, the displays.
    order = sorted(names, key=lambda name: state.find(name.encode("utf-16-be")))
    assert order == ["Camera image", "Depth", "Displays"]


def test_rviz_is_fitted_to_the_camera() -> None:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    fitted = fit_configuration(configuration, "cam0", image_topic="/image/compressed", depth=2.0)[
        "Visualization Manager"
    ]
    assert fitted["Global Options"]["Fixed Frame"] == "cam0"
    displays = {display["Name"]: display for display in fitted["Displays"]}
    assert displays["Grid"]["Reference Frame"] == "cam0"
    assert displays["Camera axes"]["Reference Frame"] == "cam0"
    assert displays["Camera image"]["Topic"]["Value"] == "/image/compressed"
    assert displays["Depth"]["Topic"]["Value"] == "/depth/image_color"
    view = fitted["Views"]["Current"]
    assert view["Target Frame"] == "cam0"
    assert view["Focal Point"]["Z"] == 2.0
    assert "camera_optical_frame" not in str(fitted)
    assert "camera_optical_frame" in str(configuration)  # the given one is left as it is


def test_rviz_in_a_frame_that_tf_connects() -> None:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    fitted = fit_configuration(configuration, "cam0", "map")["Visualization Manager"]
    assert fitted["Global Options"]["Fixed Frame"] == "map"
    assert fitted["Views"]["Current"]["Target Frame"] == "cam0"
    assert {d["Reference Frame"] for d in fitted["Displays"] if "Reference Frame" in d} == {"cam0"}
    # A configuration that its user has given another frame keeps it.
    configuration["Visualization Manager"]["Global Options"]["Fixed Frame"] = "odom"
    fitted = fit_configuration(configuration, "cam0")["Visualization Manager"]
    assert fitted["Global Options"]["Fixed Frame"] == "odom"
    # An image without frame_id leaves what there is.
    fitted = fit_configuration(configuration, "")["Visualization Manager"]
    assert fitted["Views"]["Current"]["Target Frame"] == "camera_optical_frame"


@pytest.mark.parametrize("scene", [0.6, 2.0, 8.0, 25.0])
def test_the_cloud_fits_the_view_near_and_far(scene: float) -> None:
    """From half the scene's median depth to three times it, seen by rviz's virtual camera."""
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    fitted = fit_configuration(configuration, "cam0", depth=scene)
    view = fitted["Visualization Manager"]["Views"]["Current"]
    distance, focus = view["Distance"], view["Focal Point"]["Z"]
    eye = focus + distance * math.sin(view["Pitch"])  # OrbitViewController::updateCamera
    assert eye < 0.0  # behind the camera
    # rviz sees 45 degrees of height; the 3D view of the window is about 1040 by 880 pixels.
    half_width = math.tan(math.radians(45.0) / 2.0) * 1040 / 880
    for depth, least, most in ((0.5, 0.55, 0.9), (1.0, 0.7, 1.1), (3.0, 0.85, 1.25)):
        extent = math.tan(math.radians(62.0) / 2.0) * depth * scene  # a usual camera's
        assert least < extent / (half_width * (depth * scene - eye)) < most


# Fast DDS


def test_profile_names_its_transports() -> None:
    space = "{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}"
    root = ElementTree.parse(PROFILE).getroot()
    defined = {
        descriptor.findtext(f"{space}transport_id"): descriptor
        for descriptor in root.iter(f"{space}transport_descriptor")
    }
    participant = root.find(f"{space}profiles/{space}participant")
    assert participant is not None
    assert participant.get("is_default_profile") == "true"
    used = participant.find(f"{space}rtps/{space}userTransports")
    assert used is not None
    assert [element.text for element in used] == list(defined)
    types = {d.findtext(f"{space}type"): d for d in defined.values()}
    assert types.keys() == {"SHM", "UDPv4"}
    assert int(types["SHM"].findtext(f"{space}segment_size") or 0) == SEGMENT_BYTES


LARGEST_SEGMENT = """\
import os, re, rclpy
rclpy.init()
node = rclpy.create_node("segment")
files = re.findall(r"/dev/shm/\\S+", open("/proc/self/maps").read())
largest = max(map(os.path.getsize, files), default=0)
print(rclpy.utilities.get_rmw_implementation_identifier(), largest)
node.destroy_node()
rclpy.shutdown()
"""


@pytest.mark.slow
@pytest.mark.ros
@needs_rclpy
def test_profile_is_honoured_by_fast_dds() -> None:
    if not Path("/dev/shm").is_dir() or shutil.disk_usage("/dev/shm").free < 4 * SEGMENT_BYTES:
        pytest.skip("needs 256 MB in /dev/shm")
    sizes = []
    for profile in (None, PROFILE):
        environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        if profile is not None:
            environment.update(dict.fromkeys(VARIABLES, profile))
        done = subprocess.run(
            [sys.executable, "-c", LARGEST_SEGMENT],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        middleware, size = done.stdout.split()
        if "fastrtps" not in middleware:
            pytest.skip(f"the middleware is {middleware}")
        sizes.append(int(size))
    assert sizes[0] < SEGMENT_BYTES <= sizes[1]


# The real launch

SHOW_PROCESS = """\
#!/bin/sh
exec "{python}" - "$@" <<'END'
import fcntl, json, os, sys
report = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "parameters": []}}
for flag, value in zip(sys.argv[1:], sys.argv[2:]):
    if flag == "--params-file":
        report["parameters"].append(open(value).read())
with open("{report}", "a+") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    reports = json.loads(file.read() or "[]")
    file.truncate(0)
    json.dump([*reports, report], file)
END
"""

LAUNCH = """\
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

given = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


# The node as the demo meets it: it has loaded its model, and works until ctrl-C.
WORK_UNTIL_INTERRUPTED = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: os._exit(0))
print("the model is loaded in 0.1 s", flush=True)
time.sleep(100)
"""


def _launch(
    tmp_path: Path, file: Path, *arguments: str, works: bool = False
) -> subprocess.CompletedProcess[str]:
    """Launch a file where every executable of the package only reports how it was started.

    With `works` the node goes on after that, and the command ros2 reports how it was started.
    """
    executable, prefixes = installation(tmp_path / "prefix")
    report = tmp_path / "report.json"
    show = SHOW_PROCESS.format(python=sys.executable, report=report)
    ros2 = tmp_path / "bin" / "ros2"
    ros2.parent.mkdir(exist_ok=True)
    for path in (executable, ros2):
        more = WORK_UNTIL_INTERRUPTED if works and path == executable else ""
        path.write_text(show.replace("\nEND\n", f"{more}\nEND\n"), encoding="utf-8")
        path.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    environment.update(AMENT_PREFIX_PATH=prefixes, ROS_LOG_DIR=str(tmp_path))
    environment["PATH"] = os.pathsep.join([str(ros2.parent), environment.get("PATH", "")])
    return subprocess.run(
        [sys.executable, "-c", LAUNCH, str(file), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _laid_over(report: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that launch lays over the files, from what a node reports."""
    # launch_ros writes a list as a Python tuple; rcl reads past the tag.
    (parameters,) = yaml.unsafe_load(report["parameters"][-1]).values()
    values: dict[str, Any] = parameters["ros__parameters"]
    return values


@pytest.mark.ros
@needs_launch
def test_launch_starts_the_executable(tmp_path: Path) -> None:
    # An installation that holds nothing but an executable, which reports how it was started.
    done = _launch(
        tmp_path,
        REPOSITORY / "launch" / "depth.launch.py",
        *("image:=/camera/image_raw/compressed", "device:=0", "autostart:=false"),
        *("namespace:=robot", "name:=eye", "scale:=2", "points.stride:=3", "color_range:=[1, 20]"),
        "qos_overrides./points.publisher.reliability:=best_effort",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (started,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for remapping in (
        *("image:=/camera/image_raw", "camera_info:=/camera/camera_info"),
        "image/compressed:=/camera/image_raw/compressed",
        *("__node:=eye", "__ns:=/robot"),
    ):
        assert remapping in started["arguments"]
    assert "robot.eye:=info" in started["arguments"]
    # launch_ros writes a list as a Python tuple; rcl reads past the tag.
    from_file, overrides = (yaml.unsafe_load(text) for text in started["parameters"])
    assert "/**" in from_file
    (laid_over,) = overrides.values()
    assert laid_over["ros__parameters"] == {
        "device": "0",
        "image_transport": "compressed",
        "autostart": False,
        "scale": 2.0,
        "points.stride": 3,
        "color_range": (1.0, 20.0),
        "qos_overrides./points.publisher.reliability": "best_effort",
    }
    assert {started["environment"].get(variable) for variable in VARIABLES} == {PROFILE}


@pytest.mark.ros
@needs_launch
@pytest.mark.parametrize("file", ["depth.launch.py", "demo.launch.py", "cameras.launch.py"])
def test_launch_refuses_an_unknown_argument(tmp_path: Path, file: str) -> None:
    done = _launch(tmp_path, REPOSITORY / "launch" / file, "rectfy:=true")
    assert done.returncode == 1
    assert "unknown launch argument rectfy (did you mean rectify?)" in done.stdout + done.stderr


TWO_INCLUDES = """\
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

def include(**arguments):
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource({source!r}), launch_arguments=arguments.items()
    )

def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("robot", default_value="r2d2"),
        include(name="one", autostart="false", scale="2"),
        include(name="two", scle="3"),
    ])
"""


@pytest.mark.ros
@needs_launch
def test_launch_refuses_an_unknown_argument_of_an_include(tmp_path: Path) -> None:
    around = tmp_path / "robot.launch.py"
    source = str(REPOSITORY / "launch" / "depth.launch.py")
    around.write_text(TWO_INCLUDES.format(source=source), encoding="utf-8")
    done = _launch(tmp_path, around, "robot:=c3po")
    assert done.returncode == 1
    assert "unknown launch argument scle (did you mean scale?)" in done.stdout + done.stderr
    around.write_text(
        TWO_INCLUDES.format(source=source).replace("scle", "max_range"), encoding="utf-8"
    )
    done = _launch(tmp_path, around, "robot:=c3po")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "autostart:=false was given to another include" in done.stdout + done.stderr
    started = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    laid_over = {}
    for report in started:
        (name,) = [a for a in report["arguments"] if a.startswith("__node:=")]
        laid_over[name] = _laid_over(report)
    assert laid_over["__node:=one"] == {"autostart": False, "scale": 2.0}
    assert laid_over["__node:=two"] == {"max_range": 3.0}


@pytest.mark.ros
@needs_launch
def test_launch_starts_a_node_for_each_camera(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(CAMERA_FILES["nested"], encoding="utf-8")
    done = _launch(
        tmp_path,
        REPOSITORY / "launch" / "cameras.launch.py",
        *(f"cameras:={tmp_path}/cameras.yaml", "scale:=2"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    laid_over = {}
    for report in reports:
        (namespace,) = [a for a in report["arguments"] if a.startswith("__ns:=")]
        laid_over[namespace] = _laid_over(report)
        assert "image:=/l/image" in report["arguments"] or namespace == "__ns:=/right"
    assert laid_over.keys() == {"__ns:=/left", "__ns:=/right"}
    assert laid_over["__ns:=/left"]["points.stride"] == 3
    assert laid_over["__ns:=/right"].keys() == {"scale", "threads", "rectify"}


@pytest.mark.ros
@needs_launch
def test_launch_starts_one_node_for_all_cameras(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(CAMERA_FILES["list"], encoding="utf-8")
    done = _launch(
        tmp_path,
        REPOSITORY / "launch" / "cameras.launch.py",
        *(f"cameras:={tmp_path}/cameras.yaml", "one_process:=true", "backend:=openvino"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "left/image:=/l/image" in report["arguments"]
    laid_over = _laid_over(report)
    assert list(laid_over["cameras"]) == ["left", "right"]
    assert laid_over["right.image_transport"] == "compressed"


NESTED = """\
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import PushRosNamespace

def include(file, **arguments):
    source = PythonLaunchDescriptionSource(file)
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())

def generate_launch_description():
    front = include({depth!r}, image="camera/image", name="eye", rotate="180")
    return LaunchDescription([
        DeclareLaunchArgument("sim", default_value="true"),
        GroupAction([
            PushRosNamespace("robot"),
            GroupAction([PushRosNamespace("front"), front]),
            include({depth!r}, image="/r", use_sim_time=LaunchConfiguration("sim")),
        ]),
        include({depth!r}, image="/other/image", namespace="other"),
        GroupAction([PushRosNamespace("all"), include(
            {cameras!r}, cameras={list!r}, max_range="9"
        )]),
    ])
"""


@pytest.mark.ros
@needs_launch
def test_launch_in_groups_and_namespaces(tmp_path: Path) -> None:
    """Nodes and parameter files follow the namespaces that are pushed, arguments their include."""
    folder = REPOSITORY / "launch"
    (tmp_path / "cameras.yaml").write_text(CAMERA_FILES["list"], encoding="utf-8")
    robot = tmp_path / "robot.launch.py"
    robot.write_text(
        NESTED.format(
            depth=str(folder / "depth.launch.py"),
            cameras=str(folder / "cameras.launch.py"),
            list=str(tmp_path / "cameras.yaml"),
        ),
        encoding="utf-8",
    )
    around = tmp_path / "around.launch.py"
    around.write_text(
        NESTED[: NESTED.index("    front")]
        + f"    return LaunchDescription([include({str(robot)!r}, sim='false')])\n",
        encoding="utf-8",
    )
    done = _launch(tmp_path, around)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is not used here" not in done.stdout + done.stderr
    found = {}
    for report in json.loads((tmp_path / "report.json").read_text(encoding="utf-8")):
        words = dict(word.split(":=", 1) for word in report["arguments"] if ":=" in word)
        laid_over = {}
        if len(report["parameters"]) > 1:
            ((_, parameters),) = yaml.unsafe_load(report["parameters"][-1]).items()
            laid_over = parameters["ros__parameters"]
        name = f"{words['__ns'].rstrip('/')}/{words['__node']}"
        assert words[name.strip("/").replace("/", ".")] == "info"  # the logger of --log-level
        found[name] = (words["image"], laid_over)
    assert found == {
        "/robot/front/eye": ("camera/image", {"rotate": 180}),
        "/robot/depth": ("/r", {"use_sim_time": False}),
        "/other/depth": ("/other/image", {}),
        "/all/left/depth": ("/l/image", {"max_range": 9.0}),
        "/all/right/depth": ("/r/image", {"max_range": 9.0, "image_transport": "compressed"}),
    }


@pytest.mark.ros
@needs_launch
@pytest.mark.parametrize("given", [".", "x_0.mcap", "metadata.yaml"])
def test_launch_plays_a_recording_and_ends_with_it(tmp_path: Path, given: str) -> None:
    bag = tmp_path / "walk"
    bag.mkdir()
    (bag / "x_0.mcap").touch()
    topics = (("/cam/image/compressed", "CompressedImage"), ("/cam/camera_info", "CameraInfo"))
    _write_metadata(bag, *topics, files=("x_0.mcap",))
    done = _launch(
        tmp_path,
        REPOSITORY / "launch" / "demo.launch.py",
        *(f"bag:=walk/{given}", "loop:=false", "rviz:=false", "rate:=2", "rotate:=90"),
        works=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    node, player = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "image:=/cam/image" in node["arguments"]
    (parameters,) = yaml.unsafe_load(node["parameters"][-1]).values()
    assert parameters["ros__parameters"] == {
        **{"image_transport": "compressed", "rotate": 90, "use_sim_time": True}
    }
    assert player["arguments"][:3] == ["bag", "play", "walk"]
    assert player["arguments"][player["arguments"].index("--rate") + 1] == "2"
    assert "--loop" not in player["arguments"]
