# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model for all tests of the node, and nodes and peers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for images of 96x64 with random weights, whose depth is not flat."""
    from node_harness import write_model

    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path, 96, 64)
    return path


@pytest.fixture
def node_settings(model: Path) -> dict[str, Any]:
    """Parameters with which a node computes what a predictor of this process computes.

    Reliable: else a frame that is lost on the way would be the middleware's right.
    """
    from node_harness import BACKEND

    return {
        **{"checkpoint": str(model), "backend": BACKEND, "device": "cpu", "threads": 1},
        **{"precision": "fp32", "input_reliability": "reliable", "diagnostics_period": 0.2},
    }


@pytest.fixture
def end_with_test() -> Iterator[Callable[[Any], Any]]:
    """Return a function that takes a node or peer, gives it back, and ends it after the test."""
    from node_harness import use_private_domain

    use_private_domain()
    started: list[Any] = []

    def take(started_one: Any) -> Any:
        started.append(started_one)
        return started_one

    yield take
    for one in reversed(started):  # peers before the nodes that they listen to
        one.end()


@pytest.fixture
def make_peer(end_with_test: Callable[[Any], Any]) -> Callable[..., Any]:
    """Make peers of the node."""
    from node_harness import Peer

    return lambda **options: end_with_test(Peer(**options))
