# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are either complete or not there, and how to find damage in them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path


def crc(path: Path) -> int:
    """Return the CRC-32 of a file; it finds damage, at the speed of the disk."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum = zlib.crc32(block, checksum)
    return checksum


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by another content, or leave it as it was."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
