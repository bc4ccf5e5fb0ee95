# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI raw folders: the calibration's algebra, the split, neighbours and laser truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bag_builder import FAR, HEIGHT, WIDTH, K, scene
from kitti_folders import (
    BASELINE,
    DATE,
    DRIVE,
    INTERVAL,
    scan,
    split,
)
from training.extract import main
from training.extraction.kitti import kitti_cameras, read_camera, scanner_pose
from training.frames.store import FrameStore


def test_calibration(raw: Path) -> None:
    left, right = (read_camera(raw / DATE, folder) for folder in ("image_02", "image_03"))
    assert (left.width, left.height) == (WIDTH, HEIGHT)
    assert left.camera().matrix == pytest.approx(np.reshape(K, (3, 3)))
    assert right.baseline - left.baseline == pytest.approx(BASELINE)


def test_the_scanner_is_where_it_was_put(raw: Path) -> None:
    points = np.array([[1.0, -2.0, 5.0], [-3.0, 0.5, 8.0]])
    pose = scanner_pose(raw / DATE, "image_02")
    back = scan(points)[:, :3] @ pose[:3, :3].T + pose[:3, 3]
    assert back == pytest.approx(points, abs=1e-5)
    pose = scanner_pose(raw / DATE, "image_03")
    back = scan(points)[:, :3] @ pose[:3, :3].T + pose[:3, 3]
    assert back == pytest.approx(points - [BASELINE, 0.0, 0.0], abs=1e-5)


def test_listed_frames_and_their_neighbours(raw: Path, tmp_path: Path) -> None:
    lines = [f"{DRIVE} {i} l" for i in (3, 4, 8, 0)]
    (camera,) = kitti_cameras(raw, split(tmp_path, *lines))
    frames = [frame for frame in camera.frames() if not isinstance(frame, str)]
    # 0 has no neighbour before it; 5 and 7 do not follow each other.
    assert [round((f.stamp - frames[0].stamp) / INTERVAL) for f in frames] == [
        *(0, 1, 2, 3, 4, 5),
        *(7, 8, 9),
    ]
    assert [f.follows for f in frames] == [False, *[True] * 5, False, True, True]
    assert np.array_equal(frames[3].decode(), scene(9.0)[0])
    assert len(list(camera.truths())) == 4
    (right,) = kitti_cameras(raw, split(tmp_path, f"{DRIVE} 0000000005 r"))
    assert right.folder == "image_03"
    (missing,) = kitti_cameras(raw, split(tmp_path, f"{DRIVE} 40 l"))
    assert list(missing.frames()) == ["listed in the split but not on disk"]


def test_a_store_with_laser_truth(raw: Path, tmp_path: Path) -> None:
    lines = [f"{DRIVE} {i} l" for i in (2, 3, 9)]
    out = tmp_path / "frames"
    assert (
        main(
            [
                "--kitti-raw",
                str(raw),
                "--kitti-split",
                str(split(tmp_path, *lines)),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    store = FrameStore.open(out, verify=True)
    assert store.segment.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert np.array_equal(store.images[1], scene(6.0)[0])
    assert store.truth is not None
    assert store.truth.any(axis=(1, 2)).tolist() == [False, True, True, False, False, True, False]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[4 : HEIGHT // 3 : 8, 4::8] = FAR
    assert np.allclose(store.truth[1].astype(float), expected, rtol=1e-3)


def test_stereo_pairs(raw: Path, tmp_path: Path) -> None:
    file = split(tmp_path, f"{DRIVE} 2 l", f"{DRIVE} 3 r")
    out = tmp_path / "frames"
    arguments = ["--kitti-raw", str(raw), "--kitti-split", str(file), "--out", str(out)]
    assert (
        main([*arguments, "--stereo-topics", "image_02", "image_03", "--truth-topic", "none"]) == 0
    )
    store = FrameStore.open(out)
    assert store.truth is None
    assert store.partner.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert store.baselines == pytest.approx((BASELINE, -BASELINE))
    assert np.array_equal(store.images[5], scene(6.0 + K[0] * BASELINE / FAR)[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{DRIVE} x l", "line 1: .* expected"),
        (f"{DRIVE} 3 m", "line 1: .* expected"),
        (f"{DRIVE}", "line 1: .* expected"),
        ("", "lists no frame"),
        ("2011_09_26/elsewhere 3 l", "elsewhere does not exist"),
    ],
)
def test_a_wrong_split_is_refused(raw: Path, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kitti_cameras(raw, split(tmp_path, line))


def test_missing_files_are_named(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.txt cannot be read"):
        kitti_cameras(raw, tmp_path / "missing.txt")
    calibration = raw / DATE / "calib_cam_to_cam.txt"
    calibration.write_text(calibration.read_text().replace("S_rect_02", "S_02"))
    with pytest.raises(ValueError, match="no 'S_rect_02' of 2 numbers"):
        kitti_cameras(raw, split(tmp_path, f"{DRIVE} 3 l"))
    calibration.unlink()
    with pytest.raises(ValueError, match=r"calib_cam_to_cam\.txt cannot be read"):
        kitti_cameras(raw, split(tmp_path, f"{DRIVE} 3 l"))
