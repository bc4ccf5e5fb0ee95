# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether bfloat16 keeps the depth on what a camera really sees, looked at now and then.

The images on which a precision is chosen are drawn. Scenes differ: with much sky the depth changes
by several times as much. So a few real frames are computed again in float32, in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.backends.precision_choice import LARGEST_CHANGE, relative_change
from monodepth2_ros.checkpoint import CheckpointMetadata

# Frames of a look, and how far apart they are: one odd frame must not decide.
_FRAMES = 3
_SPACING = 10

# Standard deviation of a frame's samples, in levels of 255. A covered lens or a dark room tells
# nothing about a scene.
_LEAST_CONTRAST = 8.0

# Frames until the next look: as many as there were until then, within these limits.
_SHORTEST_PAUSE = 300
_LONGEST_PAUSE = 3000


class PrecisionWatch:
    """Compares the disparity of some frames with that of the exact graph.

    The exact graph is in memory only while it is needed.

    Parameters
    ----------
    compile_exact : callable
        Compiles the graph for float32.
    metadata : CheckpointMetadata
    give_up : callable
        Called once, in the thread, with the compiled exact graph and the relative change of depth
        if that is too large.
    """

    def __init__(
        self,
        compile_exact: Callable[[], Any],
        metadata: CheckpointMetadata,
        give_up: Callable[[Any, float], None],
    ) -> None:
        self._compile_exact = compile_exact
        self._metadata = metadata
        self._give_up = give_up
        self._seen = 0
        self._due = 1
        self._kept: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = []
        self._thread: threading.Thread | None = None

    def look_at(self, image: NDArray[np.uint8], disparity: NDArray[np.float32]) -> None:
        """Take a frame: image (H, W, 3) and sigmoid disparity (H, W) of the network's size."""
        self._seen += 1
        if self._seen < self._due or image.std() < _LEAST_CONTRAST:
            return
        self._kept.append((image.copy(), disparity.copy()))
        self._due = self._seen + _SPACING
        if len(self._kept) < _FRAMES:
            return
        self._due = self._seen + min(max(self._seen, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        kept, self._kept = self._kept, []
        self.join()
        self._thread = threading.Thread(
            target=self._compare, args=(kept,), name="precision_watch", daemon=True
        )
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the look that is under way, if there is one."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _compare(self, kept: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> None:
        compiled = self._compile_exact()
        request = compiled.create_infer_request()
        changes = [
            relative_change(request.infer([image[None]])[0][0, 0], disparity, self._metadata)
            for image, disparity in kept
        ]
        change = float(np.median(changes))
        if not change <= LARGEST_CHANGE:  # NaN, too
            self._give_up(compiled, change)
