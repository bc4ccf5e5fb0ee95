# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration; ``make docs`` builds, with warnings as errors. rosdoc2 reads it too."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import monodepth2_ros  # noqa: E402

project = "monodepth2_ros"
author = "The monodepth2_ros authors"
copyright = "2026, The monodepth2_ros authors"
version = release = monodepth2_ros.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_rtd_theme",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "notes/README.md"]
templates_path: list[str] = []

html_theme = "sphinx_rtd_theme"
html_theme_options = {"navigation_depth": 3, "collapse_navigation": False}
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types, shapes and units
# What the robot or the training machine may lack is not needed to read docstrings. The ROS wheels
# start Python again when they are imported, which would end the build.
autodoc_mock_imports = [
    "builtin_interfaces",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "nav_msgs",
    "openvino",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
]


def setup(app: object) -> None:
    """Point links that leave docs/ at the repository's own files, which Sphinx does not copy."""
    app.connect("source-read", _link_out)  # type: ignore[attr-defined]


def _link_out(app: object, page: str, source: list[str]) -> None:
    """Turn links to files outside docs/ into plain code: they are found in the repository."""
    up = r"\.\./" * (page.count("/") + 1)
    pattern = re.compile(rf"\[([^\]]+)\]\({up}([^)#]+)(?:#[^)]*)?\)")
    source[0] = pattern.sub(lambda found: f"{found[1]} (`{found[2]}`)", source[0])
