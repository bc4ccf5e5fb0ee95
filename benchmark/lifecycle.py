# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Take the node through its lifecycle many times and watch its memory.

    python benchmark/lifecycle.py --transitions 1000 --load 2

A cycle is configure, activate, one prediction, deactivate and cleanup: four transitions. Prints the
resident memory now and then, and at the end its growth over the second half: the median of the last
quarter of the cycles without that of the second quarter.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time

import numpy as np

BURN = "while True: pass"


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=1000)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--load", type=int, default=0, help="Processes that burn a core each.")
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(options.load)]
    try:
        run(options.transitions // 4, options.backend, options.checkpoint)
    finally:
        for burner in burners:
            burner.kill()


def run(cycles: int, backend: str, checkpoint: str) -> None:
    """Run the cycles in this process."""
    import rclpy
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    from monodepth2_ros.node.depth_node import DepthNode

    rclpy.init(args=["--ros-args", "--log-level", "warn"])
    names = {"backend": backend, "checkpoint": checkpoint, "device": "cpu"}
    overrides = [Parameter(name, value=value) for name, value in names.items()]
    node = DepthNode(parameter_overrides=overrides)
    rgb = np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)
    started = time.monotonic()
    memory = []
    for cycle in range(cycles):
        steps = (node.trigger_configure, node.trigger_activate)
        assert all(step() == TransitionCallbackReturn.SUCCESS for step in steps)
        # In a thread, as the node does it: each has memory of its own in the C library.
        worker = threading.Thread(target=node._predictor, args=(rgb,))
        worker.start()
        worker.join()
        steps = (node.trigger_deactivate, node.trigger_cleanup)
        assert all(step() == TransitionCallbackReturn.SUCCESS for step in steps)
        memory.append(resident())
        is_peak = cycle > 0 and memory[-1] > max(memory[:-1]) + 20.0
        if is_peak or cycle % max(1, cycles // 10) == 0:
            print(f"{4 * (cycle + 1):6d} transitions  {memory[-1]:7.1f} MiB", flush=True)
    # Medians of quarters: what a single cycle holds at its end swings by tens of MiB.
    quarter = max(1, len(memory) // 4)
    middle = memory[len(memory) // 2 - quarter : len(memory) // 2] or memory[:1]
    growth = float(np.median(memory[-quarter:]) - np.median(middle))
    seconds = time.monotonic() - started
    highest = int(np.argmax(memory))
    print(f"{4 * cycles} transitions in {seconds:.0f} s; second half: {growth:+.1f} MiB")
    around = "  ".join(f"{value:.0f}" for value in memory[max(0, highest - 3) : highest + 4])
    print(f"highest after transition {4 * (highest + 1)}; MiB of the cycles around it: {around}")
    node.destroy_node()
    rclpy.try_shutdown()


def resident() -> float:
    """Return this process's resident memory in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
