# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run that has gone wrong is stopped, with the cause; one that has not is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from monodepth2_ros.camera import PinholeCamera
from training.frames.writer import write_frame_store
from training.learning.depth_and_motion import Predictions
from training.learning.health import (
    CONSTANT,
    PATIENCE,
    STANDING,
    Health,
    TrainingFailure,
    depth_spread,
    explain_not_finite,
    weights_are_finite,
)
from training.learning.options import TrainOptions
from training.learning.processes import Processes
from training.learning.trainer import Trainer

FLAT, VARIED = 0.5 * CONSTANT, 2 * CONSTANT
STILL, MOVING = 0.5 * STANDING, 2 * STANDING


def watch(readings: Sequence[tuple[float, float]]) -> None:
    """Take readings at steps 20, 40 …"""
    health = Health()
    for i, (spread, moving) in enumerate(readings):
        health.check(20 * (i + 1), spread, moving)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ((FLAT, MOVING), ["collapsed to a constant", "0.050 %", "intrinsics", "--learning-rate"]),
        ((VARIED, STILL), ["nothing moves", "0.10 %", "--spacing", "--min-flow"]),
        ((0.0, 0.0), ["nothing moves"]),  # a standing camera is why the depth is constant
    ],
)
def test_a_verdict_needs_several_readings_in_a_row(
    bad: tuple[float, float], words: list[str]
) -> None:
    good = (VARIED, MOVING)
    watch([bad] * (PATIENCE - 1) + [good] + [bad] * (PATIENCE - 1))
    with pytest.raises(TrainingFailure) as caught:
        watch([good, *[bad] * (PATIENCE - 1), good, *[bad] * PATIENCE])
    assert f"step {20 * (2 * PATIENCE + 1)}:" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_two_counts_are_kept_apart() -> None:
    """Neither of two faults that take turns is there for long."""
    watch([(FLAT, MOVING), (VARIED, STILL)] * PATIENCE)
    health = Health()
    health.check(1, FLAT, STILL)
    health.check(2, FLAT, MOVING)
    assert (health.constant, health.standing) == (2, 0)


def test_the_limits_themselves_are_healthy() -> None:
    watch([(CONSTANT, STANDING)] * (3 * PATIENCE))


def test_depth_spread_is_relative_to_the_mean() -> None:
    depth = np.random.default_rng(0).uniform(0.5, 50.0, (3, 1, 6, 8))
    disparity = (1 / depth - 1 / 80) / (1 / 0.2 - 1 / 80)
    spread = depth_spread(torch.from_numpy(disparity), 0.2, 80.0)
    expected = np.mean([image.std(ddof=1) / image.mean() for image in depth])
    assert spread.item() == pytest.approx(expected, rel=1e-5)
    # The unit of depth does not matter, and constant depth has none.
    scaled = depth_spread(torch.from_numpy(disparity), 2.0, 800.0)
    assert scaled.item() == pytest.approx(expected, rel=1e-5)
    assert depth_spread(torch.full((2, 1, 6, 8), 0.3), 0.1, 100.0).item() < 1e-6


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["0.weight", "1.bias", "1.running_mean", "1.running_var"])
def test_a_single_weight_or_statistic_is_noticed(name: str, value: float) -> None:
    model = network()
    assert weights_are_finite(model)
    model.state_dict()[name].view(-1)[-1] = value
    assert not weights_are_finite(model)


def test_infinities_of_both_signs_do_not_cancel() -> None:
    model = network()
    bias = model.state_dict()["1.bias"]
    bias[0], bias[1] = float("inf"), float("-inf")
    assert not weights_are_finite(model)


def given() -> dict[str, Any]:
    """Return what `explain_not_finite` takes, all well."""
    return {
        "model": network(),
        "images": torch.rand(2, 3, 3, 8, 8),
        "intrinsics": torch.eye(4).repeat(2, 1, 1),
        "predictions": Predictions(
            [torch.rand(2, 1, 8 >> scale, 8 >> scale) for scale in range(4)],
            [torch.eye(4).repeat(2, 1, 1) for _ in range(2)],
            None,
        ),
    }


