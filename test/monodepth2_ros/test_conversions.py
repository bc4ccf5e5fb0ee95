# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message conversions: every encoding against its definition, and everything that is broken."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from monodepth2_ros import conversions
from monodepth2_ros.camera import Calibration, PinholeCamera

RNG = np.random.default_rng(3)


def picture(width: int, height: int) -> np.ndarray:
    """A smooth picture, as chroma subsampling and demosaicing need it."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        128 + 100 * np.sin(x / 23.0),
        128 + 100 * np.cos(y / 19.0),
        128 + 90 * np.sin((x + y) / 31.0),
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def image_message(data: np.ndarray, encoding: str, width: int, height: int, padding: int = 0):
    """A raw image message by its fields; rows are padded by `padding` bytes of rubbish."""
    rows = np.ascontiguousarray(data).reshape(data.shape[0], -1).view(np.uint8)
    rubbish = RNG.integers(0, 255, (rows.shape[0], padding), dtype=np.uint8)
    padded = np.hstack([rows, rubbish])
    return SimpleNamespace(
        width=width,
        height=height,
        encoding=encoding,
        step=padded.shape[1],
        is_bigendian=0,
        data=padded.tobytes(),
    )


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (61, 47), (1, 1)])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", [0, 1, 2]),
        ("bgr8", [2, 1, 0]),
        ("8UC3", [2, 1, 0]),
        ("rgba8", [0, 1, 2, 0]),
        ("bgra8", [2, 1, 0, 0]),
    ],
)
def test_colour_orders(encoding, order, width, height, padding):
    rgb = RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)
    message = image_message(rgb[..., order], encoding, width, height, padding)
    np.testing.assert_array_equal(conversions.decode_image(message), rgb)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey(encoding, padding):
    grey = RNG.integers(0, 255, (33, 21), dtype=np.uint8)
    message = image_message(grey, encoding, 21, 33, padding)
    expected = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(conversions.decode_image(message), expected)


@pytest.mark.parametrize("big", [0, 1])
def test_mono16_honours_byte_order_and_uses_the_full_range(big):
    grey = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    message = image_message(grey.astype(">u2" if big else "<u2"), "mono16", 4, 1, padding=6)
    message.is_bigendian = big
    decoded = conversions.decode_image(message)
    assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern):
    rgb = picture(64, 48)
    channel = {"r": 0, "g": 1, "b": 2}
    mosaic = np.empty((48, 64), np.uint8)
    for index, letter in enumerate(pattern):  # the pattern names the first two rows' pixels
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, channel[letter]]
    decoded = conversions.decode_image(image_message(mosaic, f"bayer_{pattern}8", 64, 48, 2))
    difference = np.abs(decoded.astype(int) - rgb)[2:-2, 2:-2]
    assert difference.max() <= 8


@pytest.mark.parametrize(
    ("encoding", "positions"),
    [
        ("yuv422", (1, 0, 2)),
        ("uyvy", (1, 0, 2)),
        ("yuv422_yuy2", (0, 1, 3)),
        ("yuyv", (0, 1, 3)),
    ],
)
def test_yuv422(encoding, positions):
    rgb = picture(64, 48)
    y, u, v = bt601(rgb)
    luma, blue, red = positions
    packed = np.empty((48, 32, 4), np.uint8)
    packed[..., luma], packed[..., luma + 2] = y[:, 0::2], y[:, 1::2]
    packed[..., blue], packed[..., red] = u[:, 0::2], v[:, 0::2]
    decoded = conversions.decode_image(image_message(packed.reshape(48, -1), encoding, 64, 48, 4))
    assert np.abs(decoded.astype(int) - rgb).max() <= 12


@pytest.mark.parametrize(("encoding", "order"), [("nv12", (0, 1)), ("nv21", (1, 0))])
def test_semiplanar(encoding, order):
    rgb = picture(64, 48)
    y, u, v = bt601(rgb)
    chroma = np.empty((24, 64), np.uint8)
    chroma[:, order[0] :: 2], chroma[:, order[1] :: 2] = u[::2, ::2], v[::2, ::2]
    message = image_message(np.vstack([y, chroma]), encoding, 64, 48, padding=8)
    decoded = conversions.decode_image(message)
    assert decoded.shape == (48, 64, 3)
    assert np.abs(decoded.astype(int) - rgb).max() <= 16


def bt601(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Studio-range BT.601, by its definition."""
    r, g, b = np.moveaxis(rgb.astype(np.float64) / 255.0, -1, 0)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = 128 - 37.797 * r - 74.203 * g + 112.0 * b
    v = 128 + 112.0 * r - 93.786 * g - 18.214 * b
    return tuple(np.rint(plane).astype(np.uint8) for plane in (y, u, v))


