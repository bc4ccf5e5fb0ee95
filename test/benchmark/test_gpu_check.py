# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The script that waits for a GPU runs through on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from paths import REPOSITORY


def run(out, *arguments, **environment):
    return subprocess.run(
        [str(REPOSITORY / "benchmark" / "gpu_check.sh"), *arguments, str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )


@pytest.mark.slow
def test_a_dry_run_takes_every_step_and_leaves_two_files(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    done = run(tmp_path / "out", "--dry-run")
    text = (tmp_path / "out" / "gpu_check.txt").read_text()
    assert done.returncode == 0, done.stdout + text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "gpu_check.json",
        "gpu_check.txt",
    ]
    report = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert set(report["steps"]) == {"machine", "tests", "inference", "training"}
    assert all(step["status"] == 0 and step["seconds"] > 0 for step in report["steps"].values())
    assert report["inference"]


def test_a_step_that_fails_is_counted_and_the_others_go_on(tmp_path):
    """With a Python that refuses everything but the report at the end."""
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\n[ "$1" = - ] && exec {sys.executable} "$@"\nexit 3\n')
    broken.chmod(0o755)
    done = run(tmp_path / "out", "--dry-run", PYTHON=str(broken))
    assert done.returncode == 4, done.stderr
    report = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert [step["status"] for step in report["steps"].values()] == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("refused", "arguments", "message"),
    [
        ("find_spec", ["--dry-run"], "pip install 'monodepth2_ros[train]'"),
        ("find_spec", [], "pip install 'monodepth2_ros[train]'"),
        ("is_available", [], "torch finds no CUDA device"),
    ],
)
def test_what_it_cannot_do_without_is_said_in_one_line(tmp_path, refused, arguments, message):
    """With a Python that answers one question with no, and succeeds at everything else."""
    without = tmp_path / "python"
    without.write_text(f'#!/bin/sh\ncase "$2" in *{refused}*) exit 4;; esac\n')
    without.chmod(0o755)
    done = run(tmp_path / "out", *arguments, PYTHON=str(without))
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
