# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image files at any path, and failures that are noticed."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from full_disk import FullDisk
from monodepth2_ros.image_files import write_image

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", [b"plain.png", "größe.png".encode(), b"\xff\xfe.png"])
def test_any_path_can_be_written(tmp_path: Path, name: bytes) -> None:
    """Linux paths are bytes; OpenCV takes only UTF-8."""
    path = tmp_path / os.fsdecode(name)
    write_image(path, IMAGE)
    read = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read[..., ::-1], IMAGE)


def test_what_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is missing then, and nobody is told that it is there."""
    with pytest.raises(ValueError, match=r"x\.unknown cannot be encoded"):
        write_image(tmp_path / "x.unknown", IMAGE)
    with pytest.raises(OSError, match="missing/x.png"):
        write_image(tmp_path / "missing" / "x.png", IMAGE)
    FullDisk(monkeypatch, 100)
    with pytest.raises(OSError, match="No space left"):
        write_image(tmp_path / "x.png", IMAGE)
    assert os.listdir(tmp_path) == []
