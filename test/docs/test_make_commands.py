# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page of commands names the options that the commands have."""

from __future__ import annotations

import importlib.util
import re

import pytest

from paths import REPOSITORY

_SPEC = importlib.util.spec_from_file_location(
    "make_commands", REPOSITORY / "docs" / "make_commands.py"
)
assert _SPEC is not None and _SPEC.loader is not None
make_commands = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_commands)


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))


@pytest.mark.slow
@pytest.mark.parametrize("name", make_commands.COMMANDS)
def test_the_page_has_the_options_of_the_command(name: str) -> None:
    if name == "depth_rviz":
        pytest.importorskip("rclpy")
    page = make_commands.TARGET.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert options(section) == options(make_commands.help_of(make_commands.COMMANDS[name]))


def test_every_executable_but_those_for_ros_is_on_the_page() -> None:
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    executables = set(re.findall(r'^    "(depth_\w+)": ', text, re.MULTILINE))
    listed = {name for name in make_commands.COMMANDS if name.startswith("depth_")}
    assert listed == executables - {"depth_node"}
