# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""KITTI raw recordings (the synced and rectified folders) as a source of frames.

A split file lists the frames to train on or to evaluate, one a line:
``2011_09_26/2011_09_26_drive_0001_sync 5 l``, l for the left colour camera (image_02) and r for
the right one (image_03). Each listed frame is stored with the frames before and after it, which a
sample needs; depth from the laser scanner is stored for the listed frames alone, so an evaluation
sees exactly these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration
from monodepth2_ros.recordings.joins import ChosenTopic
from training.extraction.bag_cameras import DeliveredFrame, DeliveredTruth
from training.extraction.stored_view import StoredView, truth_from_points
from training.frames.store import Source

SIDES = {"l": "image_02", "r": "image_03"}

_NOMINAL_INTERVAL_NS = 103_600_000  # where timestamps.txt is missing
_SUFFIXES = (".png", ".jpg")


@dataclass(frozen=True)
class KittiCamera:
    """A camera of a drive, with the interface of ``BagCamera``.

    Attributes
    ----------
    root : Path
        Holds the dates' folders.
    drive : str
        Such as ``2011_09_26/2011_09_26_drive_0001_sync``.
    folder : str
        ``image_02`` or ``image_03``.
    listed : tuple of int
        Frames of the split, ascending.
    calibration : Calibration
    stores_truth : bool
    """

    root: Path
    drive: str
    folder: str
    listed: tuple[int, ...]
    calibration: Calibration
    stores_truth: bool = True
    is_rectified: bool = True
    truth_tolerance: int = 0
    filters_motion: bool = False
    notes: tuple[str, ...] = ()
    choices: tuple[ChosenTopic, ...] = ()
    bits: int = 8

    def opened(self) -> AbstractContextManager[KittiCamera]:
        """Return itself: there is nothing to keep open."""
        return nullcontext(self)

    @property
    def source(self) -> Source:
        """Drive and folder."""
        return Source(self.drive, self.folder)

    @property
    def count(self) -> int:
        """Frames to be stored."""
        return len(self._indices())

    @property
    def has_truth(self) -> bool:
        """Whether there are laser scans, and they are wanted."""
        return self.stores_truth and self._scans.is_dir()

    @property
    def truth_description(self) -> dict[str, Any]:
        """What the report says about the ground truth before it is read."""
        return {"topic": "velodyne_points", "metres_per_unit": 1.0} if self.has_truth else {}

    def frames(self) -> Iterator[DeliveredFrame | str]:
        """Iterate the listed frames and their neighbours."""
        stamps = self._stamps()
        last = None
        for index in self._indices():
            path = self._image(index)
            if path is None:
                # At the ends of a drive there is no neighbour; a listed frame must exist.
                if index in self.listed:
                    yield "listed in the split but not on disk"
                continue
            follows = last is not None and index == last + 1
            stamp = self._stamp(stamps, index)
            yield DeliveredFrame(stamp, self.calibration, partial(_read_image, path), follows)
            last = index

    def truths(self) -> Iterator[DeliveredTruth]:
        """Iterate the laser scans of the listed frames."""
        stamps = self._stamps()
        pose = scanner_pose(self.root / self.drive.split("/")[0], self.folder)
        for index in self.listed:
            path = self._scans / f"{index:010d}.bin"
            if path.exists():
                yield DeliveredTruth(self._stamp(stamps, index), partial(_read_truth, path, pose))

    def pose_source(self) -> tuple[None, str]:
        """Return no poses: KITTI's are in the odometry benchmark, not in the raw folders."""
        return None, "none"

    @property
    def _scans(self) -> Path:
        """Return the folder of the laser scans."""
        return self.root / self.drive / "velodyne_points" / "data"

    def _indices(self) -> list[int]:
        """Return the listed frames and their neighbours."""
        return sorted({i + step for i in self.listed for step in (-1, 0, 1) if i + step >= 0})

    def _image(self, index: int) -> Path | None:
        """Return the file of a frame, if it exists."""
        folder = self.root / self.drive / self.folder / "data"
        candidates = (folder / f"{index:010d}{suffix}" for suffix in _SUFFIXES)
        return next((path for path in candidates if path.exists()), None)

    def _stamps(self) -> list[int]:
        """Read the drive's time stamps; empty where there are none."""
        path = self.root / self.drive / self.folder / "timestamps.txt"
        if not path.exists():
            return []
        return [_nanoseconds(line) for line in path.read_text().splitlines() if line.strip()]

    def _stamp(self, stamps: list[int], index: int) -> int:
        """Return the stamp of a frame."""
        return stamps[index] if index < len(stamps) else index * _NOMINAL_INTERVAL_NS


