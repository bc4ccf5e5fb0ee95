# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration files: cameras in the formats of the common tools, and the pose of a depth sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration, RegionOfInterest
from monodepth2_ros.scale.poses import quaternion_pose_matrix


def read_calibration(path: Path) -> Calibration:
    """Read a camera's calibration from a file of one of these kinds.

    - the YAML that camera_calibration writes and camera_info_manager reads;
    - the YAML that ``ros2 topic echo`` (or ``rostopic echo``) prints for a camera_info;
    - a camera chain of Kalibr; of several cameras one is named as ``camchain.yaml:cam1``;
    - an OpenCV FileStorage (YAML or XML), as OpenCV's calibration sample writes it.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If the file cannot be read or something in it is missing or of the wrong length.
    """
    camera = ""
    if not path.exists() and ":" in path.name:
        name, camera = path.name.rsplit(":", 1)
        path = path.with_name(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    is_opencv = text.lstrip().startswith(("%YAML:1.0", "<?xml", "<opencv_storage"))
    if is_opencv or "!!opencv-matrix" in text:
        return _read_opencv(path)
    try:
        # ros2 topic echo ends each message with ---; the first one counts.
        content = next(iter(yaml.safe_load_all(text)), None)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary")
    chain = {name: value for name, value in content.items() if _is_kalibr(value)}
    if chain:
        if not camera and len(chain) == 1:
            camera = next(iter(chain))
        if camera not in chain:
            raise ValueError(
                f"{path} holds the cameras {', '.join(chain)}; name one of them: "
                f"{path.name}:{next(iter(chain))}"
            )
        return _read_kalibr(path, camera, chain[camera])
    if _is_kalibr(content):
        return _read_kalibr(path, path.stem, content)
    if "camera_matrix" in content or "image_width" in content:
        return _read_camera_info_file(path, content)
    if ("k" in content or "K" in content) and "width" in content:
        return _read_echo(path, content)
    raise ValueError(
        f"{path} is not a calibration that is known: neither a camera_info YAML (image_width, "
        "camera_matrix), nor ros2 topic echo of a camera_info (width, k), nor a camera chain of "
        "Kalibr (intrinsics, resolution), nor an OpenCV FileStorage"
    )


def _numbers(path: Path, name: str, entry: Any, count: int | None) -> tuple[float, ...]:
    """Return a list of numbers, or that under 'data'."""
    found = entry.get("data") if isinstance(entry, dict) else entry
    if not isinstance(found, list) or (count is not None and len(found) != count):
        wanted = "a list" if count is None else f"{count} numbers"
        raise ValueError(f"{path}: '{name}' must hold {wanted}, also under 'data'")
    try:
        values = tuple(float(number) for number in found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: '{name}' must hold numbers: {error}") from error
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: '{name}' holds {found}, which are not all finite")
    return values


def _size(path: Path, width: Any, height: Any) -> tuple[int, int]:
    """Return an image size."""
    try:
        size = int(width), int(height)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: image size {width} x {height}: {error}") from error
    if min(size) < 1:
        raise ValueError(f"{path}: image size {size[0]}x{size[1]} is not positive")
    return size


def _read_camera_info_file(path: Path, content: dict[str, Any]) -> Calibration:
    """Read what camera_calibration writes."""
    try:
        width, height = _size(path, content["image_width"], content["image_height"])
        return Calibration(
            width,
            height,
            k=_numbers(path, "camera_matrix", content["camera_matrix"], 9),
            d=_numbers(
                path, "distortion_coefficients", content.get("distortion_coefficients", []), None
            ),
            distortion_model=str(content.get("distortion_model", "plumb_bob")),
            r=_numbers(
                path,
                "rectification_matrix",
                content.get("rectification_matrix", np.eye(3).reshape(-1).tolist()),
                9,
            ),
            p=_numbers(path, "projection_matrix", content.get("projection_matrix", [0.0] * 12), 12),
        )
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing; is this a camera_info YAML?") from error


def _read_echo(path: Path, content: dict[str, Any]) -> Calibration:
    """Read a camera_info as ``ros2 topic echo`` prints it; ROS 1 has capital letters."""

    def values(name: str, count: int | None, default: list[float]) -> tuple[float, ...]:
        return _numbers(path, name, content.get(name, content.get(name.upper(), default)), count)

    width, height = _size(path, content.get("width"), content.get("height"))
    roi = content.get("roi") or {}
    try:
        window = RegionOfInterest(
            *(int(roi.get(name, 0)) for name in ("x_offset", "y_offset", "width", "height"))
        )
        binning = tuple(max(1, int(content.get(name, 0))) for name in ("binning_x", "binning_y"))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: roi or binning cannot be read: {error}") from error
    return Calibration(
        width,
        height,
        k=values("k", 9, []),
        d=values("d", None, []),
        distortion_model=str(content.get("distortion_model", "")),
        r=values("r", 9, np.eye(3).reshape(-1).tolist()),
        p=values("p", 12, [0.0] * 12),
        roi=window,
        binning=(binning[0], binning[1]),
    )


def _is_kalibr(content: Any) -> bool:
    """Return whether this is a camera of Kalibr's."""
    return isinstance(content, dict) and "intrinsics" in content and "resolution" in content


def _read_kalibr(path: Path, name: str, content: dict[str, Any]) -> Calibration:
    """Read a camera of a camera chain of Kalibr's."""
    place = f"{path}, {name}"
    model = str(content.get("camera_model", "pinhole"))
    if model != "pinhole":
        raise ValueError(
            f"{place}: camera_model '{model}' is not a pinhole; calibrate with pinhole-radtan or "
            "pinhole-equi"
        )
    distortion = str(content.get("distortion_model", "none"))
    if distortion not in ("radtan", "equidistant", "none"):
        raise ValueError(
            f"{place}: distortion_model '{distortion}' is not supported; calibrate with "
            "pinhole-radtan or pinhole-equi"
        )
    fx, fy, cx, cy = _numbers(path, f"{name}/intrinsics", content["intrinsics"], 4)
    resolution = _numbers(path, f"{name}/resolution", content["resolution"], 2)
    width, height = _size(path, *resolution)
    coefficients = _numbers(
        path, f"{name}/distortion_coeffs", content.get("distortion_coeffs", []), None
    )
    return Calibration(
        width,
        height,
        k=(fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0),
        d=coefficients if distortion != "none" else (),
        distortion_model="equidistant" if distortion == "equidistant" else "plumb_bob",
    )


# Names that OpenCV's samples and common tools give the entries.
_OPENCV_MATRIX = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "intrinsic_matrix", "mtx")
_OPENCV_DISTORTION = (
    "distortion_coefficients",
    "Distortion_Coefficients",
    "distCoeffs",
    "dist_coeffs",
    "D",
    "dist",
)


def _read_opencv(path: Path) -> Calibration:
    """Read an OpenCV FileStorage."""
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except cv2.error as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    try:
        matrix = _opencv_entry(storage, _OPENCV_MATRIX)
        distortion = _opencv_entry(storage, _OPENCV_DISTORTION)
        if matrix is None or matrix.shape != (3, 3):
            raise ValueError(
                f"{path}: no 3x3 camera matrix under one of {', '.join(_OPENCV_MATRIX)}"
            )
        width = storage.getNode("image_width").real()
        height = storage.getNode("image_height").real()
        for name in ("image_size", "imageSize", "image_Size"):
            node = storage.getNode(name)
            if not width and not node.empty() and node.isSeq() and node.size() == 2:
                width, height = node.at(0).real(), node.at(1).real()
        if not width or not height:
            raise ValueError(f"{path}: the image size is missing; add image_width and image_height")
        is_fisheye = bool(storage.getNode("fisheye_model").real())
    finally:
        storage.release()
    values = () if distortion is None else tuple(np.ravel(distortion).astype(float).tolist())
    size = _size(path, width, height)
    k = _numbers(path, "camera matrix", np.ravel(matrix).tolist(), 9)
    model = "equidistant" if is_fisheye else "plumb_bob"
    return Calibration(*size, k, values, model)


def _opencv_entry(storage: cv2.FileStorage, names: tuple[str, ...]) -> NDArray[Any] | None:
    """Return the first matrix of these names."""
    for name in names:
        node = storage.getNode(name)
        if not node.empty():
            matrix = node.mat()
            if matrix is not None:
                return np.asarray(matrix)
    return None


def read_extrinsics(path: Path) -> NDArray[np.float64]:
    """Read the pose of a range sensor in the camera's optical frame, shape (4, 4).

    The YAML file holds ``translation: [x, y, z]`` in metres and ``rotation: [x, y, z, w]``, as
    static_transform_publisher takes them with the camera as the parent.

    Raises
    ------
    ValueError
        If the file cannot be read or the numbers are not there.
    """
    content = _read_yaml(path)
    try:
        translation = [float(value) for value in content["translation"]]
        rotation = [float(value) for value in content["rotation"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: give 'translation: [x, y, z]', 'rotation: [x, y, z, w]'") from (
            error
        )
    if len(translation) != 3 or len(rotation) != 4 or not np.any(rotation):
        raise ValueError(f"{path}: translation takes 3 numbers, rotation 4, not all zero")
    return quaternion_pose_matrix(translation, rotation)


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a dictionary."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary")
    return content
