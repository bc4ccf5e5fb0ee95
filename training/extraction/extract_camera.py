# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From cameras of recordings to a frame store, one camera after the other.

Frames are appended to a single growing store. After each camera the writer saves its place
together with the :class:`Book`, everything that must outlive a crash; a run that was interrupted
cuts the store back to that place and goes on with the next camera.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import Calibration
from monodepth2_ros.preprocessing import Crop
from monodepth2_ros.rectification import doubtful
from training.extraction.agreement import agreement_with_motion, frames_to_compare
from training.extraction.bag_cameras import BagCamera, DeliveredFrame, DeliveredTruth
from training.extraction.kitti import KittiCamera
from training.extraction.motion import (
    SpacingMotion,
    choose_spacing,
    measure_spacing,
    motion_image,
    segment_spacing,
)
from training.extraction.options import DEFAULT_MIN_FLOW
from training.extraction.pose_check import check_poses, choose_pairs, measure_image_motion
from training.extraction.poses import PoseSource
from training.extraction.progress import Book, CameraReport
from training.extraction.selection import FrameSelector
from training.extraction.stamps import StampMatcher
from training.extraction.stored_view import StoredView, make_view
from training.extraction.verdict import assess_motion
from training.frames.read_ahead import in_parallel
from training.frames.store import SHORTEST_SEGMENT, Source
from training.frames.writer import FrameStoreWriter

CameraSource: TypeAlias = BagCamera | KittiCamera

#: The two images of a stereo pair are taken within this time.
STEREO_TOLERANCE_NS = 5_000_000

_EMPTY_SHARE = 0.005
_TRUTH_PIXELS = 2000  # of a frame's ground truth, taken for the statistics


@dataclass(frozen=True)
class Rules:
    """How frames are turned into stored ones, and which.

    Attributes
    ----------
    width, height : int
        Width and height of the stored images.
    crop : tuple of float
    rectify : str
        "auto", "true" or "false".
    min_flow : float or None
        Pixels of the stored image; None for the default of the source.
    max_gap_s : float or None
    spacing : int or None
        None to choose it from the motion.
    workers : int
        Threads that decode.
    corner_size : tuple of int or None
        Width and height of the grey copies in which corners are tracked; None for no copies.
    """

    width: int
    height: int
    crop: Crop = (0.0, 0.0, 0.0, 0.0)
    rectify: str = "auto"
    min_flow: float | None = None
    max_gap_s: float | None = None
    spacing: int | None = None
    workers: int = 2
    corner_size: tuple[int, int] | None = None


Progress = Callable[[], None]

_Item = TypeVar("_Item")


def _no_progress() -> None:
    """Show nothing."""


def extract_camera(
    writer: FrameStoreWriter,
    book: Book,
    camera: CameraSource,
    rules: Rules,
    baseline: float = 0.0,
    progress: Progress = _no_progress,
) -> CameraReport:
    """Append a camera's frames, with poses and truth, and enter them in the book.

    Parameters
    ----------
    writer : FrameStoreWriter
    book : Book
    camera : BagCamera or KittiCamera
    rules : Rules
    baseline : float
        Metres, if this is the left camera of a stereo pair; the right one follows with
        :func:`extract_partner`.
    progress : callable
        Called for every frame and every truth that was read.
    """
    report = CameraReport(**asdict(camera.source), first_frame=len(writer), baseline=baseline)
    _enter_choices(report, camera)
    default = DEFAULT_MIN_FLOW if camera.filters_motion else 0.0
    min_flow = default if rules.min_flow is None else rules.min_flow
    selector = FrameSelector(min_flow / rules.width, rules.max_gap_s)
    # A stereo pair is a sample by itself, and who asks for all frames gets single ones, too: with
    # ground truth they can be evaluated.
    shortest = 1 if baseline or rules.min_flow == 0 else SHORTEST_SEGMENT
    starts: list[int] = []
    flows: list[float] = []
    views: list[StoredView] = []
    unusable: Counter[str] = Counter()

    def begin_segment() -> None:
        """Begin a segment; forget the one before if it holds no sample."""
        length = len(writer) - starts[-1] if starts else 0
        if starts and length < shortest:
            writer.truncate(starts.pop())
            del flows[len(writer) - report.first_frame :]
            del views[len(writer) - report.first_frame :]
            selector.left_out["in a segment too short for a sample"] += length
        starts.append(len(writer))

    for prepared in _prepared_frames(camera, rules, report):
        progress()
        if isinstance(prepared, str):
            selector.leave_out(prepared)
            unusable[prepared] += 1
            continue
        index = book.camera_index(prepared.view.camera, baseline)
        stamp, follows = prepared.frame.stamp, prepared.frame.follows
        decision = selector.consider(stamp, prepared.grey, index, follows)
        if not decision.keep:
            continue
        if decision.starts_segment:
            begin_segment()
        segment = book.segments + len(starts) - 1
        writer.append(prepared.image, stamp, index, segment, corner_image=prepared.corner_image)
        views.append(prepared.view)
        flows.append(float("nan") if decision.starts_segment else decision.flow)
    begin_segment()
    starts.pop()
    report.left_out = dict(selector.left_out)
    report.segment_ends = dict(selector.segment_ends)
    report.kept, report.segments = len(writer) - report.first_frame, len(starts)
    report.notes.extend(_remarks(views[0]) if views else ())
    _choose_spacings(writer, book, report, starts, flows, rules)
    _judge_input(report, views, unusable)
    _add_poses(writer, book, camera, report)
    _add_truth(writer, book, camera, rules, report, views, progress)
    book.reports.append(report)
    return report


