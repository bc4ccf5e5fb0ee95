# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks whose numbers are not those of a fresh start."""

from __future__ import annotations

import torch
from torch import nn

from monodepth2_ros.networks.depth_network import DepthNetwork


def plain_network(layers, generator):
    """Return a network in float64 whose statistics and biases are not those of the start."""
    network = DepthNetwork(layers).double().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                shape = module.bias.shape
                module.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
                module.weight.copy_(0.7 + 0.6 * torch.rand(shape, generator=generator))
                module.bias.copy_(0.3 * torch.randn(shape, generator=generator))
        head = network.depth.decoder[10].conv
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator))
        image = torch.rand(1, 3, 64, 96, dtype=torch.float64, generator=generator)
        logits = network(image).logit()  # scaled, so that no start makes a flat picture
        head.weight.div_(logits.std())
        head.bias.sub_(logits.mean()).div_(logits.std())
    return network