def test_agrees_with_an_independent_converter():
    rosbags_image = pytest.importorskip("rosbags.image", reason="rosbags-image is not installed")
    rgb = picture(64, 48)
    for encoding, data in (("rgb8", rgb), ("bgr8", rgb[..., ::-1]), ("mono8", rgb[..., 0])):
        message = image_message(data, encoding, 64, 48)
        message.data = np.frombuffer(message.data, np.uint8)
        expected = rosbags_image.message_to_cvimage(message, "rgb8")
        np.testing.assert_array_equal(conversions.decode_image(message), expected)


def test_unpadded_rgb_is_not_copied():
    data = np.zeros((4, 6, 3), np.uint8)
    message = image_message(data, "rgb8", 6, 4)
    message.data = bytearray(message.data)
    decoded = conversions.decode_image(message)
    message.data[0] = 7
    assert decoded[0, 0, 0] == 7


def test_last_row_may_lack_its_padding():
    rgb = RNG.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    message = image_message(rgb, "rgb8", 7, 5, padding=4)
    message.data = message.data[:-4]
    np.testing.assert_array_equal(conversions.decode_image(message), rgb)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "yuv444"}, "encoding 'yuv444' is not supported; supported are rgb8"),
        ({"data": b"123"}, "has 3 bytes of data; 144 are needed"),
        ({"step": 10}, "step 10: a row needs at least 24 bytes"),
        ({"width": 0}, "is empty"),
        ({"encoding": "uyvy", "width": 7}, "needs an even width"),
        ({"encoding": "nv12", "width": 8, "height": 5}, "needs an even width and height"),
    ],
)
def test_broken_images_are_named(change, message):
    broken = image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", 8, 6)
    for name, value in change.items():
        setattr(broken, name, value)
    with pytest.raises(ValueError, match=message):
        conversions.decode_image(broken)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_compressed(extension):
    rgb = picture(61, 47)
    _, data = cv2.imencode(extension, rgb[..., ::-1])
    message = SimpleNamespace(format=f"rgb8; {extension[1:]} compressed bgr8", data=data.tobytes())
    decoded = conversions.decode_compressed(message)
    assert np.abs(decoded.astype(int) - rgb).max() <= (0 if extension == ".png" else 12)


def test_compressed_bayer_is_demosaiced():
    red = np.zeros((8, 8), np.uint8)
    red[0::2, 0::2] = 200
    _, data = cv2.imencode(".png", red)
    message = SimpleNamespace(format="bayer_rggb8; png compressed bayer_rggb8", data=data.tobytes())
    assert conversions.decode_compressed(message)[4, 4].tolist() == [200, 0, 0]


@pytest.mark.parametrize("kind", ["truncated", "garbage", "empty"])
def test_broken_compressed_images_are_named(kind):
    _, data = cv2.imencode(".jpg", picture(64, 48))
    broken = {
        "truncated": data.tobytes()[: data.size // 2],
        "garbage": b"\x00" * 500,
        "empty": b"",
    }[kind]
    message = SimpleNamespace(format="jpeg", data=broken)
    expected = "truncated JPEG" if kind == "truncated" else "cannot be decoded"
    with pytest.raises(ValueError, match=f"{len(broken)} bytes with format 'jpeg'.*{expected}"):
        conversions.decode_compressed(message)


def test_depth_encodings():
    metres = np.array([[0.5, np.nan, 3.25], [10.0, 65.0, 1.0]], np.float32)
    message = image_message(metres, "32FC1", 3, 2, padding=4)
    np.testing.assert_array_equal(conversions.decode_depth(message), metres)
    swapped = image_message(metres.astype(">f4"), "32FC1", 3, 2)
    swapped.is_bigendian = 1
    np.testing.assert_array_equal(conversions.decode_depth(swapped), metres)
    millimetres = np.array([[500, 0, 3250]], np.uint16)
    decoded = conversions.decode_depth(image_message(millimetres, "16UC1", 3, 1))
    np.testing.assert_allclose(decoded, [[0.5, np.nan, 3.25]], rtol=1e-6)
    with pytest.raises(ValueError, match="'rgb8' is not supported"):
        conversions.decode_depth(image_message(np.zeros((1, 1, 3), np.uint8), "rgb8", 1, 1))


def test_compressed_depth():
    millimetres = np.array([[500, 0, 3250], [1, 65535, 2]], np.uint16)
    _, png = cv2.imencode(".png", millimetres)
    payload = struct.pack("<iff", 0, 0.0, 0.0) + png.tobytes()
    message = SimpleNamespace(format="16UC1; compressedDepth png", data=payload)
    decoded = conversions.decode_compressed_depth(message)
    expected = np.where(millimetres == 0, np.nan, millimetres / 1000.0)
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


def test_compressed_float_depth_follows_its_quantisation():
    # compressed_depth_image_transport: value = a / depth + b.
    a, b = 10100.0, -100.0 + 1.0
    depth = np.array([[1.0, 2.5, 7.0]], np.float32)
    quantised = np.rint(a / depth + b).astype(np.uint16)
    _, png = cv2.imencode(".png", quantised)
    payload = struct.pack("<iff", 0, a, b) + png.tobytes()
    message = SimpleNamespace(format="32FC1; compressedDepth png", data=payload)
    np.testing.assert_allclose(conversions.decode_compressed_depth(message), depth, rtol=1e-3)


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("16UC1; compressedDepth rvl", b"123456789012345", "RVL is not supported"),
        ("16UC1; compressedDepth png", b"123", "does not hold a 16-bit PNG"),
        ("16UC1; compressedDepth png", b"0" * 200, "does not hold a 16-bit PNG"),
    ],
)
def test_broken_compressed_depth_is_named(form, data, message):
    with pytest.raises(ValueError, match=message):
        conversions.decode_compressed_depth(SimpleNamespace(format=form, data=data))


