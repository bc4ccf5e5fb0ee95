# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry with errors and range scans of rendered recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.option_fields import OptionError
from monodepth2_ros.recordings.bags import list_topics, open_recording, read_messages
from monodepth2_ros.recordings.transforms import read_frame_tree
from training.synthesize import main
from training.worlds.camera_path import camera_path
from training.worlds.odometry import OdometryRecorder, read_errors, scanner_mounting
from training.worlds.range_scan import scan_world
from training.worlds.rendering.ray_caster import render_frame
from training.worlds.scenes.layouts import sample_world
from training.worlds.take import camera_from_field_of_view
from training.worlds.world import straight_route


@pytest.mark.parametrize(
    "text, length, is_flat",
    [("slip", 1.02, False), ("slip=0.1,planar", 1.1, True), ("delay=0.2", 1.0, False)],
)
def test_odometry_errors_are_what_they_say(text: str, length: float, is_flat: bool) -> None:
    errors = read_errors(text)
    path = camera_path(straight_route(30.0), 50, speed=2.0, height=0.7, pitch=10.0)
    recorder = OdometryRecorder(errors, 0.7, pitch=10.0)
    stamps = [round(1e9 * time) for time in path.times.tolist()]
    messages = []
    for stamp, pose in zip(stamps, path.poses, strict=True):
        messages += recorder.advance(stamp, pose)
    assert len(messages) == 5 * (len(stamps) - 1) + 1
    assert messages[0][0] == round(errors.delay * 1e9)
    assert np.diff([stamp for stamp, _ in messages]).max() == 20_000_000
    poses = np.array([pose for _, pose in messages])
    went = np.linalg.norm(np.diff(poses[:, :2, 3], axis=0), axis=1).sum()
    assert went == pytest.approx(length * path.distances[-1], rel=0.01)
    # On the ground, up to the camera's own bobbing.
    assert np.ptp(poses[:, 2, 3]) < (1e-9 if is_flat else 0.1)
    assert np.abs(poses[:, 2, :2]).max() < (1e-9 if is_flat else 0.05)
    # With the mounting, the body's motion is the camera's.
    if not is_flat and length == 1.0:
        cameras = poses[::5] @ recorder.mounting
        np.testing.assert_allclose(
            np.linalg.inv(cameras[0]) @ cameras[-1],
            np.linalg.inv(path.poses[0]) @ path.poses[-1],
            atol=1e-6,
        )


def test_odometry_noise_and_drift_are_reproducible() -> None:
    path = camera_path(straight_route(60.0), 100, speed=2.0)
    ends = []
    for seed in (1, 1, 2):
        recorder = OdometryRecorder(read_errors("noise,drift=1"), 1.4, seed=seed)
        for time, pose in zip(path.times.tolist(), path.poses, strict=True):
            messages = recorder.advance(round(1e9 * time), pose)
        ends.append(messages[-1][1])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 1e-4
    relative = ends[0][:3, :3].T @ (path.poses[-1] @ np.linalg.inv(recorder.mounting))[:3, :3]
    yaw = np.degrees(np.arctan2(relative[1, 0], relative[0, 0]))
    assert abs(yaw) == pytest.approx(9.9, abs=0.5)  # 1 degree a second for 9.9 s


@pytest.mark.parametrize("text", ["wobble", "slip=", "slip=a", "exact,slip", "delay=inf", ""])
def test_unknown_odometry_errors_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--odometry is"):
        read_errors(text)


def test_scan_and_depth_see_the_same_world() -> None:
    """A scanner in the camera's place: its rays ahead are the depth of the middle row."""
    camera = camera_from_field_of_view(320, 33, 80.0)
    world = sample_world(4, "corridor", 40.0, 1.4)
    pose = camera_path(world.route, 1, height=1.4, sway=0.0).poses[0]
    depth = render_frame(world, pose, camera, antialias=1).depth[16]
    scan = scan_world(world, pose, scanner_mounting(0.0), 0.0)
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    columns = camera.cx - camera.fx * np.tan(angles)
    ahead = (np.abs(angles) < 0.6) & np.isfinite(scan.ranges)
    assert ahead.sum() > 30
    z = scan.ranges[ahead] * np.cos(angles[ahead])
    error = np.abs(z / depth[np.rint(columns[ahead]).astype(int)] - 1.0)
    assert np.median(error) < 0.01 and np.mean(error < 0.05) > 0.9
    assert scan.ranges[np.isfinite(scan.ranges)].max() < 8.0
    behind = np.isfinite(scan.ranges[np.abs(angles) > 2.5])
    assert behind.any()


def test_recording_with_wheels_and_a_scanner(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    words = ["--layout", "corridor", "--frames", "4", "--width", "96", "--height", "64"]
    words += ["--antialias", "1", "--workers", "1", "--quiet", "--out", str(bag)]
    assert main([*words, "--odometry", "slip,planar", "--scan-height", "0.3"]) == 0
    with open_recording(bag) as reader:
        topics = {topic.name: topic for topic in list_topics(reader)}
        assert topics["/odom"].count == 16 and topics["/scan"].count == 4
        tree = read_frame_tree(reader, list(topics.values()))
        heights = [message.data for _, message in read_messages(reader, "/camera/height")]
        odometry = [message for _, message in read_messages(reader, "/odom")]
    mounted = tree.transform("base_link", "camera_optical_frame", np.zeros(1, np.int64))
    assert mounted is not None and mounted[0, 2, 3] == pytest.approx(1.4)
    laser = tree.transform("base_link", "laser", np.zeros(1, np.int64))
    assert laser is not None and laser[0, 2, 3] == pytest.approx(0.3)
    np.testing.assert_allclose(laser[0, :3, :3], np.eye(3), atol=1e-9)
    assert heights == pytest.approx([1.4] * 4, abs=0.05)
    assert {m.child_frame_id for m in odometry} == {"base_link"}
    assert all(m.pose.pose.position.z == 0.0 for m in odometry)
