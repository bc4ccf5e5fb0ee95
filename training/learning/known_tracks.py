# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Triangulated samples are kept in the user's cache, so that the next run need not wait for them.

They depend on the store alone, not on what is learned: the file's name is a checksum over the
description of the store (with the checksums of its files), the image size and the version of the
triangulation. A cache that cannot be read or written is no reason to stop.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monodepth2_ros.atomic_files import write_atomically
from monodepth2_ros.backends.kept_answers import user_cache
from training.frames.store import FrameStore
from training.learning.motion_from_tracks import (
    MOST_POINTS,
    MeasureTracks,
    SparseGeometry,
    remember_tracks,
    standing_geometry,
)

#: To be raised whenever triangulation finds something else in the same images.
_VERSION = 6

#: More samples than this are not kept: 10 KB each.
_MOST_KEPT = 20_000

_Key = tuple[int, tuple[int, ...]]


class KnownTracks:
    """Triangulates each sample once, and remembers it beyond this process.

    Parameters
    ----------
    stores : sequence of FrameStore
    folder : Path, optional
        Where files are kept; nothing is kept without.
    measure : callable, optional
        Measures a sample; :func:`training.learning.motion_from_tracks.remember_tracks` if not
        given.
    kind : str
        Tells what different functions measured from each other.

    Attributes
    ----------
    measured : int
        Samples that were triangulated, not remembered.
    """

    def __init__(
        self,
        stores: Sequence[FrameStore],
        folder: Path | None,
        measure: MeasureTracks | None = None,
        kind: str = "tracks",
    ) -> None:
        self.measured = 0
        self._measure: MeasureTracks = measure or remember_tracks(stores)
        self._paths = [None if folder is None else folder / _name(store, kind) for store in stores]
        # Read when a sample of the store is asked for: a run uses one kind of motion.
        self._known: dict[int, dict[_Key, SparseGeometry | None]] = {}
        self._saved: dict[int, int] = {}

    def __call__(self, store: int, target: int, sources: tuple[int, ...]) -> SparseGeometry | None:
        """Return what was measured of a sample; measure it where that was never done."""
        if store not in self._known:
            path = self._paths[store]
            self._known[store] = {} if path is None else _load(path)
            self._saved[store] = len(self._known[store])
        known, key = self._known[store], (target, sources)
        if key not in known:
            known[key] = self._measure(store, target, sources)
            self.measured += 1
        return known[key]

    def save(self, least: int = 100) -> None:
        """Keep what was measured; a full disk or a folder that cannot be written is ignored.

        Parameters
        ----------
        least : int
            Fewer new samples than this take seconds and are not worth a file.
        """
        for index, known in self._known.items():
            path, new = self._paths[index], len(known) - self._saved[index]
            if path is None or new < max(1, least) or len(known) > _MOST_KEPT:
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, lambda file, known=known: _write(file, known))  # type: ignore[misc]
                self._saved[index] = len(known)
            except OSError:
                continue


def default_folder() -> Path:
    """Return the folder in the user's cache."""
    return user_cache() / "tracks"


def _name(store: FrameStore, kind: str) -> str:
    """Name the file of a store."""
    text = f"{_VERSION} {kind} {store.width}x{store.height} {MOST_POINTS} {store.segment_spacing}"
    content = (store.path / "store.json").read_bytes()
    return hashlib.sha256(content + text.encode()).hexdigest()[:32] + ".npz"


def _write(file: object, known: dict[_Key, SparseGeometry | None]) -> None:
    """Write what is known; all samples of a run have equally many sources, others are left out."""
    count = max(len(sources) for _, sources in known)
    rows = [item for item in known.items() if len(item[0][1]) == count]
    nothing = standing_geometry(count)
    found = [nothing if geometry is None else geometry for _, geometry in rows]
    np.savez_compressed(
        file,  # type: ignore[arg-type]
        frames=np.array([(target, *sources) for (target, sources), _ in rows], np.int64),
        determined=np.array([geometry is not None for _, geometry in rows]),
        transforms=np.stack([geometry.transforms for geometry in found]),
        points=np.stack([geometry.points for geometry in found]),
        areas=np.stack([geometry.areas for geometry in found]),
    )


def _load(path: Path) -> dict[_Key, SparseGeometry | None]:
    """Read what is known; nothing where the file is missing, damaged or of another layout."""
    try:
        with np.load(path, allow_pickle=False) as file:
            frames, determined = file["frames"], file["determined"]
            transforms, points, areas = file["transforms"], file["points"], file["areas"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    count, width = frames.shape if frames.ndim == 2 else (-1, 0)
    expected = (
        (transforms, (count, width - 1, 4, 4)),
        (points, (count, MOST_POINTS, 4)),
        (areas, (count, MOST_POINTS)),
        (determined, (count,)),
    )
    if any(array.shape != shape for array, shape in expected):
        return {}
    known: dict[_Key, SparseGeometry | None] = {}
    for row, (target, *sources) in enumerate(frames.tolist()):
        geometry = SparseGeometry(transforms[row], points[row], areas[row])
        known[target, tuple(sources)] = geometry if determined[row] else None
    return known
