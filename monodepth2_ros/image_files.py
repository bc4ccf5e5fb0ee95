# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes image files; OpenCV's own writer ends the interpreter on paths that are not UTF-8."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import write_atomically


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image file, completely or not at all.

    Parameters
    ----------
    path : Path
        Its suffix says the format.
    image : ndarray, shape (H, W, 3), uint8, RGB

    Raises
    ------
    OSError
        If it cannot be written; it names `path`.
    ValueError
        If the format is unknown or the image has no pixels.
    """
    try:
        done, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ValueError(f"{path} cannot be encoded: {str(error).splitlines()[0]}") from error
    if not done:
        raise ValueError(f"{path} cannot be encoded")
    write_atomically(path, content.tobytes())
