# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors of depth: known factors and hand-made errors are found, within the protocol's limits."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from evaluated_models import (
    CPU,
    HEIGHT,
    WIDTH,
    evaluated,
    make_store,
    robot_depths,
    some_images,
    whole,
    with_metadata,
)
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.preprocessing import remaining_crop
from training.evaluation.depth import (
    DISTANCES,
    Evaluation,
    FrameScore,
    evaluate_depth,
    summarize,
    win_share,
)
from training.evaluation.pictures import choose_shown_frames
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Protocol, Selection
from training.frames.store import FrameStore
from training.metrics import FrameResult


@pytest.mark.slow
def test_what_the_robot_publishes_is_without_error(tmp_path: Path, checkpoint: Checkpoint) -> None:
    # Images larger than the network's, truth of their size, a crop, one frame without truth.
    cropping = with_metadata(checkpoint, crop=(0.0, 0.25, 0.0, 0.125), scale=2.0)
    images = some_images(5, 2 * WIDTH, 2 * HEIGHT)
    truth = robot_depths(cropping, images)
    assert np.isnan(truth[:, :32]).all()
    assert np.nanstd(truth) > 0.15 * np.nanmean(truth)  # else agreement would mean little
    truth[3] = 0.0
    store = make_store(tmp_path / "frames", images, 1.7 * truth)
    protocol = Protocol()
    selection = Selection(store, np.arange(5), remaining_crop(store.crop, cropping.metadata.crop))
    found = evaluate_depth(
        "model", depth_predictor(cropping, CPU, protocol), [selection], protocol, batch_size=3
    )
    summary = summarize(found)
    assert (summary.frames, summary.without_truth) == (4, 1)
    assert [score.frame for score in found.scores] == [0, 1, 2, 4]
    assert summary.scale == pytest.approx(1.7, rel=2e-3)  # truth is stored in 16 bits
    assert summary.scale_spread < 2e-3
    assert summary.mean["abs_rel"] < 1e-3
    assert summary.mean["a1"] == 1.0
    assert {result.pixels for result in found.results} == {2 * WIDTH * (2 * HEIGHT - 32 - 16)}


@pytest.mark.slow
def test_scale_is_taken_as_the_protocol_says(tmp_path: Path, checkpoint: Checkpoint) -> None:
    metric = with_metadata(checkpoint, is_metric=True, scale=3.0)
    images = some_images(2)
    store = make_store(tmp_path / "frames", images, robot_depths(metric, images))
    far = {"max_depth": 1000.0}
    assert summarize(evaluated(metric, store, scaling="metric", **far)).mean["abs_rel"] < 1e-3
    median = summarize(evaluated(metric, store, scaling="median", **far))
    assert median.mean["abs_rel"] < 2e-3
    assert median.scale == pytest.approx(1.0, rel=2e-3)
    unscaled = summarize(evaluated(metric, store, scaling="none", **far))
    assert unscaled.mean["abs_rel"] == pytest.approx(2 / 3, rel=2e-3)
    assert unscaled.scale == pytest.approx(3.0, rel=2e-3)


def four_pixels(path: Path) -> FrameStore:
    truth = np.array([[[2.0, 2.0], [2.0, 8.0]]])
    return make_store(path, np.zeros((1, 32, 32, 3), np.uint8), truth)


def predict_four(store: FrameStore, frames: np.ndarray) -> np.ndarray:
    return np.array([[[1.0, 2.0], [4.0, 8.0]]], np.float32)


def test_four_pixels_by_hand(tmp_path: Path) -> None:
    store = four_pixels(tmp_path / "frames")
    found = evaluate_depth("four", predict_four, [whole(store)], Protocol(scaling="none"))
    (result,) = found.results
    assert result.metrics == pytest.approx(
        {
            "abs_rel": (0.5 + 0 + 1 + 0) / 4,
            "sq_rel": (0.5 + 0 + 2 + 0) / 4,
            "rmse": math.sqrt(5 / 4),
            "rmse_log": math.sqrt(2 * math.log(2) ** 2 / 4),
            "a1": 0.5,
            "a2": 0.5,
            "a3": 0.5,  # 2 is above 1.25³
        }
    )
    assert result.scale_ratio == pytest.approx(2 / 3)
    by_distance = dict(zip(DISTANCES[:-1], found.by_distance.tolist(), strict=True))
    assert by_distance[2.0] == pytest.approx([1.5, 3])
    assert by_distance[8.0] == [0.0, 1]
    assert found.by_distance[:, 1].sum() == 4

    scaled = evaluate_depth("four", predict_four, [whole(store)], Protocol())
    # 2/3, 4/3, 8/3, 16/3 against 2, 2, 2, 8.
    errors = [2 / 3, 1 / 3, 1 / 3, 1 / 3]
    assert scaled.values("abs_rel") == pytest.approx([np.mean(errors)])
    assert scaled.by_distance[:, 0].sum() == pytest.approx(sum(errors))


