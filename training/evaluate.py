# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_evaluate``: how good a checkpoint is, against recorded depth and motion."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from monodepth2_ros.atomic_files import write_atomically
from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint
from monodepth2_ros.preprocessing import NO_CROP, Crop, remaining_crop, sees_less
from training.evaluation.depth import Evaluation, evaluate_depth
from training.evaluation.html_report import as_html
from training.evaluation.json_report import as_json
from training.evaluation.odometry import evaluate_odometry, pose_chains
from training.evaluation.picture_report import as_png
from training.evaluation.predictors import (
    constant_predictor,
    depth_predictor,
    mean_depth_predictor,
    saturation_depth,
)
from training.evaluation.protocol import Frames, Predict, Progress, Protocol, Selection
from training.evaluation.report import Model, Report
from training.evaluation.splits import frames_of_stretch, training_split
from training.evaluation.steadiness import Candidate, Recording, evaluate_temporal
from training.evaluation.text_report import as_text
from training.extraction.console import ProgressBars
from training.extraction.job import ExtractOptions
from training.extraction.open_frames import extract_every_frame, open_frames
from training.frames.store import FrameStore
from training.learning.dataset import DatasetError

SCALINGS = ("median", "metric", "none")


class EvaluationError(ValueError):
    """An evaluation is impossible; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_evaluate``.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0, or 1 if there is no result.
    """
    arguments = _parser().parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="depth_evaluate.") as scratch:
            report = evaluate(arguments, Path(scratch))
            print(as_text(report))
            for path, write in (
                (arguments.json, as_json),
                (arguments.report, as_html),
                (arguments.picture, as_png),
            ):
                if path is not None:
                    content = write(report)
                    data = content if isinstance(content, bytes) else content.encode()
                    write_atomically(path, data)
                    print(f"written: {path}")
    except (ValueError, OSError) as error:
        print(f"depth_evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("depth_evaluate: interrupted", file=sys.stderr)
        return 130
    return 0


def evaluate(arguments: argparse.Namespace, scratch: Path) -> Report:
    """Do what the command line asks for.

    Parameters
    ----------
    arguments : Namespace
    scratch : Path
        Folder for frames of recordings; they must stay until the report is written.

    Raises
    ------
    ValueError
        If it cannot be done, with the reason and the fix.
    """
    _check_arguments(arguments)
    names = arguments.compare or [arguments.checkpoint]
    checkpoints = [open_checkpoint(name) for name in names]
    device = _device(arguments.device)
    protocol = Protocol(
        scaling=_scaling(arguments.scaling, checkpoints),
        min_depth=arguments.min_depth,
        max_depth=arguments.cap,
        garg_crop=arguments.crop == "garg",
        flip=arguments.flip,
    )
    stores = _open_data(arguments, checkpoints, scratch)
    has_truth = any(store.truth is not None for store in stores)
    if not (has_truth or arguments.odometry or arguments.temporal):
        raise EvaluationError(
            f"there is no depth to compare with in {', '.join(store.path.name for store in stores)}"
            "; extract with --truth TOPIC, or give --odometry to compare the motion alone, or "
            "--temporal to see how steady the depth is"
        )
    selections, learnable = [], []
    for store in stores:
        chosen, rest = _split(store, checkpoints[0], arguments)
        window = _window(store, checkpoints)
        selections.append(Selection(store, chosen, window))
        if store.truth is not None:
            learnable.append(Selection(store, rest, window))
    notes = _notes(checkpoints, selections, arguments)

    models, candidates = [], []
    for label, checkpoint in zip(_labels(names), checkpoints, strict=True):
        predict = depth_predictor(checkpoint, device, protocol)
        candidates.append(Candidate(label, predict, saturation_depth(checkpoint, protocol)))
        depth = odometry = None
        if has_truth:
            depth = _depth(label, predict, selections, protocol, arguments.batch_size)
        if arguments.odometry:
            steps = sum(len(chain) - 1 for chosen in selections for chain in pose_chains(chosen))
            with _progress(f"{label}: motion", steps, "pair") as progress:
                odometry = evaluate_odometry(
                    checkpoint, selections, device, arguments.batch_size, progress
                )
        metadata = dataclasses.asdict(checkpoint.metadata)
        models.append(Model(label, checkpoint.source, metadata, predict, depth, odometry))
    if arguments.odometry and models[0].odometry is None:
        notes.append("no odometry: nowhere do five neighbouring frames have recorded poses")
    baselines = []
    if has_truth:
        scaled = dataclasses.replace(protocol, scaling="median", flip=False)
        for name, predict in _baselines(learnable, protocol, notes).items():
            baselines.append(_depth(name, predict, selections, scaled, arguments.batch_size))
            candidates.append(Candidate(name, predict, needs_truth=True))
    elif models[0].odometry is None and not arguments.temporal:
        raise EvaluationError(
            "there are neither depth nor enough poses to compare with; extract with --truth TOPIC "
            "or --poses TOPIC"
        )
    temporal: Sequence[Recording] = ()
    if arguments.temporal:
        temporal = _temporal(candidates, selections, protocol, arguments.batch_size)
    return Report(
        data=_describe_data(arguments),
        selections=selections,
        protocol=protocol,
        models=models,
        baselines=baselines,
        temporal=temporal,
        notes=notes,
    )


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is loaded."""
    if (arguments.checkpoint is None) == (arguments.compare is None):
        raise EvaluationError(
            "give one CHECKPOINT (before --data), or two with --compare A B, not both"
        )
    if bool(arguments.data) == bool(arguments.kitti_raw):
        raise EvaluationError(
            "give --data STORE or BAG, or --kitti-raw DIR with --kitti-split FILE, not both"
        )
    if (arguments.kitti_raw is None) != (arguments.kitti_split is None):
        raise EvaluationError("--kitti-raw DIR and --kitti-split FILE belong together; give both")
    if arguments.batch_size < 1:
        raise EvaluationError(f"--batch-size is {arguments.batch_size}; give at least 1")
    if not 0.0 < arguments.min_depth < arguments.cap:
        raise EvaluationError(
            f"--min-depth is {arguments.min_depth:g} and --cap {arguments.cap:g}; give "
            "0 < min-depth < cap, in metres"
        )
    for option in ("json", "report", "picture"):
        path = getattr(arguments, option)
        if path is not None and not path.absolute().parent.is_dir():
            raise EvaluationError(
                f"--{option} {path}: the folder {path.absolute().parent} does not exist; make it"
            )


def _device(name: str) -> torch.device:
    """Turn --device into torch's, refusing what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise EvaluationError(f"--device is '{name}'; it must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EvaluationError(
            f"--device is '{name}', but torch finds {torch.cuda.device_count()} CUDA devices here; "
            "give --device cpu"
        )
    return device


