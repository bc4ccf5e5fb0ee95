# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure how long the node takes from the start of its process to the first depth.

    python benchmark/startup.py --rounds 7
    python benchmark/startup.py --rounds 7 --against ../another_checkout

A camera and a listener run already; the node is started with each backend in turns, with a warm
OpenVINO cache, with `--cold` an empty one. Then come the imports alone and, with `--steps`, the
steps of loading, each in a fresh interpreter. A bare node of rclpy, which does nothing, is looked
for in the same way: no node is discovered sooner. Next to seconds of the wall stands the
processor's time, user and system, of the node's process until then: other programs lengthen it
less. `--against` does all of it with another checkout too, in turns. `--size 640x192` takes random
weights for images of that size.
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
    "node.diagnostics",
)

NODE = """
try:
    from monodepth2_ros.node.__main__ import main
except ImportError:  # an older checkout
    from monodepth2_ros.node.depth_node import main
main()
"""

BARE = "import rclpy; rclpy.init(); rclpy.spin(rclpy.create_node('bare'))"

STEPS = """
import json, sys, time
marks = [("", time.perf_counter())]
def mark(name):
    marks.append((name, time.perf_counter()))
import cv2, numpy, rclpy, sensor_msgs.msg
mark("import numpy, cv2, rclpy")
from monodepth2_ros.backends import create_backend
from monodepth2_ros.checkpoint import open_checkpoint
from monodepth2_ros.predictor import DepthPredictor
mark("import monodepth2_ros")
if sys.argv[1] == "openvino":
    import openvino
else:
    import torch
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
start, busy = time.perf_counter(), time.process_time()
import {names}
seconds = time.perf_counter() - start
import resource
print(seconds, time.process_time() - busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Robot:
    """A camera of 30 Hz and a listener to depth, in this process."""

    def __init__(self, device: str) -> None:
        import rclpy
        from sensor_msgs.msg import CameraInfo, Image

        rclpy.init()
        self.device = device
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

    def time_bare(self) -> dict[str, float]:
        """Start a bare node of rclpy; return the seconds until it is discovered."""
        start = time.time()
        node = subprocess.Popen([sys.executable, "-c", BARE], stderr=subprocess.DEVNULL)
        while "bare" not in self._node.get_node_names() and time.time() < start + PATIENCE:
            self._rclpy.spin_once(self._node, timeout_sec=0.01)
        discovered, busy = time.time(), processor_time(node.pid)
        node.send_signal(signal.SIGINT)
        node.wait(30)
        return {
            "node discovered": discovered - start,
            "processor time until discovered": busy,
        }

    def time_node(
        self, checkout: Path, backend: str, checkpoint: str, cache: str
    ) -> dict[str, float]:
        """Start a node, end it after its first depth, and return seconds since the start."""
        self._first = 0.0
        command = [sys.executable, "-c", NODE, "--ros-args", "-p", f"backend:={backend}"]
        command += ["-p", f"device:={self.device}", "-p", f"checkpoint:={checkpoint}"]
        command += ["-p", f"cache_dir:={cache}"]
        discovered = busy_until_discovered = 0.0
        with tempfile.TemporaryFile("w+") as log:
            start = time.time()
            node = subprocess.Popen(
                command, env=environment(checkout), cwd=checkout, stdout=log, stderr=log
            )
            while not self._first and node.poll() is None and time.time() < start + PATIENCE:
                self._rclpy.spin_once(self._node, timeout_sec=0.01)
                if not discovered and "depth" in self._node.get_node_names():
                    discovered, busy_until_discovered = time.time(), processor_time(node.pid)
            busy = processor_time(node.pid)
            memory = resident(node.pid) if node.poll() is None else 0.0
            node.send_signal(signal.SIGINT)
            node.wait(30)
            while self._node.count_publishers("depth/image_rect"):
                self._rclpy.spin_once(self._node, timeout_sec=0.02)
            log.seek(0)
            text = log.read()
        loaded = re.search(r"\[([\d.]+)\] \[depth\]: .*loaded in", text)
        if not (loaded and self._first):
            raise SystemExit(f"the node did not start:\n{text}")
        return {
            "node discovered": (discovered or self._first) - start,
            "model loaded": float(loaded[1]) - start,
            "first depth received": self._first - start,
            "processor time until discovered": busy_until_discovered or busy,
            "processor time until the first depth": busy,
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


def processor_time(process: int) -> float:
    """Return the processor's time of a process, user and system, in seconds; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_random(path: Path, size: str) -> str:
    """Write a checkpoint with random weights and return its path."""
    from monodepth2_ros.checkpoint import random_checkpoint, save_checkpoint

    width, height = map(int, size.split("x"))
    checkpoint = random_checkpoint(18, width, height)
    save_checkpoint(path, checkpoint.metadata, checkpoint.state)
    return str(path)


