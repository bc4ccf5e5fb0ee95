# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a recording, as the rosbags library reads them, made into messages of rclpy."""

from __future__ import annotations

import array
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from monodepth2_ros.camera import Calibration


def image_message(source: Any, stamp: int) -> Image | CompressedImage:
    """Make an image to publish.

    Parameters
    ----------
    source : message
        Image or CompressedImage, of ROS 2 or ROS 1.
    stamp : int
        For the header, in nanoseconds.
    """
    if hasattr(source, "format"):
        message: Any = CompressedImage(format=source.format)
    else:
        message = Image(
            height=source.height,
            width=source.width,
            encoding=source.encoding,
            is_bigendian=source.is_bigendian,
            step=source.step,
        )
    # rclpy takes an array.array as it is, and anything else byte by byte.
    data = array.array("B")
    data.frombytes(memoryview(source.data))
    message.data = data
    _fill_header(message, source, stamp)
    return message


def info_message(source: Any, stamp: int) -> CameraInfo:
    """Make a camera_info to publish.

    Parameters
    ----------
    source : message
        CameraInfo, of ROS 2 or ROS 1.
    stamp : int
        For the header, in nanoseconds.
    """
    calibration = Calibration.from_camera_info(source)
    message = CameraInfo(
        height=source.height,
        width=source.width,
        distortion_model=source.distortion_model,
        d=list(calibration.d),
        k=list(calibration.k),
        r=list(calibration.r),
        p=list(calibration.p),
        binning_x=source.binning_x,
        binning_y=source.binning_y,
    )
    for name in ("x_offset", "y_offset", "height", "width", "do_rectify"):
        setattr(message.roi, name, getattr(source.roi, name))
    _fill_header(message, source, stamp)
    return message


def _fill_header(message: Any, source: Any, stamp: int) -> None:
    """Set stamp and frame."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id = source.header.frame_id
