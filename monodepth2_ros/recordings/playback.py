# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: what a camera and its depth sensor said, in the order of recording.

Bags of ROS 2 (MCAP, sqlite3) and ROS 1 are read with the rosbags library; no ROS is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monodepth2_ros.camera import same_aspect
from monodepth2_ros.recordings.bags import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    POINT_CLOUD,
    RecordedTopic,
    list_topics,
    open_recording,
    read_messages,
    read_timed,
)
from monodepth2_ros.recordings.joins import (
    ChosenTopic,
    JoinError,
    Ways,
    camera_in_its_place,
    choose_camera_info,
    choose_one_camera,
    rank_depth,
    refused_as_truth,
)
from monodepth2_ros.recordings.topic_kinds import classify
from monodepth2_ros.recordings.transforms import read_frame_tree
from monodepth2_ros.scale.mounting import OPTICAL, mounting_values
from monodepth2_ros.scale.poses import invert_pose
from monodepth2_ros.topic_names import same_frame

__all__ = [
    "CAMERA_INFO",
    "COMPRESSED_IMAGE",
    "IMAGE",
    "ODOMETRY",
    "POINT_CLOUD",
    "Event",
    "Odometry",
    "Playback",
    "PlaybackError",
    "PlayedTopics",
    "RecordedTopic",
]

#: How a user of the demo chooses topics.
WAYS = Ways("--image-topic TOPIC", "--camera-info-topic TOPIC", "--truth-topic TOPIC")

# Among messages recorded at the same time, what belongs to an image goes before it.
_ORDER = ("camera_info", "depth", "odometry", "image")

# With fewer camera_info messages than this share of the images, it is published once or rarely.
_RARE = 0.9


class PlaybackError(ValueError):
    """A recording cannot be read or lacks what is needed; the message says what to do."""


@dataclass(frozen=True)
class PlayedTopics:
    """The topics that are played; `depth` is only read, as ground truth.

    `info_frame` is the frame of the camera_info messages that are the camera's. `odometry` is
    played once :meth:`Playback.play_odometry` has chosen it.
    """

    image: RecordedTopic
    camera_info: RecordedTopic | None = None
    depth: RecordedTopic | None = None
    info_frame: str = ""
    odometry: RecordedTopic | None = None

    @property
    def info_is_rare(self) -> bool:
        """Whether camera_info comes less often than images, as from drivers that latch it."""
        return self.camera_info is not None and self.camera_info.count < _RARE * self.image.count


@dataclass(frozen=True)
class Odometry:
    """Odometry in a recording.

    Attributes
    ----------
    topic : RecordedTopic
    body : str
        Frame whose pose it is.
    mounting : tuple of float, or None
        Where the camera sits in the body, as x, y, z, roll, pitch, yaw of its ``camera_link``
        (metres, radians); None where the recording does not say. Zero for odometry of the camera
        itself.
    """

    topic: RecordedTopic
    body: str
    mounting: tuple[float, ...] | None


