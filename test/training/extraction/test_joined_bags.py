# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings whose topics invite wrong joins: each gives the right camera, or a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bag_builder import (
    FAR,
    HEIGHT,
    INTERVAL,
    NEAR,
    START,
    WIDTH,
    Bag,
    K,
    encode,
    scene,
    write_drive,
)
from monodepth2_ros.preprocessing import NO_CROP
from monodepth2_ros.recordings.bags import open_recording
from monodepth2_ros.recordings.playback import Playback
from training.extraction.agreement import frames_to_compare
from training.extraction.bag_cameras import BagCamera, bag_cameras
from training.extraction.ground_truth import TruthSettings, stamp_problem
from training.extraction.stored_view import make_view

OTHER_K = (240.0, 0.0, 60.0, 0.0, 240.0, 40.0, 0.0, 0.0, 1.0)
FRAMES = 4


def write(path: Path, fill: Callable[[Bag, int, int], None], frames: int = FRAMES) -> Path:
    """Write a bag; `fill` writes the messages of a stamp."""
    with Bag(path) as bag:
        for index in range(frames):
            fill(bag, START + index * INTERVAL, index)
    return path


def picture(index: int) -> np.ndarray:
    return scene(2.0 * index)[0]


def plain(bag: Bag, stamp: int, index: int) -> None:
    bag.info("/cam/camera_info", stamp)
    bag.image("/cam/image_raw", stamp, picture(index))


def decoded(camera: BagCamera) -> list[np.ndarray]:
    return [f.decode() for f in camera.frames() if not isinstance(f, str)]


def first_truth(camera: BagCamera) -> np.ndarray:
    view = make_view(camera.calibration, camera.is_rectified, "auto", NO_CROP, (WIDTH, HEIGHT))
    return next(iter(camera.truths())).decode(view, None)


