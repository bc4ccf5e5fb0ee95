# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where in a depth image things end: the places at which a blurred depth is worst."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels of the truth around an outline that count as being at it.
OUTLINE_RADIUS = 8

#: How much of a pixel's inverse depth it may differ from the middle of its neighbours' before there
#: is an outline.
_BREAK = 0.1


def near_outlines(depth: NDArray[np.float32], radius: int = OUTLINE_RADIUS) -> NDArray[np.bool_]:
    """Find the pixels around which depth jumps.

    The inverse depth of a plane is linear in the pixel coordinates, however slanted it is, so its
    second difference is zero on every plane and large only where depth jumps.

    Parameters
    ----------
    depth : array of float32, shape (H, W)
        Metres along the optical axis; not above 0 where unknown.
    radius : int
        Pixels around an outline, in rows and columns.

    Returns
    -------
    array of bool, shape (H, W)
        Known pixels no further than `radius` from a jump between known pixels.
    """
    known = depth > 0.0
    inverse = np.where(known, 1.0 / np.where(known, depth, 1.0), np.nan).astype(np.float32)
    jumps = np.zeros(depth.shape, dtype=bool)
    for axis in (0, 1):
        values, found = np.moveaxis(inverse, axis, 0), np.moveaxis(jumps, axis, 0)
        before, here, after = values[:-2], values[1:-1], values[2:]
        largest = np.maximum(np.maximum(before, here), after)
        with np.errstate(invalid="ignore"):
            found[1:-1] |= np.abs(here - 0.5 * (before + after)) > _BREAK * largest
    square = np.ones((2 * radius + 1, 2 * radius + 1), dtype=np.uint8)
    around = cv2.dilate(jumps.astype(np.uint8), square).astype(bool)
    return np.asarray(around & known, dtype=np.bool_)
