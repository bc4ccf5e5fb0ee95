# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from true depth, where recordings have it: rendered worlds, or a robot's depth sensor.

The error is taken in logarithms of depth, so that a tenth too far counts the same near and far.
An image's common factor counts little: a network cannot know it from an image of a camera that it
was not told of, and would spend itself on guessing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from monodepth2_ros.geometry import disparity_to_depth

#: Weight of an image's common factor.
SCALE_WEIGHT = 0.15

#: Weight of the differences between neighbours, which sharpen outlines.
DETAIL_WEIGHT = 0.5

#: Distances in pixels between those neighbours (Li and Snavely 2018, arXiv:1804.00607).
DETAIL_STEPS = (1, 2, 4, 8)

#: Depth that what is beyond the range (the sky) has to reach, as a share of `max_depth`.
BEYOND = 0.8


def truth_loss(
    disparities: Sequence[Tensor], truth: Tensor, min_depth: float, max_depth: float
) -> Tensor:
    """Compare predicted depth with the truth, at every scale.

    Parameters
    ----------
    disparities : sequence of Tensors, shape (B, 1, H / 2^s, W / 2^s)
        Sigmoid outputs; each is resized to H × W.
    truth : Tensor, shape (B, H, W)
        Metres; 0 where unknown, infinite where beyond the range.
    min_depth, max_depth : float
        Range of :func:`monodepth2_ros.geometry.disparity_to_depth`; truth beyond it counts as
        infinite, truth below it as unknown.

    Returns
    -------
    Tensor, shape (B,)
        Mean over scales; 0 for images without truth. With e = log(predicted) − log(true) and its
        mean m over an image, a scale's value is the mean of |e − m|, plus 0.15 · |m| (a robust
        form of Eigen et al. 2014, arXiv:1406.2283, equation 3), plus 0.5 · the mean of |e's
        differences| 1, 2, 4 and 8 pixels apart. Beyond the range the error is log(0.8 ·
        max_depth) − log(predicted), where that is positive.
    """
    with torch.autocast(truth.device.type, enabled=False):
        true = truth.float()[:, None]
        known = torch.isfinite(true) & (true >= min_depth) & (true <= max_depth)
        beyond = (true > max_depth).float()
        weight = known.float()
        log_true = torch.where(known, true, torch.ones_like(true)).log()
        pixels = weight.sum(dim=(1, 2, 3)).clamp_min(1)
        every = (weight + beyond).sum(dim=(1, 2, 3)).clamp_min(1)
        neighbours = [_neighbours(weight, step) for step in DETAIL_STEPS]
        total = torch.zeros_like(pixels)
        for disparity in disparities:
            full = disparity.float()
            if full.shape[-2:] != true.shape[-2:]:
                full = functional.interpolate(
                    full, true.shape[-2:], mode="bilinear", align_corners=False
                )
            log_depth = disparity_to_depth(full, min_depth, max_depth).log()
            error = (log_depth - log_true) * weight
            mean = error.sum(dim=(1, 2, 3)) / pixels
            shape = ((error - mean[:, None, None, None]).abs() * weight).sum(dim=(1, 2, 3))
            near = (math.log(BEYOND * max_depth) - log_depth).clamp_min(0) * beyond
            total = total + (shape + near.sum(dim=(1, 2, 3))) / every + SCALE_WEIGHT * mean.abs()
            for step, (right, below) in zip(DETAIL_STEPS, neighbours, strict=True):
                change = (error[..., step:] - error[..., :-step]).abs() * right
                drop = (error[..., step:, :] - error[..., :-step, :]).abs() * below
                detail = (change.sum(dim=(1, 2, 3)) + drop.sum(dim=(1, 2, 3))) / pixels
                total = total + DETAIL_WEIGHT / len(DETAIL_STEPS) * detail
        return total / len(disparities)


def _neighbours(weight: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Mark the pixels that are known, and so is the one `step` to the left, or above."""
    right = weight[..., step:] * weight[..., :-step]
    return right, weight[..., step:, :] * weight[..., :-step, :]
