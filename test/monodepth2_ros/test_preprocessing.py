# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Crop and resize: positions against closed forms, values against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import (
    crop_box,
    prepare_image,
    remaining_crop,
    resize_image,
    sees_less,
    to_network_input,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("size", [(160, 96), (320, 192), (1000, 500)])
def test_resize_is_pillows_antialiased_bilinear(size):
    image = RNG.integers(0, 255, (240, 400, 3), dtype=np.uint8)
    resized = resize_image(torch.from_numpy(image), *size).numpy()
    expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    difference = np.abs(resized.astype(int) - expected)
    assert difference.max() <= 2  # both round twice, in fixed point
    assert difference.mean() <= 0.3


def test_resize_does_not_alias():
    # One-pixel stripes average to grey; without antialiasing they would beat.
    stripes = torch.zeros(96, 640, 3, dtype=torch.uint8)
    stripes[:, ::2] = 255
    resized = resize_image(stripes, 200, 32).int()
    assert int((resized - 127).abs().max()) <= 32


def test_camera_follows_crop_and_resize():
    # A blurred dot at a known place must be found where the camera says its ray ends.
    camera = PinholeCamera(400, 300, 250.0, 250.0, 199.5, 149.5)
    crop = (0.1, 0.2, 0.05, 0.0)
    y, x = np.mgrid[0:300, 0:400]
    for u, v in [(120.0, 100.0), (333.0, 250.0)]:
        dot = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 100.0)
        image = torch.from_numpy(np.repeat(dot.astype(np.uint8)[..., None], 3, axis=-1))
        resized = prepare_image(image, crop, 160, 96).numpy()[..., 0].astype(float)
        rows, columns = np.mgrid[0:96, 0:160]
        found = (resized * columns).sum() / resized.sum(), (resized * rows).sum() / resized.sum()
        seen = camera.cropped(*crop_box(400, 300, crop)).resized(160, 96)
        expected = (
            (u - camera.cx) / camera.fx * seen.fx + seen.cx,
            (v - camera.cy) / camera.fy * seen.fy + seen.cy,
        )
        np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize(
    ("size", "crop", "expected"),
    [
        ((640, 480), (0, 0, 0, 0), (0, 0, 640, 480)),
        ((640, 480), (0.1, 0.25, 0.2, 0.25), (64, 120, 448, 240)),
        ((1280, 960), (0.1, 0.25, 0.2, 0.25), (128, 240, 896, 480)),
        ((3, 3), (0.4, 0, 0.4, 0), (1, 0, 1, 3)),
    ],
)
def test_crop_box(size, crop, expected):
    assert crop_box(*size, crop) == expected


@pytest.mark.parametrize("crop", [(0.5, 0, 0.5, 0), (-0.1, 0, 0, 0), (0, 0.9, 0, 0.2)])
def test_impossible_crops_are_refused(crop):
    with pytest.raises(ValueError, match="fractions to remove"):
        crop_box(640, 480, crop)


def test_network_input():
    image = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    values = to_network_input(image)
    assert values.shape == (3, 1, 1)
    torch.testing.assert_close(values.flatten(), torch.tensor([0.0, 0.2, 1.0]))
    assert to_network_input(torch.zeros(2, 4, 5, 3, dtype=torch.uint8)).shape == (2, 3, 4, 5)


@pytest.mark.gpu
def test_cuda_resizes_as_the_cpu_does():
    image = torch.from_numpy(RNG.integers(0, 255, (720, 1280, 3), dtype=np.uint8))
    cpu = resize_image(image, 640, 192)
    cuda = resize_image(image.cuda(), 640, 192).cpu()
    assert int((cpu.int() - cuda.int()).abs().max()) <= 1


def test_what_is_left_of_a_crop() -> None:
    none = (0.0, 0.0, 0.0, 0.0)
    bonnet = (0.0, 0.2, 0.0, 0.3)
    assert remaining_crop(none, bonnet) == bonnet
    assert remaining_crop(bonnet, bonnet) == none
    # Of 100 rows, 20 are gone and 30 more at the bottom: 10 of the 50 left at the top.
    assert remaining_crop(bonnet, (0.1, 0.3, 0.0, 0.3)) == pytest.approx((0.1, 0.2, 0.0, 0.0))
    assert remaining_crop(bonnet, none) == none
    assert sees_less(bonnet, none)
    assert not sees_less(none, bonnet)
    assert not sees_less(bonnet, (0.0, 0.2001, 0.0, 0.2999))
