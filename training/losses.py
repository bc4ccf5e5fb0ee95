# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The terms of the self-supervised objective: structural similarity, photometric error, smoothness.

The photometric error is where a training step spends its time outside the networks: it is
evaluated at full resolution for every source at every scale. Its window sums are separable, its
backward pass is written out by hand, and what depends on the target alone is computed once
(:func:`target_statistics`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

#: Weight of structural similarity in the photometric error; the rest is the absolute difference.
SSIM_WEIGHT = 0.85

# The formulas below use sums over the 9 pixels of a window in place of means. SSIM's numerator
# and denominator then both grow by 9**4, and its two constants by 9**2.
_C1 = 81 * 0.01**2
_C2 = 81 * 0.03**2

# Images are worked on in pieces of about this many values on a CPU, so that the temporaries of one
# piece stay in its cache: 1.4 times faster at a batch of 12 than whole batches.
_CHUNK = 2**19


def ssim_loss(x: Tensor, y: Tensor) -> Tensor:
    """Structural dissimilarity, (1 − SSIM) / 2, per pixel and channel.

    Parameters
    ----------
    x, y : Tensor, shape (B, C, H, W)
        Images with values in [0, 1]; H and W at least 2.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        In [0, 1]. Means over 3×3 windows of the reflection-padded images, C1 = 0.01² and
        C2 = 0.03² (Wang et al. 2004, as used in section 3 of arXiv:1806.01260). Differentiable in
        both images.
    """
    sum_x, sum_y = _WindowSum.apply(x), _WindowSum.apply(y)
    products = sum_x * sum_y
    squares = sum_x.square() + sum_y.square()
    numerator = (2 * products + _C1) * (2 * (9 * _WindowSum.apply(x * y) - products) + _C2)
    energy = _WindowSum.apply(x.square() + y.square())
    denominator = (squares + _C1) * (9 * energy - squares + _C2)
    return ((1 - numerator / denominator) / 2).clamp(0, 1)


def photometric_loss(
    prediction: Tensor, target: Tensor | TargetStatistics, use_ssim: bool = True
) -> Tensor:
    """Photometric error of a synthesised view, per pixel.

    Parameters
    ----------
    prediction : Tensor, shape (B, C, H, W)
    target : Tensor, shape (B, C, H, W), or TargetStatistics of it
        A constant: no gradient flows into it. Statistics save work where several predictions are
        compared with one target.
    use_ssim : bool
        Without it the error is the mean absolute difference alone.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        0.85 · mean over channels of :func:`ssim_loss` + 0.15 · mean over channels of
        ``|prediction − target|``, section 3 of arXiv:1806.01260.

    Raises
    ------
    ValueError
        If the target requires a gradient.
    """
    if isinstance(target, Tensor):
        target = target_statistics(target) if use_ssim else TargetStatistics(target)
    if target.image.requires_grad:
        raise ValueError("photometric_loss: the target requires a gradient; detach it")
    if not use_ssim:
        return (prediction - target.image).abs().mean(dim=1, keepdim=True)
    if target.twice_sum is None or target.mean_part is None or target.variance_part is None:
        raise ValueError("photometric_loss: SSIM needs the statistics of target_statistics()")
    if torch.compiler.is_compiling():
        return _traceable_error(prediction, target)
    return _PhotometricError.apply(
        prediction, target.image, target.twice_sum, target.mean_part, target.variance_part
    )


@dataclass(frozen=True)
class TargetStatistics:
    """What the photometric error needs to know of its target.

    Attributes
    ----------
    image : Tensor, shape (B, C, H, W)
    twice_sum, mean_part, variance_part : Tensor, shape (B, C, H, W), optional
        The target's share of SSIM's terms, as window sums; None where SSIM is not used.
    """

    image: Tensor
    twice_sum: Tensor | None = None
    mean_part: Tensor | None = None
    variance_part: Tensor | None = None


def target_statistics(image: Tensor) -> TargetStatistics:
    """Compute the target's share of :func:`photometric_loss`.

    Parameters
    ----------
    image : Tensor, shape (B, C, H, W)
    """
    with torch.no_grad():
        total = _window_sum(image)
        return TargetStatistics(
            image=image,
            twice_sum=2 * total,
            mean_part=total.square() + _C1,
            variance_part=9 * _window_sum(image.square()) + (_C1 + _C2),
        )


def smoothness_loss(disparity: Tensor, image: Tensor) -> Tensor:
    """Edge-aware smoothness.

    Parameters
    ----------
    disparity : Tensor, shape (B, 1, H, W)
        Divide it by its mean first (:func:`mean_normalised`), else the loss is smallest where
        the whole disparity shrinks.
    image : Tensor, shape (B, C, H, W)

    Returns
    -------
    Tensor, scalar
        ``mean |∂x d| e^{−|∂x I|} + mean |∂y d| e^{−|∂y I|}`` with ``|∂I|`` averaged over channels,
        section 3 of arXiv:1806.01260.
    """
    loss = disparity.new_zeros(())
    for axis in (2, 3):
        edges = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        loss = loss + (disparity.diff(dim=axis).abs() * torch.exp(-edges)).mean()
    return loss


def mean_normalised(disparity: Tensor) -> Tensor:
    """Divide each disparity by its mean.

    Parameters
    ----------
    disparity : Tensor, shape (B, 1, H, W)
    """
    return disparity / (disparity.mean(dim=(2, 3), keepdim=True) + 1e-7)


def _window_sum(x: Tensor) -> Tensor:
    """Sum over the 3×3 window around every pixel of the reflection-padded image."""
    if torch.compiler.is_compiling():
        return _traceable_window_sum(x)
    for axis in (-1, -2):
        x = _sum_of_three(x, axis, edge_weight=2)
    return x


def _traceable_window_sum(x: Tensor) -> Tensor:
    """:func:`_window_sum` without views that are written to, for a compiler to fuse."""
    x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    x = x[..., :-2] + x[..., 1:-1] + x[..., 2:]
    return x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]


