# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Antialiased resize of images in NumPy: two products with banded matrices, in blocks.

A triangle filter as wide as the reduction asks for is a matrix with a few numbers in each row. A
block of output rows needs only the input rows under its filters, so that nearly all zeros are left
out, and each block is converted to floating point while it is in the processor's cache. Columns are
resized as rows of the transposed image. That takes two thirds of the time of Pillow's loops over
pixels.

Pillow and torch resize the columns first and round to bytes in between. So does this, because a
network sees a tenth of the samples differ by one level otherwise, which changes depth by 0.1 %.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

# Output rows of a block: fewer convert pixels twice, more multiply zeros.
_BLOCK = 4

# Multiply-adds of a product, at most. The linear algebra behind NumPy starts threads for larger
# ones, which wait for each other and for those of the network.
_MOST_WORK = 250_000

# Halves are rounded up, as in Pillow and torch, also where the weights' rounding makes them less.
_HALF = np.float32(0.5 + 1e-4)

# A block's first and last output, its first and last input, and the weights between them.
_Block = tuple[int, int, int, int, NDArray[np.float32]]


def resize_pixels(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize an image with antialiasing.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        May be a window of a larger one.
    width, height : int

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        Bilinear with a triangle filter as wide as the reduction asks for, rounded to the nearest.
    """
    if image.shape[1] != width:
        image = _transposed(_resize_rows(_transposed(image), width))
    if image.shape[0] != height:
        image = _resize_rows(image, height)
    return np.ascontiguousarray(image)


def _transposed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exchange rows and columns, in memory, too."""
    return np.asarray(cv2.transpose(image), dtype=np.uint8)


def _resize_rows(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Resize the first axis."""
    columns, channels = image.shape[1:]
    resized = np.empty((height, columns * channels), np.float32)
    for first, last, begin, end, weights in _blocks(image.shape[0], height):
        step = max(1, _MOST_WORK // (weights.size * channels))
        for left in range(0, columns, step):
            window = image[begin:end, left : left + step].astype(np.float32)
            inside = slice(left * channels, (left + step) * channels)
            np.matmul(weights, window.reshape(end - begin, -1), out=resized[first:last, inside])
    resized += _HALF
    return resized.astype(np.uint8).reshape(height, columns, channels)


# A node resizes images of its few cameras to one size.
@functools.lru_cache(maxsize=32)
def _blocks(inputs: int, outputs: int) -> tuple[_Block, ...]:
    """Return :func:`triangle_weights` in blocks."""
    weights, begins, ends = triangle_weights(inputs, outputs)
    blocks = []
    for first in range(0, outputs, _BLOCK):
        last = min(outputs, first + _BLOCK)
        begin, end = int(begins[first]), int(ends[last - 1])
        block = np.ascontiguousarray(weights[first:last, begin:end], np.float32)
        blocks.append((first, last, begin, end, block))
    return tuple(blocks)


def triangle_weights(
    inputs: int, outputs: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the weights of inputs in outputs, and which inputs have any.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of samples before and after.

    Returns
    -------
    weights : ndarray, shape (outputs, inputs), float64
        Triangles around the outputs' centres, as wide as two outputs or, for an enlargement, two
        inputs; their sum is 1 at the borders, too.
    begins, ends : ndarray, shape (outputs,), int64
        The inputs under each triangle; neither falls from one output to the next.
    """
    scale = inputs / outputs
    support = max(scale, 1.0)
    centres = (np.arange(outputs) + 0.5) * scale
    begins = np.maximum(0, np.floor(centres - support + 0.5)).astype(np.int64)
    ends = np.minimum(inputs, np.floor(centres + support + 0.5)).astype(np.int64)
    distances = np.abs(np.arange(inputs) + 0.5 - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distances)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, begins, ends