def extract_partner(
    writer: FrameStoreWriter,
    book: Book,
    camera: CameraSource,
    rules: Rules,
    left: CameraReport,
    progress: Progress = _no_progress,
) -> CameraReport:
    """Append the right camera's frames that were taken together with the left one's.

    Parameters
    ----------
    writer, book, rules, progress
        See :func:`extract_camera`.
    camera : BagCamera or KittiCamera
        The right camera.
    left : CameraReport
        Report of the left camera, from :func:`extract_camera`.
    """
    report = CameraReport(**asdict(camera.source), first_frame=len(writer), baseline=-left.baseline)
    _enter_choices(report, camera)
    left_segment = writer.column("segment")[left.first_frame : left.first_frame + left.kept]
    matcher = StampMatcher(
        writer.column("stamps")[left.first_frame : left.first_frame + left.kept],
        STEREO_TOLERANCE_NS,
    )
    left_out: Counter[str] = Counter()
    spacings: list[int] = []
    views: list[StoredView] = []
    last = -2
    for prepared in _prepared_frames(camera, rules, report):
        progress()
        if isinstance(prepared, str):
            left_out[prepared] += 1
            continue
        position = matcher.take(prepared.frame.stamp)
        if position is None or position <= last:
            left_out["no frame of the left camera was kept at this time"] += 1
            continue
        if position != last + 1 or left_segment[position] != left_segment[last]:
            spacings.append(book.segment_spacing[left_segment[position]])
        last = position
        views.append(prepared.view)
        index = book.camera_index(prepared.view.camera, -left.baseline)
        segment = book.segments + len(spacings) - 1
        frame = writer.append(
            prepared.image,
            prepared.frame.stamp,
            index,
            segment,
            corner_image=prepared.corner_image,
        )
        writer.set_partner(frame, left.first_frame + position)
    report.left_out = dict(left_out)
    report.kept, report.segments = len(writer) - report.first_frame, len(spacings)
    report.spacing, report.samples = left.spacing, report.kept
    if report.kept < left.kept:
        report.notes.append(
            f"{left.kept - report.kept} of the left camera's frames have no partner"
        )
    report.verdict = left.verdict
    _enter_segments(book, report, spacings)
    _add_poses(writer, book, camera, report)
    _add_truth(writer, book, camera, rules, report, views, progress)
    book.reports.append(report)
    return report


