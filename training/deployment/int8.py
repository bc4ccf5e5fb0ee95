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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.checkpoint import Checkpoint, CheckpointMetadata, open_checkpoint
from monodepth2_ros.preprocessing import crop_box
from training.deployment.calibration_frames import (
    FEWEST_FRAMES,
    QuantizationError,
    calibration_images,
    choose_calibration_frames,
    network_input,
)
from training.deployment.check import ExportError, test_images
from training.deployment.depth_model import METADATA_KEY, DepthModel, metadata_json
from training.deployment.equalization import EqualizedDepthNetwork
from training.deployment.exporter import (
    check_request,
    export_folder,
    format_of,
    move_export_into_place,
)
from training.deployment.openvino_format import compile_openvino, convert_openvino, open_openvino
from training.deployment.options import (
    CALIBRATION_FRAMES,
    HALF_TOLERANCE,
    LARGEST_DIFFERENCE,
    LARGEST_WORSENING,
    PRESETS,
)
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Predict, Protocol, Selection, compare, truth_of
from training.extraction.console import Console
from training.extraction.open_frames import open_frames
from training.frames.store import FrameStore, depth_size

#: Calibration frames on which the ranges of channels are measured before quantisation.
EQUALIZATION_FRAMES = 40


@dataclass(frozen=True)
class Int8Verdict:
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
        If it is not an OpenVINO IR, another option contradicts, or NNCF is missing.
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
            "--int8 needs nncf, which is not installed; pip install 'monodepth2_ros[int8]', or "
            "pip install nncf"
        )


def open_calibration_frames(
    paths: Sequence[Path],
    metadata: CheckpointMetadata,
    scratch: Path,
    console: Console | None = None,
) -> list[FrameStore]:
    """Open frame stores; recordings are extracted first, as the network sees them.

    Parameters
    ----------
    paths : sequence of Path
    metadata : CheckpointMetadata
    scratch : Path
        Folder for the frames of recordings.
    console : Console, optional
        Shows progress.

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
            stores.append(open_frames(path, out, size, metadata.crop, console=console))
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
        middle of their range, which is faster. Among the activations here only the image's own are
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


def compare_with_float32(
    float32: Predict,
    int8: Predict,
    held_out: Sequence[Selection],
    is_metric: bool,
    console: Console | None = None,
) -> Int8Verdict:
    """Compare a quantised network with its original, and both with ground truth if there is any.

    Parameters
    ----------
    float32, int8 : Predict
    held_out : sequence of Selection
        Frames that did not calibrate, at least one.
    is_metric : bool
        Take predictions for metres; otherwise each frame is scaled by its medians.
    console : Console, optional
        Shows progress.

    Raises
    ------
    QuantizationError
        If a prediction is NaN or infinite.
    """
    protocol = Protocol(scaling="metric" if is_metric else "median")
    differences, errors = [], []
    pairs = [(selection, int(frame)) for selection in held_out for frame in selection.frames]
    with (console or Console()).progress(len(pairs), "held-out frames") as progress:
        for selection, frame in pairs:
            store = selection.store
            height, width = depth_size(store)
            x, y, box_width, box_height = crop_box(width, height, selection.window)
            depths = [predict(store, np.array([frame]))[0] for predict in (float32, int8)]
            if not np.isfinite(depths).all():
                raise QuantizationError(
                    f"depth is NaN or infinite on frame {frame} of {store.path.name}; the "
                    "checkpoint's weights are corrupt"
                )
            first, second = (depth[y : y + box_height, x : x + box_width] for depth in depths)
            differences.append(float(np.median(np.abs(second / first - 1.0))))
            truth = None if store.truth is None else truth_of(selection, frame, protocol)
            if truth is not None and truth.any():
                errors.append(
                    [compare(truth, depth, protocol).metrics["abs_rel"] for depth in depths]
                )
            progress(1)
    means = [float(mean) for mean in np.mean(errors, axis=0)] if errors else []
    known = len(errors) >= FEWEST_FRAMES
    return Int8Verdict(
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
    judgement : Int8Verdict
    """

    path: Path
    calibration_frames: int
    judgement: Int8Verdict


