# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth in 8-bit integers: the quantised graph, and its errors on held-out frames.

NNCF measures on real frames which range each activation has, and puts 8-bit integers where the
convolutions are (Nagel et al. 2021, https://arxiv.org/abs/2106.08295, section 3: post-training
quantisation). The first four fifths of each recording calibrate, the last fifth is held out.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
)
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.preprocessing import crop_box, remaining_crop
from training.deployment.calibration_frames import (
    CALIBRATION_FRAMES,
    FEWEST_FRAMES,
    QuantizationError,
    calibration_images,
    choose_frames,
    network_input,
)
from training.deployment.check import ExportError, test_images
from training.deployment.depth_model import METADATA_KEY, DepthModel, Images, describe
from training.deployment.equalization import EqualizedDepthNetwork
from training.deployment.exporter import HALF_TOLERANCE, check_request, format_of, move_into_place
from training.deployment.openvino_format import compile_openvino, convert_openvino, open_openvino
from training.evaluation.protocol import Predict, Protocol, Selection, compare, truth_of
from training.extraction.console import ProgressBars
from training.extraction.open_frames import open_frames as open_source
from training.frames.store import FrameStore, depth_size

PRESETS = ("performance", "mixed")


#: Frames of these on which the ranges of channels are measured before.
EQUALIZATION_FRAMES = 40


#: abs_rel may grow by this share of itself.
LARGEST_WORSENING = 0.01


#: Where there is no truth: largest median of |int8 − float32| / float32 of the depth.
LARGEST_DIFFERENCE = 0.02


#: Runs a network: (1, 3, H, W) float32 in [0, 1] → its sigmoid, (1, 1, H, W) float32.
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


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
        return {"image": network_input(item[0], item[1], metadata)}

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


def depth_predictor_of(run: Run, metadata: CheckpointMetadata) -> Predict:
    """Return the prediction of anything that computes the network's sigmoid, one frame at a time.

    The same as :func:`training.evaluation.predictors.depth_predictor` for the network in torch.

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
            sigmoid = torch.from_numpy(run(network_input(store, frame, metadata)))
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


@dataclass(frozen=True)
class Int8Result:
    """What was written in int8.

    Attributes
    ----------
    path : Path
    calibration_frames : int
    judgement : Judgement
    """

    path: Path
    calibration_frames: int
    judgement: Judgement


def export_int8(
    checkpoint: Checkpoint,
    output: str | os.PathLike[str],
    stores: Sequence[FrameStore],
    frames: int = CALIBRATION_FRAMES,
    preset: str = PRESETS[0],
) -> Int8Result:
    """Write OpenVINO IR that computes in 8-bit integers, if it is about as good as float32.

    The metadata's provenance gets an entry "int8": the names of the data, and the figures.

    Parameters
    ----------
    checkpoint : Checkpoint
    output : path
        An .xml that does not exist yet.
    stores : sequence of FrameStore
        To calibrate with, and to judge with: see :func:`training.deployment.int8.choose_frames`.
    frames : int
        Frames to calibrate with, and the most to judge with.
    preset : {"performance", "mixed"}
        See :func:`training.deployment.int8.quantize_graph`.

    Raises
    ------
    ExportError
        If abs_rel on held-out frames grows by more than :data:`LARGEST_WORSENING`, or without
        truth the depth changes by more than :data:`LARGEST_DIFFERENCE`; if the output exists,
        cannot be written, or does not compute what was judged. Nothing is left at `output`.
    QuantizationError
        If the frames do not suit, or NNCF is missing.
    CheckpointError
        If the checkpoint's weights do not fit its metadata.
    """
    output = Path(output).expanduser()
    check_int8_request(format_of(output), 1, False, None, frames, preset)
    check_request(output, "openvino", 1, False)
    metadata = checkpoint.metadata
    calibration, held_out = choose_frames(stores, metadata, frames)
    model = DepthModel(checkpoint.depth_network(), metadata).eval()

    def run_torch(image: Images) -> Images:
        with torch.inference_mode():
            return model.network(torch.from_numpy(image)).numpy()

    samples = calibration_images(calibration, metadata, EQUALIZATION_FRAMES)
    equalized = EqualizedDepthNetwork(checkpoint.depth_network(), samples)
    plain = convert_openvino(DepthModel(equalized, metadata), 1)
    graph = quantize_graph(plain, calibration, metadata, preset)
    quantized = compile_openvino(graph)
    judgement = judge(
        depth_predictor_of(run_torch, metadata),
        depth_predictor_of(lambda image: quantized(image)[1], metadata),
        held_out,
        metadata.is_metric,
    )
    if not judgement.is_accepted:
        raise ExportError(
            f"{output} was not written: {judgement}; calibrate with more frames, and with such as "
            f"the robot will see, try the other --preset ({' or '.join(PRESETS)}), or stay with "
            "float32"
        )
    used = sum(len(selection.frames) for selection in calibration)
    metadata = _with_int8(metadata, stores, used, preset, judgement)
    graph.set_rt_info(describe(metadata), [METADATA_KEY])
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    try:
        import openvino

        part = folder / output.name
        openvino.save_model(graph, part, compress_to_fp16=False)
        written = open_openvino(part)
        difference = 0.0
        for images in test_images(metadata, 1):
            found, judged = written.run(images)[1], quantized(images)[1]
            difference = float(np.maximum(difference, np.abs(found - judged).max()))
        # Rounding to integers makes the last digit of a sum a whole step now and then.
        problem = "" if difference <= HALF_TOLERANCE else f"differs by up to {difference:.3g}"
        if written.description != json.loads(describe(metadata)):
            problem = "has other metadata"
        if problem:
            raise ExportError(
                f"{output} was not written: read back it {problem} (disparity, allowed "
                f"{HALF_TOLERANCE:g}); please report it with the versions of openvino and nncf"
            )
        move_into_place(part, output, "openvino")
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Int8Result(output, used, judgement)


def _with_int8(
    metadata: CheckpointMetadata,
    stores: Sequence[FrameStore],
    frames: int,
    preset: str,
    judgement: Judgement,
) -> CheckpointMetadata:
    """Write down how the network was quantised; names only, paths are nobody's business."""
    import nncf

    note = {
        "tool": f"nncf {nncf.__version__}",
        "preset": preset,
        "calibration": [store.path.name for store in stores],
        "calibration_frames": frames,
        "held_out": dataclasses.asdict(judgement),
    }
    return dataclasses.replace(metadata, provenance={**metadata.provenance, "int8": note})
