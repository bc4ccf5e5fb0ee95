# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses: interpolation, chains of transforms, odometry, and the calibration files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bag_builder import INTERVAL, START, Bag, scene
from monodepth2_ros.recordings.bags import list_topics, open_recording
from monodepth2_ros.recordings.transforms import FrameTree, Trajectory
from monodepth2_ros.scale.poses import quaternion_pose_matrix
from training.extraction.calibration import read_calibration, read_extrinsics
from training.extraction.poses import PoseSource, find_poses


def turned(degrees: float) -> tuple[float, float, float, float]:
    """Return the quaternion of a turn about z."""
    half = np.radians(degrees) / 2.0
    return (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))


def matrix(degrees: float, translation: tuple[float, float, float]) -> np.ndarray:
    """Return the pose of a turn about z, by the closed form."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose = np.eye(4)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = translation
    return pose


def trajectory(*rows: tuple[int, float, float]) -> Trajectory:
    """Rows of stamp, x and degrees."""
    return Trajectory(
        np.array([row[0] for row in rows], np.int64),
        np.array([[row[1], 0.0, 0.0] for row in rows]),
        np.array([turned(row[2]) for row in rows]),
    )


def test_poses_are_interpolated() -> None:
    poses = trajectory((0, 0.0, 0.0), (400, 4.0, 40.0), (800, 4.0, -20.0)).at(
        np.array([0, 100, 400, 600, 800])
    )
    for pose, degrees, x in zip(
        poses, (0.0, 10.0, 40.0, 10.0, -20.0), (0.0, 1.0, 4.0, 4.0, 4.0), strict=True
    ):
        assert np.allclose(pose, matrix(degrees, (x, 0.0, 0.0)), atol=1e-12)


def test_the_shorter_way_round_is_taken() -> None:
    opposite = trajectory((0, 0.0, 170.0), (100, 0.0, 190.0))
    flipped = Trajectory(
        opposite.stamps, opposite.translations, opposite.quaternions * [[1.0], [-1.0]]
    )
    for either in (opposite, flipped):
        assert np.allclose(either.at(np.array([50]))[0], matrix(180.0, (0, 0, 0)), atol=1e-12)


def test_nothing_is_made_up() -> None:
    far = trajectory((0, 0.0, 0.0), (600_000_000, 1.0, 0.0), (700_000_000, 2.0, 0.0))
    poses = far.at(np.array([-1, 0, 300_000_000, 600_000_000, 650_000_000, 700_000_001]))
    assert np.isnan(poses).all(axis=(1, 2)).tolist() == [True, False, True, False, False, True]
    empty = Trajectory(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 4)))
    assert np.isnan(empty.at(np.array([1]))).all()


def test_transforms_are_chained_both_ways() -> None:
    tree = FrameTree(
        parents={"odom": "map", "base": "odom", "camera": "base", "lidar": "base"},
        fixed={
            "odom": matrix(0.0, (5.0, 0.0, 0.0)),
            "camera": matrix(90.0, (1.0, 0.0, 0.0)),
            "lidar": matrix(0.0, (0.0, 2.0, 0.0)),
        },
        moving={"base": trajectory((0, 0.0, 0.0), (100, 2.0, 60.0))},
    )
    stamps = np.array([50])
    base = matrix(30.0, (1.0, 0.0, 0.0))
    camera = matrix(90.0, (1.0, 0.0, 0.0))
    lidar = matrix(0.0, (0.0, 2.0, 0.0))
    found = tree.transform("map", "camera", stamps)
    assert found is not None
    assert np.allclose(found[0], matrix(0.0, (5.0, 0.0, 0.0)) @ base @ camera)
    # Neither needs the moving part, so both are known at any time.
    for stamp in (50, 10**9):
        found = tree.transform("camera", "lidar", np.array([stamp]))
        assert found is not None
        assert np.allclose(found[0], np.linalg.inv(camera) @ lidar)
    found = tree.transform("camera", "map", stamps)
    assert found is not None
    assert np.allclose(found[0] @ matrix(0.0, (5.0, 0.0, 0.0)) @ base @ camera, np.eye(4))
    assert tree.transform("camera", "elsewhere", stamps) is None
    assert tree.moves("camera")
    assert not FrameTree().moves("camera")


def write(path: Path, odometry: bool, child: str = "camera", transforms: bool = False) -> Path:
    """Write a bag of a body that moves along x, a camera mounted 1 m above it, or both."""
    with Bag(path) as bag:
        for i in range(4):
            stamp = START + i * INTERVAL
            bag.image("/image", stamp, scene(0.0)[0])
            if odometry:
                bag.odometry("/odom", stamp, (float(i), 0.0, 0.0), child=child)
            if transforms:
                bag.transform("/tf", stamp, "odom", "base", (2.0 * i, 0.0, 0.0))
        if transforms:
            bag.transform("/tf_static", START, "base", "camera", (0.0, 0.0, 1.0), turned(90.0))
        bag.pose_stamped("/mocap", START, (7.0, 0.0, 0.0))
    return path


def poses_of(path: Path, wanted: str = "auto") -> np.ndarray | str:
    stamps = START + np.arange(4) * INTERVAL
    with open_recording(path) as reader:
        topics = list_topics(reader)
        found = find_poses(reader, topics, "camera", wanted)
        return found.at(stamps) if isinstance(found, PoseSource) else found


def test_odometry_of_the_camera(tmp_path: Path) -> None:
    poses = poses_of(write(tmp_path / "bag", odometry=True))
    assert not isinstance(poses, str)
    assert np.allclose(poses[:, :3, :3], np.eye(3))
    assert poses[:, 0, 3].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_odometry_of_the_body_and_a_mounted_camera(tmp_path: Path) -> None:
    poses = poses_of(write(tmp_path / "bag", odometry=True, child="base", transforms=True))
    assert not isinstance(poses, str)
    for i, pose in enumerate(poses):
        assert np.allclose(pose, matrix(90.0, (float(i), 0.0, 1.0)))


def test_transforms_alone(tmp_path: Path) -> None:
    poses = poses_of(write(tmp_path / "bag", odometry=False, transforms=True))
    assert not isinstance(poses, str)
    for i, pose in enumerate(poses):
        assert np.allclose(pose, matrix(90.0, (2.0 * i, 0.0, 1.0)))


def test_why_there_are_no_poses(tmp_path: Path) -> None:
    path = write(tmp_path / "bag", odometry=True, child="base")
    assert "no transform leads from there to the camera's frame" in str(poses_of(path))
    assert poses_of(path, "none") == "not wanted"
    with pytest.raises(ValueError, match="about frame 'base'"):
        poses_of(path, "/odom")
    with pytest.raises(ValueError, match="no Odometry or PoseStamped topic /nothing"):
        poses_of(path, "/nothing")
    without = write(tmp_path / "without", odometry=False)
    assert poses_of(without) == "no odometry and no moving /tf"
    # Whose pose a PoseStamped is, only the user knows.
    poses = poses_of(without, "/mocap")
    assert not isinstance(poses, str)
    assert poses[0, 0, 3] == 7.0
    assert np.isnan(poses[1:]).all()


CALIBRATION = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0, 320, 0, 501.0, 240, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [480.0, 0, 321, -48, 0, 481, 241, 0, 0, 0, 1, 0]}
"""


