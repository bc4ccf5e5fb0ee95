# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say where the node's time goes, next to the compiled graph alone, in one run.

    python benchmark/stages.py --rounds 5
    python benchmark/stages.py --rounds 5 --checkpoint random --threads 0

In each round the same compiled graph runs in one process three times: with the machine for itself;
bare, next to a camera and a listener in processes of their own; and in the node, which serves these
two. Rates are compared within a round, as other programs may use the machine, too.

The processor's time (user and system) is read from the clocks of the threads, for each frame and
stage. Others on the machine lengthen it as well, as they take the caches, but less than the time
of the wall; the smallest tenth of the frames is near to what it is without them. With one thread
the network runs in the worker's; with more, its part of "other threads" is that of the bare graph.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

NODE_BENCHMARK = Path(__file__).resolve().parent / "node.py"

# Seconds until all have found each other, and until the first frames are through.
_DISCOVERY = 4.0
_WARM_UP = 1.0

# Timers fire so often a second, whatever the camera does; frames of this rate share them.
_NOMINAL_RATE = 30.0

TIMERS = "timers, services"
STAGES = ("decode", "rectify", "preprocess", "network", "outputs", "publish")

Samples = dict[str, list[float]]


def read_thread_clocks(stages: Samples, ahead: Ahead) -> None:
    """Let the node measure its stages by the threads' clocks, and keep them, in milliseconds.

    For nodes that are made afterwards. What is done for a frame ahead goes to `ahead`, as a whole.
    """
    from monodepth2_ros import pipeline
    from monodepth2_ros.node import frame_processor
    from monodepth2_ros.node.diagnostics import FrameStatistics

    clocks = SimpleNamespace(monotonic=time.thread_time, perf_counter=time.thread_time)
    frame_processor.time = pipeline.time = clocks

    def keep(_: FrameStatistics, seconds: dict[str, float]) -> None:
        for name in STAGES:
            stages[name].append(1e3 * seconds[name])

    FrameStatistics.add_latencies = keep

    # A frame that waits is prepared in the executor's thread, and that is no part of receiving.
    processor = frame_processor.FrameProcessor
    prepare_ahead, take_prepared = processor.prepare_ahead, processor._take_prepared

    def prepare(self: Any, frame: Any) -> None:
        started = time.thread_time()
        prepare_ahead(self, frame)
        ahead.took.append((frame.received, 1e3 * (time.thread_time() - started)))

    def take(self: Any, frame: Any) -> Any:
        taken = take_prepared(self, frame)
        if taken[1] is not None:
            ahead.used.add(frame.received)
        return taken

    processor.prepare_ahead, processor._take_prepared = prepare, take


def kind_of(entity: Any) -> str:
    """Return the topic of what the executor ran, or what else it was."""
    if hasattr(entity, "topic_name"):
        return entity.topic_name
    callback = getattr(getattr(entity, "callback", None), "__name__", "")
    return f"{TIMERS} {type(entity).__name__} {callback}"


class Ahead:
    """What was done for frames ahead: when each was received, and milliseconds; which were used."""

    def __init__(self) -> None:
        self.took: list[tuple[float, float]] = []
        self.used: set[float] = set()

    def forget(self) -> None:
        """Begin again."""
        self.took.clear()
        self.used.clear()

    def in_vain(self) -> float:
        """Return the milliseconds for frames that newer ones replaced."""
        return sum(took for received, took in self.took if received not in self.used)


