# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From batches to the objective: stereo geometry above all, and what training starts from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.command_line import option_words
from training.frames.writer import write_frame_store
from training.learning import learner as module
from training.learning.augmentation import Draws, draw
from training.learning.dataset import Batch
from training.learning.depth_and_motion import DepthAndMotion, Predictions
from training.learning.learner import (
    Learner,
    TrainingViews,
    build_learner,
    load_initial_weights,
    prepare,
    stereo_transform,
)
from training.learning.options import OptionError, TrainOptions
from training.learning.recipe import apply_recipe
from training.objective import SelfSupervisedObjective
from training.train import NOTHING_LEARNED, main

CPU = torch.device("cpu")
SIZE = 64
CAMERA = PinholeCamera(SIZE, SIZE, 50.0, 52.0, 28.0, 33.0)
MIN_DEPTH, MAX_DEPTH = 0.1, 100.0


def rectified_pair(shift: int, seed: int = 0, smooth: int = 1) -> tuple[Tensor, Tensor]:
    """Photograph a textured plane with two cameras side by side, (SIZE, SIZE, 3) uint8.

    What the left camera sees at x the right one sees at x − shift, for shift = fx · b / Z.
    """
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(1, 3, SIZE, SIZE + abs(shift) + smooth - 1, generator=generator)
    wide = functional.avg_pool2d(wide, (1, smooth), stride=1)
    wide = (wide - wide.min()) / (wide.max() - wide.min())
    pixels = (255 * wide[0]).byte().permute(1, 2, 0)
    left, right = pixels[:, :SIZE], pixels[:, -SIZE:]
    return (left, right) if shift >= 0 else (right, left)


def sigmoid_disparity(depth: float) -> float:
    return (1 / depth - 1 / MAX_DEPTH) / (1 / MIN_DEPTH - 1 / MAX_DEPTH)


class Wall(nn.Module):
    """Predicts a wall across the view of each sample, and motions that are given."""

    def __init__(self, depths: Sequence[float], transforms: Sequence[Tensor] = ()) -> None:
        super().__init__()
        disparity = torch.tensor([sigmoid_disparity(depth) for depth in depths])
        self.logit = nn.Parameter(torch.logit(disparity.double()).float())
        self.transforms = transforms
        self.seen: list[tuple[Any, ...]] = []
        self.ran_in_bfloat16 = False

    def forward(self, target: Tensor, neighbours: Any, precedes: Any, constant: Any) -> Predictions:
        self.seen.append((target, neighbours, precedes, constant))
        self.ran_in_bfloat16 = torch.is_autocast_enabled("cpu")
        disparity = torch.sigmoid(self.logit)[:, None, None, None]
        sizes = [(SIZE >> scale, SIZE >> scale) for scale in range(4)]
        return Predictions(
            [disparity.expand(-1, 1, *size) for size in sizes], list(self.transforms), None
        )


# The objective without what is no comparison of images.
PLAIN = SelfSupervisedObjective(automask=False, smoothness_weight=0.0)

# Disparity in pixels; negative ones are right cameras, whose partner is at their left. With
# fx = 50 the depths are 50 · baseline / shift.
SHIFTS = [5, -3]
BASELINES = [0.3, -0.24]
DEPTHS = [3.0, 4.0]


def stereo_batch() -> Batch:
    pairs = [rectified_pair(shift, seed) for seed, shift in enumerate(SHIFTS)]
    return Batch(
        torch.stack([torch.stack(pair) for pair in pairs]),
        torch.from_numpy(CAMERA.matrix4.astype(np.float32)).repeat(2, 1, 1),
        torch.tensor(BASELINES),
    )


def everything_mirrored(batch: int) -> Draws:
    return draw(batch, torch.Generator(), mirror_probability=1.0, jitter_probability=0.0)


def seen_by_both(shift: int) -> slice:
    """Columns whose partner is in the picture, and those of their neighbourhood."""
    return slice(shift + 1, SIZE) if shift > 0 else slice(0, SIZE + shift - 1)


# --- stereo ---


