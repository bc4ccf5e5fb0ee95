# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration files of the common tools."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import Calibration, RegionOfInterest
from training.extraction.calibration import read_calibration

K = (210.5, 0.0, 158.25, 0.0, 212.0, 119.5, 0.0, 0.0, 1.0)
D = (-0.25, 0.06, 0.001, -0.0005, 1e-05)

CAMERA_INFO = """image_width: 320
image_height: 240
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [210.5, 0.0, 158.25, 0.0, 212.0, 119.5, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.25, 0.06, 0.001, -0.0005, 1e-05]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [200., 0., 160., 0., 0., 201., 120., 0., 0., 0., 1., 0.]
"""

ECHO = """header:
  stamp:
    sec: 1700000000
    nanosec: 5
  frame_id: front
height: 240
width: 320
distortion_model: plumb_bob
d:
- -0.25
- 0.06
- 0.001
- -0.0005
- 1.0e-05
k:
- 210.5
- 0.0
- 158.25
- 0.0
- 212.0
- 119.5
- 0.0
- 0.0
- 1.0
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [200.0, 0.0, 160.0, 0.0, 0.0, 201.0, 120.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 2
binning_y: 2
roi:
  x_offset: 10
  y_offset: 20
  height: 200
  width: 300
  do_rectify: false
---
header:
  frame_id: a second message, which does not count
---
"""

KALIBR = """cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.25, 0.06, 0.001, -0.0005]
  distortion_model: radtan
  intrinsics: [210.5, 212.0, 158.25, 119.5]
  resolution: [320, 240]
  rostopic: /cam0/image_raw
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.11]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [0.01, -0.02, 0.003, -0.004]
  distortion_model: equidistant
  intrinsics: [220.0, 221.0, 161.0, 118.0]
  resolution: [320, 240]
  rostopic: /cam1/image_raw
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_camera_calibration_and_echo_say_the_same(tmp_path: Path) -> None:
    saved = read_calibration(written(tmp_path / "front.yaml", CAMERA_INFO))
    assert (saved.width, saved.height, saved.k, saved.d) == (320, 240, K, D)
    assert saved.camera().fx == 200.0
    echo = read_calibration(written(tmp_path / "echo.yaml", ECHO))
    assert (echo.k, echo.d, echo.p, echo.r) == (saved.k, saved.d, saved.p, saved.r)
    assert echo.roi == RegionOfInterest(10, 20, 300, 200)
    assert echo.binning == (2, 2)
    old = ECHO
    for name in "dkrp":
        old = old.replace(f"\n{name}:", f"\n{name.upper()}:")
    assert read_calibration(written(tmp_path / "ros1.yaml", old)) == echo


def test_kalibr(tmp_path: Path) -> None:
    path = written(tmp_path / "camchain.yaml", KALIBR)
    with pytest.raises(ValueError, match=r"holds the cameras cam0, cam1.*camchain.yaml:cam0"):
        read_calibration(path)
    first = read_calibration(tmp_path / "camchain.yaml:cam0")
    assert first == Calibration(320, 240, K, (-0.25, 0.06, 0.001, -0.0005), "plumb_bob")
    second = read_calibration(tmp_path / "camchain.yaml:cam1")
    assert second.distortion_model == "equidistant"
    assert second.camera().cx == 161.0
    # Against OpenCV's own fisheye model.
    point = np.array([[[0.3, -0.2]]])
    matrix, d = np.reshape(second.k, (3, 3)), np.array(second.d)
    seen = cv2.fisheye.distortPoints(point, matrix, d)[0, 0]
    rectified = (np.array([[0.3, -0.2]]) * [220.0, 221.0] + [161.0, 118.0]).round().astype(int)[0]
    whole = second.rectification_maps()[0][rectified[1], rectified[0]]
    assert np.abs(whole - seen).max() < 1.5
    with pytest.raises(ValueError, match="holds the cameras cam0, cam1"):
        read_calibration(tmp_path / "camchain.yaml:cam7")
    omni = KALIBR.replace("camera_model: pinhole", "camera_model: omni", 1)
    with pytest.raises(ValueError, match="'omni' is not a pinhole"):
        read_calibration(Path(f"{written(tmp_path / 'omni.yaml', omni)}:cam0"))
    single = written(tmp_path / "one.yaml", KALIBR.split("cam1:")[0])
    assert read_calibration(single) == first


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
@pytest.mark.parametrize("fisheye", [False, True])
def test_opencv(tmp_path: Path, suffix: str, fisheye: bool) -> None:
    path = tmp_path / f"calibration{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 320)
    storage.write("image_height", 240)
    storage.write("camera_matrix", np.reshape(K, (3, 3)))
    storage.write("distortion_coefficients", np.reshape(D[:4] if fisheye else D, (-1, 1)))
    if fisheye:
        storage.write("fisheye_model", 1)
    storage.release()
    model = "equidistant" if fisheye else "plumb_bob"
    expected = Calibration(320, 240, K, D[:4] if fisheye else D, model)
    assert read_calibration(path) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1\n", "holds no dictionary"),
        ("a: [", "cannot be read"),
        ("focal: 200\n", "not a calibration that is known.*Kalibr"),
        (CAMERA_INFO.replace("image_height: 240\n", ""), "'image_height' is missing"),
        (CAMERA_INFO.replace("210.5, 0.0, ", "", 1), "'camera_matrix' must hold 9 numbers"),
        (CAMERA_INFO.replace("210.5", ".nan", 1), "not all finite"),
        (ECHO.replace("width: 320", "width: 0", 1), "image size 0x240 is not positive"),
        ("%YAML:1.0\n---\nimage_width: 320\nimage_height: 240\n", "no 3x3 camera matrix"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_calibration(written(tmp_path / "file.yaml", text))
