# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was triangulated once is read the next time, and never stands in the way."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning.known_tracks import KnownTracks

SIZE = (128, 96)


def write_walk(path, seed=0):
    """A textured wall with a nearer board before it, seen from a camera that goes sideways."""
    generator = np.random.default_rng(seed)
    wall, board = (
        cv2.resize(generator.integers(0, 256, (40, 80, 3), dtype=np.uint8), None, fx=4, fy=4)
        for _ in range(2)
    )
    images = []
    for frame in range(5):
        image = wall[:96, 2 * frame : 2 * frame + 128].copy()
        image[30:80, 20:90] = board[30:80, 20 + 6 * frame : 90 + 6 * frame]
        images.append(image)
    write_frame_store(path, np.array(images), [PinholeCamera(*SIZE, 110.0, 110.0, 63.5, 47.5)])
    return FrameStore.open(path)


@pytest.fixture
def store(tmp_path):
    return write_walk(tmp_path / "store")


def measured(store, folder):
    """Triangulate two samples, one of which stands still, and keep them."""
    known = KnownTracks([store], folder)
    found = known(0, 2, (1, 3)), known(0, 2, (2, 2))
    known.save(least=1)
    return known, found


def test_the_next_run_reads_what_was_measured(store, tmp_path):
    first, (moving, standing) = measured(store, tmp_path / "cache")
    assert first.measured == 2 and moving is not None and standing is None
    second, again = measured(store, tmp_path / "cache")
    assert second.measured == 0 and again[1] is None
    for name in ("transforms", "points", "areas"):
        np.testing.assert_array_equal(getattr(again[0], name), getattr(moving, name))


def test_other_images_are_measured_themselves(store, tmp_path):
    measured(store, tmp_path / "cache")
    other, _ = measured(write_walk(tmp_path / "other", seed=1), tmp_path / "cache")
    assert other.measured == 2


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no archive", "half"])
def test_a_damaged_file_is_measured_again_and_replaced(store, tmp_path, content):
    measured(store, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert measured(store, tmp_path / "cache")[0].measured == 2
    assert measured(store, tmp_path / "cache")[0].measured == 0


def test_a_folder_that_cannot_be_made_stops_nothing(store, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert measured(store, tmp_path / "cache")[0].measured == 2
    assert measured(store, None)[0].measured == 2


def test_a_few_samples_are_not_worth_a_file(store, tmp_path):
    known = KnownTracks([store], tmp_path / "cache")
    known(0, 2, (1, 3))
    known.save()
    assert not (tmp_path / "cache").exists()


def test_what_another_function_measured_is_kept_apart(store, tmp_path):
    folder = tmp_path / "cache"
    _, (tracked, _) = measured(store, folder)
    calls = []

    def measure(*sample):
        calls.append(sample)
        return dataclasses.replace(tracked, transforms=7 * tracked.transforms)

    for _ in range(2):
        known = KnownTracks([store], folder, measure, "recorded")
        np.testing.assert_array_equal(known(0, 2, (1, 3)).transforms, 7 * tracked.transforms)
        known.save(least=1)
    assert calls == [(0, 2, (1, 3))]
    again = KnownTracks([store], folder)
    np.testing.assert_array_equal(again(0, 2, (1, 3)).transforms, tracked.transforms)
    assert again.measured == 0
