# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good live metres are, on rendered worlds with wheel odometry, camera height and a scanner.

Each world is rendered, a model predicts its depth, and the node's estimator is replayed frame by
frame with what each source knows at that time. Ground truth is used to judge alone.

The factor is compared with that of the least abs_rel, which is what the error of an image in metres
asks for, and with the ratio of the medians, which differs from it where the network's shape is
wrong. Odometry is judged once there were 3 s of motion and while the camera moves; where it stands,
or turns on the spot, nothing can be measured, and a row of its own says what the held factor is
worth. The other sources are judged from 3 s on.

    python benchmark/metres.py --layouts street room corridor --seeds 9001 9002 9003

Recordings with poses of the camera and ground-truth depth, and the factor of the first one over
time as a picture:

    python benchmark/metres.py --recordings BAG --picture docs/images/metres_factor.png
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import open_checkpoint
from monodepth2_ros.options import read_scale_sources
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.scale import Beam, ScaleEstimate, ScaleEstimator, ScaleOptions
from monodepth2_ros.scale.factor import relative_median
from monodepth2_ros.scale.poses import quaternion
from monodepth2_ros.scale.range_messages import transformed
from monodepth2_ros.scale.ranges import scan_points
from monodepth2_ros.scale.tracking import TRACKING_WIDTH
from training.worlds.camera_path import MANNERS
from training.worlds.film import SyntheticFrame, synthesize
from training.worlds.odometry import OdometryRecorder, read_errors
from training.worlds.take import camera_from_field_of_view

Floats = NDArray[np.float64]

#: The factor of the least abs_rel, by ground truth: no estimate of one factor can have less.
_BOUND = "bound: least abs_rel by ground truth"

#: Seconds, for odometry of motion, after which the factor should be right.
_SETTLED_S = 3.0

#: Kinds of range sensors, with the half angle of a scan in degrees or the range of others in
#: metres: scans at a height of their own, a cone of 15°, 60 points within 15° of the horizon, and a
#: depth camera of 40° × 30°.
SENSORS = {
    "scan": 180.0, "scan-60": 30.0, "scan-20": 10.0, "beam": 8.0, "cloud": 20.0, "depth-camera": 6.0
}  # fmt: skip

# A camera moves if what it sees is displaced, by its way and not by its rotation, by so many
# radians per second, and by more than this share of the rotation; else it turns on the spot.
_SLOWEST, _ON_THE_SPOT = 0.05, 0.1


def replay(
    source: str,
    frames: list[SyntheticFrame],
    depths: list[NDArray[np.float32]],
    arguments: argparse.Namespace,
    height: float,
) -> list[ScaleEstimate]:
    """Run the estimator over a world with a source, or several joined by "+"."""
    recorder = OdometryRecorder(read_errors(arguments.odometry), height, arguments.pitch)
    pitch = np.radians(arguments.pitch)
    estimator = ScaleEstimator(
        ScaleOptions(read_scale_sources(source), camera_height=height),
        recorder.mounting,
        np.array([0.0, np.cos(pitch), np.sin(pitch)]),
    )
    waiting: list[tuple[int, Floats]] = []
    estimates = []
    for frame, depth in zip(frames, depths, strict=True):
        waiting += recorder.advance(frame.stamp, frame.pose)
        # What is stamped later has not come yet.
        for stamp, pose in [one for one in waiting if one[0] <= frame.stamp]:
            estimator.add_odometry(stamp, tuple(pose[:3, 3]), quaternion(pose[:3, :3]))
        waiting = [one for one in waiting if one[0] > frame.stamp]
        estimator.add_ranges(frame.stamp, sensed(arguments.sensor, frame))
        # As the node does: what is known before this frame is measured, but for the first factor.
        applied = estimator.glance(frame.stamp, 1.0 / depth, frame.camera)
        was_known = bool(estimator.estimate.source)
        measured = estimator.update(
            frame.stamp, frame.image, frame.camera, 1.0 / depth, frame.camera
        )
        estimates.append(applied if was_known else measured)
    return estimates


