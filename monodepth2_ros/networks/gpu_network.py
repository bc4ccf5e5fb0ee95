# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth network for a GPU: convolutions by cuDNN, all that stands between them by Triton.

The encoder's biases, sums and ReLUs are part of cuDNN's convolutions. In the decoder one kernel
lies between two convolutions (:mod:`monodepth2_ros.networks.gpu_kernels`), which adds the bias,
applies ELU, enlarges, joins the encoder's channels and pads. So an image takes a third of the
launches of :class:`~monodepth2_ros.networks.fused.FusedDepthNetwork`, and no tensor is written
only to be read once more. Enlarged maps are convolved as they are: matrix units have arithmetic to
spare, and the fewer multiply-adds of a transposed convolution take longer there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.networks import gpu_kernels
from monodepth2_ros.networks.architecture import PIXEL_MEAN, PIXEL_SPREAD
from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.networks.resnet import BasicBlock, Bottleneck


class GpuDepthNetwork(nn.Module):
    """What :class:`DepthNetwork` computes of pixels, for inference on a GPU alone.

    Parameters
    ----------
    network : DepthNetwork
        In evaluation mode; left as it is.
    device : torch.device
    dtype : torch.dtype
        Type of the convolutions.

    Raises
    ------
    ValueError
        If the network is in training mode.
    """

    def __init__(self, network: DepthNetwork, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self.trunk = FusedDepthNetwork(network).encoder.encoder
        convolutions = [m for m in network.depth.decoder.modules() if isinstance(m, nn.Conv2d)]
        self.weights = nn.ParameterList(conv.weight.detach().clone() for conv in convolutions[:10])
        self.to(device, dtype).to(memory_format=torch.channels_last)
        # Small, and taken by the kernels in float32.
        biases = [conv.bias for conv in convolutions if conv.bias is not None]
        self.biases = nn.ParameterList(
            bias.detach().to(device, torch.float32, copy=True) for bias in biases
        )
        head = convolutions[10].weight.detach()[0].permute(1, 2, 0)
        self.head = nn.Parameter(head.contiguous().to(device, torch.float32, copy=True))
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute sigmoid disparity.

        Parameters
        ----------
        pixels : Tensor, shape (B, H, W, 3), uint8, RGB
            H and W multiples of 32.

        Returns
        -------
        Tensor, shape (B, H, W), float32
        """
        features = self._encode(pixels)
        x, bias = features.pop(), None
        for level in range(5):
            coarse, fine = self.weights[2 * level : 2 * level + 2]
            skip = features.pop() if features else None
            x = functional.conv2d(gpu_kernels.join(x, bias), coarse)
            x = functional.conv2d(gpu_kernels.join(x, self.biases[2 * level], skip, 2), fine)
            bias = self.biases[2 * level + 1]
        assert bias is not None
        return gpu_kernels.head(x, bias, self.head, self.biases[10])[:, 0]

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        """Compute the feature pyramid."""
        trunk = self.trunk
        image = gpu_kernels.normalise(pixels, self._dtype, PIXEL_MEAN, PIXEL_SPREAD)
        stem = _conv_relu(image, trunk.conv1)
        features = [stem]
        x = gpu_kernels.pool(stem)
        for stage in (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
            for block in stage:
                x = _run_block(block, x)
            features.append(x)
        return features


def _run_block(block: nn.Module, x: Tensor) -> Tensor:
    """Compute a residual block whose normalisations are in its convolutions."""
    assert isinstance(block, (BasicBlock, Bottleneck))
    shortcut = x if block.downsample is None else block.downsample(x)
    x = _conv_relu(x, block.conv1)
    if isinstance(block, BasicBlock):
        return _conv_add_relu(x, block.conv2, shortcut)
    return _conv_add_relu(_conv_relu(x, block.conv2), block.conv3, shortcut)


def _conv_relu(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Convolve, add the bias, apply ReLU."""
    if not x.is_cuda:
        return conv(x).relu_()
    assert not isinstance(conv.padding, str)
    return torch.cudnn_convolution_relu(
        x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
    )


def _conv_add_relu(x: Tensor, conv: nn.Conv2d, other: Tensor) -> Tensor:
    """Convolve, add the bias and another tensor, apply ReLU."""
    if not x.is_cuda:
        return conv(x).add_(other).relu_()
    assert not isinstance(conv.padding, str)
    return torch.cudnn_convolution_add_relu(
        x, conv.weight, other, 1.0, conv.bias,
        conv.stride, conv.padding, conv.dilation, conv.groups,
    )  # fmt: skip
