# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: what a camera and its depth sensor said, in the order of recording.

Bags of ROS 2 (MCAP, sqlite3) and ROS 1 are read with the rosbags library; no ROS is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monodepth2_ros.conversions import stamp_ns

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"

_DEPTH_ENCODINGS = ("16UC1", "32FC1")
_TRANSPORTS = ("compressed", "compressedDepth")

# Of messages recorded at the same time, what belongs to an image goes before it.
_ORDER = ("camera_info", "depth", "image")

# With fewer camera_info messages than this share of the images, it is published once or rarely.
_RARE = 0.9


class PlaybackError(ValueError):
    """A recording cannot be read or lacks what is needed; the message says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic of a recording that has a header.

    Attributes
    ----------
    name, type : str
    count : int
        Messages.
    frame_id : str
        Of the first message.
    encoding : str
        Of the first image, or the format of a compressed one.
    """

    name: str
    type: str
    count: int
    frame_id: str = ""
    encoding: str = ""

    @property
    def is_depth(self) -> bool:
        """Whether it holds depth images."""
        return self.type in (IMAGE, COMPRESSED_IMAGE) and (
            self.encoding in _DEPTH_ENCODINGS or "compressedDepth" in self.encoding
        )

    @property
    def is_image(self) -> bool:
        """Whether it holds images that are no depth."""
        return self.type in (IMAGE, COMPRESSED_IMAGE) and not self.is_depth

    @property
    def is_compressed(self) -> bool:
        """Whether its messages are CompressedImage."""
        return self.type == COMPRESSED_IMAGE

    @property
    def base_name(self) -> str:
        """The name without the transport: what image_transport calls the base topic."""
        head, _, tail = self.name.rpartition("/")
        return head if tail in _TRANSPORTS and head else self.name

    @property
    def namespace(self) -> str:
        """The camera's namespace."""
        return self.base_name.rpartition("/")[0]


@dataclass(frozen=True)
class Topics:
    """The topics that are played; `depth` is only read, as the truth."""

    image: Topic
    camera_info: Topic | None = None
    depth: Topic | None = None

    @property
    def info_is_rare(self) -> bool:
        """Whether camera_info comes less often than images, as from drivers that latch it."""
        return self.camera_info is not None and self.camera_info.count < _RARE * self.image.count


@dataclass(frozen=True)
class Event:
    """A message of a recording.

    Attributes
    ----------
    kind : {"image", "camera_info", "depth"}
    time_ns : int
        When it was recorded.
    stamp_ns : int
        Of its header; `time_ns` where the driver left that 0.
    message : object
        As the rosbags library gives it.
    """

    kind: str
    time_ns: int
    stamp_ns: int
    message: Any


class Playback:
    """An open recording; a context manager.

    Parameters
    ----------
    path : Path
        A rosbag2 folder, an .mcap or .db3 file, or a ROS 1 .bag file.
    image, camera_info, depth : str
        Topics, with or without the transport; empty to find them by type.

    Attributes
    ----------
    path : Path
    topics : Topics
    others : list of str
        Further image topics that could have been played.
    unreadable : int
        Messages left out because they are damaged.

    Raises
    ------
    PlaybackError
        If there is no readable recording, or no such topic.
    """

    def __init__(self, path: Path, image: str = "", camera_info: str = "", depth: str = "") -> None:
        self.path = path
        self.unreadable = 0
        self._reader = _open(path)
        try:
            topics = _list_topics(self._reader)
            self.topics = _choose(topics, image, camera_info, depth)
        except BaseException:
            self.close()
            raise
        self.others = [t.name for t in topics if t.is_image and t != self.topics.image]

    def __enter__(self) -> Playback:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the recording."""
        with contextlib.suppress(Exception):
            self._reader.close()

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return 1e-9 * self._reader.duration

    def events(self, start: float = 0.0, frames: int | None = None) -> Iterator[Event]:
        """Iterate messages in the order of recording.

        Parameters
        ----------
        start : float
            Seconds from the beginning of the recording.
        frames : int, optional
            End after so many images.

        Yields
        ------
        Event
        """
        start_ns = self._reader.start_time + round(1e9 * start)
        if start > 0.0 and self.topics.info_is_rare:
            latched = None
            for event in self._read(("camera_info",)):
                if latched is not None and event.time_ns >= start_ns:
                    break
                latched = event
            if latched is not None:
                yield latched
        images = 0
        group: list[Event] = []
        for event in self._read(_ORDER, start_ns):
            if group and event.time_ns != group[0].time_ns:
                yield from sorted(group, key=lambda item: _ORDER.index(item.kind))
                group = []
            if event.kind == "image":
                images += 1
                if frames is not None and images > frames:
                    break
            group.append(event)
        yield from sorted(group, key=lambda item: _ORDER.index(item.kind))

    def first(self, kind: str, start: float = 0.0) -> Event | None:
        """Return the first message of a kind from `start` seconds on, or None."""
        start_ns = self._reader.start_time + round(1e9 * start)
        return next(self._read((kind,), start_ns), None)

    def _read(self, kinds: tuple[str, ...], start_ns: int | None = None) -> Iterator[Event]:
        """Read messages of some kinds; leave out damaged ones."""
        kind_of = {}
        for kind in kinds:
            topic: Topic | None = getattr(self.topics, kind)
            if topic is not None:
                kind_of[topic.name] = kind
        connections = [c for c in self._reader.connections if c.topic in kind_of]
        if not connections:
            return
        messages = self._reader.messages(connections, start=start_ns)
        while True:
            try:
                connection, time_ns, data = next(messages)
            except StopIteration:
                return
            # A damaged file surfaces as whatever its storage stumbles over.
            except Exception as error:
                raise PlaybackError(f"{self.path} breaks off: {_described(error)}") from error
            try:
                message: Any = self._reader.deserialize(data, connection.msgtype)
                stamp = stamp_ns(message.header)
            except Exception:
                self.unreadable += 1
                continue
            yield Event(kind_of[connection.topic], time_ns, stamp or time_ns, message)


def _open(path: Path) -> AnyReader:
    """Open a recording."""
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise PlaybackError(
            "reading recordings needs the library rosbags: pip install 'monodepth2_ros[ros]'"
        ) from error
    if not path.exists():
        raise PlaybackError(f"recording {path} does not exist (looked from {Path.cwd()})")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise PlaybackError(
            f"{path} has no metadata.yaml: it is no rosbag2, or its recorder was killed; try one "
            "of the files in it, or 'ros2 bag reindex'"
        )
    try:
        # Bags from before Iron carry no message definitions; those used here have not changed.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    # A damaged file surfaces as whatever its storage stumbles over.
    except Exception as error:
        raise PlaybackError(f"{path} cannot be read as a recording: {_described(error)}") from error
    return reader


def _described(error: Exception) -> str:
    """Return an error's text, or its kind where it has none."""
    return str(error).rstrip(".") or type(error).__name__


