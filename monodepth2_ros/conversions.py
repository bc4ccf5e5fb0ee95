# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages ↔ arrays: the one place that knows message layouts, but for their bytes on the wire.

Messages are taken as they come from rclpy or from the rosbags library (ROS 2 and ROS 1): only
their fields are used, no ROS package is imported. OpenCV does the colour conversions; cv_bridge is
not used, because its compiled half fails with NumPy 2 or OpenCV 5 and it does not know all the
encodings below.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera

# Conversions to RGB. OpenCV names a Bayer pattern after the second row's second and third pixel:
# its "BG" is the pattern that begins with R G / G B.
_BAYER_TO_RGB = {
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}
_PACKED_TO_RGB = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,  # OpenCV's order, as cv_bridge assumes
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "8UC4": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    **_BAYER_TO_RGB,
}
_PACKED_CHANNELS = {
    "rgb8": 3,
    "bgr8": 3,
    "8UC3": 3,
    "rgba8": 4,
    "bgra8": 4,
    "8UC4": 4,
    "yuv422": 2,
    "uyvy": 2,
    "yuv422_yuy2": 2,
    "yuyv": 2,
}
# Samples of 16 bits, of which sensors use 10 to 16: channels, and the conversion of the same
# samples in 8 bits.
_DEEP_TO_RGB = {
    "mono16": (1, cv2.COLOR_GRAY2RGB),
    "16UC1": (1, cv2.COLOR_GRAY2RGB),
    "rgb16": (3, None),
    "bgr16": (3, cv2.COLOR_BGR2RGB),
    "16UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba16": (4, cv2.COLOR_RGBA2RGB),
    "bgra16": (4, cv2.COLOR_BGRA2RGB),
    "16UC4": (4, cv2.COLOR_BGRA2RGB),
    **{f"{name[:-1]}16": (1, code) for name, code in _BAYER_TO_RGB.items()},
}
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\x00", b"MM\x00*")
_SEMIPLANAR_TO_RGB = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}

#: Encodings of raw images that :func:`decode_image` reads.
IMAGE_ENCODINGS = (*_PACKED_TO_RGB, *_DEEP_TO_RGB, *_SEMIPLANAR_TO_RGB)

#: Numbers of bits that sensors with samples of 16 bits use.
BIT_DEPTHS = (8, 10, 12, 14, 16)

# Before the PNG in a compressedDepth payload: format enum, and the quantisation (a, b) of
# floating-point depth, which is stored as a / depth + b.
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds."""
    stamp = header.stamp
    nanoseconds = stamp.nanosec if hasattr(stamp, "nanosec") else stamp.nsec
    return int(stamp.sec) * 1_000_000_000 + int(nanoseconds)


def has_deep_samples(encoding: str) -> bool:
    """Return whether an encoding, or the format of a compressed image, has samples of 16 bits."""
    return encoding.split(";")[0].strip() in _DEEP_TO_RGB


def bits_for(largest: int) -> int:
    """Return the number of bits of a sensor whose largest sample this is."""
    return next((bits for bits in BIT_DEPTHS if largest < 1 << bits), BIT_DEPTHS[-1])


def largest_sample(message: Any) -> int:
    """Return the largest sample of an image with samples of 16 bits.

    Parameters
    ----------
    message : sensor_msgs/Image or CompressedImage

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    if hasattr(message, "format"):
        samples = _decode_file(message)
    else:
        channels, _ = _DEEP_TO_RGB.get(message.encoding, (1, None))
        rows = _rows(message, int(message.height), 2 * channels * int(message.width))
        samples = rows.view(_sample_type("u2", message))
    return int(samples.max()) if samples.size else 0


