# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera that a model was trained with, compared with the camera at hand.

A network judges distance by the size of things in its image. With a longer lens everything is
larger, so depth comes out too small and the scale changes. docs/reference/joins.md holds
measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import Crop, crop_box

#: Focal lengths (in image widths) may differ by this factor before it is worth a warning.
FOCAL_FACTOR = 1.25

#: So may the aspect of the images, which are brought to the network's by stretching.
ASPECT_FACTOR = 1.25


def describe_cameras(cameras: Sequence[PinholeCamera]) -> dict[str, Any]:
    """Describe the cameras of a training, for the checkpoint.

    Parameters
    ----------
    cameras : sequence of PinholeCamera
        Cameras of the stored images, so after the crop.

    Returns
    -------
    dict
        Smallest, median and largest focal length as a share of the image width ("focal_length"),
        and the median horizontal field of view in degrees and aspect in pixels of equal size.
    """
    focal = [camera.fx / camera.width for camera in cameras]
    aspect = [camera.width / camera.height * camera.fy / camera.fx for camera in cameras]
    middle = float(np.median(focal))
    return {
        "focal_length": [round(float(x), 4) for x in (min(focal), middle, max(focal))],
        "horizontal_field_of_view": round(math.degrees(2.0 * math.atan(0.5 / middle)), 1),
        "aspect": round(float(np.median(aspect)), 4),
    }


def camera_difference(training: Mapping[str, Any], camera: PinholeCamera, crop: Crop) -> str:
    """Say how a camera differs from those of the training; "" if little, or if they are unknown.

    Parameters
    ----------
    training : mapping
        Field `training` of the checkpoint's metadata.
    camera : PinholeCamera
        Camera of the whole image, after rectification.
    crop : tuple of float
        What is removed of it before the network.
    """
    known = training.get("camera")
    try:
        low, _, high = (float(value) for value in known["focal_length"])  # type: ignore[index]
        aspect = float(known["aspect"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return ""
    x, y, width, height = crop_box(camera.width, camera.height, crop)
    seen = camera.cropped(x, y, width, height)
    focal = seen.fx / seen.width
    found = []
    if focal > high * FOCAL_FACTOR or focal * FOCAL_FACTOR < low:
        factor = focal / high if focal > high else focal / low
        angle = math.degrees(2.0 * math.atan(0.5 / focal))
        found.append(
            f"its focal length is {factor:.2f} times that of the training (its field of view is "
            f"{angle:.0f}°), so the scale is another one"
        )
    ratio = seen.width / seen.height * seen.fy / seen.fx / aspect
    if max(ratio, 1.0 / ratio) > ASPECT_FACTOR:
        found.append(
            f"its images are {ratio:.2f} times as wide for their height as in training, so they "
            "are stretched"
        )
    if not found:
        return ""
    return (
        f"the model was trained with another camera: {'; '.join(found)}. Crop to the field of view "
        "of the training, measure 'scale' again, or train with this camera"
    )
