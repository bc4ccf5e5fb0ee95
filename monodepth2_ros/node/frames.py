# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Coordinate frames of the outputs: their names, and the transform of a turned camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from monodepth2_ros.camera import turn_direction
from monodepth2_ros.node.qos import overriding_options, profile


def image_frame(frame: str, output_frame: str, degrees: int) -> str:
    """Return the frame of images that are turned, given the frame of the input.

    Parameters
    ----------
    frame : str
        Frame of the input image.
    output_frame : str
        What the user wants it to be called; "" for a name made here.
    degrees : int
        By which the image is turned clockwise.
    """
    return output_frame or (f"{frame}_rotated_{degrees}" if degrees else frame)


def frame_problem(frame: str) -> str:
    """Say what is wrong with the frame of an image, "" if it is named like an optical one."""
    if not frame:
        return (
            "the image has no frame_id, so TF and rviz cannot place the outputs; set it in the "
            "camera's driver, or set 'output_frame'"
        )
    if "optical" in frame or ("cam" in frame.rsplit("/", 1)[-1] and not frame.endswith("_link")):
        return ""
    return (
        f"the image's frame_id '{frame}' is not named like an optical frame; if x does not point "
        "right, y down and z forward in it, a floor becomes a wall: set 'output_frame' to the "
        "camera's optical frame"
    )


def turn_points(points: NDArray[np.float32], degrees: int) -> NDArray[np.float32]:
    """Give points of a turned camera in the frame of the camera as it was.

    Parameters
    ----------
    points : ndarray, shape (H, W, 4), float32
        x, y, z in metres and the packed colour.
    degrees : int
        By which the image was turned clockwise.

    Returns
    -------
    ndarray, shape (H, W, 4), float32
    """
    turned = np.array(points)
    turned[..., 0], turned[..., 1] = turn_direction(points[..., 0], points[..., 1], -degrees % 360)
    return turned


class TurnedFrame:
    """Publishes the static transform from a camera's frame to that of its turned image.

    Without tf2_msgs, which the wheels of ROS 2 lack, it logs the command that publishes it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher: Any = None
        self._transforms: list[Any] = []
        self._sent: set[tuple[str, str]] = set()

    def announce(self, frame: str, child: str, degrees: int) -> None:
        """Publish the transform, once for each pair of frames."""
        if (frame, child) in self._sent or frame == child:
            return
        self._sent.add((frame, child))
        # The child's x axis points along -y of the camera at 90 degrees: a turn about -z.
        z, w = math.sin(-math.radians(degrees) / 2), math.cos(math.radians(degrees) / 2)
        try:
            from geometry_msgs.msg import TransformStamped
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self._node.get_logger().warning(
                f"tf2_msgs is not installed, so the frame '{child}' is not published; run: ros2 "
                f"run tf2_ros static_transform_publisher --qz {z:.8f} --qw {w:.8f} --frame-id "
                f"{frame} --child-frame-id {child}"
            )
            return
        if self._publisher is None:
            qos = profile(1, "reliable", latched=True)
            self._publisher = self._node.create_publisher(
                TFMessage,
                "/tf_static",
                qos,
                qos_overriding_options=overriding_options(self._node, "/tf_static", "publisher"),
            )
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id = frame
        transform.header.stamp = self._node.get_clock().now().to_msg()
        transform.transform.rotation.z, transform.transform.rotation.w = z, w
        # All of them: who subscribes later gets the last message only.
        self._transforms.append(transform)
        self._publisher.publish(TFMessage(transforms=self._transforms))
