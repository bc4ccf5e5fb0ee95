# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras to extract frames from: what a source delivers, and the cameras of a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration
from monodepth2_ros.conversions import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)
from monodepth2_ros.recordings.bags import (
    COMPRESSED_IMAGE,
    POINT_CLOUD,
    Topic,
    find_camera_info,
    find_cameras,
    find_depth,
    list_topics,
    open_recording,
    read_messages,
)
from training.extraction.poses import FrameTree, PoseSource, find_poses, read_frame_tree
from training.extraction.stamps import nearest_stamp
from training.extraction.stored_view import View, truth_from_points
from training.frames.store import Source

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

DEPTH_TOLERANCE_NS = 20_000_000
CLOUD_TOLERANCE_NS = 50_000_000


@dataclass(frozen=True)
class DeliveredFrame:
    """A frame as the source has it.

    Attributes
    ----------
    stamp : int
        Nanoseconds.
    calibration : Calibration
        Of this very frame.
    decode : callable
        Gives the image, (H, W, 3) uint8 RGB, or raises ValueError with the reason.
    follows : bool
        Whether it may follow the frame before it, as far as the source knows.
    """

    stamp: int
    calibration: Calibration
    decode: Callable[[], NDArray[np.uint8]]
    follows: bool = True


@dataclass(frozen=True)
class DeliveredTruth:
    """A depth measurement as the source has it.

    Attributes
    ----------
    stamp : int
        Nanoseconds.
    decode : callable
        Gives the depth in metres for a view and a truth size (None: its own), shape (Ht, Wt), or
        raises ValueError with the reason.
    """

    stamp: int
    decode: Callable[[View, tuple[int, int] | None], NDArray[np.float32]]


@dataclass(frozen=True)
class BagCamera:
    """A camera of a bag, found by :func:`bag_cameras`.

    Attributes
    ----------
    path : Path
        Of the bag.
    image : Topic
    calibration : Calibration
        Of the first frame.
    info : Topic or None
        The camera_info; None where the calibration was given.
    truth : Topic or None
        Depth images or point clouds.
    extrinsics : ndarray, shape (4, 4), or None
        Pose of the point cloud's frame in the camera, if given.
    wanted_poses : str
        "auto", "none" or a topic.
    notes : tuple of str
        What the user should know.
    filters_motion : bool
        Frames without motion should be left out.
    reader : AnyReader or None
        The opened bag, see :meth:`opened`.
    """

    path: Path
    image: Topic
    calibration: Calibration
    info: Topic | None
    truth: Topic | None
    extrinsics: NDArray[np.float64] | None
    wanted_poses: str
    notes: tuple[str, ...] = ()
    filters_motion: bool = True
    reader: AnyReader | None = None

    @contextmanager
    def opened(self) -> Iterator[BagCamera]:
        """Keep the bag open while several things are read from it.

        A bag that is compressed by file is unpacked whenever it is opened.
        """
        with open_recording(self.path) as reader:
            yield replace(self, reader=reader)

    @property
    def source(self) -> Source:
        """Recording and topic."""
        return Source(self.path.name, self.image.name)

    @property
    def is_rectified(self) -> bool:
        """Whether the topic's name says that its images are rectified."""
        return self.image.is_rectified

    @property
    def count(self) -> int:
        """Messages of the image topic."""
        return self.image.count

    @property
    def has_truth(self) -> bool:
        """Whether there is a depth or point cloud topic."""
        return self.truth is not None

    @property
    def truth_tolerance(self) -> int:
        """Nanoseconds: a scan takes longer than an image."""
        is_cloud = self.truth is not None and self.truth.type == POINT_CLOUD
        return CLOUD_TOLERANCE_NS if is_cloud else DEPTH_TOLERANCE_NS

    def frames(self) -> Iterator[DeliveredFrame | str]:
        """Iterate the images, each with the camera_info of its stamp (else the nearest)."""
        decode = decode_compressed if self.image.type == COMPRESSED_IMAGE else decode_image
        with self._reading() as reader:
            calibrations = _Calibrations(reader, self.info, self.calibration)
            for stamp, message in read_messages(reader, self.image.name):
                if message is None:
                    yield "message cannot be deserialised"
                else:
                    yield DeliveredFrame(stamp, calibrations.at(stamp), partial(decode, message))

    def truths(self) -> Iterator[DeliveredTruth]:
        """Iterate the depth images or point clouds."""
        if self.truth is None:
            return
        with self._reading() as reader:
            tree = FrameTree()
            if self.truth.type == POINT_CLOUD and self.extrinsics is None:
                tree = read_frame_tree(reader, list_topics(reader))
            for stamp, message in read_messages(reader, self.truth.name):
                if message is None:
                    continue
                if self.truth.type == POINT_CLOUD:
                    pose = self.extrinsics
                    if pose is None:
                        frame = message.header.frame_id.lstrip("/")
                        pose = _pose_at(tree, self.image.frame_id.lstrip("/"), frame, stamp)
                    if pose is not None:
                        yield DeliveredTruth(stamp, partial(_cloud_truth, message, pose))
                else:
                    yield DeliveredTruth(stamp, partial(_depth_truth, message, self.truth))

    def poses(self, stamps: NDArray[np.int64]) -> tuple[NDArray[np.float64], str]:
        """Look the poses up in odometry or /tf."""
        unknown = np.full((len(stamps), 4, 4), np.nan)
        if self.wanted_poses == "none":
            return unknown, "not wanted"
        with self._reading() as reader:
            topics = list_topics(reader)
            found = find_poses(reader, topics, self.image.frame_id, self.wanted_poses)
            if not isinstance(found, PoseSource):
                return unknown, f"none: {found}"
            return found.at(stamps), found.description

    @contextmanager
    def _reading(self) -> Iterator[AnyReader]:
        """Give the opened bag, or open it."""
        if self.reader is not None:
            yield self.reader
        else:
            with open_recording(self.path) as reader:
                yield reader


