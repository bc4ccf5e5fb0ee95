# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is damaged or foreign in a recording costs itself only, and is named."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bag_builder import INTERVAL, START, Bag
from monodepth2_ros.checkpoint import CheckpointError, open_checkpoint
from monodepth2_ros.recordings.bags import list_topics, open_recording, read_messages
from monodepth2_ros.recordings.salvage import _chunk_content, scan

TOPIC = "/camera/image_raw"
COUNT = 40  # of 100 kB: ten in a chunk


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MCAP of four chunks."""
    path = tmp_path_factory.mktemp("whole") / "bag"
    images = np.random.default_rng(0).integers(0, 255, (COUNT, 200, 175, 3), dtype=np.uint8)
    with Bag(path, "mcap") as bag:
        for number, image in enumerate(images):
            bag.image(TOPIC, START + number * INTERVAL, image)
    add_checksums(path / "bag.mcap")
    return path


def add_checksums(file: Path) -> None:
    """Write the checksums of chunks, as recorders do; the library leaves them out."""
    content = bytearray(file.read_bytes())
    for part in scan(file).parts:
        records = _chunk_content(io.BytesIO(content), part.offset)
        assert records is not None
        content[part.offset + 33 : part.offset + 37] = struct.pack("<I", zlib.crc32(records))
    file.write_bytes(content)


def copied(whole: Path, folder: Path, change: Any, metadata: bool = True) -> Path:
    """Copy the recording with a changed file."""
    path = folder / "bag"
    shutil.copytree(whole, path)
    content = bytearray((path / "bag.mcap").read_bytes())
    (path / "bag.mcap").write_bytes(change(content))
    if not metadata:
        (path / "metadata.yaml").unlink()
    return path


def stamps(path: Path, problems: list[str]) -> list[int]:
    """Read the numbers of the images."""
    with open_recording(path, problems) as reader:
        types = {topic.name: topic.type for topic in list_topics(reader)}
        assert types[TOPIC] == "sensor_msgs/msg/Image"
        messages = list(read_messages(reader, TOPIC))
    assert all(message is not None for _, message in messages)
    return [(stamp - START) // INTERVAL for stamp, _ in messages]


def chunks(path: Path) -> list[int]:
    """List where the chunks begin."""
    return [part.offset for part in scan(path / "bag.mcap").parts]


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("share", [0.99, 0.6, 0.3])
def test_an_mcap_without_its_end(whole: Path, tmp_path: Path, share: float, metadata: bool) -> None:
    size = (whole / "bag.mcap").stat().st_size
    path = copied(whole, tmp_path, lambda content: content[: int(share * size)], metadata)
    for source in (path, path / "bag.mcap"):
        problems: list[str] = []
        found = stamps(source, problems)
        expected = sum(offset < share * size - 1_100_000 for offset in chunks(whole))
        assert found == list(range(len(found)))
        assert len(found) >= 10 * max(1, expected)
        said = " ".join(problems)
        assert f"its end is missing; {len(found)} messages can be read" in said


def test_an_mcap_cut_in_its_first_chunk(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path, lambda content: content[:5000])
    with pytest.raises(ValueError, match=r"bag\.mcap cannot be read.*mcap recover"):
        stamps(path, [])


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("metadata", [True, False])
def test_a_broken_chunk_costs_its_messages(
    whole: Path, tmp_path: Path, number: int, metadata: bool
) -> None:
    place = chunks(whole)[number] + 500_000

    def flip(content: bytearray) -> bytearray:
        content[place] ^= 1
        return content

    problems: list[str] = []
    found = stamps(copied(whole, tmp_path, flip, metadata), problems)
    parts = scan(whole / "bag.mcap").parts
    lost = [
        index
        for index in range(COUNT)
        if parts[number].start <= START + index * INTERVAL + 1_000_000 <= parts[number].end
    ]
    assert 8 <= len(lost) <= 12
    assert found == [index for index in range(COUNT) if index not in lost]
    said = " ".join(problems)
    assert said.count("left out") == 1
    assert f"1 damaged part(s) were left out, with {len(lost)} messages" in said


def test_a_record_that_makes_no_sense(whole: Path, tmp_path: Path) -> None:
    """Reading goes on at the next chunk."""
    second, third = chunks(whole)[1:3]

    def overwrite(content: bytearray) -> bytearray:
        content[second : second + 40] = b"\xee" * 40
        return content[: third + 1_200_000]

    found = stamps(copied(whole, tmp_path, overwrite), [])
    assert found[:8] == list(range(8)) and 18 < len(found) < 24 and max(found) > 20


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_services_do_not_cost_the_images(tmp_path: Path, storage: str) -> None:
    definitions = {
        "example_interfaces/srv/AddTwoInts_Event": "int64 a\nint64 b\n---\nint64 sum\n",
        "example_interfaces/srv/AddTwoInts": "int64 a\n---\nint64 sum\n---\n",
        "strange_msgs/msg/Odd": "=== {{ no definition",
    }
    with Bag(tmp_path / "bag", storage) as bag:
        for number, (kind, text) in enumerate(definitions.items()):
            connection = bag.writer.add_connection(
                f"/service{number}/_service_event",
                kind,
                msgdef=text,
                rihs01=f"RIHS01_{number:064x}",
            )
            bag.writer.write(connection, START, b"\x00\x01\x00\x00" + bytes(8))
        bag.image(TOPIC, START, np.zeros((8, 8, 3), np.uint8))
    problems: list[str] = []
    assert stamps(tmp_path / "bag", problems) == [0]
    assert problems == [
        "/service2/_service_event is left out: the definition of strange_msgs/msg/Odd cannot be "
        "parsed"
    ]


def foreign(content: bytearray, profile: bytes, encoding: bytes) -> bytearray:
    """Give an MCAP another profile and its channels another encoding, both of the same lengths."""
    (length,) = struct.unpack_from("<I", content, 17)
    assert bytes(content[21 : 21 + length]) == b"ros2" and len(profile) == 4
    content[21:25] = profile
    old = struct.pack("<I", 3) + b"cdr"
    assert old in content and len(encoding) == 3
    return content.replace(old, struct.pack("<I", 3) + encoding)


@pytest.mark.parametrize(
    ("profile", "encoding", "fix", "metadata"),
    [(b"ros1", b"rs1", "rosbags-convert", True), (b"ros1", b"rs1", "rosbags-convert", False),
     (b"none", b"jsn", "recorder of ROS 2", True), (b"ros2", b"pbf", "recorder of ROS 2", False)],
)  # fmt: skip
def test_messages_that_are_not_of_ros_2(
    whole: Path, tmp_path: Path, profile: bytes, encoding: bytes, fix: str, metadata: bool
) -> None:
    """ROS 1, JSON or protobuf in an MCAP: one sentence, and nothing about a killed recorder."""
    path = copied(whole, tmp_path, lambda c: foreign(c, profile, encoding), metadata)
    with pytest.raises(ValueError) as caught, open_recording(path, []):
        pass
    said = str(caught.value)
    assert f"profile '{profile.decode()}'" in said and repr(encoding.decode()) in said
    assert fix in said and "reindex" not in said and "killed" not in said


@pytest.mark.parametrize("metadata", [True, False])
def test_an_mcap_of_another_profile_with_ros_2_messages(
    whole: Path, tmp_path: Path, metadata: bool
) -> None:
    path = copied(whole, tmp_path, lambda c: foreign(c, b"none", b"cdr"), metadata)
    problems: list[str] = []
    assert stamps(path, problems) == list(range(COUNT))
    assert problems == [
        f"bag.mcap: its profile is 'none', not ros2; {COUNT} messages in CDR are used"
    ]


@pytest.mark.parametrize("metadata", [True, False])
def test_type_names_of_ros_1(tmp_path: Path, metadata: bool) -> None:
    path = tmp_path / "bag"
    with Bag(path) as bag:
        bag.image(TOPIC, START, np.zeros((8, 8, 3), np.uint8))
    database = sqlite3.connect(path / "bag.db3")
    for table, column in (("topics", "type"), ("message_definitions", "topic_type")):
        database.execute(f"UPDATE {table} SET {column} = 'sensor_msgs/Image'")
    database.commit()
    database.close()
    text = (path / "metadata.yaml").read_text()
    assert "sensor_msgs/msg/Image" in text
    (path / "metadata.yaml").write_text(text.replace("sensor_msgs/msg/Image", "sensor_msgs/Image"))
    if not metadata:
        (path / "metadata.yaml").unlink()
    assert stamps(path, []) == [0]


def test_a_count_that_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with Bag(path) as bag:
        bag.image(TOPIC, START, np.zeros((8, 8, 3), np.uint8))
    text = (path / "metadata.yaml").read_text()
    assert "message_count: 1" in text
    (path / "metadata.yaml").write_text(text.replace("message_count: 1", "message_count: []"))
    assert stamps(path, []) == [0]


@pytest.mark.parametrize(
    ("old", "new"), [("type: sensor_msgs/msg/Image", "type: []"), ("- bag.db3", "- " + "a" * 5000)]
)
def test_metadata_with_names_that_are_none(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "bag"
    with Bag(path) as bag:
        bag.image(TOPIC, START, np.zeros((8, 8, 3), np.uint8))
    text = (path / "metadata.yaml").read_text()
    assert old in text
    (path / "metadata.yaml").write_text(text.replace(old, new))
    with contextlib.suppress(ValueError), open_recording(path, []) as reader:
        list_topics(reader)


@pytest.mark.parametrize(
    "change",
    [
        "encoded_message_definition = 'x { y'",
        "encoded_message_definition = replace(encoded_message_definition, 'frame_id', 'frame_ie')",
    ],
)
def test_a_definition_that_is_damaged_is_replaced(tmp_path: Path, change: str) -> None:
    path = tmp_path / "bag"
    with Bag(path) as bag:
        bag.image(TOPIC, START, np.zeros((8, 8, 3), np.uint8))
    database = sqlite3.connect(path / "bag.db3")
    database.execute(f"UPDATE message_definitions SET {change}")
    database.commit()
    database.close()
    assert stamps(path, []) == [0]


POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3", "drive.bag"])
@pytest.mark.parametrize("metadata", ["", POINTER, "rosbag2_bagfile_information: {version: 5}\n"])
def test_recordings_that_are_git_lfs_pointers(tmp_path: Path, name: str, metadata: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text(POINTER)
    if metadata:
        (folder / "metadata.yaml").write_text(metadata)
    sources = [folder / name] if name.endswith(".bag") else [folder, folder / name]
    for source in sources:
        with pytest.raises(ValueError, match=r"Git LFS pointer.*git lfs pull") as caught:
            stamps(source, [])
        assert name in str(caught.value) and "recorder was killed" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.pth", "model.xml", "folder/encoder.pth"]
)
def test_weights_that_are_git_lfs_pointers(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(POINTER)
    if name.startswith("folder"):
        (path.parent / "depth.pth").write_text(POINTER)
        path = path.parent
    with pytest.raises(CheckpointError, match=r"Git LFS pointer.*git lfs pull"):
        open_checkpoint(str(path))


@pytest.mark.parametrize("name", ["pipe", "pipe.mcap", "pipe.db3"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """Whoever opens one waits until somebody writes, perhaps for ever."""
    os.mkfifo(tmp_path / name)
    with (
        pytest.raises(ValueError, match="is a pipe, socket or device"),
        open_recording(tmp_path / name),
    ):
        pass
    with pytest.raises(CheckpointError, match="is a pipe, socket or device"):
        open_checkpoint(str(tmp_path / name))
