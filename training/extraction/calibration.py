# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration files: camera_info YAML and the pose of a range sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from monodepth2_ros.camera import Calibration


def read_calibration(path: Path) -> Calibration:
    """Read the camera_info YAML that camera_calibration writes and camera_info_manager reads.

    Raises
    ------
    ValueError
        If the file cannot be read or something in it is missing or of the wrong length.
    """
    content = _read_yaml(path)

    def values(name: str, count: int | None, default: list[float] | None = None) -> Any:
        entry = content.get(name, default)
        numbers = entry.get("data") if isinstance(entry, dict) else entry
        if not isinstance(numbers, list) or (count is not None and len(numbers) != count):
            wanted = "a list" if count is None else f"{count} numbers"
            raise ValueError(f"{path}: '{name}' must hold {wanted} under 'data'")
        return tuple(float(number) for number in numbers)

    try:
        return Calibration(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            k=values("camera_matrix", 9),
            d=values("distortion_coefficients", None, []),
            distortion_model=str(content.get("distortion_model", "plumb_bob")),
            r=values("rectification_matrix", 9, np.eye(3).reshape(-1).tolist()),
            p=values("projection_matrix", 12, [0.0] * 12),
        )
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing; is this a camera_info YAML?") from error
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def read_extrinsics(path: Path) -> NDArray[np.float64]:
    """Read the pose of a range sensor in the camera's optical frame, shape (4, 4).

    The YAML file holds ``translation: [x, y, z]`` in metres and ``rotation: [x, y, z, w]``, as
    static_transform_publisher takes them with the camera as the parent.

    Raises
    ------
    ValueError
        If the file cannot be read or the numbers are not there.
    """
    content = _read_yaml(path)
    try:
        translation = [float(value) for value in content["translation"]]
        rotation = [float(value) for value in content["rotation"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: give 'translation: [x, y, z]', 'rotation: [x, y, z, w]'") from (
            error
        )
    if len(translation) != 3 or len(rotation) != 4 or not np.any(rotation):
        raise ValueError(f"{path}: translation takes 3 numbers, rotation 4, not all zero")
    return pose_from_quaternion(translation, rotation)


def pose_from_quaternion(translation: ArrayLike, quaternion: ArrayLike) -> NDArray[np.float64]:
    """Build poses from translations (..., 3) and quaternions x, y, z, w (..., 4): (..., 4, 4)."""
    unit: NDArray[np.float64] = np.asarray(quaternion, np.float64)
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    x, y, z, w = np.moveaxis(unit, -1, 0)
    pose = np.zeros((*unit.shape[:-1], 4, 4))
    pose[..., 0, :3] = np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=-1
    )
    pose[..., 1, :3] = np.stack(
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=-1
    )
    pose[..., 2, :3] = np.stack(
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=-1
    )
    pose[..., :3, 3] = np.asarray(translation, np.float64)
    pose[..., 3, 3] = 1.0
    return pose


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a dictionary."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary")
    return content
