# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model is worth: its depth and motion against what was recorded, frame by frame.

Whatever predicts depth is a function (:data:`Predict`); the networks and the baselines beside them
go through the same :func:`evaluate_depth`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.checkpoint import Checkpoint, CheckpointError
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.networks.resnet_encoder import RESNET_LAYERS, ResnetEncoder
from monodepth2_ros.preprocessing import (
    Crop,
    crop_box,
    prepare_images,
    remaining_crop,
    to_network_input,
)
from training.frames.store import FrameStore
from training.learning.dataset import find_samples, split_samples
from training.learning.depth_and_motion import DepthAndMotion, PoseKind
from training.learning.options import TrainOptions
from training.metrics import (
    GARG_CROP,
    METRICS,
    SNIPPET_LENGTH,
    FrameResult,
    evaluate_frame,
    flip_postprocess,
    mean_metrics,
    odometry_errors,
    scale_statistics,
    snippet_error,
    valid_mask,
)

#: Called with a number of frames whenever so many are done.
Progress = Callable[[int], object]

#: Predicts depth at the size of :func:`depth_size`, (B, Ht, Wt), for frames of a store (indices,
#: (B,)).
#: It may be anything outside the window that :func:`evaluate_depth` is given.
Predict = Callable[[FrameStore, NDArray[np.int64]], NDArray[np.float32]]

#: Distances in metres at which the error by distance is split.
DISTANCES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, float("inf"))

Frames = NDArray[np.int64]

#: Predictions in this share of the range of disparity, at its far end, are saturated.
SATURATED_RANGE = 0.01

_CHUNK = 32  # frames of truth read at once


@dataclass(frozen=True)
class Protocol:
    """How depth is compared.

    Attributes
    ----------
    scaling : {"median", "metric", "none"}
        Scale each image by the ratio of the medians; or take the checkpoint's scale to metres; or
        take the network's own unit for metres.
    min_depth, max_depth : float
        Limits of the truth in metres, exclusive; predictions are clipped to them.
    garg_crop : bool
        Compare only inside the crop of KITTI's Eigen split.
    flip : bool
        Blend with the prediction from the mirrored image.
    """

    scaling: str = "median"
    min_depth: float = 1e-3
    max_depth: float = 80.0
    garg_crop: bool = False
    flip: bool = False


@dataclass(frozen=True, eq=False)
class Selection:
    """Frames of a store to compare.

    Attributes
    ----------
    store : FrameStore
    frames : ndarray, shape (N,), int64
        Ascending.
    window : tuple of float
        Fractions of the stored image (left, top, right, bottom) that are not compared, because a
        model that is evaluated does not see them.
    """

    store: FrameStore
    frames: NDArray[np.int64]
    window: Crop = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class FrameScore:
    """A frame's figures, and where it is.

    Attributes
    ----------
    selection : int
        Index of the selection.
    frame : int
        Index in its store.
    result : FrameResult
    """

    selection: int
    frame: int
    result: FrameResult


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The comparison of one predictor.

    Attributes
    ----------
    name : str
    scores : tuple of FrameScore
        Frames with truth, in order.
    without_truth : int
        Frames that have none inside the limits.
    by_distance : ndarray, shape (len(DISTANCES) − 1, 2), float64
        For each interval of :data:`DISTANCES` the sum of |d − t| / t and the number of pixels.
    """

    name: str
    scores: tuple[FrameScore, ...]
    without_truth: int
    by_distance: NDArray[np.float64]

    @property
    def results(self) -> list[FrameResult]:
        """The figures of the frames."""
        return [score.result for score in self.scores]

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return a figure of each frame, shape (N,)."""
        return np.array([result.metrics[metric] for result in self.results])


@dataclass(frozen=True)
class Summary:
    """The figures of an evaluation that tables show.

    Attributes
    ----------
    frames, without_truth : int
    mean, median : dict
        Each figure over the frames.
    scale, scale_spread : float
        Median of median(truth) / median(prediction), and its relative spread.
    """

    frames: int
    without_truth: int
    mean: dict[str, float]
    median: dict[str, float]
    scale: float
    scale_spread: float


@dataclass(frozen=True, eq=False)
class Odometry:
    """Errors of the pose network's snippets, in metres.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (N,)
        See :func:`training.metrics.snippet_error`.
    standing, straight : ndarray, shape (N,)
        The same for a camera said to stand still, and for one said to go at constant speed in the
        one direction (in its own frame) that suits all these snippets best. As each snippet is
        scaled to fit, a network that always says the same can be as good as the latter.
    """

    name: str
    errors: NDArray[np.float64]
    standing: NDArray[np.float64]
    straight: NDArray[np.float64]


