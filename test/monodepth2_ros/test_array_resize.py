# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The two ways to resize arrays: values against the definition in float64, Pillow and torch."""

from __future__ import annotations

import concurrent.futures
import sys
import types

import numpy as np
import pytest
from PIL import Image

from monodepth2_ros import array_resize, compiled_resize, preprocessing
from monodepth2_ros.array_resize import triangle_weights

RNG = np.random.default_rng(11)


@pytest.fixture(params=[array_resize, compiled_resize], ids=["NumPy", "compiled"])
def resize_pixels(request):
    """Return one of the two functions."""
    if request.param is compiled_resize and not compiled_resize.is_available():
        pytest.skip("cykooz-resizer is not installed")
    return request.param.resize_pixels


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
def test_values_are_those_of_the_definition(before, after, resize_pixels):
    image = np.random.default_rng(before).integers(0, 256, (*before, 3), dtype=np.uint8)
    resized = resize_pixels(image, after[1], after[0])
    assert resized.shape == (*after, 3) and resized.dtype == np.uint8
    error = np.abs(resized - definition(image, after[1], after[0]))
    assert error.max() <= 1.0 + 1e-3  # rounded twice
    assert error.mean() <= 0.4
    pillow = Image.fromarray(image).resize((after[1], after[0]), Image.Resampling.BILINEAR)
    assert np.abs(resized.astype(int) - np.asarray(pillow)).max() <= 1


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_an_even_image_stays_as_it_is(level, resize_pixels):
    image = np.full((101, 203, 3), level, np.uint8)
    assert (resize_pixels(image, 64, 33) == level).all()
    assert (resize_pixels(image, 640, 333) == level).all()


def test_a_window_of_a_read_only_image_is_taken_as_its_copy_is(resize_pixels):
    image = RNG.integers(0, 256, (80, 90, 3), dtype=np.uint8)
    image.flags.writeable = False
    window = image[7:71, 11:83]
    expected = resize_pixels(np.ascontiguousarray(window), 30, 20)
    np.testing.assert_array_equal(resize_pixels(window, 30, 20), expected)


def test_an_image_that_needs_many_products_agrees_with_pillow(resize_pixels):
    image = RNG.integers(0, 256, (700, 1300, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(image).resize((160, 96), Image.Resampling.BILINEAR))
    assert np.abs(resize_pixels(image, 160, 96).astype(int) - pillow).max() <= 1


@pytest.mark.parametrize(("before", "after"), [*SIZES, ((240, 320), (96, 160))])
def test_the_compiled_way_gives_the_bits_of_torch(before, after):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not compiled_resize.is_available():
        pytest.skip("cykooz-resizer is not installed")
    image = RNG.integers(0, 256, (*before, 3), dtype=np.uint8)
    resized = compiled_resize.resize_pixels(image, after[1], after[0])
    expected = preprocessing.resize_image(torch.from_numpy(image), after[1], after[0])
    np.testing.assert_array_equal(resized, expected.numpy())


def test_several_threads_may_resize_at_the_same_time(resize_pixels):
    image = RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    expected = resize_pixels(image, 96, 64)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: resize_pixels(image, 96, 64), range(40)))
    assert all((one == expected).all() for one in made)


@pytest.mark.parametrize("library", [None, types.SimpleNamespace()], ids=["none", "another"])
def test_without_the_library_numpy_resizes(monkeypatch, library):
    monkeypatch.setitem(sys.modules, "cykooz_resizer", library)
    compiled_resize._library.cache_clear()
    try:
        assert not compiled_resize.is_available()
        image = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        resized = preprocessing.resize_image(image, 32, 20)
        np.testing.assert_array_equal(resized, array_resize.resize_pixels(image, 32, 20))
    finally:
        compiled_resize._library.cache_clear()


@pytest.mark.parametrize(("inputs", "outputs"), [(10, 4), (7, 7), (3, 11), (1, 5), (5, 1)])
def test_weights_sum_to_one_inside_their_bounds(inputs, outputs):
    weights, begins, ends = triangle_weights(inputs, outputs)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    for row, begin, end in zip(weights, begins, ends, strict=True):
        assert end > begin and not row[:begin].any() and not row[end:].any()
