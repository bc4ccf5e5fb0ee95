# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint in another format, compare it with torch, and only then give it its name.

All is written into a hidden folder next to the output, read back, run on test images and compared
with the checkpoint in torch. Only if they agree it is moved to its place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from monodepth2_ros.atomic_files import check_target, disk_failure, scratch_folder
from monodepth2_ros.checkpoint import (
    Checkpoint,
    save_checkpoint,
)
from monodepth2_ros.command_guard import describe_error
from monodepth2_ros.extras import EXTRAS, is_installed
from monodepth2_ros.target_lock import TargetInUse, exclusive
from training.deployment.check import (
    ExportError,
    largest_difference,
    open_written_checkpoint,
)
from training.deployment.depth_model import DepthModel, metadata_json
from training.deployment.onnx_format import open_onnx, write_onnx
from training.deployment.openvino_format import open_openvino, write_openvino
from training.deployment.options import FORMATS, HALF_TOLERANCE, TOLERANCE
from training.deployment.published_format import write_published

_HALF_FORMATS = ("openvino", "safetensors")


_GRAPH_FORMATS = ("onnx", "openvino")


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
    format = format or format_of(output)
    check_request(output, format, batch, half)
    if tolerance is None:
        tolerance = HALF_TOLERANCE if half else TOLERANCE
    model = DepthModel(checkpoint.depth_network(), checkpoint.metadata).eval()
    notes: tuple[str, ...] = ()
    size = (2 if half else 4) * sum(weights.numel() for weights in model.parameters())
    with export_folder(output, size) as folder:
        part = folder / output.name
        if format == "onnx":
            write_onnx(part, model, batch)
            written = open_onnx(part)
        elif format == "openvino":
            write_openvino(part, model, batch, half)
            written = open_openvino(part)
        elif format == "published":
            notes = write_published(part, checkpoint)
            written = open_written_checkpoint(part)
        else:
            dtype = torch.float16 if half else None
            save_checkpoint(part, checkpoint.metadata, checkpoint.state, dtype)
            written = open_written_checkpoint(part)
        difference = largest_difference(model, written, batch)
        problem = ""
        if not difference <= tolerance:  # NaN fails too
            problem = f"its disparity differs from torch by up to {difference:.3g}"
        elif format != "published" and written.description != json.loads(
            metadata_json(checkpoint.metadata)
        ):
            problem = "its metadata is not the checkpoint's"
        if problem:
            raise ExportError(
                f"{output} was not written: run by {written.engine}, {problem} (allowed "
                f"{tolerance:g}); please report it with the versions of torch and the engine"
            )
        move_export_into_place(part, output, format)
    return ExportResult(output, format, difference, tolerance, written.engine, notes)


@contextlib.contextmanager
def export_folder(output: Path, size: int) -> Iterator[Path]:
    """Lend a hidden folder to write an export in, while no other process may write the same.

    Parameters
    ----------
    output : Path
        What is to be written; the folder lies next to it.
    size : int
        About how many bytes, to recognise a full disk.

    Yields
    ------
    Path
        It is removed in the end, with what is left in it.

    Raises
    ------
    ExportError
        If another process writes `output`, or the disk fails.
    """
    stack = contextlib.ExitStack()
    try:
        stack.enter_context(exclusive(output))
        folder = stack.enter_context(scratch_folder(output))
    except TargetInUse as error:
        raise ExportError(str(error)) from error
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {describe_error(error)}") from error
    with stack:
        try:
            yield folder
        except ExportError:
            raise
        except Exception as error:
            failure = failure_of_disk(error, output, folder, size)
            if failure is None:
                raise
            raise failure from error


def failure_of_disk(error: Exception, output: Path, folder: Path, size: int) -> ExportError | None:
    """Say that the disk is what made writing fail, if it is.

    OpenVINO and torch.save raise exceptions of their own when the disk is full.

    Parameters
    ----------
    error : Exception
        What was raised while `size` bytes were written into `folder`, a hidden one.
    output : Path
        What was to be written.
    folder : Path
    size : int

    Returns
    -------
    ExportError or None
    """
    failure = error if isinstance(error, OSError) else disk_failure(folder, size)
    if failure is None:
        return None
    failure.filename = failure.filename2 = None  # the hidden part's name helps nobody
    return ExportError(f"{output} cannot be written: {describe_error(failure)}")


def format_of(output: Path) -> str:
    """Tell the format from the ending."""
    known = {".onnx": "onnx", ".xml": "openvino", ".safetensors": "safetensors", "": "published"}
    if output.suffix not in known:
        raise ExportError(
            f"the ending '{output.suffix}' of {output} names no format; use .onnx, .xml "
            "(OpenVINO), .safetensors or none (published folder), or give --format"
        )
    return known[output.suffix]


def check_request(output: Path, format: str, batch: int, half: bool) -> None:
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
    missing = [name for name in needed if not is_installed(name)]
    if missing:
        extra = EXTRAS[missing[0]]
        raise ExportError(
            f"{missing[0]} is not installed; 'pip install {missing[0]}', or all of its extra with "
            f"pip install 'monodepth2_ros[{extra}]'"
        )
    if format == "onnx" and not (is_installed("onnxruntime") or is_installed("openvino")):
        raise ExportError(
            "an ONNX file is checked by running it, and neither onnxruntime nor openvino is "
            "installed; 'pip install onnxruntime'"
        )
    paths = [output, output.with_suffix(".bin")] if format == "openvino" else [output]
    for path in paths:
        if os.path.lexists(path):
            rest = ""
            if path != output and not os.path.lexists(output):
                rest = f" without {output.name}, as after an export that was killed"
            raise ExportError(f"{path} exists{rest}; remove it or choose another name")
    try:
        check_target(output)
    except OSError as error:
        raise ExportError(describe_error(error)) from error
    if not output.parent.is_dir():
        raise ExportError(f"the folder {output.parent} does not exist; make it first")


def move_export_into_place(part: Path, output: Path, format: str) -> None:
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
    except BaseException:  # ctrl-C, too
        weights.unlink()
        raise
