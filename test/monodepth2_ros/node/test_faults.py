# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Inputs, models and files that are not as they should be: what the node does about them.

Each fault is a row of docs/reliability.md.
"""

from __future__ import annotations

import array
import contextlib
import os
import re
import signal
import struct
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import CompressedImage

import node_harness as harness
from monodepth2_ros.camera import PinholeCamera
from paths import REPOSITORY

pytestmark = pytest.mark.ros

CAMERA = PinholeCamera(64, 48, 50.0, 50.0, 32.0, 24.0)
SECOND = 1_000_000_000


@pytest.fixture
def start(model):
    harness.use_private_domain()
    ends = []

    def start(transport="raw", **parameters):
        defaults = {
            "checkpoint": model,
            "backend": harness.PROCESS_BACKEND,
            "threads": 1,
            "precision": "fp32",
        }
        defaults |= {"input_reliability": "reliable", "diagnostics_period": 0.2}
        node = harness.NodeProcess(
            **{**defaults, "image_transport": transport, **parameters},
        )
        peer = harness.Peer(transport=transport)
        ends.extend([peer.close, node.end])
        return node, peer

    yield start
    for end in ends:
        end()


def jpeg(declared=None):
    data = bytearray(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes())
    if declared:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", *declared)
    message = CompressedImage(format="jpeg")
    message.data = array.array("B", bytes(data))
    return message


@pytest.mark.slow
def test_images_and_camera_infos_that_lie(start):
    psutil = pytest.importorskip("psutil", reason="psutil is not installed")
    node, peer = start("compressed")
    peer.listen("depth/image_rect", "points")
    peer.connect(node)
    peer.send(harness.info_message(CAMERA), SECOND)
    peer.send(jpeg(), SECOND)
    peer.output("points", SECOND, node)
    before = psutil.Process(node.process.pid).memory_info().rss

    # A few hundred bytes that declare 1.2 GB are refused by their header.
    peer.send(jpeg((20000, 20000)), 2 * SECOND)
    peer.status("declares 20000x20000 pixels, more than max_image_pixels (40000000)", node)
    peer.send(CompressedImage(format="jpeg"), 3 * SECOND)
    peer.status("is none of JPEG, PNG", node)
    assert psutil.Process(node.process.pid).memory_info().rss - before < 100_000_000

    # NaN at the camera's rate, then two infos in turn: told now and then, not with each frame.
    bad = harness.info_message(CAMERA)
    bad.k[:] = bad.p[:] = np.nan
    other = harness.info_message(CAMERA.resized(640, 480))
    started = time.monotonic()
    for number in range(30):
        stamp = 20 * SECOND + number * SECOND // 10
        peer.send((bad, other)[number % 2 if number > 10 else 0], stamp)
        peer.send(jpeg(), stamp)
        peer.output("depth/image_rect", stamp, node)
    seconds = time.monotonic() - started
    told = len(re.findall(r"\[WARN\].*(not finite|camera_info is for)", node.log()))
    assert 1 <= told <= 2 + seconds / 5
    assert node.stop(signal.SIGTERM) == 0


@pytest.mark.slow
def test_parameters_of_the_nodes_own_dump_load_and_the_period_applies(start, model):
    node, peer = start(autostart=False, diagnostics_period=3600.0)
    assert peer.set_parameter("diagnostics_period", 0.1, node).successful
    peer.status("the node is unconfigured", node)  # not in an hour only
    assert peer.transition("configure", node)
    # Arrays come back as they are: they are equal and no change of what is read on configure.
    for name, value in (("crop", [-1.0] * 4), ("color_range", [0.0, 0.0]), ("threads", 1)):
        result = peer.set_parameter(name, value, node)
        assert result.successful, result.reason
    refused = peer.set_parameter("crop", [0.0, 0.1, 0.0, 0.0], node)
    assert not refused.successful and "deactivate and cleanup first" in refused.reason


def damage(name):
    """Write a model whose weights compute nothing."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    def write(source, target):
        with safe_open(source, "np") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if name == "variance":
            key = next(key for key in tensors if key.endswith("running_var"))
            tensors[key] = np.full_like(tensors[key], -1.0)
        elif name == "nan":
            tensors["depth.decoder.10.conv.bias"][:] = np.nan
        elif name == "scale":
            metadata["monodepth2_ros"] = metadata["monodepth2_ros"].replace(
                '"scale": 1.0', '"scale": Infinity'
            )
        save_file(tensors, target, metadata)

    return write


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nan", "variance", "scale"])
def test_a_model_that_computes_nothing_is_refused_or_an_error(start, model, tmp_path, name):
    path = tmp_path / "model.safetensors"
    damage(name)(model, path)
    node, peer = start(checkpoint=path)
    peer.listen("depth/image_rect")
    while node.process.poll() is None and not peer.is_heard():
        peer.spin(0.05)
    if node.process.poll() is not None:
        assert node.process.returncode == 1 and str(path) in node.log()
        return
    peer.connect(node)
    peer.send(harness.image_message(np.full((48, 64, 3), 90, np.uint8)), SECOND)
    image = peer.output("depth/image_rect", SECOND, node)
    assert not np.isfinite(harness.image_array(image)).any()
    assert peer.status("the depth is NaN everywhere", node)["level"] == "2"


