# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models, images and frame stores with known depth and motion, for the tests of evaluation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    Checkpoint,
    random_checkpoint,
)
from monodepth2_ros.networks import PoseCNN, PoseDecoder, ResnetEncoder
from monodepth2_ros.predictor import DepthPredictor, OutputOptions
from training.evaluation.depth import Evaluation, evaluate_depth
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Protocol, Selection
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store

WIDTH, HEIGHT = 96, 64
CPU = torch.device("cpu")


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


def robot_depths(checkpoint: Checkpoint, images: Iterable[np.ndarray]) -> np.ndarray:
    """What the node would publish at the images' size, shape (N, H, W); NaN outside the crop."""
    predictor = DepthPredictor(checkpoint, backend="torch", device="cpu")
    options = OutputOptions(output_size="image")
    depths = [np.array(predictor.predict(image, options=options).depth) for image in images]
    assert all(depth.ndim == 2 for depth in depths)
    return np.stack(depths)


def whole(store: FrameStore) -> Selection:
    return Selection(store, np.arange(len(store)))


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


def evaluated(checkpoint: Checkpoint, store: FrameStore, **protocol: Any) -> Evaluation:
    rules = Protocol(**protocol)
    predict = depth_predictor(checkpoint, CPU, rules)
    return evaluate_depth("model", predict, [whole(store)], rules, batch_size=2)
