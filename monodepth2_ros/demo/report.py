# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of a demo: how fast, how far, and how close to the truth where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros import __version__
from monodepth2_ros.depth_errors import depth_metrics
from monodepth2_ros.visualization.pictures import Window

if TYPE_CHECKING:
    from monodepth2_ros.demo.options import DemoModel
    from monodepth2_ros.recordings.playback import Playback

Floats = NDArray[np.float32]

#: Of depth and latency.
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

# Depths that count against the truth, in metres (the usual bounds in the literature).
_MIN_DEPTH, _MAX_DEPTH = 1e-3, 80.0

# Depths are counted in bins of a fifth of a per cent, so that a long recording takes no more memory
# than a short one.
_LOG_LOW, _LOG_HIGH, _BINS = np.log(1e-3), np.log(1e6), 10_000


class DepthHistogram:
    """Percentiles of depth over any number of images."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._pixels = 0

    def add(self, depth: Floats) -> None:
        """Count the pixels of a depth image (every fourth in both directions)."""
        values = depth[::4, ::4]
        self._pixels += values.size
        values = values[np.isfinite(values) & (values > 0.0)]
        place = (np.log(values) - _LOG_LOW) * (_BINS / (_LOG_HIGH - _LOG_LOW))
        bins = np.clip(place.astype(np.int64), 0, _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    @property
    def valid_share(self) -> float:
        """Share of pixels that have a depth."""
        return float(self._counts.sum() / self._pixels) if self._pixels else 0.0

    def percentiles(self) -> dict[str, float]:
        """Return depths in metres by "5 %" and the like; empty where there are none."""
        total = self._counts.sum()
        if total == 0:
            return {}
        reached = np.cumsum(self._counts)
        width = (_LOG_HIGH - _LOG_LOW) / _BINS
        bins = [int(np.searchsorted(reached, 0.01 * p * total)) for p in PERCENTILES]
        values = [float(np.exp(_LOG_LOW + (index + 0.5) * width)) for index in bins]
        return {f"{p} %": _rounded(value) for p, value in zip(PERCENTILES, values, strict=True)}


def compare_depth(truth: Floats, depth: Floats, window: Window) -> dict[str, float] | None:
    """Compare a depth image, and the best constant depth, with the truth.

    The depth image is scaled to the median of the truth. The same makes of any constant the median
    of the truth itself, of this very image: what is no better has learned nothing.

    The definitions are those of Eigen et al. 2014. They stand here again, in few lines, because the
    package must not import ``training``, where the full set for evaluations is.

    Parameters
    ----------
    truth : ndarray, shape (H, W), float32
        Metres, NaN where unknown, of the view of the camera image.
    depth : ndarray, shape (h, w), float32
        Metres, NaN where unknown. Each pixel of the truth is compared with the nearest one here.
    window : Window
        Where `depth` lies on the camera image.

    Returns
    -------
    dict or None
        abs_rel, rmse (metres), a1, the same of the best constant (constant_abs_rel and so on)
        and of the depth as it is, without scaling (metric_abs_rel and so on), scale (median of
        the truth over the median of depth) and pixels; None where there is nothing to compare.
    """
    found = sample_nearest(depth, window, truth.shape[0], truth.shape[1])
    with np.errstate(invalid="ignore"):
        valid = (truth > _MIN_DEPTH) & (truth < _MAX_DEPTH) & np.isfinite(found) & (found > 0.0)
    if not valid.any():
        return None
    true, guess = truth[valid].astype(np.float64), found[valid].astype(np.float64)
    middle = float(np.median(true))
    scale = middle / float(np.median(guess))
    constant = _frame_errors(true, np.full_like(true, middle))
    metric = _frame_errors(true, np.clip(guess, _MIN_DEPTH, _MAX_DEPTH))
    return {
        **_frame_errors(true, np.clip(guess * scale, _MIN_DEPTH, _MAX_DEPTH)),
        **{f"constant_{name}": value for name, value in constant.items()},
        **{f"metric_{name}": value for name, value in metric.items()},
        "scale": scale,
        "pixels": float(valid.sum()),
    }


def _frame_errors(true: NDArray[np.float64], guess: NDArray[np.float64]) -> dict[str, float]:
    """Return the figures of one frame that the report shows."""
    errors = depth_metrics(true, guess)
    return {name: errors[name] for name in ("abs_rel", "rmse", "a1")}


def sample_nearest(depth: Floats, window: Window, height: int, width: int) -> Floats:
    """Look up a depth image at the pixels of another image of the same view.

    Parameters
    ----------
    depth : ndarray, shape (h, w), float32
    window : Window
        Where `depth` lies on the view.
    height, width : int
        Height and width of the other image, which shows all of the view.

    Returns
    -------
    ndarray, shape (height, width), float32
        NaN outside the window.
    """
    rows = _indices(height, window.top, window.bottom, depth.shape[0])
    columns = _indices(width, window.left, window.right, depth.shape[1])
    padded = np.pad(depth, ((0, 1), (0, 1)), constant_values=np.nan)
    return padded[rows[:, None], columns[None, :]]


def _indices(size: int, first: float, last: float, available: int) -> NDArray[np.int64]:
    """Return the nearest pixel for each of `size`; `available` for those outside."""
    place = ((np.arange(size) + 0.5) / size - first) / (last - first) * available
    index = np.floor(place).astype(np.int64)
    return np.where((index < 0) | (index >= available), available, index)


@dataclass
class PlayResult:
    """How playing went.

    Attributes
    ----------
    speed : str
        How fast it was meant to be.
    seconds : float
        From the first image to the last output.
    counts : dict of str to int
        Frames by what became of them.
    node : dict of str to str
        The node's last diagnostics.
    complaint : str
        What the node said of itself in the end.
    problems : list of str
        Frames that could not be drawn.
    error : str
        Why it ended early, "" if it did not.
    interrupted : bool
    """

    speed: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    node: dict[str, str] = field(default_factory=dict)
    complaint: str = ""
    problems: list[str] = field(default_factory=list)
    error: str = ""
    interrupted: bool = False


@dataclass(frozen=True)
class LiveFactor:
    """The factor to metres that the node measured for a frame; deviation is relative."""

    factor: float
    deviation: float

    @property
    def is_known(self) -> bool:
        """Whether there was any measurement."""
        return math.isfinite(self.deviation)

    def __str__(self) -> str:
        return f"{self.factor:.2f} ± {self.deviation:.0%}"


@dataclass
class Figures:
    """What is gathered while playing.

    Attributes
    ----------
    published : int
        Frames whose depth came back.
    missing : int
        Frames that were passed over without.
    clouds : int
        Frames whose points came back.
    latencies : dict of str to list of float
        Seconds from sending the image to receiving an output, by output.
    depth : DepthHistogram
    truth : list of dict
        See :func:`compare_depth`, one for each frame compared.
    metric : list of dict
        Those of frames whose depth is in metres.
    factors : list of LiveFactor
        What was measured for each frame.
    """

    published: int = 0
    missing: int = 0
    clouds: int = 0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    depth: DepthHistogram = field(default_factory=DepthHistogram)
    truth: list[dict[str, float]] = field(default_factory=list)
    metric: list[dict[str, float]] = field(default_factory=list)
    factors: list[LiveFactor] = field(default_factory=list)

    def add_latency(self, output: str, seconds: float) -> None:
        """Note how long an output took."""
        self.latencies.setdefault(output, []).append(seconds)

    def latency_report(self) -> dict[str, dict[str, float]]:
        """Return percentiles in milliseconds by output."""
        return {output: _milliseconds(values) for output, values in self.latencies.items()}

    def truth_report(self, topic: str | None) -> dict[str, Any]:
        """Return the mean figures over the frames, or why there are none."""
        if topic is None:
            return {"compared": 0, "note": "the recording has no depth topic to compare with"}
        if not self.truth:
            return {"topic": topic, "compared": 0, "note": f"no frame has valid depth on {topic}"}

        def means(prefix: str, frames: Sequence[Mapping[str, float]]) -> dict[str, float]:
            return {
                name: _rounded(float(np.mean([frame[prefix + name] for frame in frames])))
                for name in ("abs_rel", "rmse", "a1")
            }

        in_metres: dict[str, Any] = {}
        if self.metric:
            in_metres = {
                "compared": len(self.metric),
                **means("metric_", self.metric),
                "median_scaled": means("", self.metric),
            }
        scales = np.array([frame["scale"] for frame in self.truth])
        return {
            "topic": topic,
            "compared": len(self.truth),
            **means("", self.truth),
            "best_constant_depth": means("constant_", self.truth),
            **({"in_metres": in_metres} if in_metres else {}),
            "scale_median": _rounded(float(np.median(scales))),
            "scale_relative_spread": _rounded(float(np.std(scales / np.median(scales)))),
            "note": "mean over frames; each frame is scaled to the median of its truth, compared "
            f"at the nearest pixel, from {_MIN_DEPTH:g} to {_MAX_DEPTH:g} m",
        }

    def newest_factor(self) -> str:
        """Return the newest factor to metres with its deviation; "" where there is none."""
        return str(self.factors[-1]) if self.factors and self.factors[-1].is_known else ""

    def scale_report(self, sources: str, node: Mapping[str, str]) -> dict[str, Any]:
        """Return the factor to metres that was measured while playing.

        Parameters
        ----------
        sources : str
            That the node was told to use; "" for a fixed factor.
        node : mapping of str to str
            The node's diagnostics.
        """
        if not sources:
            return {"source": "fixed"}
        known = [one for one in self.factors if one.is_known]
        report: dict[str, Any] = {
            "source": sources,
            "frames_with_a_factor": len(known),
            "held_because": node.get("scale held because", ""),
        }
        if known:
            factors = [one.factor for one in known]
            deviations = [one.deviation for one in known]
            report |= {
                "factor_median": _rounded(float(np.median(factors))),
                "factor_relative_spread": _rounded(float(np.std(np.log(factors)))),
                "stated_deviation_median": _rounded(float(np.median(deviations))),
            }
        return report


def node_stages(diagnostics: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Read the node's own latencies, in milliseconds, from its diagnostics.

    Parameters
    ----------
    diagnostics : mapping of str to str
        With keys such as "network median (ms)" and "network 95 % (ms)".
    """
    stages: dict[str, dict[str, float]] = {}
    for key, value in diagnostics.items():
        for suffix, name in ((" median (ms)", "median"), (" 95 % (ms)", "95 %")):
            if key.endswith(suffix):
                stages.setdefault(key.removesuffix(suffix), {})[name] = float(value)
    return stages


