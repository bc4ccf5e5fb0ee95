# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of files that are mapped into memory and not needed any more."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

_MAPS = Path("/proc/self/maps")

# <sys/mman.h> of Linux.
_MADV_DONTNEED = 4


def release_pages(folder: Path, suffix: str) -> int:
    """Give back the memory of files that are mapped for reading; what is read again comes back.

    OpenVINO maps a compiled graph from its cache, and keeps the mapping after it has copied the
    weights into the layout that it computes with: they are in memory twice.

    Parameters
    ----------
    folder : Path
    suffix : str
        Ending of the files in it, and in folders below, that are meant, such as ".blob".

    Returns
    -------
    int
        Bytes whose pages were given back; 0 on other systems than Linux.
    """
    released = 0
    # Other systems have no such file, or no such function.
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for line in _MAPS.read_text(errors="replace").splitlines():
            # Address range, permissions, offset, device, inode, path. Only what cannot be written
            # to is safe: a changed page would be lost.
            fields = line.split(maxsplit=5)
            if len(fields) < 6 or not fields[1].startswith("r--"):
                continue
            path = Path(fields[5].removesuffix(" (deleted)"))
            if path.suffix != suffix or folder.resolve() not in path.parents:
                continue
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            size = ctypes.c_size_t(end - begin)
            if advise(ctypes.c_void_p(begin), size, _MADV_DONTNEED) == 0:
                released += end - begin
    return released
