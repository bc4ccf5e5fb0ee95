# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot with a CPU has no torch: everything on it works, and the rest says what is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from without_torch import run_without_torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.extras import is_installed
from monodepth2_ros.predictor import OUTPUTS, DepthPredictor

needs_openvino = pytest.mark.skipif(
    not is_installed("openvino"),
    reason="openvino is not installed",
)

ON_THE_ROBOT = (
    "backends",
    "camera",
    "checkpoint",
    "coloring",
    "conversions",
    "demo.gallery",
    "demo.report",
    "node.parameters",
    "outputs",
    "pipeline",
    "point_cloud",
    "predictor",
    "preprocessing",
    "recordings.bags",
    "recordings.playback",
    "visualization.clouds",
    "visualization.pictures",
    "visualization.video",
)


def test_what_runs_on_a_robot_is_imported():
    names = ", ".join(f"monodepth2_ros.{name}" for name in ON_THE_ROBOT)
    run_without_torch(f"import {names}, training.synthesize")


def test_the_node_and_its_client_are_imported():
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    run_without_torch(
        "import monodepth2_ros.node.depth_node, monodepth2_ros.node.__main__\n"
        "import monodepth2_ros.demo.node_client, monodepth2_ros.demo.__main__\n"
    )


PREDICT = """
import numpy
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.extras import is_installed
from monodepth2_ros.predictor import OUTPUTS, DepthPredictor
with numpy.load(sys.argv[1] + "/image.npz") as file:
    image = file["image"]
camera = PinholeCamera(160, 120, 150.0, 150.0, 80.0, 60.0)
predictor = DepthPredictor(device="cpu", precision="fp32", cache_dir=sys.argv[1])
result = predictor.predict(image, camera, outputs=OUTPUTS)
batch = predictor.predict_batch(image[None])
names = {name: getattr(result, name) for name in OUTPUTS}
numpy.savez(sys.argv[1] + "/result.npz", batch=batch, **names)
print(predictor.backend.name, predictor.backend.device, "torch" in sys.modules)
"""


@pytest.mark.slow
@needs_openvino
def test_the_shipped_model_gives_what_it_gives_next_to_torch(tmp_path):
    pytest.importorskip("torch", reason="compares with torch, which is not installed")
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    np.savez(tmp_path / "image.npz", image=image)
    assert run_without_torch(PREDICT, str(tmp_path)).split() == ["openvino", "cpu", "False"]
    camera = PinholeCamera(160, 120, 150.0, 150.0, 80.0, 60.0)
    predictor = DepthPredictor(backend="torch", device="cpu", precision="fp32")
    expected = predictor.predict(image, camera, outputs=OUTPUTS)
    with np.load(tmp_path / "result.npz") as result:
        assert np.nanmax(expected.depth) / np.nanmin(expected.depth) > 1.05
        np.testing.assert_allclose(result["depth"], expected.depth, rtol=1e-4)
        np.testing.assert_allclose(result["batch"][0], expected.depth, rtol=1e-4)
        np.testing.assert_allclose(result["points"][..., :3], expected.points[..., :3], rtol=1e-4)
        difference = result["color"].astype(int) - expected.color.astype(int)
        assert np.abs(difference).max() <= 3  # a neighbouring level of the colour map


@pytest.mark.slow
@needs_openvino
def test_random_weights_need_no_torch(tmp_path):
    program = """
from monodepth2_ros.checkpoint import random_checkpoint
from monodepth2_ros.extras import is_installed
from monodepth2_ros.predictor import DepthPredictor
import numpy
predict = DepthPredictor(random_checkpoint(18, 64, 64), cache_dir=sys.argv[1])
depth = predict(numpy.random.default_rng(0).integers(0, 255, (64, 64, 3), numpy.uint8))
print(depth.min() > 0.1 and depth.max() < 100.0 and depth.std() > 0.0)
"""
    assert run_without_torch(program, str(tmp_path)).split() == ["True"]


COMMANDS = """
import contextlib, io, json, runpy
found = {}
for module, arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    errors, status = io.StringIO(), 0
    with contextlib.redirect_stderr(errors):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
    # A message as status is printed by Python as it exits.
    text = errors.getvalue() + (status if isinstance(status, str) else "")
    found[module] = [bool(status), text.strip()]
print(json.dumps(found))
"""


def test_a_command_says_in_one_line_which_extra_it_lacks(tmp_path):
    commands = [
        ("training.train", ["--data", "frames", "--out", str(tmp_path / "run")]),
        ("training.extract", ["bag", "--out", str(tmp_path / "frames")]),
        ("training.export", ["default", str(tmp_path / "model.onnx")]),
        ("training.evaluate", ["default", "--data", "frames"]),
        ("training.averaging", ["a", "b", "--out", str(tmp_path / "c")]),
        ("training.panoramas", ["a.jpg", "--out", str(tmp_path / "d")]),
    ]
    found = json.loads(run_without_torch(COMMANDS, json.dumps(commands)))
    for module, (failed, text) in found.items():
        assert failed and len(text.splitlines()) == 1, (module, text)
        assert "torch" in text and "pip install 'monodepth2_ros[train]'" in text, (module, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "create_backend(random_checkpoint(18, 64, 64), 'torch')",
            "torch is not installed (cannot be imported): pip install 'monodepth2_ros[cuda]'",
        ),
        (
            "create_backend(random_checkpoint(18, 64, 64), device='cuda:0')",
            "torch is not installed (cannot be imported): pip install 'monodepth2_ros[cuda]'; or "
            "set device to 'cpu'",
        ),
        (
            "create_backend(random_checkpoint(18, 64, 64), precision='fp16', device='cpu')",
            "torch is not installed (cannot be imported): pip install 'monodepth2_ros[cuda]'; or "
            "set precision to 'auto'",
        ),
        (
            "load_checkpoint(folder)",
            "model.safetensors' once on a machine that has it "
            "(pip install 'monodepth2_ros[train]'), and give that file",
        ),
        # Without the ending the depth of the file would not be in metres.
        ("load_checkpoint(folder + ':kitti-stereo')", ":kitti-stereo model.safetensors' once"),
    ],
)
def test_what_needs_torch_says_so(tmp_path, call, message):
    for name in ("encoder", "depth"):
        (tmp_path / f"{name}.pth").write_bytes(b"weights")
    program = f"""
from monodepth2_ros.backends import create_backend
from monodepth2_ros.checkpoint import load_checkpoint, random_checkpoint
folder = sys.argv[1]
try:
    {call}
except (ValueError, RuntimeError) as error:
    print(error)
"""
    text = run_without_torch(program, str(tmp_path))
    assert message in text and len(text.splitlines()) == 1
