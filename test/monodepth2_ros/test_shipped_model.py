# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model that the package ships: there, small, depth only, of known origin, and not blind.

Nothing here is skipped: a package without its model is broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from monodepth2_ros.checkpoint import Checkpoint, default_checkpoint_path, open_checkpoint
from monodepth2_ros.demo.report import compare_depth
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.visualization.pictures import Window
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

# Of a world that was not trained on: those have seeds from 1000 on.
SEED = 7


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return open_checkpoint("")


def numbers(value: object) -> Iterator[object]:
    """Everything in a JSON value that is neither a mapping nor a list."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    else:
        yield value


def test_the_file_is_in_the_package_and_small() -> None:
    path = default_checkpoint_path()
    assert path is not None, "monodepth2_ros/models/default.safetensors is missing"
    assert path.name == "default.safetensors" and path.parent.name == "models"
    assert path.stat().st_size <= 30e6


def test_it_is_for_depth_only_in_half_precision(checkpoint: Checkpoint) -> None:
    assert not checkpoint.is_random
    assert set(checkpoint.state) == {"encoder", "depth"}
    for state in checkpoint.state.values():
        for key, value in state.items():
            assert not key.startswith("encoder.fc."), key
            if value.is_floating_point():
                assert value.isfinite().all(), key
                assert value.dtype == (torch.float16 if value.ndim > 1 else torch.float32), key
    network = checkpoint.depth_network()
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_it_says_where_it_comes_from(checkpoint: Checkpoint) -> None:
    provenance = checkpoint.metadata.provenance
    for entry in ("data", "licences", "command", "commit", "date", "figures"):
        assert provenance.get(entry), f"the metadata do not say '{entry}'"
    # Nothing of the machine that it was trained on, and none of the data that must not be used.
    for text in map(str, numbers(json.loads(json.dumps(provenance)))):
        assert not any(word in text for word in ("/home/", "/root", "/tmp", "/work", "../"))
    assert "kitchen_scan" not in json.dumps(provenance["data"])
    assert "kitchen_scan" not in json.dumps(checkpoint.metadata.training.get("recordings", []))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["street", "room"])
def test_it_sees_depth_in_a_world_that_it_was_not_trained_on(
    checkpoint: Checkpoint, layout: str
) -> None:
    predict = DepthPredictor(checkpoint, backend="torch", device="cpu")
    camera = camera_from_field_of_view(240, 160, 80)
    frames = list(synthesize(SEED, layout, camera, 9))[::4]
    compared = []
    for frame in frames:
        truth = frame.depth.astype(np.float32)
        found = compare_depth(truth, predict(frame.image), Window())
        assert found is not None
        compared.append(found)
    figures = {
        name: np.mean([found[name] for found in compared])
        for name in ("abs_rel", "a1", "constant_abs_rel", "constant_a1")
    }
    assert figures["abs_rel"] < 0.8 * figures["constant_abs_rel"], figures
    assert figures["a1"] > figures["constant_a1"], figures