def test_error_at_outlines_by_hand(tmp_path: Path) -> None:
    """A board in front of a wall, predicted 10 % too far near its outline and right elsewhere."""
    truth = np.full((1, 40, 60), 4.0)
    truth[:, :, 30:] = 2.0
    store = make_store(tmp_path / "frames", np.zeros((1, 32, 32, 3), np.uint8), truth)
    depth = truth.copy()
    depth[:, :, 26:34] *= 1.1  # of the 18 columns around columns 29 and 30
    predict = lambda store, frames: depth.astype(np.float32)  # noqa: E731
    found = evaluate_depth("blurred", predict, [whole(store)], Protocol(scaling="none"))
    total, count = found.at_outlines
    assert count == 18 * 40
    assert total == pytest.approx(0.1 * 8 * 40, rel=1e-5)


def test_limits_and_clipping(tmp_path: Path) -> None:
    store = four_pixels(tmp_path / "frames")
    capped = Protocol(scaling="none", min_depth=1.5, max_depth=3.0)
    found = evaluate_depth("four", predict_four, [whole(store)], capped)
    # 8 m is beyond the cap; 1 becomes 1.5 and 4 becomes 3.
    assert found.results[0].pixels == 3
    assert found.values("abs_rel") == pytest.approx([(0.25 + 0 + 0.5) / 3])
    nothing = evaluate_depth(
        "four", predict_four, [whole(store)], Protocol(min_depth=10.0, max_depth=20.0)
    )
    assert (nothing.scores, nothing.without_truth) == ((), 1)


def test_the_garg_crop_and_the_window_decide_what_counts(tmp_path: Path) -> None:
    height, width = 100, 200
    truth = np.full((1, height, width), 50.0)
    truth[:, 40:99, 7:192] = 2.0  # Garg: rows 40.8… to 99.2…, columns 7.2 to 192.8
    truth[:, 40:99, 7:20] = 4.0
    store = make_store(tmp_path / "frames", np.zeros((1, 32, 64, 3), np.uint8), truth)

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        return np.full((1, height, width), 2.0, np.float32)

    rules = Protocol(scaling="none", garg_crop=True)
    found = evaluate_depth("two", predict, [whole(store)], rules)
    assert found.results[0].pixels == 59 * 185
    assert found.values("abs_rel") == pytest.approx([0.5 * 13 / 185])
    # The window takes away the first tenth, where the truth is 4.
    selection = Selection(store, np.arange(1), (0.1, 0.0, 0.0, 0.0))
    inside = evaluate_depth("two", predict, [selection], rules)
    assert inside.results[0].pixels == 59 * 172
    assert inside.values("abs_rel") == pytest.approx([0.0])


def test_who_wins_more_frames() -> None:
    def scored(values: list[float]) -> Evaluation:
        scores = []
        for frame, value in enumerate(values):
            metrics = {"abs_rel": value, "a1": value}
            scores.append(FrameScore(0, frame, FrameResult(metrics, 1.0, 1)))
        return Evaluation("scored", tuple(scores), 0, np.zeros((len(DISTANCES) - 1, 2)))

    first, second = scored([0.1, 0.2, 0.3, 0.4]), scored([0.2, 0.2, 0.2, 0.5])
    assert win_share(first, second) == (1 + 0.5 + 0 + 1) / 4
    assert win_share(first, second, "a1") == 1 - (1 + 0.5 + 0 + 1) / 4
    with pytest.raises(ValueError, match="different frames"):
        win_share(first, scored([0.1]))
    leads = choose_shown_frames([first, dataclasses.replace(second, name="rival")])
    assert leads["rival ahead by most"] == 2
    assert leads["scored ahead by most"] in (0, 3)
    single = choose_shown_frames([scored([0.5, 0.1, 0.3, 0.9, 0.2])])
    assert list(single.values()) == [1, 4, 2, 0, 3]
