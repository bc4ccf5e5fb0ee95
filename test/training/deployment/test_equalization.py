# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network rewritten for 8-bit integers is the same function, with even activations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from monodepth2_ros.networks.depth_network import DepthNetwork
from networks_of_tests import plain_network
from training.deployment.equalization import SMALLEST_SHARE, EqualizedDepthNetwork

# What is tested here does not depend on how wide a network is.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def uneven_network(layers: int, generator: torch.Generator) -> DepthNetwork:
    """A network whose channels differ by a factor of up to a hundred."""
    network = plain_network(layers, generator)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight *= 30.0 ** (
                    torch.rand(module.weight.shape, generator=generator) - 1.0
                )
        for module in network.depth.decoder.modules():
            if isinstance(module, nn.Conv2d) and module.out_channels > 1:
                spread = torch.rand(module.out_channels, 1, 1, 1, generator=generator) - 1.0
                module.weight *= 100.0**spread
        # A picture of all shades again.
        head = network.depth.decoder[10].conv
        image = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=generator)
        logit = torch.logit(network(image), eps=1e-300)
        head.bias -= logit.mean()
        head.weight /= logit.std()
        head.bias /= logit.std()
    return network


def activations(network: nn.Module, image: Tensor) -> list[Tensor]:
    """Return what the convolutions take, but for the first, whose input is the image."""
    seen: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return seen[1:]


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "size"), [(18, (64, 96)), (50, (64, 64))])
def test_it_is_the_same_function(layers: int, size: tuple[int, int], generator: torch.Generator):
    plain = uneven_network(layers, generator)
    before = copy.deepcopy(plain.state_dict())
    images = torch.rand(3, 3, *size, dtype=torch.float64, generator=generator)
    equalized = EqualizedDepthNetwork(plain, [images[:1]])
    with torch.no_grad():
        expected, actual = plain(images), equalized(images)  # also for what it has not seen
    assert expected.std() > 0.02  # a flat picture would prove nothing
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("layers", [18, 50])
def test_every_channel_has_the_same_range(layers: int, generator: torch.Generator) -> None:
    plain = uneven_network(layers, generator)
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=generator)
    equalized = EqualizedDepthNetwork(plain, [image[:1], image[1:]])
    found, uneven = activations(equalized, image), activations(plain, image)
    assert len(found) == {18: 34, 50: 67}[layers]
    assert all(values.min() >= 0.0 for values in found)
    # One factor serves a whole stream of residual blocks, so there most channels, and not all, come
    # near the largest, as all do elsewhere.
    shares = [typical_share(values) for values in found]
    assert np.median(shares) > 0.99 and min(shares) > 0.1
    assert np.median([typical_share(values) for values in uneven]) < 0.3


def typical_share(values: Tensor) -> float:
    """Return the median channel's range as a share of the largest one's; inactive ones left out."""
    top = values.amax(dim=(0, 2, 3))
    return float(top[top > 0.0].median() / top.max())


def test_a_channel_that_is_never_active_stays_a_number(generator: torch.Generator) -> None:
    plain = plain_network(18, generator)
    with torch.no_grad():
        for norm in (plain.encoder.encoder.bn1, plain.encoder.encoder.layer2[0].bn1):
            norm.weight[3], norm.bias[3] = 0.0, -1.0
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=generator)
    equalized = EqualizedDepthNetwork(plain, [image])
    with torch.no_grad():
        torch.testing.assert_close(equalized(image), plain(image), rtol=0, atol=1e-11)
    assert 0.0 < SMALLEST_SHARE < 1.0


def test_nothing_to_measure_on_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="no images to measure"):
        EqualizedDepthNetwork(plain_network(18, generator), [])
