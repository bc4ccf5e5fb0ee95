# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO IR of depth_export serves as a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.backends import BackendError, create_backend
from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    random_checkpoint,
)
from monodepth2_ros.predictor import DepthPredictor
from training.deployment.exporter import export_checkpoint

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    drawn = random_checkpoint(18, 96, 64, seed=3)
    drawn.state["depth"]["decoder.10.conv.weight"] *= 40.0
    metadata = dataclasses.replace(
        drawn.metadata, min_depth=0.2, max_depth=50.0, crop=(0.0, 0.25, 0.0, 0.125), scale=3.0
    )
    return dataclasses.replace(drawn, metadata=metadata)


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_checkpoint(checkpoint, tmp_path_factory.mktemp("ir") / "model.xml").path


@pytest.mark.slow
def test_ir_gives_the_depth_of_its_checkpoint(
    tmp_path: Path, checkpoint: Checkpoint, exported: Path
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    depths = []
    for source, backend in ((checkpoint, "torch"), (str(exported), "auto")):
        predictor = DepthPredictor(source, backend=backend, device="cpu", cache_dir=tmp_path)
        depth = predictor.predict(image).depth
        assert depth is not None
        depths.append(np.array(depth))
    assert np.nanstd(depths[0]) > 0.1
    np.testing.assert_allclose(depths[1], depths[0], rtol=1e-3)
    loaded = load_checkpoint(exported)
    assert loaded.metadata == checkpoint.metadata
    assert (loaded.state, loaded.graph) == ({}, exported)


def test_torch_refuses_ir(exported: Path) -> None:
    with pytest.raises(BackendError, match=r"model\.xml is OpenVINO IR, .* 'openvino' or 'auto'"):
        create_backend(load_checkpoint(exported), "torch")
    with pytest.raises(CheckpointError, match="has no network 'encoder'"):
        load_checkpoint(exported).depth_network()


@pytest.mark.slow
def test_integers_are_named(exported: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(exported)
    assert create_backend(loaded, precision="fp32", cache_dir=tmp_path).precision == "fp32"
    metadata = dataclasses.replace(loaded.metadata, provenance={"int8": {"tool": "nncf"}})
    quantized = dataclasses.replace(loaded, metadata=metadata)
    assert create_backend(quantized, cache_dir=tmp_path).precision == "int8"


@pytest.mark.slow
def test_unusable_ir_is_named(tmp_path: Path, checkpoint: Checkpoint, exported: Path) -> None:
    alone = tmp_path / "alone.xml"
    alone.write_bytes(exported.read_bytes())
    damaged = tmp_path / "damaged.xml"
    damaged.write_text("<net")
    foreign = tmp_path / "foreign.xml"
    graph = openvino.Core().read_model(exported)
    openvino.save_model(openvino.Model(graph.get_results(), graph.get_parameters()), foreign)
    several = export_checkpoint(checkpoint, tmp_path / "several.xml", batch=2).path
    for path, message in (
        (alone, "alone.xml is not readable OpenVINO IR .* its .bin next to it"),
        (damaged, "damaged.xml is not readable OpenVINO IR"),
        (foreign, "foreign.xml has no monodepth2_ros metadata"),
        (several, "several.xml takes images of shape .*export without --batch"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)
