# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an extraction tells: text, report.json, a contact sheet and a histogram of the motion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.atomic_files import write_atomically
from monodepth2_ros.image_files import write_image
from training.extraction.motion import GOOD_FLOW, TARGET_FLOW
from training.extraction.progress import CameraReport
from training.frames.store import FrameStore

REPORT_TEXT = "report.txt"
REPORT_JSON = "report.json"
CONTACT_SHEET = "contact_sheet.png"
FLOW_HISTOGRAM = "flow_histogram.png"

_SHEET_COLUMNS = 4
_SHEET_ROWS = 4
_THUMBNAIL_WIDTH = 320
_CURVES = 8  # cameras that the picture of the motion tells apart
_TRUTH_RANGE = (2.0, 98.0)  # percentiles


def describe_reports(reports: Sequence[CameraReport]) -> str:
    """Write the reports as text for the terminal."""
    return "\n\n".join(_describe_camera(report) for report in reports)


def save_report(store: FrameStore, reports: Sequence[CameraReport]) -> None:
    """Put report.txt, report.json, contact_sheet.png and flow_histogram.png into a store."""
    text = describe_reports(reports) + "\n"
    # Names of recordings may hold bytes that are not UTF-8.
    write_atomically(store.path / REPORT_TEXT, text.encode(errors="backslashreplace"))
    cameras = [{**asdict(report), "flow": _percentiles(report.flow)} for report in reports]
    described = {"frames": len(store), "cameras": cameras}
    content = json.dumps(described, indent=1, ensure_ascii=False)
    write_atomically(store.path / REPORT_JSON, content.encode(errors="backslashreplace"))
    write_image(store.path / CONTACT_SHEET, contact_sheet(store))
    save_flow_histogram(reports, store.path / FLOW_HISTOGRAM)


def contact_sheet(store: FrameStore) -> NDArray[np.uint8]:
    """Show frames spread over a store, each with its truth below where there is truth.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, RGB
    """
    count = min(len(store), _SHEET_COLUMNS * _SHEET_ROWS)
    chosen = np.unique(np.linspace(0, len(store) - 1, count).round().astype(int)).tolist()
    height = round(_THUMBNAIL_WIDTH * store.height / store.width)
    tiles = []
    for index in chosen:
        size = (_THUMBNAIL_WIDTH, height)
        tile = cv2.resize(store.images[index], size, interpolation=cv2.INTER_AREA)
        segment = int(store.segment[index])
        # Time since the recording's first stored frame.
        source = store.segment_source[segment]
        first = int(np.searchsorted(store.segment, store.segment_source.index(source)))
        seconds = (int(store.stamps[index]) - int(store.stamps[first])) / 1e9
        label = f"frame {index}, segment {segment}, {seconds:.1f} s"
        tile[:18] //= 3
        cv2.putText(tile, label, (6, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255))
        if store.truth is not None:
            tile = np.vstack([tile, _colour_depth(store.truth[index], size)])
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _SHEET_COLUMNS)
    rows = [np.hstack(tiles[i : i + _SHEET_COLUMNS]) for i in range(0, len(tiles), _SHEET_COLUMNS)]
    return np.asarray(np.vstack(rows), np.uint8)


