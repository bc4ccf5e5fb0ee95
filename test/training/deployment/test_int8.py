# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An int8 network is written only where it is about as good as its original."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import status_of

import bag_builder
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    load_checkpoint,
    random_checkpoint,
    save_checkpoint,
)
from training.deployment import depth_model, openvino_format
from training.deployment import int8 as quantization
from training.deployment.calibration_frames import (
    QuantizationError,
    choose_calibration_frames,
    spread_evenly,
)
from training.deployment.check import ExportError
from training.deployment.equalization import EqualizedDepthNetwork
from training.deployment.exporter import export_checkpoint
from training.deployment.int8 import (
    Int8Verdict,
    check_int8_request,
    compare_with_float32,
    export_int8,
    head_names,
    open_calibration_frames,
)
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Predict, Protocol, Selection
from training.export import main
from training.frames.store import FrameStore, Source
from training.frames.writer import FrameStoreWriter

# What is tested here does not depend on how wide a network is.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")

WIDTH, HEIGHT = 96, 64


def drawn_checkpoint(seed: int, **changes: Any) -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    drawn = random_checkpoint(18, WIDTH, HEIGHT, seed)
    drawn.state["depth"]["decoder.10.conv.weight"] *= 40.0
    metadata = dataclasses.replace(drawn.metadata, min_depth=0.5, max_depth=50.0, **changes)
    return dataclasses.replace(drawn, metadata=metadata)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return drawn_checkpoint(3)


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint) -> Any:
    """The network in OpenVINO; converting it takes seconds."""
    pytest.importorskip("openvino")
    network = EqualizedDepthNetwork(checkpoint.depth_network(), [torch.rand(1, 3, HEIGHT, WIDTH)])
    return openvino_format.convert_openvino(depth_model.DepthModel(network, checkpoint.metadata), 1)


