# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the way of the data: rendering, extraction, and loading from a warm frame store.

python benchmark/data.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.dataset import Samples, epoch_order, find_samples, iterate_batches
from training.frame_store import FrameStore
from training.synthetic import camera_from_field_of_view, synthesize


def frames_rendered(width: int, height: int, frames: int, workers: int) -> float:
    """Return frames a second, the start of the worker processes included."""
    camera = camera_from_field_of_view(width, height, 80)
    start = time.perf_counter()
    count = sum(1 for _ in synthesize(1, "street", camera, frames, workers=workers))
    return count / (time.perf_counter() - start)


def frames_extracted(bag: Path, out: Path, width: int, height: int) -> float:
    """Return frames a second of ``depth_extract``, the program's start included."""
    command = [sys.executable, "-m", "training.extract", str(bag), "--out", str(out)]
    command += ["--width", str(width), "--height", str(height)]
    start = time.perf_counter()
    root = Path(__file__).resolve().parents[1]
    subprocess.run(command, check=True, capture_output=True, cwd=root)
    return len(FrameStore.open(out)) / (time.perf_counter() - start)


def samples_loaded(samples: Samples, batch: int, workers: int, epoch: int) -> float:
    """Load all samples once, shuffled; return samples a second."""
    order = epoch_order(len(samples), 0, epoch)
    chunks = [order[i : i + batch] for i in range(0, len(order), batch)]
    start = time.perf_counter()
    count = sum(len(loaded.images) for loaded in iterate_batches(samples, chunks, workers=workers))
    return count / (time.perf_counter() - start)


def main() -> None:
    """Render, extract, load; print frames or samples a second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2, help="processes or threads")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--passes", type=int, default=5, help="over each store")
    arguments = parser.parse_args()
    workers = arguments.workers
    for width, height in ((320, 96), (640, 192)):
        speed = frames_rendered(width, height, arguments.frames, workers)
        print(f"rendered {width}x{height}: {speed:.0f} frames/s, {workers} processes")
    with tempfile.TemporaryDirectory() as folder:
        for width, height in ((320, 96), (640, 192)):
            bag, out = Path(folder) / f"bag{width}", Path(folder) / f"store{width}"
            command = [sys.executable, "-m", "training.synthetic", "--out", str(bag), "--quiet"]
            command += ["--width", str(width), "--height", str(height)]
            command += ["--frames", str(arguments.frames)]
            subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[1])
            speed = frames_extracted(bag, out, width, height)
            print(f"extracted {width}x{height} with truth and poses: {speed:.0f} frames/s")
            store = FrameStore.open(out)
            np.asarray(store.images).sum()  # into the page cache
            samples = find_samples([store])
            speeds = [
                samples_loaded(samples, arguments.batch_size, workers, epoch)
                for epoch in range(arguments.passes)
            ]
            print(
                f"loaded {width}x{height}, 3 frames a sample: {statistics.median(speeds):.0f} "
                f"samples/s, {workers} threads"
            )


if __name__ == "__main__":
    main()