def sensed(sensor: str, frame: SyntheticFrame) -> Floats | Beam:
    """Return what a range sensor of a kind sees: a beam, or points in the camera's frame (N, 3).

    All but the scan sit where the camera does and see what it sees, up to a range of their own.
    """
    if sensor.startswith("scan"):
        scan = frame.scan
        assert scan is not None
        points = scan_points(
            scan.ranges, scan.angle_min, scan.angle_increment, scan.range_min, scan.range_max
        )
        bearing = np.degrees(np.abs(np.arctan2(points[:, 1], points[:, 0])))
        return transformed(points[bearing < SENSORS[sensor]], scan.mounting)
    camera = frame.camera.resized(*frame.depth.shape[::-1])
    columns, rows = np.meshgrid(*(np.arange(side) for side in frame.depth.shape[::-1]))
    x, y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
    wide, high = (np.degrees(np.arctan(np.abs(one))) for one in (x, y))
    if sensor == "beam":
        inside = (np.hypot(wide, high) < 7.5) & np.isfinite(frame.depth)
        distance = float((frame.depth * np.sqrt(1.0 + x**2 + y**2))[inside].min(initial=np.inf))
        distance = distance if distance < SENSORS[sensor] else np.nan
        return Beam(distance, np.zeros(3), np.array([0.0, 0.0, 1.0]), np.radians(15.0))
    seen = frame.depth < SENSORS[sensor]
    seen &= high < 15.0 if sensor == "cloud" else (wide < 20.0) & (high < 15.0)
    points = np.stack([x, y, np.ones_like(x)], axis=-1)[seen] * frame.depth[seen][:, None]
    count = min(len(points), 60 if sensor == "cloud" else 600)
    return points[np.random.default_rng(frame.stamp).permutation(len(points))[:count]]


def abs_rel(depth: NDArray[np.float32], truth: NDArray[Any], factor: float) -> float:
    """Return the mean absolute relative error where the truth is at most 80 m."""
    known = np.isfinite(truth) & (truth > 0.0) & (truth < 80.0)
    return float(np.mean(np.abs(factor * depth[known] / truth[known] - 1.0)))


def moving(frames: list[SyntheticFrame]) -> NDArray[np.bool_]:
    """Say for each frame (N,) whether the camera moves, more than it turns on the spot."""
    found = [False]
    for before, now in itertools.pairwise(frames):
        known = now.depth[np.isfinite(now.depth) & (now.depth > 0.0)]
        way = float(np.linalg.norm(now.pose[:3, 3] - before.pose[:3, 3]))
        cosine = 0.5 * (float(np.sum(now.pose[:3, :3] * before.pose[:3, :3])) - 1.0)
        turned = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
        displaced = way / float(np.median(known))
        seconds = 1e-9 * (now.stamp - before.stamp)
        found.append(displaced > max(_SLOWEST * seconds, _ON_THE_SPOT * turned))
    return np.array(found)


