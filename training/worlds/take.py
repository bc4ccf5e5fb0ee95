# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a world is filmed, drawn from a seed: place, camera, way of holding it, and sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monodepth2_ros.camera import PinholeCamera
from training.worlds.camera_path import MANNERS
from training.worlds.options import SynthesisOptions
from training.worlds.scenes.layouts import pick_layout
from training.worlds.sensor import Sensor, draw_sensor


@dataclass(frozen=True)
class Take:
    """What is drawn for one recording.

    Attributes
    ----------
    layout : str
    camera : PinholeCamera
    speed : float
        In m/s.
    height : float
        Height of the camera above the ground, in metres.
    pitch, roll : float
        In degrees, as in :func:`training.worlds.camera_path.camera_path`.
    sway : float
    aside, gaze : float
        In degrees, as in :func:`training.worlds.camera_path.camera_path`.
    sensor : Sensor
    moving_objects : int
    """

    layout: str
    camera: PinholeCamera
    speed: float
    height: float
    pitch: float
    roll: float
    sway: float
    aside: float
    gaze: float
    sensor: Sensor
    moving_objects: int = 0


def draw_take(seed: int, width: int, height: int, layout: str = "random") -> Take:
    """Draw how a world is filmed.

    Parameters
    ----------
    seed : int
        The same seed and size give the same.
    width, height : int
        Image size in pixels.
    layout : str
        As in :func:`training.worlds.scenes.layouts.sample_world`.

    Returns
    -------
    Take

    Raises
    ------
    ValueError
        If the layout is unknown.
    """
    if layout == "random":
        layout = pick_layout(seed)
    if layout not in MANNERS:
        raise ValueError(f"layout is '{layout}'; give {', '.join(MANNERS)} or random")
    manner = MANNERS[layout]
    rng = np.random.default_rng([seed, 4])
    focal = 0.5 * width / math.tan(math.radians(0.5 * rng.uniform(45.0, 100.0)))
    center = 0.5 * np.array([width - 1, height - 1])
    center += np.clip(rng.normal(0.0, 0.015, 2), -0.05, 0.05) * (width, height)
    camera = PinholeCamera(width, height, focal, focal, float(center[0]), float(center[1]))
    # Most cameras are held about level; a hand or a drone tilts some of them a lot.
    tilted = rng.random() < (0.2 if manner.indoors else 0.1)
    roll = rng.normal(0.0, 12.0 if tilted else 2.5)
    low, high = manner.heights
    height_above = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if manner.inward:
        pitch, aside = rng.triangular(-5.0, 30.0, 60.0), 90.0 + rng.normal(0.0, 15.0)
        gaze = rng.uniform(0.0, 30.0)
    elif manner.heights[1] < 1.0:
        # A low robot looks ahead, at most a little up.
        pitch, aside = rng.triangular(-20.0, 0.0, 20.0), rng.normal(0.0, 40.0)
        gaze = rng.uniform(0.0, 60.0)
    elif manner.indoors:
        pitch = rng.triangular(-15.0, 12.0, 35.0)
        aside, gaze = rng.uniform(-180.0, 180.0), rng.uniform(20.0, 120.0)
    else:
        # From higher up one looks down more.
        pitch = rng.triangular(-10.0, 2.0, 20.0) + 2.0 * max(0.0, height_above - 2.0)
        aside, gaze = rng.normal(0.0, 15.0), rng.uniform(0.0, 30.0)
        if rng.random() < 0.2:
            aside, gaze = rng.uniform(-180.0, 180.0), rng.uniform(0.0, 60.0)
    return Take(
        layout,
        camera,
        speed=manner.speed * rng.uniform(0.5, 1.6),
        height=height_above,
        pitch=pitch,
        roll=float(np.clip(roll, -30.0, 30.0)),
        sway=rng.uniform(0.3, 2.5),
        aside=aside,
        gaze=gaze,
        sensor=draw_sensor(seed),
        moving_objects=_draw_movers(seed, layout),
    )


def _draw_movers(seed: int, layout: str) -> int:
    """Draw how many things move where there is traffic."""
    traffic = layout in ("city", "highway")
    return int(np.random.default_rng([seed, 8]).integers(5)) if traffic else 0


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


@dataclass(frozen=True)
class TakeChoice:
    """What one recording is made with, as the options say or a seed has drawn.

    Attributes
    ----------
    layout : str
    camera : PinholeCamera
    speed, camera_height : float
        In m/s and metres.
    pitch, roll, aside, gaze : float
        In degrees, as in :func:`training.worlds.camera_path.camera_path`.
    sway : float
    sensor : Sensor, optional
    moving_objects : int
    """

    layout: str
    camera: PinholeCamera
    speed: float
    camera_height: float
    pitch: float
    roll: float
    sway: float
    aside: float
    gaze: float
    sensor: Sensor | None
    moving_objects: int = 0


def complete(options: SynthesisOptions, seed: int) -> TakeChoice:
    """Settle what the options leave open.

    Parameters
    ----------
    options : SynthesisOptions
        With `vary` the seed draws what is not given, else it is the usual.
    seed : int

    Returns
    -------
    Choice
    """
    width, height = options.width, options.height

    def given(name: str, usual: float) -> float:
        value = getattr(options, name)
        return usual if value is None else value

    layout = options.layout or ("random" if options.vary else "street")
    layout = pick_layout(seed) if layout == "random" else layout
    take = draw_take(seed, width, height, layout)
    manner = MANNERS[layout]
    if options.fx is not None:
        center = (0.5 * (width - 1), 0.5 * (height - 1))
        camera = PinholeCamera(width, height, options.fx, options.fx, *center)
    elif options.hfov is not None or not options.vary:
        camera = camera_from_field_of_view(width, height, given("hfov", 80.0))
    else:
        camera = take.camera
    sensor = options.sensor or ("random" if options.vary else "none")
    vary = options.vary
    return TakeChoice(
        layout,
        camera,
        given("speed", take.speed if vary else manner.speed),
        given("camera_height", take.height if vary else manner.height),
        given("pitch", take.pitch if vary else 0.0),
        given("roll", take.roll if vary else 0.0),
        given("sway", take.sway if vary else 1.0),
        given("aside", take.aside if vary else 0.0),
        given("gaze", take.gaze if vary else 0.0),
        draw_sensor(seed) if sensor == "random" else None,
        moving_objects=int(given("moving_objects", take.moving_objects if vary else 0)),
    )
