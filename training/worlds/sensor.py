# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to a rendered picture: light metering, optics, noise and processing.

A picture is taken back to linear light, blurred and darkened towards the corners by the lens,
exposed, given the noise of photons and of the read-out, and developed again with the camera's own
white balance, contrast and saturation. Nothing moves, so the depth stays true.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_GAMMA = 2.2  # of the rendered pictures
_REFERENCE_WIDTH = 192.0  # pixels; blur is given for pictures this wide
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Sensor:
    """A camera's ways; the defaults change nothing.

    Attributes
    ----------
    metering : float
        How much of a picture's deviation from the target the exposure makes up for, 0..1.
    target : float
        Mean linear brightness that the metering aims at.
    exposure : float
        Stops added to that.
    flicker : float
        Standard deviation of the exposure from frame to frame, in stops.
    white_balance : tuple of 3 float
        Gains of red, green and blue.
    vignetting : float
        Loss of light in the corners, 0..1.
    focus : float
        Standard deviation of the lens's blur, in pixels of a picture 192 wide.
    shake : float
        Longest motion blur, in the same pixels; every frame has its own direction and length.
    shot_noise, read_noise : float
        Standard deviation of the noise at full brightness and in the dark, in linear light.
    gamma : float
        Gamma of the development.
    contrast : float
        Slope of the tone curve in its middle; 1 leaves it straight.
    black : float
        What black is shown as.
    saturation : float
        0 makes pictures grey, 1 leaves them.
    jpeg_quality : int
        1 to 100; 0 for no compression.
    seed : int
        Seed of all that is new for every frame.
    """

    metering: float = 0.0
    target: float = 0.2
    exposure: float = 0.0
    flicker: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignetting: float = 0.0
    focus: float = 0.0
    shake: float = 0.0
    shot_noise: float = 0.0
    read_noise: float = 0.0
    gamma: float = _GAMMA
    contrast: float = 1.0
    black: float = 0.0
    saturation: float = 1.0
    jpeg_quality: int = 0
    seed: int = 0


def draw_sensor(seed: int) -> Sensor:
    """Draw a camera: anything from a good one to a telephone in a dim room.

    Parameters
    ----------
    seed : int
        The same seed gives the same sensor.
    """
    rng = np.random.default_rng([seed, 5])
    warmth, tint = rng.normal(0.0, 0.12), rng.normal(0.0, 0.04)
    noisy = rng.random() ** 3
    return Sensor(
        metering=rng.uniform(0.4, 1.0),
        target=float(np.exp(rng.uniform(np.log(0.12), np.log(0.4)))),
        exposure=rng.normal(0.0, 0.25),
        flicker=rng.uniform(0.0, 0.2),
        white_balance=(float(np.exp(warmth)), float(np.exp(tint)), float(np.exp(-warmth))),
        vignetting=rng.uniform(0.0, 0.45),
        focus=rng.uniform(0.0, 0.8),
        shake=float(rng.choice([0.0, 1.2, 4.0], p=[0.4, 0.4, 0.2])) * rng.random(),
        shot_noise=0.002 + 0.03 * noisy,
        read_noise=0.0005 + 0.005 * noisy * rng.random(),
        gamma=rng.uniform(1.9, 2.6),
        contrast=rng.uniform(0.85, 1.6),
        black=rng.integers(2) * rng.uniform(0.0, 0.08),
        saturation=rng.uniform(0.55, 1.35),
        jpeg_quality=int(rng.integers(2) * rng.integers(40, 97)),
        seed=seed,
    )


def expose(image: NDArray[np.uint8], sensor: Sensor, frame: int = 0) -> NDArray[np.uint8]:
    """Take a picture of a picture.

    Parameters
    ----------
    image : array of uint8, shape (H, W, 3)
        RGB, as rendered.
    sensor : Sensor
    frame : int
        Number of the picture in its sequence: the same number has the same noise.

    Returns
    -------
    array of uint8, shape (H, W, 3)
    """
    if sensor == Sensor(seed=sensor.seed):
        return image
    rng = np.random.default_rng([sensor.seed, 6, frame])
    height, width, _ = image.shape
    table = (np.arange(256, dtype=np.float32) / 255.0) ** np.float32(_GAMMA)
    light = _blur(table[image], sensor, width / _REFERENCE_WIDTH, rng)

    mean = float((light @ _LUMA).mean())
    stops = sensor.metering * np.log2(sensor.target / max(mean, 1e-3))
    stops = np.clip(stops, -2.5, 2.5) + sensor.exposure + sensor.flicker * rng.normal()
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    shading = 1.0 - sensor.vignetting * 0.5 * (x * x + y * y)
    light *= (2.0**stops * shading)[..., None].astype(np.float32)
    light *= np.asarray(sensor.white_balance, dtype=np.float32)
    if sensor.shot_noise > 0.0 or sensor.read_noise > 0.0:
        variance = sensor.shot_noise**2 * np.maximum(light, 0.0) + sensor.read_noise**2
        light += np.sqrt(variance) * rng.standard_normal(light.shape, dtype=np.float32)

    picture = np.clip(light, 0.0, 1.0) ** np.float32(1.0 / sensor.gamma)
    if sensor.contrast != 1.0:
        # A tone curve through black, middle grey and white.
        bend = np.float32(sensor.contrast - 1.0)
        picture += bend * 2.0 * picture * (1.0 - picture) * (picture - 0.5)
    grey = (picture @ _LUMA)[..., None]
    picture = grey + np.float32(sensor.saturation) * (picture - grey)
    picture = sensor.black + (1.0 - sensor.black) * picture
    result = np.clip(picture * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    if sensor.jpeg_quality:
        quality = [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality]
        done, data = cv2.imencode(".jpg", result[..., ::-1], quality)
        if not done:
            raise RuntimeError("the image could not be encoded as JPEG")
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        result = np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8, copy=False)
    return result


def _blur(light: Floats, sensor: Sensor, scale: float, rng: np.random.Generator) -> Floats:
    """Blur linear light by the lens, and along a line by motion."""
    if sensor.focus * scale > 0.1:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sensor.focus * scale), np.float32)
    length, angle = sensor.shake * scale * rng.random(), rng.uniform(0.0, np.pi)
    if length > 0.5:
        # The line is drawn finely, then summed to the pixels of the kernel.
        size = 2 * int(np.ceil(0.5 * length)) + 1
        kernel = np.zeros((size, size), dtype=np.float32)
        along = np.linspace(-0.5, 0.5, 64) * length
        u = np.rint(along * np.cos(angle)).astype(int) + size // 2
        v = np.rint(along * np.sin(angle)).astype(int) + size // 2
        np.add.at(kernel, (v, u), 1.0 / 64.0)
        light = np.asarray(cv2.filter2D(light, -1, kernel), np.float32)
    return light
