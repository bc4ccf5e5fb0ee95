# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames on disk, ready to be memory-mapped: what extraction writes and training reads.

A store is a folder::

    store.json    format version, sizes, cameras, crop, sources, spacing per segment, checksums
    images.u8     N × H × W × 3 bytes, RGB
    stamps.npy    (N,) int64 nanoseconds
    camera.npy    (N,) int16, index into the cameras
    segment.npy   (N,) int32, ascending
    partner.npy   (N,) int32, the stereo partner's frame, −1 where there is none
    poses.npy     (N, 4, 4) float64 world from camera (optical frame), NaN where unknown
    truth.f16     optional: N × Ht × Wt float16 depth in metres, 0 where unknown, infinite where
                  beyond the range

The frames of a segment follow each other in the store and in time, seen by one camera without
gaps, so a training sample is a frame i and its neighbours i ± spacing inside one segment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros.atomic_files import crc
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import Crop, prepare_images

FORMAT = "monodepth2_ros frames"
VERSION = 1

#: Segments shorter than this hold no sample.
SHORTEST_SEGMENT = 3

INDEX_TYPES = {
    "stamps": np.int64,
    "camera": np.int16,
    "segment": np.int32,
    "partner": np.int32,
    "poses": np.float64,
}


@dataclass(frozen=True)
class Source:
    """Where frames come from: a recording and the topic (or folder) in it."""

    recording: str
    topic: str


@dataclass(frozen=True)
class FrameStore:
    """An opened frame store; every array is read-only and memory-mapped.

    Attributes
    ----------
    path : Path
    images : ndarray, shape (N, H, W, 3), uint8
        RGB.
    stamps : ndarray, shape (N,), int64
        Nanoseconds.
    camera_index : ndarray, shape (N,), int16
        Index into `cameras`.
    segment : ndarray, shape (N,), int32
        Segment of each frame; ascending from 0.
    partner : ndarray, shape (N,), int32
        Frame that the other camera of a stereo pair took at the same time; −1 for none.
    poses : ndarray, shape (N, 4, 4), float64
        World from camera (optical frame), metres; NaN where unknown.
    truth : ndarray, shape (N, Ht, Wt), float16, or None
        Depth along the optical axis in metres, 0 where unknown; it covers the same field of view
        as the image, at its own resolution.
    cameras : tuple of PinholeCamera
        At the size of the stored images.
    baselines : tuple of float
        For each camera the x coordinate of its stereo partner in its own frame, in metres:
        positive for a left camera, negative for a right one, 0 without partner.
    crop : tuple of float
        Fractions of the source image removed at the left, top, right and bottom.
    segment_spacing : tuple of int
        For each segment, how many frames apart its neighbours should be.
    segment_source : tuple of int
        For each segment, index into `sources`.
    sources : tuple of Source
    """

    path: Path
    images: NDArray[np.uint8]
    stamps: NDArray[np.int64]
    camera_index: NDArray[np.int16]
    segment: NDArray[np.int32]
    partner: NDArray[np.int32]
    poses: NDArray[np.float64]
    truth: NDArray[np.float16] | None
    cameras: tuple[PinholeCamera, ...]
    baselines: tuple[float, ...]
    crop: tuple[float, float, float, float]
    segment_spacing: tuple[int, ...]
    segment_source: tuple[int, ...]
    sources: tuple[Source, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = False) -> FrameStore:
        """Open a store.

        Parameters
        ----------
        path : path
            The store's folder.
        verify : bool
            Read all files and compare their checksums. Otherwise only sizes are compared, which
            takes milliseconds whatever the number of frames.

        Raises
        ------
        FileNotFoundError
            If there is no store at `path`.
        ValueError
            If it is damaged, incomplete, or of a newer format.
        """
        path = Path(path)
        header = _read_header(path)
        count, size = header["frames"], header["image_size"]
        truth_size = header["truth_size"]
        for name, expected in header["files"].items():
            _check_file(path / name, expected, verify)
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in INDEX_TYPES}
        for name, array in arrays.items():
            if array.shape != ((count, 4, 4) if name == "poses" else (count,)):
                raise ValueError(f"{path / name}.npy: shape {array.shape} for {count} frames")
        segment, camera = arrays["segment"], arrays["camera"]
        spacing = tuple(header["segment_spacing"])
        steps = np.diff(segment, prepend=-1, append=len(spacing))
        cameras = tuple(PinholeCamera(**camera) for camera in header["cameras"])
        if np.any((steps < 0) | (steps > 1)) or camera.min() < 0 or camera.max() >= len(cameras):
            raise ValueError(f"{path}: the index does not fit store.json; extract it again")
        truth = None
        if truth_size is not None:
            truth = np.memmap(
                path / "truth.f16", np.float16, "r", shape=(count, truth_size[1], truth_size[0])
            )
        return cls(
            path=path,
            images=np.memmap(path / "images.u8", np.uint8, "r", shape=(count, size[1], size[0], 3)),
            stamps=arrays["stamps"],
            camera_index=camera,
            segment=segment,
            partner=arrays["partner"],
            poses=arrays["poses"],
            truth=truth,
            cameras=cameras,
            baselines=tuple(header["baselines"]),
            crop=tuple(header["crop"]),
            segment_spacing=spacing,
            segment_source=tuple(header["segment_source"]),
            sources=tuple(Source(**source) for source in header["sources"]),
        )

    def __reduce__(self) -> tuple[Callable[..., FrameStore], tuple[Path]]:
        """Pickle by path: a data loader's worker maps the files itself."""
        return FrameStore.open, (self.path,)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.stamps)

    @property
    def width(self) -> int:
        """Width of the stored images in pixels."""
        return int(self.images.shape[2])

    @property
    def height(self) -> int:
        """Height of the stored images in pixels."""
        return int(self.images.shape[1])

    @property
    def spacing(self) -> int:
        """The spacing that suits most frames."""
        lengths = np.diff(self.segment_ranges(), axis=1)[:, 0]
        return int(np.bincount(self.segment_spacing, weights=lengths).argmax())

    def segment_ranges(self) -> NDArray[np.int64]:
        """Return the first frame and the last + 1 of each segment, shape (S, 2)."""
        edges = np.searchsorted(self.segment, np.arange(len(self.segment_spacing) + 1))
        return np.stack([edges[:-1], edges[1:]], axis=1)


