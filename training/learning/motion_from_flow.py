# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera motion without a network: solved from optical flow and the predicted depth.

A pose network learns slowly from a short recording, and depth cannot be learned before motion is
known. But flow can be measured, and given depth, motion is six numbers that explain thousands of
flow vectors: a small robust least-squares problem for each pair of frames. Depth improves motion,
motion improves depth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from monodepth2_ros import geometry

#: Iterations of the solution; it converges in three to five.
ITERATIONS = 6

# Residuals up to twice the median one count about fully; no flow is better than this, in pixels.
_ROBUST, _LEAST_ERROR = 2.0, 0.2

# Nearest depth of a moved point, relative to the median.
_NEAREST = 0.05

# Relative and absolute damping of the normal equations: they are nearly singular where all is flat.
_DAMPING = 1e-4


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
        Depth of the cells of the first image.
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
