# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_export``: a checkpoint for other engines, checked against torch before it has its name.

Formats: ``onnx``; ``openvino`` (IR: .xml and .bin); ``published`` (a folder with encoder.pth and
depth.pth); ``safetensors`` (this package's own file, to convert a published folder, to halve the
size, to leave out what depth does not need, or to write down where it comes from). All is written
into a hidden folder beside the output, read back, run on test images and compared with the
checkpoint in torch. Only if they agree it is moved to its place. OpenVINO IR in int8, which cannot
agree with torch to many digits, is judged by its errors on held-out frames instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointMetadata,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.preprocessing import NO_CROP
from training.deployment.equalization import EqualizedDepthNetwork
from training.deployment.int8 import (
    CALIBRATION_FRAMES,
    EQUALIZATION_FRAMES,
    LARGEST_DIFFERENCE,
    LARGEST_WORSENING,
    PRESETS,
    Judgement,
    QuantizationError,
    calibration_images,
    check_int8_request,
    choose_frames,
    depth_predictor_of,
    judge,
    open_frames,
    quantize_graph,
)
from training.frames.store import FrameStore

FORMATS = ("onnx", "openvino", "published", "safetensors")

#: Largest difference of sigmoid disparity (0 … 1) from torch, by precision of the weights.
TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-2

# Reflection padding, resize and the rest exist in it, and every current engine reads it.
_ONNX_OPSET = 17

_HALF_FORMATS = ("openvino", "safetensors")
_GRAPH_FORMATS = ("onnx", "openvino")

# What tools for the published layout take for granted.
_PUBLISHED_RANGE = (0.1, 100.0)
_PUBLISHED_STEREO_SCALE = 5.4
_PUBLISHED_NETWORKS = ("encoder", "depth", "pose_encoder", "pose")

_METADATA_KEY = "monodepth2_ros"

Images = NDArray[np.float32]


class ExportError(RuntimeError):
    """An export is impossible or failed its check; the message says why and what to do."""


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes
    ----------
    path : Path
    format : str
    difference : float
        Largest difference of sigmoid disparity from torch on the test images.
    tolerance : float
    engine : str
        What ran the written model.
    notes : tuple of str
        What the format could not hold.
    """

    path: Path
    format: str
    difference: float
    tolerance: float
    engine: str
    notes: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class _Opened:
    """A written model, read back: what runs it, its metadata, and images → depth, disparity."""

    engine: str
    description: dict[str, Any]
    run: Callable[[Images], tuple[Images, Images]]


class DepthModel(nn.Module):
    """The network with both outputs of an exported graph.

    Parameters
    ----------
    network : DepthNetwork, FusedDepthNetwork or EqualizedDepthNetwork
    metadata : CheckpointMetadata
    """

    def __init__(
        self,
        network: DepthNetwork | FusedDepthNetwork | EqualizedDepthNetwork,
        metadata: CheckpointMetadata,
    ) -> None:
        super().__init__()
        self.network = network
        self.metadata = metadata

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute depth.

        Parameters
        ----------
        image : Tensor, shape (B, 3, H, W)
            RGB in [0, 1].

        Returns
        -------
        depth : Tensor, shape (B, 1, H, W)
            Along the optical axis, times the checkpoint's scale; metres if the model is metric.
        disparity : Tensor, shape (B, 1, H, W)
            The network's sigmoid, in (0, 1).
        """
        sigmoid = self.network(image)
        metadata = self.metadata
        depth = disparity_to_depth(sigmoid, metadata.min_depth, metadata.max_depth)
        return metadata.scale * depth, sigmoid


