# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of many synthetic worlds at once, one for each seed (--worlds)."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from training.synthesize import render_options, start_worker
from training.worlds.bag_writer import write_recording

#: File beside the recordings that says what they were made with.
OPTIONS_FILE = "worlds.json"

#: What may differ from one call to the next over the same folder.
_FREE = ("out", "worlds", "seed", "workers", "force", "quiet")


def write_worlds(options: argparse.Namespace) -> tuple[int, int]:
    """Write one recording for each seed into a folder, named after the seed: world_00000.

    Recordings that are there are kept, so that an interrupted call
    can be repeated, and more worlds be added to a folder.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Returns
    -------
    made, kept : int
        Numbers of recordings.

    Raises
    ------
    ValueError
        If the folder holds recordings made with other options.
    """
    from tqdm import tqdm

    folder: Path = options.out
    check_options(folder, options)
    seeds = range(options.seed, options.seed + options.worlds)
    missing = [
        seed
        for seed in seeds
        if options.force or not (folder / world_name(seed) / "metadata.yaml").is_file()
    ]
    bar = tqdm(total=len(missing), unit="world", disable=options.quiet)
    if options.workers <= 1 or len(missing) <= 1:
        for seed in missing:
            write_world(options, seed)
            bar.update()
    else:
        context = multiprocessing.get_context("spawn")
        workers = min(options.workers, len(missing))
        with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
            try:
                for future in as_completed([pool.submit(write_world, options, s) for s in missing]):
                    future.result()
                    bar.update()
            except BaseException:
                # The worlds in work are finished, no others begun.
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    bar.close()
    return len(missing), options.worlds - len(missing)


def world_name(seed: int) -> str:
    """Name the recording of a seed."""
    return f"world_{seed:05d}"


def write_world(options: argparse.Namespace, seed: int) -> int:
    """Render and write the recording of one seed; returns the number of frames."""
    return write_recording(
        options.out / world_name(seed),
        render_options(options, seed, workers=1),
        options.storage,
        options.compressed,
        options.jpeg_quality,
        options.depth_encoding,
        options.force,
    )


def check_options(folder: Path, options: argparse.Namespace) -> None:
    """Note the options in a new folder; refuse to mix worlds made with others into an old one."""
    wanted = {name: value for name, value in sorted(vars(options).items()) if name not in _FREE}
    path = folder / OPTIONS_FILE
    if path.is_file() and not options.force:
        found: dict[str, Any] = json.loads(path.read_text())
        for name in sorted({*wanted, *found}):
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"the worlds in {folder} were made with --{name.replace('_', '-')} "
                    f"{found.get(name)}, not {wanted.get(name)}; give the same, another --out, or "
                    "--force to make them anew"
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(wanted, indent=2) + "\n")
    os.replace(unfinished, path)
