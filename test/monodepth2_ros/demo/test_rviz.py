# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`depth_rviz`, with an executable in place of rviz2 that shows how it was started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from paths import REPOSITORY

pytest.importorskip("rclpy", reason="rclpy is not installed")

from monodepth2_ros.demo.rviz import _image_topic, find_rviz, median_depth

pytestmark = pytest.mark.ros

CONFIG = REPOSITORY / "config" / "depth.rviz"

RVIZ = """\
#!/bin/sh
cp "$2" "{folder}/shown.rviz"
shift 2
echo "$@" > "{folder}/arguments"
"""

CAMERA = """\
import sys, time
import rclpy
from sensor_msgs.msg import CompressedImage, Image

rclpy.init(args=sys.argv)
node = rclpy.create_node("depth")
image = node.create_publisher(CompressedImage, "/cam/image/compressed", 1)
node.create_subscription(CompressedImage, "/cam/image/compressed", lambda message: None, 1)
depth = node.create_publisher(Image, "/robot/depth/image_rect", 1)
message = Image(width=2, height=1, step=4, encoding="16UC1", data=[160, 15, 0, 0])
message.header.frame_id = "cam0"
while rclpy.ok():
    depth.publish(message)
    time.sleep(0.2)
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installation that holds nothing but the stand-in for rviz2."""
    executable = tmp_path / "prefix" / "lib" / "rviz2" / "rviz2"
    executable.parent.mkdir(parents=True)
    executable.write_text(RVIZ.format(folder=tmp_path), encoding="utf-8")
    executable.chmod(0o755)
    return tmp_path / "prefix"


@pytest.mark.slow
def test_rviz_starts_with_the_frame_of_the_first_depth_image(tmp_path: Path, prefix: Path) -> None:
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": str(prefix),
        "ROS_DOMAIN_ID": str(os.getpid() % 90 + 10),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    ros_arguments = [
        *("--ros-args", "-r", "__ns:=/robot", "-r", "/image:=/cam/image"),
        *("-r", "/image/compressed:=/cam/image/compressed"),
        *("-r", "/depth/image_rect:=depth/image_rect"),
    ]
    camera = subprocess.Popen([sys.executable, "-c", CAMERA], env=environment)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "monodepth2_ros.demo.rviz", "-d", str(CONFIG), *ros_arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        camera.terminate()
        camera.wait()
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load((tmp_path / "shown.rviz").read_text(encoding="utf-8"))
    manager = shown["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "cam0"
    topics = {d["Name"]: d["Topic"]["Value"] for d in manager["Displays"] if "Topic" in d}
    assert topics["Camera image"] == "/image/compressed"
    assert manager["Views"]["Current"]["Focal Point"]["Z"] == 4.0
    given = (tmp_path / "arguments").read_text(encoding="utf-8").split()
    assert given == ros_arguments


def test_missing_rviz_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_rviz() is None
    from monodepth2_ros.demo import rviz

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rviz, "wait_for_scene", None)
        assert rviz.main(["-d", str(CONFIG)]) == 1


class Graph:
    """A node to which topics become known one after the other, each time that it is asked."""

    def __init__(self, *known: tuple[str, str]) -> None:
        self.known = list(known)
        self.asked = 0

    def resolve_topic_name(self, topic: str) -> str:
        return f"/cam{topic}"

    def count_subscribers(self, topic: str) -> int:
        self.asked += 1
        return self.known[: self.asked].count(("subscriber", topic))

    def count_publishers(self, topic: str) -> int:
        return self.known[: self.asked].count(("publisher", topic))


def test_the_transport_is_known_although_the_camera_is_discovered_late() -> None:
    compressed = "/cam/image/compressed"
    late = Graph(("subscriber", compressed), *6 * [("", "")], ("publisher", compressed))
    assert _image_topic(late) == "/image/compressed"
    # The node subscribes to what is not there any more; a camera that nobody hears yet; nothing.
    assert _image_topic(Graph(("subscriber", compressed)), 0.0) == "/image/compressed"
    assert _image_topic(Graph(("publisher", compressed)), 0.0) == "/image/compressed"
    assert _image_topic(Graph(), 0.0) == "/image"
    both = Graph(("publisher", "/cam/image"), ("publisher", compressed), ("subscriber", compressed))
    both.asked = 3
    assert _image_topic(both, 0.0) == "/image/compressed"


@pytest.mark.parametrize("order", ["<", ">"])
def test_median_depth(order: str) -> None:
    def message(values: np.ndarray, encoding: str) -> SimpleNamespace:
        rows = np.zeros((2, values[0].nbytes + 3), np.uint8)  # rows may be padded
        rows[:, :-3] = values.view(np.uint8)
        return SimpleNamespace(
            **{"width": values.shape[1], "height": 2, "step": rows.shape[1]},
            **{"encoding": encoding, "is_bigendian": order == ">", "data": rows.tobytes()},
        )

    metres = np.array([[1.0, np.nan, 3.0], [2.0, np.inf, np.nan]], f"{order}f4")
    assert median_depth(message(metres, "32FC1")) == 2.0
    millimetres = np.array([[1000, 0, 3000], [2000, 0, 0]], f"{order}u2")
    assert median_depth(message(millimetres, "16UC1")) == 2.0
    assert median_depth(message(np.zeros((2, 3), f"{order}u2"), "16UC1")) is None