def export_checkpoint(
    checkpoint: Checkpoint,
    output: str | os.PathLike[str],
    format: str = "",
    batch: int = 1,
    half: bool = False,
    tolerance: float | None = None,
) -> ExportResult:
    """Write a checkpoint in another format, check it, and only then give it its name.

    Parameters
    ----------
    checkpoint : Checkpoint
    output : path
        File, or folder for "published"; must not exist yet.
    format : str
        One of :data:`FORMATS`; by default told by the ending of `output` (.onnx, .xml,
        .safetensors, none for a published folder).
    batch : int
        Batch size of the graph, 0 for any; "onnx" and "openvino" only.
    half : bool
        Store the weights in 16 bits; "openvino" and "safetensors" only.
    tolerance : float, optional
        Largest difference of sigmoid disparity; :data:`TOLERANCE` or :data:`HALF_TOLERANCE` by
        default.

    Raises
    ------
    ExportError
        If the format cannot hold the checkpoint, a library is missing, the output exists or
        cannot be written, or the check fails. Nothing is left at `output`.
    CheckpointError
        If the checkpoint's weights do not fit its metadata.
    """
    output = Path(output).expanduser()
    format = format or _format_of(output)
    _check_request(output, format, batch, half)
    if tolerance is None:
        tolerance = HALF_TOLERANCE if half else TOLERANCE
    model = DepthModel(checkpoint.depth_network(), checkpoint.metadata).eval()
    notes: tuple[str, ...] = ()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    try:
        part = folder / output.name
        if format == "onnx":
            write_onnx(part, model, batch)
            written = _open_onnx(part)
        elif format == "openvino":
            write_openvino(part, model, batch, half)
            written = _open_openvino(part)
        elif format == "published":
            notes = write_published(part, checkpoint)
            written = _open_checkpoint(part)
        else:
            dtype = torch.float16 if half else None
            save_checkpoint(part, checkpoint.metadata, checkpoint.state, dtype)
            written = _open_checkpoint(part)
        difference = _largest_difference(model, written, batch)
        problem = ""
        if not difference <= tolerance:  # NaN fails too
            problem = f"its disparity differs from torch by up to {difference:.3g}"
        elif format != "published" and written.description != json.loads(
            describe(checkpoint.metadata)
        ):
            problem = "its metadata is not the checkpoint's"
        if problem:
            raise ExportError(
                f"{output} was not written: run by {written.engine}, {problem} (allowed "
                f"{tolerance:g}); please report it with the versions of torch and the engine"
            )
        _move(part, output, format)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ExportResult(output, format, difference, tolerance, written.engine, notes)


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
    check_int8_request(_format_of(output), 1, False, None, frames, preset)
    _check_request(output, "openvino", 1, False)
    metadata = checkpoint.metadata
    calibration, held_out = choose_frames(stores, metadata, frames)
    model = DepthModel(checkpoint.depth_network(), metadata).eval()

    def run_torch(image: Images) -> Images:
        with torch.inference_mode():
            return model.network(torch.from_numpy(image)).numpy()

    samples = calibration_images(calibration, metadata, EQUALIZATION_FRAMES)
    equalized = EqualizedDepthNetwork(checkpoint.depth_network(), samples)
    plain = _convert_openvino(DepthModel(equalized, metadata), 1)
    graph = quantize_graph(plain, calibration, metadata, preset)
    quantized = _compile(graph)
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
    graph.set_rt_info(describe(metadata), [_METADATA_KEY])
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    try:
        import openvino

        part = folder / output.name
        openvino.save_model(graph, part, compress_to_fp16=False)
        written = _open_openvino(part)
        difference = 0.0
        for images in _test_images(metadata, 1):
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
        _move(part, output, "openvino")
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Int8Result(output, used, judgement)


def depth_only(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without what depth does not need.

    That is the pose and mask networks and the encoder's classifier, which is never used.
    """
    return dataclasses.replace(
        checkpoint,
        state={
            network: {
                key: value
                for key, value in checkpoint.state[network].items()
                if not key.startswith("encoder.fc.")
            }
            for network in ("encoder", "depth")
            if network in checkpoint.state
        },
    )


def with_provenance(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint whose metadata say where it comes from.

    Parameters
    ----------
    checkpoint : Checkpoint
    path : Path
        YAML or JSON, a mapping: data, licences, command, commit, date, figures, whatever is worth
        knowing. Dates become text.

    Raises
    ------
    ExportError
        If the file cannot be read or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not content:
            raise ValueError("it must hold a mapping, such as 'data: …' and 'licences: …'")
        # As it will be read back: keys are text, tuples lists, dates text.
        provenance = json.loads(json.dumps(content, default=str, allow_nan=False))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ExportError(f"--provenance {path} cannot be used: {error}") from error
    metadata = dataclasses.replace(checkpoint.metadata, provenance=provenance)
    return dataclasses.replace(checkpoint, metadata=metadata)


def summarise(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint holds and what it says of itself, as YAML.

    Parameters
    ----------
    checkpoint : Checkpoint
    """
    networks = {}
    for name, state in checkpoint.state.items():
        types = sorted({str(value.dtype).removeprefix("torch.") for value in state.values()})
        count = sum(value.numel() for value in state.values())
        networks[name] = f"{count} numbers in {len(state)} tensors ({', '.join(types)})"
    metadata = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(checkpoint.metadata).items()
    }
    return yaml.safe_dump(
        {"checkpoint": checkpoint.source, "networks": networks, **metadata},
        sort_keys=False,
        allow_unicode=True,
        width=100,
    ).rstrip()


