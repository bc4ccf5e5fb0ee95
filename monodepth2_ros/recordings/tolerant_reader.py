# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A reader of rosbag2 that does not give up a recording because of one part of it.

rosbags refuses a whole recording if one definition of a type cannot be parsed (those of services
and service events cannot), if one MCAP file lacks its end, and ends an iteration at the first
broken chunk. Here only that topic, that end and that chunk are lost, and the user is told.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monodepth2_ros.recordings.salvage import SalvagedFile, scan

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_log = logging.getLogger(__name__)

#: "sensor_msgs/Image", as ROS 1 names types.
_ROS1_NAME = re.compile(r"^(\w+)/(\w+)$")


class ForeignMessages(ValueError):
    """A recording holds messages of another serialisation than ROS 2's; says which."""


def open_reader(paths: Sequence[Path], problems: list[str]) -> AnyReader:
    """Open a rosbag2 folder or files, or ROS 1 bags.

    Parameters
    ----------
    paths : sequence of Path
    problems : list of str
        Takes what is missing of the recording.

    Returns
    -------
    AnyReader
        Open.

    Raises
    ------
    Exception
        Any, from the storage, if nothing can be read.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    # Bags from before Iron carry no message definitions; those of the messages used here have not
    # changed.
    typestore = get_typestore(Stores.LATEST)
    reader = AnyReader(paths, default_typestore=typestore)
    if reader.is2:
        parts: list[Any] = [TolerantReader(part, typestore, problems) for part in reader.readers]
        reader.readers = parts
    reader.open()
    return reader


class TolerantReader:
    """Stands for a ``rosbags.rosbag2.Reader`` in an AnyReader.

    Parameters
    ----------
    reader : rosbags.rosbag2.Reader
        Not open yet.
    typestore : Typestore
        Definitions to use where those of the recording cannot be parsed.
    problems : list of str
        Takes what is missing of the recording.
    """

    def __init__(self, reader: Any, typestore: Typestore, problems: list[str]) -> None:
        self._reader = reader
        self._typestore = typestore
        self._problems = problems
        self._originals: dict[int, Connection] = {}
        self.connections: list[Connection] = []

    def __enter__(self) -> TolerantReader:
        """Open it, by its content where its index cannot be used."""
        path = Path(self._reader.path)
        try:
            self._reader.open()
        except Exception:
            if path.suffix != ".mcap":
                raise
            contents = scan(path)
            self._reader.storage = SalvagedFile(path, contents)
            self._reader.open()
            self._problems.append(contents.describe(path.name))
        self._originals = {connection.id: connection for connection in self._reader.connections}
        self.connections = [
            usable
            for connection in self._reader.connections
            if (usable := self._usable(connection)) is not None
        ]
        if not self.connections:
            _refuse_foreign(path)
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self._reader.close()

    def __getattr__(self, name: str) -> Any:
        """Give what else a reader has."""
        return getattr(self._reader, name)

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Iterate messages in the order of recording; broken chunks of MCAP files are left out."""
        wanted = {connection.id: connection for connection in connections or self.connections}
        originals = [self._originals[number] for number in wanted]
        last, given = start or 0, 0
        try:
            for original, time, data in self._reader.messages(originals, start, stop):
                given = given + 1 if time == last else 1
                last = time
                yield wanted[original.id], time, data
            return
        except GeneratorExit:
            raise
        except Exception:
            if not self._salvage():
                raise
        for original, time, data in self._reader.messages(originals, last, stop):
            if time == last and given:
                given -= 1  # it came before the broken chunk
                continue
            yield wanted[original.id], time, data

    def _salvage(self) -> bool:
        """Read damaged MCAP files without their index from now on; False if there is none."""
        storage = self._reader.storage
        is_changed = False
        for file in getattr(storage, "storages", None) or [storage]:
            path = Path(file.path)
            if path.suffix != ".mcap" or isinstance(file, SalvagedFile):
                continue
            with contextlib.suppress(ValueError, OSError):
                contents = scan(path)
                if contents.broken or contents.is_cut_off:
                    file.messages = SalvagedFile(path, contents).messages
                    _log.warning("%s", contents.describe(path.name))
                    self._problems.append(contents.describe(path.name))
                    is_changed = True
        return is_changed

    def _usable(self, connection: Connection) -> Connection | None:
        """Return a connection whose definition can be parsed, under the ROS 2 name of its type."""
        from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

        described: tuple[Any, ...] = (connection.topic, connection.msgtype)
        if not all(isinstance(word, str) for word in described):
            self._problems.append(f"metadata.yaml names a topic {described[0]!r:.80}; left out")
            return None
        encoding = getattr(connection.ext, "serialization_format", "cdr")
        if encoding not in ("cdr", ""):
            self._problems.append(
                f"{connection.topic} is left out: its messages are in {encoding!r:.40}, not in CDR"
            )
            return None
        kind = _ROS1_NAME.sub(r"\1/msg/\2", connection.msgtype)
        changed = connection._replace(msgtype=kind, digest="", owner=self)
        count: Any = connection.msgcount
        if not isinstance(count, int):  # metadata.yaml says something else
            changed = changed._replace(msgcount=1)
        if _can_parse(changed, self._typestore):
            return changed
        if kind in self._typestore.fielddefs:
            text = self._typestore.generate_msgdef(kind, ros_version=2)[0]
            return changed._replace(msgdef=MessageDefinition(MessageDefinitionFormat.MSG, text))
        # Services and service events have definitions of another grammar, and no images.
        if "/srv/" not in kind and "/action/" not in kind:
            self._problems.append(
                f"{connection.topic} is left out: the definition of {kind} cannot be parsed"
            )
        return None


def _refuse_foreign(path: Path) -> None:
    """Raise ForeignMessages if MCAP files hold messages, but none of ROS 2."""
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    for file in files:
        if file.suffix != ".mcap":
            continue
        try:
            contents = scan(file)
        except (ValueError, OSError):
            continue
        encodings = sorted({channel.encoding for channel in contents.channels.values()})
        if "cdr" in encodings:
            continue
        named = " and ".join(repr(encoding)[:40] for encoding in encodings)
        fix = "write them with a recorder of ROS 2 (messages in CDR)"
        if contents.profile == "ros1" or "ros1" in encodings:
            fix = "give the ROS 1 bag it was made from, or convert that with 'rosbags-convert'"
        raise ForeignMessages(
            f"{file} is an MCAP with the profile '{contents.profile[:40]}', whose messages are in "
            f"{named}, not in ROS 2's CDR; {fix}"
        )


def _can_parse(connection: Connection, typestore: Typestore) -> bool:
    """Whether the definition of a connection's type can be parsed and is not a damaged one."""
    from rosbags.interfaces import MessageDefinitionFormat
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    definition = connection.msgdef
    if definition.format == MessageDefinitionFormat.NONE:
        return True
    try:
        if definition.format == MessageDefinitionFormat.MSG:
            parsed = get_types_from_msg(definition.data, connection.msgtype)
            return connection.msgtype in parsed and all(
                {field for field, _ in typestore.fielddefs[name][1]} <= {f for f, _ in fields}
                for name, (_, fields) in parsed.items()
                if name in typestore.fielddefs
            )
        separator = "=" * 80 + "\n"
        parts = definition.data.split(separator + "IDL: ")
        for part in parts[1:] if len(parts) > 1 else parts:
            get_types_from_idl(part.split("\n", 1)[1] if len(parts) > 1 else part)
    except Exception:
        return False
    return True