def decode_image(message: Any, bits: int | None = None) -> NDArray[np.uint8]:
    """Convert a raw ``sensor_msgs/Image`` to RGB.

    Parameters
    ----------
    message : sensor_msgs/Image
        With any of :data:`IMAGE_ENCODINGS`. Row padding (step) and byte order are honoured.
    bits : int, optional
        Bits that samples of 16 bits use, 8 to 16: 2^bits − 1 becomes 255. By default 16, the full
        range, as in cv_bridge. 16UC1 is taken for an image only if they are given: it is the
        encoding of depth in millimetres.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        For unpadded rgb8 a read-only view of the message's own memory, else a new array.

    Raises
    ------
    ValueError
        If the encoding is unknown or the data is too short for the size it claims.
    """
    encoding = message.encoding
    width, height = int(message.width), int(message.height)
    if encoding == "16UC1" and bits is None:
        raise ValueError(
            "image encoding '16UC1' is taken for depth in millimetres; for a grey or infrared "
            "image give the number of bits its samples use (bit_depth)"
        )
    if encoding in _DEEP_TO_RGB:
        deep_channels, deep = _DEEP_TO_RGB[encoding]
        samples = _rows(message, height, 2 * deep_channels * width).view(
            _sample_type("u2", message)
        )
        shape = (height, width, deep_channels) if deep_channels > 1 else (height, width)
        reduced = reduce_samples(samples.reshape(shape), bits or 16)
        return reduced if deep is None else _convert(reduced, deep, message)
    if encoding in _SEMIPLANAR_TO_RGB:
        _require_even(message, rows=True)
        planes = _rows(message, height * 3 // 2, width)
        return _convert(planes, _SEMIPLANAR_TO_RGB[encoding], message)
    if encoding not in _PACKED_TO_RGB:
        raise ValueError(
            f"image encoding '{encoding}' is not supported; supported are "
            f"{', '.join(IMAGE_ENCODINGS)}"
        )
    channels = _PACKED_CHANNELS.get(encoding, 1)
    if channels == 2:
        _require_even(message, rows=False)
    pixels = _rows(message, height, channels * width)
    if channels > 1:
        pixels = pixels.reshape(height, width, channels)
    packed = _PACKED_TO_RGB[encoding]
    return pixels if packed is None else _convert(pixels, packed, message)


def reduce_samples(samples: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Bring samples of 16 bits, of which `bits` are used, to 8: 2^bits − 1 becomes 255."""
    scaled = samples.astype(np.float32) * np.float32(255.0 / ((1 << bits) - 1)) + np.float32(0.5)
    return np.minimum(scaled, 255.0).astype(np.uint8)


def decode_compressed(message: Any, bits: int | None = None) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/CompressedImage`` (JPEG, PNG, TIFF) to RGB.

    The format that compressed_image_transport writes says what the pixels were and what was
    compressed: "rgb8; jpeg compressed bgr8", "bayer_rggb8; png compressed ", "rgb8; tiff
    compressed ". Bayer images may be compressed as they are; TIFF holds the channels in the order
    of the message, not in that of the file.

    Parameters
    ----------
    message : sensor_msgs/CompressedImage
    bits : int, optional
        See :func:`decode_image`.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8

    Raises
    ------
    ValueError
        If it cannot be decoded or is a truncated JPEG, which OpenCV would fill with grey.
    """
    pixels = _decode_file(message)
    encoding, target = _described_format(message.format)
    if pixels.dtype == np.uint16:
        pixels = reduce_samples(pixels, bits or 16)
    elif pixels.dtype != np.uint8:
        raise ValueError(
            f"compressed image with format '{message.format}' holds {pixels.dtype} samples, which "
            "are no picture"
        )
    if pixels.ndim == 2:
        pattern = next((n for n in (target, encoding) if n[:-1].startswith("bayer_")), "")
        pattern = pattern.replace("16", "8")
        # With a colour or grey target the pattern was resolved before compressing.
        is_bayer = pattern in _BAYER_TO_RGB and (not target or target.startswith("bayer_"))
        code: int | None = _BAYER_TO_RGB[pattern] if is_bayer else cv2.COLOR_GRAY2RGB
    elif _is_tiff(message.data) and encoding.startswith("rgb") and not target.startswith("bgr"):
        code = None if pixels.shape[2] == 3 else cv2.COLOR_RGBA2RGB
    else:
        code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)


def _described_format(text: str) -> tuple[str, str]:
    """Split a format into the encoding of the pixels and what was compressed, "" if not said."""
    encoding, separator, rest = text.partition(";")
    if not separator:
        # "bayer_rggb8" alone, "png compressed bayer_rggb8", or just the codec: "jpeg", "png".
        return (encoding.split() or [""])[-1], ""
    _, said, target = rest.partition("compressed")
    return encoding.strip(), target.strip() if said else ""


def _is_tiff(data: Any) -> bool:
    """Return whether a file is a TIFF."""
    return bytes(data[:4]) in _TIFF


def _decode_file(message: Any) -> NDArray[Any]:
    """Decode the file of a CompressedImage as it is: one, three or four channels, 8 or 16 bits."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    described = f"compressed image of {data.size} bytes with format '{message.format}'"
    if data[:2].tobytes() == b"\xff\xd8" and data.tobytes().rfind(b"\xff\xd9") < 0:
        raise ValueError(f"{described} is a truncated JPEG: it has no end marker")
    encoding, _ = _described_format(message.format)
    is_deep = data[:8].tobytes() == _PNG and data.size > 24 and data[24] == 16
    # Drivers state no orientation, and a rotation found in EXIF would not match camera_info.
    flags = cv2.IMREAD_IGNORE_ORIENTATION
    if encoding.startswith("bayer_") or is_deep or _is_tiff(data):
        flags |= cv2.IMREAD_UNCHANGED
    else:
        flags |= cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{described} cannot be decoded")
    return np.asarray(image)


def compressed_size(message: Any) -> tuple[int, int]:
    """Return width and height of a CompressedImage or compressedDepth; 0, 0 if unknown."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    if "compressedDepth" in message.format:
        data = data[_COMPRESSED_DEPTH_HEADER.size :]
    flags = cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    return (0, 0) if image is None else (image.shape[1], image.shape[0])


def decode_depth(message: Any) -> NDArray[np.float32]:
    """Convert a raw depth image (REP 118) to metres.

    Parameters
    ----------
    message : sensor_msgs/Image
        32FC1 metres, or 16UC1 or mono16 millimetres with 0 for unknown.

    Returns
    -------
    ndarray, shape (H, W), float32
        NaN where unknown.

    Raises
    ------
    ValueError
        If it is not a depth image or too short.
    """
    width, height = int(message.width), int(message.height)
    if message.encoding == "32FC1":
        rows = _rows(message, height, 4 * width)
        return rows.view(_sample_type("f4", message)).astype(np.float32)
    if message.encoding in ("16UC1", "mono16"):
        rows = _rows(message, height, 2 * width)
        return _metres(rows.view(_sample_type("u2", message)))
    raise ValueError(
        f"depth encoding '{message.encoding}' is not supported; supported are 32FC1 and 16UC1"
    )


def decode_compressed_depth(message: Any) -> NDArray[np.float32]:
    """Convert a ``compressedDepth`` payload (PNG) to metres.

    Parameters
    ----------
    message : sensor_msgs/CompressedImage
        Format "16UC1; compressedDepth png" or "32FC1; compressedDepth png".

    Returns
    -------
    ndarray, shape (H, W), float32
        NaN where unknown.

    Raises
    ------
    ValueError
        If it cannot be decoded, or is of the RVL variety.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    described = f"compressedDepth of {data.size} bytes with format '{message.format}'"
    if "rvl" in message.format:
        raise ValueError(f"{described}: RVL is not supported, only PNG is")
    offset = _COMPRESSED_DEPTH_HEADER.size
    image = cv2.imdecode(data[offset:], cv2.IMREAD_UNCHANGED) if data.size > offset else None
    if image is None or image.ndim != 2 or image.dtype != np.uint16:
        raise ValueError(f"{described} does not hold a 16-bit PNG")
    if not message.format.startswith("32FC1"):
        return _metres(image)
    _, a, b = _COMPRESSED_DEPTH_HEADER.unpack(data[:offset].tobytes())
    with np.errstate(divide="ignore"):
        depth = a / (image.astype(np.float32) - np.float32(b))
    return np.where(image == 0, np.float32(np.nan), depth).astype(np.float32)


def fill_camera_info(message: Any, camera: PinholeCamera) -> None:
    """Fill a ``sensor_msgs/CameraInfo`` for a rectified image; the header is left alone.

    Parameters
    ----------
    message : sensor_msgs/CameraInfo
    camera : PinholeCamera
        Header of the image with which the message is published.
    """
    message.width, message.height = camera.width, camera.height
    message.distortion_model = "plumb_bob"
    message.d = [0.0] * 5
    message.k = camera.matrix.reshape(-1)
    message.r = np.eye(3).reshape(-1)
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)


def _rows(message: Any, rows: int, row_bytes: int) -> NDArray[np.uint8]:
    """View a message's data as rows without their padding."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    width, height, step = int(message.width), int(message.height), int(message.step)
    described = f"{message.encoding} image of {width}x{height} with step {step}"
    if width < 1 or height < 1:
        raise ValueError(f"{described} is empty")
    step = step or row_bytes  # some drivers leave it 0
    if step < row_bytes:
        raise ValueError(f"{described}: a row needs at least {row_bytes} bytes")
    # The last row may lack its padding.
    needed = step * (rows - 1) + row_bytes
    if data.size < needed:
        raise ValueError(f"{described} has {data.size} bytes of data; {needed} are needed")
    if data.size < step * rows:
        data = np.pad(data, (0, step * rows - data.size))
    return np.ascontiguousarray(data[: step * rows].reshape(rows, step)[:, :row_bytes])


def _sample_type(kind: str, message: Any) -> np.dtype[Any]:
    """Return the type of a sample in the message's byte order."""
    return np.dtype((">" if message.is_bigendian else "<") + kind)


def _convert(pixels: NDArray[np.uint8], code: int, message: Any) -> NDArray[np.uint8]:
    """Convert to RGB, with OpenCV's errors named after the message."""
    try:
        return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
    except cv2.error as error:
        raise ValueError(
            f"{message.encoding} image of {message.width}x{message.height} cannot be converted "
            f"to RGB: {error}"
        ) from error


def _require_even(message: Any, rows: bool) -> None:
    """Refuse a size that chroma subsampling cannot have."""
    if message.width % 2 or (rows and message.height % 2):
        raise ValueError(
            f"{message.encoding} image of {message.width}x{message.height}: this encoding needs "
            f"an even width{' and height' if rows else ''}"
        )


def _metres(millimetres: NDArray[Any]) -> NDArray[np.float32]:
    """Convert millimetres, 0 for unknown, to metres, NaN for unknown."""
    depth = millimetres.astype(np.float32) * np.float32(0.001)
    depth[millimetres == 0] = np.nan
    return depth