def write_onnx(path: Path, model: DepthModel, batch: int) -> None:
    """Write an ONNX file with the checkpoint's metadata among its properties.

    Parameters
    ----------
    path : Path
    model : DepthModel
    batch : int
        0 for any.
    """
    import onnx

    image = torch.zeros(batch or 2, 3, model.metadata.height, model.metadata.width)
    names = ["depth", "disparity"]
    axes = None if batch else {name: {0: "batch"} for name in ["image", *names]}
    with torch.inference_mode(), warnings.catch_warnings():
        # The exporter over torch.export needs one more library and gives the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (image,),
            str(path),
            input_names=["image"],
            output_names=names,
            dynamic_axes=axes,
            opset_version=_ONNX_OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {_METADATA_KEY: describe(model.metadata)})
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def write_openvino(path: Path, model: DepthModel, batch: int, half: bool) -> None:
    """Write OpenVINO IR, ``path`` (.xml) and its .bin, with the metadata in its runtime info.

    Parameters
    ----------
    path : Path
    model : DepthModel
    batch : int
        0 for any.
    half : bool
        Store weights in 16 bits.
    """
    import openvino

    openvino.save_model(_convert_openvino(model, batch), path, compress_to_fp16=half)


def _convert_openvino(model: DepthModel, batch: int) -> Any:
    """Convert a network, as rewritten for inference; names and metadata included."""
    import openvino

    network = model.network
    if isinstance(network, DepthNetwork):
        network = FusedDepthNetwork(network)
    rewritten = DepthModel(network, model.metadata).eval()

    shape = [batch or -1, 3, model.metadata.height, model.metadata.width]
    example = torch.zeros(batch or 2, *shape[1:])
    with torch.inference_mode(), warnings.catch_warnings():
        # The converter traces with an API that torch deprecates; that is OpenVINO's to change.
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(rewritten, example_input=example, input=[shape])
    graph.input(0).set_names({"image"})
    for index, name in enumerate(("depth", "disparity")):
        graph.output(index).set_names({name})
    graph.set_rt_info(describe(model.metadata), [_METADATA_KEY])
    return graph


