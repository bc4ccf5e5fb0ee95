# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth network rewritten for inference: the same function, with fewer operations.

Three identities, each exact but for rounding (the tests hold them to 1e-12 in float64):

- *Batch normalisation* with fixed statistics scales and shifts what a convolution gives, so it goes
  into the convolution's weights and bias.
- *A 3×3 convolution of a map enlarged twice by nearest neighbours* sees each small pixel two or
  four times. Adding up the weights that meet the same pixel leaves 2×2 weights for each of the four
  places that an output pixel can have in its small pixel, together a transposed convolution of
  stride 2 with a kernel of 4×4: 4 multiply-adds instead of 9. Along an axis the kernel is

      (w₂, w₁ + w₂, w₀ + w₁, w₀).

  Row −1 of the enlarged map, reflected, is its row 1, which shows row 0 of the small map; so the
  reflection of the enlarged map is the replication of the small one. The channels of the
  encoder that are joined to it keep their 3×3 convolution, and both sums are added.
- *A convolution with one output channel* leaves most of a vector unit idle. The sixteen outputs of
  4×4 pixels together are one convolution of stride 4 with 16 output channels and a kernel of 6×6,
  most of whose weights are zero, and its channels are then laid out as pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.resnet import BasicBlock, Bottleneck, ResNet

# Pixels along each side of the square that the head computes at once; divides the 32 of which
# width and height are multiples.
_HEAD_STRIDE = 4


class FusedDepthNetwork(nn.Module):
    """What :class:`DepthNetwork` computes, for inference alone.

    Parameters
    ----------
    network : DepthNetwork
        In evaluation mode; left as it is.

    Raises
    ------
    ValueError
        If the network is in training mode, in which batch normalisation does not stand still.
    """

    def __init__(self, network: DepthNetwork) -> None:
        super().__init__()
        if network.training:
            raise ValueError("the network is in training mode; call its eval() before fusing it")
        self.encoder = copy.deepcopy(network.encoder)
        _fold_normalisation(self.encoder.encoder)
        convolutions = [
            module for module in network.depth.decoder.modules() if isinstance(module, nn.Conv2d)
        ]
        # Two for each of the five levels, then the heads, the finest first.
        coarse, fine, head = convolutions[0:10:2], convolutions[1:10:2], convolutions[10]
        self.coarse = nn.ModuleList(copy.deepcopy(conv) for conv in coarse)
        self.fine = nn.ModuleList(
            EnlargingConv(after, before.out_channels)
            for before, after in zip(coarse, fine, strict=True)
        )
        self.head = _BlockedConv(head)
        self.requires_grad_(False).eval()

    def levels(self) -> Iterator[tuple[nn.Conv2d, EnlargingConv]]:
        """Give the two convolutions of each level of the decoder, the coarsest first."""
        for coarse, fine in zip(self.coarse, self.fine, strict=True):
            assert isinstance(coarse, nn.Conv2d) and isinstance(fine, EnlargingConv)
            yield coarse, fine

    def forward(self, image: Tensor) -> Tensor:
        """Compute sigmoid disparity; see :meth:`DepthNetwork.forward`."""
        features = self.encoder(image)
        x = features.pop()
        for coarse, fine in self.levels():
            skip = features.pop() if features else None
            x = functional.elu(fine(functional.elu(coarse(x)), skip))
        return torch.sigmoid(self.head(x.to(self.head.conv.weight.dtype)))

    def in_precision(self, dtype: torch.dtype) -> FusedDepthNetwork:
        """Convolve in another type from now on, but for the head, which is in float32 at least.

        A disparity in bfloat16 has a few hundred different values, of which a cloud shows steps.
        """
        self.to(dtype)
        if dtype.itemsize < torch.float32.itemsize:
            self.head.float()
        return self


class EnlargingConv(nn.Module):
    """Enlarge by nearest neighbours, join with other channels, pad by reflection, convolve."""

    def __init__(self, conv: nn.Conv2d, channels: int) -> None:
        super().__init__()
        weight = conv.weight.detach().double()
        sums = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        enlarging = torch.einsum("ay,oiyx,bx->ioab", sums, weight[:, :channels], sums)
        extra = conv.in_channels - channels
        # The bias goes with the last sum, which an engine can join with what follows.
        self.enlarge = nn.ConvTranspose2d(
            channels, conv.out_channels, 4, stride=2, padding=3, bias=extra == 0
        )
        self.enlarge.weight = nn.Parameter(enlarging.to(conv.weight.dtype))
        self.join: nn.Conv2d | None = None
        if extra == 0:
            self.enlarge.bias = copy.deepcopy(conv.bias)
            return
        self.join = nn.Conv2d(extra, conv.out_channels, 3, padding=1, padding_mode="reflect")
        self.join.weight = nn.Parameter(conv.weight.detach()[:, channels:].clone())
        self.join.bias = copy.deepcopy(conv.bias)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Compute it; `skip` is what is joined to it, of twice the size."""
        enlarged = self.enlarge(functional.pad(x, (1, 1, 1, 1), mode="replicate"))
        return enlarged if self.join is None else self.join(skip) + enlarged


class _BlockedConv(nn.Module):
    """3×3 convolution with one output channel and reflected edges, a block of pixels at once."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        step = _HEAD_STRIDE
        weight = conv.weight.detach()
        blocked = weight.new_zeros(step * step, conv.in_channels, step + 2, step + 2)
        for row in range(step):
            for column in range(step):
                place = blocked[row * step + column]
                place[:, row : row + 3, column : column + 3] = weight[0]
        self.conv = nn.Conv2d(conv.in_channels, step * step, step + 2, stride=step)
        self.conv.weight = nn.Parameter(blocked)
        assert conv.bias is not None
        self.conv.bias = nn.Parameter(conv.bias.detach().repeat(step * step))

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.pixel_shuffle(self.conv(padded), _HEAD_STRIDE)


def _fold_normalisation(trunk: ResNet) -> None:
    """Put all of a ResNet's batch normalisations into its convolutions."""
    trunk.conv1 = _folded(trunk.conv1, trunk.bn1)
    for unused in ("bn1", "fc"):
        setattr(trunk, unused, nn.Identity())
    for block in trunk.modules():
        if not isinstance(block, (BasicBlock, Bottleneck)):
            continue
        for number in (1, 2, 3) if isinstance(block, Bottleneck) else (1, 2):
            conv, norm = f"conv{number}", f"bn{number}"
            setattr(block, conv, _folded(getattr(block, conv), getattr(block, norm)))
            setattr(block, norm, nn.Identity())
        if block.downsample is not None:
            block.downsample = nn.Sequential(_folded(*block.downsample))


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a convolution that also normalises, worked out in float64."""
    dtype = conv.weight.dtype
    return fuse_conv_bn_eval(conv.double(), norm.double()).to(dtype)
