# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command depth_evaluate: its table, JSON, page and pictures, and what it refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import status_of

import kitti_folders
from bag_builder import scene, write_drive
from evaluated_models import (
    HEIGHT,
    WIDTH,
    drawn_checkpoint,
    make_store,
    moving_store,
    robot_depths,
    some_images,
    turning_path,
    with_metadata,
    with_pose_networks,
)
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from training.deployment.exporter import export_checkpoint
from training.evaluate import main
from training.frames.store import Source
from training.frames.writer import FrameStoreWriter


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A network whose disparities spread over (0, 1), as those of a trained one do."""
    return drawn_checkpoint(3)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> tuple[Path, Path]:
    """A checkpoint's file, and a store whose truth is 1.5 times its prediction."""
    folder = tmp_path_factory.mktemp("recorded")
    training = {"recordings": ["walk"], "options": {"spacing": 1}}
    posed = with_metadata(with_pose_networks(checkpoint, "separate"), training=training)
    file = folder / "model.safetensors"
    save_checkpoint(file, posed.metadata, posed.state)
    images = some_images(20)
    truth = 1.5 * robot_depths(checkpoint, images)
    truth[-1] = 0.0
    store = make_store(
        folder / "frames",
        images,
        truth,
        poses=turning_path(20),
        sources=[Source("walk", "/camera/image_raw")],
    )
    return file, store.path


