# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of a store are evaluated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from evaluated_models import make_store, some_images
from training.evaluation.splits import frames_of_stretch, training_split
from training.frames.store import Source


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
