# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a delivered image to a stored one: rectify, crop, resize, and the camera that follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration, PinholeCamera
from monodepth2_ros.preprocessing import Crop, crop_box, prepare_image
from monodepth2_ros.rectification import image_geometry, implausible

#: Both sides of a stored image are multiples of this: the encoder halves five times.
MULTIPLE = 32

#: Width of the stored images unless told otherwise, as published.
DEFAULT_WIDTH = 640

#: Stretching one side by up to this much counts as keeping the aspect.
_STRETCH = 0.03

#: Corners are tracked in grey copies up to this wide, where they are so many times wider than the
#: stored images: a corner is tracked to about a tenth of a pixel, whatever a pixel shows.
CORNER_WIDTH, _WORTH_A_COPY = 640, 1.2

#: Truth wider than this many stored images is thinned out.
_TRUTH_WIDTHS = 2


@dataclass(frozen=True)
class StoredView:
    """How the images of one calibration are stored.

    Attributes
    ----------
    delivered : tuple of int
        Width and height of the images as they arrive.
    source : PinholeCamera
        Camera of the image after rectification, before the crop.
    crop : tuple of float
    camera : PinholeCamera
        Camera of the stored image.
    maps : two arrays, or None
        Rectification, for ``cv2.remap``.
    rotation : ndarray, shape (3, 3)
        Axes of `source` from those of the camera's frame: CameraInfo's R where it applies.
    """

    delivered: tuple[int, int]
    source: PinholeCamera
    crop: Crop
    camera: PinholeCamera
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None
    rotation: NDArray[np.float64]

    def rectified(self, delivered: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rectify a delivered image, where it needs that.

        Parameters
        ----------
        delivered : ndarray, shape (H, W, 3), uint8

        Raises
        ------
        ValueError
            If it has not the calibration's size.
        """
        height, width = delivered.shape[:2]
        if (width, height) != self.delivered:
            raise ValueError(
                f"image of {width}x{height}, but camera_info is for "
                f"{self.delivered[0]}x{self.delivered[1]}"
            )
        if self.maps is not None:
            return np.asarray(cv2.remap(delivered, *self.maps, cv2.INTER_LINEAR), np.uint8)
        # torch warns about read-only memory.
        return delivered if delivered.flags.writeable else delivered.copy()

    def image(self, rectified: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a rectified image, shape (H, W, 3), into a stored one."""
        camera = self.camera
        source = torch.from_numpy(rectified)
        return prepare_image(source, self.crop, camera.width, camera.height).numpy()

    def corner_image(
        self, rectified: NDArray[np.uint8], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Turn a rectified image into the grey one in which corners are tracked.

        Parameters
        ----------
        rectified : ndarray, shape (H, W, 3), uint8
            RGB.
        size : tuple of int
            Width and height of the result, which shows what the stored image shows.
        """
        x, y, width, height = crop_box(self.source.width, self.source.height, self.crop)
        grey = cv2.cvtColor(rectified[y : y + height, x : x + width], cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)

    @property
    def truth_camera(self) -> PinholeCamera:
        """Camera of the truth: the cropped source, thinned out if it is much larger than stored."""
        x, y, width, height = crop_box(self.source.width, self.source.height, self.crop)
        cropped = self.source.cropped(x, y, width, height)
        stride = self._truth_stride(width)
        return cropped.resized(width // stride, height // stride)

    def depth(
        self, delivered: NDArray[np.float32], is_rectified: bool, size: tuple[int, int] | None
    ) -> NDArray[np.float32]:
        """Turn a delivered depth image into truth, without ever mixing two depths.

        Parameters
        ----------
        delivered : ndarray, shape (h, w)
            Metres; seen by the camera of the images, at any resolution.
        is_rectified : bool
            It belongs to the rectified images, not to the delivered ones.
        size : tuple of int, or None
            Width and height of the truth; None leaves its own, unless that is much larger than
            the stored image.

        Raises
        ------
        ValueError
            If it needs rectification, which takes depth of the images' size.
        """
        if self.maps is not None and not is_rectified:
            height, width = delivered.shape
            if (width, height) != self.delivered:
                raise ValueError(
                    f"depth of {width}x{height} cannot be rectified with the images of "
                    f"{self.delivered[0]}x{self.delivered[1]}"
                )
            delivered = remap_nearest(delivered, *self.maps)
        x, y, width, height = crop_box(delivered.shape[1], delivered.shape[0], self.crop)
        stride = self._truth_stride(width)
        size = size or (width // stride, height // stride)
        # The source pixel at the centre of each target pixel (cv2's nearest takes the corner).
        columns = x + ((np.arange(size[0]) + 0.5) * (width / size[0])).astype(int)
        rows = y + ((np.arange(size[1]) + 0.5) * (height / size[1])).astype(int)
        return delivered[rows[:, None], columns]

    def _truth_stride(self, width: int) -> int:
        """Return how many pixels of the source become one of the truth."""
        return max(1, width // (_TRUTH_WIDTHS * self.camera.width))

    def empty_share(self) -> float:
        """Return the share of the stored image that rectification leaves without pixels."""
        if self.maps is None:
            return 0.0
        white = np.full((self.delivered[1], self.delivered[0]), 255, np.uint8)
        seen = cv2.remap(white, *self.maps, cv2.INTER_NEAREST)
        x, y, width, height = crop_box(seen.shape[1], seen.shape[0], self.crop)
        return float((seen[y : y + height, x : x + width] == 0).mean())


def make_view(
    calibration: Calibration,
    is_rectified: bool,
    rectify: str,
    crop: Crop,
    size: tuple[int, int] | None = None,
) -> StoredView:
    """Derive how to store a camera's images.

    Parameters
    ----------
    calibration : Calibration
    is_rectified : bool
        The topic's name says that the images are rectified.
    rectify : {"auto", "true", "false"}
        See :func:`monodepth2_ros.rectification.image_geometry`.
    crop : tuple of float
    size : tuple of int, optional
        Width and height of the stored images; by default see :func:`stored_size`.

    Raises
    ------
    ValueError
        If the camera is not calibrated or cannot be rectified, or if its intrinsics are
        impossible, with the reason.
    """
    geometry = image_geometry(calibration, is_rectified, rectify)
    source = geometry.camera
    reason = implausible(source)
    if reason:
        raise ValueError(
            f"the intrinsics cannot be right: {reason}. Calibrate the camera, and give "
            "--camera calibration.yaml"
        )
    x, y, width, height = crop_box(source.width, source.height, crop)
    cropped = source.cropped(x, y, width, height)
    if not (0 <= cropped.cx <= width - 1 and 0 <= cropped.cy <= height - 1):
        raise ValueError(
            f"the principal point ({cropped.cx:.1f}, {cropped.cy:.1f}) is outside the "
            f"{width}x{height} image; is the calibration of another size?"
        )
    stored = cropped.resized(*(size or stored_size(width, height)))
    return StoredView(
        calibration.delivered_size, source, crop, stored, geometry.maps, geometry.rotation
    )


def stored_size(
    width: int, height: int, wanted_width: int | None = None, wanted_height: int | None = None
) -> tuple[int, int]:
    """Choose the size of the stored images: multiples of 32 that keep the aspect.

    Parameters
    ----------
    width, height : int
        Width and height of the cropped source.
    wanted_width, wanted_height : int, optional
        What is given is taken; the other follows from the aspect. Without any, the largest size
        of at most 640 (and not above the source) that stretches neither side by more than 3 %.

    Raises
    ------
    ValueError
        If a wanted side is not a positive multiple of 32.
    """
    for name, value in (("--width", wanted_width), ("--height", wanted_height)):
        if value is not None and (value < MULTIPLE or value % MULTIPLE):
            raise ValueError(f"{name} is {value}; give a multiple of {MULTIPLE}")
    if wanted_width is not None:
        return wanted_width, wanted_height or _nearest_multiple(wanted_width * height / width)
    if wanted_height is not None:
        return _nearest_multiple(wanted_height * width / height), wanted_height
    best, best_stretch = (MULTIPLE, MULTIPLE), math.inf
    largest = max(MULTIPLE, min(DEFAULT_WIDTH, width) // MULTIPLE * MULTIPLE)
    for candidate in range(largest, 0, -MULTIPLE):
        matching = _nearest_multiple(candidate * height / width)
        stretch = abs(math.log(candidate * height / (matching * width)))
        if stretch <= _STRETCH:
            return candidate, matching
        if stretch < best_stretch:
            best, best_stretch = (candidate, matching), stretch
    return best


def corner_size(
    sources: Sequence[tuple[int, int]], stored: tuple[int, int], wanted: int | None = None
) -> tuple[int, int] | None:
    """Choose the size of the grey copies in which corners are tracked.

    Parameters
    ----------
    sources : sequence of tuple of int
        Width and height of the cropped source of each camera; the first one's aspect is kept, and
        none is enlarged.
    stored : tuple of int
        Width and height of the stored images.
    wanted : int, optional
        Width of the copies, 0 for none; by default at most 640.

    Returns
    -------
    tuple of int, or None
        Width and height; None where the stored images serve.
    """
    width, height = sources[0]
    fitting = (min(of_width, of_height * width // height) for of_width, of_height in sources)
    chosen = min(CORNER_WIDTH if wanted is None else wanted, *fitting)
    if chosen < least_corner_width(stored[0]):
        return None
    return chosen, min(round(chosen * height / width), *(of_height for _, of_height in sources))


def least_corner_width(stored_width: int) -> int:
    """Return the width from which on copies show corners better than the stored images."""
    return math.ceil(_WORTH_A_COPY * stored_width)


def truth_from_points(
    points: NDArray[np.floating[Any]], camera: PinholeCamera
) -> NDArray[np.float32]:
    """Project points into a depth image; where several fall on a pixel, the nearest stays.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        In the camera's optical frame, metres.
    camera : PinholeCamera

    Returns
    -------
    ndarray, shape (H, W), float32
        Depth along the optical axis; NaN where no point falls.
    """
    points = np.asarray(points, np.float64)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 1e-3)]
    depth = points[:, 2]
    column = np.rint(points[:, 0] / depth * camera.fx + camera.cx)
    row = np.rint(points[:, 1] / depth * camera.fy + camera.cy)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    pixel = (row[inside] * camera.width + column[inside]).astype(np.int64)
    nearest = np.full(camera.width * camera.height, np.inf)
    np.minimum.at(nearest, pixel, depth[inside])
    nearest[np.isinf(nearest)] = np.nan
    return nearest.reshape(camera.height, camera.width).astype(np.float32)


def remap_nearest(
    depth: NDArray[np.float32], whole: NDArray[np.int16], fraction: NDArray[np.uint16]
) -> NDArray[np.float32]:
    """Look depth up at the nearest pixel; NaN outside.

    The maps are OpenCV's: whole pixels, and 5 bits each of the fractions y and x. cv2.remap with
    INTER_NEAREST would drop the fractions, half a pixel off on average.
    """
    column = whole[..., 0] + ((fraction & 31) >= 16)
    row = whole[..., 1] + ((fraction >> 5) >= 16)
    height, width = depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = depth[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.where(inside, found, np.float32(np.nan))


def _nearest_multiple(value: float) -> int:
    """Round to a multiple of 32, at least one."""
    return max(1, round(value / MULTIPLE)) * MULTIPLE
