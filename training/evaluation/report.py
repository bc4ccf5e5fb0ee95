# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation tells: a table on the terminal, JSON, and a page with pictures."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from monodepth2_ros import __version__
from monodepth2_ros.coloring import colorize, disparity_range
from training.evaluation.depth import (
    DISTANCES,
    SATURATED_RANGE,
    Evaluation,
    Odometry,
    Predict,
    Protocol,
    Selection,
    aligned_depth,
    summarize,
    truth_of,
    win_share,
)
from training.evaluation.steadiness import (
    MOTION_SOURCES,
    Recording,
    TemporalFigures,
    camera_motion,
    metres_per_unit,
    summarize_temporal,
    view_pair,
    warp_depth,
)
from training.metrics import HOLE_FACTOR, METRICS, SNIPPET_LENGTH

#: Ends of the error colours: this factor too near or too far.
ERROR_FACTOR = 1.5

_TEMPORAL_LEGEND = (
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

# Neighbours that differ by this factor have full colour in the pictures of flicker.
_FLICKER_FACTOR = 1.2

_PICTURE_WIDTH = 420
_SPARSE = 0.25  # truth known in a smaller share of the pixels is drawn with larger dots
_CHART_POINTS = 400
_COLORS = ("#c2410c", "#1d4ed8", "#6b7280", "#a16207", "#15803d")

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """A checkpoint and what came out.

    Attributes
    ----------
    name : str
        Short and unique.
    checkpoint : str
        Where it was loaded from.
    metadata : dict
        The checkpoint's, plain.
    predict : Predict
    depth : Evaluation or None
    odometry : Odometry or None
    """

    name: str
    checkpoint: str
    metadata: dict[str, Any]
    predict: Predict
    depth: Evaluation | None = None
    odometry: Odometry | None = None


@dataclass(frozen=True)
class Report:
    """All that is told.

    Attributes
    ----------
    data : str
        What was evaluated.
    selections : sequence of Selection
    protocol : Protocol
    models : sequence of Model
        One, or two to compare.
    baselines : sequence of Evaluation
        Always scaled by the median.
    temporal : sequence of Recording
        How steady the models and the baselines are.
    notes : sequence of str
    """

    data: str
    selections: Sequence[Selection]
    protocol: Protocol
    models: Sequence[Model]
    baselines: Sequence[Evaluation] = field(default_factory=tuple)
    temporal: Sequence[Recording] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def evaluations(self) -> list[Evaluation]:
        """The models' depth, then the baselines."""
        return [m.depth for m in self.models if m.depth is not None] + list(self.baselines)


def as_text(report: Report) -> str:
    """Write the report for the terminal."""
    parts = [describe_frames(report)]
    if report.evaluations:
        parts.append(_table(_depth_rows(report)))
        comparison = describe_comparison(report)
        parts += [comparison] if comparison else []
        parts.append("abs_rel by distance\n" + _table(_distance_rows(report)))
    odometry = _odometry_rows(report)
    if odometry:
        parts.append(
            f"odometry: error of {SNIPPET_LENGTH}-frame snippets in metres, each scaled to fit\n"
            + _table(odometry)
        )
    if report.temporal:
        lines = [textwrap.fill(line, 100, subsequent_indent="  ") for line in _TEMPORAL_LEGEND]
        parts.append("\n".join(["steadiness", *lines]))
    parts.extend(
        f"{describe_recording(recording)}\n{_table(_temporal_rows(recording))}"
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
        "none": "as the network predicts, taken for metres",
    }[protocol.scaling]
    extras = ["Garg crop"] if protocol.garg_crop else []
    extras += ["flip post-processing"] if protocol.flip else []
    return (
        f"{report.data}: {len(first.scores):,} frames with truth, {first.without_truth:,} "
        f"without; {protocol.min_depth:g} to {protocol.max_depth:g} m, {how}"
        + "".join(f", {extra}" for extra in extras)
    )


def describe_recording(recording: Recording) -> str:
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


def as_html(report: Report) -> str:
    """Write the report as a page that needs nothing beside it."""
    names = " and ".join(model.name for model in report.models)
    sections = [f"<h1>{_escape(names)}</h1><p>{_escape(describe_frames(report))}</p>"]
    if report.notes:
        items = "".join(f"<li>{_escape(note)}</li>" for note in report.notes)
        sections.append(f"<ul class='notes'>{items}</ul>")
    if report.evaluations:
        sections.append(_html_table(_depth_rows(report)))
        comparison = describe_comparison(report)
        sections.append(f"<p>{_escape(comparison)}</p>" if comparison else "")
        sections.append("<h2>Frame by frame</h2>" + _charts(report))
        sections.append("<h2>abs_rel by distance</h2>" + _html_table(_distance_rows(report)))
    odometry = _odometry_rows(report)
    if odometry:
        sections.append(
            f"<h2>Odometry</h2><p>Error of {SNIPPET_LENGTH}-frame snippets in metres, each scaled "
            f"to fit</p>{_html_table(odometry)}"
        )
    if report.temporal:
        items = "".join(f"<li>{_escape(line)}</li>" for line in _TEMPORAL_LEGEND)
        sections.append(f"<h2>Steadiness</h2><ul class='notes'>{items}</ul>")
    sections.extend(_temporal_section(report, recording) for recording in report.temporal)
    if report.evaluations:
        sections.append(_gallery(report))
    checkpoints = "".join(
        f"<h3>{_escape(model.checkpoint)}</h3><pre>"
        f"{_escape(json.dumps(model.metadata, indent=1, ensure_ascii=False))}</pre>"
        for model in report.models
    )
    sections.append(f"<details><summary>Checkpoint metadata</summary>{checkpoints}</details>")
    body = "\n".join(f"<section>{section}</section>" for section in sections if section)
    return _PAGE.format(
        title=_escape(f"Depth of {names}"), style=_STYLE, body=body, version=__version__
    )


def choose_frames(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """Choose the frames to look at.

    Of one model from its best abs_rel to its worst, of two from the first one's greatest lead to
    the second one's.

    Returns
    -------
    dict of str to int
        Positions in `scores`, by what is special about the frame.
    """
    figure = evaluations[0].values("abs_rel")
    labels = ("best", "better quarter", "median", "worse quarter", "worst")
    if len(evaluations) > 1:
        figure = figure - evaluations[1].values("abs_rel")
        first, second = evaluations[0].name, evaluations[1].name
        labels = (
            f"{first} ahead by most",
            "first quarter",
            "median",
            "last quarter",
            f"{second} ahead by most",
        )
    order = np.argsort(figure, kind="stable")
    ranks = np.linspace(0, len(order) - 1, len(labels)).round().astype(int)
    return {label: int(order[rank]) for label, rank in zip(labels, ranks, strict=True)}


def error_picture(
    truth: NDArray[np.floating[Any]],
    depth: NDArray[np.floating[Any]],
    factor: float = ERROR_FACTOR,
) -> Image:
    """Paint where a prediction is too near (red) and too far (blue).

    Parameters
    ----------
    truth : ndarray, shape (H, W)
        Metres; NaN where unknown, which is painted grey.
    depth : ndarray, shape (H, W)
        The prediction, scaled.
    factor : float
        Full colour from this factor on, either way.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, RGB
        White where they agree.
    """
    with np.errstate(invalid="ignore"):
        error = np.log(depth / truth) / np.log(factor)
    stops = (-1.0, 0.0, 1.0)
    shades = ((178, 250, 33), (24, 250, 102), (43, 250, 172))  # of red, green and blue
    picture = np.stack([np.interp(error, stops, shade) for shade in shades], axis=-1)
    return np.where(np.isfinite(error)[..., None], picture, 150.0).round().astype(np.uint8)


def spread_points(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Fill unknown pixels with the nearest known one, up to a distance; to look at only.

    Parameters
    ----------
    values : ndarray, shape (H, W)
        NaN where unknown.
    radius : int
        Pixels.

    Returns
    -------
    ndarray, shape (H, W)
    """
    spread = values.copy()
    padded = np.pad(values, radius, constant_values=np.nan)
    height, width = values.shape
    offsets = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1).T
    for dy, dx in sorted(offsets.tolist(), key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        moved = padded[radius + dy :, radius + dx :][:height, :width]
        spread = np.where(np.isnan(spread), moved, spread)
    return spread


def _depth_rows(report: Report) -> list[list[str]]:
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


def _distance_rows(report: Report) -> list[list[str]]:
    """Lay out the table of errors by distance, without the distances where nothing is."""
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
    return rows


def _odometry_rows(report: Report) -> list[list[str]]:
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


def _temporal_rows(recording: Recording) -> list[list[str]]:
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


def _recording_json(recording: Recording) -> dict[str, Any]:
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


def _escape(text: str) -> str:
    """Make text safe in HTML."""
    return html.escape(text, quote=True)


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows as a table; a row whose name is indented belongs to the one above."""
    head = "".join(f"<th>{_escape(cell)}</th>" for cell in rows[0])
    body = []
    for row in rows[1:]:
        kind = " class='minor'" if row[0].startswith(" ") else ""
        cells = "".join(f"<td>{_escape(cell.strip())}</td>" for cell in row)
        body.append(f"<tr{kind}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _charts(report: Report) -> str:
    """Draw abs_rel and scale over the frames."""
    errors = [(evaluation.name, evaluation.values("abs_rel")) for evaluation in report.evaluations]
    charts = _chart("abs_rel", errors, from_zero=True)
    scales = []
    for model in report.models:
        if model.depth is not None:
            ratios = np.array([result.scale_ratio for result in model.depth.results])
            scales.append((model.name, ratios / np.median(ratios)))
    return charts + _chart("scale of the frame / median scale", scales, from_zero=False)


def _temporal_section(report: Report, recording: Recording) -> str:
    """Show one recording's temporal figures: table, chart, pictures of two pairs."""
    parts = [
        f"<h3>{_escape(describe_recording(recording))}</h3>",
        _html_table(_temporal_rows(recording)),
    ]
    series = [(f.name, 100.0 * f.flicker) for f in (*recording.candidates, recording.truth)]
    series = [(name, values) for name, values in series if np.isfinite(values).any()]
    if series:
        measured = np.all([np.isfinite(values) for _, values in series], axis=0)
        shown = [(name, values[measured]) for name, values in series]
        if measured.any():
            parts.append(_chart("flicker of the pairs, %", shown, from_zero=True, unit="pair"))
    flicker = recording.candidates[0].flicker
    order = np.argsort(flicker, kind="stable")[: int(np.isfinite(flicker).sum())]
    if len(order):
        parts.append(
            "<p>Depth: bright is near. Change: red is nearer, blue is farther in the second frame "
            f"than the points of the first one, full colour at a factor of {_FLICKER_FACTOR:g}; "
            "grey is not compared.</p>"
        )
        chosen = {"median pair": order[len(order) // 2], "worst pair": order[-1]}
        parts.extend(_pair_row(report, recording, label, int(p)) for label, p in chosen.items())
    return "".join(parts)


def _pair_row(report: Report, recording: Recording, label: str, pair: int) -> str:
    """Show a pair of neighbours."""
    first, second = recording.pairs[pair].tolist()
    figures = recording.candidates[: len(report.models)]
    said = ", ".join(f"{f.name} {f.flicker[pair]:.2%}" for f in figures)
    text = f"frames {first} and {second}. Flicker: {said}"
    return _picture_row(label, text, pair_pictures(report, recording, first, second))


def pair_pictures(
    report: Report, recording: Recording, first: int, second: int
) -> dict[str, Image]:
    """Paint two neighbouring frames: the image, each model's depth of both, and the change.

    Parameters
    ----------
    report : Report
    recording : Recording
    first, second : int
        Frames of its store.

    Returns
    -------
    dict of str to ndarray, shape (H, W, 3), uint8, RGB
    """
    selection = report.selections[recording.selection]
    store = selection.store
    truth = None if store.truth is None else truth_of(selection, first, report.protocol)
    view = view_pair(selection, first, second, truth)
    height, width = view.visible.shape
    image = cv2.resize(store.images[first], (width, height), interpolation=cv2.INTER_LINEAR)
    pictures = {"image": np.asarray(image, np.uint8)}
    for model in report.models:
        of = f" of {model.name}" if len(report.models) > 1 else ""
        depths = model.predict(store, np.array([first, second]))
        x, y, box_width, box_height = view.window
        nearness = torch.from_numpy(1.0 / depths)
        low, high = disparity_range(nearness[0, y : y + box_height, x : x + box_width])
        for name, values in (("depth", nearness[0]), ("next depth", nearness[1])):
            pictures[f"{name}{of}"] = colorize(values, low, high).numpy()
        motion = camera_motion(view, depths[0], metres_per_unit(truth, depths[0]))
        moved, found = warp_depth(depths[0], depths[1], view, motion)
        pictures[f"change{of}"] = error_picture(moved, found, _FLICKER_FACTOR)
    return pictures


def _picture_row(label: str, text: str, pictures: Mapping[str, Image]) -> str:
    """Set pictures side by side below a line of text."""
    cells = "".join(
        f"<div><img alt='{_escape(name)}' src='{_data_url(picture)}'>"
        f"<span>{_escape(name)}</span></div>"
        for name, picture in pictures.items()
    )
    return (
        f"<p class='frame'><b>{_escape(label)}</b> {_escape(text)}</p>"
        f"<div class='row' style='--columns:{len(pictures)}'>{cells}</div>"
    )


def _chart(
    title: str,
    series: Sequence[tuple[str, NDArray[np.float64]]],
    from_zero: bool,
    unit: str = "frame",
) -> str:
    """Draw curves over the frames as SVG."""
    curves = [(name, _thinned(values)) for name, values in series]
    stacked = np.concatenate([values for _, values in curves])
    low, high = (0.0 if from_zero else float(stacked.min())), float(stacked.max())
    step = _tick_step(max(high - low, 1e-6))
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
    high = max(high, low + step)
    width, height, left, bottom = 860.0, 190.0, 46.0, 22.0
    parts = []
    for value in np.arange(low, high + 0.5 * step, step):
        y = (height - bottom) * (1 - (value - low) / (high - low)) + 4
        parts.append(
            f"<line class='grid' x1='{left}' x2='{width}' y1='{y:.1f}' y2='{y:.1f}'/>"
            f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:g}</text>"
        )
    legend: list[str] = []
    # The models last, on top of the baselines.
    for index, (name, values) in reversed(list(enumerate(curves))):
        color = _COLORS[index % len(_COLORS)]
        x = left + (width - left) * (np.arange(len(values)) + 0.5) / len(values)
        y = (height - bottom) * (1 - (values - low) / (high - low)) + 4
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        mark = f"<polyline points='{points}' style='stroke:{color}'/>"
        if len(values) == 1:
            mark = f"<circle cx='{x[0]:.1f}' cy='{y[0]:.1f}' r='3' style='fill:{color}'/>"
        parts.append(mark)
        legend.insert(0, f"<span><i style='background:{color}'></i>{_escape(name)}</span>")
    frames = len(series[0][1])
    parts.append(
        f"<text x='{left}' y='{height - 2:.0f}'>first {unit}</text><text x='{width}' "
        f"y='{height - 2:.0f}' text-anchor='end'>last of {frames:,}</text>"
    )
    return (
        f"<figure><figcaption>{_escape(title)} {''.join(legend)}</figcaption>"
        f"<svg viewBox='0 0 {width:.0f} {height:.0f}' role='img'>{''.join(parts)}</svg></figure>"
    )


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average neighbours until a curve has few enough points."""
    if len(values) <= _CHART_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, _CHART_POINTS)])


def _tick_step(span: float) -> float:
    """Choose a step of 1, 2 or 5 times a power of ten that gives about four ticks."""
    power = 10.0 ** np.floor(np.log10(span / 4))
    return float(next(power * m for m in (1, 2, 5, 10) if power * m >= span / 4))


def _gallery(report: Report) -> str:
    """Show chosen frames: image, truth, and each model's prediction and error."""
    evaluations = [model.depth for model in report.models if model.depth is not None]
    legend = (
        "Depth: bright is near, the range is the truth's. Error: red is too near, blue too far, "
        f"full colour at a factor of {ERROR_FACTOR:g}; grey has no truth."
    )
    rows = []
    for label, place in choose_frames(evaluations).items():
        score = evaluations[0].scores[place]
        store = report.selections[score.selection].store
        figures = []
        for evaluation in evaluations:
            result = evaluation.scores[place].result
            name = f"{evaluation.name}: " if len(evaluations) > 1 else ""
            figures.append(
                f"{name}abs_rel {result.metrics['abs_rel']:.3f}, rmse "
                f"{result.metrics['rmse']:.3f}, a1 {result.metrics['a1']:.3f}, scale "
                f"{result.scale_ratio:.3g}"
            )
        where = f"{store.path.name}, frame {score.frame}. {'; '.join(figures)}"
        rows.append(_picture_row(label, where, frame_pictures(report, place)))
    return f"<h2>Pictures</h2><p>{legend}</p>{''.join(rows)}"


def frame_pictures(report: Report, place: int) -> dict[str, Image]:
    """Paint a frame's image, truth, and each model's prediction and error.

    Parameters
    ----------
    report : Report
    place : int
        Position of the frame in `scores`.

    Returns
    -------
    dict of str to ndarray, shape (Ht, Wt, 3), uint8, RGB
    """
    models = [(model, model.depth) for model in report.models if model.depth is not None]
    score = models[0][1].scores[place]
    selection = report.selections[score.selection]
    store = selection.store
    truth = truth_of(selection, score.frame, report.protocol)
    truth = np.where(truth > 0.0, truth, np.nan).astype(np.float32)
    if np.isfinite(truth).mean() < _SPARSE:
        truth = spread_points(truth, max(1, truth.shape[1] // 400))
    nearness = torch.from_numpy(1.0 / truth)
    low, high = disparity_range(nearness)
    size = truth.shape[1], truth.shape[0]
    image = cv2.resize(store.images[score.frame], size, interpolation=cv2.INTER_LINEAR)
    pictures = {
        "image": np.asarray(image, np.uint8),
        "truth": colorize(nearness, low, high).numpy(),
    }
    for model, evaluation in models:
        of = f" of {model.name}" if len(models) > 1 else ""
        depth = aligned_depth(
            model.predict(store, np.array([score.frame]))[0],
            evaluation.scores[place].result,
            report.protocol,
        )
        pictures[f"depth{of}"] = colorize(torch.from_numpy(1.0 / depth), low, high).numpy()
        pictures[f"error{of}"] = error_picture(truth, depth)
    return pictures


def _data_url(picture: Image) -> str:
    """Embed a picture."""
    height, width = picture.shape[:2]
    if width > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, max(1, round(height * _PICTURE_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    is_written, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert is_written
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<footer>monodepth2_ros {version}</footer>
</body>
</html>
"""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #f6f7f9;
  max-width: 1100px; margin: 0 auto; padding: 24px 16px; }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 8px; } h3 { font-size: 15px; margin: 0 0 8px; }
section { background: #fff; border: 1px solid #e3e6ea; border-radius: 8px; padding: 16px 20px;
  margin-bottom: 16px; overflow-x: auto; }
p { margin: 4px 0 8px; } .notes { margin: 0; padding-left: 20px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 4px 8px; text-align: right; border-bottom: 1px solid #eceff2;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
th { font-weight: 600; color: #4b5563; } .minor td { color: #6b7280; font-size: 13px; }
.minor td:first-child { padding-left: 24px; }
figure { margin: 8px 0 12px; } figcaption { font-weight: 600; font-size: 14px; }
figcaption span { font-weight: 400; margin-left: 14px; white-space: nowrap; }
figcaption i { display: inline-block; width: 14px; height: 3px; margin-right: 5px;
  vertical-align: middle; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #6b7280; }
svg polyline { fill: none; stroke-width: 1.4; } svg .grid { stroke: #e9ecef; }
.row { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr));
  gap: 6px; margin-bottom: 14px; }
.row img { width: 100%; display: block; border-radius: 3px; }
.row span { font-size: 12px; color: #6b7280; overflow-wrap: anywhere; }
.frame { margin: 0 0 4px; font-size: 14px; }
pre { font-size: 12px; overflow-x: auto; } footer { color: #6b7280; font-size: 12px; }
"""
