# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth in 8-bit integers: frames to calibrate with, the quantised graph, and what it costs.

NNCF measures on real frames which range each activation has, and puts 8-bit integers where the
convolutions are (Nagel et al. 2021, https://arxiv.org/abs/2106.08295, section 3: post-training
quantisation). Each recording's first four fifths may calibrate; its last fifth judges.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.preprocessing import crop_box, remaining_crop, sees_less, to_network_input
from training.evaluation.depth import (
    Predict,
    Protocol,
    Selection,
    compare,
    depth_size,
    frames_of_stretch,
    network_images,
    truth_of,
)
from training.extraction.console import ProgressBars
from training.extraction.open_frames import open_frames as open_source
from training.frames.store import FrameStore

PRESETS = ("performance", "mixed")

#: Frames to calibrate with, and the most to judge with.
CALIBRATION_FRAMES = 300

#: Frames of these on which the ranges of channels are measured before.
EQUALIZATION_FRAMES = 40

#: abs_rel may grow by this share of itself.
LARGEST_WORSENING = 0.01

#: Where there is no truth: largest median of |int8 − float32| / float32 of the depth.
LARGEST_DIFFERENCE = 0.02

#: With fewer frames neither ranges nor errors mean anything.
FEWEST_FRAMES = 10

#: The part of each recording that calibrates; the rest judges.
CALIBRATION_STRETCH = 0.8

#: Runs a network: (1, 3, H, W) float32 in [0, 1] → its sigmoid, (1, 1, H, W) float32.
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class QuantizationError(ValueError):
    """The network cannot be quantised; the message says why and what to do."""


@dataclass(frozen=True)
class Judgement:
    """How a quantised network compares with its original on held-out frames.

    Attributes
    ----------
    frames : int
        Frames compared.
    frames_with_truth : int
    difference : float
        Median over the frames of each frame's median |int8 − float32| / float32 of the depth.
    float32, int8 : float or None
        Mean abs_rel of both; None with fewer than :data:`FEWEST_FRAMES` frames with truth.
    """

    frames: int
    frames_with_truth: int
    difference: float
    float32: float | None
    int8: float | None

    @property
    def worsening(self) -> float | None:
        """Growth of abs_rel as a share of itself; negative where int8 is better."""
        if self.float32 is None or self.int8 is None:
            return None
        return self.int8 / self.float32 - 1.0

    @property
    def is_accepted(self) -> bool:
        """Whether abs_rel, or without truth the depth itself, is close enough."""
        if self.worsening is not None:
            return self.worsening <= LARGEST_WORSENING
        return self.difference <= LARGEST_DIFFERENCE

    def __str__(self) -> str:
        difference = f"its depth differs from float32's by {self.difference:.2%} in the median"
        if self.worsening is None:
            return (
                f"on {self.frames} held-out frames, {self.frames_with_truth} of them with truth, "
                f"{difference} (allowed {LARGEST_DIFFERENCE:.0%}); without truth on at least "
                f"{FEWEST_FRAMES} frames nobody knows which of the two is nearer to it"
            )
        return (
            f"abs_rel on {self.frames_with_truth} held-out frames is {self.float32:.4f} in float32 "
            f"and {self.int8:.4f} in int8 ({self.worsening:+.2%}, allowed "
            f"{LARGEST_WORSENING:+.0%}); {difference}"
        )


def check_int8_request(
    format: str, batch: int, half: bool, tolerance: float | None, frames: int, preset: str
) -> None:
    """Refuse what cannot be quantised before anything is read.

    Raises
    ------
    QuantizationError
        If it is no OpenVINO IR, another option contradicts, or NNCF is missing.
    """
    if format != "openvino":
        raise QuantizationError(
            f"--int8 is for OpenVINO IR, not for '{format}'; name the output model.xml"
        )
    if batch != 1:
        raise QuantizationError("--int8 makes a graph for one image; leave out --batch")
    if half:
        raise QuantizationError("--int8 and --half exclude each other; leave out --half")
    if tolerance is not None:
        raise QuantizationError(
            "--tolerance is about formats that keep the network as it is; leave it out, --int8 is "
            f"judged by abs_rel, which may grow by {LARGEST_WORSENING:.0%}"
        )
    if frames < FEWEST_FRAMES:
        raise QuantizationError(
            f"--calibration-frames is {frames}; give at least {FEWEST_FRAMES}, better "
            f"{CALIBRATION_FRAMES}"
        )
    if preset not in PRESETS:
        raise QuantizationError(f"--preset is '{preset}'; it must be one of {', '.join(PRESETS)}")
    if not _has_nncf():
        raise QuantizationError(
            "--int8 needs nncf, which is not installed; 'pip install monodepth2_ros[int8]', or "
            "'pip install nncf'"
        )


