# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion without a network: solved from optical flow and the depth that is predicted.

A pose network learns slowly from a short recording, and depth cannot be learned before motion is
known. But flow can be measured, and given depth, motion is six numbers that explain thousands of
flow vectors: a small robust least-squares problem for each pair of frames. Depth improves motion,
motion improves depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros import geometry
from training.frames.store import FrameStore

if TYPE_CHECKING:
    from training.learning.dataset import Samples

#: Iterations of the solution; it converges in three to five.
ITERATIONS = 6

# Residuals up to twice the median one count about fully; no flow is better than this, in pixels.
_ROBUST, _LEAST_ERROR = 2.0, 0.2

# Flow there and back agrees up to this share of its squared length and this rest in squared
# pixels (Sundaram, Brox and Keutzer, ECCV 2010, equation 5).
_FLOW_TOLERANCE, _FLOW_REST = 0.01, 0.5

# Flow is trusted where the image has corners this strong (cv2.cornerMinEigenVal, averaged over a
# cell): on bare walls and along lines it is a guess. With less than 20 such cells motion is solved
# from all whose flow is consistent.
_CORNER, _ENOUGH_CELLS = 2e-4, 20

# Nearest depth of a moved point, relative to the median.
_NEAREST = 0.05

# Relative and absolute damping of the normal equations: they are nearly singular where all is flat.
_DAMPING = 1e-4


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
        Of one size.
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


def solve_motion(
    depth: Tensor,
    flow: Tensor,
    intrinsics: Tensor,
    cell: int,
    iterations: int = ITERATIONS,
    trusted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the motion of the camera that explains a flow best.

    Minimises the robust (Cauchy) reprojection error of the cells' centres by Gauss-Newton steps
    from rest: each point, at its depth on its ray, is moved rigidly and projected.

    Parameters
    ----------
    depth : Tensor, shape (B, h, w)
        Of the cells of the first image.
    flow : Tensor, shape (B, 2, h, w)
        In pixels of the image.
    intrinsics : Tensor, shape (B, 4, 4)
        In pixels of the image, the same for both.
    cell : int
        Side of a cell in pixels.
    iterations : int
    trusted : Tensor, shape (B, h, w), bool, optional
        Cells whose flow and depth count, at least one in each image; all by default.

    Returns
    -------
    transform : Tensor, shape (B, 4, 4)
        Takes points of the first camera's frame to the second's; unit of the depth.
    residual : Tensor, shape (B, h, w)
        What of the flow it leaves unexplained, in pixels.
    """
    batch, height, width = depth.shape
    matrix = intrinsics[:, :3, :3]
    pixels = geometry.pixel_grid(height, width, depth)  # (3, h · w) of cells
    centres = torch.stack(
        [cell * (pixels[0] + 0.5) - 0.5, cell * (pixels[1] + 0.5) - 0.5, pixels[2]]
    )
    ends = centres[:2].T + flow.reshape(batch, 2, -1).transpose(1, 2)
    # Divided by its median, so that the equations look the same at every scale.
    depth = depth.reshape(batch, -1, 1)
    unit = depth.median(dim=1, keepdim=True).values
    counted = torch.ones_like(depth) if trusted is None else trusted.reshape(depth.shape).to(depth)
    counted = counted[..., 0]
    # The plain inv and solve wait for a GPU, to see whether they succeeded.
    points = (torch.linalg.inv_ex(matrix).inverse @ centres).transpose(1, 2) * (depth / unit)
    focal = torch.stack([matrix[:, 0, 0], matrix[:, 1, 1]], dim=1)[:, None]
    centre = matrix[:, None, :2, 2]
    rotation = torch.eye(3, dtype=depth.dtype, device=depth.device).repeat(batch, 1, 1)
    translation = depth.new_zeros(batch, 3)
    residual = (ends - centres[:2].T).norm(dim=2)
    for _ in range(iterations):
        moved = points @ rotation.transpose(1, 2) + translation[:, None]
        z = moved[..., 2:].clamp_min(_NEAREST)
        x, y = (moved[..., :2] / z).unbind(dim=2)
        error = focal * torch.stack([x, y], dim=2) + centre - ends
        residual = error.norm(dim=2)
        judged = residual if trusted is None else residual.masked_fill(counted == 0, torch.nan)
        spread = judged.nanmedian(dim=1, keepdim=True).values.clamp_min(_LEAST_ERROR)
        weight = counted / (1 + (residual / (_ROBUST * spread)) ** 2)
        # Derivative of the projection by a shift and by a turn of the moved point.
        near, zero, z = 1 / z[..., 0], torch.zeros_like(x), z[..., 0]
        by_x = [near, zero, -x * near, -x * moved[..., 1] * near]
        by_x += [z * near + x * moved[..., 0] * near, -moved[..., 1] * near]
        by_y = [zero, near, -y * near, -z * near - y * moved[..., 1] * near]
        by_y += [y * moved[..., 0] * near, moved[..., 0] * near]
        jacobian = torch.stack([torch.stack(by_x, dim=2), torch.stack(by_y, dim=2)], dim=2)
        jacobian = jacobian * focal[..., None]
        weighted = (jacobian * weight[..., None, None]).flatten(1, 2).transpose(1, 2)
        normal = weighted @ jacobian.flatten(1, 2)
        gradient = (weighted @ error.reshape(batch, -1, 1))[..., 0]
        diagonal = normal.diagonal(dim1=1, dim2=2)
        damped = normal + torch.diag_embed(_DAMPING * (1 + diagonal))
        step = -torch.linalg.solve_ex(damped, gradient).result
        turn = geometry.pose_matrix(step[:, None, 3:], torch.zeros_like(step[:, None, 3:]))
        rotation = turn[:, :3, :3] @ rotation
        translation = (turn[:, :3, :3] @ translation[..., None])[..., 0] + step[:, :3]
    transform = torch.eye(4, dtype=depth.dtype, device=depth.device).repeat(batch, 1, 1)
    transform[:, :3, :3] = rotation
    transform[:, :3, 3] = translation * unit[:, 0]
    return transform, residual.view(batch, height, width)


def constant_depth_share(samples: Samples, most: int = 40) -> float:
    """Return the share of the optical flow that motion past a constant depth explains.

    Where that is most of it (a camera that turns and sways in front of things), motion can be
    solved from the flow before depth is known. Where the ground rushes by below a far horizon, the
    solution is wrong, and depth that is learned with it stays wrong.

    Parameters
    ----------
    samples : Samples
        With `measure_flow`.
    most : int
        At most this many samples are looked at, evenly spread over all.

    Returns
    -------
    float
        1 less the median residual, relative to the median flow; at least 0.
    """
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round())
    batch = samples.read(chosen.astype(np.int64))
    if batch.flow is None:  # all learn from truth alone
        return 0.0
    flow = batch.flow.float().flatten(0, 1)[:, :2]
    sources = batch.flow.shape[1]
    intrinsics = batch.intrinsics[: len(batch.flow)].repeat_interleave(sources, dim=0)
    depth = torch.ones_like(flow[:, 0])
    _, residual = solve_motion(depth, flow, intrinsics, cell_size(samples.width))
    return max(0.0, 1.0 - (residual.median() / flow.norm(dim=1).median().clamp_min(1e-3)).item())
