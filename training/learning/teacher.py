# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that training began with, as a teacher of what the images say nothing about.

Sky, bare walls and floors look the same at any depth. A trained model knows something about them,
and fine-tuning on a short recording forgets it: nothing holds it there, and what is learned at the
edges spreads. So, where no triangulated corner is near, depth changes from what the first model
predicts as evenly as it can; what it sees far stays far; and, if asked, depth is drawn weakly to
what it predicts, up to one factor for each image. The idea is that of learning without forgetting
(Li and Hoiem, ECCV 2016), for depth.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.geometry import disparity_to_depth
from training.learning.motion_from_tracks import CERTAIN_WEIGHT

#: What the teacher sees beyond this share of its depth range is sky, or as far as that.
_FAR = 0.5

#: ... and stays at least this many times as far as the median of everything else.
_FARTHER = 8.0

#: Where the teacher sees less than this share of the pixels so far, nothing is held.
FAR_SHARE = 0.01

#: Changes are compared between neighbouring squares of so many pixels a side.
_SQUARES = (1, 4, 16)

#: Corners are near within such a part of the image's width, and in the parts beside it.
_PARTS = 24


@dataclass(frozen=True)
class Teacher:
    """A trained model that learns no more.

    Attributes
    ----------
    model : Module
        A :class:`~training.learning.depth_and_motion.DepthAndMotion` in evaluation mode.
    metadata : CheckpointMetadata
        Its image size and depth range among it.
    """

    model: nn.Module
    metadata: CheckpointMetadata

    @torch.no_grad()
    def depth(self, images: Tensor, bfloat16: bool) -> Tensor:
        """Predict depth at its own image size.

        Parameters
        ----------
        images : Tensor, shape (B, 3, H, W)
            RGB in [0, 1], colours as they are.
        bfloat16 : bool
            Compute the convolutions in bfloat16.

        Returns
        -------
        Tensor, shape (B, 1, H, W), float32
        """
        metadata = self.metadata
        size = (metadata.height, metadata.width)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            own = functional.interpolate(images, size, mode="bilinear", antialias=True)
            disparity = self.model(own, (), ()).disparities[0].float()
        resized = functional.interpolate(
            disparity, images.shape[-2:], mode="bilinear", antialias=True
        )
        return disparity_to_depth(resized, metadata.min_depth, metadata.max_depth)


def make_teacher(model: nn.Module, metadata: CheckpointMetadata) -> Teacher:
    """Copy a model as it is now; see :class:`Teacher`."""
    return Teacher(copy.deepcopy(model).eval().requires_grad_(False), metadata)


def far_share(depth: Tensor, max_depth: float) -> float:
    """Return the share of the pixels that a teacher sees as far as the sky.

    Parameters
    ----------
    depth : Tensor
        Predicted by the teacher.
    max_depth : float
        Farthest depth that it can predict.
    """
    return (depth > _FAR * max_depth).float().mean().item()


def keeping_loss(depth: Tensor, taught: Tensor) -> Tensor:
    """Return how far depth has moved from what was taught, up to a factor for each image.

    Parameters
    ----------
    depth, taught : Tensor, shape (B, 1, H, W)

    Returns
    -------
    Tensor, scalar
        Mean over all pixels of |log(depth / taught)| less its median in the image.
    """
    ratio = torch.log(depth / taught).flatten(1)
    return (ratio - ratio.detach().median(dim=1, keepdim=True).values).abs().mean()


def away_from_corners(points: Tensor, height: int, width: int) -> Tensor:
    """Mark where no corner with a depth that can be told is near.

    Parameters
    ----------
    points : Tensor, shape (B, P, 4)
        See :class:`training.learning.motion_from_tracks.TrackedMotion`.
    height, width : int
        Of the image.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        1 there and 0 elsewhere.
    """
    rows = max(1, round(_PARTS * height / width))
    x = (points[..., 0] * (_PARTS / width)).long().clamp(0, _PARTS - 1)
    y = (points[..., 1] * (rows / height)).long().clamp(0, rows - 1)
    told = (points[..., 3] >= CERTAIN_WEIGHT).to(points.dtype)
    has_corner = told.new_zeros(len(told), rows * _PARTS)
    has_corner.scatter_reduce_(1, y * _PARTS + x, told, "amax")
    near = functional.max_pool2d(has_corner.view(-1, 1, rows, _PARTS), 3, stride=1, padding=1)
    return 1.0 - functional.interpolate(near, (height, width), mode="nearest")


def change_loss(depth: Tensor, taught: Tensor, away: Tensor) -> Tensor:
    """Return how unevenly depth has changed from what was taught, where no corner is near.

    Corners and textured edges pull depth to where it belongs, and what lies between them follows
    as the network happens to: a bare road rises to the camera or sinks. The start knew its shape.
    So the logarithm of the change may be any smooth surface, and jumps cost.

    Parameters
    ----------
    depth, taught : Tensor, shape (B, 1, H, W)
    away : Tensor, shape (B, 1, H, W)
        See :func:`away_from_corners`.

    Returns
    -------
    Tensor, scalar
        Total variation of log(depth / taught) between neighbouring pixels, and between means over
        squares of 4 and 16 pixels, each a mean over the image; only what is away counts.
    """
    change = torch.log(depth / taught)
    loss = change.new_zeros(())
    for side in _SQUARES:
        if side > min(depth.shape[-2:]) // 2:
            break
        mean, share = functional.avg_pool2d(change, side), functional.avg_pool2d(away, side)
        for axis in (-1, -2):
            first = share.narrow(axis, 0, share.shape[axis] - 1)
            second = share.narrow(axis, 1, share.shape[axis] - 1)
            loss = loss + (mean.diff(dim=axis).abs() * (first + second) / 2).mean()
    return loss


def far_loss(depth: Tensor, taught: Tensor, max_depth: float) -> Tensor:
    """Return how much what the teacher knows to be far has come near.

    A clear sky looks the same at any depth, so that nothing but the teacher says where it is.

    Parameters
    ----------
    depth, taught : Tensor, shape (B, 1, H, W)
        At scales of their own.
    max_depth : float
        Farthest depth that the teacher can predict.

    Returns
    -------
    Tensor, scalar
        Mean over all pixels of the logarithm that far ones lack to eight times the median depth of
        the others of the image; images that are all far or not at all have none.
    """
    depth, far = depth.flatten(1), (taught > _FAR * max_depth).flatten(1)
    others = depth.detach().masked_fill(far, float("nan")).nanmedian(dim=1, keepdim=True).values
    # Where there is nothing else, nothing lacks; not a number would spread through the gradient.
    wanted = torch.where(others.isfinite(), _FARTHER * others, depth.detach())
    lacking = torch.log(wanted / depth).clamp(min=0.0)
    return torch.where(far, lacking, torch.zeros_like(lacking)).mean()