def judged(source: str, frames: list[SyntheticFrame]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the rows of a source, and which frames (N,) each is about."""
    seconds = 1e-9 * np.array([frame.stamp - frames[0].stamp for frame in frames])
    settled = seconds >= _SETTLED_S
    if source != "odometry":
        return [(source, settled)]
    moves = moving(frames)
    spent = np.cumsum(np.append(0.0, np.diff(seconds)) * moves)
    good = moves & (spent >= _SETTLED_S)
    return [(source, good), (f"{source}, on the spot or too little motion", settled & ~good)]


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the table."""
    predictor = DepthPredictor(arguments.checkpoint, backend="torch", device="cpu")
    camera = camera_from_field_of_view(arguments.width, arguments.height, 80.0)
    for layout in arguments.layouts:
        figures: dict[str, list[list[float]]] = {}
        for seed in arguments.seeds:
            height = MANNERS[layout].height
            frames = list(
                synthesize(
                    seed, layout, camera, arguments.frames, pitch=arguments.pitch, antialias=1,
                    scan_height=arguments.scan_height,
                )
            )  # fmt: skip
            depths = [predictor(frame.image) for frame in frames]
            truths = [
                np.asarray(cv2.resize(f.depth, d.shape[::-1], interpolation=cv2.INTER_NEAREST))
                for f, d in zip(frames, depths, strict=True)
            ]
            best, least = [], []
            for depth, truth in zip(depths, truths, strict=True):
                known = np.isfinite(truth) & (truth < 80.0)
                for factors, factor in zip(
                    (best, least), _best_factors(depth, truth, known), strict=True
                ):
                    factors.append(factor)
            scaled = [abs_rel(d, t, f) for d, t, f in zip(depths, truths, best, strict=True)]
            for k in np.flatnonzero(judged(_BOUND, frames)[0][1]).tolist():
                figures.setdefault(_BOUND, []).append(
                    [
                        scaled[k], abs_rel(depths[k], truths[k], least[k]),
                        0.0, np.log(least[k] / best[k]), np.nan, np.nan, 1.0,
                    ]
                )  # fmt: skip
            for source in arguments.sources:
                found = replay(source, frames, depths, arguments, height)
                for name, counted in judged(source, frames):
                    for k in np.flatnonzero(counted).tolist():
                        figures.setdefault(name, []).append(
                            [
                                scaled[k],
                                *_figures(found[k], depths[k], truths[k], best[k], least[k]),
                            ]
                        )
        for name, values in figures.items():
            yield _row(layout, name, np.array(values))


def _figures(
    estimate: ScaleEstimate,
    depth: NDArray[np.float32],
    truth: NDArray[Any],
    best: float,
    least: float,
) -> list[float]:
    """Return what the table averages of a frame."""
    if not estimate.source:
        return [np.nan] * 5 + [0.0]
    apart, error = np.log(estimate.factor / least), np.log(estimate.factor / best)
    squares = [(one / estimate.deviation) ** 2 for one in (apart, error)]
    live = abs_rel(depth, truth, estimate.factor)
    return [live, apart, error, *squares, float(not estimate.reason)]


def _row(layout: str, name: str, values: Floats) -> str:
    """Return a row of the table from its frames' figures, (N, 7)."""
    scaled, live, apart, error, square, square_of_medians, measured = values.T
    if np.isnan(live).all():
        return (
            f"| {layout} | {name} | {scaled.mean():.3f} | refused | | | | | | 0 % | {len(values)} |"
        )

    def middle(logs: Floats) -> float:
        return 100.0 * float(np.expm1(np.nanmedian(logs)))

    squares = " | "
    if name != _BOUND:
        squares = f"{np.nanmean(square):.2f} | {np.nanmean(square_of_medians):.2f}"
    return (
        f"| {layout} | {name} | {scaled.mean():.3f} | {np.nanmean(live):.3f} "
        f"| {middle(apart):+.1f} % | {middle(np.abs(apart)):.1f} % | {middle(np.abs(error)):.1f} % "
        f"| {squares} | {100 * measured.mean():.0f} % "
        f"| {len(values)} |"
    )


@dataclass(frozen=True)
class Recorded:
    """What was found on a recording, frame by frame.

    Attributes
    ----------
    seconds : ndarray, shape (N,)
    estimates : list of ScaleEstimate
    medians : ndarray, shape (N,)
        Ratio of the medians of ground truth and prediction.
    figures : ndarray, shape (N, 7)
        See :func:`_row`.
    """

    seconds: Floats
    estimates: list[ScaleEstimate]
    medians: Floats
    figures: Floats


def replay_recording(checkpoint_name: str, recording: Path) -> Recorded:
    """Run the estimator over a recording, as the node does with odometry of the camera."""
    from training.evaluation.live_scale import LiveScale
    from training.evaluation.live_scale import replay as replay_store
    from training.evaluation.predictors import depth_predictor
    from training.evaluation.protocol import Protocol
    from training.extraction.open_frames import open_frames

    checkpoint = open_checkpoint(checkpoint_name)
    metadata = checkpoint.metadata
    # Corners are followed on images larger than the network's.
    times = max(1, round(TRACKING_WIDTH / metadata.width))
    size = (times * metadata.width, times * metadata.height)
    with tempfile.TemporaryDirectory(prefix="metres.") as scratch:
        store = open_frames(recording, Path(scratch) / recording.stem, size, metadata.crop)
        predict = depth_predictor(checkpoint, "cpu", Protocol(scaling="live"))
        estimates = replay_store(LiveScale(predict, metadata.crop), store)
        chosen, medians, figures = [], [], []
        for k, estimate in enumerate(estimates):
            truth = np.asarray(store.truth[k], np.float32)
            depth = predict(store, np.array([k]))[0]
            known = np.isfinite(truth) & (truth > 0.0) & (truth < 80.0)
            if np.count_nonzero(known) < 50:
                continue
            median, least = _best_factors(depth, truth, known)
            chosen.append(k)
            medians.append(median)
            figures.append(
                [
                    abs_rel(depth, truth, median),
                    *_figures(estimate, depth, truth, median, least),
                ]
            )
        seconds = 1e-9 * (store.stamps[chosen] - store.stamps[0])
    return Recorded(seconds, [estimates[k] for k in chosen], np.array(medians), np.array(figures))


def draw(found: Recorded, path: Path) -> None:
    """Draw the live factor over time with its deviation, and the ratio of the medians."""
    from matplotlib.figure import Figure

    factors = np.array([one.factor if one.source else np.nan for one in found.estimates])
    spread = factors * np.array([one.deviation for one in found.estimates])
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.subplots()
    label = "± 1 standard deviation"
    axes.fill_between(
        found.seconds, factors - spread, factors + spread, color="C1", alpha=0.3, lw=0, label=label
    )
    axes.plot(found.seconds, found.medians, color="0.3", label="ratio of the medians, ground truth")
    axes.plot(found.seconds, factors, color="C1", label="live, from odometry")
    axes.set(
        xlabel="time (s)",
        ylabel="metres per unit of depth",
        xlim=(found.seconds[0], found.seconds[-1]),
        ylim=np.quantile(found.medians, (0.005, 0.995)) * (0.7, 1.3),
    )
    axes.legend(ncols=3, loc="upper center", frameon=False, fontsize="small")
    figure.savefig(path, dpi=100)


def _best_factors(
    depth: NDArray[np.float32], truth: NDArray[Any], known: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return the ratio of the medians, and the factor of the least abs_rel."""
    logs = np.log(truth[known] / depth[known]).astype(np.float64)
    median = float(np.median(truth[known]) / np.median(depth[known]))
    return median, float(np.exp(relative_median(logs, np.ones(len(logs)))))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--layouts", nargs="+", default=["street", "room", "corridor"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[9001, 9002, 9003])
    parser.add_argument(
        "--sources",
        nargs="+",
        default=["odometry", "camera_height", "range", "odometry+camera_height"],
    )
    parser.add_argument(
        "--recordings", nargs="+", type=Path, default=[], help="in the place of worlds"
    )
    parser.add_argument("--picture", type=Path, help="factor over time, of the first recording")
    parser.add_argument("--frames", type=int, default=60, help="at 10 Hz")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--pitch", type=float, default=5.0, help="degrees down")
    parser.add_argument("--scan-height", type=float, default=0.5)
    parser.add_argument("--odometry", default="slip=0.02,delay=0.02")
    parser.add_argument("--sensor", default="scan", choices=SENSORS, help="for the source range")
    arguments = parser.parse_args()
    print(
        "| world | source | median-scaled abs_rel | live abs_rel | factor against that of the "
        "least abs_rel, median | absolute | against the ratio of the medians "
        "| normalised error squared, of the first | of the second | measured in | frames |"
    )
    print("|" + 11 * "---|")
    for recording in arguments.recordings:
        found = replay_recording(arguments.checkpoint, recording)
        print(_row(recording.stem, "odometry", found.figures), flush=True)
        if arguments.picture is not None and recording == arguments.recordings[0]:
            draw(found, arguments.picture)
    if not arguments.recordings:
        for row in rows(arguments):
            print(row, flush=True)


if __name__ == "__main__":
    main()