def stereo_baseline(left: Calibration, right: Calibration) -> float:
    """Return the distance of a stereo pair in metres, from CameraInfo's P[3] = −fx · baseline.

    Raises
    ------
    ValueError
        If there is none, the cameras are swapped, or they are not rectified to one another.
    """
    baseline = right.baseline - left.baseline
    if baseline < 0.0:
        raise ValueError(
            f"the stereo baseline from CameraInfo's P[3] is {baseline:.4f} m, so left and right "
            "are swapped; exchange the two"
        )
    if baseline == 0.0:
        raise ValueError(
            "the right camera's P[3] is 0, so the baseline is unknown; calibrate the pair, or give "
            "--camera LEFT.yaml RIGHT.yaml with P[3] = -fx * baseline"
        )
    first, second = left.camera(rectified=True), right.camera(rectified=True)
    if abs(first.fy - second.fy) > 0.01 * first.fy or abs(first.cy - second.cy) > 1.0:
        raise ValueError(
            f"the stereo pair is not rectified to a common plane: fy {first.fy:.2f} and "
            f"{second.fy:.2f}, cy {first.cy:.2f} and {second.cy:.2f}"
        )
    return baseline


def _enter_choices(report: CameraReport, camera: CameraSource) -> None:
    """Enter what was chosen for a camera, and what the user should know about it."""
    report.notes.extend(camera.notes)
    report.joins = [choice.as_dict() for choice in camera.choices]
    report.truth = dict(camera.truth_description)
    report.bit_depth = camera.bits


def _judge_input(report: CameraReport, views: Sequence[StoredView], unusable: Counter[str]) -> None:
    """Let the verdict speak of what is wrong with the input before it speaks of the motion.

    Parameters
    ----------
    report : CameraReport
    views : sequence of StoredView
        Views of the kept frames.
    unusable : Counter of str
        Frames that could not be read, by reason.
    """
    verdict = report.verdict
    if not report.kept and unusable:
        reason, count = unusable.most_common(1)[0]
        if 2 * count > report.seen:
            verdict["level"] = "empty"
            verdict["summary"] = f"no frame could be used: {reason} ({count} of {report.seen})"
            verdict["advice"] = ("see the reasons under 'left out'",)
        return
    doubt = doubtful(views[0].source) if views else ""
    if doubt:
        verdict["summary"] = f"check the calibration first; the motion is {verdict['summary']}"
        verdict["level"] = "doubtful calibration"
        verdict["advice"] = (
            f"the intrinsics are unusual: {doubt}. Compare them with the camera's data sheet, "
            "calibrate, and give --camera calibration.yaml",
            *verdict["advice"],
        )


@dataclass(frozen=True)
class _Prepared:
    """A frame, decoded and brought to the size of the store."""

    frame: DeliveredFrame
    view: StoredView
    image: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    corner_image: NDArray[np.uint8] | None


def _remarks(view: StoredView) -> Iterator[str]:
    """Say what looks wrong with a view."""
    empty = view.empty_share()
    if empty > _EMPTY_SHARE:
        yield (
            f"rectification leaves {empty:.1%} of the image black, which confuses training; remove "
            "the borders with --crop"
        )
    doubt = doubtful(view.source)
    if doubt:
        yield (
            f"{doubt}; if that is not your lens and sensor, the calibration is wrong and training "
            "will fail"
        )


class _ViewCache:
    """The views of a camera's calibrations, computed when they first appear."""

    def __init__(self, camera: CameraSource, rules: Rules) -> None:
        self._camera, self._rules = camera, rules
        self._known: dict[Calibration, StoredView] = {}

    def of(self, calibration: Calibration) -> StoredView:
        """Return the view; ValueError if the calibration cannot be used."""
        view = self._known.get(calibration)
        if view is None:
            rules = self._rules
            size = rules.width, rules.height
            view = make_view(
                calibration, self._camera.is_rectified, rules.rectify, rules.crop, size
            )
            self._known[calibration] = view
        return view


def _prepared_frames(
    camera: CameraSource, rules: Rules, report: CameraReport
) -> Iterator[_Prepared | str]:
    """Decode and resize a camera's frames in parallel; for an unusable one the reason."""
    views = _ViewCache(camera, rules)

    def prepare(frame: DeliveredFrame | str) -> _Prepared | str:
        if isinstance(frame, str):
            return frame
        try:
            view = views.of(frame.calibration)
            rectified = view.rectified(frame.decode())
            image = view.image(rectified)
            size = rules.corner_size
            corners = None if size is None else view.corner_image(rectified, size)
        except Exception as error:  # decoders raise many kinds; a bad message costs one frame
            return _reason(error)
        return _Prepared(frame, view, image, motion_image(image), corners)

    frames = _until_it_breaks(camera.frames(), report)
    for prepared in in_parallel(prepare, frames, rules.workers, 4 * rules.workers):
        report.seen += 1
        yield prepared


