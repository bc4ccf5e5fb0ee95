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
    checksums.npy (N, 3) uint32, CRC-32 of each frame's image, truth and corner image; 0 without
    truth.f16     optional: N × Ht × Wt float16 depth in metres, 0 where unknown, infinite where
                  beyond the range
    corners.u8    optional: N × Hc × Wc bytes, the images in grey and larger, for tracking corners

Stores of earlier versions have no checksums.npy, or one without the third column; then damage is
found, but not the frame.

The frames of a segment follow each other in the store and in time, seen by one camera without
gaps, so a training sample is a frame i and its neighbours i ± spacing inside one segment.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros.atomic_files import crc
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import Crop, check_crop, prepare_images
from monodepth2_ros.typed_files import (
    Count,
    CropFractions,
    Finite,
    ImageSide,
    Index,
    parse_json,
)

FORMAT = "monodepth2_ros frames"
VERSION = 1

#: Segments shorter than this hold no sample.
SHORTEST_SEGMENT = 3

#: File with a checksum for each frame.
CHECKSUMS = "checksums.npy"

#: Files of pixels, in the order of the columns of checksums.npy.
PIXEL_FILES = ("images.u8", "truth.f16", "corners.u8")

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
class FileSum:
    """Size and CRC-32 of a file, as noted when it was complete."""

    bytes: Count
    crc32: Annotated[int, Meta(ge=0, lt=2**32)]


@dataclass(frozen=True)
class _Kind:
    """What store.json holds in all versions."""

    format: str
    version: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class StoreHeader:
    """The content of store.json; the fields are those of :class:`FrameStore`.

    Attributes
    ----------
    files : dict
        By name, all files of the store but store.json itself.
    fingerprint : str
        What the store was made from and how; equal ones mean equal stores. Empty if unknown.
    """

    format: str
    version: Annotated[int, Meta(ge=1)]
    frames: Annotated[int, Meta(ge=1, lt=2**31)]
    image_size: tuple[ImageSide, ImageSide]
    truth_size: tuple[ImageSide, ImageSide] | None
    crop: CropFractions
    cameras: Annotated[list[PinholeCamera], Meta(min_length=1)]
    baselines: list[Finite]
    sources: list[Source]
    segment_spacing: Annotated[list[Annotated[int, Meta(ge=1, lt=2**31)]], Meta(min_length=1)]
    segment_source: list[Index]
    files: dict[str, FileSum]
    fingerprint: str = ""
    corner_size: tuple[ImageSide, ImageSide] | None = None

    def __post_init__(self) -> None:
        check_crop(self.crop)
        sizes = {(camera.width, camera.height) for camera in self.cameras}
        if sizes != {self.image_size}:
            raise ValueError(f"cameras of {sorted(sizes)} for images of {self.image_size}")
        lengths = len(self.cameras), len(self.baselines)
        if lengths[0] != lengths[1]:
            raise ValueError(f"{lengths[0]} cameras, {lengths[1]} baselines")
        lengths = len(self.segment_spacing), len(self.segment_source)
        if lengths[0] != lengths[1]:
            raise ValueError(f"{lengths[0]} segment_spacing, {lengths[1]} segment_source")
        # Stores made from arrays name no source.
        if max(self.segment_source) >= max(1, len(self.sources)):
            raise ValueError(
                f"segment_source has {max(self.segment_source)}, sources {len(self.sources)}"
            )
        expected = {name: length * self.frames for name, length in self.frame_bytes().items()}
        for name in (*expected, *(f"{column}.npy" for column in INDEX_TYPES)):
            if name not in self.files:
                raise ValueError(f"files has no '{name}'")
            if name in expected and self.files[name].bytes != expected[name]:
                raise ValueError(
                    f"files['{name}'] has {self.files[name].bytes} bytes, the sizes ask for "
                    f"{expected[name]}"
                )
        for name in self.files:
            if Path(name).name != name:
                raise ValueError(f"files has '{name}', which is not a plain file name")

    def frame_bytes(self) -> dict[str, int]:
        """Return the bytes of a frame in each file of pixels."""
        return frame_bytes(self.image_size, self.truth_size, self.corner_size)