def write_published(folder: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Write a folder of the published layout and return what it could not hold.

    Parameters
    ----------
    folder : Path
        Must not exist. It gets encoder.pth (with height, width and use_stereo), depth.pth,
        pose_encoder.pth and pose.pth where the checkpoint has them, and monodepth2_ros.json
        for what has no place in those.
    checkpoint : Checkpoint

    Raises
    ------
    ExportError
        If tools for the layout would compute another depth from these weights.
    """
    metadata = checkpoint.metadata
    use_stereo, notes = _published_scale(metadata)
    if metadata.crop != NO_CROP:
        notes.append(
            f"the layout knows no crop: remove {list(metadata.crop)} of the image (left, top, "
            "right, bottom) before you resize it"
        )
    extra = sorted(checkpoint.state.keys() - set(_PUBLISHED_NETWORKS))
    if extra:
        notes.append(f"the layout has no place for the networks {', '.join(extra)}: left out")
    folder.mkdir()
    for name in _PUBLISHED_NETWORKS:
        if name not in checkpoint.state:
            continue
        state: dict[str, Any] = {
            key: value.float() if value.is_floating_point() else value
            for key, value in checkpoint.state[name].items()
        }
        if name == "encoder":
            # Other tools insist on the classifier, which a file may leave out.
            state = {**checkpoint.depth_network().encoder.state_dict(), **state}
            state |= {
                "height": metadata.height,
                "width": metadata.width,
                "use_stereo": use_stereo,
            }
        torch.save(state, folder / f"{name}.pth")
    (folder / "monodepth2_ros.json").write_text(describe(metadata) + "\n", encoding="utf-8")
    return tuple(notes)


def describe(metadata: CheckpointMetadata) -> str:
    """Return the metadata that exported models carry: the checkpoint's, and the graph's contract.

    Returns
    -------
    str
        A JSON object.
    """
    unit = "metres" if metadata.is_metric else "an unknown unit"
    return json.dumps(
        {
            **dataclasses.asdict(metadata),
            "image": "(B, 3, height, width) float32, RGB in [0, 1], cropped by the fractions "
            "'crop' (left, top, right, bottom), then resized with antialiasing",
            "depth": f"(B, 1, height, width) float32, {unit} along the optical axis",
            "disparity": "(B, 1, height, width) float32, sigmoid; depth = scale / "
            "(1/max_depth + (1/min_depth - 1/max_depth) * disparity)",
        }
    )


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


def _published_scale(metadata: CheckpointMetadata) -> tuple[bool, list[str]]:
    """Decide `use_stereo`, and say what the reader must know about the scale."""
    low, high = metadata.min_depth, metadata.max_depth
    if not np.isclose(high / low, _PUBLISHED_RANGE[1] / _PUBLISHED_RANGE[0], rtol=1e-6):
        raise ExportError(
            f"the published layout takes a depth range of {_PUBLISHED_RANGE[0]:g} to "
            f"{_PUBLISHED_RANGE[1]:g} for granted; this checkpoint has {low:g} to {high:g}, and "
            "its depth would come out wrong; export to onnx, openvino or safetensors"
        )
    if not metadata.is_metric:
        return False, []
    factor = metadata.scale * low / _PUBLISHED_RANGE[0]
    if np.isclose(factor, _PUBLISHED_STEREO_SCALE, rtol=1e-6):
        return True, []
    return False, [
        "the layout knows no scale but that of the published stereo models: multiply its depth "
        f"by {factor:g} to have metres"
    ]


def _format_of(output: Path) -> str:
    """Tell the format from the ending."""
    known = {".onnx": "onnx", ".xml": "openvino", ".safetensors": "safetensors", "": "published"}
    if output.suffix not in known:
        raise ExportError(
            f"the ending '{output.suffix}' of {output} names no format; use .onnx, .xml "
            "(OpenVINO), .safetensors or none (published folder), or give --format"
        )
    return known[output.suffix]


def _check_request(output: Path, format: str, batch: int, half: bool) -> None:
    """Refuse what cannot work before anything is computed."""
    if format not in FORMATS:
        raise ExportError(f"--format is '{format}'; it must be one of {', '.join(FORMATS)}")
    if batch < 0:
        raise ExportError(f"--batch is {batch}; give at least 1, or 'dynamic'")
    if batch != 1 and format not in _GRAPH_FORMATS:
        raise ExportError(f"--batch has no meaning for '{format}', which takes any; leave it out")
    if half and format not in _HALF_FORMATS:
        raise ExportError(
            f"--half is for {' and '.join(_HALF_FORMATS)}, not for '{format}'; leave it out"
        )
    if format == "openvino" and output.suffix != ".xml":
        raise ExportError(f"OpenVINO IR must end in .xml; {output} does not")
    needed = {"onnx": ["onnx"], "openvino": ["openvino"]}.get(format, [])
    missing = [name for name in needed if not _installed(name)]
    if missing:
        raise ExportError(f"{missing[0]} is not installed; 'pip install {missing[0]}'")
    if format == "onnx" and not (_installed("onnxruntime") or _installed("openvino")):
        raise ExportError(
            "an ONNX file is checked by running it, and neither onnxruntime nor openvino is "
            "installed; 'pip install onnxruntime'"
        )
    paths = [output, output.with_suffix(".bin")] if format == "openvino" else [output]
    for path in paths:
        if os.path.lexists(path):
            raise ExportError(f"{path} exists; remove it or choose another name")
    if not output.parent.is_dir():
        raise ExportError(f"the folder {output.parent} does not exist; make it first")


def _installed(name: str) -> bool:
    """Say whether a module can be imported."""
    return importlib.util.find_spec(name) is not None


def _open_onnx(path: Path) -> _Opened:
    """Open an ONNX file in onnxruntime, or else in OpenVINO."""
    if not _installed("onnxruntime"):
        return _open_openvino(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    description = json.loads(session.get_modelmeta().custom_metadata_map[_METADATA_KEY])

    def run(images: Images) -> tuple[Images, Images]:
        depth, disparity = session.run(["depth", "disparity"], {"image": images})
        return depth, disparity

    return _Opened(f"onnxruntime {onnxruntime.__version__}", description, run)


def _open_openvino(path: Path) -> _Opened:
    """Open IR or ONNX in OpenVINO."""
    import openvino

    core = openvino.Core()
    graph = core.read_model(path)
    keys = ["framework", _METADATA_KEY] if path.suffix == ".onnx" else [_METADATA_KEY]
    description = json.loads(graph.get_rt_info(keys).astype(str))
    return _Opened(f"OpenVINO {openvino.__version__.split('-')[0]}", description, _compile(graph))


def _compile(graph: Any) -> Callable[[Images], tuple[Images, Images]]:
    """Return a run of a graph in OpenVINO."""
    import openvino

    # In float32 where the graph is, whatever the processor could do faster.
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Images) -> tuple[Images, Images]:
        results = compiled({"image": images})
        return results["depth"], results["disparity"]

    return run


def _open_checkpoint(path: Path) -> _Opened:
    """Open what this package itself loads."""
    checkpoint = load_checkpoint(path)
    model = DepthModel(checkpoint.depth_network(), checkpoint.metadata)
    description = json.loads(describe(checkpoint.metadata))

    def run(images: Images) -> tuple[Images, Images]:
        with torch.inference_mode():
            depth, disparity = model(torch.from_numpy(images))
        return depth.numpy(), disparity.numpy()

    return _Opened(f"torch {torch.__version__}", description, run)


def _largest_difference(model: DepthModel, written: _Opened, batch: int) -> float:
    """Return the largest difference of disparity: as given, and as recovered from the depth."""
    low, high = written.description["min_depth"], written.description["max_depth"]
    scale = written.description["scale"]
    largest = 0.0
    for images in _test_images(model.metadata, batch):
        with torch.inference_mode():
            expected = model.network(torch.from_numpy(images)).numpy()
        depth, disparity = written.run(images)
        recovered = (scale / depth - 1.0 / high) / (1.0 / low - 1.0 / high)
        for found in (disparity, recovered):
            if found.shape != expected.shape:
                return float("nan")
            # Not max(): it would drop a NaN.
            largest = float(np.maximum(largest, np.abs(found - expected).max()))
    return largest


def _test_images(metadata: CheckpointMetadata, batch: int) -> list[Images]:
    """Make images that excite the network: from smooth shades to pixel noise.

    Batches of `batch` images; where any size will do (0), batches of two sizes.
    """
    generator = torch.Generator().manual_seed(0)
    size = (metadata.height, metadata.width)
    batches = []
    for count in (batch,) if batch else (1, 3):
        images = []
        for index in range(max(count, 2) if batch == 1 else count):
            coarse = torch.rand(1, 3, 2 + 5 * (index % 3), 3 + 5 * (index % 3), generator=generator)
            smooth = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
            noise = torch.rand(1, 3, *size, generator=generator)
            images.append(0.8 * smooth + 0.2 * noise)
        stack = torch.cat(images).numpy()
        batches += [stack[i : i + count] for i in range(0, len(stack), count)]
    return batches


def _move(part: Path, output: Path, format: str) -> None:
    """Give the complete export its name."""
    files = [path for path in part.parent.rglob("*") if path.is_file()]
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    if format != "openvino":
        os.rename(part, output)
        return
    weights = output.with_suffix(".bin")
    os.rename(part.with_suffix(".bin"), weights)
    try:
        # Last: the .xml is what says that the pair is complete.
        os.rename(part, output)
    except OSError:
        weights.unlink()
        raise


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="depth_export",
        description="Write a checkpoint as ONNX, OpenVINO IR, a folder of the published layout, "
        "or this package's own file; what was written is run and compared with torch.",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a .safetensors file, a folder with encoder.pth and depth.pth, or 'default' for the "
        "model that the package ships",
    )
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        nargs="?",
        type=Path,
        help="model.onnx, model.xml (OpenVINO), model.safetensors, or the name of a new folder "
        "(published layout)",
    )
    parser.add_argument("--format", choices=FORMATS, help="instead of by the ending of OUTPUT")
    parser.add_argument(
        "--batch",
        default="1",
        metavar="N",
        help="batch size of the ONNX or OpenVINO graph, or 'dynamic' (default: 1)",
    )
    parser.add_argument(
        "--half", action="store_true", help="store the weights of OpenVINO IR or a file in 16 bits"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="OpenVINO IR that computes in 8-bit integers; written only if on held-out frames "
        f"abs_rel grows by at most {LARGEST_WORSENING:.0%}% (without truth: if the depth changes "
        f"by at most {LARGEST_DIFFERENCE:.0%}% in the median)",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="STORE_OR_BAG",
        help="with --int8: frame stores or recordings such as the robot will see; the last fifth "
        "of each recording judges",
    )
    parser.add_argument(
        "--calibration-frames",
        type=int,
        metavar="N",
        help="with --int8: frames to calibrate with, spread evenly over all recordings "
        f"(default: {CALIBRATION_FRAMES})",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="with --int8: zero of the activations anywhere (mixed, the default), or in the middle "
        "(performance)",
    )
    parser.add_argument(
        "--depth-only",
        action="store_true",
        help="leave out what only training needs: pose and mask networks, the unused classifier",
    )
    parser.add_argument(
        "--provenance",
        type=Path,
        metavar="FILE",
        help="write this YAML or JSON mapping into the metadata: data, licences, command, …",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="print what CHECKPOINT holds and says of itself, and write nothing",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="largest difference of sigmoid disparity (0 … 1) from torch "
        f"(default: {TOLERANCE:g}, with --half {HALF_TOLERANCE:g})",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run ``depth_export``.

    Parameters
    ----------
    argv : list of str, optional
        Command line without the program's name; ``sys.argv`` by default.

    Returns
    -------
    int
        0, or 1 if nothing was written.
    """
    arguments = _parser().parse_args(argv)
    try:
        batch = _batch(arguments.batch)
        if arguments.show == (arguments.output is not None):
            raise ExportError("give either OUTPUT, the name of what to write, or --show")
        checkpoint = open_checkpoint(arguments.checkpoint)
        if arguments.show:
            print(summarise(checkpoint))
            return 0
        if arguments.depth_only:
            checkpoint = depth_only(checkpoint)
        if arguments.provenance is not None:
            checkpoint = with_provenance(checkpoint, arguments.provenance)
        if arguments.int8:
            _main_int8(checkpoint, arguments, batch)
            return 0
        _check_without_int8(arguments)
        result = export_checkpoint(
            checkpoint,
            arguments.output,
            arguments.format or "",
            batch,
            arguments.half,
            arguments.tolerance,
        )
    except (ExportError, QuantizationError, CheckpointError) as error:
        print(f"depth_export: {error}", file=sys.stderr)
        return 1
    for note in result.notes:
        print(f"note: {note}")
    print(
        f"{result.path}: {result.format}, {_megabytes(result.path):.1f} MB; run by "
        f"{result.engine} its disparity differs from torch by at most {result.difference:.2g} "
        f"(allowed {result.tolerance:g})"
    )
    return 0


def _batch(text: str) -> int:
    """Read --batch; 0 stands for any size."""
    if text == "dynamic":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise ExportError(f"--batch is '{text}'; give a number of at least 1, or 'dynamic'")
    return int(text)


def _main_int8(checkpoint: Checkpoint, arguments: argparse.Namespace, batch: int) -> None:
    """Do what --int8 asks for, and say what came of it."""
    format = arguments.format or _format_of(arguments.output)
    preset = arguments.preset or PRESETS[0]
    frames = arguments.calibration_frames
    frames = CALIBRATION_FRAMES if frames is None else frames
    check_int8_request(format, batch, arguments.half, arguments.tolerance, frames, preset)
    _check_request(arguments.output.expanduser(), format, batch, False)
    with tempfile.TemporaryDirectory(prefix="depth_export.") as scratch:
        stores = open_frames(arguments.calibrate, checkpoint.metadata, Path(scratch))
        result = export_int8(checkpoint, arguments.output, stores, frames, preset)
    print(
        f"{result.path}: OpenVINO IR in int8, {_megabytes(result.path):.1f} MB, calibrated with "
        f"{result.calibration_frames} frames; {result.judgement}"
    )


def _check_without_int8(arguments: argparse.Namespace) -> None:
    """Refuse options that have a meaning with --int8 alone."""
    for name in ("calibrate", "calibration_frames", "preset"):
        if getattr(arguments, name) not in (None, []):
            raise ExportError(
                f"--{name.replace('_', '-')} has no meaning without --int8; give both or none"
            )


def _megabytes(path: Path) -> float:
    """Sum up the sizes of what was written."""
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    if path.is_dir():
        files = list(path.iterdir())
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    sys.exit(main())
