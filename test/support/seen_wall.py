# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that is driven to the right before a textured wall, with odometry, over DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from nav_msgs.msg import Odometry

import node_harness as harness
from monodepth2_ros.camera import PinholeCamera

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
STEP_NS = 100_000_000
DISTANCE = 3.0  # metres to the wall


def wall(x: float) -> np.ndarray:
    """Render a textured wall seen by a camera that is `x` metres to the right."""
    noise = np.random.default_rng(0).uniform(0, 255, (260, 800)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)
    shift = np.float32([[1, 0, -x * CAMERA.fx / DISTANCE], [0, 1, 0]])
    grey = cv2.warpAffine(texture, shift, (320, 240), flags=cv2.INTER_LINEAR)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def listen(peer: harness.Peer, kind: Any, topic: str) -> list[Any]:
    """Return the list that messages of a topic are added to."""
    received: list[Any] = []
    peer.node.create_subscription(kind, topic, received.append, 10)
    return received


def stamped(received: list[Any], stamp: int) -> Callable[[], Any]:
    """Return what finds the message of a stamp, in nanoseconds, or None."""

    def find() -> Any:
        for message in received:
            if message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp:
                return message
        return None

    return find


def drive(
    peer: harness.Peer, node: Any, odometry: Any, scales: list[Any], child_frame: str
) -> Iterator[tuple[int, float, Any]]:
    """Send seven images with odometry of a frame; yield stamp, place and depth/scale of each."""
    for i in range(1, 8):
        stamp, x = i * STEP_NS, 0.06 * i
        message = Odometry(child_frame_id=child_frame)
        message.header.stamp.nanosec = stamp
        message.pose.pose.position.x = x
        message.pose.pose.orientation.w = 1.0
        odometry.publish(message)
        peer.spin(0.1)
        peer.send(harness.info_message(CAMERA), stamp)
        peer.send(harness.image_message(wall(x)), stamp)
        yield stamp, x, peer.wait(stamped(scales, stamp), f"depth/scale at {stamp}", node)
