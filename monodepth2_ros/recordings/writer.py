# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes recordings (rosbag2) of serialised messages; no ROS is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from monodepth2_ros.atomic_files import move_into_place, scratch_folder
from monodepth2_ros.recordings.playback import PlaybackError
from monodepth2_ros.target_lock import exclusive

#: Storage plugins of rosbag2 that can be written.
STORAGES = ("mcap", "sqlite3")


class RecordingWriter:
    """Writes a rosbag2, which appears under its name only when it is complete.

    As a context manager it removes at the end what :meth:`finish` has not completed.

    Parameters
    ----------
    path : Path
        Folder to make.
    topics : mapping of str to str
        Message types by topic.
    storage : str
        One of :data:`STORAGES`.
    compress : bool
        Compress MCAP's chunks with zstd; images that are JPEG already hardly shrink.

    Raises
    ------
    ValueError
        If the storage is unknown.
    """

    def __init__(
        self,
        path: Path,
        topics: Mapping[str, str],
        storage: str = "mcap",
        compress: bool = True,
    ) -> None:
        if storage not in STORAGES:
            raise ValueError(f"storage is '{storage}'; give {' or '.join(STORAGES)}")
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.rosbag2.enums import CompressionFormat, CompressionMode
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        self.counts: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file is named after its folder, so the folder has its final name from the start,
        # inside a temporary one.
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(exclusive(path))
        self._folder = self._stack.enter_context(scratch_folder(path))
        self._writer = Writer(
            self._folder / path.name, version=9, storage_plugin=StoragePlugin[storage.upper()]
        )
        if compress:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._types = get_typestore(Stores.LATEST)
        self._connections: dict[str, Any] = {}
        for topic, kind in topics.items():
            self.add_topic(topic, kind)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def add_topic(self, topic: str, kind: str) -> None:
        """Declare a topic and its message type."""
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._types)
        self.counts[topic] = 0

    def write(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """Write a serialised message."""
        self._writer.write(self._connections[topic], time_ns, data)
        self.counts[topic] += 1

    def finish(self, replace: bool = False) -> None:
        """Complete the recording, read it once to be sure, and give it its name.

        Parameters
        ----------
        replace : bool
            Replace a recording of that name; else only an empty folder may be there.

        Raises
        ------
        PlaybackError
            If what can be read is not what was written.
        """
        from rosbags.rosbag2 import Reader

        self._writer.close()
        written = self._folder / self.path.name
        read = dict.fromkeys(self.counts, 0)
        with Reader(written) as reader:
            for connection, _, _ in reader.messages():
                read[connection.topic] += 1
        if read != self.counts:
            raise PlaybackError(f"{self.path}: wrote {self.counts} messages, can read {read}")
        if replace and self.path.exists():
            self.path.rename(self._folder / "replaced")
        move_into_place(written, self.path)
        self.discard()

    def discard(self) -> None:
        """Remove what is not finished."""
        with contextlib.suppress(Exception):
            self._writer.abort()
        self._stack.close()