@pytest.mark.slow
def test_a_model_that_is_never_read_does_not_keep_the_node(start, tmp_path):
    """As on a network mount that is gone: the read does not come back."""
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    node, _ = start(checkpoint=path)
    pipe = wait_for_reader(path, node)
    segments = node.segments()
    sent = time.monotonic()
    assert node.stop(signal.SIGTERM) == 0
    os.close(pipe)
    assert time.monotonic() - sent < 30 and "Traceback" not in node.log()
    assert not [segment for segment in segments if segment.exists()]


def wait_for_reader(path, node):
    """Open a pipe for writing as soon as the node reads it."""
    deadline = time.monotonic() + harness.PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    raise AssertionError(f"the node does not read the model; its log:\n{node.log()}")


@pytest.mark.slow
def test_memory_does_not_grow_over_lifecycles():
    """Before memory was given back, ten cycles took 250 MiB; by itself it swings by up to 90."""
    command = [sys.executable, "benchmark/lifecycle.py", "--transitions", "80"]
    command += ["--backend", harness.BACKEND]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    growth = float(re.search(r"second half: ([+-][\d.]+) MiB", run.stdout)[1])
    assert growth < 150.0, run.stdout


PARAMETER_FILES = {
    "an empty list": "crop: []",
    "text for a switch": "use_sim_time: x",
    "a list of mixed types": "crop: [0.1, a, 0.0, 0.0]",
    "text for a number": "max_range: far",
    "a crop of three": "crop: [0.1, 0.1, 0.1]",
    "a value outside its range": "scale: -1.0",
    "a tab": "\tscale: 1.0",
    "an open bracket": "crop: [0.1",
    "two colons": "scale: 1.0: 2.0",
}

LOADER = """
import sys
import monodepth2_ros.node.__main__ as command
from monodepth2_ros.node.shutdown import EndSignals
command.exit_after = lambda *arguments: False  # it would end this process
for path in sys.argv[1:]:
    status = command._run(["--ros-args", "--params-file", path], EndSignals())
    print(f"status {status}", file=sys.stderr, flush=True)
"""


@pytest.mark.slow
def test_parameter_files_that_are_wrong(tmp_path):
    """One sentence and status 1 for each, no traceback."""
    harness.use_private_domain()
    paths = []
    for number, line in enumerate(PARAMETER_FILES.values()):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(f"depth:\n  ros__parameters:\n    {line}\n")
    done = subprocess.run(
        [sys.executable, "-c", LOADER, *map(str, paths)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    parts = done.stderr.split("status ")
    assert len(parts) == len(paths) + 1
    for name, said, status in zip(PARAMETER_FILES, parts, parts[1:], strict=False):
        assert status.startswith("1"), (name, done.stderr)
        assert len(said.strip().splitlines()) > 0, name
