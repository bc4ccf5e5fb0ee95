# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes never write the same target; a killed one does not stand in the way."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bag_builder import write_drive
from drawn_checkpoints import spread_checkpoint
from monodepth2_ros.target_lock import TargetInUse, exclusive
from paths import REPOSITORY

HOLDER = """
import sys, time
from pathlib import Path
from monodepth2_ros.target_lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold a target."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_second_is_told_who_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    with holder(path) as process:
        expected = rf"out is being written by another process \(pid {process.pid} on .+\)"
        for _ in range(2):
            with pytest.raises(TargetInUse, match=expected), exclusive(path):
                pass
        with exclusive(tmp_path / "new" / "other"):
            pass
        assert (path.parent / ".out.lock").exists()  # a killed process leaves its file
        process.kill()
        process.wait()
        with exclusive(path):
            pass
    assert list(path.parent.iterdir()) == []


def test_the_longest_name(tmp_path: Path) -> None:
    with exclusive(tmp_path / ("n" * 255)):
        pass


def commands(folder: Path) -> dict[str, tuple[list[str], Path]]:
    """Return command lines that write, and their targets."""
    out = folder / "out"
    return {
        "extract": ([str(folder / "bag"), "--out", str(out)], out),
        "train": (["--data", str(folder / "store"), "--out", str(out), "--steps", "1"], out),
        "export": ([str(folder / "m.safetensors"), str(folder / "m.onnx")], folder / "m.onnx"),
        "synthesize": (["--frames", "1", "--out", str(out)], out),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extract", "train", "export", "synthesize"])
def test_commands(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    import importlib

    if name != "synthesize":
        pytest.importorskip("torch", reason="torch is not installed")
    from monodepth2_ros.checkpoint import save_checkpoint

    arguments, target = commands(tmp_path)[name]
    if name == "extract":
        write_drive(tmp_path / "bag", [0.0, 3.0, 6.0])
    elif name == "export":
        checkpoint = spread_checkpoint()
        save_checkpoint(tmp_path / "m.safetensors", checkpoint.metadata, checkpoint.state)
    elif name == "train":
        from monodepth2_ros.camera import PinholeCamera
        from training.frames.writer import write_frame_store

        camera = PinholeCamera(64, 64, 50.0, 50.0, 31.5, 31.5)
        images = np.zeros((12, 64, 64, 3), np.uint8)
        write_frame_store(tmp_path / "store", images, [camera])
    main = importlib.import_module(f"training.{name}").main
    with holder(target) as process:
        before = sorted(tmp_path.iterdir())
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert f"{target} is being written by another process (pid {process.pid} on" in said
        assert said.startswith(f"depth_{name}: ") and said.count("\n") == 1
        assert sorted(tmp_path.iterdir()) == before
