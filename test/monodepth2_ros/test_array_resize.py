# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The resize in NumPy: values against the definition in float64 and against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monodepth2_ros.array_resize import resize_pixels, triangle_weights

RNG = np.random.default_rng(11)


def definition(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Sum every input under every triangle, sample by sample."""
    result = image.astype(np.float64)
    for axis, size in ((1, width), (0, height)):
        count = result.shape[axis]
        scale = count / size
        support = max(1.0, scale)
        planes = []
        for output in range(size):
            centre = (output + 0.5) * scale
            taps = [max(0.0, 1.0 - abs(k + 0.5 - centre) / support) for k in range(count)]
            planes.append(np.tensordot(taps, result, (0, axis)) / sum(taps))
        result = np.stack(planes, axis=axis)
    return result


# Whole and broken ratios, one side kept, enlarged, larger than one product may be, one pixel.
SIZES = [
    ((48, 64), (32, 20)),
    ((37, 53), (19, 31)),
    ((40, 30), (40, 12)),
    ((40, 30), (9, 30)),
    ((9, 13), (40, 64)),
    ((64, 9), (7, 30)),
    ((21, 700), (5, 690)),
    ((1, 1), (3, 5)),
    ((5, 7), (1, 1)),
    *(
        (tuple(RNG.integers(1, 90, 2).tolist()), tuple(RNG.integers(1, 70, 2).tolist()))
        for _ in range(20)
    ),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_values_are_those_of_the_definition(before, after):
    image = RNG.integers(0, 256, (*before, 3), dtype=np.uint8)
    resized = resize_pixels(image, after[1], after[0])
    assert resized.shape == (*after, 3) and resized.dtype == np.uint8
    error = np.abs(resized - definition(image, after[1], after[0]))
    assert error.max() <= 1.0 + 1e-3  # rounded twice
    assert error.mean() <= 0.4
    pillow = Image.fromarray(image).resize((after[1], after[0]), Image.Resampling.BILINEAR)
    assert np.abs(resized.astype(int) - np.asarray(pillow)).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_an_even_image_stays_as_it_is(level):
    image = np.full((101, 203, 3), level, np.uint8)
    assert (resize_pixels(image, 64, 33) == level).all()
    assert (resize_pixels(image, 640, 333) == level).all()


def test_a_window_of_a_read_only_image_is_taken_as_its_copy_is():
    image = RNG.integers(0, 256, (80, 90, 3), dtype=np.uint8)
    image.flags.writeable = False
    window = image[7:71, 11:83]
    expected = resize_pixels(np.ascontiguousarray(window), 30, 20)
    np.testing.assert_array_equal(resize_pixels(window, 30, 20), expected)


def test_an_image_that_needs_many_products_agrees_with_pillow():
    image = RNG.integers(0, 256, (700, 1300, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(image).resize((160, 96), Image.Resampling.BILINEAR))
    assert np.abs(resize_pixels(image, 160, 96).astype(int) - pillow).max() <= 1


@pytest.mark.parametrize(("inputs", "outputs"), [(10, 4), (7, 7), (3, 11), (1, 5), (5, 1)])
def test_weights_sum_to_one_inside_their_bounds(inputs, outputs):
    weights, begins, ends = triangle_weights(inputs, outputs)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    for row, begin, end in zip(weights, begins, ends, strict=True):
        assert end > begin and not row[:begin].any() and not row[end:].any()