def open_frames(
    paths: Sequence[Path], metadata: CheckpointMetadata, scratch: Path
) -> list[FrameStore]:
    """Open frame stores; recordings are extracted first, as the network sees them.

    Parameters
    ----------
    paths : sequence of Path
    metadata : CheckpointMetadata
    scratch : Path
        Folder for the frames of recordings.

    Raises
    ------
    QuantizationError
        If there is nothing, or it cannot be read.
    """
    if not paths:
        raise QuantizationError(
            "--int8 needs frames like those that the robot will see; give --calibrate STORE_OR_BAG"
        )
    stores = []
    for index, path in enumerate(paths):
        path = path.expanduser().absolute()
        if not path.exists():
            raise QuantizationError(
                f"--calibrate {path} does not exist; give a frame store of depth_extract, or a "
                "recording"
            )
        out = scratch / str(index) / path.stem
        size = (metadata.width, metadata.height)
        try:
            stores.append(open_source(path, out, size, metadata.crop, console=ProgressBars()))
        except (OSError, ValueError) as error:
            raise QuantizationError(
                f"--calibrate {path} cannot be read as frames: {error}; give a frame store of "
                "depth_extract, or a recording"
            ) from error
    return stores


def choose_frames(
    stores: Sequence[FrameStore], metadata: CheckpointMetadata, count: int
) -> tuple[list[Selection], list[Selection]]:
    """Choose the frames that calibrate, and others that judge.

    Both are spread evenly over all recordings and over the time of each; calibration takes from
    the first four fifths of each recording, the judgement from the rest.

    Parameters
    ----------
    stores : sequence of FrameStore
    metadata : CheckpointMetadata
    count : int
        Frames to choose for each purpose, or as many as there are.

    Returns
    -------
    calibration, held_out : list of Selection
        One for each store.

    Raises
    ------
    QuantizationError
        If a store does not show what the network takes, or there are too few frames.
    """
    for store in stores:
        _check_view(store, metadata)
    chosen = []
    for purpose, first, last in (
        ("calibrate with", 0.0, CALIBRATION_STRETCH),
        ("judge with", CALIBRATION_STRETCH, 1.0),
    ):
        selections = _spread(stores, metadata, first, last, count)
        found = sum(len(selection.frames) for selection in selections)
        if found < FEWEST_FRAMES:
            total = sum(map(len, stores))
            raise QuantizationError(
                f"there are {found} frames to {purpose} ({total} in all, the last fifth of each "
                f"recording judges); at least {FEWEST_FRAMES} are needed: give --calibrate more"
            )
        chosen.append(selections)
    return chosen[0], chosen[1]


def spread_evenly(lengths: Sequence[int], count: int) -> list[NDArray[np.int64]]:
    """Choose from several rows as evenly as their lengths allow.

    Parameters
    ----------
    lengths : sequence of int
    count : int
        How many to choose in all; all if there are not so many.

    Returns
    -------
    list of ndarray
        The places chosen in each row, ascending: equally many of each, or all of a short one, in
        the middles of equal parts of it.
    """
    sizes = np.asarray(lengths, np.int64)
    count = min(count, int(sizes.sum()))
    level = 0
    while np.minimum(sizes, level + 1).sum() <= count and level < sizes.max(initial=0):
        level += 1
    quota = np.minimum(sizes, level)
    # What does not suffice for one more of each goes to rows spread over all.
    longer = np.flatnonzero(sizes > level)
    quota[longer[_middles(len(longer), count - int(quota.sum()))]] += 1
    return [_middles(int(size), int(part)) for size, part in zip(sizes, quota, strict=True)]


