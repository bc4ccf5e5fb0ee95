# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``depth_export`` does what its options say, and refuses in a sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from commands import status_of

from drawn_checkpoints import HEIGHT, WIDTH, published, spread_checkpoint
from monodepth2_ros.checkpoint import Checkpoint, save_checkpoint
from training.export import main


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    pytest.importorskip("torch", reason="torch is not installed")
    return spread_checkpoint()


@pytest.mark.slow
def test_a_checkpoint_can_be_shown(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = str(tmp_path / "source.safetensors"), str(tmp_path / "target.safetensors")
    save_checkpoint(source, published(checkpoint).metadata, checkpoint.state)
    (tmp_path / "about.yaml").write_text("licences: MIT\n")
    options = ["--depth-only", "--half", "--provenance", str(tmp_path / "about.yaml")]
    assert main([source, target, *options]) == 0
    capsys.readouterr()
    before = sorted(os.listdir(tmp_path))
    assert main([target, "--show"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["checkpoint"] == target and shown["provenance"] == {"licences": "MIT"}
    assert (shown["width"], shown["height"], shown["crop"]) == (WIDTH, HEIGHT, [0.0] * 4)
    assert set(shown["networks"]) == {"encoder", "depth"}
    assert shown["networks"]["depth"] == "3152724 numbers in 28 tensors (float16, float32)"
    for wrong in ([target], [target, "x.onnx", "--show"]):
        assert status_of(main, wrong) == 2
        assert "either OUTPUT" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_the_command(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(tmp_path / "source.safetensors")
    save_checkpoint(source, published(checkpoint).metadata, checkpoint.state)
    assert main([source, str(tmp_path / "folder")]) == 0
    said = capsys.readouterr().out
    assert "folder: published, 59.5 MB; run by torch" in said
    assert "(allowed 0.0001)" in said
    for arguments, message in (
        ([source, str(tmp_path / "folder")], "depth_export: .*folder exists"),
        ([source, str(tmp_path / "x.onnx"), "--batch", "none"], "--batch is 'none'; give a number"),
        ([source, str(tmp_path / "x.onnx"), "--batch", "0"], "--batch is '0'; give a number"),
        ([source, str(tmp_path / "x.onnx"), "--format", "tf"], "--format: 'tf' given; it takes"),
        ([str(tmp_path / "no"), str(tmp_path / "x.onnx")], "checkpoint .*no does not exist"),
    ):
        assert status_of(main, arguments) in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith("depth_export: ")
        assert re.search(message, error), error
