# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How steady depth is over a recording: flicker, drift of the scale, holes.

Flicker is measured between neighbouring frames: each pixel of a frame is moved by the camera's
motion into the next one, and its depth there is compared with the depth that is predicted there.
Only the pixels count that optical flow finds in both images. As the images alone decide this, all
that is compared is compared in the same places, and no prediction hides its own flicker, which it
would if depth itself were asked what is occluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from monodepth2_ros import geometry
from monodepth2_ros.preprocessing import crop_box
from training.evaluation.protocol import Frames, Predict, Progress, Protocol, Selection, truth_of
from training.frames.store import depth_size
from training.learning.flow import (
    average_cells,
    cell_size,
    consistent_flow,
    measure_flow,
    trusted_cells,
)
from training.learning.motion_from_flow import solve_motion
from training.metrics import ScaleDrift, hole_share, scale_drift, weighted_median

Floats = NDArray[np.float64]
Depth = NDArray[np.float32]

Box = tuple[int, int, int, int]

#: Where the motion between frames comes from: the first that there is.
MOTION_SOURCES = (
    "recorded poses",
    "optical flow and the truth",
    "optical flow and the prediction",
)

# No motion is solved from truth that is known in a smaller share of the pixels.
_DENSE = 0.5


@dataclass(frozen=True)
class JudgedPredictor:
    """Something that predicts depth, to be measured.

    Attributes
    ----------
    name : str
    predict : Predict
    far_depth : float, optional
        Predictions from here on are saturated; none are if it is not given. See
        :func:`training.evaluation.predictors.saturation_depth`.
    needs_truth : bool
        It predicts only for stores with truth.
    """

    name: str
    predict: Predict
    far_depth: float | None = None
    needs_truth: bool = False


@dataclass(frozen=True, eq=False)
class FramePair:
    """Two neighbouring frames, and what is known of them before any depth is predicted.

    Attributes
    ----------
    intrinsics : ndarray, shape (4, 4)
        In pixels of the depth.
    window : tuple of int
        x, y, width, height of the pixels of depth that are compared.
    visible : ndarray, shape (H, W), bool
        Pixels of the first frame's depth that flow finds in the second image.
    flow : CellFlow
    motion : ndarray, shape (4, 4), or None
        Takes points of the first camera's frame to the second's, metres; None where only the
        prediction and the flow can tell.
    """

    intrinsics: Floats
    window: Box
    visible: NDArray[np.bool_]
    flow: CellFlow
    motion: Floats | None


@dataclass(frozen=True, eq=False)
class CellFlow:
    """Optical flow inside the window, averaged over square cells.

    Attributes
    ----------
    flow : ndarray, shape (2, h, w), float32
        In pixels of the image.
    trusted : ndarray, shape (h, w), bool
        Cells that motion is solved from.
    intrinsics : ndarray, shape (4, 4)
        Intrinsics of the image inside the window.
    cell : int
        Side of a cell in pixels.
    size : tuple of int
        Width and height of the image inside the window.
    """

    flow: Depth
    trusted: NDArray[np.bool_]
    intrinsics: Floats
    cell: int
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class TemporalFigures:
    """What was measured of one candidate in one recording; NaN where it cannot be.

    Attributes
    ----------
    name : str
    flicker : ndarray, shape (P,)
        Median relative difference of each pair.
    compared : ndarray, shape (P,)
        Share of the window's pixels that are compared.
    scale : ndarray, shape (N,)
        median(truth) / median(prediction) of each frame.
    holes : ndarray, shape (N,)
        Share of the pixels with truth; see :func:`training.metrics.hole_share`.
    saturated : ndarray, shape (N,)
        Share of the window's pixels that are predicted at the far end of the range.
    """

    name: str
    flicker: Floats
    compared: Floats
    scale: Floats
    holes: Floats
    saturated: Floats


@dataclass(frozen=True, eq=False)
class RecordingSteadiness:
    """What was measured in one camera of one recording.

    Attributes
    ----------
    selection : int
        Index of the selection that it is part of.
    name : str
    frames : ndarray, shape (N,), int64
        In the store, ascending.
    stamps : ndarray, shape (N,), int64
    pairs : ndarray, shape (P, 2), int64
        Neighbouring frames of the store.
    motion : list of str
        Where the motion of each pair comes from, one of :data:`MOTION_SOURCES`.
    truth : TemporalFigures
        Flicker of the truth: what the measure shows where nothing flickers. All NaN without truth.
    candidates : tuple of TemporalFigures
    """

    selection: int
    name: str
    frames: Frames
    stamps: NDArray[np.int64]
    pairs: NDArray[np.int64]
    motion: list[str]
    truth: TemporalFigures
    candidates: tuple[TemporalFigures, ...]


