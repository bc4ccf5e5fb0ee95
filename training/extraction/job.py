# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An extraction from beginning to end: plan, check the disk, extract, report."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import torch

from monodepth2_ros.atomic_files import check_target
from monodepth2_ros.backends.processor import usable_cores
from monodepth2_ros.preprocessing import check_crop, crop_box
from monodepth2_ros.target_lock import exclusive
from training.extraction.bag_cameras import bag_cameras
from training.extraction.calibration import read_calibration, read_extrinsics
from training.extraction.console import Advance, Console
from training.extraction.extract_camera import (
    CameraSource,
    Rules,
    extract_camera,
    extract_partner,
    stereo_baseline,
)
from training.extraction.ground_truth import TruthSettings
from training.extraction.kitti import kitti_cameras
from training.extraction.options import ExtractOptions as ExtractOptions
from training.extraction.progress import Book
from training.extraction.report import (
    CONTACT_SHEET,
    FLOW_HISTOGRAM,
    REPORT_JSON,
    describe_reports,
    save_report,
)
from training.extraction.stored_view import (
    corner_size,
    least_corner_width,
    make_view,
    stored_size,
)
from training.frames.store import FrameStore, partial_path
from training.frames.writer import FrameStoreWriter

_INDEX_BYTES = 200  # of a frame, in addition to its pixels


@dataclass(frozen=True)
class Job:
    """A camera to extract, with its stereo partner if it has one."""

    camera: CameraSource
    partner: CameraSource | None = None

    @property
    def cameras(self) -> tuple[CameraSource, ...]:
        """The camera and its partner."""
        return (self.camera,) if self.partner is None else (self.camera, self.partner)


def extract(options: ExtractOptions, console: Console | None = None) -> FrameStore:
    """Plan, check the disk, extract and report.

    Parameters
    ----------
    options : ExtractOptions
    console : Console, optional

    Returns
    -------
    FrameStore
        The store that was written.

    Raises
    ------
    FileExistsError
        If there is something at ``options.out``.
    ValueError
        If a recording cannot be read, the options do not fit together or no frame is kept.
    """
    check_target(options.out)
    with exclusive(options.out), _single_threaded():
        return _extract(options, console or Console())


def _extract(options: ExtractOptions, console: Console) -> FrameStore:
    """Extract; see :func:`extract`."""
    out = options.out
    if options.force and (out / "store.json").is_file() and not out.is_symlink():
        shutil.rmtree(out)
    if out.exists() or out.is_symlink():
        complete = _made_before(options)
        if complete is None:
            advice = "" if options.force else ", or give --force to replace a frame store"
            raise FileExistsError(f"{out} exists; remove it or choose another --out{advice}")
        console.say(f"{out} is complete: this very command made it")
        return complete
    jobs = plan(options)
    rules = _rules(options, jobs, console)
    _describe_plan(jobs, rules, console)
    _check_disk(out, jobs, rules, console)
    fingerprint = _fingerprint(options)
    with _open_writer(out, rules, fingerprint, console) as writer:
        book = Book()
        if writer.state:
            book = Book.from_state(writer.state.get("book"), writer.partial)
            console.say(f"resuming after {len(writer):,} frames")
        done = len(book.reports)
        for job in jobs:
            if done > 0:
                done -= len(job.cameras)
                continue
            total = sum(camera.count * (1 + camera.has_truth) for camera in job.cameras)
            name = f"{job.camera.source.recording} {job.camera.source.topic}"
            with console.progress(total, name) as advance:
                _run(job, writer, book, rules, advance)
            writer.save({"fingerprint": fingerprint, "book": book.to_state()})
        console.say(describe_reports(book.reports))
        if not len(writer):
            shutil.rmtree(writer.partial, ignore_errors=True)
            raise ValueError(f"no frame is worth keeping, so {out} was not written; see above why")
        writer.finish(
            book.cameras,
            book.segment_spacing,
            book.segment_source,
            book.sources,
            book.baselines,
            fingerprint,
            complete=lambda folder: save_report(FrameStore.open(folder), book.reports),
        )
    store = FrameStore.open(out)
    size = sum(file.stat().st_size for file in out.iterdir())
    console.say(
        f"\n{out}: {len(store):,} frames of {store.width}x{store.height}, {gigabytes(size)}; see "
        f"{CONTACT_SHEET}, {FLOW_HISTOGRAM} and {REPORT_JSON} there"
    )
    return store