def quantize_graph(
    graph: Any, calibration: Sequence[Selection], metadata: CheckpointMetadata, preset: str
) -> Any:
    """Quantise a network.

    The disparity head stays in float32: it is 1 % of the multiply-adds, and what it rounds nothing
    can make good.

    Parameters
    ----------
    graph : openvino.Model
        With the input "image"; of :class:`training.deployment.equalization.EqualizedDepthNetwork`.
    calibration : sequence of Selection
    metadata : CheckpointMetadata
        Its width, height and crop say what the network takes.
    preset : {"performance", "mixed"}
        "mixed" lets the zero of activations lie anywhere; "performance" has it at an end or in the
        middle of their range, which is faster. Of the activations here only the image's own are
        negative.

    Returns
    -------
    openvino.Model
    """
    # Unless told not to, NNCF reports its use to its makers.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.ERROR)
    frames = [(selection.store, int(f)) for selection in calibration for f in selection.frames]

    def images(item: tuple[FrameStore, int]) -> dict[str, NDArray[np.float32]]:
        return {"image": _network_input(item[0], item[1], metadata)}

    return nncf.quantize(
        graph,
        nncf.Dataset(frames, images),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(frames),
        ignored_scope=nncf.IgnoredScope(names=head_names(graph), validate=False),
    )


def head_names(graph: Any) -> list[str]:
    """Return the names of all operations from the last convolution of a graph on."""
    operations = graph.get_ordered_ops()
    kinds = [operation.get_type_name() for operation in operations]
    convolutions = ("Convolution", "ConvolutionBackpropData")
    last = [index for index, kind in enumerate(kinds) if kind in convolutions][-1]
    return [
        operation.get_friendly_name()
        for operation, kind in zip(operations[last:], kinds[last:], strict=True)
        if kind not in ("Constant", "Convert", "Result")
    ]


def calibration_images(
    calibration: Sequence[Selection], metadata: CheckpointMetadata, count: int
) -> Iterator[torch.Tensor]:
    """Give some of the frames that calibrate, spread evenly, as (1, 3, H, W) in [0, 1]."""
    frames = [(selection.store, int(f)) for selection in calibration for f in selection.frames]
    for place in _middles(len(frames), min(count, len(frames))):
        store, frame = frames[place]
        yield torch.from_numpy(_network_input(store, frame, metadata))


def depth_predictor_of(run: Run, metadata: CheckpointMetadata) -> Predict:
    """Return the prediction of anything that computes the network's sigmoid, one frame at a time.

    The same as :func:`training.evaluation.depth.depth_predictor` for the network in torch.

    Parameters
    ----------
    run : callable
        See :data:`Run`.
    metadata : CheckpointMetadata
    """

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        height, width = depth_size(store)
        crop = remaining_crop(store.crop, metadata.crop)
        x, y, box_width, box_height = crop_box(width, height, crop)
        depth = np.ones((len(frames), height, width), np.float32)
        for place, frame in zip(depth, frames.tolist(), strict=True):
            sigmoid = torch.from_numpy(run(_network_input(store, frame, metadata)))
            # Disparity and sigmoid differ by a linear function, so resizing either is the same.
            resized = functional.interpolate(
                sigmoid, (box_height, box_width), mode="bilinear", align_corners=False
            )
            found = disparity_to_depth(resized[0, 0], metadata.min_depth, metadata.max_depth)
            place[y : y + box_height, x : x + box_width] = metadata.scale * found.numpy()
        return depth

    return predict


