# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of synthetic worlds, with exact depth and poses (``depth_synthesize``).

A camera travels along the route of a world of :mod:`training.layouts`, as
:mod:`training.travel` says, and :mod:`training.render` renders what it sees. :func:`synthesize`
gives the frames one by one, to be used as they are; the command line writes them as a rosbag2
with the topics of :mod:`training.bag_writer`.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from training.bag_writer import (
    DEPTH_ENCODINGS,
    IMAGE_TOPIC,
    STORAGES,
    check_target,
    write_recording,
)
from training.layouts import LAYOUTS, pick_layout, sample_world
from training.render import RenderedFrame, render_frame
from training.travel import MANNERS, CameraPath, add_moving_objects, camera_path
from training.world import World

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


def camera_from_field_of_view(width: int, height: int, degrees: float) -> PinholeCamera:
    """Make the camera with a horizontal field of view, square pixels and a centred axis.

    Parameters
    ----------
    width, height : int
        Image size in pixels.
    degrees : float
        Angle between the left and the right border of the image.
    """
    focal = 0.5 * width / math.tan(math.radians(0.5 * degrees))
    return PinholeCamera(width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1))


def render_sequence(
    world: World, path: CameraPath, camera: PinholeCamera, antialias: int = 2, workers: int = 1
) -> Iterator[SyntheticFrame]:
    """Render the frames of a path, one after the other.

    Parameters
    ----------
    world : World
    path : CameraPath
    camera : PinholeCamera
    antialias : int
        As in :func:`training.render.render_frame`.
    workers : int
        Processes that render; 1 renders in this one. The frames are the same. (More need the
        calling script to be importable: its work under ``if __name__ == "__main__"``.)

    Yields
    ------
    SyntheticFrame
    """
    for k, frame in enumerate(_render(world, path, camera, antialias, workers)):
        stamp = _START + round(float(path.times[k]) * 1e9)
        yield SyntheticFrame(stamp, frame.image, frame.depth, path.poses[k], camera)


def _render(
    world: World, path: CameraPath, camera: PinholeCamera, antialias: int, workers: int
) -> Iterator[RenderedFrame]:
    """Render in this process or in several."""
    if workers <= 1:
        for pose, time in zip(path.poses, path.times.tolist(), strict=True):
            yield render_frame(world, pose, camera, time, antialias)
        return
    # Fresh processes: forking one that runs torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        waiting: deque[Future[list[RenderedFrame]]] = deque()
        try:
            for start in range(0, len(path.times), _BATCH):
                part = slice(start, start + _BATCH)
                views = (path.poses[part], path.times[part])
                waiting.append(pool.submit(_render_batch, world, *views, camera, antialias))
                # A bounded queue: a slow consumer does not fill the memory.
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _render_batch(
    world: World, poses: Floats, times: Floats, camera: PinholeCamera, antialias: int
) -> list[RenderedFrame]:
    """Render some frames in a worker process, to which the world is sent once for all of them."""
    return [
        render_frame(world, pose, camera, time, antialias)
        for pose, time in zip(poses, times.tolist(), strict=True)
    ]


