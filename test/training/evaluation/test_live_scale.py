# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""depth_evaluate --scaling live: the node's estimator over a store."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import NO_CROP
from training.evaluation.depth import evaluate_depth
from training.evaluation.live_scale import LiveScale
from training.evaluation.protocol import Protocol, Selection
from training.frames.store import FrameStore
from training.frames.writer import FrameStoreWriter

CAMERA = PinholeCamera(160, 96, 130.0, 130.0, 79.5, 47.5)
DISTANCE, UNIT = 3.0, 1.7


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A camera that goes sideways in front of a wall, and then stands."""
    noise = np.random.default_rng(0).uniform(0, 255, (110, 400)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    path = tmp_path_factory.mktemp("live") / "store"
    with FrameStoreWriter(path, CAMERA.width, CAMERA.height) as writer:
        for i in range(16):
            x = 0.08 * min(i, 10)
            shift = np.float32([[1, 0, -x * CAMERA.fx / DISTANCE], [0, 1, 0]])
            grey = cv2.warpAffine(texture, shift, (160, 96), flags=cv2.INTER_LINEAR)
            pose = np.eye(4)
            pose[0, 3] = x
            writer.append(
                np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2),
                i * 100_000_000, 0, 0, pose=pose, truth=np.full((96, 160), DISTANCE),
            )  # fmt: skip
        writer.finish([CAMERA])
    return FrameStore.open(path)


def predict(store, frames):
    return np.full((len(frames), 96, 160), DISTANCE / UNIT, np.float32)


def test_live_depth_is_in_metres_without_ground_truth(store):
    live = LiveScale(predict, NO_CROP)
    frames = np.arange(5, len(store))
    found = evaluate_depth("live", live, [Selection(store, frames)], Protocol(scaling="live"))
    assert found.values("abs_rel").max() < 0.01
    estimates = live.estimates[store.path]
    assert len(estimates) == len(store)
    assert "still" in estimates[-1].reason and estimates[-1].factor == pytest.approx(UNIT, rel=0.01)
    assert "by odometry: factor 1.7" in live.describe() or "factor 1.69" in live.describe()


def test_without_poses_it_says_why_there_are_no_metres(store, monkeypatch):
    import dataclasses

    blind = dataclasses.replace(store, poses=np.full((len(store), 4, 4), np.nan))
    live = LiveScale(predict, NO_CROP)
    live(blind, np.arange(3))
    assert "no odometry" in live.describe()
