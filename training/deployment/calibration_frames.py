# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames that calibrate a quantised network, and others that it is compared on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.preprocessing import crop_box, remaining_crop, sees_less, to_network_input
from training.evaluation.protocol import Selection
from training.evaluation.splits import frames_of_stretch
from training.frames.store import FrameStore, network_images

#: With fewer frames neither ranges nor errors mean anything.
FEWEST_FRAMES = 10


#: The part of each recording that calibrates; the rest judges.
CALIBRATION_STRETCH = 0.8


class QuantizationError(ValueError):
    """The network cannot be quantised; the message says why and what to do."""


def choose_calibration_frames(
    stores: Sequence[FrameStore], metadata: CheckpointMetadata, count: int
) -> tuple[list[Selection], list[Selection]]:
    """Choose the frames that calibrate, and others that judge.

    Both are spread evenly over all recordings and over the time of each; calibration takes from
    the first four fifths of each recording, the judgement from the rest.

    Parameters
    ----------
    stores : sequence of FrameStore
    metadata : CheckpointMetadata
    count : int
        Frames to choose for each purpose, or as many as there are.

    Returns
    -------
    calibration, held_out : list of Selection
        One for each store.

    Raises
    ------
    QuantizationError
        If a store does not show what the network takes, or there are too few frames.
    """
    for store in stores:
        _check_view(store, metadata)
    chosen = []
    for purpose, first, last in (
        ("calibrate with", 0.0, CALIBRATION_STRETCH),
        ("judge with", CALIBRATION_STRETCH, 1.0),
    ):
        selections = _spread(stores, metadata, first, last, count)
        found = sum(len(selection.frames) for selection in selections)
        if found < FEWEST_FRAMES:
            total = sum(map(len, stores))
            raise QuantizationError(
                f"there are {found} frames to {purpose} ({total} in all, the last fifth of each "
                f"recording judges); at least {FEWEST_FRAMES} are needed: give --calibrate more"
            )
        chosen.append(selections)
    return chosen[0], chosen[1]


def spread_evenly(lengths: Sequence[int], count: int) -> list[NDArray[np.int64]]:
    """Choose from several rows as evenly as their lengths allow.

    Parameters
    ----------
    lengths : sequence of int
    count : int
        How many to choose in all; all if there are not so many.

    Returns
    -------
    list of ndarray
        The places chosen in each row, ascending: equally many of each, or all of a short one, in
        the middles of equal parts of it.
    """
    sizes = np.asarray(lengths, np.int64)
    count = min(count, int(sizes.sum()))
    level = 0
    while np.minimum(sizes, level + 1).sum() <= count and level < sizes.max(initial=0):
        level += 1
    quota = np.minimum(sizes, level)
    # What does not suffice for one more of each goes to rows spread over all.
    longer = np.flatnonzero(sizes > level)
    quota[longer[middles(len(longer), count - int(quota.sum()))]] += 1
    return [middles(int(size), int(part)) for size, part in zip(sizes, quota, strict=True)]


def calibration_images(
    calibration: Sequence[Selection], metadata: CheckpointMetadata, count: int
) -> Iterator[torch.Tensor]:
    """Give some of the frames that calibrate, spread evenly, as (1, 3, H, W) in [0, 1]."""
    frames = [(selection.store, int(f)) for selection in calibration for f in selection.frames]
    for place in middles(len(frames), min(count, len(frames))):
        store, frame = frames[place]
        yield torch.from_numpy(network_input(store, frame, metadata))


def network_input(
    store: FrameStore, frame: int, metadata: CheckpointMetadata
) -> NDArray[np.float32]:
    """Read a frame as the network takes it, (1, 3, H, W) in [0, 1]."""
    crop = remaining_crop(store.crop, metadata.crop)
    image = network_images(store, np.array([frame]), crop, metadata.width, metadata.height)
    return to_network_input(image).contiguous().numpy()


def _check_view(store: FrameStore, metadata: CheckpointMetadata) -> None:
    """Refuse frames that lack what the network takes: part of the view, or sharpness."""
    wanted = " ".join(f"{side:g}" for side in metadata.crop)
    advice = (
        f"extract with --width {metadata.width} --height {metadata.height} --crop {wanted}, or "
        "give the recording itself"
    )
    if sees_less(store.crop, metadata.crop):
        raise QuantizationError(
            f"{store.path.name} was cropped by {list(store.crop)}, the network takes "
            f"{list(metadata.crop)}; {advice}"
        )
    crop = remaining_crop(store.crop, metadata.crop)
    _, _, width, height = crop_box(store.width, store.height, crop)
    if width < metadata.width or height < metadata.height:
        raise QuantizationError(
            f"the frames of {store.path.name} have {width}x{height} pixels, the network takes "
            f"{metadata.width}x{metadata.height}: enlarged ones are smoother than the robot's; "
            f"{advice}"
        )


def _spread(
    stores: Sequence[FrameStore],
    metadata: CheckpointMetadata,
    first: float,
    last: float,
    count: int,
) -> list[Selection]:
    """Choose `count` frames in a stretch of each recording of all stores."""
    rows = []
    for number, store in enumerate(stores):
        stretch = frames_of_stretch(store, first, last)
        names = np.array([source.recording for source in store.sources] or [""])
        recordings = names[np.array(store.segment_source, np.int64)][store.segment[stretch]]
        for recording in np.unique(recordings):
            members = stretch[recordings == recording]
            # In time: the cameras of a recording follow each other in a store.
            rows.append((number, members[np.argsort(store.stamps[members], kind="stable")]))
    places = spread_evenly([len(frames) for _, frames in rows], count)
    selections = []
    for number, store in enumerate(stores):
        mine = [row[place] for (n, row), place in zip(rows, places, strict=True) if n == number]
        frames = np.sort(np.concatenate([np.zeros(0, np.int64), *mine]))
        selections.append(Selection(store, frames, remaining_crop(store.crop, metadata.crop)))
    return selections


def middles(length: int, count: int) -> NDArray[np.int64]:
    """Return the middles of `count` equal parts of a row."""
    return (2 * np.arange(count) + 1) * length // (2 * max(count, 1))
