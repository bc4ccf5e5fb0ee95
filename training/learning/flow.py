# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Optical flow between the frames of a store, averaged over cells, and where it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.frames.store import FrameStore

# Forward and backward flow agree up to this share of its squared length plus this constant in
# squared pixels (Sundaram, Brox and Keutzer, ECCV 2010, equation 5).
_FLOW_TOLERANCE, _FLOW_REST = 0.01, 0.5

# Flow is trusted where the image has corners this strong (cv2.cornerMinEigenVal, averaged over a
# cell): on bare walls and along lines it is a guess. With fewer than 20 such cells, motion is
# solved from all cells whose flow is consistent.
_CORNER, _ENOUGH_CELLS = 2e-4, 20


class MeasureFlow(Protocol):
    """Measures the flow between two frames of a store: see :func:`measure_trusted_flow`."""

    def __call__(self, store: int, first: int, second: int) -> NDArray[np.float16]:
        """Take the index of the store, and those of its frames."""
        ...


def cell_size(width: int) -> int:
    """Return the side of the square cells over which flow is averaged, in pixels."""
    return 4 if width <= 256 else 8


def measure_flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], cell: int
) -> NDArray[np.float32]:
    """Measure where the parts of an image went.

    Parameters
    ----------
    first, second : ndarray, shape (H, W, 3), uint8, RGB
    cell : int
        Divides both sides.

    Returns
    -------
    ndarray, shape (2, H / cell, W / cell), float32
        Motion in x and y in pixels, averaged over cells.
    """
    # Its third argument would be a first guess; the type stubs do not know that it may be None.
    method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    grey = [cv2.cvtColor(np.ascontiguousarray(i), cv2.COLOR_RGB2GRAY) for i in (first, second)]
    flow = method.calc(grey[0], grey[1], None)
    height, width = grey[0].shape
    size = (width // cell, height // cell)
    cells = cv2.resize(flow, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cells.transpose(2, 0, 1), np.float32)


def measure_trusted_flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], cell: int
) -> NDArray[np.float16]:
    """Measure where the parts of an image went, and where that is to be trusted.

    Parameters
    ----------
    first, second, cell
        As in :func:`measure_flow`.

    Returns
    -------
    ndarray, shape (3, H / cell, W / cell), float16
        Motion in x and y in pixels; 1 where :func:`trusted_cells`, else 0.
    """
    forward, backward = (measure_flow(*pair, cell=1) for pair in ((first, second), (second, first)))
    trusted = trusted_cells(first, consistent_flow(forward, backward), cell)
    cells = [average_cells(part, cell) for part in forward]
    return np.stack([*cells, trusted.astype(np.float32)]).astype(np.float16)


def consistent_flow(
    forward: NDArray[np.float32], backward: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Select the pixels that flow leads into the other image and back to where they were.

    Parameters
    ----------
    forward, backward : ndarray, shape (2, H, W), float32
        From the first image to the second, and from the second to the first, in pixels.

    Returns
    -------
    ndarray, shape (H, W), bool
        |f + b|² < 0.01 (|f|² + |b|²) + 0.5, where b is the backward flow at the end of f
        (Sundaram, Brox and Keutzer, ECCV 2010).
    """
    height, width = forward.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + forward[0], y + forward[1]
    back = np.stack([cv2.remap(part, x, y, cv2.INTER_LINEAR) for part in backward])
    error = np.sum((forward + back) ** 2, axis=0)
    length = np.sum(forward**2, axis=0) + np.sum(back**2, axis=0)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & (error < _FLOW_TOLERANCE * length + _FLOW_REST)


def trusted_cells(
    image: NDArray[np.uint8], consistent: NDArray[np.bool_], cell: int
) -> NDArray[np.bool_]:
    """Choose the cells to solve motion from: those with corners, whose flow is consistent.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8, RGB
    consistent : ndarray, shape (H, W), bool
        See :func:`consistent_flow`.
    cell : int

    Returns
    -------
    ndarray, shape (H / cell, W / cell), bool
        Where there are few such cells, all with consistent flow; where few of these, all.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    corners = average_cells(cv2.cornerMinEigenVal(grey, 5, ksize=3), cell)
    seen = average_cells(consistent, cell) > 0.9
    for trusted in (seen & (corners > _CORNER), seen):
        if np.count_nonzero(trusted) >= _ENOUGH_CELLS:
            return trusted
    return np.ones_like(seen)


def average_cells(values: NDArray[Any], cell: int) -> NDArray[np.float32]:
    """Average over square cells; what is left at the right and below is left out."""
    height, width = (side // cell for side in values.shape)
    cells = values[: height * cell, : width * cell].reshape(height, cell, width, cell)
    return cells.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)


def remember_flow(stores: Sequence[FrameStore]) -> MeasureFlow:
    """Return a function that measures the flow of each pair of frames once.

    Parameters
    ----------
    stores : sequence of FrameStore
        Stores of one size.
    """

    @cache
    def flow(store: int, first: int, second: int) -> NDArray[np.float16]:
        images = stores[store].images
        cell = cell_size(stores[store].width)
        return measure_trusted_flow(images[first], images[second], cell)

    return flow


def mirror_flow(flow: Tensor, mirror: Tensor) -> Tensor:
    """Mirror the flow of some samples left to right.

    Parameters
    ----------
    flow : Tensor, shape (B, N, 3, h, w)
        See :func:`measure_trusted_flow`.
    mirror : Tensor, shape (B,), bool
    """
    x, rest = flow.flip(-1).split([1, 2], dim=2)
    flipped = torch.cat([-x, rest], dim=2)
    return torch.where(mirror.to(flow.device)[:, None, None, None, None], flipped, flow)
