# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of /tf_static over DDS: mountings that the node hears, transforms that it publishes."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("tf2_msgs", reason="tf2_msgs is not installed; the wheels of ROS 2 lack it")

from geometry_msgs.msg import TransformStamped, Vector3Stamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from seen_wall import CAMERA, DISTANCE, drive, listen, stamped, wall
from sensor_msgs.msg import LaserScan
from tf2_msgs.msg import TFMessage

import node_harness as harness
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import quaternion
from node_harness import NodeThread

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SECOND = 1_000_000_000
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
MAST = (0.3, -0.1, 0.5, 0.0, 0.0, 0.0)
LASER = (0.4, 0.0, 0.2, 0.0, 0.0, np.pi)  # it looks backwards


def transform(parent: str, child: str, pose: np.ndarray) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = pose[:3, 3]
    turn.x, turn.y, turn.z, turn.w = quaternion(pose[:3, :3])
    return message


OPTICS = [transform("camera_link", "camera_optical_frame", OPTICAL)]
ROBOT = [transform("base_link", "camera_link", mounting_pose(MAST)), *OPTICS]


@pytest.fixture
def start(node_settings, end_with_test, make_peer):
    def run(*transforms, **parameters):
        """Start a node; each list of transforms comes from a publisher of its own, before it."""
        peer = make_peer()
        for part in transforms:
            publisher = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
            publisher.publish(TFMessage(transforms=part))
        node = end_with_test(NodeThread(**{**node_settings, **parameters}))
        return node, peer

    return run


def frames_heard(node, target, source):
    (stream,) = node.node._streams
    return lambda: stream._scaling.frames.pose(target, source) is not None


def test_mounting_of_the_camera_comes_from_two_latched_publishers(start):
    """The camera looks to the robot's left, so that driving ahead takes it to its right."""
    left = mounting_pose((*MAST[:5], np.pi / 2))
    mast = [transform("base_link", "camera_link", left)]
    node, peer = start(mast, OPTICS, scaling__source="odometry")
    odometry = peer.node.create_publisher(Odometry, "odom", 100)
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.wait(odometry.get_subscription_count, "the node's odom subscription", node)
    heard = frames_heard(node, "base_link", "camera_optical_frame")
    peer.wait(heard, "both transforms", node)
    *_, (stamp, _, scale) = drive(peer, node, odometry, scales, "base_link")
    # With another mounting the motion would not fit the images, and nothing would be measured.
    assert 0.0 < scale.vector.y < 0.3 * scale.vector.x
    depth = harness.image_array(peer.output("depth/image_rect", stamp, node))
    assert np.nanmedian(depth) == pytest.approx(DISTANCE, rel=0.2)
    peer.status("publishing", node, {"scale source": "odometry"})


def test_a_scan_is_placed_by_a_transform_that_comes_later(start):
    """The laser looks backwards: the wall before the camera is behind it."""
    node, peer = start(ROBOT, scaling__source="range")
    scans = peer.node.create_publisher(LaserScan, "scan", 10)
    late = peer.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.wait(scans.get_subscription_count, "the node's scan subscription", node)
    late.publish(TFMessage(transforms=[transform("base_link", "laser", mounting_pose(LASER))]))
    peer.wait(frames_heard(node, "laser", "camera_optical_frame"), "the late transform", node)
    # The wall is DISTANCE before the camera, which is at x = 0.3 in base_link; the laser at 0.4.
    angles = np.arange(-np.pi, np.pi, 0.01)
    before = DISTANCE + MAST[0] - LASER[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.where(np.cos(angles) < -0.3, -before / np.cos(angles), np.inf)
    scan = LaserScan(angle_min=-np.pi, angle_increment=0.01, range_min=0.1, range_max=12.0)
    scan.header.frame_id = "laser"
    scan.header.stamp.sec = 1
    scan.ranges = array.array("f", ranges)
    scans.publish(scan)
    peer.spin(0.2)
    peer.send(harness.info_message(CAMERA), SECOND)
    peer.send(harness.image_message(wall(0.0)), SECOND)
    scale = peer.wait(stamped(scales, SECOND), "depth/scale", node)
    assert 0.0 < scale.vector.y < scale.vector.x
    depth = harness.image_array(peer.output("depth/image_rect", SECOND, node))
    # Around the rows that the scan meets, 0.3 m below the camera.
    row = round(CAMERA.cy + CAMERA.fy * (MAST[2] - LASER[2]) / DISTANCE) * depth.shape[0] // 240
    assert np.nanmedian(depth[row - 3 : row + 4]) == pytest.approx(DISTANCE, rel=0.25)


def test_a_turned_camera_publishes_its_frame_to_whoever_comes_late(start, make_peer):
    """Next to the robot's own transforms; the qos override reaches the publisher."""
    name = "qos_overrides./tf_static.publisher.depth"
    node, peer = start(ROBOT, rotate=90, **{name: 2})
    peer.listen("points")
    peer.connect(node)
    peer.send(harness.info_message(CAMERA), SECOND, "cam_optical_frame")
    peer.send(harness.image_message(wall(0.0)), SECOND, "cam_optical_frame")
    cloud = peer.output("points", SECOND, node)
    assert cloud.header.frame_id == "cam_optical_frame"
    assert node.node.get_parameter(name).value == 2
    late = make_peer()
    messages: list = []
    qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    late.node.create_subscription(TFMessage, "/tf_static", messages.append, qos)

    def turned():
        for message in messages:
            for one in message.transforms:
                if one.child_frame_id == "cam_optical_frame_rotated_90":
                    return one
        return None

    found = late.wait(turned, "the transform of the turned frame", node)
    assert found.header.frame_id == "cam_optical_frame"
    q = found.transform.rotation
    # x of the turned image points along -y of the camera, y along x.
    rotation = np.array([[1 - 2 * q.z**2, -2 * q.z * q.w], [2 * q.z * q.w, 1 - 2 * q.z**2]])
    np.testing.assert_allclose(rotation @ [1.0, 0.0], [0.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(rotation @ [0.0, 1.0], [1.0, 0.0], atol=1e-6)
