# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the range sensor of a recording saw, in the frame of its camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.recordings.bags import RecordedTopic, list_topics, open_recording, read_messages
from monodepth2_ros.recordings.transforms import FrameTree, read_frame_tree
from monodepth2_ros.scale import Beam
from monodepth2_ros.scale.mounting import OPTICAL
from monodepth2_ros.scale.poses import invert_pose
from monodepth2_ros.scale.range_messages import read_beam, read_cloud, read_depth_image, read_scan

_SCAN = "sensor_msgs/msg/LaserScan"
_CLOUD = "sensor_msgs/msg/PointCloud2"
_RANGE = "sensor_msgs/msg/Range"

#: Types of messages that give a range, the most telling first.
RANGE_TYPES = (_SCAN, _CLOUD, _RANGE)

Reading = NDArray[np.float64] | Beam


@dataclass(frozen=True, eq=False)
class RangeReadings:
    """Measurements in the order of their stamps.

    Attributes
    ----------
    topic : str
    stamps : ndarray, shape (N,), int64
        Nanoseconds.
    readings : sequence of N ndarray (M, 3) or Beam
        In the camera's optical frame, metres.
    """

    topic: str
    stamps: NDArray[np.int64]
    readings: Sequence[Reading]

    def nearest(self, stamp: int) -> tuple[int, Reading] | None:
        """Return the measurement nearest to a stamp in nanoseconds, with its own stamp."""
        if not len(self.stamps):
            return None
        after = int(np.searchsorted(self.stamps, stamp).clip(0, len(self.stamps) - 1))
        before = max(0, after - 1)
        chosen = min((before, after), key=lambda i: abs(int(self.stamps[i]) - stamp))
        return int(self.stamps[chosen]), self.readings[chosen]


def read_ranges(
    path: Path,
    image_topic: str,
    wanted: str = "auto",
    mounting: NDArray[np.float64] | None = None,
) -> RangeReadings:
    """Read the range sensor of a recording.

    Parameters
    ----------
    path : Path
        A recording.
    image_topic : str
        The camera's image topic.
    wanted : str
        RecordedTopic of the range sensor; "auto" for the only one.
    mounting : ndarray, shape (4, 4), optional
        Pose of the sensor in the camera's body (x ahead, y left, z up); by default /tf_static.

    Raises
    ------
    ValueError
        If there is none, there are several, or nothing says where it is mounted.
    """
    with open_recording(path) as reader:
        topics = list_topics(reader)
        types = {c.topic: c.msgtype for c in reader.connections}
        found = [name for kind in RANGE_TYPES for name, own in types.items() if own == kind]
        if wanted != "auto":
            is_depth = any(topic.name == wanted and topic.is_depth for topic in topics)
            if wanted not in found and not is_depth:
                raise ValueError(
                    f"{path.name}: --range-topic {wanted} is not a LaserScan, PointCloud2, Range "
                    f"or depth image; there are {', '.join(found) or 'none of these'}"
                )
            found = [wanted]
        if len(found) != 1:
            count = f"{len(found)} range sensors ({', '.join(found)})" if found else "no range"
            raise ValueError(
                f"{path.name}: {count}; give --range-topic TOPIC of a LaserScan, PointCloud2, "
                "Range or depth image"
            )
        (topic,) = found
        frames = {one.name: one.frame_id.lstrip("/") for one in topics}
        camera_frame = frames.get(image_topic, "")
        tree = read_frame_tree(reader, topics)
        convert = _converter(types[topic], topics, topic)
        stamps, readings = [], []
        for stamp, message in read_messages(reader, topic):
            if message is None:
                continue
            sensor_frame = message.header.frame_id.lstrip("/")
            pose = _sensor_pose(tree, camera_frame, sensor_frame, stamp, mounting)
            if pose is None:
                raise ValueError(
                    f"{path.name}: no transform leads from the frame '{sensor_frame}' of {topic} "
                    f"to the camera's frame '{camera_frame}'; give --range-mounting X Y Z ROLL "
                    "PITCH YAW"
                )
            if np.isfinite(pose).all():
                stamps.append(stamp)
                readings.append(convert(message, pose))
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    return RangeReadings(
        topic, np.array(stamps, np.int64)[order], [readings[i] for i in order.tolist()]
    )


def _converter(
    kind: str, topics: Sequence[RecordedTopic], name: str
) -> Callable[[Any, NDArray[np.float64]], Reading]:
    """Return what reads messages of a type."""
    if kind == _SCAN:
        return read_scan
    if kind == _CLOUD:
        return read_cloud
    if kind == _RANGE:
        return read_beam
    camera = _depth_camera(topics, name)
    return lambda message, pose: read_depth_image(message, pose, camera)


def _depth_camera(topics: Sequence[RecordedTopic], name: str) -> PinholeCamera:
    """Return the camera of a depth image topic: its sister's, or that of the same frame."""
    (own,) = (topic for topic in topics if topic.name == name)
    infos = [topic for topic in topics if topic.calibrations]
    sister = [t for t in infos if t.name.rpartition("/")[0] == name.rpartition("/")[0]]
    same_frame = [t for t in infos if t.frame_id == own.frame_id]
    for topic in (*sister, *same_frame):
        return topic.calibrations[0].camera(rectified=True)
    raise ValueError(f"{name}: there is no camera_info of its frame '{own.frame_id}'")


def _sensor_pose(
    tree: FrameTree,
    camera: str,
    sensor: str,
    stamp: int,
    mounting: NDArray[np.float64] | None,
) -> NDArray[np.float64] | None:
    """Return the pose of a sensor in the camera's optical frame, None where nothing says it."""
    if mounting is not None:
        return np.asarray(invert_pose(OPTICAL) @ mounting)
    if sensor == camera:
        return np.eye(4)
    found = tree.transform(camera, sensor, np.array([stamp]))
    return None if found is None else found[0]
