# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The good and the bad of an evaluation in one picture, chosen by their error and not by hand."""

from __future__ import annotations

import cv2
import numpy as np

from monodepth2_ros.visualization.pictures import Panel, Picture, side_by_side
from training.evaluation.pictures import choose_shown_frames, frame_pictures
from training.evaluation.report import Report

_AREA = 240 * 160  # pixels of a panel


def as_png(report: Report) -> bytes:
    """Draw the frames from best to worst: image, truth, prediction and error.

    Parameters
    ----------
    report : Report
        With depth of at least one model.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ValueError
        If no depth was compared.
    """
    evaluations = [model.depth for model in report.models if model.depth is not None]
    if not evaluations:
        raise ValueError("--picture: no frame has truth, so there is none to choose by its error")
    rows: list[Picture] = []
    for label, place in choose_shown_frames(evaluations).items():
        figures = [e.scores[place].result.metrics["abs_rel"] for e in evaluations]
        words = " and ".join(f"{figure:.3f}" for figure in figures)
        panels = [
            Panel(f"{label}: abs_rel {words}" if name == "image" else name, picture)
            for name, picture in frame_pictures(report, place).items()
        ]
        rows.append(side_by_side(panels, _AREA))
    # Recordings may have images of different shapes.
    width = max(row.shape[1] for row in rows)
    padded = [cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], 0) for row in rows]
    is_written, data = cv2.imencode(".png", np.vstack(padded)[..., ::-1])
    assert is_written
    return data.tobytes()
