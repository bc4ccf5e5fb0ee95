# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_extract``: recordings to a frame store that ``depth_train`` reads.

With ``--predict`` a network's depth is written next to the frames; see
:mod:`training.frames.predicted_depth`.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_extract")

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine
from monodepth2_ros.extras import require
from monodepth2_ros.target_lock import exclusive
from training.extraction.console import Console, Terminal
from training.extraction.options import ExtractOptions

if TYPE_CHECKING:
    from training.frames.store import FrameStore


#: Of a store with fewer frames than this it is not said what a training would take.
WORTH_TIMING = 100


@guarded("depth_extract", interrupted="run the same command again to go on")
def main(argv: Sequence[str] | None = None) -> int:
    """Run ``depth_extract``; return 0 if a store was written."""
    options, others = make_command_line().parse_with_others(argv)
    model: str | None = others["predict"]
    console = Console() if options.quiet else Terminal()
    try:
        require("train", "matplotlib", "rosbags", "torch")
        if options.bags or options.kitti_raw or not model:
            _extract(options, bool(model), console)
        if model:
            predict(options.out, model, console)
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from training.frames.store import partial_path

        print(
            f"depth_extract: the disk is full ({error}). What was finished is kept in "
            f"{partial_path(options.out)}: free some space and run the same command again",
            file=sys.stderr,
        )
        return 1


def _extract(options: ExtractOptions, is_predicting: bool, console: Console) -> None:
    """Extract, and say what to do if there is a store already."""
    from training.extraction.job import extract

    try:
        store = extract(options, console)
    except FileExistsError as error:
        advice = ", or leave out the recordings to predict for it"
        raise FileExistsError(f"{error}{advice * is_predicting}") from error
    if len(store) >= WORTH_TIMING and not options.quiet:
        console.say(training_advice(store))


def training_advice(store: FrameStore) -> str:
    """Say how to train on a store within an hour on this machine, after timing a small step."""
    from training.learning.affordable import suggested_size

    command = f"depth_train --data {store.path} --out run --budget 1h"
    try:
        found = suggested_size(store, 3600.0)
    except ValueError as error:
        return f"not to be trained on as it is: {error}"
    if found is None:
        return f"to train for an hour: {command}"
    (width, height), steps, batch = found
    return (
        f"to train for an hour: {command} (on this machine now about {steps} steps of {batch} at "
        f"{width}x{height}; --checkpoint default needs fewest)"
    )


def predict(out: Path, model: str, console: Console) -> None:
    """Write a network's depth next to a store's frames.

    Raises
    ------
    ValueError, CheckpointError, BackendError
        If that cannot be done, with the reason and the fix.
    """
    from training.frames.store import FrameStore

    try:
        store = FrameStore.open(out)
    except FileNotFoundError as error:
        raise ValueError(
            f"there is no frame store at {out} to predict for; name recordings to extract too"
        ) from error
    with exclusive(out):
        _predict(store, out, model, console)


def _predict(store: FrameStore, out: Path, model: str, console: Console) -> None:
    """Predict and write; see :func:`predict`."""
    from monodepth2_ros.predictor import DepthPredictor
    from training.extraction.job import gigabytes
    from training.frames.predicted_depth import DEPTH, predict_store

    predictor = DepthPredictor("" if model == "default" else model)
    with console.progress(len(store), "depth") as advance:
        predicted = predict_store(store, predictor, progress=advance)
    height, width = predicted.depth.shape[1:]
    size = gigabytes(predicted.description["bytes"])
    console.say(f"{out / DEPTH}: depth of {len(store):,} frames, {width}x{height}, {size}")


def make_command_line() -> CommandLine[ExtractOptions]:
    """Describe the command line."""
    line = CommandLine(
        "depth_extract",
        ExtractOptions,
        "Extract training frames from recordings: rosbag2 (sqlite3, MCAP, compressed or not), "
        "ROS 1 bags, or KITTI raw folders. An interrupted extraction is resumed by the same "
        "command.",
        renamed={
            "--camera-info": "--camera-info-topic TOPIC",
            "--image": "--image-topic TOPIC",
            "--poses": "--poses-topic TOPIC",
            "--split": "--kitti-split FILE",
            "--stereo": "--stereo-topics LEFT RIGHT",
            "--truth": "--truth-topic TOPIC",
        },
    )
    line.add_argument(
        "--predict",
        metavar="MODEL",
        help="afterwards write the depth that this checkpoint (or 'default') predicts for the "
        "frames into the store; without recordings, for a store that is there",
    )
    return line


if __name__ == "__main__":
    sys.exit(main())
