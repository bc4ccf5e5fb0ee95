# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Send a signal to a starting node at swept moments, and see how it ends.

    python benchmark/signals.py --count 40 --longest 3

Prints for every moment the signal, the exit status and the seconds until the end. Status 0 without
a traceback is right; a signal before Python runs the program ends it as it ends any program, which
is counted apart. The exit status is 1 if there is anything else.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--shortest", type=float, default=0.0, help="seconds after the start")
    parser.add_argument("--longest", type=float, default=3.0, help="seconds after the start")
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    outcomes: Counter[str] = Counter()
    span = options.longest - options.shortest
    for index in range(options.count):
        delay = options.shortest + span * index / max(1, options.count - 1)
        number = (signal.SIGINT, signal.SIGTERM)[index % 2]
        outcome, seconds = end_after(delay, number)
        outcomes[outcome] += 1
        print(f"{delay:6.3f} s  {number.name}: {outcome} after {seconds:.2f} s", flush=True)
    for outcome, count in outcomes.most_common():
        print(f"{count:5d}  {outcome}")
    return 0 if set(outcomes) <= {"status 0", "before the program ran"} else 1


def end_after(delay: float, number: signal.Signals) -> tuple[str, float]:
    """Start a node, send a signal after a time, and describe its end.

    Returns
    -------
    str
        Status 0, or what was wrong.
    float
        Seconds from the signal to the end.
    """
    command = [sys.executable, "-m", "monodepth2_ros.node"]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(delay)
    node.send_signal(number)
    begin = time.monotonic()
    try:
        _, said = node.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        node.kill()
        node.communicate()
        return "no end within 60 s", 60.0
    seconds = time.monotonic() - begin
    if node.returncode == -number:  # the handlers did not stand yet
        return "before the program ran", seconds
    if "Traceback" in said:
        print(said, file=sys.stderr)
        return "a traceback", seconds
    return f"status {node.returncode}", seconds


if __name__ == "__main__":
    sys.exit(main())
