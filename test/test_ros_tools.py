# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""With the tools of a ROS 2 installation: ros2 launch, ros2 bag and image_pipeline.

A recording is played with `ros2 bag play` into the launched node, what comes out is recorded with
`ros2 bag record` next to what depth_image_proc and depthimage_to_laserscan make of the same depth,
and read back.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paths import REPOSITORY

NEEDED = ("depth_image_proc", "depthimage_to_laserscan", "rosbag2", "rosbag2_storage_mcap")


def _is_installed(package: str) -> bool:
    """Whether a ROS package is there."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    marker = Path("share") / "ament_index" / "resource_index" / "packages" / package
    return any((Path(prefix) / marker).exists() for prefix in prefixes if prefix)


MISSING = [package for package in (*NEEDED, "monodepth2_ros") if not _is_installed(package)]

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING) or shutil.which("ros2") is None or not importlib.util.find_spec("rosbags"),
        reason=f"needs a ROS 2 installation with {', '.join(MISSING) or 'ros2 and rosbags'}",
    ),
]

FRAMES = 40
OUTPUTS = ("/depth/image_rect", "/depth/camera_info", "/points", "/other/points", "/scan")


@contextmanager
def _process(log: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a group of its own; end it with ctrl-C."""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _write_recording(path: Path) -> None:
    """Write frames of a camera that moves along a wall with boxes, with a calibration."""
    from bag_builder import Bag, scene

    with Bag(path, storage="mcap") as bag:
        for index in range(FRAMES):
            stamp = 10**9 + index * 10**8
            image, _ = scene(5.0 * index)
            bag.info("/cam/camera_info", stamp, frame_id="cam0")
            bag.image("/cam/image_raw", stamp, image, frame_id="cam0")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, Any]]:
    """What was recorded: messages by topic and stamp."""
    folder = tmp_path_factory.mktemp("ros_tools")
    _write_recording(folder / "played")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(os.getpid() % 90 + 10))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_LOG_DIR", str(folder / "log"))
        for variable in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
            # The clouds of depth_image_proc are best effort, and larger than the default segment.
            patch.setenv(variable, str(REPOSITORY / "config" / "fastdds.xml"))
        launch = (
            *("ros2", "launch", "monodepth2_ros", "depth.launch.py", "image:=/cam/image_raw"),
            *("device:=cpu", "points.edge_filter:=0", "points.far_filter:=0"),
        )
        cloud = (
            *("ros2", "run", "depth_image_proc", "point_cloud_xyz_node", "--ros-args"),
            *("-r", "image_rect:=/depth/image_rect", "-r", "camera_info:=/depth/camera_info"),
            *("-r", "points:=/other/points"),
        )
        scan = (
            *("ros2", "run", "depthimage_to_laserscan", "depthimage_to_laserscan_node"),
            *("--ros-args", "-r", "depth:=/depth/image_rect", "-p", "range_max:=1000.0"),
            *("-r", "depth_camera_info:=/depth/camera_info", "-p", "range_min:=0.0"),
        )
        record = ("ros2", "bag", "record", "-s", "mcap", "-o", str(folder / "out"), *OUTPUTS)
        with (
            _process(folder / "launch.txt", *launch),
            _process(folder / "cloud.txt", *cloud),
            _process(folder / "scan.txt", *scan),
        ):
            deadline = time.monotonic() + 120
            while "loaded in" not in (folder / "launch.txt").read_text(encoding="utf-8"):
                assert time.monotonic() < deadline, (folder / "launch.txt").read_text()
                time.sleep(0.5)
            with _process(folder / "record.txt", *record):
                time.sleep(5)  # discovery
                played = subprocess.run(
                    ["ros2", "bag", "play", str(folder / "played"), "--rate", "0.5"],
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                assert played.returncode == 0, played.stdout + played.stderr
                time.sleep(2)
        log = (folder / "launch.txt").read_text(encoding="utf-8")
        assert "process has finished cleanly" in log, log
    return _read(folder / "out")


def _read(path: Path) -> dict[str, dict[int, Any]]:
    """Read a recording back."""
    from monodepth2_ros.recordings.bags import open_recording, read_messages

    with open_recording(path) as reader:
        return {topic: dict(read_messages(reader, topic)) for topic in OUTPUTS}


def _points(message: Any) -> np.ndarray:
    """The x, y and z of a cloud, with its shape."""
    offsets = {field.name: field.offset for field in message.fields}
    rows = np.asarray(message.data).reshape(message.height, message.width, message.point_step)
    return np.stack(
        [
            rows[..., offsets[axis] : offsets[axis] + 4].copy().view(np.float32)[..., 0]
            for axis in "xyz"
        ],
        -1,
    )


def _depth(message: Any) -> np.ndarray:
    """A 32FC1 image in metres."""
    return np.asarray(message.data).view(np.float32).reshape(message.height, message.width)


def test_outputs_come_with_equal_stamps(recorded: dict[str, dict[int, Any]]) -> None:
    depth, info, points = (recorded[topic] for topic in OUTPUTS[:3])
    assert len(depth) > FRAMES // 2
    assert set(points) == set(depth) == set(info) & set(depth)
    for message in (*depth.values(), *points.values()):
        assert message.header.frame_id == "cam0"


def test_cloud_is_that_of_depth_image_proc(recorded: dict[str, dict[int, Any]]) -> None:
    ours, theirs = recorded["/points"], recorded["/other/points"]
    common = set(ours) & set(theirs)
    assert len(common) > FRAMES // 2
    for stamp in common:
        first, second = _points(ours[stamp]), _points(theirs[stamp])
        assert first.shape == second.shape
        assert np.isfinite(first).all()
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_scan_is_made_of_the_depth(recorded: dict[str, dict[int, Any]]) -> None:
    depth, scans = recorded["/depth/image_rect"], recorded["/scan"]
    common = set(depth) & set(scans)
    assert len(common) > FRAMES // 2
    for stamp in common:
        row = _depth(depth[stamp])
        row = row[row.shape[0] // 2]
        ranges = np.asarray(scans[stamp].ranges)
        known = ranges[np.isfinite(ranges)]
        assert known.size > 0.9 * row.size
        # A range is along its ray, depth along the optical axis.
        assert row.min() - 1e-3 <= known.min() <= 1.5 * row.max()