def make_store(
    path: Path,
    lengths: Sequence[int],
    truth: np.ndarray | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> FrameStore:
    """Textured frames of several recordings, with these numbers of frames."""
    width, height = size
    with FrameStoreWriter(path, width, height) as writer:
        for segment, length in enumerate(lengths):
            for _ in range(length):
                index = len(writer)
                grey = bag_builder.texture(height, width, index).reshape(height, width, -1)
                image = np.broadcast_to(grey, (height, width, 3))
                depth = None if truth is None else truth[index]
                writer.append(image, index * 10**8, 0, segment, truth=depth)
        writer.finish(
            [PinholeCamera(width, height, width, width, width / 2, height / 2)],
            segment_source=range(len(lengths)),
            sources=[Source(f"drive_{i}", "/image") for i in range(len(lengths))],
        )
    return FrameStore.open(path)


def random_depth(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1.0, 8.0, (count, HEIGHT, WIDTH)).astype(np.float16)


@pytest.mark.parametrize(
    ("lengths", "count", "expected"),
    [
        ([10], 2, [[2, 7]]),
        ([10, 10], 4, [[2, 7], [2, 7]]),
        ([1, 100], 11, [[0], [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]]),
        ([3, 2], 9, [[0, 1, 2], [0, 1]]),
        ([0, 4], 2, [[], [1, 3]]),
        ([2, 2, 2, 2], 2, [[], [1], [], [1]]),
        ([5, 5, 5], 4, [[1, 3], [2], [2]]),
    ],
)
def test_frames_are_spread_evenly(
    lengths: list[int], count: int, expected: list[list[int]]
) -> None:
    chosen = spread_evenly(lengths, count)
    counts = sorted(map(len, chosen))
    assert counts == sorted(map(len, expected))
    if lengths != [5, 5, 5]:  # which row gets the odd one does not matter
        assert [places.tolist() for places in chosen] == expected


def test_few_frames_come_from_recordings_all_over() -> None:
    chosen = [index for index, places in enumerate(spread_evenly([7] * 260, 100)) if len(places)]
    assert len(chosen) == 100
    assert set(np.diff(chosen)) <= {2, 3}
    assert chosen[0] < 3 and chosen[-1] > 256


def test_what_calibrates_does_not_judge(tmp_path: Path, checkpoint: Checkpoint) -> None:
    stores = [make_store(tmp_path / "a", [40, 60]), make_store(tmp_path / "b", [50])]
    calibration, held_out = choose_calibration_frames(stores, checkpoint.metadata, 30)
    assert [len(selection.frames) for selection in calibration] == [20, 10]
    assert [len(selection.frames) for selection in held_out] == [20, 10]
    for first, second in zip(calibration, held_out, strict=True):
        store = first.store
        for recording in range(len(store.sources)):
            used, judging = (
                frames[store.segment[frames] == recording]
                for frames in (first.frames, second.frames)
            )
            start, end = store.segment_ranges()[recording]
            assert used.max() < start + 0.8 * (end - start) <= judging.min()


def test_too_few_frames_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(QuantizationError, match=r"8 frames to judge with \(40 in all, .*--calib"):
        choose_calibration_frames([make_store(tmp_path / "a", [40])], checkpoint.metadata, 300)
    with pytest.raises(QuantizationError, match=r"8 frames to calibrate with \(10 in all"):
        choose_calibration_frames([make_store(tmp_path / "b", [10])], checkpoint.metadata, 300)


def test_frames_that_show_less_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    small = make_store(tmp_path / "small", [60], size=(64, 48))
    with pytest.raises(
        QuantizationError, match="small have 64x48 pixels, the network takes 96x64: .*--width 96"
    ):
        choose_calibration_frames([small], checkpoint.metadata, 20)
    with FrameStoreWriter(tmp_path / "cropped", WIDTH, HEIGHT, (0.0, 0.2, 0.0, 0.0)) as writer:
        for i in range(3):
            writer.append(np.zeros((HEIGHT, WIDTH, 3), np.uint8), i, 0, 0)
        writer.finish([PinholeCamera(WIDTH, HEIGHT, WIDTH, WIDTH, WIDTH / 2, HEIGHT / 2)])
    cropped = FrameStore.open(tmp_path / "cropped")
    with pytest.raises(QuantizationError, match=r"cropped was cropped by \[0\.0, 0\.2.*--crop 0 0"):
        choose_calibration_frames([cropped], checkpoint.metadata, 20)


def off_by(error: float) -> Predict:
    """A prediction with this abs_rel: half of the pixels too far, half too near."""

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        assert store.truth is not None
        sign = np.where(np.arange(WIDTH) % 2, 1.0, -1.0)
        return (store.truth[frames].astype(np.float32) * (1.0 + error * sign)).astype(np.float32)

    return predict


@pytest.mark.parametrize(("error", "accepted"), [(0.1009, True), (0.1012, False), (0.09, True)])
def test_errors_may_grow_by_one_percent(tmp_path: Path, error: float, accepted: bool) -> None:
    store = make_store(tmp_path / "a", [12], random_depth(12))
    held_out = [Selection(store, np.arange(2, 12))]
    judgement = compare_with_float32(off_by(0.1), off_by(error), held_out, is_metric=True)
    assert judgement.frames == judgement.frames_with_truth == 10
    assert judgement.float32 == pytest.approx(0.1, rel=1e-4)
    assert judgement.int8 == pytest.approx(error, rel=1e-4)
    assert judgement.worsening == pytest.approx(error / 0.1 - 1.0, abs=1e-4)
    assert judgement.is_accepted == accepted
    assert "abs_rel on 10 held-out frames is 0.1000 in float32" in str(judgement)


@pytest.mark.parametrize("is_metric", [True, False])
def test_a_changed_scale_counts_where_depth_is_metric(tmp_path: Path, is_metric: bool) -> None:
    store = make_store(tmp_path / "a", [12], random_depth(12))

    def larger(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        return np.float32(1.2) * off_by(0.1)(store, frames)

    judgement = compare_with_float32(
        off_by(0.1), larger, [Selection(store, np.arange(12))], is_metric
    )
    assert judgement.is_accepted != is_metric
    assert judgement.difference == pytest.approx(0.2, rel=1e-4)


@pytest.mark.parametrize(("factor", "accepted"), [(1.019, True), (0.979, False)])
def test_without_truth_the_original_is_the_measure(
    tmp_path: Path, factor: float, accepted: bool
) -> None:
    # Truth on 9 frames is too little, and only a quarter of the view is the network's.
    truth = random_depth(12)
    truth[9:] = 0.0
    store = make_store(tmp_path / "a", [12], truth)

    def constant(value: float) -> Predict:
        def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
            depth = np.ones((len(frames), HEIGHT, WIDTH), np.float32)
            depth[:, HEIGHT * 3 // 4 :] = value
            return depth

        return predict

    held_out = [Selection(store, np.arange(12), (0.0, 0.75, 0.0, 0.0))]
    judgement = compare_with_float32(
        constant(3.0), constant(3.0 * factor), held_out, is_metric=True
    )
    assert (judgement.float32, judgement.int8, judgement.worsening) == (None, None, None)
    assert judgement.frames_with_truth == 9
    assert judgement.difference == pytest.approx(abs(factor - 1.0), abs=1e-5)
    assert judgement.is_accepted == accepted
    assert "12 held-out frames, 9 of them with truth" in str(judgement)


def test_depth_that_is_no_number_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a", [12], random_depth(12))
    held_out = [Selection(store, np.arange(12))]
    with pytest.raises(QuantizationError, match="NaN or infinite on frame 0 of a"):
        compare_with_float32(off_by(0.1), off_by(float("nan")), held_out, is_metric=False)
    assert not Int8Verdict(12, 0, float("nan"), None, None).is_accepted


@pytest.mark.slow
def test_depth_of_a_written_graph_is_that_of_the_network(tmp_path: Path) -> None:
    checkpoint = drawn_checkpoint(5, crop=(0.0, 0.25, 0.125, 0.0), scale=3.0)
    truth = np.ones((3, 45, 70), np.float16)
    store = make_store(tmp_path / "a", [3], truth, size=(160, 120))
    path = tmp_path / "model.xml"
    export_checkpoint(checkpoint, path)
    frames = np.array([0, 2])
    protocol = Protocol(scaling="metric")
    found = depth_predictor(load_checkpoint(path), "cpu", protocol)(store, frames)
    expected = depth_predictor(checkpoint, torch.device("cpu"), protocol)(store, frames)
    assert found.shape == (2, 45, 70)
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": "onnx"},
            "--int8 is for OpenVINO IR, not for 'onnx'; name the output model.xml",
        ),
        ({"batch": 0}, "leave out --batch"),
        ({"half": True}, "leave out --half"),
        ({"tolerance": 0.1}, "--tolerance is about formats .* judged by abs_rel"),
        ({"frames": 9}, "--calibration-frames is 9; give at least 10, better 300"),
        ({"preset": "fast"}, "--preset is 'fast'; it must be one of performance, mixed"),
    ],
)
def test_impossible_requests_are_refused(changes: dict[str, Any], message: str) -> None:
    request: dict[str, Any] = {
        "format": "openvino",
        "batch": 1,
        "half": False,
        "tolerance": None,
        "frames": 300,
        "preset": "mixed",
    }
    with pytest.raises(QuantizationError, match=message):
        check_int8_request(**{**request, **changes})


