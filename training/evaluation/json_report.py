# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as JSON: all figures of all frames."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros import __version__
from training.evaluation.depth import DISTANCES, Evaluation, summarize, win_share
from training.evaluation.odometry import Odometry
from training.evaluation.outlines import OUTLINE_RADIUS
from training.evaluation.report import Report
from training.evaluation.steadiness import (
    RecordingSteadiness,
    TemporalFigures,
    summarize_temporal,
)
from training.metrics import METRICS


def as_json(report: Report) -> str:
    """Write the report as JSON: all figures, for all frames."""
    return json.dumps(
        {
            "format": "monodepth2_ros evaluation",
            "version": 1,
            "package_version": __version__,
            "data": report.data,
            "stores": [
                {
                    "name": selection.store.path.name,
                    "sources": [asdict(source) for source in selection.store.sources],
                    "frames": len(selection.frames),
                }
                for selection in report.selections
            ],
            "protocol": asdict(report.protocol),
            "models": [
                {
                    "name": model.name,
                    "checkpoint": model.checkpoint,
                    "metadata": model.metadata,
                    "depth": None if model.depth is None else _depth_json(report, model.depth),
                    "odometry": None if model.odometry is None else _odometry_json(model.odometry),
                }
                for model in report.models
            ],
            "baselines": [
                {"name": baseline.name, "depth": _depth_json(report, baseline)}
                for baseline in report.baselines
            ],
            "temporal": [_recording_json(recording) for recording in report.temporal],
            "comparison": _comparison_json(report),
            "notes": list(report.notes),
        },
        indent=1,
        ensure_ascii=False,
    )


def _depth_json(report: Report, evaluation: Evaluation) -> dict[str, Any]:
    """Give an evaluation as plain data."""
    stores = [selection.store for selection in report.selections]
    return {
        **asdict(summarize(evaluation)),
        "by_distance": [
            {
                "from": DISTANCES[i],
                "to": DISTANCES[i + 1] if np.isfinite(DISTANCES[i + 1]) else None,
                "pixels": int(count),
                "abs_rel": float(total / count) if count else None,
            }
            for i, (total, count) in enumerate(evaluation.by_distance.tolist())
        ],
        "at_outlines": _outlines_json(evaluation),
        "per_frame": [
            {
                "store": score.selection,
                "frame": score.frame,
                "stamp": int(stores[score.selection].stamps[score.frame]),
                **score.result.metrics,
                "scale": score.result.scale_ratio,
                "pixels": score.result.pixels,
            }
            for score in evaluation.scores
        ],
    }


def _outlines_json(evaluation: Evaluation) -> dict[str, Any]:
    """Give the error at outlines as plain data."""
    total, count = evaluation.at_outlines
    return {
        "radius": OUTLINE_RADIUS,
        "pixels": int(count),
        "abs_rel": total / count if count else None,
    }


def _recording_json(recording: RecordingSteadiness) -> dict[str, Any]:
    """Give the temporal figures of a recording as plain data."""

    def plain(values: NDArray[np.float64]) -> list[float | None]:
        return [value if np.isfinite(value) else None for value in values.tolist()]

    def figures_json(figures: TemporalFigures) -> dict[str, Any]:
        return {
            "name": figures.name,
            **asdict(summarize_temporal(recording, figures)),
            "per_pair": {
                "flicker": plain(figures.flicker),
                "compared": plain(figures.compared),
            },
            "per_frame": {
                "scale": plain(figures.scale),
                "holes": plain(figures.holes),
                "saturated": plain(figures.saturated),
            },
        }

    return {
        "store": recording.selection,
        "recording": recording.name,
        "frames": recording.frames.tolist(),
        "stamps": recording.stamps.tolist(),
        "pairs": recording.pairs.tolist(),
        "motion": recording.motion,
        "results": [figures_json(figures) for figures in recording.candidates],
        "truth": figures_json(recording.truth),
    }


def _odometry_json(odometry: Odometry) -> dict[str, Any]:
    """Give odometry errors as plain data."""
    return {
        "snippets": len(odometry.errors),
        "mean": float(odometry.errors.mean()),
        "deviation": float(odometry.errors.std()),
        "median": float(np.median(odometry.errors)),
        "standing_still": float(odometry.standing.mean()),
        "best_straight_line": float(odometry.straight.mean()),
        "per_snippet": odometry.errors.tolist(),
    }


def _comparison_json(report: Report) -> dict[str, Any] | None:
    """Give the shares of frames in which the first of two models is better."""
    depths = [model.depth for model in report.models if model.depth is not None]
    if len(depths) != 2:
        return None
    shares = {metric: win_share(depths[0], depths[1], metric) for metric in METRICS}
    return {"better": depths[0].name, "than": depths[1].name, "share_of_frames": shares}
