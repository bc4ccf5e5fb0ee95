# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good a model is on held-out samples: the objective, and depth where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.preprocessing import to_network_input
from training.learning.baselines import disputed_share, sparse_error
from training.learning.dataset import Samples, iterate_batches
from training.learning.depth_and_motion import Predictions
from training.learning.learner import Learner, TrainingViews, prepare
from training.learning.logbook import training_picture
from training.learning.motion_from_tracks import (
    MeasureTracks,
    SparseGeometry,
    read_around,
    weighted_medians,
)
from training.learning.processes import Processes
from training.learning.teacher import Teacher
from training.learning.unjudged import change_away
from training.metrics import evaluate_frame

#: At most this many held-out samples are triangulated, and fewer than this do not judge a model.
MOST_SPARSE, FEWEST_SPARSE = 60, 4

# What follows one another looks alike: so many stretches of what was held out count as independent.
_STRETCHES = 8


@dataclass(frozen=True)
class Validation:
    """Figures of a model.

    Attributes
    ----------
    loss : float
        The objective, averaged over samples.
    abs_rel : float or None
        Mean absolute relative depth error, averaged over images, where there is ground truth;
        scaled by the medians unless the model is metric.
    sparse : float or None
        The same against triangulated depth of corners, always scaled by the medians; where the
        motion of enough held-out samples is determined.
    spread : float
        Standard deviation of log depth over an image, averaged over images.
    scale, scale_spread : float or None
        For a model in metres with recorded poses, what its depth must be multiplied by to fit
        them (the geometric mean over samples), and the standard deviation of its logarithm.
    changed : float or None
        How much depth has changed from the start's where no corner judges it
        (:func:`training.learning.unjudged.change_away`).
    doubt : float or None
        Standard error of the difference between `sparse` and that of the start.
    disputed : float or None
        Share of the area whose corners contradict the start and this model by as much as counts
        (:func:`training.learning.baselines.disputed_share`).
    picture : Tensor or None
        What :func:`training.learning.logbook.training_picture` shows of the first samples.
    """

    loss: float
    abs_rel: float | None
    sparse: float | None
    spread: float
    picture: Tensor | None
    scale: float | None = None
    scale_spread: float | None = None
    changed: float | None = None
    doubt: float | None = None
    disputed: float | None = None


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many samples, evenly spread over all."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round()).astype(np.int64)


def validate(
    learner: Learner,
    samples: Samples,
    processes: Processes,
    batch: int,
    most: int,
    metric: bool = False,
    seed: int = 0,
    keep_picture: bool = False,
    measure_tracks: MeasureTracks | None = None,
    start: Teacher | None = None,
    factor: float = 1.0,
) -> Validation:
    """Evaluate on held-out samples, shared among the processes.

    Parameters
    ----------
    learner : Learner
        Its model is in evaluation mode meanwhile.
    samples : Samples
        At least one.
    processes : Processes
    batch : int
        Samples at a time.
    most : int
        At most this many, evenly spread over all.
    metric : bool
        Compare depths as they are, not scaled by their medians.
    seed : int
        Seed of the noise that breaks ties.
    keep_picture : bool
        Make a picture.
    measure_tracks : callable, optional
        Triangulates samples, to compare depth with.
    start : Teacher, optional
        The model that training began with.
    factor : float
        What depths are multiplied by before they are compared as they are.
    """
    chosen = evenly(len(samples), most)
    compared = set(chosen[evenly(len(chosen), MOST_SPARSE)].tolist())
    stretches = _stretches(sorted(compared))
    chosen = chosen[processes.rank :: processes.count]
    tracked = replace(samples, measure_tracks=measure_tracks)
    chunks = [samples.arranged(chosen[i : i + batch]) for i in range(0, len(chosen), batch)]
    generator = torch.Generator(processes.device).manual_seed(seed)
    # Sums over samples: loss, their number, abs_rel, images with truth, error against triangulated
    # depth, images with that, spread, samples with a scale, its logarithm, and the square of that,
    # change away from corners, images with that, disputed share; and for each stretch of what was
    # held out, by how much the error against triangulated depth fell, and images.
    sums = torch.zeros(13 + 2 * _STRETCHES, dtype=torch.float64)
    gains = sums[13:].view(2, _STRETCHES)
    picture = None
    model = learner.model
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for chunk, loaded in zip(chunks, iterate_batches(samples, chunks), strict=True):
                views = prepare(loaded.to(processes.device))
                wants_picture = keep_picture and picture is None and processes.is_first
                predictions, output = learner.evaluate(views, generator, keep_images=wants_picture)
                sums[0] += output.loss.item() * len(chunk)
                sums[1] += len(chunk)
                disparity = predictions.disparities[0]
                errors = _depth_errors(learner, samples, chunk, disparity, metric, factor)
                sums[2] += sum(errors)
                sums[3] += len(errors)
                depth = _full_depth(learner, predictions.disparities[0])
                sums[6] += float(depth.log().std(dim=(1, 2, 3)).sum())
                scales = _log_scales(learner, views, predictions)
                sums[7] += len(scales)
                sums[8] += float(scales.sum())
                sums[9] += float(scales.square().sum())
                if measure_tracks is not None:
                    before = None
                    if start is not None:
                        before = start.depth(views.images[:, 0], bfloat16=False)
                    for sample, own, geometry in _triangulated(tracked, chunk, compared):
                        read = _read_at(geometry, depth[own])
                        error = sparse_error(geometry, read)
                        sums[4:6] += torch.tensor([error, 1.0], dtype=torch.float64)
                        if before is None:
                            continue
                        away = change_away(depth[own], before[own], geometry)
                        if away is not None:
                            sums[10:12] += torch.tensor([away, 1.0], dtype=torch.float64)
                        began = _read_at(geometry, before[own])
                        gain = sparse_error(geometry, began) - error
                        gains[:, stretches[sample]] += torch.tensor([gain, 1.0])
                        sums[12] += disputed_share(geometry, began, read)
                if wants_picture and output.images:
                    picture = training_picture(
                        views.images[:, 0], predictions.disparities[0], output
                    )
    finally:
        model.train(was_training)
    totals = processes.total(sums.to(processes.device)).tolist()
    loss, count, abs_rel, with_truth, sparse, points, spread, scales, logs, squares = totals[:10]
    scale = scale_spread = None
    if scales >= FEWEST_SPARSE:
        mean = logs / scales
        scale = math.exp(mean)
        scale_spread = math.sqrt(max(0.0, squares / scales - mean**2))
    return Validation(
        loss / count,
        abs_rel / with_truth if with_truth else None,
        sparse / points if points >= FEWEST_SPARSE else None,
        spread / count,
        picture,
        scale,
        scale_spread,
        totals[10] / totals[11] if totals[11] >= FEWEST_SPARSE else None,
        _standard_error(np.array(totals[13:]).reshape(2, _STRETCHES)),
        totals[12] / points if start is not None and points >= FEWEST_SPARSE else None,
    )


