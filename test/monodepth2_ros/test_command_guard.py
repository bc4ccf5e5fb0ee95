# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every command ends with a sentence and a status, whatever goes wrong."""

from __future__ import annotations

import ast
import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from monodepth2_ros.atomic_files import check_target
from monodepth2_ros.command_guard import TRACEBACK, guarded
from paths import REPOSITORY

#: Ends as the guard says, too, but by its own code: it must answer signals first of all.
NODE = "monodepth2_ros.node.__main__"


def modules_that_can_be_run() -> list[str]:
    """Name the modules of the packages that `python -m` is meant for."""
    found = []
    for package in ("monodepth2_ros", "training"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            conditions = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
            if "__name__ == '__main__'" in conditions:
                found.append(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    return found


def ending(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return status and stderr of a command that raises."""

    @guarded("depth_test", interrupted="nothing is kept")
    def main(arguments: Sequence[str] | None = None) -> int:
        raise error

    status = main([])
    return status, capsys.readouterr().err


@pytest.mark.slow
def test_every_command_is_guarded() -> None:
    modules = modules_that_can_be_run()
    assert len(modules) >= 9 and "training.train" in modules and NODE in modules
    for module in modules:
        if module == NODE:
            continue
        if module == "monodepth2_ros.demo.rviz":
            pytest.importorskip("rclpy")
        main = importlib.import_module(module).main
        assert getattr(main, "guarded", ""), f"{module}.main has no guard"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), "/a/b: the disk is full; free"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/a/b"), "/a/b: the file system is read-"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 999), "the name is too long"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/b"), "/a/b: something in it"),
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/a"), "/a: its symbolic links lead in a"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b"), "/a to /b: Invalid"),
        (
            PermissionError(errno.EACCES, "Permission denied", b"/\xff"),
            "/\\udcff: permission denie",
        ),
        (OSError(errno.ENOSPC, "own words; do this", "/a"), "/a: own words; do this"),
        (FileExistsError("x exists; remove it"), "x exists; remove it"),
        (MemoryError("Unable to allocate 9 TiB"), "not enough memory (Unable to allocate 9 TiB)"),
        (MemoryError(), "there is not enough memory; ask for less"),
        (UnicodeEncodeError("ascii", "Ä", 0, 1, "x"), "'Ä' cannot be expressed in ascii"),
        (ValueError("a sentence"), "a sentence"),
        (KeyError("lost"), "an error of the program itself: KeyError ('lost') in"),
        (RecursionError("deep"), "an error of the program itself: RecursionError (deep)"),
        (ValueError(), "an error of the program itself: ValueError in"),
    ],
)
def test_errors_become_a_sentence(
    error: BaseException, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = ending(error, capsys)
    assert status == 1
    assert text.startswith("depth_test: ") and text.count("\n") == 1 and said in text
    assert "Traceback" not in text and len(text) < 800


def test_a_link_to_nothing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "link").read_bytes()
    assert "symbolic link to nothing, which does not exist" in ending(caught.value, capsys)[1]


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(KeyboardInterrupt(), capsys) == (
        130,
        "depth_test: interrupted; nothing is kept\n",
    )


def test_a_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    status, text = ending(KeyError("lost"), capsys)
    assert status == 1 and "Traceback" in text and text.splitlines()[-1].startswith("depth_test: ")


PROGRAM = """
import sys
from monodepth2_ros.command_guard import guarded

@guarded("depth_test")
def main(arguments=None):
    for _ in range(int(sys.argv[1])):
        print("\\udcff \\u2192 \\u00c4", flush=False)
    return 0

sys.exit(main())
"""


def run(lines: int, stdout: int | None = subprocess.PIPE, **environment: str) -> tuple[int, str]:
    """Run a command that prints lines with what few encodings can express."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(lines)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        timeout=100,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_printed_in_any_encoding(encoding: str) -> None:
    assert run(3, PYTHONIOENCODING=encoding) == (0, "")
    assert run(3, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == (0, "")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_nobody_reads_stdout(lines: int) -> None:
    """Whether it notices while it prints or at the end: no traceback, status 1."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(lines, stdout=writer) == (1, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_stdout_is_a_full_disk(lines: int) -> None:
    with open("/dev/full", "wb") as full:
        status, text = run(lines, stdout=full.fileno())
    assert status == 1
    assert text.startswith("depth_test: the disk is full") and text.count("\n") == 1


def test_a_command_whose_help_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "training.train", "--help"],
            stdout=writer, stderr=subprocess.PIPE, cwd=REPOSITORY, timeout=100,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode in (0, 1)  # argparse swallows the error if it meets it
    assert done.stderr == b""


def unusable_targets(folder: Path) -> dict[Path, str]:
    """Make paths that nothing can be written to; return what is said of each."""
    (folder / "file").write_text("")
    (folder / "dangling").symlink_to(folder / "nothing")
    (folder / "loop").symlink_to(folder / "loop")
    return {
        folder / "file" / "out": "must be a folder is a file",
        folder / "file" / "deeper" / "out": "must be a folder is a file",
        folder / ("n" * 256): "too long",
        folder / "new" / ("n" * 256) / "out": "too long",
        folder / "/".join(["x" * 200] * 25): "too long",
        folder / "dangling": "symbolic link to",
        folder / "dangling" / "out": "symbolic link to",
        folder / "loop": "lead in a circle",
        folder / "loop" / "out": "lead in a circle",
    }


def test_targets_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, said in unusable_targets(tmp_path).items():
        with pytest.raises(OSError) as caught:
            check_target(path)
        assert said in ending(caught.value, capsys)[1], path
    for path in (tmp_path, tmp_path / "file", tmp_path / "new" / "out"):
        check_target(path)


def test_a_read_only_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mounted as such where this system has one; /proc/sys and /sys are, in most containers."""
    places = [
        Path(line.split()[1])
        for line in Path("/proc/mounts").read_text().splitlines()
        if "ro" in line.split()[3].split(",")
    ]
    places = [place for place in places if place.is_dir()]
    if not places:
        pytest.skip("nothing is mounted read-only")
    with pytest.raises(OSError) as caught:
        check_target(places[0] / "new" / "out")
    assert "the file system is read-only" in ending(caught.value, capsys)[1]


COMMANDS = {
    "training.extract": ["no_bag", "--out"],
    "training.train": ["--data", "no_store", "--out"],
    "training.export": ["default"],
    "training.calibrate": ["default", "--data", "x", "--from", "odometry", "--json"],
    "training.averaging": ["a", "b", "--out"],
    "training.evaluate": ["default", "--data", "no_store", "--json"],
    "training.synthesize": ["--frames", "1", "--out"],
    "monodepth2_ros.demo.__main__": ["--out"],
}


@pytest.mark.parametrize("module", COMMANDS)
def test_commands_refuse_such_targets(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any work; the inputs that are named do not even exist."""
    main = importlib.import_module(module).main
    for path in unusable_targets(tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            try:
                status = main([*COMMANDS[module], str(path)])
            except SystemExit as stopped:
                status = int(stopped.code or 0)
        text = capsys.readouterr().err
        assert status in (1, 2), path
        assert text.startswith(f"{main.guarded}: "), text
        assert "Traceback" not in text and "[Errno" not in text, text
