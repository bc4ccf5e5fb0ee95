# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One factor to metres for a model and a camera, written into a copy of its checkpoint."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint, save_checkpoint
from monodepth2_ros.preprocessing import remaining_crop
from monodepth2_ros.scale import ScaleOptions
from monodepth2_ros.scale.mounting import mounting_pose
from monodepth2_ros.scale.tracking import TRACKING_WIDTH
from training.deployment.calibrate_options import CalibrateOptions
from training.evaluation.factors import (
    FactorSeries,
    FactorSummary,
    live_factors,
    summarize_factors,
    truth_factors,
)
from training.evaluation.live_scale import LiveScale
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Protocol
from training.evaluation.range_readings import read_ranges
from training.extraction.console import Console, WithoutLines
from training.extraction.open_frames import is_recording, open_frames
from training.frames.store import FrameStore
from training.frames.truth_check import truth_problem

#: Farthest ground truth that counts, metres.
_CAP = 80.0

#: Fewer frames than this with a factor are not a sample of a recording.
FEWEST_FRAMES = 10


class CalibrationError(ValueError):
    """There is no factor, or one factor cannot be right; the message says what to do."""


@dataclass(frozen=True, eq=False)
class ScaleCalibration:
    """What was found.

    Attributes
    ----------
    source : str
        What the factor rests on, as ``--from`` of ``depth_calibrate``.
    model : str
    summary : FactorSummary
    series : list of FactorSeries
        One for each store.
    max_spread : float
    camera_height : float or None
        Metres above the ground, where the factor comes from it.
    """

    source: str
    model: str
    summary: FactorSummary
    series: list[FactorSeries]
    max_spread: float
    camera_height: float | None = None

    @property
    def problem(self) -> str:
        """Why one factor cannot be right, "" if it can."""
        found = self.summary
        if found.measured < FEWEST_FRAMES:
            return (
                f"{found.measured} of {found.frames} frames give a factor; at least "
                f"{FEWEST_FRAMES} are needed"
            )
        # The measurements' own noise is not an error of the factor.
        excess = math.sqrt(max(0.0, found.spread**2 - found.noise**2))
        if excess <= self.max_spread:
            return ""
        noise = f", {excess:.0%} of it not by measurement noise" if found.noise else ""
        return (
            f"one factor cannot be right: it spreads by {found.spread:.0%} over the frames{noise} "
            f"({found.low:.3g} to {found.high:.3g} in 80 % of them), more than --max-spread "
            f"{self.max_spread:g}; let the node measure it while it runs (scaling.source, "
            "docs/how-to/metres.md), or give --force to write it all the same"
        )

    def record(self) -> dict[str, Any]:
        """Return what the metadata of the checkpoint say of it."""
        summary = {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self.summary).items()
        }
        height = {} if self.camera_height is None else {"camera_height": self.camera_height}
        return {
            "from": self.source,
            **height,
            **summary,
            "recordings": [one.name for one in self.series],
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        }

    def as_json(self) -> str:
        """Write it with the factor of each frame."""
        frames = [
            {
                "recording": one.name,
                "frames": one.frames,
                "seconds": np.round(one.seconds, 4).tolist(),
                "factors": np.round(one.factors, 6).tolist(),
                "deviations": np.round(one.deviations, 4).tolist(),
                "without_factor": one.reasons,
            }
            for one in self.series
        ]
        content = {
            "model": self.model,
            **self.record(),
            "max_spread": self.max_spread,
            "problem": self.problem,
            "series": frames,
        }
        return json.dumps(content, indent=1) + "\n"

    def as_text(self) -> str:
        """Say it in a few lines."""
        found = self.summary
        lines = [
            f"factor {found.factor:.4g} from {self.source}, spread {found.spread:.1%}, "
            f"{found.low:.4g} to {found.high:.4g} in 80 % of the frames",
            f"measured in {found.measured} of {found.frames} frames"
            + (f", each to {found.noise:.0%}" if found.noise else ""),
        ]
        for one in self.series:
            lines += [
                f"  {one.name}: {count} frames without: {reason}"
                for reason, count in sorted(one.reasons.items(), key=lambda item: -item[1])[:3]
            ]
        return "\n".join(lines)


def measure_scale(
    options: CalibrateOptions, scratch: Path, console: Console | None = None
) -> ScaleCalibration:
    """Find the factor of a model over recordings.

    Parameters
    ----------
    options : CalibrateOptions
    scratch : Path
        Folder for frames of recordings; may be removed afterwards.
    console : Console, optional
        Shows progress; nothing is shown by default.

    Raises
    ------
    ValueError
        If no frame gives a factor, or something cannot be read; with the reason and the fix.
    """
    console = console or Console()
    checkpoint = _open(options)
    stores = _open_stores(options, checkpoint, scratch, console)
    series = []
    for path, store in zip(options.data, stores, strict=True):
        series.append(_measure(options, checkpoint, path, store, console))
    try:
        summary = summarize_factors(series)
    except ValueError as error:
        raise CalibrationError(f"--from {options.source}: {error}") from error
    height = options.ground_height if options.source == "camera-height" else None
    return ScaleCalibration(
        options.source, checkpoint.source, summary, series, options.max_spread, height
    )