def _scaling(wanted: str | None, checkpoints: Sequence[Checkpoint]) -> str:
    """Choose how predictions become metres: as they are only if all models are metric."""
    scaleless = [c.source for c in checkpoints if not c.metadata.is_metric]
    if wanted == "metric" and scaleless:
        raise EvaluationError(
            f"--scaling metric, but {scaleless[0]} is not metric: its depth has an unknown unit; "
            "give --scaling median"
        )
    return wanted or ("median" if scaleless else "metric")


def _labels(names: Sequence[str]) -> list[str]:
    """Shorten the names of checkpoints as far as they stay different."""
    paths = [Path(name).absolute() for name in names]
    shortest = [str(Path(*path.parts[-1:])) for path in paths]
    for length in range(2, max(len(path.parts) for path in paths) + 1):
        if len(set(shortest)) == len(shortest):
            return shortest
        shortest = [str(Path(*path.parts[-length:])) for path in paths]
    return [f"{label} ({'AB'[i]})" for i, label in enumerate(shortest)]


def _open_data(
    arguments: argparse.Namespace, checkpoints: Sequence[Checkpoint], scratch: Path
) -> list[FrameStore]:
    """Open the stores; extract recordings as the first checkpoint sees them."""
    metadata = checkpoints[0].metadata
    crops = {checkpoint.metadata.crop for checkpoint in checkpoints}
    crop: Crop = crops.pop() if len(crops) == 1 else NO_CROP
    size = (metadata.width, metadata.height)
    bars = ProgressBars()
    if arguments.kitti_raw is not None:
        out = scratch / "KITTI"
        kitti = ExtractOptions(out, kitti_raw=arguments.kitti_raw, split=arguments.kitti_split)
        return [extract_every_frame(kitti, out, size, crop, bars)]
    stores = []
    for index, path in enumerate(arguments.data):
        out = scratch / f"{index}" / path.stem
        try:
            stores.append(open_frames(path, out, size, crop, console=bars))
        except (ValueError, FileNotFoundError) as error:
            raise EvaluationError(
                f"--data {path.name}: {error}; give a frame store of depth_extract, or a recording"
            ) from error
    return stores


