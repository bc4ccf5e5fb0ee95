# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where cameras and sensors sit, from /tf_static.

Any ROS 2 installation has the messages (tf2_msgs); the wheels of ROS 2 lack them. Of TF only what
does not move is read: that is where mountings are, and /tf would cost time with every message.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.recordings.transforms import FrameTree


class StaticFrames:
    """The frames of /tf_static."""

    def __init__(self) -> None:
        self._tree = FrameTree()
        self._found: dict[tuple[str, str], NDArray[np.float64] | None] = {}
        self.message_type = _message_type()

    @property
    def is_available(self) -> bool:
        """Whether /tf_static can be subscribed to, as tf2_msgs is installed."""
        return self.message_type is not None

    def add(self, message: Any) -> None:
        """Take a tf2_msgs/TFMessage."""
        for transform in message.transforms:
            self._tree.add_fixed(transform)
        self._found = {}

    def pose(self, target: str, source: str) -> NDArray[np.float64] | None:
        """Return the pose (4, 4) of frame `source` in frame `target`; None if it is not known."""
        key = (target.lstrip("/"), source.lstrip("/"))
        found = self._found  # a message may replace it meanwhile, in another thread
        if key not in found:
            found[key] = self._tree.still_transform(*key)
        return found[key]

    def body_pose(self, frame: str) -> NDArray[np.float64] | None:
        """Return the pose of a frame in the body that carries it, the root; None without one."""
        frame = frame.lstrip("/")
        root = self._tree.ancestors(frame)[-1]
        return None if root == frame else self.pose(root, frame)


def _message_type() -> Any:
    """Return tf2_msgs/TFMessage, None where it is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    return TFMessage
