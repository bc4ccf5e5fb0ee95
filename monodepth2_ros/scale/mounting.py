# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a sensor is mounted, and the two conventions for the axes of a camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Pose of the optical frame (x right, y down, z ahead) in the body of a camera, its
#: ``camera_link`` (x ahead, y left, z up), both of REP 103.
OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def mounting_pose(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the pose (4, 4) of x, y, z in metres and roll, pitch, yaw in radians.

    The rotation is yaw about z after pitch about y after roll about x, as for
    ``static_transform_publisher``.
    """
    x, y, z, roll, pitch, yaw = values
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
    pose = np.eye(4)
    pose[:3, :3] = (
        np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        @ np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        @ np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    )
    pose[:3, 3] = (x, y, z)
    return pose


def mounting_values(pose: NDArray[np.float64]) -> tuple[float, ...]:
    """Return x, y, z in metres and roll, pitch, yaw in radians; see :func:`mounting_pose`."""
    turn = pose[:3, :3]
    pitch = math.atan2(-turn[2, 0], math.hypot(turn[0, 0], turn[1, 0]))
    roll, yaw = math.atan2(turn[2, 1], turn[2, 2]), math.atan2(turn[1, 0], turn[0, 0])
    return (*(float(value) for value in pose[:3, 3]), roll, pitch, yaw)
