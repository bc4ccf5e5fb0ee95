# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_extract``: recordings to a frame store that ``depth_train`` reads.

With ``--predict`` a network's depth is written next to the frames; see
:mod:`training.frames.predicted_depth`.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from monodepth2_ros.backends import BackendError
from monodepth2_ros.checkpoint import CheckpointError
from monodepth2_ros.preprocessing import Crop, check_crop, crop_box
from training.extraction.bag_cameras import bag_cameras
from training.extraction.calibration import read_calibration, read_extrinsics
from training.extraction.extract_camera import (
    DEFAULT_MIN_FLOW,
    CameraSource,
    Rules,
    extract_camera,
    extract_partner,
    stereo_baseline,
)
from training.extraction.kitti import kitti_cameras
from training.extraction.progress import Book
from training.extraction.report import (
    CONTACT_SHEET,
    FLOW_HISTOGRAM,
    REPORT_JSON,
    describe,
    save_report,
)
from training.extraction.stored_view import make_view, stored_size
from training.frames.store import FrameStore, FrameStoreWriter, partial_path

_INDEX_BYTES = 200  # of a frame, beside its pixels


@dataclass(frozen=True)
class Job:
    """A camera to extract, with its stereo partner if it has one."""

    camera: CameraSource
    partner: CameraSource | None = None

    @property
    def cameras(self) -> tuple[CameraSource, ...]:
        """The camera and its partner."""
        return (self.camera,) if self.partner is None else (self.camera, self.partner)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_extract``; return 0 if a store was written."""
    arguments = _parser().parse_args(argv)
    try:
        is_extraction = bool(arguments.bags or arguments.kitti_raw or not arguments.predict)
        if is_extraction:
            with _single_threaded():
                code = extract(arguments)
            if code != 0:
                return code
        if arguments.predict:
            predict(arguments.out, arguments.predict)
        return 0
    except (ValueError, FileExistsError, CheckpointError, BackendError) as error:
        print(f"depth_extract: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"depth_extract: the disk is full ({error}). What was finished is kept in "
            f"{partial_path(arguments.out)}: free some space and run the same command again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("depth_extract: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def extract_every_frame(
    source: Sequence[str], out: Path, size: tuple[int, int], crop: Sequence[float]
) -> bool:
    """Extract a recording as a network sees it, to look at and not to train on.

    Parameters
    ----------
    source : sequence of str
        A recording, or the options that name one.
    out : Path
        The frame store to write.
    size : tuple of int
        Width and height.
    crop : sequence of float
        As in ``--crop``.

    Returns
    -------
    bool
        Whether that worked; the reason was printed on stderr.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    """
    command = [*source, "--out", str(out), "--min-flow", "0"]
    command += ["--width", str(size[0]), "--height", str(size[1])]
    command += ["--crop", *(str(side) for side in crop)]
    # Whether the recording can train a model is not the question.
    with redirect_stdout(io.StringIO()):
        code = main(command)
    if code == 130:
        raise KeyboardInterrupt
    return code == 0


def predict(out: Path, model: str) -> None:
    """Write a network's depth beside a store's frames.

    Raises
    ------
    ValueError, CheckpointError, BackendError
        If that cannot be done, with the reason and the fix.
    """
    from tqdm import tqdm

    from monodepth2_ros.predictor import DepthPredictor
    from training.frames.predicted_depth import DEPTH, predict_store

    try:
        store = FrameStore.open(out)
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no frame store at {out} to predict for; name recordings to extract too"
        ) from error
    predictor = DepthPredictor("" if model == "default" else model)
    with tqdm(total=len(store), desc="depth", unit=" frames", disable=None) as bar:
        predicted = predict_store(store, predictor, progress=bar.update)
    height, width = predicted.depth.shape[1:]
    size = _gigabytes(predicted.description["bytes"])
    print(f"{out / DEPTH}: depth of {len(store):,} frames, {width}x{height}, {size}")


def extract(arguments: argparse.Namespace) -> int:
    """Plan, check the disk, extract and report; return 0 if a store was written."""
    from tqdm import tqdm

    out: Path = arguments.out
    if out.exists():
        advice = ", or leave out the recordings to predict for it" if arguments.predict else ""
        raise FileExistsError(f"{out} exists; remove it or choose another --out{advice}")
    jobs = plan(arguments)
    rules = _rules(arguments, jobs)
    _describe_plan(jobs, rules)
    _check_disk(out, jobs, rules)
    fingerprint = _fingerprint(arguments)
    with _open_writer(out, rules, fingerprint) as writer:
        book = Book()
        if writer.state:
            book = Book.from_state(writer.state["book"])
            print(f"resuming after {len(writer):,} frames")
        done = len(book.reports)
        for job in jobs:
            if done > 0:
                done -= len(job.cameras)
                continue
            total = sum(camera.count * (1 + camera.has_truth) for camera in job.cameras)
            name = f"{job.camera.source.recording} {job.camera.source.topic}"
            with tqdm(total=total, desc=name, unit=" messages", disable=None) as bar:
                _run(job, writer, book, rules, bar)
            writer.save({"fingerprint": fingerprint, "book": book.to_state()})
        print(describe(book.reports))
        if not len(writer):
            shutil.rmtree(writer.partial, ignore_errors=True)
            raise ValueError(f"no frame is worth keeping, so {out} was not written; see above why")
        writer.finish(
            book.cameras, book.segment_spacing, book.segment_source, book.sources, book.baselines
        )
    store = FrameStore.open(out)
    save_report(store, book.reports)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f"\n{out}: {len(store):,} frames of {store.width}x{store.height}, {_gigabytes(size)}; see "
        f"{CONTACT_SHEET}, {FLOW_HISTOGRAM} and {REPORT_JSON} there"
    )
    return 0


def plan(arguments: argparse.Namespace) -> list[Job]:
    """Find the cameras to extract.

    Raises
    ------
    ValueError
        If a recording cannot be read or the options do not fit together.
    """
    if bool(arguments.bags) == bool(arguments.kitti_raw):
        raise ValueError("give recordings, or --kitti-raw DIR with --split FILE")
    stereo = tuple(arguments.stereo) if arguments.stereo else None
    cameras: list[CameraSource] = []
    if arguments.kitti_raw:
        if arguments.split is None:
            raise ValueError("--kitti-raw needs --split FILE, the list of frames")
        with_truth = arguments.truth != "none"
        cameras += kitti_cameras(arguments.kitti_raw, arguments.split, stereo, with_truth)
    else:
        calibrations = [read_calibration(path) for path in arguments.camera]
        images = stereo or tuple(arguments.image)
        if len(calibrations) > 1 and len(calibrations) != len(images):
            raise ValueError(
                f"--camera names {len(calibrations)} files for {len(images)} topics; give one for "
                "all, or one for each topic of --image or --stereo"
            )
        extrinsics = read_extrinsics(arguments.extrinsics) if arguments.extrinsics else None
        for path in arguments.bags:
            cameras += bag_cameras(
                path, images, calibrations, arguments.truth, extrinsics, arguments.poses
            )
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


def _open_writer(out: Path, rules: Rules, fingerprint: str) -> FrameStoreWriter:
    """Open the store for writing, where an extraction with the same settings left it."""
    was_begun = partial_path(out).exists()
    writer = FrameStoreWriter(out, rules.width, rules.height, rules.crop, resume=True)
    if writer.state.get("fingerprint") != fingerprint:
        if was_begun:
            print(f"{writer.partial} was left early or begun with other settings; it begins again")
        writer.close()
        writer = FrameStoreWriter(out, rules.width, rules.height, rules.crop)
    return writer


def _run(job: Job, writer: FrameStoreWriter, book: Book, rules: Rules, bar: Any) -> None:
    """Extract a camera, and its partner."""
    baseline = 0.0
    if job.partner is not None:
        baseline = stereo_baseline(job.camera.calibration, job.partner.calibration)
    with job.camera.opened() as camera:
        left = extract_camera(writer, book, camera, rules, baseline, bar.update)
    if job.partner is not None:
        with job.partner.opened() as partner:
            extract_partner(writer, book, partner, rules, left, bar.update)


def _rules(arguments: argparse.Namespace, jobs: Sequence[Job]) -> Rules:
    """Settle what holds for all frames, and check that every camera can be used."""
    crop: Crop = tuple(arguments.crop)
    check_crop(crop)
    if arguments.min_flow is not None and arguments.min_flow < 0.0:
        raise ValueError(f"--min-flow is {arguments.min_flow}; give 0 or more pixels")
    if arguments.max_gap is not None and arguments.max_gap <= 0.0:
        raise ValueError(f"--max-gap is {arguments.max_gap}; give seconds above 0")
    if arguments.workers < 1:
        raise ValueError(f"--workers is {arguments.workers}; give at least 1")
    size: tuple[int, int] | None = None
    for job in jobs:
        for camera in job.cameras:
            name = f"{camera.source.recording} {camera.source.topic}"
            try:
                view = make_view(camera.calibration, camera.is_rectified, arguments.rectify, crop)
                if job.partner is not None:
                    stereo_baseline(job.camera.calibration, job.partner.calibration)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            _, _, width, height = crop_box(view.source.width, view.source.height, crop)
            own = stored_size(width, height, arguments.width, arguments.height)
            size = size or own
            if own != size:
                print(f"note: {name} is stretched from its own {own[0]}x{own[1]}")
    if size is None:
        raise ValueError("there is no camera to extract")
    return Rules(
        width=size[0],
        height=size[1],
        crop=crop,
        rectify=arguments.rectify,
        min_flow=arguments.min_flow,
        max_gap_s=arguments.max_gap,
        spacing=arguments.spacing,
        workers=arguments.workers,
    )


def _describe_plan(jobs: Sequence[Job], rules: Rules) -> None:
    """Say what was found."""
    for job in jobs:
        for camera in job.cameras:
            extras = ["with truth"] if camera.has_truth else []
            extras += ["rectified as it comes"] if camera.is_rectified else []
            if job.partner is not None:
                extras.append("left" if camera is job.camera else "right")
            print(
                f"{camera.source.recording}  {camera.source.topic}: {camera.count:,} frames"
                + "".join(f", {extra}" for extra in extras)
            )
    print(f"stored as {rules.width}x{rules.height}")


def _check_disk(out: Path, jobs: Sequence[Job], rules: Rules) -> None:
    """Say how much disk the store may take, and refuse if that is not there."""
    needed = 0
    for camera in (camera for job in jobs for camera in job.cameras):
        size = rules.width, rules.height
        view = make_view(camera.calibration, camera.is_rectified, rules.rectify, rules.crop, size)
        truth = view.truth_camera.width * view.truth_camera.height * 2 if camera.has_truth else 0
        needed += camera.count * (size[0] * size[1] * 3 + truth + _INDEX_BYTES)
    partial = partial_path(out)
    present = sum(file.stat().st_size for file in partial.iterdir()) if partial.is_dir() else 0
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free + present
    print(f"needs at most {_gigabytes(needed)} of disk; {_gigabytes(free)} are free")
    if needed > free:
        raise ValueError(
            f"{out} may need {_gigabytes(needed)}, but only {_gigabytes(free)} are free in "
            f"{parent}; free some, choose another --out, a smaller --width or --truth none"
        )


def _gigabytes(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _fingerprint(arguments: argparse.Namespace) -> str:
    """Return what an interrupted extraction must have in common to be resumed."""
    described = {
        name: str(value)
        for name, value in sorted(vars(arguments).items())
        if name not in ("out", "workers", "predict")
    }
    for path in (*arguments.bags, *arguments.camera, arguments.extrinsics, arguments.split):
        if path is not None:
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            states = [(str(file), file.stat()) for file in files if file.is_file()]
            described[f"file {path}"] = str([(n, s.st_size, s.st_mtime_ns) for n, s in states])
    return f"{zlib.crc32(json.dumps(described).encode()):08x}"


def _spacing(text: str) -> int | None:
    """Read --spacing: None stands for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': give auto or a number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_extract",
        description="Extract training frames from recordings: rosbag2 (sqlite3, MCAP, compressed "
        "or not), ROS 1 bags, or KITTI raw folders. An interrupted extraction is resumed by the "
        "same command.",
    )
    parser.add_argument("bags", nargs="*", type=Path, metavar="BAG", help="bag folders or files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the frame store")
    source = parser.add_argument_group("what to read")
    source.add_argument(
        "--image",
        nargs="+",
        default=[],
        metavar="TOPIC",
        help="image topics (default: all cameras)",
    )
    source.add_argument(
        "--stereo", nargs=2, metavar=("LEFT", "RIGHT"), help="image topics of a rectified pair"
    )
    source.add_argument(
        "--camera",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="camera_info YAML instead of the recorded camera_info: one for all, or one per topic",
    )
    source.add_argument(
        "--truth",
        default="auto",
        metavar="auto|none|TOPIC",
        help="depth image or PointCloud2 topic to store as truth (default: auto)",
    )
    source.add_argument(
        "--extrinsics",
        type=Path,
        metavar="FILE",
        help="YAML with the point cloud's pose in the camera's optical frame: translation: "
        "[x, y, z], rotation: [x, y, z, w] (default: from /tf_static)",
    )
    source.add_argument(
        "--poses",
        default="auto",
        metavar="auto|none|TOPIC",
        help="Odometry or PoseStamped topic (default: auto, /tf included)",
    )
    source.add_argument(
        "--kitti-raw",
        type=Path,
        metavar="DIR",
        help="KITTI raw folders; --stereo takes image_02 image_03",
    )
    source.add_argument("--split", type=Path, metavar="FILE", help="list of KITTI frames")
    frames = parser.add_argument_group("what to store")
    frames.add_argument("--width", type=int, help="of the stored images, a multiple of 32")
    frames.add_argument(
        "--height", type=int, help="the same (default: at most 640 wide, aspect kept)"
    )
    frames.add_argument(
        "--crop",
        nargs=4,
        type=float,
        default=(0.0, 0.0, 0.0, 0.0),
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="fractions of the image to remove, a bonnet for example",
    )
    frames.add_argument(
        "--rectify",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto: what is distorted and has no 'rect' in its topic's name",
    )
    frames.add_argument(
        "--min-flow",
        type=float,
        metavar="PIXELS",
        help="least median motion between kept frames, in stored pixels; 0 keeps all (default: "
        f"{DEFAULT_MIN_FLOW}; KITTI: 0)",
    )
    frames.add_argument(
        "--max-gap",
        type=float,
        metavar="SECONDS",
        help="a longer gap ends a segment (default: 2.5 times the usual interval)",
    )
    frames.add_argument(
        "--spacing",
        type=_spacing,
        metavar="auto|N",
        help="frames between neighbours (default: auto, from the motion)",
    )
    parser.add_argument(
        "--predict",
        metavar="MODEL",
        help="afterwards write the depth that this checkpoint (or 'default') predicts for the "
        "frames into the store; without recordings, for a store that is there",
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="decoding threads (%(default)s)"
    )
    return parser


def default_workers() -> int:
    """Return the number of cores this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