def test_stamps_of_both_ros_versions():
    ros2 = SimpleNamespace(stamp=SimpleNamespace(sec=12, nanosec=34))
    ros1 = SimpleNamespace(stamp=SimpleNamespace(sec=12, nsec=34))
    assert conversions.stamp_ns(ros2) == conversions.stamp_ns(ros1) == 12_000_000_034


def test_fill_camera_info_round_trip():
    camera = PinholeCamera(640, 192, 500.0, 480.0, 320.5, 95.25)
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    message = SimpleNamespace(roi=roi, binning_x=0, binning_y=0)
    conversions.fill_camera_info(message, camera)
    calibration = Calibration.from_camera_info(message)
    assert calibration.camera(rectified=True) == camera
    assert calibration.camera(rectified=False) == camera
    assert not calibration.is_distorted


def tiff_message(image, form):
    """A TIFF as compressed_image_transport writes it: the channels in the message's order."""
    ok, data = cv2.imencode(".tiff", image)
    assert ok
    return SimpleNamespace(format=form, data=data.tobytes())


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "rgb16", "bgr16"])
def test_tiff_holds_the_channels_in_the_order_of_the_message(encoding):
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    expected = rgb
    pixels = rgb if encoding.startswith("rgb") else rgb[..., ::-1]
    if encoding == "mono8":
        pixels = rgb[..., 0]
        expected = np.repeat(rgb[..., :1], 3, axis=2)
    if encoding.endswith("a8"):
        pixels = np.concatenate([pixels, np.full((24, 32, 1), 255, np.uint8)], axis=2)
    if encoding.endswith("16"):
        pixels = pixels.astype(np.uint16) * 257
    message = tiff_message(np.ascontiguousarray(pixels), f"{encoding}; tiff compressed ")
    np.testing.assert_array_equal(conversions.decode_compressed(message), expected)
    # The independent reference: the file's own reader knows nothing of the message's order.
    stored = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, pixels)


@pytest.mark.parametrize("form", ["bayer_rggb8; png compressed ", "bayer_rggb8; png compressed"])
def test_compressed_bayer_without_a_target_is_the_raw_mosaic(form):
    mosaic = np.random.default_rng(1).integers(0, 256, (16, 24), np.uint8)
    ok, data = cv2.imencode(".png", mosaic)
    assert ok
    decoded = conversions.decode_compressed(SimpleNamespace(format=form, data=data.tobytes()))
    raw = conversions.decode_image(image_message(mosaic, "bayer_rggb8", 24, 16))
    np.testing.assert_array_equal(decoded, raw)
    # The pattern by its definition: red at even rows and columns, blue at odd ones.
    assert np.array_equal(decoded[2:-2:2, 2:-2:2, 0], mosaic[2:-2:2, 2:-2:2])
    assert np.array_equal(decoded[3:-2:2, 3:-2:2, 2], mosaic[3:-2:2, 3:-2:2])
    # Converted before compressing: three channels, whatever the encoding was.
    ok, data = cv2.imencode(".png", np.dstack([mosaic] * 3))
    message = SimpleNamespace(format="bayer_rggb8; jpeg compressed bgr8", data=data.tobytes())
    np.testing.assert_array_equal(conversions.decode_compressed(message), np.dstack([mosaic] * 3))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_samples_of_16_bits_by_the_bits_in_use(bits):
    samples = np.linspace(0, (1 << bits) - 1, 16 * 24).astype("<u2").reshape(16, 24)
    expected = np.floor(samples / ((1 << bits) - 1) * 255.0 + 0.5)
    decoded = conversions.decode_image(image_message(samples, "mono16", 24, 16), bits)
    assert np.abs(decoded[..., 1] - expected).max() <= 1
    ok, data = cv2.imencode(".png", samples)
    assert ok
    message = SimpleNamespace(format="mono16; png compressed mono16", data=data.tobytes())
    np.testing.assert_array_equal(conversions.decode_compressed(message, bits), decoded)
    assert conversions.bits_for(conversions.largest_sample(message)) == bits
    with pytest.raises(ValueError, match="taken for depth in millimetres.*bit_depth"):
        conversions.decode_image(image_message(samples, "16UC1", 24, 16))
