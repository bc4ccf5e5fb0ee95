# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of many synthetic worlds, one for each seed: ``depth_synthesize --worlds``."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from monodepth2_ros.atomic_files import write_atomically
from training.worlds.bag_writer import write_recording
from training.worlds.film import SyntheticFrame, interrupts_held_back, start_worker, synthesize
from training.worlds.odometry import OdometryRecorder
from training.worlds.options import SynthesisOptions
from training.worlds.take import complete

#: File next to the recordings that says what they were made with.
OPTIONS_FILE = "worlds.json"

#: What may differ from one call to the next over the same folder.
_FREE = ("out", "worlds", "seed", "workers", "force", "quiet")


def write_worlds(
    options: SynthesisOptions, progress: Callable[[int, int], object] | None = None
) -> tuple[int, int]:
    """Write one recording for each seed into a folder, named after the seed: world_00000.

    Recordings that are there are kept, so that an interrupted call
    can be repeated, and more worlds be added to a folder.

    Parameters
    ----------
    options : SynthesisOptions
    progress : callable, optional
        Called with the numbers of recordings made so far and to be made.

    Returns
    -------
    made, kept : int
        Numbers of recordings.

    Raises
    ------
    ValueError
        If the folder holds recordings made with other options.
    """
    folder: Path = options.out
    pin_options(folder, options)
    count = options.worlds or 0
    seeds = range(options.seed, options.seed + count)
    missing = [
        seed
        for seed in seeds
        if options.force or not (folder / world_name(seed) / "metadata.yaml").is_file()
    ]
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(missing))

    if options.workers <= 1 or len(missing) <= 1:
        for seed in missing:
            write_world(options, seed)
            advance()
    else:
        context = multiprocessing.get_context("spawn")
        workers = min(options.workers, len(missing))
        with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
            try:
                with interrupts_held_back():
                    futures = [pool.submit(write_world, options, seed) for seed in missing]
                for future in as_completed(futures):
                    future.result()
                    advance()
            except BaseException:
                # The worlds in work are finished, no others begun.
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return len(missing), count - len(missing)


def render_options(options: SynthesisOptions, seed: int, workers: int) -> Iterator[SyntheticFrame]:
    """Render what the options ask for, from a seed."""
    chosen = complete(options, seed)
    return synthesize(
        seed,
        chosen.layout,
        chosen.camera,
        options.frames,
        options.frame_rate,
        chosen.speed,
        options.standstill,
        chosen.moving_objects,
        chosen.camera_height,
        chosen.pitch,
        chosen.sway,
        options.antialias,
        workers,
        chosen.roll,
        chosen.aside,
        chosen.gaze,
        chosen.sensor,
        options.scan_height,
    )


def odometry_recorder(options: SynthesisOptions, seed: int) -> OdometryRecorder | None:
    """Return what makes the odometry; None for the camera's own exact poses."""
    errors = options.odometry_errors
    if errors.is_exact:
        return None
    chosen = complete(options, seed)
    return OdometryRecorder(errors, chosen.camera_height, chosen.pitch, chosen.roll, seed)


def world_name(seed: int) -> str:
    """Name the recording of a seed."""
    return f"world_{seed:05d}"


def write_world(options: SynthesisOptions, seed: int) -> int:
    """Render and write the recording of one seed; returns the number of frames."""
    return write_recording(
        options.out / world_name(seed),
        render_options(options, seed, workers=1),
        options.storage,
        options.compressed,
        options.jpeg_quality,
        options.depth_encoding,
        options.force,
        odometry_recorder(options, seed),
    )


def pin_options(folder: Path, options: SynthesisOptions) -> None:
    """Note the options in a new folder; refuse to mix worlds made with others into an old one."""
    wanted = {name: value for name, value in sorted(asdict(options).items()) if name not in _FREE}
    path = folder / OPTIONS_FILE
    if path.is_file() and not options.force:
        found: dict[str, Any] = json.loads(path.read_text())
        usual = {field.name: field.default for field in fields(SynthesisOptions)}
        for name in sorted({*wanted, *found}):
            if name not in found and wanted[name] == usual[name]:
                continue  # an option that there was not yet when the worlds were made
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"the worlds in {folder} were made with --{name.replace('_', '-')} "
                    f"{found.get(name)}, not {wanted.get(name)}; give the same, another --out, or "
                    "--force to make them again"
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(wanted, indent=2) + "\n").encode())
