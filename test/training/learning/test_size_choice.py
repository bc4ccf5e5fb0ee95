# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A budget is spent at the largest size that leaves enough steps."""

from __future__ import annotations

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.extract import training_advice
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning import affordable
from training.learning.options import TrainOptions
from training.learning.processes import join_processes
from training.learning.size_choice import (
    candidate_sizes,
    choose_size,
    expected_size,
    shrunk,
    size_of_width,
)
from training.learning.timing import Duration
from training.learning.trainer import Trainer

SIZES = candidate_sizes((640, 192))


def measured(per_megapixel, overhead=0.0, asked=None):
    """Steps whose time is proportional to the pixels, and what was asked for."""

    def measure(size):
        if asked is not None:
            asked.append(size)
        return Duration(overhead + per_megapixel * size[0] * size[1] / 1e6, 0.0)

    return measure


def test_sizes_go_down_in_proportion_and_fit_the_network():
    assert SIZES[0] == (640, 192)
    for width, height in SIZES:
        assert width % 32 == height % 32 == 0 and height >= 64 and width >= 128
    assert [width for width, _ in SIZES] == sorted({width for width, _ in SIZES}, reverse=True)
    assert candidate_sizes((128, 96)) == [(128, 96)]
    assert size_of_width((640, 192), 320) == (320, 96)


@pytest.mark.parametrize("overhead", [0.0, 0.3])
@pytest.mark.parametrize("per_megapixel", [0.1, 4.0, 12.0, 25.0, 60.0])
def test_the_largest_size_with_enough_steps_is_chosen(per_megapixel, overhead):
    measure = measured(per_megapixel, overhead)
    choice = choose_size(SIZES, measure, seconds=1800, between=50, enough=600)
    fitting = [s for s in SIZES if measure(s).steps_within(1800, 50) >= 600]
    assert choice.size == (fitting[0] if fitting else SIZES[-1])
    assert choice.steps == measure(choice.size).steps_within(1800, 50)


def test_sizes_that_are_far_too_large_are_not_timed():
    asked = []
    choice = choose_size(SIZES, measured(60.0, asked=asked), 1800, between=50, enough=600)
    assert choice.size not in (SIZES[0], SIZES[1])
    assert SIZES[0] not in asked and len(asked) == len(set(asked)) <= 4


def make_store(path, size=(256, 128), count=12):
    images = np.random.default_rng(0).integers(0, 256, (count, size[1], size[0], 3), np.uint8)
    camera = PinholeCamera(*size, 200.0, 190.0, size[0] / 2 - 0.5, size[1] / 2 - 0.5)
    write_frame_store(path, images, [camera])
    return FrameStore.open(path)


def test_the_size_of_an_hour_follows_from_the_pixels():
    stored = (640, 192)
    assert expected_size(stored, 0.5, 4, 3600.0) == (stored, 6480)
    # A step of 6 s leaves 540 steps: at about three quarters of the pixels 600 fit.
    size, steps = expected_size(stored, 6.0, 4, 3600.0)
    assert size[0] < 640 and steps == int(0.9 * 3600 / (6.0 * size[0] * size[1] / (640 * 192)))
    assert steps * 4 >= 2400
    # Fewer samples in a step need more steps; where nothing is enough, the smallest is told.
    assert expected_size(stored, 6.0, 1, 3600.0)[0][0] < size[0]
    smallest, steps = expected_size(stored, 1e4, 4, 3600.0)
    assert smallest == candidate_sizes(stored)[-1] and steps == 4


def test_a_shrunk_store_shows_the_same_with_fewer_pixels(tmp_path):
    store = make_store(tmp_path / "store")
    small = shrunk(store, (128, 64))
    assert (small.width, small.height) == (128, 64)
    assert small.images.mean() == pytest.approx(store.images.mean(), abs=0.5)
    camera = small.cameras[0]
    assert (camera.fx, camera.fy, camera.cx) == (100.0, 95.0, 63.5)
    assert small.corner_images is store.images  # in which corners are tracked as before
    assert shrunk(store, (256, 128)) is store


@pytest.mark.slow
def test_a_short_budget_trains_on_smaller_images_and_says_so_in_the_options(tmp_path):
    make_store(tmp_path / "store")
    options = TrainOptions(
        data=(str(tmp_path / "store"),),
        out=str(tmp_path / "run"),
        init="none",
        pose="posecnn",
        batch_size=2,
        device="cpu",
        budget="1s",
    )
    trainer = Trainer(options, join_processes("cpu"))
    assert trainer.size_choice is not None and trainer.size_choice.size == (128, 64)
    assert trainer.training.width == trainer.options.width == 128
    assert trainer._metadata().width == 128


@pytest.mark.parametrize("width", [100, 32, 512])
def test_a_width_that_cannot_be_is_named(tmp_path, width):
    make_store(tmp_path / "store")
    options = TrainOptions(data=(str(tmp_path / "store"),), out=str(tmp_path), width=width)
    with pytest.raises(ValueError, match=f"--width is {width}.*from 64 to 256"):
        Trainer(options, join_processes("cpu"))


def test_a_store_is_told_what_an_hour_is_enough_for(tmp_path, monkeypatch):
    """By a step at the smallest size; here one that takes a second for 4096 pixels."""
    timed = []

    def measure(learner, options, training, rows, held_out, size):
        timed.append(size)
        return Duration(size[0] * size[1] / 4096, 1.0)

    monkeypatch.setattr(affordable, "measure_duration", measure)
    store = make_store(tmp_path / "store", count=40)
    size, steps, batch = affordable.suggested_size(store, 3600.0)
    assert timed == [candidate_sizes((256, 128))[-1]]
    assert size in candidate_sizes((256, 128)) and steps * batch >= 2400
    assert steps == int(0.9 * 3600 * 4096 / (size[0] * size[1]))
    text = training_advice(store)
    assert f"--data {store.path} --out run --budget 1h" in text
    assert f"about {steps} steps of {batch} at {size[0]}x{size[1]}" in text
    few = make_store(tmp_path / "few", count=5)
    assert training_advice(few).endswith("--out run --budget 1h")


def test_advice_on_a_store_that_cannot_be_trained_on_says_why(tmp_path):
    store = make_store(tmp_path / "store", size=(100, 64))
    assert "not to be trained on as it is" in training_advice(store)
    assert "both sides must be" in training_advice(store)
