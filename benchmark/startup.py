# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure how long the node takes from the start of its process to the first depth.

    python benchmark/startup.py --rounds 7
    python benchmark/startup.py --rounds 7 --against ../another_checkout

A camera and a listener run already; the node is started with each backend in turns, with a warm
OpenVINO cache. Then come the steps of loading, each in a fresh interpreter, and the import of what
needs no torch. `--against` does all of it with another checkout too, in turns.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
PATIENCE = 120.0

# Modules for tools that have no use for torch.
LIGHT = (
    *("camera", "conversions", "node.mailbox", "node.pairing", "node.parameters"),
    *("node.diagnostics", "recordings.playback"),
)

NODE = """
import time
from monodepth2_ros.node import depth_node
print("imported", time.time(), flush=True)
from monodepth2_ros.node.__main__ import main
main()
"""

STEPS = """
import json, sys, time
marks = [("", time.perf_counter())]
def mark(name):
    marks.append((name, time.perf_counter()))
import cv2, numpy, rclpy, sensor_msgs.msg
mark("import numpy, cv2, rclpy")
import torch
mark("import torch")
from monodepth2_ros.backends import create_backend
from monodepth2_ros.checkpoint import open_checkpoint
from monodepth2_ros.predictor import DepthPredictor
mark("import monodepth2_ros")
if sys.argv[1] == "openvino":
    import openvino
mark("import the engine")
checkpoint = open_checkpoint(sys.argv[2])
mark("read the checkpoint")
predict = DepthPredictor(checkpoint, backend=sys.argv[1], device="cpu")
mark("prepare the network")
image = numpy.zeros((480, 640, 3), numpy.uint8)
predict(image)
mark("first prediction")
predict(image)
mark("second prediction")
pairs = zip(marks, marks[1:])
print(json.dumps({name: end - start for (_, start), (name, end) in pairs}))
"""

IMPORT = """
import time
start = time.perf_counter()
import {names}
seconds = time.perf_counter() - start
import resource
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Robot:
    """A camera of 30 Hz and a listener to depth, in this process."""

    def __init__(self) -> None:
        import rclpy
        from sensor_msgs.msg import CameraInfo, Image

        rclpy.init()
        self._rclpy = rclpy
        self._node = rclpy.create_node("robot")
        sensor = rclpy.qos.qos_profile_sensor_data
        self._image = Image(width=640, height=480, encoding="rgb8", step=1920)
        pixels = np.random.default_rng(0).integers(0, 255, 640 * 480 * 3, dtype=np.uint8)
        self._image.data = array.array("B", pixels.tobytes())
        self._info = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
        self._info.k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
        self._images = self._node.create_publisher(Image, "image", sensor)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", sensor)
        self._node.create_subscription(Image, "depth/image_rect", self._receive, 10)
        self._node.create_timer(1 / 30, self._send)
        self._first = 0.0

    def _send(self) -> None:
        stamp = self._node.get_clock().now().to_msg()
        self._image.header.stamp = self._info.header.stamp = stamp
        self._infos.publish(self._info)
        self._images.publish(self._image)

    def _receive(self, _: object) -> None:
        self._first = self._first or time.time()

    def time_node(self, checkout: Path, backend: str, checkpoint: str) -> dict[str, float]:
        """Start a node, end it after its first depth, and return seconds since the start."""
        self._first = 0.0
        command = [sys.executable, "-c", NODE, "--ros-args", "-p", f"backend:={backend}"]
        command += ["-p", "device:=cpu", "-p", f"checkpoint:={checkpoint}"]
        with tempfile.TemporaryFile("w+") as log:
            start = time.time()
            node = subprocess.Popen(
                command, env=environment(checkout), cwd=checkout, stdout=log, stderr=log
            )
            while not self._first and node.poll() is None and time.time() < start + PATIENCE:
                self._rclpy.spin_once(self._node, timeout_sec=0.02)
            memory = resident(node.pid)
            node.send_signal(signal.SIGINT)
            node.wait(30)
            while self._node.count_publishers("depth/image_rect"):
                self._rclpy.spin_once(self._node, timeout_sec=0.02)
            log.seek(0)
            text = log.read()
        imported = re.search(r"imported ([\d.]+)", text)
        loaded = re.search(r"\[([\d.]+)\] \[depth\]: .*loaded in", text)
        if not (imported and loaded and self._first):
            raise SystemExit(f"the node did not start:\n{text}")
        return {
            "imports done": float(imported[1]) - start,
            "model loaded": float(loaded[1]) - start,
            "first depth received": self._first - start,
            "MiB resident": memory,
        }


def environment(checkout: Path) -> dict[str, str]:
    """Return the environment in which a checkout's package is the one imported."""
    return {**os.environ, "PYTHONPATH": str(checkout)}


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def time_steps(checkout: Path, backend: str, checkpoint: str) -> dict[str, float]:
    """Return the seconds of each step of loading, in a fresh interpreter."""
    command = [sys.executable, "-c", STEPS, backend, checkpoint]
    return json.loads(subprocess.check_output(command, env=environment(checkout), cwd=checkout))


def time_import(checkout: Path, names: str) -> dict[str, float]:
    """Return seconds and memory of an import in a fresh interpreter."""
    command = [sys.executable, "-c", IMPORT.format(names=names)]
    output = subprocess.check_output(command, env=environment(checkout), cwd=checkout)
    seconds, kilobytes = map(float, output.split())
    return {names: seconds, f"{names}, MiB": kilobytes / 1024}


def table(title: str, columns: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, a column for each case and the smallest and largest value beside them."""
    print(f"\n| {title} | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    names = list(dict.fromkeys(name for rounds in columns.values() for name in rounds[0]))
    for name in names:
        cells = []
        for rounds in columns.values():
            values = [one[name] for one in rounds]
            digits = 0 if "MiB" in name else 3
            low, middle, high = (f"{f(values):.{digits}f}" for f in (min, np.median, max))
            cells.append(f"{middle} ({low}–{high})")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run all rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backends", nargs="+", default=["openvino", "torch"])
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--against", type=Path, help="another checkout")
    arguments = parser.parse_args()

    from monodepth2_ros.demo.node_process import prepare_environment

    prepare_environment(os.environ)
    checkouts = {"": REPOSITORY}
    if arguments.against:
        checkouts["other: "] = arguments.against.resolve()
    cases = [(label, backend) for backend in arguments.backends for label in checkouts]
    nodes, steps, imports = defaultdict(list), defaultdict(list), defaultdict(list)
    robot = Robot()
    light = "monodepth2_ros, " + ", ".join(f"monodepth2_ros.{name}" for name in LIGHT)
    for number in range(arguments.rounds + 1):  # the first warms caches and is left out
        for label, backend in cases:
            column, checkout = f"{label}{backend}", checkouts[label]
            seconds = robot.time_node(checkout, backend, arguments.checkpoint)
            taken = time_steps(checkout, backend, arguments.checkpoint)
            if number:
                nodes[column].append(seconds)
                steps[column].append(taken)
        for label, checkout in checkouts.items():
            found = {
                **time_import(checkout, light),
                **time_import(checkout, "monodepth2_ros.node.depth_node"),
                **time_import(checkout, "monodepth2_ros.predictor"),
            }
            if number:
                imports[label or "seconds"].append(found)
    print(f"\n{arguments.rounds} rounds; medians, smallest and largest in brackets")
    table("seconds from the start of the process", nodes)
    table("steps of loading, seconds", steps)
    table("imports alone", imports)


if __name__ == "__main__":
    main()
