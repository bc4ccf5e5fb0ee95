# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a body was at a stamp, from odometry that arrives message by message."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Poses farther apart than this are not interpolated.
LONGEST_INTERVAL_S = 0.5

_NANOSECONDS = 1_000_000_000
_VELOCITY_NS = 50_000_000

#: Position and unit quaternion of a pose: x, y, z and x, y, z, w.
_Row = tuple[float, float, float, float, float, float, float]

_UNKNOWN = [[math.nan] * 4] * 4

# A step is a jump if it differs from what the last velocity predicts by more than noise and a
# strong acceleration explain.
_JUMP_M = 0.25
_ACCELERATION = 30.0  # m/s²
_JUMP_DEGREES = 20.0
_ANGULAR_ACCELERATION = 3000.0  # degrees/s²


def quaternion_pose_matrix(translation: ArrayLike, quaternion: ArrayLike) -> NDArray[np.float64]:
    """Return poses as matrices.

    Parameters
    ----------
    translation : array_like, shape (..., 3)
    quaternion : array_like, shape (..., 4)
        x, y, z, w; of any length but 0.

    Returns
    -------
    ndarray, shape (..., 4, 4)
    """
    q = np.asarray(quaternion, np.float64)
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    pose = np.zeros((*q.shape[:-1], 4, 4))
    pose[..., 0, 0] = 1.0 - 2.0 * (y * y + z * z)
    pose[..., 0, 1] = 2.0 * (x * y - z * w)
    pose[..., 0, 2] = 2.0 * (x * z + y * w)
    pose[..., 1, 0] = 2.0 * (x * y + z * w)
    pose[..., 1, 1] = 1.0 - 2.0 * (x * x + z * z)
    pose[..., 1, 2] = 2.0 * (y * z - x * w)
    pose[..., 2, 0] = 2.0 * (x * z - y * w)
    pose[..., 2, 1] = 2.0 * (y * z + x * w)
    pose[..., 2, 2] = 1.0 - 2.0 * (x * x + y * y)
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1.0
    return pose


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Convert a rotation matrix, (3, 3), to a unit quaternion (x, y, z, w) with w ≥ 0.

    The eigenvector to the largest eigenvalue of the symmetric matrix of I. Y. Bar-Itzhack, "New
    Method for Extracting the Quaternion from a Rotation Matrix", 2000; steady for all angles.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    symmetric = np.array(
        [
            [xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, yy - xx - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    vector = np.linalg.eigh(symmetric)[1][:, -1]
    x, y, z, w = (vector if vector[3] >= 0.0 else -vector).tolist()
    return x, y, z, w


def invert_pose(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert rigid transforms, shape (..., 4, 4)."""
    inverse = np.zeros_like(pose)
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ pose[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def slerp(
    first: NDArray[np.float64], second: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate quaternions (M, 4) on the shorter great circle (Shoemake 1985).

    Parameters
    ----------
    first, second : ndarray, shape (M, 4)
    share : ndarray, shape (M, 1)
        0 gives the first, 1 the second; values outside extrapolate.
    """
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    cosine = np.sum(first * second, axis=1, keepdims=True)
    second = np.where(cosine < 0.0, -second, second)
    angle = np.arccos(np.clip(np.abs(cosine), 0.0, 1.0))
    near = angle < 1e-6  # the formula divides by the sine
    sine = np.where(near, 1.0, np.sin(angle))
    weight_first = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    weight_second = np.where(near, share, np.sin(share * angle) / sine)
    return weight_first * first + weight_second * second


class PoseBuffer:
    """The poses of the last seconds, in the order of their stamps.

    Parameters
    ----------
    duration_s : float
        Older poses are forgotten.

    Attributes
    ----------
    jumps : int
        How often the pose jumped, or the stamps went back. Poses before and after a jump have
        nothing to do with each other: they are forgotten when one is found.
    """

    def __init__(self, duration_s: float = 12.0) -> None:
        self.jumps = 0
        self._duration_ns = round(duration_s * _NANOSECONDS)
        # Plain numbers: for one pose at a time they take a tenth of the time that arrays do.
        self._stamps: deque[int] = deque()
        self._rows: deque[_Row] = deque()

    def add(self, stamp: int, position: Sequence[float], quaternion: Sequence[float]) -> bool:
        """Add a pose.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        position : sequence of 3 float
            Metres, in a frame that does not move.
        quaternion : sequence of 4 float
            x, y, z, w.

        Returns
        -------
        bool
            False if it was not usable: not finite, no rotation, or a stamp that is there already.
        """
        x, y, z = map(float, position)
        qx, qy, qz, qw = map(float, quaternion)
        length = math.sqrt(qx * qx + qy * qy + qz * qz + qw * qw)
        if not math.isfinite(x + y + z + length) or length < 1e-6:
            return False
        row = (x, y, z, qx / length, qy / length, qz / length, qw / length)
        if self._stamps:
            behind = self._stamps[-1] - stamp
            if 0 <= behind <= LONGEST_INTERVAL_S * _NANOSECONDS:
                return False  # late or doubled: those that came before it are in use already
            if behind > 0 or self._is_jump(stamp, row):
                self.clear()
                self.jumps += 1
        self._stamps.append(stamp)
        self._rows.append(row)
        while self._stamps[0] < stamp - self._duration_ns:
            self._stamps.popleft()
            self._rows.popleft()
        return True

    def clear(self) -> None:
        """Forget all poses."""
        self._stamps.clear()
        self._rows.clear()

    @property
    def newest(self) -> int | None:
        """Stamp of the newest pose, None without any."""
        return self._stamps[-1] if self._stamps else None

    def at(self, stamps: Sequence[int], ahead_s: float = 0.0) -> NDArray[np.float64]:
        """Interpolate, linearly and along great circles.

        Parameters
        ----------
        stamps : sequence of M int
            Nanoseconds.
        ahead_s : float
            Continue at constant velocity for so long after the newest pose.

        Returns
        -------
        ndarray, shape (M, 4, 4)
            World from body; NaN outside the buffer and in intervals of more than half a second.
        """
        return np.array([self._at(int(stamp), ahead_s) for stamp in stamps]).reshape(-1, 4, 4)

    def _at(self, stamp: int, ahead_s: float) -> list[list[float]]:
        """Interpolate one pose, as :func:`interpolate` does; rows of the matrix."""
        stamps, count = self._stamps, len(self._stamps)
        if not count or stamp < stamps[0]:
            return _UNKNOWN
        if stamp > stamps[-1]:
            if count < 2 or stamp > stamps[-1] + round(ahead_s * _NANOSECONDS):
                return _UNKNOWN
            # The velocity over about 50 ms: neighbours alone would enlarge their noise.
            after = count - 1
            before = count - 2
            while before > 0 and stamps[before - 1] >= stamps[-1] - _VELOCITY_NS:
                before -= 1
        else:
            # Backwards, as what is asked for is new as a rule.
            after = count - 1
            while after > 0 and stamps[after - 1] >= stamp:
                after -= 1
            before = after if stamps[after] == stamp else after - 1
        length = stamps[after] - stamps[before]
        if length > LONGEST_INTERVAL_S * _NANOSECONDS:
            return _UNKNOWN
        share = (stamp - stamps[before]) / length if length else 0.0
        return _pose_between(self._rows[before], self._rows[after], share)

    def _is_jump(self, stamp: int, row: _Row) -> bool:
        """Whether a pose cannot follow the ones before it."""
        seconds = 1e-9 * (stamp - self._stamps[-1])
        last = self._rows[-1]
        if len(self._stamps) < 2:
            # Nothing is known of its velocity: up to 50 m/s is driving.
            return math.dist(row[:3], last[:3]) > _JUMP_M + 50.0 * seconds
        earlier = self._rows[-2]
        share = seconds / (1e-9 * (self._stamps[-1] - self._stamps[-2]))
        expected = [b + share * (b - a) for a, b in zip(earlier[:3], last[:3], strict=True)]
        far = _JUMP_M + 0.5 * _ACCELERATION * seconds**2
        wide = _JUMP_DEGREES + 0.5 * _ANGULAR_ACCELERATION * seconds**2
        turned = _angle(last, row) - share * _angle(earlier, last)
        return math.dist(row[:3], expected) > far or turned > wide


def interpolate(
    known: NDArray[np.int64],
    rows: NDArray[np.float64],
    stamps: NDArray[np.int64],
    ahead_s: float = 0.0,
) -> NDArray[np.float64]:
    """Interpolate poses, linearly and along great circles.

    Parameters
    ----------
    known : ndarray, shape (N,), int64
        Nanoseconds, strictly ascending.
    rows : ndarray, shape (N, 7)
        x, y, z and the quaternion x, y, z, w at these stamps.
    stamps : ndarray, shape (M,), int64
    ahead_s : float
        Continue at constant velocity for so long after the last one.

    Returns
    -------
    ndarray, shape (M, 4, 4)
        NaN outside, and in intervals of more than half a second.
    """
    poses = np.full((len(stamps), 4, 4), np.nan)
    if not len(known):
        return poses
    after = np.searchsorted(known, stamps).clip(0, len(known) - 1)
    before = np.where(known[after] == stamps, after, np.maximum(after - 1, 0))
    if ahead_s > 0.0 and len(known) > 1:
        # The velocity over about 50 ms: neighbours alone would enlarge their noise.
        start = int(np.searchsorted(known, known[-1] - _VELOCITY_NS).clip(0, len(known) - 2))
        beyond = stamps > known[-1]
        before = np.where(beyond, start, before)
        usable = stamps <= known[-1] + round(ahead_s * _NANOSECONDS)
    else:
        usable = stamps <= known[-1]
    length = known[after] - known[before]
    usable = usable & (known[before] <= stamps)
    usable &= length <= LONGEST_INTERVAL_S * _NANOSECONDS
    share = ((stamps - known[before]) / np.maximum(length, 1))[usable, None]
    before, after = before[usable], after[usable]
    translation = (1.0 - share) * rows[before, :3] + share * rows[after, :3]
    poses[usable] = quaternion_pose_matrix(
        translation, slerp(rows[before, 3:], rows[after, 3:], share)
    )
    return poses


def _pose_between(first: _Row, second: _Row, share: float) -> list[list[float]]:
    """Return the pose between two, 0 to 1, or beyond; rows of the matrix. See :func:`slerp`."""
    cosine = sum(a * b for a, b in zip(first[3:], second[3:], strict=True))
    angle = math.acos(min(1.0, abs(cosine)))
    weight_first, weight_second = 1.0 - share, share
    if angle >= 1e-6:
        sine = math.sin(angle)
        weight_first = math.sin((1.0 - share) * angle) / sine
        weight_second = math.sin(share * angle) / sine
    if cosine < 0.0:
        weight_second = -weight_second
    x, y, z, w = (
        weight_first * a + weight_second * b for a, b in zip(first[3:], second[3:], strict=True)
    )
    length = math.sqrt(x * x + y * y + z * z + w * w)
    x, y, z, w = x / length, y / length, z / length, w / length
    px, py, pz = (a + share * (b - a) for a, b in zip(first[:3], second[:3], strict=True))
    return [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w), px],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w), py],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y), pz],
        [0.0, 0.0, 0.0, 1.0],
    ]


def _angle(first: _Row, second: _Row) -> float:
    """Return the angle between the rotations of two poses in degrees."""
    cosine = abs(sum(a * b for a, b in zip(first[3:], second[3:], strict=True)))
    return math.degrees(2.0 * math.acos(min(1.0, cosine)))
