# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation of whole batches on their device: mirroring and colour jitter, one draw a sample.

All frames of a sample are changed alike, else the photometric error between them would lose its
meaning. Mirroring changes what is compared, and moves the principal point with it; colour is
changed only in what the networks see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

#: Ranges of the colour factors 1 ± x, and of the hue shift ± x in turns.
BRIGHTNESS = CONTRAST = SATURATION = 0.2
HUE = 0.1

#: Weights of red, green and blue in grey (ITU-R BT.601).
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Draws:
    """Random numbers that decide how a batch is augmented.

    Attributes
    ----------
    mirror : Tensor, shape (B,), bool
        Samples to flip left to right.
    jitter : Tensor, shape (B,), bool
        Samples whose colours change.
    brightness, contrast, saturation : Tensor, shape (B,)
        Factors.
    hue : Tensor, shape (B,)
        Shift in turns of the colour circle.
    order : tuple of four int
        Order of the four colour changes, one for the batch.
    turn : Tensor, shape (B,)
        Angles in radians by which samples are turned that learn from truth alone.
    zoom : Tensor, shape (B,)
        Factors by which these are enlarged.
    """

    mirror: Tensor
    jitter: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: tuple[int, ...]
    turn: Tensor
    zoom: Tensor

    def rows(self, part: slice | list[int]) -> Draws:
        """Return the draws of some samples of the batch."""
        names = [field.name for field in fields(self) if field.name != "order"]
        return Draws(**{name: getattr(self, name)[part] for name in names}, order=self.order)

    def amounts(self) -> list[Tensor]:
        """Return the factors and the shift as `order` counts the changes."""
        return [self.brightness, self.contrast, self.saturation, self.hue]

    def to(self, device: torch.device) -> Draws:
        """Copy to a device, all at once and without waiting for it; the order stays."""
        if device == self.mirror.device:
            return self
        names = [field.name for field in fields(self) if field.name != "order"]
        packed = torch.stack([getattr(self, name).float() for name in names])
        if device.type == "cuda":
            packed = packed.pin_memory()
        values = dict(zip(names, packed.to(device, non_blocking=True).unbind(), strict=True))
        for name in ("mirror", "jitter"):
            values[name] = values[name] > 0.5
        return Draws(**values, order=self.order)


def draw(
    batch: int,
    generator: torch.Generator,
    mirror_probability: float = 0.5,
    jitter_probability: float = 0.5,
    turn_degrees: float = 0.0,
    zoom: float = 1.0,
) -> Draws:
    """Draw the augmentation of a batch.

    Parameters
    ----------
    batch : int
    generator : torch.Generator
        Generator of the CPU, so that the draws are the same whatever the device.
    mirror_probability, jitter_probability : float
        For each sample.
    turn_degrees, zoom : float
        Largest angle either way, and largest factor.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)

    return Draws(
        mirror=uniform(0, 1) < mirror_probability,
        jitter=uniform(0, 1) < jitter_probability,
        brightness=uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS),
        contrast=uniform(1 - CONTRAST, 1 + CONTRAST),
        saturation=uniform(1 - SATURATION, 1 + SATURATION),
        hue=uniform(-HUE, HUE),
        order=tuple(torch.randperm(4, generator=generator).tolist()),
        turn=uniform(-math.radians(turn_degrees), math.radians(turn_degrees)),
        zoom=uniform(1.0, zoom),
    )


def mirror_samples(
    images: Tensor, intrinsics: Tensor, baselines: Tensor, mirror: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Flip some samples left to right.

    Parameters
    ----------
    images : Tensor, shape (B, F, 3, H, W)
    intrinsics : Tensor, shape (B, 4, 4)
        In pixels at H × W.
    baselines : Tensor, shape (B,)
        x coordinate of the stereo partner in the camera's frame.
    mirror : Tensor, shape (B,), bool
        Samples to flip; on any device.

    Returns
    -------
    images, intrinsics, baselines : Tensors
        Copies. The principal point goes to W − 1 − cx; the partner changes sides.
    """
    mirror = mirror.to(images.device)
    flipped = torch.where(mirror[:, None, None, None, None], images.flip(-1), images)
    intrinsics = intrinsics.clone()
    intrinsics[:, 0, 2] = torch.where(
        mirror, images.shape[-1] - 1 - intrinsics[:, 0, 2], intrinsics[:, 0, 2]
    )
    return flipped, intrinsics, torch.where(mirror, -baselines, baselines)


def mirror_truth(truth: Tensor, mirror: Tensor) -> Tensor:
    """Flip the true depth of the samples that are flipped; shapes (B, H, W) and (B,)."""
    return torch.where(mirror.to(truth.device)[:, None, None], truth.flip(-1), truth)


def is_turned(draws: Draws) -> bool:
    """Whether any sample is turned or enlarged; the draws are on the CPU."""
    return bool((draws.turn != 0).any() or (draws.zoom != 1).any())


