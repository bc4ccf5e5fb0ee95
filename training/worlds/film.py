# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a camera's way through a world: image, exact depth and pose.

A camera travels along the route of a world of :mod:`training.worlds.scenes.layouts`, as
:mod:`training.worlds.camera_path` says, and :mod:`training.worlds.rendering.ray_caster` renders
what it sees.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.worlds.camera_path import MANNERS, CameraPath, add_moving_objects, camera_path
from training.worlds.odometry import scanner_mounting
from training.worlds.range_scan import RangeScan, scan_world
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
    scan : RangeScan, optional
        What a planar scanner sees at the same time.
    """

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    pose: Floats
    camera: PinholeCamera
    scan: RangeScan | None = None


def render_sequence(
    world: World,
    path: CameraPath,
    camera: PinholeCamera,
    antialias: int = 2,
    workers: int = 1,
    sensor: Sensor | None = None,
    scanner: NDArray[np.float64] | None = None,
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
    scanner : ndarray, shape (4, 4), optional
        Pose of a planar range scanner in the camera's optical frame.

    Yields
    ------
    SyntheticFrame
    """
    for k, frame in enumerate(_render(world, path, camera, antialias, workers)):
        stamp = _START + round(float(path.times[k]) * 1e9)
        image = frame.image if sensor is None else expose(frame.image, sensor, k)
        scan = None
        if scanner is not None:
            scan = scan_world(world, path.poses[k], scanner, float(path.times[k]))
        yield SyntheticFrame(stamp, image, frame.depth, path.poses[k], camera, scan)


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
                with interrupts_held_back():
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


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Block SIGINT while a pool may start workers, which inherit that.

    A terminal sends ctrl-C to all processes. One that still imports would end with a traceback, and
    the pool would wait for it for ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """Leave an interrupt to the parent process, and end when that ends, however it does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

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
    scan_height: float | None = None,
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
    scan_height : float, optional
        Metres above the ground of a level planar scanner on the camera's body.

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
    scanner = None
    if scan_height is not None:
        scanner = scanner_mounting(height - scan_height, pitch, roll)
    return render_sequence(world, path, camera, antialias, workers, sensor, scanner)