def kitti_cameras(
    root: Path, split: Path, stereo: tuple[str, str] | None = None, truth: bool = True
) -> list[KittiCamera]:
    """Find the cameras that a split asks for.

    Parameters
    ----------
    root : Path
        Holds the dates' folders with calib_cam_to_cam.txt and the drives.
    split : Path
    stereo : two str, optional
        Folders of a pair, ``image_02`` and ``image_03``; both are stored for every listed frame,
        whichever side is listed, and come one after the other in the result.
    truth : bool
        Store the laser scans' depth.

    Raises
    ------
    ValueError
        If a file is missing or a line cannot be understood.
    """
    try:
        lines = split.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{split} cannot be read: {error}") from error
    wanted: dict[str, dict[str, set[int]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        words = line.split()
        if (
            len(words) not in (2, 3)
            or not words[1].isdigit()
            or words[-1] not in (*SIDES, words[1])
        ):
            raise ValueError(f"{split}, line {number}: '{line}'; 'DATE/DRIVE FRAME l' expected")
        side = SIDES[words[2]] if len(words) == 3 else SIDES["l"]
        for folder in stereo or (side,):
            wanted.setdefault(words[0], {}).setdefault(folder, set()).add(int(words[1]))
    if not wanted:
        raise ValueError(f"{split} lists no frame")
    cameras = []
    for drive, folders in wanted.items():
        if not (root / drive).is_dir():
            raise ValueError(f"{root / drive} does not exist, but {split} lists it")
        for folder in stereo or sorted(folders):
            calibration = read_camera(root / drive.split("/")[0], folder)
            listed = tuple(sorted(folders[folder]))
            cameras.append(KittiCamera(root, drive, folder, listed, calibration, truth))
    return cameras


def read_camera(date: Path, folder: str) -> Calibration:
    """Read a rectified camera from a date's calib_cam_to_cam.txt.

    Parameters
    ----------
    date : Path
        The date's folder.
    folder : str
        Such as ``image_02``.
    """
    entries = _read_entries(date / "calib_cam_to_cam.txt")
    number = folder.split("_")[-1]
    projection = _numbers(date, entries, f"P_rect_{number}", 12)
    width, height = _numbers(date, entries, f"S_rect_{number}", 2)
    return Calibration(
        width=int(width),
        height=int(height),
        k=tuple(projection.reshape(3, 4)[:, :3].reshape(-1).tolist()),
        p=tuple(projection.tolist()),
    )


def scanner_pose(date: Path, folder: str) -> NDArray[np.float64]:
    """Return the pose of the laser scanner in a rectified camera, shape (4, 4).

    The calibration places the scanner in the unrectified camera 0; R_rect_00 rectifies that, and
    the last column of P_rect holds K times the position of camera 0 in this camera.
    """
    cameras = _read_entries(date / "calib_cam_to_cam.txt")
    scanner = _read_entries(date / "calib_velo_to_cam.txt")
    projection = _numbers(date, cameras, f"P_rect_{folder.split('_')[-1]}", 12).reshape(3, 4)
    pose = np.eye(4)
    pose[:3, :3] = _numbers(date, scanner, "R", 9).reshape(3, 3)
    pose[:3, 3] = _numbers(date, scanner, "T", 3)
    rectification = np.eye(4)
    rectification[:3, :3] = _numbers(date, cameras, "R_rect_00", 9).reshape(3, 3)
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return shift @ rectification @ pose


def _read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("image file cannot be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _read_truth(
    path: Path, pose: NDArray[np.float64], view: StoredView, size: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Project a laser scan (float32 x, y, z, reflectance)."""
    scan = np.fromfile(path, np.float32)
    points = scan[: len(scan) // 4 * 4].reshape(-1, 4)[:, :3] @ pose[:3, :3].T + pose[:3, 3]
    camera = view.truth_camera
    return truth_from_points(points, camera.resized(*size) if size else camera)


def _read_entries(path: Path) -> dict[str, list[str]]:
    """Read a calibration file: "name: numbers" a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    entries = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): values.split() for name, values in entries}


def _numbers(
    date: Path, entries: dict[str, list[str]], name: str, count: int
) -> NDArray[np.float64]:
    """Return an entry's numbers."""
    values = entries.get(name, [])
    if len(values) != count:
        raise ValueError(f"{date}: the calibration has no '{name}' of {count} numbers")
    return np.array([float(value) for value in values])


def _nanoseconds(line: str) -> int:
    """Convert "2011-09-26 13:02:25.964389445" to nanoseconds since 1970, taken as UTC."""
    whole, _, fraction = line.strip().partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
