# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent: full disks, killed writers, parts left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
import torch

from full_disk import FullDisk
from monodepth2_ros import atomic_files
from monodepth2_ros.atomic_files import (
    check_target,
    move_into_place,
    remove_leftovers,
    scratch_folder,
    write_atomically,
)


def hidden(folder: Path) -> list[str]:
    """Names of what is hidden in a folder."""
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


@pytest.mark.parametrize("room", [0, 1, 100, 5000, 60_000, 79_000])
@pytest.mark.parametrize("kind", ["bytes", "torch"])
def test_a_full_disk_is_one_kind_of_error_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, kind: str
) -> None:
    """torch answers a full disk with RuntimeErrors of several wordings."""
    path = tmp_path / "state.pt"
    write_atomically(path, b"before")
    tensors = {"a": torch.zeros(10_000), "b": torch.zeros(10_000)}
    FullDisk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left") as caught:
        if kind == "bytes":
            write_atomically(path, bytes(80_000))
        else:
            write_atomically(path, lambda file: torch.save(tensors, file))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"before"
    assert hidden(tmp_path) == []


def test_what_is_written_by_a_function_arrives(tmp_path: Path) -> None:
    """Both kinds of content replace the file, with the usual permissions."""
    path = tmp_path / "state.pt"
    write_atomically(path, lambda file: torch.save({"a": torch.arange(4)}, file))
    assert torch.load(path, weights_only=True)["a"].tolist() == [0, 1, 2, 3]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_error_of_the_writing_function_is_passed_on(tmp_path: Path) -> None:
    """Only failures of the disk become OSError."""

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyError("mistake")

    with pytest.raises(KeyError):
        write_atomically(tmp_path / "file", fail)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["missing/file", "below_file/x", "n" * 256, "folder", "dangling/x", "readonly/x"]
)
def test_impossible_targets_are_named(tmp_path: Path, name: str) -> None:
    """Whatever is wrong with the path, the error says which path."""
    (tmp_path / "below_file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "readonly").mkdir(mode=0o500)
    if name.startswith("readonly") and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / name, b"x")
    assert caught.value.filename == str(tmp_path / name)


def test_a_pipe_or_device_is_not_replaced(tmp_path: Path) -> None:
    """As root, a file would take the place of /dev/null for every program."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        for write in (lambda path: write_atomically(path, b"x"), check_target):
            with pytest.raises(OSError, match="device, pipe or socket") as caught:
                write(target)
            assert caught.value.filename == str(target)
    assert pipe.is_fifo() and link.is_symlink() and len(os.listdir(tmp_path)) == 2


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    """The part's name is longer than the target's, which must not matter."""
    for name in ("n" * 255, "ü" * 127, os.fsdecode(b"\xff\xfe" * 120)):
        write_atomically(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


KILLED = """
import os, signal, sys
from pathlib import Path
from monodepth2_ros.atomic_files import scratch_folder, write_atomically
target = Path(sys.argv[1])
def stop(file):
    file.write(b"half")
    print("writing", flush=True)
    {end}
if sys.argv[2] == "file":
    write_atomically(target, stop)
else:
    with scratch_folder(target) as folder:
        (folder / "content").write_text("half")
        print("writing", flush=True)
        {end}
"""


def begin_writing(target: Path, kind: str, end: str) -> subprocess.Popen[str]:
    """Start a process that has begun to write a target."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(end=end), str(target), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_part_of_a_killed_writer_is_removed_by_the_next(tmp_path: Path, kind: str) -> None:
    """A kill leaves a hidden part; it does not stay for ever."""
    target = tmp_path / "model.safetensors"
    process = begin_writing(target, kind, "os.kill(os.getpid(), signal.SIGKILL)")
    assert process.wait() == -signal.SIGKILL
    assert len(hidden(tmp_path)) == 1
    other = tmp_path / ".model.safetensors.backup01.part.txt"
    other.write_text("of the user")
    write_atomically(target, b"whole")
    assert hidden(tmp_path) == [other.name]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_part_of_a_running_writer_stays(tmp_path: Path, kind: str) -> None:
    """Two processes may write the same target at once; the last to finish wins."""
    target = tmp_path / "model.safetensors"
    process = begin_writing(target, kind, "sys.stdin.readline()")
    try:
        remove_leftovers(target)
        write_atomically(target, b"other")
        assert len(hidden(tmp_path)) == 1
    finally:
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert hidden(tmp_path) == []
    assert target.read_bytes() == (b"half" if kind == "file" else b"other")


def test_a_scratch_folder_gives_away_what_is_complete(tmp_path: Path) -> None:
    """What was moved into place stays, the rest goes."""
    target = tmp_path / "bag"
    with scratch_folder(target) as folder:
        (folder / "bag").mkdir()
        (folder / "bag" / "data").write_text("all")
        (folder / "rest").write_text("")
        move_into_place(folder / "bag", target)
    assert os.listdir(tmp_path) == ["bag"]
    assert (target / "data").read_text() == "all"


def test_locks_are_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems know none; files are written, leftovers stay."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(atomic_files.fcntl, "flock", refuse)
    leftover = tmp_path / ".file.01234567.part"
    leftover.write_text("")
    write_atomically(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"
    assert leftover.exists()