def test_missing_nncf_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_has_nncf", lambda: False)
    with pytest.raises(QuantizationError, match=r"pip install 'monodepth2_ros\[int8\]'"):
        check_int8_request("openvino", 1, False, None, 300, "mixed")


@pytest.mark.slow
def test_stores_and_recordings_are_opened(tmp_path: Path) -> None:
    make_store(tmp_path / "frames", [3])
    bag = bag_builder.write_drive(tmp_path / "drive", [4.0 * i for i in range(6)])
    metadata = CheckpointMetadata(width=64, height=64, crop=(0.0, 0.25, 0.0, 0.0))
    stores = open_calibration_frames([tmp_path / "frames", bag], metadata, tmp_path / "scratch")
    assert [store.path.name for store in stores] == ["frames", "drive"]
    assert stores[0].path == tmp_path / "frames"
    assert (len(stores[1]), stores[1].width, stores[1].height) == (6, 64, 64)
    assert stores[1].crop == metadata.crop


def test_data_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    metadata = CheckpointMetadata()
    for paths, message in (
        ([], "give --calibrate STORE_OR_BAG"),
        ([tmp_path / "none"], "--calibrate .*none does not exist; give a frame store"),
        ([Path(__file__)], "test_int8.py cannot be read as frames"),
        ([tmp_path / "broken"], "--calibrate .*broken cannot be read as frames"),
    ):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / "store.json").write_text("{}")
        with pytest.raises(QuantizationError, match=message):
            open_calibration_frames(paths, metadata, tmp_path / "scratch")