def build_report(
    playback: Playback,
    model: DemoModel,
    figures: Figures,
    outcome: PlayResult,
    files: dict[str, str],
    note: str = "",
    sources: str = "",
) -> dict[str, Any]:
    """Gather everything for report.json.

    Parameters
    ----------
    playback : Playback
    model : DemoModel
    figures : Figures
    outcome : PlayResult
    files : dict of str to str
        What each file is, by name.
    note : str
        What must be known of the model and this recording.
    sources : str
        Source of the factor to metres; "" for a fixed one.

    Returns
    -------
    dict
        Ready for JSON.
    """
    topics, node = playback.topics, outcome.node
    report: dict[str, Any] = {"made_by": f"depth_demo {__version__}"}
    if model.is_random:
        report["WARNING"] = "THE WEIGHTS ARE RANDOM: ALL DEPTH BELOW IS MEANINGLESS"
    if outcome.error:
        report["error"] = outcome.error
    return report | {
        "interrupted": outcome.interrupted,
        "recording": {
            "path": str(playback.path),
            "image_topic": topics.image.name,
            "camera_info_topic": topics.camera_info.name if topics.camera_info else None,
            "depth_topic": topics.depth.name if topics.depth else None,
            "images": topics.image.count,
            "seconds": round(playback.seconds, 3),
            "unreadable_messages": playback.unreadable,
        },
        "model": {
            "checkpoint": node.get("checkpoint", model.checkpoint),
            "random_weights": model.is_random,
            "metric": model.is_metric,
            "device": node.get("device"),
            "backend": node.get("backend"),
            **({"note": note} if note else {}),
        },
        "speed": outcome.speed,
        "seconds": round(outcome.seconds, 3),
        "published_per_second": round(figures.published / max(outcome.seconds, 1e-9), 2),
        "frames": outcome.counts,
        "latency_ms": {
            "note": "from publishing the image to receiving the output, by the demo's clock",
            **figures.latency_report(),
        },
        "node_stages_ms": {"note": "by the node's clock, its last frames", **node_stages(node)},
        "node_says": outcome.complaint,
        "node_counts": {key: int(value) for key, value in node.items() if value.isdigit()},
        "depth_m": {
            **figures.depth.percentiles(),
            "valid_share": round(figures.depth.valid_share, 4),
        },
        "scale": figures.scale_report(sources, node),
        "truth": figures.truth_report(topics.depth.name if topics.depth else None),
        "problems": outcome.problems,
        "files": files,
    }