def write_calibrated(options: CalibrateOptions, found: ScaleCalibration) -> None:
    """Write a copy of the checkpoint that is metric from now on.

    Parameters
    ----------
    options : CalibrateOptions
        With `out`.
    found : ScaleCalibration

    Raises
    ------
    CalibrationError
        If one factor cannot be right, unless `force` is set.
    """
    assert options.out is not None
    if found.problem and not options.force:
        raise CalibrationError(f"{found.problem}; nothing was written")
    checkpoint = _open(options)
    metadata = dataclasses.replace(
        checkpoint.metadata,
        scale=checkpoint.metadata.scale * found.summary.factor,
        scale_spread=round(found.summary.spread, 6),
        is_metric=True,
        calibration=found.record(),
    )
    save_checkpoint(options.out, metadata, checkpoint.state)


def _open(options: CalibrateOptions) -> Checkpoint:
    """Open the model; a new factor can be written for weights only."""
    checkpoint = open_checkpoint(options.checkpoint)
    if checkpoint.graph is not None:
        raise CalibrationError(
            f"{options.checkpoint} is OpenVINO IR, which cannot be changed; give the .safetensors "
            "file that it was made from, and export again"
        )
    return checkpoint


def _open_stores(
    options: CalibrateOptions, checkpoint: Checkpoint, scratch: Path, console: Console
) -> list[FrameStore]:
    """Open the stores; extract recordings as the model sees them, large enough for corners."""
    metadata = checkpoint.metadata
    times = 1
    if options.source == "odometry":
        times = max(1, round(TRACKING_WIDTH / metadata.width))
    size = (times * metadata.width, times * metadata.height)
    bars = WithoutLines(console)
    stores = []
    for index, path in enumerate(options.data):
        try:
            path = path.expanduser().absolute()
            if options.source == "range" and not is_recording(path):
                raise ValueError(
                    "a frame store holds no range measurements; give the recording itself"
                )
            out = scratch / f"{index}" / path.stem
            store = open_frames(path, out, size, metadata.crop, console=bars)
            _check(options, store)
        except (ValueError, FileNotFoundError) as error:
            raise CalibrationError(f"--data {path.name}: {error}") from error
        stores.append(store)
    return stores


def _check(options: CalibrateOptions, store: FrameStore) -> None:
    """Refuse a store that lacks what the factor is to rest on."""
    if options.source == "ground-truth":
        if store.truth is None:
            raise ValueError(
                "there is no ground truth depth; take another --from, or extract with "
                "--truth-topic TOPIC"
            )
        problem = truth_problem(store)
        if problem:
            raise ValueError(problem)
    if options.source == "odometry" and not np.isfinite(store.poses).all(axis=(1, 2)).any():
        raise ValueError(
            "there are no recorded poses; take another --from, or extract with --poses-topic TOPIC"
        )


def _measure(
    options: CalibrateOptions,
    checkpoint: Checkpoint,
    path: Path,
    store: FrameStore,
    console: Console,
) -> FactorSeries:
    """Measure the factors of one store."""
    crop = checkpoint.metadata.crop
    # Any scaling but "none" gives depth in the checkpoint's own unit.
    predict = depth_predictor(checkpoint, options.device, Protocol(scaling="live"))
    with console.progress(len(store), path.name) as progress:
        if options.source == "ground-truth":
            window = remaining_crop(store.crop, crop)
            return truth_factors(predict, store, window, _CAP, progress)
        if options.source == "odometry":
            return live_factors(LiveScale(predict, crop), store, progress)
        if options.source == "camera-height":
            assert options.ground_height is not None
            scale = ScaleOptions(("camera_height",), camera_height=options.ground_height)
            down = None
            if options.ground_pitch is not None:
                pitch = math.radians(options.ground_pitch)
                down = np.array([0.0, math.cos(pitch), math.sin(pitch)])
            return live_factors(LiveScale(predict, crop, scale, down=down), store, progress)
        mounting = options.range_mounting
        readings = read_ranges(
            path.expanduser(),
            store.sources[0].topic,
            options.range_topic,
            None if mounting is None else mounting_pose(mounting),
        )
        live = LiveScale(predict, crop, ScaleOptions(("range",)), readings.nearest)
        return live_factors(live, store, progress)