class TagCounter(HTMLParser):
    """Counts tags and notes whatever would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in ("meta", "img", "line", "polyline", "circle"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and not (value or "").startswith("data:image/png;base64,"):
                self.fetched.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "polyline", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_the_command_writes_table_json_and_page(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    options = ["--stretch", "0.5:1", "--ego-motion", "--device", "cpu", "--batch-size", "4"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    outputs += ["--picture", str(tmp_path / "out.png")]
    assert main([str(file), "--data", str(store), *options, *outputs]) == 0
    said = capsys.readouterr().out
    assert "frames (stretch 0.5:1): 9 frames with truth, 1 without" in said
    assert "each frame scaled by the ratio of the medians" in said
    row = next(line for line in said.splitlines() if line.startswith("model.safetensors"))
    figures = [float(cell.rstrip("%")) for cell in row.split()[1:]]
    assert figures[0] < 2e-3  # abs_rel
    assert figures[4:7] == [1.0, 1.0, 1.0]
    assert figures[7] == pytest.approx(1.5, rel=2e-3)
    assert "best constant depth" in said
    assert "mean depth image" in said
    assert "best straight line" in said
    # Of the targets 1 … 18 the last two are held out with their sources, frames 16 to 19; so 14 is
    # the last that was trained on.
    assert "was trained on this recording: 5 of the 10 frames" in said

    told = json.loads((tmp_path / "out.json").read_text())
    (model,) = told["models"]
    assert model["metadata"]["width"] == WIDTH
    assert (model["depth"]["frames"], model["depth"]["without_truth"]) == (9, 1)
    assert [frame["frame"] for frame in model["depth"]["per_frame"]] == list(range(10, 19))
    assert model["depth"]["per_frame"][0]["stamp"] == 10 * 100_000_000
    assert model["depth"]["mean"]["abs_rel"] == pytest.approx(
        np.mean([frame["abs_rel"] for frame in model["depth"]["per_frame"]])
    )
    assert sum(part["pixels"] for part in model["depth"]["by_distance"]) == 9 * WIDTH * HEIGHT
    assert model["odometry"]["snippets"] == 6
    assert len(model["odometry"]["per_snippet"]) == 6
    constant, mean = told["baselines"]
    assert constant["depth"]["mean"]["abs_rel"] > 0.05
    assert mean["depth"]["frames"] == 9
    assert told["protocol"]["max_depth"] == 80.0
    assert told["comparison"] is None

    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.open == []
    assert page.fetched == []
    assert page.tags["img"] == 5 * 4
    assert page.tags["svg"] == 2
    assert "worst" in page.text
    # Five rows of four panels: what was predicted looks like the ground truth next to it.
    picture = cv2.imread(str(tmp_path / "out.png")).astype(int)
    height, width = picture.shape[0] // 5, picture.shape[1] // 4
    truth, found = (
        picture[height // 2 : height - 2, i * width + 8 : (i + 1) * width - 8] for i in (1, 2)
    )
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.9
    names = ["out.html", "out.json", "out.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.slow
def test_two_checkpoints_side_by_side(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    other = drawn_checkpoint(4)
    (tmp_path / "other").mkdir()
    rival = tmp_path / "other" / "model.safetensors"
    save_checkpoint(rival, other.metadata, other.state)
    command = ["--compare", str(rival), str(file), "--data", str(store), "--device", "cpu"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    assert main([*command, *outputs]) == 0
    said = capsys.readouterr().out
    ours = f"{file.parent.name}/model.safetensors"
    assert f"frames in which other/model.safetensors is better than {ours}: abs_rel 0%" in said
    assert "no mean depth image to compare with" in said
    told = json.loads((tmp_path / "out.json").read_text())
    assert [model["name"] for model in told["models"]] == ["other/model.safetensors", ours]
    assert told["comparison"]["share_of_frames"]["abs_rel"] == 0.0
    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.tags["img"] == 5 * 6
    assert f"{ours} ahead by most" in page.text


@pytest.mark.slow
def test_a_published_folder_and_a_metric_one(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    size = {"height": HEIGHT, "width": WIDTH, "use_stereo": True}
    torch.save({**checkpoint.state["encoder"], **size}, folder / "encoder.pth")
    torch.save(checkpoint.state["depth"], folder / "depth.pth")
    images = some_images(3)
    same = with_metadata(checkpoint, min_depth=0.1, max_depth=100.0, scale=5.4)
    truth = robot_depths(same, images)
    store = make_store(tmp_path / "frames", images, truth)
    said_so = f"{folder}:kitti-stereo"
    assert main([said_so, "--data", str(store.path), "--device", "cpu", "--cap", "600"]) == 0
    said = capsys.readouterr().out
    assert "in metres as predicted" in said
    assert "best constant depth, median-scaled" in said
    row = next(line for line in said.splitlines() if line.startswith("published"))
    assert float(row.split()[1]) < 2e-3
    assert main([str(folder), "--data", str(store.path), "--scaling", "none", "--cap", "600"]) == 0
    row = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("published"))
    assert float(row.split()[1]) == pytest.approx(1 - 1 / 5.4, abs=2e-3)


@pytest.mark.slow
def test_a_recording_is_extracted_to_a_temporary_store(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    positions = [0.0, 3.0, 6.0, 6.0, 6.0, 9.0, 12.0, 15.0]  # standing frames count, too
    bag = write_drive(tmp_path / "drive", positions, with_depth=True, with_odometry=True)
    cropping = with_metadata(checkpoint, crop=(0.0, 0.25, 0.0, 0.0))
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, cropping.metadata, cropping.state)
    out = tmp_path / "out.json"
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # extraction sets 1, but only for itself
    try:
        assert main([str(file), "--data", str(bag), "--device", "cpu", "--json", str(out)]) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert "drive: 8 frames with truth, 0 without" in said
    assert "verdict" not in said
    assert "note: no mean depth image" in said
    assert said.count("note:") == 1
    told = json.loads(out.read_text())
    assert told["stores"] == [
        {
            "name": "drive",
            "sources": [{"recording": "drive", "topic": "/camera/image_raw"}],
            "frames": 8,
        }
    ]
    frames = [
        evaluation["depth"]["per_frame"] for evaluation in (told["models"][0], told["baselines"][0])
    ]
    scenes = [scene(position) for position in positions]
    found_depths = robot_depths(cropping, [image for image, _ in scenes])
    for (_, depth), found, of_model, of_constant in zip(scenes, found_depths, *frames, strict=True):
        truth, found = depth[24:], found[24:]
        scaled = found * (np.median(truth) / np.median(found))
        for told_frame, prediction in ((of_model, scaled), (of_constant, np.median(truth))):
            expected = np.mean(np.abs(prediction - truth) / truth)
            assert told_frame["abs_rel"] == pytest.approx(expected, rel=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "drive",
        "model.safetensors",
        "out.json",
    ]


def test_what_goes_wrong_in_extraction_ends_the_evaluation(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"no recording")
    command = [str(recorded[0]), "--data", str(broken), "--device", "cpu"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("depth_evaluate: --data broken.mcap: ")
    assert "broken.mcap cannot be read" in error

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.extraction.open_frames.extract", interrupted)
        assert main(command) == 130
    assert capsys.readouterr().err == "depth_evaluate: interrupted\n"


@pytest.mark.slow
def test_kitti_folders_are_read_with_their_split(
    tmp_path: Path,
    checkpoint: Checkpoint,
    raw: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, checkpoint.metadata, checkpoint.state)
    listed = kitti_folders.split(tmp_path, *(f"{kitti_folders.DRIVE} {i} l" for i in (2, 3, 9)))
    command = [str(file), "--kitti-raw", str(raw), "--kitti-split", str(listed)]
    out = tmp_path / "out.json"
    assert main([*command, "--device", "cpu", "--json", str(out)]) == 0
    # The listed frames and their neighbours: 1 to 4 and 8 to 10. The scanner sees one wall.
    assert "KITTI raw, split.txt: 3 frames with truth, 4 without" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["baselines"][0]["depth"]["mean"]["abs_rel"] == pytest.approx(0.0, abs=1e-3)
    assert told["models"][0]["depth"]["mean"]["abs_rel"] > 0.01


@pytest.mark.slow
def test_checkpoints_of_different_crops_are_compared_where_both_see(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = {"top": (0.0, 0.25, 0.0, 0.0), "left": (0.5, 0.0, 0.0, 0.0)}
    files = [tmp_path / f"{name}.safetensors" for name in crops]
    for file, crop in zip(files, crops.values(), strict=True):
        save_checkpoint(file, with_metadata(checkpoint, crop=crop).metadata, checkpoint.state)
    store = make_store(tmp_path / "frames", some_images(2), np.full((2, HEIGHT, WIDTH), 3.0))
    out = tmp_path / "out.json"
    command = ["--compare", *map(str, files), "--data", str(store.path), "--device", "cpu"]
    assert main([*command, "--json", str(out)]) == 0
    assert "the checkpoints differ in their crops" in capsys.readouterr().out
    told = json.loads(out.read_text())
    for evaluated_one in (*told["models"], *told["baselines"]):
        for frame in evaluated_one["depth"]["per_frame"]:
            assert frame["pixels"] == (HEIGHT - 16) * (WIDTH // 2)


def test_a_store_that_shows_less_than_the_robot_is_mentioned(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, checkpoint.metadata, checkpoint.state)
    with FrameStoreWriter(tmp_path / "frames", WIDTH, HEIGHT, (0.0, 0.2, 0.0, 0.0)) as writer:
        writer.append(some_images(1)[0], 0, 0, 0, truth=np.full((HEIGHT, WIDTH), 3.0))
        writer.finish([PinholeCamera(WIDTH, HEIGHT, 60.0, 60.0, 48.0, 32.0)])
    assert main([str(file), "--data", str(tmp_path / "frames"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "was extracted with --crop 0 0.2 0 0" in said
    assert "expects 0 0 0 0: it sees less here than on the robot" in said


@pytest.mark.slow
def test_odometry_without_depth(
    tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    posed = with_pose_networks(checkpoint, "shared")
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, posed.metadata, posed.state)
    store = moving_store(tmp_path / "frames", turning_path(9))
    page = tmp_path / "out.html"
    command = [str(file), "--data", str(store.path), "--device", "cpu", "--report", str(page)]
    assert main(command) == 1
    assert "there is no depth to compare with in" in capsys.readouterr().err
    assert not page.exists()
    assert main([*command, "--ego-motion"]) == 0
    said = capsys.readouterr().out
    assert "abs_rel" not in said
    assert "standing still" in said
    assert "Odometry" in page.read_text()


@pytest.mark.slow
def test_steadiness_is_reported_recording_by_recording(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = recorded
    images = np.stack([np.roll(some_images(1)[0], i, axis=1) for i in range(4)])
    bare = make_store(tmp_path / "bare", images, None, sources=[Source("road", "/image")])
    command = [str(file), "--data", str(store), str(bare.path), "--device", "cpu", "--temporal"]
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "out.html")]
    assert main([*command, "--stretch", "0.5:1", *outputs]) == 0
    said = capsys.readouterr().out
    assert "road /image: 2 frames, 1 pairs of neighbours; motion from optical flow" in said
    steady = said[said.index("steadiness") :]
    rows = {name: steady.count(f"\n{name} ") for name in ("model.safetensors", "mean depth image")}
    assert rows == {"model.safetensors": 2, "mean depth image": 1}

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    told = json.loads((tmp_path / "out.json").read_text(), parse_constant=refuse)
    with_truth, without = told["temporal"]
    model, constant, mean = with_truth["results"]
    assert (constant["saturated"], mean["saturated"]) == (None, None)
    # The truth is what the model predicts, times 1.5; the last frame has none.
    assert model["per_frame"]["scale"][:-1] == pytest.approx([1.5] * 9, rel=2e-3)
    assert model["per_frame"]["scale"][-1] is None
    assert model["holes"] == 0.0
    assert model["drift"]["spread"] < 2e-3
    assert len(model["per_pair"]["flicker"]) == len(with_truth["pairs"]) == 9
    assert [result["name"] for result in without["results"]] == ["model.safetensors"]
    (result,) = without["results"]
    assert result["drift"] is None
    assert result["per_frame"]["holes"] == [None, None]
    assert 0.0 <= result["saturated"] <= 1.0
    page = TagCounter()
    page.feed((tmp_path / "out.html").read_text())
    assert page.open == []
    assert page.tags["svg"] == 4
    assert page.tags["img"] == 5 * 4 + 2 * (2 * 4)


@pytest.mark.slow
def test_steadiness_needs_no_truth(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = recorded
    images = np.stack([np.roll(some_images(1)[0], i, axis=1) for i in range(3)])
    bare = make_store(tmp_path / "bare", images, None)
    page = tmp_path / "out.html"
    command = [str(file), "--data", str(bare.path), "--device", "cpu"]
    assert main([*command, "--temporal", "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "bare: 3 frames, 2 pairs of neighbours" in said
    assert "abs_rel" not in said
    assert "Steadiness" in page.read_text()
    assert main([*command, "--temporal", "--stretch", "0:0.1"]) == 0
    assert "bare: 1 frames, 0 pairs" in capsys.readouterr().out
    assert main([*command, "--temporal", "--stretch", "0.9:1"]) == 1
    assert "--temporal: no frame is chosen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "S"], "give one CHECKPOINT"),
        (["M", "--compare", "M", "M", "--data", "S"], "give one CHECKPOINT"),
        (["M"], "give --data STORE or BAG, or --kitti-raw DIR"),
        (["M", "--data", "S", "--kitti-raw", "K"], "not both"),
        (["M", "--kitti-raw", "K"], "belong together"),
        (["M", "--data", "nowhere"], "--data .*nowhere does not exist"),
        (["M", "--data", "E"], "is not a frame store"),
        (["nowhere", "--data", "S"], "checkpoint .*nowhere does not exist"),
        (["M", "--data", "S", "--batch-size", "0"], "--batch-size is 0; give at least 1"),
        (["M", "--data", "S", "--cap", "0"], "--cap is 0.0; give more than 0"),
        (["M", "--data", "S", "--min-truth", "90"], "--min-truth is 90 and --cap 80"),
        (["M", "--data", "S", "--crop", "garg"], "--crop is gone; write --garg-crop"),
        (["M", "--data", "S", "--min-depth", "1"], "--min-depth is gone; write --min-truth"),
        (["M", "--data", "S", "--odometry"], "--odometry is gone; write --ego-motion"),
        (["M", "--data", "S", "--precision", "fp16", "--device", "cpu"], "precision 'fp16'"),
        (["M", "--data", "S", "--scaling", "metric"], "is not metric: .*--scaling median"),
        (["M", "--data", "S", "--device", "tpu"], "device is 'tpu'; it must be auto"),
        (
            ["M", "--data", "S", "--device", "cuda:99"],
            "'cuda:99' but (torch finds no|there are)",
        ),
        (["M", "--data", "S", "--json", "no/out.json"], "the folder .*no does not exist"),
        (["M", "--data", "S", "--cap", "0.01"], "none of the 20 chosen frames has ground truth"),
        (["M", "--data", "S", "--stretch", "0.97:1"], "none of the 0 chosen frames"),
        (
            ["M", "--data", "S", "--split", "train", "--validation-fraction", "2"],
            "--validation-fraction is 2.0; give at most 0.9",
        ),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path,
    recorded: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    names = {"M": str(recorded[0]), "S": str(recorded[1]), "E": "empty"}
    assert status_of(main, [names.get(argument, argument) for argument in arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("depth_evaluate: ")
    assert re.search(message, error), error


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_openvino_ir_is_judged_as_the_network_it_is_made_from(
    tmp_path: Path, recorded: tuple[Path, Path], half: bool
) -> None:
    pytest.importorskip("openvino")
    file, store = recorded
    export_checkpoint(load_checkpoint(file), tmp_path / "model.xml", half=half)
    figures = {}
    for model in (file, tmp_path / "model.xml"):
        out = tmp_path / "out.json"
        command = [str(model), "--data", str(store), "--device", "cpu", "--flip", "--quiet"]
        assert main([*command, "--stretch", "0:0.2", "--json", str(out)]) == 0
        (judged,) = json.loads(out.read_text())["models"]
        figures[model.name] = judged["depth"]["mean"]
        assert judged["checkpoint"].endswith(model.name)
    weights, graph = figures["model.safetensors"], figures["model.xml"]
    tolerance = 1e-2 if half else 1e-4
    assert graph == pytest.approx(weights, rel=tolerance)
    assert weights["abs_rel"] > 0.05  # else agreement would mean little


@pytest.mark.slow
def test_the_engine_is_the_one_that_is_asked_for(
    tmp_path: Path, recorded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    file, store = recorded
    export_checkpoint(load_checkpoint(file), tmp_path / "model.xml")
    command = [str(tmp_path / "model.xml"), "--data", str(store), "--stretch", "0:0.2"]
    assert main([*command, "--backend", "torch"]) == 1
    assert "is OpenVINO IR, which backend 'torch' cannot run" in capsys.readouterr().err
    assert main([*command, "--ego-motion"]) == 1
    assert "has no pose network" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1", "0.5:0.2", "-0.1:1", "0:1.5", "a:b", "0.5:0.5"])
def test_wrong_stretches_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["model", "--data", "store", f"--stretch={text}"])
    assert f"'{text}': give two fractions A:B" in capsys.readouterr().err