def _stretches(compared: list[int]) -> dict[int, int]:
    """Divide samples, in order, into stretches of about equal numbers."""
    return {sample: i * _STRETCHES // len(compared) for i, sample in enumerate(compared)}


def _standard_error(gains: NDArray[np.float64]) -> float | None:
    """Return the standard error of a mean from sums and numbers of stretches, shape (2, N)."""
    total, count = gains[:, gains[1] > 0]
    if len(count) < 2:
        return None
    mean = total.sum() / count.sum()
    spread = np.square(total - count * mean).sum() * len(count) / (len(count) - 1)
    return float(math.sqrt(spread) / count.sum())


def judge_at_size(
    learner: Learner,
    samples: Samples,
    processes: Processes,
    batch: int,
    most: int,
    size: tuple[int, int],
    metric: bool = False,
    measure_tracks: MeasureTracks | None = None,
    factor: float = 1.0,
) -> tuple[float | None, float | None]:
    """Judge depth that is predicted from images of another size, as a checkpoint's own.

    Parameters
    ----------
    learner, samples, processes, batch, most, metric, measure_tracks, factor
        As for :func:`validate`.
    size : tuple of int
        Width and height in pixels of what the network sees; depth is compared as stored.

    Returns
    -------
    abs_rel, sparse : float or None
        See :class:`Validation`.
    """
    chosen = evenly(len(samples), most)
    compared = set(chosen[evenly(len(chosen), MOST_SPARSE)].tolist())
    chosen = chosen[processes.rank :: processes.count]
    chunks = [samples.arranged(chosen[i : i + batch]) for i in range(0, len(chosen), batch)]
    tracked = replace(samples, measure_tracks=measure_tracks)
    plain = replace(samples, measure_flow=None, measure_tracks=None)
    sums = torch.zeros(4, dtype=torch.float64)
    model = learner.model
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for chunk, loaded in zip(chunks, iterate_batches(plain, chunks), strict=True):
                images = to_network_input(loaded.images[:, 0].to(processes.device))
                disparity = _disparity_at(learner, images, size)
                errors = _depth_errors(learner, samples, chunk, disparity, metric, factor)
                sums[0] += sum(errors)
                sums[1] += len(errors)
                if measure_tracks is not None:
                    depth = _full_depth(learner, disparity)
                    for _, own, geometry in _triangulated(tracked, chunk, compared):
                        sums[2] += sparse_error(geometry, _read_at(geometry, depth[own]))
                        sums[3] += 1
    finally:
        model.train(was_training)
    abs_rel, images_known, sparse, known = processes.total(sums.to(processes.device)).tolist()
    return (
        abs_rel / images_known if images_known else None,
        sparse / known if known >= FEWEST_SPARSE else None,
    )


def measure_factor(
    learner: Learner,
    samples: Samples,
    processes: Processes,
    batch: int,
    most: int,
    size: tuple[int, int],
) -> tuple[float, float] | None:
    """Measure what depth must be multiplied by to be in metres, where poses are recorded.

    Parameters
    ----------
    learner, processes, batch, most
        As for :func:`validate`.
    samples : Samples
        With recorded motion.
    size : tuple of int
        Width and height in pixels of what the network sees; a network's scale depends on it.

    Returns
    -------
    factor, spread : float
        The geometric mean over samples, and the standard deviation of its logarithm; None where too
        few samples have corners.
    """
    chosen = evenly(len(samples), most)[processes.rank :: processes.count]
    chunks = [samples.arranged(chosen[i : i + batch]) for i in range(0, len(chosen), batch)]
    sums = torch.zeros(3, dtype=torch.float64)
    was_training = learner.model.training
    learner.model.eval()
    try:
        with torch.no_grad():
            for loaded in iterate_batches(samples, chunks):
                views = prepare(loaded.to(processes.device))
                disparity = _disparity_at(learner, views.images[:, 0], size)
                scales = _log_scales(learner, views, Predictions([disparity], [], None))
                sums += torch.stack([torch.ones_like(scales), scales, scales.square()]).sum(dim=1)
    finally:
        learner.model.train(was_training)
    count, logs, squares = processes.total(sums.to(processes.device)).tolist()
    if count < FEWEST_SPARSE:
        return None
    mean = logs / count
    return math.exp(mean), math.sqrt(max(0.0, squares / count - mean**2))


def _disparity_at(learner: Learner, images: Tensor, size: tuple[int, int]) -> Tensor:
    """Predict disparity from images of another size, and bring it to that of the images."""
    resized = functional.interpolate(
        images, size[::-1], mode="bilinear", align_corners=False, antialias=True
    )
    disparity = Predictions(*learner.model(resized, (), ())).disparities[0].float()
    return functional.interpolate(
        disparity, images.shape[-2:], mode="bilinear", align_corners=False
    )


def _log_scales(learner: Learner, views: TrainingViews, predictions: Predictions) -> Tensor:
    """Return by what depth falls short of recorded poses, as logarithms, sample by sample.

    By the triangulated corners of the samples that have some; of a motion network, by the lengths
    of its translations.
    """
    tracked = views.tracked
    if tracked is None or not (learner.in_metres or learner.velocity_weight):
        return torch.zeros(0)
    if learner.velocity_weight:
        count = len(tracked.transforms)
        moved = torch.stack([t[:count, :3, 3] for t in predictions.transforms], dim=1).norm(dim=-1)
        lengths = tracked.transforms[:, :, :3, 3].norm(dim=-1)
        return torch.log(lengths.mean(dim=1) / moved.mean(dim=1).clamp_min(1e-9)).double().cpu()
    weights = tracked.points[..., 3]
    known = weights.sum(dim=1) > 0.0
    depth = _full_depth(learner, predictions.disparities[0][: len(weights)])
    ratio = tracked.log_ratio(depth)
    return -weighted_medians(ratio[known], weights[known]).double().cpu()


def _full_depth(learner: Learner, disparity: Tensor) -> Tensor:
    """Turn sigmoid disparity into depth."""
    low, high = learner.objective.min_depth, learner.objective.max_depth
    return disparity_to_depth(disparity.float(), low, high)


def _triangulated(
    samples: Samples, chunk: NDArray[np.int64], compared: set[int]
) -> Iterator[tuple[int, slice, SparseGeometry]]:
    """Yield each compared sample whose motion is determined, its place, and its corners."""
    for row, sample in enumerate(chunk.tolist()):
        if sample not in compared:
            continue
        geometry = samples.geometries(np.array([sample]))[0]
        if geometry is not None:
            yield sample, slice(row, row + 1), geometry


def _read_at(geometry: SparseGeometry, depth: Tensor) -> NDArray[np.float32]:
    """Read predicted depth, shape (1, 1, H, W), at and around the corners of an image."""
    points = torch.from_numpy(geometry.points[None]).to(depth.device)
    return np.asarray(read_around(depth, points)[0].cpu().numpy())


def _depth_errors(
    learner: Learner,
    samples: Samples,
    chunk: NDArray[np.int64],
    disparity: Tensor,
    metric: bool,
    factor: float,
) -> list[float]:
    """abs_rel of each image that has truth."""
    errors = []
    low, high = learner.objective.min_depth, learner.objective.max_depth
    for row, sample in enumerate(chunk.tolist()):
        truth = samples.truth(sample)
        if truth is None:
            continue
        size = (truth.shape[0], truth.shape[1])
        resized = functional.interpolate(
            disparity[row : row + 1].float(), size, mode="bilinear", align_corners=False
        )
        depth = factor * disparity_to_depth(resized, low, high)[0, 0]
        result = evaluate_frame(truth, depth, median_scaling=not metric)
        if result is not None:
            errors.append(result.metrics["abs_rel"])
    return errors