@dataclass(frozen=True)
class TemporalSummary:
    """The figures that tables show; None where there are none.

    Attributes
    ----------
    flicker, flicker_p90 : float or None
        Median and 90th percentile of the pairs' flicker.
    compared : float or None
        Mean share of pixels.
    drift : ScaleDrift or None
    holes, saturated : float or None
        Means over the frames.
    """

    flicker: float | None
    flicker_p90: float | None
    compared: float | None
    drift: ScaleDrift | None
    holes: float | None
    saturated: float | None


def summarize_temporal(recording: RecordingSteadiness, figures: TemporalFigures) -> TemporalSummary:
    """Bring the figures of a candidate in a recording down to a few."""
    flicker = _known(figures.flicker)
    in_time = np.argsort(recording.stamps, kind="stable")
    scale = _known(figures.scale[in_time])
    return TemporalSummary(
        flicker=float(np.median(flicker)) if len(flicker) else None,
        flicker_p90=float(np.percentile(flicker, 90)) if len(flicker) else None,
        compared=_mean(figures.compared),
        drift=scale_drift(scale) if len(scale) else None,
        holes=_mean(figures.holes),
        saturated=_mean(figures.saturated),
    )


def evaluate_temporal(
    candidates: Sequence[JudgedPredictor],
    selections: Sequence[Selection],
    protocol: Protocol,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> tuple[RecordingSteadiness, ...]:
    """Measure how steady predictions are, recording by recording.

    Parameters
    ----------
    candidates : sequence of JudgedPredictor
    selections : sequence of Selection
        Neighbours are frames that follow each other in a segment of the store.
    protocol : Protocol
        Limits of the truth. The truth's scale is always found by medians.
    batch_size : int
    progress : callable, optional

    Returns
    -------
    tuple of RecordingSteadiness
    """
    recordings = []
    for number, selection in enumerate(selections):
        store = selection.store
        source = np.array(store.segment_source)[store.segment[selection.frames]]
        for index in np.unique(source).tolist():
            name = store.path.name
            if store.sources:
                name = f"{store.sources[index].recording} {store.sources[index].topic}"
            part = Selection(store, selection.frames[source == index], selection.window)
            recordings.append(
                _measure(candidates, number, name, part, protocol, batch_size, progress)
            )
    return tuple(recordings)


def neighbours(selection: Selection) -> NDArray[np.int64]:
    """Return the pairs of frames that follow each other in a segment, shape (P, 2)."""
    frames, segment = selection.frames, selection.store.segment
    is_pair = np.diff(frames) == 1
    is_pair &= segment[frames[1:]] == segment[frames[:-1]]
    return np.stack([frames[:-1][is_pair], frames[1:][is_pair]], axis=1)


def view_pair(
    selection: Selection, first: int, second: int, truth: Depth | None = None
) -> FramePair:
    """Find out what can be known of two frames before depth is predicted.

    Parameters
    ----------
    selection : Selection
    first, second : int
        Frames of its store.
    truth : ndarray, shape (Ht, Wt), optional
        Depth of the first frame, from :func:`training.evaluation.protocol.truth_of`. If no poses
        are recorded and it is dense, motion is solved from it.
    """
    store = selection.store
    height, width = depth_size(store)
    images = store.images[first], store.images[second]
    forward, backward = (measure_flow(*pair, cell=1) for pair in (images, images[::-1]))
    consistent = consistent_flow(forward, backward)
    camera = store.cameras[int(store.camera_index[first])]
    motion = np.linalg.inv(store.poses[second]) @ store.poses[first]
    box = crop_box(store.width, store.height, selection.window)
    view = FramePair(
        intrinsics=camera.resized(width, height).matrix4,
        window=crop_box(width, height, selection.window),
        visible=cv2.resize(
            consistent.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        ).astype(bool),
        flow=_cells(images[0], forward, consistent, camera.cropped(*box).matrix4, box),
        motion=motion if np.isfinite(motion).all() else None,
    )
    if view.motion is not None or truth is None or _share(truth > 0.0, view) < _DENSE:
        return view
    # What is unknown is taken for far: mostly it is the sky.
    filled = np.where(truth > 0.0, truth, truth.max())
    return replace(view, motion=camera_motion(view, filled, 1.0))


def camera_motion(view: FramePair, depth: Depth, metres: float) -> Floats:
    """Find the motion between two frames, in the unit of a depth image.

    Parameters
    ----------
    view : FramePair
    depth : ndarray, shape (H, W)
        Depth of the first frame, positive inside the window.
    metres : float
        Metres for a unit of depth. Where this is NaN and the motion is known, the length of the
        translation is the one that explains the flow best.

    Returns
    -------
    ndarray, shape (4, 4)
        Takes points of the first camera's frame to the second's.
    """
    flow = view.flow
    x, y, width, height = view.window
    disparity = cv2.resize(
        1.0 / depth[y : y + height, x : x + width], flow.size, interpolation=cv2.INTER_LINEAR
    )
    cells = 1.0 / average_cells(disparity, flow.cell)
    if view.motion is None:
        depths, flows, intrinsics = (
            torch.from_numpy(np.asarray(array, np.float64))[None]
            for array in (cells, flow.flow, flow.intrinsics)
        )
        trusted = torch.from_numpy(flow.trusted)[None]
        transform, _ = solve_motion(depths, flows, intrinsics, flow.cell, trusted=trusted)
        return transform[0].numpy()
    length = 1.0 / metres if np.isfinite(metres) else _translation_factor(view.motion, cells, flow)
    transform = view.motion.copy()
    transform[:3, 3] *= length
    return transform


def warp_depth(
    first: Depth, second: Depth, view: FramePair, transform: Floats
) -> tuple[Floats, Floats]:
    """Move a frame's points into the next one.

    Parameters
    ----------
    first, second : ndarray, shape (H, W)
        Depth; 0 where unknown.
    view : FramePair
    transform : ndarray, shape (4, 4)
        Takes points of the first camera's frame to the second's, in the unit of depth.

    Returns
    -------
    moved, found : ndarray, shape (H, W)
        The depth of each pixel's point in the second camera, and the second frame's depth where it
        lands there (interpolated in disparity, which is exact on planes). NaN in both where the
        two are not compared: unknown, not visible, or outside the window.
    """
    height, width = first.shape
    matrix, motion = (torch.from_numpy(array)[None] for array in (view.intrinsics, transform))
    depth = torch.from_numpy(first.astype(np.float64))[None, None]
    points = geometry.backproject(depth, torch.linalg.inv(matrix))
    moved = (motion @ points)[0, 2].reshape(height, width).numpy()
    grid = geometry.project(points, matrix, motion, height, width)
    with np.errstate(divide="ignore"):
        disparity = np.where(second > 0.0, 1.0 / second.astype(np.float64), np.nan)
    sampled = geometry.sample(torch.from_numpy(disparity)[None, None], grid)[0, 0].numpy()
    column, row = (0.5 * (grid[0].numpy() + 1.0) * (width - 1, height - 1)).transpose(2, 0, 1)
    x, y, box_width, box_height = view.window
    compared = np.zeros((height, width), bool)
    compared[y : y + box_height, x : x + box_width] = True
    compared &= view.visible & (first > 0.0) & (moved > 0.0) & np.isfinite(sampled)
    # Borders of the window, with room for the rounding of a point that does not move.
    rounding = 1e-6
    compared &= (column >= x - rounding) & (column <= x + box_width - 1 + rounding)
    compared &= (row >= y - rounding) & (row <= y + box_height - 1 + rounding)
    return np.where(compared, moved, np.nan), np.where(compared, 1.0 / sampled, np.nan)


def relative_difference(moved: Floats, found: Floats) -> float:
    """Return the median of |moved − found| / moved over the pixels compared; NaN without any."""
    compared = np.isfinite(moved)
    if not compared.any():
        return float("nan")
    return float(np.median(np.abs(moved[compared] - found[compared]) / moved[compared]))


def metres_per_unit(truth: Depth | None, depth: Depth) -> float:
    """Return median(truth) / median(prediction) over the pixels with truth; NaN without any."""
    if truth is None or not truth.any():
        return float("nan")
    return float(np.median(truth[truth > 0.0]) / np.median(depth[truth > 0.0]))


def _measure(
    candidates: Sequence[JudgedPredictor],
    number: int,
    name: str,
    selection: Selection,
    protocol: Protocol,
    batch_size: int,
    progress: Progress | None,
) -> RecordingSteadiness:
    """Measure all candidates in one recording, frame after frame."""
    store, frames, pairs = selection.store, selection.frames, neighbours(selection)
    has_truth = store.truth is not None
    measured = [c for c in candidates if has_truth or not c.needs_truth]
    result = RecordingSteadiness(
        number,
        name,
        frames,
        store.stamps[frames],
        pairs,
        [""] * len(pairs),
        _unmeasured("truth itself", len(pairs), len(frames)),
        tuple(_unmeasured(c.name, len(pairs), len(frames)) for c in measured),
    )
    pair_ending = {second: index for index, second in enumerate(pairs[:, 1].tolist())}
    before: Mapping[str, Depth] = {}
    truth_before: Depth | None = None
    for start in range(0, len(frames), batch_size):
        batch = frames[start : start + batch_size]
        predicted = {c.name: c.predict(store, batch) for c in measured}
        for place, frame in enumerate(batch.tolist()):
            depths = {name: images[place] for name, images in predicted.items()}
            truth = truth_of(selection, frame, protocol) if has_truth else None
            for candidate, figures in zip(measured, result.candidates, strict=True):
                _measure_frame(
                    candidate, figures, start + place, depths[candidate.name], truth, selection
                )
            if frame in pair_ending:
                index = pair_ending[frame]
                view = view_pair(selection, frame - 1, frame, truth_before)
                result.motion[index] = _motion_source(selection, frame, view)
                for figures in result.candidates:
                    first, second = before[figures.name], depths[figures.name]
                    transform = camera_motion(view, first, metres_per_unit(truth_before, first))
                    _measure_pair(figures, index, first, second, view, transform)
                if truth_before is not None and truth is not None and view.motion is not None:
                    _measure_pair(result.truth, index, truth_before, truth, view, view.motion)
            before, truth_before = depths, truth
        if progress is not None:
            progress(len(batch))
    return result


def _unmeasured(name: str, pairs: int, frames: int) -> TemporalFigures:
    """Make room for figures."""
    sizes = (pairs, pairs, frames, frames, frames)
    return TemporalFigures(name, *(np.full(size, np.nan) for size in sizes))


def _measure_frame(
    candidate: JudgedPredictor,
    figures: TemporalFigures,
    place: int,
    depth: Depth,
    truth: Depth | None,
    selection: Selection,
) -> None:
    """Measure what needs one frame alone."""
    if candidate.far_depth is not None:
        x, y, width, height = crop_box(depth.shape[1], depth.shape[0], selection.window)
        far = depth[y : y + height, x : x + width] >= candidate.far_depth
        figures.saturated[place] = far.mean()
    figures.scale[place] = metres = metres_per_unit(truth, depth)
    if truth is not None and np.isfinite(metres):
        figures.holes[place] = hole_share(truth[truth > 0.0], metres * depth[truth > 0.0])


def _measure_pair(
    figures: TemporalFigures,
    index: int,
    first: Depth,
    second: Depth,
    view: FramePair,
    transform: Floats,
) -> None:
    """Measure the flicker from one frame to the next."""
    moved, found = warp_depth(first, second, view, transform)
    figures.flicker[index] = relative_difference(moved, found)
    figures.compared[index] = _share(np.isfinite(moved), view)


def _motion_source(selection: Selection, frame: int, view: FramePair) -> str:
    """Say where the motion from a frame's predecessor to it comes from."""
    if view.motion is None:
        return MOTION_SOURCES[2]
    is_posed = np.isfinite(selection.store.poses[frame - 1 : frame + 1]).all()
    return MOTION_SOURCES[0 if is_posed else 1]


def _share(pixels: NDArray[np.bool_], view: FramePair) -> float:
    """Return the share of the window's pixels."""
    return float(np.count_nonzero(pixels)) / (view.window[2] * view.window[3])


def _cells(
    image: NDArray[np.uint8],
    flow: Depth,
    consistent: NDArray[np.bool_],
    intrinsics: Floats,
    box: Box,
) -> CellFlow:
    """Average flow over the cells of a window, and choose those to solve motion from."""
    x, y, width, height = box
    inside = np.s_[y : y + height, x : x + width]
    cell = cell_size(image.shape[1])
    trusted = trusted_cells(image[inside], consistent[inside], cell)
    cells = np.stack([average_cells(part[inside], cell) for part in flow])
    return CellFlow(cells, trusted, intrinsics, cell, (width, height))


def _translation_factor(motion: Floats, depth: Depth, flow: CellFlow) -> float:
    """Find the length of a known translation in the unit of depth, from the flow.

    A point X that moves to R X + s t and is seen at (x, y, 1) fulfils (R X + s t) × (x, y, 1) = 0.
    The s of least absolute error is the median of each equation's own, weighted by how much the
    translation matters in it.
    """
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] * flow.cell + 0.5 * (flow.cell - 1)
    inverse = np.linalg.inv(flow.intrinsics[:3, :3])
    pixels = np.stack([x, y, np.ones_like(x)])[:, flow.trusted]
    ends = pixels.copy()
    ends[:2] += flow.flow[:, flow.trusted]
    ends = inverse @ ends
    points = motion[:3, :3] @ (inverse @ pixels * depth[flow.trusted])
    shift = motion[:3, 3:]
    fixed = (points[:2] - ends[:2] * points[2]) / points[2]
    by_length = (shift[:2] - ends[:2] * shift[2]) / points[2]
    counted = (points[2] > 0.0) & (by_length != 0.0)
    if not counted.any():  # no translation at all
        return 0.0
    lengths, weights = -fixed[counted] / by_length[counted], np.abs(by_length[counted])
    return max(0.0, weighted_median(lengths, weights))


def _known(values: Floats) -> Floats:
    """Leave out what was not measured."""
    return values[np.isfinite(values)]


def _mean(values: Floats) -> float | None:
    """Average what was measured."""
    known = _known(values)
    return float(known.mean()) if len(known) else None
