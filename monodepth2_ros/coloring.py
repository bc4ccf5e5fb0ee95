# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth as a colour picture for people to look at."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from monodepth2_ros.options import COLOR_MAPS as COLOR_MAPS

# Percentiles of disparity at the ends of an automatic range: a few far or near pixels must not
# take all the contrast.
_LOW, _HIGH = 0.02, 0.98

# How an automatic range follows the scene, from frame to frame. A step is how far an end of the
# scene's range has moved, relative to the narrower of the old and the new range. Up to
# _STEADY_STEP a tenth of the way is gone, so that a static scene does not flicker; from there on
# more, and all of it from _STEADY_STEP + _JUMP_STEP on, so that a jump (a turn, a cut) is shown at
# once. With these values no frame of two hand-held and simulated recordings had more than a
# quarter of its pixels at the ends of the colour map; with a constant tenth it was up to all.
_SLOWEST = 0.1
_STEADY_STEP, _JUMP_STEP = 0.05, 0.25


def colorize(
    disparity: Tensor, low: float | Tensor, high: float | Tensor, color_map: str = "magma"
) -> Tensor:
    """Paint disparity: near is bright, far is dark.

    Parameters
    ----------
    disparity : Tensor, shape (H, W)
        Inverse depth; NaN is painted black.
    low, high : float, or Tensors of shape () on the device of `disparity`
        Disparities at the dark and the bright end.
    color_map : str
        One of :data:`COLOR_MAPS`.

    Returns
    -------
    Tensor, shape (H, W, 3), uint8, RGB
        On the device of `disparity`.
    """
    table = _table_on(color_map, disparity.device)
    span = high - low
    span = span.clamp(min=1e-12) if isinstance(span, Tensor) else max(span, 1e-12)
    level = ((disparity - low) * (255.0 / span)).clamp_(0.0, 255.0)
    index = torch.nan_to_num_(level + 0.5, nan=256.0).to(torch.int32)
    # Twice as fast as table[index] on a CPU.
    return table.index_select(0, index.reshape(-1)).view(*disparity.shape, 3)


def disparity_range(disparity: Tensor) -> tuple[float, float]:
    """Return the 2nd and 98th percentile of disparity, for :func:`colorize`.

    Parameters
    ----------
    disparity : Tensor, shape (H, W)
        What is not finite is left out.

    Returns
    -------
    low, high : float
        (0, 1) if there is no finite value.
    """
    low, high = disparity_limits(disparity).tolist()
    return low, high


def disparity_limits(disparity: Tensor) -> Tensor:
    """Return what :func:`disparity_range` does, without waiting for the device.

    Parameters
    ----------
    disparity : Tensor, shape (H, W)
        What is not finite is left out.

    Returns
    -------
    Tensor, shape (2,), float64
        (0, 1) if there is no finite value.
    """
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


def adapt_limits(shown: Tensor, limits: Tensor) -> Tensor:
    """Move the ends of an automatic colour range towards those of the present frame.

    Slowly while the scene changes little, at once when it jumps.

    Parameters
    ----------
    shown : Tensor, shape (2,)
        Disparities at the dark and the bright end of the picture before; NaN if there is none.
    limits : Tensor, shape (2,)
        :func:`disparity_limits` of the present frame.

    Returns
    -------
    Tensor, shape (2,)
    """
    step = (limits - shown).abs().amax()
    narrower = torch.minimum(limits[1] - limits[0], shown[1] - shown[0]).clamp(min=1e-12)
    share = ((step / narrower - _STEADY_STEP) / _JUMP_STEP).clamp(_SLOWEST, 1.0)
    return torch.where(shown.isnan(), limits, torch.lerp(shown, limits, share))


@functools.cache
def _table_on(color_map: str, device: torch.device) -> Tensor:
    """Keep a table where it is used."""
    return _table(color_map).to(device)


def _table(color_map: str) -> Tensor:
    """Colours of levels 0 … 255, and black at 256."""
    import cv2
    import numpy as np

    if color_map not in COLOR_MAPS:
        raise ValueError(f"color map '{color_map}' is unknown; one of {', '.join(COLOR_MAPS)}")
    levels = np.arange(256, dtype=np.uint8)[:, None]
    table = np.zeros((257, 3), dtype=np.uint8)
    if color_map == "gray":
        table[:256] = levels
    else:
        code = getattr(cv2, f"COLORMAP_{color_map.upper()}")
        table[:256] = cv2.applyColorMap(levels, code)[:, 0, ::-1]
    return torch.from_numpy(table)
