# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation finds what was put into the data: known factors, hand-made errors, known paths."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from commands import status_of

import kitti_folders
from bag_builder import scene, write_drive
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.geometry import pose_matrix
from monodepth2_ros.networks import PoseCNN, PoseDecoder, ResnetEncoder
from monodepth2_ros.predictor import DepthPredictor, OutputOptions
from monodepth2_ros.preprocessing import remaining_crop, sees_less
from training.deployment.exporter import export_checkpoint
from training.evaluate import main
from training.evaluation import odometry
from training.evaluation.depth import (
    DISTANCES,
    Evaluation,
    FrameScore,
    evaluate_depth,
    summarize,
    win_share,
)
from training.evaluation.odometry import evaluate_odometry, motion_model, pose_chains, trajectory
from training.evaluation.pictures import choose_shown_frames, error_picture, spread_points
from training.evaluation.predictors import (
    constant_predictor,
    depth_predictor,
    mean_depth_predictor,
    saturation_depth,
)
from training.evaluation.protocol import Protocol, Selection
from training.evaluation.splits import frames_of_stretch, training_split
from training.frames.store import FrameStore, Source, network_images
from training.frames.writer import FrameStoreWriter, write_frame_store
from training.metrics import FrameResult

WIDTH, HEIGHT = 96, 64
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    return drawn_checkpoint(3)


def drawn_checkpoint(seed: int) -> Checkpoint:
    drawn = random_checkpoint(18, WIDTH, HEIGHT, seed)
    drawn.state["depth"]["decoder.10.conv.weight"] *= 150.0
    metadata = dataclasses.replace(drawn.metadata, min_depth=0.5, max_depth=50.0)
    return dataclasses.replace(drawn, metadata=metadata, is_random=False)


