# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sizes from headers, against what OpenCV writes and against headers that lie."""

from __future__ import annotations

import array
import contextlib
import random
import struct

import cv2
import numpy as np
import pytest

from monodepth2_ros.encoded_size import check_encoded_size, encoded_size

IMAGE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)


def encode(extension: str, *options: int) -> bytes:
    try:
        return cv2.imencode(extension, IMAGE, options)[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV does not write {extension}")


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
        (".png", ()),
        (".tiff", ()),
        (".bmp", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 50)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
        (".ppm", ()),
        (".pam", ()),
        (".jp2", ()),
    ],
)
def test_the_size_is_that_of_the_image(extension, options):
    data = encode(extension, *options)
    assert encoded_size(data) == (53, 37)
    assert encoded_size(array.array("B", data)) == (53, 37)


def test_further_layouts():
    assert encoded_size(b"GIF89a" + struct.pack("<HH", 53, 37)) == (53, 37)
    extended = b"RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + b"\x34\0\0\x24\0\0"
    assert encoded_size(extended) == (53, 37)
    big_endian = b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 53, 0, 257, 3, 1, 37, 0)
    assert encoded_size(big_endian) == (53, 37)
    comment = b"P5\n# made by hand 99 99\n53 37\n255\n"
    assert encoded_size(comment) == (53, 37)


def test_a_small_file_that_declares_a_large_image_is_refused_before_it_is_decoded():
    data = bytearray(encode(".jpg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 20000, 20000)
    with pytest.raises(ValueError, match="20000x20000 pixels, more than max_image_pixels"):
        check_encoded_size(bytes(data), 40_000_000)
    check_encoded_size(bytes(data), 400_000_000)


def test_what_has_no_size_is_refused():
    for data in (b"", b"\xff\xd8", b"nothing", b"\xff\xd8\xff\xd9", b"II*\0\xff\xff\xff\x7f"):
        with pytest.raises(ValueError, match="header|begins with"):
            encoded_size(data)


def test_damaged_headers_raise_nothing_else():
    rng = random.Random(0)
    for extension in (".jpg", ".png", ".tiff", ".bmp", ".webp", ".ppm"):
        whole = encode(extension)
        for _ in range(200):
            data = bytearray(whole[: rng.randrange(1, 300)])
            for _ in range(3):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with contextlib.suppress(ValueError):
                encoded_size(bytes(data))
