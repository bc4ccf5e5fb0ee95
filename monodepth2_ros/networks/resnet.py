# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Residual networks (He et al., 2015) whose weights are named and drawn as torchvision's are.

torchvision has the same networks, but its import brings torch's compiler with it and takes as long
as that of torch itself: too long for a node that starts.
"""

from __future__ import annotations

from torch import Tensor, nn

from monodepth2_ros.networks import architecture


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution that keeps the size, up to its stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a shortcut."""

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, downsample: nn.Sequential | None
    ) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, with a shortcut; the 3×3 one has the stride."""

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int, downsample: nn.Sequential | None
    ) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += shortcut
        return self.relu(out)


class ResNet(nn.Module):
    """A residual network for one image.

    Parameters
    ----------
    num_layers : int
        18, 34, 50, 101 or 152.

    Notes
    -----
    The parts are made in torchvision's order, so that a seed gives the weights that it gives there.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self._block = BasicBlock if num_layers < 50 else Bottleneck
        stem, counts = architecture.STEM_WIDTH, architecture.BLOCKS[num_layers]
        self.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        first, second, third, fourth = architecture.STAGE_WIDTHS
        expansion = self._block.expansion
        self.layer1 = self._stage(stem, first, counts[0], 1)
        self.layer2 = self._stage(first * expansion, second, counts[1], 2)
        self.layer3 = self._stage(second * expansion, third, counts[2], 2)
        self.layer4 = self._stage(third * expansion, fourth, counts[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(fourth * expansion, architecture.CLASSES)
        if self.conv1.weight.is_meta:
            return  # without memory; torch would import its compiler to draw nothing
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, inputs: int, width: int, count: int, stride: int) -> nn.Sequential:
        """Make the blocks of one stage; the first changes size and channels."""
        outputs = width * self._block.expansion
        downsample = None
        if stride != 1 or inputs != outputs:
            downsample = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        blocks = [self._block(inputs, width, stride, downsample)]
        blocks += [self._block(outputs, width, 1, None) for _ in range(count - 1)]
        return nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the class scores of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))