def frame_bytes(
    image: tuple[int, int], truth: tuple[int, int] | None, corners: tuple[int, int] | None
) -> dict[str, int]:
    """Return the bytes of a frame in each file of pixels that a store has, by name.

    Parameters
    ----------
    image, truth, corners : tuple of int, or None
        Width and height; None where there is no such file.
    """
    sizes = {"images.u8": (image, 3), "truth.f16": (truth, 2), "corners.u8": (corners, 1)}
    return {
        name: size[0] * size[1] * of_pixel
        for name, (size, of_pixel) in sizes.items()
        if size is not None
    }


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
    fingerprint : str
        What the store was made from and how; equal ones mean equal stores. Empty if unknown.
    corner_images : ndarray, shape (N, Hc, Wc) or (N, Hc, Wc, 3), uint8, or None
        The same images, grey or RGB, at a larger size, in which corners are tracked more exactly;
        None where `images` serve.
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
    fingerprint: str = ""
    corner_images: NDArray[np.uint8] | None = None

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
        for name, expected in header.files.items():
            _check_size(path / name, expected)
        if verify:
            for problem in damaged_files(path):
                raise ValueError(problem)
        count = header.frames
        arrays = {name: _read_index(path / f"{name}.npy", count) for name in INDEX_TYPES}
        segment, camera = arrays["segment"], arrays["camera"]
        steps = np.diff(segment.astype(np.int64), prepend=-1, append=len(header.segment_spacing))
        partner = arrays["partner"]
        if (
            np.any((steps < 0) | (steps > 1))
            or (camera.min() < 0 or camera.max() >= len(header.cameras))
            or (partner.min() < -1 or partner.max() >= count)
        ):
            raise ValueError(f"{path}: the index does not fit store.json; extract it again")
        truth = None
        if header.truth_size is not None:
            shape = (count, header.truth_size[1], header.truth_size[0])
            truth = np.memmap(path / "truth.f16", np.float16, "r", shape=shape)
        corners = None
        if header.corner_size is not None:
            shape = (count, header.corner_size[1], header.corner_size[0])
            corners = np.memmap(path / "corners.u8", np.uint8, "r", shape=shape)
        size = header.image_size
        return cls(
            path=path,
            images=np.memmap(path / "images.u8", np.uint8, "r", shape=(count, size[1], size[0], 3)),
            stamps=arrays["stamps"],
            camera_index=camera,
            segment=segment,
            partner=partner,
            poses=arrays["poses"],
            truth=truth,
            cameras=tuple(header.cameras),
            baselines=tuple(header.baselines),
            crop=header.crop,
            segment_spacing=tuple(header.segment_spacing),
            segment_source=tuple(header.segment_source),
            sources=tuple(header.sources),
            fingerprint=header.fingerprint,
            corner_images=corners,
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


def damaged_files(path: Path, stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Read all of a store and compare its checksums.

    Parameters
    ----------
    path : Path
        The store's folder.
    stop : callable
        Asked after every few megabytes; True ends it early.

    Yields
    ------
    str
        For each damaged file what is wrong, with the frames where they are known.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store, or store.json itself is damaged.
    """
    header = _read_header(path)
    for name, expected in header.files.items():
        try:
            _check_size(path / name, expected)
            found = crc(path / name, stop)
        except (OSError, ValueError) as error:
            yield str(error)
            continue
        if stop():
            return
        if found != expected.crc32:
            frames = _damaged_frames(path, header, name)
            yield (
                f"{path / name} is damaged: its checksum is {found:08x}, {expected.crc32:08x} "
                f"expected{frames}; copy or extract it again"
            )


def _damaged_frames(path: Path, header: StoreHeader, name: str) -> str:
    """Say in which frames of a file the damage is, if that can be told."""
    length, sums = header.frame_bytes().get(name), path / CHECKSUMS
    noted = header.files.get(CHECKSUMS)
    if length is None or noted is None or crc(sums) != noted.crc32:
        return ""
    columns = np.load(sums)
    if PIXEL_FILES.index(name) >= columns.shape[1]:
        return ""
    expected = columns[:, PIXEL_FILES.index(name)]
    with (path / name).open("rb") as file:
        found = [zlib.crc32(file.read(length)) for _ in range(header.frames)]
    damaged = np.flatnonzero(np.array(found, np.uint32) != expected).tolist()
    shown = ", ".join(str(frame) for frame in damaged[:10])
    more = f" and {len(damaged) - 10} more" if len(damaged) > 10 else ""
    return f" (frame{'s' * (len(damaged) != 1)} {shown}{more})" if damaged else ""


def _read_header(path: Path) -> StoreHeader:
    """Read store.json and check what it claims to be."""
    file = path / "store.json"
    if not file.is_file():
        hint = ""
        if partial_path(path).exists():
            hint = "; an unfinished extraction is next to it: run the same depth_extract again"
        raise FileNotFoundError(f"{path} is not a frame store: it has no store.json{hint}")
    text = file.read_bytes()
    kind = parse_json(text, _Kind, file, ValueError)
    if kind.format != FORMAT:
        raise ValueError(f"{file} describes '{kind.format}', not '{FORMAT}'")
    if kind.version > VERSION:
        raise ValueError(
            f"{file}: format version {kind.version}; this package reads up to {VERSION}: update it"
        )
    return parse_json(text, StoreHeader, file, ValueError)


def _check_size(path: Path, expected: FileSum) -> None:
    """Compare a file's size with what was noted."""
    size = path.stat().st_size if path.is_file() else -1
    if size != expected.bytes:
        found = "is missing" if size < 0 else f"has {size} bytes"
        raise ValueError(f"{path} {found}, {expected.bytes} expected; copy or extract it again")


def _read_index(path: Path, count: int) -> NDArray[Any]:
    """Map a column of the index."""
    wanted = INDEX_TYPES[path.stem]
    shape = (count, 4, 4) if path.stem == "poses" else (count,)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises many kinds for damaged headers
        raise ValueError(f"{path} is damaged ({error}); copy or extract it again") from error
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != wanted:
        described = f"{getattr(array, 'dtype', '')} of shape {getattr(array, 'shape', '')}"
        raise ValueError(
            f"{path} holds {described}, {np.dtype(wanted)} of shape {shape} expected; copy or "
            "extract it again"
        )
    return array


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
