# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the node between a camera and a listener, each in its own process.

    python benchmark/node.py --seconds 20 --image-size 1280x720 --rate 30

A publisher sends images at the camera's rate, the node works, a subscriber takes depth and points.
Reported: latency from the image's stamp to receipt, output rate against what the network alone
allows, the node's stages, CPU and memory; then the packing of a cloud by itself.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
HEADER_TOPICS = ("depth/image_rect", "points")


def publish(arguments: argparse.Namespace) -> None:
    """Act as a camera until a signal comes."""
    import rclpy
    from sensor_msgs.msg import CameraInfo, Image

    width, height = arguments.image_size
    rclpy.init()
    node = rclpy.create_node("camera")
    images = node.create_publisher(Image, "image", rclpy.qos.qos_profile_sensor_data)
    infos = node.create_publisher(CameraInfo, "camera_info", rclpy.qos.qos_profile_sensor_data)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    payload = array.array("B", pixels.tobytes())
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    info.k = [float(width), 0.0, width / 2, 0.0, float(width), height / 2, 0.0, 0.0, 1.0]
    period = 1.0 / arguments.rate
    due = time.monotonic()
    try:
        while rclpy.ok():
            due += period
            time.sleep(max(0.0, due - time.monotonic()))
            image = Image(width=width, height=height, encoding="rgb8", step=3 * width)
            image.header.frame_id = "camera"
            image.header.stamp = node.get_clock().now().to_msg()
            image.data = payload
            info.header = image.header
            infos.publish(info)
            images.publish(image)
    except BaseException:  # the end of ROS, in the middle of anything
        return


def listen(arguments: argparse.Namespace) -> None:
    """Take outputs and diagnostics for a while and print what was seen as JSON."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image, PointCloud2

    rclpy.init()
    node = rclpy.create_node("listener")
    latencies: dict[str, list[float]] = {topic: [] for topic in HEADER_TOPICS}
    times: dict[str, list[float]] = {topic: [] for topic in HEADER_TOPICS}
    status: dict[str, str] = {}

    def receive(topic: str, message: Any) -> None:
        now = node.get_clock().now().nanoseconds
        stamp = message.header.stamp
        latencies[topic].append(1e-9 * (now - stamp.sec * 10**9 - stamp.nanosec))
        times[topic].append(time.monotonic())

    def diagnose(report: Any) -> None:
        status.update({item.key: item.value for item in report.status[0].values})

    for topic, kind in zip(HEADER_TOPICS, (Image, PointCloud2), strict=True):
        node.create_subscription(kind, topic, lambda m, topic=topic: receive(topic, m), 10)
    node.create_subscription(DiagnosticArray, "/diagnostics", diagnose, 10)
    while not times["points"]:
        rclpy.spin_once(node, timeout_sec=0.1)
    warm = time.monotonic() + 3.0
    while time.monotonic() < warm:
        rclpy.spin_once(node, timeout_sec=0.1)
    for values in (*latencies.values(), *times.values()):
        values.clear()
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({"latencies": latencies, "times": times, "status": status}))


def pack(rounds: int = 200) -> list[float]:
    """Time the filling of a PointCloud2 with 640×192 packed points."""
    from sensor_msgs.msg import PointCloud2, PointField

    from monodepth2_ros.conversions import Payload, fill_point_cloud

    points = np.random.default_rng(0).random((192, 640, 4), dtype=np.float32)
    payload = Payload()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        fill_point_cloud(PointCloud2(), points, PointField, payload)
        seconds.append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    return f"{1e3 * np.median(values):.1f} | {1e3 * np.percentile(values, 95):.1f}"


def measure(arguments: argparse.Namespace) -> None:
    """Run the three processes and print the tables."""
    import psutil

    from monodepth2_ros.node_process import prepare_environment

    prepare_environment(os.environ)
    own = [sys.executable, __file__, *sys.argv[1:]]
    parameters = {
        "checkpoint": arguments.checkpoint,
        "backend": arguments.backend,
        "device": arguments.device,
        "precision": arguments.precision,
    }
    command = [sys.executable, "-m", "monodepth2_ros.depth_node", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    node = subprocess.Popen(command, cwd=REPOSITORY)
    camera = subprocess.Popen([*own, "--role", "camera"])
    try:
        watched = psutil.Process(node.pid)
        listener = subprocess.Popen([*own, "--role", "listener"], stdout=subprocess.PIPE, text=True)
        # The processor time of the steady state, not of loading the model.
        time.sleep(12.0)
        before, started = watched.cpu_times(), time.monotonic()
        output, _ = listener.communicate(timeout=arguments.seconds + 120)
        after, ended = watched.cpu_times(), time.monotonic()
        memory = watched.memory_info().rss
    finally:
        for process in (camera, node):
            process.send_signal(signal.SIGINT)
            process.wait(20)
    result = json.loads(output.splitlines()[-1])
    status = result["status"]
    busy = (after.user + after.system - before.user - before.system) / (ended - started)
    network = float(status["network median (ms)"])
    work = float(status["total median (ms)"]) - float(status["wait median (ms)"])
    times = result["times"]["points"]
    rate = (len(times) - 1) / (times[-1] - times[0])
    width, height = arguments.image_size
    print(
        f"\n{status['backend']} on {status['device']}; images {width}x{height}, "
        f"{arguments.rate:g} Hz\n"
    )
    print("| | median ms | 95 % ms |\n|---|---|---|")
    for topic in HEADER_TOPICS:
        print(f"| stamp to receipt of {topic} | {spread(result['latencies'][topic])} |")
    for stage in ("wait", "decode", "rectify", "preprocess", "network", "outputs", "publish"):
        print(f"| {stage} | {status[f'{stage} median (ms)']} | {status[f'{stage} 95 % (ms)']} |")
    print(f"| filling a 640x192 cloud message | {spread(pack())} |")
    possible = min(arguments.rate, 1e3 / network)
    print(f"\nwork of the node beside the network: {work - network:.1f} ms")
    print(f"output {rate:.1f} Hz, {100 * rate / possible:.0f} % of what camera and network allow")
    print(f"dropped {status['frames dropped']} of {status['images received']} received")
    print(f"{100 * busy:.0f} % of a core, {memory / 2**20:.0f} MiB resident")


def main() -> None:
    """Play the role that is asked for."""

    def size(text: str) -> tuple[int, int]:
        width, height = map(int, text.split("x"))
        return width, height

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--image-size", type=size, default=(1280, 720), metavar="WxH")
    parser.add_argument("--checkpoint", default="random")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--role", choices=["camera", "listener"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    {"camera": publish, "listener": listen, None: measure}[arguments.role](arguments)


if __name__ == "__main__":
    main()
