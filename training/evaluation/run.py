# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a whole: open models and frames, compare, and collect what to report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monodepth2_ros.backends.torch_device import torch_device
from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint
from monodepth2_ros.preprocessing import NO_CROP, Crop, remaining_crop
from monodepth2_ros.scale.tracking import TRACKING_WIDTH
from training.evaluation.depth import Evaluation, evaluate_depth
from training.evaluation.live_scale import LiveScale
from training.evaluation.notes import notes_on
from training.evaluation.odometry import Odometry, evaluate_odometry, pose_chains
from training.evaluation.options import EvaluateOptions
from training.evaluation.predictors import (
    constant_predictor,
    depth_predictor,
    mean_depth_predictor,
    saturation_depth,
)
from training.evaluation.protocol import Frames, Predict, Protocol, Selection
from training.evaluation.report import EvaluatedModel, Report
from training.evaluation.sparse_depth import mean_sparse_predictor, with_sparse_truth
from training.evaluation.splits import frames_of_stretch, training_split
from training.evaluation.steadiness import JudgedPredictor, RecordingSteadiness, evaluate_temporal
from training.extraction.console import Console, WithoutLines
from training.extraction.open_frames import extract_every_frame, open_frames
from training.extraction.options import ExtractOptions
from training.frames.store import FrameStore
from training.frames.truth_check import truth_problem

#: With sparse ground truth, the mean depth image is taken from about so many frames.
_AVERAGED_FRAMES = 60


class EvaluationError(ValueError):
    """An evaluation is impossible; the message says why and what to do."""