class Machine:
    """The node in this process, and a camera and a listener in others.

    Parameters
    ----------
    arguments : argparse.Namespace
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        import rclpy

        from monodepth2_ros.node.depth_node import DepthNode
        from monodepth2_ros.node.guarded_executor import GuardedExecutor

        self._arguments = arguments
        self._stages: Samples = defaultdict(list)
        self._received: Samples = defaultdict(list)
        self._ahead = Ahead()
        read_thread_clocks(self._stages, self._ahead)
        given = ("checkpoint", "backend", "precision", "threads")
        parameters = [f"{name}:={getattr(arguments, name)}" for name in given]
        options = [word for one in parameters for word in ("-p", one)]
        rclpy.init(args=["--ros-args", *options])
        self._node = DepthNode()
        self._executor = GuardedExecutor(self._node.refuse)
        self._executor.add_node(self._node)
        self._node.trigger_configure()
        self._spinner = threading.Thread(target=self._spin, daemon=True)
        self._spinner.start()
        self._others: list[subprocess.Popen[str]] = []

    def _spin(self) -> None:
        """Spin, and keep what each callback takes, the waiting for it included."""
        while True:
            started, known = time.thread_time(), len(self._ahead.took)
            self._executor.spin_once()
            kind = kind_of(self._executor._running)
            took = 1e3 * (time.thread_time() - started)
            took -= sum(one for _, one in self._ahead.took[known:])
            self._received[kind].append(took)

    def start_others(self) -> None:
        """Start the camera and the listener."""
        options = [*("--rate", str(self._arguments.rate)), "--image-size", self._arguments.image]
        command = [sys.executable, str(NODE_BENCHMARK), *options, "--seconds", "1000"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._others = [
            subprocess.Popen([*command, "--role", role], **pipes) for role in ("camera", "listener")
        ]
        time.sleep(_DISCOVERY)

    def stop_others(self) -> None:
        """End the camera and the listener."""
        for process in self._others:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)

    def change(self, transition: Callable[[], Any]) -> None:
        """Make a transition of the node, in the thread that spins."""
        task = self._executor.create_task(transition)
        while not task.done():
            time.sleep(0.01)

    def run_graph(self) -> dict[str, Any]:
        """Run the graph as often as it goes; return its rate and milliseconds of a run."""
        predictor = self._node._predictor
        metadata = predictor.checkpoint.metadata
        shape = (metadata.height, metadata.width, 3)
        pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)

        def run(seconds: float) -> list[float]:
            marks = [time.process_time()]
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                predictor.backend.disparity(pixels)
                marks.append(time.process_time())
            return list(1e3 * np.diff(marks))

        run(_WARM_UP)
        started = time.perf_counter()
        took = run(self._arguments.seconds)
        return {"Hz": len(took) / (time.perf_counter() - started), "network": took}

    def run_node(self) -> dict[str, Any]:
        """Let the node serve the listener; return its rate and milliseconds of a frame."""
        self.change(self._node.trigger_activate)
        self._stages.clear()
        while not self._stages:
            time.sleep(0.05)
        time.sleep(_WARM_UP)
        finishers = [one for one in threading.enumerate() if one.name == "depth_finisher"]
        clocks = [
            time.pthread_getcpuclockid(thread.ident)
            for thread in (self._spinner, self._node._worker, *finishers)
        ]

        def processor_times() -> list[float]:
            return [time.process_time(), *map(time.clock_gettime, clocks)]

        self._stages.clear()
        self._received.clear()
        self._ahead.forget()
        started, before = time.perf_counter(), processor_times()
        time.sleep(self._arguments.seconds)
        seconds, after = time.perf_counter() - started, processor_times()
        stages, received = dict(self._stages), dict(self._received)
        in_vain, used = self._ahead.in_vain(), len(self._ahead.used)
        self.change(self._node.trigger_deactivate)
        frames = len(stages["network"])
        process, *threads = (1e3 * (b - a) / frames for a, b in zip(before, after, strict=True))
        return {
            "Hz": frames / seconds,
            "other threads": process - sum(threads),
            "stages": stages,
            "received": {name: values for name, values in received.items() if len(values) > 2},
            "images": len(received["/image"]) / frames,
            "in vain": in_vain / frames,
            "prepared ahead": used / frames,
        }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all rounds."""
    machine = Machine(arguments)
    rounds = []
    for _ in range(arguments.rounds):
        found = {"alone": machine.run_graph()}
        machine.start_others()
        try:
            found["bare"] = machine.run_graph()
            found["node"] = machine.run_node()
        finally:
            machine.stop_others()
        rounds.append(found)
    if arguments.out:
        arguments.out.write_text(json.dumps(rounds))
    return rounds


