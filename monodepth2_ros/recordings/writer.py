# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes recordings (rosbag2) of serialised messages; no ROS is needed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from monodepth2_ros.atomic_files import scratch_folder
from monodepth2_ros.recordings.playback import PlaybackError


class RecordingWriter:
    """Writes a rosbag2 (MCAP, zstd), which appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        Folder to make.
    topics : mapping of str to str
        Message types by topic.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.rosbag2.enums import CompressionFormat, CompressionMode
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        self.counts = dict.fromkeys(topics, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file is named after its folder, so the folder has its final name from the start,
        # inside a temporary one.
        self._stack = contextlib.ExitStack()
        self._folder = self._stack.enter_context(scratch_folder(path))
        self._writer = Writer(
            self._folder / path.name, version=9, storage_plugin=StoragePlugin.MCAP
        )
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        store = get_typestore(Stores.LATEST)
        self._connections = {
            topic: self._writer.add_connection(topic, kind, typestore=store)
            for topic, kind in topics.items()
        }

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        """Write a serialised message."""
        self._writer.write(self._connections[topic], time_ns, data)
        self.counts[topic] += 1

    def finish(self, replace: bool = False) -> None:
        """Complete the recording, read it once to be sure, and give it its name.

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
            shutil.rmtree(self.path)
        # An empty folder of that name gives way.
        written.rename(self.path)
        self.discard()

    def discard(self) -> None:
        """Remove what is not finished."""
        with contextlib.suppress(Exception):
            self._writer.abort()
        self._stack.close()