def summarize_playback(report: Mapping[str, Any], output: Path) -> str:
    """Say in a few lines what came out.

    Parameters
    ----------
    report : mapping
        See :func:`build_report`.
    output : Path
        Where the files are.
    """
    frames, depth, truth = report["frames"], report["depth_m"], report["truth"]
    lines = [
        f"model: {report['model']['checkpoint']}",
        f"{frames['played']} frames played in {report['seconds']:.1f} s: {frames['published']} "
        f"published, {frames['dropped']} dropped, {frames['failed']} failed",
    ]
    for name in ("depth", "points"):
        if name in report["latency_ms"]:
            latency = report["latency_ms"][name]
            lines += [f"latency of {name}: {latency['median']:.0f} ms, 95 % {latency['95 %']:.0f}"]
    if "50 %" in depth:
        lines += [f"depth: 5 % {depth['5 %']:g}, median {depth['50 %']:g}, 95 % {depth['95 %']:g}"]
        scale = report["scale"]
        is_metric = report["model"]["metric"] or scale.get("frames_with_a_factor")
        lines[-1] += " m" if is_metric else " m, unscaled"
        lines += _scale_in_words(scale, frames["published"])
    if truth["compared"]:
        lines += [
            f"against {truth['topic']}, each of {truth['compared']} frames scaled to its median: "
            f"{_in_words(truth)}",
            f"the best constant depth, scaled likewise: {_in_words(truth['best_constant_depth'])}",
        ]
        if "in_metres" in truth:
            metric = truth["in_metres"]
            lines += [
                f"in metres, without scaling, {metric['compared']} frames: {_in_words(metric)}",
            ]
            if metric["compared"] < truth["compared"]:
                lines += [f"these, scaled to their medians: {_in_words(metric['median_scaled'])}"]
    else:
        lines += [truth["note"]]
    if "note" in report["model"]:
        lines += [report["model"]["note"]]
    lines += [f"{output / name}: {note}" for name, note in report["files"].items()]
    return "\n".join(lines)


def _scale_in_words(scale: Mapping[str, Any], published: int) -> list[str]:
    """Say what factor to metres was measured; nothing for a fixed one."""
    if "frames_with_a_factor" not in scale:
        return []
    if not scale["frames_with_a_factor"]:
        return [f"no factor to metres was measured: {scale['held_because']}"]
    return [
        f"metres by {scale['source']}, live: factor {scale['factor_median']:.3f} in the median, "
        f"± {scale['stated_deviation_median']:.0%} stated, in {scale['frames_with_a_factor']} of "
        f"{published} frames"
    ]


def _in_words(errors: Mapping[str, Any]) -> str:
    """Name the errors in a line."""
    return f"abs_rel {errors['abs_rel']:.3f}, rmse {errors['rmse']:.2f} m, a1 {errors['a1']:.3f}"


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles and the largest of durations."""
    values = np.percentile(seconds, [50, 95, 99, 100]) * 1e3
    return {
        name: round(float(value), 2)
        for name, value in zip(("median", "95 %", "99 %", "largest"), values, strict=True)
    }


def _rounded(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")
