# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras against closed forms: planes seen through them, and the models' own equations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from monodepth2_ros.camera import (
    Calibration,
    PinholeCamera,
    RegionOfInterest,
    turn_direction,
    turn_image,
)
from monodepth2_ros.point_cloud import pack_points

FULL = PinholeCamera(1280, 960, 900.0, 905.0, 652.3, 470.8)

# A tilted plane n · X = d in the camera's frame.
NORMAL = np.array([0.2, -0.6, 0.77]) / np.linalg.norm([0.2, -0.6, 0.77])
DISTANCE = 4.0


def plane_depth(rays: np.ndarray) -> np.ndarray:
    """Depth of the plane along rays with z = 1."""
    return DISTANCE / (rays @ NORMAL)


def true_rays(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rays through positions of the full image, by the definition of a pinhole."""
    u, v = np.meshgrid(x, y)
    return np.stack([(u - FULL.cx) / FULL.fx, (v - FULL.cy) / FULL.fy, np.ones_like(u)], axis=-1)


@pytest.mark.parametrize(
    ("name", "camera", "x", "y"),
    [
        ("full", FULL, np.arange(1280.0), np.arange(960.0)),
        (
            "cropped",
            FULL.cropped(100, 52, 640, 480),
            100 + np.arange(640.0),
            52 + np.arange(480.0),
        ),
        # Pixel i of an image resized by s covers the full image around (i + 0.5) / s − 0.5.
        (
            "resized",
            FULL.resized(320, 192),
            (np.arange(320.0) + 0.5) * 4 - 0.5,
            (np.arange(192.0) + 0.5) * 5 - 0.5,
        ),
        (
            "binned",
            FULL.binned(2, 4),
            (np.arange(640.0) + 0.5) * 2 - 0.5,
            (np.arange(240.0) + 0.5) * 4 - 0.5,
        ),
        ("subsampled", FULL.subsampled(3), np.arange(0.0, 1280, 3), np.arange(0.0, 960, 3)),
        (
            "all of them",
            FULL.cropped(64, 32, 1200, 900).binned(2, 2).resized(300, 150).subsampled(2),
            64 + ((np.arange(0.0, 300, 2) + 0.5) * 4 - 0.5),
            32 + ((np.arange(0.0, 150, 2) + 0.5) * 6 - 0.5),
        ),
        ("mirrored", FULL.mirrored(), np.arange(1279.0, -1, -1), np.arange(960.0)),
    ],
)
def test_tilted_plane_is_reconstructed(name, camera, x, y):
    rays = true_rays(x, y)
    depth = plane_depth(rays)
    image = torch.zeros(*depth.shape, 3, dtype=torch.uint8)
    points = pack_points(torch.from_numpy(depth.astype(np.float32)), image, camera).numpy()
    expected = rays * depth[..., None]
    if name == "mirrored":
        expected[..., 0] *= -1
    np.testing.assert_allclose(points[..., :3], expected, rtol=0, atol=1e-4)


def test_matrices():
    again = PinholeCamera.from_matrix(FULL.matrix, 1280, 960)
    assert again == FULL
    assert PinholeCamera.from_matrix(FULL.matrix.ravel(), 1280, 960) == FULL
    assert PinholeCamera.from_matrix(FULL.matrix4, 1280, 960) == FULL
    assert FULL.mirrored().mirrored() == FULL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "0x960 is not positive"),
        ({"cx": math.nan}, "not finite"),
        ({"fx": 0.0}, "must be positive"),
    ],
)
def test_unusable_cameras_are_refused(change, message):
    values = {"width": 1280, "height": 960, "fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, **change}
    with pytest.raises(ValueError, match=message):
        PinholeCamera(**values)


def test_crop_outside_is_refused():
    with pytest.raises(ValueError, match=r"1000x10 at \(300, 0\) is not inside the 1280x960"):
        FULL.cropped(300, 0, 1000, 10)


def camera_info(**changes):
    """A camera_info by its fields, as rclpy and rosbags have it."""
    values = {
        "width": 1280,
        "height": 960,
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": [900.0, 0.0, 652.3, 0.0, 905.0, 470.8, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [800.0, 0.0, 640.0, -96.0, 0.0, 810.0, 480.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return SimpleNamespace(**{**values, **changes})


def test_camera_info_conventions():
    assert PinholeCamera.from_camera_info(camera_info(), rectified=False) == FULL
    rectified = PinholeCamera.from_camera_info(camera_info())
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (800.0, 810.0, 640.0, 480.0)
    # Drivers that leave P empty mean a camera without rectification.
    assert PinholeCamera.from_camera_info(camera_info(p=[0.0] * 12)) == FULL
    calibration = Calibration.from_camera_info(camera_info())
    assert calibration.baseline == pytest.approx(0.12)
    assert not calibration.is_distorted
    with pytest.raises(ValueError, match=r"uncalibrated \(K\[0\] is 0\)"):
        PinholeCamera.from_camera_info(camera_info(k=[0.0] * 9, p=[0.0] * 12))
    # P alone is enough for rectified images, and for raw ones without distortion.
    alone = PinholeCamera.from_camera_info(camera_info(k=[0.0] * 9), rectified=False)
    assert alone == rectified
    distorted = Calibration.from_camera_info(camera_info(k=[0.0] * 9, d=[0.1, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="K is empty"):
        distorted.rectification_maps()


def test_ros1_spelling():
    info = camera_info()
    old = SimpleNamespace(
        **{{"d": "D", "k": "K", "r": "R", "p": "P"}.get(k, k): v for k, v in vars(info).items()}
    )
    assert Calibration.from_camera_info(old) == Calibration.from_camera_info(info)


def test_region_of_interest_and_binning_are_of_the_full_sensor():
    roi = SimpleNamespace(x_offset=200, y_offset=100, width=800, height=600)
    info = camera_info(roi=roi, binning_x=2, binning_y=2)
    camera = PinholeCamera.from_camera_info(info, rectified=False)
    assert (camera.width, camera.height) == (400, 300)
    # Delivered pixel i averages the sensor's 200 + 2 i and 201 + 2 i.
    sensor = 200.5 + 2 * np.arange(400)
    np.testing.assert_allclose(
        (np.arange(400) - camera.cx) / camera.fx, (sensor - 652.3) / 900.0, atol=1e-12
    )


def plumb_bob(x, y, d):
    """Brown's model, written out (with the rational denominators when there are eight)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*d, *[0.0] * (8 - len(d)))
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def equidistant(x, y, d):
    """Kannala and Brandt's model as OpenCV's fisheye module and ROS define it."""
    r = np.sqrt(x * x + y * y) + 1e-15
    t = np.arctan(r)
    distorted = t * (1 + d[0] * t**2 + d[1] * t**4 + d[2] * t**6 + d[3] * t**8)
    return x * distorted / r, y * distorted / r


@pytest.mark.parametrize(
    ("model", "d", "distort"),
    [
        ("plumb_bob", (-0.28, 0.07, 0.001, -0.002, 0.01), plumb_bob),
        (
            "rational_polynomial",
            (0.3, -0.1, 0.0005, -0.0003, 0.02, 0.6, -0.05, 0.01),
            plumb_bob,
        ),
        ("equidistant", (-0.02, 0.01, -0.004, 0.001), equidistant),
    ],
)
def test_rectification_maps_follow_the_models(model, d, distort):
    calibration = Calibration(
        1280,
        960,
        tuple(FULL.matrix.ravel()),
        d,
        model,
        p=(700.0, 0.0, 640.0, 0.0, 0.0, 700.0, 480.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        roi=RegionOfInterest(100, 60, 1000, 800),
        binning=(2, 2),
    )
    target = calibration.camera(rectified=True)
    raw = calibration.camera(rectified=False)
    coarse, fine = calibration.rectification_maps()
    assert coarse.shape == (400, 500, 2)
    # OpenCV's fixed point: whole pixels, and an index into a 32 × 32 table of fractions.
    fraction = np.stack([fine & 31, fine >> 5], axis=-1) / 32.0
    actual = coarse + fraction
    u, v = np.meshgrid(np.arange(500.0), np.arange(400.0))
    x, y = distort((u - target.cx) / target.fx, (v - target.cy) / target.fy, d)
    expected = np.stack([raw.fx * x + raw.cx, raw.fy * y + raw.cy], axis=-1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=0.5 / 32 + 1e-3)


def test_rectification_straightens_a_line():
    calibration = Calibration(
        640, 480, (400.0, 0, 320, 0, 400, 240, 0, 0, 1), (-0.3, 0.1, 0, 0, 0), "plumb_bob"
    )
    # Draw the line x = 0.5 of a wall, bent by the lens, into the raw image.
    raw = np.zeros((480, 640), np.uint8)
    y = np.linspace(-0.5, 0.5, 4000)
    u, v = plumb_bob(np.full_like(y, 0.5), y, calibration.d)
    raw[(400 * v + 240).round().astype(int), (400 * u + 320).round().astype(int)] = 255
    rectified = cv2.remap(raw, *calibration.rectification_maps(), cv2.INTER_LINEAR)
    rows, columns = np.nonzero(rectified[60:420] > 60)
    assert len(set(rows)) > 340
    assert np.all(np.abs(columns - 520) <= 1.5)


def test_unknown_distortion_is_refused():
    bad = Calibration(640, 480, tuple(FULL.matrix.ravel()), (0.1,) * 5, "thin_prism")
    with pytest.raises(ValueError, match="'thin_prism' is unknown.*plumb_bob"):
        bad.rectification_maps()
    short = Calibration(640, 480, tuple(FULL.matrix.ravel()), (0.1,) * 3, "equidistant")
    with pytest.raises(ValueError, match="equidistant with 3 coefficients; it takes 4"):
        short.rectification_maps()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_an_image_is_turned_with_its_camera(degrees):
    """A point's pixel moves with the image, and its ray with the frame."""
    camera = PinholeCamera(64, 48, 50.0, 55.0, 30.0, 20.0)
    x, y, z = 0.4, -0.2, 2.0
    u, v = 30.0 + 50.0 * x / z, 20.0 + 55.0 * y / z  # 40, 14.5
    image = np.zeros((48, 64), np.uint8)
    image[14:16, 40] = 255  # its centre is at (40, 14.5)
    turned, target = turn_image(image, degrees), camera.turned(degrees)
    assert turned.shape == (target.height, target.width) and (u, v) == (40.0, 14.5)
    rows, columns = np.nonzero(turned)
    tx, ty = turn_direction(x, y, degrees)
    assert columns.mean() == pytest.approx(target.cx + target.fx * tx / z)
    assert rows.mean() == pytest.approx(target.cy + target.fy * ty / z)
    back = target.turned(-degrees % 360)
    assert back == camera


@pytest.mark.parametrize("count", [0, 3, 4, 5, 6, 8])
def test_distortion_of_zeros_is_none_however_many_there_are(count):
    k = (50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0)
    calibration = Calibration(64, 48, k, (0.0,) * count, "plumb_bob")
    maps = calibration.rectification_maps()
    image = np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)
    np.testing.assert_array_equal(cv2.remap(image, *maps, cv2.INTER_LINEAR), image)
