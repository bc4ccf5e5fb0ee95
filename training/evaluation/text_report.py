# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as tables on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from training.evaluation.depth import DISTANCES, summarize, win_share
from training.evaluation.outlines import OUTLINE_RADIUS
from training.evaluation.predictors import SATURATED_RANGE
from training.evaluation.report import Report
from training.evaluation.steadiness import (
    MOTION_SOURCES,
    RecordingSteadiness,
    summarize_temporal,
)
from training.metrics import HOLE_FACTOR, METRICS, SNIPPET_LENGTH

TEMPORAL_LEGEND = (
    "flicker: median relative difference between the depth of a frame's points, moved into the "
    "next frame, and the depth predicted there, unscaled. Median and 90th percentile of the pairs; "
    "compared: share of pixels. For the truth itself: what the measure shows where nothing "
    "flickers",
    "scale: median(truth) / median(prediction) of the frames. spread: (p84 - p16) / 2 over the "
    "median; deviation: standard deviation over the median; trend: last fifth / first fifth",
    f"holes: pixels predicted more than {HOLE_FACTOR:g} times too far after median scaling",
    f"saturated: pixels predicted within {SATURATED_RANGE:.0%} of the far end of the range of "
    "disparity",
)


def as_text(report: Report) -> str:
    """Write the report for the terminal."""
    parts = [describe_frames(report)]
    if report.evaluations:
        parts.append(_table(depth_rows(report)))
        comparison = describe_comparison(report)
        parts += [comparison] if comparison else []
        parts.append(
            f"abs_rel by distance, and within {OUTLINE_RADIUS} pixels of the outlines of things\n"
            + _table(distance_rows(report))
        )
    odometry = odometry_rows(report)
    if odometry:
        parts.append(
            f"odometry: error of {SNIPPET_LENGTH}-frame snippets in metres, each scaled to fit\n"
            + _table(odometry)
        )
    if report.temporal:
        lines = [textwrap.fill(line, 100, subsequent_indent="  ") for line in TEMPORAL_LEGEND]
        parts.append("\n".join(["steadiness", *lines]))
    parts.extend(
        f"{describe_recording(recording)}\n{_table(temporal_rows(recording))}"
        for recording in report.temporal
    )
    parts.extend(f"note: {note}" for note in report.notes)
    return "\n\n".join(parts)


def describe_frames(report: Report) -> str:
    """Say what was compared with what, and how."""
    protocol = report.protocol
    if not report.evaluations:
        return report.data
    first = report.evaluations[0]
    how = {
        "median": "each frame scaled by the ratio of the medians",
        "metric": "in metres as predicted",
        "live": "in metres by the live factor from recorded poses",
        "none": "as the network predicts, taken for metres",
    }[protocol.scaling]
    extras = ["Garg crop"] if protocol.garg_crop else []
    extras += ["flip post-processing"] if protocol.flip else []
    return (
        f"{report.data}: {len(first.scores):,} frames with truth, {first.without_truth:,} "
        f"without; {protocol.min_depth:g} to {protocol.max_depth:g} m, {how}"
        + "".join(f", {extra}" for extra in extras)
    )


def describe_recording(recording: RecordingSteadiness) -> str:
    """Say which frames the temporal figures are of, and where the motion comes from."""
    counts = {source: recording.motion.count(source) for source in MOTION_SOURCES}
    used = [source for source in MOTION_SOURCES if counts[source]]
    motion = " and ".join(
        source + (f" ({counts[source]:,})" if len(used) > 1 else "") for source in used
    )
    pairs = f"{len(recording.pairs):,} pairs of neighbours"
    return (
        f"{recording.name}: {len(recording.frames):,} frames, {pairs}"
        f"{f'; motion from {motion}' if motion else ''}"
    )


