# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth decoder: a U-Net from encoder features to disparity at four scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.networks import architecture
from monodepth2_ros.networks.architecture import SCALES


class DepthDecoder(nn.Module):
    """Decode encoder features into sigmoid disparity.

    Parameters
    ----------
    encoder_channels : sequence of five int
        Channels of the encoder's feature maps, finest first (``ResnetEncoder.channels``).
    num_outputs : int
        Output channels of every head: 1 for disparity, one per source for a predictive mask.

    Notes
    -----
    The sub-modules sit in one list because the published checkpoints name them so:
    ``decoder.0 … decoder.9`` are the two convolution blocks of levels 4 to 0 and
    ``decoder.10 … decoder.13`` the heads of scales 0 to 3.
    """

    def __init__(self, encoder_channels: Sequence[int], num_outputs: int = 1) -> None:
        super().__init__()
        if len(encoder_channels) != 5:
            raise ValueError(
                f"encoder_channels is {tuple(encoder_channels)}; five feature maps are needed"
            )
        blocks: list[nn.Module] = []
        channels = encoder_channels[4]
        for level in (4, 3, 2, 1, 0):
            width = architecture.DECODER_CHANNELS[level]
            skip = encoder_channels[level - 1] if level > 0 else 0
            blocks += [_ConvBlock(channels, width), _ConvBlock(width + skip, width)]
            channels = width
        heads: list[nn.Module] = [
            _PaddedConv(architecture.DECODER_CHANNELS[scale], num_outputs) for scale in SCALES
        ]
        self.decoder = nn.ModuleList(blocks + heads)

    def forward(self, features: Sequence[Tensor], scales: Sequence[int] = SCALES) -> list[Tensor]:
        """Compute disparities.

        Parameters
        ----------
        features : sequence of five Tensors
            The encoder's output for an image of H × W pixels.
        scales : sequence of int
            The scales to compute; inference needs (0,) alone.

        Returns
        -------
        list of Tensors, shapes (B, num_outputs, H / 2^s, W / 2^s)
            Values in (0, 1), in the order of `scales`; see
            :func:`monodepth2_ros.geometry.disparity_to_depth` for their meaning.
        """
        outputs = {}
        x = features[4]
        for index, level in enumerate((4, 3, 2, 1, 0)):
            x = functional.interpolate(self.decoder[2 * index](x), scale_factor=2, mode="nearest")
            if level > 0:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.decoder[2 * index + 1](x)
            if level in scales:
                outputs[level] = torch.sigmoid(self.decoder[10 + level](x))
        return [outputs[scale] for scale in scales]


class _PaddedConv(nn.Module):
    """3×3 convolution on a reflection-padded input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size=3, padding=1, padding_mode="reflect"
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _ConvBlock(nn.Module):
    """Padded 3×3 convolution and ELU; nested so that the key is ``conv.conv.weight``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _PaddedConv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.elu(self.conv(x))
