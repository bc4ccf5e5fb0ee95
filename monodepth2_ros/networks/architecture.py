# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the depth network is made of, without torch: sizes, constants, names and shapes of weights.

The torch modules and the OpenVINO graph are both built from this description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Depths of ResNet that an encoder can have.
RESNET_LAYERS = (18, 34, 50, 101, 152)

#: Blocks in each of the four stages, by the depth of the ResNet.
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

#: One mean and one spread for all channels, as the published checkpoints expect (not the
#: per-channel ImageNet statistics).
PIXEL_MEAN = 0.45
PIXEL_SPREAD = 0.225

#: Channels of the decoder at levels 0 (finest) to 4 (coarsest).
DECODER_CHANNELS = (16, 32, 64, 128, 256)

#: Scales at which the decoder has a disparity head; scale s is 1/2^s of the image size.
SCALES = (0, 1, 2, 3)

#: Added to the variance in batch normalisation, torch's default.
NORMALISATION_EPSILON = 1e-5

#: Classes of ImageNet, on which published weights were trained.
CLASSES = 1000

#: Channels of the encoder's first convolution.
STEM_WIDTH = 64

#: Widths of the residual blocks in each of the four stages.
STAGE_WIDTHS = (64, 128, 256, 512)

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class ConvolutionOfBlock:
    """A convolution of a residual block; batch normalisation follows it.

    Attributes
    ----------
    conv, norm : str
        Names of the two in the state dict.
    inputs, outputs : int
        Channels.
    kernel, stride : int
        The padding is half the kernel.
    """

    conv: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class Block:
    """A residual block: convolutions in a row, and the one of the shortcut if it has one."""

    convolutions: tuple[ConvolutionOfBlock, ...]
    shortcut: ConvolutionOfBlock | None


def expansion(num_layers: int) -> int:
    """Return the output channels of a block, divided by its width."""
    return 1 if num_layers < 50 else 4


def encoder_channels(num_layers: int) -> tuple[int, ...]:
    """Return the channels of the encoder's five feature maps, finest first."""
    return (STEM_WIDTH, *(expansion(num_layers) * width for width in STAGE_WIDTHS))


def stages(num_layers: int) -> Iterator[list[Block]]:
    """Give the blocks of the four stages, in order.

    Parameters
    ----------
    num_layers : int
        One of :data:`RESNET_LAYERS`.
    """
    wide = expansion(num_layers)
    inputs = STEM_WIDTH
    for number, (width, count) in enumerate(
        zip(STAGE_WIDTHS, BLOCKS[num_layers], strict=True), start=1
    ):
        blocks = []
        for index in range(count):
            prefix = f"encoder.layer{number}.{index}."
            stride = 2 if number > 1 and index == 0 else 1
            outputs = width * wide
            if wide == 1:
                plan = [(inputs, width, 3, stride), (width, width, 3, 1)]
            else:
                plan = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            convolutions = tuple(
                ConvolutionOfBlock(f"{prefix}conv{n}", f"{prefix}bn{n}", *sizes)
                for n, sizes in enumerate(plan, start=1)
            )
            shortcut = None
            if stride != 1 or inputs != outputs:
                shortcut = ConvolutionOfBlock(
                    f"{prefix}downsample.0", f"{prefix}downsample.1", inputs, outputs, 1, stride
                )
            blocks.append(Block(convolutions, shortcut))
            inputs = outputs
        yield blocks


def encoder_shapes(num_layers: int) -> Shapes:
    """Return names and shapes of the encoder's state dict, for one image."""
    shapes: Shapes = {}

    def add(convolution: ConvolutionOfBlock) -> None:
        kernel = convolution.kernel
        channels = (convolution.outputs, convolution.inputs, kernel, kernel)
        shapes[f"{convolution.conv}.weight"] = channels
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{convolution.norm}.{name}"] = (convolution.outputs,)
        shapes[f"{convolution.norm}.num_batches_tracked"] = ()

    add(ConvolutionOfBlock("encoder.conv1", "encoder.bn1", 3, STEM_WIDTH, 7, 2))
    for blocks in stages(num_layers):
        for block in blocks:
            for convolution in block.convolutions:
                add(convolution)
            if block.shortcut is not None:
                add(block.shortcut)
    shapes["encoder.fc.weight"] = (CLASSES, encoder_channels(num_layers)[-1])
    shapes["encoder.fc.bias"] = (CLASSES,)
    return shapes


def decoder_shapes(num_layers: int) -> Shapes:
    """Return names and shapes of the depth decoder's state dict."""
    features = encoder_channels(num_layers)
    shapes: Shapes = {}

    def add(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, 3, 3)
        shapes[f"{name}.bias"] = (outputs,)

    channels = features[4]
    for index, level in enumerate((4, 3, 2, 1, 0)):
        width = DECODER_CHANNELS[level]
        skip = features[level - 1] if level > 0 else 0
        add(f"decoder.{2 * index}.conv.conv", channels, width)
        add(f"decoder.{2 * index + 1}.conv.conv", width + skip, width)
        channels = width
    for scale in SCALES:
        add(f"decoder.{10 + scale}.conv", DECODER_CHANNELS[scale], 1)
    return shapes


def network_shapes(num_layers: int) -> dict[str, Shapes]:
    """Return names and shapes of the weights of the networks "encoder" and "depth"."""
    return {"encoder": encoder_shapes(num_layers), "depth": decoder_shapes(num_layers)}
