# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a page with tables, charts and pictures, in one file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros import __version__
from training.evaluation.pictures import (
    ERROR_FACTOR,
    FLICKER_FACTOR,
    Image,
    choose_frames,
    frame_pictures,
    pair_pictures,
)
from training.evaluation.report import Report
from training.evaluation.steadiness import (
    Recording,
)
from training.evaluation.text_report import (
    TEMPORAL_LEGEND,
    depth_rows,
    describe_comparison,
    describe_frames,
    describe_recording,
    distance_rows,
    odometry_rows,
    temporal_rows,
)
from training.metrics import SNIPPET_LENGTH

PICTURE_WIDTH = 420


_CHART_POINTS = 400


_COLORS = ("#c2410c", "#1d4ed8", "#6b7280", "#a16207", "#15803d")


def as_html(report: Report) -> str:
    """Write the report as a page that needs nothing beside it."""
    names = " and ".join(model.name for model in report.models)
    sections = [f"<h1>{_escape(names)}</h1><p>{_escape(describe_frames(report))}</p>"]
    if report.notes:
        items = "".join(f"<li>{_escape(note)}</li>" for note in report.notes)
        sections.append(f"<ul class='notes'>{items}</ul>")
    if report.evaluations:
        sections.append(_html_table(depth_rows(report)))
        comparison = describe_comparison(report)
        sections.append(f"<p>{_escape(comparison)}</p>" if comparison else "")
        sections.append("<h2>Frame by frame</h2>" + _charts(report))
        sections.append("<h2>abs_rel by distance</h2>" + _html_table(distance_rows(report)))
    odometry = odometry_rows(report)
    if odometry:
        sections.append(
            f"<h2>Odometry</h2><p>Error of {SNIPPET_LENGTH}-frame snippets in metres, each scaled "
            f"to fit</p>{_html_table(odometry)}"
        )
    if report.temporal:
        items = "".join(f"<li>{_escape(line)}</li>" for line in TEMPORAL_LEGEND)
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
        _html_table(temporal_rows(recording)),
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
            f"than the points of the first one, full colour at a factor of {FLICKER_FACTOR:g}; "
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


def _data_url(picture: Image) -> str:
    """Embed a picture."""
    height, width = picture.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
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
