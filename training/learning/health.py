# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Notices when training has gone wrong, and says how it could have come to that."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monodepth2_ros.geometry import disparity_to_depth
from training.learning.depth_and_motion import Predictions

#: Readings in a row that are needed for a verdict.
PATIENCE = 5

#: Depth that varies less than this over an image, relative to its mean, is constant.
CONSTANT = 1e-3

#: If fewer pixels than this are explained by a moving camera, nothing moves.
STANDING = 2e-3


class TrainingFailure(RuntimeError):
    """Training cannot go on; the message is the diagnosis."""


@dataclass
class Health:
    """Watches readings of a run.

    Attributes
    ----------
    constant, standing : int
        Readings in a row with constant depth, and with nothing moving.
    """

    constant: int = 0
    standing: int = 0

    def check(self, step: int, depth_spread: float, moving: float) -> None:
        """Take a reading.

        Parameters
        ----------
        step : int
        depth_spread : float
            Standard deviation of depth over an image, relative to its mean.
        moving : float
            Share of pixels where a warped source wins; 1 without auto-masking.

        Raises
        ------
        TrainingFailure
            If the last readings all say the same.
        """
        self.constant = self.constant + 1 if depth_spread < CONSTANT else 0
        self.standing = self.standing + 1 if moving < STANDING else 0
        if self.standing >= PATIENCE:
            raise TrainingFailure(
                f"step {step}: nothing moves. In {100 * moving:.2f} % of the pixels only does a "
                "moving camera explain the neighbouring frames better than a standing one, so "
                "there is no depth to learn. Extract with a larger --spacing or --min-flow, or "
                "record while driving"
            )
        if self.constant >= PATIENCE:
            raise TrainingFailure(
                f"step {step}: the depth has collapsed to a constant (it varies by "
                f"{100 * depth_spread:.3f} % over an image). Usual causes: wrong intrinsics, "
                "frames without parallax (rotation only, too small a spacing) or a learning rate "
                "that is too high; check the report of depth_extract, or try a lower "
                "--learning-rate"
            )


def depth_spread(disparity: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Compute the standard deviation of depth over an image, relative to its mean.

    Parameters
    ----------
    disparity : Tensor, shape (B, 1, H, W)
    min_depth, max_depth : float
        See :func:`monodepth2_ros.geometry.disparity_to_depth`.

    Returns
    -------
    Tensor, scalar
        Averaged over the batch.
    """
    depth = disparity_to_depth(disparity.detach().float(), min_depth, max_depth)
    return (depth.std(dim=(1, 2, 3)) / depth.mean(dim=(1, 2, 3))).mean()


def weights_are_finite(model: nn.Module) -> bool:
    """Whether all weights and statistics are numbers."""
    values = [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]
    return bool(torch.stack([value.detach().sum() for value in values]).isfinite().all())


def are_numbers(loss: Tensor, predictions: Predictions) -> bool:
    """Whether the loss and the motions are numbers.

    The loss alone does not tell: the error of a view that was warped by NaN is NaN as well,
    loses against the unwarped one at every pixel, and the auto-mask hides it.
    """
    values = [loss, *(transform.sum() for transform in predictions.transforms)]
    return bool(torch.stack([value.detach().float() for value in values]).isfinite().all())


def explain_not_finite(
    model: nn.Module, images: Tensor, intrinsics: Tensor, predictions: Predictions
) -> str:
    """Say where the first value is that is not finite.

    Parameters
    ----------
    model : Module
    images : Tensor
        What the networks were given.
    intrinsics : Tensor
    predictions : Predictions
        What they made of it.
    """
    broken = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if not images.isfinite().all():
        return "the images hold values that are not finite"
    if not intrinsics.isfinite().all():
        return "the intrinsics hold values that are not finite"
    if broken:
        return (
            f"{len(broken)} weights are not finite ({broken[0]} is the first): the step before "
            "was too large. Use a lower --learning-rate, --warmup-steps or --clip-norm"
        )
    for scale, disparity in enumerate(predictions.disparities):
        if not disparity.isfinite().all():
            return f"the disparity of scale {scale} is not finite though all weights are"
    for index, transform in enumerate(predictions.transforms):
        if not transform.isfinite().all():
            return f"the motion to source {index} is not finite though all weights are"
    return "all inputs, weights and predictions are finite: the loss itself overflowed"
