# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A disk that becomes full after some bytes, for what is written with atomic_files."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest


class FullDisk:
    """While active, files that `Path.open` opens for writing share what is left of a disk.

    Parameters
    ----------
    room : int
        Bytes that fit; None for any number.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int | None = None) -> None:
        self.room = room
        self.written = 0
        usual = Path.open

        def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if mode == "wb":
                return io.BufferedWriter(_Limited(self, path))
            return usual(path, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)


class _Limited(io.FileIO):
    """A file on such a disk."""

    def __init__(self, disk: FullDisk, path: Path) -> None:
        super().__init__(path, "w")
        self._disk = disk

    def write(self, data: Any) -> int:
        """Write what fits, then fail as the system does."""
        view = memoryview(data).cast("B")
        if self._disk.room is not None:
            view = view[: max(0, self._disk.room - self._disk.written)]
            if not view:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(view)
        self._disk.written += written
        return written
