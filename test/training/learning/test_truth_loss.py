# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from true depth: the error itself, and who of a batch learns from what."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore, Source
from training.frames.writer import write_frame_store
from training.learning.augmentation import draw, turn_and_zoom
from training.learning.dataset import DatasetError, find_samples
from training.learning.flow import remember_flow
from training.learning.learner import build_learner, load_initial_weights, prepare
from training.learning.options import TrainOptions
from training.learning.processes import join_processes
from training.learning.recipe import apply_recipe
from training.learning.trainer import Trainer, recording_names
from training.learning.truth_loss import (
    BEYOND,
    DETAIL_STEPS,
    DETAIL_WEIGHT,
    SCALE_WEIGHT,
    truth_loss,
)

LOW, HIGH = 0.1, 100.0
HEIGHT, WIDTH = 64, 96


def sigmoid(depth: Tensor) -> Tensor:
    return (1 / depth - 1 / HIGH) / (1 / LOW - 1 / HIGH)


def pyramid(depth: Tensor) -> list[Tensor]:
    """Disparities of a depth (B, H, W) at one scale only: coarser ones cannot hold its details."""
    return [sigmoid(depth)[:, None]]


def smooth_depth(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logs = torch.rand(2, 1, 4, 6, generator=generator) * 3
    return torch.nn.functional.interpolate(logs, (HEIGHT, WIDTH), mode="bilinear")[:, 0].exp()


def test_the_truth_itself_has_no_error():
    depth = smooth_depth()
    loss = truth_loss(pyramid(depth), depth, LOW, HIGH)
    assert loss.shape == (2,)
    torch.testing.assert_close(loss, torch.zeros(2), atol=1e-5, rtol=0)


def test_a_common_factor_costs_little_and_unknown_pixels_nothing():
    depth = smooth_depth()
    truth = depth.clone()
    truth[:, : HEIGHT // 2] = 0.0
    wrong = torch.where(truth > 0, 1.5 * depth, torch.full_like(depth, 0.2))
    loss = truth_loss(pyramid(wrong), truth, LOW, HIGH)
    expected = torch.full((2,), SCALE_WEIGHT * math.log(1.5))
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-4)


def test_a_step_costs_its_height_and_its_outline():
    """Half of the image too far by a factor k: |e − m| is log(k) / 2 everywhere."""
    truth = torch.full((1, HEIGHT, WIDTH), 5.0)
    found = truth.clone()
    found[..., WIDTH // 2 :] *= 2.0
    step = math.log(2.0)
    crossed = [step * reach * HEIGHT / (HEIGHT * WIDTH) for reach in DETAIL_STEPS]
    expected = step / 2 + SCALE_WEIGHT * step / 2 + DETAIL_WEIGHT * np.mean(crossed)
    loss = truth_loss(pyramid(found), truth, LOW, HIGH)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_what_is_beyond_the_range_must_only_be_far():
    truth = torch.full((1, HEIGHT, WIDTH), math.inf)
    truth[:, HEIGHT // 2 :] = 4.0
    far = torch.where(torch.isinf(truth), torch.full_like(truth, 90.0), truth)
    assert truth_loss(pyramid(far), truth, LOW, HIGH).item() == pytest.approx(0.0, abs=1e-5)
    near = torch.where(torch.isinf(truth), torch.full_like(truth, 20.0), truth)
    expected = 0.5 * math.log(BEYOND * HIGH / 20.0)
    assert truth_loss(pyramid(near), truth, LOW, HIGH).item() == pytest.approx(expected, rel=1e-4)


def test_without_truth_there_is_nothing_to_learn():
    disparity = torch.full((1, 1, HEIGHT, WIDTH), 0.3, requires_grad=True)
    loss = truth_loss([disparity], torch.zeros(1, HEIGHT, WIDTH), LOW, HIGH)
    loss.sum().backward()
    assert loss.item() == 0.0
    assert disparity.grad is not None and not disparity.grad.any()


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(1)
    truth = 1 + 9 * torch.rand(1, 8, 8)
    disparity = (0.1 + 0.5 * torch.rand(1, 1, 4, 4)).requires_grad_()
    (gradient,) = torch.autograd.grad(truth_loss([disparity], truth, LOW, HIGH).sum(), disparity)
    for place in ((0, 0), (1, 2), (3, 3)):
        values = []
        for shift in (1e-3, -1e-3):
            moved = disparity.detach().clone()
            moved[(0, 0, *place)] += shift
            values.append(truth_loss([moved], truth, LOW, HIGH).item())
        assert gradient[(0, 0, *place)].item() == pytest.approx(
            (values[0] - values[1]) / 2e-3, rel=0.05, abs=2e-3
        )


@pytest.fixture
def stores(tmp_path):
    """A store with truth, of which a part is unknown or sky, and one without."""
    camera = PinholeCamera(WIDTH, HEIGHT, 80.0, 80.0, 47.5, 31.5)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (2, 6, HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    images = small.repeat(8, axis=2).repeat(8, axis=3)
    truth = np.arange(6 * 32 * 48, dtype=np.float32).reshape(6, 32, 48) % 7 + 1
    truth[:, 0], truth[:, 1] = np.nan, np.inf
    write_frame_store(tmp_path / "with", images[0], [camera], truth=truth)
    write_frame_store(tmp_path / "without", images[1], [camera])
    return tmp_path / "with", tmp_path / "without"


def samples_of(stores, mode):
    return find_samples([FrameStore.open(path) for path in stores], learn_truth=mode)


def test_read_brings_the_truth_to_the_size_of_the_images(stores):
    samples = samples_of(stores, "add")
    batch = samples.read(np.arange(len(samples)))
    assert batch.truth is not None and batch.self_supervised is None
    truth = batch.truth.numpy()
    assert truth.shape == (len(samples), HEIGHT, WIDTH)
    stored = samples.stores[0].truth[samples.frames[0, 0]]
    np.testing.assert_array_equal(truth[0], stored.repeat(2, axis=0).repeat(2, axis=1))
    assert not truth[0, :2].any() and np.isinf(truth[0, 2:4]).all()
    assert not truth[samples.store == 1].any()


def test_samples_that_learn_from_truth_alone_come_last(stores):
    samples = samples_of(stores, "instead")
    chosen = np.array([0, 7, 1, 8, 2])
    assert samples.store[chosen].tolist() == [0, 1, 0, 1, 0]
    batch = samples.read(chosen)
    assert batch.self_supervised == 2
    assert samples.arranged(chosen).tolist() == [7, 8, 0, 1, 2]
    order = [samples.frames[i, 0] for i in (7, 8)]
    for row, frame in enumerate(order):
        np.testing.assert_array_equal(batch.images[row, 0], samples.stores[1].images[frame])


def test_truth_alone_needs_no_neighbours(stores):
    samples = samples_of(stores, "instead")
    mine = samples.frames[samples.store == 0]
    assert mine[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert mine[0].tolist() == [0, 0, 1] and mine[5].tolist() == [5, 4, 5]
    assert samples.frames[samples.store == 1, 0].tolist() == [1, 2, 3, 4]


def small_options(stores, tmp_path, **changes) -> TrainOptions:
    values = {
        "data": tuple(str(store) for store in stores),
        "out": str(tmp_path / "run"),
        "init": "none",
        "pose": "flow",
        "batch_size": 2,
        "steps": 2,
        "validation_fraction": 0.0,
        "truth": "instead",
        "device": "cpu",
        "tensorboard": False,
    }
    return TrainOptions(**{**values, **changes})


def test_the_loss_is_shared_out_by_samples(stores, tmp_path):
    """What a batch's loss is, from the losses of its two halves."""
    options = apply_recipe(small_options(stores, tmp_path, truth_weight=0.7), 8)
    torch.manual_seed(0)
    model, learner = build_learner(options, torch.device("cpu"))
    load_initial_weights(model, options)
    model.eval()
    samples = samples_of(stores, "instead")
    samples = replace(samples, measure_flow=remember_flow(samples.stores))

    def loss(chosen):
        output = learner.evaluate(
            prepare(samples.read(np.array(chosen))), torch.Generator().manual_seed(0)
        )[1]
        return output.loss.item(), output.truth.item()

    with torch.no_grad():
        mixed, truth = loss([0, 7, 1, 2])
        (alone, _), (labelled, labelled_truth) = loss([7]), loss([0, 1, 2])
    assert labelled == pytest.approx(0.7 * labelled_truth, rel=1e-5)
    assert truth == pytest.approx(0.75 * labelled_truth, rel=1e-5)
    # The noise that breaks ties differs by 1e-5.
    assert mixed == pytest.approx(0.25 * alone + 0.75 * labelled, abs=1e-4)


def test_truth_is_mirrored_with_the_images(stores):
    batch = samples_of(stores, "add").read(np.arange(4))
    draws = draw(4, torch.Generator().manual_seed(3), mirror_probability=1.0)
    assert torch.equal(prepare(batch, draws).truth, batch.truth.flip(-1))


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("mode", ["add", "instead"])
@pytest.mark.parametrize("pose", ["flow", "separate"])
def test_training_runs_in_every_mode(stores, tmp_path, mode, pose):
    options = small_options(stores, tmp_path, truth=mode, pose=pose, validation_fraction=0.25)
    trainer = Trainer(options, join_processes("cpu"))
    (tmp_path / "run").mkdir()
    before = [p.detach().clone() for p in trainer.model.encoder.parameters()]
    assert trainer.run() == 0
    after = list(trainer.model.encoder.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert trainer.state.history[-1]["abs_rel"] > 0


def test_many_recordings_are_named_by_their_store(stores, tmp_path):
    opened = FrameStore.open(stores[0])
    two = replace(opened, sources=(Source("/bags/a/", "/x"), Source("/bags/b", "/y")))
    many = replace(opened, sources=tuple(Source(f"/bags/{i}", "/x") for i in range(12)))
    assert recording_names([two, two]) == ["a", "b"]
    assert recording_names([many, two]) == ["a", "b", "with: 12 recordings"]


def test_truth_that_no_store_has_is_refused(stores, tmp_path):
    options = small_options(stores[1:], tmp_path)
    with pytest.raises(DatasetError, match="no store holds ground truth"):
        Trainer(options, join_processes("cpu"))


def turned(images, truth, degrees, factor):
    angle = torch.full((len(images),), math.radians(degrees))
    return turn_and_zoom(images, truth, angle, torch.full((len(images),), factor))


def test_a_quarter_turn_is_a_transposition():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 2, 3, 64, 64, generator=generator)
    truth = torch.rand(1, 64, 64, generator=generator).half()
    truth[0, 3], truth[0, 5] = math.inf, 0.0
    seen, depth = turned(images, truth, 90.0, 1.0)
    torch.testing.assert_close(seen, torch.rot90(images, -1, (3, 4)), atol=1e-4, rtol=0)
    assert torch.equal(depth, torch.rot90(truth, -1, (1, 2)))


def test_turning_keeps_lengths_in_images_that_are_not_square():
    """The ends of a bar that is turned by 45° are as far from each other as before."""
    truth = torch.zeros(1, HEIGHT, WIDTH)
    truth[:, HEIGHT // 2, WIDTH // 2 - 20 : WIDTH // 2 + 21] = 5.0
    images = truth[:, None, None].expand(1, 1, 3, -1, -1)
    _, depth = turned(images, truth, 45.0, 1.0)
    rows, columns = torch.nonzero(depth[0], as_tuple=True)
    assert rows.max() - rows.min() == pytest.approx(40 / math.sqrt(2), abs=2)
    assert columns.max() - columns.min() == pytest.approx(40 / math.sqrt(2), abs=2)


def test_enlarging_brings_things_nearer_and_leaves_the_centre():
    truth = torch.full((1, HEIGHT, WIDTH), 6.0)
    truth[:, :, : WIDTH // 4] = math.inf
    images = torch.linspace(0, 1, WIDTH).expand(1, 1, 3, HEIGHT, WIDTH)
    seen, depth = turned(images, truth, 0.0, 1.5)
    assert depth[0, :, WIDTH // 2].unique().item() == pytest.approx(4.0)
    assert torch.isinf(depth[0, :, 0]).all()
    assert (depth[0, 0].isinf().sum() / WIDTH).item() == pytest.approx(0.125, abs=0.02)
    assert seen[0, 0, 0, 0, -1].item() == pytest.approx(0.5 + 0.5 / 1.5, abs=0.01)


def test_what_was_beyond_the_border_is_unknown():
    truth = torch.full((1, HEIGHT, WIDTH), 6.0)
    images = torch.rand(1, 1, 3, HEIGHT, WIDTH)
    seen, depth = turned(images, truth, 30.0, 1.0)
    assert depth[0, 0, 0] == 0 and depth[0, HEIGHT // 2, WIDTH // 2] == 6
    assert seen.isfinite().all() and seen.min() >= 0 and seen.max() <= 1


def test_only_samples_that_learn_from_truth_alone_are_turned(stores):
    batch = samples_of(stores, "instead").read(np.array([0, 7, 1]))
    draws = draw(3, torch.Generator().manual_seed(3), 0.0, 0.0, turn_degrees=30.0, zoom=1.3)
    plain, views = prepare(batch), prepare(batch, draws)
    assert torch.equal(views.images[0], plain.images[0])
    for row in (1, 2):
        assert not torch.equal(views.images[row], plain.images[row])
        assert not torch.equal(views.truth[row], plain.truth[row])
    assert torch.equal(views.inputs, views.images)
