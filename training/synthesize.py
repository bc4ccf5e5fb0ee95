# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of synthetic worlds, with exact depth and poses (``depth_synthesize``).

A camera travels along the route of a world of :mod:`training.worlds.scenes.layouts`, as
:mod:`training.worlds.camera_path` says, and :mod:`training.worlds.rendering.ray_caster` renders
what it sees. :func:`synthesize`
gives the frames one by one, to be used as they are; the command line writes them as a rosbag2
with the topics of :mod:`training.worlds.bag_writer`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.worlds.bag_writer import check_target, write_recording
from training.worlds.camera_path import MANNERS, CameraPath, add_moving_objects, camera_path
from training.worlds.options import (
    camera_from_field_of_view as camera_from_field_of_view,
)
from training.worlds.options import complete, make_parser
from training.worlds.rendering.lamps import ShadowMap
from training.worlds.rendering.ray_caster import RenderedFrame, cast_shadows, render_frame
from training.worlds.scenes.layouts import LAYOUTS, pick_layout, sample_world
from training.worlds.sensor import Sensor, expose
from training.worlds.world import World

Floats = NDArray[np.float64]

_START = 1_700_000_000 * 10**9  # nanoseconds; a stamp of 0 would stand for "no time"
_BATCH = 8  # frames that a worker process renders at a time


@dataclass(frozen=True)
class SyntheticFrame:
    """One frame of a recording, with its truth.

    Attributes
    ----------
    stamp : int
        Nanoseconds since the epoch.
    image : array of uint8, shape (H, W, 3)
        RGB.
    depth : array of float32, shape (H, W)
        Metres along the optical axis; NaN where unknown.
    pose : array of float64, shape (4, 4)
        World from camera, in the optical frame.
    camera : PinholeCamera
    """

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    pose: Floats
    camera: PinholeCamera


def render_sequence(
    world: World,
    path: CameraPath,
    camera: PinholeCamera,
    antialias: int = 2,
    workers: int = 1,
    sensor: Sensor | None = None,
) -> Iterator[SyntheticFrame]:
    """Render the frames of a path, one after the other.

    Parameters
    ----------
    world : World
    path : CameraPath
    camera : PinholeCamera
    antialias : int
        As in :func:`training.worlds.rendering.ray_caster.render_frame`.
    workers : int
        Processes that render; 1 renders in this one. The frames are the same. (More need the
        calling script to be importable: its work under ``if __name__ == "__main__"``.)
    sensor : Sensor, optional
        Takes the pictures; without one they are as rendered.

    Yields
    ------
    SyntheticFrame
    """
    for k, frame in enumerate(_render(world, path, camera, antialias, workers)):
        stamp = _START + round(float(path.times[k]) * 1e9)
        image = frame.image if sensor is None else expose(frame.image, sensor, k)
        yield SyntheticFrame(stamp, image, frame.depth, path.poses[k], camera)


def _render(
    world: World, path: CameraPath, camera: PinholeCamera, antialias: int, workers: int
) -> Iterator[RenderedFrame]:
    """Render in this process or in several."""
    shadows = cast_shadows(world)
    if workers <= 1:
        for pose, time in zip(path.poses, path.times.tolist(), strict=True):
            yield render_frame(world, pose, camera, time, antialias, shadows)
        return
    # Fresh processes: forking one that runs torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start_worker) as pool:
        waiting: deque[Future[list[RenderedFrame]]] = deque()
        try:
            for start in range(0, len(path.times), _BATCH):
                part = slice(start, start + _BATCH)
                views = (path.poses[part], path.times[part])
                job = (world, *views, camera, antialias, shadows)
                waiting.append(pool.submit(_render_batch, *job))
                # A bounded queue: a slow consumer does not fill the memory.
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _render_batch(
    world: World,
    poses: Floats,
    times: Floats,
    camera: PinholeCamera,
    antialias: int,
    shadows: list[ShadowMap],
) -> list[RenderedFrame]:
    """Render some frames in a worker process, to which the world is sent once for all of them."""
    return [
        render_frame(world, pose, camera, time, antialias, shadows)
        for pose, time in zip(poses, times.tolist(), strict=True)
    ]