def _window_sum_adjoint(x: Tensor) -> Tensor:
    """Transpose of :func:`_window_sum`: every value goes to the nine pixels it was a sum of."""
    for axis in (-1, -2):
        total = _sum_of_three(x, axis, edge_weight=1)
        # The first and last pixels' windows hold their only neighbours twice.
        total.select(axis, 1).add_(x.select(axis, 0))
        total.select(axis, -2).add_(x.select(axis, -1))
        x = total
    return x


def _sum_of_three(x: Tensor, axis: int, edge_weight: int) -> Tensor:
    """Sum of each value and its two neighbours; at the edges the one neighbour, weighted."""
    size = x.shape[axis]
    total = torch.empty_like(x)
    inner = total.narrow(axis, 1, size - 2)
    torch.add(x.narrow(axis, 0, size - 2), x.narrow(axis, 2, size - 2), out=inner)
    inner.add_(x.narrow(axis, 1, size - 2))
    for edge, neighbour in ((0, 1), (-1, -2)):
        torch.add(
            x.select(axis, edge),
            x.select(axis, neighbour),
            alpha=edge_weight,
            out=total.select(axis, edge),
        )
    return total


class _WindowSum(torch.autograd.Function):
    """:func:`_window_sum` with its gradient; several times faster than pooling on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _window_sum(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _window_sum_adjoint(gradient)


class _PhotometricError(torch.autograd.Function):
    """The photometric error with a backward pass written out by hand.

    With the window sums s (of x), e (of x²) and p (of x·y), their target counterparts t and f,
    and

        a1 = 2 s t + C1          a2 = 2 (9 p − s t) + C2
        b1 = s² + t² + C1        b2 = 9 (e + f) − s² − t² + C2

    SSIM = a1 a2 / (b1 b2). Its derivatives by s, e and p are computed while the terms are at hand
    (the forward pass keeps these three, not the terms); the backward pass distributes them to the
    pixels with the transposed window sum.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, twice_sum: Tensor, mean_part: Tensor, variance_part: Tensor
    ) -> Tensor:
        error = x.new_empty(x.shape[0], 1, *x.shape[2:])
        wants_gradient = ctx.needs_input_grad[0]
        derivatives = x.new_empty(3, *x.shape) if wants_gradient else None
        for part in _pieces(x):
            error[part] = _photometric_error(
                x[part],
                y[part],
                twice_sum[part],
                mean_part[part],
                variance_part[part],
                derivatives[:, part] if derivatives is not None else None,
            )
        if derivatives is not None:
            ctx.save_for_backward(x, y, derivatives)
        return error

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, derivatives = ctx.saved_tensors
        channels = x.shape[1]
        by_ssim = gradient * (-SSIM_WEIGHT / 2 / channels)
        by_difference = gradient * ((1 - SSIM_WEIGHT) / channels)
        result = torch.empty_like(x)
        for part in _pieces(x):
            by_sum, by_square, by_product = _window_sum_adjoint(
                derivatives[:, part] * by_ssim[part]
            )
            total = by_sum.addcmul_(x[part], by_square, value=2).addcmul_(y[part], by_product)
            sign = torch.sub(x[part], y[part]).sign_()
            torch.addcmul(total, sign, by_difference[part], out=result[part])
        return result, None, None, None, None