def test_calibration_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.yaml"
    path.write_text(CALIBRATION)
    calibration = read_calibration(path)
    assert (calibration.width, calibration.height) == (640, 480)
    assert calibration.camera(rectified=False).fy == 501.0
    assert calibration.camera(rectified=True).cx == 321.0
    assert calibration.baseline == pytest.approx(0.1)
    assert calibration.d == (0.1, -0.2, 0.001, 0.002, 0.0)
    for text, message in (
        (CALIBRATION.replace("image_width", "width"), "'image_width' is missing"),
        (CALIBRATION.replace(", 0, 0, 1]}\ndist", "]}\ndist"), "'camera_matrix' must hold 9"),
        ("[", "cannot be read"),
        ("- 1", "holds no dictionary"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_calibration(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_calibration(tmp_path / "missing.yaml")


def test_extrinsics_file(tmp_path: Path) -> None:
    path = tmp_path / "extrinsics.yaml"
    path.write_text(
        "translation: [1, 2, 3]\nrotation: [0, 0, 0.7071067811865476, 0.7071067811865476]"
    )
    assert np.allclose(read_extrinsics(path), matrix(90.0, (1.0, 2.0, 3.0)))
    for text in (
        "translation: [1, 2, 3]",
        "translation: [1, 2]\nrotation: [0, 0, 0, 1]",
        "translation: [1, 2, 3]\nrotation: [0, 0, 0, 0]",
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match="rotation"):
            read_extrinsics(path)


def test_quaternions_need_not_have_length_one() -> None:
    assert np.allclose(
        quaternion_pose_matrix((0, 0, 0), 3.0 * np.array(turned(30.0))), matrix(30.0, (0, 0, 0))
    )
