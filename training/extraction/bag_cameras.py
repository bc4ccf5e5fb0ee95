# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras to extract frames from: what a source delivers, and the cameras of a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration
from monodepth2_ros.conversions import (
    bits_for,
    decode_compressed,
    decode_image,
    has_deep_samples,
    largest_sample,
)
from monodepth2_ros.recordings.bags import (
    COMPRESSED_IMAGE,
    POINT_CLOUD,
    RecordedTopic,
    list_topics,
    open_recording,
    read_messages,
)
from monodepth2_ros.recordings.joins import (
    DEFAULT_WAYS,
    ChosenTopic,
    choose_camera_info,
    choose_cameras,
    size_relation,
)
from monodepth2_ros.recordings.transforms import FrameTree, read_frame_tree
from monodepth2_ros.topic_names import same_frame
from training.extraction.ground_truth import (
    TruthSettings,
    TruthSource,
    choose_truth,
    cloud_truth,
)
from training.extraction.poses import PoseSource, find_poses
from training.extraction.stamps import nearest_stamp
from training.extraction.stored_view import StoredView
from training.frames.store import Source

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

# Images that are looked at to find how many of 16 bits are used.
_BIT_SAMPLES = 16


@dataclass(frozen=True)
class DeliveredFrame:
    """A frame as the source has it.

    Attributes
    ----------
    stamp : int
        Nanoseconds.
    calibration : Calibration
        Calibration of this very frame.
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
    decode: Callable[[StoredView, tuple[int, int] | None], NDArray[np.float32]]


@dataclass(frozen=True)
class BagCamera:
    """A camera of a bag, found by :func:`bag_cameras`.

    Attributes
    ----------
    path : Path
        Path of the bag.
    image : RecordedTopic
    calibration : Calibration
        Calibration of the first frame.
    info : RecordedTopic or None
        The camera_info; None where the calibration was given.
    truth_source : TruthSource or None
        Depth images or point clouds.
    choices : tuple of ChosenTopic
        How image, camera_info and ground truth were chosen.
    wanted_poses : str
        "auto", "none" or a topic.
    pose_offset : float
        Seconds to add to the stamps of images to find their poses.
    pose_axes : str
        One of :data:`training.extraction.poses.POSE_AXES`.
    notes : tuple of str
        What the user should know.
    filters_motion : bool
        Frames without motion should be left out.
    reader : AnyReader or None
        The opened bag, see :meth:`opened`.
    info_frame : str
        Frame of the camera_info messages that are the camera's.
    scales_info : bool
        A camera_info of another size and the same aspect is scaled to the images.
    bits : int
        Bits that samples of 16 bits use.
    """

    path: Path
    image: RecordedTopic
    calibration: Calibration
    info: RecordedTopic | None
    truth_source: TruthSource | None
    choices: tuple[ChosenTopic, ...] = ()
    wanted_poses: str = "auto"
    notes: tuple[str, ...] = ()
    filters_motion: bool = True
    reader: AnyReader | None = None
    info_frame: str = ""
    scales_info: bool = False
    bits: int = 16
    pose_offset: float = 0.0
    pose_axes: str = "optical"

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
    def truth(self) -> RecordedTopic | None:
        """The ground truth's topic."""
        return self.truth_source.topic if self.truth_source is not None else None

    @property
    def has_truth(self) -> bool:
        """Whether there is a depth or point cloud topic."""
        return self.truth_source is not None

    @property
    def truth_tolerance(self) -> int:
        """Nanoseconds: a scan takes longer than an image."""
        return self.truth_source.tolerance_ns if self.truth_source is not None else 0

    @property
    def truth_description(self) -> dict[str, Any]:
        """What the report says about the ground truth before it is read."""
        source = self.truth_source
        if source is None:
            return {}
        described = {
            "topic": source.topic.name,
            "encoding": source.topic.pixel_encoding or "point cloud",
            "metres_per_unit": source.unit,
            "offset_s": source.offset_ns * 1e-9,
            "tolerance_s": source.tolerance_ns * 1e-9,
            "reprojected": source.calibration is not None,
        }
        return described

    def frames(self) -> Iterator[DeliveredFrame | str]:
        """Iterate the images, each with the camera_info of its stamp (else the nearest)."""
        decode = decode_compressed if self.image.type == COMPRESSED_IMAGE else decode_image
        with self._reading() as reader:
            calibrations = _Calibrations(reader, self)
            for stamp, message in read_messages(reader, self.image.name):
                if message is None:
                    yield "message cannot be deserialised"
                elif same_frame(message.header.frame_id, self.image.frame_id) is False:
                    yield f"of another frame, '{message.header.frame_id}'"
                else:
                    yield DeliveredFrame(
                        stamp, calibrations.at(stamp), partial(decode, message, bits=self.bits)
                    )

    def truths(self) -> Iterator[DeliveredTruth]:
        """Iterate the depth images or point clouds."""
        source = self.truth_source
        if source is None:
            return
        with self._reading() as reader:
            tree = FrameTree()
            if source.is_cloud and source.pose is None:
                tree = read_frame_tree(reader, list_topics(reader))
            for recorded, message in read_messages(reader, source.topic.name):
                stamp = recorded + source.offset_ns
                if message is None:
                    continue
                if source.is_cloud:
                    pose = source.pose
                    if pose is None:
                        frame = message.header.frame_id.lstrip("/")
                        pose = _pose_at(tree, self.image.frame_id.lstrip("/"), frame, recorded)
                    if pose is not None:
                        yield DeliveredTruth(stamp, partial(_cloud_truth, message, pose))
                else:
                    yield DeliveredTruth(stamp, partial(source.decode, message))

    def pose_source(self) -> tuple[PoseSource | None, str]:
        """Find odometry or /tf; return it with its description, or the reason why there is none."""
        if self.wanted_poses == "none":
            return None, "not wanted"
        with self._reading() as reader:
            topics = list_topics(reader)
            found = find_poses(reader, topics, self.image.frame_id, self.wanted_poses)
        if not isinstance(found, PoseSource):
            return None, f"none: {found}"
        source = replace(found, offset_s=self.pose_offset, axes=self.pose_axes)
        return source, found.description

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
    truth: str | TruthSettings = "auto",
    extrinsics: NDArray[np.float64] | None = None,
    poses: str = "auto",
    camera_info: Sequence[str] = (),
    scale_camera_info: bool = False,
    bit_depth: int | None = None,
) -> list[BagCamera]:
    """Find the cameras of a bag.

    Parameters
    ----------
    path : Path
    images : sequence of str
        Image topics; by default one for each camera.
    calibrations : sequence of Calibration
        Instead of camera_info: one for all, or one for each of `images`.
    truth : str or TruthSettings
        "auto", "none", or a depth image or PointCloud2 topic.
    extrinsics : ndarray, shape (4, 4), optional
        Pose of the depth sensor's frame in the camera's optical frame, instead of /tf_static.
    poses : str
        "auto", "none", or an Odometry or PoseStamped topic.
    camera_info : sequence of str
        camera_info topics to use whatever their frames: one for all, or one for each of `images`.
    scale_camera_info : bool
        Scale a camera_info of another size and the same aspect to the images.
    bit_depth : int, optional
        Bits that 16-bit images use; measured by default.

    Raises
    ------
    ValueError
        If the bag cannot be read, a topic is missing, or no camera can be used, with the reasons.
    """
    settings = TruthSettings(truth) if isinstance(truth, str) else truth
    if extrinsics is not None:
        settings = replace(settings, extrinsics=extrinsics)
    damaged: list[str] = []
    with open_recording(path, damaged) as reader:
        topics = list_topics(reader)
        try:
            found = choose_cameras(topics, images)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if settings.extrinsics is not None and len(found) > 1:
            names = ", ".join(choice.chosen.name for choice in found if choice.chosen)
            raise ValueError(
                f"{path}: --extrinsics is about one camera, but there are {names}; choose one "
                "with --image-topic, or let /tf_static place the point cloud"
            )
        tree = FrameTree()
        if settings.topic != "none" and any(t.type == POINT_CLOUD or t.is_depth for t in topics):
            tree = read_frame_tree(reader, topics)
        cameras: list[BagCamera] = []
        problems: list[str] = []
        for index, choice in enumerate(found):
            image = choice.chosen
            assert image is not None
            choices = [choice]
            info, info_frame = None, ""
            try:
                if calibrations:
                    calibration = calibrations[index if len(calibrations) > 1 else 0]
                else:
                    wanted = ""
                    if camera_info:
                        wanted = camera_info[index if len(camera_info) > 1 else 0]
                    joined = choose_camera_info(image, topics, wanted)
                    choices.append(joined)
                    info, info_frame = joined.chosen, joined.frame_id
                    calibration = _calibration_of(joined)
                calibration = _fitted(calibration, image, scale_camera_info)
            except ValueError as error:
                problems.append(f"{path}, {image.name}: {error}")
                continue
            source, joined_truth = choose_truth(
                reader, image, calibration, topics, tree, settings, DEFAULT_WAYS
            )
            notes = list(damaged if not cameras else ())
            notes += [f"{image.name} also carries {stray}; ignored" for stray in image.strays]
            if joined_truth is not None:
                choices.append(joined_truth)
                if source is None:
                    notes.append(_no_truth(joined_truth))
            bits, said = _bits_of(reader, image, bit_depth)
            notes += said
            cameras.append(
                BagCamera(
                    path,
                    image,
                    calibration,
                    info,
                    source,
                    tuple(choices),
                    poses,
                    tuple(notes),
                    info_frame=info_frame,
                    scales_info=scale_camera_info,
                    bits=bits,
                )
            )
    if problems and (images or not cameras):
        raise ValueError("; ".join(problems))
    if problems:
        notes = [*cameras[0].notes, *(f"left out: {problem}" for problem in problems)]
        cameras[0] = replace(cameras[0], notes=tuple(notes))
    return cameras


