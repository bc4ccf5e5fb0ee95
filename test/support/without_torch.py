# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Python programs in which torch cannot be imported, as on a robot that has none."""

from __future__ import annotations

import subprocess
import sys

from paths import REPOSITORY

FORBID = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "triton"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Forbidden())
"""


def run_without_torch(program: str, *arguments: str) -> str:
    """Run a program and return what it printed; an error fails the test."""
    command = [sys.executable, "-c", FORBID + program, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert run.returncode == 0, run.stderr
    return run.stdout
