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

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros.atomic_files import crc, write_atomically
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import Crop, prepare_images

FORMAT = "monodepth2_ros frames"
VERSION = 1

#: Segments shorter than this hold no sample.
SHORTEST_SEGMENT = 3

_NO_CROP = (0.0, 0.0, 0.0, 0.0)

_INDEX_TYPES = {
    "stamps": np.int64,
    "camera": np.int16,
    "segment": np.int32,
    "partner": np.int32,
    "poses": np.float64,
}
_PROGRESS = "progress.npz"


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
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in _INDEX_TYPES}
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


class FrameStoreWriter:
    """Writes a store frame by frame into ``<path>.partial``; :meth:`finish` renames it.

    Before that nothing exists at `path`. :meth:`save` marks a point to come back to: a writer
    opened after a crash with ``resume=True`` continues there.

    Parameters
    ----------
    path : path
        Of the store; must not exist yet.
    width, height : int
        Image size in pixels.
    crop : tuple of float, optional
        Fractions removed from the source image, for the record.
    resume : bool
        Continue where an interrupted writer of the same image size last saved, if it left
        something.

    Attributes
    ----------
    state : dict
        What the caller gave to the last :meth:`save`; empty at the start.

    Raises
    ------
    FileExistsError
        If `path` exists.
    ValueError
        If what is to be resumed is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        crop: tuple[float, float, float, float] = _NO_CROP,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.partial = partial_path(self.path)
        self.width, self.height, self.crop = width, height, crop
        self.state: dict[str, Any] = {}
        self.truth_size: tuple[int, int] | None = None
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists; remove it or choose another folder")
        if not resume:
            shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True, exist_ok=True)
        self._columns: dict[str, list[Any]] = {name: [] for name in _INDEX_TYPES}
        if (self.partial / _PROGRESS).exists():
            self._load()
        self._images = _open_both_ways(self.partial / "images.u8")
        self._truth: io.BufferedRandom | None = None
        try:
            self._shorten()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FrameStoreWriter:
        """Return the writer, to be closed when the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files; without :meth:`finish` there is no store."""
        self.close()

    def __len__(self) -> int:
        """Return the number of frames so far."""
        return len(self._columns["stamps"])

    @property
    def frame_bytes(self) -> int:
        """Size of an image in bytes."""
        return self.width * self.height * 3

    def append(
        self,
        image: NDArray[np.uint8],
        stamp: int,
        camera: int,
        segment: int,
        partner: int = -1,
        pose: NDArray[np.float64] | None = None,
        truth: NDArray[np.floating[Any]] | None = None,
    ) -> int:
        """Add a frame and return its index.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8
            RGB.
        stamp : int
            Nanoseconds.
        camera, segment : int
            Indices; segments start at 0 and ascend by at most 1.
        partner : int
            Index of the stereo partner's frame.
        pose : ndarray, shape (4, 4), optional
            World from camera.
        truth : ndarray, shape (Ht, Wt), optional
            See :meth:`set_truth`.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"frame store: an image of shape {image.shape} and type {image.dtype}; "
                f"({self.height}, {self.width}, 3) and uint8 needed"
            )
        last = self._columns["segment"][-1] if len(self) else -1
        if not last <= segment <= last + 1 or segment < 0:
            raise ValueError(f"frame store: segment {segment} cannot follow segment {last}")
        index = len(self)
        self._images.seek(index * self.frame_bytes)
        self._images.write(np.ascontiguousarray(image).data)
        pose = np.full((4, 4), np.nan) if pose is None else np.asarray(pose, np.float64)
        row = {"stamps": stamp, "camera": camera, "segment": segment, "partner": partner}
        for name, value in row.items():
            self._columns[name].append(value)
        self._columns["poses"].append(pose)
        if truth is not None:
            self.set_truth(index, truth)
        return index

    def image(self, index: int) -> NDArray[np.uint8]:
        """Read an image back, shape (H, W, 3)."""
        self._images.seek(index * self.frame_bytes)
        data = self._images.read(self.frame_bytes)
        return np.frombuffer(data, np.uint8).reshape(self.height, self.width, 3)

    def column(self, name: str) -> NDArray[Any]:
        """Return the stamps, camera, segment, partner or poses written so far."""
        shape = (len(self), 4, 4) if name == "poses" else (len(self),)
        return np.asarray(self._columns[name], _INDEX_TYPES[name]).reshape(shape)

    def set_partner(self, index: int, partner: int) -> None:
        """Declare two frames, both written, to be a stereo pair."""
        self._columns["partner"][index] = partner
        self._columns["partner"][partner] = index

    def set_poses(self, first: int, poses: NDArray[np.float64]) -> None:
        """Give frames from `first` on, already written, their poses (M, 4, 4)."""
        self._columns["poses"][first : first + len(poses)] = list(poses)

    def set_truth(self, index: int, truth: NDArray[np.floating[Any]]) -> None:
        """Give a frame, already written, its depth.

        Parameters
        ----------
        index : int
        truth : ndarray, shape (Ht, Wt)
            Metres, not finite or not positive where unknown. All have the size of the first.
        """
        height, width = truth.shape
        self.truth_size = self.truth_size or (width, height)
        if (width, height) != self.truth_size:
            raise ValueError(
                f"frame store: truth of {width}x{height} after {self.truth_size[0]}x"
                f"{self.truth_size[1]}; all must have one size"
            )
        if self._truth is None:
            self._truth = _open_both_ways(self.partial / "truth.f16")
        known = truth > 0.0  # NaN is not; infinite is "too far" (REP 117), which says something
        # Frames without truth are never written: a hole in the file reads as 0, unknown.
        self._truth.seek(index * width * height * 2)
        self._truth.write(np.where(known, truth, 0.0).astype(np.float16).data)

    def truncate(self, count: int) -> None:
        """Forget all frames from `count` on."""
        for column in self._columns.values():
            del column[count:]
        partners = self._columns["partner"]
        partners[:] = [partner if partner < count else -1 for partner in partners]
        self._shorten()

    def save(self, state: dict[str, Any]) -> None:
        """Mark a point to resume from.

        Parameters
        ----------
        state : dict
            The caller's own progress, representable in JSON.
        """
        self._sync()
        arrays: dict[str, Any] = {name: self.column(name) for name in _INDEX_TYPES}
        progress = {
            "image_size": [self.width, self.height],
            "truth_size": self.truth_size,
            "state": state,
        }
        arrays["progress"] = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.partial / _PROGRESS, buffer.getvalue())
        self.state = state

    def finish(
        self,
        cameras: Sequence[PinholeCamera],
        segment_spacing: Sequence[int] | None = None,
        segment_source: Sequence[int] | None = None,
        sources: Sequence[Source] = (),
        baselines: Sequence[float] | None = None,
    ) -> Path:
        """Complete the store, put it in its place and return its path.

        Parameters
        ----------
        cameras : sequence of PinholeCamera
            At the size of the images.
        segment_spacing, segment_source : sequence of int, optional
            One for each segment; 1 and 0 by default.
        sources : sequence of Source
        baselines : sequence of float, optional
            One for each camera, see :class:`FrameStore`; 0 by default.

        Raises
        ------
        ValueError
            If there is no frame, or the arguments do not fit the frames.
        """
        count = len(self)
        if count == 0:
            raise ValueError(f"{self.path}: no frame to store")
        segments = self._columns["segment"][-1] + 1
        spacing = [1] * segments if segment_spacing is None else [int(s) for s in segment_spacing]
        source = [0] * segments if segment_source is None else [int(s) for s in segment_source]
        baselines = [0.0] * len(cameras) if baselines is None else list(baselines)
        if len(spacing) != segments or len(source) != segments or min(spacing) < 1:
            raise ValueError(
                f"frame store: {segments} segments, {len(spacing)} spacings, {len(source)} sources"
            )
        if len(cameras) <= max(self._columns["camera"]) or len(baselines) != len(cameras):
            raise ValueError(f"frame store: {len(cameras)} cameras, {len(baselines)} baselines")
        for camera in cameras:
            if (camera.width, camera.height) != (self.width, self.height):
                raise ValueError(
                    f"frame store: a camera of {camera.width}x{camera.height} for images of "
                    f"{self.width}x{self.height}"
                )
        if self._truth is not None and self.truth_size is not None:
            self._truth.truncate(count * self.truth_size[0] * self.truth_size[1] * 2)
        self._sync()
        self.close()
        names = ["images.u8"] if self.truth_size is None else ["images.u8", "truth.f16"]
        for name in _INDEX_TYPES:
            buffer = io.BytesIO()
            np.save(buffer, self.column(name))
            write_atomically(self.partial / f"{name}.npy", buffer.getvalue())
            names.append(f"{name}.npy")
        header = {
            "format": FORMAT,
            "version": VERSION,
            "frames": count,
            "image_size": [self.width, self.height],
            "truth_size": self.truth_size,
            "crop": list(self.crop),
            "cameras": [asdict(camera) for camera in cameras],
            "baselines": [float(baseline) for baseline in baselines],
            "sources": [asdict(source) for source in sources],
            "segment_spacing": spacing,
            "segment_source": source,
            "files": {
                name: {"bytes": (self.partial / name).stat().st_size, "crc32": crc(path)}
                for name, path in ((name, self.partial / name) for name in names)
            },
        }
        write_atomically(self.partial / "store.json", json.dumps(header, indent=1).encode())
        (self.partial / _PROGRESS).unlink(missing_ok=True)
        os.rename(self.partial, self.path)
        return self.path

    def close(self) -> None:
        """Close the files."""
        self._images.close()
        if self._truth is not None:
            self._truth.close()

    def _load(self) -> None:
        """Take up the saved index and state, if they are of this image size."""
        path = self.partial / _PROGRESS
        try:
            with np.load(path) as saved:
                arrays = {name: saved[name] for name in _INDEX_TYPES}
                progress = json.loads(saved["progress"].tobytes())
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error}); remove {self.partial}") from error
        if progress["image_size"] != [self.width, self.height]:
            return
        for name, array in arrays.items():
            self._columns[name] = list(array) if name == "poses" else array.tolist()
        self.truth_size = tuple(progress["truth_size"]) if progress["truth_size"] else None
        self.state = progress["state"]

    def _shorten(self) -> None:
        """Cut the files to the frames of the index."""
        needed = len(self) * self.frame_bytes
        if self._images.seek(0, os.SEEK_END) < needed:
            raise ValueError(f"{self.partial / 'images.u8'} is too short; remove {self.partial}")
        self._images.truncate(needed)
        if self.truth_size is not None:
            if self._truth is None:
                self._truth = _open_both_ways(self.partial / "truth.f16")
            needed = len(self) * self.truth_size[0] * self.truth_size[1] * 2
            if self._truth.seek(0, os.SEEK_END) > needed:
                self._truth.truncate(needed)

    def _sync(self) -> None:
        """Bring all that was written onto the disk."""
        for file in (self._images, self._truth):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())