def _start_worker() -> None:
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
) -> Iterator[SyntheticFrame]:
    """Draw a world and render a camera's way through it.

    Parameters
    ----------
    seed : int
        The same seed and options give the same frames.
    layout : str
        "street", "room", "open" or "random".
    camera : PinholeCamera
    frames, rate, standstill, pitch, sway
        As in :func:`camera_path`.
    speed, camera_height : float, optional
        In m/s and metres; usual ones for the layout by default.
    moving_objects : int
        As in :func:`add_moving_objects`.
    antialias, workers
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
    world = sample_world(seed, layout, 1.2 * speed * frames / rate + 30.0)
    path = camera_path(world.route, frames, rate, speed, standstill, height, pitch, sway, seed)
    world = add_moving_objects(world, path, moving_objects, seed)
    return render_sequence(world, path, camera, antialias, workers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_synthesize``."""
    from tqdm import tqdm

    options = _parser().parse_args(argv)
    # SIGTERM ends it as an interrupt does: by way of the code that removes what is unfinished.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Before anything is rendered.
        check_target(options.out, options.force)
        if options.fx is None:
            camera = camera_from_field_of_view(options.width, options.height, options.hfov)
        else:
            camera = PinholeCamera(
                options.width,
                options.height,
                options.fx,
                options.fx,
                0.5 * (options.width - 1),
                0.5 * (options.height - 1),
            )
        frames = synthesize(
            options.seed,
            options.layout,
            camera,
            options.frames,
            options.rate,
            options.speed,
            options.standstill,
            options.moving_objects,
            options.camera_height,
            options.pitch,
            options.sway,
            options.antialias,
            options.workers,
        )
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
        print("depth_synthesize: interrupted; nothing was written", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    size = f"{camera.width}x{camera.height}"
    print(f"{options.out}: {count} frames of {size}, {count / options.rate:g} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_synthesize",
        description="Render a small world with exact depth and poses, and write it as a rosbag2.",
    )
    add = parser.add_argument
    speeds = ", ".join(f"{layout} {MANNERS[layout].speed:g}" for layout in LAYOUTS)
    heights = ", ".join(f"{layout} {MANNERS[layout].height:g}" for layout in LAYOUTS)
    add("--out", type=Path, required=True, help="folder of the recording to write")
    add(
        "--layout",
        choices=(*LAYOUTS, "random"),
        default="street",
        help="kind of place [%(default)s]",
    )
    add(
        "--seed",
        type=_integer(0),
        default=0,
        help="the same seed gives the same recording [%(default)s]",
    )
    add("--frames", type=_integer(1), default=200, help="length of the recording [%(default)s]")
    add("--rate", type=_number(0.0), default=10.0, help="frames per second [%(default)g]")
    add("--width", type=_integer(1), default=320, help="image width in pixels [%(default)s]")
    add("--height", type=_integer(1), default=96, help="image height in pixels [%(default)s]")
    add(
        "--hfov",
        type=_number(0.0, 179.0),
        default=80.0,
        help="horizontal field of view in degrees [%(default)g]",
    )
    add("--fx", type=_number(0.0), help="focal length in pixels, in place of --hfov")
    add("--camera-height", type=_number(0.0), help=f"metres above the ground [{heights}]")
    add(
        "--pitch",
        type=_number(-90.0, 90.0),
        default=0.0,
        help="degrees by which the camera looks down [%(default)g]",
    )
    add("--speed", type=_number(0.0), help=f"m/s [{speeds}]")
    add(
        "--sway",
        type=_number(0.0, closed=True),
        default=1.0,
        help="0 for a camera that glides [%(default)g]",
    )
    add(
        "--standstill",
        type=_number(0.0, closed=True),
        default=0.0,
        metavar="SECONDS",
        help="how long the camera stands still, in the middle of the recording [%(default)g]",
    )
    add(
        "--moving-objects",
        type=_integer(0),
        default=0,
        metavar="N",
        help="in turn: one ahead at the camera's own speed, one that crosses, and outdoors one "
        "that comes towards the camera [%(default)s]",
    )
    add(
        "--antialias",
        type=_integer(1),
        default=2,
        metavar="N",
        help="pixels on outlines average N x N rays [%(default)s]",
    )
    add(
        "--compressed",
        action="store_true",
        help=f"write JPEG on {IMAGE_TOPIC}/compressed instead of raw images on {IMAGE_TOPIC}",
    )
    add("--jpeg-quality", type=_integer(1, 100), default=90, help="of --compressed [%(default)s]")
    add(
        "--depth-encoding",
        choices=DEPTH_ENCODINGS,
        default="32FC1",
        help="metres with NaN for unknown, or millimetres with 0 for unknown [%(default)s]",
    )
    add(
        "--storage",
        choices=STORAGES,
        default="mcap",
        help="storage plugin of the rosbag2 [%(default)s]",
    )
    add("--force", action="store_true", help="replace a recording that is there")
    add(
        "--workers",
        type=_integer(1),
        default=os.cpu_count() or 1,
        help="processes that render; 1 for none beside this one [%(default)s]",
    )
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Make a type for argparse: an integer in a range."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low or (high is not None and value > high):
            bound = f"at least {low}" if high is None else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"{value} given; give {bound}")
        return value

    parse.__name__ = "integer"
    return parse


def _number(low: float, high: float = math.inf, closed: bool = False) -> Callable[[str], float]:
    """Make a type for argparse: a finite number above `low` (or equal: `closed`), below `high`."""

    def parse(text: str) -> float:
        value = float(text)
        if not (low < value < high or (closed and value == low)):
            bound = f"at least {low:g}" if closed else f"more than {low:g}"
            bound += "" if math.isinf(high) else f" and less than {high:g}"
            raise argparse.ArgumentTypeError(f"{value:g} given; give {bound}")
        return value

    parse.__name__ = "number"
    return parse


if __name__ == "__main__":
    raise SystemExit(main())
