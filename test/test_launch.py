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
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from monodepth2_ros.node.parameters import PARAMETERS
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


class LaunchConfiguration:
    """The value of an argument."""

    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, context: Context) -> str:
        return context.launch_configurations[self.name]


def _actions_named(actions: list[Recorder], name: str) -> list[Recorder]:
    return [action for action in actions if type(action).__name__ == name]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Load a launch file with the stand-ins in place of launch."""
    modules = {
        "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
        "launch.actions": (
            *("DeclareLaunchArgument", "ExecuteProcess", "IncludeLaunchDescription"),
            *("OpaqueFunction", "SetEnvironmentVariable", "TimerAction"),
        ),
        "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
        "launch.substitutions": (),
        "launch_ros": (),
        "launch_ros.actions": ("Node",),
        "launch_ros.parameter_descriptions": ("ParameterValue",),
    }
    for name, classes in modules.items():
        module = ModuleType(name)
        for class_name in classes:
            setattr(module, class_name, type(class_name, (Recorder,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration  # type: ignore[attr-defined]

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


@pytest.mark.parametrize("file", ["depth.launch.py", "demo.launch.py"])
def test_every_argument_is_described(load: Callable[[str], ModuleType], file: str) -> None:
    for name, options in _arguments(load(file)).items():
        assert len(options["description"]) > 10, name
        assert options.get("default_value", "") in options.get(
            "choices", [options.get("default_value", "")]
        )


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


def test_overridden_parameters_exist(load: Callable[[str], ModuleType]) -> None:
    module = load("depth.launch.py")
    arguments = _arguments(module)
    given = {
        name: options.get("choices", ["something"])[-1]
        for name, options in arguments.items()
        if options["default_value"] == "" and name not in ("namespace", "camera_info")
    }
    (node,) = _actions_named(_start(module, **given), "Node")
    table = {parameter.name: parameter for parameter in PARAMETERS}
    declared = set(_overrides(node)) - {"use_sim_time"}
    assert declared <= table.keys()
    assert {"checkpoint", "device", "backend", "image_transport", "autostart"} <= declared
    for name in ("backend", "image_transport"):
        assert set(arguments[name]["choices"]) == {"", *table[name].choices}


@pytest.mark.parametrize(
    ("given", "image", "camera_info", "transport"),
    [
        ({"image": "/camera/image_raw"}, "/camera/image_raw", "/camera/camera_info", None),
        ({"image": "image_raw"}, "image_raw", "camera_info", None),
        ({"image": "/image_raw"}, "/image_raw", "/camera_info", None),
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
    assert rviz.options["package"] == "rviz2"
    assert rviz.options["namespace"] == "robot"
    assert rviz.options["arguments"] == [
        *("--display-config", str(CONFIG / "depth.rviz")),
        *("--fixed-frame", "camera_optical"),
    ]
    assert rviz.options["parameters"] == [{"use_sim_time": True}]
    remappings = dict(rviz.options["remappings"])
    assert remappings["/image"] == "/camera/image_raw"
    assert remappings["/points"] == "points"
    shown = {display["Topic"]["Value"] for display in _displays() if "Topic" in display}
    assert shown <= remappings.keys()


def test_demo_plays_after_the_node_is_started(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    _write_metadata(tmp_path, ("/camera/image_raw/compressed", "CompressedImage"))
    module = load("demo.launch.py")
    include, timer = _start(module, bag=str(tmp_path), rate="0.5", checkpoint="random")
    assert include.arguments[0].arguments == (str(REPOSITORY / "launch" / "depth.launch.py"),)
    handed_on = dict(include.options["launch_arguments"])
    assert handed_on.keys() <= _arguments(load("depth.launch.py")).keys()
    assert handed_on["image"] == "/camera/image_raw/compressed"
    assert handed_on["checkpoint"] == "random"
    assert handed_on["use_sim_time"] == "true"
    assert timer.options["period"] == 5.0
    command = timer.options["actions"][0].options["cmd"]
    assert command[:4] == ["ros2", "bag", "play", str(tmp_path)]
    assert command[command.index("--rate") + 1] == "0.5"
    assert "--clock" in command
    assert "--loop" in command
    _, timer = _start(module, bag=str(tmp_path), loop="false")
    assert "--loop" not in timer.options["actions"][0].options["cmd"]


def _write_metadata(bag: Path, *topics: tuple[str, str]) -> None:
    """Write the part of a recording's metadata.yaml that names its topics."""
    recorded = [
        {"topic_metadata": {"name": name, "type": f"sensor_msgs/msg/{kind}"}, "message_count": 1}
        for name, kind in topics
    ]
    content = {"rosbag2_bagfile_information": {"topics_with_message_count": recorded}}
    (bag / "metadata.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_demo_finds_the_colour_images(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    _write_metadata(
        tmp_path,
        ("/camera/camera_info", "CameraInfo"),
        ("/camera/depth/image_raw/compressedDepth", "CompressedImage"),
        ("/camera/image_rect", "Image"),
    )
    include, _ = _start(load("demo.launch.py"), bag=str(tmp_path))
    assert dict(include.options["launch_arguments"])["image"] == "/camera/image_rect"


