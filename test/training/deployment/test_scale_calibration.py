# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""depth_calibrate on recordings whose factor is known in closed form."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bag_builder import START, Bag, scene
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import load_checkpoint, random_checkpoint, save_checkpoint
from monodepth2_ros.preprocessing import NO_CROP
from monodepth2_ros.scale import ScaleOptions
from training.calibrate import main
from training.deployment.scale_calibration import ScaleCalibration
from training.evaluate import main as evaluate
from training.evaluation.factors import live_factors, summarize_factors
from training.evaluation.live_scale import LiveScale
from training.evaluation.range_readings import read_ranges
from training.frames.store import FrameStore
from training.frames.writer import FrameStoreWriter

CAMERA = PinholeCamera(160, 96, 130.0, 130.0, 79.5, 47.5)
DISTANCE, PREDICTED = 3.0, 2.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that predicts PREDICTED for every pixel of every image."""
    checkpoint = random_checkpoint(18, 96, 64)
    low, high = checkpoint.metadata.min_depth, checkpoint.metadata.max_depth
    sigmoid = (1 / PREDICTED - 1 / high) / (1 / low - 1 / high)
    for name, value in checkpoint.state["depth"].items():
        if name.startswith("decoder.1") and ".conv." in name and len(value) == 1:
            value.zero_()
            if value.ndim == 1:
                value.fill_(float(np.log(sigmoid / (1 - sigmoid))))
    path = tmp_path_factory.mktemp("model") / "constant.safetensors"
    save_checkpoint(path, checkpoint.metadata, checkpoint.state)
    return path


def wall(path: Path, distances: list[float]) -> Path:
    """Write a camera that goes sideways in front of a wall, at another distance in each segment."""
    noise = np.random.default_rng(0).uniform(0, 255, (110, 500)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    with FrameStoreWriter(path, CAMERA.width, CAMERA.height) as writer:
        for segment, distance in enumerate(distances):
            for i in range(14):
                x = 0.08 * i * distance / DISTANCE
                shift = np.array([[1, 0, -x * CAMERA.fx / distance], [0, 1, 0]], np.float32)
                grey = cv2.warpAffine(texture, shift, (160, 96), flags=cv2.INTER_LINEAR)
                pose = np.eye(4)
                pose[0, 3] = x
                writer.append(
                    np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2),
                    (20 * segment + i) * 100_000_000, 0, segment,
                    pose=pose, truth=np.full((96, 160), distance),
                )  # fmt: skip
        count = len(distances)
        writer.finish([CAMERA], segment_spacing=[1] * count, segment_source=[0] * count)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("source", ["ground-truth", "odometry"])
def test_factor_is_found_and_the_checkpoint_is_metric_from_then_on(
    source: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = wall(tmp_path / "store", [DISTANCE])
    out, figures, picture = (tmp_path / name for name in ("m.safetensors", "f.json", "p.png"))
    command = [str(model), "--data", str(store), "--from", source, "--device", "cpu", "--quiet"]
    command += ["--out", str(out), "--json", str(figures), "--picture", str(picture)]
    assert main(command) == 0, capsys.readouterr().err
    metadata = load_checkpoint(out).metadata
    assert metadata.is_metric and metadata.scale == pytest.approx(DISTANCE / PREDICTED, rel=0.01)
    assert metadata.scale_spread is not None and metadata.scale_spread < 0.01
    assert metadata.calibration["from"] == source
    content = json.loads(figures.read_text())
    assert content["factor"] == pytest.approx(metadata.scale, rel=1e-4) and not content["problem"]
    assert len(content["series"][0]["factors"]) == content["measured"] >= 10
    drawn = cv2.imread(str(picture))
    assert drawn is not None and np.ptp(drawn) == 255
    # Evaluation takes it for metric without being told.
    again = tmp_path / "evaluation.json"
    words = [str(out), "--data", str(store), "--device", "cpu", "--quiet", "--json", str(again)]
    assert evaluate(words) == 0
    report = json.loads(again.read_text())
    assert report["protocol"]["scaling"] == "metric"
    frames = report["models"][0]["depth"]["per_frame"]
    assert len(frames) == 14 and all(abs(frame["scale"] - 1.0) < 0.01 for frame in frames)
    # A second calibration finds nothing to change, and does not overwrite by accident.
    with pytest.raises(SystemExit):
        main(command)
    words = [str(out), "--data", str(store), "--from", source, "--device", "cpu", "--quiet"]
    assert main([*words, "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["factor"] == pytest.approx(1.0, rel=0.01)


@pytest.mark.slow
def test_one_factor_is_refused_where_it_cannot_be_right(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = wall(tmp_path / "store", [3.0, 4.5])
    out = tmp_path / "m.safetensors"
    command = [str(model), "--data", str(store), "--from", "ground-truth", "--device", "cpu"]
    command += ["--out", str(out), "--quiet"]
    assert main(command) == 1
    assert "scaling.source" in capsys.readouterr().err and not out.exists()
    assert main([*command, "--force"]) == 0
    assert load_checkpoint(out).metadata.scale_spread == pytest.approx(0.2, abs=0.03)


@pytest.mark.slow
def test_what_is_missing_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = wall(tmp_path / "store", [DISTANCE])
    command = [str(model), "--data", str(store), "--device", "cpu", "--quiet", "--from"]
    assert main([*command, "camera-height", "--ground-height", "1"]) == 1
    assert "no ground in view" in capsys.readouterr().err
    assert main([*command, "range"]) == 1
    assert "give the recording itself" in capsys.readouterr().err
    for words, said in (
        (["camera-height"], "--ground-height"),
        (["odometry", "--range-topic", "/scan"], "--from range"),
        (["odometry", "--out", "model.onnx"], ".safetensors"),
    ):
        with pytest.raises(SystemExit):
            main([*command, *words])
        assert said in capsys.readouterr().err


def test_factor_from_the_camera_height(tmp_path: Path) -> None:
    store = FrameStore.open(wall(tmp_path / "store", [DISTANCE]))
    y = (np.arange(96.0)[:, None] - CAMERA.cy) / CAMERA.fy
    floor = np.maximum(np.broadcast_to(y, (96, 160)) / 0.5, 1 / 30.0)  # 0.5 below, up to 30

    def predict(store: FrameStore, frames: np.ndarray) -> np.ndarray:
        return np.repeat((1.0 / floor)[None], len(frames), axis=0).astype(np.float32)

    scale = ScaleOptions(("camera_height",), camera_height=1.2)
    live = LiveScale(predict, NO_CROP, scale, down=np.array([0.0, 1.0, 0.0]))
    found = summarize_factors([live_factors(live, store, lambda n: None)])
    assert found.factor == pytest.approx(1.2 / 0.5, rel=0.005) and found.measured == len(store)
    record = ScaleCalibration("camera-height", "model", found, [], 0.1, camera_height=1.2).record()
    assert record["camera_height"] == 1.2


@pytest.mark.slow
def test_factor_from_a_scan_of_the_recording(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scanner 0.1 m behind the camera sees a wall 3 m ahead of that."""
    path = tmp_path / "bag"
    angles = np.linspace(-0.6, 0.6, 121)
    with Bag(path) as bag:
        for i in range(12):
            stamp = START + i * 100_000_000
            bag.image("/image", stamp, scene(2.0 * i)[0])
            bag.info("/camera_info", stamp)
            scan = bag.message(
                "sensor_msgs/msg/LaserScan", header=bag.header(stamp + 5_000_000, "laser"),
                angle_min=-0.6, angle_max=0.6, angle_increment=0.01, time_increment=0.0,
                scan_time=0.1, range_min=0.1, range_max=8.0,
                ranges=((DISTANCE + 0.1) / np.cos(angles)).astype(np.float32),
                intensities=np.zeros(0, np.float32),
            )  # fmt: skip
            bag.write("/scan", scan, stamp + 5_000_000)
    readings = read_ranges(path, "/image", mounting=np.eye(4))
    assert readings.topic == "/scan" and len(readings.stamps) == 12
    assert readings.nearest(START + 400_000_000)[0] == START + 405_000_000
    command = [str(model), "--data", str(path), "--from", "range", "--device", "cpu", "--quiet"]
    assert main(command) == 1
    assert "--range-mounting" in capsys.readouterr().err
    out = tmp_path / "m.safetensors"
    mounting = ["--range-mounting", "-0.1", "0", "0", "0", "0", "0"]
    assert main([*command, *mounting, "--out", str(out)]) == 0, capsys.readouterr().err
    assert load_checkpoint(out).metadata.scale == pytest.approx(DISTANCE / PREDICTED, rel=0.005)