def with_metadata(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    metadata = dataclasses.replace(checkpoint.metadata, **changes)
    return dataclasses.replace(checkpoint, metadata=metadata)


def some_images(count: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draw smooth pictures with some noise."""
    generator = np.random.default_rng(7)
    coarse = torch.from_numpy(generator.random((count, 3, 5, 8)))
    size = (height, width)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    noise = generator.normal(0.0, 0.05, (count, height, width, 3))
    images = smooth.permute(0, 2, 3, 1).numpy() + noise
    return (255 * images).clip(0, 255).astype(np.uint8)


def make_store(path: Path, images: np.ndarray, truth: np.ndarray | None, **more: Any) -> FrameStore:
    height, width = images.shape[1:3]
    camera = PinholeCamera(width, height, 0.6 * width, 0.6 * width, width / 2, height / 2)
    return write_frame_store(path, images, [camera], truth=truth, **more)


def robot_depth(checkpoint: Checkpoint, image: np.ndarray) -> np.ndarray:
    """What the node would publish at the size of its image; NaN outside the crop."""
    predictor = DepthPredictor(checkpoint, backend="torch", device="cpu")
    depth = predictor.predict(image, options=OutputOptions(output_size="image")).depth
    assert depth is not None
    return np.array(depth)


def whole(store: FrameStore) -> Selection:
    return Selection(store, np.arange(len(store)))


def evaluated(checkpoint: Checkpoint, store: FrameStore, **protocol: Any) -> Evaluation:
    rules = Protocol(**protocol)
    predict = depth_predictor(checkpoint, CPU, rules)
    return evaluate_depth("model", predict, [whole(store)], rules, batch_size=2)


def test_what_the_robot_publishes_is_without_error(tmp_path: Path, checkpoint: Checkpoint) -> None:
    # Images larger than the network's, truth of their size, a crop, one frame without truth.
    cropping = with_metadata(checkpoint, crop=(0.0, 0.25, 0.0, 0.125), scale=2.0)
    images = some_images(5, 2 * WIDTH, 2 * HEIGHT)
    truth = np.stack([robot_depth(cropping, image) for image in images])
    assert np.isnan(truth[:, :32]).all()
    assert np.nanstd(truth) > 0.15 * np.nanmean(truth)  # else agreement would mean little
    truth[3] = 0.0
    store = make_store(tmp_path / "frames", images, 1.7 * truth)
    protocol = Protocol()
    selection = Selection(store, np.arange(5), remaining_crop(store.crop, cropping.metadata.crop))
    found = evaluate_depth(
        "model", depth_predictor(cropping, CPU, protocol), [selection], protocol, batch_size=3
    )
    summary = summarize(found)
    assert (summary.frames, summary.without_truth) == (4, 1)
    assert [score.frame for score in found.scores] == [0, 1, 2, 4]
    assert summary.scale == pytest.approx(1.7, rel=2e-3)  # truth is stored in 16 bits
    assert summary.scale_spread < 2e-3
    assert summary.mean["abs_rel"] < 1e-3
    assert summary.mean["a1"] == 1.0
    assert {result.pixels for result in found.results} == {2 * WIDTH * (2 * HEIGHT - 32 - 16)}


def test_scale_is_taken_as_the_protocol_says(tmp_path: Path, checkpoint: Checkpoint) -> None:
    metric = with_metadata(checkpoint, is_metric=True, scale=3.0)
    images = some_images(2)
    store = make_store(
        tmp_path / "frames", images, np.stack([robot_depth(metric, image) for image in images])
    )
    far = {"max_depth": 1000.0}
    assert summarize(evaluated(metric, store, scaling="metric", **far)).mean["abs_rel"] < 1e-3
    median = summarize(evaluated(metric, store, scaling="median", **far))
    assert median.mean["abs_rel"] < 2e-3
    assert median.scale == pytest.approx(1.0, rel=2e-3)
    unscaled = summarize(evaluated(metric, store, scaling="none", **far))
    assert unscaled.mean["abs_rel"] == pytest.approx(2 / 3, rel=2e-3)
    assert unscaled.scale == pytest.approx(3.0, rel=2e-3)


def test_disparity_is_resized_before_it_is_inverted(tmp_path: Path, checkpoint: Checkpoint) -> None:
    images = some_images(1)
    store = make_store(tmp_path / "frames", images, np.ones((1, 3 * HEIGHT, 2 * WIDTH)))
    depth = depth_predictor(checkpoint, CPU, Protocol())(store, np.array([0]))[0]
    with torch.inference_mode():
        planar = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
        sigmoid = checkpoint.depth_network()(planar)[0, 0].double().numpy()
    disparity = 1 / 50 + (1 / 0.5 - 1 / 50) * sigmoid
    # Pixel centres of the large image in the small one; bilinear by hand at a few places.
    for row, column in ((0, 0), (100, 77), (191, 191), (37, 150)):
        y = min(max((row + 0.5) / 3 - 0.5, 0), HEIGHT - 1)
        x = min(max((column + 0.5) / 2 - 0.5, 0), WIDTH - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, HEIGHT - 1), min(left + 1, WIDTH - 1)
        v, u = y - top, x - left
        value = (1 - v) * ((1 - u) * disparity[top, left] + u * disparity[top, right])
        value += v * ((1 - u) * disparity[bottom, left] + u * disparity[bottom, right])
        assert depth[row, column] == pytest.approx(1 / value, rel=1e-4)


def test_damaged_weights_are_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    depth = dict(checkpoint.state["depth"])
    depth["decoder.10.conv.bias"] = torch.full((1,), torch.nan)
    damaged = dataclasses.replace(checkpoint, state={**checkpoint.state, "depth": depth})
    store = make_store(tmp_path / "frames", some_images(1), np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match="frames 0 to 0 of .*frames; its weights are corrupt"):
        evaluated(damaged, store)


def four_pixels(path: Path) -> FrameStore:
    truth = np.array([[[2.0, 2.0], [2.0, 8.0]]])
    return make_store(path, np.zeros((1, 32, 32, 3), np.uint8), truth)


def predict_four(store: FrameStore, frames: np.ndarray) -> np.ndarray:
    return np.array([[[1.0, 2.0], [4.0, 8.0]]], np.float32)


def test_four_pixels_by_hand(tmp_path: Path) -> None:
    store = four_pixels(tmp_path / "frames")
    found = evaluate_depth("four", predict_four, [whole(store)], Protocol(scaling="none"))
    (result,) = found.results
    assert result.metrics == pytest.approx(
        {
            "abs_rel": (0.5 + 0 + 1 + 0) / 4,
            "sq_rel": (0.5 + 0 + 2 + 0) / 4,
            "rmse": math.sqrt(5 / 4),
            "rmse_log": math.sqrt(2 * math.log(2) ** 2 / 4),
            "a1": 0.5,
            "a2": 0.5,
            "a3": 0.5,  # 2 is above 1.25³
        }
    )
    assert result.scale_ratio == pytest.approx(2 / 3)
    by_distance = dict(zip(DISTANCES[:-1], found.by_distance.tolist(), strict=True))
    assert by_distance[2.0] == pytest.approx([1.5, 3])
    assert by_distance[8.0] == [0.0, 1]
    assert found.by_distance[:, 1].sum() == 4

    scaled = evaluate_depth("four", predict_four, [whole(store)], Protocol())
    # 2/3, 4/3, 8/3, 16/3 against 2, 2, 2, 8.
    errors = [2 / 3, 1 / 3, 1 / 3, 1 / 3]
    assert scaled.values("abs_rel") == pytest.approx([np.mean(errors)])
    assert scaled.by_distance[:, 0].sum() == pytest.approx(sum(errors))


def test_error_at_outlines_by_hand(tmp_path: Path) -> None:
    """A board in front of a wall, predicted 10 % too far near its outline and right elsewhere."""
    truth = np.full((1, 40, 60), 4.0)
    truth[:, :, 30:] = 2.0
    store = make_store(tmp_path / "frames", np.zeros((1, 32, 32, 3), np.uint8), truth)
    depth = truth.copy()
    depth[:, :, 26:34] *= 1.1  # of the 18 columns around columns 29 and 30
    predict = lambda store, frames: depth.astype(np.float32)  # noqa: E731
    found = evaluate_depth("blurred", predict, [whole(store)], Protocol(scaling="none"))
    total, count = found.at_outlines
    assert count == 18 * 40
    assert total == pytest.approx(0.1 * 8 * 40, rel=1e-5)


def test_limits_and_clipping(tmp_path: Path) -> None:
    store = four_pixels(tmp_path / "frames")
    capped = Protocol(scaling="none", min_depth=1.5, max_depth=3.0)
    found = evaluate_depth("four", predict_four, [whole(store)], capped)
    # 8 m is beyond the cap; 1 becomes 1.5 and 4 becomes 3.
    assert found.results[0].pixels == 3
    assert found.values("abs_rel") == pytest.approx([(0.25 + 0 + 0.5) / 3])
    nothing = evaluate_depth(
        "four", predict_four, [whole(store)], Protocol(min_depth=10.0, max_depth=20.0)
    )
    assert (nothing.scores, nothing.without_truth) == ((), 1)


def test_flip_blends_with_the_mirror_image(tmp_path: Path, checkpoint: Checkpoint) -> None:
    images = some_images(2)
    store = make_store(tmp_path / "frames", images, np.ones((2, HEIGHT, WIDTH)))
    frames = np.array([0, 1])

    def predicted(flip: bool, frame_store: FrameStore) -> np.ndarray:
        return depth_predictor(checkpoint, CPU, Protocol(flip=flip))(frame_store, frames)

    mirrored = make_store(tmp_path / "mirrored", images[:, :, ::-1], np.ones((2, HEIGHT, WIDTH)))
    direct = 1.0 / predicted(False, store)
    back = 1.0 / predicted(False, mirrored)[:, :, ::-1]
    assert np.abs(direct - back).max() > 0.1  # else it would not matter
    blended = 1.0 / predicted(True, store)
    for column in range(WIDTH):
        x = column / (WIDTH - 1)
        left = 1 - min(max(20 * (x - 0.05), 0), 1)
        right = 1 - min(max(20 * (1 - x - 0.05), 0), 1)
        expected = right * direct + left * back + (1 - left - right) * (direct + back) / 2
        assert np.allclose(blended[..., column], expected[..., column], rtol=1e-4)


def test_the_garg_crop_and_the_window_decide_what_counts(tmp_path: Path) -> None:
    height, width = 100, 200
    truth = np.full((1, height, width), 50.0)
    truth[:, 40:99, 7:192] = 2.0  # Garg: rows 40.8… to 99.2…, columns 7.2 to 192.8
    truth[:, 40:99, 7:20] = 4.0
    store = make_store(tmp_path / "frames", np.zeros((1, 32, 64, 3), np.uint8), truth)

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        return np.full((1, height, width), 2.0, np.float32)

    rules = Protocol(scaling="none", garg_crop=True)
    found = evaluate_depth("two", predict, [whole(store)], rules)
    assert found.results[0].pixels == 59 * 185
    assert found.values("abs_rel") == pytest.approx([0.5 * 13 / 185])
    # The window takes away the first tenth, where the truth is 4.
    selection = Selection(store, np.arange(1), (0.1, 0.0, 0.0, 0.0))
    inside = evaluate_depth("two", predict, [selection], rules)
    assert inside.results[0].pixels == 59 * 172
    assert inside.values("abs_rel") == pytest.approx([0.0])


def test_what_is_left_of_a_crop() -> None:
    none = (0.0, 0.0, 0.0, 0.0)
    bonnet = (0.0, 0.2, 0.0, 0.3)
    assert remaining_crop(none, bonnet) == bonnet
    assert remaining_crop(bonnet, bonnet) == none
    # Of 100 rows, 20 are gone and 30 more at the bottom: 10 of the 50 left at the top.
    assert remaining_crop(bonnet, (0.1, 0.3, 0.0, 0.3)) == pytest.approx((0.1, 0.2, 0.0, 0.0))
    assert remaining_crop(bonnet, none) == none
    assert sees_less(bonnet, none)
    assert not sees_less(none, bonnet)
    assert not sees_less(bonnet, (0.0, 0.2001, 0.0, 0.2999))


def test_baselines(tmp_path: Path) -> None:
    truth = np.zeros((4, 2, 2))
    truth[0] = [[1.0, 2.0], [4.0, 0.0]]
    truth[1] = [[3.0, 2.0], [0.0, 0.0]]
    truth[2] = [[2.0, 2.0], [4.0, 3.0]]
    truth[3] = [[4.0, 4.0], [8.0, 5.5]]
    store = make_store(tmp_path / "frames", np.zeros((4, 32, 32, 3), np.uint8), truth)
    # Means of the first two frames: 2, 2, 4; the last pixel is never known, so 8 / 3.
    predict = mean_depth_predictor([Selection(store, np.array([0, 1]))], Protocol())
    assert predict(store, np.array([2, 3])) == pytest.approx(
        np.repeat([[[2.0, 2.0], [4.0, 8 / 3]]], 2, axis=0)
    )
    test = Selection(store, np.array([2, 3]))
    constant = evaluate_depth("constant", constant_predictor, [test], Protocol())
    assert constant.results[0].scale_ratio == 2.5
    assert constant.values("abs_rel")[0] == pytest.approx((0.25 + 0.25 + 0.375 + 0.5 / 3) / 4)
    with pytest.raises(ValueError, match="none of the 0 frames"):
        mean_depth_predictor([Selection(store, np.array([], np.int64))], Protocol())


def test_stretches_are_parts_of_each_recording(tmp_path: Path) -> None:
    store = make_store(
        tmp_path / "frames",
        np.zeros((15, 32, 32, 3), np.uint8),
        None,
        # Two segments of one recording, the later one stored first, then another recording.
        stamps=np.array([5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 100, 101, 102, 103, 104]),
        segment=np.repeat([0, 1, 2], 5),
        sources=[Source("a", "/x"), Source("b", "/x")],
    )
    store = dataclasses.replace(store, segment_source=(0, 0, 1))
    assert frames_of_stretch(store, 0.8, 1.0).tolist() == [3, 4, 14]
    assert frames_of_stretch(store, 0.0, 0.2).tolist() == [5, 6, 10]
    parts = [frames_of_stretch(store, i / 5, (i + 1) / 5) for i in range(5)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(15))


def test_the_split_is_the_one_of_training(tmp_path: Path) -> None:
    store = make_store(
        tmp_path / "frames", some_images(40), None, segment_spacing=[2], sources=[Source("a", "/x")]
    )
    fitted, held_out = training_split(store, {}, 0.25)
    # Targets 2 … 37; the last 9 are held out, and their sources begin at frame 27.
    assert held_out.tolist() == list(range(29, 38))
    assert fitted.tolist() == list(range(2, 25))
    fitted, held_out = training_split(
        store, {"sources": [-1], "spacing": 1, "validation_fraction": 0.1}
    )
    assert held_out.tolist() == [36, 37, 38, 39]  # of 1 … 39
    assert fitted.tolist() == list(range(1, 35))


def test_who_wins_more_frames() -> None:
    def scored(values: list[float]) -> Evaluation:
        scores = []
        for frame, value in enumerate(values):
            metrics = {"abs_rel": value, "a1": value}
            scores.append(FrameScore(0, frame, FrameResult(metrics, 1.0, 1)))
        return Evaluation("scored", tuple(scores), 0, np.zeros((len(DISTANCES) - 1, 2)))

    first, second = scored([0.1, 0.2, 0.3, 0.4]), scored([0.2, 0.2, 0.2, 0.5])
    assert win_share(first, second) == (1 + 0.5 + 0 + 1) / 4
    assert win_share(first, second, "a1") == 1 - (1 + 0.5 + 0 + 1) / 4
    with pytest.raises(ValueError, match="different frames"):
        win_share(first, scored([0.1]))
    leads = choose_shown_frames([first, dataclasses.replace(second, name="rival")])
    assert leads["rival ahead by most"] == 2
    assert leads["scored ahead by most"] in (0, 3)
    single = choose_shown_frames([scored([0.5, 0.1, 0.3, 0.9, 0.2])])
    assert list(single.values()) == [1, 4, 2, 0, 3]


def turning_path(count: int) -> np.ndarray:
    """World-from-camera poses of a camera that drives a curve, in a world of its own."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for i in range(count):
        angle = 0.1 * i
        poses[i, :3, :3] = [
            [math.cos(angle), 0.0, math.sin(angle)],
            [0.0, 1.0, 0.0],
            [-math.sin(angle), 0.0, math.cos(angle)],
        ]
        poses[i, :3, 3] = [5.0 - 5.0 * math.cos(angle), 3.0, 5.0 * math.sin(angle)]
    return poses


def moving_store(path: Path, poses: np.ndarray, spacing: int = 1) -> FrameStore:
    return make_store(path, some_images(len(poses)), None, poses=poses, segment_spacing=[spacing])


def with_pose_networks(checkpoint: Checkpoint, kind: str) -> Checkpoint:
    torch.manual_seed(1)
    channels = (64, 64, 128, 256, 512)
    networks = {
        "separate": {"pose_encoder": ResnetEncoder(34, 2), "pose": PoseDecoder(channels)},
        "shared": {"pose": PoseDecoder(channels, num_input_features=2)},
        "posecnn": {"posecnn": PoseCNN()},
    }[kind]
    extra = {name: dict(network.eval().state_dict()) for name, network in networks.items()}
    return dataclasses.replace(checkpoint, state={**checkpoint.state, **extra})


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


def test_error_colours() -> None:
    truth = np.array([[1.0, 1.0, 1.0, np.nan]], np.float32)
    depth = np.array([[1.0, 0.5, 9.0, 1.0]], np.float32)
    agree, near, far, unknown = error_picture(truth, depth)[0].astype(int)
    assert agree.tolist() == [250, 250, 250]
    assert near[0] > near[2] + 100  # red
    assert far[2] > far[0] + 100  # blue
    assert len(set(unknown.tolist())) == 1


def test_sparse_truth_is_spread_to_be_seen() -> None:
    values = np.full((5, 7), np.nan, np.float32)
    values[2, 1], values[2, 5] = 1.0, 2.0
    spread = spread_points(values, 1)
    expected = np.full((5, 7), np.nan)
    expected[1:4, 0:3], expected[1:4, 4:7] = 1.0, 2.0
    assert np.array_equal(spread, expected, equal_nan=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> tuple[Path, Path]:
    """A checkpoint's file, and a store whose truth is 1.5 times its prediction."""
    folder = tmp_path_factory.mktemp("recorded")
    training = {"recordings": ["walk"], "options": {"spacing": 1}}
    posed = with_metadata(with_pose_networks(checkpoint, "separate"), training=training)
    file = folder / "model.safetensors"
    save_checkpoint(file, posed.metadata, posed.state)
    images = some_images(20)
    truth = np.stack([1.5 * robot_depth(checkpoint, image) for image in images])
    truth[-1] = 0.0
    store = make_store(
        folder / "frames",
        images,
        truth,
        poses=turning_path(20),
        sources=[Source("walk", "/camera/image_raw")],
    )
    return file, store.path


class TagCounter(HTMLParser):
    """Counts tags and notes whatever would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in ("meta", "img", "line", "polyline", "circle"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and not (value or "").startswith("data:image/png;base64,"):
                self.fetched.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "polyline", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_the_command_writes_table_json_and_page(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    options = ["--stretch", "0.5:1", "--ego-motion", "--device", "cpu", "--batch-size", "4"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    outputs += ["--picture", str(tmp_path / "out.png")]
    assert main([str(file), "--data", str(store), *options, *outputs]) == 0
    said = capsys.readouterr().out
    assert "frames (stretch 0.5:1): 9 frames with truth, 1 without" in said
    assert "each frame scaled by the ratio of the medians" in said
    row = next(line for line in said.splitlines() if line.startswith("model.safetensors"))
    figures = [float(cell.rstrip("%")) for cell in row.split()[1:]]
    assert figures[0] < 2e-3  # abs_rel
    assert figures[4:7] == [1.0, 1.0, 1.0]
    assert figures[7] == pytest.approx(1.5, rel=2e-3)
    assert "best constant depth" in said
    assert "mean depth image" in said
    assert "best straight line" in said
    # Of the targets 1 … 18 the last two are held out with their sources, frames 16 to 19; so 14 is
    # the last that was trained on.
    assert "was trained on this recording: 5 of the 10 frames" in said

    told = json.loads((tmp_path / "out.json").read_text())
    (model,) = told["models"]
    assert model["metadata"]["width"] == WIDTH
    assert (model["depth"]["frames"], model["depth"]["without_truth"]) == (9, 1)
    assert [frame["frame"] for frame in model["depth"]["per_frame"]] == list(range(10, 19))
    assert model["depth"]["per_frame"][0]["stamp"] == 10 * 100_000_000
    assert model["depth"]["mean"]["abs_rel"] == pytest.approx(
        np.mean([frame["abs_rel"] for frame in model["depth"]["per_frame"]])
    )
    assert sum(part["pixels"] for part in model["depth"]["by_distance"]) == 9 * WIDTH * HEIGHT
    assert model["odometry"]["snippets"] == 6
    assert len(model["odometry"]["per_snippet"]) == 6
    constant, mean = told["baselines"]
    assert constant["depth"]["mean"]["abs_rel"] > 0.05
    assert mean["depth"]["frames"] == 9
    assert told["protocol"]["max_depth"] == 80.0
    assert told["comparison"] is None

    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.open == []
    assert page.fetched == []
    assert page.tags["img"] == 5 * 4
    assert page.tags["svg"] == 2
    assert "worst" in page.text
    # Five rows of four panels: what was predicted looks like the ground truth next to it.
    picture = cv2.imread(str(tmp_path / "out.png")).astype(int)
    height, width = picture.shape[0] // 5, picture.shape[1] // 4
    truth, found = (
        picture[height // 2 : height - 2, i * width + 8 : (i + 1) * width - 8] for i in (1, 2)
    )
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.9
    names = ["out.html", "out.json", "out.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_two_checkpoints_side_by_side(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    other = drawn_checkpoint(4)
    (tmp_path / "other").mkdir()
    rival = tmp_path / "other" / "model.safetensors"
    save_checkpoint(rival, other.metadata, other.state)
    command = ["--compare", str(rival), str(file), "--data", str(store), "--device", "cpu"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    assert main([*command, *outputs]) == 0
    said = capsys.readouterr().out
    ours = f"{file.parent.name}/model.safetensors"
    assert f"frames in which other/model.safetensors is better than {ours}: abs_rel 0%" in said
    assert "no mean depth image to compare with" in said
    told = json.loads((tmp_path / "out.json").read_text())
    assert [model["name"] for model in told["models"]] == ["other/model.safetensors", ours]
    assert told["comparison"]["share_of_frames"]["abs_rel"] == 0.0
    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.tags["img"] == 5 * 6
    assert f"{ours} ahead by most" in page.text


def test_a_published_folder_and_a_metric_one(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    size = {"height": HEIGHT, "width": WIDTH, "use_stereo": True}
    torch.save({**checkpoint.state["encoder"], **size}, folder / "encoder.pth")
    torch.save(checkpoint.state["depth"], folder / "depth.pth")
    images = some_images(3)
    same = with_metadata(checkpoint, min_depth=0.1, max_depth=100.0, scale=5.4)
    truth = np.stack([robot_depth(same, image) for image in images])
    store = make_store(tmp_path / "frames", images, truth)
    said_so = f"{folder}:kitti-stereo"
    assert main([said_so, "--data", str(store.path), "--device", "cpu", "--cap", "600"]) == 0
    said = capsys.readouterr().out
    assert "in metres as predicted" in said
    assert "best constant depth, median-scaled" in said
    row = next(line for line in said.splitlines() if line.startswith("published"))
    assert float(row.split()[1]) < 2e-3
    assert main([str(folder), "--data", str(store.path), "--scaling", "none", "--cap", "600"]) == 0
    row = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("published"))
    assert float(row.split()[1]) == pytest.approx(1 - 1 / 5.4, abs=2e-3)


@pytest.mark.slow
def test_a_recording_is_extracted_to_a_temporary_store(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    positions = [0.0, 3.0, 6.0, 6.0, 6.0, 9.0, 12.0, 15.0]  # standing frames count, too
    bag = write_drive(tmp_path / "drive", positions, with_depth=True, with_odometry=True)
    cropping = with_metadata(checkpoint, crop=(0.0, 0.25, 0.0, 0.0))
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, cropping.metadata, cropping.state)
    out = tmp_path / "out.json"
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # extraction sets 1, but only for itself
    try:
        assert main([str(file), "--data", str(bag), "--device", "cpu", "--json", str(out)]) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert "drive: 8 frames with truth, 0 without" in said
    assert "verdict" not in said
    assert "note: no mean depth image" in said
    assert said.count("note:") == 1
    told = json.loads(out.read_text())
    assert told["stores"] == [
        {
            "name": "drive",
            "sources": [{"recording": "drive", "topic": "/camera/image_raw"}],
            "frames": 8,
        }
    ]
    frames = [
        evaluation["depth"]["per_frame"] for evaluation in (told["models"][0], told["baselines"][0])
    ]
    for position, of_model, of_constant in zip(positions, *frames, strict=True):
        image, depth = scene(position)
        truth, found = depth[24:], robot_depth(cropping, image)[24:]
        scaled = found * (np.median(truth) / np.median(found))
        for told_frame, prediction in ((of_model, scaled), (of_constant, np.median(truth))):
            expected = np.mean(np.abs(prediction - truth) / truth)
            assert told_frame["abs_rel"] == pytest.approx(expected, rel=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "drive",
        "model.safetensors",
        "out.json",
    ]


def test_what_goes_wrong_in_extraction_ends_the_evaluation(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no recording")
    command = [str(recorded[0]), "--data", str(broken), "--device", "cpu"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("depth_evaluate: --data broken.mcap: ")
    assert "broken.mcap cannot be read" in error

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.extraction.open_frames.extract", interrupted)
        assert main(command) == 130
    assert capsys.readouterr().err == "depth_evaluate: interrupted\n"


def test_kitti_folders_are_read_with_their_split(
    tmp_path: Path,
    checkpoint: Checkpoint,
    raw: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, checkpoint.metadata, checkpoint.state)
    listed = kitti_folders.split(tmp_path, *(f"{kitti_folders.DRIVE} {i} l" for i in (2, 3, 9)))
    command = [str(file), "--kitti-raw", str(raw), "--kitti-split", str(listed)]
    out = tmp_path / "out.json"
    assert main([*command, "--device", "cpu", "--json", str(out)]) == 0
    # The listed frames and their neighbours: 1 to 4 and 8 to 10. The scanner sees one wall.
    assert "KITTI raw, split.txt: 3 frames with truth, 4 without" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["baselines"][0]["depth"]["mean"]["abs_rel"] == pytest.approx(0.0, abs=1e-3)
    assert told["models"][0]["depth"]["mean"]["abs_rel"] > 0.01


def test_checkpoints_of_different_crops_are_compared_where_both_see(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = {"top": (0.0, 0.25, 0.0, 0.0), "left": (0.5, 0.0, 0.0, 0.0)}
    files = [tmp_path / f"{name}.safetensors" for name in crops]
    for file, crop in zip(files, crops.values(), strict=True):
        save_checkpoint(file, with_metadata(checkpoint, crop=crop).metadata, checkpoint.state)
    store = make_store(tmp_path / "frames", some_images(2), np.full((2, HEIGHT, WIDTH), 3.0))
    out = tmp_path / "out.json"
    command = ["--compare", *map(str, files), "--data", str(store.path), "--device", "cpu"]
    assert main([*command, "--json", str(out)]) == 0
    assert "the checkpoints differ in their crops" in capsys.readouterr().out
    told = json.loads(out.read_text())
    for evaluated_one in (*told["models"], *told["baselines"]):
        for frame in evaluated_one["depth"]["per_frame"]:
            assert frame["pixels"] == (HEIGHT - 16) * (WIDTH // 2)


def test_a_store_that_shows_less_than_the_robot_is_mentioned(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, checkpoint.metadata, checkpoint.state)
    with FrameStoreWriter(tmp_path / "frames", WIDTH, HEIGHT, (0.0, 0.2, 0.0, 0.0)) as writer:
        writer.append(some_images(1)[0], 0, 0, 0, truth=np.full((HEIGHT, WIDTH), 3.0))
        writer.finish([PinholeCamera(WIDTH, HEIGHT, 60.0, 60.0, 48.0, 32.0)])
    assert main([str(file), "--data", str(tmp_path / "frames"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "was extracted with --crop 0 0.2 0 0" in said
    assert "expects 0 0 0 0: it sees less here than on the robot" in said


def test_odometry_without_depth(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    posed = with_pose_networks(checkpoint, "shared")
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, posed.metadata, posed.state)
    store = moving_store(tmp_path / "frames", turning_path(9))
    page = tmp_path / "out.html"
    command = [str(file), "--data", str(store.path), "--device", "cpu", "--report", str(page)]
    assert main(command) == 1
    assert "there is no depth to compare with in" in capsys.readouterr().err
    assert not page.exists()
    assert main([*command, "--ego-motion"]) == 0
    said = capsys.readouterr().out
    assert "abs_rel" not in said
    assert "standing still" in said
    assert "Odometry" in page.read_text()


def test_steadiness_is_reported_recording_by_recording(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    images = np.stack([np.roll(some_images(1)[0], i, axis=1) for i in range(4)])
    bare = make_store(tmp_path / "bare", images, None, sources=[Source("road", "/image")])
    command = [str(file), "--data", str(store), str(bare.path), "--device", "cpu", "--temporal"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    assert main([*command, "--stretch", "0.5:1", *outputs]) == 0
    said = capsys.readouterr().out
    assert "road /image: 2 frames, 1 pairs of neighbours; motion from optical flow" in said
    steady = said[said.index("steadiness") :]
    rows = {name: steady.count(f"\n{name} ") for name in ("model.safetensors", "mean depth image")}
    assert rows == {"model.safetensors": 2, "mean depth image": 1}

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    told = json.loads((tmp_path / "out.json").read_text(), parse_constant=refuse)
    with_truth, without = told["temporal"]
    model, constant, mean = with_truth["results"]
    assert (constant["saturated"], mean["saturated"]) == (None, None)
    # The truth is what the model predicts, times 1.5; the last frame has none.
    assert model["per_frame"]["scale"][:-1] == pytest.approx([1.5] * 9, rel=2e-3)
    assert model["per_frame"]["scale"][-1] is None
    assert model["holes"] == 0.0
    assert model["drift"]["spread"] < 2e-3
    assert len(model["per_pair"]["flicker"]) == len(with_truth["pairs"]) == 9
    assert [result["name"] for result in without["results"]] == ["model.safetensors"]
    (result,) = without["results"]
    assert result["drift"] is None
    assert result["per_frame"]["holes"] == [None, None]
    assert 0.0 <= result["saturated"] <= 1.0
    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.open == []
    assert page.tags["svg"] == 4
    assert page.tags["img"] == 5 * 4 + 2 * (2 * 4)


def test_steadiness_needs_no_truth(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = recorded
    images = np.stack([np.roll(some_images(1)[0], i, axis=1) for i in range(3)])
    bare = make_store(tmp_path / "bare", images, None)
    page = tmp_path / "out.html"
    command = [str(file), "--data", str(bare.path), "--device", "cpu"]
    assert main([*command, "--temporal", "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "bare: 3 frames, 2 pairs of neighbours" in said
    assert "abs_rel" not in said
    assert "Steadiness" in page.read_text()
    assert main([*command, "--temporal", "--stretch", "0:0.1"]) == 0
    assert "bare: 1 frames, 0 pairs" in capsys.readouterr().out
    assert main([*command, "--temporal", "--stretch", "0.9:1"]) == 1
    assert "--temporal: no frame is chosen" in capsys.readouterr().err


def test_the_far_end_of_a_network(checkpoint: Checkpoint) -> None:
    metric = with_metadata(checkpoint, min_depth=0.1, max_depth=100.0, scale=5.4)
    # 1 % of the way from 1/100 to 1/0.1 per unit.
    depth = 1 / (0.01 + 0.01 * 9.99)
    assert saturation_depth(metric, Protocol(scaling="none")) == pytest.approx(depth)
    assert saturation_depth(metric, Protocol()) == pytest.approx(5.4 * depth)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "S"], "give one CHECKPOINT"),
        (["M", "--compare", "M", "M", "--data", "S"], "give one CHECKPOINT"),
        (["M"], "give --data STORE or BAG, or --kitti-raw DIR"),
        (["M", "--data", "S", "--kitti-raw", "K"], "not both"),
        (["M", "--kitti-raw", "K"], "belong together"),
        (["M", "--data", "nowhere"], "--data .*nowhere does not exist"),
        (["M", "--data", "E"], "is not a frame store"),
        (["nowhere", "--data", "S"], "checkpoint .*nowhere does not exist"),
        (["M", "--data", "S", "--batch-size", "0"], "--batch-size is 0; give at least 1"),
        (["M", "--data", "S", "--cap", "0"], "--cap is 0.0; give more than 0"),
        (["M", "--data", "S", "--min-truth", "90"], "--min-truth is 90 and --cap 80"),
        (["M", "--data", "S", "--crop", "garg"], "--crop is gone; write --garg-crop"),
        (["M", "--data", "S", "--min-depth", "1"], "--min-depth is gone; write --min-truth"),
        (["M", "--data", "S", "--odometry"], "--odometry is gone; write --ego-motion"),
        (["M", "--data", "S", "--precision", "fp16", "--device", "cpu"], "precision 'fp16'"),
        (["M", "--data", "S", "--scaling", "metric"], "is not metric: .*--scaling median"),
        (["M", "--data", "S", "--device", "tpu"], "device is 'tpu'; it must be auto"),
        (
            ["M", "--data", "S", "--device", "cuda:99"],
            "'cuda:99' but (torch finds no|there are)",
        ),
        (["M", "--data", "S", "--json", "no/out.json"], "the folder .*no does not exist"),
        (["M", "--data", "S", "--cap", "0.01"], "none of the 20 chosen frames has ground truth"),
        (["M", "--data", "S", "--stretch", "0.97:1"], "none of the 0 chosen frames"),
        (
            ["M", "--data", "S", "--split", "train", "--validation-fraction", "2"],
            "--validation-fraction is 2.0; give at most 0.9",
        ),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path,
    recorded: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    names = {"M": str(recorded[0]), "S": str(recorded[1]), "E": "empty"}
    assert status_of(main, [names.get(argument, argument) for argument in arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("depth_evaluate: ")
    assert re.search(message, error), error


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_openvino_ir_is_judged_as_the_network_it_is_made_from(
    tmp_path: Path, recorded: tuple[Path, Path], half: bool
) -> None:
    pytest.importorskip("openvino")
    file, store = recorded
    export_checkpoint(load_checkpoint(file), tmp_path / "model.xml", half=half)
    figures = {}
    for model in (file, tmp_path / "model.xml"):
        out = tmp_path / "out.json"
        command = [str(model), "--data", str(store), "--device", "cpu", "--flip", "--quiet"]
        assert main([*command, "--stretch", "0:0.2", "--json", str(out)]) == 0
        (judged,) = json.loads(out.read_text())["models"]
        figures[model.name] = judged["depth"]["mean"]
        assert judged["checkpoint"].endswith(model.name)
    weights, graph = figures["model.safetensors"], figures["model.xml"]
    tolerance = 1e-2 if half else 1e-4
    assert graph == pytest.approx(weights, rel=tolerance)
    assert weights["abs_rel"] > 0.05  # else agreement would mean little


@pytest.mark.slow
def test_the_engine_is_the_one_that_is_asked_for(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    file, store = recorded
    export_checkpoint(load_checkpoint(file), tmp_path / "model.xml")
    command = [str(tmp_path / "model.xml"), "--data", str(store), "--stretch", "0:0.2"]
    assert main([*command, "--backend", "torch"]) == 1
    assert "is OpenVINO IR, which backend 'torch' cannot run" in capsys.readouterr().err
    assert main([*command, "--ego-motion"]) == 1
    assert "has no pose network" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1", "0.5:0.2", "-0.1:1", "0:1.5", "a:b", "0.5:0.5"])
def test_wrong_stretches_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["model", "--data", "store", f"--stretch={text}"])
    assert f"'{text}': give two fractions A:B" in capsys.readouterr().err
