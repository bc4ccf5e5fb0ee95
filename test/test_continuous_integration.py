# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The workflow, the container and the install page: their syntax, and what they install."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from paths import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "ci.yaml"
DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
COMPOSE = REPOSITORY / "docker" / "compose.yaml"

pytestmark = pytest.mark.skipif(
    not WORKFLOW.is_file() or not DOCKERFILE.is_file(), reason="needs the source tree"
)

# Packages of the distribution (package.xml), and torch, which a robot with a CPU does without.
FROM_ELSEWHERE = {"numpy", "opencv-python-headless", "pyyaml", "torch", "torchvision"}


def _jobs() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]


def _requirements() -> set[str]:
    """Names of what setup.py asks pip for."""
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    (block,) = re.findall(r"install_requires=\[(.*?)\]", text, re.S)
    return {name.lower() for name in re.findall(r'"([A-Za-z0-9_.-]+)', block)} - FROM_ELSEWHERE


def test_scripts_of_the_workflow_are_bash() -> None:
    scripts = [
        re.sub(r"\$\{\{.*?\}\}", "value", step["run"])
        for job in _jobs().values()
        for step in job["steps"]
        if "run" in step
    ]
    assert len(scripts) > 15
    for script in (*scripts, (REPOSITORY / "docker" / "entrypoint.sh").read_text("utf-8")):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stderr}\n{script}"


def test_every_job_has_a_limit_and_the_needed_ones_are_there() -> None:
    jobs = _jobs()
    assert jobs.keys() >= {"pip", "docs", "robot", "container", "colcon", "ros_tools"}
    for name, job in jobs.items():
        assert 0 < job["timeout-minutes"] <= 60, name


@pytest.mark.parametrize("file", ["ci.yaml", "Dockerfile", "install.md"])
def test_what_setup_requires_is_installed_by_hand_too(file: str) -> None:
    """Where pip does not resolve the requirements, they are listed; none may be missing."""
    path = {
        "ci.yaml": WORKFLOW,
        "Dockerfile": DOCKERFILE,
        "install.md": REPOSITORY / "docs" / "how-to" / "install.md",
    }[file]
    text = path.read_text(encoding="utf-8")
    for name in _requirements():
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{name} is not in {path}"


def test_files_of_the_container_exist() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (\S+) ", text, re.M):
        assert (REPOSITORY / source).exists(), source
    assert (REPOSITORY / "docker" / "entrypoint.sh").stat().st_mode & 0o111
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    assert services.keys() == {"demo", "depth"}
    for service in services.values():
        assert (COMPOSE.parent / service["build"]["context"]).resolve() == REPOSITORY
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()
        # Else DDS falls back to the sockets: a container has 64 MB of shared memory.
        assert service["ipc"] == "host"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("bag", "arguments"), [("", "--out /output"), ("/x", "/bag --out /output")]
)
def test_demo_of_the_container_takes_a_recording(bag: str, arguments: str) -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    # compose makes $ of $$.
    command = services["demo"]["command"].replace("$$", "$").replace("depth_demo", "echo")
    done = subprocess.run(
        ["bash", "-c", command], env={"BAG": bag, "PATH": "/bin:/usr/bin"}, capture_output=True
    )
    assert done.stdout.decode().strip() == arguments
