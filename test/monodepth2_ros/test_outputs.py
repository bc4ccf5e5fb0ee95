# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Outputs are one description with two homes: NumPy arrays on a CPU, torch tensors on a GPU."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.coloring import COLOR_MAPS
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.outputs import make_outputs
from monodepth2_ros.preprocessing import crop_box, prepare_image, prepare_images, resize_image

OUTPUTS = ("depth", "color", "points")
CROP = (0.05, 0.25, 0.1, 0.0)

CASES = [
    OutputOptions(output_size=size, depth_encoding=encoding, points_stride=stride, **ranges)
    for size, encoding, stride, ranges in itertools.product(
        ("network", "image"),
        ("32FC1", "16UC1"),
        (1, 3),
        (
            {},
            {"scale": 2.5, "min_range": 1.0, "max_range": 7.0},
            {"points_max_range": 3.0, "points_edge_filter": 0.08},
            {"color_range": (0.4, 9.0), "color_map": "turbo", "scale": 30.0},
        ),
    )
]


def sigmoid_and_pixels(width, height, image_width, image_height, seed):
    """A disparity with steps and slopes, and an image."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(-3.0, 1.0, (4, 5)).repeat(-(-height // 4), 0)
    coarse = coarse.repeat(-(-width // 5), 1)[:height, :width]
    slope = np.linspace(0.0, 0.5, width)
    sigmoid = 1.0 / (1.0 + np.exp(-(coarse + slope)))
    pixels = generator.integers(0, 256, (image_height, image_width, 3), np.uint8)
    return sigmoid.astype(np.float32), pixels


def compute(sigmoid, pixels, options, limits, as_array):
    """Run make_outputs with arrays or tensors; give arrays."""
    metadata = CheckpointMetadata(18, sigmoid.shape[1], sigmoid.shape[0], scale=1.2)
    height, width = pixels.shape[:2]
    camera = PinholeCamera(width, height, 0.9 * width, 0.95 * width, 0.48 * width, 0.52 * height)
    box = crop_box(width, height, CROP)
    colors = pixels
    if options.output_size == "network":
        camera = camera.cropped(*box).resized(metadata.width, metadata.height)
        colors = prepare_image(pixels, CROP, metadata.width, metadata.height)
    results = make_outputs(
        as_array(sigmoid), as_array(colors), box, camera, limits, metadata, options, OUTPUTS
    )
    return {name: np.asarray(result) for name, result in results.items()}


def as_tensor(array):
    return torch.from_numpy(np.array(array))


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("sizes", [(64, 64, 90, 75), (96, 64, 131, 97)])
def test_arrays_and_tensors_give_the_same(options, sizes):
    limits, tensor_limits = np.full(2, np.nan), torch.full((2,), torch.nan, dtype=torch.float64)
    for seed in range(2):  # the second frame's colours depend on the first's
        sigmoid, pixels = sigmoid_and_pixels(*sizes, seed)
        actual = compute(sigmoid, pixels, options, limits, np.asarray)
        expected = compute(sigmoid, pixels, options, tensor_limits, as_tensor)
        for name in OUTPUTS:
            assert actual[name].dtype == expected[name].dtype, name
            assert actual[name].shape == expected[name].shape, name
        known = np.isfinite(expected["depth"]) & (expected["depth"] > 0)
        assert known.any()
        if options.depth_encoding == "16UC1":
            difference = actual["depth"].astype(int) - expected["depth"].astype(int)
            assert np.abs(difference).max() <= 1
        else:
            np.testing.assert_array_equal(np.isfinite(actual["depth"]), known)
            np.testing.assert_allclose(actual["depth"], expected["depth"], rtol=1e-5)
        difference = actual["color"].astype(int) - expected["color"].astype(int)
        assert (np.abs(difference).max(axis=-1) > 4).mean() < 1e-3  # a level's rounding
        points, wanted = actual["points"], expected["points"]
        same = np.isfinite(points[..., 2]) == np.isfinite(wanted[..., 2])
        assert same.mean() > 0.999  # but for rounding at a threshold
        np.testing.assert_allclose(points[same][:, :3], wanted[same][:, :3], rtol=1e-5, atol=1e-6)
        packed, wanted_packed = (
            np.ascontiguousarray(p[..., 3]).view(np.int32) for p in (points, wanted)
        )
        np.testing.assert_array_equal(packed, wanted_packed)
    np.testing.assert_allclose(limits, tensor_limits.numpy(), rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_every_colour_map_is_the_same_for_arrays(color_map):
    options = OutputOptions(color_map=color_map, max_range=0.5)
    sigmoid, pixels = sigmoid_and_pixels(64, 64, 64, 64, 3)
    actual = compute(sigmoid, pixels, options, np.full(2, np.nan), np.asarray)["color"]
    start = torch.full((2,), torch.nan, dtype=torch.float64)
    expected = compute(sigmoid, pixels, options, start, as_tensor)["color"]
    difference = np.abs(actual.astype(int) - expected.astype(int)).max(axis=-1)
    assert (difference > 4).mean() < 1e-3
    unknown = ~np.isfinite(
        compute(sigmoid, pixels, options, np.full(2, np.nan), np.asarray)["depth"]
    )
    assert unknown.any() and (actual[unknown] == 0).all()


def test_a_scene_without_depth_is_black_in_both():
    options = OutputOptions(max_range=1e-3)
    sigmoid, pixels = sigmoid_and_pixels(64, 64, 64, 64, 3)
    for as_array, start in (
        (np.asarray, np.full(2, np.nan)),
        (as_tensor, torch.full((2,), torch.nan, dtype=torch.float64)),
    ):
        found = compute(sigmoid, pixels, options, start, as_array)
        assert not found["color"].any() and np.isnan(found["depth"]).all()
        assert np.isnan(found["points"][..., :3]).all()


@pytest.mark.parametrize(
    ("source", "target"),
    [((480, 640), (192, 640)), ((97, 131), (64, 64)), ((64, 64), (128, 96)), ((64, 96), (64, 96))],
)
def test_pixels_are_resized_alike(source, target):
    image = np.random.default_rng(5).integers(0, 256, (*source, 3), np.uint8)
    height, width = target
    array = resize_image(image, width, height)
    tensor = resize_image(torch.from_numpy(image), width, height).numpy()
    difference = np.abs(array.astype(int) - tensor.astype(int))
    assert array.shape == tensor.shape and array.dtype == np.uint8
    assert difference.max() <= 1 and difference.mean() < 0.3
    crop = (0.1, 0.0, 0.2, 0.3)
    several = prepare_images(np.stack([image, 255 - image]), crop, width, height)
    np.testing.assert_array_equal(several[1], prepare_image(255 - image, crop, width, height))


def test_the_cases_differ():
    assert len({dataclasses.astuple(options) for options in CASES}) == len(CASES) == 32
