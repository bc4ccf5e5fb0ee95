# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads what is left of a damaged MCAP file: cut off, without an index, or with broken chunks.

The file is read from its beginning, record by record; its index and footer are not needed. A chunk
whose checksum is wrong costs its own messages only. Where a record makes no sense, reading goes on
at the next chunk. Format: https://mcap.dev/spec.
"""

from __future__ import annotations

import heapq
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

MAGIC = b"\x89MCAP0\r\n"

_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 0x03, 0x04, 0x05, 0x06, 0x07
_HEADER, _FOOTER = 0x01, 0x02
_KNOWN = range(0x01, 0x10)
_HEAD = struct.Struct("<BQ")  # of a record: kind and length of its content
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last time, size, CRC-32
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, number, time of recording, time of publishing
_COMPRESSIONS = (b"", b"lz4", b"zstd")

#: Larger records are taken for damage; no writer makes any.
_LARGEST_RECORD = 1 << 32
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Channel:
    """A channel as the file describes it.

    Attributes
    ----------
    topic, encoding : str
        Name of the topic, serialisation of its messages ("cdr").
    type, definition, format : str
        Name, text and language ("ros2msg") of its messages' definition.
    """

    topic: str
    encoding: str
    type: str
    definition: str
    format: str


@dataclass(frozen=True, order=True)
class _Part:
    """An intact chunk, or a message outside chunks: times in nanoseconds, place in the file."""

    start: int
    end: int
    offset: int
    is_chunk: bool


@dataclass
class Contents:
    """What is left of a file.

    Attributes
    ----------
    channels : dict
        By their number.
    counts : Counter
        Readable messages of each channel.
    parts : list
        Where they are.
    lost : Counter
        Messages of each channel in broken chunks, as far as the file says.
    broken : int
        Chunks that cannot be read, and places where records make no sense.
    is_cut_off : bool
        Whether the end is missing.
    profile : str
        What the file says of its messages: "ros2", "ros1", anything.
    """

    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    parts: list[_Part] = field(default_factory=list)
    lost: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    is_cut_off: bool = False
    profile: str = "ros2"

    def describe(self, name: str) -> str:
        """Say what was read and what is missing."""
        damage = []
        if self.is_cut_off:
            damage.append("its end is missing")
        if self.broken:
            lost = sum(self.lost.values())
            messages = f", with {lost:,} messages" if lost else ""
            damage.append(f"{self.broken} damaged part(s) were left out{messages}")
        if not damage and self.profile != "ros2":
            count = sum(self.counts[n] for n, c in self.channels.items() if c.encoding == "cdr")
            profile = self.profile[:40]
            return (
                f"{name}: its profile is '{profile}', not ros2; {count:,} messages in CDR are used"
            )
        said = " and ".join(damage) or "its index is damaged"
        return (
            f"{name}: {said}; {sum(self.counts.values()):,} messages can be read and are used "
            "('mcap recover' makes a file of them)"
        )


def scan(path: Path) -> Contents:
    """Find what can be read of an MCAP file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Contents

    Raises
    ------
    ValueError
        If it is not an MCAP file, or nothing of it can be read.
    """
    contents = Contents()
    schemas: dict[int, tuple[str, str, str]] = {}
    channels: dict[int, tuple[int, str, str]] = {}
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is not an MCAP file")
        size = path.stat().st_size
        is_after_damage = has_footer = False
        while (offset := file.tell()) < size - len(MAGIC) or not has_footer:
            head = file.read(_HEAD.size)
            kind, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            end = offset + _HEAD.size + length
            if kind not in _KNOWN or end > size or length > _LARGEST_RECORD:
                following = _find_chunk(file, offset + 1, size)
                if following is None:
                    break
                contents.broken += 1
                file.seek(following)
                continue
            try:
                if kind == _CHUNK:
                    part = _read_chunk(file, offset, schemas, channels, contents.counts)
                    is_after_damage = part is None
                    contents.broken += part is None
                    if part is not None:
                        contents.parts.append(part)
                elif kind == _MESSAGE:
                    channel, _, time, _ = _MESSAGE_HEAD.unpack(file.read(_MESSAGE_HEAD.size))
                    contents.counts[channel] += 1
                    contents.parts.append(_Part(time, time, offset, False))
                elif kind == _MESSAGE_INDEX and is_after_damage:
                    channel, entries = struct.unpack("<HI", file.read(6))
                    contents.lost[channel] += entries // 16
                elif kind == _HEADER:
                    contents.profile = _text(file.read(length), 0)[0]
                elif kind in (_SCHEMA, _CHANNEL):
                    _define(kind, file.read(length), schemas, channels)
                has_footer = has_footer or kind == _FOOTER
            except (struct.error, UnicodeDecodeError):
                contents.broken += 1
            file.seek(end)
        contents.is_cut_off = not has_footer
    unknown = ("", "", "")
    for number, (schema, topic, encoding) in channels.items():
        contents.channels[number] = Channel(topic, encoding, *schemas.get(schema, unknown))
    if not sum(contents.counts[number] for number in contents.channels):
        raise ValueError(f"{path} holds no readable message")
    return contents


def messages(
    path: Path, contents: Contents, wanted: Collection[int], start: int, stop: int
) -> Iterator[tuple[int, int, bytes]]:
    """Iterate messages in the order of recording.

    Parameters
    ----------
    path : Path
    contents : Contents
        What :func:`scan` found in the file.
    wanted : collection of int
        Numbers of channels.
    start, stop : int
        Times in nanoseconds, the second exclusive.

    Yields
    ------
    int
        Channel.
    int
        Time of recording.
    bytes
    """
    waiting: list[tuple[int, int, int, bytes]] = []
    number = 0
    with path.open("rb") as file:
        for part in sorted(contents.parts):
            if part.end < start or part.start >= stop:
                continue
            while waiting and waiting[0][0] < part.start:
                time, _, channel, data = heapq.heappop(waiting)
                yield channel, time, data
            for channel, time, data in _messages_of(file, part):
                if channel in wanted and start <= time < stop:
                    heapq.heappush(waiting, (time, number, channel, data))
                    number += 1
    while waiting:
        time, _, channel, data = heapq.heappop(waiting)
        yield channel, time, data


class SalvagedFile:
    """An MCAP file as rosbags sees a storage (``rosbags.rosbag2.reader.ReaderProtocol``).

    Parameters
    ----------
    path : Path
    contents : Contents
        What :func:`scan` found in the file.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        from rosbags.rosbag2.metadata import ReaderMetadata

        self.path = path
        self.contents = contents
        self.connections = list(_connections(self, contents))
        start = min(part.start for part in contents.parts)
        end = max(part.end for part in contents.parts) + 1
        count = sum(connection.msgcount for connection in self.connections)
        self.metadata = ReaderMetadata(end - start, start, end, count, None, None, None, None)

    def open(self) -> None:
        """Do nothing: each iteration opens the file."""

    def close(self) -> None:
        """Do nothing."""

    def messages(
        self,
        connections: Collection[Connection],
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Iterate the messages of connections in the order of recording."""
        by_number = {connection.id: connection for connection in connections}
        begin, end = start or 0, 2**63 if stop is None else stop
        for number, time, data in messages(self.path, self.contents, by_number, begin, end):
            yield by_number[number], time, data


def _connections(owner: Any, contents: Contents) -> Iterator[Connection]:
    """Describe the channels of ROS 2 messages as rosbags does."""
    from rosbags.interfaces import (
        Connection,
        ConnectionExtRosbag2,
        MessageDefinition,
        MessageDefinitionFormat,
    )

    formats = {
        "ros2msg": MessageDefinitionFormat.MSG,
        "ros2idl": MessageDefinitionFormat.IDL,
        "omgidl": MessageDefinitionFormat.IDL,
    }
    for number, channel in sorted(contents.channels.items()):
        if channel.encoding != "cdr":
            continue
        format = formats.get(channel.format, MessageDefinitionFormat.NONE)
        text = channel.definition if channel.format in formats else ""
        yield Connection(
            number,
            channel.topic,
            channel.type,
            MessageDefinition(format, text),
            "",
            contents.counts[number],
            ConnectionExtRosbag2("cdr", []),
            owner,
        )


def _read_chunk(
    file: BinaryIO,
    offset: int,
    schemas: dict[int, tuple[str, str, str]],
    channels: dict[int, tuple[int, str, str]],
    counts: Counter[int],
) -> _Part | None:
    """Take note of what is in a chunk; None if it is broken."""
    content = _chunk_content(file, offset)
    if content is None:
        return None
    times = []
    found: Counter[int] = Counter()
    try:
        for kind, begin, length in _records(content):
            if kind == _MESSAGE:
                channel, _, time, _ = _MESSAGE_HEAD.unpack_from(content, begin)
                found[channel] += 1
                times.append(time)
            elif kind in (_SCHEMA, _CHANNEL):
                _define(kind, content[begin : begin + length], schemas, channels)
    except (struct.error, UnicodeDecodeError):
        return None
    counts.update(found)
    return _Part(min(times, default=0), max(times, default=0), offset, True)


def _messages_of(file: BinaryIO, part: _Part) -> Iterator[tuple[int, int, bytes]]:
    """Read the messages of a part."""
    if not part.is_chunk:
        file.seek(part.offset)
        _, length = _HEAD.unpack(file.read(_HEAD.size))
        channel, _, time, _ = _MESSAGE_HEAD.unpack(file.read(_MESSAGE_HEAD.size))
        yield channel, time, file.read(length - _MESSAGE_HEAD.size)
        return
    content = _chunk_content(file, part.offset)
    for kind, begin, length in _records(content or b""):
        if kind == _MESSAGE:
            channel, _, time, _ = _MESSAGE_HEAD.unpack_from(content or b"", begin)
            yield channel, time, (content or b"")[begin + _MESSAGE_HEAD.size : begin + length]


def _chunk_content(file: BinaryIO, offset: int) -> bytes | None:
    """Return the records of a chunk, decompressed and verified; None if it is broken."""
    file.seek(offset)
    try:
        _, length = _HEAD.unpack(file.read(_HEAD.size))
        content = file.read(length)
        _, _, size, checksum = _CHUNK_HEAD.unpack_from(content)
        place = _CHUNK_HEAD.size
        (letters,) = struct.unpack_from("<I", content, place)
        compression = content[place + 4 : place + 4 + letters]
        place += 4 + letters
        (compressed,) = struct.unpack_from("<Q", content, place)
        place += 8
        records = _decompress(content[place : place + compressed], compression)
    except Exception:  # of struct, and of the libraries that decompress
        return None
    is_intact = len(records) == size and (not checksum or zlib.crc32(records) == checksum)
    return records if is_intact else None


def _decompress(data: bytes, compression: bytes) -> bytes:
    """Decompress a chunk with the libraries that rosbags brings."""
    if compression == b"lz4":
        from lz4.frame import decompress

        return bytes(decompress(data))
    if compression == b"zstd":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        return bytes(zstd.decompress(data))
    if compression:
        raise ValueError(compression)
    return data


def _records(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate kind, place and length of the records in a chunk."""
    place = 0
    while place < len(content):
        kind, length = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        if place + length > len(content):
            raise struct.error("a record is longer than its chunk")
        yield kind, place, length
        place += length


def _define(
    kind: int,
    content: bytes,
    schemas: dict[int, tuple[str, str, str]],
    channels: dict[int, tuple[int, str, str]],
) -> None:
    """Read a schema or a channel."""
    number, place = struct.unpack_from("<H", content)[0], 2
    if kind == _SCHEMA:
        name, place = _text(content, place)
        format, place = _text(content, place)
        definition, _ = _text(content, place)
        schemas[number] = (name, definition, format)
        return
    (schema,) = struct.unpack_from("<H", content, place)
    topic, place = _text(content, place + 2)
    encoding, _ = _text(content, place)
    channels[number] = (schema, topic, encoding)


def _text(content: bytes, place: int) -> tuple[str, int]:
    """Read a text and return the place behind it."""
    (length,) = struct.unpack_from("<I", content, place)
    begin, end = place + 4, place + 4 + length
    if end > len(content):
        raise struct.error("a text is longer than its record")
    return content[begin:end].decode(), end


def _find_chunk(file: BinaryIO, offset: int, size: int) -> int | None:
    """Find the next chunk that lies whole in the file, from its head alone."""
    longest = _HEAD.size + _CHUNK_HEAD.size + 4 + 4 + 8
    while offset < size:
        file.seek(offset)
        block = file.read(_BLOCK + longest)
        place = block.find(_CHUNK, 0, _BLOCK)
        while place >= 0:
            if _is_chunk(block[place : place + longest], size - offset - place):
                return offset + place
            place = block.find(_CHUNK, place + 1, _BLOCK)
        offset += _BLOCK
    return None


def _is_chunk(head: bytes, room: int) -> bool:
    """Whether bytes are the head of a chunk: its lengths must agree with each other."""
    fixed = _HEAD.size + _CHUNK_HEAD.size
    if len(head) < fixed + 12:
        return False
    _, length = _HEAD.unpack_from(head)
    (letters,) = struct.unpack_from("<I", head, fixed)
    if letters > 4 or length + _HEAD.size > room:
        return False
    if head[fixed + 4 : fixed + 4 + letters] not in _COMPRESSIONS:
        return False
    (compressed,) = struct.unpack_from("<Q", head.ljust(fixed + 20, b"\0"), fixed + 4 + letters)
    return bool(length == _CHUNK_HEAD.size + 4 + letters + 8 + compressed)
