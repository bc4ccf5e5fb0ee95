# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a cache, each with its checksum, so that a damaged one is made again and never used.

After a power cut a file may have its size and blocks of zeros, and a worn memory card changes
bytes. OpenVINO finds such damage in the description of a graph, not in its weights: it would
compute with them, and the depth would be wrong or NaN at every start.
"""

from __future__ import annotations

import os
from pathlib import Path

from monodepth2_ros.atomic_files import crc

_SUFFIX = ".crc32"


def keep(made: Path, place: Path) -> None:
    """Move a complete file to where it is kept, on the same file system, with its checksum.

    Nothing is synchronised to the disk, as what a power cut leaves of it is found out.

    Parameters
    ----------
    made, place : Path

    Raises
    ------
    OSError
        If it cannot be kept.
    """
    # Before the file: one without a checksum is not used.
    _checksum_file(place).write_text(_checksum(made))
    os.replace(made, place)


def is_intact(path: Path) -> bool:
    """Whether a file is there as :func:`keep` left it."""
    try:
        return _checksum_file(path).read_text() == _checksum(path)
    except (OSError, ValueError):  # ValueError: the checksum is no text
        return False


def discard(path: Path) -> None:
    """Remove a file and its checksum; a process that has it open goes on with it.

    Raises
    ------
    OSError
        If that is not allowed.
    """
    path.unlink(missing_ok=True)
    _checksum_file(path).unlink(missing_ok=True)


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}{_SUFFIX}")


def _checksum(path: Path) -> str:
    return f"{crc(path):08x}"
