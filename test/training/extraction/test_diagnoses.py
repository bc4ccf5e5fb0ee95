# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every "why is there nothing" names what is there and what to do: situations and messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bag_builder import INTERVAL, START, Bag, scene, write_drive
from monodepth2_ros.node.diagnostics import ERROR, WARN, NodeStatus, assess_health, pairing_problem
from monodepth2_ros.node.image_camera import SampleWatch
from monodepth2_ros.node.pairing import CameraInfoPairing
from training.extraction.bag_cameras import bag_cameras

MS = 1_000_000


def no_image(**fields: object) -> tuple[int, str]:
    return assess_health(NodeStatus("active", "/cam/image", image_age=9.0, **fields))  # type: ignore[arg-type]


def pairing(
    infos: list[tuple[int, str]], tolerance: int | None = MS, frame: str = "camera"
) -> CameraInfoPairing:
    found = CameraInfoPairing(tolerance)
    for stamp, info_frame in infos:
        found.add_info(stamp, object(), info_frame)
    for stamp in (100 * MS, 200 * MS):
        found.add_image(stamp, object(), frame)
    found.expire()
    return found


def dark_samples() -> str:
    from types import SimpleNamespace

    watch = SampleWatch()
    values = np.arange(4096, dtype="<u2")
    for _ in range(3):
        watch.look_at(
            SimpleNamespace(
                encoding="mono16",
                width=64,
                height=64,
                step=128,
                is_bigendian=0,
                data=values.tobytes(),
            )
        )
    return watch.problem


NODE: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
    "raw subscribed, the topic is compressed": (
        lambda: no_image(image_publishers=1, wrong_type="sensor_msgs/msg/CompressedImage")[1],
        ("CompressedImage", "image_transport to 'compressed'", "remap image to /cam/image"),
    ),
    "compressed subscribed, the topic is raw": (
        lambda: no_image(image_publishers=1, wrong_type="sensor_msgs/msg/Image")[1],
        ("sensor_msgs/msg/Image", "image_transport to 'raw'"),
    ),
    "only the compressed topic is published": (
        lambda: no_image(other_transport="/cam/image/compressed")[1],
        ("nobody publishes /cam/image", "/cam/image/compressed is published", "'compressed'"),
    ),
    "only the raw topic is published": (
        lambda: no_image(other_transport="/cam/image")[1],
        ("/cam/image is published", "image_transport to 'raw'"),
    ),
    "no image type at all": (
        lambda: no_image(image_publishers=1, wrong_type="std_msgs/msg/String")[1],
        ("std_msgs/msg/String", "no image", "remap image"),
    ),
    "QoS": (
        lambda: no_image(image_publishers=1, qos_conflict="its publisher is best effort")[1],
        ("its publisher is best effort",),
    ),
    "latched camera_info": (
        lambda: pairing_problem(pairing([]), "/info", publishers=1),
        ("no camera_info on /info", "1 publisher", "latched", "pairing to 'latest'"),
    ),
    "no camera_info": (
        lambda: pairing_problem(pairing([]), "/info"),
        ("no camera_info on /info", "points are not"),
    ),
    "camera_info of another frame": (
        lambda: pairing_problem(pairing([(100 * MS, "other")]), "/info", 1),
        ("frame 'other'", "'camera'", "Remap camera_info", "camera_info_frame to 'any'"),
    ),
    "camera_info of another frame, latest": (
        lambda: pairing_problem(pairing([(100 * MS, "other")], None), "/info", 1),
        ("frame 'other'", "camera_info_frame to 'any'"),
    ),
    "camera_info at other stamps": (
        lambda: pairing_problem(pairing([(93 * MS, "camera"), (193 * MS, "camera")]), "/info", 1),
        ("differ by 7.0 ms", "pairing_tolerance is 1.0 ms", "'latest' or raise the tolerance"),
    ),
    "12 bits in mono16": (dark_samples, ("12 of 16 bits", "set bit_depth to 12")),
    "NaN": (
        lambda: assess_health(
            NodeStatus("active", "/i", image_age=0.0, listeners=1, is_empty=True)
        )[1],
        ("NaN everywhere", "weights or scale are corrupt", "min_range"),
    ),
}


@pytest.mark.parametrize("situation", NODE)
def test_the_node_says_what_is_there_and_what_to_do(situation: str) -> None:
    say, expected = NODE[situation]
    said = say()
    for part in expected:
        assert part in said, said


def test_their_levels() -> None:
    assert no_image(other_transport="/x")[0] == ERROR
    status = NodeStatus("active", "/i", image_age=0.0, listeners=1, camera_problem="other frame")
    assert assess_health(status) == (WARN, "other frame")


def truncated(path: Path) -> Path:
    write_drive(path, [0.0, 2.0], "mcap")
    file = path / f"{path.name}.mcap"
    file.write_bytes(file.read_bytes()[:1500])  # before the first message: nothing can be saved
    return path


def empty_files(path: Path) -> Path:
    path.mkdir()
    (path / "bag_0.mcap").touch()
    return path


def unknown_storage(path: Path) -> Path:
    write_drive(path, [0.0, 2.0])
    file = path / f"{path.name}.db3"
    file.rename(path / f"{path.name}.bin")
    metadata = path / "metadata.yaml"
    text = metadata.read_text().replace("sqlite3", "''").replace(".db3", ".bin")
    metadata.write_text(text)
    return path


def infrared_as_depth(path: Path) -> Path:
    with Bag(path) as bag:
        for index in range(3):
            values = scene(2.0 * index)[0][..., 0].astype(np.uint16)
            bag.image("/cam/image_raw", START + index * INTERVAL, values, "16UC1")
    return path


def only_labels(path: Path) -> Path:
    with Bag(path) as bag:
        bag.image("/cam/labels_color", START, scene(0.0)[0])
    return path


def uncalibrated(path: Path) -> Path:
    with Bag(path) as bag:
        bag.info("/cam/camera_info", START, k=(0.0,) * 9)
        bag.image("/cam/image_raw", START, scene(0.0)[0])
    return path


def impossible(path: Path) -> Path:
    with Bag(path) as bag:
        bag.info("/cam/camera_info", START, frame_id="elsewhere")
        bag.image("/cam/image_raw", START, scene(0.0)[0])
    return path


BAGS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "truncated": (truncated, ("cannot be read", "mcap recover")),
    "empty files": (empty_files, ("bag_0.mcap is empty (0 bytes)",)),
    "reindexed without a storage": (
        unknown_storage,
        ("storage_identifier is ''", "'.bin'", "write mcap or sqlite3 there"),
    ),
    "16UC1 as the only image": (
        infrared_as_depth,
        (
            "no image topic",
            "/cam/image_raw (16UC1) was taken for unclear",
            "depth, or a grey",
            "--image-topic",
        ),
    ),
    "labels as the only image": (
        only_labels,
        ("no image topic", "/cam/labels_color (rgb8) was taken for labels", "'labels' in its name"),
    ),
    "uncalibrated": (uncalibrated, ("K[0] is 0", "calibrate", "--camera calibration.yaml")),
    "camera_info of another frame": (
        impossible,
        ("its frame is 'elsewhere'", "the image's 'camera'", "--camera-info-topic TOPIC"),
    ),
}


@pytest.mark.parametrize("situation", BAGS)
def test_the_extraction_says_what_is_there_and_what_to_do(tmp_path: Path, situation: str) -> None:
    make, expected = BAGS[situation]
    with pytest.raises(ValueError) as refusal:
        bag_cameras(make(tmp_path / "bag"))
    for part in expected:
        assert part in str(refusal.value), refusal.value
