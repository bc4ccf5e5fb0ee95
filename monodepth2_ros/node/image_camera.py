# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera of an image, from its camera_info: intrinsics, rectification, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monodepth2_ros.camera import Calibration, PinholeCamera


@dataclass(frozen=True)
class ImageCamera:
    """What a camera_info means for images of one size; kept while it stays the same.

    Attributes
    ----------
    calibration : Calibration or None
        The camera_info; None if the image has none.
    size : tuple of int
        Width and height of the image in pixels.
    camera : PinholeCamera or None
        Intrinsics of the image after rectification; None if they are unknown.
    maps : two arrays, or None
        Rectification for ``cv2.remap``; None to take the image as it is.
    problem : str
        What the user should know; "" if all is well.
    """

    calibration: Calibration | None
    size: tuple[int, int]
    camera: PinholeCamera | None
    maps: tuple[Any, Any] | None
    problem: str


def find_image_camera(
    calibration: Calibration | None, width: int, height: int, rectify: bool, image_topic: str
) -> ImageCamera:
    """Find the camera of an image, and the rectification maps if they are asked for.

    Parameters
    ----------
    calibration : Calibration or None
    width, height : int
        Size of the image in pixels.
    rectify : bool
        Rectify the image here.
    image_topic : str
        For messages.
    """
    size = (width, height)
    if calibration is None:
        return ImageCamera(None, size, None, None, "")
    try:
        camera = calibration.camera(rectified=True)
        if (camera.width, camera.height) != size:
            raise ValueError(
                f"camera_info is for a {camera.width}x{camera.height} image, the image is "
                f"{width}x{height}"
            )
        maps = calibration.rectification_maps() if rectify else None
    except ValueError as error:
        problem = f"{error}. Depth is published, points are not"
        return ImageCamera(calibration, size, None, None, problem)
    problem = ""
    name = image_topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    if calibration.is_distorted and not rectify and "rect" not in name:
        problem = (
            f"the camera has lens distortion and {image_topic} is taken as rectified; set "
            "'rectify' to true, or subscribe to the rectified topic"
        )
    return ImageCamera(calibration, size, camera, maps, problem)