def export_int8(
    checkpoint: Checkpoint,
    output: str | os.PathLike[str],
    stores: Sequence[FrameStore],
    frames: int = CALIBRATION_FRAMES,
    preset: str = PRESETS[0],
    console: Console | None = None,
) -> Int8Result:
    """Write OpenVINO IR that computes in 8-bit integers, if it is about as good as float32.

    The metadata's provenance gets an entry "int8": the names of the data, and the figures.

    Parameters
    ----------
    checkpoint : Checkpoint
    output : path
        An .xml that does not exist yet.
    stores : sequence of FrameStore
        To calibrate with, and to judge with: see :func:`choose_calibration_frames`.
    frames : int
        Frames to calibrate with, and the most to judge with.
    preset : {"performance", "mixed"}
        See :func:`training.deployment.int8.quantize_graph`.
    console : Console, optional
        Shows progress.

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
    calibration, held_out = choose_calibration_frames(stores, metadata, frames)
    samples = calibration_images(calibration, metadata, EQUALIZATION_FRAMES)
    equalized = EqualizedDepthNetwork(checkpoint.depth_network(), samples)
    plain = convert_openvino(DepthModel(equalized, metadata), 1)
    graph = quantize_graph(plain, calibration, metadata, preset)
    used = sum(len(selection.frames) for selection in calibration)
    weights = (weight for network in checkpoint.state.values() for weight in network.values())
    with export_folder(output, sum(weight.numel() for weight in weights)) as folder:
        import openvino

        # Compared is what the node would load, run as the node would run it.
        noted = _with_int8(metadata, stores, used, preset, None)
        graph.set_rt_info(metadata_json(noted), [METADATA_KEY])
        candidate = folder / "candidate.xml"
        openvino.save_model(graph, candidate, compress_to_fp16=False)
        protocol = Protocol(scaling="metric")  # the metadata's scale; 1 if it is not metric
        judgement = compare_with_float32(
            depth_predictor(checkpoint, "cpu", protocol),
            depth_predictor(open_checkpoint(str(candidate)), "cpu", protocol),
            held_out,
            metadata.is_metric,
            console,
        )
        if not judgement.is_accepted:
            raise ExportError(
                f"{output} was not written: {judgement}; calibrate with more frames, and with such "
                f"as the robot will see, try the other --preset ({' or '.join(PRESETS)}), or stay "
                "with float32"
            )
        metadata = _with_int8(metadata, stores, used, preset, judgement)
        graph.set_rt_info(metadata_json(metadata), [METADATA_KEY])
        quantized = compile_openvino(graph)
        part = folder / output.name
        openvino.save_model(graph, part, compress_to_fp16=False)
        for suffix in (".xml", ".bin"):
            candidate.with_suffix(suffix).unlink()
        written = open_openvino(part)
        difference = 0.0
        for images in test_images(metadata, 1):
            found, expected = written.run(images)[1], quantized(images)[1]
            difference = float(np.maximum(difference, np.abs(found - expected).max()))
        # Rounding to integers makes the last digit of a sum a whole step now and then.
        problem = "" if difference <= HALF_TOLERANCE else f"differs by up to {difference:.3g}"
        if written.description != json.loads(metadata_json(metadata)):
            problem = "has other metadata"
        if problem:
            raise ExportError(
                f"{output} was not written: read back it {problem} (disparity, allowed "
                f"{HALF_TOLERANCE:g}); please report it with the versions of openvino and nncf"
            )
        move_export_into_place(part, output, "openvino")
    return Int8Result(output, used, judgement)


def _with_int8(
    metadata: CheckpointMetadata,
    stores: Sequence[FrameStore],
    frames: int,
    preset: str,
    judgement: Int8Verdict | None,
) -> CheckpointMetadata:
    """Record how the network was quantised: names of the data only, not local paths."""
    import nncf

    note = {
        "tool": f"nncf {nncf.__version__}",
        "preset": preset,
        "calibration": [store.path.name for store in stores],
        "calibration_frames": frames,
        "held_out": None if judgement is None else dataclasses.asdict(judgement),
    }
    return dataclasses.replace(metadata, provenance={**metadata.provenance, "int8": note})