def test_demo_asks_which_images(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module = load("demo.launch.py")
    with pytest.raises(RuntimeError, match=r"no metadata\.yaml"):
        _start(module, bag=str(tmp_path))
    _write_metadata(tmp_path, ("/left/image_raw", "Image"), ("/right/image_raw", "Image"))
    with pytest.raises(RuntimeError, match="image:=.*found: /left/image_raw, /right/image_raw"):
        _start(module, bag=str(tmp_path))
    include, _ = _start(module, bag=str(tmp_path), image="/left/image_raw")
    assert dict(include.options["launch_arguments"])["image"] == "/left/image_raw"


# rviz


def _displays() -> list[dict[str, Any]]:
    configuration = yaml.safe_load((CONFIG / "depth.rviz").read_text(encoding="utf-8"))
    return configuration["Visualization Manager"]["Displays"]


def test_rviz_shows_image_depth_and_cloud() -> None:
    displays = {display["Topic"]["Value"]: display for display in _displays() if "Topic" in display}
    assert displays.keys() == {"/image", "/image/compressed", "/depth/image_color", "/points"}
    for topic in ("/image", "/depth/image_color"):
        assert displays[topic]["Class"] == "rviz_default_plugins/Image"
        assert displays[topic]["Enabled"]
    cloud = displays["/points"]
    assert cloud["Class"] == "rviz_default_plugins/PointCloud2"
    assert cloud["Color Transformer"] == "RGB8"
    for display in displays.values():
        # rviz would ask for reliable, which a best-effort publisher does not serve.
        assert display["Topic"]["Reliability Policy"] == "Best Effort"


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
import json, os, sys
report = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "parameters": []}}
for flag, value in zip(sys.argv[1:], sys.argv[2:]):
    if flag == "--params-file":
        report["parameters"].append(open(value).read())
with open("{report}", "w") as file:
    json.dump(report, file)
END
"""

LAUNCH = """\
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from paths import REPOSITORY

given = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


@pytest.mark.ros
@needs_launch
def test_launch_starts_the_executable(tmp_path: Path) -> None:
    # An installation that holds nothing but an executable, which reports how it was started.
    prefix = tmp_path / "prefix"
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "monodepth2_ros"
    executable = prefix / "lib" / "monodepth2_ros" / "depth_node"
    for path in (marker, executable):
        path.parent.mkdir(parents=True)
    marker.touch()
    report = tmp_path / "report.json"
    executable.write_text(
        SHOW_PROCESS.format(python=sys.executable, report=report), encoding="utf-8"
    )
    executable.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    prefixes = [str(prefix), *filter(None, [environment.get("AMENT_PREFIX_PATH")])]
    environment.update(AMENT_PREFIX_PATH=os.pathsep.join(prefixes), ROS_LOG_DIR=str(tmp_path))
    done = subprocess.run(
        [
            *(sys.executable, "-c", LAUNCH, str(REPOSITORY / "launch" / "depth.launch.py")),
            *("image:=/camera/image_raw/compressed", "device:=0", "autostart:=false"),
            *("namespace:=robot", "name:=eye"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    started = json.loads(report.read_text(encoding="utf-8"))
    for remapping in (
        *("image:=/camera/image_raw", "camera_info:=/camera/camera_info"),
        "image/compressed:=/camera/image_raw/compressed",
        *("__node:=eye", "__ns:=/robot"),
    ):
        assert remapping in started["arguments"]
    assert "robot.eye:=info" in started["arguments"]
    from_file, overrides = (yaml.safe_load(text) for text in started["parameters"])
    assert "/**" in from_file
    (laid_over,) = overrides.values()
    assert laid_over["ros__parameters"] == {
        "device": "0",
        "image_transport": "compressed",
        "autostart": False,
    }
    assert {started["environment"].get(variable) for variable in VARIABLES} == {PROFILE}
