# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth network as an OpenVINO model, built from its weights with OpenVINO's own operations.

It is the rewritten network of :mod:`monodepth2_ros.networks.fused`, whose docstring explains the
three identities: batch normalisation goes into the convolutions, a convolution of an enlarged map
becomes a transposed one of the small map, and the head computes 4×4 pixels at once. Here a fourth
is added: pixels come as bytes, and their scaling to the network's range goes into the first
convolution. Neither torch nor a conversion is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.backends.openvino_library import openvino
from monodepth2_ros.networks import architecture
from monodepth2_ros.networks.architecture import (
    NORMALISATION_EPSILON,
    PIXEL_MEAN,
    PIXEL_SPREAD,
    ConvolutionOfBlock,
    stages,
)

#: Changes whenever the graph that is built from the same weights changes.
GRAPH_VERSION = 3

# Pixels along each side of the square that the head computes at once; divides the 32 of which
# width and height are multiples.
_HEAD_STRIDE = 4

ops = openvino.opset13

Weights = Mapping[str, NDArray[Any]]
Node = Any  # OpenVINO ships no types
Doubles = NDArray[np.float64]


def build_graph(
    encoder: Weights, decoder: Weights, num_layers: int, width: int, height: int
) -> Any:
    """Build the network for one image.

    Parameters
    ----------
    encoder, decoder : mapping of str to ndarray
        State dicts of the encoder and the depth decoder, complete and of the right shapes.
    num_layers : int
        Depth of the ResNet.
    width, height : int
        Input size in pixels; multiples of 32.

    Returns
    -------
    openvino.Model
        From "image" (1, height, width, 3), uint8, RGB to "disparity" (1, 1, height, width),
        float32: the sigmoid disparity.
    """
    image = ops.parameter([1, height, width, 3], np.uint8, name="image")
    image.output(0).get_tensor().set_names({"image"})
    pixels = ops.convert(image, "f32")
    # Subtracted before the convolution pads with zeros; the scale goes into its weights.
    centred = ops.subtract(pixels, _constant(np.full(1, 255.0 * PIXEL_MEAN)))
    planes = ops.transpose(centred, np.array([0, 3, 1, 2]))
    features = _encode(planes, encoder, num_layers)
    disparity = ops.sigmoid(_decode(features, decoder))
    disparity.output(0).get_tensor().set_names({"disparity"})
    return openvino.Model([disparity], [image], "depth_network")


def _encode(planes: Node, weights: Weights, num_layers: int) -> list[Node]:
    """Compute the five feature maps, finest first."""
    stem = ConvolutionOfBlock("encoder.conv1", "encoder.bn1", 3, 64, 7, 2)
    x = ops.relu(_folded_convolution(planes, weights, stem, 1.0 / (255.0 * PIXEL_SPREAD)))
    features = [x]
    x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for blocks in stages(num_layers):
        for block in blocks:
            shortcut = x
            if block.shortcut is not None:
                shortcut = _folded_convolution(x, weights, block.shortcut)
            for convolution in block.convolutions[:-1]:
                x = ops.relu(_folded_convolution(x, weights, convolution))
            x = _folded_convolution(x, weights, block.convolutions[-1])
            x = ops.relu(ops.add(x, shortcut))
        features.append(x)
    return features


def _decode(features: list[Node], weights: Weights) -> Node:
    """Compute the finest disparity, before the sigmoid."""
    features = list(features)
    x = features.pop()
    for index in range(5):
        weight, bias = _entry(weights, f"decoder.{2 * index}.conv.conv")
        x = ops.elu(_convolution(_padded(x, "reflect"), weight, bias), 1.0)
        weight, bias = _entry(weights, f"decoder.{2 * index + 1}.conv.conv")
        skip = features.pop() if features else None
        x = ops.elu(_enlarging_convolution(x, skip, weight, bias), 1.0)
    weight, bias = _entry(weights, "decoder.10.conv")
    return _head(x, weight, bias)


def _folded_convolution(
    x: Node, weights: Weights, convolution: ConvolutionOfBlock, scale: float = 1.0
) -> Node:
    """Convolve and normalise, as one convolution; `scale` multiplies the input."""
    weight = _doubles(weights, f"{convolution.conv}.weight")
    gamma, beta, mean, variance = (
        _doubles(weights, f"{convolution.norm}.{name}")
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + NORMALISATION_EPSILON)
    return _convolution(
        x,
        scale * weight * factor[:, None, None, None],
        beta - mean * factor,
        convolution.stride,
        convolution.kernel // 2,
    )


def _convolution(
    x: Node, weight: Doubles, bias: Doubles, stride: int = 1, padding: int = 0
) -> Node:
    """Convolve, with zeros around the input, and add a bias."""
    sides = [padding, padding]
    convolved = ops.convolution(x, _constant(weight), [stride, stride], sides, sides, [1, 1])
    return ops.add(convolved, _constant(bias.reshape(1, -1, 1, 1)))


def _enlarging_convolution(x: Node, skip: Node | None, weight: Doubles, bias: Doubles) -> Node:
    """Enlarge by nearest neighbours, join with other channels, pad by reflection, convolve.

    `skip` holds the other channels, at twice the size.
    """
    channels = x.get_output_partial_shape(0)[1].get_length()
    sums = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=np.float64)
    enlarging = np.einsum("ay,oiyx,bx->ioab", sums, weight[:, :channels], sums)
    enlarged = ops.convolution_backprop_data(
        _padded(x, "edge"),
        _constant(enlarging),
        strides=[2, 2],
        pads_begin=[3, 3],
        pads_end=[3, 3],
        dilations=[1, 1],
    )
    offset = _constant(bias.reshape(1, -1, 1, 1))
    if skip is None:
        return ops.add(enlarged, offset)
    joined = ops.convolution(
        _padded(skip, "reflect"), _constant(weight[:, channels:]), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    return ops.add(ops.add(joined, offset), enlarged)


def _head(x: Node, weight: Doubles, bias: Doubles) -> Node:
    """Convolve to one channel with reflected edges, a block of pixels at once."""
    step = _HEAD_STRIDE
    blocked = np.zeros((step * step, architecture.DECODER_CHANNELS[0], step + 2, step + 2))
    for row in range(step):
        for column in range(step):
            place = blocked[row * step + column]
            place[:, row : row + 3, column : column + 3] = weight[0]
    blocks = _convolution(_padded(x, "reflect"), blocked, np.repeat(bias, step * step), step)
    return ops.depth_to_space(blocks, "depth_first", step)


def _padded(x: Node, mode: str) -> Node:
    """Pad height and width by one pixel."""
    sides = np.array([0, 0, 1, 1])
    return ops.pad(x, sides, sides, mode)


def _entry(weights: Weights, name: str) -> tuple[Doubles, Doubles]:
    """Return weight and bias of a convolution."""
    return _doubles(weights, f"{name}.weight"), _doubles(weights, f"{name}.bias")


def _doubles(weights: Weights, name: str) -> Doubles:
    """Return an entry in float64, in which weights are put together."""
    return np.asarray(weights[name], dtype=np.float64)


def _constant(values: NDArray[Any]) -> Node:
    """Make a float32 constant."""
    return ops.constant(np.ascontiguousarray(values, dtype=np.float32))
