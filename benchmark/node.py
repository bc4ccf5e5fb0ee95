# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure the node between a camera and a listener, each in its own process.

    python benchmark/node.py --seconds 20 --image-size 1280x720 --rate 30
    python benchmark/node.py --image-size 640x480 1920x1080 3840x2160 --nodes 1 2 4
    python benchmark/node.py --image-size 640x480 --nodes 1 2 4 --one-process --checkpoint default

A publisher sends images at the camera's rate, the node works, a subscriber takes depth and points.
Reported: latency from the image's stamp to receipt, output rate against that of the network alone
(timed before, in a process of its own), the node's stages, CPU and memory; then the packing of a
cloud by itself. Of several sizes or numbers of nodes, each node with a camera and a listener of its
own: a table. With `--one-process` each number of nodes is followed by one node for as many cameras.
The processor's time for a frame, user and system, is that of the nodes; "own" is without that of
the network alone. It depends less than rates on what else the machine does.
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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
HEADER_TOPICS = ("depth/image_rect", "points")


def publish(arguments: argparse.Namespace) -> None:
    """Act as a camera until a signal comes; print how many images were sent in how long."""
    import rclpy
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    width, height = arguments.image_size[0]
    compressed = arguments.transport == "compressed"
    rclpy.init()
    node = rclpy.create_node("camera", namespace=arguments.namespace)
    sensor = rclpy.qos.qos_profile_sensor_data
    kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
    images = node.create_publisher(kind, topic, sensor)
    infos = node.create_publisher(CameraInfo, "camera_info", sensor)
    payload = make_payload(width, height, compressed)
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    info.k = [float(width), 0.0, width / 2, 0.0, float(width), height / 2, 0.0, 0.0, 1.0]
    sent, started = 0, time.monotonic()
    due = started
    try:
        while rclpy.ok():
            # A camera drops what it cannot send in time, it does not catch up.
            due = max(due + 1.0 / arguments.rate, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            image = kind(format="jpeg") if compressed else Image(encoding="rgb8", step=3 * width)
            if not compressed:
                image.width, image.height = width, height
            image.header.frame_id = "camera"
            image.header.stamp = node.get_clock().now().to_msg()
            image.data = payload
            info.header = image.header
            infos.publish(info)
            images.publish(image)
            sent += 1
    except BaseException:  # the end of ROS, in the middle of anything
        pass
    print(json.dumps({"rate": sent / (time.monotonic() - started), "bytes": len(payload)}))


def make_payload(width: int, height: int, compressed: bool) -> array.array[int]:
    """Return an image's bytes: waves and some noise, which JPEG finds about as hard as a scene."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 90 * np.sin(x / 37 + y / 53) * np.cos(y / 29 - x / 71)
    pixels = waves[..., None] + rng.integers(-8, 8, (height, width, 3))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if not compressed:
        return array.array("B", pixels.tobytes())
    import cv2

    return array.array("B", cv2.imencode(".jpg", pixels)[1].tobytes())


def listen(arguments: argparse.Namespace) -> None:
    """Take outputs and diagnostics for a while and print what was seen as JSON."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image, PointCloud2

    rclpy.init()
    node = rclpy.create_node("listener", namespace=arguments.namespace)
    latencies: dict[str, list[float]] = {topic: [] for topic in HEADER_TOPICS}
    times: dict[str, list[float]] = {topic: [] for topic in HEADER_TOPICS}
    status: dict[str, str] = {}

    def receive(topic: str, message: Any) -> None:
        now = node.get_clock().now().nanoseconds
        stamp = message.header.stamp
        latencies[topic].append(1e-9 * (now - stamp.sec * 10**9 - stamp.nanosec))
        times[topic].append(time.monotonic())

    def diagnose(report: Any) -> None:
        space = arguments.namespace.lstrip("/")
        names = (f"{space}/depth: depth".lstrip("/"), f"depth: {space}")
        for one in report.status:
            if one.name in names:  # of a node of its own, or of one for all cameras
                status.update({item.key: item.value for item in one.values})

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
    print("begin", flush=True)
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    print(json.dumps({"latencies": latencies, "times": times, "status": status}))


def pack(rounds: int = 200) -> list[float]:
    """Time the serialization of a PointCloud2 with 640×192 packed points."""
    from std_msgs.msg import Header

    from monodepth2_ros.cdr import cloud_bytes

    points = np.random.default_rng(0).random((192, 640, 4), dtype=np.float32)
    header = Header(frame_id="camera")
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        cloud_bytes(header, points)
        seconds.append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    return f"{1e3 * np.median(values):.1f} | {1e3 * np.percentile(values, 95):.1f}"


def time_network(arguments: argparse.Namespace) -> None:
    """Time the network alone, with the settings of the node, and print its rate as JSON."""
    from monodepth2_ros.predictor import DepthPredictor

    predictor = DepthPredictor(
        arguments.checkpoint,
        backend=arguments.backend,
        device=arguments.device,
        precision=arguments.precision,
        threads=arguments.threads,
    )
    metadata, backend = predictor.checkpoint.metadata, predictor.backend
    image: Any = np.zeros((metadata.height, metadata.width, 3), np.uint8)
    if backend.device.type == "cuda":
        import torch

        image = torch.from_numpy(image).to(str(backend.device))
    for _ in range(5):
        backend.disparity(image)
    count, started, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < 4.0:
        disparity = backend.disparity(image)
        if backend.device.type == "cuda":
            disparity.cpu()
        count += 1
    seconds = time.perf_counter() - started
    print(json.dumps({"rate": count / seconds, "busy": (time.process_time() - busy) / count}))


@dataclass(frozen=True)
class Run:
    """What was seen of one arrangement; lists have one entry for each camera, or each node."""

    arrangement: str
    size: tuple[int, int]
    sent: list[float]
    message_bytes: int
    listened: list[dict[str, Any]]
    busy: list[float]
    camera_busy: list[float]
    memory: list[float]
    shared_memory: float

    def rates(self) -> list[float]:
        """Return the rate of clouds of each node."""
        times = [one["times"]["points"] for one in self.listened]
        return [(len(t) - 1) / (t[-1] - t[0]) for t in times]

    def milliseconds(self, stage: str, which: str = "median") -> float:
        """Return a stage's latency by the nodes' own account, the mean over the nodes."""
        return float(
            np.mean([float(one["status"][f"{stage} {which} (ms)"]) for one in self.listened])
        )

    def busy_a_frame(self) -> float:
        """Return the nodes' processor time for a frame, in seconds."""
        return sum(self.busy) / sum(self.rates())

    def latencies(self, topic: str) -> list[float]:
        """Return seconds from the image's stamp to the receipt of an output, of all nodes."""
        return [value for one in self.listened for value in one["latencies"][topic]]

    def received(self) -> float:
        """Return the share of the images sent that the nodes have got."""
        pairs = zip(self.listened, self.sent, strict=True)
        shares = [float(one["status"]["input rate (Hz)"]) / sent for one, sent in pairs]
        return float(np.mean(shares))


def shared_memory_used() -> float:
    """Return MiB in use in /dev/shm."""
    found = os.statvfs("/dev/shm")
    return (found.f_blocks - found.f_bfree) * found.f_frsize / 2**20


def measure(
    arguments: argparse.Namespace, size: tuple[int, int], count: int, one_node: bool = False
) -> Run:
    """Run `count` cameras and listeners, each in a process, and a node for each or one for all."""
    import psutil

    own = [sys.executable, __file__, *sys.argv[1:], "--image-size", f"{size[0]}x{size[1]}"]
    parameters = {
        "checkpoint": arguments.checkpoint,
        "backend": arguments.backend,
        "device": arguments.device,
        "precision": arguments.precision,
        "threads": arguments.threads,
        "image_transport": arguments.transport,
    }
    command = [sys.executable, "-m", "monodepth2_ros.node", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    spaces = ["" if count == 1 and not one_node else f"/camera{i}" for i in range(count)]
    if one_node:
        names = ",".join(space.lstrip("/") for space in spaces)
        command += ["-p", f"cameras:=[{names}]"]
    shared_before = shared_memory_used()
    pipe = {"stdout": subprocess.PIPE, "text": True}
    nodes, cameras, listeners = [], [], []
    try:
        for space in spaces:
            there = ["-r", f"__ns:={space}"] if space and not one_node else []
            if not (one_node and nodes):
                nodes.append(subprocess.Popen([*command, *there], cwd=REPOSITORY))
            role = [*own, "--namespace", space, "--role"]
            cameras.append(subprocess.Popen([*role, "camera"], **pipe))
            listeners.append(subprocess.Popen([*role, "listener"], **pipe))
        watched = [psutil.Process(process.pid) for process in (*nodes, *cameras)]
        # The processor time while all listen, neither before nor after.
        for listener in listeners:
            listener.stdout.readline()
        before, started = [one.cpu_times() for one in watched], time.monotonic()
        time.sleep(0.7 * arguments.seconds)
        after, ended = [one.cpu_times() for one in watched], time.monotonic()
        shared = shared_memory_used() - shared_before
        memory = [one.memory_info().rss / 2**20 for one in watched[: len(nodes)]]
        outputs = [one.communicate(timeout=arguments.seconds + 120)[0] for one in listeners]
    finally:
        for process in (*listeners, *cameras, *nodes):
            process.send_signal(signal.SIGINT)
        sent = [json.loads(camera.communicate(timeout=20)[0]) for camera in cameras]
        for process in (*listeners, *nodes):
            process.wait(20)
    pairs = zip(before, after, strict=True)
    busy = [(b.user + b.system - a.user - a.system) / (ended - started) for a, b in pairs]
    return Run(
        arrangement="one node" if one_node else f"{count} node{'s' if count > 1 else ''}",
        size=size,
        sent=[one["rate"] for one in sent],
        message_bytes=sent[0]["bytes"],
        listened=[json.loads(output.splitlines()[-1]) for output in outputs],
        busy=busy[: len(nodes)],
        camera_busy=busy[len(nodes) :],
        memory=memory,
        shared_memory=shared,
    )


STAGES = ("wait", "decode", "rectify", "preprocess", "network", "outputs", "publish")


def report(run: Run, arguments: argparse.Namespace, alone: dict[str, float]) -> None:
    """Print all that is known of one node."""
    status = run.listened[0]["status"]
    work = run.milliseconds("total") - run.milliseconds("wait") - run.milliseconds("network")
    bare = alone["rate"]
    width, height = run.size
    print(
        f"\n{status['backend']} on {status['device']}; {arguments.transport} images of {width}x"
        f"{height}, {arguments.rate:g} Hz\n"
    )
    print("| | median ms | 95 % ms |\n|---|---|---|")
    for topic in HEADER_TOPICS:
        print(f"| stamp to receipt of {topic} | {spread(run.latencies(topic))} |")
    for stage in STAGES:
        high = run.milliseconds(stage, "95 %")
        print(f"| {stage} | {run.milliseconds(stage):.2f} | {high:.2f} |")
    print(f"| filling a 640x192 cloud message | {spread(pack())} |")
    possible = min(arguments.rate, bare)
    rate = run.rates()[0]
    print(f"\nwork of the node in addition to the network: {work:.1f} ms")
    print(
        f"output {rate:.1f} Hz; the network alone: {bare:.1f} Hz; "
        f"{100 * rate / possible:.0f} % of what it and the camera allow"
    )
    print(f"received {100 * run.received():.0f} % of {run.sent[0]:.1f} images sent a second")
    print(f"{100 * run.busy[0]:.0f} % of a core, {run.memory[0]:.0f} MiB resident")
    busy, own = 1e3 * run.busy_a_frame(), 1e3 * (run.busy_a_frame() - alone["busy"])
    print(f"{busy:.1f} ms of processor time a frame, {own:.1f} without the network")


def table(runs: Iterable[Run], arguments: argparse.Namespace, alone: dict[str, float]) -> None:
    """Print a line for each arrangement, as soon as it is measured."""
    columns = ["images", "MB each", "cameras", "served by", "sent Hz", "received", "output Hz"]
    columns += ["depth after ms", *STAGES, "CPU ms a frame", "own", "% core, camera"]
    columns += ["MiB, all nodes", "MiB shm"]
    print(
        f"\n{arguments.transport}, {arguments.rate:g} Hz; "
        f"the network alone: {alone['rate']:.1f} Hz, "
        f"{1e3 * alone['busy']:.1f} ms of processor time\n"
    )
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    for run in runs:
        cells = [
            f"{run.size[0]}×{run.size[1]}",
            f"{1e-6 * run.message_bytes:.1f}",
            str(len(run.listened)),
            run.arrangement,
            f"{np.mean(run.sent):.1f}",
            f"{100 * run.received():.0f} %",
            f"{np.mean(run.rates()):.2f}",
            spread(run.latencies("depth/image_rect")).replace(" | ", " / "),
            *(f"{run.milliseconds(stage):.1f}" for stage in STAGES),
            f"{1e3 * run.busy_a_frame():.1f}",
            f"{1e3 * (run.busy_a_frame() - alone['busy']):.1f}",
            f"{100 * np.mean(run.camera_busy):.0f}",
            f"{sum(run.memory):.0f}",
            f"{run.shared_memory:.0f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def compare(arguments: argparse.Namespace) -> None:
    """Measure every arrangement that is asked for."""
    from monodepth2_ros.demo.node_process import prepare_environment

    prepare_environment(os.environ)
    own = [sys.executable, __file__, *sys.argv[1:], "--role", "network"]
    alone = json.loads(subprocess.check_output(own, text=True).splitlines()[-1])
    cases = [
        (size, count, one_node)
        for size in arguments.image_size
        for count in arguments.nodes
        for one_node in ([False, True] if arguments.one_process else [False])
    ] * arguments.rounds
    runs = (measure(arguments, *case) for case in cases)
    if len(cases) == 1 and arguments.nodes == [1]:
        report(next(runs), arguments, alone)
    else:
        table(runs, arguments, alone)


def main() -> None:
    """Play the role that is asked for."""

    def size(text: str) -> tuple[int, int]:
        width, height = map(int, text.split("x"))
        return width, height

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--image-size", type=size, nargs="+", default=[(1280, 720)], metavar="WxH")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1])
    parser.add_argument("--one-process", action="store_true", help="also one node for all cameras")
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure all of it")
    parser.add_argument("--transport", choices=["raw", "compressed"], default="raw")
    parser.add_argument("--checkpoint", default="random")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="of the network; 0: all cores")
    parser.add_argument("--namespace", default="", help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=["camera", "listener", "network"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    roles = {"camera": publish, "listener": listen, "network": time_network, None: compare}
    roles[arguments.role](arguments)


if __name__ == "__main__":
    main()
