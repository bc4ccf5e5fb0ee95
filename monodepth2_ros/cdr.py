# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images and clouds as the bytes that ROS 2 sends: the plain CDR of sensor_msgs.

rclpy copies the pixels of an image three times on the way in and on the way out, and visits every
field in between. Large messages are therefore taken and published as bytes, with one copy. All
middlewares of ROS 2 send CDR, and rosbag2 keeps it.

Plain CDR: 4 bytes that say the byte order, then the fields, each number at a multiple of its size,
counted from after those 4 bytes. A string is its length, its bytes and a zero, a sequence its
length and its elements. No ROS package is imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of a point: float32 x, y, z and the colour packed into a fourth.
POINT_STEP = 16

# What begins a message: CDR in this byte order, without options.
_BEGIN = 4
_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_ORDERS = {b"\x00\x01": "<", b"\x00\x00": ">"}

# The first fields of every message with a header: seconds and nanoseconds of its stamp.
_STAMP = slice(_BEGIN, _BEGIN + 8)

_FLOAT32 = 7  # sensor_msgs/PointField


@dataclass(frozen=True)
class ReceivedImage:
    """What ``sensor_msgs/Image`` holds, with the data where they were received.

    Attributes
    ----------
    header : std_msgs/Header
    height, width : int
    encoding : str
    is_bigendian : int
    step : int
    data : memoryview
    """

    header: Any
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def read_image(message: bytes, make_header: Callable[[], Any]) -> ReceivedImage:
    """Read a serialized ``sensor_msgs/Image``, without a copy of its data.

    Parameters
    ----------
    message : bytes
    make_header : callable
        Makes an empty ``std_msgs/Header``.

    Raises
    ------
    ValueError
        If the bytes are none, or end too early.
    """
    reader = _Reader(message, "sensor_msgs/Image")
    header = make_header()
    header.stamp.sec = reader.number("i", 4)
    header.stamp.nanosec = reader.number("I", 4)
    header.frame_id = reader.text()
    height, width = reader.number("I", 4), reader.number("I", 4)
    encoding = reader.text()
    is_bigendian = reader.number("B", 1)
    step = reader.number("I", 4)
    return ReceivedImage(
        header, height, width, encoding, is_bigendian, step, reader.take(reader.number("I", 4))
    )


def image_bytes(header: Any, pixels: NDArray[Any], encoding: str) -> bytes:
    """Serialize a ``sensor_msgs/Image``.

    Parameters
    ----------
    header : std_msgs/Header
    pixels : ndarray, shape (H, W) or (H, W, C)
        In the machine's byte order, little-endian on every platform that ROS 2 supports.
    encoding : str
    """
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    head = _Writer(header)
    head.numbers("II", height, width)
    head.text(encoding)
    head.numbers("B", 0)  # little-endian
    head.numbers("II", pixels.nbytes // max(1, height), pixels.nbytes)
    return b"".join((head.made, pixels.data))


def cloud_bytes(header: Any, points: NDArray[np.float32]) -> bytes:
    """Serialize an organised ``sensor_msgs/PointCloud2``.

    Parameters
    ----------
    header : std_msgs/Header
    points : ndarray, shape (H, W, 4), float32
        x, y, z in metres and the packed colour, see :mod:`monodepth2_ros.point_cloud`.
    """
    points = np.ascontiguousarray(points)
    height, width = points.shape[:2]
    head = _Writer(header)
    head.numbers("II", height, width)
    head.numbers("I", 4)
    for index, name in enumerate(("x", "y", "z", "rgb")):
        head.text(name)
        head.numbers("I", 4 * index)
        head.numbers("B", _FLOAT32)
        head.numbers("I", 1)
    head.numbers("B", 0)  # little-endian
    head.numbers("III", POINT_STEP, POINT_STEP * width, points.nbytes)
    return b"".join((head.made, points.data, b"\x00"))  # not dense: NaN for no point


def read_stamp(message: bytes) -> tuple[int, int]:
    """Return seconds and nanoseconds of a serialized message that begins with a header.

    Raises
    ------
    ValueError
        If the bytes are none, or end too early.
    """
    reader = _Reader(message, "a message with a header")
    return reader.number("i", 4), reader.number("I", 4)


def without_stamp(message: bytes) -> bytes:
    """Return what two serialized messages have in common that differ in nothing but the stamp."""
    return message[:_BEGIN] + message[_STAMP.stop :]


def with_stamp(message: bytes, header: Any) -> bytes:
    """Return a serialized message, in this machine's byte order, with the stamp of a header."""
    stamp = struct.pack("<iI", header.stamp.sec, header.stamp.nanosec)
    return b"".join((message[:_BEGIN], stamp, message[_STAMP.stop :]))


class _Reader:
    """Takes one field after the other."""

    def __init__(self, message: bytes, kind: str) -> None:
        self._kind = kind
        self._message = memoryview(message)
        order = _ORDERS.get(bytes(message[:2]))
        if order is None or len(message) < _BEGIN:
            raise ValueError(
                f"{kind}: {len(message)} bytes that begin with {bytes(message[:_BEGIN])!r} are "
                "not plain CDR"
            )
        self._order = order
        self._at = _BEGIN

    def number(self, code: str, size: int) -> int:
        """Take a number."""
        self._at += -(self._at - _BEGIN) % size
        return int(struct.unpack(self._order + code, self.take(size))[0])

    def text(self) -> str:
        """Take a string."""
        taken = bytes(self.take(self.number("I", 4)))
        try:
            return taken[:-1].decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self._kind}: a string is not UTF-8: {error}") from error

    def take(self, size: int) -> memoryview:
        """Take so many bytes."""
        taken = self._message[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError(
                f"{self._kind} of {len(self._message)} bytes ends too early: {size} bytes are "
                f"needed from byte {self._at} on"
            )
        self._at += size
        return taken


class _Writer:
    """Appends one field after the other to the header."""

    def __init__(self, header: Any) -> None:
        self.made = bytearray(_LITTLE_ENDIAN)
        self.made += struct.pack("<iI", header.stamp.sec, header.stamp.nanosec)
        self.text(header.frame_id)

    def numbers(self, codes: str, *values: int) -> None:
        """Append numbers of one size."""
        self.made += bytes(-(len(self.made) - _BEGIN) % struct.calcsize(codes[0]))
        self.made += struct.pack(f"<{codes}", *values)

    def text(self, value: str) -> None:
        """Append a string."""
        encoded = value.encode() + b"\x00"
        self.numbers("I", len(encoded))
        self.made += encoded