def judge(
    float32: Predict, int8: Predict, held_out: Sequence[Selection], is_metric: bool
) -> Judgement:
    """Compare a quantised network with its original, and both with the truth where there is any.

    Parameters
    ----------
    float32, int8 : Predict
    held_out : sequence of Selection
        Frames that did not calibrate, at least one.
    is_metric : bool
        Take predictions for metres; otherwise each frame is scaled by its medians.

    Raises
    ------
    QuantizationError
        If a prediction is not a number.
    """
    protocol = Protocol(scaling="metric" if is_metric else "median")
    differences, errors = [], []
    pairs = [(selection, int(frame)) for selection in held_out for frame in selection.frames]
    for selection, frame in tqdm(pairs, "held-out frames", unit="frame", disable=None):
        store = selection.store
        height, width = depth_size(store)
        x, y, box_width, box_height = crop_box(width, height, selection.window)
        first, second = (predict(store, np.array([frame]))[0] for predict in (float32, int8))
        seen = slice(y, y + box_height), slice(x, x + box_width)
        differences.append(float(np.median(np.abs(second[seen] / first[seen] - 1.0))))
        if not np.isfinite(first).all() or not np.isfinite(second).all():
            raise QuantizationError(
                f"depth is not a number on frame {frame} of {store.path.name}; the checkpoint's "
                "weights are damaged"
            )
        truth = None if store.truth is None else truth_of(selection, frame, protocol)
        if truth is not None and truth.any():
            errors.append(
                [compare(truth, depth, protocol).metrics["abs_rel"] for depth in (first, second)]
            )
    means = [float(mean) for mean in np.mean(errors, axis=0)] if errors else []
    known = len(errors) >= FEWEST_FRAMES
    return Judgement(
        frames=len(pairs),
        frames_with_truth=len(errors),
        difference=float(np.median(differences)),
        float32=means[0] if known else None,
        int8=means[1] if known else None,
    )


def _has_nncf() -> bool:
    """Say whether NNCF can be imported."""
    return importlib.util.find_spec("nncf") is not None


def _network_input(
    store: FrameStore, frame: int, metadata: CheckpointMetadata
) -> NDArray[np.float32]:
    """Read a frame as the network takes it, (1, 3, H, W) in [0, 1]."""
    crop = remaining_crop(store.crop, metadata.crop)
    image = network_images(store, np.array([frame]), crop, metadata.width, metadata.height)
    return to_network_input(image).contiguous().numpy()


def _check_view(store: FrameStore, metadata: CheckpointMetadata) -> None:
    """Refuse frames that lack what the network takes: part of the view, or sharpness."""
    wanted = " ".join(f"{side:g}" for side in metadata.crop)
    advice = (
        f"extract with --width {metadata.width} --height {metadata.height} --crop {wanted}, or "
        "give the recording itself"
    )
    if sees_less(store.crop, metadata.crop):
        raise QuantizationError(
            f"{store.path.name} was cropped by {list(store.crop)}, the network takes "
            f"{list(metadata.crop)}; {advice}"
        )
    crop = remaining_crop(store.crop, metadata.crop)
    _, _, width, height = crop_box(store.width, store.height, crop)
    if width < metadata.width or height < metadata.height:
        raise QuantizationError(
            f"the frames of {store.path.name} have {width}x{height} pixels, the network takes "
            f"{metadata.width}x{metadata.height}: enlarged ones are smoother than the robot's; "
            f"{advice}"
        )


def _spread(
    stores: Sequence[FrameStore],
    metadata: CheckpointMetadata,
    first: float,
    last: float,
    count: int,
) -> list[Selection]:
    """Choose `count` frames in a stretch of each recording of all stores."""
    rows = []
    for number, store in enumerate(stores):
        stretch = frames_of_stretch(store, first, last)
        names = np.array([source.recording for source in store.sources] or [""])
        recordings = names[np.array(store.segment_source, np.int64)][store.segment[stretch]]
        for recording in np.unique(recordings):
            members = stretch[recordings == recording]
            # In time: the cameras of a recording follow each other in a store.
            rows.append((number, members[np.argsort(store.stamps[members], kind="stable")]))
    places = spread_evenly([len(frames) for _, frames in rows], count)
    selections = []
    for number, store in enumerate(stores):
        mine = [row[place] for (n, row), place in zip(rows, places, strict=True) if n == number]
        frames = np.sort(np.concatenate([np.zeros(0, np.int64), *mine]))
        selections.append(Selection(store, frames, remaining_crop(store.crop, metadata.crop)))
    return selections


def _middles(length: int, count: int) -> NDArray[np.int64]:
    """Return the middles of `count` equal parts of a row."""
    return (2 * np.arange(count) + 1) * length // (2 * max(count, 1))
