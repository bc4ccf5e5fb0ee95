# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_export``: a checkpoint for other engines, compared with torch before it has its name.

Formats: ``onnx``; ``openvino`` (IR: .xml and .bin); ``published`` (a folder with encoder.pth and
depth.pth); ``safetensors`` (this package's own file, to convert a published folder, to halve the
size, to leave out what depth does not need, or to record where it comes from). OpenVINO IR in int8,
which cannot agree with torch to many digits, is accepted or refused by its errors on held-out
frames; see :mod:`training.deployment`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    open_checkpoint,
)
from training.deployment.calibration_frames import (
    CALIBRATION_FRAMES,
    QuantizationError,
)
from training.deployment.check import ExportError
from training.deployment.exporter import (
    FORMATS,
    HALF_TOLERANCE,
    TOLERANCE,
    check_request,
    export_checkpoint,
    format_of,
)
from training.deployment.int8 import (
    LARGEST_DIFFERENCE,
    LARGEST_WORSENING,
    PRESETS,
    check_int8_request,
    export_int8,
    open_frames,
)
from training.deployment.provenance import depth_only, summarise, with_provenance


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
    format = arguments.format or format_of(arguments.output)
    preset = arguments.preset or PRESETS[0]
    frames = arguments.calibration_frames
    frames = CALIBRATION_FRAMES if frames is None else frames
    check_int8_request(format, batch, arguments.half, arguments.tolerance, frames, preset)
    check_request(arguments.output.expanduser(), format, batch, False)
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
