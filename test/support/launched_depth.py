# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A test of launch_testing: what depth.launch.py starts gives depth, and ends cleanly."""

from __future__ import annotations

import os
import time
import unittest
from pathlib import Path

import launch_testing.actions
import launch_testing.asserts
import numpy as np
import rclpy
from launch import LaunchDescription  # type: ignore[attr-defined]
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "depth.launch.py"
SIZE = (96, 64)


def generate_test_description() -> LaunchDescription:
    """Start the node with topics and parameters given as launch arguments."""
    given = {
        "checkpoint": os.environ["DEPTH_TEST_MODEL"],
        "device": "cpu",
        "threads": "1",
        "image": "/front/image_rect",
        "camera_info": "/front/camera_info",
        "scale": "2.0",
    }
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILE))
    include = IncludeLaunchDescription(source, launch_arguments=given.items())
    return LaunchDescription([include, launch_testing.actions.ReadyToTest()])


class WhileItRuns(unittest.TestCase):
    """A camera and a listener next to the launched node."""

    def setUp(self) -> None:
        rclpy.init()
        self.peer = rclpy.create_node("camera_and_listener")

    def tearDown(self) -> None:
        self.peer.destroy_node()
        rclpy.shutdown()

    def test_an_image_becomes_depth(self) -> None:
        width, height = SIZE
        images = self.peer.create_publisher(Image, "/front/image_rect", 10)
        infos = self.peer.create_publisher(CameraInfo, "/front/camera_info", 10)
        heard: list[Image] = []
        self.peer.create_subscription(
            Image, "/depth/image_rect", heard.append, qos_profile_sensor_data
        )
        image = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        image.data = np.full(3 * width * height, 90, np.uint8).tobytes()
        info = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
        info.k = [80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0]
        info.p = [80.0, 0.0, 47.5, 0.0, 0.0, 80.0, 31.5, 0.0, 0.0, 0.0, 1.0, 0.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        end = time.monotonic() + 120
        while not heard and time.monotonic() < end:
            stamp = self.peer.get_clock().now().to_msg()
            for message, publisher in ((info, infos), (image, images)):
                message.header.stamp, message.header.frame_id = stamp, "front_optical"
                publisher.publish(message)
            rclpy.spin_once(self.peer, timeout_sec=0.1)
        self.assertTrue(heard, "no depth within two minutes")
        self.assertEqual(heard[0].encoding, "32FC1")
        self.assertEqual(heard[0].header.frame_id, "front_optical")


@launch_testing.post_shutdown_test()
class AfterShutdown(unittest.TestCase):
    """What ctrl-C leaves."""

    def test_the_node_ends_with_status_0(self, proc_info: object) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
