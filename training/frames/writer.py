# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes frame stores, frame by frame; see :mod:`training.frames.store` for the format."""

from __future__ import annotations

import io
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import crc, move_into_place, write_atomically
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import NO_CROP
from monodepth2_ros.typed_files import ImageSide, parse_json
from training.frames.store import (
    CHECKSUMS,
    FORMAT,
    INDEX_TYPES,
    PIXEL_FILES,
    VERSION,
    FileSum,
    FrameStore,
    Source,
    StoreHeader,
    frame_bytes,
    partial_path,
)

#: What an interrupted writer goes on from.
PROGRESS = "progress.npz"


@dataclass(frozen=True)
class _WriterProgress:
    """The JSON in the progress file."""

    image_size: tuple[ImageSide, ImageSide]
    truth_size: tuple[ImageSide, ImageSide] | None
    state: dict[str, Any]
    corner_size: tuple[ImageSide, ImageSide] | None = None


class FrameStoreWriter:
    """Writes a store frame by frame into ``<path>.partial``; :meth:`finish` renames it.

    Before that nothing exists at `path`. :meth:`save` marks a point to come back to: a writer
    opened after a crash with ``resume=True`` continues there.

    Parameters
    ----------
    path : path
        Path of the store; must not exist yet.
    width, height : int
        Image size in pixels.
    crop : tuple of float, optional
        Fractions removed from the source image, for the record.
    resume : bool
        Continue where an interrupted writer of the same sizes last saved, if it left something.
    corner_size : tuple of int, optional
        Width and height of the corner images, where the frames come with some.

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
        crop: tuple[float, float, float, float] = NO_CROP,
        resume: bool = False,
        corner_size: tuple[int, int] | None = None,
    ) -> None:
        self.path = Path(path)
        self.partial = partial_path(self.path)
        self.width, self.height, self.crop = width, height, crop
        self.state: dict[str, Any] = {}
        self.truth_size: tuple[int, int] | None = None
        self.corner_size = corner_size
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists; remove it or choose another folder")
        if not resume:
            shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True, exist_ok=True)
        self._columns: dict[str, list[Any]] = {name: [] for name in INDEX_TYPES}
        if (self.partial / PROGRESS).exists():
            self._load()
        self._images = _open_both_ways(self.partial / "images.u8")
        self._truth: io.BufferedRandom | None = None
        self._corners: io.BufferedRandom | None = None
        if corner_size is not None:
            self._corners = _open_both_ways(self.partial / "corners.u8")
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
    def image_bytes(self) -> int:
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
        corner_image: NDArray[np.uint8] | None = None,
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
        corner_image : ndarray, shape (Hc, Wc), uint8
            Grey; where `corner_size` was given, and only there.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"frame store: an image of shape {image.shape} and type {image.dtype}; "
                f"({self.height}, {self.width}, 3) and uint8 needed"
            )
        width, height = self.corner_size or (0, 0)
        corner_shape = (0, 0) if corner_image is None else corner_image.shape
        if corner_shape != (height, width):
            raise ValueError(
                f"frame store: a corner image of shape {corner_shape}; {(height, width)} needed"
            )
        last = self._columns["segment"][-1] if len(self) else -1
        if not last <= segment <= last + 1 or segment < 0:
            raise ValueError(f"frame store: segment {segment} cannot follow segment {last}")
        index = len(self)
        self._images.seek(index * self.image_bytes)
        self._images.write(np.ascontiguousarray(image).data)
        if self._corners is not None and corner_image is not None:
            self._corners.seek(index * corner_image.size)
            self._corners.write(np.ascontiguousarray(corner_image).data)
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
        self._images.seek(index * self.image_bytes)
        data = self._images.read(self.image_bytes)
        return np.frombuffer(data, np.uint8).reshape(self.height, self.width, 3)

    def column(self, name: str) -> NDArray[Any]:
        """Return the stamps, camera, segment, partner or poses written so far."""
        shape = (len(self), 4, 4) if name == "poses" else (len(self),)
        return np.asarray(self._columns[name], INDEX_TYPES[name]).reshape(shape)

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
        arrays: dict[str, Any] = {name: self.column(name) for name in INDEX_TYPES}
        progress = {
            "image_size": [self.width, self.height],
            "truth_size": self.truth_size,
            "corner_size": self.corner_size,
            "state": state,
        }
        arrays["progress"] = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.partial / PROGRESS, buffer.getvalue())
        self.state = state

    def finish(
        self,
        cameras: Sequence[PinholeCamera],
        segment_spacing: Sequence[int] | None = None,
        segment_source: Sequence[int] | None = None,
        sources: Sequence[Source] = (),
        baselines: Sequence[float] | None = None,
        fingerprint: str = "",
        complete: Callable[[Path], object] | None = None,
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
        fingerprint : str
            See :class:`FrameStore`.
        complete : callable, optional
            Called with the folder before it gets its name, when it is a store already: adds files
            that must be there as soon as the store is.

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
        names = list(self._frame_bytes())
        for name in INDEX_TYPES:
            buffer = io.BytesIO()
            np.save(buffer, self.column(name))
            write_atomically(self.partial / f"{name}.npy", buffer.getvalue())
            names.append(f"{name}.npy")
        sums = self._frame_checksums()
        np.save(buffer := io.BytesIO(), sums)
        write_atomically(self.partial / CHECKSUMS, buffer.getvalue())
        names.append(CHECKSUMS)
        header = StoreHeader(
            format=FORMAT,
            version=VERSION,
            frames=count,
            image_size=(self.width, self.height),
            truth_size=self.truth_size,
            crop=self.crop,
            cameras=list(cameras),
            baselines=[float(baseline) for baseline in baselines],
            sources=list(sources),
            segment_spacing=spacing,
            segment_source=source,
            files={name: _sum_of(self.partial / name) for name in names},
            fingerprint=fingerprint,
            corner_size=self.corner_size,
        )
        text = json.dumps(asdict(header), indent=1)
        write_atomically(self.partial / "store.json", text.encode())
        if complete is not None:
            complete(self.partial)
        # The progress goes last: whatever is interrupted before can be done again from it.
        move_into_place(self.partial, self.path)
        (self.path / PROGRESS).unlink(missing_ok=True)
        return self.path

    def close(self) -> None:
        """Close the files."""
        for file in (self._images, self._truth, self._corners):
            if file is not None:
                file.close()

    def _frame_bytes(self) -> dict[str, int]:
        """Return the bytes of a frame in each file of pixels."""
        return frame_bytes((self.width, self.height), self.truth_size, self.corner_size)

    def _frame_checksums(self) -> NDArray[np.uint32]:
        """Return the CRC-32 of each frame in each file of pixels, shape (N, 3)."""
        sums = np.zeros((len(self), len(PIXEL_FILES)), np.uint32)
        for name, length in self._frame_bytes().items():
            with (self.partial / name).open("rb") as file:
                found = [zlib.crc32(file.read(length)) for _ in range(len(self))]
            sums[:, PIXEL_FILES.index(name)] = found
        return sums

    def _load(self) -> None:
        """Take up the saved index and state, if they are of this image size."""
        path = self.partial / PROGRESS
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in INDEX_TYPES}
                text = saved["progress"].tobytes()
        except Exception as error:  # NumPy and zipfile raise many kinds for damaged files
            raise ValueError(f"{path} is damaged ({error}); remove {self.partial}") from error
        progress = parse_json(text, _WriterProgress, path, self._unusable)
        count = len(np.atleast_1d(arrays["stamps"]))
        for name, array in arrays.items():
            shape = (count, 4, 4) if name == "poses" else (count,)
            if array.shape != shape or array.dtype != INDEX_TYPES[name]:
                raise self._unusable(f"{path}: '{name}' is {array.dtype} of shape {array.shape}")
        saved_sizes = (progress.image_size, progress.corner_size)
        if saved_sizes != ((self.width, self.height), self.corner_size):
            return
        for name, array in arrays.items():
            self._columns[name] = list(array) if name == "poses" else array.tolist()
        self.truth_size = progress.truth_size
        self.state = progress.state

    def _unusable(self, message: str) -> ValueError:
        """Make the error of progress that cannot be gone on with."""
        return ValueError(f"{message}; remove {self.partial} to begin again")

    def _shorten(self) -> None:
        """Cut the files to the frames of the index."""
        whole = {"images.u8": self._images, "corners.u8": self._corners}
        for name, file in whole.items():
            if file is not None:
                needed = len(self) * self._frame_bytes()[name]
                if file.seek(0, os.SEEK_END) < needed:
                    raise ValueError(f"{self.partial / name} is too short; remove {self.partial}")
                file.truncate(needed)
        if self.truth_size is not None:
            if self._truth is None:
                self._truth = _open_both_ways(self.partial / "truth.f16")
            needed = len(self) * self.truth_size[0] * self.truth_size[1] * 2
            if self._truth.seek(0, os.SEEK_END) > needed:
                self._truth.truncate(needed)

    def _sync(self) -> None:
        """Bring all that was written onto the disk."""
        for file in (self._images, self._truth, self._corners):
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


def _sum_of(path: Path) -> FileSum:
    """Return what verification compares with later."""
    return FileSum(path.stat().st_size, crc(path))


def _open_both_ways(path: Path) -> io.BufferedRandom:
    """Open a file for reading and writing, creating it if need be."""
    path.touch()
    return path.open("r+b")
