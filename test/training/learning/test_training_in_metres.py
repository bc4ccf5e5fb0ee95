# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whole runs with recorded poses: chosen by themselves, resumed, in several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from monodepth2_ros.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from monodepth2_ros.predictor import DepthPredictor
from narrow_networks import program_of
from paths import REPOSITORY
from training.frames.recorded_poses import REPORT, poses_agree
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning import trainer as trainer_module
from training.learning.motion_from_tracks import sample_at
from training.learning.options import OptionError, TrainOptions
from training.learning.recorded_motion import length_loss, remember_recorded
from training.metrics import weighted_median
from training.train import NOTHING_LEARNED, main
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

COMPLETE = (0, NOTHING_LEARNED)

# What is tested here is what a run does around its networks.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered street with its poses, as an extraction that found them right leaves it."""
    path = tmp_path_factory.mktemp("data") / "store"
    camera = camera_from_field_of_view(96, 64, 80)
    frames = list(synthesize(3, "street", camera, 20, antialias=1))
    images = np.stack([frame.image for frame in frames])
    write_frame_store(path, images, [camera], poses=np.stack([frame.pose for frame in frames]))
    report(path, "agree")
    return path


def report(path: Path, level: str) -> None:
    camera = {"kept": 20, "pose_frames": 20, "pose_check": {"level": level}}
    (path / REPORT).write_text(json.dumps({"cameras": [camera]}))


def words(store: Path, out: Path, *more: str) -> list[str]:
    options = ["--data", str(store), "--out", str(out), "--init", "none", "--batch-size", "2"]
    options += ["--steps", "4", "--validation-fraction", "0.4", "--device", "cpu"]
    options += ["--no-tensorboard", "--loader-threads", "1", "--precision", "fp32"]
    return [*options, "--save-every", "1", *more]


def assert_same(first: Checkpoint, second: Checkpoint, tolerance: float = 0.0) -> None:
    assert first.state.keys() == second.state.keys()
    for network, state in first.state.items():
        for name, value in state.items():
            other = second.state[network][name]
            torch.testing.assert_close(value, other, rtol=0.0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--pose", "recorded"], ["--velocity-weight", "0.1"]])
def test_depth_is_in_metres_and_a_stopped_run_goes_on_exactly(
    how: list[str], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert main(words(store, tmp_path / "whole", *how)) in COMPLETE, capsys.readouterr().err
    said = capsys.readouterr().out
    assert ("from recorded poses, in metres" in said) == (how[0] == "--pose")
    whole = load_checkpoint(tmp_path / "whole" / "last.safetensors")
    assert whole.metadata.is_metric
    assert ("pose" in whole.state) == (how[0] != "--pose")
    # The held-out part says how the scale spreads.
    entry = whole.metadata.training["validation"]
    assert entry["scale"] > 0.0 and 0.0 <= entry["scale_spread"] < 5.0
    assert whole.metadata.scale_spread == entry["scale_spread"]
    assert f"scale {entry['scale']:.3f} ±" in said

    real, steps = trainer_module.Trainer._step, []

    def step(self, *rest):
        if len(steps) == 2:
            raise OSError("stopped by the test")
        steps.append(0)
        real(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module.Trainer, "_step", step)
        assert main(words(store, tmp_path / "run", *how)) == 1
        assert "stopped by the test" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path / "run")]) in COMPLETE
    assert_same(whole, load_checkpoint(tmp_path / "run" / "last.safetensors"))


@pytest.mark.slow
def test_a_start_without_metres_is_kept_with_the_factor_of_what_is_learned_from(
    store: Path, tmp_path: Path, capsys
) -> None:
    assert main(words(store, tmp_path / "plain", "--pose", "tracks")) in COMPLETE
    plain = tmp_path / "plain" / "last.safetensors"
    assert not load_checkpoint(plain).metadata.is_metric
    out = tmp_path / "metric"
    how = ["--pose", "recorded", "--checkpoint", str(plain), "--learning-rate", "1e-9"]
    assert main(words(store, out, *how, "--decoder", "keep")) == NOTHING_LEARNED
    kept, last = (load_checkpoint(out / f"{name}.safetensors") for name in ("best", "last"))
    assert_same(kept, load_checkpoint(plain))
    # The last is learned in metres, the first has to be multiplied.
    assert last.metadata.is_metric and last.metadata.scale == 1.0
    assert kept.metadata.is_metric and kept.metadata.scale != 1.0
    # The factor by hand: recorded poses against predictions, in the first part of the recording.
    frames, measure = FrameStore.open(store), remember_recorded([FrameStore.open(store)])
    predictor = DepthPredictor(plain, backend="torch", device="cpu", precision="fp32")
    ratios = []
    for frame in range(1, 11):
        geometry = measure(0, frame, (frame - 1, frame + 1))
        if geometry is None or not geometry.points[:, 3].any():
            continue
        known = geometry.points[geometry.points[:, 3] > 0]
        depth = predictor(frames.images[frame])
        read = sample_at(torch.from_numpy(depth)[None, None], torch.from_numpy(known[None, :, :2]))
        ratio = np.log(known[:, 2] / read[0].numpy())
        ratios.append(weighted_median(ratio, known[:, 3]))
    assert np.log(kept.metadata.scale) == pytest.approx(np.mean(ratios), abs=0.05)
    assert kept.metadata.scale_spread == pytest.approx(np.std(ratios), abs=0.05)
    # A run that knows no metres leaves the start as it is.
    more = ["--pose", "tracks", "--checkpoint", str(plain), "--learning-rate", "1e-9"]
    assert main(words(store, tmp_path / "blind", *more, "--decoder", "keep")) == NOTHING_LEARNED
    start = load_checkpoint(tmp_path / "blind" / "best.safetensors").metadata
    assert not start.is_metric and start.scale == 1.0