def start_worker() -> None:
    """Leave an interrupt to the parent process, and end when that ends, however it does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def synthesize(
    seed: int,
    layout: str,
    camera: PinholeCamera,
    frames: int,
    rate: float = 10.0,
    speed: float | None = None,
    standstill: float = 0.0,
    moving_objects: int = 0,
    camera_height: float | None = None,
    pitch: float = 0.0,
    sway: float = 1.0,
    antialias: int = 2,
    workers: int = 1,
    roll: float = 0.0,
    aside: float = 0.0,
    gaze: float = 0.0,
    sensor: Sensor | None = None,
) -> Iterator[SyntheticFrame]:
    """Draw a world and render a camera's way through it.

    Parameters
    ----------
    seed : int
        The same seed and options give the same frames.
    layout : str
        One of :data:`training.worlds.scenes.layouts.LAYOUTS`, or "random".
    camera : PinholeCamera
    frames, rate, standstill, pitch, sway, roll, aside, gaze
        As in :func:`camera_path`.
    speed, camera_height : float, optional
        In m/s and metres; usual ones for the layout by default.
    moving_objects : int
        As in :func:`add_moving_objects`.
    antialias, workers, sensor
        As in :func:`render_sequence`.

    Returns
    -------
    iterator of SyntheticFrame

    Raises
    ------
    ValueError
        As the functions that it is made of.
    """
    if layout == "random":
        layout = pick_layout(seed)
    manner = MANNERS.get(layout)
    if manner is None:
        raise ValueError(f"layout is '{layout}'; give {', '.join(LAYOUTS)} or random")
    speed = manner.speed if speed is None else speed
    height = manner.height if camera_height is None else camera_height
    # Some more than the camera travels, for what drives ahead of it.
    world = sample_world(seed, layout, 1.2 * speed * frames / rate + 30.0, height)
    path = camera_path(
        world.route,
        frames,
        rate,
        speed,
        standstill,
        height,
        pitch,
        sway,
        seed,
        roll,
        aside,
        gaze,
    )
    world = add_moving_objects(world, path, moving_objects, seed)
    return render_sequence(world, path, camera, antialias, workers, sensor)


def render_options(
    options: argparse.Namespace, seed: int, workers: int
) -> Iterator[SyntheticFrame]:
    """Render what the options of the command line ask for, from a seed."""
    chosen = complete(options, seed)
    return synthesize(
        seed,
        chosen.layout,
        chosen.camera,
        options.frames,
        options.rate,
        chosen.speed,
        options.standstill,
        options.moving_objects,
        chosen.camera_height,
        chosen.pitch,
        chosen.sway,
        options.antialias,
        workers,
        chosen.roll,
        chosen.aside,
        chosen.gaze,
        chosen.sensor,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_synthesize``."""
    from tqdm import tqdm

    options = make_parser().parse_args(argv)
    # SIGTERM ends it as an interrupt does: by way of the code that removes what is unfinished.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.worlds is not None:
            from training.worlds.many_worlds import write_worlds

            made, kept = write_worlds(options)
            print(f"{options.out}: {made} worlds of {options.frames} frames made, {kept} kept")
            return 0
        # Before anything is rendered.
        check_target(options.out, options.force)
        frames = render_options(options, options.seed, options.workers)
        count = write_recording(
            options.out,
            tqdm(frames, total=options.frames, unit="frame", disable=options.quiet),
            options.storage,
            options.compressed,
            options.jpeg_quality,
            options.depth_encoding,
            options.force,
        )
    except (OSError, ValueError) as error:
        print(f"depth_synthesize: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = "nothing was written" if options.worlds is None else "the same command goes on"
        print(f"depth_synthesize: interrupted; {left}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    size = f"{options.width}x{options.height}"
    print(f"{options.out}: {count} frames of {size}, {count / options.rate:g} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
