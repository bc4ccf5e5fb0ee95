# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages as bytes: the same as those of the rosbags library, in both byte orders."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from monodepth2_ros import cdr
from monodepth2_ros.conversions import decode_image

STORE = get_typestore(Stores.ROS2_JAZZY)
RNG = np.random.default_rng(3)


def kind(name):
    return STORE.types[name]


def header(frame="camera", sec=17, nanosec=999_999_999):
    return kind("std_msgs/msg/Header")(kind("builtin_interfaces/msg/Time")(sec, nanosec), frame)


def empty_header():
    return SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="")


def image(frame, encoding, rows, step, is_bigendian=0):
    data = RNG.integers(0, 256, rows * step, dtype=np.uint8)
    return kind("sensor_msgs/msg/Image")(
        header(frame), rows, max(1, step // 3), encoding, is_bigendian, step, data
    )


def serialized(message, little_endian=True):
    name = message.__msgtype__
    return bytes(STORE.serialize_cdr(message, name, little_endian=little_endian))


# Lengths of all remainders by 4, so that every field is moved by its alignment once.
FRAMES = ["", "c", "ca", "cam", "camé", "front/camera_optical_frame"]


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "bayer_rggb8", ""])
def test_an_image_is_read_as_it_was_written(frame, encoding, little_endian):
    message = image(frame, encoding, 5, 21, is_bigendian=1)
    read = cdr.read_image(serialized(message, little_endian), empty_header)
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (17, 999_999_999)
    assert read.header.frame_id == frame
    for field in ("height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(read, field) == getattr(message, field)
    np.testing.assert_array_equal(np.frombuffer(read.data, np.uint8), message.data)


def test_an_image_that_was_read_is_decoded_where_it_was_received():
    message = image("camera", "rgb8", 4, 18)
    received = serialized(message)
    pixels = decode_image(cdr.read_image(received, empty_header))
    np.testing.assert_array_equal(pixels.reshape(-1), message.data)
    assert np.shares_memory(pixels, np.frombuffer(received, np.uint8))


def test_a_message_that_ends_early_is_refused_wherever_it_ends():
    whole = serialized(image("camera", "rgb8", 3, 9))
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"too early|not plain CDR"):
            cdr.read_image(whole[:length], empty_header)


@pytest.mark.parametrize("begin", [b"\x00\x02", b"\x00\x03", b"\xff\xff", b"\x01\x00"])
def test_other_encodings_are_refused(begin):
    whole = serialized(image("camera", "rgb8", 3, 9))
    with pytest.raises(ValueError, match="not plain CDR"):
        cdr.read_image(begin + whole[2:], empty_header)


def test_random_bytes_give_an_image_or_an_error():
    whole = bytearray(serialized(image("camera", "rgb8", 3, 9)))
    for _ in range(2000):
        damaged = bytearray(whole)
        for place in RNG.integers(0, len(whole), 3):
            damaged[place] = RNG.integers(256)
        try:
            read = cdr.read_image(bytes(damaged), empty_header)
        except ValueError:
            continue
        assert len(read.data) <= len(damaged)


def test_text_that_is_not_utf8_is_refused():
    damaged = serialized(image("camera", "rgb8", 3, 9)).replace(b"camera", b"cam\xff\xfea")
    with pytest.raises(ValueError, match="not UTF-8"):
        cdr.read_image(damaged, empty_header)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    ("pixels", "encoding"),
    [
        (RNG.random((5, 7), dtype=np.float32), "32FC1"),
        (RNG.integers(0, 65535, (5, 7), dtype=np.uint16), "16UC1"),
        (RNG.integers(0, 255, (5, 7, 3), dtype=np.uint8), "rgb8"),
        (RNG.random((10, 14), dtype=np.float32)[::2, ::2], "32FC1"),
    ],
)
def test_an_image_is_written_as_rosbags_writes_it(frame, pixels, encoding):
    step = pixels[0].nbytes
    data = np.frombuffer(pixels.tobytes(), np.uint8)
    message = kind("sensor_msgs/msg/Image")(header(frame), 5, 7, encoding, 0, step, data)
    assert cdr.image_bytes(header(frame), pixels, encoding) == serialized(message)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_cloud_is_written_as_rosbags_writes_it(frame):
    points = RNG.random((3, 5, 4), dtype=np.float32)
    points[0, 0, :3] = np.nan
    fields = [
        kind("sensor_msgs/msg/PointField")(name, 4 * index, 7, 1)
        for index, name in enumerate(("x", "y", "z", "rgb"))
    ]
    data = np.frombuffer(points.tobytes(), np.uint8)
    message = kind("sensor_msgs/msg/PointCloud2")(
        header(frame), 3, 5, fields, False, 16, 80, data, False
    )
    assert cdr.cloud_bytes(header(frame), points) == serialized(message)
    assert cdr.cloud_bytes(header(frame), points[:0]) == serialized(
        kind("sensor_msgs/msg/PointCloud2")(
            header(frame), 0, 5, fields, False, 16, 80, data[:0], False
        )
    )


def test_a_cloud_is_read_back_field_by_field():
    points = RNG.random((4, 6, 4), dtype=np.float32)
    points.view(np.uint32)[..., 3] = 0x00123456
    written = cdr.cloud_bytes(header(), points)
    message = STORE.deserialize_cdr(written, "sensor_msgs/msg/PointCloud2")
    layout = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": ["<f4"] * 4,
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    read = np.frombuffer(message.data, layout).reshape(4, 6)
    for index, name in enumerate("xyz"):
        np.testing.assert_array_equal(read[name], points[..., index])
    blue, green, red = np.frombuffer(message.data, np.uint8).reshape(4, 6, 16)[2, 3, 12:15]
    assert (red, green, blue) == (0x12, 0x34, 0x56)


@pytest.mark.parametrize("little_endian", [True, False])
def test_a_stamp_is_read_left_out_and_exchanged(little_endian):
    first, second = (
        serialized(header("camera", sec, nanosec), little_endian)
        for sec, nanosec in ((17, 5), (-3, 999_999_999))
    )
    assert cdr.read_stamp(second) == (-3, 999_999_999)
    assert first != second and cdr.without_stamp(first) == cdr.without_stamp(second)
    other = serialized(header("camera2", 17, 5), little_endian)
    assert cdr.without_stamp(first) != cdr.without_stamp(other)
    if little_endian:
        assert cdr.with_stamp(first, header("", -3, 999_999_999)) == second
    with pytest.raises(ValueError, match="too early"):
        cdr.read_stamp(first[:9])
