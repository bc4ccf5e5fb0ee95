# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The self-supervised objective of Monodepth2: what depth and motion are trained to minimise.

Section 3 of arXiv:1806.01260: every source view is warped into the target with the predicted
depth and motion; each pixel takes the photometric error of the source that explains it best
(minimum reprojection), unless a source explains it better unwarped (auto-masking); disparities of
all scales are judged at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from monodepth2_ros import geometry
from training.losses import (
    TargetStatistics,
    mean_normalised,
    photometric_loss,
    smoothness_loss,
    target_statistics,
)

#: Weight of the term that keeps a predicted mask from closing.
MASK_WEIGHT = 0.2


@dataclass(frozen=True)
class ScaleImages:
    """What one scale of the objective saw, detached, for looking at.

    Attributes
    ----------
    warped : tuple of Tensors, shape (B, 3, H', W')
        The sources as seen from the target's place.
    error : Tensor, shape (B, 1, H', W')
        The photometric error that enters the loss.
    """

    warped: tuple[Tensor, ...]
    error: Tensor


@dataclass(frozen=True)
class ObjectiveOutput:
    """The objective's value and its parts.

    Attributes
    ----------
    loss : Tensor, scalar
        Mean of `scale_losses`.
    scale_losses : tuple of Tensors, scalars
        Photometric error + smoothness (+ mask term) of each scale.
    automask : tuple of Tensors, shape (B, H', W')
        For each scale, 1 where a warped source wins over the unwarped ones and 0 elsewhere; all
        1 without auto-masking.
    photometric, smoothness : tuple of Tensors, scalars
        The parts of `scale_losses`, detached; smoothness is weighted.
    images : tuple of ScaleImages
        One for each scale; empty unless asked for.
    truth : Tensor, scalar, or None
        Error against ground truth, detached, where that is learned from.
    """

    loss: Tensor
    scale_losses: tuple[Tensor, ...]
    automask: tuple[Tensor, ...]
    photometric: tuple[Tensor, ...]
    smoothness: tuple[Tensor, ...]
    images: tuple[ScaleImages, ...] = ()
    truth: Tensor | None = None


def nothing_judged(disparities: Sequence[Tensor]) -> ObjectiveOutput:
    """Return the output for a batch in which no sample learns from its sources.

    Parameters
    ----------
    disparities : sequence of Tensors
        Disparities of the batch; one for each scale.
    """
    zero = disparities[0].new_zeros((), dtype=torch.float32)
    zeros = (zero,) * len(disparities)
    everything = torch.ones((1, *disparities[0].shape[2:]), device=zero.device)
    return ObjectiveOutput(zero, zeros, (everything,) * len(disparities), zeros, zeros)


