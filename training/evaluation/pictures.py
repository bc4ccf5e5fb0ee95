# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation: depth, errors and flicker of chosen frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from monodepth2_ros.coloring import colorize, disparity_range
from training.evaluation.depth import Evaluation
from training.evaluation.protocol import aligned_depth, truth_of
from training.evaluation.report import Report
from training.evaluation.steadiness import (
    RecordingSteadiness,
    camera_motion,
    metres_per_unit,
    view_pair,
    warp_depth,
)

#: Ends of the error colours: this factor too near or too far.
ERROR_FACTOR = 1.5


# Neighbours that differ by this factor have full colour in the pictures of flicker.
FLICKER_FACTOR = 1.2


_SPARSE = 0.25  # truth known in a smaller share of the pixels is drawn with larger dots


Image = NDArray[np.uint8]


def choose_shown_frames(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """Choose the frames to look at.

    For one model, frames from its best abs_rel to its worst; for two, from the first one's greatest
    lead to the second one's.

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


def pair_pictures(
    report: Report, recording: RecordingSteadiness, first: int, second: int
) -> dict[str, Image]:
    """Paint two neighbouring frames: the image, each model's depth of both, and the change.

    Parameters
    ----------
    report : Report
    recording : RecordingSteadiness
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
        pictures[f"change{of}"] = error_picture(moved, found, FLICKER_FACTOR)
    return pictures


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
