# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Perspective views of equirectangular panoramas: photographs of places, without depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore, Source
from training.frames.writer import write_frame_store

#: Horizontal fields of view that are drawn, in degrees.
FIELDS_OF_VIEW = (60.0, 95.0)

#: Mean and standard deviation of the pitch that is drawn, in degrees; positive looks down.
PITCH = (10.0, 12.0)

#: Standard deviation of the roll that is drawn, in degrees.
ROLL = 5.0

#: Exposures that are drawn, in stops.
EXPOSURES = (-0.7, 0.5)


@dataclass(frozen=True)
class Gaze:
    """Where a virtual camera in the middle of a panorama looks.

    Attributes
    ----------
    yaw, pitch, roll : float
        Radians: to the right, down, and clockwise.
    field_of_view : float
        Horizontal, radians, below π.
    exposure : float
        Stops.
    """

    yaw: float
    pitch: float
    roll: float
    field_of_view: float
    exposure: float = 0.0


def draw_gaze(random: np.random.Generator) -> Gaze:
    """Draw where to look: anywhere around, somewhat downwards as robots do."""
    return Gaze(
        yaw=random.uniform(0.0, 2.0 * np.pi),
        pitch=np.radians(random.normal(*PITCH)),
        roll=np.radians(random.normal(0.0, ROLL)),
        field_of_view=np.radians(random.uniform(*FIELDS_OF_VIEW)),
        exposure=random.uniform(*EXPOSURES),
    )


def perspective_view(
    panorama: NDArray[np.uint8], gaze: Gaze, width: int, height: int
) -> NDArray[np.uint8]:
    """Look into a panorama with a pinhole camera of square pixels.

    Parameters
    ----------
    panorama : ndarray, shape (Hp, Wp, 3), uint8
        Equirectangular: all around from left to right, straight up to straight down.
    gaze : Gaze
        A yaw of 0 looks at the panorama's centre.
    width, height : int
        Pixels.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
    """
    rows, columns = panorama.shape[:2]
    focal = width / 2.0 / np.tan(gaze.field_of_view / 2.0)
    x, y = np.meshgrid(
        (np.arange(width) + 0.5 - width / 2.0) / focal,
        (np.arange(height) + 0.5 - height / 2.0) / focal,
    )
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    rays = rays @ _rotation(gaze).T
    longitude = np.arctan2(rays[..., 0], rays[..., 2])
    latitude = np.arcsin(rays[..., 1].clip(-1.0, 1.0))
    # One column more on either side, so that interpolation goes around.
    wrapped = np.concatenate([panorama[:, -1:], panorama, panorama[:, :1]], axis=1)
    u = ((longitude / (2.0 * np.pi) + 0.5) * columns + 0.5).astype(np.float32)
    v = ((latitude / np.pi + 0.5) * rows - 0.5).astype(np.float32)
    found = cv2.remap(wrapped, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # sRGB is close to a power of 2.2, in which an exposure is a factor.
    exposed = found.astype(np.float32) * np.float32(2.0 ** (gaze.exposure / 2.2))
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)


def _rotation(gaze: Gaze) -> NDArray[np.float64]:
    """Return the rotation from the camera (optical frame) to the panorama, shape (3, 3)."""
    sine, cosine = np.sin(gaze.yaw), np.cos(gaze.yaw)
    yaw = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    sine, cosine = np.sin(gaze.pitch), np.cos(gaze.pitch)
    pitch = np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
    sine, cosine = np.sin(gaze.roll), np.cos(gaze.roll)
    roll = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(yaw @ pitch @ roll)


def read_panorama(path: Path) -> NDArray[np.uint8]:
    """Read an image file, as RGB.

    Raises
    ------
    ValueError
        If it is no image, or not twice as wide as high.
    OSError
        If it cannot be read.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ValueError(f"{path} is not an image that can be decoded; give a JPEG or PNG file")
    height, width = image.shape[:2]
    if width != 2 * height:
        raise ValueError(
            f"{path} is {width}x{height}; an equirectangular panorama is twice as wide as high"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def write_views(
    path: Path,
    panoramas: Sequence[tuple[str, NDArray[np.uint8]]],
    views: int,
    width: int,
    height: int,
    seed: int,
) -> FrameStore:
    """Write random views of panoramas as a frame store, one segment for each panorama.

    Parameters
    ----------
    path : Path
        Must not exist.
    panoramas : sequence of (str, ndarray of shape (Hp, Wp, 3), uint8)
        Name and image.
    views : int
        Of each panorama.
    width, height : int
        Pixels.
    seed : int
        It alone decides where the views look.
    """
    random = np.random.default_rng(seed)
    gazes = [[draw_gaze(random) for _ in range(views)] for _ in panoramas]
    images = [
        perspective_view(image, gaze, width, height)
        for (_, image), looks in zip(panoramas, gazes, strict=True)
        for gaze in looks
    ]
    cameras = [_camera(gaze, width, height) for looks in gazes for gaze in looks]
    return write_frame_store(
        path,
        np.stack(images),
        cameras,
        camera_index=np.arange(len(images)),
        segment=np.repeat(np.arange(len(panoramas)), views),
        segment_spacing=[1] * len(panoramas),
        sources=[Source(name, "panorama") for name, _ in panoramas],
    )


def _camera(gaze: Gaze, width: int, height: int) -> PinholeCamera:
    """Return the camera of a view."""
    focal = width / 2.0 / float(np.tan(gaze.field_of_view / 2.0))
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)
