# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth depth of a camera: which topic is accepted, in which unit, how it is reprojected.

Depth is accepted only where its name and its content say that it is depth of this camera: seen by
the camera itself (same frame and same intrinsics), or by another one that has a camera_info of its
own and, in another frame, a transform, so that it can be reprojected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration, PinholeCamera, same_aspect
from monodepth2_ros.conversions import decode_compressed_depth, decode_depth
from monodepth2_ros.recordings.bags import POINT_CLOUD, RecordedTopic, read_messages
from monodepth2_ros.recordings.joins import (
    ChosenTopic,
    JoinError,
    Ways,
    camera_in_its_place,
    choose_camera_info,
    rank_depth,
    refused_as_truth,
    shared_parts,
)
from monodepth2_ros.recordings.topic_kinds import classify
from monodepth2_ros.recordings.transforms import FrameTree
from monodepth2_ros.rectification import image_geometry
from monodepth2_ros.topic_names import same_frame
from training.extraction.stamps import nearest_stamp
from training.extraction.stored_view import StoredView, remap_nearest, truth_from_points

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

DEPTH_TOLERANCE_NS = 20_000_000
CLOUD_TOLERANCE_NS = 50_000_000

#: Metres per unit, by the names that ``--truth-unit`` takes.
UNITS = {"m": 1.0, "mm": 0.001, "cm": 0.01}

# Depth images that are looked at before a topic is accepted.
_SAMPLES = 5
# In metres: three quarters of a scene are not farther than this, and 5 % not nearer.
_FARTHEST = 100.0
_NEAREST = 0.1
# This share of the depth images must have an image of the camera at their time.
_MATCHED = 0.1
_SAME_VIEW = 0.01  # of the focal length, and of the image size


@dataclass(frozen=True)
class TruthSettings:
    """What the user says about ground truth.

    Attributes
    ----------
    topic : str
        "auto", "none", or a topic.
    unit : str
        "auto", "m", "mm", "cm", or metres per unit as a number.
    offset : float
        Seconds to add to the stamps of the ground truth.
    tolerance : float or None
        Largest difference of the stamps of an image and its ground truth, in seconds.
    extrinsics : ndarray, shape (4, 4), or None
        Pose of the depth sensor's frame in the camera's optical frame, instead of /tf_static.
    """

    topic: str = "auto"
    unit: str = "auto"
    offset: float = 0.0
    tolerance: float | None = None
    extrinsics: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class TruthSource:
    """A topic that is used as ground truth.

    Attributes
    ----------
    topic : RecordedTopic
    unit : float
        Metres per unit of the messages; 1 for point clouds.
    offset_ns, tolerance_ns : int
    calibration : Calibration or None
        The depth image's own, if it must be reprojected.
    pose : ndarray, shape (4, 4), or None
        Pose of the depth sensor in the camera's frame; None for the camera's own frame, or, for a
        point cloud, to look it up at each stamp.
    """

    topic: RecordedTopic
    unit: float = 1.0
    offset_ns: int = 0
    tolerance_ns: int = DEPTH_TOLERANCE_NS
    calibration: Calibration | None = None
    pose: NDArray[np.float64] | None = None

    @property
    def is_cloud(self) -> bool:
        """Whether it is a point cloud."""
        return self.topic.type == POINT_CLOUD

    def decode(
        self, message: Any, view: StoredView, size: tuple[int, int] | None
    ) -> NDArray[np.float32]:
        """Turn a depth image into ground truth of a view, shape (Ht, Wt), metres."""
        depth = decode_truth(message, self.topic, self.unit)
        if self.calibration is None:
            return view.depth(depth, self.topic.is_rectified, size)
        geometry = image_geometry(self.calibration, self.topic.name)
        if depth.shape != (self.calibration.delivered_size[1], self.calibration.delivered_size[0]):
            raise ValueError(
                f"depth of {depth.shape[1]}x{depth.shape[0]}, but its camera_info is for "
                f"{self.calibration.delivered_size[0]}x{self.calibration.delivered_size[1]}"
            )
        if geometry.maps is not None:
            depth = remap_nearest(depth, *geometry.maps)
        pose = np.eye(4) if self.pose is None else self.pose
        transform = np.eye(4)
        transform[:3, :3] = view.rotation @ pose[:3, :3] @ geometry.rotation.T
        transform[:3, 3] = view.rotation @ pose[:3, 3]
        target = view.truth_camera
        target = target.resized(*size) if size else target
        return reproject(depth, geometry.camera, target, transform)