def _made_before(options: ExtractOptions) -> FrameStore | None:
    """Return the store at ``options.out`` if an extraction with these options completed it.

    A process may be killed when its store has its name already; the same command then has nothing
    left to do.
    """
    try:
        store = FrameStore.open(options.out)
        return store if store.fingerprint == _fingerprint(options) else None
    except (OSError, ValueError):
        return None


def plan(options: ExtractOptions) -> list[Job]:
    """Find the cameras to extract.

    Raises
    ------
    ValueError
        If a recording cannot be read or the options do not fit together.
    """
    if bool(options.bags) == bool(options.kitti_raw):
        raise ValueError("give recordings, or --kitti-raw DIR with --kitti-split FILE")
    stereo = options.stereo_topics
    cameras: list[CameraSource] = []
    if options.kitti_raw:
        if options.kitti_split is None:
            raise ValueError("--kitti-raw needs --kitti-split FILE, the list of frames")
        with_truth = options.truth_topic != "none"
        cameras += kitti_cameras(options.kitti_raw, options.kitti_split, stereo, with_truth)
    else:
        calibrations = [read_calibration(path) for path in options.camera]
        images = stereo or tuple(options.image_topic)
        if len(calibrations) > 1 and len(calibrations) != len(images):
            raise ValueError(
                f"--camera names {len(calibrations)} files for {len(images)} topics; give one for "
                "all, or one for each topic of --image-topic or --stereo-topics"
            )
        extrinsics = read_extrinsics(options.extrinsics) if options.extrinsics else None
        if len(options.camera_info_topic) > 1 and len(options.camera_info_topic) != len(images):
            raise ValueError(
                f"--camera-info-topic names {len(options.camera_info_topic)} topics for "
                f"{len(images)} image topics; give one for all, or one for each topic of "
                "--image-topic or --stereo-topics"
            )
        truth = TruthSettings(
            options.truth_topic,
            options.truth_unit,
            options.truth_offset,
            options.truth_tolerance,
            extrinsics,
        )
        for path in options.bags:
            found = bag_cameras(
                path,
                images,
                calibrations,
                truth,
                poses=options.poses_topic,
                camera_info=options.camera_info_topic,
                scale_camera_info=options.scale_camera_info,
                bit_depth=options.bit_depth,
            )
            offset, axes = options.pose_offset, options.pose_axes
            cameras += [replace(one, pose_offset=offset, pose_axes=axes) for one in found]
    if stereo is None:
        return [Job(camera) for camera in cameras]
    return [Job(left, right) for left, right in zip(cameras[::2], cameras[1::2], strict=True)]


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep OpenCV and torch to one thread each: frames are decoded in parallel already."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _open_writer(out: Path, rules: Rules, fingerprint: str, console: Console) -> FrameStoreWriter:
    """Open the store for writing, where an extraction with the same settings left it."""
    was_begun = partial_path(out).exists()
    settled = (out, rules.width, rules.height, rules.crop)
    writer = FrameStoreWriter(*settled, resume=True, corner_size=rules.corner_size)
    if writer.state.get("fingerprint") != fingerprint:
        if was_begun:
            console.say(
                f"{writer.partial} was left early or begun with other settings; it begins again"
            )
        writer.close()
        writer = FrameStoreWriter(*settled, corner_size=rules.corner_size)
    return writer


def _run(job: Job, writer: FrameStoreWriter, book: Book, rules: Rules, advance: Advance) -> None:
    """Extract a camera, and its partner."""
    baseline = 0.0
    if job.partner is not None:
        baseline = stereo_baseline(job.camera.calibration, job.partner.calibration)

    def step() -> None:
        advance(1)

    with job.camera.opened() as camera:
        left = extract_camera(writer, book, camera, rules, baseline, step)
    if job.partner is not None:
        with job.partner.opened() as partner:
            extract_partner(writer, book, partner, rules, left, step)


