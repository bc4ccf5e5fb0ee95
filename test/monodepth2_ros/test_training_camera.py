# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera at hand compared with that of the training."""

from __future__ import annotations

import json

import pytest

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.preprocessing import NO_CROP, Crop
from monodepth2_ros.training_camera import camera_difference, describe_cameras

STORED = PinholeCamera(320, 96, 250.0, 240.0, 159.5, 47.5)
TRAINING = json.loads(json.dumps({"camera": describe_cameras([STORED])}))


def test_what_a_checkpoint_says_of_its_camera() -> None:
    assert TRAINING["camera"] == {
        "focal_length": [0.7812, 0.7812, 0.7812],
        "horizontal_field_of_view": 65.2,
        "aspect": 3.2,
    }


@pytest.mark.parametrize(
    ("camera", "crop", "words"),
    [
        (STORED, NO_CROP, ""),
        (STORED.resized(640, 192), NO_CROP, ""),  # another size of the same view
        (STORED.resized(320, 192), NO_CROP, ""),  # and stretched
        (PinholeCamera(320, 96, 300.0, 288.0, 159.5, 47.5), NO_CROP, ""),  # 1.2 times
        (PinholeCamera(320, 96, 500.0, 480.0, 159.5, 47.5), NO_CROP, "is 2.00 times that"),
        (PinholeCamera(320, 96, 125.0, 120.0, 159.5, 47.5), NO_CROP, "is 0.50 times that"),
        (PinholeCamera(320, 240, 250.0, 240.0, 159.5, 119.5), NO_CROP, "are 0.40 times as wide"),
        # The same camera before its crop: what the network sees is what counts.
        (PinholeCamera(320, 240, 250.0, 240.0, 159.5, 119.5), (0.0, 0.3, 0.0, 0.3), ""),
    ],
)
def test_differences_that_matter(camera: PinholeCamera, crop: Crop, words: str) -> None:
    said = camera_difference(TRAINING, camera, crop)
    assert words in said
    assert bool(said) == bool(words)


@pytest.mark.parametrize("training", [{}, {"camera": None}, {"camera": {"focal_length": "wide"}}])
def test_checkpoints_that_do_not_say(training: dict[str, object]) -> None:
    assert camera_difference(training, STORED, NO_CROP) == ""
