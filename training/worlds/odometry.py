# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry as robots have it: exact, or with slip, drift, noise, delay, and of the plane only."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.option_fields import OptionError
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import interpolate, invert_pose, quaternion

Floats = NDArray[np.float64]

#: What each error is without a value of its own.
USUAL = {"slip": 0.02, "drift": 0.1, "noise": 0.05, "delay": 0.02, "planar": 1.0}

#: Messages per second of odometry that is not exact.
RATE = 50.0


@dataclass(frozen=True)
class OdometryErrors:
    """What is wrong with odometry.

    Attributes
    ----------
    slip : float
        Share by which distances are measured too long.
    drift : float
        Degrees per second by which the heading drifts away while the body moves.
    noise : float
        Standard deviation of each step, as a share of its length.
    delay : float
        Seconds by which stamps are late.
    planar : float
        Not 0: the pose of a body on the ground, x, y and yaw alone.
    """

    slip: float = 0.0
    drift: float = 0.0
    noise: float = 0.0
    delay: float = 0.0
    planar: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether nothing is wrong."""
        return self == OdometryErrors()


def read_errors(text: str) -> OdometryErrors:
    """Read "exact", or a list such as "slip,delay=0.05,planar".

    Raises
    ------
    OptionError
        If it is something else.
    """
    if text == "exact":
        return OdometryErrors()
    values = {}
    for part in text.split(","):
        name, has_value, number = part.strip().partition("=")
        known = [field.name for field in fields(OdometryErrors)]
        try:
            if name not in known:
                raise ValueError(name)
            values[name] = float(number) if has_value else USUAL[name]
            if not math.isfinite(values[name]):
                raise ValueError(number)
        except ValueError as error:
            raise OptionError(
                f"--odometry is '{text}'; it takes exact, or a list of {', '.join(known)}, each "
                "with or without a value: slip=0.02,delay=0.02,planar"
            ) from error
    return OdometryErrors(**values)


class OdometryRecorder:
    """Makes odometry from the true poses of a camera, frame by frame.

    Parameters
    ----------
    errors : OdometryErrors
    height : float
        Height of the camera above the ground, metres.
    pitch, roll : float
        Degrees, of a camera at rest.
    seed : int
        Seed of the noise.

    Attributes
    ----------
    mounting : ndarray, shape (4, 4)
        Pose of the camera's optical frame in the body.
    """

    def __init__(
        self,
        errors: OdometryErrors,
        height: float,
        pitch: float = 0.0,
        roll: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.errors = errors
        self.mounting = body_mounting(height, pitch, roll)
        self._random = np.random.default_rng([seed, 7])
        self._last: tuple[int, Floats] | None = None
        self._body: Floats | None = None
        self._next = 0
        self._reported = np.eye(4)

    def advance(self, stamp: int, pose: Floats) -> list[tuple[int, Floats]]:
        """Take the pose of the next frame; return the odometry up to it.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        pose : ndarray, shape (4, 4)
            World from the camera's optical frame.

        Returns
        -------
        list of (int, ndarray)
            Stamps, and poses of the body in a world that begins where it begins.
        """
        if self._last is None:
            self._last, self._next = (stamp, pose), stamp
        before, last = self._last
        messages = []
        while self._next <= stamp:
            share = np.array([before, max(stamp, before + 1)], np.int64)
            rows = np.array([_row(last), _row(pose)])
            true = interpolate(share, rows, np.array([self._next], np.int64))[0]
            messages.append((self._next + round(self.errors.delay * 1e9), self._report(true)))
            self._next += round(1e9 / RATE)
        self._last = (stamp, pose)
        return messages

    def _report(self, camera: Floats) -> Floats:
        """Integrate one step of the body."""
        errors = self.errors
        body = camera @ invert_pose(self.mounting)
        if errors.planar:
            body = _on_the_plane(body)
        if self._body is None:
            self._body = body
            self._reported = body if not errors.planar else np.eye(4)
            return self._reported
        step = invert_pose(self._body) @ body
        self._body = body
        length = float(np.linalg.norm(step[:3, 3]))
        factor = 1.0 + errors.slip + errors.noise * self._random.standard_normal()
        step[:3, 3] *= factor
        if length > 1e-5 and errors.drift:
            turn = mounting_pose((0, 0, 0, 0, 0, math.radians(errors.drift) / RATE))
            step = step @ turn
        self._reported = self._reported @ step
        return self._reported


def body_mounting(height: float, pitch: float = 0.0, roll: float = 0.0) -> Floats:
    """Return the pose of an optical frame in a body on the ground below it (x ahead, z up)."""
    radians = math.radians(roll), math.radians(pitch)
    return np.asarray(mounting_pose((0.0, 0.0, height, *radians, 0.0)) @ OPTICAL)


def scanner_mounting(below: float, pitch: float = 0.0, roll: float = 0.0) -> Floats:
    """Return the pose in the optical frame of a level scanner (z up) `below` the camera."""
    level = body_mounting(below, pitch, roll)
    return np.asarray(invert_pose(level))


def _on_the_plane(body: Floats) -> Floats:
    """Keep x, y and yaw."""
    yaw = math.atan2(body[1, 0], body[0, 0])
    return mounting_pose((body[0, 3], body[1, 3], 0.0, 0.0, 0.0, yaw))


def _row(pose: Floats) -> Floats:
    """Return x, y, z and the quaternion x, y, z, w of a pose."""
    return np.array([*pose[:3, 3], *quaternion(pose[:3, :3])])
