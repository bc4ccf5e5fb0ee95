# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images that a run must not forget: which they are, and that they teach nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import CheckpointMetadata
from training.frames.writer import write_frame_store
from training.learning.augmentation import draw
from training.learning.dataset import Batch, DatasetError
from training.learning.depth_and_motion import DepthAndMotion
from training.learning.kept_images import kept_images, with_kept
from training.learning.learner import Learner, prepare
from training.learning.options import OptionError, TrainOptions
from training.learning.teacher import make_teacher
from training.objective import SelfSupervisedObjective

pytestmark = pytest.mark.usefixtures("narrow_networks")


def store_of(path, value, width=64, count=3):
    images = np.full((count, 64, width, 3), value, np.uint8)
    return write_frame_store(path, images, [PinholeCamera(width, 64, 50.0, 50.0, 31.5, 31.5)])


def batch_of(count, truth=True):
    """Return samples that learn from ground truth alone."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 64, 64, 3), generator=generator).to(torch.uint8)
    depth = torch.rand(count, 64, 64, generator=generator) * 5 + 1
    return Batch(
        images,
        torch.eye(4).repeat(count, 1, 1),
        torch.zeros(count),
        truth=depth.half() if truth else None,
        self_supervised=0 if truth else None,
    )


def test_stores_are_drawn_from_as_often_as_they_are_named_whatever_their_size(tmp_path):
    dark, light = store_of(tmp_path / "a", 10, count=50), store_of(tmp_path / "b", 200)
    kept = kept_images([dark, light, light], 4, dark)
    rows = np.arange(4)
    values = np.concatenate([kept.read(rows, 0, step)[:, 0, 0, 0] for step in range(300)])
    assert set(values.tolist()) == {10, 200}
    # 1200 draws: six standard deviations are 0.08.
    assert np.mean(values == 200) == pytest.approx(2 / 3, abs=0.08)


def test_a_step_has_the_same_images_in_every_run_and_processes_share_them(tmp_path):
    store = store_of(tmp_path / "a", 0, count=40)
    images = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
    store = write_frame_store(tmp_path / "b", images, store.cameras)
    kept = kept_images([store], 5, store)
    whole = kept.read(np.arange(5), 7, 11)[:, 0, 0, 0].tolist()
    assert kept.read(np.arange(5), 7, 11)[:, 0, 0, 0].tolist() == whole
    assert kept.read(np.arange(5), 7, 12)[:, 0, 0, 0].tolist() != whole
    shares = [kept.read(np.arange(rank, 5, 2), 7, 11)[:, 0, 0, 0].tolist() for rank in (0, 1)]
    assert shares == [whole[0::2], whole[1::2]]
    assert kept.read(np.arange(5, 5), 7, 11).shape == (0, 64, 64, 3)


def test_images_of_another_size_are_refused(tmp_path):
    trained, other = store_of(tmp_path / "a", 0), store_of(tmp_path / "b", 0, width=96)
    with pytest.raises(DatasetError, match=r"b has images of 96x64.*--width 64 --height 64"):
        kept_images([other], 2, trained)


def make_learner(weight):
    torch.manual_seed(0)
    model = DepthAndMotion(18, 18, "none", 0, 0.1, 100.0)
    teacher = make_teacher(model, CheckpointMetadata(width=64, height=64))
    with torch.no_grad():
        for parameter in model.depth.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # so that the other samples of a batch change nothing
    return Learner(model, SelfSupervisedObjective(), (), teacher=teacher, keep_weight=weight)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_kept_images_add_their_distance_from_the_teacher_and_nothing_else(weight):
    learner, batch = make_learner(weight), batch_of(3)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    without = learner.evaluate(prepare(batch))[1]
    with_them = learner.evaluate(prepare(with_kept(batch, images)))[1]
    torch.testing.assert_close(with_them.truth, without.truth)
    taught = learner.teacher.depth(prepare(with_kept(batch, images)).images[3:, 0], False)
    said = learner.model(prepare(with_kept(batch, images)).images[3:, 0], (), ()).disparities[0]
    ratio = torch.log(learner._depth(said) / taught).flatten(1)
    kept = (ratio - ratio.median(dim=1, keepdim=True).values).abs().mean()
    assert kept > 0.01
    torch.testing.assert_close(with_them.loss - without.loss, weight * kept, rtol=1e-3, atol=1e-5)


def test_a_model_that_has_not_moved_pays_nothing():
    learner, batch = make_learner(2.0), batch_of(2)
    learner.model.load_state_dict(learner.teacher.model.state_dict())
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    without = learner.evaluate(prepare(batch))[1].loss
    with_them = learner.evaluate(prepare(with_kept(batch, images)))[1].loss
    torch.testing.assert_close(with_them, without, rtol=1e-5, atol=1e-6)


def test_kept_images_are_turned_with_the_samples_and_no_sample_loses_its_truth():
    batch = with_kept(batch_of(2, truth=False), np.zeros((3, 64, 64, 3), np.uint8))
    assert batch.self_supervised == 2 and batch.kept == 3
    assert batch.images.shape[0] == 5 and not batch.truth.any()
    draws = draw(5, torch.Generator().manual_seed(0), turn_degrees=20.0, zoom=1.3)
    views = prepare(batch, draws.rows([0, 1, 4, 3, 2]))
    assert views.kept == 3 and views.images.shape[0] == 5
    assert views.intrinsics.shape == (5, 4, 4)


def test_what_is_kept_needs_a_model_to_be_kept_near():
    for changes in ({"checkpoint": "default"}, {"keep_weight": 1.0}):
        with pytest.raises(OptionError, match="--keep-data holds images near .* give both"):
            TrainOptions(keep_data=("rooms",), **changes)
