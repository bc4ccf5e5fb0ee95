# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""depth.launch.py by launch_testing, where that is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from installation import installation

NEEDED = ("rclpy", "launch_ros", "launch_testing")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} (an installed ROS 2)"),
]

TEST = Path(__file__).parent / "support" / "launched_depth.py"

NODE = """#!/bin/sh
exec {python} -m monodepth2_ros.node "$@"
"""


def test_what_is_launched_gives_depth_and_ends_cleanly(tmp_path: Path) -> None:
    """With an executable of this checkout, in place of an installed one."""
    from node_harness import use_private_domain, write_model

    use_private_domain()
    model = tmp_path / "model.safetensors"
    write_model(model, 96, 64)
    executable, prefixes = installation(tmp_path / "prefix")
    executable.write_text(NODE.format(python=sys.executable), encoding="utf-8")
    executable.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "launch_testing.launch_test", str(TEST)],
        env={
            **os.environ,
            "AMENT_PREFIX_PATH": prefixes,
            "DEPTH_TEST_MODEL": str(model),
            "ROS_LOG_DIR": str(tmp_path / "log"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("\nOK") == 2, done.stdout[-4000:]
