# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from paths import DATA
from training import losses
from training.losses import (
    TargetStatistics,
    mean_normalised,
    photometric_loss,
    smoothness_loss,
    ssim_loss,
    target_statistics,
)

GOLDEN = DATA / "golden.npz"


def pooled_ssim_loss(x: Tensor, y: Tensor) -> Tensor:
    """The definition, by pooling reflection-padded images."""

    def mean(image: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), 3, 1)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    ssim = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    ssim = ssim / ((mean_x**2 + mean_y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2))
    return ((1 - ssim) / 2).clamp(0, 1)


def pooled_photometric_loss(x: Tensor, y: Tensor) -> Tensor:
    ssim = pooled_ssim_loss(x, y).mean(1, keepdim=True)
    return 0.85 * ssim + 0.15 * (x - y).abs().mean(1, keepdim=True)


def images(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.rand(*shape, dtype=dtype, generator=generator) for _ in range(2))
    return x, 0.7 * y + 0.3 * x


@pytest.mark.parametrize("shape", [(2, 3, 20, 31), (1, 3, 2, 2), (1, 1, 3, 4)])
def test_ssim_agrees_with_its_definition(shape: tuple[int, ...]) -> None:
    x, y = images(*shape)
    torch.testing.assert_close(ssim_loss(x, y), pooled_ssim_loss(x, y), rtol=1e-12, atol=1e-12)


def test_ssim_of_equal_images_is_zero_and_of_negatives_near_one() -> None:
    x, _ = images(1, 3, 16, 16)
    assert ssim_loss(x, x).abs().max() < 1e-12
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).repeat(8, 8)[None, None]
    assert ssim_loss(checks, 1 - checks)[..., 1:-1, 1:-1].min() > 0.95


def test_ssim_is_differentiable_in_both_images() -> None:
    x, y = (image.requires_grad_() for image in images(1, 2, 4, 5))
    assert torch.autograd.gradcheck(ssim_loss, (x, y))


@pytest.mark.parametrize("shape", [(1, 3, 5, 6), (2, 1, 2, 3)])
def test_photometric_gradient(shape: tuple[int, ...]) -> None:
    x, y = images(*shape)
    assert torch.autograd.gradcheck(lambda x: photometric_loss(x, y), (x.requires_grad_(),))
    assert torch.autograd.gradcheck(
        lambda x: photometric_loss(x, y, use_ssim=False), (x.requires_grad_(),)
    )


def test_photometric_agrees_with_its_definition() -> None:
    x, y = images(3, 3, 24, 40)
    x.requires_grad_()
    expected = pooled_photometric_loss(x, y)
    weights = torch.rand_like(expected)
    (expected_gradient,) = torch.autograd.grad(expected, x, weights)
    for target in (y, target_statistics(y)):
        loss = photometric_loss(x, target)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad(loss, x, weights)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


def test_photometric_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch worked on piece by piece gives what it gives at once."""
    x, y = images(5, 3, 8, 10, dtype=torch.float32)
    x.requires_grad_()
    whole = photometric_loss(x, y)
    (gradient,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(losses, "_CHUNK", 2 * 3 * 8 * 10)  # pieces of 2, 2 and 1
    pieces = photometric_loss(x, y)
    torch.testing.assert_close(pieces, whole)
    torch.testing.assert_close(torch.autograd.grad(pieces.square().sum(), x)[0], gradient)


def test_photometric_in_single_precision() -> None:
    x, y = images(2, 3, 32, 48)
    single = photometric_loss(x.float(), y.float())
    torch.testing.assert_close(single.double(), pooled_photometric_loss(x, y), rtol=0, atol=2e-5)


def test_photometric_refuses_a_target_that_learns() -> None:
    x, y = images(1, 3, 8, 8)
    with pytest.raises(ValueError, match="detach"):
        photometric_loss(x, y.requires_grad_())


def test_photometric_names_missing_statistics() -> None:
    x, y = images(1, 3, 8, 8)
    with pytest.raises(ValueError, match="target_statistics"):
        photometric_loss(x, TargetStatistics(y))


def test_smoothness_golden() -> None:
    with np.load(GOLDEN) as golden:
        depth, image = torch.tensor(golden["depth"]), torch.tensor(golden["net_input"])
        expected = float(golden["smooth_loss"])
    assert smoothness_loss(depth, image).item() == pytest.approx(expected, rel=1e-12)


def test_smoothness_of_a_ramp() -> None:
    """A ramp over a flat image costs its slope; image edges weaken that."""
    ramp = torch.arange(1.0, 9.0, dtype=torch.float64).expand(1, 1, 6, 8)
    flat = torch.full((1, 3, 6, 8), 0.5, dtype=torch.float64)
    assert smoothness_loss(ramp, flat).item() == pytest.approx(1.0, rel=1e-6)
    steps = torch.arange(8.0, dtype=torch.float64).expand(1, 3, 6, 8)
    assert smoothness_loss(ramp, steps).item() == pytest.approx(np.exp(-1), rel=1e-6)


def test_mean_normalised() -> None:
    disparity, _ = images(2, 1, 8, 9)
    normalised = mean_normalised(disparity)
    torch.testing.assert_close(normalised.mean(dim=(2, 3)), torch.ones(2, 1), check_dtype=False)
    torch.testing.assert_close(mean_normalised(1000 * disparity), normalised, rtol=1e-6, atol=0)