def part(values: dict[str, Any], name: str) -> Tensor:
    predictions = values["predictions"]
    return {
        "images": values["images"],
        "intrinsics": values["intrinsics"],
        "weight": values["model"].state_dict()["0.weight"],
        "disparity": predictions.disparities[2],
        "motion": predictions.transforms[1],
    }[name]


# In the order in which one breaks the next: the first broken one is the culprit.
CULPRITS = {
    "images": "the images hold values that are not finite",
    "intrinsics": "the intrinsics hold values that are not finite",
    "weight": "1 weights are not finite (0.weight is the first): the step before was too large",
    "disparity": "the disparity of scale 2 is not finite though all weights are",
    "motion": "the motion to source 1 is not finite though all weights are",
}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", CULPRITS)
def test_the_culprit_is_named(name: str, value: float) -> None:
    values = given()
    part(values, name).view(-1)[-1] = value
    assert explain_not_finite(**values).startswith(CULPRITS[name])
    for later in list(CULPRITS)[list(CULPRITS).index(name) + 1 :]:
        part(values, later).view(-1)[0] = value
    assert explain_not_finite(**values).startswith(CULPRITS[name])


def test_a_loss_that_overflows_by_itself_is_named() -> None:
    assert "the loss itself overflowed" in explain_not_finite(**given())


# --- in a run ---

NARROW = pytest.mark.usefixtures("narrow_networks")


def trainer_for(path: Path, images: np.ndarray, **rest: Any) -> Trainer:
    size = images.shape[1]
    camera = PinholeCamera(size, size, 50.0, 50.0, (size - 1) / 2, (size - 1) / 2)
    write_frame_store(path / "store", images, [camera])
    options = TrainOptions(
        data=(str(path / "store"),),
        out=str(path / "run"),
        init="none",
        pose="posecnn",
        batch_size=1,
        steps=2 * PATIENCE,
        log_every=1,
        validation_fraction=0.0,
        motion_steps=0,
        coarse_steps=0,
        jitter_probability=0.0,
        tensorboard=False,
        loader_threads=1,
    )
    (path / "run").mkdir()
    return Trainer(replace(options, **rest), Processes(0, 1, torch.device("cpu")))


def noise_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@pytest.mark.slow
@NARROW
def test_a_standing_recording_ends_the_run(tmp_path: Path) -> None:
    trainer = trainer_for(tmp_path, noise_images(1).repeat(4, axis=0))
    with pytest.raises(TrainingFailure, match=f"step {PATIENCE}: nothing moves"):
        trainer.run()


@NARROW
def test_motion_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    """The loss does not tell: the auto-mask hides every pixel that such a motion warps."""
    trainer = trainer_for(tmp_path, noise_images(4))
    with torch.no_grad():
        trainer.model.posecnn.net[0].weight[0] = torch.nan
    with pytest.raises(
        TrainingFailure, match=r"step 1: .*weights are not finite \(posecnn\.net\.0"
    ):
        trainer.run()


@pytest.mark.slow
@NARROW
def test_constant_depth_ends_the_run(tmp_path: Path) -> None:
    trainer = trainer_for(tmp_path, noise_images(4), automask=False, learning_rate=1e-12)
    with torch.no_grad():
        for name, value in trainer.model.depth.named_parameters():
            if name in (f"decoder.{10 + scale}.conv.weight" for scale in range(4)):  # the heads
                value.zero_()
    with pytest.raises(TrainingFailure, match=f"step {PATIENCE}: the depth has collapsed"):
        trainer.run()


@pytest.mark.slow
@NARROW
def test_what_is_constant_on_purpose_is_no_collapse(tmp_path: Path) -> None:
    """While motion alone is learned, depth is held; the readings count from then on."""
    resting = PATIENCE + 1
    trainer = trainer_for(
        tmp_path, noise_images(1).repeat(4, axis=0), motion_steps=resting, steps=3 * PATIENCE
    )
    with pytest.raises(TrainingFailure, match=f"step {resting + PATIENCE}: nothing moves"):
        trainer.run()
