# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted depth next to the frames of a store: ``depth_extract --predict``.

Two files in the store's folder::

    predicted.json    what the depth is, and the checksum of the file below
    predicted.f16     N × H × W float16, depth along the optical axis, at the network's size

The .json is written last and says that both are complete. Before that the depth is in
``predicted.f16.partial``, and ``predicted.progress.json`` says how many frames of it are safe on
the disk: the same command goes on there.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import crc, write_atomically
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.preprocessing import remaining_crop, sees_less
from monodepth2_ros.typed_files import Count, CropFractions, ImageSide, Positive, parse_json
from training.frames.store import FrameStore

DESCRIPTION = "predicted.json"
DEPTH = "predicted.f16"

FORMAT = "monodepth2_ros predicted depth"
VERSION = 1

_PARTIAL = DEPTH + ".partial"
_PROGRESS = "predicted.progress.json"

#: Frames predicted at once, and after how many what is done is made safe.
BATCH_SIZE = 32
_SAVE_EVERY = 512


class PredictionError(ValueError):
    """Depth cannot be predicted or read; the message says why and what to do."""


@dataclass(frozen=True)
class _PredictionVersion:
    """What predicted.json holds in all versions."""

    version: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class _Description:
    """The content of predicted.json, as far as it is used."""

    frames: Count
    size: tuple[ImageSide, ImageSide]
    stamps: str
    model: str
    model_digest: str
    crop: CropFractions
    min_depth: Positive
    max_depth: Positive
    scale: Positive
    is_metric: bool
    bytes: Count
    crc32: Annotated[int, Meta(ge=0, lt=2**32)]


@dataclass(frozen=True)
class _PredictionProgress:
    """The content of the progress file."""

    done: Count
    description: dict[str, Any]


@dataclass(frozen=True)
class PredictedDepth:
    """Depth that a network predicted for a store.

    Attributes
    ----------
    depth : ndarray, shape (N, H, W), float16
        Along the optical axis, in metres if `description` says "is_metric"; read-only and
        memory-mapped. It covers what the network sees: the view that "crop" leaves of the
        recorded image.
    description : dict
        "model" and "model_digest", "crop", "scale", "is_metric" and more.
    """

    depth: NDArray[np.float16]
    description: dict[str, Any]

    @classmethod
    def open(cls, store: FrameStore, verify: bool = False) -> PredictedDepth:
        """Open what was predicted for a store.

        Parameters
        ----------
        store : FrameStore
        verify : bool
            Read all of it and compare its checksum, not only its size.

        Raises
        ------
        PredictionError
            If there is none, or it is damaged, of a newer format or of other frames.
        """
        path = store.path / DESCRIPTION
        again = f"remove it and run 'depth_extract --out {store.path} --predict MODEL'"
        if not path.exists():
            raise PredictionError(
                f"{path} does not exist; run 'depth_extract --out {store.path} --predict MODEL'"
            )
        text = path.read_bytes()

        def unusable(message: str) -> PredictionError:
            return PredictionError(f"{message}; {again}")

        version = parse_json(text, _PredictionVersion, path, unusable).version
        if version > VERSION:
            raise PredictionError(
                f"{path} has version {version}, this program knows {VERSION}; update it, or {again}"
            )
        described = parse_json(text, _Description, path, unusable)
        shape = (described.frames, described.size[1], described.size[0])
        file = store.path / DEPTH
        found = file.stat().st_size if file.exists() else 0
        expected = 2 * shape[0] * shape[1] * shape[2]
        if found != described.bytes or found != expected:
            raise PredictionError(f"{file} has {found} bytes, {expected} expected; {again}")
        if described.frames != len(store) or described.stamps != _stamps_digest(store):
            raise PredictionError(f"{path} was predicted for other frames; {again}")
        if verify and crc(file) != described.crc32:
            raise PredictionError(f"{file} is damaged: its checksum differs; {again}")
        return cls(np.memmap(file, np.float16, "r", shape=shape), json.loads(text))


