# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals at chosen moments, above all while modules are imported; see signal_at_import.py."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.interrupts import end_at_interrupt
from paths import REPOSITORY

#: Commands as `python -m` and as their console scripts run them, with arguments that fail once
#: everything is imported.
COMMANDS = {
    "training.train": ["--data", "no_store", "--out", "run"],
    "training.start:train": ["--data", "no_store", "--out", "run"],
    "training.extract": ["no_bag", "--out", "store"],
    "training.start:extract": ["no_bag", "--out", "store"],
    "training.evaluate": ["default", "--data", "no_store"],
    "training.start:evaluate": ["default", "--data", "no_store"],
    "training.calibrate": ["default", "--data", "no_store", "--from", "odometry"],
    "training.start:calibrate": ["default", "--data", "no_store", "--from", "odometry"],
    "training.export": ["no_checkpoint"],
    "training.start:export": ["no_checkpoint"],
    "training.synthesize": ["--frames", "1", "--out", "bag"],
    "training.start:synthesize": ["--frames", "1", "--out", "bag"],
    "training.averaging": ["a", "b", "--out", "c.safetensors"],
    "training.default_model": ["--recordings", "no_folder", "--out", "work"],
    "monodepth2_ros.demo": ["no_bag", "--out", "demo"],
    "monodepth2_ros.start:demo": ["no_bag", "--out", "demo"],
}


