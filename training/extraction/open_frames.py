# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Open frames for evaluation and calibration: a frame store, or a recording extracted for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from monodepth2_ros.preprocessing import Crop
from training.extraction.console import Console
from training.extraction.job import extract
from training.extraction.options import ExtractOptions
from training.frames.store import FrameStore


def is_recording(path: Path) -> bool:
    """Return whether a path is a bag: a file, or a folder that rosbag2 wrote, complete or not."""
    if not path.is_dir():
        return True
    if (path / "store.json").exists():
        return False
    return any(
        file.name == "metadata.yaml" or file.suffix in (".mcap", ".db3") for file in path.iterdir()
    )


def open_frames(
    path: Path,
    scratch: Path,
    size: tuple[int, int],
    crop: Crop,
    options: ExtractOptions | None = None,
    console: Console | None = None,
) -> FrameStore:
    """Open a frame store; a recording is extracted first, every frame as a network sees it.

    Parameters
    ----------
    path : Path
        Frame store of ``depth_extract``, or a recording.
    scratch : Path
        The frame store to write for a recording.
    size, crop, options, console
        See :func:`extract_every_frame`.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it cannot be read, with the reason.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not is_recording(path):
        return FrameStore.open(path)
    source = replace(options or ExtractOptions(scratch), bags=(path,))
    return extract_every_frame(source, scratch, size, crop, console)


def extract_every_frame(
    source: ExtractOptions,
    out: Path,
    size: tuple[int, int],
    crop: Crop,
    console: Console | None = None,
) -> FrameStore:
    """Extract all frames as a network sees them, to look at and not to train on.

    Parameters
    ----------
    source : ExtractOptions
        Says what to read; size, crop and selection of frames are replaced.
    out : Path
        The frame store to write.
    size : tuple of int
        Width and height in pixels.
    crop : tuple of float
        Fractions to remove at the left, top, right and bottom.
    console : Console, optional
        Whether the recording can train a model is not the question: pass one that prints no
        lines.

    Raises
    ------
    ValueError
        If it cannot be read, with the reason.
    """
    width, height = size
    options = replace(source, out=out, width=width, height=height, crop=crop, min_flow=0.0)
    return extract(options, console)