def _calibration_of(choice: ChosenTopic) -> Calibration:
    """Return the calibration of a chosen camera_info.

    Raises
    ------
    ValueError
        If there is none or it is not calibrated, with what to do.
    """
    info = choice.chosen
    if info is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in choice.others)
        raise ValueError(
            "no camera_info belongs to it; give --camera calibration.yaml"
            + (
                f", or --camera-info-topic TOPIC to use one that was recorded ({reasons})"
                * bool(reasons)
            )
        )
    frames = info.frames or (info.frame_id,)
    place = frames.index(choice.frame_id) if choice.frame_id in frames else 0
    found = info.calibrations[min(place, len(info.calibrations) - 1)] if info.calibrations else None
    if found is None or not found.is_calibrated:
        raise ValueError(
            f"{info.name} is uncalibrated (K[0] is 0); calibrate the camera and give "
            "--camera calibration.yaml"
        )
    return found


def _fitted(calibration: Calibration, image: RecordedTopic, scale: bool) -> Calibration:
    """Return the calibration for the images' size.

    Raises
    ------
    ValueError
        If it is for another size, with both sizes and what to do.
    """
    relation = size_relation(calibration, image)
    if relation in ("same", "unknown"):
        return calibration
    if scale:
        return calibration.scaled(image.width, image.height)
    width, height = calibration.delivered_size
    text = f"camera_info is for {width}x{height} images, but the images are "
    text += f"{image.width}x{image.height}"
    if relation == "same aspect":
        raise ValueError(
            f"{text}; if they were scaled, give --scale-camera-info, else --camera calibration.yaml"
        )
    raise ValueError(
        f"{text}, of another aspect, so part of the view was cut off; give --camera "
        "calibration.yaml for these images"
    )


