# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The residual networks, compared with torchvision's."""

from __future__ import annotations

import pytest
import torch

from monodepth2_ros.networks.architecture import RESNET_LAYERS
from monodepth2_ros.networks.resnet import ResNet


@pytest.mark.parametrize("layers", RESNET_LAYERS)
def test_names_and_shapes_are_torchvisions(layers):
    from torchvision.models import resnet as torchvision_resnet  # its import takes seconds

    with torch.device("meta"):
        own = ResNet(layers).state_dict()
        theirs = getattr(torchvision_resnet, f"resnet{layers}")(weights=None).state_dict()
    assert list(own) == list(theirs)
    assert [value.shape for value in own.values()] == [v.shape for v in theirs.values()]


@pytest.mark.slow
@pytest.mark.parametrize("layers", [18, pytest.param(50, marks=pytest.mark.slow)])
def test_weights_and_results_are_torchvisions(layers):
    from torchvision.models import resnet as torchvision_resnet

    torch.manual_seed(3)
    own = ResNet(layers)
    torch.manual_seed(3)
    theirs = getattr(torchvision_resnet, f"resnet{layers}")(weights=None)
    for name, value in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[name], value), name
    images = torch.rand(2, 3, 64, 96)
    for train in (True, False):  # the first also moves the running statistics
        torch.testing.assert_close(own.train(train)(images), theirs.train(train)(images))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value)
    own.zero_grad()
    own(images).square().sum().backward()
    theirs(images).square().sum().backward()
    for (name, mine), other in zip(own.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=name)