def _choose_spacings(
    writer: FrameStoreWriter,
    book: Book,
    report: CameraReport,
    starts: Sequence[int],
    flows: Sequence[float],
    rules: Rules,
) -> None:
    """Measure the motion, judge it, and enter the segments with their spacings."""
    segment = writer.column("segment")[report.first_frame :]
    flow = np.array(flows)
    measured: list[SpacingMotion] = []
    if report.kept:

        def image(index: int) -> NDArray[np.uint8]:
            return motion_image(writer.image(report.first_frame + index))

        pinhole = book.cameras[int(writer.column("camera")[report.first_frame])]
        if rules.spacing is None:
            measured = choose_spacing(image, segment, pinhole)
        else:
            wanted = dict.fromkeys((1, rules.spacing))
            tried = [measure_spacing(image, segment, pinhole, spacing) for spacing in wanted]
            measured = [motion for motion in tried if motion is not None]
    report.spacing = rules.spacing or (measured[-1].spacing if measured else 1)
    report.motion = [{"spacing": m.spacing, "pairs": m.pairs, **asdict(m.motion)} for m in measured]
    report.flow = [round(float(value), 5) for value in flow if np.isfinite(value)]

    ends = [*starts, len(writer)][1:]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    typical = float(np.median(report.flow)) if report.flow else 0.0
    spacings = []
    for start, length in zip(starts, lengths, strict=True):
        here = flow[start - report.first_frame :][:length]
        here = here[np.isfinite(here)]
        own = float(np.median(here)) if rules.spacing is None and len(here) else typical
        spacings.append(segment_spacing(report.spacing, typical, own, length))
    report.samples = sum(
        max(0, length - 2 * spacing) for length, spacing in zip(lengths, spacings, strict=True)
    )
    report.verdict = asdict(
        assess_motion(
            measured,
            report.seen,
            report.samples,
            is_stereo=report.baseline != 0.0,
            width=rules.width,
        )
    )
    _enter_segments(book, report, spacings)


def _enter_segments(book: Book, report: CameraReport, spacings: Sequence[int]) -> None:
    """Add a camera's segments to the book."""
    if not spacings:
        return
    book.sources.append(Source(report.recording, report.topic))
    book.segment_source.extend([len(book.sources) - 1] * len(spacings))
    book.segment_spacing.extend(spacings)


def _add_poses(
    writer: FrameStoreWriter, book: Book, camera: CameraSource, report: CameraReport
) -> None:
    """Store the poses of a camera's frames."""
    if not report.kept:
        return
    stamps = writer.column("stamps")[report.first_frame :]
    try:
        source, report.poses_from = camera.pose_source()
    except ValueError as error:
        # The images of a bag that breaks off are kept; so its poses up to there are not.
        report.poses_from = f"none: {error}"
        return
    if source is None:
        return
    poses = source.at(stamps)
    writer.set_poses(report.first_frame, poses)
    report.pose_frames = int(np.isfinite(poses).all(axis=(1, 2)).sum())
    if report.pose_frames:
        _judge_poses(writer, book, report, source)


