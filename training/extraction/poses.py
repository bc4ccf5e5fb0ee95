# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses from a recording: odometry, transforms, and where the camera was at a frame's stamp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.recordings.bags import (
    ODOMETRY,
    POSE,
    ROS1_TRANSFORMS,
    TRANSFORMS,
    RecordedTopic,
    read_messages,
)
from monodepth2_ros.scale.mounting import OPTICAL
from monodepth2_ros.scale.poses import invert_pose, quaternion_pose_matrix, slerp

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

#: Axes that recorded camera poses may have, apart from inverted ones.
POSE_AXES = ("optical", "link", "inverted")

#: Poses farther apart than this are not interpolated.
LONGEST_INTERVAL_S = 0.5

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Trajectory:
    """Poses over time.

    Attributes
    ----------
    stamps : ndarray, shape (N,), int64
        Nanoseconds, ascending.
    translations : ndarray, shape (N, 3)
    quaternions : ndarray, shape (N, 4)
        x, y, z, w.
    """

    stamps: NDArray[np.int64]
    translations: NDArray[np.float64]
    quaternions: NDArray[np.float64]

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[int, Any, Any]]) -> Trajectory:
        """Collect (stamp, position, orientation) messages in any order."""
        stamps = np.array([row[0] for row in rows], np.int64)
        translations = np.array([[p.x, p.y, p.z] for _, p, _ in rows], np.float64)
        quaternions = np.array([[q.x, q.y, q.z, q.w] for _, _, q in rows], np.float64)
        usable = np.isfinite(translations.sum(axis=1) + quaternions.sum(axis=1))
        usable &= np.linalg.norm(quaternions, axis=1) > 1e-6
        order = np.flatnonzero(usable)[np.argsort(stamps[usable], kind="stable")]
        order = order[np.r_[True, np.diff(stamps[order]) > 0]] if len(order) else order
        return cls(stamps[order], translations[order], quaternions[order])

    def at(self, stamps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Interpolate, linearly and along great circles.

        Parameters
        ----------
        stamps : ndarray, shape (M,)

        Returns
        -------
        ndarray, shape (M, 4, 4)
            NaN outside the trajectory and in intervals of more than half a second.
        """
        poses = np.full((len(stamps), 4, 4), np.nan)
        if not len(self.stamps):
            return poses
        after = np.searchsorted(self.stamps, stamps).clip(0, len(self.stamps) - 1)
        before = np.where(self.stamps[after] == stamps, after, np.maximum(after - 1, 0))
        length = self.stamps[after] - self.stamps[before]
        known = (self.stamps[before] <= stamps) & (stamps <= self.stamps[after])
        known &= length <= LONGEST_INTERVAL_S * _NANOSECONDS
        share = ((stamps - self.stamps[before]) / np.maximum(length, 1))[known, None]
        before, after = before[known], after[known]
        translation = (1 - share) * self.translations[before] + share * self.translations[after]
        rotation = slerp(self.quaternions[before], self.quaternions[after], share)
        poses[known] = quaternion_pose_matrix(translation, rotation)
        return poses


@dataclass
class FrameTree:
    """Frames and the transforms between them, from /tf and /tf_static.

    Attributes
    ----------
    parents : dict
        Parent of each frame.
    fixed : dict
        Pose in its parent of each frame that does not move, shape (4, 4).
    moving : dict
        Trajectory in its parent of each frame that moves.
    """

    parents: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    moving: dict[str, Trajectory] = field(default_factory=dict)

    def ancestors(self, frame: str) -> list[str]:
        """Return a frame and all above it, up to the root."""
        chain = [frame]
        while (parent := self.parents.get(chain[-1])) is not None and parent not in chain:
            chain.append(parent)
        return chain

    def moves(self, frame: str) -> bool:
        """Whether any transform between a frame and the root moves."""
        return any(above in self.moving for above in self.ancestors(frame))

    def transform(
        self, target: str, source: str, stamps: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """Return the poses of frame `source` in frame `target`.

        Returns
        -------
        ndarray, shape (M, 4, 4), or None
            NaN at stamps where a moving transform is unknown; None if the frames are not
            connected.
        """
        above = self.ancestors(target)
        common = next((frame for frame in self.ancestors(source) if frame in above), None)
        if common is None:
            return None
        down = self._pose_below(common, source, stamps)
        up = self._pose_below(common, target, stamps)
        return invert_pose(up) @ down

    def _pose_below(
        self, ancestor: str, frame: str, stamps: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Multiply the transforms from an ancestor down to a frame."""
        pose = np.tile(np.eye(4), (len(stamps), 1, 1))
        while frame != ancestor:
            moving = self.moving.get(frame)
            step = moving.at(stamps) if moving is not None else self.fixed[frame]
            pose = step @ pose
            frame = self.parents[frame]
        return pose


def read_frame_tree(reader: AnyReader, topics: Sequence[RecordedTopic]) -> FrameTree:
    """Read /tf and /tf_static of an open recording."""
    tree = FrameTree()
    rows: dict[str, list[tuple[int, Any, Any]]] = {}
    for topic in topics:
        if topic.type not in (TRANSFORMS, ROS1_TRANSFORMS):
            continue
        is_fixed = topic.name.endswith("static")
        for _, message in read_messages(reader, topic.name):
            for transform in message.transforms if message is not None else ():
                child = transform.child_frame_id.lstrip("/")
                tree.parents[child] = transform.header.frame_id.lstrip("/")
                stamp = transform.header.stamp
                nanoseconds = stamp.nanosec if hasattr(stamp, "nanosec") else stamp.nsec
                row = (
                    int(stamp.sec) * _NANOSECONDS + int(nanoseconds),
                    transform.transform.translation,
                    transform.transform.rotation,
                )
                if is_fixed:
                    trajectory = Trajectory.from_rows([row])
                    if len(trajectory.stamps):
                        tree.fixed[child] = trajectory.at(trajectory.stamps)[0]
                else:
                    rows.setdefault(child, []).append(row)
    for child, transforms in rows.items():
        if child not in tree.fixed:
            tree.moving[child] = Trajectory.from_rows(transforms)
    # A frame whose only transform was unusable hangs in the air.
    for child in list(tree.parents):
        if child not in tree.fixed and child not in tree.moving:
            del tree.parents[child]
    return tree


@dataclass(frozen=True)
class PoseSource:
    """Where a camera's poses come from.

    Attributes
    ----------
    description : str
        For the report.
    trajectory : Trajectory or None
        Of a body, from odometry; None: the transforms alone.
    body, camera : str
        Frames: of the trajectory (or the root of the transforms) and of the camera.
    tree : FrameTree
    offset_s : float
        Added to the stamps of images to find their poses: 0.04 if poses are stamped 40 ms late.
    axes : str
        One of :data:`POSE_AXES`: whether what is recorded for the camera are the axes of its
        optical frame, those of its body (x ahead, y left, z up), or inverted poses.
    """

    description: str
    trajectory: Trajectory | None
    body: str
    camera: str
    tree: FrameTree
    offset_s: float = 0.0
    axes: str = "optical"

    def at(self, stamps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return world-from-camera poses, shape (M, 4, 4); NaN where unknown."""
        poses = self._recorded(stamps + round(self.offset_s * _NANOSECONDS))
        if self.axes == "inverted":
            return invert_pose(poses)
        return poses @ OPTICAL if self.axes == "link" else poses

    def _recorded(self, stamps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return poses as they are recorded."""
        mounted = np.tile(np.eye(4), (len(stamps), 1, 1))
        if self.body != self.camera:
            found = self.tree.transform(self.body, self.camera, stamps)
            if found is None:
                return np.full((len(stamps), 4, 4), np.nan)
            mounted = found
        return mounted if self.trajectory is None else self.trajectory.at(stamps) @ mounted


def find_poses(
    reader: AnyReader, topics: Sequence[RecordedTopic], camera_frame: str, wanted: str
) -> PoseSource | str:
    """Find where a camera's poses are recorded.

    Odometry of the camera itself comes first, then odometry of a body on which /tf places the
    camera, then /tf alone.

    Parameters
    ----------
    reader : AnyReader
    topics : sequence of RecordedTopic
    camera_frame : str
        The camera's optical frame.
    wanted : str
        "auto", "none" or a topic. A given PoseStamped topic is taken as the camera's own pose.

    Returns
    -------
    PoseSource or str
        The reason why there is none.

    Raises
    ------
    ValueError
        If the wanted topic is not there or does not lead to the camera.
    """
    camera_frame = camera_frame.lstrip("/")
    if wanted == "none":
        return "not wanted"
    candidates = [topic for topic in topics if topic.type == ODOMETRY]
    if wanted != "auto":
        candidates = [t for t in topics if t.name == wanted and t.type in (ODOMETRY, POSE)]
        if not candidates:
            raise ValueError(f"there is no Odometry or PoseStamped topic {wanted}")
    bodies = []
    for topic in candidates:
        rows, body = [], camera_frame
        for stamp, message in read_messages(reader, topic.name):
            if message is None:
                continue
            pose = message.pose if topic.type == POSE else message.pose.pose
            rows.append((stamp, pose.position, pose.orientation))
            if topic.type == ODOMETRY:
                body = message.child_frame_id.lstrip("/")
        trajectory = Trajectory.from_rows(rows)
        if body == camera_frame:
            return PoseSource(topic.name, trajectory, body, camera_frame, FrameTree())
        bodies.append(PoseSource(topic.name, trajectory, body, camera_frame, FrameTree()))
    # Only now, as reading all transforms takes long.
    tree = read_frame_tree(reader, topics)
    reasons = []
    for source in bodies:
        if tree.transform(source.body, camera_frame, np.zeros(0, np.int64)) is not None:
            return replace(source, tree=tree)
        reasons.append(
            f"{source.description} is about frame '{source.body}', and no transform leads from "
            f"there to the camera's frame '{camera_frame}'"
        )
    if wanted != "auto":
        raise ValueError("; ".join(reasons))
    if tree.moves(camera_frame):
        root = tree.ancestors(camera_frame)[-1]
        return PoseSource(f"/tf from '{root}'", None, root, camera_frame, tree)
    return "; ".join(reasons) or "no odometry and no moving /tf"
