# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the machine has the memory and the disk for a rendering, known before it begins."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from training.worlds.options import SynthesisOptions

#: Peak memory of a process that renders, in bytes per pixel: measured 86 to 88 at 2 and 5 million
#: pixels, 455 at 31,000 pixels, where the world itself is most of it.
_BYTES_PER_PIXEL = 100

#: Bytes per pixel that a recording surely holds: raw depth, which no storage compresses here.
_DEPTH_BYTES = {"32FC1": 4, "16UC1": 2}


def check_room(options: SynthesisOptions) -> None:
    """Refuse what this machine has no room for.

    Parameters
    ----------
    options : SynthesisOptions

    Raises
    ------
    ValueError
        Naming the size, what it needs and what there is.
    """
    pixels = options.width * options.height
    size = f"{options.width}x{options.height}"
    workers = min(options.workers, options.frames if options.worlds is None else options.worlds)
    needed, available = pixels * _BYTES_PER_PIXEL * workers, available_memory()
    if available is not None and needed > available:
        raise ValueError(
            f"images of {size} need about {_gigabytes(needed)} of memory with --workers {workers}, "
            f"but {_gigabytes(available)} are available; give a smaller --width and --height"
            + ", or fewer --workers"
            * (workers > 1)
        )
    bytes_per_pixel = _DEPTH_BYTES[options.depth_encoding] + (0 if options.compressed else 3)
    needed = pixels * bytes_per_pixel * options.frames * (options.worlds or 1)
    folder = next(path for path in options.out.absolute().parents if path.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{options.frames * (options.worlds or 1):,} frames of {size} need at least "
            f"{_gigabytes(needed)} of disk, but {_gigabytes(free)} are free in {folder}; free "
            "some, choose another --out, fewer --frames or a smaller --width and --height"
        )


def available_memory() -> int | None:
    """Return the bytes of memory that new work can have, None if the system does not say.

    The smaller one of what the system has left and what the control group (a container's limit)
    leaves.
    """
    rooms = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                rooms.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        rooms.append(max(0, limit - int((group / "memory.current").read_text())))
    return min(rooms) if rooms else None


def _gigabytes(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 1e9:,.1f} GB"
