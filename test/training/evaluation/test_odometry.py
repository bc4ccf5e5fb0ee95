# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pose networks against known paths."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluated_models import (
    CPU,
    HEIGHT,
    WIDTH,
    make_store,
    moving_store,
    some_images,
    turning_path,
    whole,
    with_pose_networks,
)
from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
)
from monodepth2_ros.geometry import pose_matrix
from monodepth2_ros.networks import PoseCNN, PoseDecoder, ResnetEncoder
from training.evaluation import odometry
from training.evaluation.odometry import evaluate_odometry, motion_model, pose_chains, trajectory
from training.evaluation.protocol import Selection
from training.frames.store import network_images


def test_a_perfect_pose_network_has_no_error(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses = turning_path(12)
    store = moving_store(tmp_path / "frames", poses, spacing=2)
    images = network_images(store, np.arange(12), (0.0,) * 4, WIDTH, HEIGHT)

    def true_motions(model: object, batch: torch.Tensor) -> np.ndarray:
        """Recognise the frames by their pixels; a third of the true motion, as points move."""
        pixels = (batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        seen = [next(i for i in range(12) if torch.equal(images[i], one)) for one in pixels]
        assert all(later - sooner == 2 for sooner, later in itertools.pairwise(seen))
        motions = [np.linalg.inv(poses[b]) @ poses[a] for a, b in itertools.pairwise(seen)]
        for motion in motions:
            motion[:3, 3] /= 3.0
        return np.stack(motions)

    monkeypatch.setattr(odometry, "_motions", true_motions)
    posed = with_pose_networks(checkpoint, "posecnn")
    done: list[int] = []
    found = evaluate_odometry(posed, [whole(store)], CPU, batch_size=3, progress=done.append)
    assert found is not None
    assert len(found.errors) == 2 * 2  # two chains of six frames
    assert sum(done) == 10
    assert found.errors == pytest.approx(0.0, abs=1e-9)
    expected = []
    for start in (0, 2, 1, 3):
        moved = poses[start : start + 9 : 2, :3, 3] - poses[start, :3, 3]
        expected.append(math.sqrt((moved**2).sum()) / 5)  # a length is the same in every frame
    assert found.standing == pytest.approx(expected)
    assert np.all(found.straight < 0.5 * found.standing)
    assert np.all(found.straight > 1e-3)


@pytest.mark.slow
def test_the_best_straight_line_fits_a_straight_path(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    posed = with_pose_networks(checkpoint, "posecnn")
    poses = np.tile(np.eye(4), (14, 1, 1))
    there = np.arange(7)[:, None] * [0.3, -0.1, 0.2]
    poses[:, :3, 3] = np.concatenate([there, there[::-1]])
    store = make_store(
        tmp_path / "frames", some_images(14), None, poses=poses, segment=np.repeat([0, 1], 7)
    )
    found = evaluate_odometry(posed, [whole(store)], CPU)
    assert found is not None
    assert len(found.errors) == 6
    assert found.straight == pytest.approx(0.0, abs=1e-9)
    assert found.standing == pytest.approx(math.sqrt(0.14 * (1 + 4 + 9 + 16)) / 5)
    assert evaluate_odometry(posed, [Selection(store, np.arange(4))], CPU) is None


def test_motions_become_a_trajectory() -> None:
    # The camera goes 1 m ahead each time, so points come 1 m nearer.
    motion = np.eye(4)
    motion[2, 3] = -1.0
    assert trajectory(np.stack([motion] * 3))[:, :3, 3].tolist() == [
        [0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 0.0, 2.0],
        [0.0, 0.0, 3.0],
    ]
    poses = turning_path(5)
    motions = np.linalg.inv(poses[1:]) @ poses[:-1]
    assert np.allclose(trajectory(motions), np.linalg.inv(poses[0]) @ poses)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["separate", "shared", "posecnn"])
def test_pose_networks_are_recognised_and_see_pairs_in_order(
    checkpoint: Checkpoint, kind: str
) -> None:
    posed = with_pose_networks(checkpoint, kind)
    model = motion_model(posed)
    assert model.pose_kind == kind
    images = torch.from_numpy(some_images(3)).permute(0, 3, 1, 2) / 255.0
    found = odometry._motions(model, images)
    first, second = images[:-1], images[1:]
    with torch.inference_mode():
        if kind == "separate":
            encoder = ResnetEncoder(34, 2).eval()
            encoder.load_state_dict(posed.state["pose_encoder"])
            decoder = PoseDecoder(encoder.channels)
            decoder.load_state_dict(posed.state["pose"])
            turn, shift = decoder(encoder(torch.cat([first, second], dim=1)))
        elif kind == "shared":
            encoder = ResnetEncoder(18).eval()
            encoder.load_state_dict(posed.state["encoder"])
            decoder = PoseDecoder(encoder.channels, num_input_features=2)
            decoder.load_state_dict(posed.state["pose"])
            turn, shift = decoder([encoder(first), encoder(second)])
        else:
            network = PoseCNN()
            network.load_state_dict(posed.state["posecnn"])
            turn, shift = network(torch.cat([first, second], dim=1))
            sigmoid = posed.depth_network()(first)
            nearness = 1 / 50 + (1 / 0.5 - 1 / 50) * sigmoid.mean(dim=(1, 2, 3))
            shift = shift * nearness[:, None, None, None]
        expected = pose_matrix(turn[:, 0], shift[:, 0])
    assert np.allclose(found, expected, atol=1e-6)
    assert np.abs(found - np.eye(4)).max() > 1e-5


@pytest.mark.slow
def test_checkpoints_without_pose_networks_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"has no pose network \(it holds depth, encoder\)"):
        motion_model(checkpoint)
    posed = with_pose_networks(checkpoint, "separate")
    weights = dict(posed.state["pose_encoder"])
    del weights["encoder.layer1.0.conv1.weight"]
    broken = dataclasses.replace(posed, state={**posed.state, "pose_encoder": weights})
    with pytest.raises(CheckpointError, match="'pose_encoder' is not a known ResNet"):
        motion_model(broken)
    small = {**posed.state["pose"], "net.0.weight": torch.zeros(256, 64, 1, 1)}
    broken = dataclasses.replace(posed, state={**posed.state, "pose": small})
    with pytest.raises(CheckpointError, match=r"network 'pose' does not fit: .*net\.0\.weight"):
        motion_model(broken)


def test_chains_follow_segments_spacing_and_poses(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (27, 1, 1))
    poses[16] = np.nan
    store = make_store(
        tmp_path / "frames",
        some_images(27),
        None,
        poses=poses,
        segment=np.repeat([0, 1], [11, 16]),
        segment_spacing=[2, 1],
    )
    chains = [chain.tolist() for chain in pose_chains(whole(store))]
    assert chains == [
        [0, 2, 4, 6, 8, 10],
        [1, 3, 5, 7, 9],
        [11, 12, 13, 14, 15],
        list(range(17, 27)),
    ]
    assert pose_chains(Selection(store, np.arange(8))) == []
