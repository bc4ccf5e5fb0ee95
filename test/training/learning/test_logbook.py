# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run reports is what TensorBoard reads; pictures show what they say they show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from monodepth2_ros.camera import PinholeCamera
from training.frames.writer import write_frame_store
from training.learning import logbook
from training.learning.logbook import Logbook, Meter, training_picture
from training.learning.processes import Processes
from training.objective import ObjectiveOutput, ScaleImages
from training.train import NOTHING_LEARNED, main

ALONE = Processes(0, 1, torch.device("cpu"))


def events(folder: Path) -> EventAccumulator:
    """Read a folder as TensorBoard does."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(folder).Scalars(name)]


def noise_image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)


def test_curves_and_pictures_can_be_read_back(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    book.scalars(1, {"train/loss": 0.5, "train/learning_rate": 1e-4})
    book.scalars(20, {"train/loss": 0.25})
    pictures = {20: noise_image(10, 14), 40: noise_image(10, 14, seed=1)}
    for step, picture in pictures.items():
        book.picture(step, "validation", picture)
    book.close()
    assert set(events(tmp_path).Tags()["scalars"]) == {"train/loss", "train/learning_rate"}
    assert curve(tmp_path, "train/loss") == [(1, 0.5), (20, 0.25)]
    ((step, rate),) = curve(tmp_path, "train/learning_rate")
    assert step == 1
    assert rate == pytest.approx(1e-4)
    shown = events(tmp_path).Images("validation")
    assert [event.step for event in shown] == [20, 40]
    for event in shown:
        encoded = np.frombuffer(event.encoded_image_string, np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert pixels is not None
        assert np.array_equal(pixels[..., ::-1], pictures[event.step].numpy())


def test_pictures_are_there_before_the_run_ends(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for step in range(1, 4):
        book.scalars(step, {"train/loss": 0.5})
        book.picture(step, "validation", noise_image(4, 4))
        assert len(curve(tmp_path, "train/loss")) == step
        assert len(events(tmp_path).Images("validation")) == step
    book.close()


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    book = Logbook(None)
    book.scalars(1, {"train/loss": 0.5})
    book.picture(1, "validation", noise_image(4, 4))
    book.close()
    assert not list(tmp_path.iterdir())


def test_what_an_interrupted_run_wrote_beyond_its_save_is_hidden(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for step in range(1, 7):
        book.scalars(step, {"train/loss": float(step)})
        book.picture(step, "validation", noise_image(4, 4, seed=step))
    book.close()
    book = Logbook(tmp_path, first_step=4)
    book.scalars(4, {"train/loss": 40.0})
    book.scalars(5, {"train/loss": 50.0})
    book.close()
    assert curve(tmp_path, "train/loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0)]
    assert [event.step for event in events(tmp_path).Images("validation")] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
def test_a_resumed_run_continues_the_curves(tmp_path: Path) -> None:
    """Every step is there once: also the one after which the run was saved."""
    store, run = tmp_path / "store", tmp_path / "run"
    images = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    write_frame_store(store, images, [PinholeCamera(64, 64, 50.0, 50.0, 31.5, 31.5)])
    options: dict[str, Any] = {
        "data": store,
        "out": run,
        "init": "none",
        "pose": "posecnn",
        "batch_size": 1,
        "steps": 2,
        "log_every": 1,
        "device": "cpu",
        "validation_fraction": 0.25,
    }
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert main(words) in (0, NOTHING_LEARNED)
    # A step that was taken but not saved, as after a power failure.
    book = Logbook(run, first_step=3)
    book.scalars(3, {"train/loss": 99.0})
    book.close()
    before = curve(run, "train/loss")
    assert [step for step, _ in before] == [1, 2, 3]
    assert main(["--resume", str(run), "--steps", "4"]) in (0, NOTHING_LEARNED)
    after = curve(run, "train/loss")
    assert [step for step, _ in after] == [1, 2, 3, 4]
    assert after[:2] == before[:2]
    assert after[2][1] != 99.0
    assert [step for step, _ in curve(run, "validation/loss")] == [0, 2, 4]
    shown = events(run).Images("validation")
    assert [event.step for event in shown] == [0, 2, 4]
    # One held-out sample: target, disparity, two warped sources, error, auto-mask.
    assert (shown[0].height, shown[0].width) == (64, 6 * 64)


# --- Meter ---


def output(losses: list[float], moving: float) -> ObjectiveOutput:
    """Make an output of which `moving` of 100 pixels are won by a warped source."""
    mask = torch.zeros(2, 10, 10)
    mask.view(2, -1)[:, : round(100 * moving)] = 1
    scales = tuple(torch.tensor(loss, requires_grad=True) for loss in losses)
    return ObjectiveOutput(
        loss=torch.stack(scales).mean(),
        scale_losses=scales,
        automask=(mask, 1 - mask),
        photometric=(),
        smoothness=(),
    )


def test_a_meter_reads_means_and_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(logbook.time, "perf_counter", lambda: now[0])
    meter = Meter(batch=12)
    meter.add(output([1.0, 2.0], 0.25))
    meter.add(output([3.0, 6.0], 0.75))
    now[0] += 4.0
    speed, losses, moving, _ = meter.read(ALONE)
    assert speed == 12 * 2 / 4
    assert losses == [2.0, 4.0]
    assert moving == pytest.approx(0.5)
    meter.add(output([7.0, 8.0], 0.1))
    now[0] += 0.5
    speed, losses, moving, _ = meter.read(ALONE)
    assert (speed, losses) == (24.0, [7.0, 8.0])
    assert moving == pytest.approx(0.1)


def test_a_meter_averages_over_processes() -> None:
    """The other process, here one that lost 1 more everywhere, counts as much."""
    meter = Meter(batch=12)
    meter.add(output([1.0, 2.0], 0.0))
    two = SimpleNamespace(count=2, total=lambda values: values + (values + 1))
    _, losses, moving, _ = meter.read(cast(Processes, two))
    assert losses == [1.5, 2.5]
    assert moving == pytest.approx(0.5)


# --- training_picture ---

HEIGHT, WIDTH = 6, 8


def as_image(picture: Tensor) -> Tensor:
    """Bytes (H, W, 3) as the objective sees them."""
    return picture.permute(2, 0, 1) / 255


def test_a_training_picture_shows_each_part_in_its_column() -> None:
    batch, sources = 3, 2
    pixels = [
        [noise_image(HEIGHT, WIDTH, seed=10 * i + j) for j in range(1 + sources)]
        for i in range(batch)
    ]
    generator = torch.Generator().manual_seed(0)
    disparity = torch.rand(batch, 1, HEIGHT, WIDTH, generator=generator)
    error = torch.rand(batch, 1, HEIGHT, WIDTH, generator=generator)
    mask = (torch.rand(batch, HEIGHT, WIDTH, generator=generator) < 0.5).float()
    images = ScaleImages(
        tuple(
            torch.stack([as_image(pixels[i][1 + j]) for i in range(batch)]) for j in range(sources)
        ),
        error,
    )
    # What the coarser scales saw is not shown.
    coarse = ScaleImages((torch.zeros(batch, 3, 3, 4),) * sources, torch.zeros(batch, 1, 3, 4))
    target = torch.stack([as_image(pixels[i][0]) for i in range(batch)])
    one = torch.zeros(())
    result = ObjectiveOutput(
        one, (one,) * 2, (mask, torch.zeros_like(mask)), (one,) * 2, (one,) * 2, (images, coarse)
    )
    picture = training_picture(target, disparity, result, samples=2)
    assert picture.dtype == torch.uint8
    assert picture.shape == (2 * HEIGHT, (4 + sources) * WIDTH, 3)
    for i, row in enumerate(picture.split(HEIGHT)):
        columns = row.split(WIDTH, dim=1)
        assert torch.equal(columns[0], pixels[i][0])
        for j in range(sources):
            assert torch.equal(columns[2 + j], pixels[i][1 + j])
        levels = (255 * error[i, 0] / 0.4).clamp(0, 255).round().byte().numpy()
        painted = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
        assert np.array_equal(columns[4].numpy(), painted)
        assert torch.equal(columns[5], (255 * mask[i]).byte()[..., None].expand(-1, -1, 3))
        # Nearer is brighter.
        values = disparity[i, 0].flatten()
        light = columns[1].sum(dim=-1).flatten()
        assert (light[values.argsort()].diff() >= 0).all()
        assert light.max() > 600 and light.min() < 100
    assert training_picture(target, disparity, result).shape[0] == batch * HEIGHT


def test_values_outside_the_range_and_half_precision_can_be_shown() -> None:
    image = torch.tensor([-0.5, 0.5, 1.5])[:, None, None].expand(3, HEIGHT, WIDTH)[None]
    ones = torch.ones(1, 1, HEIGHT, WIDTH)
    result = ObjectiveOutput(
        torch.zeros(()), (), (ones[:, 0],), (), (), (ScaleImages((image.bfloat16(),), ones),)
    )
    disparity = (0.5 * ones).bfloat16().requires_grad_()
    picture = training_picture(image, disparity, result)
    assert picture.shape == (HEIGHT, 5 * WIDTH, 3)
    assert picture[0, 0].tolist() == [0, 128, 255]
    assert picture[0, 2 * WIDTH].tolist() == [0, 128, 255]
