# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: opening rosbag2 and ROS 1 bags, and describing what is in them.

Read with the library rosbags, so no ROS is needed. This module only describes topics; which of
them belong together is decided in :mod:`monodepth2_ros.recordings.joins`.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration
from monodepth2_ros.conversions import compressed_size, decode_compressed, decode_image, stamp_ns
from monodepth2_ros.damage import describe_impostor
from monodepth2_ros.recordings.tolerant_reader import ForeignMessages, open_reader
from monodepth2_ros.topic_names import base_topic, is_rectified_name

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
ODOMETRY = "nav_msgs/msg/Odometry"
POSE = "geometry_msgs/msg/PoseStamped"
TRANSFORMS = "tf2_msgs/msg/TFMessage"
ROS1_TRANSFORMS = "tf/msg/tfMessage"

_KNOWN_TYPES = (
    IMAGE,
    COMPRESSED_IMAGE,
    CAMERA_INFO,
    POINT_CLOUD,
    ODOMETRY,
    POSE,
    TRANSFORMS,
    ROS1_TRANSFORMS,
)
_WITH_HEADER = (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO, POINT_CLOUD, ODOMETRY, POSE)
_PICTURES = (IMAGE, COMPRESSED_IMAGE)
_STORAGE_OF = {".mcap": "mcap", ".db3": "sqlite3"}

# Messages read from the beginning of a topic for its stamps and frames.
_SAMPLED_MESSAGES = 30

# The recording is divided into this many parts to see how much of it a topic covers.
_PARTS = 10

#: Encodings that hold depth, or another measurement, rather than a picture.
MEASUREMENT_ENCODINGS = ("16UC1", "32FC1", "64FC1", "16SC1")


@dataclass(frozen=True)
class RecordedTopic:
    """A topic of a recording, with the evidence for what it holds.

    Attributes
    ----------
    name, type : str
    count : int
        Messages.
    frame_id : str
        Frame of the first message; empty where it has no header.
    encoding : str
        Encoding of the first image, or format of the first compressed one.
    width, height : int
        Size of the first image, or of the image that a camera_info is for; 0 if unknown.
    frames : tuple of str
        Frames of the first messages, most frequent first.
    stamps : tuple of int
        Stamps of the first messages in nanoseconds.
    covered : float
        Share of the recording's duration with messages, in tenths.
    strays : tuple of str
        Types of other messages on the same topic, with their counts.
    calibrations : tuple of Calibration
        One for each of `frames`, for a camera_info.
    picture : ndarray, shape (H, W, 3), uint8, or None
        The first image, RGB, where it can be decoded as one.
    is_organized : bool
        A point cloud in rows and columns, with colours.
    """

    name: str
    type: str
    count: int
    frame_id: str = ""
    encoding: str = ""
    width: int = 0
    height: int = 0
    frames: tuple[str, ...] = ()
    stamps: tuple[int, ...] = ()
    covered: float = 1.0
    strays: tuple[str, ...] = ()
    calibrations: tuple[Calibration, ...] = field(default=(), repr=False)
    picture: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    is_organized: bool = False

    @property
    def pixel_encoding(self) -> str:
        """The encoding of the pixels, without what a transport adds: rgb8, 16UC1."""
        return self.encoding.split(";")[0].strip()

    @property
    def is_depth(self) -> bool:
        """Whether its encoding is one of measurements (16UC1, 32FC1, compressedDepth)."""
        return self.type in _PICTURES and (
            "compressedDepth" in self.encoding
            or self.pixel_encoding in MEASUREMENT_ENCODINGS
            or (self.pixel_encoding == "mono16" and "depth" in self.name)
        )

    @property
    def is_image(self) -> bool:
        """Whether it holds images in an encoding of pictures."""
        return self.type in _PICTURES and not self.is_depth

    @property
    def is_compressed(self) -> bool:
        """Whether its messages are CompressedImage."""
        return self.type == COMPRESSED_IMAGE

    @property
    def is_rectified(self) -> bool:
        """Whether its name says that the images are rectified."""
        return is_rectified_name(self.name)

    @property
    def base_name(self) -> str:
        """The name without the transport: what image_transport calls the base topic."""
        return base_topic(self.name)

    @property
    def namespace(self) -> str:
        """What stands before the base name, without the leading slash."""
        return self.base_name.strip("/").rpartition("/")[0]


