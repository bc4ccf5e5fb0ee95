# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command that makes the README's picture."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest

from bag_builder import HEIGHT, START, WIDTH, Bag, scene, write_drive
from monodepth2_ros.checkpoint import CheckpointMetadata, random_checkpoint, save_checkpoint
from paths import REPOSITORY


@pytest.fixture(scope="module")
def make_picture():
    pytest.importorskip("torch", reason="torch is not installed")
    path = REPOSITORY / "docs" / "make_picture.py"
    spec = importlib.util.spec_from_file_location("make_picture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    state = random_checkpoint(width=96, height=64).state
    save_checkpoint(path, CheckpointMetadata(width=96, height=64), state)
    return str(path)


@pytest.mark.slow
def test_columns_are_frames_and_rows_what_is_made_of_them(tmp_path, make_picture, model, capsys):
    near = write_drive(tmp_path / "near", [3.0 * i for i in range(10)])
    far = write_drive(tmp_path / "far", [3.0 * i for i in range(10)])
    output = tmp_path / "images" / "picture.png"
    words = [str(near), str(far), "--frames", "3", "--width", "120", "--checkpoint", model]
    assert make_picture.main([*words, "--from", "0.5", "--output", str(output)]) == 0
    assert f"{output}: 3 frames by {model}" in capsys.readouterr().out
    picture = cv2.imread(str(output))[..., ::-1]
    height = round(120 * HEIGHT / WIDTH)
    assert picture.shape == (3 * height + 12, 3 * 120 + 12, 3)
    # At 5/8 and 7/8 of 0.9 s, and at 6/8 of the other: the next frames, of one every 0.1 s.
    shown = [picture[:height, 126 * index : 126 * index + 120].astype(int) for index in range(3)]
    for cell, number in zip(shown, (6, 8, 7), strict=True):
        differences = [
            np.abs(
                cv2.resize(scene(3.0 * i)[0], (120, height), interpolation=cv2.INTER_AREA) - cell
            ).mean()
            for i in range(10)
        ]
        assert int(np.argmin(differences)) == number, differences


@pytest.mark.slow
def test_recordings_that_cannot_be_drawn_are_named(tmp_path, make_picture, model, capsys):
    with Bag(tmp_path / "bare") as bag:
        bag.image("/cam/image", START, scene(0.0)[0])
    target = tmp_path / "picture.png"
    for words, reason in (
        ([str(tmp_path / "bare"), "--frames", "1"], "bare has no camera_info"),
        ([str(tmp_path / "none")], "none does not exist"),
        ([str(tmp_path / "bare"), "--checkpoint", "no.safetensors"], "does not exist"),
    ):
        assert make_picture.main(["--checkpoint", model, "--output", str(target), *words]) == 1
        assert reason in capsys.readouterr().err
    for words in (["--frames", "0"], ["--from", "1"]):
        with pytest.raises(SystemExit):
            make_picture.main([str(tmp_path / "bare"), *words])
    assert not target.exists()