@dataclass(frozen=True)
class SelfSupervisedObjective:
    """The objective with its switches; call it with the networks' predictions.

    Attributes
    ----------
    min_depth, max_depth : float
        Range of :func:`monodepth2_ros.geometry.disparity_to_depth`.
    minimum_reprojection : bool
        Take the minimum over the sources at each pixel; the mean otherwise.
    automask : bool
        Let the unwarped sources compete. Left out where predicted masks are given.
    full_resolution : bool
        Warp and compare at full resolution at every scale; at the scale's own otherwise.
    use_ssim : bool
        Photometric error with structural similarity; absolute difference alone otherwise.
    smoothness_weight : float
        At scale s the weight is this / 2^s.
    tie_break : float
        Spread of the noise added to the unwarped errors, which decides ties where nothing moves.
    compiled : bool
        Compile what comes after the noise, with the plain formulas of the photometric error.
    """

    min_depth: float = 0.1
    max_depth: float = 100.0
    minimum_reprojection: bool = True
    automask: bool = True
    full_resolution: bool = True
    use_ssim: bool = True
    smoothness_weight: float = 1e-3
    tie_break: float = 1e-5
    compiled: bool = False

    def __call__(
        self,
        disparities: Sequence[Tensor],
        target: Tensor,
        sources: Sequence[Tensor],
        intrinsics: Tensor,
        transforms: Sequence[Tensor],
        masks: Sequence[Tensor] | None = None,
        generator: torch.Generator | None = None,
        keep_images: bool = False,
    ) -> ObjectiveOutput:
        """Evaluate the objective.

        Parameters
        ----------
        disparities : sequence of Tensors, shape (B, 1, H / 2^s, W / 2^s)
            Sigmoid outputs at scales s = 0, 1, 2 …
        target : Tensor, shape (B, 3, H, W)
            RGB in [0, 1], without colour augmentation.
        sources : sequence of Tensors, shape (B, 3, H, W)
        intrinsics : Tensor, shape (B, 4, 4)
            In pixels at H × W, the same for target and sources.
        transforms : sequence of Tensors, shape (B, 4, 4)
            For each source, takes points of the target's camera frame to the source's.
        masks : sequence of Tensors, shape (B, sources, H / 2^s, W / 2^s), optional
            Predicted masks in (0, 1), one channel a source: each multiplies its source's error,
            and 0.2 · the cross-entropy to 1 is added. They replace auto-masking.
        generator : torch.Generator, optional
            Draws the noise that breaks ties.
        keep_images : bool
            Return what each scale saw.

        Returns
        -------
        ObjectiveOutput

        Raises
        ------
        ValueError
            If there is no source, or sources and transforms are not equally many.

        Notes
        -----
        Everything is computed in float32 (float64 where the target is), also under autocast:
        sampling positions in half precision would be off by more than a pixel.
        """
        if not sources or len(sources) != len(transforms):
            raise ValueError(
                f"objective: {len(sources)} sources and {len(transforms)} transforms; it needs "
                "one transform for each source, and at least one source"
            )
        with torch.autocast(target.device.type, enabled=False):
            dtype = torch.float64 if target.dtype == torch.float64 else torch.float32
            evaluate = SelfSupervisedObjective._evaluate
            if self.compiled:
                evaluate = _compiled_evaluation(compile_mode(target.device))
            return evaluate(
                self,
                [disparity.to(dtype) for disparity in disparities],
                target.to(dtype),
                [source.to(dtype) for source in sources],
                intrinsics.to(dtype),
                [transform.to(dtype) for transform in transforms],
                [mask.to(dtype) for mask in masks] if masks is not None else None,
                self._noise(target, len(sources), len(disparities), dtype, generator)
                if self.automask and masks is None
                else [],
                keep_images,
            )

    def _noise(
        self,
        target: Tensor,
        sources: int,
        scales: int,
        dtype: torch.dtype,
        generator: torch.Generator | None,
    ) -> list[Tensor]:
        """Draw what decides ties: for each resolution, shape (N, B, 1, H', W') for N errors."""
        batch, _, height, width = target.shape
        count = sources if self.minimum_reprojection else 1
        return [
            torch.empty(
                (count, batch, 1, height >> scale, width >> scale),
                dtype=dtype,
                device=target.device,
            ).normal_(generator=generator)
            for scale in range(1 if self.full_resolution else scales)
        ]

    def _evaluate(
        self,
        disparities: list[Tensor],
        target: Tensor,
        sources: list[Tensor],
        intrinsics: Tensor,
        transforms: list[Tensor],
        masks: list[Tensor] | None,
        noise: list[Tensor],
        keep_images: bool,
    ) -> ObjectiveOutput:
        """Evaluate at the precision of the arguments."""
        views = self._views(target, sources, intrinsics, transforms, noise[:1])
        losses, automasks, photometric, smoothness, images = [], [], [], [], []
        for scale, disparity in enumerate(disparities):
            image = _reduced(target, scale)
            if scale > 0 and not self.full_resolution:
                views = self._views(
                    image,
                    [_reduced(source, scale) for source in sources],
                    _reduced_intrinsics(intrinsics, scale),
                    transforms,
                    noise[scale : scale + 1],
                )
            height, width = views.target.image.shape[-2:]
            depth = geometry.disparity_to_depth(
                _resized(disparity, height, width), self.min_depth, self.max_depth
            )
            warped = [
                geometry.sample(source, projection.grid(depth))
                for source, projection in zip(views.sources, views.projections, strict=True)
            ]
            errors = [photometric_loss(view, views.target, self.use_ssim) for view in warped]
            if masks is not None:
                mask = _resized(masks[scale], height, width)
                errors = [error * mask[:, i : i + 1] for i, error in enumerate(errors)]
            error = self._combined(errors)
            if views.unwarped_error is None:
                wins = torch.ones_like(error, dtype=torch.bool)
            else:
                wins = error.detach() < views.unwarped_error
                error = torch.where(wins, error, views.unwarped_error)
            data_loss = error.mean()
            weight = self.smoothness_weight / 2**scale
            smooth_loss = weight * smoothness_loss(mean_normalised(disparity), image)
            loss = data_loss + smooth_loss
            if masks is not None:
                loss = loss + MASK_WEIGHT * -torch.log(mask.clamp_min(1e-7)).mean()
            losses.append(loss)
            automasks.append(wins[:, 0].to(error.dtype))
            photometric.append(data_loss.detach())
            smoothness.append(smooth_loss.detach())
            if keep_images:
                images.append(ScaleImages(tuple(view.detach() for view in warped), error.detach()))
        return ObjectiveOutput(
            loss=torch.stack(losses).mean(),
            scale_losses=tuple(losses),
            automask=tuple(automasks),
            photometric=tuple(photometric),
            smoothness=tuple(smoothness),
            images=tuple(images),
        )

    def _views(
        self,
        target: Tensor,
        sources: list[Tensor],
        intrinsics: Tensor,
        transforms: list[Tensor],
        noise: list[Tensor],
    ) -> _ScaleViews:
        """Compute what depends on no disparity: once a step, or once a scale at own resolution.

        Noise that decides ties is given where unwarped sources compete.
        """
        height, width = target.shape[-2:]
        statistics = target_statistics(target) if self.use_ssim else TargetStatistics(target)
        unwarped_error = None
        if noise:
            with torch.no_grad():
                errors = [photometric_loss(source, statistics, self.use_ssim) for source in sources]
                if not self.minimum_reprojection:
                    errors = [self._combined(errors)]
                noisy = [
                    torch.add(error, extra, alpha=self.tie_break)
                    for error, extra in zip(errors, noise[0].unbind(), strict=True)
                ]
                unwarped_error = reduce(torch.minimum, noisy)
        projections = [
            _Projection.between(intrinsics, transform, height, width) for transform in transforms
        ]
        return _ScaleViews(statistics, sources, projections, unwarped_error)

    def _combined(self, errors: list[Tensor]) -> Tensor:
        """Combine the errors of the sources."""
        if self.minimum_reprojection:
            return reduce(torch.minimum, errors)
        return torch.stack(errors).mean(dim=0)


