# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/commands.md from the commands' own help.

``python docs/make_commands.py``
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parent / "reference" / "commands.md"

#: Executable and the module that is run as it. depth_node takes ROS arguments: see the node's page.
COMMANDS = {
    "depth_demo": "monodepth2_ros.demo",
    "depth_rviz": "monodepth2_ros.demo.rviz",
    "depth_extract": "training.extract",
    "depth_train": "training.train",
    "depth_evaluate": "training.evaluate",
    "depth_calibrate": "training.calibrate",
    "depth_export": "training.export",
    "depth_synthesize": "training.synthesize",
    "python -m training.averaging": "training.averaging",
    "python -m training.panoramas": "training.panoramas",
    "python -m training.default_model": "training.default_model",
}

HEAD = """\
# Commands

Every command reads its options from the command line and, with `--config FILE`, from a YAML file
with the same names; the command line comes first. The same name means the same in every command. In
a colcon workspace a command is `ros2 run monodepth2_ros COMMAND`. `depth_node` takes ROS arguments:
[The node](node.md).

`COMMAND --print-completion bash` (or zsh, tcsh, …) prints a script that completes the options in
that shell, for example `source <(depth_train --print-completion bash)`; it needs the extra
`[completion]`.

This page is made from the commands' own `--help` by `python docs/make_commands.py`.
"""


def help_of(module: str) -> str:
    """Return what a command prints for ``--help``, 100 columns wide."""
    run = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def page() -> str:
    """Return the page."""
    sections = [
        f"## {name}\n\n```text\n{help_of(module)}\n```\n" for name, module in COMMANDS.items()
    ]
    return HEAD + "\n" + "\n".join(sections)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(TARGET)
