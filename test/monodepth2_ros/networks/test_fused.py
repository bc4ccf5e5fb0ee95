# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network rewritten for inference computes what the plain one does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import EnlargingConv, FusedDepthNetwork, _BlockedConv
from networks_of_tests import plain_network


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "size"), [(18, (64, 96)), (18, (64, 160)), (50, (64, 64))])
def test_the_network_is_the_same_function(layers, size, generator):
    plain = plain_network(layers, generator)
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.inference_mode():
        expected = plain(image)
        actual = FusedDepthNetwork(plain)(image)
    assert expected.std() > 0.05  # a flat picture would prove nothing
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_float32_stays_within_rounding(generator):
    plain = plain_network(18, generator)
    single = copy.deepcopy(plain).float()
    image = torch.rand(1, 3, 64, 96, dtype=torch.float64, generator=generator)
    with torch.inference_mode():
        expected = plain(image)
        actual = FusedDepthNetwork(single)(image.float())
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_leaves_disparity_without_steps(generator):
    plain = plain_network(18, generator).float()
    image = torch.rand(1, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        expected = plain(image)
        actual = FusedDepthNetwork(plain).in_precision(torch.bfloat16)(image.bfloat16())
    assert actual.dtype == torch.float32
    assert len(actual.unique()) > 0.9 * len(expected.unique())
    # Eight bits through some thirty convolutions.
    assert (actual - expected).abs().mean() < 0.02 * expected.std()
    assert not torch.equal(actual, expected)


@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("size", [(2, 2), (1, 4), (5, 3)])
def test_enlarging_is_exact_up_to_the_border(extra, size, generator):
    conv = nn.Conv2d(4 + extra, 6, 3, padding=1, padding_mode="reflect").double()
    small = torch.randn(2, 4, *size, dtype=torch.float64, generator=generator)
    height, width = 2 * size[0], 2 * size[1]
    skip = torch.randn(2, extra, height, width, dtype=torch.float64, generator=generator)
    large = functional.interpolate(small, scale_factor=2, mode="nearest")
    expected = conv(torch.cat([large, skip], dim=1))
    actual = EnlargingConv(conv, 4)(small, skip if extra else None)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def test_the_head_in_blocks_is_exact_up_to_the_border(generator):
    conv = nn.Conv2d(5, 1, 3, padding=1, padding_mode="reflect").double()
    x = torch.randn(2, 5, 8, 12, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(_BlockedConv(conv)(x), conv(x), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_original_is_left_as_it_is(generator):
    plain = plain_network(18, generator)
    before = copy.deepcopy(plain.state_dict())
    FusedDepthNetwork(plain)
    assert plain.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match=r"training mode; call its eval\(\)"):
        FusedDepthNetwork(DepthNetwork(18).train())
