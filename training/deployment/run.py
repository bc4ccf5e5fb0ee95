# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An export as a whole: open the checkpoint, change what is asked for, write and check."""

from __future__ import annotations

import tempfile
from pathlib import Path

from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint
from training.deployment.exporter import (
    ExportResult,
    check_request,
    export_checkpoint,
    format_of,
)
from training.deployment.int8 import (
    Int8Result,
    check_int8_request,
    export_int8,
    open_calibration_frames,
)
from training.deployment.options import CALIBRATION_FRAMES, PRESETS, ExportOptions
from training.deployment.provenance import depth_only, with_provenance
from training.extraction.console import Console


def export(options: ExportOptions, console: Console | None = None) -> ExportResult | Int8Result:
    """Write a checkpoint in another format, checked against the checkpoint in torch.

    Parameters
    ----------
    options : ExportOptions
        With an `output`.
    console : Console, optional
        Shows progress; nothing is shown by default.

    Raises
    ------
    ExportError, QuantizationError, CheckpointError, BackendError
        With the reason and what to do. Nothing is left at `output`.
    """
    assert options.output is not None
    console = console or Console()
    checkpoint = open_checkpoint(options.checkpoint)
    if options.depth_only:
        checkpoint = depth_only(checkpoint)
    if options.provenance is not None:
        checkpoint = with_provenance(checkpoint, options.provenance)
    if options.int8:
        return _export_int8(checkpoint, options.output, options, console)
    return export_checkpoint(
        checkpoint,
        options.output,
        options.format or "",
        options.batch_size,
        options.half,
        options.tolerance,
    )


def _export_int8(
    checkpoint: Checkpoint, output: Path, options: ExportOptions, console: Console
) -> Int8Result:
    """Refuse what cannot work before frames are read, then quantise."""
    format = options.format or format_of(output)
    preset = options.preset or PRESETS[0]
    frames = options.calibration_frames
    frames = CALIBRATION_FRAMES if frames is None else frames
    batch = options.batch_size
    check_int8_request(format, batch, options.half, options.tolerance, frames, preset)
    check_request(output.expanduser(), format, batch, False)
    with tempfile.TemporaryDirectory(prefix="depth_export.") as scratch:
        stores = open_calibration_frames(
            options.calibrate, checkpoint.metadata, Path(scratch), console
        )
        return export_int8(checkpoint, output, stores, frames, preset, console)
