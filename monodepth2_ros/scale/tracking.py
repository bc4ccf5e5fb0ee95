# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Corners, and where they are in another image, by pyramidal Lucas-Kanade on small grey images.

One corner per cell of a grid: what they tell about the depth of the image is then told by all parts
of it, and the search for new ones is cheap.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera

#: Width of the images that corners are followed on.
TRACKING_WIDTH = 320

_COLUMNS = 12  # of the grid
_WINDOW = (11, 11)
_LEVELS, _UNWARPED_LEVELS = 2, 3
_BACK_LEVELS = 1
_BACK_OFF = 6.0  # pixels
_BORDER = 4  # pixels
_BLOCK = 3
# Smallest eigenvalue of the gradients' covariance that makes a corner: 1 grey level per pixel in
# its weaker direction. With more, plain walls have none, and their share of the image no say; noise
# of a few grey levels is not found again. OpenCV divides gradients of bytes by 255 and by
# 4 · block, over the sum.
_TEXTURE = 1.0**2 * 64.0 * _BLOCK**2 / (4.0 * _BLOCK * 255.0) ** 2
# The way back from the new image must lead home within so many pixels.
_RETURN = 0.7


def tracking_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce an image to what corners are followed on.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3) RGB or (H, W) grey, uint8

    Returns
    -------
    ndarray, shape (h, w), uint8
        At most :data:`TRACKING_WIDTH` wide.
    """
    height, width = image.shape[:2]
    size = _tracking_size(width, height)
    if image.ndim == 3:  # first: three channels take longer to resize
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    if size != (width, height):
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def tracking_camera(camera: PinholeCamera) -> PinholeCamera:
    """Return the camera of the :func:`tracking_image` of an image, given the image's."""
    return camera.resized(*_tracking_size(camera.width, camera.height))


def _tracking_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of the tracking image."""
    if width <= TRACKING_WIDTH:
        return width, height
    return TRACKING_WIDTH, max(1, round(height * TRACKING_WIDTH / width))


def find_corners(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find the best corner of each cell of a grid.

    Parameters
    ----------
    grey : ndarray, shape (h, w), uint8
        From :func:`tracking_image`.

    Returns
    -------
    ndarray, shape (N, 2), float32
        Pixels x, y; none in cells without texture.
    """
    # At half the size the search takes a tenth of the time, and a corner is followed all the same.
    size = (grey.shape[1] // 2, grey.shape[0] // 2)
    half = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    width, height = size
    cell = max(4, round(width / _COLUMNS))
    rows, columns = height // cell, width // cell
    if rows == 0 or columns == 0:
        return np.zeros((0, 2), np.float32)
    strength = cv2.cornerMinEigenVal(half, _BLOCK)
    edge = _BORDER // 2
    strength[:edge], strength[height - edge :] = 0.0, 0.0
    strength[:, :edge], strength[:, width - edge :] = 0.0, 0.0
    cells = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    best = cells.argmax(axis=1)
    textured = np.flatnonzero(cells[np.arange(len(best)), best] > _TEXTURE)
    y, x = textured // columns * cell, textured % columns * cell
    place = best[textured]
    corners = np.stack([x + place % cell, y + place // cell], axis=1)
    return (2.0 * corners + 0.5).astype(np.float32)


def follow(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    points: NDArray[np.float32],
    warp: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow points from one image to another, and back.

    The second image is first warped to look like the first, by what is known of motion and depth:
    patches of a road change their size and shape from frame to frame, and are not found again
    otherwise.

    Parameters
    ----------
    first, second : ndarray, shape (h, w), uint8
    points : ndarray, shape (N, 2), float32
        Where they are in the first image.
    warp : tuple of ndarray, shape (h, w), float32, optional
        x and y in the second image of what each pixel of the first one shows, roughly; the same
        place without it.

    Returns
    -------
    there : ndarray, shape (N, 2), float32
        Where they are in the second image.
    found : ndarray of bool, shape (N,)
        Whether they were found there, and from there back home.
    """
    if not len(points):
        return points, np.zeros(0, bool)
    border, warped, levels = cv2.BORDER_REPLICATE, second, _UNWARPED_LEVELS
    if warp is not None:
        warped = np.asarray(cv2.remap(second, *warp, cv2.INTER_LINEAR, borderMode=border), np.uint8)
        levels = _LEVELS
    there, found = _flow(first, warped, points, points, levels)
    # The way back starts as far off as the way there did, but for a few pixels at most.
    off = np.clip(there - points, -_BACK_OFF, _BACK_OFF)
    back, returned = _flow(warped, first, there, points + off, _BACK_LEVELS)
    home = np.abs(back - points).max(axis=1) < _RETURN
    height, width = second.shape
    if warp is not None:
        column, row = (np.ascontiguousarray(there[:, i : i + 1]) for i in range(2))
        back_to_second = [
            cv2.remap(part, column, row, cv2.INTER_LINEAR, borderMode=border) for part in warp
        ]
        there = np.asarray(np.concatenate(back_to_second, axis=1), np.float32)
    inside = (there >= _BORDER).all(axis=1)
    inside &= (there[:, 0] < width - _BORDER) & (there[:, 1] < height - _BORDER)
    return there, found & returned & inside & home


def _flow(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    points: NDArray[np.float32],
    guess: NDArray[np.float32],
    levels: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Follow points (N, 2) from one image to another, by so many halvings of both."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        guess.astype(np.float32),  # a copy, as it is overwritten
        winSize=_WINDOW,
        maxLevel=levels,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-3,
    )
    return np.asarray(there, np.float32).reshape(-1, 2), found.ravel() > 0
