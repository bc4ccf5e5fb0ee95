# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses over time, and the tree of frames that a recording has in /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.conversions import stamp_ns
from monodepth2_ros.recordings.bags import ROS1_TRANSFORMS, TRANSFORMS, RecordedTopic, read_messages
from monodepth2_ros.scale.poses import interpolate, invert_pose

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader


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
        rows = np.hstack([self.translations, self.quaternions])
        return interpolate(self.stamps, rows, stamps)


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

    def add_fixed(self, transform: Any) -> None:
        """Take a geometry_msgs/TransformStamped that does not move; unusable ones are ignored."""
        child = transform.child_frame_id.lstrip("/")
        moved = transform.transform
        trajectory = Trajectory.from_rows([(0, moved.translation, moved.rotation)])
        if len(trajectory.stamps):
            self.parents[child] = transform.header.frame_id.lstrip("/")
            self.fixed[child] = trajectory.at(trajectory.stamps)[0]

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

    def still_transform(self, target: str, source: str) -> NDArray[np.float64] | None:
        """Return the pose (4, 4) of `source` in `target`; None if it moves, or is not known."""
        chain, above = self.ancestors(source), self.ancestors(target)
        common = next((frame for frame in chain if frame in above), None)
        if common is None:
            return None
        between = [*chain[: chain.index(common)], *above[: above.index(common)]]
        if any(frame in self.moving for frame in between):
            return None
        pose = self.transform(target, source, np.zeros(1, np.int64))
        return None if pose is None else np.asarray(pose[0])

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
                if is_fixed:
                    tree.add_fixed(transform)
                else:
                    moved = transform.transform
                    row = (stamp_ns(transform.header), moved.translation, moved.rotation)
                    rows.setdefault(child, []).append(row)
    for child, transforms in rows.items():
        if child not in tree.fixed:
            tree.moving[child] = Trajectory.from_rows(transforms)
    # A frame whose only transform was unusable hangs in the air.
    for child in list(tree.parents):
        if child not in tree.fixed and child not in tree.moving:
            del tree.parents[child]
    return tree
