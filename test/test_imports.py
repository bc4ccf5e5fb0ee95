# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who imports whom: torch takes a second and half a gigabyte, and is not everybody's."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "openvino", "nncf", "scipy", "matplotlib", "pandas")
LIGHT = (
    "",
    ".camera",
    ".conversions",
    ".node.mailbox",
    ".demo.node_process",
    ".options",
    ".node.pairing",
    ".node.parameters",
    ".node.launch_arguments",
    ".visualization.rviz_configuration",
    ".recordings.playback",
    ".demo.republish",
    ".node.diagnostics",
    ".visualization.video",
)


def imported(name: str) -> set[str]:
    """Return the packages in a fresh interpreter after the import of a module."""
    program = f"import sys, {name}; print(*{{m.split('.')[0] for m in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_light_modules_import_nothing_heavy():
    names = ", ".join(f"monodepth2_ros{name}" for name in LIGHT)
    packages = imported(names)
    assert "numpy" in packages and not packages & {*HEAVY, "rclpy"}


def test_the_node_is_created_before_anything_heavy_is_imported():
    """Others discover it while OpenCV and the messages are imported, and then the engine."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    packages = imported("monodepth2_ros.node.depth_node, monodepth2_ros.node.guarded_executor")
    assert "rclpy" in packages and not packages & {*HEAVY, "cv2", "sensor_msgs"}


def test_all_that_the_node_imports_is_without_an_engine():
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    packages = imported("monodepth2_ros.node.camera_stream")
    assert "cv2" in packages and not packages & set(HEAVY)


def test_the_predictor_imports_nothing_heavy():
    """A robot that runs OpenVINO has no use for torch."""
    assert not imported("monodepth2_ros.predictor") & set(HEAVY)


@pytest.mark.slow
def test_a_network_is_built_run_and_trained_without_torchs_compiler():
    """torchvision and torch's optimisers would bring it, and double the time of all imports."""
    pytest.importorskip("torch", reason="torch is not installed")
    program = """
import sys, numpy
from monodepth2_ros.checkpoint import random_checkpoint
from monodepth2_ros.predictor import DepthPredictor
predict = DepthPredictor(random_checkpoint(18, 64, 64), backend="torch", device="cpu")
predict(numpy.zeros((64, 64, 3), numpy.uint8))

import torch
from training.learning import trainer
from training.learning.optimizer import EagerAdam
weight = torch.nn.Parameter(torch.ones(2))
optimizer = EagerAdam([weight], lr=0.1, fused=True)
weight.sum().backward()
optimizer.step()
optimizer.zero_grad(set_to_none=True)
optimizer.load_state_dict(optimizer.state_dict())
print(sorted({"torch", "torchvision", "torch._dynamo", "torch._inductor"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "['torch']", run.stderr


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("predictor", "OutputOptions"),
        ("backends", "BackendError"),
        ("backends", "BACKENDS"),
        ("checkpoint", "CheckpointError"),
        ("coloring", "COLOR_MAPS"),
    ],
)
def test_what_a_light_module_defines_is_found_where_it_is_used(module, name):
    options = importlib.import_module("monodepth2_ros.options")
    user = importlib.import_module(f"monodepth2_ros.{module}")
    assert getattr(user, name) is getattr(options, name)
