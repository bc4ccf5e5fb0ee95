# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion through the synthetic worlds: the camera's path, and objects that move around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.worlds.scenes.beings import being
from training.worlds.scenes.outdoors import truck
from training.worlds.scenes.props import car, cart, person
from training.worlds.scenes.vehicles import bus, modern_car, two_wheeler
from training.worlds.world import Box, Faces, Mover, Route, World, box_faces

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Manner:
    """How a camera usually travels through a kind of place, and how things move there."""

    speed: float  # m/s
    height: float  # of the camera, metres
    leading: float  # distance to what drives ahead, metres
    crossing: float  # distance ahead of the camera to who crosses, metres
    span: float  # who crosses walks from this far on one side to as far on the other, metres
    walk: float  # m/s
    heights: tuple[float, float] = (0.5, 2.2)  # lowest and highest for a camera of any kind, metres
    indoors: bool = False
    inward: bool = False  # the camera looks at the middle of its round, not where it goes


#: By layout.
MANNERS = {
    "street": Manner(8.0, 1.5, leading=10.0, crossing=7.0, span=6.0, walk=1.6),
    "room": Manner(0.8, 1.1, 2.5, 1.7, span=1.1, walk=0.7, heights=(0.5, 1.9), indoors=True),
    "home": Manner(0.5, 1.3, 2.0, 1.4, span=0.8, walk=0.6, heights=(0.6, 1.9), indoors=True),
    "kitchen": Manner(0.4, 1.4, 2.0, 1.4, span=0.8, walk=0.6, heights=(1.0, 1.9), indoors=True),
    "corridor": Manner(0.8, 1.4, 2.5, 1.7, span=0.6, walk=0.7, heights=(0.5, 2.2), indoors=True),
    "highway": Manner(22.0, 1.4, 18.0, 14.0, span=9.0, walk=2.0, heights=(0.9, 2.4)),
    "yard": Manner(2.5, 1.8, 7.0, 5.0, span=4.0, walk=1.6, heights=(0.6, 6.0)),
    "city": Manner(7.0, 1.4, 9.0, 7.0, span=5.0, walk=1.5, heights=(0.5, 2.6)),
    "hall": Manner(0.6, 0.3, 3.0, 2.0, span=1.5, walk=0.7, heights=(0.08, 0.7), indoors=True),
    "tabletop": Manner(
        0.25, 1.2, 1.5, 1.0, span=0.6, walk=0.5, heights=(0.8, 1.6), indoors=True, inward=True
    ),
    "open": Manner(3.0, 1.3, 9.0, 5.5, span=6.0, walk=1.8, heights=(0.4, 6.0)),
}


# Radians per second by which what carries the camera turns at most, as a mobile robot does, and the
# camera that looks around on it.
_FASTEST_TURN, _FASTEST_LOOK = math.radians(60.0), math.radians(120.0)
# Metres between the points at which a turn is looked at, and how many there are at most.
_TURN_STEP, _MOST_STEPS = 0.01, 1_000_000


@dataclass(frozen=True)
class CameraPath:
    """Where the camera is at every frame.

    Attributes
    ----------
    times : array of float64, shape (T,)
        Seconds from the start.
    distances : array of float64, shape (T,)
        Metres along the route.
    poses : array of float64, shape (T, 4, 4)
        World from camera, in the optical frame.
    """

    times: Floats
    distances: Floats
    poses: Floats


