# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Opening recordings and finding what is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bag_builder import FAR, INTERVAL, START, Bag, K, encode, scene, write_drive
from monodepth2_ros.recordings.bags import (
    list_topics,
    open_recording,
    read_messages,
)
from training.extraction.bag_cameras import bag_cameras, read_points
from training.extraction.stored_view import make_view


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        ("sqlite3", ""),
        ("sqlite3", "file"),
        ("sqlite3", "message"),
        ("mcap", ""),
        ("mcap", "message"),
        ("ros1", ""),
    ],
)
def test_every_kind_of_bag_is_read(tmp_path: Path, storage: str, compression: str) -> None:
    path = write_drive(
        tmp_path / ("recording.bag" if storage == "ros1" else "recording"),
        [0.0, 3.0, 6.0],
        storage,
        compression,
        with_depth=True,
    )
    with open_recording(path) as reader:
        topics = list_topics(reader)
        assert [(t.name, t.count, t.frame_id, t.is_depth) for t in topics] == [
            ("/camera/camera_info", 3, "camera", False),
            ("/camera/depth/compressedDepth", 3, "camera", True),
            ("/camera/image_raw", 3, "camera", False),
        ]
        messages = list(read_messages(reader, "/camera/image_raw"))
    assert [stamp for stamp, _ in messages] == [START + i * INTERVAL for i in range(3)]
    (camera,) = bag_cameras(path)
    frames = list(camera.frames())
    assert len(frames) == 3
    for frame, position in zip(frames, (0.0, 3.0, 6.0), strict=True):
        assert not isinstance(frame, str)
        assert np.array_equal(frame.decode(), scene(position)[0])
        assert frame.calibration.camera().fx == 120.0


def test_old_bags_without_definitions_are_read(tmp_path: Path) -> None:
    path = write_drive(tmp_path / "bag", [0.0, 3.0, 6.0])
    database = sqlite3.connect(path / "bag.db3")
    database.execute("DELETE FROM message_definitions")
    database.commit()
    database.close()
    (camera,) = bag_cameras(path)
    assert len(list(camera.frames())) == 3


@pytest.mark.parametrize(("storage", "suffix"), [("sqlite3", ".db3"), ("mcap", ".mcap")])
def test_a_folder_without_metadata_and_a_single_file(
    tmp_path: Path, storage: str, suffix: str
) -> None:
    path = write_drive(tmp_path / "bag", [0.0, 3.0, 6.0], storage)
    (path / "metadata.yaml").unlink()
    for candidate in (path, path / f"bag{suffix}"):
        (camera,) = bag_cameras(candidate)
        assert len(list(camera.frames())) == 3


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="nothing does not exist"),
        open_recording(tmp_path / "nothing"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="neither metadata.yaml nor bag files"),
        open_recording(tmp_path),
    ):
        pass
    (tmp_path / "folder.bag").mkdir()
    with (
        pytest.raises(ValueError, match="rename it without"),
        open_recording(tmp_path / "folder.bag"),
    ):
        pass
    file = tmp_path / "text.txt"
    file.write_text("no bag")
    with pytest.raises(ValueError, match=r"text\.txt cannot be read"), open_recording(file):
        pass


def test_a_bag_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = write_drive(tmp_path / "bag", [3.0 * i for i in range(12)])
    file = path / "bag.db3"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\xff" * 3000
    file.write_bytes(content)
    with open_recording(path) as reader:
        seen = 0
        with pytest.raises(ValueError, match="/camera/image_raw breaks off"):
            for _ in read_messages(reader, "/camera/image_raw"):
                seen += 1
    assert 0 < seen < 12


