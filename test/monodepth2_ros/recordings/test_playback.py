# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading recordings in order, and writing them."""

from __future__ import annotations

import numpy as np
import pytest

from bag_builder import INTERVAL, SECOND, START, Bag, scene, write_drive
from monodepth2_ros.conversions import decode_compressed_depth, decode_image, stamp_ns
from monodepth2_ros.recordings.playback import IMAGE, Playback, PlaybackError
from monodepth2_ros.recordings.writer import RecordingWriter

POSITIONS = [0.0, 2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3", "ros1"])
def test_everything_comes_in_order_whatever_the_storage(tmp_path, storage):
    path = tmp_path / ("drive.bag" if storage == "ros1" else "drive")
    write_drive(path, POSITIONS, storage, with_depth=True, with_odometry=True)
    with Playback(path) as playback:
        topics = playback.topics
        assert topics.image.name == "/camera/image_raw" and topics.image.count == 5
        assert topics.camera_info and topics.camera_info.name == "/camera/camera_info"
        assert topics.depth and topics.depth.name == "/camera/depth/compressedDepth"
        assert playback.seconds == pytest.approx(0.4, abs=0.01)
        events = list(playback.events())
    kinds = [event.kind for event in events]
    assert kinds == ["camera_info", "depth", "image"] * 5  # depth and image at the same time
    for index, event in enumerate(events):
        stamp = START + index // 3 * INTERVAL
        assert event.stamp_ns == stamp == stamp_ns(event.message.header)
    image, depth = scene(POSITIONS[3])
    np.testing.assert_array_equal(decode_image(events[11].message), image)
    np.testing.assert_allclose(decode_compressed_depth(events[10].message), depth, atol=1e-3)


def test_a_single_file_of_a_recording_is_enough(tmp_path):
    write_drive(tmp_path / "drive", POSITIONS, "mcap")
    with Playback(tmp_path / "drive" / "drive.mcap") as playback:
        assert sum(event.kind == "image" for event in playback.events()) == 5


def test_start_and_frames_select_a_part(tmp_path):
    write_drive(tmp_path / "drive", POSITIONS)
    with Playback(tmp_path / "drive") as playback:
        stamps = [e.stamp_ns for e in playback.events(0.15, 2) if e.kind == "image"]
        assert stamps == [START + 2 * INTERVAL, START + 3 * INTERVAL]
        first = playback.first("image", 0.15)
        assert first is not None and first.stamp_ns == START + 2 * INTERVAL
        assert playback.first("image", 100.0) is None
        assert playback.first("depth") is None


def test_a_calibration_published_once_is_given_wherever_playing_starts(tmp_path):
    with Bag(tmp_path / "latched") as bag:
        bag.info("/camera/camera_info", START)
        for index in range(5):
            bag.jpeg("/camera/image/compressed", START + index * INTERVAL, scene(0.0)[0])
    with Playback(tmp_path / "latched") as playback:
        assert playback.topics.info_is_rare
        assert playback.topics.image.base_name == "/camera/image"
        kinds = [event.kind for event in playback.events(0.25)]
    assert kinds == ["camera_info", "image", "image"]


@pytest.mark.slow
def test_the_best_of_several_cameras_is_taken_and_the_others_are_named(tmp_path):
    with Bag(tmp_path / "rig") as bag:
        image, depth = scene(0.0)
        for name in ("left", "right"):
            bag.info(f"/{name}/camera_info", START, frame_id=name)
            bag.image(f"/{name}/image_mono", START, image[..., 0], "mono8", frame_id=name)
        bag.image("/right/image_rect_color", START, image, frame_id="right")
        bag.jpeg("/right/image_raw/compressed", START, image, frame_id="right")
        bag.image("/tof/depth", START, depth, "32FC1", frame_id="tof")
        bag.image("/right/depth_registered", START, depth, "32FC1", frame_id="right")
    with Playback(tmp_path / "rig") as playback:
        assert playback.topics.image.name == "/right/image_rect_color"
        assert playback.topics.camera_info.name == "/right/camera_info"
        assert playback.topics.depth.name == "/right/depth_registered"
        assert set(playback.others) == {
            "/left/image_mono",
            "/right/image_mono",
            "/right/image_raw/compressed",
        }
    with Playback(
        tmp_path / "rig", "/right/image_raw", "/left/camera_info", "/tof/depth"
    ) as playback:
        assert playback.topics.image.name == "/right/image_raw/compressed"
        assert playback.topics.camera_info.name == "/left/camera_info"
        assert playback.topics.depth.name == "/tof/depth"
    for option in ("image", "camera_info", "depth"):
        with pytest.raises(PlaybackError, match=f"no {option} topic /nowhere; there are: /"):
            Playback(tmp_path / "rig", **{option: "/nowhere"})


def test_damaged_messages_are_left_out_and_counted(tmp_path):
    with Bag(tmp_path / "damaged", "mcap") as bag:
        for index in range(3):
            bag.image("/camera/image", START + index * INTERVAL, scene(0.0)[0])
        connection = bag.connections["/camera/image"]
        bag.writer.write(connection, START + 3 * INTERVAL, b"\x00\x01\x00\x00\x07")
    with Playback(tmp_path / "damaged") as playback:
        assert len(list(playback.events())) == 3
        assert playback.unreadable == 1


def test_a_stamp_that_was_left_zero_becomes_the_time_of_recording(tmp_path):
    with Bag(tmp_path / "zero") as bag:
        bag.image("/camera/image", 0, scene(0.0)[0], received=START)
    with Playback(tmp_path / "zero") as playback:
        (event,) = playback.events()
    assert event.stamp_ns == event.time_ns == START


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(PlaybackError, match="does not exist"):
        Playback(tmp_path / "nothing")
    with pytest.raises(PlaybackError, match="reindex"):
        Playback(tmp_path)
    (tmp_path / "text.mcap").write_text("no bag")
    with pytest.raises(PlaybackError, match="cannot be read"):
        Playback(tmp_path / "text.mcap")
    with Bag(tmp_path / "blind") as bag:
        bag.info("/camera/camera_info", START)
    with pytest.raises(PlaybackError, match="no image topic.*/camera/camera_info"):
        Playback(tmp_path / "blind")


# Writing


def image_bytes(number):
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.LATEST)
    types = store.types
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=number, nanosec=5), frame_id="camera"
    )
    message = types[IMAGE](
        header=header,
        height=1,
        width=2,
        encoding="mono8",
        is_bigendian=0,
        step=2,
        data=np.array([number, 7], np.uint8),
    )
    return bytes(store.serialize_cdr(message, IMAGE))


