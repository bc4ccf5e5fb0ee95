# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a planar range scanner sees of a world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.mounting import OPTICAL
from training.worlds.rendering.ray_caster import cast_depth
from training.worlds.world import World

#: Metres.
NEAREST, FARTHEST = 0.1, 8.0

# One ray a degree; four views of 90° with rays of a fifth of a degree in their middle.
_RAYS, _VIEWS, _FOCAL = 360, 4, 300


@dataclass(frozen=True, eq=False)
class RangeScan:
    """A scan all round, as in ``sensor_msgs/LaserScan``.

    Attributes
    ----------
    ranges : ndarray, shape (N,), float32
        Metres; infinite where nothing is hit within the range (REP 117).
    angle_min, angle_increment : float
        Radians, to the left of ahead.
    range_min, range_max : float
    mounting : ndarray, shape (4, 4)
        Pose of the scanner (x ahead, z up) in the camera's optical frame.
    """

    ranges: NDArray[np.float32]
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float
    mounting: NDArray[np.float64]


def scan_world(
    world: World, camera: NDArray[np.float64], mounting: NDArray[np.float64], time: float
) -> RangeScan:
    """Scan a world all round.

    Parameters
    ----------
    world : World
    camera : ndarray, shape (4, 4)
        World from the camera's optical frame.
    mounting : ndarray, shape (4, 4)
        Pose of the scanner in the camera's optical frame.
    time : float
        Seconds; moves the moving objects.
    """
    ahead = camera @ mounting @ OPTICAL
    width = 2 * _FOCAL + 1
    view = PinholeCamera(width, 1, float(_FOCAL), float(_FOCAL), float(_FOCAL), 0.0)
    angles = np.radians(np.arange(_RAYS) - 180.0)
    ranges = np.full(_RAYS, np.inf, np.float32)
    for turn in range(_VIEWS):
        yaw = 2.0 * math.pi * turn / _VIEWS
        c, s = math.cos(yaw), math.sin(yaw)
        pose = np.array(ahead)
        # To the left about the optical frame's y, which points down.
        pose[:3, :3] = ahead[:3, :3] @ np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
        depth = cast_depth(world, pose, view, time)[0]
        own = (angles - yaw + math.pi) % (2.0 * math.pi) - math.pi
        inside = np.flatnonzero(np.abs(own) <= math.pi / _VIEWS)
        tangent = -np.tan(own[inside])
        pixel = np.rint(tangent * _FOCAL + _FOCAL).astype(int)
        ranges[inside] = depth[pixel] * np.sqrt(1.0 + tangent**2)
    ranges[(ranges < NEAREST) | (ranges >= FARTHEST)] = np.inf
    step = 2.0 * math.pi / _RAYS
    return RangeScan(ranges, float(angles[0]), step, NEAREST, FARTHEST, mounting)
