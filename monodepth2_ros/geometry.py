# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""View geometry on tensors: disparity, rigid motions, back-projection, projection, warping.

Pixel coordinates are integers at pixel centres, 0 … W − 1 and 0 … H − 1, everywhere. Camera
frames are optical frames (x right, y down, z forward). Nothing here keeps state or fixes a batch
size, and every function keeps the dtype and device of its input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Added to divisors that can be zero. The published implementation uses this value, and parity
# with it holds to the last digit only with the same one.
_EPSILON = 1e-7


def disparity_to_depth(sigmoid: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Convert the network's sigmoid output to depth.

    Parameters
    ----------
    sigmoid : Tensor, any shape
        Values in [0, 1].
    min_depth, max_depth : float
        Depth at 1 and at 0, in metres (or in the unit of an unscaled model).

    Returns
    -------
    Tensor, same shape
        1 / (1/max + (1/min − 1/max) · sigmoid), section 3 of arXiv:1806.01260.
    """
    near, far = 1.0 / min_depth, 1.0 / max_depth
    return 1.0 / (far + (near - far) * sigmoid)


def rotation_matrix(axis_angle: Tensor) -> Tensor:
    """Convert axis-angle vectors to rotation matrices by Rodrigues' formula.

    Parameters
    ----------
    axis_angle : Tensor, shape (..., 3)
        Axis times angle, in radians.

    Returns
    -------
    Tensor, shape (..., 3, 3)
        cos θ · I + sin θ · [a]× + (1 − cos θ) · a aᵀ, where a = axis_angle / (θ + 1e-7).
    """
    angle = torch.linalg.vector_norm(axis_angle, dim=-1, keepdim=True)
    x, y, z = (axis_angle / (angle + _EPSILON)).unbind(-1)
    sine, cosine = torch.sin(angle[..., 0]), torch.cos(angle[..., 0])
    versine = 1.0 - cosine
    rows = [
        x * x * versine + cosine,
        x * y * versine - z * sine,
        z * x * versine + y * sine,
        x * y * versine + z * sine,
        y * y * versine + cosine,
        y * z * versine - x * sine,
        z * x * versine - y * sine,
        y * z * versine + x * sine,
        z * z * versine + cosine,
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def pose_matrix(axis_angle: Tensor, translation: Tensor, invert: bool = False) -> Tensor:
    """Build 4×4 rigid transforms from the pose network's output.

    Parameters
    ----------
    axis_angle, translation : Tensor, shape (B, 1, 3)
    invert : bool
        Return the inverse motion, for a source frame that precedes the target.

    Returns
    -------
    Tensor, shape (B, 4, 4)
        T(t) · R, or Rᵀ · T(−t) when inverted.
    """
    rotation = rotation_matrix(axis_angle[:, 0])
    shift = translation[:, 0, :, None]
    if invert:
        rotation = rotation.transpose(1, 2)
        shift = -rotation @ shift
    # Filled on the device: copied from a list, a GPU would wait for it.
    bottom = rotation.new_zeros(rotation.shape[0], 1, 4)
    bottom[..., 3] = 1.0
    return torch.cat([torch.cat([rotation, shift], dim=2), bottom], dim=1)


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Homogeneous pixel coordinates of an image, row by row.

    Parameters
    ----------
    height, width : int
    like : Tensor
        Gives dtype and device.

    Returns
    -------
    Tensor, shape (3, height * width)
        Rows x (0 … width − 1), y (0 … height − 1) and 1.
    """
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1)


def backproject(depth: Tensor, inverse_intrinsics: Tensor) -> Tensor:
    """Lift every pixel to its 3-D point in the camera's optical frame.

    Parameters
    ----------
    depth : Tensor, shape (B, 1, H, W)
        Depth along the optical axis.
    inverse_intrinsics : Tensor, shape (B, 4, 4) or (1, 4, 4)
        Inverse of the intrinsics in pixels at H × W.

    Returns
    -------
    Tensor, shape (B, 4, H * W)
        Homogeneous points, row by row, in the unit of `depth`.
    """
    batch, _, height, width = depth.shape
    rays = inverse_intrinsics[:, :3, :3] @ pixel_grid(height, width, depth)
    points = rays * depth.reshape(batch, 1, -1)
    return torch.cat([points, torch.ones_like(points[:, :1])], dim=1)


def project(
    points: Tensor, intrinsics: Tensor, transform: Tensor, height: int, width: int
) -> Tensor:
    """Project points into another view, as a sampling grid.

    Parameters
    ----------
    points : Tensor, shape (B, 4, height * width)
        Homogeneous points in the first camera's frame.
    intrinsics : Tensor, shape (B, 4, 4)
        Intrinsics of the second view in pixels at height × width.
    transform : Tensor, shape (B, 4, 4)
        Takes points of the first camera's frame to the second's.
    height, width : int
        Size of both views.

    Returns
    -------
    Tensor, shape (B, height, width, 2)
        (x, y) in [−1, 1] from the centre of the first to the centre of the last pixel: the
        ``align_corners=True`` convention of ``torch.nn.functional.grid_sample``, which must be
        called with that flag, else every sample is off by up to half a pixel.
    """
    camera = (intrinsics @ transform)[:, :3] @ points
    pixels = camera[:, :2] / (camera[:, 2:] + _EPSILON)
    extent = pixels.new_tensor([width - 1, height - 1])
    grid = pixels.transpose(1, 2).reshape(-1, height, width, 2) / extent
    return 2.0 * grid - 1.0


def sample(source: Tensor, grid: Tensor) -> Tensor:
    """Sample a view bilinearly at the grid that :func:`project` returns.

    Parameters
    ----------
    source : Tensor, shape (B, C, H, W)
    grid : Tensor, shape (B, H', W', 2)

    Returns
    -------
    Tensor, shape (B, C, H', W')
        Positions outside the view take its border's value.
    """
    return functional.grid_sample(
        source, grid, mode="bilinear", padding_mode="border", align_corners=True
    )


def warp(source: Tensor, depth: Tensor, intrinsics: Tensor, transform: Tensor) -> Tensor:
    """Synthesise the target view from a source view.

    Parameters
    ----------
    source : Tensor, shape (B, C, H, W)
        Image of the source camera.
    depth : Tensor, shape (B, 1, H, W)
        Depth of the target view.
    intrinsics : Tensor, shape (B, 4, 4)
        Pixels at H × W, the same for both views.
    transform : Tensor, shape (B, 4, 4)
        Takes points of the target's frame to the source's.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        The source seen from the target's place; with the identity transform, the source itself.
    """
    height, width = depth.shape[-2:]
    points = backproject(depth, torch.linalg.inv(intrinsics))
    return sample(source, project(points, intrinsics, transform, height, width))