def save_flow_histogram(reports: Sequence[CameraReport], path: Path) -> None:
    """Draw how much the picture moves from one kept frame to the next, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = [report for report in reports if report.flow]
    values = [100.0 * np.array(report.flow) for report in shown]
    limit = max([100.0 * GOOD_FLOW[1] * 1.5, *(np.percentile(v, 99) for v in values)])
    bins = np.linspace(0.0, limit, 61)
    low, high = (100.0 * flow for flow in GOOD_FLOW)
    axes.axvspan(low, high, color="0.9", label="good between neighbours")
    axes.axvline(100.0 * TARGET_FLOW, color="0.5", linestyle=":", label="KITTI")
    names = [f"{r.recording} {r.topic}" for r in shown]
    if len(shown) > _CURVES:  # a legend of all would leave no room for the curves
        names, values = [f"{len(shown)} cameras and recordings"], [np.concatenate(values)]
    for name, flow in zip(names, values, strict=True):
        name = f"{name}: median {np.median(flow):.2f} %"
        # What is beyond the last bin is counted in it.
        axes.hist(flow.clip(max=limit), bins=bins.tolist(), histtype="step", label=name)
    axes.set_xlabel("motion from one kept frame to the next, % of the image width")
    axes.set_ylabel("frames")
    axes.legend(fontsize="small")
    write_atomically(path, lambda file: figure.savefig(file, dpi=110, format="png"))


def _describe_camera(report: CameraReport) -> str:
    """Describe one camera of one recording."""
    lines = [f"{report.recording}  {report.topic}"]
    lines.append(
        f"  {report.seen:,} frames, {report.kept:,} kept in {report.segments:,} "
        f"segment{'s' * (report.segments != 1)}; "
        f"{report.samples:,} samples at spacing {report.spacing}"
    )
    for title, numbers in (
        ("left out", report.left_out),
        ("segments ended", report.segment_ends),
        ("truth not usable", report.truth_problems),
    ):
        if numbers:
            ordered = sorted(numbers.items(), key=lambda item: -item[1])
            lines.append(f"  {title}: " + "; ".join(f"{n:,} {reason}" for reason, n in ordered))
    if report.kept:
        lines.append(
            f"  truth for {report.truth_frames:,} frames; poses for {report.pose_frames:,} frames "
            f"({report.poses_from})"
        )
    if report.pose_check:
        lines.append(f"  {_describe_poses(report.pose_check)}")
    if report.truth.get("depth_m"):
        lines.append(f"  {_describe_truth(report.truth)}")
    for join in report.joins:
        lines.append(f"  {join['what']}: {join['chosen'] or 'none'} ({join['why']})")
        lines.extend(f"    not {o['topic']}: {o['reason']}" for o in join["others"])
        if join["others"] and join["choose"]:
            lines.append(f"    to choose otherwise: {join['choose']}")
    if report.baseline:
        lines.append(f"  stereo baseline {abs(report.baseline):.4f} m: depth will be metric")
    if report.motion:
        steps = ", ".join(f"{m['spacing']}: {100 * m['flow']:.2f} %" for m in report.motion)
        lines.append(f"  motion by spacing, of the image width: {steps}")
    lines.extend(f"  note: {note}" for note in report.notes)
    verdict = report.verdict
    lines.append(f"  verdict: {verdict['summary']}")
    lines.extend(f"    because {reason}" for reason in verdict["reasons"])
    lines.extend(f"    advice: {advice}" for advice in verdict["advice"])
    return "\n".join(lines)


def _describe_truth(truth: dict[str, Any]) -> str:
    """Describe the ground truth in one line."""
    depth = truth["depth_m"]
    text = (
        f"truth from {truth['topic']} ({truth.get('encoding', 'points')}, "
        f"{truth['metres_per_unit']:g} m per unit"
        f"{', reprojected' * truth.get('reprojected', False)}): "
        f"{truth['valid_share']:.1%} of the pixels valid, depth 5/50/95 % "
        f"{depth['p5']:.2f}/{depth['p50']:.2f}/{depth['p95']:.2f} m"
    )
    agreement = truth.get("agreement") or {}
    if agreement:
        text += (
            f"; the motion of the images and the poses say {agreement['scale']:.2f} times this "
            f"depth ({agreement['pairs']} pairs)"
        )
    return text


def _describe_poses(check: dict[str, Any]) -> str:
    """Describe the check of the poses in one line."""
    text = str(check["summary"])
    if check.get("epipolar_pixels") is not None:
        text += f"; corners are {check['epipolar_pixels']:.2f} pixels from their epipolar lines"
    if check.get("offset_s") is not None and check["level"] == "agree":
        offset, deviation = 1000.0 * check["offset_s"], 1000.0 * check["offset_deviation_s"]
        text += f", offset of the stamps {offset:+.0f} ± {deviation:.0f} ms"
    return text


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    """Summarise a distribution."""
    if not values:
        return {}
    return {f"p{q}": round(float(np.percentile(values, q)), 5) for q in (5, 25, 50, 75, 95)}


def _colour_depth(depth: NDArray[np.float16], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Colour inverse depth, near is bright; black where unknown."""
    metres = cv2.resize(depth.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    known = metres > 0.0
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    if not known.any():
        return picture
    inverse = 1.0 / metres[known]
    low, high = np.percentile(inverse, _TRUTH_RANGE)
    near = ((inverse - low) / max(high - low, 1e-9)).clip(0.0, 1.0)
    level = (40.0 + 215.0 * near).astype(np.uint8)  # the map's darkest part looks unknown
    picture[known] = cv2.applyColorMap(level[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    return picture