@pytest.mark.slow
def test_left_and_right_in_one_namespace(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        for side, k in (("left", K), ("right", OTHER_K)):
            bag.info(f"/camera_info_{side}", stamp, k=k, frame_id=side)
            bag.image(f"/image_{side}", stamp, picture(index), frame_id=side)

    path = write(tmp_path / "bag", fill)
    assert [c.calibration.k[0] for c in bag_cameras(path)] == [120.0, 240.0]
    (right,) = bag_cameras(path, ["/image_right"])
    assert right.calibration.k == OTHER_K
    with Playback(path, "/image_right") as playback:
        assert playback.topics.camera_info and playback.topics.camera_info.name.endswith("right")


def test_the_depth_cameras_info_is_not_the_colour_cameras(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        image, depth = scene(2.0 * index)
        bag.info("/camera/depth_camera_info", stamp, k=OTHER_K, frame_id="depth")
        bag.info("/camera/rgb_camera_info", stamp, frame_id="rgb")
        bag.image("/camera/rgb_image", stamp, image, frame_id="rgb")
        millimetres = (depth * 1000).astype(np.uint16)
        bag.image("/camera/depth_image", stamp, millimetres, "16UC1", frame_id="depth")

    path = write(tmp_path / "bag", fill)
    (camera,) = bag_cameras(path)
    assert camera.calibration.k == K
    assert not camera.has_truth
    assert "neither in the camera's frame 'rgb'" in camera.notes[0]
    # What the user says is done.
    (camera,) = bag_cameras(path, camera_info=["/camera/depth_camera_info"])
    assert camera.calibration.k == OTHER_K


def test_an_info_of_another_frame_is_used_only_when_named(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        bag.info("/cam/camera_info", stamp, frame_id="camera_link")
        bag.image("/cam/image_raw", stamp, picture(index), frame_id="camera_optical_frame")

    path = write(tmp_path / "bag", fill)
    with pytest.raises(ValueError, match=r"its frame is 'camera_link', the image's 'camera_opt"):
        bag_cameras(path)
    (camera,) = bag_cameras(path, camera_info=["/cam/camera_info"])
    assert len(decoded(camera)) == FRAMES


def test_cameras_that_share_a_camera_info_topic(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        for side, k in (("left", K), ("right", OTHER_K)):
            bag.info("/camera_info", stamp, k=k, frame_id=side)
            bag.image(f"/{side}/image_raw", stamp, picture(index), frame_id=side)

    for camera, k in zip(bag_cameras(write(tmp_path / "bag", fill)), (K, OTHER_K), strict=True):
        frames = [f for f in camera.frames() if not isinstance(f, str)]
        assert {f.calibration.k for f in frames} == {k}


def write_wide_depth(path: Path, own_info: bool = True) -> Path:
    """A square colour image, and depth with a wider view of the same camera's frame.

    In the middle the wall is at 2 m, at the sides, which the colour image does not see, at 1 m
    and 9 m.
    """
    square = (120.0, 0.0, 47.5, 0.0, 120.0, 47.5, 0.0, 0.0, 1.0)
    wide = (120.0, 0.0, 79.5, 0.0, 120.0, 47.5, 0.0, 0.0, 1.0)
    depth = np.full((96, 160), 2.0, np.float32)
    depth[:, :32], depth[:, 128:] = 1.0, 9.0
    depth[40:50, 70:90] = 3.0

    def fill(bag: Bag, stamp: int, index: int) -> None:
        bag.info("/oak/rgb/camera_info", stamp, k=square, size=(96, 96), frame_id="rgb")
        bag.image("/oak/rgb/image_raw", stamp, picture(index)[:, :96], frame_id="rgb")
        if own_info:
            bag.info("/oak/stereo/camera_info", stamp, k=wide, frame_id="rgb")
        bag.image("/oak/stereo/image_raw", stamp, depth, "32FC1", frame_id="rgb")

    return write(path, fill)


@pytest.mark.slow
def test_depth_of_a_wider_view_is_reprojected_by_its_own_intrinsics(tmp_path: Path) -> None:
    (camera,) = bag_cameras(write_wide_depth(tmp_path / "bag"))
    assert camera.truth is not None
    assert camera.truth_description["reprojected"]
    view = make_view(camera.calibration, False, "auto", NO_CROP, (96, 96))
    truth = next(iter(camera.truths())).decode(view, None)
    expected = np.full((96, 96), 2.0, np.float32)
    expected[40:50, 38:58] = 3.0
    np.testing.assert_array_equal(truth, expected)
    # Without a camera_info of its own nobody knows which part of the view it is.
    (camera,) = bag_cameras(write_wide_depth(tmp_path / "alone", own_info=False))
    assert not camera.has_truth
    assert "another aspect" in camera.notes[0]


def test_depth_in_another_frame_is_reprojected_by_transform_and_intrinsics(tmp_path: Path) -> None:
    depth = np.full((96, 160), 2.0, np.float32)

    def fill(bag: Bag, stamp: int, index: int) -> None:
        bag.info("/color/camera_info", stamp, frame_id="color")
        bag.image("/color/image_raw", stamp, picture(index), frame_id="color")
        bag.info("/depth/camera_info", stamp, k=OTHER_K, frame_id="depth")
        bag.image("/depth/image_raw", stamp, depth, "32FC1", frame_id="depth")
        # The depth sensor sits 0.1 m to the right of the camera and 0.5 m in front of it; only
        # /tf says so.
        bag.transform("/tf", stamp, "color", "depth", (0.1, 0.0, 0.5))

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    assert camera.truth is not None
    truth = first_truth(camera)
    known = np.isfinite(truth)
    assert np.unique(truth[known]).tolist() == [2.5]
    # The left edge of the depth image, x = -60 / 240 * 2 + 0.1 = -0.4 m at 2.5 m.
    columns = np.flatnonzero(known.any(axis=0))
    assert columns[0] == round(79.5 - 0.4 / 2.5 * 120.0)
    assert columns[-1] == round(79.5 + ((159 - 60) / 240 * 2 + 0.1) / 2.5 * 120.0)


def test_measurements_next_to_depth_are_left_out_with_a_reason(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        image, depth = scene(2.0 * index)
        plain(bag, stamp, index)
        for name in ("confidence_map", "disparity", "amplitude"):
            bag.image(f"/cam/{name}", stamp, depth * 20, "32FC1")
        bag.image("/cam/depth/image", stamp, depth, "32FC1")
        bag.image("/cam/depth/image_color", stamp, image, "rgb8")

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    assert camera.image.name == "/cam/image_raw"
    assert camera.truth is not None and camera.truth.name == "/cam/depth/image"
    reasons = dict(camera.choices[-1].others)
    assert "confidence" in reasons["/cam/confidence_map"]
    assert set(reasons) == {"/cam/confidence_map", "/cam/disparity", "/cam/amplitude"}


def test_the_nodes_own_outputs_in_a_recording_of_everything(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        image, depth = scene(2.0 * index)
        plain(bag, stamp, index)
        bag.image("/depth/image_rect", stamp, depth[:64, :96], "32FC1")
        bag.image("/depth/image_color", stamp, image[:64, :96])
        bag.info("/depth/camera_info", stamp, size=(96, 64))

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    assert camera.image.name == "/cam/image_raw"
    assert camera.info is not None and camera.info.name == "/cam/camera_info"
    assert not camera.has_truth
    assert "/depth/image_rect: an output of this package" in camera.notes[0]


def test_robots_with_the_same_frames_keep_their_own_depth(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        image, depth = scene(2.0 * index)
        for robot in ("robot1", "robot2"):
            bag.info(f"/{robot}/camera/camera_info", stamp)
            bag.image(f"/{robot}/camera/image_raw", stamp, image)
        bag.image("/robot1/camera/depth/image", stamp, depth, "32FC1")

    first, second = bag_cameras(write(tmp_path / "bag", fill))
    assert first.truth is not None
    assert not second.has_truth
    assert "belongs to /robot1/camera/image_raw" in second.notes[0]


def test_depth_of_the_node_alone_is_not_taken_for_a_sensors(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        plain(bag, stamp, index)
        bag.image("/depth/image_rect", stamp, scene(2.0 * index)[1], "32FC1")
        bag.info("/depth/camera_info", stamp)

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    assert not camera.has_truth
    assert "an output of this package" in camera.notes[0]
    # It can still be used when the user says what it is.
    (camera,) = bag_cameras(tmp_path / "bag", truth="/depth/image_rect")
    assert camera.has_truth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "unit", "reason"),
    [
        ("16UC1", "auto", ""),
        ("32FC1 mm", "auto", "looks like millimetres: give --truth-unit mm"),
        ("32FC1 mm", "mm", ""),
        ("16UC1 m", "auto", "95 % of its depth would be below 0.004 m"),
        ("16UC1 m", "m", ""),
        ("empty", "auto", "none of its pixels is valid depth"),
    ],
)
def test_the_unit_of_depth(tmp_path: Path, encoding: str, unit: str, reason: str) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        plain(bag, stamp, index)
        depth = scene(2.0 * index)[1]
        values = {
            "16UC1": (depth * 1000).astype(np.uint16),
            "32FC1 mm": depth * 1000,
            "16UC1 m": depth.astype(np.uint16),
            "empty": np.full_like(depth, np.nan),
        }[encoding]
        kind = "32FC1" if values.dtype == np.float32 else "16UC1"
        bag.image("/cam/depth/image", stamp, values, kind)

    path = write(tmp_path / "bag", fill)
    (camera,) = bag_cameras(path, truth=TruthSettings(unit=unit))
    assert camera.has_truth == (not reason)
    if reason:
        assert reason in camera.notes[0]
        with pytest.raises(ValueError, match="/cam/depth/image cannot be used: .*" + reason):
            bag_cameras(path, truth=TruthSettings("/cam/depth/image", unit=unit))
    else:
        assert set(np.unique(first_truth(camera))) == {NEAR, FAR}


@pytest.mark.slow
def test_late_ground_truth_is_named_with_the_remedy(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        plain(bag, stamp, index)
        bag.image("/cam/depth/image", stamp + 40_000_000, scene(2.0 * index)[1], "32FC1")

    path = write(tmp_path / "bag", fill)
    (camera,) = bag_cameras(path)
    assert not camera.has_truth
    assert "40 ms later" in camera.notes[0] and "--truth-offset -0.040" in camera.notes[0]
    (camera,) = bag_cameras(path, truth=TruthSettings(offset=-0.04))
    assert [t.stamp for t in camera.truths()] == [START + i * INTERVAL for i in range(FRAMES)]
    (camera,) = bag_cameras(path, truth=TruthSettings(tolerance=0.05))
    assert camera.truth_tolerance == 50_000_000
    hours = [stamp + 7200 * 10**9 for stamp in (START, START + INTERVAL)]
    assert "+7200.0 s away" in stamp_problem([START, START + INTERVAL], hours, 20_000_000, 0)


@pytest.mark.parametrize("blank", ["", " "])
def test_compressed_bayer_is_in_colour(tmp_path: Path, blank: str) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        bag.info("/cam/camera_info", stamp)
        image = cv2.GaussianBlur(picture(index), (0, 0), 2.0)
        mosaic = image[..., 1].copy()
        mosaic[::2, ::2] = image[::2, ::2, 0]
        mosaic[1::2, 1::2] = image[1::2, 1::2, 2]
        form = f"bayer_rggb8; png compressed{blank}"
        bag.compressed("/cam/image_raw/compressed", stamp, encode(".png", mosaic), form)

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    expected = cv2.GaussianBlur(picture(0), (0, 0), 2.0)
    difference = decoded(camera)[0].astype(int) - expected
    assert np.abs(difference)[4:-4, 4:-4].max() < 12


@pytest.mark.slow
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_samples_of_16_bits_are_read_with_the_bits_they_use(
    tmp_path: Path, bits: int, encoding: str
) -> None:
    largest = (1 << bits) - 1

    def fill(bag: Bag, stamp: int, index: int) -> None:
        bag.info("/thermal/camera_info", stamp)
        grey = picture(index)[..., 1].astype(np.float64) / picture(index)[..., 1].max()
        bag.image("/thermal/image_raw", stamp, (grey * largest).astype(np.uint16), encoding)

    (camera,) = bag_cameras(write(tmp_path / "bag", fill))
    assert camera.bits == bits
    assert f"is read as {bits} bits" in camera.notes[0]
    grey = picture(0)[..., 1] / picture(0)[..., 1].max() * 255.0
    assert np.abs(decoded(camera)[0][..., 0] - grey).max() <= 1.0
    (wide,) = bag_cameras(tmp_path / "bag", bit_depth=16)
    assert decoded(wide)[0].max() <= 255 / 2 ** (16 - bits) + 1


def test_plumb_bob_with_eight_coefficients(tmp_path: Path) -> None:
    d = (-0.2, 0.05, 0.001, 0.0, 0.01)
    for name, padded in (("five", d), ("eight", (*d, 0.0, 0.0, 0.0))):

        def fill(bag: Bag, stamp: int, index: int, padded: tuple[float, ...] = padded) -> None:
            bag.info("/cam/camera_info", stamp, d=padded)
            bag.image("/cam/image_raw", stamp, picture(index))

        write(tmp_path / name, fill)
    images = []
    for name in ("five", "eight"):
        (camera,) = bag_cameras(tmp_path / name)
        view = make_view(camera.calibration, False, "auto", NO_CROP, (160, 96))
        images.append(view.image(view.rectified(decoded(camera)[0])))
    assert np.array_equal(*images)


def test_a_stray_message_does_not_hide_a_topic(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        plain(bag, stamp, index)

    path = write(tmp_path / "bag", fill)
    import sqlite3

    database = sqlite3.connect(path / "bag.db3")
    columns = [row[1] for row in database.execute("PRAGMA table_info(topics)")]
    row = dict(zip(columns, database.execute("SELECT * FROM topics").fetchone(), strict=True))
    row |= {"id": 99, "name": "/cam/image_raw", "type": "std_msgs/msg/String"}
    row |= {k: "" for k in row if k == "type_description_hash"}
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO topics ({', '.join(row)}) VALUES ({marks})", [*row.values()])
    text = b"\x00\x01\x00\x00\x03\x00\x00\x00hi\x00"
    database.execute(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (99, ?, ?)", (START, text)
    )
    database.commit()
    database.close()
    (path / "metadata.yaml").unlink()
    (camera,) = bag_cameras(path)
    assert len(decoded(camera)) == FRAMES
    assert "/cam/image_raw also carries std_msgs/msg/String (1)" in camera.notes[0]


@pytest.mark.slow
def test_a_damaged_split_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    for number in range(3):
        write_drive(tmp_path / f"part{number}", [0.0, 2.0], "mcap", start=START + number * 10**9)
        (tmp_path / f"part{number}" / f"part{number}.mcap").rename(folder / f"bag_{number}.mcap")
    file = folder / "bag_2.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (folder / "bag_3.mcap").touch()
    (camera,) = bag_cameras(folder)
    assert len(decoded(camera)) == 4
    assert "bag_2.mcap cannot be read" in camera.notes[0] and "mcap recover" in camera.notes[0]
    assert "The other 2 of 4 files are used" in camera.notes[0]
    assert "bag_3.mcap is empty (0 bytes)" in camera.notes[1]
    with Playback(folder) as playback:
        assert len(playback.problems) == 2


@pytest.mark.parametrize("compression", ["", "file"])
def test_a_damaged_database_of_several(tmp_path: Path, compression: str) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    suffix = ".db3.zstd" if compression else ".db3"
    for number in range(2):
        part = write_drive(
            tmp_path / f"part{number}", [0.0, 2.0], "sqlite3", compression, start=START + number
        )
        (part / f"part{number}{suffix}").rename(folder / f"bag_{number}{suffix}")
    text = (tmp_path / "part0" / "metadata.yaml").read_text()
    names = f"  - bag_0{suffix}\n  - bag_1{suffix}\n"
    (folder / "metadata.yaml").write_text(text.replace(f"  - part0{suffix}\n", names))
    file = folder / f"bag_1{suffix}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    (camera,) = bag_cameras(folder)
    assert len(decoded(camera)) == 2
    assert f"bag_1{suffix} " in camera.notes[0] and "used" in camera.notes[0]


@pytest.mark.parametrize("compression", ["", "file", "message"])
def test_metadata_that_does_not_fit_the_files(tmp_path: Path, compression: str) -> None:
    path = write_drive(tmp_path / "bag", [0.0, 2.0, 4.0], compression=compression)
    metadata = path / "metadata.yaml"
    text = metadata.read_text()
    metadata.write_text(text.replace("storage_identifier: sqlite3", "storage_identifier: ''"))
    (camera,) = bag_cameras(path)
    assert len(decoded(camera)) == 3
    assert "storage_identifier is ''; read as sqlite3" in camera.notes[0]
    suffix = ".db3.zstd" if compression == "file" else ".db3"
    more = text.replace(f"  - bag{suffix}\n", f"  - bag{suffix}\n  - bag_1{suffix}\n")
    assert more != text
    metadata.write_text(more)
    problems: list[str] = []
    with open_recording(path, problems):
        pass
    assert f"bag_1{suffix}, which metadata.yaml lists, is missing" in problems[0]


def test_images_of_another_size_than_camera_info(tmp_path: Path) -> None:
    def fill(bag: Bag, stamp: int, index: int) -> None:
        k = (240.0, 0.0, 159.5, 0.0, 240.0, 95.5, 0.0, 0.0, 1.0)
        bag.info("/cam/camera_info", stamp, k=k, size=(320, 192))
        bag.image("/cam/image_raw", stamp, picture(index))

    path = write(tmp_path / "bag", fill)
    with pytest.raises(ValueError, match=r"for 320x192 images, but the images are 160x96; .*scale"):
        bag_cameras(path)
    (camera,) = bag_cameras(path, scale_camera_info=True)
    frame = next(f for f in camera.frames() if not isinstance(f, str))
    assert frame.calibration.camera() == replace(camera.calibration.camera(), fx=120.0)


def test_the_frames_that_are_compared_with_the_motion() -> None:
    assert frames_to_compare(1) == []
    assert frames_to_compare(3) == [0, 1]
    chosen = frames_to_compare(100)
    assert chosen[0] == 0 and chosen[-1] == 98 and len(chosen) == 12


@pytest.mark.slow
def test_report_of_ground_truth(tmp_path: Path, capsys: Any) -> None:
    import json

    from training.extract import main

    path = write_drive(
        tmp_path / "drive", [3.0 * i for i in range(8)], with_depth=True, with_odometry=True
    )
    assert main([str(path), "--out", str(tmp_path / "frames"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "image: /camera/image_raw (8 images" in printed
    (camera,) = json.loads((tmp_path / "frames" / "report.json").read_text())["cameras"]
    truth = camera["truth"]
    assert truth["topic"] == "/camera/depth/compressedDepth"
    assert truth["metres_per_unit"] == 0.001
    assert truth["valid_share"] == 1.0
    assert truth["depth_m"] == {"p5": NEAR, "p50": FAR, "p95": FAR}
    assert truth["agreement"]["scale"] == pytest.approx(1.0, abs=0.1)
    assert [join["what"] for join in camera["joins"]] == ["image", "camera_info", "truth"]