def turn_and_zoom(
    images: Tensor, truth: Tensor, turn: Tensor, zoom: Tensor
) -> tuple[Tensor, Tensor]:
    """Turn images about their centres, and enlarge them.

    A camera that rolls sees the same depths along its axis. One with a longer lens does, too, but a
    network is not told of it, and takes what appears larger for nearer: depth is divided by the
    factor.

    Parameters
    ----------
    images : Tensor, shape (B, F, 3, H, W)
    truth : Tensor, shape (B, H, W)
        Metres; 0 where unknown, infinite where beyond the range.
    turn : Tensor, shape (B,)
        Radians, clockwise.
    zoom : Tensor, shape (B,)
        At least 1.

    Returns
    -------
    images, truth : Tensors
        Truth is looked up at the nearest pixel, and unknown beyond the border; the image is
        reflected there.
    """
    batch, _, _, height, width = images.shape
    cosine, sine = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    aspect = height / width
    zero = torch.zeros_like(turn)
    rows = [cosine, sine * aspect, zero, -sine / aspect, cosine, zero]
    matrix = torch.stack(rows, dim=1).view(batch, 2, 3).to(images.device)
    grid = functional.affine_grid(matrix, [batch, 3, height, width], align_corners=False)
    flat = images.flatten(1, 2)
    turned = functional.grid_sample(
        flat, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    found = functional.grid_sample(
        truth.float()[:, None], grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    nearer = (found[:, 0] / zoom.to(found.device)[:, None, None]).to(truth.dtype)
    return turned.view_as(images), nearer


def jitter_colors(images: Tensor, draws: Draws, compiled: bool = False) -> Tensor:
    """Change the colours of some samples.

    Parameters
    ----------
    images : Tensor, shape (B, F, 3, H, W)
        RGB in [0, 1].
    draws : Draws
        On the device of the images.
    compiled : bool
        Compile each change, where whole batches are changed (not on a CPU).

    Returns
    -------
    Tensor, shape (B, F, 3, H, W)
        A copy; brightness, contrast, saturation and hue as torchvision's ``ColorJitter``
        defines them.
    """
    if images.device.type != "cpu":
        # Choosing samples on a GPU would mean waiting for their number.
        return jitter_whole(images, draws, compiled)
    chosen = draws.jitter.nonzero()[:, 0]
    if len(chosen) == 0:
        return images
    changed = images[chosen]
    for change in draws.order:
        amount = draws.amounts()[change][chosen]
        changed = CHANGES[change](changed, _per_image(amount).to(images))
    result = images.clone()
    result[chosen] = changed
    return result


def jitter_whole(images: Tensor, draws: Draws, compiled: bool = False) -> Tensor:
    """Change the colours of all samples, and keep those that are to change.

    Parameters and result are those of :func:`jitter_colors`.
    """
    changes = _compiled_changes() if compiled else CHANGES
    changed = images
    for change in draws.order:
        changed = changes[change](changed, _per_image(draws.amounts()[change]))
    return torch.where(_per_image(draws.jitter), changed, images)


def _per_image(values: Tensor) -> Tensor:
    """Give one value a sample the dimensions of images, (B, 1, 1, 1, 1)."""
    return values[:, None, None, None, None]


def _brightened(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply."""
    return (images * factor).clamp(0, 1)


def _contrasted(images: Tensor, factor: Tensor) -> Tensor:
    """Move away from, or towards, the mean grey of each image."""
    return _blended(images, _grey(images).mean(dim=(-1, -2), keepdim=True), factor)


def _saturated(images: Tensor, factor: Tensor) -> Tensor:
    """Move away from, or towards, grey."""
    return _blended(images, _grey(images), factor)


def _grey(images: Tensor) -> Tensor:
    """Luma, shape (..., 1, H, W)."""
    red, green, blue = images.unbind(dim=-3)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).unsqueeze(-3)


def _blended(images: Tensor, base: Tensor, factor: Tensor) -> Tensor:
    """Move away from (factor > 1) or towards (factor < 1) the base."""
    return torch.lerp(base.expand_as(images), images, factor).clamp(0, 1)


def _hue_shifted(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue in HSV space; maximum and minimum of the channels stay."""
    value, brightest = images.max(dim=-3)
    chroma = value - images.min(dim=-3).values
    red, green, blue = images.unbind(dim=-3)
    scale = 1 / chroma.clamp_min(1e-12)
    hue = torch.where(
        brightest == 0,
        (green - blue) * scale,
        torch.where(brightest == 1, 2 + (blue - red) * scale, 4 + (red - green) * scale),
    )
    hue = hue + 6 * turns.squeeze(-3)
    # The channels are one curve over the colour circle, a third of a turn apart.
    position = torch.stack([hue + 5, hue + 3, hue + 1], dim=-3).remainder(6)
    share = torch.minimum(position, 4 - position).clamp(0, 1)
    return value.unsqueeze(-3) - chroma.unsqueeze(-3) * share


#: The four colour changes in the order that :attr:`Draws.order` counts them.
CHANGES = [_brightened, _contrasted, _saturated, _hue_shifted]


@cache
def _compiled_changes() -> list[Callable[[Tensor, Tensor], Tensor]]:
    """Compile each change by itself: all four in every order would be compiled 24 times."""
    return [torch.compile(change, dynamic=False) for change in CHANGES]
