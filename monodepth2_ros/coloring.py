# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth as a colour picture for people to look at; from NumPy arrays and from torch tensors."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.options import COLOR_MAPS as COLOR_MAPS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Percentiles of disparity at the ends of an automatic range: a few far or near pixels must not
# take all the contrast.
_LOW, _HIGH = 0.02, 0.98

# How an automatic range follows the scene, from frame to frame. A step is how far an end of the
# scene's range has moved, relative to the narrower of the old and the new range. Up to
# _STEADY_STEP a tenth of the way is gone, so that a static scene does not flicker; from there on
# more, and all of it from _STEADY_STEP + _JUMP_STEP on, so that a jump (a turn, a cut) is shown at
# once. The values were chosen on three recordings: on a flight and a walk no frame had more than
# 30 % of its pixels at the ends of the colour map (66 and 10 % of the frames with a constant
# tenth); on a highway, half of which is sky, nothing changed (43 %).
_SLOWEST = 0.1
_STEADY_STEP, _JUMP_STEP = 0.05, 0.25


def colorize(disparity: Any, low: Any, high: Any, color_map: str = "magma") -> Any:
    """Paint disparity: near is bright, far is dark.

    Parameters
    ----------
    disparity : ndarray or Tensor, shape (H, W)
        Inverse depth; NaN is painted black.
    low, high : float, or for a tensor Tensors of shape () on its device
        Disparities at the dark and the bright end.
    color_map : str
        One of :data:`COLOR_MAPS`.

    Returns
    -------
    ndarray or Tensor as `disparity`, shape (H, W, 3), uint8, RGB
    """
    if isinstance(disparity, np.ndarray):
        return _colorize_array(disparity, float(low), float(high), color_map)
    import torch
    from torch import Tensor

    table = _table_on(color_map, disparity.device)
    span = high - low
    span = span.clamp(min=1e-12) if isinstance(span, Tensor) else max(span, 1e-12)
    level = ((disparity - low) * (255.0 / span)).clamp_(0.0, 255.0)
    index = torch.nan_to_num_(level + 0.5, nan=256.0).to(torch.int32)
    # Twice as fast as table[index] on a CPU.
    return table.index_select(0, index.reshape(-1)).view(*disparity.shape, 3)


def _colorize_array(
    disparity: NDArray[Any], low: float, high: float, color_map: str
) -> NDArray[np.uint8]:
    """Do what :func:`colorize` does, with arrays."""
    import cv2

    factor = np.float32(255.0 / max(high - low, 1e-12))
    level = np.asarray(disparity, dtype=np.float32) - np.float32(low)
    level *= factor
    is_unknown = np.isnan(level)
    np.clip(level, 0.0, 255.0, out=level)
    level += np.float32(0.5)
    level[is_unknown] = 0.0
    table = np.ascontiguousarray(_table(color_map)[:256, None])
    picture = np.asarray(cv2.applyColorMap(level.astype(np.uint8), table), dtype=np.uint8)
    picture[is_unknown] = 0
    return picture


def disparity_range(disparity: Any) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of disparity, for :func:`colorize`.

    Parameters
    ----------
    disparity : ndarray or Tensor, shape (H, W)
        What is not finite is left out.

    Returns
    -------
    low, high : float
        (0, 1) if there is no finite value.
    """
    low, high = disparity_limits(disparity).tolist()
    return low, high


def disparity_limits(disparity: Any) -> Any:
    """Return what :func:`disparity_range` does, without waiting for the device.

    Parameters
    ----------
    disparity : ndarray or Tensor, shape (H, W)
        What is not finite is left out.

    Returns
    -------
    ndarray or Tensor as `disparity`, shape (2,), float64
        (0, 1) if there is no finite value.
    """
    if isinstance(disparity, np.ndarray):
        some = disparity[::4, ::4]
        finite = some[np.isfinite(some)]
        if finite.size == 0:
            return np.array([0.0, 1.0])
        return np.asarray(np.quantile(finite, (_LOW, _HIGH)), dtype=np.float64)
    import torch

    values = disparity[::4, ::4].reshape(-1)  # enough for a percentile, and sixteen times faster
    known = torch.isfinite(values)
    ordered = torch.where(known, values, torch.inf).sort().values
    last = known.sum() - 1
    # As torch.quantile, which would need the number of values on the host.
    shares = torch.stack([torch.full_like(ordered[0], share) for share in (_LOW, _HIGH)])
    rank = (shares * last).clamp_(min=0.0)
    below = rank.floor()
    lower, upper = (ordered.gather(0, place.long()) for place in (below, rank.ceil()))
    limits = torch.lerp(lower, upper, rank - below).double()
    nothing = torch.arange(2, dtype=torch.float64, device=disparity.device)
    return torch.where(last < 0, nothing, limits)


def adapt_limits(shown: Any, limits: Any) -> Any:
    """Move the ends of an automatic colour range towards those of the present frame.

    Slowly while the scene changes little, at once when it jumps.

    Parameters
    ----------
    shown : ndarray or Tensor, shape (2,)
        Disparities at the dark and the bright end of the picture before; NaN if there is none.
    limits : ndarray or Tensor, shape (2,)
        :func:`disparity_limits` of the present frame.

    Returns
    -------
    ndarray or Tensor as the arguments, shape (2,)
    """
    if isinstance(shown, np.ndarray):
        if np.isnan(shown).any():
            return limits
        step = np.abs(limits - shown).max()
        narrower = max(min(limits[1] - limits[0], shown[1] - shown[0]), 1e-12)
        share = np.clip((step / narrower - _STEADY_STEP) / _JUMP_STEP, _SLOWEST, 1.0)
        return shown + share * (limits - shown)
    import torch

    step = (limits - shown).abs().amax()
    narrower = torch.minimum(limits[1] - limits[0], shown[1] - shown[0]).clamp(min=1e-12)
    share = ((step / narrower - _STEADY_STEP) / _JUMP_STEP).clamp(_SLOWEST, 1.0)
    return torch.where(shown.isnan(), limits, torch.lerp(shown, limits, share))


@functools.cache
def _table_on(color_map: str, device: torch.device) -> Tensor:
    """Keep a table where it is used."""
    import torch

    return torch.from_numpy(_table(color_map)).to(device)


@functools.cache
def _table(color_map: str) -> NDArray[np.uint8]:
    """Colours of levels 0 … 255, and black at 256."""
    import cv2

    if color_map not in COLOR_MAPS:
        raise ValueError(f"color map '{color_map}' is unknown; one of {', '.join(COLOR_MAPS)}")
    levels = np.arange(256, dtype=np.uint8)[:, None]
    table = np.zeros((257, 3), dtype=np.uint8)
    if color_map == "gray":
        table[:256] = levels
    else:
        code = getattr(cv2, f"COLORMAP_{color_map.upper()}")
        table[:256] = cv2.applyColorMap(levels, code)[:, 0, ::-1]
    return table