def camera_path(
    route: Route,
    frames: int,
    rate: float = 10.0,
    speed: float = 1.0,
    standstill: float = 0.0,
    height: float = 1.4,
    pitch: float = 0.0,
    sway: float = 1.0,
    seed: int = 0,
    roll: float = 0.0,
    aside: float = 0.0,
    gaze: float = 0.0,
) -> CameraPath:
    """Let a camera travel along a route.

    It looks where it goes, unless it is told to look aside or around. Where the route turns
    sharply it slows down, to turn by 60° per second at most, and by 120° where it looks around.
    While it stands, in the middle of the recording, its pose does not change by a bit.

    Parameters
    ----------
    route : Route
    frames : int
    rate : float
        Frames per second.
    speed : float
        Mean speed in m/s while it travels; less in sharp turns.
    standstill : float
        Seconds for which it stands; it brakes before and accelerates after.
    height : float
        Height of the camera above the ground, in metres.
    pitch : float
        Degrees by which it looks down.
    sway : float
        1 for the sway of a vehicle on an uneven way and some looking around; 0 for none, and for
        a steady speed.
    seed : int
        Seed of the sway and the gaze.
    roll : float
        Degrees by which it is turned clockwise about its axis.
    aside : float
        Degrees to the left of where it goes.
    gaze : float
        Degrees to which the look wanders slowly to both sides, and a quarter of it up and down.

    Returns
    -------
    CameraPath

    Raises
    ------
    ValueError
        If there is no frame, no rate, or no time left next to the standstill.
    """
    if frames < 1:
        raise ValueError(f"camera_path: frames is {frames}; give at least 1")
    if not rate > 0.0:
        raise ValueError(f"camera_path: rate is {rate} frames/s; give more than 0")
    duration = frames / rate
    if not 0.0 <= standstill < max(duration, 1e-9):
        raise ValueError(
            f"camera_path: standstill is {standstill} s in a recording of {duration:g} s; give 0 "
            "or more, and less than the recording"
        )
    rng = np.random.default_rng([seed, 2])
    times = np.arange(frames) / rate
    pace = speed * (1.0 + 0.2 * sway * np.sin(2.0 * np.pi * times / 7.0 + rng.uniform(0.0, 6.28)))
    if standstill > 0.0:
        ramp = min(1.0, 0.25 * (duration - standstill))
        beside = np.abs(times - 0.5 * duration) - 0.5 * standstill
        pace *= np.clip(beside / ramp, 0.0, 1.0)
    way = np.concatenate([[0.0], np.cumsum(pace[:-1])]) / rate

    # The sway follows the distance, not the time, so that nothing moves during the standstill.
    def waves(amplitude: float, *periods: float) -> Callable[[Floats], Floats]:
        lengths = [(period * max(speed, 1e-6), rng.uniform(0.0, 6.28)) for period in periods]
        return lambda distances: (
            amplitude
            * np.sum(
                [np.sin(2.0 * np.pi * distances / length + phase) for length, phase in lengths],
                axis=0,
            )
        )

    swing = waves(0.5 * sway * math.radians(4.0), 4.3, 6.1)
    nod = waves(0.5 * sway * math.radians(0.6), 1.1, 2.3)
    lean = waves(0.5 * sway * math.radians(0.8), 1.7, 3.1)
    bounce = waves(0.5 * sway * 0.015, 0.9, 1.9)
    around = waves(0.6 * math.radians(gaze), 17.0, 9.0, 5.7)
    up_and_down = waves(0.15 * math.radians(gaze), 13.0, 7.3, 4.9)

    def heading(distances: Floats) -> Floats:
        return route.at(distances)[1] + swing(distances)

    def look(distances: Floats) -> tuple[Floats, Floats]:
        yaw = heading(distances) + math.radians(aside) + around(distances)
        return yaw, math.radians(pitch) + nod(distances) + up_and_down(distances)

    distances = _slowed_in_turns(way, route.bends(), speed * (1.0 + 0.2 * sway), heading, look)
    points, _ = route.at(distances)
    yaw, tilt = look(distances)
    roll_then, up = math.radians(roll) + lean(distances), height + bounce(distances)
    poses = np.stack(
        [_pose(*values) for values in zip(*points.T, up, yaw, tilt, roll_then, strict=True)]
    )
    return CameraPath(times, distances, poses)


def _slowed_in_turns(
    way: Floats,
    bends: Floats,
    fastest: float,
    heading: Callable[[Floats], Floats],
    look: Callable[[Floats], tuple[Floats, Floats]],
) -> Floats:
    """Return the distance at every frame, (T,), so that nothing turns faster than it may.

    Parameters
    ----------
    way : ndarray, shape (T,)
        The distances without turns, metres.
    bends : ndarray, shape (N,)
        As of :meth:`Route.bends`.
    fastest : float
        The greatest speed in them, m/s.
    heading, look : callable
        Heading of the body, and yaw and pitch of the camera, radians, at distances.
    """
    end = float(way[-1])
    sampled = np.arange(0.0, end, max(_TURN_STEP, end / _MOST_STEPS))
    grid = np.union1d(np.append(sampled, end), bends[(bends > 0.0) & (bends < end)])
    step = np.diff(grid)
    yaw, pitch = (np.diff(angle) for angle in look(grid))
    turned, looked = np.abs(np.diff(heading(grid))), np.hypot(yaw, pitch)
    # A turn takes as long as so many metres straight ahead.
    slowest = np.maximum(turned / _FASTEST_TURN, looked / _FASTEST_LOOK) * fastest
    if not (slowest > step).any():
        return way
    spent = np.concatenate([[0.0], np.cumsum(np.maximum(slowest, step))])
    return np.asarray(np.interp(way, spent, grid))