def evaluate(options: EvaluateOptions, scratch: Path, console: Console | None = None) -> Report:
    """Compare the depth of one or two models with ground truth.

    Parameters
    ----------
    options : EvaluateOptions
    scratch : Path
        Folder for frames of recordings; they must stay until the report is written.
    console : Console, optional
        Shows progress; nothing is shown by default.

    Raises
    ------
    ValueError, BackendError
        If it cannot be done, with the reason and the fix. CheckpointError is a ValueError.
    """
    console = console or Console()
    checkpoints = [open_checkpoint(name) for name in options.models]
    protocol = Protocol(
        scaling="median" if options.sparse_truth else _scaling(options.scaling, checkpoints),
        min_depth=options.min_truth,
        max_depth=options.cap,
        garg_crop=options.garg_crop,
        flip=options.flip,
    )
    stores = _open_data(options, checkpoints, scratch, console)
    has_truth = options.sparse_truth or any(store.truth is not None for store in stores)
    if not (has_truth or options.ego_motion or options.temporal):
        raise EvaluationError(
            f"there is no depth to compare with in {', '.join(store.path.name for store in stores)}"
            "; extract with --truth-topic TOPIC, or give --sparse-truth to compare with depth that "
            "is triangulated from the images, --ego-motion to compare the motion alone, or "
            "--temporal to see how steady the depth is"
        )
    selections, learnable = [], []
    if not options.sparse_truth:
        for problem in filter(None, map(truth_problem, stores)):
            raise EvaluationError(problem)
    for store in stores:
        chosen, rest = _split(store, checkpoints[0], options)
        if options.sparse_truth:
            rest = rest[:: max(1, len(rest) // _AVERAGED_FRAMES)]
            frames = np.union1d(chosen, rest)
            with console.progress(len(frames), "triangulate") as progress:
                store = with_sparse_truth(store, frames, progress)
        window = _window(store, checkpoints)
        selections.append(Selection(store, chosen, window))
        if store.truth is not None:
            learnable.append(Selection(store, rest, window))
    notes = notes_on(checkpoints, selections, options.split)
    if options.sparse_truth:
        notes.append(
            "ground truth is the depth of image corners, triangulated from the recording itself; "
            "distances are in units of each frame's median"
        )

    models, candidates = [], []
    for label, checkpoint in zip(_labels(options.models), checkpoints, strict=True):
        predict = depth_predictor(
            checkpoint, options.device, protocol, options.backend, options.precision
        )
        live = None
        if protocol.scaling == "live":
            predict = live = LiveScale(predict, checkpoint.metadata.crop)
        candidates.append(JudgedPredictor(label, predict, saturation_depth(checkpoint, protocol)))
        depth = odometry = None
        if has_truth:
            depth = _depth(label, predict, selections, protocol, options.batch_size, console)
            if live is not None:
                notes.append(f"{label}: {live.describe()}")
        if options.ego_motion:
            odometry = _odometry(label, checkpoint, selections, options, console)
        metadata = dataclasses.asdict(checkpoint.metadata)
        models.append(EvaluatedModel(label, checkpoint.source, metadata, predict, depth, odometry))
    if options.ego_motion and models[0].odometry is None:
        notes.append("no odometry: nowhere do five neighbouring frames have recorded poses")
    baselines = []
    if has_truth:
        scaled = dataclasses.replace(protocol, scaling="median", flip=False)
        for name, predict in _baselines(learnable, protocol, notes, options.sparse_truth).items():
            baselines.append(_depth(name, predict, selections, scaled, options.batch_size, console))
            candidates.append(JudgedPredictor(name, predict, needs_truth=True))
    elif models[0].odometry is None and not options.temporal:
        raise EvaluationError(
            "there are neither depth nor enough poses to compare with; extract with --truth-topic "
            "TOPIC or --poses-topic TOPIC"
        )
    temporal: Sequence[RecordingSteadiness] = ()
    if options.temporal:
        temporal = _temporal(candidates, selections, protocol, options.batch_size, console)
    return Report(
        data=_describe_data(options),
        selections=selections,
        protocol=protocol,
        models=models,
        baselines=baselines,
        temporal=temporal,
        notes=notes,
    )


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
    options: EvaluateOptions, checkpoints: Sequence[Checkpoint], scratch: Path, console: Console
) -> list[FrameStore]:
    """Open the stores; extract recordings as the first checkpoint sees them."""
    metadata = checkpoints[0].metadata
    crops = {checkpoint.metadata.crop for checkpoint in checkpoints}
    crop: Crop = crops.pop() if len(crops) == 1 else NO_CROP
    size = (metadata.width, metadata.height)
    if options.scaling == "live":
        # Corners are followed on images of the camera, which are larger than the network's.
        times = max(1, round(TRACKING_WIDTH / metadata.width))
        size = (times * metadata.width, times * metadata.height)
    bars = WithoutLines(console)
    if options.kitti_raw is not None:
        out = scratch / "KITTI"
        kitti = ExtractOptions(out, kitti_raw=options.kitti_raw, kitti_split=options.kitti_split)
        return [extract_every_frame(kitti, out, size, crop, bars)]
    stores = []
    for index, path in enumerate(options.data):
        path = path.expanduser().absolute()  # so that "." has a name
        out = scratch / f"{index}" / path.stem
        try:
            stores.append(open_frames(path, out, size, crop, console=bars))
        except (ValueError, FileNotFoundError) as error:
            raise EvaluationError(
                f"--data {path.name}: {error}; give a frame store of depth_extract, or a recording"
            ) from error
    return stores


def _split(
    store: FrameStore, checkpoint: Checkpoint, options: EvaluateOptions
) -> tuple[Frames, Frames]:
    """Choose the frames to compare, and those that the mean depth image may learn from."""
    chosen = frames_of_stretch(store, *options.stretch_fractions)
    if options.split == "all":
        return chosen, np.setdiff1d(np.arange(len(store)), chosen)
    trained = checkpoint.metadata.training.get("options", {})
    fitted, held_out = training_split(store, trained, options.validation_fraction)
    wanted = fitted if options.split == "train" else held_out
    return np.intersect1d(chosen, wanted), fitted


def _window(store: FrameStore, checkpoints: Sequence[Checkpoint]) -> Crop:
    """Return what some checkpoint does not see of the stored images."""
    crops = [remaining_crop(store.crop, c.metadata.crop) for c in checkpoints]
    left, top, right, bottom = (max(sides) for sides in zip(*crops, strict=True))
    return left, top, right, bottom


def _depth(
    name: str,
    predict: Predict,
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int,
    console: Console,
) -> Evaluation:
    """Evaluate depth, and show progress."""
    total = sum(len(selection.frames) for selection in selections)
    with console.progress(total, name) as progress:
        evaluation = evaluate_depth(name, predict, selections, protocol, batch_size, progress)
    if not evaluation.scores:
        raise EvaluationError(
            f"none of the {total} chosen frames has ground truth between {protocol.min_depth:g} "
            f"and {protocol.max_depth:g} m; look at --stretch, --split, --cap and --garg-crop"
        )
    return evaluation


def _odometry(
    label: str,
    checkpoint: Checkpoint,
    selections: Sequence[Selection],
    options: EvaluateOptions,
    console: Console,
) -> Odometry | None:
    """Compare the motion, and show progress."""
    steps = sum(len(chain) - 1 for chosen in selections for chain in pose_chains(chosen))
    device = torch_device(options.device)
    with console.progress(steps, f"{label}: motion") as progress:
        return evaluate_odometry(checkpoint, selections, device, options.batch_size, progress)


def _baselines(
    learnable: Sequence[Selection], protocol: Protocol, notes: list[str], sparse: bool
) -> dict[str, Predict]:
    """Return what needs no network, by name."""
    suffix = "" if protocol.scaling == "median" else ", median-scaled"
    found: dict[str, Predict] = {f"best constant depth{suffix}": constant_predictor}
    try:
        mean = (
            mean_sparse_predictor(learnable)
            if sparse
            else mean_depth_predictor(learnable, protocol)
        )
        found[f"mean depth image{suffix}"] = mean
    except ValueError:
        notes.append(
            "no mean depth image to compare with: it is taken from frames that are not evaluated; "
            "give --stretch or --split validation to leave some"
        )
    return found


def _temporal(
    candidates: Sequence[JudgedPredictor],
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int,
    console: Console,
) -> tuple[RecordingSteadiness, ...]:
    """Measure how steady depth is, and show progress."""
    total = sum(len(selection.frames) for selection in selections)
    if not total:
        raise EvaluationError("--temporal: no frame is chosen; look at --stretch and --split")
    with console.progress(total, "steadiness") as progress:
        return evaluate_temporal(candidates, selections, protocol, batch_size, progress)


def _describe_data(options: EvaluateOptions) -> str:
    """Name the data, and the part of it."""
    if options.kitti_split is not None:
        name = f"KITTI raw, {options.kitti_split.name}"
    else:
        name = ", ".join(path.expanduser().absolute().name for path in options.data)
    parts: list[str] = [] if options.split == "all" else [options.split]
    if options.stretch_fractions != (0.0, 1.0):
        parts.append("stretch {:g}:{:g}".format(*options.stretch_fractions))
    return name + (f" ({', '.join(parts)})" if parts else "")