@contextlib.contextmanager
def open_recording(path: Path, problems: list[str] | None = None) -> Iterator[AnyReader]:
    """Open a rosbag2 (folder, .mcap or .db3) or a ROS 1 bag.

    A rosbag2 folder without metadata.yaml, as a killed recorder leaves it, is opened by its
    files. If a recording has several files, those that can be read are used.

    Parameters
    ----------
    path : Path
    problems : list of str, optional
        Takes what the user should know: files that are damaged or missing. Damage in the middle
        of a file is added when it is met, while messages are read.

    Raises
    ------
    ValueError
        If there is no recording at `path` or it cannot be read, with what may help.
    """
    with contextlib.ExitStack() as stack:
        reader = _open(path, [] if problems is None else problems, stack)
        try:
            yield reader
        finally:
            with contextlib.suppress(Exception):
                reader.close()


def _open(path: Path, problems: list[str], stack: contextlib.ExitStack) -> AnyReader:
    """Open a recording; see :func:`open_recording`."""
    try:
        import rosbags.highlevel  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "reading recordings needs the library rosbags: pip install 'monodepth2_ros[ros]'"
        ) from error
    if not path.exists():
        raise ValueError(f"recording {path} does not exist (looked from {Path.cwd()})")
    if path.is_dir() and path.suffix == ".bag":
        raise ValueError(
            f"{path} is a folder that is named like a ROS 1 bag, for which rosbags takes it; "
            "rename it without '.bag'"
        )
    if not path.is_dir():
        if not path.is_file():
            raise ValueError(describe_impostor(path))
        return _open_whole(path, [path], problems)
    pointers = [file for file in _bag_files(path) if "Git LFS" in describe_impostor(file)]
    if pointers and len(pointers) == len(_bag_files(path)):
        raise ValueError(describe_impostor(pointers[0]))
    if (path / "metadata.yaml").exists():
        try:
            # A truncated database opens, and breaks off in the middle of the others.
            databases = list(path.glob("*.db3"))
            cut = [file.name for file in databases if _is_cut_off(file)]
            if cut and len(databases) > 1:
                raise ValueError(f"{path}: {', '.join(cut)} was cut off. {_repair(path)}")
            return _open_whole(path, [path], problems)
        except ForeignMessages:
            raise
        except ValueError as error:
            return _open_by_metadata(path, problems, stack, error)
    files = _bag_files(path)
    if not files:
        raise ValueError(
            f"{path} is not a recording: it has neither metadata.yaml nor bag files (.mcap, .db3). "
            "If files are elsewhere, copy them here; 'ros2 bag reindex' writes metadata.yaml"
        )
    return _open_whole(path, _readable(path, files, problems), problems)


def _bag_files(path: Path) -> list[Path]:
    """List the storage files in a folder, in their order."""
    return sorted(
        (file for file in path.iterdir() if file.suffix in _STORAGE_OF), key=_split_number
    )


def _open_whole(path: Path, paths: Sequence[Path], problems: list[str]) -> AnyReader:
    """Open a folder with metadata, or files; note what is left out."""
    known = len(problems)
    try:
        reader = open_reader(paths, problems)
    except ForeignMessages:
        raise
    # A damaged file surfaces as whatever its storage stumbles over.
    except Exception as error:
        del problems[known:]
        impostor = describe_impostor(path)
        if impostor:
            raise ValueError(impostor) from error
        raise ValueError(f"{path} cannot be read: {_described(error)}. {_repair(path)}") from error
    return reader