@pytest.mark.slow
def test_a_start_has_another_factor_at_its_own_image_size(store: Path, tmp_path: Path) -> None:
    assert main(words(store, tmp_path / "plain", "--pose", "tracks")) in COMPLETE
    plain, large = (
        load_checkpoint(tmp_path / "plain" / "last.safetensors"),
        tmp_path / "large.safetensors",
    )
    save_checkpoint(large, replace(plain.metadata, width=192, height=128), plain.state)
    how, out = ["--pose", "recorded", "--checkpoint", str(large)], tmp_path / "metric"
    assert main(words(store, out, *how, "--learning-rate", "1e-9", "--decoder", "keep")) in COMPLETE
    start = json.loads((out / "history.jsonl").read_text().splitlines()[0])
    own, kept = start["own_size"], load_checkpoint(out / "best.safetensors").metadata
    assert own["factor"] > 0 and own["factor"] != start["factor"]
    expected = own["factor"] if kept.width == 192 else start["factor"]
    assert kept.scale == pytest.approx(expected)


@pytest.mark.slow
def test_auto_takes_recorded_poses_that_agree_and_no_others(store: Path, tmp_path: Path, capsys):
    assert poses_agree(FrameStore.open(store))
    assert main(words(store, tmp_path / "good")) in COMPLETE
    assert "motion from recorded poses" in capsys.readouterr().out
    for level in ("offset", "disagree", "unknown"):
        report(store, level)
        assert not poses_agree(FrameStore.open(store))
    try:
        assert main(words(store, tmp_path / "late")) in COMPLETE
        assert "recorded poses" not in capsys.readouterr().out
        assert not load_checkpoint(tmp_path / "late" / "last.safetensors").metadata.is_metric
        (store / REPORT).unlink()
        assert not poses_agree(FrameStore.open(store))
    finally:
        report(store, "agree")


@pytest.mark.slow
def test_two_processes_with_recorded_poses_learn_what_one_does(store: Path, tmp_path: Path):
    how = [
        "--pose",
        "recorded",
        "--freeze-batch-norm",
        "--tie-break",
        "0",
        "--learning-rate",
        "1e-4",
    ]
    program = tmp_path / "narrow_train.py"
    program.write_text(program_of("training.train"))
    assert main(words(store, tmp_path / "one", *how)) in COMPLETE
    # As torchrun starts them, which test_train.py uses; by itself it takes as long as one of them.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, str(program), *words(store, tmp_path / "two", *how)],
            cwd=REPOSITORY,
            env={**os.environ, **place, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
            | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        said = process.communicate(timeout=300)[1]
        assert process.returncode in COMPLETE, said
    one, two = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    # Adam turns tiny gradients into whole steps of the learning rate, 1e-4 here.
    assert_same(one, two, tolerance=1e-3)
    figures = [c.metadata.training["validation"] for c in (one, two)]
    assert figures[0]["scale"] == pytest.approx(figures[1]["scale"], rel=0.02)


def test_length_loss_is_relative_and_knows_no_direction() -> None:
    recorded = torch.eye(4).repeat(2, 2, 1, 1)
    recorded[:, :, 0, 3] = torch.tensor([[0.5, 1.5], [1.0, 1.0]])
    predicted = [torch.eye(4).repeat(2, 1, 1) for _ in range(2)]
    for source in range(2):
        predicted[source][:, 2, 3] = 0.8 * recorded[:, source, 0, 3]
    assert length_loss(predicted, recorded).item() == pytest.approx(0.2, rel=1e-5)
    still = [torch.eye(4).repeat(2, 1, 1).requires_grad_() for _ in range(2)]
    length_loss(still, recorded).backward()
    assert torch.isfinite(still[0].grad).all()


@pytest.mark.slow
def test_velocity_needs_a_network_and_poses(store: Path, tmp_path: Path, capsys) -> None:
    for pose in ("tracks", "recorded", "flow"):
        with pytest.raises(OptionError, match="--velocity-weight"):
            TrainOptions(pose=pose, velocity_weight=0.1)
    camera = camera_from_field_of_view(96, 64, 80)
    write_frame_store(tmp_path / "bare", np.zeros((8, 64, 96, 3), np.uint8), [camera])
    assert main(words(tmp_path / "bare", tmp_path / "run", "--velocity-weight", "0.1")) == 1
    assert "0 of" in (error := capsys.readouterr().err) and "--poses-topic" in error