def partial_path(path: Path) -> Path:
    """Return the folder in which a store is written before it is complete."""
    return path.with_name(path.name + ".partial")


def _read_header(path: Path) -> dict[str, Any]:
    """Read store.json and check what it claims to be."""
    file = path / "store.json"
    if not file.exists():
        hint = ""
        if partial_path(path).exists():
            hint = "; an unfinished extraction is beside it: run the same depth_extract again"
        raise FileNotFoundError(f"{path} is no frame store: it has no store.json{hint}")
    try:
        header: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        described, version = header["format"], header["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}); extract it again") from error
    if described != FORMAT:
        raise ValueError(f"{file} describes '{described}', not '{FORMAT}'")
    if version > VERSION:
        raise ValueError(
            f"{file}: format version {version}; this package reads up to {VERSION}: update it"
        )
    return header


def _check_file(path: Path, expected: dict[str, int], verify: bool) -> None:
    """Compare a file's size and, to verify, its checksum."""
    size = path.stat().st_size if path.exists() else -1
    if size != expected["bytes"]:
        found = "is missing" if size < 0 else f"has {size} bytes"
        raise ValueError(f"{path} {found}, {expected['bytes']} expected; extract it again")
    if verify and crc(path) != expected["crc32"]:
        raise ValueError(f"{path} is damaged: its checksum differs; extract it again")


def depth_size(store: FrameStore) -> tuple[int, int]:
    """Return the height and width at which depth is compared: the truth's, else the images'."""
    height, width = (store.images if store.truth is None else store.truth).shape[1:3]
    return height, width


def network_images(
    store: FrameStore, frames: NDArray[np.int64], crop: Crop, width: int, height: int
) -> Tensor:
    """Read frames as a network takes them.

    Parameters
    ----------
    store : FrameStore
    frames : ndarray, shape (B,)
    crop : tuple of float
        To be taken from the stored images.
    width, height : int
        The network's size.

    Returns
    -------
    Tensor, shape (B, height, width, 3), uint8, RGB
    """
    return prepare_images(torch.from_numpy(store.images[frames]), crop, width, height)
