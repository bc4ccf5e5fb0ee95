# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether bfloat16 keeps the depth of real frames is looked at while the node runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("openvino")

from monodepth2_ros.backends import openvino_backend, precision_choice
from monodepth2_ros.backends.openvino_watch import PrecisionWatch
from monodepth2_ros.checkpoint import CheckpointMetadata, random_checkpoint

METADATA = CheckpointMetadata(18, 96, 64)
IMAGE = np.zeros((64, 96, 3), np.uint8)


class Exact:
    """Stands for the graph in float32: the disparity is the image's first value / 255."""

    def create_infer_request(self):
        return self

    def infer(self, inputs, **options):
        level = float(inputs[0].ravel()[0]) / 255.0
        return [np.full((1, 1, 64, 96), level, np.float32)]


def look(watch, frames, factor, first=0, contrast=256):
    """Show frames whose disparity differs from the exact one by a factor."""
    texture = np.random.default_rng(0).integers(0, contrast, IMAGE.shape, dtype=np.uint8)
    for number in range(first, first + frames):
        image = texture.copy()
        image[0, 0, 0] = 100 + number % 50
        exact = np.full((64, 96), (100 + number % 50) / 255.0, np.float32)
        watch.look_at(image, exact * np.float32(factor(number)))
    watch.join(60.0)


@pytest.mark.parametrize(
    ("factor", "gives_up"),
    [
        (lambda number: 1.001, False),
        (lambda number: 1.01, True),
        (lambda number: float("nan"), True),
        (lambda number: 1.5 if number == 10 else 1.0, False),  # one odd frame
    ],
)
def test_frames_that_lose_depth_are_noticed(factor, gives_up):
    said = []
    exact = Exact()
    watch = PrecisionWatch(lambda: exact, METADATA, lambda *given: said.append(given))
    look(watch, 21, factor)
    assert [compiled for compiled, _ in said] == ([exact] if gives_up else [])


def test_it_looks_again_when_the_scene_may_have_changed():
    said, compiled = [], []

    def compile_exact():
        compiled.append(True)
        return Exact()

    watch = PrecisionWatch(compile_exact, METADATA, lambda *given: said.append(given))
    look(watch, 300, lambda number: 1.0)
    assert len(compiled) == 1 and not said  # rarely, as it costs time and memory
    look(watch, 100, lambda number: 1.01, first=300)
    assert len(compiled) == 2 and len(said) == 1


def test_a_covered_lens_tells_nothing():
    watch = PrecisionWatch(lambda: pytest.fail("looked"), METADATA, lambda *given: None)
    look(watch, 50, lambda number: 2.0, contrast=2)


@pytest.mark.slow
def test_the_backend_goes_on_in_float32(tmp_path, monkeypatch, caplog):
    """On any processor: what computes "in bfloat16" here is float32 with weights changed a bit."""
    monkeypatch.setattr(precision_choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(
        precision_choice,
        "measure",
        lambda *given: {"precision": "bf16"},
    )
    checkpoint, other = (random_checkpoint(18, 96, 64, seed=seed) for seed in (0, 1))
    build = openvino_backend._Network.compile

    def compile_graph(network, precision, settings):
        if precision == "bf16":
            network = openvino_backend._Network(other, network.folder)
        return build(network, "fp32", settings)

    monkeypatch.setattr(openvino_backend._Network, "compile", compile_graph)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = openvino_backend.OpenVINOBackend(checkpoint, "fp32", 1, tmp_path)
    backend = openvino_backend.OpenVINOBackend(checkpoint, "auto", 1, tmp_path)
    assert backend.precision == "bf16"
    watch = backend._watch
    for _ in range(21):
        backend.disparity(image)
    watch.join(120.0)
    assert backend.precision == "fp32"
    np.testing.assert_array_equal(backend.disparity(image), expected.disparity(image))
    assert "set precision to 'bf16'" in caplog.text