def test_stereo_moves_points_against_the_baseline() -> None:
    transform = stereo_transform(torch.tensor([0.3, -0.24]))
    point = torch.tensor([1.0, 2.0, 3.0, 1.0])
    expected = [[0.7, 2.0, 3.0, 1.0], [1.24, 2.0, 3.0, 1.0]]
    torch.testing.assert_close(transform @ point, torch.tensor(expected))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_partner_reproduces_the_target_without_error(is_mirrored: bool) -> None:
    views = prepare(stereo_batch(), everything_mirrored(2) if is_mirrored else None)
    learner = Learner(Wall(DEPTHS), PLAIN, (), stereo=True)
    _, output = learner.evaluate(views, keep_images=True)
    assert len(output.images) == 4
    for images in output.images:
        (warped,) = images.warped
        for i, shift in enumerate(SHIFTS):
            columns = seen_by_both(-shift if is_mirrored else shift)
            target = views.images[i, 0, :, :, columns]
            torch.testing.assert_close(warped[i, :, :, columns], target, rtol=0, atol=1e-3)
            assert images.error[i, :, :, columns].max() < 1e-3


@pytest.mark.parametrize("fault", ["sign", "baseline", "order"])
def test_wrong_stereo_geometry_does_not(fault: str) -> None:
    """The test above can fail: for a wrong sign, another baseline, exchanged samples."""
    batch = stereo_batch()
    factor = {"sign": -1.0, "baseline": 1.5, "order": 1.0}[fault]
    baselines = factor * (batch.baselines.flip(0) if fault == "order" else batch.baselines)
    learner = Learner(Wall(DEPTHS), PLAIN, (), stereo=True)
    _, output = learner.evaluate(prepare(replace(batch, baselines=baselines)), keep_images=True)
    for i, shift in enumerate(SHIFTS):
        assert output.images[0].error[i, :, :, seen_by_both(shift)].mean() > 0.2


