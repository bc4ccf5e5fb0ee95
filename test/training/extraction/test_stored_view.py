# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stored images and the cameras that belong to them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import Calibration, PinholeCamera
from training.extraction.stored_view import (
    corner_size,
    make_view,
    stored_size,
    truth_from_points,
)

NO_CROP = (0.0, 0.0, 0.0, 0.0)
PLAIN = Calibration(width=320, height=240, k=(200.0, 0.0, 150.0, 0.0, 210.0, 110.0, 0.0, 0.0, 1.0))
DISTORTED = replace(
    PLAIN,
    d=(-0.25, 0.08, 0.001, -0.002, 0.0),
    distortion_model="plumb_bob",
    p=(190.0, 0.0, 155.0, 0.0, 0.0, 195.0, 118.0, 0.0, 0.0, 0.0, 1.0, 0.0),
)


def directions(calibration: Calibration) -> np.ndarray:
    """Return x/z and y/z of every pixel of the delivered image, (H, W, 2), by OpenCV's inverse."""
    columns, rows = np.meshgrid(np.arange(calibration.width), np.arange(calibration.height))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2).astype(np.float64)
    matrix = np.reshape(calibration.k, (3, 3))
    rays = cv2.undistortPoints(pixels, matrix, np.array(calibration.d or [0.0] * 5))
    return rays.reshape(calibration.height, calibration.width, 2)


def picture(calibration: Calibration) -> np.ndarray:
    """Return an image whose red tells x/z and whose green tells y/z."""
    coded = 128.0 + 120.0 * directions(calibration)
    image = np.zeros((*coded.shape[:2], 3), np.uint8)
    image[..., :2] = np.rint(coded).clip(0, 255)
    return image


@pytest.mark.parametrize("calibration", [PLAIN, DISTORTED], ids=["plain", "distorted"])
@pytest.mark.parametrize("crop", [NO_CROP, (0.1, 0.25, 0.05, 0.15)])
@pytest.mark.parametrize("size", [(128, 96), (160, 64), (320, 256)])
def test_the_camera_follows_the_image(
    calibration: Calibration, crop: tuple, size: tuple[int, int]
) -> None:
    view = make_view(calibration, False, "auto", crop, size)
    assert (view.maps is not None) == (calibration is DISTORTED)
    stored = view.image(view.rectified(picture(calibration))).astype(float)
    assert stored.shape == (size[1], size[0], 3)
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    camera = view.camera
    expected = np.stack(
        [
            128.0 + 120.0 * (columns - camera.cx) / camera.fx,
            128.0 + 120.0 * (rows - camera.cy) / camera.fy,
        ],
        axis=-1,
    )
    # Rectification leaves black corners.
    inside = (stored[..., :2].min(axis=-1) > 0).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((9, 9)), borderValue=0).astype(bool)
    assert inside.mean() > 0.6
    assert np.abs(stored[..., :2] - expected)[inside].max() < 1.6


