# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The size of an encoded image from its header, before anything is decoded.

A few kilobytes can declare an image of gigabytes. A format that is not known here has no size that
could be checked, so it must not be decoded.
"""

from __future__ import annotations

import array
import re
import struct

Encoded = bytes | bytearray | memoryview | array.array  # of bytes

#: Formats whose headers are read.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WebP", "GIF", "PNM", "JPEG 2000")

# Markers of JPEG segments without length, and the start-of-frame markers, which hold the size.
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def encoded_size(data: Encoded) -> tuple[int, int]:
    """Return the size that the header of an encoded image declares.

    Parameters
    ----------
    data : bytes, bytearray, memoryview or array of bytes
        One of :data:`FORMATS`.

    Returns
    -------
    width, height : int
        In pixels.

    Raises
    ------
    ValueError
        If the format is unknown or the header is damaged.
    """
    data = memoryview(data).cast("B")  # arrays do not compare with bytes; nothing is copied
    try:
        size = _find_size(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"its header is cut off after {len(data)} bytes") from error
    if size is None:
        start = bytes(data[:8]).hex(" ")
        raise ValueError(f"it begins with {start} and is none of {', '.join(FORMATS)}")
    if size[0] < 1 or size[1] < 1:
        raise ValueError(f"its header declares {size[0]}x{size[1]} pixels")
    return size


def check_encoded_size(data: Encoded, most_pixels: int) -> None:
    """Refuse an encoded image that is larger than expected.

    Raises
    ------
    ValueError
        If the header declares more than `most_pixels` or cannot be read.
    """
    width, height = encoded_size(data)
    if width * height > most_pixels:
        raise ValueError(
            f"its header declares {width}x{height} pixels, more than max_image_pixels "
            f"({most_pixels})"
        )


def _find_size(data: memoryview) -> tuple[int, int] | None:
    """Tell formats apart by their first bytes."""
    start = bytes(data[:16])
    if start[:2] == b"\xff\xd8":
        return _jpeg(data)
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return struct.unpack_from(">II", data, 16)
    if start[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if start[:2] == b"BM":
        return _bmp(data)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return _webp(data)
    if start[:4] == b"GIF8":
        return struct.unpack_from("<HH", data, 6)
    if re.match(rb"P[1-7]\s", start):
        return _pnm(data)
    if start[:4] == b"\xff\x4f\xff\x51":
        return _jpeg2000(data, 0)
    if start[4:8] == b"jP  ":
        return _jpeg2000(data, bytes(data[:4096]).find(b"\xff\x4f\xff\x51"))
    return None


def _jpeg(data: memoryview) -> tuple[int, int]:
    """Walk over the segments to the start of the frame."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError(f"byte {at} of its JPEG header is not a marker")
        while data[at] == 0xFF:  # any number of them may fill up
            at += 1
        marker = data[at]
        at += 1
        if marker in _JPEG_ALONE:
            continue
        if marker in (0xD9, 0xDA):
            raise ValueError("its JPEG header has no size")
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        at += max(2, struct.unpack_from(">H", data, at)[0])


def _tiff(data: memoryview) -> tuple[int, int]:
    """Read width (256) and height (257) from the first directory."""
    order = "<" if bytes(data[:1]) == b"I" else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, at)
    found = {}
    for entry in range(entries):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + 2 + 12 * entry)
        if tag in (256, 257):
            layout = "H" if kind == 3 else "I"  # SHORT or LONG
            (found[tag],) = struct.unpack_from(f"{order}{layout}", data, at + 10 + 12 * entry)
    if len(found) < 2:
        raise ValueError("its TIFF header has no size")
    return found[256], found[257]


def _bmp(data: memoryview) -> tuple[int, int]:
    """Read the size from a core header or from one of the longer ones."""
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)  # negative heights are stored from the top


def _webp(data: memoryview) -> tuple[int, int] | None:
    """Read the size of the three kinds of WebP."""
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    return None


def _pnm(data: memoryview) -> tuple[int, int]:
    """Read the text header of PBM, PGM, PPM and PAM."""
    head = re.sub(rb"#[^\n]*\n", b"\n", bytes(data[:4096]))
    if head[1:2] == b"7":
        width, height = re.search(rb"WIDTH\s+(\d+)", head), re.search(rb"HEIGHT\s+(\d+)", head)
        if width is None or height is None:
            raise ValueError("its PAM header has no size")
        return int(width[1]), int(height[1])
    match = re.match(rb"P[1-6]\s+(\d+)\s+(\d+)\s", head)
    if match is None:
        raise ValueError("its PNM header has no size")
    return int(match[1]), int(match[2])


def _jpeg2000(data: memoryview, start: int) -> tuple[int, int]:
    """Read the SIZ segment, which follows the start of the codestream."""
    if start < 0:
        raise ValueError("it is JPEG 2000 without a codestream")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return right - left, bottom - top