def test_a_recording_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "out"
    writer = RecordingWriter(target, {"/a": IMAGE, "/empty": IMAGE})
    for number in (1, 2, 3):
        writer.write("/a", number * SECOND, image_bytes(number))
    assert not target.exists()
    writer.finish()
    assert sorted(path.name for path in target.iterdir()) == ["metadata.yaml", "out.mcap"]
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    with Playback(target) as playback:
        events = list(playback.events())
    assert [event.time_ns for event in events] == [SECOND, 2 * SECOND, 3 * SECOND]
    assert [event.stamp_ns for event in events] == [SECOND + 5, 2 * SECOND + 5, 3 * SECOND + 5]
    assert [int(event.message.data[0]) for event in events] == [1, 2, 3]


def test_a_recording_that_is_given_up_leaves_nothing(tmp_path):
    writer = RecordingWriter(tmp_path / "out", {"/a": IMAGE})
    writer.write("/a", SECOND, image_bytes(1))
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_recording_is_replaced_only_when_asked(tmp_path):
    for number in (1, 2):
        writer = RecordingWriter(tmp_path / "out", {"/a": IMAGE})
        writer.write("/a", SECOND, image_bytes(number))
        writer.finish(replace=number == 2)
    with Playback(tmp_path / "out") as playback:
        assert [int(event.message.data[0]) for event in playback.events()] == [2]
    writer = RecordingWriter(tmp_path / "out", {"/a": IMAGE})
    writer.write("/a", SECOND, image_bytes(3))
    with pytest.raises(OSError, match="not empty"):
        writer.finish()
    writer.discard()
    with Playback(tmp_path / "out") as playback:
        assert [int(event.message.data[0]) for event in playback.events()] == [2]


def test_a_recording_that_does_not_read_back_is_refused(tmp_path):
    writer = RecordingWriter(tmp_path / "out", {"/a": IMAGE})
    writer.write("/a", SECOND, image_bytes(1))
    writer.counts["/a"] += 1
    with pytest.raises(PlaybackError, match="can read"):
        writer.finish()
    writer.discard()
    assert not list(tmp_path.iterdir())