def report_rates(rounds: list[dict[str, Any]]) -> None:
    """Print rates: medians over the rounds, with the smallest and the largest."""

    def line(name: str, values: list[float], digits: int = 1) -> None:
        low, middle, high = (f"{f(values):.{digits}f}" for f in (min, np.median, max))
        print(f"| {name} | {middle} | {low} to {high} |")

    print("| | median | smallest to largest |\n|---|---|---|")
    for way, name in (
        ("alone", "the graph with the machine for itself"),
        ("bare", "the graph next to camera and listener"),
        ("node", "the node between camera and listener"),
    ):
        line(f"{name}, Hz", [one[way]["Hz"] for one in rounds])
    line("images received a frame", [one["node"]["images"] for one in rounds])
    shares = [100.0 * one["node"]["prepared ahead"] for one in rounds]
    line("frames prepared while the network was busy, %", shares, 0)
    for way in ("alone", "bare"):
        shares = [100.0 * one["node"]["Hz"] / one[way]["Hz"] for one in rounds]
        line(f"the node's rate, % of the graph's {way}", shares, 0)


def report_times(rounds: list[dict[str, Any]], one_thread: bool) -> None:
    """Print the processor's time for a frame, stage by stage."""
    figures = [("median", 50.0), ("smallest tenth", 10.0)]
    nodes = [one["node"] for one in rounds]
    seconds = sum(len(node["stages"]["network"]) / node["Hz"] for node in nodes)
    rows: dict[str, list[float]] = {}
    for where, names in (("received", nodes[0]["received"]), ("stages", STAGES)):
        for name in names:
            values = [value for node in nodes for value in node[where].get(name, [])]
            took = [float(np.percentile(values, q)) for _, q in figures]
            if where == "stages":
                rows[name] = took
            elif name.startswith(TIMERS):
                # Kinds differ by a factor of ten: each counts by itself.
                share = len(values) / seconds / _NOMINAL_RATE
                row = rows.setdefault(f"{TIMERS}, their share at {_NOMINAL_RATE:g} Hz", [0.0, 0.0])
                row[:] = [before + share * t for before, t in zip(row, took, strict=True)]
            else:
                rows[f"receive {name}"] = took
    bare = [value for one in rounds for value in one["bare"]["network"]]
    network = [float(np.percentile(bare, q)) for _, q in figures]
    if one_thread:
        # Most of it is for images, whether they become frames or not.
        others = [node["other threads"] / node["images"] for node in nodes]
        rows["DDS threads"] = [float(np.median(others)), min(others)]
    in_vain = [node["in vain"] for node in nodes]
    rows["prepared in vain, as another came"] = [float(np.median(in_vain)), min(in_vain)]
    own = [sum(values[i] for name, values in rows.items() if name != "network") for i in (0, 1)]
    print("\n| processor time of a frame, ms | " + " | ".join(name for name, _ in figures) + " |")
    print("|---|---|---|")
    rows = {"the bare graph": network, **rows, "**all but the network**": own}
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each of the three")
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, Hz")
    parser.add_argument("--image", default="640x480", metavar="WxH", help="size of its images")
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1, help="of the network; 0: all cores")
    parser.add_argument("--out", type=Path, help="a JSON file for all that was measured")
    arguments = parser.parse_args()

    from monodepth2_ros.demo.node_process import prepare_environment

    prepare_environment(os.environ)
    rounds = measure(arguments)
    report_rates(rounds)
    report_times(rounds, arguments.threads == 1)
    sys.stdout.flush()
    os._exit(0)  # an ordinary end would take ROS apart


if __name__ == "__main__":
    main()