def _open_by_metadata(
    path: Path, problems: list[str], stack: contextlib.ExitStack, error: ValueError
) -> AnyReader:
    """Open a folder whose metadata does not fit its files, with metadata that does.

    The folder is left alone: the metadata and links to the files go to a temporary folder.
    """
    try:
        content = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        information = content["rosbag2_bagfile_information"]
        listed = [path / Path(name).name for name in information["relative_file_paths"]]
    except Exception:
        listed, content = [], None
    if content is None or not listed:
        files = _bag_files(path)
        if not files:
            raise error
        problems.append(
            f"{path / 'metadata.yaml'} is damaged and ignored; 'ros2 bag reindex' writes it again"
        )
        return _open_whole(path, _readable(path, files, problems), problems)
    present = [file for file in listed if _exists(file)]
    for file in listed:
        if file not in present:
            problems.append(f"{file.name}, which metadata.yaml lists, is missing; the rest is used")
    if not present:
        raise error
    storage = information.get("storage_identifier")
    if storage not in _STORAGE_OF.values():
        suffix = (
            present[0].with_suffix("").suffix if present[0].suffix == ".zstd" else present[0].suffix
        )
        found = _STORAGE_OF.get(suffix)
        if found is None:
            raise ValueError(
                f"{path / 'metadata.yaml'}: storage_identifier is '{storage}' and the files end "
                f"in '{suffix}'; write mcap or sqlite3 there"
            ) from error
        information["storage_identifier"] = found
        problems.append(
            f"metadata.yaml: storage_identifier is '{storage}'; read as {found}, as the file "
            f"{present[0].name} is named"
        )
    if str(information.get("compression_mode") or "none").lower() == "none":
        return _open_whole(path, _readable(path, present, problems), problems)

    def open_copy(files: Sequence[Path]) -> AnyReader:
        """Open compressed files with metadata that list these only."""
        information["relative_file_paths"] = [file.name for file in files]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recording.")))
        for file in files:
            (folder / file.name).symlink_to(file.absolute())
        (folder / "metadata.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return _open_whole(folder, [folder], problems)

    good = []
    for file in present:
        try:
            if len(present) > 1:
                open_copy([file]).close()
            good.append(file)
        except ValueError as problem:
            problems.append(
                f"{file.name} cannot be read ({str(problem.__cause__ or problem).rstrip('.')}); "
                "the rest is used"
            )
    try:
        return open_copy(good)
    except ValueError:
        raise error from None


def _readable(path: Path, files: Sequence[Path], problems: list[str]) -> list[Path]:
    """Return those of a recording's files that can be read; note the others.

    Raises
    ------
    ValueError
        If none can be read.
    """
    good, bad = [], []
    foreign: ForeignMessages | None = None
    for file in files:
        impostor = describe_impostor(file)
        if impostor:
            bad.append(impostor)
            continue
        if _is_cut_off(file) and len(files) > 1:
            bad.append(f"{file.name} was cut off; {_repair(file)}")
            continue
        try:
            reader = _open_whole(file, [file], [])
            reader.close()
            good.append(file)
        except ForeignMessages as error:
            foreign = error
            bad.append(str(error))
        except ValueError as error:
            reason = str(error.__cause__ or error).rstrip(".")
            bad.append(f"{file.name} cannot be read ({reason}); {_repair(file)}")
    if not good and foreign is not None:
        raise foreign
    if not good:
        raise ValueError(f"{path} cannot be read: " + "; ".join(bad))
    problems.extend(f"{text}. The other {len(good)} of {len(files)} files are used" for text in bad)
    return good


def _is_cut_off(file: Path) -> bool:
    """Return whether an SQLite file is shorter than its header says."""
    if file.suffix != ".db3":
        return False
    with file.open("rb") as stream:
        header = stream.read(32)
    if len(header) < 32 or not header.startswith(b"SQLite format 3"):
        return False
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    # 1 stands for 65,536 bytes.
    return file.stat().st_size < pages * (65536 if page == 1 else page)


def _repair(path: Path) -> str:
    """Say what may mend a recording of this kind."""
    suffixes = {path.suffix}
    if path.is_dir():
        suffixes = {file.suffix for file in path.iterdir()}
    if ".mcap" in suffixes:
        return "If the recorder was killed, 'mcap recover' (MCAP) makes a readable copy"
    if ".db3" in suffixes:
        return (
            "If the recorder was killed, 'ros2 bag reindex' (sqlite3) writes metadata.yaml, and "
            "'sqlite3 FILE .recover' saves what is left of a damaged file"
        )
    return "Give a rosbag2 folder, an .mcap or .db3 file, or a ROS 1 .bag file"


def _exists(file: Path) -> bool:
    """Whether a file exists; a name that no file can have does not."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def _split_number(file: Path) -> tuple[int, str]:
    """Order splits by their number: bag_2 before bag_10."""
    number = re.search(r"(\d+)$", file.stem)
    return (int(number.group(1)) if number else -1, file.name)


def list_topics(reader: AnyReader) -> list[RecordedTopic]:
    """Describe the topics of an open recording, looking at the first messages of each that matters.

    Parameters
    ----------
    reader : AnyReader

    Returns
    -------
    list of RecordedTopic
        Those with messages, by name. Where messages of several types were recorded on a topic,
        the type with the most messages counts and the others are its `strays`.
    """
    topics = []
    for name in sorted({connection.topic for connection in reader.connections}):
        connections = [c for c in reader.connections if c.topic == name]
        counts: Counter[str] = Counter()
        for connection in connections:
            counts[connection.msgtype] += connection.msgcount
        kind = max(counts, key=lambda t: (t in _KNOWN_TYPES, counts[t]))
        strays = tuple(f"{t} ({n})" for t, n in sorted(counts.items()) if t != kind and n)
        own = [c for c in connections if c.msgtype == kind]
        if kind in _WITH_HEADER:
            topic = _describe(reader, name, kind, counts[kind], own, strays)
            if topic is not None:
                topics.append(topic)
        elif counts[kind]:
            topics.append(RecordedTopic(name, kind, counts[kind], strays=strays))
    return topics


def _describe(
    reader: AnyReader,
    name: str,
    kind: str,
    count: int,
    connections: list[Connection],
    strays: tuple[str, ...],
) -> RecordedTopic | None:
    """Describe a topic with headers; None if no message of it can be read."""
    first, frames, stamps = None, Counter[str](), []
    calibrations: dict[str, Calibration] = {}
    messages = read_messages(reader, name, kind)
    with contextlib.suppress(ValueError):
        for number, (stamp, message) in enumerate(messages):
            if message is not None:
                first = first if first is not None else message
                frames[message.header.frame_id] += 1
                stamps.append(stamp)
                if kind == CAMERA_INFO:
                    with contextlib.suppress(ValueError, AttributeError):
                        calibration = Calibration.from_camera_info(message)
                        known = calibrations.get(message.header.frame_id)
                        if known is None or not known.is_calibrated:
                            calibrations[message.header.frame_id] = calibration
            if number + 1 >= _SAMPLED_MESSAGES:
                break
    if first is None:
        return None
    encoding = str(getattr(first, "encoding", getattr(first, "format", "")))
    width, height = int(getattr(first, "width", 0)), int(getattr(first, "height", 0))
    picture = None
    covered = 1.0
    if kind in _PICTURES:
        covered = _covered(reader, connections)
        if kind == COMPRESSED_IMAGE:
            width, height = compressed_size(first)
        with contextlib.suppress(Exception):
            picture = decode_compressed(first) if kind == COMPRESSED_IMAGE else decode_image(first)
    ordered = tuple(frame for frame, _ in frames.most_common())
    fields = {f.name for f in getattr(first, "fields", ())} if kind == POINT_CLOUD else set()
    return RecordedTopic(
        name,
        kind,
        count,
        frame_id=first.header.frame_id,
        encoding=encoding,
        width=width,
        height=height,
        frames=ordered,
        stamps=tuple(stamps),
        covered=covered,
        strays=strays,
        calibrations=tuple(calibrations[frame] for frame in ordered if frame in calibrations),
        picture=picture,
        is_organized=height > 1 and bool(fields & {"rgb", "rgba"}),
    )


def _covered(reader: AnyReader, connections: list[Connection]) -> float:
    """Return the share of the recording's tenths in which there are messages."""
    start, duration = reader.start_time, reader.end_time - reader.start_time
    if duration <= 0:
        return 1.0
    edges = [start + duration * part // _PARTS for part in range(_PARTS + 1)]
    covered = 0
    for begin, end in itertools.pairwise(edges):
        with contextlib.suppress(Exception):
            found = next(iter(reader.messages(connections, start=begin, stop=end + 1)), None)
            covered += found is not None
    return covered / _PARTS


def read_messages(reader: AnyReader, topic: str, kind: str = "") -> Iterator[tuple[int, Any]]:
    """Iterate a topic's messages in the order of the recording.

    Parameters
    ----------
    reader : AnyReader
    topic : str
    kind : str
        Message type; empty for the known type with the most messages.

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
    for _, stamp, message in read_timed(reader, (topic,), kind):
        yield stamp, message[1]


def read_timed(
    reader: AnyReader, topics: Sequence[str], kind: str = "", start: int | None = None
) -> Iterator[tuple[int, int, tuple[str, Any]]]:
    """Iterate messages of several topics in the order of the recording.

    Parameters
    ----------
    reader : AnyReader
    topics : sequence of str
    kind : str
        Message type; empty for the known type with the most messages of each topic.
    start : int, optional
        Time of recording in nanoseconds to begin at.

    Yields
    ------
    int
        Time of recording in nanoseconds.
    int
        Stamp, see :func:`read_messages`.
    (str, message or None)
        Topic, and None for a message that cannot be deserialised.

    Raises
    ------
    ValueError
        If the recording breaks off in the middle.
    """
    connections = []
    for topic in topics:
        own = [c for c in reader.connections if c.topic == topic]
        if own and not kind:
            counts: Counter[str] = Counter()
            for connection in own:
                counts[connection.msgtype] += connection.msgcount
            wanted = max(counts, key=lambda t: (t in _KNOWN_TYPES, counts[t]))
        else:
            wanted = kind
        connections += [c for c in own if c.msgtype == wanted]
    if not connections:
        return
    messages = reader.messages(connections, start=start)
    while True:
        try:
            connection, received, data = next(messages)
        except StopIteration:
            return
        except Exception as error:
            named = connections[0].topic if len(topics) == 1 else "the recording"
            raise ValueError(f"{named} breaks off: {_described(error)}") from error
        message: Any
        try:
            message = reader.deserialize(data, connection.msgtype)
            stamp = stamp_ns(message.header) if hasattr(message, "header") else 0
        # A damaged message surfaces as an error of struct, of numpy or of the library.
        except Exception:
            message, stamp = None, 0
        yield received, stamp or received, (connection.topic, message)


def _described(error: Exception) -> str:
    """Return an error's text, or its kind where it has none."""
    return str(error).rstrip(".") or type(error).__name__
