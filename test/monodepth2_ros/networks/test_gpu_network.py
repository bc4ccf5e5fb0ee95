# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network for a GPU computes what the plain one does.

Without a GPU its kernels run in Triton's interpreter (conftest.py), so all but cuDNN is tested.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from monodepth2_ros.backends.torch_backend import TorchBackend
from monodepth2_ros.checkpoint import random_checkpoint
from networks_of_tests import plain_network

gpu_kernels = pytest.importorskip("monodepth2_ros.networks.gpu_kernels", reason="needs Triton")
gpu_network = pytest.importorskip("monodepth2_ros.networks.gpu_network", reason="needs Triton")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(11)


@pytest.fixture(params=["32 bits", "64 bits"])
def numbers(request, monkeypatch):
    """Let kernels number elements as in small tensors, and as in those of over 2³¹ elements."""
    if request.param == "64 bits":
        monkeypatch.setattr(gpu_kernels, "_LARGEST_INT", 0)


def draw(generator, *shape):
    values = torch.randn(shape, generator=generator)
    return values.to(DEVICE, memory_format=torch.channels_last) if len(shape) == 4 else values


def assert_close(actual, expected):
    torch.testing.assert_close(actual.double().cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(2, 2), (5, 7), (9, 14)])
@pytest.mark.parametrize("enlarge", [1, 2])
@pytest.mark.parametrize("channels", [(8, 0), (32, 64), (16, 12)])
def test_join_prepares_a_convolution(size, enlarge, channels, numbers, generator):
    height, width = size
    own, extra = channels
    x, bias = draw(generator, 3, own, height, width), draw(generator, own)
    skip = draw(generator, 3, extra, height * enlarge, width * enlarge) if extra else None
    expected = functional.elu(x.double().cpu() + bias.double()[:, None, None])
    expected = functional.interpolate(expected, scale_factor=enlarge, mode="nearest")
    if skip is not None:
        expected = torch.cat([expected, skip.double().cpu()], dim=1)
    expected = functional.pad(expected, (1, 1, 1, 1), mode="reflect")
    actual = gpu_kernels.join(x, bias.to(DEVICE), skip, enlarge)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert_close(actual, expected)


def test_join_without_a_bias_only_pads(generator):
    x = draw(generator, 2, 16, 6, 5)
    expected = functional.pad(x.double().cpu(), (1, 1, 1, 1), mode="reflect")
    assert_close(gpu_kernels.join(x), expected)


@pytest.mark.parametrize("size", [(2, 3), (9, 14)])
def test_head_is_the_last_convolution(size, numbers, generator):
    x, bias = draw(generator, 2, 16, *size), draw(generator, 16)
    weight, head_bias = draw(generator, 3, 3, 16), draw(generator, 1)
    inside = functional.elu(x.double().cpu() + bias.double()[:, None, None])
    inside = functional.pad(inside, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(
        inside, weight.double().permute(2, 0, 1)[None], head_bias.double()
    ).sigmoid()
    actual = gpu_kernels.head(x, *(part.to(DEVICE) for part in (bias, weight, head_bias)))
    assert_close(actual, expected)


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (32, 40)])
def test_pool_is_the_trunks(size, numbers, generator):
    x = draw(generator, 2, 16, *size)  # negative, too: padding is no zero
    expected = nn.MaxPool2d(3, stride=2, padding=1)(x.double().cpu())
    assert_close(gpu_kernels.pool(x), expected)


def test_what_is_no_number_stays_none(generator):
    """Damaged weights must not end as a plausible depth."""
    x, bias = draw(generator, 1, 16, 6, 8), torch.zeros(16, device=DEVICE)
    x[0, 3, 2, 2], x[0, 5, 1, 2] = torch.nan, 1e4
    joined = gpu_kernels.join(x, bias)
    assert joined[0, 3, 3, 3].isnan() and joined.isnan().sum() == 1
    assert joined[0, 5, 2, 3] == 1e4
    pooled = gpu_kernels.pool(x)
    assert pooled[0, 3, 1, 1].isnan() and pooled.isnan().sum() == 1
    weight = torch.ones(3, 3, 16, device=DEVICE)
    disparity = gpu_kernels.head(x, bias, weight, torch.zeros(1, device=DEVICE))
    assert disparity[0, 0, 1:4, 1:4].isnan().all() and disparity.isnan().sum() == 9


def test_normalise_takes_pixels(numbers, generator):
    pixels = torch.randint(0, 256, (2, 21, 33, 3), dtype=torch.uint8, generator=generator)
    expected = (pixels.double().permute(0, 3, 1, 2) / 255.0 - 0.45) / 0.225
    actual = gpu_kernels.normalise(pixels.to(DEVICE), torch.float32, 0.45, 0.225)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert_close(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "size"), [(18, (64, 96)), (50, (64, 64))])
def test_the_network_is_the_same_function(layers, size, generator, monkeypatch):
    if DEVICE.type == "cpu":  # the interpreter takes its time for each block, however large
        monkeypatch.setattr(gpu_kernels, "_BLOCK", 2**15)
        monkeypatch.setattr(gpu_kernels, "_PIXELS", 2**11)
    plain = plain_network(layers, generator)
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = plain(pixels.permute(0, 3, 1, 2).double() / 255.0)[:, 0]
        network = gpu_network.GpuDepthNetwork(plain.float(), DEVICE, torch.float32)
        actual = network(pixels.to(DEVICE))
    assert expected.std() > 0.05  # a flat picture would prove nothing
    assert_close(actual, expected)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("fp16", 2e-3), ("bf16", 2e-2)])
@pytest.mark.parametrize("layers", [18, 50])
def test_the_backend_runs_it_on_a_gpu(layers, precision, bound):
    checkpoint = random_checkpoint(layers, 640, 192, seed=5)
    checkpoint.state["depth"]["decoder.10.conv.weight"] *= 40.0
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 12, 40, 3), dtype=torch.uint8, generator=generator)
    images = images.repeat_interleave(16, 1).repeat_interleave(16, 2)
    plain = checkpoint.depth_network().double()
    with torch.inference_mode():
        expected = plain(images.permute(0, 3, 1, 2).double() / 255.0)[:, 0].numpy()
    assert expected.std() > 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no falling back
        backend = TorchBackend(checkpoint, DEVICE, precision)
    for image, wanted in zip(images, expected, strict=True):
        actual = backend.disparity(image.to(DEVICE)).double().cpu().numpy()
        assert np.sqrt(np.mean((actual - wanted) ** 2)) <= bound
    actual = backend.disparities(images.to(DEVICE)).double().cpu().numpy()
    assert np.sqrt(np.mean((actual - expected) ** 2)) <= bound


@pytest.mark.gpu
def test_without_triton_it_goes_on_more_slowly(monkeypatch):
    checkpoint = random_checkpoint(18, 96, 64, seed=5)
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8, device=DEVICE)
    expected = TorchBackend(checkpoint, DEVICE, "fp16").disparity(image).clone()
    monkeypatch.delitem(sys.modules, "monodepth2_ros.networks.gpu_network")
    monkeypatch.setitem(sys.modules, "monodepth2_ros.networks.gpu_kernels", None)
    monkeypatch.delattr("monodepth2_ros.networks.gpu_kernels")
    with pytest.warns(UserWarning, match="faster network for cuda.* about twice as long"):
        backend = TorchBackend(checkpoint, DEVICE, "fp16")
    torch.testing.assert_close(backend.disparity(image), expected, rtol=0, atol=2e-3)