def bag_cameras(
    path: Path,
    images: Sequence[str] = (),
    calibrations: Sequence[Calibration] = (),
    truth: str = "auto",
    extrinsics: NDArray[np.float64] | None = None,
    poses: str = "auto",
) -> list[BagCamera]:
    """Find the cameras of a bag.

    Parameters
    ----------
    path : Path
    images : sequence of str
        Image topics; by default one for each camera.
    calibrations : sequence of Calibration
        Instead of camera_info: one for all, or one for each of `images`.
    truth : str
        "auto", "none", or a depth image or PointCloud2 topic.
    extrinsics : ndarray, shape (4, 4), optional
        Pose of the point cloud's frame in the camera's optical frame, instead of /tf_static.
    poses : str
        "auto", "none", or an Odometry or PoseStamped topic.

    Raises
    ------
    ValueError
        If the bag cannot be read, a topic is missing, or no camera can be used, with the reasons.
    """
    with open_recording(path) as reader:
        topics = list_topics(reader)
        try:
            found = find_cameras(topics, images)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if extrinsics is not None and len(found) > 1:
            raise ValueError(
                f"{path}: --extrinsics is about one camera, but there are "
                f"{', '.join(image.name for image in found)}; choose one with --image, or let "
                "/tf_static place the point cloud"
            )
        tree = FrameTree()
        if truth != "none" and any(topic.type == POINT_CLOUD for topic in topics):
            tree = read_frame_tree(reader, topics)
        cameras, problems = [], []
        for index, image in enumerate(found):
            info = None
            if calibrations:
                calibration = calibrations[index if len(calibrations) > 1 else 0]
            else:
                info = find_camera_info(image, topics)
                first = _first_calibration(reader, info)
                problem = _calibration_problem(info, first)
                if problem or first is None:
                    problems.append(f"{path}, {image.name}: {problem}")
                    continue
                calibration = first
            truth_topic, note = _find_truth(image, topics, tree, truth, extrinsics)
            cameras.append(
                BagCamera(
                    path,
                    image,
                    calibration,
                    info,
                    truth_topic,
                    extrinsics,
                    poses,
                    (note,) if note else (),
                )
            )
    if problems and (images or not cameras):
        raise ValueError("; ".join(problems))
    if problems:
        notes = (*cameras[0].notes, *(f"left out: {problem}" for problem in problems))
        cameras[0] = replace(cameras[0], notes=notes)
    return cameras


def read_points(message: Any) -> NDArray[np.float64]:
    """Read x, y, z of a ``sensor_msgs/PointCloud2``, shape (N, 3).

    Raises
    ------
    ValueError
        If it has no x, y, z or is too short.
    """
    kinds = {7: "f4", 8: "f8"}
    fields = {f.name: f for f in message.fields if f.name in ("x", "y", "z")}
    if len(fields) < 3 or any(field.datatype not in kinds for field in fields.values()):
        raise ValueError("point cloud without floating-point fields x, y, z")
    order = ">" if message.is_bigendian else "<"
    width, height = int(message.width), int(message.height)
    layout = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": [order + kinds[fields[name].datatype] for name in "xyz"],
            "offsets": [int(fields[name].offset) for name in "xyz"],
            "itemsize": int(message.point_step),
        }
    )
    data = np.frombuffer(message.data, np.uint8)
    row = width * layout.itemsize
    step = int(message.row_step) or row
    if step < row or data.size < step * (height - 1) + row:
        raise ValueError(f"point cloud of {data.size} bytes for {width}x{height} points")
    rows = [np.frombuffer(data[i * step : i * step + row].tobytes(), layout) for i in range(height)]
    points = np.concatenate(rows) if rows else np.zeros(0, layout)
    return np.stack([points[name].astype(np.float64) for name in "xyz"], axis=1)


