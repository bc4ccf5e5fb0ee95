# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: opening rosbag2 and ROS 1 bags, and finding out what is in them.

Read with the library rosbags, so no ROS is needed. Topics are recognised by their types and by
their first message, never by agreed names alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monodepth2_ros.conversions import stamp_ns

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
ODOMETRY = "nav_msgs/msg/Odometry"
POSE = "geometry_msgs/msg/PoseStamped"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
ROS1_TRANSFORMS = "tf/msg/tfMessage"

_WITH_HEADER = (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO, POINT_CLOUD, ODOMETRY, POSE)
_DEPTH_ENCODINGS = ("16UC1", "32FC1")
_STORAGE_SUFFIXES = (".mcap", ".db3")
_LAST_TOKENS = ("compressed", "compressedDepth")


@dataclass(frozen=True)
class Topic:
    """A topic of a recording.

    Attributes
    ----------
    name, type : str
    count : int
        Messages.
    frame_id : str
        Of the first message; empty where it has no header.
    is_depth : bool
        A depth image, raw or compressedDepth.
    width : int
        Of the first message, where it tells.
    """

    name: str
    type: str
    count: int
    frame_id: str = ""
    is_depth: bool = False
    width: int = 0

    @property
    def is_image(self) -> bool:
        """Whether it holds colour or grey images."""
        return self.type in (IMAGE, COMPRESSED_IMAGE) and not self.is_depth

    @property
    def is_rectified(self) -> bool:
        """Whether its name says that the images are rectified (REP and image_proc's naming)."""
        return "rect" in base_name(self.name).lower().split("_")

    @property
    def namespace(self) -> str:
        """The camera's namespace, without the transport."""
        return camera_namespace(self.name)


