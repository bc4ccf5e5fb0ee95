# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The feature encoder: a ResNet whose five stages are all returned."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from monodepth2_ros.networks import architecture
from monodepth2_ros.networks.architecture import (
    PIXEL_MEAN,
    PIXEL_SPREAD,
    RESNET_LAYERS,
    encoder_channels,
)
from monodepth2_ros.networks.resnet import ResNet


class ResnetEncoder(nn.Module):
    """ResNet encoder over one image or several stacked ones.

    Parameters
    ----------
    num_layers : int
        18, 34, 50, 101 or 152.
    num_input_images : int
        Number of RGB images stacked along the channels: 1 for depth, 2 for pose.

    Attributes
    ----------
    channels : tuple of int
        Channels of the five feature maps that :meth:`forward` returns.
    encoder : ResNet
        Holds the weights under torchvision's own names, the unused ``fc`` included, because the
        published checkpoints hold it too.

    Raises
    ------
    ValueError
        If there is no ResNet of that depth.

    Notes
    -----
    Weights are random at first; see :func:`load_trunk` for pretrained ones.
    """

    def __init__(self, num_layers: int, num_input_images: int = 1) -> None:
        super().__init__()
        if num_layers not in RESNET_LAYERS:
            raise ValueError(f"num_layers is {num_layers}; a ResNet has one of {RESNET_LAYERS}")
        if num_input_images < 1:
            raise ValueError(f"num_input_images is {num_input_images}; it must be at least 1")
        self.num_layers = num_layers
        self.num_input_images = num_input_images
        self.encoder = ResNet(num_layers)
        if num_input_images > 1:
            channels = 3 * num_input_images
            self.encoder.conv1 = nn.Conv2d(
                channels, architecture.STEM_WIDTH, kernel_size=7, stride=2, padding=3, bias=False
            )
            nn.init.kaiming_normal_(self.encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.channels = encoder_channels(num_layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the feature pyramid.

        Parameters
        ----------
        image : Tensor, shape (B, 3 * num_input_images, H, W)
            RGB in [0, 1]; H and W multiples of 32.

        Returns
        -------
        list of five Tensors
            Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image size, with
            :attr:`channels` channels.
        """
        trunk = self.encoder
        stem = trunk.relu(trunk.bn1(trunk.conv1((image - PIXEL_MEAN) / PIXEL_SPREAD)))
        features = [stem, trunk.layer1(trunk.maxpool(stem))]
        for stage in (trunk.layer2, trunk.layer3, trunk.layer4):
            features.append(stage(features[-1]))
        return features


def load_trunk(encoder: ResnetEncoder, trunk: Mapping[str, Tensor]) -> None:
    """Load ResNet weights that were trained on single images, ImageNet's for example.

    For an encoder over n stacked images the first convolution is repeated along its input
    channels and divided by n, so that n equal images give the activations of one.

    Parameters
    ----------
    encoder : ResnetEncoder
        Changed in place.
    trunk : mapping of str to Tensor
        State dict with torchvision's names. ``fc`` may be missing or of any size: it is not used.

    Raises
    ------
    ValueError
        If entries other than ``fc`` are missing, unknown or of another shape.
    """
    weights = {name: value for name, value in trunk.items() if not name.startswith("fc.")}
    first = weights.get("conv1.weight")
    copies = encoder.num_input_images
    if first is not None and copies > 1 and first.shape[1] == 3:
        weights["conv1.weight"] = torch.cat([first] * copies, dim=1) / copies
    own = encoder.encoder.state_dict()
    for name, value in own.items():
        # Files written before torch 0.4 lack these counters, which only momentum=None uses.
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            weights.setdefault(name, value)
    missing = sorted(own.keys() - weights.keys())
    unknown = sorted(weights.keys() - own.keys())
    wrong = sorted(
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if weights[name].shape != own[name].shape
    )
    for problem, names in (("lacks", missing), ("has unknown", unknown), ("has wrong", wrong)):
        if names:
            raise ValueError(
                f"these weights do not fit ResNet-{encoder.num_layers}: the state dict {problem} "
                f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            )
    encoder.encoder.load_state_dict(weights)
