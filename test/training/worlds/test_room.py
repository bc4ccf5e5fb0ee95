# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A rendering that the machine has no room for is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.synthesize import main
from training.worlds import room
from training.worlds.options import SynthesisOptions


def test_images_that_no_memory_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--width", "100000", "--height", "100000"]
    for more in ([], ["--worlds", "3"], ["--compressed"], ["--workers", "1"]):
        assert main(["--out", str(tmp_path / "out"), *size, *more]) == 1
        said = capsys.readouterr().err
        assert "depth_synthesize: images of 100000x100000 need about" in said
        assert "GB of memory" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 1000, "height": 1001}, "0.1 GB of memory with --workers 1, but 0.1 GB"),
        ({"width": 500, "height": 500, "workers": 5}, "--workers 5.*, or fewer --workers"),
        ({"frames": 10_001, "width": 100, "height": 100}, "0.7 GB of disk, but 0.7 GB are free"),
        ({"frames": 1000, "worlds": 11, "width": 100, "height": 100}, "11,000 frames of 100x100"),
    ],
)
def test_the_limits(
    changes: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just below them nothing is said."""
    monkeypatch.setattr(room, "available_memory", lambda: 100_000_000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 7e8}))
    fits: dict[str, Any] = {"width": 1000, "height": 1000, "frames": 100, "workers": 1}
    room.check_room(SynthesisOptions(out=tmp_path / "out", **fits))
    with pytest.raises(ValueError, match=said):
        room.check_room(SynthesisOptions(out=tmp_path / "out", **{**fits, **changes}))


def test_this_machine_says_what_it_has() -> None:
    available = room.available_memory()
    assert available is None or available > 1e6
