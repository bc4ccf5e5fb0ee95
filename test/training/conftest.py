# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What tests of training share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def corners_are_triangulated_once() -> Iterator[None]:
    """Let the runs of this process share what they triangulate of a store.

    It is a third of the processor time of a run of a few steps, and many tests run several of one
    store. Users have a file for that (known_tracks.py, which has tests of its own).
    """
    try:
        from training.learning import known_tracks, trainer
    except ModuleNotFoundError:  # without torch nothing is trained
        yield
        return

    shared: dict[str, dict[Any, Any]] = {}

    class Shared(known_tracks.KnownTracks):
        def __init__(
            self, stores: Any, folder: Any, measure: Any = None, kind: str = "tracks"
        ) -> None:
            super().__init__(stores, None, measure, kind)
            for index, store in enumerate(stores):
                name = known_tracks._name(store, kind)
                self._known[index] = shared.setdefault(name, {})
                self._saved[index] = 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "KnownTracks", Shared)
        yield