def _list_topics(reader: AnyReader) -> list[Topic]:
    """Describe the image and camera_info topics by their first messages."""
    by_name: dict[str, list[Connection]] = {}
    for connection in reader.connections:
        if connection.msgtype in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO):
            by_name.setdefault(connection.topic, []).append(connection)
    topics = []
    for name, connections in sorted(by_name.items()):
        kind = connections[0].msgtype
        message: Any = None
        with contextlib.suppress(Exception):
            _, _, data = next(reader.messages(connections))
            message = reader.deserialize(data, kind)
        if message is None:
            continue  # empty, or damaged from the beginning
        topics.append(
            Topic(
                name,
                kind,
                sum(connection.msgcount for connection in connections),
                message.header.frame_id,
                str(getattr(message, "encoding", getattr(message, "format", ""))),
            )
        )
    return topics


def _choose(topics: list[Topic], image: str, camera_info: str, depth: str) -> Topics:
    """Choose what to play: what was asked for, or what fits together."""
    images = [topic for topic in topics if topic.is_image]
    if image:
        camera = _named(images, image, "image")
    elif images:
        camera = max(images, key=_preference)
    else:
        held = ", ".join(f"{t.name} ({t.encoding or t.type})" for t in topics) or "neither"
        raise PlaybackError(
            f"the recording has no image topic (sensor_msgs Image or CompressedImage that is no "
            f"depth); of images and camera_info it holds: {held}"
        )
    infos = [topic for topic in topics if topic.type == CAMERA_INFO]
    depths = [topic for topic in topics if topic.is_depth]
    return Topics(
        camera,
        _named(infos, camera_info, "camera_info") if camera_info else _info_of(camera, infos),
        _named(depths, depth, "depth") if depth else _depth_of(camera, depths),
    )


def _named(topics: list[Topic], name: str, kind: str) -> Topic:
    """Return the topic of a name, with or without its transport."""
    for topic in topics:
        if name in (topic.name, topic.base_name):
            return topic
    known = ", ".join(topic.name for topic in topics) or "none"
    raise PlaybackError(f"the recording has no {kind} topic {name}; it has: {known}")


def _preference(topic: Topic) -> tuple[bool, bool, bool, int]:
    """Rank image topics: rectified, colour, raw, many."""
    name = topic.base_name.rpartition("/")[2]
    return ("rect" in name, "mono" not in topic.encoding, not topic.is_compressed, topic.count)


def _info_of(camera: Topic, infos: list[Topic]) -> Topic | None:
    """Find a camera's calibration: in its namespace, or in its frame."""
    beside = [info for info in infos if info.namespace == camera.namespace]
    same_frame = [info for info in infos if info.frame_id and info.frame_id == camera.frame_id]
    return next(iter([*beside, *same_frame]), None)


def _depth_of(camera: Topic, depths: list[Topic]) -> Topic | None:
    """Find the depth images that are registered to a camera: those in its frame."""
    fitting = [depth for depth in depths if depth.frame_id == camera.frame_id]
    return max(fitting, key=lambda depth: (not depth.is_compressed, depth.count), default=None)