def _photometric_error(
    x: Tensor,
    y: Tensor,
    twice_sum: Tensor,
    mean_part: Tensor,
    variance_part: Tensor,
    derivatives: Tensor | None,
) -> Tensor:
    """Error of one piece, shape (B, 1, H, W); SSIM's `derivatives` (3, B, C, H, W) are filled."""
    channels = x.shape[1]
    terms = x.new_empty(3, *x.shape)
    terms[0] = x
    torch.mul(x, x, out=terms[1])
    torch.mul(x, y, out=terms[2])
    total, square, product = _window_sum(terms)
    b1 = torch.addcmul(mean_part, total, total)
    b2 = torch.add(variance_part, square, alpha=9).sub_(b1)
    a1 = torch.mul(total, twice_sum).add_(_C1)
    a2 = product.mul_(18).sub_(a1).add_(_C1 + _C2)
    inverse = torch.mul(b1, b2).reciprocal_()
    ratio = torch.mul(a1, inverse)
    ssim = torch.mul(ratio, a2)
    if derivatives is not None:
        by_sum, by_square, by_product = derivatives
        inverse_ssim = torch.mul(ssim, inverse)
        torch.mul(inverse_ssim, b1, out=by_square).mul_(-9)
        torch.mul(ratio, 18, out=by_product)
        torch.sub(a2, a1, out=by_sum).mul_(twice_sum).mul_(inverse)
        by_sum.addcmul_(b2.sub_(b1).mul_(inverse_ssim), total, value=-2)
    # |SSIM| ≤ 1 but for rounding, so the clamp needs no gradient of its own.
    difference = torch.sub(x, y).abs_()
    similarity = SSIM_WEIGHT / 2 / (1 - SSIM_WEIGHT)
    mixed = difference.sub_(ssim.clamp_(-1, 1), alpha=similarity).sum(dim=1, keepdim=True)
    return mixed.mul_((1 - SSIM_WEIGHT) / channels).add_(SSIM_WEIGHT / 2)


def _traceable_error(x: Tensor, target: TargetStatistics) -> Tensor:
    """Compute the photometric error by plain formulas, which a compiler fuses and derives.

    See :class:`_PhotometricError` for the terms.
    """
    assert target.twice_sum is not None
    assert target.mean_part is not None and target.variance_part is not None
    total, square, product = (
        _traceable_window_sum(values) for values in (x, x * x, x * target.image)
    )
    a1 = total * target.twice_sum + _C1
    a2 = 18 * product - a1 + (_C1 + _C2)
    b1 = target.mean_part + total * total
    b2 = target.variance_part + 9 * square - b1
    similarity = (a1 * a2 / (b1 * b2)).mean(dim=1, keepdim=True)
    difference = (x - target.image).abs().mean(dim=1, keepdim=True)
    return SSIM_WEIGHT / 2 * (1 - similarity) + (1 - SSIM_WEIGHT) * difference


def _pieces(images: Tensor) -> list[slice]:
    """Slices of the batch to work on one after the other."""
    count = len(images)
    size = count if images.is_cuda else max(1, _CHUNK // images[0].numel())
    return [slice(start, start + size) for start in range(0, count, size)]
