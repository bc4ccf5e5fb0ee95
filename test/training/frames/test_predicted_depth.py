# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth that is predicted for the frames of a store."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bag_builder
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import random_checkpoint, save_checkpoint
from monodepth2_ros.predictor import DepthPredictor
from training import extract
from training.frames import predicted_depth as prediction
from training.frames.predicted_depth import PredictedDepth, PredictionError, predict_store
from training.frames.store import FrameStore
from training.frames.writer import FrameStoreWriter

# What is tested here does not depend on how wide a network is.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")

WIDTH, HEIGHT, COUNT = 96, 64, 9


@pytest.fixture(scope="module")
def checkpoint():
    made = random_checkpoint(18, WIDTH, HEIGHT, seed=3)
    made.state["depth"]["decoder.10.conv.weight"] *= 40.0
    return made


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return DepthPredictor(checkpoint, backend="torch", device="cpu")


def make_store(path, count=COUNT, crop=(0.0, 0.0, 0.0, 0.0), size=(128, 80)):
    width, height = size
    generator = np.random.default_rng(1)
    with FrameStoreWriter(path, width, height, crop) as writer:
        for index in range(count):
            coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
            writer.append(coarse.repeat(8, 0).repeat(8, 1), index * 10**8, 0, 0)
        writer.finish([PinholeCamera(width, height, 90.0, 90.0, width / 2, height / 2)])
    return FrameStore.open(path)


def files(store):
    return {path.name for path in store.path.iterdir() if "predicted" in path.name}


@pytest.mark.slow
def test_depth_is_that_of_single_frames(tmp_path, predictor):
    store = make_store(tmp_path / "frames")
    counts = []
    found = predict_store(store, predictor, batch_size=4, progress=counts.append)
    assert counts == [4, 4, 1]
    assert found.depth.shape == (COUNT, HEIGHT, WIDTH) and found.depth.dtype == np.float16
    for image, depth in zip(store.images, found.depth, strict=True):
        expected = predictor(np.array(image))
        assert expected.std() / expected.mean() > 0.05  # not flat
        np.testing.assert_allclose(depth, expected, rtol=1e-3)
    assert files(store) == {"predicted.json", "predicted.f16"}
    again = PredictedDepth.open(store, verify=True)
    np.testing.assert_array_equal(again.depth, found.depth)
    assert again.description["size"] == [WIDTH, HEIGHT]
    assert str(tmp_path) not in json.dumps(again.description)
    FrameStore.open(store.path, verify=True)  # the store is as it was


@pytest.mark.slow
def test_only_the_rest_of_a_crop_is_taken(tmp_path, checkpoint):
    whole = make_store(tmp_path / "whole", count=2)
    taller = DepthPredictor(checkpoint, backend="torch", device="cpu", crop=(0.0, 0.5, 0.0, 0.0))
    expected = predict_store(whole, taller).depth
    with FrameStoreWriter(tmp_path / "half", 128, 40, (0.0, 0.5, 0.0, 0.0)) as writer:
        for index, image in enumerate(whole.images):
            writer.append(image[40:], index, 0, 0)
        writer.finish([PinholeCamera(128, 40, 90.0, 90.0, 64.0, 20.0)])
    half = FrameStore.open(tmp_path / "half")
    np.testing.assert_allclose(predict_store(half, taller).depth, expected, rtol=1e-3)
    (half.path / "predicted.json").unlink()
    plain = DepthPredictor(checkpoint, backend="torch", device="cpu")
    with pytest.raises(PredictionError, match=r"half was cropped by \[0.0, 0.5.*extract with a cr"):
        predict_store(FrameStore.open(tmp_path / "half"), plain)


class Stopped(Exception):
    pass


def interrupt(store, predictor, after):
    """Predict in twos, saved each time, and stop at a batch."""

    def progress(count):
        nonlocal after
        after -= 1
        if after == 0:
            raise Stopped

    with pytest.raises(Stopped):
        predict_store(store, predictor, batch_size=2, progress=progress)


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tmp_path, predictor, monkeypatch):
    expected = predict_store(make_store(tmp_path / "whole"), predictor).depth
    store = make_store(tmp_path / "frames")
    monkeypatch.setattr(prediction, "_SAVE_EVERY", 2)
    interrupt(store, predictor, after=3)
    assert files(store) == {"predicted.f16.partial", "predicted.progress.json"}
    with pytest.raises(PredictionError, match="predicted.json does not exist; run 'depth_extract"):
        PredictedDepth.open(store)
    with (store.path / "predicted.f16.partial").open("ab") as file:
        file.write(b"written but not yet safe")
    counts = []
    found = predict_store(store, predictor, batch_size=2, progress=counts.append)
    assert counts == [6, 2, 1]
    np.testing.assert_allclose(found.depth, expected, rtol=1e-3)
    assert files(store) == {"predicted.json", "predicted.f16"}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["progress", "partial", "model"])