@cache
def _compiled_evaluation(mode: str | None) -> Any:
    """Compile the evaluation, once for all objectives: their switches are part of its key."""
    return torch.compile(SelfSupervisedObjective._evaluate, mode=mode, dynamic=False)


def compile_mode(device: torch.device) -> str | None:
    """Return the mode of ``torch.compile``: on a GPU, replay the launches of one step."""
    return "reduce-overhead" if device.type == "cuda" else None


@dataclass(frozen=True)
class _ScaleViews:
    """Target and sources at one resolution, with what depends on no disparity."""

    target: TargetStatistics
    sources: list[Tensor]
    projections: list[_Projection]
    unwarped_error: Tensor | None


@dataclass(frozen=True)
class _Projection:
    """From depth to sampling positions: what ``geometry.project(backproject(…))`` computes.

    A pixel's ray in the source's image, K R K⁻¹ (x, y, 1), depends on no depth, so it is computed
    once for all scales; for a depth d its point projects to d · ray + K t.
    """

    rays: Tensor  # (B, 3, H · W)
    shift: Tensor  # (B, 3, 1)

    @classmethod
    def between(cls, intrinsics: Tensor, transform: Tensor, height: int, width: int) -> _Projection:
        # x and y are scaled here from pixels to a sampling grid that is 2 wide and high.
        extent = _diagonal(intrinsics, 2 / (width - 1), 2 / (height - 1), 1.0)
        matrix = extent[:, None] * (intrinsics @ transform)[:, :3]
        pixels = geometry.pixel_grid(height, width, intrinsics)
        rotation = matrix[:, :, :3] @ _inverse(intrinsics)
        return cls(rotation @ pixels, matrix[:, :, 3:])

    def grid(self, depth: Tensor) -> Tensor:
        """Project each pixel at its depth; shape (B, H, W, 2)."""
        batch, _, height, width = depth.shape
        x, y, z = torch.addcmul(self.shift, self.rays, depth.view(batch, 1, -1)).unbind(dim=1)
        inverse = (z + 1e-7).reciprocal()
        grid = torch.stack([x * inverse - 1.0, y * inverse - 1.0], dim=-1)
        return grid.view(batch, height, width, 2)


def _diagonal(like: Tensor, *values: float) -> Tensor:
    """Make a vector on the device: copied from a list, a GPU would wait for it."""
    return torch.stack([like.new_full((), value) for value in values])


def _inverse(intrinsics: Tensor) -> Tensor:
    """Invert the 3×3 part of pinhole intrinsics without skew, shape (B, 4, 4).

    In closed form: a general inverse on a GPU waits to see whether there is one.
    """
    fx, fy = intrinsics[:, 0, 0], intrinsics[:, 1, 1]
    cx, cy = intrinsics[:, 0, 2], intrinsics[:, 1, 2]
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = [1 / fx, zero, -cx / fx, zero, 1 / fy, -cy / fy, zero, zero, one]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _reduced(image: Tensor, scale: int) -> Tensor:
    """Average 2^s × 2^s pixels into one."""
    return functional.avg_pool2d(image, 2**scale) if scale > 0 else image


def _reduced_intrinsics(intrinsics: Tensor, scale: int) -> Tensor:
    """Intrinsics at 1/2^s of the size, without the half-pixel shift, as published."""
    factors = _diagonal(intrinsics, 1 / 2**scale, 1 / 2**scale, 1.0, 1.0)
    return intrinsics * factors[:, None]


def _resized(disparity: Tensor, height: int, width: int) -> Tensor:
    """Resize a disparity or mask bilinearly."""
    if disparity.shape[-2:] == (height, width):
        return disparity
    return functional.interpolate(disparity, (height, width), mode="bilinear", align_corners=False)
