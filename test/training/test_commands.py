# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All commands speak one language: the same name means the same, and help needs no torch."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from collections import defaultdict
from typing import Any

import pytest

from monodepth2_ros.command_line import CommandLine
from monodepth2_ros.option_fields import SHARED

COMMANDS = {
    "depth_demo": "monodepth2_ros.demo.options",
    "depth_extract": "training.extract",
    "depth_train": "training.train",
    "depth_evaluate": "training.evaluate",
    "depth_calibrate": "training.calibrate",
    "depth_export": "training.export",
    "depth_synthesize": "training.synthesize",
    "averaging": "training.averaging",
    "default_model": "training.default_model",
}


def command_line(name: str) -> CommandLine[Any]:
    line = importlib.import_module(COMMANDS[name]).make_command_line()
    assert line.command == name
    return line


def test_a_name_means_the_same_in_all_commands() -> None:
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for name in COMMANDS:
        for field in dataclasses.fields(command_line(name).options):
            if field.metadata:
                meanings[field.name][name] = field.metadata["description"]
    assert {"out", "data", "device", "truth_topic", "crop"} <= set(meanings)
    for option, said in meanings.items():
        if len(said) > 1:
            assert option in SHARED, f"{option} is in {sorted(said)}"
        for command, words in said.items():
            assert option not in SHARED or words.startswith(SHARED[option]), (command, option)


@pytest.mark.parametrize("name", COMMANDS)
def test_old_spellings_are_no_options(name: str) -> None:
    line = command_line(name)
    known = {word for action in line.parser._actions for word in action.option_strings}
    assert "--config" in known
    assert not known & set(line.renamed)


@pytest.mark.slow
def test_help_needs_neither_torch_nor_ros() -> None:
    program = "import sys\n" + "".join(
        f"import {module}\ntry: {module}.make_command_line().parse(['--help'])\n"
        "except SystemExit as stopped: assert not stopped.code\n"
        for module in COMMANDS.values()
    )
    program += "print(sorted({'torch', 'rclpy', 'openvino', 'matplotlib'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"
