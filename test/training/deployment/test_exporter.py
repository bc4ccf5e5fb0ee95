# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Exports compute what torch computes, and a wrong one never gets its name."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drawn_checkpoints import HEIGHT, WIDTH, published, spread_checkpoint
from full_disk import FullDisk
from monodepth2_ros.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.networks import PoseCNN, PoseDecoder, ResnetEncoder
from monodepth2_ros.predictor import DepthPredictor
from training.deployment import (
    depth_model,
    exporter,
    onnx_format,
    openvino_format,
    published_format,
)
from training.deployment.check import ExportError
from training.deployment.exporter import export_checkpoint
from training.deployment.provenance import depth_only, with_provenance

# What is tested here does not depend on how wide a network is.
pytestmark = pytest.mark.usefixtures("quarter_networks_in_file")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return spread_checkpoint()


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(5).random((count, 3, HEIGHT, WIDTH), dtype=np.float32)


def expected_outputs(checkpoint: Checkpoint, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth by the formula in float64, and disparity, from the torch network."""
    with torch.inference_mode():
        sigmoid = checkpoint.depth_network()(torch.from_numpy(images)).double().numpy()
    assert sigmoid.std() > 0.05  # else agreement would mean little
    m = checkpoint.metadata
    return m.scale / (1 / m.max_depth + (1 / m.min_depth - 1 / m.max_depth) * sigmoid), sigmoid


def nothing_is_left(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 0])
def test_onnx_agrees_with_torch_and_carries_the_metadata(
    tmp_path: Path, checkpoint: Checkpoint, batch: int
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    result = export_checkpoint(checkpoint, tmp_path / "model.onnx", batch=batch)
    assert (result.format, result.path) == ("onnx", tmp_path / "model.onnx")
    assert result.difference <= result.tolerance == 1e-4
    assert os.listdir(tmp_path) == ["model.onnx"]
    session = onnxruntime.InferenceSession(result.path, providers=["CPUExecutionProvider"])
    for count in (2,) if batch else (1, 2, 5):
        images = random_images(count)
        depth, disparity = session.run(["depth", "disparity"], {"image": images})
        expected_depth, expected_disparity = expected_outputs(checkpoint, images)
        assert np.allclose(disparity, expected_disparity, atol=1e-5)
        assert np.allclose(depth, expected_depth, rtol=1e-3)
    if batch:
        with pytest.raises(Exception, match="invalid dimensions"):
            session.run(None, {"image": random_images(3)})
    described = json.loads(session.get_modelmeta().custom_metadata_map["monodepth2_ros"])
    assert (described["width"], described["height"]) == (WIDTH, HEIGHT)
    assert (described["min_depth"], described["max_depth"], described["scale"]) == (0.2, 50.0, 3.0)
    assert described["crop"] == [0.0, 0.25, 0.0, 0.125]
    assert "unknown unit" in described["depth"]


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "half"), [(1, False), (0, True)])
def test_openvino_agrees_with_torch_and_carries_the_metadata(
    tmp_path: Path, checkpoint: Checkpoint, batch: int, half: bool
) -> None:
    openvino = pytest.importorskip("openvino")
    result = export_checkpoint(checkpoint, tmp_path / "model.xml", batch=batch, half=half)
    assert sorted(os.listdir(tmp_path)) == ["model.bin", "model.xml"]
    graph = openvino.Core().read_model(result.path)
    described = json.loads(graph.get_rt_info(["monodepth2_ros"]).astype(str))
    assert described["scale"] == 3.0
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count in (1,) if batch else (1, 3):
        images = random_images(count)
        results = compiled({"image": images})
        depth, disparity = expected_outputs(checkpoint, images)
        assert np.allclose(results["disparity"], disparity, atol=1e-2 if half else 1e-5)
        if not half:
            assert np.allclose(results["depth"], depth, rtol=1e-3)
    weights = (tmp_path / "model.bin").stat().st_size
    full = 4 * sum(value.numel() for value in checkpoint.depth_network().state_dict().values())
    assert weights < (0.6 if half else 1.1) * full


@pytest.mark.slow
def test_onnx_is_checked_by_openvino_where_onnxruntime_is_missing(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    for module in (exporter, onnx_format):
        monkeypatch.setattr(module, "is_installed", lambda name: name != "onnxruntime")
    result = export_checkpoint(checkpoint, tmp_path / "model.onnx")
    assert result.engine.startswith("OpenVINO")
    assert result.difference <= 1e-4


@pytest.mark.slow
def test_a_published_folder_gives_the_same_depth(tmp_path: Path, checkpoint: Checkpoint) -> None:
    torch.manual_seed(0)
    pose_encoder, pose = ResnetEncoder(18, 2), PoseDecoder((64, 64, 128, 256, 512))
    state = {
        **checkpoint.state,
        "pose_encoder": pose_encoder.state_dict(),
        "pose": pose.state_dict(),
        "posecnn": PoseCNN().state_dict(),
    }
    whole = dataclasses.replace(published(checkpoint), state=state)
    result = export_checkpoint(whole, tmp_path / "folder")
    assert result.difference < 1e-6
    assert result.notes == ("the layout has no place for the networks posecnn: left out",)
    assert sorted(os.listdir(tmp_path / "folder")) == [
        "depth.pth",
        "encoder.pth",
        "monodepth2_ros.json",
        "pose.pth",
        "pose_encoder.pth",
    ]
    encoder = torch.load(tmp_path / "folder" / "encoder.pth", weights_only=True)
    assert (encoder["height"], encoder["width"], encoder["use_stereo"]) == (HEIGHT, WIDTH, False)
    loaded = load_checkpoint(tmp_path / "folder")
    for name in ("pose_encoder", "pose"):
        assert all(torch.equal(loaded.state[name][key], state[name][key]) for key in state[name])
    image = np.random.default_rng(1).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    run = {"backend": "torch", "device": "cpu"}
    depth = DepthPredictor(whole, **run)(image)
    assert depth.std() > 0.05 * depth.mean()  # else agreement would mean little
    assert np.allclose(DepthPredictor(loaded, **run)(image), depth, rtol=1e-5)


@pytest.mark.slow
def test_what_the_published_layout_cannot_hold_is_said(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    stereo = published(checkpoint, is_metric=True, scale=5.4)
    assert export_checkpoint(stereo, tmp_path / "stereo").notes == ()
    loaded = load_checkpoint(f"{tmp_path / 'stereo'}:kitti-stereo").metadata
    assert (loaded.is_metric, loaded.scale) == (True, 5.4)
    # Whose stereo pair it was is not in the folder, so it is not taken for granted.
    assert load_checkpoint(tmp_path / "stereo").metadata.is_metric is False

    true_baseline = published(checkpoint, is_metric=True, crop=(0.0, 0.2, 0.0, 0.0))
    scale_note, crop_note = export_checkpoint(true_baseline, tmp_path / "metric").notes
    assert "multiply its depth by 1 to have metres" in scale_note
    assert "[0.0, 0.2, 0.0, 0.0]" in crop_note
    assert load_checkpoint(tmp_path / "metric").metadata.is_metric is False
    kept = json.loads((tmp_path / "metric" / "monodepth2_ros.json").read_text())
    assert (kept["is_metric"], kept["crop"]) == (True, [0.0, 0.2, 0.0, 0.0])

    with pytest.raises(ExportError, match=r"0\.1 to 100 for granted; this checkpoint has 0\.2"):
        export_checkpoint(checkpoint, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_file_can_be_converted_and_halved(tmp_path: Path, checkpoint: Checkpoint) -> None:
    export_checkpoint(published(checkpoint), tmp_path / "folder")
    folder = load_checkpoint(tmp_path / "folder")
    export_checkpoint(folder, tmp_path / "full.safetensors")
    half = export_checkpoint(folder, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.51 * sizes[0]
    assert 0.0 < half.difference <= half.tolerance == 1e-2
    assert load_checkpoint(tmp_path / "half.safetensors").metadata == folder.metadata


@pytest.mark.slow
def test_what_only_training_needs_can_be_left_out(tmp_path: Path, checkpoint: Checkpoint) -> None:
    torch.manual_seed(0)
    state = {**checkpoint.state, "posecnn": PoseCNN().state_dict()}
    whole = dataclasses.replace(published(checkpoint), state=state)
    small = depth_only(whole)
    assert "posecnn" in whole.state and set(small.state) == {"encoder", "depth"}
    left_out = whole.state["encoder"].keys() - small.state["encoder"].keys()
    assert left_out == {"encoder.fc.weight", "encoder.fc.bias"}
    export_checkpoint(small, tmp_path / "small.safetensors", half=True)
    assert (tmp_path / "small.safetensors").stat().st_size < 30e6
    images = random_images(2)
    loaded = load_checkpoint(tmp_path / "small.safetensors")
    disparity = expected_outputs(loaded, images)[1]
    assert np.allclose(disparity, expected_outputs(whole, images)[1], atol=2e-3)
    # The published layout has the classifier all the same, for tools that insist on it.
    export_checkpoint(small, tmp_path / "folder")
    encoder = torch.load(tmp_path / "folder" / "encoder.pth", weights_only=True)
    assert whole.state["encoder"].keys() <= encoder.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("about.yaml", "data: [a, b]\ndate: 2026-11-22\nfigures: {abs_rel: 0.1}\n"),
        ("about.json", '{"data": ["a", "b"], "date": "2026-11-22", "figures": {"abs_rel": 0.1}}'),
    ],
)
def test_provenance_travels_with_every_format(
    tmp_path: Path, checkpoint: Checkpoint, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    told = with_provenance(published(checkpoint), tmp_path / name)
    expected = {"data": ["a", "b"], "date": "2026-11-22", "figures": {"abs_rel": 0.1}}
    assert told.metadata.provenance == expected
    export_checkpoint(told, tmp_path / "model.safetensors")
    assert load_checkpoint(tmp_path / "model.safetensors").metadata == told.metadata
    export_checkpoint(told, tmp_path / "folder")
    kept = json.loads((tmp_path / "folder" / "monodepth2_ros.json").read_text())
    assert kept["provenance"] == expected
    assert json.loads(depth_model.metadata_json(told.metadata))["provenance"] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("- a\n- b\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("a: {b: c", "cannot be used"),
        ("loss: .nan", "not JSON compliant"),
    ],
)
def test_provenance_that_says_nothing_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, text: str | None, reason: str
) -> None:
    path = tmp_path / "about.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ExportError, match=rf"--provenance .*about\.yaml .*{reason}"):
        with_provenance(checkpoint, path)


def tampered_onnx(path: Path, model: Any, batch: int) -> None:
    with torch.no_grad():
        model.network.depth.decoder[10].conv.bias += 0.1
        export_onnx(path, model, batch)
        model.network.depth.decoder[10].conv.bias -= 0.1


def wrong_depth_onnx(path: Path, model: Any, batch: int) -> None:
    wrong = dataclasses.replace(model.metadata, max_depth=60.0)
    export_onnx(path, depth_model.DepthModel(model.network, wrong).eval(), batch)
    import onnx

    graph = onnx.load(path)
    onnx.helper.set_model_props(
        graph, {"monodepth2_ros": depth_model.metadata_json(model.metadata)}
    )
    onnx.save(graph, path)


def wrong_metadata_onnx(path: Path, model: Any, batch: int) -> None:
    export_onnx(path, model, batch)
    import onnx

    graph = onnx.load(path)
    changed = dataclasses.replace(model.metadata, crop=(0.1, 0.0, 0.0, 0.0))
    onnx.helper.set_model_props(graph, {"monodepth2_ros": depth_model.metadata_json(changed)})
    onnx.save(graph, path)


def tampered_openvino(path: Path, model: Any, batch: int, half: bool) -> None:
    export_openvino(path, model, batch, half)
    weights = path.with_suffix(".bin")
    content = np.frombuffer(weights.read_bytes(), np.float32).copy()
    content[: content.size // 2] *= 1.2
    weights.write_bytes(content.tobytes())


def tampered_published(folder: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    notes = export_published(folder, checkpoint)
    state = torch.load(folder / "depth.pth", weights_only=True)
    state["decoder.10.conv.bias"] += 0.1
    torch.save(state, folder / "depth.pth")
    return notes


def tampered_file(path: Path, metadata: Any, networks: Any, dtype: Any) -> None:
    changed = {**networks, "depth": dict(networks["depth"])}
    bias = changed["depth"]["decoder.10.conv.bias"]
    changed["depth"]["decoder.10.conv.bias"] = torch.full_like(bias, float("nan"))
    save_checkpoint(path, metadata, changed, dtype)


export_onnx = onnx_format.write_onnx
export_openvino = openvino_format.write_openvino
export_published = published_format.write_published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "writer", "tampered", "reason"),
    [
        ("model.onnx", "write_onnx", tampered_onnx, "differs from torch by up to 0.0"),
        ("model.onnx", "write_onnx", wrong_depth_onnx, "differs from torch by up to 0.00"),
        ("model.onnx", "write_onnx", wrong_metadata_onnx, "its metadata is not"),
        ("model.xml", "write_openvino", tampered_openvino, "differs from torch"),
        ("folder", "write_published", tampered_published, "differs from torch by up to 0.0"),
        ("model.safetensors", "save_checkpoint", tampered_file, "by up to nan"),
    ],
)
def test_what_fails_its_check_is_removed(
    tmp_path: Path,
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    writer: str,
    tampered: Callable[..., Any],
    reason: str,
) -> None:
    if name.endswith((".onnx", ".xml")):
        pytest.importorskip("openvino")
    monkeypatch.setattr(exporter, writer, tampered)
    with pytest.raises(ExportError, match=f"{name} was not written: .*{reason}"):
        export_checkpoint(published(checkpoint), tmp_path / name)
    assert nothing_is_left(tmp_path)


@pytest.mark.slow
def test_an_interrupted_export_leaves_nothing(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> float:
        assert list(tmp_path.glob(".model.onnx.*/model.onnx"))  # it is there, but has no name yet
        assert not (tmp_path / "model.onnx").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "largest_difference", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(checkpoint, tmp_path / "model.onnx")
    assert nothing_is_left(tmp_path)


def test_a_full_disk_that_a_library_does_not_name(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(exporter, "write_published", fail)
    with pytest.raises(RuntimeError, match="basic_ios"):  # there is room: the disk is not why
        export_checkpoint(checkpoint, tmp_path / "model")
    FullDisk(monkeypatch, room=1_000_000)
    with pytest.raises(ExportError, match="model cannot be written: the disk is full; free some"):
        export_checkpoint(checkpoint, tmp_path / "model")
    assert nothing_is_left(tmp_path)


def test_an_interrupt_between_the_files_of_a_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part" / "model.xml"
    part.parent.mkdir()
    for suffix in (".xml", ".bin"):
        part.with_suffix(suffix).write_text("")
    rename = os.rename

    def interrupt(source: Path, target: Path) -> None:
        if target.suffix == ".xml":
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        exporter.move_export_into_place(part, tmp_path / "model.xml", "openvino")
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.slow
def test_half_a_pair_is_taken_back(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if target == tmp_path / "model.xml":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(
        ExportError, match=r"model\.xml cannot be written: the disk is full; free some"
    ):
        export_checkpoint(checkpoint, tmp_path / "model.xml")
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("model.pt", {}, "the ending '.pt' of .* names no format; use .onnx"),
        ("model.onnx", {"format": "tflite"}, "--format is 'tflite'; it must be one of onnx"),
        ("model.onnx", {"batch": -1}, "--batch is -1; give at least 1"),
        ("folder", {"batch": 4}, "--batch has no meaning for 'published'"),
        ("model.onnx", {"half": True}, "--half is for openvino and safetensors, not for 'onnx'"),
        ("model.ir", {"format": "openvino"}, r"must end in \.xml; .*model\.ir does not"),
        ("missing/model.onnx", {}, "the folder .*missing does not exist; make it first"),
        ("taken.onnx", {}, "taken.onnx exists; remove it or choose another name"),
        ("taken.xml", {}, "taken.bin exists without taken.xml, as after .* killed; remove it"),
    ],
)
def test_impossible_requests_are_refused(
    tmp_path: Path, checkpoint: Checkpoint, name: str, arguments: dict[str, Any], message: str
) -> None:
    for taken in ("taken.onnx", "taken.bin"):
        (tmp_path / taken).write_text("precious")
    with pytest.raises(ExportError, match=message):
        export_checkpoint(checkpoint, tmp_path / name, **arguments)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "taken.onnx": "precious",
        "taken.bin": "precious",
    }


@pytest.mark.parametrize("missing", ["onnx", "openvino"])
def test_a_missing_library_is_named(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(exporter, "is_installed", lambda name: name != missing)
    name = {"onnx": "model.onnx", "openvino": "model.xml"}[missing]
    with pytest.raises(ExportError, match=f"{missing} is not installed; 'pip install {missing}'"):
        export_checkpoint(checkpoint, tmp_path / name)