def time_steps(checkout: Path, backend: str, checkpoint: str) -> dict[str, float]:
    """Return the seconds of each step of loading, in a fresh interpreter."""
    command = [sys.executable, "-c", STEPS, backend, checkpoint]
    return json.loads(subprocess.check_output(command, env=environment(checkout), cwd=checkout))


def time_import(checkout: Path, names: str) -> dict[str, float]:
    """Return seconds and memory of an import in a fresh interpreter."""
    command = [sys.executable, "-c", IMPORT.format(names=names)]
    output = subprocess.check_output(command, env=environment(checkout), cwd=checkout)
    seconds, busy, kilobytes = map(float, output.split())
    name = names.removeprefix("monodepth2_ros.").partition(",")[0] + ("," in names) * " and others"
    return {name: seconds, f"{name}, processor time": busy, f"{name}, MiB": kilobytes / 1024}


def table(title: str, columns: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, a column for each case and the smallest and largest value next to them."""
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
    parser.add_argument("--device", default="cpu", help="cpu or cuda, of the node")
    parser.add_argument("--size", metavar="WxH", help="random weights of this size")
    parser.add_argument("--cold", action="store_true", help="start with an empty cache")
    parser.add_argument("--steps", action="store_true", help="also the steps of loading")
    parser.add_argument("--against", type=Path, help="another checkout")
    arguments = parser.parse_args()

    from monodepth2_ros.demo.node_process import prepare_environment

    prepare_environment(os.environ)
    folder = tempfile.TemporaryDirectory(prefix="startup.")
    checkpoint = arguments.checkpoint
    if arguments.size:
        checkpoint = write_random(Path(folder.name) / "random.safetensors", arguments.size)
    checkouts = {"": REPOSITORY}
    if arguments.against:
        checkouts["other: "] = arguments.against.resolve()
    cases = [(label, backend) for backend in arguments.backends for label in checkouts]
    nodes, steps, imports = defaultdict(list), defaultdict(list), defaultdict(list)
    bare = []
    robot = Robot(arguments.device)
    light = ", ".join(f"monodepth2_ros.{name}" for name in LIGHT)
    for number in range(arguments.rounds + 1):  # the first warms caches and is left out
        for label, backend in cases:
            column, checkout = f"{label}{backend}", checkouts[label]
            cache = (
                Path(folder.name) / f"cache{number * arguments.cold}{cases.index((label, backend))}"
            )
            seconds = robot.time_node(checkout, backend, checkpoint, str(cache))
            if number:
                nodes[column].append(seconds)
            if arguments.steps:
                taken = time_steps(checkout, backend, checkpoint)
                if number:
                    steps[column].append(taken)
        bare_seconds = robot.time_bare()
        if number:
            bare.append(bare_seconds)
        for label, checkout in checkouts.items():
            found = {
                **time_import(checkout, light),
                **time_import(checkout, "monodepth2_ros.node"),
                **time_import(checkout, "monodepth2_ros.node.depth_node"),
                **time_import(checkout, "rclpy"),
                **time_import(checkout, "monodepth2_ros.predictor"),
            }
            if number:
                imports[label or "seconds"].append(found)
    print(f"\n{arguments.rounds} rounds; medians, smallest and largest in brackets")
    table("seconds from the start of the process", nodes)
    table("a bare node of rclpy", {"seconds from the start of the process": bare})
    if steps:
        table("steps of loading, seconds", steps)
    table("imports alone", imports)


if __name__ == "__main__":
    main()