def _bits_of(reader: AnyReader, image: RecordedTopic, wanted: int | None) -> tuple[int, list[str]]:
    """Return how many bits the samples use, and what to say about it."""
    if not has_deep_samples(image.encoding):
        return 8, []
    if wanted is not None:
        return wanted, []
    largest = 0
    step = max(1, image.count // _BIT_SAMPLES)
    for number, (_, message) in enumerate(read_messages(reader, image.name)):
        if message is not None and number % step == 0:
            with suppress(ValueError):
                largest = max(largest, largest_sample(message))
    bits = bits_for(largest)
    note = (
        f"{image.pixel_encoding} with values up to {largest} is read as {bits} bits; give "
        f"--bit-depth if the sensor has more, and the node's parameter bit_depth: {bits}"
    )
    return bits, [note]


def _no_truth(choice: ChosenTopic) -> str:
    """Say why there is no ground truth."""
    names = ", ".join(name for name, _ in choice.others)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in choice.others)
    if choice.why.endswith("equally well"):
        return f"no ground truth: {choice.why}; choose with --truth-topic TOPIC"
    return (
        f"{names} not used as truth; give --truth-topic TOPIC to use one all the same ({reasons})"
    )


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

    def __init__(self, reader: AnyReader, camera: BagCamera) -> None:
        self.distinct = [camera.calibration]
        known: dict[Calibration, int] = {}
        stamps, indices = [], []
        info = camera.info
        for stamp, message in read_messages(reader, info.name) if info is not None else ():
            if message is None or same_frame(message.header.frame_id, camera.info_frame) is False:
                continue
            recorded = Calibration.from_camera_info(message)
            if recorded not in known:
                calibration = recorded
                if camera.scales_info:
                    calibration = _fitted(recorded, camera.image, scale=True)
                if calibration not in self.distinct:
                    self.distinct.append(calibration)
                known[recorded] = self.distinct.index(calibration)
            stamps.append(stamp)
            indices.append(known[recorded])
        order = np.argsort(np.array(stamps, np.int64), kind="stable")
        self.stamps = np.array(stamps, np.int64)[order]
        self.indices = np.array(indices, np.int64)[order]

    def at(self, stamp: int) -> Calibration:
        """Return the calibration of this stamp, else the nearest in time."""
        if not len(self.stamps):
            return self.distinct[0]
        return self.distinct[self.indices[nearest_stamp(self.stamps, stamp)]]


def _pose_at(tree: FrameTree, camera: str, frame: str, stamp: int) -> NDArray[np.float64] | None:
    """Return the pose of a frame in the camera, None where unknown."""
    poses = tree.transform(camera, frame, np.array([stamp]))
    return None if poses is None or np.isnan(poses).any() else poses[0]


def _cloud_truth(
    message: Any, pose: NDArray[np.float64], view: StoredView, size: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Turn a point cloud into ground truth."""
    return cloud_truth(read_points(message), pose, view, size)
