# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The repository as a whole: licence headers, files that parse, a test file for each module."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from paths import REPOSITORY

SPDX = "SPDX-License-Identifier: Apache-2.0"


def tracked(*patterns: str) -> list[Path]:
    """Return the repository's files, from git or, in a copy without it, from the folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (REPOSITORY / name for name in listed.stdout.splitlines())
    return sorted(path for path in paths if path.is_file())


def test_every_source_file_has_its_licence_header() -> None:
    files = [*tracked("*.py", "*.sh", "Makefile"), REPOSITORY / ".ci" / "run"]
    assert len(files) > 100
    missing = [str(path) for path in files if SPDX not in path.read_text("utf-8")[:400]]
    assert not missing


def test_yaml_and_xml_files_parse() -> None:
    documents = tracked("*.yaml", "*.yml", "*.rviz")
    assert len(documents) > 5
    for path in documents:
        list(yaml.safe_load_all(path.read_text("utf-8")))
    for path in tracked("*.xml"):
        ElementTree.parse(path)


def test_links_between_pages_lead_somewhere() -> None:
    pages = tracked("*.md")
    assert len(pages) > 10
    broken = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{page.relative_to(REPOSITORY)}: {target}")
    assert not broken


def test_the_project_speaks_of_itself_alone() -> None:
    """No absolute path of a developer's machine in what users get."""
    pattern = re.compile(r"(?<![\w.])/(home|root|work)/\w")
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in tracked("*.py", "*.md", "*.yaml", "*.rst", "*.toml")
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found
