# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a page with tables, charts and pictures, in one file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros import __version__
from training.evaluation.pictures import (
    ERROR_FACTOR,
    FLICKER_FACTOR,
    Image,
    choose_shown_frames,
    frame_pictures,
    pair_pictures,
)
from training.evaluation.report import Report
from training.evaluation.steadiness import (
    RecordingSteadiness,
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
    """Write the report as a page that needs no other file."""
    import jinja2

    text = resources.files("training.evaluation").joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    has_depth = bool(report.evaluations)
    return environment.from_string(text).render(
        names=" and ".join(model.name for model in report.models),
        frames=describe_frames(report),
        notes=report.notes,
        depth=depth_rows(report) if has_depth else [],
        comparison=describe_comparison(report) if has_depth else "",
        charts=_charts(report) if has_depth else [],
        distances=distance_rows(report) if has_depth else [],
        odometry=odometry_rows(report),
        snippet_length=SNIPPET_LENGTH,
        legend=TEMPORAL_LEGEND,
        recordings=[_recording(report, recording) for recording in report.temporal],
        flicker_factor=f"{FLICKER_FACTOR:g}",
        gallery=_gallery(report) if has_depth else [],
        error_factor=f"{ERROR_FACTOR:g}",
        checkpoints=[
            (model.checkpoint, json.dumps(model.metadata, indent=1, ensure_ascii=False))
            for model in report.models
        ],
        version=__version__,
    )


@dataclass(frozen=True)
class _Line:
    """A line of a chart's grid, and its label."""

    y: str
    text_y: str
    label: str


@dataclass(frozen=True)
class _Curve:
    """A curve of a chart: its points in the chart's units, x and y as text."""

    name: str
    color: str
    points: list[tuple[str, str]]


@dataclass(frozen=True)
class _Chart:
    """Curves over the frames, to be drawn as SVG."""

    title: str
    curves: list[_Curve]
    grid: list[_Line]
    unit: str
    count: str
    width: int = 860
    height: int = 190
    left: int = 46


@dataclass(frozen=True)
class _PictureRow:
    """Pictures next to each other below a line of text."""

    label: str
    text: str
    pictures: dict[str, str]


@dataclass(frozen=True)
class _RecordingSection:
    """How steady depth is in one recording."""

    title: str
    rows: list[list[str]]
    charts: list[_Chart]
    pairs: list[_PictureRow]


def _charts(report: Report) -> list[_Chart]:
    """Draw abs_rel and scale over the frames."""
    errors = [(evaluation.name, evaluation.values("abs_rel")) for evaluation in report.evaluations]
    scales = []
    for model in report.models:
        if model.depth is not None:
            ratios = np.array([result.scale_ratio for result in model.depth.results])
            scales.append((model.name, ratios / np.median(ratios)))
    return [
        _chart("abs_rel", errors, from_zero=True),
        _chart("scale of the frame / median scale", scales, from_zero=False),
    ]


def _recording(report: Report, recording: RecordingSteadiness) -> _RecordingSection:
    """Show one recording's temporal figures: table, chart, pictures of two pairs."""
    charts = []
    series = [(f.name, 100.0 * f.flicker) for f in (*recording.candidates, recording.truth)]
    series = [(name, values) for name, values in series if np.isfinite(values).any()]
    if series:
        measured = np.all([np.isfinite(values) for _, values in series], axis=0)
        shown = [(name, values[measured]) for name, values in series]
        if measured.any():
            charts.append(_chart("flicker of the pairs, %", shown, from_zero=True, unit="pair"))
    flicker = recording.candidates[0].flicker
    order = np.argsort(flicker, kind="stable")[: int(np.isfinite(flicker).sum())]
    pairs = []
    if len(order):
        chosen = {"median pair": order[len(order) // 2], "worst pair": order[-1]}
        pairs = [_pair_row(report, recording, label, int(p)) for label, p in chosen.items()]
    return _RecordingSection(describe_recording(recording), temporal_rows(recording), charts, pairs)


def _pair_row(report: Report, recording: RecordingSteadiness, label: str, pair: int) -> _PictureRow:
    """Show a pair of neighbours."""
    first, second = recording.pairs[pair].tolist()
    figures = recording.candidates[: len(report.models)]
    said = ", ".join(f"{f.name} {f.flicker[pair]:.2%}" for f in figures)
    pictures = pair_pictures(report, recording, first, second)
    return _picture_row(label, f"frames {first} and {second}. Flicker: {said}", pictures)


def _picture_row(label: str, text: str, pictures: Mapping[str, Image]) -> _PictureRow:
    """Embed pictures."""
    urls = {name: _data_url(picture) for name, picture in pictures.items()}
    return _PictureRow(label, text, urls)


def _chart(
    title: str,
    series: Sequence[tuple[str, NDArray[np.float64]]],
    from_zero: bool,
    unit: str = "frame",
) -> _Chart:
    """Lay out curves over the frames."""
    thinned = [(name, _thinned(values)) for name, values in series]
    stacked = np.concatenate([values for _, values in thinned])
    low, high = (0.0 if from_zero else float(stacked.min())), float(stacked.max())
    step = _tick_step(max(high - low, 1e-6))
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
    high = max(high, low + step)
    plot_height = _Chart.height - 22.0
    grid = []
    for value in np.arange(low, high + 0.5 * step, step):
        y = plot_height * (1 - (value - low) / (high - low)) + 4
        grid.append(_Line(f"{y:.1f}", f"{y + 4:.1f}", f"{value:g}"))
    curves = []
    for index, (name, values) in enumerate(thinned):
        x = _Chart.left + (_Chart.width - _Chart.left) * (np.arange(len(values)) + 0.5) / len(
            values
        )
        y = plot_height * (1 - (values - low) / (high - low)) + 4
        points = [(f"{a:.1f}", f"{b:.1f}") for a, b in zip(x, y, strict=True)]
        curves.append(_Curve(name, _COLORS[index % len(_COLORS)], points))
    return _Chart(title, curves, grid, unit, f"{len(series[0][1]):,}")


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average neighbours until a curve has few enough points."""
    if len(values) <= _CHART_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, _CHART_POINTS)])


def _tick_step(span: float) -> float:
    """Choose a step of 1, 2 or 5 times a power of ten that gives about four ticks."""
    power = 10.0 ** np.floor(np.log10(span / 4))
    return float(next(power * m for m in (1, 2, 5, 10) if power * m >= span / 4))


def _gallery(report: Report) -> list[_PictureRow]:
    """Show chosen frames: image, ground truth, and each model's prediction and error."""
    evaluations = [model.depth for model in report.models if model.depth is not None]
    rows = []
    for label, place in choose_shown_frames(evaluations).items():
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
    return rows


def _data_url(picture: Image) -> str:
    """Embed a picture."""
    height, width = picture.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    is_written, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert is_written
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