@pytest.mark.parametrize("calibration", [PLAIN, DISTORTED], ids=["plain", "distorted"])
@pytest.mark.parametrize("crop", [NO_CROP, (0.1, 0.25, 0.05, 0.15)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_corner_image_shows_what_the_stored_one_shows(
    calibration: Calibration, crop: tuple, axis: int
) -> None:
    """Its camera is the stored one's, resized; by the direction that each pixel is seen in."""
    view = make_view(calibration, False, "auto", crop, (64, 32))
    width, height = 200, 150
    code = picture(calibration)[..., axis]
    rectified = view.rectified(np.repeat(code[..., None], 3, axis=2))
    copy = view.corner_image(rectified, (width, height)).astype(float)
    assert copy.shape == (height, width)
    camera = view.camera.resized(width, height)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    seen = ((columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy)[axis]
    inside = cv2.erode((copy > 0).astype(np.uint8), np.ones((9, 9)), borderValue=0).astype(bool)
    assert inside.mean() > 0.6
    assert np.abs(copy - (128.0 + 120.0 * seen))[inside].max() < 2.1


def test_copies_for_corners_are_at_most_640_wide_and_worth_it() -> None:
    assert corner_size([(1280, 720)], (192, 96)) == (640, 360)
    assert corner_size([(320, 240)], (192, 128)) == (320, 240)
    assert corner_size([(1280, 720)], (640, 352)) is None
    assert corner_size([(320, 240)], (288, 224)) is None
    assert corner_size([(1280, 720)], (192, 96), wanted=1000) == (1000, 562)
    assert corner_size([(320, 240)], (192, 128), wanted=1000) == (320, 240)
    assert corner_size([(1280, 720)], (192, 96), wanted=0) is None


def test_copies_for_corners_enlarge_no_camera() -> None:
    stored = (192, 128)
    # The smaller camera decides, whichever comes first; the first one's aspect is kept.
    assert corner_size([(640, 480), (320, 240)], stored) == (320, 240)
    assert corner_size([(320, 240), (640, 480)], stored) == (320, 240)
    assert corner_size([(640, 480), (640, 360)], stored) == (480, 360)
    assert corner_size([(640, 480), (200, 150)], stored) is None
    generator = np.random.default_rng(4)
    for _ in range(200):
        sources = [(int(w), int(h)) for w, h in generator.integers(100, 1500, (3, 2))]
        found = corner_size(sources, (64, 64))
        if found is not None:
            assert all(found[0] <= w and found[1] <= h for w, h in sources), sources


def test_what_is_rectified() -> None:
    def maps(calibration: Calibration, is_rectified: bool, rectify: str) -> bool:
        return make_view(calibration, is_rectified, rectify, NO_CROP, (64, 64)).maps is not None

    assert maps(DISTORTED, False, "auto")
    assert not maps(DISTORTED, True, "auto")
    assert not maps(PLAIN, False, "auto")
    assert not maps(DISTORTED, False, "off")
    assert maps(DISTORTED, True, "on")
    assert maps(PLAIN, False, "on")
    # R turns the cameras of a pair parallel, distorted or not.
    turn, _ = cv2.Rodrigues(np.array([0.0, 0.02, 0.0]))
    turned = replace(PLAIN, r=tuple(turn.reshape(-1).tolist()))
    assert maps(turned, False, "auto")
    assert not maps(turned, True, "auto")
    assert np.array_equal(make_view(turned, True, "auto", NO_CROP, (64, 64)).rotation, turn)
    assert np.array_equal(make_view(turned, False, "false", NO_CROP, (64, 64)).rotation, turn)
    # P describes what is rectified, K what is not.
    assert make_view(DISTORTED, True, "auto", NO_CROP, (64, 64)).source.fx == 190.0
    assert make_view(DISTORTED, False, "false", NO_CROP, (64, 64)).source.fx == 190.0
    other = replace(DISTORTED, d=())
    assert make_view(other, False, "auto", NO_CROP, (64, 64)).source.fx == 200.0


def test_black_borders_are_found() -> None:
    wide = replace(DISTORTED, p=(100.0, *DISTORTED.p[1:5], 100.0, *DISTORTED.p[6:]))
    view = make_view(wide, False, "auto", NO_CROP, (64, 64))
    assert view.empty_share() > 0.1
    assert make_view(wide, False, "auto", (0.4, 0.4, 0.4, 0.4), (64, 64)).empty_share() == 0.0
    assert make_view(PLAIN, False, "auto", NO_CROP, (64, 64)).empty_share() == 0.0


def test_wrong_sizes_and_intrinsics_are_refused() -> None:
    view = make_view(PLAIN, False, "auto", NO_CROP, (64, 64))
    with pytest.raises(ValueError, match="image of 160x120, but camera_info is for 320x240"):
        view.rectified(np.zeros((120, 160, 3), np.uint8))
    outside = replace(PLAIN, k=(200.0, 0.0, 700.0, 0.0, 200.0, 110.0, 0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match=r"principal point \(700.0, 110.0\) of the 320x240 image"):
        make_view(outside, False, "auto", NO_CROP)
    with pytest.raises(ValueError, match="uncalibrated"):
        make_view(replace(PLAIN, k=(0.0,) * 9), False, "auto", NO_CROP)
    with pytest.raises(ValueError, match="not finite"):
        make_view(replace(PLAIN, k=(float("nan"), *PLAIN.k[1:])), False, "auto", NO_CROP)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((1242, 375), (640, 192)),
        ((640, 480), (640, 480)),
        ((1280, 720), (640, 352)),
        ((320, 240), (256, 192)),
        ((540, 360), (480, 320)),
        ((20, 20), (32, 32)),
    ],
)
def test_the_stored_size_keeps_the_aspect(
    source: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert stored_size(*source) == expected


def test_a_wanted_size_is_taken() -> None:
    assert stored_size(1242, 375, 1024) == (1024, 320)
    assert stored_size(1242, 375, None, 96) == (320, 96)
    assert stored_size(1242, 375, 416, 128) == (416, 128)
    for wanted in ((100, None), (None, 0), (-32, None)):
        with pytest.raises(ValueError, match="give a multiple of 32"):
            stored_size(1242, 375, *wanted)


def test_depth_is_cropped_but_never_mixed() -> None:
    view = make_view(PLAIN, False, "auto", (0.25, 0.0, 0.25, 0.5), (160, 96))
    depth = np.full((240, 320), 1.0, np.float32)
    depth[:, 160:] = 50.0
    depth[30, 100] = np.nan
    truth = view.depth(depth, True, None)
    assert truth.shape == (120, 160)
    assert np.array_equal(truth, depth[:120, 80:240], equal_nan=True)
    assert (view.truth_camera.width, view.truth_camera.height) == (160, 120)
    small = view.depth(depth, True, (37, 29))
    assert set(small[np.isfinite(small)].tolist()) == {1.0, 50.0}
    # A depth image of half the size covers the same view.
    half = view.depth(depth[::2, ::2], True, None)
    assert half.shape == (60, 80)
    assert set(half[16:, :40].flat) == {1.0}
    assert set(half[:, 40:].flat) == {50.0}


def test_depth_much_larger_than_the_image_is_thinned_out() -> None:
    view = make_view(PLAIN, False, "auto", NO_CROP, (32, 32))
    assert view.depth(np.ones((240, 320), np.float32), True, None).shape == (48, 64)
    assert (view.truth_camera.width, view.truth_camera.height) == (64, 48)


def test_depth_is_rectified_with_the_image() -> None:
    view = make_view(DISTORTED, False, "auto", NO_CROP, (160, 96))
    # Depth that tells the direction: 2 + x/z, at the distorted pixels.
    depth = (2.0 + directions(DISTORTED)[..., 0]).astype(np.float32)
    truth = view.depth(depth, False, None)
    columns = np.arange(320)
    expected = 2.0 + (columns - view.source.cx) / view.source.fx
    known = np.isfinite(truth)
    assert known.mean() > 0.8
    # Half a pixel, which the lens stretches at the corners, and no shift on average.
    pixels = (truth - expected)[known] * view.source.fx
    assert np.abs(pixels).max() < 0.8
    assert abs(pixels.mean()) < 0.02
    assert view.depth(depth, True, None) == pytest.approx(depth)
    with pytest.raises(ValueError, match="160x120 cannot be rectified"):
        view.depth(depth[::2, ::2], False, None)


def test_points_are_projected_nearest_first() -> None:
    camera = PinholeCamera(8, 6, 4.0, 4.0, 3.5, 2.5)
    points = np.array(
        [
            [0.0, 0.0, 2.0],  # at (3.5, 2.5), rounds to (4, 2) as rint goes to even
            [0.1, -0.1, 1.6],  # the same pixel, nearer
            [-0.5, 0.5, 1.0],  # (1.5, 4.5) → (2, 4)
            [0.0, 0.0, -1.0],  # behind
            [9.0, 0.0, 1.0],  # outside
            [np.nan, 0.0, 1.0],
        ]
    )
    depth = truth_from_points(points, camera)
    assert depth.dtype == np.float32
    assert np.isfinite(depth).sum() == 2
    assert depth[2, 4] == np.float32(1.6)
    assert depth[4, 2] == 1.0
    assert not np.isfinite(truth_from_points(points[:0], camera)).any()
