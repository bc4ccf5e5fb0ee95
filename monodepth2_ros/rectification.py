# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one rule of what a camera_info means for an image: rectify or not, K or P, and doubts.

The node and the extraction of training frames both call :func:`image_geometry`, so a model is
trained and run on the same images and the same camera. The rule stands as a table in
docs/reference/joins.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration, PinholeCamera
from monodepth2_ros.options import RECTIFY
from monodepth2_ros.topic_names import is_rectified_name

# Plausible intrinsics. Beyond the inner bounds the user is warned, beyond the outer ones the
# camera is refused: no lens makes a pinhole image of 165 degrees, and no sensor has pixels twice
# as wide as high.
_USUAL_ANGLE = (20.0, 140.0)  # degrees, horizontal field of view
_POSSIBLE_ANGLE = (1.0, 160.0)
_USUAL_CENTRE = 0.18  # distance of the principal point from the image centre, share of the size
_POSSIBLE_CENTRE = 0.5
_USUAL_PIXEL = 1.1  # ratio of fx and fy
_POSSIBLE_PIXEL = 2.0


@dataclass(frozen=True)
class ImageGeometry:
    """How the images of a camera are seen.

    Attributes
    ----------
    camera : PinholeCamera
        Intrinsics of the image that is used, after rectification.
    maps : two arrays, or None
        Rectification maps for ``cv2.remap``; None to use the image as it is.
    rotation : ndarray, shape (3, 3)
        From the camera's own frame to the frame of the image that is used: R where it applies.
    why : str
        The rule that applied.
    """

    camera: PinholeCamera
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None
    rotation: NDArray[np.float64]
    why: str


def as_rectify(value: Any) -> str:
    """Return a value of ``rectify`` as one of :data:`RECTIFY`.

    Parameters
    ----------
    value : bool or str
        True and False, as parameter files hold them, "on" and "off", or one of the names.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    text = str(value).strip().lower()
    text = {"on": "true", "off": "false", "yes": "true", "no": "false"}.get(text, text)
    if text not in RECTIFY:
        raise ValueError(f"rectify is '{value}'; it must be one of {', '.join(RECTIFY)}")
    return text


def image_geometry(
    calibration: Calibration, topic: str | bool, rectify: str = "auto"
) -> ImageGeometry:
    """Decide what a camera_info means for the images of a topic.

    Parameters
    ----------
    calibration : Calibration
    topic : str or bool
        Name of the image topic, or whether it says that the images are rectified.
    rectify : {"auto", "true", "false"}
        - true: rectify with K, D and R; the result has the intrinsics P.
        - false: the images are rectified already, or a pinhole's; the intrinsics are P.
        - auto: images whose topic is named rectified are taken as they are, with P. Others are
          rectified if there is distortion (D, or the equidistant model) or a rotation R. The rest
          are a pinhole's images and are taken as they are, with K.

        An empty P is replaced by K, an empty K by P.

    Raises
    ------
    ValueError
        If the camera is not calibrated or cannot be rectified, with the reason.
    """
    rectify = as_rectify(rectify)
    is_named = is_rectified_name(topic) if isinstance(topic, str) else topic
    rotation = calibration.rotation
    if rectify == "false" or (rectify == "auto" and is_named):
        why = "named rectified: used as it is, with P" if is_named else "rectify is false: with P"
        return ImageGeometry(calibration.camera(rectified=True), None, rotation, why)
    if rectify == "true" or calibration.needs_rectification:
        camera = calibration.camera(rectified=True)
        maps = calibration.rectification_maps(camera)
        if rectify == "true":
            why = "rectify is true: rectified to P"
        elif calibration.is_distorted or calibration.model == "equidistant":
            why = "not named rectified, with distortion: rectified to P"
        else:
            why = "not named rectified, with a rotation R: rectified to P"
        return ImageGeometry(camera, maps, rotation, why)
    camera = calibration.camera(rectified=False)
    return ImageGeometry(camera, None, np.eye(3), "no distortion: used as it is, with K")


def implausible(camera: PinholeCamera) -> str:
    """Say why no lens and sensor have these intrinsics; "" if they may be right.

    Parameters
    ----------
    camera : PinholeCamera
    """
    return "; ".join(_doubts(camera, _POSSIBLE_ANGLE, _POSSIBLE_CENTRE, _POSSIBLE_PIXEL))


def doubtful(camera: PinholeCamera) -> str:
    """Say what is unusual about intrinsics, so that the calibration deserves a look; "" if nothing.

    Parameters
    ----------
    camera : PinholeCamera
        Camera of the whole image, before a crop of the network's.
    """
    return "; ".join(_doubts(camera, _USUAL_ANGLE, _USUAL_CENTRE, _USUAL_PIXEL))


def field_of_view(camera: PinholeCamera) -> tuple[float, float]:
    """Return the horizontal and vertical field of view in degrees."""
    left, right = camera.cx + 0.5, camera.width - 0.5 - camera.cx
    top, bottom = camera.cy + 0.5, camera.height - 0.5 - camera.cy
    return (
        math.degrees(math.atan(left / camera.fx) + math.atan(right / camera.fx)),
        math.degrees(math.atan(top / camera.fy) + math.atan(bottom / camera.fy)),
    )


def _doubts(
    camera: PinholeCamera, angles: tuple[float, float], centre: float, pixel: float
) -> list[str]:
    """List what is beyond some bounds."""
    found = []
    angle = field_of_view(camera)[0]
    size = f"{camera.width}x{camera.height}"
    if not angles[0] < angle < angles[1]:
        found.append(
            f"fx = {camera.fx:.1f} for {camera.width} pixels is a field of view of {angle:.0f}°"
        )
    x = (camera.cx + 0.5) / camera.width
    y = (camera.cy + 0.5) / camera.height
    if abs(x - 0.5) > centre or abs(y - 0.5) > centre:
        text = (
            f"the principal point ({camera.cx:.1f}, {camera.cy:.1f}) of the {size} image is at "
            f"{x:.0%} of its width and {y:.0%} of its height"
        )
        # One that is off by the same factor both ways is in the middle of another size.
        if abs(x - y) < 0.05 and x > 0.0:
            width, height = round(2.0 * camera.cx + 1.0), round(2.0 * camera.cy + 1.0)
            text += f", as if calibrated at {width}x{height}"
        found.append(text)
    ratio = max(camera.fx / camera.fy, camera.fy / camera.fx)
    if ratio > pixel:
        found.append(f"fx = {camera.fx:.1f} and fy = {camera.fy:.1f} differ by {ratio - 1.0:.0%}")
    return found