def _rules(options: ExtractOptions, jobs: Sequence[Job], console: Console) -> Rules:
    """Settle what holds for all frames, and check that every camera can be used."""
    crop = options.crop
    check_crop(crop)
    size: tuple[int, int] | None = None
    sources: list[tuple[int, int]] = []
    for job in jobs:
        for camera in job.cameras:
            name = f"{camera.source.recording} {camera.source.topic}"
            try:
                view = make_view(camera.calibration, camera.is_rectified, options.rectify, crop)
                if job.partner is not None:
                    stereo_baseline(job.camera.calibration, job.partner.calibration)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            _, _, width, height = crop_box(view.source.width, view.source.height, crop)
            own = stored_size(width, height, options.width, options.height)
            sources.append((width, height))
            if size is None:
                size = own
            if own != size:
                console.say(f"note: {name} is stretched from its own {own[0]}x{own[1]}")
    if size is None:
        raise ValueError("there is no camera to extract")
    corners = corner_size(sources, size, options.corner_width)
    if options.corner_width and (corners is None or corners[0] < options.corner_width):
        console.say(f"note: {_corner_note(sources, size, corners, options.corner_width)}")
    return Rules(
        width=size[0],
        height=size[1],
        crop=crop,
        rectify=options.rectify,
        min_flow=options.min_flow,
        max_gap_s=options.max_gap,
        spacing=options.spacing,
        workers=options.workers or usable_cores(),
        corner_size=corners,
    )


def _corner_note(
    sources: Sequence[tuple[int, int]],
    stored: tuple[int, int],
    corners: tuple[int, int] | None,
    wanted: int,
) -> str:
    """Say why grey copies of a width that was asked for are narrower, or not there."""
    smallest = min(sources)
    of_camera = f"the {'smallest ' if len(sources) > 1 else ''}camera image, {smallest[0]} pixels"
    if corners is not None:
        return (
            f"--corner-width {wanted} is more than {of_camera} wide after the crop; the copies "
            f"are {corners[0]} pixels wide"
        )
    least = least_corner_width(stored[0])
    reason = f"--corner-width {wanted} makes no copies: below {least} pixels, they would show "
    reason += f"corners no better than the stored images, {stored[0]} pixels wide"
    if least > smallest[0]:
        return f"{reason}, and {of_camera} wide after the crop, is not enlarged"
    return f"{reason}; give {least} or more, or store smaller images (--width)"


def _describe_plan(jobs: Sequence[Job], rules: Rules, console: Console) -> None:
    """Say what was found."""
    for job in jobs:
        for camera in job.cameras:
            extras = ["with truth"] if camera.has_truth else []
            extras += ["rectified as it comes"] if camera.is_rectified else []
            if job.partner is not None:
                extras.append("left" if camera is job.camera else "right")
            console.say(
                f"{camera.source.recording}  {camera.source.topic}: {camera.count:,} frames"
                + "".join(f", {extra}" for extra in extras)
            )
            for choice in camera.choices:
                console.say(f"  {choice.as_text()}")
    copies = ""
    if rules.corner_size is not None:
        width, height = rules.corner_size
        copies = f", and in grey as {width}x{height}, for tracking corners"
    console.say(f"stored as {rules.width}x{rules.height}{copies}")


def _check_disk(out: Path, jobs: Sequence[Job], rules: Rules, console: Console) -> None:
    """Say how much disk the store may take, and refuse if that is not there."""
    needed = 0
    for camera in (camera for job in jobs for camera in job.cameras):
        size = rules.width, rules.height
        view = make_view(camera.calibration, camera.is_rectified, rules.rectify, rules.crop, size)
        truth = view.truth_camera.width * view.truth_camera.height * 2 if camera.has_truth else 0
        copy = rules.corner_size or (0, 0)
        of_frame = size[0] * size[1] * 3 + truth + copy[0] * copy[1] + _INDEX_BYTES
        needed += camera.count * of_frame
    partial = partial_path(out)
    present = sum(file.stat().st_size for file in partial.iterdir()) if partial.is_dir() else 0
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free + present
    console.say(f"needs at most {gigabytes(needed)} of disk; {gigabytes(free)} are free")
    if needed > free:
        raise ValueError(
            f"{out} may need {gigabytes(needed)}, but only {gigabytes(free)} are free in "
            f"{parent}; free some, choose another --out, a smaller --width, --corner-width 0 or "
            "--truth-topic none"
        )


def gigabytes(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _fingerprint(options: ExtractOptions) -> str:
    """Return what an interrupted extraction must have in common to be resumed."""
    described = {
        field.name: str(getattr(options, field.name))
        for field in fields(options)
        if field.name not in ("out", "workers", "force", "quiet")
    }
    for path in options.files:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        states = [(str(file), file.stat()) for file in files if file.is_file()]
        described[f"file {path}"] = str([(n, s.st_size, s.st_mtime_ns) for n, s in states])
    return f"{zlib.crc32(json.dumps(described).encode()):08x}"