def _split(
    store: FrameStore, checkpoint: Checkpoint, arguments: argparse.Namespace
) -> tuple[Frames, Frames]:
    """Choose the frames to compare, and those that the mean depth image may learn from."""
    chosen = frames_of_stretch(store, *arguments.stretch)
    if arguments.split == "all":
        return chosen, np.setdiff1d(np.arange(len(store)), chosen)
    options = checkpoint.metadata.training.get("options", {})
    fitted, held_out = training_split(store, options, arguments.validation_fraction)
    wanted = fitted if arguments.split == "train" else held_out
    return np.intersect1d(chosen, wanted), fitted


def _path(text: str) -> Path:
    """Read --data; absolute, so that "." has a name."""
    return Path(text).expanduser().absolute()


def _stretch(text: str) -> tuple[float, float]:
    """Read --stretch."""
    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError:
        first = last = float("nan")
    if not 0.0 <= first < last <= 1.0:
        raise argparse.ArgumentTypeError(
            f"'{text}': give two fractions A:B with 0 <= A < B <= 1, 0.8:1 for the last fifth"
        )
    return first, last


def _window(store: FrameStore, checkpoints: Sequence[Checkpoint]) -> Crop:
    """Return what some checkpoint does not see of the stored images."""
    crops = [remaining_crop(store.crop, c.metadata.crop) for c in checkpoints]
    left, top, right, bottom = (max(sides) for sides in zip(*crops, strict=True))
    return left, top, right, bottom


def _notes(
    checkpoints: Sequence[Checkpoint],
    selections: Sequence[Selection],
    arguments: argparse.Namespace,
) -> list[str]:
    """Say where the figures need to be taken with care."""
    notes = []
    for checkpoint in checkpoints:
        metadata, name = checkpoint.metadata, checkpoint.source
        if checkpoint.is_random:
            notes.append(f"{name}: untrained")
        for selection in selections:
            store, shown = selection.store, selection.store.path.name
            if sees_less(store.crop, metadata.crop):
                notes.append(
                    f"{shown} was extracted with --crop {_spaced(store.crop)}, {name} expects "
                    f"{_spaced(metadata.crop)}: it sees less here than on the robot"
                )
            if (store.width, store.height) != (metadata.width, metadata.height):
                notes.append(
                    f"frames of {shown} are resized a second time, from "
                    f"{store.width}x{store.height} to {metadata.width}x{metadata.height} for {name}"
                )
            known = _training_frames(checkpoint, store)
            count = len(np.intersect1d(selection.frames, known))
            if count and arguments.split != "train":
                notes.append(
                    f"{name} was trained on this recording: {count:,} of the "
                    f"{len(selection.frames):,} frames of {shown} are not new to it; give "
                    "--split validation to leave them out"
                )
    if arguments.split != "all" and "options" not in checkpoints[0].metadata.training:
        notes.append(
            f"{checkpoints[0].source} does not say how it was trained: the split is depth_train's "
            "default"
        )
    if len({checkpoint.metadata.crop for checkpoint in checkpoints}) > 1:
        notes.append("the checkpoints differ in their crops: compared is what both see")
    return notes


def _training_frames(checkpoint: Checkpoint, store: FrameStore) -> Frames:
    """Return the frames of a store that a checkpoint was trained on, by the recordings' names."""
    training = checkpoint.metadata.training
    trained_on = set(training.get("recordings", ()))
    is_known = np.array([Path(s.recording).name in trained_on for s in store.sources], bool)
    if not is_known.any():
        return np.zeros(0, np.int64)
    try:
        fitted, _ = training_split(store, training.get("options", {}))
    except DatasetError:  # such a store cannot have been trained on
        return np.zeros(0, np.int64)
    return fitted[is_known[np.array(store.segment_source)[store.segment[fitted]]]]


def _spaced(crop: Crop) -> str:
    """Write a crop as the command line takes it."""
    return " ".join(f"{side:g}" for side in crop)


def _depth(
    name: str,
    predict: Predict,
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int,
) -> Evaluation:
    """Evaluate depth with a progress bar."""
    total = sum(len(selection.frames) for selection in selections)
    with _progress(name, total, "frame") as progress:
        evaluation = evaluate_depth(name, predict, selections, protocol, batch_size, progress)
    if not evaluation.scores:
        raise EvaluationError(
            f"none of the {total} chosen frames has truth between {protocol.min_depth:g} and "
            f"{protocol.max_depth:g} m; look at --stretch, --split, --cap and --crop"
        )
    return evaluation


