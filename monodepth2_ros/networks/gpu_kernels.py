# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels in Triton for what stands between the depth network's convolutions.

On a GPU a network of this size waits for the launching of small kernels rather than for arithmetic.
Each of these does in one launch, and in one pass through memory, what takes up to six otherwise.
They compute in float32 whatever type the tensors have, and NaN stays NaN. Sizes are
compiled in, so each size has its kernels; Triton keeps them on disk between starts.
"""

# What a kernel takes is not a Python object that has a type.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
_PIXELS = 64

# From so many elements on, their numbers need 64 bits.
_LARGEST_INT = 2**31 - 1


@triton.jit
def _reflect(index, size: tl.constexpr):
    """Index −1 is 1 and index `size` is size − 2."""
    index = tl.abs(index)
    return tl.where(index >= size, 2 * size - 2 - index, index)


@triton.jit
def _elu(x):
    positive = x > 0.0  # NaN is not
    return tl.where(positive, x, tl.exp(tl.where(positive, 0.0, x)) - 1.0)


@triton.jit
def _join_kernel(
    x, bias, skip, out, count,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, ENLARGE: tl.constexpr,
    CHANNELS: tl.constexpr, EXTRA: tl.constexpr, ACTIVATE: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0)
    if WIDE:
        start = start.to(tl.int64)
    place = start * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    total: tl.constexpr = CHANNELS + EXTRA
    height: tl.constexpr = HEIGHT * ENLARGE
    width: tl.constexpr = WIDTH * ENLARGE
    channel = place % total
    pixel = place // total
    column = _reflect(pixel % (width + 2) - 1, width)
    pixel = pixel // (width + 2)
    row = _reflect(pixel % (height + 2) - 1, height)
    image = pixel // (height + 2)
    source = (image * HEIGHT + row // ENLARGE) * WIDTH + column // ENLARGE
    own = channel < CHANNELS
    value = tl.load(x + source * CHANNELS + channel, mask=inside & own, other=0.0).to(tl.float32)
    if ACTIVATE:
        value = _elu(value + tl.load(bias + channel, mask=own, other=0.0))
    if EXTRA > 0:
        beside = (image * height + row) * width + column
        extra = tl.load(skip + beside * EXTRA + channel - CHANNELS, mask=inside & ~own, other=0.0)
        value = tl.where(own, value, extra.to(tl.float32))
    tl.store(out + place, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _head_kernel(
    x, bias, weight, head_bias, out, count,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CHANNELS: tl.constexpr,
    WIDE: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0)
    if WIDE:
        start = start.to(tl.int64)
    place = start * PIXELS + tl.arange(0, PIXELS)
    inside = place < count
    column = place % WIDTH
    row = place // WIDTH % HEIGHT
    image = place // (WIDTH * HEIGHT)
    channel = tl.arange(0, CHANNELS)
    shift = tl.load(bias + channel)
    total = tl.zeros((PIXELS,), tl.float32)
    for tap in tl.static_range(9):
        near_row = _reflect(row + (tap // 3 - 1), HEIGHT)
        near_column = _reflect(column + (tap % 3 - 1), WIDTH)
        source = (image * HEIGHT + near_row) * WIDTH + near_column
        value = tl.load(
            x + source[:, None] * CHANNELS + channel[None, :], mask=inside[:, None], other=0.0
        )
        value = _elu(value.to(tl.float32) + shift[None, :])
        total += tl.sum(value * tl.load(weight + tap * CHANNELS + channel)[None, :], axis=1)
    total += tl.load(head_bias)
    tl.store(out + place, 1.0 / (1.0 + tl.exp(-total)), mask=inside)


@triton.jit
def _normalise_kernel(pixels, out, count, MEAN: tl.constexpr, SPREAD: tl.constexpr,
                      WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    start = tl.program_id(0)
    if WIDE:
        start = start.to(tl.int64)
    place = start * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    value = tl.load(pixels + place, mask=inside, other=0).to(tl.float32)
    value = (value / 255.0 - MEAN) / SPREAD
    tl.store(out + place, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _pool_kernel(
    x, out, count, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, CHANNELS: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0)
    if WIDE:
        start = start.to(tl.int64)
    place = start * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    height: tl.constexpr = (HEIGHT + 1) // 2
    width: tl.constexpr = (WIDTH + 1) // 2
    channel = place % CHANNELS
    pixel = place // CHANNELS
    column = pixel % width
    pixel = pixel // width
    row = pixel % height
    image = pixel // height
    best = tl.full((BLOCK,), float("-inf"), tl.float32)
    for tap in tl.static_range(9):
        near_row = 2 * row + (tap // 3 - 1)
        near_column = 2 * column + (tap % 3 - 1)
        known = (near_row >= 0) & (near_row < HEIGHT) & (near_column >= 0) & (near_column < WIDTH)
        source = ((image * HEIGHT + near_row) * WIDTH + near_column) * CHANNELS + channel
        value = tl.load(x + source, mask=inside & known, other=float("-inf"))
        best = tl.maximum(best, value.to(tl.float32), propagate_nan=tl.PropagateNan.ALL)
    tl.store(out + place, best.to(out.dtype.element_ty), mask=inside)


def normalise(pixels: Tensor, dtype: torch.dtype, mean: float, spread: float) -> Tensor:
    """Turn images into the first convolution's input.

    Parameters
    ----------
    pixels : Tensor, shape (B, H, W, 3), uint8
    dtype : torch.dtype
    mean, spread : float
        Mean and spread of values in [0, 1].

    Returns
    -------
    Tensor, shape (B, 3, H, W), channels-last, of type `dtype`
    """
    pixels = pixels.contiguous()
    out = torch.empty(pixels.shape, dtype=dtype, device=pixels.device)
    _normalise_kernel[(triton.cdiv(out.numel(), _BLOCK),)](
        pixels, out, out.numel(), mean, spread, out.numel() + _BLOCK > _LARGEST_INT, _BLOCK
    )
    return out.permute(0, 3, 1, 2)


def pool(x: Tensor) -> Tensor:
    """Take the largest of 3×3 at every other pixel, as the trunk does behind its stem.

    Parameters
    ----------
    x : Tensor, shape (B, C, H, W), channels-last

    Returns
    -------
    Tensor, shape (B, C, ⌈H / 2⌉, ⌈W / 2⌉), channels-last, of the type of `x`
    """
    count, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    out = torch.empty(
        (count, channels, (height + 1) // 2, (width + 1) // 2),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    _pool_kernel[(triton.cdiv(out.numel(), _BLOCK),)](
        x, out, out.numel(), height, width, channels, x.numel() + _BLOCK > _LARGEST_INT, _BLOCK
    )
    return out


def join(
    x: Tensor, bias: Tensor | None = None, skip: Tensor | None = None, enlarge: int = 1
) -> Tensor:
    """Prepare the input of a 3×3 convolution that pads by reflection.

    Adds the bias of the convolution before and applies ELU (both only if there is a bias), enlarges
    by nearest neighbours, puts other channels behind, and pads by one pixel.

    Parameters
    ----------
    x : Tensor, shape (B, C, H, W), channels-last
    bias : Tensor, shape (C,), float32, optional
    skip : Tensor, shape (B, C', H · enlarge, W · enlarge), channels-last, optional
        Taken as it is.
    enlarge : int
        1 or 2.

    Returns
    -------
    Tensor, shape (B, C + C', H · enlarge + 2, W · enlarge + 2), channels-last, of the type of `x`
    """
    count, channels, height, width = x.shape
    extra = 0 if skip is None else skip.shape[1]
    out = torch.empty(
        (count, channels + extra, height * enlarge + 2, width * enlarge + 2),
        dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
    )  # fmt: skip
    x = x.contiguous(memory_format=torch.channels_last)
    if skip is not None:
        skip = skip.contiguous(memory_format=torch.channels_last)
    _join_kernel[(triton.cdiv(out.numel(), _BLOCK),)](
        x, x if bias is None else bias, x if skip is None else skip, out, out.numel(),
        height, width, enlarge, channels, extra, bias is not None,
        out.numel() + _BLOCK > _LARGEST_INT, _BLOCK,
    )  # fmt: skip
    return out


def head(x: Tensor, bias: Tensor, weight: Tensor, head_bias: Tensor) -> Tensor:
    """Compute the disparity from the last block's convolution.

    Adds the bias, applies ELU, pads by reflection, convolves to one channel, applies the sigmoid.

    Parameters
    ----------
    x : Tensor, shape (B, C, H, W), channels-last
        C is a power of two.
    bias : Tensor, shape (C,), float32
    weight : Tensor, shape (3, 3, C), float32
    head_bias : Tensor, shape (1,), float32

    Returns
    -------
    Tensor, shape (B, 1, H, W), float32
    """
    count, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    out = torch.empty((count, 1, height, width), dtype=torch.float32, device=x.device)
    _head_kernel[(triton.cdiv(out.numel(), _PIXELS),)](
        x, bias, weight, head_bias, out, out.numel(), height, width, channels,
        x.numel() > _LARGEST_INT, _PIXELS,
    )  # fmt: skip
    return out