@contextlib.contextmanager
def open_recording(path: Path) -> Iterator[AnyReader]:
    """Open a rosbag2 (folder, .mcap or .db3) or a ROS 1 bag.

    A rosbag2 folder without metadata.yaml, as a killed recorder leaves it, is opened by its files.

    Raises
    ------
    ValueError
        If there is no recording at `path` or it cannot be read, with what may help.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if path.is_dir() and path.suffix == ".bag":
        raise ValueError(
            f"{path} is a folder that is named like a ROS 1 bag, for which rosbags takes it; "
            "rename it without '.bag'"
        )
    paths = [path]
    if path.is_dir() and not (path / "metadata.yaml").exists():
        paths = sorted(file for file in path.iterdir() if file.suffix in _STORAGE_SUFFIXES)
        if not paths:
            raise ValueError(f"{path} is no recording: it has neither metadata.yaml nor bag files")
    reader = None
    try:
        # Bags from before Iron carry no message definitions; those of the messages used here
        # have not changed.
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    # Damaged files surface as whatever the storage stumbles over.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read: {_described(error)}. If the recorder was killed, repair it "
            "with 'ros2 bag reindex' (sqlite3) or 'mcap recover' (MCAP)"
        ) from error
    try:
        yield reader
    finally:
        with contextlib.suppress(Exception):
            reader.close()


def list_topics(reader: AnyReader) -> list[Topic]:
    """Describe the topics of an open recording, looking at the first message of each that matters.

    Parameters
    ----------
    reader : AnyReader

    Returns
    -------
    list of Topic
        Those with messages, by name.
    """
    topics = []
    for name in sorted({connection.topic for connection in reader.connections}):
        connections = [c for c in reader.connections if c.topic == name]
        kind = connections[0].msgtype
        count = sum(connection.msgcount for connection in connections)
        first = None
        if kind in _WITH_HEADER:
            first = next((m for _, m in read_messages(reader, name) if m is not None), None)
            if first is None:
                continue
        elif not count:
            continue
        encoding = str(getattr(first, "encoding", getattr(first, "format", "")))
        topics.append(
            Topic(
                name,
                kind,
                count,
                frame_id=first.header.frame_id if first is not None else "",
                is_depth="compressedDepth" in encoding
                or encoding.split(";")[0] in _DEPTH_ENCODINGS
                or (encoding == "mono16" and "depth" in name),
                width=int(getattr(first, "width", 0)),
            )
        )
    return topics


def read_messages(reader: AnyReader, topic: str) -> Iterator[tuple[int, Any]]:
    """Iterate a topic's messages in the order of the recording.

    Yields
    ------
    int
        Stamp of the header in nanoseconds; the time of recording where the driver left it 0 or
        there is no header.
    message, or None
        None for one that cannot be deserialised.

    Raises
    ------
    ValueError
        If the recording breaks off in the middle.
    """
    connections = [c for c in reader.connections if c.topic == topic]
    if not connections:
        return
    messages = reader.messages(connections)
    while True:
        try:
            connection, received, data = next(messages)
        except StopIteration:
            return
        except Exception as error:
            raise ValueError(f"{topic} breaks off: {_described(error)}") from error
        message: Any
        try:
            message = reader.deserialize(data, connection.msgtype)
            stamp = stamp_ns(message.header) if hasattr(message, "header") else 0
        # A damaged message surfaces as an error of struct, of numpy or of the library.
        except Exception:
            message, stamp = None, 0
        yield stamp or received, message


def find_cameras(topics: Sequence[Topic], wanted: Sequence[str] = ()) -> list[Topic]:
    """Find the image topics to extract.

    Parameters
    ----------
    topics : sequence of Topic
    wanted : sequence of str
        Names given by the user, with or without the transport's last token. By default one topic
        for each camera: the rectified rather than the raw image, colour rather than grey.

    Raises
    ------
    ValueError
        If there is none, or a wanted one is missing.
    """
    images = [topic for topic in topics if topic.is_image]
    if wanted:
        return [_named(images, name) for name in wanted]
    best: dict[str, Topic] = {}
    for topic in images:
        rival = best.get(topic.namespace)
        if rival is None or _preference(topic) > _preference(rival):
            best[topic.namespace] = topic
    if not best:
        seen = ", ".join(f"{topic.name} ({topic.type})" for topic in topics) or "nothing"
        raise ValueError(f"no image topic; the recording holds {seen}")
    return list(best.values())


def find_camera_info(camera: Topic, topics: Sequence[Topic]) -> Topic | None:
    """Find the camera_info of an image topic.

    It stands in the camera's namespace, or else in an outer one whose frame is the same; a single
    camera_info beside a single camera needs no such agreement.
    """
    infos = [topic for topic in topics if topic.type == CAMERA_INFO]
    for info in infos:
        if info.namespace == camera.namespace:
            return info
    same_frame = [info for info in infos if info.frame_id and info.frame_id == camera.frame_id]
    if same_frame:
        return max(same_frame, key=lambda info: _shared_tokens(info.name, camera.name))
    cameras = {topic.namespace for topic in topics if topic.is_image}
    return infos[0] if len(infos) == len(cameras) == 1 else None


def find_depth(camera: Topic, topics: Sequence[Topic]) -> Topic | None:
    """Find the depth image topic that is registered to a camera: of the same frame.

    Of several the one nearest in namespace, then the raw one.
    """
    fitting = [
        topic
        for topic in topics
        if topic.is_depth
        and topic.frame_id == camera.frame_id
        and (topic.type == IMAGE or topic.name.endswith("compressedDepth"))
    ]
    return max(
        fitting,
        key=lambda depth: (_shared_tokens(depth.name, camera.name), depth.type == IMAGE),
        default=None,
    )


def base_name(topic: str) -> str:
    """Return the topic's own name without namespace and transport: image_rect, say."""
    tokens = topic.strip("/").split("/")
    if tokens[-1] in _LAST_TOKENS and len(tokens) > 1:
        tokens.pop()
    return tokens[-1]


def camera_namespace(topic: str) -> str:
    """Return what stands before the base name."""
    tokens = topic.strip("/").split("/")
    if tokens[-1] in _LAST_TOKENS:
        tokens.pop()
    return "/".join(tokens[:-1])


def _named(topics: Sequence[Topic], name: str) -> Topic:
    """Return the topic of a name, or of its raw or compressed transport."""
    for candidate in (name, f"{name}/compressed"):
        for topic in topics:
            if topic.name == candidate:
                return topic
    known = ", ".join(topic.name for topic in topics) or "none"
    raise ValueError(f"there is no image topic {name}; there are: {known}")


def _preference(topic: Topic) -> tuple[bool, bool, bool, int]:
    """Rank the image topics of one camera."""
    name = base_name(topic.name)
    return (topic.is_rectified, "color" in name, topic.type == IMAGE, topic.count)


def _shared_tokens(first: str, second: str) -> int:
    """Count the leading tokens that two topics share."""
    shared = 0
    for a, b in zip(first.strip("/").split("/"), second.strip("/").split("/"), strict=False):
        if a != b:
            break
        shared += 1
    return shared


def _described(error: Exception) -> str:
    """Return an error's text, or its kind where it has none."""
    return str(error).rstrip(".") or type(error).__name__
