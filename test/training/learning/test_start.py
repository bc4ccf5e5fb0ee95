# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The easier start of a training on short recordings: motion first, coarse, without a mask."""

import dataclasses

import pytest
import torch

from monodepth2_ros.geometry import disparity_to_depth
from training.learning.depth_and_motion import initial_disparity, set_difference_filters
from training.learning.learner import TrainingViews, build_learner
from training.learning.options import OptionError, TrainOptions
from training.learning.recipe import apply_recipe

OPTIONS = TrainOptions(init="none", batch_size=2, steps=80, motion_steps=3, coarse_steps=5)


@pytest.fixture(scope="module")
def learner():
    torch.manual_seed(0)
    options = apply_recipe(OPTIONS, 100)
    return build_learner(options, torch.device("cpu"))[1], options


def views(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 3, 64, 64, generator=generator)
    intrinsics = torch.tensor(
        [[50.0, 0, 31.5, 0], [0, 50.0, 31.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    ).repeat(2, 1, 1)
    return TrainingViews(images, images, intrinsics, torch.zeros(2))


@pytest.mark.parametrize(
    "step, constant, easy", [(0, True, True), (2, True, True), (3, False, True), (4, False, True)]
)
def test_start_is_easier_step_by_step(learner, step, constant, easy):
    learner, options = learner
    now = learner.at_step(options, step)
    assert (now.constant is not None) == constant
    assert now.objective.automask == (not easy)
    assert now.objective.full_resolution == (not easy)


def test_after_the_start_the_objective_is_the_published_one(learner):
    learner, options = learner
    assert learner.at_step(options, 5) == learner


@pytest.mark.slow
def test_switches_of_the_user_hold_after_the_start():
    options = apply_recipe(dataclasses.replace(OPTIONS, automask=False), 100)
    learner = build_learner(options, torch.device("cpu"))[1]
    assert not learner.at_step(options, 70).objective.automask
    assert learner.at_step(options, 70).objective.full_resolution


def test_motion_alone_learns_first(learner):
    learner, options = learner
    learner.model.zero_grad(set_to_none=True)
    predictions, output = learner.at_step(options, 0).evaluate(views())
    output.loss.backward()
    for scale, disparity in enumerate(predictions.disparities):
        assert disparity.shape == (2, 1, 64 >> scale, 64 >> scale)
        depth = disparity_to_depth(disparity, 0.1, 100.0)
        torch.testing.assert_close(depth, torch.full_like(depth, options.initial_depth))
    networks = learner.model.networks()
    for name in ("encoder", "depth"):
        assert all(weight.grad is None for weight in networks[name].parameters())
    weight = networks["pose"].net[-1].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0


@pytest.mark.parametrize("depth", [0.2, 1.0, 30.0])
def test_initial_disparity_inverts_the_depth(depth):
    disparity = torch.tensor(initial_disparity(depth, 0.1, 100.0), dtype=torch.float64)
    assert disparity_to_depth(disparity, 0.1, 100.0).item() == pytest.approx(depth, rel=1e-12)


def test_initial_depth_of_zero_is_the_middle_of_the_sigmoid():
    assert initial_disparity(0.0, 0.1, 100.0) == torch.sigmoid(torch.tensor(0.0)).item()


def test_difference_filters_see_what_changes_between_the_frames():
    torch.manual_seed(0)
    model, _ = build_learner(apply_recipe(OPTIONS, 100), torch.device("cpu"))
    # As a trunk of single images starts: each frame with half the filter.
    conv = model.pose_encoder.encoder.conv1
    with torch.no_grad():
        conv.weight[:, 3:] = conv.weight[:, :3]
    mean_filters = conv.weight.detach().clone()
    set_difference_filters(model.pose_encoder)
    first, second = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        same = conv(torch.cat([first, first], dim=1))
        forward = conv(torch.cat([first, second], dim=1))
        backward = conv(torch.cat([second, first], dim=1))
    assert same[:, 1::2].abs().max() < 1e-5
    assert same[:, ::2].abs().max() > 0.1
    torch.testing.assert_close(forward[:, 1::2], -backward[:, 1::2])
    torch.testing.assert_close(forward[:, ::2], backward[:, ::2])
    assert forward[:, 1::2].abs().max() > 0.1
    assert torch.equal(conv.weight[::2], mean_filters[::2])


def test_published_recipe_and_known_motion_start_as_published(tmp_path):
    checkpoint = tmp_path / "trained.safetensors"
    checkpoint.touch()
    bare = TrainOptions(steps=80)
    for options in (
        dataclasses.replace(bare, recipe="published"),
        dataclasses.replace(bare, checkpoint=str(checkpoint)),
        dataclasses.replace(bare, stereo="only"),
    ):
        filled = apply_recipe(options, 100)
        assert (filled.motion_steps, filled.coarse_steps, filled.initial_depth) == (0, 0, 0.0)
        assert filled.difference_filters is False
    filled = apply_recipe(bare, 100)
    assert filled.difference_filters and filled.initial_depth
    assert 0 < filled.motion_steps < filled.coarse_steps < 80


def test_motion_steps_without_motion_are_refused():
    with pytest.raises(OptionError, match=r"--motion-steps is 10, but --stereo only"):
        TrainOptions(stereo="only", motion_steps=10)
