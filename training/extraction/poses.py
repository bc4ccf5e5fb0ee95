# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses from a recording: odometry, transforms, and where the camera was at a frame's stamp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.recordings.bags import ODOMETRY, POSE, RecordedTopic, read_messages
from monodepth2_ros.recordings.transforms import FrameTree, Trajectory, read_frame_tree
from monodepth2_ros.scale.mounting import OPTICAL
from monodepth2_ros.scale.poses import invert_pose

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

#: Axes that recorded camera poses may have, apart from inverted ones.
POSE_AXES = ("optical", "link", "inverted")

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class PoseSource:
    """Where a camera's poses come from.

    Attributes
    ----------
    description : str
        For the report.
    trajectory : Trajectory or None
        Trajectory of a body, from odometry; None: the transforms alone.
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
