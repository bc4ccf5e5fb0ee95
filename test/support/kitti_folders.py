# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small drive in the folders of KITTI's raw data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from bag_builder import FAR, HEIGHT, WIDTH, K, scene

DATE = "2011_09_26"
DRIVE = f"{DATE}/2011_09_26_drive_0001_sync"
BASELINE = 0.1
INTERVAL = 103_600_000

# The scanner sits 0.3 m behind and 0.1 m above camera 0, axes x forward, y left, z up.
SCANNER_ROTATION = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
SCANNER_TRANSLATION = np.array([0.0, -0.1, -0.3])
# Camera 2 sits 6 cm to the left of camera 0, camera 3 BASELINE to its right.
POSITION_2 = -0.06


def rectification() -> np.ndarray:
    rotation, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.005]))
    return np.asarray(rotation)


def numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(values).reshape(-1))


def projection(position: float) -> np.ndarray:
    matrix = np.zeros((3, 4))
    matrix[:, :3] = np.reshape(K, (3, 3))
    matrix[0, 3] = -K[0] * position
    return matrix


def scan(points: np.ndarray) -> np.ndarray:
    """Turn points of the rectified camera 2 into rows of a laser scan."""
    camera_0 = points + np.array([POSITION_2, 0.0, 0.0])
    unrectified = camera_0 @ rectification()  # the inverse of R acting on columns
    in_scanner = (unrectified - SCANNER_TRANSLATION) @ SCANNER_ROTATION
    rows = np.zeros((len(points), 4), np.float32)
    rows[:, :3] = in_scanner
    return rows


def wall_points() -> np.ndarray:
    """Return points on the far wall, at the centres of every eighth pixel."""
    columns, rows = np.meshgrid(np.arange(4, WIDTH, 8), np.arange(4, HEIGHT // 3, 8))
    rays = np.stack([(columns - K[2]) / K[0], (rows - K[5]) / K[4]], axis=-1).reshape(-1, 2)
    return np.column_stack([rays * FAR, np.full(len(rays), FAR)])


def write_drive_folder(root: Path) -> Path:
    """Write a drive of 12 frames as KITTI keeps it."""
    date, drive = root / DATE, root / DRIVE
    for folder in ("image_02", "image_03"):
        (drive / folder / "data").mkdir(parents=True)
    (drive / "velodyne_points" / "data").mkdir(parents=True)
    lines = ["calib_time: 09-Jan-2012 13:57:47", f"R_rect_00: {numbers(rectification())}"]
    for number, position in (("02", POSITION_2), ("03", POSITION_2 + BASELINE)):
        lines.append(f"S_rect_{number}: {numbers(np.array([WIDTH, HEIGHT]))}")
        lines.append(f"P_rect_{number}: {numbers(projection(position))}")
    (date / "calib_cam_to_cam.txt").write_text("\n".join(lines))
    (date / "calib_velo_to_cam.txt").write_text(
        f"R: {numbers(SCANNER_ROTATION)}\nT: {numbers(SCANNER_TRANSLATION)}\n"
    )
    stamps = []
    for i in range(12):
        stamps.append(f"2011-09-26 13:02:{25 + i * INTERVAL / 1e9:012.9f}")
        for folder, shift in (("image_02", 0.0), ("image_03", K[0] * BASELINE / FAR)):
            image = scene(3.0 * i + shift)[0]
            suffix = ".jpg" if i == 7 else ".png"
            file = drive / folder / "data" / f"{i:010d}{suffix}"
            cv2.imwrite(str(file), image[..., ::-1])
        scan(wall_points()).tofile(drive / "velodyne_points" / "data" / f"{i:010d}.bin")
    for folder in ("image_02", "image_03"):
        (drive / folder / "timestamps.txt").write_text("\n".join(stamps) + "\n")
    return root


def split(path: Path, *lines: str) -> Path:
    file = path / "split.txt"
    file.write_text("\n".join(lines) + "\n")
    return file
