# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoder and decoder as one module, as inference runs them."""

from __future__ import annotations

from torch import Tensor, nn

from monodepth2_ros.networks.depth_decoder import DepthDecoder
from monodepth2_ros.networks.resnet_encoder import ResnetEncoder


class DepthNetwork(nn.Module):
    """From an image to its finest disparity.

    Parameters
    ----------
    num_layers : int
        Depth of the ResNet encoder.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.encoder = ResnetEncoder(num_layers)
        self.depth = DepthDecoder(self.encoder.channels)

    def forward(self, image: Tensor) -> Tensor:
        """Compute sigmoid disparity.

        Parameters
        ----------
        image : Tensor, shape (B, 3, H, W)
            RGB in [0, 1]; H and W multiples of 32.

        Returns
        -------
        Tensor, shape (B, 1, H, W)
            In (0, 1); 1 is nearest.
        """
        return self.depth(self.encoder(image), scales=(0,))[0]