def test_the_partner_is_the_last_source() -> None:
    """Beside neighbours that fit nowhere, the minimum over the sources is the partner's error."""
    batch = stereo_batch()
    generator = torch.Generator().manual_seed(9)
    noise = torch.randint(0, 256, (2, 2, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    images = torch.cat([batch.images[:, :1], noise, batch.images[:, 1:]], dim=1)
    model = Wall(DEPTHS, [torch.eye(4).repeat(2, 1, 1)] * 2)
    learner = Learner(model, PLAIN, (True, False), stereo=True)
    _, output = learner.evaluate(prepare(replace(batch, images=images)), keep_images=True)
    assert len(output.images[0].warped) == 3
    ((_, neighbours, _, _),) = model.seen
    assert len(neighbours) == 2  # motion to the partner is known and not predicted
    for i, shift in enumerate(SHIFTS):
        assert output.images[0].error[i, :, :, seen_by_both(shift)].max() < 1e-3


@pytest.mark.slow
def test_depth_learned_from_stereo_is_in_metres() -> None:
    """Started a quarter off, the wall goes to where the baseline says it is."""
    left, right = rectified_pair(6, smooth=9)
    batch = Batch(
        torch.stack([left, right])[None],
        torch.from_numpy(CAMERA.matrix4.astype(np.float32))[None],
        torch.tensor([0.3]),
    )
    wall = Wall([0.75 * 2.5])  # 50 · 0.3 / 6 = 2.5 m
    learner = Learner(wall, SelfSupervisedObjective(), (), stereo=True)
    views = prepare(batch)
    optimizer = torch.optim.Adam(wall.parameters(), lr=0.05)
    for _ in range(40):
        _, output = learner.evaluate(views, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    near = 1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * torch.sigmoid(wall.logit).item()
    assert 1 / near == pytest.approx(2.5, rel=0.02)


# --- prepare and evaluate ---


def test_without_draws_nothing_is_changed() -> None:
    batch = stereo_batch()
    views = prepare(batch)
    expected = batch.images.double().permute(0, 1, 4, 2, 3) / 255
    torch.testing.assert_close(views.images.double(), expected, rtol=0, atol=1e-7)
    assert torch.equal(views.inputs, views.images)
    assert torch.equal(views.intrinsics, batch.intrinsics)
    assert torch.equal(views.baselines, batch.baselines)


def test_only_what_the_networks_see_changes_its_colours() -> None:
    batch = stereo_batch()
    draws = draw(
        2, torch.Generator().manual_seed(0), mirror_probability=0.0, jitter_probability=1.0
    )
    views = prepare(batch, draws)
    assert torch.equal(views.images, prepare(batch).images)
    assert ((views.inputs - views.images).abs().amax(dim=(1, 2, 3, 4)) > 0.05).all()


def three_views() -> TrainingViews:
    """Make views of which inputs and images can be told apart."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 3, SIZE, SIZE, generator=generator)
    intrinsics = torch.from_numpy(CAMERA.matrix4.astype(np.float32)).repeat(2, 1, 1)
    return TrainingViews(images, 1 - images, intrinsics, torch.zeros(2))


@pytest.mark.parametrize("channels_last", [False, True])
def test_networks_get_the_inputs_and_the_objective_the_images(channels_last: bool) -> None:
    views = three_views()
    still = torch.eye(4).repeat(2, 1, 1)
    model = Wall([3.0, 3.0], [still, still])
    learner = Learner(model, PLAIN, (True, False), channels_last=channels_last, constant=0.25)
    _, output = learner.evaluate(views, keep_images=True)
    ((target, neighbours, precedes, constant),) = model.seen
    assert precedes == (True, False)
    assert constant == 0.25
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for given, expected in zip((target, *neighbours), views.inputs.unbind(1), strict=True):
        assert torch.equal(given, expected)
        assert given.is_contiguous(memory_format=layout)
    # Without motion the sources come out as they were: as images, not as inputs.
    for warped, source in zip(output.images[0].warped, views.images.unbind(1)[1:], strict=True):
        torch.testing.assert_close(warped, source, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_only_the_networks_run_in_bfloat16(bfloat16: bool) -> None:
    model = Wall([3.0, 3.0], [torch.eye(4).repeat(2, 1, 1)] * 2)
    _, output = Learner(model, PLAIN, (True, False), bfloat16=bfloat16).evaluate(three_views())
    assert model.ran_in_bfloat16 == bfloat16
    assert output.loss.dtype == torch.float32


# --- build_learner ---


@pytest.mark.parametrize(
    ("stereo", "sources", "networks", "masks"),
    [
        ("none", (-1, 1), {"encoder", "depth", "posecnn", "mask"}, 2),
        ("none", (2, -3, -1), {"encoder", "depth", "posecnn", "mask"}, 3),
        ("add", (-1, 1), {"encoder", "depth", "posecnn", "mask"}, 3),
        ("only", (-1, 1), {"encoder", "depth", "mask"}, 1),
    ],
)
def test_networks_for_each_kind_of_source(
    stereo: Any, sources: tuple[int, ...], networks: set[str], masks: int
) -> None:
    options = TrainOptions(
        stereo=stereo, sources=sources, pose="posecnn", predictive_mask=True, device="cpu"
    )
    model, learner = build_learner(options, CPU)
    assert set(model.networks()) == networks
    assert model.mask.decoder[10].conv.out_channels == masks  # type: ignore[union-attr]
    expected = () if stereo == "only" else tuple(offset < 0 for offset in sources)
    assert learner.precedes == expected
    assert learner.stereo == (stereo != "none")
    assert learner.model is model


def test_options_reach_the_networks_and_the_objective() -> None:
    options = TrainOptions(
        pose="posecnn",
        min_depth=0.2,
        max_depth=30.0,
        minimum_reprojection=False,
        automask=False,
        full_resolution=False,
        use_ssim=False,
        smoothness_weight=0.03,
        tie_break=0.02,
        precision="bf16",
        channels_last="yes",
    )
    model, learner = build_learner(options, CPU)
    assert learner.objective == SelfSupervisedObjective(
        0.2, 30.0, False, False, False, False, 0.03, 0.02
    )
    assert model.depth_range == (0.2, 30.0)
    assert not hasattr(model, "mask")
    assert learner.bfloat16 and learner.channels_last
    weight = model.state_dict()["encoder.encoder.layer1.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    plain = build_learner(TrainOptions(pose="posecnn"), CPU)[1]
    assert plain.objective == SelfSupervisedObjective()
    assert not plain.bfloat16  # what auto means on a CPU


@pytest.mark.parametrize(
    ("option", "capability", "expected"),
    [
        ("auto", "AVX2", False),
        ("auto", "DEFAULT", False),
        ("auto", "AVX512", True),
        ("no", "AVX512", False),
        ("yes", "AVX2", True),
    ],
)
def test_the_processor_decides_the_layout(
    option: Any, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    model, learner = build_learner(TrainOptions(pose="posecnn", channels_last=option), CPU)
    assert learner.channels_last == expected
    weight = model.state_dict()["encoder.encoder.layer1.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) == expected


@pytest.mark.slow
def test_a_predicted_mask_learns_in_place_of_the_automask() -> None:
    torch.manual_seed(0)
    options = TrainOptions(pose="posecnn", predictive_mask=True)
    model, learner = build_learner(options, CPU)
    predictions, output = learner.evaluate(three_views())
    assert predictions.masks is not None
    for mask in output.automask:
        assert torch.equal(mask, torch.ones_like(mask))
    output.loss.backward()
    for name in ("encoder", "depth", "posecnn", "mask"):
        gradients = [value.grad for value in model.networks()[name].parameters()]
        assert any(gradient is not None and gradient.any() for gradient in gradients), name


# --- load_initial_weights ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with motion networks, in half precision and without classifiers."""
    torch.manual_seed(1)
    model = DepthAndMotion(pose="separate")
    networks = {
        name: {key: value for key, value in network.state_dict().items() if ".fc." not in key}
        for name, network in model.networks().items()
    }
    path = tmp_path_factory.mktemp("trained") / "trained.safetensors"
    save_checkpoint(path, CheckpointMetadata(18, 64, 64, 0.1, 100.0), networks, torch.float16)
    return path


def started(**given: Any) -> tuple[DepthAndMotion, list[str]]:
    """Make networks and give them the weights that training starts from."""
    torch.manual_seed(0)
    options = apply_recipe(TrainOptions(**{"init": "none", **given}), 100)
    model, _ = build_learner(options, CPU)
    return model, load_initial_weights(model, options)


def assert_is(model: DepthAndMotion, path: Path, names: set[str]) -> None:
    state = load_checkpoint(path).state
    networks = model.networks()
    for name in names:
        own = networks[name].state_dict()
        for key, value in state[name].items():
            assert torch.equal(own[key], value.to(own[key].dtype)), f"{name}.{key}"


@pytest.mark.slow
def test_a_checkpoint_gives_all_its_weights(trained: Path) -> None:
    model, missing = started(checkpoint=str(trained), initial_depth=2.0)
    assert missing == []
    assert_is(model, trained, {"encoder", "depth", "pose_encoder", "pose"})


def test_the_shipped_model_can_be_started_from() -> None:
    model, missing = started(checkpoint="default", pose="flow")
    assert missing == []
    shipped = open_checkpoint("default").state["encoder"]["encoder.layer4.1.conv2.weight"]
    assert torch.equal(model.encoder.encoder.layer4[1].conv2.weight, shipped.float())


def test_networks_that_a_checkpoint_lacks_are_told(trained: Path) -> None:
    model, missing = started(checkpoint=str(trained), pose="posecnn", predictive_mask=True)
    assert set(missing) == {"posecnn", "mask"}
    assert_is(model, trained, {"encoder", "depth"})


@pytest.mark.slow
def test_missing_motion_starts_from_the_trunk(trained: Path, tmp_path: Path) -> None:
    """A depth-only checkpoint keeps its encoder; the motion encoder gets the ResNet's weights."""
    loaded = load_checkpoint(trained)
    depth_only = tmp_path / "depth.safetensors"
    save_checkpoint(
        depth_only, loaded.metadata, {name: loaded.state[name] for name in ("encoder", "depth")}
    )
    trunk = {
        key.removeprefix("encoder."): 2 * value.float()
        for key, value in loaded.state["encoder"].items()
    }
    torch.save(trunk, tmp_path / "trunk.pth")
    model, missing = started(checkpoint=str(depth_only), init=str(tmp_path / "trunk.pth"))
    assert set(missing) == {"pose_encoder", "pose"}
    assert_is(model, trained, {"encoder", "depth"})
    first = model.pose_encoder.state_dict()["encoder.conv1.weight"]
    torch.testing.assert_close(first, torch.cat([trunk["conv1.weight"] / 2] * 2, dim=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_layers": 34}, "has num_layers 18, the options have 34; give --num-layers 18"),
        ({"min_depth": 0.2}, "has min_depth 0.1, the options have 0.2; give --min-depth 0.1"),
        ({"max_depth": 80.0}, "has max_depth 100.0, the options have 80.0; give --max-depth 100.0"),
        ({"pose": "shared"}, "its network 'pose' does not fit the options"),
        ({"pose_layers": 34}, "its network 'pose_encoder' does not fit the options"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    trained: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        started(checkpoint=str(trained), **given)
    assert f"--checkpoint {trained}" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.slow
def test_random_weights_start_from_about_the_initial_depth() -> None:
    """The heads' random weights spread it a little, and zero leaves it to them."""

    def median_depth(initial: float) -> float:
        model, missing = started(pose="posecnn", initial_depth=initial)
        assert missing == []
        with torch.no_grad():
            disparity = model.eval()(torch.rand(1, 3, SIZE, SIZE), [], []).disparities[0]
        return float(1 / (0.01 + 9.99 * disparity.double()).median())

    for initial in (0.5, 3.0, 30.0):
        assert median_depth(initial) == pytest.approx(initial, rel=0.25)
    assert median_depth(0.0) == pytest.approx(1 / (0.01 + 9.99 / 2), rel=0.25)


# --- whole runs ---

DISTANCE = 4.0
FRAMES = 8


@pytest.fixture(scope="module")
def stereo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs before a wall 4 m away: left frames 0 to 7, right ones 8 to 15."""
    pairs = [rectified_pair(5, seed, smooth=3) for seed in range(FRAMES)]
    images = [left for left, _ in pairs] + [right for _, right in pairs]
    side = np.arange(2).repeat(FRAMES)
    path = tmp_path_factory.mktemp("stereo") / "store"
    baseline = 5 * DISTANCE / CAMERA.fx
    write_frame_store(
        path,
        torch.stack(images).numpy(),
        [CAMERA, CAMERA],
        stamps=np.tile(np.arange(FRAMES) * 100_000_000, 2),
        camera_index=side,
        segment=side,
        partner=np.roll(np.arange(2 * FRAMES), FRAMES),
        truth=np.full((2 * FRAMES, SIZE, SIZE), DISTANCE),
        baselines=[baseline, -baseline],
    )
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize(
    ("stereo", "held_out"),
    # 16 samples with stereo alone, else 12: a quarter, at equal stamps one more.
    [("only", [6, 7, 14, 15]), ("add", [5, 6, 13, 14]), ("none", [5, 6, 13, 14])],
)
def test_a_run_with_stereo_is_metric(
    stereo_store: Path, tmp_path: Path, stereo: Literal["none", "add", "only"], held_out: list[int]
) -> None:
    run = tmp_path / "run"
    options: dict[str, Any] = {
        "data": stereo_store,
        "out": run,
        "stereo": stereo,
        "init": "none",
        "pose": "posecnn",
        "batch_size": 2,
        "steps": 2,
        "validation_fraction": 0.25,
        "device": "cpu",
        "tensorboard": False,
    }
    words = [word for name, value in options.items() for word in option_words(name, value)]
    assert main(words) in (0, NOTHING_LEARNED)
    checkpoint = load_checkpoint(run / "last.safetensors")
    assert checkpoint.metadata.is_metric == (stereo != "none")
    assert checkpoint.metadata.training["options"]["stereo"] == stereo
    assert yaml.safe_load((run / "options.yaml").read_text())["stereo"] == stereo
    networks = {"encoder", "depth"} if stereo == "only" else {"encoder", "depth", "posecnn"}
    assert set(checkpoint.state) == networks

    # The figures are those of the saved model: metric depth counts as it is, other depth after
    # scaling by the medians.
    _, line = (run / "history.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["step"] == 2
    assert math.isfinite(entry["loss"])
    pixels = np.fromfile(stereo_store / "images.u8", np.uint8).reshape(-1, SIZE, SIZE, 3)
    inputs = torch.from_numpy(pixels[held_out]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        disparity = checkpoint.depth_network()(inputs)
    errors = []
    for depth in 1 / (0.01 + 9.99 * disparity[:, 0].double().numpy()):
        scale = DISTANCE / np.median(depth) if stereo == "none" else 1.0
        errors.append(np.abs(scale * depth - DISTANCE).mean() / DISTANCE)
    assert entry["abs_rel"] == pytest.approx(np.mean(errors), rel=1e-3)
    if stereo != "none":
        assert np.mean(errors) > 0.3  # untrained: scaling would have made a difference


# --- speed ---


def test_auto_takes_bfloat16_on_gpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older ones emulate it, and torch says of those, too, that they support it."""
    for is_native in (False, True):

        def support(including_emulation: bool = True, native: bool = is_native) -> bool:
            return including_emulation or native

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", support)
        assert module._has_fast_bfloat16(on_gpu=True) == is_native


@pytest.mark.slow
def test_only_whole_batches_are_judged_by_what_was_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each other number of samples would be compiled for minutes."""
    modes = []

    def compiled_evaluation(mode: str | None) -> Any:
        modes.append(mode)
        return SelfSupervisedObjective._evaluate

    monkeypatch.setattr("training.objective._compiled_evaluation", compiled_evaluation)
    learner = Learner(Wall(DEPTHS), replace(PLAIN, compiled=True), (), stereo=True)
    views = prepare(stereo_batch())
    _, whole = learner.evaluate(views)
    assert modes == [None]
    _, one = learner.evaluate(replace(views, self_supervised=1))
    assert modes == [None]
    _, alone = replace(learner, objective=PLAIN).evaluate(replace(views, self_supervised=1))
    assert one.loss == alone.loss and one.loss != whole.loss
