# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node as the commands of ros2cli see it: ros2 param, lifecycle, node and topic."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

NEEDED = ("rclpy", "ros2cli", "ros2lifecycle", "ros2node", "ros2param", "ros2topic")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (an installed ROS 2)"),
]

PROGRAM = "import sys; from ros2cli.cli import main; sys.exit(main())"
NAME = "/depth"

# rclpy never sets what it has declared read-only itself, in no node.
READ_ONLY = ("qos_overrides.", "start_type_description_service")


def ros2(*words: str) -> str:
    """Run a command of ros2cli and return what it prints, errors included."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "--no-daemon", "--spin-time", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    return done.stdout


@pytest.fixture
def node(tmp_path: Path) -> Any:
    """A node with the default topics, active, and a domain of its own for it and the commands."""
    from node_harness import BACKEND, NodeThread, use_private_domain, write_model

    use_private_domain()
    model = tmp_path / "model.safetensors"
    write_model(model, 96, 64)
    parameters = {"checkpoint": str(model), "backend": BACKEND, "device": "cpu", "threads": 1}
    overrides = {"qos_overrides./points.publisher.depth": 4}
    node = NodeThread(**parameters, precision="fp32", scaling__source="range", **overrides)
    yield node
    node.end()


def until(ask: Callable[[], str], expected: str) -> str:
    """Ask again where discovery took longer than the command waited."""
    for _ in range(5):
        answer = ask()
        if expected in answer:
            break
    return answer


def test_a_dump_is_written_and_loaded(node: Any, tmp_path: Path) -> None:
    text = until(lambda: ros2("param", "dump", NAME), "ros__parameters")
    dump = yaml.safe_load(text[text.index(f"{NAME}:") :])
    values = dump[NAME]["ros__parameters"]
    assert values["scale"] == 1.0 and values["scaling"]["source"] == "range"
    assert values["crop"] == [-1.0] * 4 and values["points"]["stride"] == 1
    assert values["qos_overrides"]["/points"]["publisher"]["depth"] == 4
    file = tmp_path / "dump.yaml"
    values["max_range"] = 30.0
    file.write_text(yaml.safe_dump(dump), encoding="utf-8")
    said = until(lambda: ros2("param", "load", NAME, str(file)), "Set parameter").splitlines()
    told = [line for line in said if line.startswith("Set parameter")]
    assert len(told) > 30
    failed = [line for line in told if not line.endswith(" successful")]
    assert all(line.split()[2].startswith(READ_ONLY) for line in failed), failed
    assert "30.0" in until(lambda: ros2("param", "get", NAME, "max_range"), "value is")


def test_parameters_are_set_or_refused_with_the_reason(node: Any) -> None:
    assert "successful" in until(lambda: ros2("param", "set", NAME, "scale", "2.5"), "successful")
    refused = until(lambda: ros2("param", "set", NAME, "checkpoint", "x"), "failed")
    assert "checkpoint is read when the node configures" in refused


def test_the_graph_and_the_state_are_those_of_the_node(node: Any) -> None:
    info = until(lambda: ros2("node", "info", NAME), "/points")
    for line in (
        "/points: sensor_msgs/msg/PointCloud2",
        "/depth/scale: geometry_msgs/msg/Vector3Stamped",
        "/depth/change_state: lifecycle_msgs/srv/ChangeState",
    ):
        assert line in info
    assert "/depth/image_rect" in until(lambda: ros2("topic", "list"), "/depth/image_rect")
    assert "active" in until(lambda: ros2("lifecycle", "get", NAME), "active")
    assert "successful" in ros2("lifecycle", "set", NAME, "deactivate")
    assert "inactive" in until(lambda: ros2("lifecycle", "get", NAME), "inactive")