def test_damaged_messages_are_told_apart(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for i in range(3):
            bag.info("/camera_info", START + i * INTERVAL)
            bag.image("/image", START + i * INTERVAL, scene(0.0)[0])
        connection = bag.connections["/image"]
        bag.writer.write(connection, START + 3 * INTERVAL, b"\x00\x01\x00\x00\xff\xff")
    (camera,) = bag_cameras(tmp_path / "bag")
    frames = list(camera.frames())
    assert [isinstance(frame, str) for frame in frames] == [False, False, False, True]
    assert frames[-1] == "message cannot be deserialised"


def test_a_stamp_of_zero_is_replaced_by_the_time_of_recording(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for i in range(3):
            bag.image("/image", 0, scene(0.0)[0], received=START + i * INTERVAL)
    with open_recording(tmp_path / "bag") as reader:
        stamps = [stamp for stamp, _ in read_messages(reader, "/image")]
    assert stamps == [START + i * INTERVAL for i in range(3)]


def test_depth_in_png_is_no_picture(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        png = encode(".png", np.full((96, 160), 4000, np.uint16))
        bag.info("/camera/camera_info", START)
        bag.image("/camera/image_raw", START, scene(0.0)[0])
        bag.compressed("/camera/depth/compressed", START, png, "16UC1; png compressed ")
    (camera,) = bag_cameras(tmp_path / "bag")
    assert camera.image.name == "/camera/image_raw"
    assert not camera.has_truth


def test_a_camera_without_calibration_is_left_out_or_refused(tmp_path: Path) -> None:
    def write(name: str, k: Sequence[float] | None) -> Path:
        with Bag(tmp_path / name) as bag:
            for i in range(3):
                stamp = START + i * INTERVAL
                bag.image("/front/image_raw", stamp, scene(0.0)[0], frame_id="front")
                bag.image("/rear/image_raw", stamp, scene(0.0)[0], frame_id="rear")
                if k is not None:
                    bag.info("/rear/camera_info", stamp, k=k, frame_id="rear")
        return tmp_path / name

    (camera,) = bag_cameras(write("one", K))
    assert camera.image.name == "/rear/image_raw"
    assert "left out" in camera.notes[0]
    assert "/front/image_raw: no camera_info belongs to it" in camera.notes[0]
    with pytest.raises(ValueError, match=r"/front/image_raw: no camera_info .* --camera"):
        bag_cameras(tmp_path / "one", images=["/front/image_raw"])
    with pytest.raises(ValueError, match="no camera_info belongs to it; give --camera"):
        bag_cameras(write("none", None))
    with pytest.raises(ValueError, match=r"/rear/camera_info is uncalibrated \(K\[0\] is 0\)"):
        bag_cameras(write("zero", (0.0,) * 9))


def test_camera_info_is_paired_by_stamp(tmp_path: Path) -> None:
    # The messages of camera_info arrive late and in another order.
    with Bag(tmp_path / "bag") as bag:
        for i in range(6):
            bag.image("/image", START + i * INTERVAL, scene(0.0)[0])
        for i in reversed(range(6)):
            k = (120.0 if i < 3 else 150.0, 0.0, 79.5, 0.0, 120.0, 47.5, 0.0, 0.0, 1.0)
            if i != 4:  # the nearest one holds
                bag.info("/camera_info", START + i * INTERVAL, k=k)
    (camera,) = bag_cameras(tmp_path / "bag")
    focal = [f.calibration.k[0] for f in camera.frames() if not isinstance(f, str)]
    assert focal == [120.0] * 3 + [150.0] * 3


@pytest.mark.slow
def test_truth_topics(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for i in range(3):
            stamp = START + i * INTERVAL
            picture, metres = scene(0.0)
            bag.info("/camera_info", stamp)
            bag.image("/image", stamp, picture)
            millimetres = (metres * 1000).astype(np.uint16)
            bag.image("/elsewhere/depth", stamp, millimetres, "16UC1", frame_id="other")
            bag.cloud("/points", stamp, np.ones((4, 3)), frame_id="lidar")
    path = tmp_path / "bag"
    (camera,) = bag_cameras(path)
    assert not camera.has_truth
    assert "/elsewhere/depth, /points not used as truth" in camera.notes[0]
    (camera,) = bag_cameras(path, truth="/elsewhere/depth")
    assert camera.truth is not None
    assert camera.truth.name == "/elsewhere/depth"
    (camera,) = bag_cameras(path, extrinsics=np.eye(4))
    assert camera.truth is not None
    assert camera.truth.name == "/points"
    assert bag_cameras(path, truth="none")[0].notes == ()
    with Bag(tmp_path / "two") as bag:
        for name in ("a", "b"):
            bag.info(f"/{name}/camera_info", START)
            bag.image(f"/{name}/image", START, scene(0.0)[0])
    with pytest.raises(
        ValueError, match="--extrinsics is about one camera, but there are /a/image"
    ):
        bag_cameras(tmp_path / "two", extrinsics=np.eye(4))
    with pytest.raises(ValueError, match="no transform leads from 'lidar'"):
        bag_cameras(path, truth="/points")
    with pytest.raises(ValueError, match="no depth image or PointCloud2 /x; there are: /points"):
        bag_cameras(path, truth="/x")


def test_points_are_read_from_any_layout(tmp_path: Path) -> None:
    points = np.arange(12.0).reshape(4, 3)
    with Bag(tmp_path / "bag") as bag:
        bag.cloud("/points", START, points, "lidar")
    with open_recording(tmp_path / "bag") as reader:
        ((_, message),) = read_messages(reader, "/points")
    assert np.array_equal(read_points(message), points)
    # Two rows with padding, double precision, big-endian, fields in another order.
    layout = np.dtype({"names": ["z", "x", "y"], "formats": [">f8"] * 3, "itemsize": 28})
    rows = np.zeros((2, 64), np.uint8)
    for row in range(2):
        structured = np.zeros(2, layout)
        for index, name in enumerate("xyz"):
            structured[name] = points[2 * row : 2 * row + 2, index]
        rows[row, :56] = np.frombuffer(structured.tobytes(), np.uint8)
    for field, offset in zip(message.fields, (8, 16, 0), strict=True):
        object.__setattr__(field, "offset", offset)
        object.__setattr__(field, "datatype", 8)
    for name, value in {
        "height": 2,
        "width": 2,
        "point_step": 28,
        "row_step": 64,
        "is_bigendian": True,
        "data": rows.reshape(-1),
    }.items():
        object.__setattr__(message, name, value)
    assert np.array_equal(read_points(message), points)
    object.__setattr__(message, "data", rows.reshape(-1)[:100])
    with pytest.raises(ValueError, match="point cloud of 100 bytes for 2x2 points"):
        read_points(message)
    object.__setattr__(message, "fields", message.fields[:2])
    with pytest.raises(ValueError, match="without floating-point fields"):
        read_points(message)


def test_a_moving_mount_places_the_cloud(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.transform("/tf_static", START, "base", "camera", (0.0, 0.0, 1.0))
        for i in range(3):
            stamp = START + i * INTERVAL
            bag.info("/camera_info", stamp)
            bag.image("/image", stamp, scene(0.0)[0])
            bag.transform("/tf", stamp, "base", "lidar", (0.0, 0.0, float(i)))
            bag.cloud("/points", stamp, np.array([[0.0, 0.0, FAR]]), "lidar")
    (camera,) = bag_cameras(tmp_path / "bag")
    view = make_view(camera.calibration, False, "auto", (0.0, 0.0, 0.0, 0.0), (160, 96))
    found = [np.nanmax(truth.decode(view, None)) for truth in camera.truths()]
    # The point lies FAR before the lidar, which is i in front of the base, the camera 1.
    assert found == pytest.approx([FAR - 1.0, FAR, FAR + 1.0])