@dataclass(frozen=True)
class TruthContent:
    """What the first ground truth messages hold.

    Attributes
    ----------
    valid_share : float
        Share of the pixels that have depth.
    percentiles : tuple of float
        5, 25, 50 and 95 % of the valid depth, in metres.
    is_whole : bool
        All values are whole numbers.
    problems : tuple of str
        Why messages could not be read.
    """

    valid_share: float
    percentiles: tuple[float, float, float, float] = (float("nan"),) * 4
    is_whole: bool = False
    problems: tuple[str, ...] = field(default=())


def decode_truth(message: Any, topic: RecordedTopic, unit: float) -> NDArray[np.float32]:
    """Decode a depth image to metres; NaN where unknown.

    Parameters
    ----------
    message : Image or CompressedImage
    topic : RecordedTopic
    unit : float
        Metres per unit of the message.
    """
    depth = decode_compressed_depth(message) if topic.is_compressed else decode_depth(message)
    # The decoders give metres as REP 118 has it.
    standard = default_unit(topic)
    if unit != standard:
        depth = depth * np.float32(unit / standard)
    return np.where(depth > 0.0, depth, np.float32(np.nan))


def default_unit(topic: RecordedTopic) -> float:
    """Return metres per unit as REP 118 has it: millimetres in 16 bits, else metres."""
    return 0.001 if topic.pixel_encoding in ("16UC1", "mono16") else 1.0


def read_unit(text: str, topic: RecordedTopic) -> float:
    """Return the metres per unit that the user gave.

    Raises
    ------
    ValueError
        If it is neither a name nor a positive number.
    """
    if text == "auto":
        return default_unit(topic)
    if text in UNITS:
        return UNITS[text]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ValueError(
            f"--truth-unit is '{text}'; give auto, {', '.join(UNITS)}, or metres per unit, such as "
            "0.0002 for depth in fifths of a millimetre"
        )
    return value