def test_what_cannot_be_gone_on_with_begins_anew(tmp_path, predictor, monkeypatch, damage):
    store = make_store(tmp_path / "frames")
    monkeypatch.setattr(prediction, "_SAVE_EVERY", 2)
    interrupt(store, predictor, after=3)
    if damage == "progress":
        (store.path / "predicted.progress.json").write_text('{"done"')
    elif damage == "partial":
        (store.path / "predicted.f16.partial").write_bytes(b"short")
    else:
        other = random_checkpoint(18, WIDTH, HEIGHT, seed=9)
        predictor = DepthPredictor(other, backend="torch", device="cpu")
    counts = []
    found = predict_store(store, predictor, batch_size=2, progress=counts.append)
    assert counts == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(found.depth[0], predictor(np.array(store.images[0])), rtol=1e-3)


@pytest.mark.slow
def test_what_is_done_is_not_done_again(tmp_path, predictor):
    store = make_store(tmp_path / "frames", count=2)
    first = predict_store(store, predictor)
    assert predict_store(store, predictor).description == first.description
    path = store.path / "predicted.json"
    path.write_text(json.dumps({**first.description, "model_digest": "another"}))
    with pytest.raises(PredictionError, match="predicted.json exists and is of another model"):
        predict_store(store, predictor)


def test_damage_is_named(tmp_path, predictor):
    store = make_store(tmp_path / "frames", count=2)
    predict_store(store, predictor)
    depth, description = store.path / "predicted.f16", store.path / "predicted.json"
    good, text = depth.read_bytes(), description.read_text()
    depth.write_bytes(good[:-2])
    with pytest.raises(
        PredictionError, match=r"predicted.f16 has 24574 bytes, 24576 expected; rem"
    ):
        PredictedDepth.open(store)
    depth.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    PredictedDepth.open(store)  # the size alone is right
    with pytest.raises(PredictionError, match="predicted.f16 is damaged: its checksum differs"):
        PredictedDepth.open(store, verify=True)
    for change, message in (
        ("{", "predicted.json is damaged"),
        (text.replace('"version": 1', '"version": 2'), "has version 2, this program knows 1"),
        (text.replace('"stamps": "', '"stamps": "0'), "was predicted for other frames"),
    ):
        description.write_text(change)
        with pytest.raises(PredictionError, match=message):
            PredictedDepth.open(store)


@pytest.mark.slow
def test_weights_that_give_no_numbers_are_named(tmp_path):
    broken = random_checkpoint(18, WIDTH, HEIGHT)
    broken.state["depth"]["decoder.10.conv.bias"] += float("nan")
    store = make_store(tmp_path / "frames", count=2)
    with pytest.raises(PredictionError, match="not numbers on frames 0 to 1 of .*frames; its wei"):
        predict_store(store, DepthPredictor(broken, backend="torch", device="cpu"))
    assert "predicted.json" not in files(store)


@pytest.mark.slow
def test_the_command_extracts_and_predicts(tmp_path, checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model.safetensors"
    save_checkpoint(model, checkpoint.metadata, checkpoint.state)
    bag = bag_builder.write_drive(tmp_path / "drive", [4.0 * i for i in range(6)])
    out = tmp_path / "frames"
    predicting = ["--out", str(out), "--predict", str(model)]
    assert extract.main(predicting) == 1
    assert "there is no frame store at" in capsys.readouterr().err
    assert extract.main([str(bag), *predicting, "--min-flow", "0"]) == 0
    assert "predicted.f16: depth of 6 frames, 96x64" in capsys.readouterr().out
    (out / "predicted.json").unlink()
    assert extract.main([str(bag), *predicting]) == 1
    assert "or leave out the recordings to predict for it" in capsys.readouterr().err
    assert extract.main(predicting) == 0
    assert len(PredictedDepth.open(FrameStore.open(out)).depth) == 6
    assert extract.main(["--out", str(out), "--predict", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
