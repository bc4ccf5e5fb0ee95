# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time training in one process and in several, at the same batch over all of them.

Each way trains twice, for a few steps and for more; the difference of the two is free of what the
start and the end of a program take.

    python benchmark/processes.py --counts 1 2 --cores 2
    python benchmark/processes.py --counts 1 2 4 8 --device cuda --batch-size 96
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.frames.writer import write_frame_store
from training.worlds.take import camera_from_field_of_view

ROOT = Path(__file__).resolve().parents[1]


def seconds(count: int, threads: int, out: Path, options: Sequence[str]) -> float:
    """Train in some processes; return how long the program took."""
    start = [sys.executable]
    if count > 1:
        start += ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--standalone"]
    start += ["-m", "training.train", "--out", str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    begin = time.perf_counter()
    subprocess.run(start, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2], help="processes")
    parser.add_argument("--cores", type=int, default=2, help="CPU threads over all processes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=12, help="over all processes")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--steps", type=int, nargs=2, default=[4, 16], help="few and more")
    arguments = parser.parse_args()
    few, more = arguments.steps
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        shape = (200, arguments.height, arguments.width, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        camera = camera_from_field_of_view(arguments.width, arguments.height, 80)
        write_frame_store(store, images, [camera])
        options = ["--data", str(store), "--init", "none", "--no-tensorboard"]
        options += ["--device", arguments.device, "--batch-size", str(arguments.batch_size)]
        options += ["--validation-fraction", "0", "--recipe", "published", "--pose", "separate"]
        print("| processes | threads of each | samples/s | ratio |\n|---|---|---|---|")
        first = 0.0
        for count in arguments.counts:
            threads = max(1, arguments.cores // count)
            took = []
            for steps in (few, more):
                out = Path(folder) / f"{count}x{steps}"
                took.append(seconds(count, threads, out, [*options, "--steps", str(steps)]))
            speed = (more - few) * arguments.batch_size / (took[1] - took[0])
            first = first or speed
            print(f"| {count} | {threads} | {speed:.2f} | {speed / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