def describe_comparison(report: Report) -> str:
    """Say how often the first of two models is the better one; nothing for a single model."""
    depths = [model.depth for model in report.models if model.depth is not None]
    if len(depths) != 2:
        return ""
    shares = {name: win_share(depths[0], depths[1], name) for name in ("abs_rel", "rmse", "a1")}
    won = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"frames in which {depths[0].name} is better than {depths[1].name}: {won}"


def depth_rows(report: Report) -> list[list[str]]:
    """Lay out the main table, its header first."""
    rows = [["", *METRICS, "scale", "spread"]]
    for evaluation in report.evaluations:
        summary = summarize(evaluation)
        is_model = evaluation not in report.baselines
        scale = [f"{summary.scale:.3g}", f"{summary.scale_spread:.1%}"] if is_model else ["", ""]
        rows.append([evaluation.name, *_figures(summary.mean), *scale])
        rows.append(["  median frame", *_figures(summary.median), "", ""])
    return rows


def _figures(values: dict[str, float]) -> list[str]:
    """Write the figures of a row."""
    return [f"{values[name]:.3f}" for name in METRICS]


def distance_rows(report: Report) -> list[list[str]]:
    """Lay out the table of errors by distance, without the distances where nothing is.

    The last column is the error at the outlines of things, where there are any.
    """
    evaluations = report.evaluations
    pixels = evaluations[0].by_distance[:, 1]
    shown = np.flatnonzero(pixels).tolist()
    header = ["metres"] + [
        f"{DISTANCES[i]:g}–{DISTANCES[i + 1]:g}" if i + 2 < len(DISTANCES) else f"{DISTANCES[i]:g}–"
        for i in shown
    ]
    rows = [header, ["share of pixels"] + [f"{pixels[i] / pixels.sum():.1%}" for i in shown]]
    for evaluation in evaluations:
        errors = evaluation.by_distance[shown]
        rows.append([evaluation.name] + [f"{total / count:.3f}" for total, count in errors])
    at_outlines = evaluations[0].at_outlines[1]
    if at_outlines:
        header.append("at outlines")
        rows[1].append(f"{at_outlines / pixels.sum():.1%}")
        for row, evaluation in zip(rows[2:], evaluations, strict=True):
            total, count = evaluation.at_outlines
            row.append(f"{total / count:.3f}")
    return rows


def odometry_rows(report: Report) -> list[list[str]]:
    """Lay out the table of odometry; empty if there is none."""
    measured = [(model.name, model.odometry) for model in report.models if model.odometry]
    if not measured:
        return []
    baselines = measured[0][1]
    errors = [(name, odometry.errors) for name, odometry in measured]
    errors += [
        ("standing still", baselines.standing),
        ("best straight line", baselines.straight),
    ]
    rows = [["", "mean", "deviation", "median", "snippets"]]
    for name, values in errors:
        figures = values.mean(), values.std(), np.median(values)
        rows.append([name, *(f"{figure:.4f}" for figure in figures), f"{len(values):,}"])
    return rows


def temporal_rows(recording: RecordingSteadiness) -> list[list[str]]:
    """Lay out the table of one recording, its header first."""

    def figure(value: float | None, form: str = ".2%") -> str:
        return "" if value is None else format(value, form)

    header = ["", "flicker", "90 %", "compared", "scale", "spread", "deviation", "trend"]
    rows = [[*header, "holes", "saturated"]]
    for figures in (*recording.candidates, recording.truth):
        summary = summarize_temporal(recording, figures)
        drift = summary.drift
        scale = [""] * 4
        if drift is not None:
            scale = [f"{drift.median:.3g}", f"{drift.spread:.1%}", f"{drift.deviation:.1%}"]
            scale.append(figure(drift.trend, ".3f"))
        row = [
            figure(summary.flicker),
            figure(summary.flicker_p90),
            figure(summary.compared, ".0%"),
        ]
        row += [*scale, figure(summary.holes), figure(summary.saturated)]
        if any(row):
            rows.append([figures.name, *row])
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
