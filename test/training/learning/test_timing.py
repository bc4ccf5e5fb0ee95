# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long a run takes is measured, and a budget decides the steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.option_fields import OptionError
from training.frames.writer import write_frame_store
from training.learning.options import TrainOptions
from training.learning.processes import join_processes
from training.learning.timing import Duration, describe_duration, parse_duration
from training.learning.trainer import Trainer


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45min", 2700), ("45 min", 2700), ("1.5h", 5400)]
)
def test_times_have_units(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["45", "min", "-3min", "0s", "five min", "3 days"])
def test_what_is_no_time_is_named(text):
    with pytest.raises(OptionError, match="45min"):
        parse_duration(text)


def test_steps_fill_the_time_but_not_more():
    duration = Duration(step=0.5, validation=10.0)
    steps = duration.steps_within(600, between=100)
    assert 0.8 * 600 < duration.of_run(steps, between=100) <= 600
    assert duration.steps_within(1.0, between=100) == 1


def test_a_time_is_written_in_its_unit():
    assert [describe_duration(s) for s in (42, 600, 9000)] == ["42 s", "10 min", "2.5 h"]


@pytest.mark.slow
def test_a_budget_decides_the_steps_and_leaves_the_weights_alone(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    write_frame_store(tmp_path / "store", images, [PinholeCamera(64, 64, 50.0, 50.0, 31.5, 31.5)])
    options = {
        "data": (str(tmp_path / "store"),),
        "init": "none",
        "pose": "posecnn",
        "batch_size": 2,
        "device": "cpu",
        "out": str(tmp_path / "run"),
    }
    short = Trainer(TrainOptions(**options, budget="20s"), join_processes("cpu"))
    assert short.duration is not None and short.duration.step > 0
    assert 1 <= short.total_steps < 3000
    assert short.options.budget == "" and short.options.steps == short.total_steps
    assert short.duration.of_run(short.total_steps, short.validation_interval) <= 20
    plain = Trainer(TrainOptions(**options, steps=7), join_processes("cpu"))
    assert plain.duration is None
    for first, second in zip(
        short.model.state_dict().values(), plain.model.state_dict().values(), strict=True
    ):
        assert torch.equal(first, second)
    with pytest.raises(OptionError, match="give one of them"):
        TrainOptions(**options, steps=7, budget="20s")
