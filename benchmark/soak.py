# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the node at a camera's rate with all outputs for a long time and watch its memory.

    python benchmark/soak.py --minutes 30 --rate 30

Starts the node in a process of its own, sends images and camera_info over DDS, listens to every
output, and prints once a minute: images sent, clouds received, the node's resident memory. At the
end: the slope of the memory after the first fifth of the time.
"""

from __future__ import annotations

import argparse
import array
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=30.0, help="Images per second.")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("parameters", nargs="*", help="NAME:=VALUE for the node.")
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    command = [sys.executable, "-m", "monodepth2_ros.node", "--ros-args"]
    for parameter in options.parameters:
        command += ["-p", parameter]
    node = subprocess.Popen(command)
    try:
        soak(node, options)
    finally:
        node.send_signal(signal.SIGINT)
        print(f"the node ended with status {node.wait(30)}")


def soak(node: subprocess.Popen[bytes], options: argparse.Namespace) -> None:
    """Send images and measure."""
    import rclpy
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    rclpy.init()
    camera = rclpy.create_node("soak")
    counts: Counter[str] = Counter()
    outputs = {
        "depth/image_rect": Image,
        "depth/camera_info": CameraInfo,
        "depth/image_color": Image,
        "color/image_rect": Image,
        "color/camera_info": CameraInfo,
        "points": PointCloud2,
    }

    def counted(topic: str) -> Callable[[object], None]:
        return lambda _: counts.update([topic])

    for topic, kind in outputs.items():
        camera.create_subscription(kind, topic, counted(topic), 10)
    images = camera.create_publisher(Image, "image", 1)
    infos = camera.create_publisher(CameraInfo, "camera_info", 1)
    width, height = options.width, options.height
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    image = Image(width=width, height=height, step=3 * width, encoding="bgr8")
    image.data = array.array("B", noise.tobytes())
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    info.k = [0.8 * width, 0.0, width / 2, 0.0, 0.8 * width, height / 2, 0.0, 0.0, 1.0]
    image.header.frame_id = info.header.frame_id = "camera_optical_frame"

    def send() -> None:
        stamp = camera.get_clock().now().to_msg()
        image.header.stamp = info.header.stamp = stamp
        infos.publish(info)
        images.publish(image)
        counts.update(["sent"])

    while not counts["points"] and node.poll() is None:  # until the node runs
        send()
        rclpy.spin_once(camera, timeout_sec=0.2)
    counts.clear()
    camera.create_timer(1.0 / options.rate, send)
    started = told = time.monotonic()
    samples = []
    while (now := time.monotonic()) - started < 60.0 * options.minutes and node.poll() is None:
        rclpy.spin_once(camera, timeout_sec=0.1)
        if now - told >= min(60.0, 6.0 * options.minutes):
            told = now
            samples.append(((now - started) / 60.0, resident(node.pid)))
            seen = ", ".join(f"{topic} {counts[topic]}" for topic in ("sent", *outputs))
            print(f"{samples[-1][0]:5.1f} min  {samples[-1][1]:7.1f} MiB  {seen}", flush=True)
    assert node.poll() is None, f"the node ended with status {node.returncode}"
    later = np.array(samples[len(samples) // 5 :])
    slope = np.polyfit(later[:, 0], later[:, 1], 1)[0] if len(later) > 2 else float("nan")
    print(f"memory: {slope:+.3f} MiB per minute after the first fifth")


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    with open(f"/proc/{process}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
