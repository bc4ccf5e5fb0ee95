# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The page on troubleshooting has a row for each message of the node's diagnostics."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from monodepth2_ros import camera, training_camera
from monodepth2_ros.node import diagnostics
from paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "troubleshooting.md"
NODE = Path(diagnostics.__file__).parent
SOURCES = [Path(module.__file__ or "") for module in (camera, training_camera)]

# What returns or raises messages of /diagnostics.
FUNCTIONS = {
    "diagnostics.py": {"assess_health", "_missing_image", "_advise_transport", "pairing_problem"},
    "camera_input.py": {"qos_conflict"},
    "camera_stream.py": {"_collision"},
    "frames.py": {"frame_problem"},
    "image_camera.py": {"find_image_camera", "_fitted", "look_at"},
    "scaling.py": {"problem"},
    "training_camera.py": {"camera_difference"},
}


def rows() -> list[str]:
    """Read the first column of the first table."""
    table = PAGE.read_text(encoding="utf-8").split("## By the message")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def text_of(node: ast.expr) -> str:
    """Return a string of the source, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return ""


def strings(node: ast.AST) -> list[str]:
    """Return the strings below a node, each whole."""
    text = text_of(node) if isinstance(node, ast.expr) else ""
    if text or isinstance(node, ast.JoinedStr):
        return [text] if text else []
    return [text for child in ast.iter_child_nodes(node) for text in strings(child)]


def messages() -> list[str]:
    """Find the sentences that the functions of diagnostics return, assign or raise."""
    found = []
    for path in [*NODE.glob("*.py"), *SOURCES]:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name in FUNCTIONS.get(
                path.name, ()
            ):
                body = ast.Module(function.body[ast.get_docstring(function) is not None :], [])
                found += [text for text in strings(body) if text.count(" ") >= 3]
    return found


@pytest.mark.parametrize("fragment", rows())
def test_the_node_says_so(fragment: str) -> None:
    said = [
        text
        for path in [*NODE.glob("*.py"), *SOURCES]
        for text in strings(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert any(fragment in text for text in said), f"no message contains '{fragment}'"


# Parts that are put into messages.
PARTS = (
    "Depth is published",
    "…. Depth is published",
    "no image for …",
    "… has type …",
    "…; if it was scaled",
    "…, of another aspect",
    "by a node of the same name",
    "its focal length is …",
    "its images are …",
)


def test_each_message_has_its_row() -> None:
    found = messages()
    assert len(found) > 25
    missing = [
        text
        for text in found
        if not text.startswith(PARTS) and not any(fragment in text for fragment in rows())
    ]
    assert missing == []
