# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the figures of an evaluation need to be taken with care."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.preprocessing import Crop, remaining_crop, sees_less
from monodepth2_ros.training_camera import camera_difference
from training.evaluation.protocol import Frames, Selection
from training.evaluation.splits import training_split
from training.frames.store import FrameStore
from training.learning.dataset import DatasetError


def notes_on(
    checkpoints: Sequence[Checkpoint], selections: Sequence[Selection], split: str
) -> list[str]:
    """Say where the figures need to be taken with care.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
    selections : sequence of Selection
        The frames that are compared.
    split : {"all", "train", "validation"}
        Which frames these are.
    """
    notes = []
    for checkpoint in checkpoints:
        metadata, name = checkpoint.metadata, checkpoint.source
        if checkpoint.is_random:
            notes.append(f"{name}: untrained")
        for selection in selections:
            store, shown = selection.store, selection.store.path.name
            if sees_less(store.crop, metadata.crop):
                notes.append(
                    f"{shown} was extracted with --crop {_spaced(store.crop)}, {name} expects "
                    f"{_spaced(metadata.crop)}: it sees less here than on the robot"
                )
            if (store.width, store.height) != (metadata.width, metadata.height):
                notes.append(
                    f"frames of {shown} are resized a second time, from "
                    f"{store.width}x{store.height} to {metadata.width}x{metadata.height} for {name}"
                )
            remaining = remaining_crop(store.crop, metadata.crop)
            differences = {
                camera_difference(metadata.training, camera, remaining) for camera in store.cameras
            }
            notes.extend(f"{shown}, {name}: {text}" for text in sorted(differences) if text)
            known = _training_frames(checkpoint, store)
            count = len(np.intersect1d(selection.frames, known))
            if count and split != "train":
                notes.append(
                    f"{name} was trained on this recording: {count:,} of the "
                    f"{len(selection.frames):,} frames of {shown} are not new to it; give "
                    "--split validation to leave them out"
                )
    if split != "all" and "options" not in checkpoints[0].metadata.training:
        notes.append(
            f"{checkpoints[0].source} does not say how it was trained: the split is depth_train's "
            "default"
        )
    if len({checkpoint.metadata.crop for checkpoint in checkpoints}) > 1:
        notes.append("the checkpoints differ in their crops: compared is what both see")
    return notes


def _training_frames(checkpoint: Checkpoint, store: FrameStore) -> Frames:
    """Return the frames of a store that a checkpoint was trained on, by the recordings' names."""
    training = checkpoint.metadata.training
    trained_on = set(training.get("recordings", ()))
    is_known = np.array([Path(s.recording).name in trained_on for s in store.sources], bool)
    if not is_known.any():
        return np.zeros(0, np.int64)
    try:
        fitted, _ = training_split(store, training.get("options", {}))
    except DatasetError:  # such a store cannot have been trained on
        return np.zeros(0, np.int64)
    return fitted[is_known[np.array(store.segment_source)[store.segment[fitted]]]]


def _spaced(crop: Crop) -> str:
    """Write a crop as the command line takes it."""
    return " ".join(f"{side:g}" for side in crop)