class _Calibrations:
    """The calibrations of a camera over time."""

    def __init__(self, reader: AnyReader, info: Topic | None, fallback: Calibration) -> None:
        self.distinct = [fallback]
        stamps, indices = [], []
        for stamp, message in read_messages(reader, info.name) if info is not None else ():
            if message is None:
                continue
            calibration = Calibration.from_camera_info(message)
            if calibration not in self.distinct:
                self.distinct.append(calibration)
            stamps.append(stamp)
            indices.append(self.distinct.index(calibration))
        order = np.argsort(np.array(stamps, np.int64), kind="stable")
        self.stamps = np.array(stamps, np.int64)[order]
        self.indices = np.array(indices, np.int64)[order]

    def at(self, stamp: int) -> Calibration:
        """Return the calibration of this stamp, else the nearest in time."""
        if not len(self.stamps):
            return self.distinct[0]
        return self.distinct[self.indices[nearest_stamp(self.stamps, stamp)]]


def _first_calibration(reader: AnyReader, info: Topic | None) -> Calibration | None:
    """Read the first camera_info."""
    if info is None:
        return None
    message = next((m for _, m in read_messages(reader, info.name) if m is not None), None)
    return None if message is None else Calibration.from_camera_info(message)


def _calibration_problem(info: Topic | None, calibration: Calibration | None) -> str:
    """Say why there is no usable calibration; empty if there is one."""
    if info is None or calibration is None:
        return "no camera_info belongs to it; give --camera calibration.yaml"
    if not calibration.is_calibrated:
        return (
            f"{info.name} is uncalibrated (K[0] is 0); calibrate the camera and give "
            "--camera calibration.yaml"
        )
    return ""


def _find_truth(
    image: Topic,
    topics: Sequence[Topic],
    tree: FrameTree,
    wanted: str,
    extrinsics: NDArray[np.float64] | None,
) -> tuple[Topic | None, str]:
    """Find the truth of a camera, and what to say about it."""
    if wanted == "none":
        return None, ""
    clouds = [topic for topic in topics if topic.type == POINT_CLOUD]
    if wanted != "auto":
        known = [*clouds, *(topic for topic in topics if topic.is_depth)]
        named = next((t for t in known if t.name in (wanted, f"{wanted}/compressedDepth")), None)
        if named is None:
            names = ", ".join(topic.name for topic in known) or "none"
            raise ValueError(f"there is no depth image or PointCloud2 {wanted}; there are: {names}")
        if named in clouds and extrinsics is None and not _leads_to(tree, image, named):
            raise ValueError(
                f"no transform leads from '{named.frame_id}' of {named.name} to the camera's "
                f"'{image.frame_id}'; give --extrinsics"
            )
        return named, ""
    depth = find_depth(image, topics)
    if depth is not None:
        return depth, ""
    for cloud in clouds:
        if extrinsics is not None or _leads_to(tree, image, cloud):
            return cloud, ""
    others = [topic.name for topic in topics if topic.is_depth] + [cloud.name for cloud in clouds]
    if not others:
        return None, ""
    return None, (
        f"{', '.join(others)} not used as truth: neither in the camera's frame "
        f"'{image.frame_id}' nor placed by /tf_static; give --truth TOPIC or --extrinsics FILE"
    )


def _leads_to(tree: FrameTree, image: Topic, cloud: Topic) -> bool:
    """Whether the transforms connect a point cloud with a camera."""
    frames = image.frame_id.lstrip("/"), cloud.frame_id.lstrip("/")
    return tree.transform(*frames, np.zeros(0, np.int64)) is not None


def _pose_at(tree: FrameTree, camera: str, frame: str, stamp: int) -> NDArray[np.float64] | None:
    """Return the pose of a frame in the camera, None where unknown."""
    poses = tree.transform(camera, frame, np.array([stamp]))
    return None if poses is None or np.isnan(poses).any() else poses[0]


def _depth_truth(
    message: Any, topic: Topic, view: View, size: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Turn a depth message into truth."""
    is_compressed = topic.type == COMPRESSED_IMAGE
    depth = decode_compressed_depth(message) if is_compressed else decode_depth(message)
    return view.depth(depth, topic.is_rectified, size)


def _cloud_truth(
    message: Any, pose: NDArray[np.float64], view: View, size: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Turn a point cloud into truth."""
    points = read_points(message) @ pose[:3, :3].T + pose[:3, 3]
    camera = view.truth_camera
    return truth_from_points(points @ view.rotation.T, camera.resized(*size) if size else camera)
