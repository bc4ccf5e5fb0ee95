# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of a predictor for one frame; importing this imports no engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.options import OutputOptions


@dataclass(frozen=True)
class Request:
    """What is to be predicted of one frame, in the terms of the predictor's ``predict``.

    Attributes
    ----------
    image : ndarray, shape (H, W, 3), uint8, RGB
    camera : PinholeCamera or None
    options : OutputOptions
    outputs : tuple of str
    """

    image: NDArray[np.uint8]
    camera: PinholeCamera | None
    options: OutputOptions
    outputs: tuple[str, ...]
