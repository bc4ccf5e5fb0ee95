# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a synthetic recording is made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of ``depth_synthesize``; None stands for the usual value, or one that is drawn.

    Attributes
    ----------
    out : Path
        Folder of the recording, or of many with `worlds`.
    layout : str or None
        One of :data:`training.worlds.scenes.layouts.LAYOUTS`, or "random".
    seed : int
    frames : int
    rate : float
        Frames per second.
    width, height : int
        Image size in pixels.
    hfov : float or None
        Horizontal field of view in degrees.
    fx : float or None
        Focal length in pixels, in place of `hfov`.
    camera_height : float or None
        Metres above the ground.
    pitch, roll, aside, gaze : float or None
        Degrees, as in :func:`training.worlds.camera_path.camera_path`.
    speed : float or None
        Metres per second.
    sway : float or None
    sensor : {"none", "random"} or None
    vary : bool
        Draw from the seed what is not given.
    worlds : int or None
        Write so many recordings, one for each seed from `seed` on.
    standstill : float
        Seconds.
    moving_objects, antialias : int
    compressed : bool
        Write JPEG images.
    jpeg_quality : int
    depth_encoding, storage : str
        As in :func:`training.worlds.bag_writer.write_recording`.
    force : bool
        Replace a recording that is there.
    workers : int
        Processes that render.
    quiet : bool
        Show no progress.
    """

    out: Path
    layout: str | None = None
    seed: int = 0
    frames: int = 200
    rate: float = 10.0
    width: int = 320
    height: int = 96
    hfov: float | None = None
    fx: float | None = None
    camera_height: float | None = None
    pitch: float | None = None
    roll: float | None = None
    aside: float | None = None
    gaze: float | None = None
    speed: float | None = None
    sway: float | None = None
    sensor: str | None = None
    vary: bool = False
    worlds: int | None = None
    standstill: float = 0.0
    moving_objects: int = 0
    antialias: int = 2
    compressed: bool = False
    jpeg_quality: int = 90
    depth_encoding: str = "32FC1"
    storage: str = "mcap"
    force: bool = False
    workers: int = 1
    quiet: bool = False
