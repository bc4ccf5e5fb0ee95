# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The few operations that NumPy arrays and torch tensors spell differently.

Outputs are computed from arrays on a CPU, without torch, and from tensors on a GPU. What is made of
these functions and of operators is one description for both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Union

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: An ndarray, or a Tensor on any device.
Array = Union[NDArray[Any], "Tensor"]

# Largest number of a 16UC1 depth image.
_MOST_MILLIMETRES = 65535.0


def affine(values: Any, factor: float, offset: float) -> Any:
    """Return offset + factor · values, in the type of `values`."""
    if isinstance(values, np.ndarray):
        result = values * values.dtype.type(factor)
        result += values.dtype.type(offset)
        return result
    import torch

    return torch.add(offset, values, alpha=factor)


def reciprocal(values: Any) -> Any:
    """Return 1 / values."""
    return np.reciprocal(values) if isinstance(values, np.ndarray) else values.reciprocal()


def with_nan(values: Any, mask: Any) -> Any:
    """Return the values, and NaN where the mask is true."""
    if isinstance(values, np.ndarray):
        return np.where(mask, values.dtype.type(np.nan), values)
    return values.masked_fill(mask, math.nan)


def as_float(mask: Any) -> Any:
    """Turn a mask into float32: 0 and 1."""
    return mask.astype(np.float32) if isinstance(mask, np.ndarray) else mask.float()


def resize(values: Any, width: int, height: int) -> Any:
    """Resize (H, W), float32 bilinearly, without antialiasing, by pixel centres."""
    if isinstance(values, np.ndarray):
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    from torch.nn import functional

    resized = functional.interpolate(
        values[None, None], (height, width), mode="bilinear", align_corners=False
    )
    return resized[0, 0]


def surround_with_nan(values: Any, left: int, right: int, top: int, bottom: int) -> Any:
    """Add margins of NaN to (H, W), float32."""
    if isinstance(values, np.ndarray):
        sides = ((top, bottom), (left, right))
        return np.pad(values, sides, constant_values=values.dtype.type(np.nan))
    from torch.nn import functional

    return functional.pad(values, (left, right, top, bottom), value=math.nan)


def millimetres(metres: Any) -> Any:
    """Round metres to uint16 millimetres; 0 for what is not finite or does not fit."""
    if isinstance(metres, np.ndarray):
        rounded = np.rint(metres * np.float32(1000.0))
        fits = rounded <= _MOST_MILLIMETRES  # false for NaN
        return np.where(fits, rounded, np.float32(0.0)).astype(np.uint16)
    import torch

    rounded = torch.nan_to_num(metres * 1000.0, nan=0.0, posinf=0.0).round_()
    rounded = rounded.masked_fill(rounded > _MOST_MILLIMETRES, 0.0)
    # Through int32: conversions to uint16 are not implemented on every device.
    return rounded.to(torch.int32).to(torch.uint16)


def all_finite(values: Any) -> Any:
    """Return an array of one bool: whether all values are finite."""
    if isinstance(values, np.ndarray):
        return np.isfinite(values).all(keepdims=True).reshape(1)
    import torch

    return torch.isfinite(values).all()[None]


def to_half(values: Any) -> Any:
    """Round to float16; what is larger than its largest number becomes that."""
    most = float(np.finfo(np.float16).max)
    if isinstance(values, np.ndarray):
        return np.minimum(values, np.float32(most)).astype(np.float16)
    return values.clamp(max=most).half()
