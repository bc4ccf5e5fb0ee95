# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How images pass through a device; on a CPU: one after the other, as NumPy arrays.

What is computed is a function of arrays that knows nothing of this. The way through a GPU is in
:mod:`monodepth2_ros.device_pipeline`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.arrays import Array

#: Marks the end of a stage of a computation.
Lap = Callable[[str], None]

#: From an image (H, W, 3), uint8, on the device to what is asked for, there too; or from several
#: (B, H, W, 3). Arrays on a CPU, tensors on a GPU, where it must neither wait for the device nor
#: copy from the host, and gives the same shapes every time.
Compute = Callable[[Any, Lap], dict[str, Array]]


@dataclass(frozen=True)
class PipelineResult:
    """What came of an image.

    Attributes
    ----------
    arrays : dict of str to ndarray
        On the host.
    seconds : dict of str to float
        Time of the stages "preprocess", "network" and "outputs"; on a GPU, where one graph does all
        of them, that of the upload, the graph and the download.
    """

    arrays: dict[str, NDArray[Any]]
    seconds: dict[str, float]


class Pipeline(Protocol):
    """Takes images and gives what was computed of them, in order.

    Attributes
    ----------
    depth : int
        How many images may be under way.
    """

    depth: int

    def submit(self, image: NDArray[np.uint8], key: Hashable, compute: Compute) -> None:
        """Begin with an image.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3) or (B, H, W, 3), uint8
            Read before this returns.
        key : hashable
            Says what `compute` does: with equal keys and sizes of images it does the same.
        compute : callable
        """
        ...

    def collect(self) -> PipelineResult:
        """Wait for the image that was begun first; its arrays hold until `depth` more are begun."""
        ...


class HostPipeline:
    """Computes on the CPU, when an image is submitted."""

    depth = 1

    def __init__(self) -> None:
        self._done: deque[PipelineResult] = deque()

    def submit(self, image: NDArray[np.uint8], key: Hashable, compute: Compute) -> None:
        """See :meth:`Pipeline.submit`."""
        watch = Stopwatch()
        arrays: Any = compute(image, watch.lap)
        watch.lap("outputs")
        self._done.append(PipelineResult(arrays, watch.seconds()))

    def collect(self) -> PipelineResult:
        """See :meth:`Pipeline.collect`."""
        return self._done.popleft()


class Stopwatch:
    """Times stages that follow each other, from its making on."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._marks = [time.perf_counter()]

    def lap(self, name: str) -> None:
        """End a stage and begin the next."""
        self._names.append(name)
        self._marks.append(time.perf_counter())

    def seconds(self) -> dict[str, float]:
        """Return the time of each stage."""
        pairs = zip(self._names, self._marks, self._marks[1:], strict=False)
        return {name: end - start for name, start, end in pairs}
