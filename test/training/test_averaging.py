# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The mean of two stages of one training."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from monodepth2_ros.checkpoint import (
    CheckpointError,
    load_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from training.averaging import main
from training.learning.averaging import average

# What is tested here does not depend on how wide a network is.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")


@pytest.fixture(scope="module")
def stages():
    """Two networks of one architecture; the second has a pose network, too."""
    first, second = (random_checkpoint(18, 96, 64, seed=seed) for seed in (1, 2))
    for stage, count in ((first, 3), (second, 8)):
        stage.state["encoder"]["encoder.bn1.num_batches_tracked"].fill_(count)
        stage.state["encoder"]["encoder.bn1.running_var"].fill_(count)
    more = {**second.state, "pose": {"net.0.weight": torch.ones(1)}}
    return first, dataclasses.replace(second, state=more)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_is_on_the_line_between(stages, share):
    first, second = stages
    averaged = average(first, second, share)
    assert set(averaged.state) == {"encoder", "depth"}
    for name, network in averaged.state.items():
        assert network
        for key, value in network.items():
            one, other = first.state[name][key], second.state[name][key]
            if value.is_floating_point():
                expected = (1 - share) * one.double() + share * other.double()
                torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-8)
    encoder = averaged.state["encoder"]
    assert encoder["encoder.bn1.num_batches_tracked"].item() == 8
    assert encoder["encoder.bn1.running_var"][0].item() == pytest.approx(3 + 5 * share)


@pytest.mark.slow
def test_a_file_of_the_mean_runs(stages, tmp_path, capsys):
    paths = [tmp_path / name for name in ("first.safetensors", "second.safetensors")]
    for path, stage in zip(paths, stages, strict=True):
        save_checkpoint(path, stage.metadata, stage.state)
    out = tmp_path / "mean.safetensors"
    assert main([*map(str, paths), "--share", "0.5", "--out", str(out)]) == 0
    assert "mean.safetensors: 0.5 of" in capsys.readouterr().out
    disparity = load_checkpoint(out).depth_network()(torch.rand(1, 3, 64, 96))
    assert disparity.shape == (1, 1, 64, 96) and disparity.isfinite().all()


def test_the_mean_is_for_images_of_the_size_of_the_second(stages):
    first, second = stages
    large = dataclasses.replace(second, metadata=dataclasses.replace(second.metadata, width=128))
    assert average(first, large, 0.5).metadata.width == 128


def test_what_does_not_fit_together_is_refused(stages, tmp_path, capsys):
    first, second = stages
    cut = dataclasses.replace(first.metadata, crop=(0.1, 0.0, 0.0, 0.0))
    with pytest.raises(CheckpointError, match=r"has crop \(0\.1, .* has \(0\.0"):
        average(dataclasses.replace(first, metadata=cut), second, 0.5)
    with pytest.raises(CheckpointError, match="has num_layers 50, .* has 18"):
        average(random_checkpoint(50, 96, 64), second, 0.5)
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        average(first, second, 1.5)
    missing = {**first.state, "depth": {}}
    with pytest.raises(CheckpointError, match="differ in depth: decoder"):
        average(dataclasses.replace(first, state=missing), second, 0.5)
    assert main([str(tmp_path / "no"), str(tmp_path / "no"), "--out", str(tmp_path / "x")]) == 1
    assert "no" in capsys.readouterr().err and not (tmp_path / "x").exists()
