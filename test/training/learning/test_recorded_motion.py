# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion from recorded poses: in metres, and only where the images agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore
from training.frames.writer import FrameStoreWriter
from training.learning.recorded_motion import agree, recorded_transforms, remember_recorded

CAMERA = PinholeCamera(192, 128, 160.0, 160.0, 95.5, 63.5)
NEAR, FAR = 3.0, 5.0  # metres: the lower and the upper half
STEP = 0.06


def write_store(path, poses):
    """Two textured walls, one above the other, passed sideways at STEP metres a frame."""
    noise = np.random.default_rng(0).uniform(0, 255, (128, 400)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    with FrameStoreWriter(path, CAMERA.width, CAMERA.height) as writer:
        for i, pose in enumerate(poses):
            halves = []
            for rows, distance in ((slice(0, 64), FAR), (slice(64, 128), NEAR)):
                shift = np.float32([[1, 0, -STEP * i * CAMERA.fx / distance], [0, 1, 0]])
                halves.append(cv2.warpAffine(texture[rows], shift, (192, 64)))
            grey = np.vstack(halves).astype(np.uint8)
            writer.append(np.repeat(grey[..., None], 3, axis=2), i * 10**8, 0, 0, pose=pose)
        writer.finish([CAMERA])
    return FrameStore.open(path)


def sideways(i, step=STEP):
    pose = np.eye(4)
    pose[0, 3] = step * i
    return pose


def test_motion_and_corners_are_in_metres(tmp_path):
    store = write_store(tmp_path / "store", [sideways(i) for i in range(5)])
    found = remember_recorded([store])(0, 2, (1, 3))
    assert found is not None
    np.testing.assert_allclose(found.transforms[0, 0, 3], STEP, rtol=0.05)
    np.testing.assert_allclose(found.transforms[1, 0, 3], -STEP, rtol=0.05)
    points = found.points[found.points[:, 3] > 0]
    upper = points[:, 1] < 58
    lower = points[:, 1] > 70
    assert np.median(points[upper, 2]) == pytest.approx(FAR, rel=0.05)
    assert np.median(points[lower, 2]) == pytest.approx(NEAR, rel=0.05)


def test_unknown_jumping_and_contradicting_poses_are_left_out(tmp_path):
    poses = [sideways(i) for i in range(9)]
    poses[3] = np.full((4, 4), np.nan)
    poses[8] = sideways(90)  # a jump
    turned = sideways(5)
    turned[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.2, 0.0]))[0]
    poses[5] = turned
    store = write_store(tmp_path / "store", poses)
    measure = remember_recorded([store])
    assert measure(0, 1, (0, 2)) is not None
    assert measure(0, 2, (1, 3)) is None  # unknown
    assert measure(0, 5, (4, 6)) is None  # the images do not turn
    assert recorded_transforms(store, 7, (6, 8)) is None  # a jump


def test_a_wrong_frame_convention_does_not_agree(tmp_path):
    store = write_store(tmp_path / "store", [sideways(i) for i in range(3)])
    seen = recorded_transforms(store, 1, (0, 2))
    # The same motion told in the axes of camera_link: x ahead, y left, z up.
    axes = np.eye(4)
    axes[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    assert agree(seen, seen)
    assert not agree(axes @ seen @ axes.T, seen)