@pytest.mark.slow
def test_the_head_stays_in_float(graph: Any) -> None:
    kinds = {
        operation.get_friendly_name(): operation.get_type_name() for operation in graph.get_ops()
    }
    names = head_names(graph)
    chosen = [kinds[name] for name in names]
    assert chosen.count("Convolution") == chosen.count("Sigmoid") == 1
    assert "head" in names[0]
    assert not any(part in name for name in names for part in ("coarse", "fine", "encoder"))


def stand_in(
    monkeypatch: pytest.MonkeyPatch, quantize: Callable[..., Any], graph: Any = None
) -> None:
    """Put a function in the place of NNCF, and where given a graph in that of the conversion."""
    monkeypatch.setattr(quantization, "_has_nncf", lambda: True)
    monkeypatch.setitem(sys.modules, "nncf", SimpleNamespace(__version__="9.9"))
    monkeypatch.setattr(quantization, "quantize_graph", quantize)
    if graph is not None:
        monkeypatch.setattr(quantization, "convert_openvino", lambda *_, **__: graph.clone())


def same_graph(graph: Any, *_: Any) -> Any:
    return graph


@pytest.mark.slow
def test_what_is_accepted_is_written_with_its_figures(
    tmp_path: Path,
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("openvino")
    seen: list[tuple[int, str]] = []

    def quantize(graph: Any, calibration: Sequence[Selection], size: Any, preset: str) -> Any:
        seen.append((sum(len(selection.frames) for selection in calibration), preset))
        return graph

    stand_in(monkeypatch, quantize)
    make_store(tmp_path / "frames", [30, 30], random_depth(60))
    save_checkpoint(tmp_path / "source.safetensors", checkpoint.metadata, checkpoint.state)
    output = tmp_path / "out" / "model.xml"
    output.parent.mkdir()
    command = [str(tmp_path / "source.safetensors"), str(output), "--int8"]
    command += ["--calibrate", str(tmp_path / "frames"), "--calibration-frames", "20"]
    assert main([*command, "--preset", "performance"]) == 0
    assert seen == [(20, "performance")]
    said = capsys.readouterr().out
    assert "calibrated with 20 frames; abs_rel on 12 held-out frames is " in said
    assert "(+0.00%, allowed +1%)" in said or "(-0.00%, allowed +1%)" in said
    assert {path.name for path in output.parent.iterdir()} == {"model.xml", "model.bin"}
    written = openvino_format.open_openvino(output)
    note = written.description["provenance"]["int8"]
    assert (note["tool"], note["preset"]) == ("nncf 9.9", "performance")
    assert (note["calibration"], note["calibration_frames"]) == (["frames"], 20)
    assert note["held_out"]["frames_with_truth"] == 12
    assert note["held_out"]["int8"] == pytest.approx(note["held_out"]["float32"], rel=1e-3)
    assert str(tmp_path) not in json.dumps(written.description)
    image = np.random.default_rng(1).random((1, 3, HEIGHT, WIDTH), dtype=np.float32)
    with torch.inference_mode():
        expected = checkpoint.depth_network()(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(written.run(image)[1], expected, atol=1e-4)


@pytest.mark.slow
def test_what_is_worse_is_not_written(
    tmp_path: Path, checkpoint: Checkpoint, graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Quantised to something else: its original is another network.
    stand_in(monkeypatch, same_graph, graph)
    other = drawn_checkpoint(4)
    output = tmp_path / "out" / "model.xml"
    output.parent.mkdir()
    # The other network's depth is the truth, but for 10 %.
    store = make_store(tmp_path / "images", [60])
    predict = depth_predictor(other, torch.device("cpu"), Protocol())
    frames = np.arange(60)
    bumps = np.where(np.arange(WIDTH) % 2, 1.1, 0.9)
    store = make_store(tmp_path / "frames", [60], predict(store, frames) * bumps)
    message = (
        r"model\.xml was not written: abs_rel on 12 .* in int8 \(\+.*%, allowed \+1%\); .*--pre"
    )
    with pytest.raises(ExportError, match=message):
        export_int8(other, output, [store])
    assert not list(output.parent.iterdir())


@pytest.mark.slow
def test_what_reads_back_differently_is_not_written(
    tmp_path: Path, checkpoint: Checkpoint, graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, same_graph, graph)
    store = make_store(tmp_path / "frames", [60])
    output = tmp_path / "out" / "model.xml"
    output.parent.mkdir()
    opened = openvino_format.open_openvino

    def tampered(path: Path) -> Any:
        written = opened(path)
        return dataclasses.replace(
            written,
            run=lambda images: tuple(values + np.float32(0.02) for values in written.run(images)),
        )

    monkeypatch.setattr(quantization, "open_openvino", tampered)
    with pytest.raises(ExportError, match=r"read back it differs by up to 0\.02"):
        export_int8(checkpoint, output, [store])
    forgetful = lambda path: dataclasses.replace(opened(path), description={})  # noqa: E731
    monkeypatch.setattr(quantization, "open_openvino", forgetful)
    with pytest.raises(ExportError, match="read back it has other metadata"):
        export_int8(checkpoint, output, [store])
    assert not list(output.parent.iterdir())


@pytest.mark.slow
def test_the_command_refuses_before_it_reads(
    tmp_path: Path,
    checkpoint: Checkpoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    stand_in(monkeypatch, same_graph)
    source = tmp_path / "source.safetensors"
    save_checkpoint(source, checkpoint.metadata, checkpoint.state)
    (tmp_path / "taken.xml").write_text("precious")
    for arguments, message in (
        (["x.onnx", "--int8"], "--int8 is for OpenVINO IR, not for 'onnx'"),
        (["x.xml", "--int8"], "give --calibrate STORE_OR_BAG"),
        (["x.xml", "--int8", "--calibration-frames", "0"], "--calibration-frames is 0; give at"),
        (["x.xml", "--int8", "--batch", "dynamic"], "leave out --batch"),
        (["taken.xml", "--int8"], "taken.xml exists; remove it"),
        (["x.xml", "--calibrate", "frames"], "--calibrate has no meaning without --int8"),
        (["x.xml", "--calibration-frames", "0"], "--calibration-frames has no meaning without"),
        (["x.xml", "--preset", "mixed"], "--preset has no meaning without --int8"),
    ):
        words = [str(source), str(tmp_path / arguments[0]), *arguments[1:]]
        assert status_of(main, words) in (1, 2)
        assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"source.safetensors", "taken.xml"}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["mixed", "performance"])
def test_int8_by_nncf(tmp_path: Path, preset: str) -> None:
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("nncf", reason="nncf is not installed (extra [int8])")
    # Random weights on noise ask more of eight bits than trained ones on images: a duller head.
    checkpoint = drawn_checkpoint(3)
    checkpoint.state["depth"]["decoder.10.conv.weight"] *= 0.25
    store = make_store(tmp_path / "frames", [60])
    result = export_int8(checkpoint, tmp_path / "model.xml", [store], 20, preset)
    assert result.calibration_frames == 20
    assert result.judgement.frames == 12
    assert 0.0 < result.judgement.difference < quantization.LARGEST_DIFFERENCE
    graph = openvino.Core().read_model(tmp_path / "model.xml")
    small = sum(
        operation.get_output_element_type(0) == openvino.Type.i8
        for operation in graph.get_ops()
        if operation.get_type_name() == "Constant"
    )
    assert small > 20  # the weights of nearly all convolutions
    # A quarter of the float32 weights, and a little for the scales.
    assert (tmp_path / "model.bin").stat().st_size < 16e6
