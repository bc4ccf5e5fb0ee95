# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The topics on which the outputs for one camera are published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Vector3Stamped
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from monodepth2_ros.camera import Calibration, PinholeCamera, turn_direction
from monodepth2_ros.cdr import cloud_bytes, image_bytes, with_stamp
from monodepth2_ros.conversions import fill_camera_info
from monodepth2_ros.node.qos import overriding_options, profile

#: Topics and types of the outputs, by the names that diagnostics use.
OUTPUT_TOPICS: dict[str, tuple[str, Any]] = {
    "depth": ("depth/image_rect", Image),
    "camera_info": ("depth/camera_info", CameraInfo),
    "color": ("depth/image_color", Image),
    "points": ("points", PointCloud2),
    "color_image": ("color/image_rect", Image),
    "color_info": ("color/camera_info", CameraInfo),
}

#: The factor to metres, while it is measured.
SCALE_TOPIC = "depth/scale"


class OutputTopics:
    """Publishers of all outputs for one camera.

    Parameters
    ----------
    node : LifecycleNode
    prefix : str
        Before the names of the topics: "" or "<camera>/".
    """

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        self._node = node
        self._prefix = prefix
        self._publishers: dict[str, Any] = {}
        # What the last camera_info was made of, and its bytes.
        self._info: tuple[Any, bytes] = (None, b"")

    def create(self, values: Mapping[str, Any], with_scale: bool) -> None:
        """Create the publishers.

        Parameters
        ----------
        values : mapping
            The parameters.
        with_scale : bool
            Also ``depth/scale``.

        Raises
        ------
        InvalidQosOverridesError, RuntimeError
            If a QoS override cannot be used.
        """
        qos = profile(values["output_depth"], values["output_reliability"])
        topics = dict(OUTPUT_TOPICS)
        if with_scale:
            topics["scale"] = (SCALE_TOPIC, Vector3Stamped)
        for name, (topic, kind) in topics.items():
            self._publishers[name] = self._node.create_lifecycle_publisher(
                kind,
                f"{self._prefix}{topic}",
                qos,
                qos_overriding_options=overriding_options(
                    self._node, f"{self._prefix}{topic}", "publisher"
                ),
            )

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers = {}

    def listeners(self) -> dict[str, int]:
        """Return how many subscribe to each output."""
        return {name: one.get_subscription_count() for name, one in self._publishers.items()}

    def topics(self) -> list[str]:
        """Return the topics, resolved."""
        return [publisher.topic_name for publisher in self._publishers.values()]

    def publish(self, name: str, message: Any) -> None:
        """Publish a message, or its bytes, on one of the outputs."""
        self._publishers[name].publish(message)

    def publish_image(self, name: str, header: Header, pixels: NDArray[Any], encoding: str) -> None:
        """Publish an output that is an image."""
        self.publish(name, image_bytes(header, pixels, encoding))

    def publish_points(self, header: Header, points: NDArray[np.float32]) -> None:
        """Publish the cloud; `points` as :attr:`monodepth2_ros.predictor.Prediction.points`."""
        self.publish("points", cloud_bytes(header, points))

    def publish_camera(
        self,
        names: list[str],
        header: Header,
        camera: PinholeCamera,
        calibration: Calibration | None,
        degrees: int,
    ) -> None:
        """Publish a camera_info on the outputs of these names.

        Parameters
        ----------
        names : list of str
        header : std_msgs/Header
        camera : PinholeCamera
            The output's camera.
        calibration : Calibration or None
            The input's calibration, whose stereo baseline is kept.
        degrees : int
            By which the image was turned clockwise.
        """
        source = (header.frame_id, camera, calibration, degrees)
        if self._info[0] != source:
            info = CameraInfo(header=header)
            fill_camera_info(info, camera)
            _keep_baseline(info, calibration, degrees)
            self._info = (source, serialize_message(info))
        message = with_stamp(self._info[1], header)
        for name in names:
            self.publish(name, message)


def _keep_baseline(info: CameraInfo, calibration: Calibration | None, degrees: int) -> None:
    """Write the stereo baseline of the input into P of an output, in pixels of that output."""
    if calibration is None or calibration.p[0] == 0.0 or calibration.p[5] == 0.0:
        return
    # P[3] = fx * Tx and P[7] = fy * Ty, in the frame of the image before it is turned.
    x, y = calibration.p[3] / calibration.p[0], calibration.p[7] / calibration.p[5]
    x, y = turn_direction(x, y, degrees)
    if math.isfinite(x) and math.isfinite(y):
        info.p[3], info.p[7] = x * info.p[0] + 0.0, y * info.p[5] + 0.0  # no negative zeros
