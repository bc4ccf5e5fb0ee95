# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A short real training, from random weights and without labels, must learn to see depth.

It runs the recipe for short recordings on a rendered street. What it is held against comes from
the renderer: the true depth of the last fifth of the recording, which it never saw.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.checkpoint import load_checkpoint, save_checkpoint
from narrow_networks import QUARTER, narrow
from training.evaluation.depth import evaluate_depth
from training.evaluation.predictors import constant_predictor, depth_predictor
from training.evaluation.protocol import Protocol, Selection, truth_of
from training.evaluation.splits import training_split
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning.options import TrainOptions
from training.learning.processes import join_processes
from training.learning.trainer import Trainer
from training.learning.validation import validate
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

PROTOCOL = Protocol(scaling="median")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quarter_of_the_channels():
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch.setattr, QUARTER)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Sixteen seconds along a rendered street, with the truth."""
    path = tmp_path_factory.mktemp("learning") / "street"
    camera = camera_from_field_of_view(96, 64, 80)
    frames = list(synthesize(5, "street", camera, 160, workers=2))
    write_frame_store(
        path,
        np.stack([frame.image for frame in frames]),
        [camera],
        truth=np.stack([frame.depth for frame in frames]),
    )
    return FrameStore.open(path)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    """Train; return the checkpoints and held-out losses of before and after, and the trainer."""
    folder = tmp_path_factory.mktemp("learning_run")
    options = TrainOptions(
        data=(str(store.path),),
        spacing=1,
        out=str(folder),
        init="none",
        batch_size=4,
        steps=100,
        validation_fraction=0.2,
        validate_every=10_000,
        device="cpu",
        tensorboard=False,
    )
    trainer = Trainer(options, join_processes("cpu"))

    def held_out_loss():
        samples, processes = trainer.validation, trainer.processes
        return validate(trainer.learner, samples, processes, batch=4, most=100).loss

    save_checkpoint(folder / "first.safetensors", trainer._metadata(), trainer.model.networks())
    before = held_out_loss()
    assert trainer.run() == 0
    return folder, before, held_out_loss(), trainer


def held_out(store):
    _, frames = training_split(store, {"spacing": 1}, 0.2)
    return Selection(store, frames)


def rank_correlation(store, checkpoint):
    """Mean over held-out frames of Spearman's correlation between prediction and truth."""
    selection = held_out(store)
    predict = depth_predictor(load_checkpoint(checkpoint), torch.device("cpu"), PROTOCOL)
    correlations = []
    for frame in selection.frames.tolist():
        truth = truth_of(selection, frame, PROTOCOL)
        depth = predict(store, np.array([frame]))[0]
        known = truth > 0
        ranks = [np.argsort(np.argsort(values[known])) for values in (truth, depth)]
        correlations.append(np.corrcoef(*ranks)[0, 1])
    return float(np.mean(correlations))


def test_held_out_loss_falls(run):
    _, before, after, trainer = run
    assert len(trainer.validation) >= 25
    assert after < 0.8 * before


def test_held_out_depth_is_ranked_like_the_truth(store, run):
    folder, *_ = run
    before = rank_correlation(store, folder / "first.safetensors")
    after = rank_correlation(store, folder / "last.safetensors")
    assert after > 0.75
    assert after > before + 0.3


def test_held_out_depth_beats_every_constant(store, run):
    folder, *_ = run
    predict = depth_predictor(
        load_checkpoint(folder / "last.safetensors"), torch.device("cpu"), PROTOCOL
    )
    selections = [held_out(store)]
    learned = evaluate_depth("learned", predict, selections, PROTOCOL)
    constant = evaluate_depth("constant", constant_predictor, selections, PROTOCOL)
    assert learned.values("abs_rel").mean() < 0.7 * constant.values("abs_rel").mean()