@dataclass(frozen=True)
class Event:
    """A message of a recording.

    Attributes
    ----------
    kind : {"image", "camera_info", "depth", "odometry"}
    time_ns : int
        When it was recorded.
    stamp_ns : int
        Stamp of its header; `time_ns` where the driver left that 0.
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
    topics : PlayedTopics
    others : list of str
        Further image topics that could have been played.
    unreadable : int
        Messages left out because they are damaged.
    choices : list of ChosenTopic
        What was chosen and why, see :mod:`monodepth2_ros.recordings.joins`.
    problems : list of str
        Files of the recording that cannot be read.

    Raises
    ------
    PlaybackError
        If there is no readable recording, or no such topic.
    """

    def __init__(self, path: Path, image: str = "", camera_info: str = "", depth: str = "") -> None:
        self.path = path
        self.unreadable = 0
        self.problems: list[str] = []
        self._stack = contextlib.ExitStack()
        try:
            self._reader = self._stack.enter_context(open_recording(path, self.problems))
            topics = list_topics(self._reader)
            self.topics, self.choices = _choose(topics, image, camera_info, depth)
        except PlaybackError:
            self.close()
            raise
        except ValueError as error:
            self.close()
            raise PlaybackError(str(error)) from error
        except BaseException:
            self.close()
            raise
        self.others = [t.name for t in topics if t.is_image and t != self.topics.image]
        self._all_topics = topics

    def __enter__(self) -> Playback:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the recording."""
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return 1e-9 * self._reader.duration

    def find_odometry(self) -> list[Odometry]:
        """Find odometry, that of the camera itself first, then that of bodies that carry it."""
        camera = self.topics.image.frame_id
        found = []
        for topic in self._all_topics:
            if topic.type != ODOMETRY:
                continue
            messages = (message for _, message in read_messages(self._reader, topic.name))
            first = next((message for message in messages if message is not None), None)
            if first is not None:
                found.append(Odometry(topic, first.child_frame_id, None))
        own = [replace(one, mounting=(0.0,) * 6) for one in found if same_frame(one.body, camera)]
        if own or not found:
            return own + [one for one in found if not same_frame(one.body, camera)]
        # Only now, as reading all transforms takes long.
        tree = read_frame_tree(self._reader, self._all_topics)
        mounted, others = [], []
        for one in found:
            pose = tree.still_transform(one.body.lstrip("/"), camera.lstrip("/"))
            if pose is None:
                others.append(one)
            else:
                link = pose @ invert_pose(OPTICAL)
                mounted.append(replace(one, mounting=mounting_values(link)))
        return mounted + others

    def play_odometry(self, topic: RecordedTopic) -> None:
        """Let :meth:`events` yield a topic's messages, too."""
        self.topics = replace(self.topics, odometry=topic)

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
            topic: RecordedTopic | None = getattr(self.topics, kind)
            if topic is not None:
                kind_of[topic.name] = kind
        try:
            for time_ns, stamp, (name, message) in read_timed(
                self._reader, list(kind_of), start=start_ns
            ):
                if message is None:
                    self.unreadable += 1
                elif not self._is_foreign(kind_of[name], message):
                    yield Event(kind_of[name], time_ns, stamp, message)
        except ValueError as error:
            raise PlaybackError(f"{self.path}: {error}") from error

    def _is_foreign(self, kind: str, message: Any) -> bool:
        """Return whether a camera_info is another camera's, on a topic that several share."""
        info = self.topics.camera_info
        if kind != "camera_info" or info is None or len(info.frames) < 2:
            return False
        return same_frame(message.header.frame_id, self.topics.info_frame) is False


def _choose(
    topics: list[RecordedTopic], image: str, camera_info: str, depth: str
) -> tuple[PlayedTopics, list[ChosenTopic]]:
    """Choose what to play: what was asked for, or what belongs together by the evidence."""
    try:
        camera = choose_one_camera(topics, image, WAYS)
        assert camera.chosen is not None
        info = choose_camera_info(camera.chosen, topics, camera_info, WAYS)
    except JoinError as error:
        raise PlaybackError(str(error)) from error
    choices = [camera, info]
    truth = _choose_depth(camera.chosen, topics, depth)
    if truth is not None:
        choices.append(truth)
    chosen = truth.chosen if truth is not None else None
    return PlayedTopics(camera.chosen, info.chosen, chosen, info.frame_id), choices


def _choose_depth(
    camera: RecordedTopic, topics: list[RecordedTopic], wanted: str
) -> ChosenTopic | None:
    """Choose the depth images of the camera's own frame; None if the recording has none."""
    candidates = classify(topics)
    if wanted:
        depths = [topic for topic in topics if topic.is_depth]
        for topic in depths:
            if wanted in (topic.name, topic.base_name):
                return ChosenTopic("truth", topic, "named by the user")
        known = ", ".join(topic.name for topic in depths) or "none"
        raise PlaybackError(f"there is no depth topic {wanted}; there are: {known}")
    refused = list(refused_as_truth(candidates))
    chosen = None
    for _, topic in rank_depth(camera, candidates):
        if not same_frame(topic.frame_id, camera.frame_id):
            refused.append((topic.name, f"its frame is '{topic.frame_id}'"))
        elif camera_in_its_place(topic, camera, topics) is not None:
            refused.append((topic.name, "of the same frame, but another camera's"))
        elif camera.width and not same_aspect(
            topic.width, topic.height, camera.width, camera.height
        ):
            refused.append((topic.name, f"{topic.width}x{topic.height} is another view"))
        elif chosen is None:
            chosen = topic
        else:
            refused.append((topic.name, "ranks behind"))
    if chosen is None and not refused:
        return None
    why = "named depth, of the image's frame" if chosen is not None else "no depth of this camera"
    return ChosenTopic("truth", chosen, why, tuple(refused), WAYS.truth)