def write_frame_store(
    path: str | os.PathLike[str],
    images: NDArray[np.uint8],
    cameras: Sequence[PinholeCamera],
    stamps: NDArray[np.int64] | None = None,
    camera_index: NDArray[Any] | None = None,
    segment: NDArray[Any] | None = None,
    partner: NDArray[Any] | None = None,
    poses: NDArray[np.float64] | None = None,
    truth: NDArray[np.floating[Any]] | None = None,
    baselines: Sequence[float] | None = None,
    segment_spacing: Sequence[int] | None = None,
    sources: Sequence[Source] = (),
) -> FrameStore:
    """Write arrays as a store and open it.

    Parameters
    ----------
    path : path
        Must not exist.
    images : ndarray, shape (N, H, W, 3), uint8
    cameras : sequence of PinholeCamera
    stamps : ndarray, shape (N,), optional
        Nanoseconds; 0, 1, 2 … tenths of a second by default.
    camera_index, segment, partner : ndarray, shape (N,), optional
        0, 0 and −1 by default.
    poses : ndarray, shape (N, 4, 4), optional
    truth : ndarray, shape (N, Ht, Wt), optional
        Metres, not finite or not positive where unknown.
    baselines, segment_spacing, sources
        See :meth:`FrameStoreWriter.finish`.
    """
    count, height, width = images.shape[:3]
    with FrameStoreWriter(path, width, height) as writer:
        for i in range(count):
            writer.append(
                images[i],
                int(stamps[i]) if stamps is not None else i * 100_000_000,
                int(camera_index[i]) if camera_index is not None else 0,
                int(segment[i]) if segment is not None else 0,
                int(partner[i]) if partner is not None else -1,
                poses[i] if poses is not None else None,
                truth[i] if truth is not None else None,
            )
        writer.finish(cameras, segment_spacing, None, sources, baselines)
    return FrameStore.open(path)


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


def _open_both_ways(path: Path) -> io.BufferedRandom:
    """Open a file for reading and writing, creating it if need be."""
    path.touch()
    return path.open("r+b")


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