def summarize(evaluation: Evaluation) -> Summary:
    """Average the figures over the frames, each frame counting the same."""
    results = evaluation.results
    scale, spread = scale_statistics([result.scale_ratio for result in results])
    return Summary(
        len(results),
        evaluation.without_truth,
        mean_metrics(results),
        {name: float(np.median(evaluation.values(name))) for name in METRICS},
        scale,
        spread,
    )


def win_share(first: Evaluation, second: Evaluation, metric: str = "abs_rel") -> float:
    """Return the share of frames in which the first is better; equal frames count half.

    Raises
    ------
    ValueError
        If they are not of the same frames.
    """
    frames = [[(s.selection, s.frame) for s in e.scores] for e in (first, second)]
    if frames[0] != frames[1]:
        raise ValueError(f"win_share: '{first.name}' and '{second.name}' saw different frames")
    difference = second.values(metric) - first.values(metric)
    if metric.startswith("a") and metric != "abs_rel":  # shares of good pixels
        difference = -difference
    return float(np.mean(0.5 + 0.5 * np.sign(difference)))


def evaluate_depth(
    name: str,
    predict: Predict,
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Evaluation:
    """Compare predictions with the truth of the stores.

    Parameters
    ----------
    name : str
    predict : Predict
        Called only for frames that have truth.
    selections : sequence of Selection
    protocol : Protocol
    batch_size : int
    progress : callable, optional
    """
    scores: list[FrameScore] = []
    by_distance = np.zeros((len(DISTANCES) - 1, 2))
    without_truth = 0
    for number, selection in enumerate(selections):
        if selection.store.truth is None:
            without_truth += len(selection.frames)
            continue
        for start in range(0, len(selection.frames), batch_size):
            batch = selection.frames[start : start + batch_size]
            truths = [truth_of(selection, frame, protocol) for frame in batch.tolist()]
            known = np.array([bool(truth.any()) for truth in truths])
            without_truth += int(np.sum(~known))
            if known.any():
                depths = predict(selection.store, batch[known])
                for frame, truth, depth in zip(
                    batch[known].tolist(),
                    [truth for truth in truths if truth.any()],
                    depths,
                    strict=True,
                ):
                    result = compare(truth, depth, protocol)
                    scores.append(FrameScore(number, frame, result))
                    by_distance += _errors_by_distance(truth, depth, result, protocol)
            if progress is not None:
                progress(len(batch))
    return Evaluation(name, tuple(scores), without_truth, by_distance)


def compare(
    truth: NDArray[np.float32], depth: NDArray[np.float32], protocol: Protocol
) -> FrameResult:
    """Compare one depth image with its truth (:func:`truth_of`), which must have a valid pixel."""
    result = evaluate_frame(
        truth,
        depth,
        protocol.scaling == "median",
        protocol.min_depth,
        protocol.max_depth,
    )
    assert result is not None
    return result


def truth_of(selection: Selection, frame: int, protocol: Protocol) -> NDArray[np.float32]:
    """Return a frame's truth where it counts.

    Returns
    -------
    ndarray, shape (Ht, Wt), float32
        Metres; 0 outside the limits, the window and the Garg crop.
    """
    assert selection.store.truth is not None
    truth = selection.store.truth[frame].astype(np.float32)
    crop = GARG_CROP if protocol.garg_crop else None
    mask = valid_mask(truth, protocol.min_depth, protocol.max_depth, crop)
    x, y, width, height = crop_box(truth.shape[1], truth.shape[0], selection.window)
    seen = np.zeros_like(mask)
    seen[y : y + height, x : x + width] = True
    return np.where(mask & seen, truth, 0.0)


def aligned_depth(
    depth: NDArray[np.float32], result: FrameResult, protocol: Protocol
) -> NDArray[np.float32]:
    """Return a prediction as it was compared: scaled and clipped."""
    scale = result.scale_ratio if protocol.scaling == "median" else 1.0
    return np.clip(depth * np.float32(scale), protocol.min_depth, protocol.max_depth)


def depth_predictor(checkpoint: Checkpoint, device: torch.device, protocol: Protocol) -> Predict:
    """Return the prediction of a checkpoint's network.

    Images go through the preprocessing of the robot: what is left to do of the checkpoint's crop
    after the store's, and the antialiased resize. The disparity is resized to the truth's size
    before it is inverted.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : torch.device
    protocol : Protocol
        Gives `scaling` and `flip`.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    """
    network = FusedDepthNetwork(checkpoint.depth_network()).to(device)
    network = network.to(memory_format=torch.channels_last)
    metadata = checkpoint.metadata
    near, far = _disparity_limits(checkpoint, protocol)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        crop = remaining_crop(store.crop, metadata.crop)
        images = network_images(store, frames, crop, metadata.width, metadata.height).to(device)
        # TF32, which cuDNN takes for float32 by default, would be 0.15 % of depth.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            sigmoid = _sigmoid(network, to_network_input(images), protocol.flip)
        if not torch.isfinite(sigmoid).all():
            raise ValueError(
                f"checkpoint {checkpoint.source} predicts values that are not numbers on frames "
                f"{frames[0]} to {frames[-1]} of {store.path}; its weights are damaged"
            )
        disparity = far + (near - far) * sigmoid
        height, width = depth_size(store)
        x, y, box_width, box_height = crop_box(width, height, crop)
        resized = functional.interpolate(
            disparity[:, None], (box_height, box_width), mode="bilinear", align_corners=False
        )[:, 0]
        depth = np.ones((len(frames), height, width), np.float32)
        depth[:, y : y + box_height, x : x + box_width] = (1.0 / resized).cpu().numpy()
        return depth

    return predict


def depth_size(store: FrameStore) -> tuple[int, int]:
    """Return the height and width at which depth is compared: the truth's, else the images'."""
    height, width = (store.images if store.truth is None else store.truth).shape[1:3]
    return height, width


def saturation_depth(checkpoint: Checkpoint, protocol: Protocol) -> float:
    """Return the depth from which on predictions are at the far end of a network's range.

    Returns
    -------
    float
        In the unit of :func:`depth_predictor`: where the sigmoid is :data:`SATURATED_RANGE`.
    """
    near, far = _disparity_limits(checkpoint, protocol)
    return 1.0 / (far + SATURATED_RANGE * (near - far))


def network_images(
    store: FrameStore, frames: NDArray[np.int64], crop: Crop, width: int, height: int
) -> Tensor:
    """Read frames as a network takes them.

    Parameters
    ----------
    store : FrameStore
    frames : ndarray, shape (B,)
    crop : tuple of float
        To be taken from the stored images.
    width, height : int
        The network's size.

    Returns
    -------
    Tensor, shape (B, height, width, 3), uint8, RGB
    """
    return prepare_images(torch.from_numpy(store.images[frames]), crop, width, height)


def constant_predictor(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Predict the same depth everywhere; scaled by the median it is the best constant."""
    return np.ones((len(frames), *depth_size(store)), np.float32)


def mean_depth_predictor(training: Sequence[Selection], protocol: Protocol) -> Predict:
    """Return a predictor that has learned nothing but the mean depth image of its store.

    Parameters
    ----------
    training : sequence of Selection
        Frames of each store from which the mean is taken.
    protocol : Protocol
        Gives the limits of depth.

    Raises
    ------
    ValueError
        If a store has no truth in these frames.
    """
    images = {}
    for selection in training:
        images[selection.store.path] = _mean_depth(selection, protocol)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.repeat(images[store.path][None], len(frames), axis=0)

    return predict


def frames_of_stretch(store: FrameStore, first: float, last: float) -> Frames:
    """Return the frames in a part of each recording.

    Parameters
    ----------
    store : FrameStore
    first, last : float
        Fractions of the recording's frames in the order of their stamps; `last` is exclusive
        unless it is 1. Cameras of one recording are cut at the same time.

    Returns
    -------
    ndarray, shape (N,)
        Ascending.
    """
    names = [source.recording for source in store.sources] or [""]
    recordings = np.array([names[source] for source in store.segment_source])[store.segment]
    place = np.empty(len(store))
    for recording in np.unique(recordings):
        members = np.flatnonzero(recordings == recording)
        stamps = np.sort(store.stamps[members])
        place[members] = np.searchsorted(stamps, store.stamps[members]) / len(members)
    rounding = 1e-9
    return np.flatnonzero((place >= first - rounding) & (place < last - rounding))


def training_split(
    store: FrameStore, options: Mapping[str, Any], fraction: float | None = None
) -> tuple[Frames, Frames]:
    """Return the frames that depth_train learns from, and those that it holds out.

    Parameters
    ----------
    store : FrameStore
    options : mapping
        Those of the training run; what is missing has its default.
    fraction : float, optional
        Share of each recording to hold out, instead of the one in `options`.

    Returns
    -------
    fitted, held_out : ndarray, shape (N,)
        Targets of the samples, ascending.

    Raises
    ------
    DatasetError
        If the store gives no samples.
    """
    defaults = TrainOptions()
    samples = find_samples(
        [store],
        options.get("sources", defaults.sources),
        options.get("stereo", defaults.stereo),
        options.get("spacing", defaults.spacing),
    )
    if fraction is None:
        fraction = float(options.get("validation_fraction", defaults.validation_fraction))
    fitted, held_out = split_samples(samples, fraction)
    return np.unique(fitted.frames[:, 0]), np.unique(held_out.frames[:, 0])


def evaluate_odometry(
    checkpoint: Checkpoint,
    selections: Sequence[Selection],
    device: torch.device,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Odometry | None:
    """Compare the pose network's motion with the recorded poses.

    Neighbours are as far apart as in training, by each segment's spacing.

    Parameters
    ----------
    checkpoint : Checkpoint
    selections : sequence of Selection
    device : torch.device
    batch_size : int
    progress : callable, optional

    Returns
    -------
    Odometry, or None if no five neighbouring frames have poses

    Raises
    ------
    CheckpointError
        If the checkpoint has no pose network.
    """
    model = motion_model(checkpoint).to(device)
    metadata = checkpoint.metadata
    truths, errors = [], []
    for selection in selections:
        store = selection.store
        crop = remaining_crop(store.crop, metadata.crop)
        for chain in pose_chains(selection):
            steps = []
            for start in range(0, len(chain) - 1, batch_size):
                frames = chain[start : start + batch_size + 1]
                images = network_images(store, frames, crop, metadata.width, metadata.height)
                steps.append(_motions(model, to_network_input(images.to(device))))
                if progress is not None:
                    progress(len(frames) - 1)
            truths.append(store.poses[chain])
            errors.append(odometry_errors(truths[-1], trajectory(np.concatenate(steps))))
    if not errors:
        return None
    snippets = np.concatenate([_snippets(poses) for poses in truths])
    # The direction in which the camera gets on most, ahead or back.
    direction = np.linalg.svd(snippets[:, -1], full_matrices=False)[2][0]
    line = np.arange(SNIPPET_LENGTH)[:, None] * direction
    return Odometry(
        checkpoint.source,
        np.concatenate(errors),
        np.array([snippet_error(snippet, np.zeros_like(snippet)) for snippet in snippets]),
        np.array([snippet_error(snippet, line) for snippet in snippets]),
    )


def pose_chains(selection: Selection) -> list[NDArray[np.int64]]:
    """Find frames that follow each other at their segment's spacing and have poses.

    Returns
    -------
    list of ndarray
        Chains of at least five frames.
    """
    store = selection.store
    usable = np.zeros(len(store), bool)
    usable[selection.frames] = True
    usable &= np.isfinite(store.poses).all(axis=(1, 2))
    chains = []
    for (first, end), spacing in zip(
        store.segment_ranges().tolist(), store.segment_spacing, strict=True
    ):
        for offset in range(spacing):
            frames = np.arange(first + offset, end, spacing)
            gaps = np.flatnonzero(~usable[frames])
            for run in np.split(frames, gaps):
                chain = run[usable[run]]
                if len(chain) >= SNIPPET_LENGTH:
                    chains.append(chain)
    return chains


def trajectory(motions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chain motions up.

    Parameters
    ----------
    motions : ndarray, shape (N, 4, 4)
        Each takes points of a frame to the next frame.

    Returns
    -------
    ndarray, shape (N + 1, 4, 4)
        Poses of the frames in the first one.
    """
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ np.linalg.inv(motion))
    return np.stack(poses)


def motion_model(checkpoint: Checkpoint) -> DepthAndMotion:
    """Build the networks that predict motion, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the checkpoint has none, or the weights do not fit.
    """
    state = checkpoint.state
    kind: PoseKind
    if "pose_encoder" in state and "pose" in state:
        kind = "separate"
    elif "posecnn" in state:
        kind = "posecnn"
    elif "pose" in state:
        kind = "shared"
    else:
        raise CheckpointError(
            f"checkpoint {checkpoint.source} has no pose network (it holds "
            f"{', '.join(sorted(state))}); evaluate one that depth_train wrote without "
            "stripping it, or leave out --odometry"
        )
    metadata = checkpoint.metadata
    model = DepthAndMotion(
        metadata.num_layers,
        _pose_layers(checkpoint) if kind == "separate" else 18,
        kind,
        min_depth=metadata.min_depth,
        max_depth=metadata.max_depth,
    )
    for name, network in model.networks().items():
        weights = {
            key: value.float() if value.is_floating_point() else value
            for key, value in state[name].items()
        }
        for key, value in network.state_dict().items():
            if key.startswith("encoder.fc."):  # never used; files may leave it out
                weights.setdefault(key, value)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"checkpoint {checkpoint.source}: network '{name}' does not fit: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
    return model.eval()


def _pose_layers(checkpoint: Checkpoint) -> int:
    """Tell from the keys which ResNet the pose encoder is."""
    keys = {key for key in checkpoint.state["pose_encoder"] if not key.startswith("encoder.fc.")}
    for layers in RESNET_LAYERS:
        with torch.device("meta"):
            known = ResnetEncoder(layers, num_input_images=2).state_dict()
        if keys == {key for key in known if not key.startswith("encoder.fc.")}:
            return layers
    raise CheckpointError(
        f"checkpoint {checkpoint.source}: 'pose_encoder' is no known ResNet ({len(keys)} entries)"
    )


def _disparity_limits(checkpoint: Checkpoint, protocol: Protocol) -> tuple[float, float]:
    """Return the largest and the smallest disparity that a network can predict."""
    metadata = checkpoint.metadata
    unit = 1.0 if protocol.scaling == "none" else metadata.scale
    return 1.0 / (unit * metadata.min_depth), 1.0 / (unit * metadata.max_depth)


@torch.inference_mode()
def _sigmoid(network: nn.Module, images: Tensor, flip: bool) -> Tensor:
    """Run the network on (B, 3, H, W) and return (B, H, W)."""
    disparity = network(images.contiguous(memory_format=torch.channels_last))[:, 0]
    if not flip:
        return disparity
    mirrored = network(images.flip(3))[:, 0].flip(2)
    blended = flip_postprocess(disparity, mirrored)
    return torch.from_numpy(blended).to(disparity)


@torch.inference_mode()
def _motions(model: DepthAndMotion, images: Tensor) -> NDArray[np.float64]:
    """Predict the motions between successive images, from each to the next, (B − 1, 4, 4)."""
    (transforms,) = model(images[:-1], [images[1:]], [False]).transforms
    return transforms.double().cpu().numpy()


def _snippets(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions of each snippet's cameras in its first one, (S, SNIPPET_LENGTH, 3)."""
    snippets = []
    for start in range(len(poses) - SNIPPET_LENGTH + 1):
        inside = np.linalg.inv(poses[start]) @ poses[start : start + SNIPPET_LENGTH]
        # The first is 0 but for rounding, which would be scaled up where nothing moves.
        snippets.append(inside[:, :3, 3] - inside[0, :3, 3])
    return np.stack(snippets)


def _mean_depth(selection: Selection, protocol: Protocol) -> NDArray[np.float32]:
    """Average the truth pixel by pixel; a pixel that is never known gets the mean of the others."""
    store = selection.store
    assert store.truth is not None
    total = np.zeros(store.truth.shape[1:])
    count = np.zeros(store.truth.shape[1:])
    for start in range(0, len(selection.frames), _CHUNK):
        truth = store.truth[selection.frames[start : start + _CHUNK]].astype(np.float32)
        known = (truth > protocol.min_depth) & (truth < protocol.max_depth)
        total += np.where(known, truth, 0.0).sum(axis=0)
        count += known.sum(axis=0)
    if not count.any():
        raise ValueError(
            f"{store.path}: none of the {len(selection.frames)} frames to average has truth"
        )
    mean = total / np.maximum(count, 1.0)
    return np.where(count > 0.0, mean, mean[count > 0.0].mean()).astype(np.float32)


def _errors_by_distance(
    truth: NDArray[np.float32],
    depth: NDArray[np.float32],
    result: FrameResult,
    protocol: Protocol,
) -> NDArray[np.float64]:
    """Sum the relative errors of a frame's pixels, and count them, by distance."""
    known = truth > 0.0
    true = truth[known]
    error = np.abs(aligned_depth(depth[known], result, protocol) - true) / true
    interval = np.searchsorted(DISTANCES, true, side="right") - 1
    count = len(DISTANCES) - 1
    sums = np.bincount(interval, weights=error, minlength=count)
    return np.stack([sums, np.bincount(interval, minlength=count)], axis=1)
