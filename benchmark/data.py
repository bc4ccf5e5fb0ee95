# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the way of the data: rendering, extraction, and loading from a warm frame store.

With --scale instead: how opening and loading grow with the number of frames. The larger stores are
the same few frames again and again in a file of its own, so that they take as much disk and page
cache as frames that differ. Cold means that the kernel was asked to forget the file before.

    python benchmark/data.py
    python benchmark/data.py --scale 1000 10000 100000 --width 192 --height 96
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.extraction.job import extract
from training.extraction.options import ExtractOptions
from training.frames.store import FrameStore
from training.frames.writer import FrameStoreWriter
from training.learning.dataset import Samples, epoch_order, find_samples, iterate_batches
from training.worlds.bag_writer import write_recording
from training.worlds.film import synthesize
from training.worlds.many_worlds import render_options
from training.worlds.options import SynthesisOptions
from training.worlds.take import camera_from_field_of_view


def frames_rendered(width: int, height: int, frames: int, workers: int) -> float:
    """Return frames a second, the start of the worker processes included."""
    camera = camera_from_field_of_view(width, height, 80)
    start = time.perf_counter()
    count = sum(1 for _ in synthesize(1, "street", camera, frames, workers=workers))
    return count / (time.perf_counter() - start)


def frames_extracted(bag: Path, out: Path, width: int, height: int) -> float:
    """Return frames a second of an extraction."""
    options = ExtractOptions(out, (bag,), width=width, height=height)
    start = time.perf_counter()
    return len(extract(options)) / (time.perf_counter() - start)


def samples_loaded(samples: Samples, batch: int, workers: int, epoch: int) -> float:
    """Load all samples once, shuffled; return samples a second."""
    order = epoch_order(len(samples), 0, epoch)
    chunks = [order[i : i + batch] for i in range(0, len(order), batch)]
    start = time.perf_counter()
    count = sum(len(loaded.images) for loaded in iterate_batches(samples, chunks, workers=workers))
    return count / (time.perf_counter() - start)


def repeated_store(path: Path, width: int, height: int, frames: int) -> None:
    """Write a store of a few hundred different frames, repeated in segments of a hundred."""
    generator = np.random.default_rng(0)
    some = generator.integers(0, 256, (200, height, width, 3), dtype=np.uint8)
    camera = camera_from_field_of_view(width, height, 80)
    with FrameStoreWriter(path, width, height) as writer:
        for index in range(frames):
            writer.append(some[index % len(some)], index * 100_000_000, 0, index // 100)
        writer.finish([camera])


def forget(store: FrameStore) -> None:
    """Ask the kernel to drop a store's images from the page cache."""
    with open(store.path / "images.u8", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report_scale(arguments: argparse.Namespace) -> None:
    """Print a table of stores of growing size."""
    print("| frames | GB | open ms | find samples ms | index MiB | warm samples/s | cold |")
    print("|---|---|---|---|---|---|---|")
    for frames in arguments.scale:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = Path(folder) / "store"
            repeated_store(path, arguments.width, arguments.height, frames)
            start = time.perf_counter()
            store = FrameStore.open(path)
            opened = time.perf_counter()
            samples = find_samples([store])
            found = time.perf_counter()
            index = (samples.frames.nbytes + samples.store.nbytes) / 2**20
            part = samples.select(epoch_order(len(samples), 0, 0)[: arguments.most])
            np.asarray(store.images[:: max(1, 4096 // store.images[0].nbytes)]).max()
            batch, workers = arguments.batch_size, arguments.workers
            warm = statistics.median(
                samples_loaded(part, batch, workers, epoch) for epoch in range(arguments.passes)
            )
            # Pages that are mapped stay: the store is opened again.
            del samples, part, store
            store = FrameStore.open(path)
            forget(store)
            samples = find_samples([store])
            part = samples.select(epoch_order(len(samples), 0, 0)[: arguments.most])
            cold = samples_loaded(part, batch, workers, 0)
            print(
                f"| {frames} | {1e-9 * store.images.nbytes:.2f} | {1e3 * (opened - start):.1f} | "
                f"{1e3 * (found - opened):.1f} | {index:.2f} | {warm:.0f} | {cold:.0f} |",
                flush=True,
            )


def main() -> None:
    """Render, extract, load; print frames or samples a second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2, help="processes or threads")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--passes", type=int, default=5, help="over each store")
    parser.add_argument("--scale", type=int, nargs="+", help="frames of stores to load instead")
    parser.add_argument("--width", type=int, default=192, help="with --scale")
    parser.add_argument("--height", type=int, default=96, help="with --scale")
    parser.add_argument("--most", type=int, default=20000, help="samples to load, with --scale")
    parser.add_argument("--folder", type=Path, help="where to write, with --scale")
    arguments = parser.parse_args()
    if arguments.scale:
        report_scale(arguments)
        return
    workers = arguments.workers
    for width, height in ((320, 96), (640, 192)):
        speed = frames_rendered(width, height, arguments.frames, workers)
        print(f"rendered {width}x{height}: {speed:.0f} frames/s, {workers} processes")
    with tempfile.TemporaryDirectory() as folder:
        for width, height in ((320, 96), (640, 192)):
            bag, out = Path(folder) / f"bag{width}", Path(folder) / f"store{width}"
            wanted = SynthesisOptions(bag, width=width, height=height, frames=arguments.frames)
            write_recording(bag, render_options(wanted, wanted.seed, workers))
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