def run_with_signal(
    name: str, moment: str, target: str, arguments: Sequence[str], folder: Path
) -> tuple[int, str]:
    """Run a program that gets a signal at an import; return its status and stderr."""
    script = REPOSITORY / "test" / "support" / "signal_at_import.py"
    done = subprocess.run(
        [sys.executable, script, name, moment, target, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


def ends_at_ctrl_c(status: int, said: str) -> None:
    """Check status and words of an interrupted command."""
    lines = [line for line in said.splitlines() if not line.startswith("imports:")]
    assert status == 130, said
    assert len(lines) == 1 and ": interrupted" in lines[0], said


@pytest.mark.parametrize("target", COMMANDS)
def test_ctrl_c_at_the_first_imports(target: str, tmp_path: Path) -> None:
    ends_at_ctrl_c(*run_with_signal("SIGINT", "yaml", target, COMMANDS[target], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "moment"),
    [
        ("training.train", "numpy.linalg"),
        ("training.train", "torch"),
        ("training.train", "torch.nn"),
        ("training.train", "torch.optim"),
        ("training.start:evaluate", "numpy"),
        ("training.start:evaluate", "torch.nn"),
    ],
)
def test_ctrl_c_at_late_imports(target: str, moment: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ends_at_ctrl_c(*run_with_signal("SIGINT", moment, target, COMMANDS[target], tmp_path))


@pytest.mark.parametrize("target", ["training.train", "training.start:extract"])
def test_sigterm_at_imports(target: str, tmp_path: Path) -> None:
    """It ends a command as it ends any program."""
    status, said = run_with_signal("SIGTERM", "yaml", target, COMMANDS[target], tmp_path)
    assert (status, said) == (-signal.SIGTERM, "")


@pytest.mark.parametrize("moment", ["rclpy", "numpy", "cv2", "monodepth2_ros.node.depth_node"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_node_ends_with_status_0(name: str, moment: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    status, said = run_with_signal(name, moment, "monodepth2_ros.node.__main__:main", [], tmp_path)
    assert (status, said) == (0, "")


def test_every_command_handles_ctrl_c_before_its_imports() -> None:
    """As a program: what is imported first, in a file that can be run, installs the handler."""
    count = 0
    for package in ("monodepth2_ros", "training"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            blocks = [
                index
                for index, statement in enumerate(body)
                if isinstance(statement, ast.If)
                and ast.unparse(statement.test) == "__name__ == '__main__'"
            ]
            if not blocks or path.parent.name == "node":
                continue
            count += 1
            # After the docstring and "from __future__".
            assert blocks[0] == 2, f"{path}: end_at_interrupt comes before the imports"
            assert "end_at_interrupt(" in ast.unparse(body[2]), path
    assert count >= 10


def test_console_scripts_import_nothing_heavy() -> None:
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    targets = re.findall(r'"(depth_\w+)": "([\w.]+):(\w+)"', setup)
    assert len(targets) >= 9
    for name, module, function in targets:
        if name == "depth_node":
            continue
        assert module.endswith(".start") and name == f"depth_{function}", (name, module)
        program = f"import sys; before = set(sys.modules); import {module}; "
        program += "print(*sorted(set(sys.modules) - before))"
        loaded = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
        ).stdout.split()
        package = module.partition(".")[0]
        own = {package, module, "monodepth2_ros", "monodepth2_ros.interrupts"}
        # signal itself needs enum and what that needs.
        assert own <= set(loaded) and len(loaded) <= 20, (name, loaded)


@pytest.fixture
def quick_ctrl_c() -> Iterator[None]:
    """As outside pytest, and as before in the end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


INTERRUPTED_MAIN = """
import importlib, signal, sys
from monodepth2_ros.interrupts import end_at_interrupt
end_at_interrupt("depth_test")
from monodepth2_ros.command_guard import guarded

class Resource:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

@guarded("depth_test")
def main(arguments=None):
{body}
    return 0

sys.exit(main())
"""


def output_of_interrupted(body: str, **environment: str) -> str:
    """Run a program that is interrupted, check its status and its one line, return its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_MAIN.format(body=body)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (130, "depth_test: interrupted\n")
    return done.stdout


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        # In a module that swallows everything, as libraries do with their optional parts. The
        # interrupt may come before the line that looks.
        (
            "    module = importlib.import_module('swallows_everything')\n"
            "    print(module.is_whole, flush=True)",
            ("", "True", "True\n"),  # print writes the end of the line by itself
        ),
        # In a destructor.
        ("    resource = Resource()\n    del resource", ("",)),
        # In a library that turns it into an error of its own.
        (
            "    try:\n        signal.raise_signal(signal.SIGINT)\n"
            "    except BaseException:\n        raise ImportError('no luck') from None",
            ("",),
        ),
    ],
    ids=["in an import", "in a destructor", "turned into an error"],
)
def test_an_interrupt_is_not_lost(tmp_path: Path, body: str, outputs: tuple[str, ...]) -> None:
    """In a process of its own, which an interrupt at the end of main ends at once."""
    (tmp_path / "swallows_everything.py").write_text(
        "import signal\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n    is_whole = True\n"
        "except BaseException:\n    is_whole = False\n"
    )
    assert output_of_interrupted(body, PYTHONPATH=str(tmp_path)) in outputs


def test_the_handler_is_given_back(quick_ctrl_c: None) -> None:
    @guarded("depth_test")
    def main(arguments: Sequence[str] | None = None) -> int:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        return 0

    assert main([]) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


PROGRAM = """
import sys, signal
from monodepth2_ros.interrupts import end_at_interrupt
end_at_interrupt("depth_test")
from monodepth2_ros.command_guard import guarded

@guarded("depth_test")
def main(arguments=None):
    signal.raise_signal(signal.SIGINT)

{before}
status = main()
{after}
sys.exit(status)
"""


@pytest.mark.parametrize("place", ["before", "after"])
def test_ctrl_c_around_main(place: str) -> None:
    places = {"before": "", "after": "", place: "signal.raise_signal(signal.SIGINT)"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(**places)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "depth_test: interrupted\n" * (1 + (place == "after"))


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_at_interrupt("depth_test")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("cv2", "depth_x: cv2 is not installed .*terminal. If it is: pip install opencv-python-he"),
        ("no_such_library.part", "depth_x: no_such_library is not installed .*: pip install no_su"),
        ("torch", "depth_x: torch is not installed .*: pip install 'monodepth2_ros.cuda.'"),
    ],
)
def test_a_command_without_its_libraries_says_so_in_one_line(
    library: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "command.py").write_text(f"import {library}\n", encoding="utf-8")
    program = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(tmp_path)!r}]\n"
        f"sys.modules[{library.partition('.')[0]!r}] = None\n"
        "from monodepth2_ros.interrupts import run_command\n"
        "sys.exit(run_command('depth_x', 'command', []))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(said, line)


def test_a_second_signal_while_the_line_is_written_writes_no_other() -> None:
    program = (
        "import os, signal\n"
        "from monodepth2_ros.interrupts import end_at_interrupt\n"
        "write = os.write\n"
        "def write_and_interrupt(file, line):\n"
        "    write(file, line)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "os.write = write_and_interrupt\n"
        "end_at_interrupt('depth_test')\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (130, "depth_test: interrupted\n")


def test_an_interrupt_that_is_told_of_is_not_told_of_again() -> None:
    """What was lost in a destructor comes again in a moment; not while it is already written."""
    body = (
        "    import time\n"
        "    write = sys.stderr.write\n"
        "    class SlowError:\n"
        "        encoding, errors = sys.stderr.encoding, sys.stderr.errors\n"
        "        flush, fileno = sys.stderr.flush, sys.stderr.fileno\n"
        "        def write(self, text):\n"
        "            write(text)\n"
        "            self.flush()\n"
        "            time.sleep(0.3)\n"
        "    sys.stderr = SlowError()\n"
        "    resource = Resource()\n    del resource"
    )
    output_of_interrupted(body)
