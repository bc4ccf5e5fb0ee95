# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steadiness, measured where it is known: a slanted wall in closed form, and factors put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.evaluation.predictors import constant_predictor
from training.evaluation.protocol import Predict, Protocol, Selection
from training.evaluation.steadiness import (
    MOTION_SOURCES,
    JudgedPredictor,
    camera_motion,
    evaluate_temporal,
    neighbours,
    summarize_temporal,
    view_pair,
    warp_depth,
)
from training.frames.store import FrameStore, Source
from training.frames.writer import write_frame_store
from training.learning.flow import consistent_flow
from training.metrics import hole_share, scale_drift

WIDTH, HEIGHT, FOCAL = 160, 96, 110.0
CAMERA = PinholeCamera(WIDTH, HEIGHT, FOCAL, FOCAL, 77.0, 50.0)
POSES, TRUTH_AND_FLOW, FLOW = MOTION_SOURCES


def wall(pose: np.ndarray, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Image and depth of the wall z = 4 + 0.3 x (world), seen from a pose; exact at each pixel."""
    v, u = (np.mgrid[: HEIGHT * scale, : WIDTH * scale] + 0.5) / scale - 0.5
    rays = np.stack([(u - CAMERA.cx) / FOCAL, (v - CAMERA.cy) / FOCAL, np.ones_like(u)], axis=-1)
    directions = rays @ pose[:3, :3].T
    x, y, z = pose[:3, 3]
    depth = (4.0 + 0.3 * x - z) / (directions[..., 2] - 0.3 * directions[..., 0])
    across, up = x + depth * directions[..., 0], y + depth * directions[..., 1]
    shade = np.zeros_like(depth)
    generator = np.random.default_rng(1)
    for frequency in (4.0, 7.0, 11.0, 17.0):
        for _ in range(3):
            angle, phase = generator.uniform(0, 2 * np.pi, 2)
            shade += np.sin(frequency * (np.cos(angle) * across + np.sin(angle) * up) + phase)
    image = (128 + 20 * shade).clip(0, 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=2), depth


def path(count: int) -> np.ndarray:
    """Fly ahead and to the side while turning."""
    poses = np.repeat(np.eye(4)[None], count, axis=0)
    for i, pose in enumerate(poses):
        yaw = 0.01 * i
        pose[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
        pose[:3, 3] = 0.04 * i, -0.01 * i, 0.06 * i
    return poses


def wall_store(
    folder: Path, count: int = 6, posed: bool = True, with_truth: bool = True
) -> FrameStore:
    poses = path(count)
    views = [wall(pose) for pose in poses]
    return write_frame_store(
        folder,
        np.stack([image for image, _ in views]),
        [CAMERA],
        poses=poses if posed else None,
        truth=np.stack([depth for _, depth in views]) if with_truth else None,
        sources=[Source("wall", "/image")],
    )


def scaled_truth(factors: np.ndarray) -> Predict:
    """Predict the exact depth, each frame times its factor."""

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        poses = path(len(factors))
        depth = [factors[frame] * wall(poses[frame])[1] for frame in frames.tolist()]
        return np.stack(depth).astype(np.float32)

    return predict


def whole(store: FrameStore) -> Selection:
    return Selection(store, np.arange(len(store)))


def test_perfect_depth_does_not_flicker(tmp_path: Path) -> None:
    store = wall_store(tmp_path / "wall")
    perfect = JudgedPredictor("perfect", scaled_truth(np.ones(6)))
    (recording,) = evaluate_temporal([perfect], [whole(store)], Protocol(), batch_size=4)
    assert recording.name == "wall /image"
    assert recording.motion == [POSES] * 5
    (figures,) = recording.candidates
    # Disparity is linear on a plane: there is no error of interpolation.
    assert figures.flicker.max() < 2e-4  # the median ratio is that of truth in 16 bits
    assert recording.truth.flicker.max() < 5e-4
    assert figures.compared.min() > 0.8
    # The constant errs by what the depth changes within 6 cm, and more.
    constant = JudgedPredictor("constant", constant_predictor)
    (recording,) = evaluate_temporal([constant], [whole(store)], Protocol())
    assert recording.candidates[0].flicker.min() > 0.01


def test_poses_taken_the_wrong_way_round_are_noticed(tmp_path: Path) -> None:
    store = wall_store(tmp_path / "wall")
    depth = scaled_truth(np.ones(6))(store, np.arange(2))
    view = view_pair(whole(store), 0, 1)
    errors = []
    assert view.motion is not None
    back = np.asarray(np.linalg.inv(view.motion), np.float64)
    for motion in (view.motion, back):
        moved, found = warp_depth(depth[0], depth[1], view, motion)
        errors.append(np.nanmedian(np.abs(moved - found) / moved))
    assert errors[0] < 1e-6
    assert errors[1] > 0.01


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_alternating_factors_flicker_by_their_ratio(tmp_path: Path, scale: float) -> None:
    store = wall_store(tmp_path / "wall")
    factors = scale * np.array([1.1, 0.9, 1.1, 0.9, 1.1, 0.9])
    candidate = JudgedPredictor("alternating", scaled_truth(factors))
    (recording,) = evaluate_temporal([candidate], [whole(store)], Protocol())
    (figures,) = recording.candidates
    down, up = 1 - 0.9 / 1.1, 1.1 / 0.9 - 1
    assert figures.flicker == pytest.approx([down, up, down, up, down], abs=1e-3)
    summary = summarize_temporal(recording, figures)
    assert summary.flicker == pytest.approx(down, abs=1e-3)
    assert summary.flicker_p90 == pytest.approx(up, abs=1e-3)
    assert figures.scale == pytest.approx(1 / factors, rel=1e-3)


def test_a_scale_that_creeps_is_drift_and_no_flicker(tmp_path: Path) -> None:
    store = wall_store(tmp_path / "wall", 10)
    ratios = np.linspace(1.0, 1.18, 10)
    candidate = JudgedPredictor("creeping", scaled_truth(1 / ratios))
    (recording,) = evaluate_temporal([candidate], [whole(store)], Protocol())
    summary = summarize_temporal(recording, recording.candidates[0])
    assert summary.flicker is not None
    assert summary.flicker == pytest.approx(0.02 / 1.09, abs=2e-3)  # of one step
    assert summary.drift is not None
    assert summary.drift.median == pytest.approx(1.09, rel=1e-3)
    assert summary.drift.trend == pytest.approx(1.17 / 1.01, rel=1e-3)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_without_truth_the_recorded_translation_is_scaled_by_the_flow(
    tmp_path: Path, factor: float
) -> None:
    store = wall_store(tmp_path / "wall", with_truth=False)
    predict = scaled_truth(np.full(6, factor))
    depth = predict(store, np.array([2]))[0]
    motion = camera_motion(view_pair(whole(store), 2, 3), depth, float("nan"))
    poses = path(6)
    true = np.linalg.inv(poses[3]) @ poses[2]
    assert motion[:3, 3] == pytest.approx(factor * true[:3, 3], rel=0.03)
    assert motion[:3, :3] == pytest.approx(true[:3, :3])
    (recording,) = evaluate_temporal([JudgedPredictor("p", predict)], [whole(store)], Protocol())
    assert recording.motion == [POSES] * 5
    summary = summarize_temporal(recording, recording.candidates[0])
    assert summary.flicker is not None
    assert summary.flicker < 2e-3
    assert (summary.drift, summary.holes) == (None, None)
    assert summarize_temporal(recording, recording.truth).flicker is None


@pytest.mark.parametrize(("with_truth", "source"), [(True, TRUTH_AND_FLOW), (False, FLOW)])
def test_without_poses_motion_is_solved_from_flow(
    tmp_path: Path, with_truth: bool, source: str
) -> None:
    store = wall_store(tmp_path / "wall", posed=False, with_truth=with_truth)
    factors = 2.0 * np.array([1.1, 0.9, 1.1, 0.9, 1.1, 0.9])
    candidates = [
        JudgedPredictor("perfect", scaled_truth(np.full(6, 2.0))),
        JudgedPredictor("alternating", scaled_truth(factors)),
        JudgedPredictor("constant", constant_predictor, needs_truth=True),
    ]
    (recording,) = evaluate_temporal(candidates, [whole(store)], Protocol())
    assert recording.motion == [source] * 5
    perfect, alternating, *others = recording.candidates
    assert perfect.flicker.max() < 0.005
    down, up = 1 - 0.9 / 1.1, 1.1 / 0.9 - 1
    assert alternating.flicker == pytest.approx([down, up, down, up, down], abs=0.01)
    assert len(others) == with_truth
    assert np.isfinite(recording.truth.flicker).all() == with_truth


def test_truth_of_another_size_than_the_images(tmp_path: Path) -> None:
    poses = path(3)
    store = write_frame_store(
        tmp_path / "large",
        np.stack([wall(pose)[0] for pose in poses]),
        [CAMERA],
        poses=poses,
        truth=np.stack([wall(pose, 2)[1] for pose in poses]),
    )
    (recording,) = evaluate_temporal([], [whole(store)], Protocol())
    assert recording.truth.flicker.max() < 5e-4
    assert recording.truth.compared.min() > 0.8
    assert recording.name == "large"


def test_holes_and_saturation_are_shares(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    camera = PinholeCamera(64, 64, 50.0, 50.0, 32.0, 32.0)
    truth = np.full((2, 64, 64), 2.0)
    truth[1] = 0.0
    store = write_frame_store(tmp_path / "frames", images, [camera], truth=truth)

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        depth = np.ones((len(frames), 64, 64), np.float32)
        depth[:, :16] = 2.9  # far, but no hole
        depth[:, 16:24] = 3.1
        depth[:, 24:28] = 1e6
        return depth

    half = Selection(store, np.arange(2), (0.5, 0.0, 0.0, 0.0))
    candidate = JudgedPredictor("holed", predict, far_depth=3.0)
    (recording,) = evaluate_temporal([candidate], [half], Protocol())
    (figures,) = recording.candidates
    assert figures.scale == pytest.approx([2.0, np.nan], nan_ok=True)
    assert figures.holes == pytest.approx([12 / 64, np.nan], nan_ok=True)
    assert figures.saturated == pytest.approx([12 / 64, 12 / 64])
    summary = summarize_temporal(recording, figures)
    assert (summary.holes, summary.saturated) == pytest.approx((12 / 64, 12 / 64))


def test_what_is_outside_the_window_is_not_compared(tmp_path: Path) -> None:
    store = wall_store(tmp_path / "wall", 2)
    inner = Selection(store, np.arange(2), (0.25, 0.0, 0.0, 0.25))
    exact = scaled_truth(np.ones(2))

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        depth = exact(store, frames)
        depth[:, :, : WIDTH // 4] = 100.0
        depth[:, 3 * HEIGHT // 4 :] = 100.0
        return depth

    depths = predict(store, np.arange(2))
    view = view_pair(inner, 0, 1)
    assert view.motion is not None
    moved, found = warp_depth(depths[0], depths[1], view, view.motion)
    assert np.isnan(moved[:, : WIDTH // 4]).all()
    assert np.isnan(moved[3 * HEIGHT // 4 :]).all()
    compared = np.isfinite(moved)
    assert 0.7 < compared.sum() / (WIDTH * HEIGHT * 9 / 16) < 1.0
    assert moved[compared] == pytest.approx(found[compared], rel=1e-5)


def test_neighbours_share_a_segment_and_are_chosen(tmp_path: Path) -> None:
    store = write_frame_store(
        tmp_path / "frames",
        np.zeros((7, 32, 32, 3), np.uint8),
        [PinholeCamera(32, 32, 30.0, 30.0, 16.0, 16.0)],
        segment=np.array([0, 0, 0, 1, 1, 1, 1]),
    )
    selection = Selection(store, np.array([0, 1, 2, 3, 4, 6]))
    assert neighbours(selection).tolist() == [[0, 1], [1, 2], [3, 4]]
    assert neighbours(Selection(store, np.array([], np.int64))).shape == (0, 2)


def test_flow_must_come_back() -> None:
    forward = np.zeros((2, 20, 30), np.float32)
    forward[0] = 4.0
    backward = -forward
    backward[0, 5:10, 10:20] = 4.0  # goes on instead
    expected = np.ones((20, 30), bool)
    expected[:, 26:] = False  # left the image
    expected[5:10, 6:16] = False
    assert np.array_equal(consistent_flow(forward, backward), expected)


def test_the_scale_of_a_ramp() -> None:
    ramp = np.linspace(2.0, 3.0, 101)
    drift = scale_drift(ramp)
    assert drift.median == 2.5
    assert drift.spread == pytest.approx(0.34 / 2.5)
    assert drift.deviation == pytest.approx(np.sqrt((101**2 - 1) / 12) / 100 / 2.5)
    assert drift.trend == pytest.approx(2.905 / 2.095)  # of 20 frames each
    outlier = scale_drift([*ramp, 1000.0])
    assert outlier.spread == pytest.approx(drift.spread, rel=0.03)
    assert outlier.deviation > 10
    assert scale_drift([1.0, 2.0, 3.0, 4.0]).trend is None


def test_holes_begin_beyond_three_times() -> None:
    assert hole_share([1.0, 2.0, 3.0, 4.0], [3.0, 6.1, 1.0, 100.0]) == 0.5


def test_drift_is_in_the_order_of_time(tmp_path: Path) -> None:
    # The later segment is stored first.
    truth = np.repeat([5.0, 6.0, 7.0, 1.0, 2.0, 3.0, 4.0], 32 * 32).reshape(7, 32, 32)
    store = write_frame_store(
        tmp_path / "frames",
        np.zeros((7, 32, 32, 3), np.uint8),
        [PinholeCamera(32, 32, 30.0, 30.0, 16.0, 16.0)],
        stamps=np.array([50, 60, 70, 10, 20, 30, 40]),
        segment=np.array([0, 0, 0, 1, 1, 1, 1]),
        truth=truth,
    )
    constant = JudgedPredictor("constant", constant_predictor)
    (recording,) = evaluate_temporal([constant], [whole(store)], Protocol())
    drift = summarize_temporal(recording, recording.candidates[0]).drift
    assert drift is not None
    assert drift.trend == pytest.approx(7.0)
    assert len(recording.pairs) == 5