def look_at_content(reader: AnyReader, topic: RecordedTopic, unit: float) -> TruthContent:
    """Decode a few depth images of a topic and describe their depth."""
    values, total, problems = [], 0, []
    step = max(1, topic.count // _SAMPLES)
    wanted = set(range(0, _SAMPLES * step, step))
    for number, (_, message) in enumerate(read_messages(reader, topic.name)):
        if number > max(wanted) or number > 200:
            break
        if message is None or number not in wanted:
            continue
        try:
            depth = decode_truth(message, topic, unit)
        except ValueError as error:
            problems.append(str(error))
            continue
        total += depth.size
        values.append(depth[np.isfinite(depth)])
    known = np.concatenate(values) if values else np.zeros(0, np.float32)
    if not total or not known.size:
        return TruthContent(0.0, problems=tuple(problems))
    marks = np.percentile(known, (5, 25, 50, 95))
    raw = known[:: max(1, known.size // 10_000)] / unit
    return TruthContent(
        known.size / total,
        (float(marks[0]), float(marks[1]), float(marks[2]), float(marks[3])),
        bool(np.abs(raw - np.rint(raw)).max() < 1e-3 * max(1.0, float(np.median(raw)) * 1e-3)),
    )


def content_problem(content: TruthContent, topic: RecordedTopic, unit: float) -> str:
    """Say why the content cannot be depth in this unit; "" if it may be."""
    if content.problems and not content.valid_share:
        return content.problems[0]
    if not content.valid_share:
        return "none of its pixels is valid depth"
    _, quarter, median, high = content.percentiles
    if quarter > _FARTHEST:
        guess = ""
        if unit == 1.0 and median * 0.001 < _FARTHEST:
            guess = "; it looks like millimetres: give --truth-unit mm"
        return (
            f"its median depth would be {median:.4g} m in the unit of {topic.pixel_encoding} "
            f"({_unit_text(unit)}), which is implausible{guess}, or --truth-unit METRES_PER_UNIT"
        )
    if high < _NEAREST:
        return (
            f"95 % of its depth would be below {high:.2g} m in the unit of {topic.pixel_encoding} "
            f"({_unit_text(unit)}), which is implausible; give --truth-unit m, mm, cm or metres "
            "per unit"
        )
    if unit == 1.0 and content.is_whole and median > 20.0:
        return (
            f"all its values are whole numbers with a median of {median:.4g}, so it is hardly in "
            "metres; give --truth-unit mm, or m if it is"
        )
    return ""


def _unit_text(unit: float) -> str:
    """Write a unit."""
    names = {value: name for name, value in UNITS.items()}
    return names.get(unit, f"{unit:g} m")


def stamp_problem(images: Sequence[int], truths: Sequence[int], tolerance: int, offset: int) -> str:
    """Say why ground truth does not meet the images in time; "" if it does.

    Parameters
    ----------
    images, truths : sequence of int
        Stamps in nanoseconds.
    tolerance, offset : int
        Nanoseconds.
    """
    if not len(images) or not len(truths):
        return ""
    ordered = np.sort(np.array(images, np.int64))
    moved = np.array(truths, np.int64) + offset
    moved = moved[(moved >= ordered[0] - 10**9) & (moved <= ordered[-1] + 10**9)]
    if not len(moved):
        away = (float(truths[0]) - float(images[0])) * 1e-9
        return (
            f"its stamps are {away:+.1f} s away from the images'; if the clocks differ, give "
            f"--truth-offset {-away:.3f}"
        )
    gaps = np.array([int(m) - int(ordered[nearest_stamp(ordered, int(m))]) for m in moved])
    if (np.abs(gaps) <= tolerance).mean() >= _MATCHED:
        return ""
    late = float(np.median(gaps)) * 1e-9
    word = "later" if late > 0 else "earlier"
    return (
        f"its stamps are {abs(late) * 1e3:.0f} ms {word} than the nearest images' (median) and "
        f"the tolerance is {tolerance * 1e-6:.0f} ms; give --truth-offset "
        f"{-late + offset * 1e-9:.3f} "
        f"if the stamps are wrong, or --truth-tolerance {abs(late) * 1.2 + 1e-3:.3f} if nothing "
        "moves"
    )


def choose_truth(
    reader: AnyReader,
    camera: RecordedTopic,
    calibration: Calibration,
    topics: Sequence[RecordedTopic],
    tree: FrameTree,
    settings: TruthSettings,
    ways: Ways,
) -> tuple[TruthSource | None, ChosenTopic | None]:
    """Choose the ground truth of a camera.

    Returns
    -------
    TruthSource or None
    Choice or None
        Why; None where there is nothing that could be ground truth, or it is not wanted.

    Raises
    ------
    ValueError
        If a topic that the user named is missing or cannot be used, with the reason.
    """
    if settings.topic == "none":
        return None, None
    candidates = classify(topics)
    clouds = candidates.of("points")
    if settings.topic != "auto":
        source = _named_truth(reader, camera, calibration, topics, tree, settings)
        return source, ChosenTopic("truth", source.topic, "named by the user", choose=ways.truth)
    refused = list(refused_as_truth(candidates))
    accepted: list[tuple[tuple[Any, ...], TruthSource, str]] = []
    for rank, topic in rank_depth(camera, candidates):
        found = _judge(reader, camera, calibration, topics, topic, tree, settings, False)
        if isinstance(found, str):
            refused.append((topic.name, found))
        else:
            accepted.append((rank, *found))
    if not accepted:
        for cloud in clouds:
            found = _judge_cloud(reader, camera, cloud, tree, settings)
            if isinstance(found, str):
                refused.append((cloud.name, found))
            else:
                accepted.append(((shared_parts(cloud.name, camera.name), cloud.count), *found))
        accepted.sort(key=lambda item: item[0], reverse=True)
    else:
        refused += [(cloud.name, "depth images come first") for cloud in clouds]
    if not accepted:
        if not refused:
            return None, None
        return None, ChosenTopic("truth", None, "nothing fits", tuple(refused), ways.truth)
    rank, source, why = accepted[0]
    equal = [item[1].topic.name for item in accepted if item[0] == rank]
    if len(equal) > 1:
        reason = f"{', '.join(equal)} fit equally well"
        return None, ChosenTopic("truth", None, reason, tuple(refused), ways.truth)
    refused += [(item[1].topic.name, "ranks behind by name or number") for item in accepted[1:]]
    return source, ChosenTopic("truth", source.topic, why, tuple(refused), ways.truth)


def _named_truth(
    reader: AnyReader,
    camera: RecordedTopic,
    calibration: Calibration,
    topics: Sequence[RecordedTopic],
    tree: FrameTree,
    settings: TruthSettings,
) -> TruthSource:
    """Return the ground truth that the user named."""
    wanted = settings.topic
    known = [t for t in topics if t.type == POINT_CLOUD or t.is_depth]
    named = next((t for t in known if t.name in (wanted, f"{wanted}/compressedDepth")), None)
    if named is None:
        clouds_first = sorted(known, key=lambda topic: topic.type != POINT_CLOUD)
        names = ", ".join(topic.name for topic in clouds_first) or "none"
        raise ValueError(f"there is no depth image or PointCloud2 {wanted}; there are: {names}")
    if named.type == POINT_CLOUD:
        found = _judge_cloud(reader, camera, named, tree, settings)
    else:
        found = _judge(reader, camera, calibration, topics, named, tree, settings, True)
    if isinstance(found, str):
        raise ValueError(f"--truth-topic {named.name} cannot be used: {found}")
    return found[0]


def _judge(
    reader: AnyReader,
    camera: RecordedTopic,
    calibration: Calibration,
    topics: Sequence[RecordedTopic],
    topic: RecordedTopic,
    tree: FrameTree,
    settings: TruthSettings,
    is_named: bool,
) -> tuple[TruthSource, str] | str:
    """Accept a depth topic, with the reason, or say why it cannot be used."""
    other = camera_in_its_place(topic, camera, topics)
    if other is not None and not is_named:
        return f"of the same frame, but it belongs to {other.name}"
    own = _own_calibration(topic, camera, calibration, topics)
    relation = same_frame(topic.frame_id, camera.frame_id)
    both_empty = not topic.frame_id and not camera.frame_id
    pose: NDArray[np.float64] | None = None
    if relation is False or (settings.extrinsics is not None and own is not None):
        own = own or _any_calibration(topic, topics)
        pose = settings.extrinsics if own is not None else None
        if pose is None:
            stamp = np.array(topic.stamps[:1] or (0,), np.int64)
            poses = tree.transform(camera.frame_id.lstrip("/"), topic.frame_id.lstrip("/"), stamp)
            pose = None if poses is None or np.isnan(poses).any() else poses[0]
        if pose is None and not is_named:
            return (
                f"neither in the camera's frame '{camera.frame_id}' (its frame is "
                f"'{topic.frame_id}') nor placed by /tf_static; give --extrinsics FILE, or name it "
                "with --truth-topic if it is registered to the image"
            )
        if pose is not None and own is None:
            if not np.allclose(pose, np.eye(4), atol=1e-6) and not is_named:
                return (
                    f"its frame is '{topic.frame_id}' and it has no camera_info of its own to "
                    "reproject it by"
                )
            pose = None
    elif relation is None and not both_empty and not is_named:
        return "without a frame_id nothing says that it is registered to the image"
    size = calibration.delivered_size
    if own is None and topic.width and not same_aspect(topic.width, topic.height, *size):
        return (
            f"it has {topic.width}x{topic.height} pixels, another aspect than the image's "
            f"{size[0]}x{size[1]}, and no camera_info of its own"
        )
    unit = read_unit(settings.unit, topic)
    content = look_at_content(reader, topic, unit)
    problem = content_problem(content, topic, unit)
    if problem and not (settings.unit != "auto" and content.valid_share):
        return problem
    tolerance = _tolerance(settings, DEPTH_TOLERANCE_NS)
    offset = round(settings.offset * 1e9)
    problem = stamp_problem(camera.stamps, topic.stamps, tolerance, offset)
    if problem:
        return problem
    if own is not None:
        why = "depth with a camera_info of its own, reprojected by it"
        if pose is not None:
            why += f" and the transform from '{topic.frame_id}'"
    elif relation or both_empty:
        why = f"depth in the image's frame '{camera.frame_id}'"
    else:
        why = "taken as registered to the image"
    return TruthSource(topic, unit, offset, tolerance, own, pose), why


def _judge_cloud(
    reader: AnyReader,
    camera: RecordedTopic,
    cloud: RecordedTopic,
    tree: FrameTree,
    settings: TruthSettings,
) -> tuple[TruthSource, str] | str:
    """Accept a point cloud, with the reason, or say why it cannot be used."""
    frames = camera.frame_id.lstrip("/"), cloud.frame_id.lstrip("/")
    if settings.extrinsics is None and tree.transform(*frames, np.zeros(0, np.int64)) is None:
        return (
            f"no transform leads from '{cloud.frame_id}' of {cloud.name} to the camera's "
            f"'{camera.frame_id}'; give --extrinsics"
        )
    tolerance = _tolerance(settings, CLOUD_TOLERANCE_NS)
    offset = round(settings.offset * 1e9)
    problem = stamp_problem(camera.stamps, cloud.stamps, tolerance, offset)
    if problem:
        return problem
    source = TruthSource(cloud, 1.0, offset, tolerance, pose=settings.extrinsics)
    placed = "--extrinsics" if settings.extrinsics is not None else "/tf_static"
    return source, f"a point cloud placed by {placed}"


def _tolerance(settings: TruthSettings, default: int) -> int:
    """Return the tolerance in nanoseconds."""
    return default if settings.tolerance is None else round(settings.tolerance * 1e9)


def _own_calibration(
    topic: RecordedTopic,
    camera: RecordedTopic,
    calibration: Calibration,
    topics: Sequence[RecordedTopic],
) -> Calibration | None:
    """Return the calibration of a depth topic if its view is another one than the image's."""
    own = _any_calibration(topic, topics)
    if own is None or own == calibration:
        return None
    try:
        cameras = [calibration.camera(rectified) for rectified in (True, False)]
        mine = image_geometry(own, topic.name).camera
    except ValueError:
        return None
    if own.delivered_size != (topic.width, topic.height) and not same_aspect(
        *own.delivered_size, topic.width, topic.height
    ):
        return None
    return None if any(_is_same_view(mine, other) for other in cameras) else own


def _any_calibration(topic: RecordedTopic, topics: Sequence[RecordedTopic]) -> Calibration | None:
    """Return the calibration that belongs to a depth topic."""
    try:
        choice = choose_camera_info(topic, topics)
    except JoinError:
        return None
    info = choice.chosen
    if info is None or not info.calibrations:
        return None
    frames = info.frames or (info.frame_id,)
    place = frames.index(choice.frame_id) if choice.frame_id in frames else 0
    found = info.calibrations[min(place, len(info.calibrations) - 1)]
    if not found.is_calibrated:
        return None
    # A camera_info in the same frame, but for images of another aspect, is not this topic's.
    if topic.width and not same_aspect(*found.delivered_size, topic.width, topic.height):
        return None
    if topic.width and found.delivered_size != (topic.width, topic.height):
        return found.scaled(topic.width, topic.height)
    return found


def _is_same_view(first: PinholeCamera, second: PinholeCamera) -> bool:
    """Compare two cameras as if their images had the same size."""
    if not same_aspect(first.width, first.height, second.width, second.height):
        return False
    scaled = first.resized(second.width, second.height)
    return (
        abs(scaled.fx - second.fx) < _SAME_VIEW * second.fx
        and abs(scaled.fy - second.fy) < _SAME_VIEW * second.fy
        and abs(scaled.cx - second.cx) < max(1.0, _SAME_VIEW * second.width)
        and abs(scaled.cy - second.cy) < max(1.0, _SAME_VIEW * second.height)
    )


def reproject(
    depth: NDArray[np.float32],
    source: PinholeCamera,
    target: PinholeCamera,
    transform: NDArray[np.float64],
) -> NDArray[np.float32]:
    """See a depth image through another pinhole camera, without ever mixing two depths.

    Parameters
    ----------
    depth : ndarray, shape (h, w)
        Metres along the optical axis of `source`; NaN where unknown.
    source, target : PinholeCamera
    transform : ndarray, shape (4, 4)
        Pose of the source in the target's frame.

    Returns
    -------
    ndarray, shape (H, W), float32
        Metres along the optical axis of `target`; NaN where the source does not see. With a
        translation pixels are carried over one by one, so there are gaps where the target has the
        finer pixels.
    """
    rotation, translation = transform[:3, :3], transform[:3, 3]
    height, width = depth.shape
    if np.abs(translation).max() > 1e-6:
        rows, columns = np.nonzero(np.isfinite(depth))
        z = depth[rows, columns].astype(np.float64)
        points = np.stack(
            [(columns - source.cx) / source.fx * z, (rows - source.cy) / source.fy * z, z], axis=1
        )
        return truth_from_points(points @ rotation.T + translation, target)
    x = (np.arange(target.width) - target.cx) / target.fx
    y = (np.arange(target.height) - target.cy) / target.fy
    rays = np.stack(
        [
            np.broadcast_to(x, (target.height, target.width)),
            np.broadcast_to(y[:, None], (target.height, target.width)),
            np.ones((target.height, target.width)),
        ],
        axis=-1,
    )
    seen = rays @ rotation  # the rays in the source's frame: transposed rotation
    ahead = seen[..., 2] > 1e-9
    scale = np.where(ahead, seen[..., 2], 1.0)
    column = np.rint(seen[..., 0] / scale * source.fx + source.cx)
    row = np.rint(seen[..., 1] / scale * source.fy + source.cy)
    inside = ahead & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = depth[row.clip(0, height - 1).astype(int), column.clip(0, width - 1).astype(int)]
    # A ray with z = 1 in the target has z = scale in the source.
    return np.where(inside, found / scale, np.nan).astype(np.float32)


def cloud_truth(
    points: NDArray[np.float64],
    pose: NDArray[np.float64],
    view: StoredView,
    size: tuple[int, int] | None,
) -> NDArray[np.float32]:
    """Turn points (N, 3) of a sensor with a pose in the camera's frame into ground truth."""
    moved = points @ pose[:3, :3].T + pose[:3, 3]
    camera = view.truth_camera
    return truth_from_points(moved @ view.rotation.T, camera.resized(*size) if size else camera)
