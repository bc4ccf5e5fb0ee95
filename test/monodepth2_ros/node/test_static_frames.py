# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mountings from /tf_static; objects with the same fields stand for its messages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.node.parameters import PARAMETERS
from monodepth2_ros.node.scaling import Scaling
from monodepth2_ros.node.static_frames import StaticFrames
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import invert_pose, quaternion

CAMERA = PinholeCamera(64, 48, 50.0, 50.0, 31.5, 23.5)
MAST = mounting_pose((0.1, 0.0, 0.5, 0.0, 0.3, 0.0))
LASER = mounting_pose((0.2, 0.1, 0.2, 0.0, 0.0, 0.5))


def transforms(*links):
    """Build a message of (parent, child, pose (4, 4)) triples."""
    found = []
    for parent, child, pose in links:
        x, y, z, w = quaternion(pose[:3, :3])
        place = dict(zip("xyz", pose[:3, 3], strict=True))
        moved = SimpleNamespace(
            translation=SimpleNamespace(**place), rotation=SimpleNamespace(x=x, y=y, z=z, w=w)
        )
        header = SimpleNamespace(frame_id=parent)
        found.append(SimpleNamespace(header=header, child_frame_id=child, transform=moved))
    return SimpleNamespace(transforms=found)


ROBOT = transforms(
    ("base_link", "/camera_link", MAST),
    ("camera_link", "camera_optical", OPTICAL),
    ("base_link", "laser", LASER),
)


def header(frame: str, stamp: int = 0):
    return SimpleNamespace(frame_id=frame, stamp=SimpleNamespace(sec=0, nanosec=stamp))


def odometry(child: str):
    position = SimpleNamespace(x=0.0, y=0.0, z=0.0)
    pose = SimpleNamespace(
        position=position, orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    )
    return SimpleNamespace(
        header=header("odom"), child_frame_id=child, pose=SimpleNamespace(pose=pose)
    )


def scan():
    return SimpleNamespace(
        header=header("laser"),
        ranges=[2.0],
        angle_min=0.0,
        angle_increment=0.1,
        range_min=0.1,
        range_max=8.0,
    )


def scaling(**given) -> Scaling:
    values = {parameter.name: parameter.default for parameter in PARAMETERS}
    values |= {"scaling.source": "odometry+range+camera_height", "scaling.camera_height": 0.5}
    return Scaling(values | given)


def seen(one: Scaling, *messages):
    """Let an image come after messages; return the estimator."""
    for kind, message in messages:
        one._waiting.append((kind, message))
    one._take_messages(one._estimator, "camera_optical", CAMERA)
    one.close()
    return one._estimator


def test_frames_are_chained_and_unknown_ones_are_none():
    frames = StaticFrames()
    assert frames.body_pose("camera_optical") is None
    frames.add(ROBOT)
    np.testing.assert_allclose(
        frames.pose("base_link", "/camera_optical"), MAST @ OPTICAL, atol=1e-12
    )
    np.testing.assert_allclose(frames.body_pose("camera_optical"), MAST @ OPTICAL, atol=1e-12)
    between = invert_pose(MAST @ OPTICAL) @ LASER
    np.testing.assert_allclose(frames.pose("camera_optical", "laser"), between, atol=1e-12)
    assert frames.pose("odom", "camera_optical") is None
    # What comes later, from another publisher, counts as well; unusable transforms do not.
    frames.add(transforms(("odom", "base_link", np.eye(4))))
    assert frames.pose("odom", "camera_optical") is not None
    broken = transforms(("laser", "lost", np.eye(4)))
    broken.transforms[0].transform.translation.x = np.nan
    frames.add(broken)
    assert frames.pose("laser", "lost") is None


def test_mounting_gravity_and_sensor_come_from_the_frames():
    one = scaling()
    one.frames.add(ROBOT)
    estimator = seen(one, ("odom", odometry("base_link")), ("scan", scan()))
    np.testing.assert_allclose(estimator.mounting, MAST @ OPTICAL, atol=1e-12)
    np.testing.assert_allclose(estimator.down, [0.0, np.cos(0.3), np.sin(0.3)], atol=1e-12)
    point = LASER @ [2.0, 0.0, 0.0, 1.0]
    expected = (invert_pose(MAST @ OPTICAL) @ point)[:3]
    np.testing.assert_allclose(estimator._ranges[1][0], expected, atol=1e-9)


def test_parameters_stand_over_the_frames():
    values = [0.0, 0.0, 1.0, 0.0, 0.1, 0.0]
    one = scaling(**{"scaling.mounting": values, "scaling.range_mounting": values})
    one.frames.add(ROBOT)
    estimator = seen(one, ("odom", odometry("base_link")), ("scan", scan()))
    np.testing.assert_allclose(estimator.mounting, mounting_pose(values) @ OPTICAL)
    np.testing.assert_allclose(estimator.down, [0.0, np.cos(0.1), np.sin(0.1)], atol=1e-12)
    expected = invert_pose(OPTICAL) @ mounting_pose(values) @ [2.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(estimator._ranges[1][0], expected[:3], atol=1e-9)


def test_without_frames_the_camera_is_the_body():
    estimator = seen(scaling(), ("odom", odometry("base_link")), ("odom", odometry("elsewhere")))
    np.testing.assert_allclose(estimator.mounting, OPTICAL)
    assert estimator.down is None
