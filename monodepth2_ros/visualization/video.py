# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Videos from pictures, with OpenCV."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from monodepth2_ros.visualization.pictures import Picture

#: Codecs for mp4, by the names that the demo's option takes, as OpenCV calls them.
CODECS = {"vp9": "vp09", "mp4v": "mp4v"}

#: What a codec is, for people.
CODEC_NOTES = {
    "vp9": "VP9, which browsers play",
    "mp4v": "MPEG-4 Part 2, which VLC and mpv play but browsers do not",
}

# OpenCV gives VP9 no way to hurry: it takes half a second to a second per megapixel on a slow
# core. A video of more pixels than these is not worth the wait unless it is asked for.
_PATIENCE_PIXELS = 60e6

# A picture stands for at most so many seconds: pauses of a recording are not kept.
_LONGEST = 1.0


def choose_codec(pixels: float) -> str:
    """Return the best codec that this OpenCV can write a video of so many pixels with."""
    return "vp9" if pixels <= _PATIENCE_PIXELS and can_write("vp9") else "mp4v"


def can_write(codec: str) -> bool:
    """Tell whether this build of OpenCV has a codec."""
    with tempfile.TemporaryDirectory() as folder:
        writer = cv2.VideoWriter(
            str(Path(folder) / "try.mp4"), cv2.CAP_FFMPEG, _fourcc(CODECS[codec]), 10.0, (64, 64)
        )
        opened = writer.isOpened()
        writer.release()
    return opened


def write_video(path: Path, pictures: Iterable[Picture], rate: float, codec: str) -> int:
    """Write an mp4.

    Parameters
    ----------
    path : Path
    pictures : iterable of ndarray, shape (H, W, 3), uint8, RGB
        All of one size, even in both directions.
    rate : float
        Pictures a second.
    codec : str
        One of :data:`CODECS`.

    Returns
    -------
    int
        The number of pictures.

    Raises
    ------
    ValueError
        If OpenCV cannot write it.
    """
    writer = None
    count = 0
    try:
        for picture in pictures:
            if writer is None:
                writer = _writer(path, CODECS[codec], rate, picture)
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        if writer is not None:
            writer.release()
    return count


class Spool:
    """Pictures with their times, kept on disk (motion JPEG) until it is known how they are used.

    Parameters
    ----------
    path : Path
        An .avi file.

    Attributes
    ----------
    times_ns : list of int
    pixels : int
        Number of pixels of a picture.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] = ()
        self.times_ns: list[int] = []

    @property
    def pixels(self) -> int:
        """Number of pixels of a picture."""
        return self._shape[0] * self._shape[1] if self._shape else 0

    def add(self, picture: Picture, time_ns: int) -> None:
        """Keep a picture; it is resized if it differs from the first."""
        if self._writer is None:
            self._writer = _writer(self._path, "MJPG", 10.0, picture)
            self._shape = picture.shape
        if picture.shape != self._shape:
            picture = cv2.resize(picture, (self._shape[1], self._shape[0]))  # type: ignore[assignment]
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.times_ns.append(time_ns)

    def close(self) -> None:
        """Finish writing."""
        if self._writer is not None:
            self._writer.release()

    def remove(self) -> None:
        """Delete the pictures."""
        self.close()
        self._path.unlink(missing_ok=True)

    def repeats(self, rate: float) -> list[int]:
        """Return how often each picture is shown in a video that runs as fast as time did."""
        if not self.times_ns:
            return []
        seconds, ticks = 0.0, [0]
        for before, now in itertools.pairwise(self.times_ns):
            seconds += min(max(1e-9 * (now - before), 0.0), _LONGEST)
            # Rounded from the beginning, so that errors do not add up; each is shown once at least.
            ticks.append(max(ticks[-1] + 1, round(seconds * rate)))
        return [*(now - before for before, now in itertools.pairwise(ticks)), 1]

    def play(self, rate: float) -> Iterator[Picture]:
        """Yield the pictures as they are to be shown, at `rate` a second."""
        reader = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        try:
            for repeats in self.repeats(rate):
                found, picture = reader.read()
                if not found:
                    return
                rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                for _ in range(repeats):
                    yield rgb  # type: ignore[misc]
        finally:
            reader.release()


def _writer(path: Path, fourcc: str, rate: float, picture: Picture) -> cv2.VideoWriter:
    """Open a video for pictures like this one."""
    size = (picture.shape[1], picture.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, _fourcc(fourcc), rate, size)
    if not writer.isOpened():
        raise ValueError(f"OpenCV cannot write {path} as {fourcc} in {size[0]}x{size[1]}")
    return writer


def _fourcc(name: str) -> int:
    """Return a codec's code."""
    return int(cv2.VideoWriter.fourcc(*name))
