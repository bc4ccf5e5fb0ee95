# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera of an image, from its camera_info: intrinsics, rectification, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monodepth2_ros.camera import Calibration, PinholeCamera, same_aspect
from monodepth2_ros.conversions import (
    BIT_DEPTHS,
    bits_for,
    has_deep_samples,
    largest_sample,
)
from monodepth2_ros.rectification import as_rectify, doubtful, image_geometry, implausible
from monodepth2_ros.topic_names import is_rectified_name

# Images that are looked at to find how many of 16 bits are used, and when that is said.
_WATCHED_IMAGES = 100
_FEWEST_IMAGES = 3


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
    calibration: Calibration | None,
    width: int,
    height: int,
    rectify: str | bool,
    image_topic: str,
    scale_info: bool = False,
) -> ImageCamera:
    """Find the camera of an image, and the maps if it is to be rectified.

    Parameters
    ----------
    calibration : Calibration or None
    width, height : int
        Size of the image in pixels.
    rectify : {"auto", "true", "false"} or bool
        See :func:`monodepth2_ros.rectification.image_geometry`, which decides.
    image_topic : str
        Its name tells whether the images are rectified.
    scale_info : bool
        Scale a camera_info of another size and the same aspect to the image.
    """
    size = (width, height)
    if calibration is None:
        return ImageCamera(None, size, None, None, "")
    try:
        fitted = _fitted(calibration, width, height, scale_info)
        geometry = image_geometry(fitted, image_topic, as_rectify(rectify))
        reason = implausible(geometry.camera)
        if reason:
            raise ValueError(
                f"the intrinsics of camera_info cannot be right: {reason}. Calibrate the camera"
            )
    except ValueError as error:
        problem = f"{error}. Depth is published, points are not"
        return ImageCamera(calibration, size, None, None, problem)
    problems = []
    if fitted.is_distorted and geometry.maps is None and not is_rectified_name(image_topic):
        problems.append(
            f"the camera has lens distortion and {image_topic} is taken as rectified because "
            "'rectify' is false; set it to auto or true if the image is raw"
        )
    doubt = doubtful(geometry.camera)
    if doubt:
        problems.append(f"check the calibration: {doubt}")
    return ImageCamera(calibration, size, geometry.camera, geometry.maps, "; ".join(problems))


def _fitted(calibration: Calibration, width: int, height: int, scale: bool) -> Calibration:
    """Return the calibration for an image's size.

    Raises
    ------
    ValueError
        If it is for another size, with both sizes and what to do.
    """
    own = calibration.delivered_size
    if own == (width, height):
        return calibration
    if scale:
        return calibration.scaled(width, height)
    text = f"camera_info is for a {own[0]}x{own[1]} image, the image is {width}x{height}"
    if same_aspect(*own, width, height):
        raise ValueError(f"{text}; if it was scaled, set 'scale_camera_info' to true")
    raise ValueError(f"{text}, of another aspect; let the driver publish the right camera_info")


class SampleWatch:
    """Finds out that images with 16-bit samples use fewer bits, so that they come out dark.

    Attributes
    ----------
    problem : str
        What the user should know; "" if all is well.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._largest = 0
        self._seen = 0

    def look_at(self, message: Any) -> None:
        """Look at an Image or CompressedImage that was read with the full 16 bits."""
        encoding = getattr(message, "encoding", getattr(message, "format", ""))
        if self._seen >= _WATCHED_IMAGES or not has_deep_samples(encoding):
            return
        self._seen += 1
        self._largest = max(self._largest, largest_sample(message))
        bits = bits_for(self._largest)
        self.problem = ""
        if self._seen >= _FEWEST_IMAGES and bits < BIT_DEPTHS[-1]:
            self.problem = (
                f"{encoding.split(';')[0]} images use {bits} of 16 bits (largest value "
                f"{self._largest}), so they are dark; set bit_depth to {bits}"
            )