def _pose(x: float, y: float, z: float, yaw: float, pitch: float, roll: float) -> Floats:
    """World from optical frame, for a camera at (x, y, z); a positive pitch looks down."""
    level = np.array(
        [
            [np.sin(yaw), 0.0, np.cos(yaw)],
            [-np.cos(yaw), 0.0, np.sin(yaw)],
            [0.0, -1.0, 0.0],
        ]
    )
    down = np.array(
        [
            [1.0, 0.0, 0.0],
            [0.0, np.cos(pitch), np.sin(pitch)],
            [0.0, -np.sin(pitch), np.cos(pitch)],
        ]
    )
    turned = np.array(
        [
            [np.cos(roll), -np.sin(roll), 0.0],
            [np.sin(roll), np.cos(roll), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = level @ down @ turned
    pose[:3, 3] = x, y, z
    return pose


def add_moving_objects(world: World, path: CameraPath, count: int, seed: int = 0) -> World:
    """Add objects that move while the camera travels.

    In turn: one that drives ahead at the camera's own speed (and stands when the camera stands),
    one that crosses (the first during the standstill, if there is one), and outdoors one that
    comes towards the camera.

    Parameters
    ----------
    world : World
    path : CameraPath
        Along the route of the world.
    count : int
    seed : int

    Returns
    -------
    World
        The same with `count` movers more.

    Raises
    ------
    ValueError
        If the count is negative.
    """
    if count < 0:
        raise ValueError(f"add_moving_objects: count is {count}; give 0 or more")
    rng = np.random.default_rng([seed, 3])
    manner = MANNERS[world.layout]
    kinds = ("leading", "crossing") + (("oncoming",) if not manner.indoors else ())
    movers = []
    for k in range(count):
        kind, turn = kinds[k % len(kinds)], k // len(kinds)
        # Moments spread over the recording, from its middle: 1/2, 1/4, 3/4, 1/8, …
        moment = float(np.interp(_spread(turn + 1), (0.0, 1.0), path.times[[0, -1]]))
        at = float(np.interp(moment, path.times, path.distances))
        parts, walker = _vehicle_and_walker(rng, world.layout, manner.indoors)
        if kind == "crossing":
            faces = box_faces(walker(rng), int(rng.integers(2**31)))
            side = rng.choice([-1.0, 1.0])
            movers.append(_crossing(world.route, faces, manner, at, moment, side))
            continue
        faces = box_faces(parts, int(rng.integers(2**31)))
        if kind == "leading":
            ahead = path.distances + manner.leading * (1.0 + 0.8 * turn)
            points, yaws = world.route.at(ahead)
            movers.append(_drive(faces, path.times, points, yaws))
        else:
            # It meets the camera at the moment, on the other lane.
            lane = 0.66 * world.road.half_width if world.road is not None else 3.0
            way = at - 0.7 * manner.speed * (path.times - moment)
            points, yaws = world.route.at(way)
            points = points + lane * np.stack([-np.sin(yaws), np.cos(yaws)], axis=1)
            movers.append(_drive(faces, path.times, points, yaws + np.pi))
    return replace(world, movers=(*world.movers, *movers))


def _vehicle_and_walker(
    rng: np.random.Generator, layout: str, indoors: bool
) -> tuple[list[Box], Callable[[np.random.Generator], list[Box]]]:
    """Build what drives in a place, and choose who walks there."""
    if layout in ("city", "highway"):
        kind = rng.random()
        vehicle = (
            modern_car if kind < 0.7 else truck if kind < 0.82 else bus if kind < 0.9
            else two_wheeler
        )  # fmt: skip
        return vehicle(rng), being
    return cart(rng) if indoors else car(rng, rng.uniform(3.6, 5.0)), person


def _spread(k: int) -> float:
    """Return number k of 1/2, 1/4, 3/4, 1/8, 5/8, … (van der Corput), counted from 1."""
    value, weight = 0.0, 0.5
    while k:
        value += weight * (k % 2)
        k, weight = k // 2, 0.5 * weight
    return value


def _drive(faces: Faces, times: Floats, points: Floats, yaws: Floats) -> Mover:
    """Move a body over the ground; it turns no faster than a camera that looks around."""
    turned = np.array(yaws)
    for k, seconds in enumerate(np.diff(times), start=1):
        # Where the route turns back, the body would turn round from one frame to the next.
        most = _FASTEST_LOOK * seconds
        if abs(turned[k] - turned[k - 1]) > most:
            turned[k] = turned[k - 1] + math.copysign(most, turned[k] - turned[k - 1])
    return Mover(faces, times, np.column_stack([points, np.zeros(len(points))]), turned)


def _crossing(
    route: Route, faces: Faces, manner: Manner, at: float, moment: float, side: float
) -> Mover:
    """Let a body cross the route, ahead of a camera that is `at` metres at the `moment`."""
    point, heading = route.at(np.array([at + manner.crossing]))
    left = np.column_stack([-np.sin(heading), np.cos(heading)])
    reach = manner.span * side
    times = moment + np.array([-1.0, 1.0]) * manner.span / manner.walk
    points = point + left * np.array([[-reach], [reach]])
    return _drive(faces, times, points, np.repeat(heading + 0.5 * np.pi * side, 2))
