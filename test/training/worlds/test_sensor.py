# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model of real cameras' pictures."""

from __future__ import annotations

import numpy as np
import pytest

from training.worlds.sensor import Sensor, draw_sensor, expose


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (8, 12, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def test_the_plain_sensor_changes_nothing(picture):
    np.testing.assert_array_equal(expose(picture, Sensor(seed=4), 2), picture)


def test_pictures_follow_the_seed_and_the_number_of_the_frame(picture):
    sensor = Sensor(shot_noise=0.05, read_noise=0.01, seed=3)
    first = expose(picture, sensor, 5)
    np.testing.assert_array_equal(first, expose(picture, sensor, 5))
    assert (first != expose(picture, sensor, 6)).mean() > 0.3
    assert first.shape == picture.shape and first.dtype == np.uint8


@pytest.mark.parametrize("seed", range(12))
def test_any_camera_shows_the_same_scene(picture, seed):
    shown = expose(picture, draw_sensor(seed), 1)
    assert shown.shape == picture.shape and shown.dtype == np.uint8
    assert 30.0 < shown.mean() < 225.0
    grey, other = (array.mean(axis=-1).ravel() for array in (picture, shown))
    assert np.corrcoef(grey, other)[0, 1] > 0.75


def test_cameras_differ(picture):
    shown = [expose(picture, draw_sensor(seed)).mean(axis=(0, 1)) for seed in range(30)]
    assert np.std([color.mean() for color in shown]) > 12.0
    assert np.std([color[0] / color[2] for color in shown]) > 0.08


def test_the_exposure_doubles_linear_light():
    grey = np.full((16, 16, 3), 80, dtype=np.uint8)
    brighter = expose(grey, Sensor(exposure=1.0))
    expected = 255.0 * (2.0 * (80.0 / 255.0) ** 2.2) ** (1.0 / 2.2)
    assert np.abs(brighter.astype(float) - expected).max() <= 1.0


@pytest.mark.parametrize("value", [20, 60, 200])
def test_full_metering_reaches_its_target(value):
    grey = np.full((16, 16, 3), value, dtype=np.uint8)
    shown = expose(grey, Sensor(metering=1.0, target=0.2))
    wanted = 255.0 * 0.2 ** (1.0 / 2.2)
    # It does not go further than two and a half stops.
    if value == 20:
        wanted = 255.0 * (2.0**2.5 * (20.0 / 255.0) ** 2.2) ** (1.0 / 2.2)
    assert np.abs(shown.astype(float) - wanted).max() <= 1.5


def test_noise_has_the_given_spread_and_no_mean():
    grey = np.full((64, 64, 3), 186, dtype=np.uint8)  # 0.5 in linear light
    shown = expose(grey, Sensor(shot_noise=0.04, seed=1))
    light = (shown / 255.0) ** 2.2
    assert light.mean() == pytest.approx(0.5, abs=0.01)
    assert light.std() == pytest.approx(0.04 * np.sqrt(0.5), rel=0.1)


def test_vignetting_darkens_the_corners_only():
    grey = np.full((65, 65, 3), 150, dtype=np.uint8)
    shown = expose(grey, Sensor(vignetting=0.4)).astype(float)
    assert abs(shown[32, 32] - 150.0).max() <= 1.0
    corner = (shown[0, 0] / 255.0) ** 2.2 / (150.0 / 255.0) ** 2.2
    np.testing.assert_allclose(corner, 0.6, atol=0.02)


def test_blur_and_shake_keep_the_mean_and_smooth(picture):
    def roughness(image: np.ndarray) -> float:
        across = [np.abs(np.diff(image.astype(float), axis=axis)).mean() for axis in (0, 1)]
        return float(sum(across))

    for sensor in (Sensor(focus=3.0), Sensor(shake=60.0, seed=2)):
        shown = expose(picture, sensor, 1)
        assert roughness(shown) < 0.9 * roughness(picture)
        light, before = (((image / 255.0) ** 2.2).mean() for image in (shown, picture))
        assert light == pytest.approx(before, rel=0.03)


def test_jpeg_changes_little(picture):
    shown = expose(picture, Sensor(jpeg_quality=90)).astype(float)
    assert 0.0 < np.abs(shown - picture).mean() < 12.0