def _baselines(
    learnable: Sequence[Selection], protocol: Protocol, notes: list[str]
) -> dict[str, Predict]:
    """Return what needs no network, by name."""
    suffix = "" if protocol.scaling == "median" else ", median-scaled"
    found: dict[str, Predict] = {f"best constant depth{suffix}": constant_predictor}
    try:
        found[f"mean depth image{suffix}"] = mean_depth_predictor(learnable, protocol)
    except ValueError:
        notes.append(
            "no mean depth image beside the model: it is taken from frames that are not evaluated; "
            "give --stretch or --split validation to leave some"
        )
    return found


def _temporal(
    candidates: Sequence[Candidate],
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int,
) -> tuple[Recording, ...]:
    """Measure how steady depth is, with a progress bar."""
    total = sum(len(selection.frames) for selection in selections)
    if not total:
        raise EvaluationError("--temporal: no frame is chosen; look at --stretch and --split")
    with _progress("steadiness", total, "frame") as progress:
        return evaluate_temporal(candidates, selections, protocol, batch_size, progress)


@contextlib.contextmanager
def _progress(description: str, total: int, unit: str) -> Iterator[Progress]:
    """Show a progress bar on a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=unit, leave=False, disable=None) as bar:
        update: Callable[[int], object] = bar.update
        yield update


def _describe_data(arguments: argparse.Namespace) -> str:
    """Name the data, and the part of it."""
    if arguments.kitti_raw is not None:
        name = f"KITTI raw, {arguments.kitti_split.name}"
    else:
        name = ", ".join(path.name for path in arguments.data)
    parts = [] if arguments.split == "all" else [arguments.split]
    if arguments.stretch != (0.0, 1.0):
        parts.append("stretch {:g}:{:g}".format(*arguments.stretch))
    return name + (f" ({', '.join(parts)})" if parts else "")


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_evaluate",
        description="Compare a checkpoint's depth with recorded depth, and its motion with "
        "recorded poses: the figures of the papers, beside baselines that need no network; and how "
        "steady its depth is.",
    )
    parser.add_argument(
        "checkpoint",
        nargs="?",
        metavar="CHECKPOINT",
        help="a .safetensors file, or a folder with encoder.pth and depth.pth",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="two checkpoints side by side, instead of CHECKPOINT",
    )
    data = parser.add_argument_group("what to compare with")
    data.add_argument(
        "--data",
        nargs="+",
        type=_path,
        default=[],
        metavar="STORE",
        help="frame stores of depth_extract; recordings are extracted to temporary ones",
    )
    data.add_argument(
        "--kitti-raw", type=Path, metavar="DIR", help="KITTI raw folders, with velodyne truth"
    )
    data.add_argument(
        "--kitti-split", type=Path, metavar="FILE", help="list of KITTI frames, one a line"
    )
    data.add_argument(
        "--split",
        choices=("all", "train", "validation"),
        default="all",
        help="the frames on which depth_train trains or validates (default: all)",
    )
    data.add_argument(
        "--validation-fraction",
        type=float,
        metavar="F",
        help="share of each recording that was held out in training (default: what the checkpoint "
        "says)",
    )
    data.add_argument(
        "--stretch",
        type=_stretch,
        default=(0.0, 1.0),
        metavar="A:B",
        help="fractions of each recording; 0.8:1 is the last fifth (default: 0:1)",
    )
    how = parser.add_argument_group("how to compare")
    how.add_argument(
        "--scaling",
        choices=SCALINGS,
        help="median: each frame by the ratio of the medians; metric: metres as predicted; none: "
        "the network's own unit taken for metres (default: metric if the checkpoint is)",
    )
    how.add_argument(
        "--crop",
        choices=("none", "garg"),
        default="none",
        help="garg: the part of the image that KITTI's Eigen split compares",
    )
    how.add_argument(
        "--cap", type=float, default=80.0, metavar="M", help="farthest truth (default: 80)"
    )
    how.add_argument(
        "--min-depth", type=float, default=1e-3, metavar="M", help="nearest truth (default: 0.001)"
    )
    how.add_argument(
        "--flip", action="store_true", help="blend with the prediction from the mirrored image"
    )
    how.add_argument(
        "--odometry",
        action="store_true",
        help="compare the pose network's 5-frame snippets with recorded poses, too",
    )
    how.add_argument(
        "--temporal",
        action="store_true",
        help="measure how steady the depth is, recording by recording: flicker between "
        "neighbouring frames, drift of the scale, holes; needs no truth for some of it",
    )
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="(default: 8)")
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures of all frames")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="a page with charts and pictures"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="frames from the best to the worst"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