def predict_store(
    store: FrameStore,
    predictor: DepthPredictor,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] | None = None,
) -> PredictedDepth:
    """Predict depth for all frames of a store, and write it next to them.

    What an interrupted call with the same model left is gone on with.

    Parameters
    ----------
    store : FrameStore
    predictor : DepthPredictor
        Its crop is taken for that of the recorded images, as on the robot.
    batch_size : int
    progress : callable, optional
        Called with the number of frames that were done since, those of an earlier call first.

    Raises
    ------
    PredictionError
        If there is depth of another model, the store shows less than the network takes, or the
        depth is not finite.
    """
    checkpoint = predictor.checkpoint
    final = store.path / DESCRIPTION
    if final.exists():
        before = PredictedDepth.open(store)
        if _describe(store, predictor).items() <= before.description.items():
            return before
        raise PredictionError(
            f"{final} exists and is of another model or crop; remove it to predict again"
        )
    if sees_less(store.crop, predictor.crop):
        raise PredictionError(
            f"{store.path} was cropped by {list(store.crop)}, {checkpoint.source} takes "
            f"{list(predictor.crop)}; extract with a crop that leaves at least that"
        )
    crop = remaining_crop(store.crop, predictor.crop)
    description = _describe(store, predictor)
    done = _resume(store, description)
    if progress is not None and done:
        progress(done)
    partial = store.path / _PARTIAL
    partial.touch()
    with partial.open("r+b") as file, ThreadPoolExecutor(1) as pool:
        # What was not yet safe when the earlier call ended may be anything.
        file.truncate(done * _frame_bytes(predictor))
        checksum = crc(partial) if done else 0
        file.seek(0, os.SEEK_END)
        unsaved = 0
        starts = range(done, len(store), batch_size)
        batches = (store.images[start : start + batch_size] for start in starts)
        predictions = predictor.predict_batches(batches, crop, half=True)
        for start, (depth, is_finite) in zip(starts, predictions, strict=True):
            stop = start + len(depth)
            if not is_finite:
                raise PredictionError(
                    f"{checkpoint.source} predicts values that are not numbers on frames "
                    f"{start} to {stop - 1} of {store.path}; its weights are damaged"
                )
            # While writing, and not by reading all of it again afterwards.
            summed = pool.submit(zlib.crc32, depth.data, checksum)
            file.write(depth.data)
            checksum = summed.result()
            unsaved += len(depth)
            if unsaved >= _SAVE_EVERY:
                _save(file, store, description, stop)
                unsaved = 0
            if progress is not None:
                progress(len(depth))
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, store.path / DEPTH)
    file_size = (store.path / DEPTH).stat().st_size
    complete = {**description, "bytes": file_size, "crc32": checksum}
    write_atomically(final, (json.dumps(complete, indent=1) + "\n").encode())
    (store.path / _PROGRESS).unlink(missing_ok=True)
    return PredictedDepth.open(store)


def _describe(store: FrameStore, predictor: DepthPredictor) -> dict[str, Any]:
    """Say what the depth is; equal descriptions mean equal depth."""
    checkpoint = predictor.checkpoint
    metadata = checkpoint.metadata
    return {
        "format": FORMAT,
        "version": VERSION,
        "frames": len(store),
        "size": [metadata.width, metadata.height],
        "stamps": _stamps_digest(store),
        "model": Path(checkpoint.source).name,
        "model_digest": _model_digest(checkpoint),
        "engine": predictor.backend.name,
        "precision": predictor.backend.precision,
        "crop": list(predictor.crop),
        "min_depth": metadata.min_depth,
        "max_depth": metadata.max_depth,
        "scale": metadata.scale,
        "is_metric": metadata.is_metric,
    }


def _resume(store: FrameStore, description: dict[str, Any]) -> int:
    """Return how many frames an earlier call with the same model made safe."""
    path = store.path / _PROGRESS
    if not path.exists():
        return 0
    try:
        state = parse_json(path.read_bytes(), _PredictionProgress, path, PredictionError)
    except PredictionError:
        return 0
    partial = store.path / _PARTIAL
    written = partial.stat().st_size if partial.exists() else 0
    width, height = description["size"]
    if state.description != description or written < state.done * 2 * width * height:
        return 0
    return min(state.done, len(store))


def _save(file: Any, store: FrameStore, description: dict[str, Any], done: int) -> None:
    """Make safe what was written, and then say so."""
    file.flush()
    os.fsync(file.fileno())
    state = {"done": done, "description": description}
    write_atomically(store.path / _PROGRESS, json.dumps(state).encode())


def _frame_bytes(predictor: DepthPredictor) -> int:
    """Return the size of a frame's depth."""
    metadata = predictor.checkpoint.metadata
    return 2 * metadata.width * metadata.height


def _stamps_digest(store: FrameStore) -> str:
    """Name the frames by their times."""
    return hashlib.sha256(np.ascontiguousarray(store.stamps).tobytes()).hexdigest()[:16]


def _model_digest(checkpoint: Checkpoint) -> str:
    """Name a model by its weights."""
    digest = hashlib.sha256()
    if checkpoint.graph is not None:
        for path in (Path(checkpoint.graph), Path(checkpoint.graph).with_suffix(".bin")):
            digest.update(path.read_bytes())
    for network in ("encoder", "depth"):
        for name, value in sorted(checkpoint.state.get(network, {}).items()):
            digest.update(name.encode())
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
