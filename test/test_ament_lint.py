# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ROS's own linters say, where they are installed: under `colcon test`, for example.

Style, types and docstrings are checked by ruff and mypy (`make lint`), which ament has not.
"""

from __future__ import annotations

import pytest

from paths import REPOSITORY

FOLDERS = ("benchmark", "docs", "launch", "monodepth2_ros", "test", "training")


@pytest.mark.slow
def test_ament_reads_holder_and_year_of_every_source_file():
    """Its templates know no SPDX line, so the licence is checked in test_repository.py."""
    parser = pytest.importorskip("ament_copyright.parser", reason="ament_copyright is missing")
    paths = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(paths) > 200
    for path in [REPOSITORY / "setup.py", *paths]:
        notices = parser.parse_file(str(path)).copyrights
        assert [notice.name for notice in notices] == ["The monodepth2_ros authors"], path
