# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.geometry import rotation_matrix
from paths import DATA
from training.metrics import (
    GARG_CROP,
    METRICS,
    depth_metrics,
    evaluate_frame,
    flip_postprocess,
    mean_metrics,
    odometry_errors,
    scale_statistics,
    snippet_error,
    valid_mask,
)

GOLDEN = DATA / "golden.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    names = ("metric_gt", "metric_pred", "metric_values", "ate_gt", "ate_pred", "ate_value")
    names += ("flip_disp_a", "flip_disp_b", "flip_postprocessed")
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in names}


def test_golden_depth_metrics(golden: dict[str, np.ndarray]) -> None:
    values = depth_metrics(golden["metric_gt"], golden["metric_pred"])
    assert tuple(values) == METRICS
    np.testing.assert_allclose(list(values.values()), golden["metric_values"], rtol=1e-6)


def test_tensors_are_taken(golden: dict[str, np.ndarray]) -> None:
    truth, prediction = torch.tensor(golden["metric_gt"]), torch.tensor(golden["metric_pred"])
    expected = depth_metrics(golden["metric_gt"], golden["metric_pred"])
    assert depth_metrics(truth, prediction.requires_grad_()) == expected


def test_depth_metrics_in_closed_form() -> None:
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    values = depth_metrics(truth, 1.2 * truth)
    assert values["abs_rel"] == pytest.approx(0.2)
    assert values["sq_rel"] == pytest.approx(0.04 * truth.mean())
    assert values["rmse"] == pytest.approx(0.2 * np.sqrt(np.mean(truth**2)))
    assert values["rmse_log"] == pytest.approx(np.log(1.2))
    assert (values["a1"], values["a2"], values["a3"]) == (1.0, 1.0, 1.0)
    values = depth_metrics(truth, truth * [1.0, 1.3, 1 / 1.6, 2.0])
    assert (values["a1"], values["a2"], values["a3"]) == (0.25, 0.5, 0.75)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.ones(3), np.ones(4), "differ"),
        (np.ones(0), np.ones(0), "no depth"),
        (np.zeros(3), np.ones(3), "positive"),
        (np.ones(3), np.array([1.0, np.nan, 1.0]), "positive"),
    ],
)
def test_depth_metrics_refuses(truth: np.ndarray, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        depth_metrics(truth, prediction)


def test_valid_mask_and_garg_crop() -> None:
    truth = np.full((375, 1242), 10.0)
    truth[200, 600:604] = [0.0, 1e-3, 80.0, np.nan]
    assert valid_mask(truth).sum() == truth.size - 4
    mask = valid_mask(np.full((375, 1242), 10.0), crop=GARG_CROP)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (rows[0], rows[-1] + 1) == (153, 371)
    assert (columns[0], columns[-1] + 1) == (44, 1197)
    assert mask.sum() == (371 - 153) * (1197 - 44)


def test_evaluate_frame_scales_by_the_median_and_clips() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.0, 50.0, (20, 30))
    truth[:5] = 0.0
    result = evaluate_frame(truth, truth / 4 + (truth == 0))
    assert result is not None
    assert result.scale_ratio == pytest.approx(4.0)
    assert result.pixels == 450
    assert result.metrics["abs_rel"] == pytest.approx(0.0, abs=1e-12)
    unscaled = evaluate_frame(truth, truth / 4 + (truth == 0), median_scaling=False)
    assert unscaled is not None
    assert unscaled.metrics["abs_rel"] == pytest.approx(0.75)
    far = evaluate_frame(truth, np.full_like(truth, 1e6), median_scaling=False)
    assert far is not None
    valid = truth[5:]
    assert far.metrics["abs_rel"] == pytest.approx(np.mean((80 - valid) / valid))
    assert evaluate_frame(np.zeros((4, 4)), np.ones((4, 4))) is None
    mean = mean_metrics([result, unscaled])
    assert mean["abs_rel"] == pytest.approx(0.375)


def test_scale_statistics() -> None:
    median, spread = scale_statistics([9.0, 10.0, 11.0])
    assert median == 10.0
    assert spread == pytest.approx(np.std([0.9, 1.0, 1.1]))


def test_golden_flip_postprocessing(golden: dict[str, np.ndarray]) -> None:
    blended = flip_postprocess(golden["flip_disp_a"], golden["flip_disp_b"])
    np.testing.assert_allclose(blended, golden["flip_postprocessed"], rtol=1e-9)


def test_golden_odometry(golden: dict[str, np.ndarray]) -> None:
    error = snippet_error(golden["ate_gt"], golden["ate_pred"])
    assert error == pytest.approx(float(golden["ate_value"]), rel=1e-9)


def trajectory(count: int = 12) -> np.ndarray:
    """A curved path, world from camera."""
    turns = torch.zeros(count, 3, dtype=torch.float64)
    turns[:, 1] = torch.linspace(0, 1.0, count)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = rotation_matrix(turns).numpy()
    poses[:, 0, 3] = np.sin(np.linspace(0, 2, count))
    poses[:, 2, 3] = np.linspace(0, 5, count)
    return poses


def test_odometry_knows_no_world_and_no_scale() -> None:
    truth = trajectory()
    world = trajectory(3)[2]
    moved = world @ truth
    moved[:, :3, 3] *= 7.0
    errors = odometry_errors(truth, moved)
    assert errors.shape == (8,)
    np.testing.assert_allclose(errors, 0.0, atol=1e-12)


def test_odometry_of_a_standing_prediction() -> None:
    truth = trajectory()
    still = np.tile(np.eye(4), (12, 1, 1))
    local = np.linalg.inv(truth[0]) @ truth[:5]
    expected = np.linalg.norm(local[:, :3, 3]) / 5
    assert odometry_errors(truth, still)[0] == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least 5"):
        odometry_errors(truth[:4], still[:4])