def _judge_poses(
    writer: FrameStoreWriter, book: Book, report: CameraReport, source: PoseSource
) -> None:
    """Compare the poses with the images, and let the verdict say what is wrong with them."""
    first = report.first_frame
    segment, index = writer.column("segment")[first:], writer.column("camera")[first:]
    motions = []
    for one, other in choose_pairs(segment, report.spacing):
        images = [(frame, writer.image(first + frame)) for frame in (one, other)]
        found = measure_image_motion(images[0], images[1], book.cameras[int(index[one])])
        if found is not None:
            motions.append(found)
    check = check_poses(motions, np.asarray(writer.column("stamps")[first:]), source.at)
    # The advice names the whole offset, with what was given already.
    if check.offset_s is not None and check.level != "agree":
        whole = f"--pose-offset {round(check.offset_s + source.offset_s, 3) + 0.0:.3f}"
        advice = (re.sub(r"--pose-offset \S+", whole, text) for text in check.advice)
        check = replace(check, advice=tuple(advice))
    report.pose_check = check.as_dict()
    if check.level in ("agree", "unknown"):
        return
    verdict = report.verdict
    if verdict:
        verdict["reasons"] = (*verdict["reasons"], check.summary)
        verdict["advice"] = (*verdict["advice"], *check.advice)


def _add_truth(
    writer: FrameStoreWriter,
    book: Book,
    camera: CameraSource,
    rules: Rules,
    report: CameraReport,
    views: Sequence[StoredView],
    progress: Progress,
) -> None:
    """Store the depth of a camera's frames, matched by stamp."""
    if not report.kept or not camera.has_truth:
        return
    stamps = writer.column("stamps")[report.first_frame :]
    matcher = StampMatcher(stamps, camera.truth_tolerance)
    problems: Counter[str] = Counter()
    found: set[int] = set()
    shares: list[float] = []
    depths: list[NDArray[np.float32]] = []
    random = np.random.default_rng(0)
    wanted = set(frames_to_compare(report.kept))
    compared: dict[int, NDArray[np.float32]] = {}

    def decode(match: _TruthMatch) -> tuple[_TruthMatch, NDArray[np.float32] | str]:
        try:
            return match, match.truth.decode(views[match.index], writer.truth_size)
        except Exception as error:  # as for images
            return match, _reason(error)

    def matches() -> Iterator[_TruthMatch]:
        for truth in _until_it_breaks(camera.truths(), report):
            progress()
            index = matcher.take(truth.stamp)
            if index is not None:
                yield _TruthMatch(index, truth)

    for match, depth in in_parallel(decode, matches(), rules.workers, 4 * rules.workers):
        index = match.index
        try:
            if isinstance(depth, str):
                raise ValueError(depth)
            if writer.truth_size not in (None, depth.shape[::-1]):
                # Decoded before the first one decided the size.
                depth = match.truth.decode(views[index], writer.truth_size)
            valid = depth[np.isfinite(depth) & (depth > 0.0)]
            if not valid.size:
                raise ValueError("no valid pixel in the image's view")
            writer.set_truth(report.first_frame + index, depth)
            found.add(index)
            if index in wanted:
                compared[index] = depth
            shares.append(valid.size / depth.size)
            depths.append(random.choice(valid, min(valid.size, _TRUTH_PIXELS), replace=False))
        except ValueError as error:
            problems[str(error)] += 1
    report.truth_frames, report.truth_problems = len(found), dict(problems)
    if depths:
        low, median, high = np.percentile(np.concatenate(depths), (5, 50, 95)).tolist()
        report.truth["valid_share"] = round(float(np.mean(shares)), 4)
        report.truth["depth_m"] = {
            "p5": round(low, 4),
            "p50": round(median, 4),
            "p95": round(high, 4),
        }
        report.truth["agreement"] = agreement_with_motion(writer, report, book.cameras, compared)
    elif report.kept and not problems:
        problems["no ground truth within the tolerance of an image"] = report.kept
        report.truth_problems = dict(problems)


@dataclass(frozen=True)
class _TruthMatch:
    """A depth measurement and the camera's frame that it belongs to."""

    index: int
    truth: DeliveredTruth


def _until_it_breaks(items: Iterator[_Item], report: CameraReport) -> Iterator[_Item]:
    """Iterate until the recording breaks off, and note that."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except ValueError as error:
            report.notes.append(str(error))
            return
        yield item


def _reason(error: Exception) -> str:
    """Return why a frame cannot be used, the same for all frames of a kind."""
    text = str(error).splitlines()[0] if str(error).strip() else type(error).__name__
    if not isinstance(error, (ValueError, cv2.error)):
        text = f"cannot be decoded ({type(error).__name__}: {text})"
    return re.sub(r"\d+ bytes", "… bytes", text)
