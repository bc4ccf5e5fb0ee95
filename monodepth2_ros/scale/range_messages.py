# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of range sensors as points or beams in the camera's optical frame.

Only the layout of the messages is used, so those of rclpy and those of the library rosbags do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.conversions import decode_compressed_depth, decode_depth
from monodepth2_ros.scale.estimator import Beam
from monodepth2_ros.scale.ranges import depth_image_points, scan_points

_FLOAT32 = 7  # sensor_msgs/PointField.FLOAT32


def read_beam(message: Any, to_camera: NDArray[np.float64]) -> Beam:
    """Read a ``sensor_msgs/Range``, whose beam goes along the x axis of its frame.

    Parameters
    ----------
    message : sensor_msgs/Range
    to_camera : ndarray, shape (4, 4)
        Pose of the sensor in the camera's optical frame.

    Returns
    -------
    Beam
        Its distance is NaN where nothing was hit (REP 117).
    """
    inside = message.min_range < message.range < message.max_range
    return Beam(
        float(message.range) if inside else math.nan,
        to_camera[:3, 3],
        to_camera[:3, 0],
        float(message.field_of_view),
    )


def read_scan(message: Any, to_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read a ``sensor_msgs/LaserScan`` as points (N, 3); see :func:`read_beam`."""
    points = scan_points(
        np.asarray(message.ranges),
        message.angle_min,
        message.angle_increment,
        message.range_min,
        message.range_max,
    )
    return transformed(points, to_camera)


def read_cloud(message: Any, to_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read a ``sensor_msgs/PointCloud2`` as points (N, 3); see :func:`cloud_points`."""
    return transformed(cloud_points(message), to_camera)


def read_depth_image(
    message: Any, to_camera: NDArray[np.float64], camera: PinholeCamera
) -> NDArray[np.float64]:
    """Read a depth image of 32FC1 or 16UC1 as points (N, 3).

    Parameters
    ----------
    message : sensor_msgs/Image, or sensor_msgs/CompressedImage of compressedDepth
    to_camera : ndarray, shape (4, 4)
        Pose of the depth sensor's optical frame in the camera's.
    camera : PinholeCamera
        The depth sensor's, of any size with its field of view.

    Raises
    ------
    ValueError
        If it is not a depth image.
    """
    depth = decode_depth(message) if hasattr(message, "step") else decode_compressed_depth(message)
    own = camera.resized(depth.shape[1], depth.shape[0])
    stride = max(1, round(depth.shape[1] / 40))
    return transformed(depth_image_points(depth, own, stride), to_camera)


def transformed(points: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points (N, 3) by a pose (4, 4)."""
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3], np.float64)


def cloud_points(message: Any, most: int = 20_000) -> NDArray[np.float64]:
    """Read x, y, z of a ``sensor_msgs/PointCloud2``, thinned out to about `most` points, (N, 3).

    Raises
    ------
    ValueError
        If it has no float fields x, y, z, or fewer bytes than it says.
    """
    offsets = {field.name: field.offset for field in message.fields if field.datatype == _FLOAT32}
    if not {"x", "y", "z"} <= set(offsets):
        raise ValueError("the cloud on range/points has no float32 fields x, y and z")
    order = ">" if message.is_bigendian else "<"
    layout = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": [f"{order}f4"] * 3,
            "offsets": [offsets[name] for name in "xyz"],
            "itemsize": message.point_step,
        }
    )
    count = message.width * message.height
    if len(message.data) < count * message.point_step:
        raise ValueError("the cloud on range/points has fewer bytes than points")
    points = np.frombuffer(message.data, layout, count)[:: max(1, count // most)]
    found = np.stack([points[name] for name in "xyz"], axis=1).astype(np.float64)
    return found[np.isfinite(found).all(axis=1)]
