# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks that learn together: motion in temporal order, masks, and what they start from."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from monodepth2_ros.networks import DepthDecoder, ResnetEncoder
from training.learning.depth_and_motion import (
    DepthAndMotion,
    PoseKind,
    Predictions,
    load_initial_trunk,
    reset_decoder,
    set_initial_depth,
)

KINDS: list[PoseKind] = ["separate", "shared", "posecnn"]
MIN_DEPTH, MAX_DEPTH = 0.5, 40.0


def image(seed: int) -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


OLD, MIDDLE, NEW = image(0), image(1), image(2)


@pytest.fixture(scope="module")
def models() -> dict[PoseKind, DepthAndMotion]:
    """Networks whose motions are large and depend on what they see."""
    made = {}
    for kind in KINDS:
        torch.manual_seed(0)
        model = DepthAndMotion(18, 18, kind, 0, MIN_DEPTH, MAX_DEPTH).eval()
        last = model.posecnn.pose_conv if kind == "posecnn" else model.pose.net[-1]
        weight = last.weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight *= 2000 if kind == "posecnn" else 300
        made[kind] = model
    return made


def predict(model: DepthAndMotion, *arguments: Any) -> Predictions:
    with torch.no_grad():
        return model(*arguments)


def inverse(transform: Tensor) -> np.ndarray:
    return np.linalg.inv(transform.double().numpy())


@pytest.mark.slow
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", ["separate", "shared"])
def test_the_way_back_is_the_inverse(
    models: dict[PoseKind, DepthAndMotion], kind: PoseKind, bfloat16: bool
) -> None:
    """From either frame the networks see the pair in temporal order: one motion, used both ways.

    Also where their convolutions are rounded: the motion is not.
    """
    model = models[kind]
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        forward = predict(model, MIDDLE, [NEW], [False]).transforms[0]
        back = predict(model, NEW, [MIDDLE], [True]).transforms[0]
    rotation = forward[:, :3, :3].double().numpy()
    angle = np.arccos((np.trace(rotation, axis1=1, axis2=2) - 1) / 2)
    assert angle.min() > 0.02 and forward[:, :3, 3].norm(dim=1).min() > 0.02  # there is a motion
    np.testing.assert_allclose(back, inverse(forward), rtol=0, atol=1e-5)
    # A rigid one.
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), [np.eye(3)] * 2, atol=1e-5)
    np.testing.assert_array_equal(forward[:, 3], [[0, 0, 0, 1]] * 2)


def test_motion_of_posecnn_follows_the_nearness_of_the_target(
    models: dict[PoseKind, DepthAndMotion],
) -> None:
    """Its translation is in units of the target's depth, and the way back has another target."""
    model = copy.deepcopy(models["posecnn"])
    with torch.no_grad():
        for scale in range(4):  # depths that differ, or all means are the same
            model.depth.state_dict()[f"decoder.{10 + scale}.conv.weight"].mul_(20)
    forth, back = (
        predict(model, MIDDLE, [NEW], [False]),
        predict(model, NEW, [MIDDLE], [True]),
    )
    there = forth.transforms[0].double().numpy()
    again = inverse(back.transforms[0])
    np.testing.assert_allclose(again[:, :3, :3], there[:, :3, :3], atol=1e-5)
    assert np.abs(there[:, :3, :3] - np.eye(3)).max() > 0.02
    nearness = [
        (1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * prediction.disparities[0].double())
        .mean(dim=(1, 2, 3))
        .numpy()
        for prediction in (forth, back)
    ]
    raw = [
        matrix[:, :3, 3] / near[:, None]
        for matrix, near in zip((there, again), nearness, strict=True)
    ]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-4)
    with torch.no_grad():
        _, translation = model.posecnn(torch.cat([MIDDLE, NEW], dim=1))
    np.testing.assert_allclose(raw[0], translation[:, 0, 0], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_neighbour_has_its_own_motion(
    models: dict[PoseKind, DepthAndMotion], kind: PoseKind
) -> None:
    model = models[kind]
    both = predict(model, MIDDLE, [OLD, NEW], [True, False])
    swapped = predict(model, MIDDLE, [NEW, OLD], [False, True])
    older = predict(model, MIDDLE, [OLD], [True]).transforms[0]
    newer = predict(model, MIDDLE, [NEW], [False]).transforms[0]
    for transforms in (both.transforms, swapped.transforms[::-1]):
        torch.testing.assert_close(transforms[0], older)
        torch.testing.assert_close(transforms[1], newer)
    assert (older - newer).abs().max() > 1e-3
    # What counts is the order in time, not in the list.
    other = predict(model, MIDDLE, [OLD], [False]).transforms[0]
    assert (older - other).abs().max() > 1e-3


def inputs_of(module: nn.Module, run: Callable[[], object]) -> list[Any]:
    """Return the first argument of each call of a module meanwhile."""
    seen: list[Any] = []
    handle = module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        run()
    finally:
        handle.remove()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_networks_see_the_older_frame_first(
    models: dict[PoseKind, DepthAndMotion], kind: PoseKind
) -> None:
    model = models[kind]
    watched = {"separate": "pose_encoder", "shared": "pose", "posecnn": "posecnn"}[kind]
    seen = inputs_of(
        model.networks()[watched],
        lambda: predict(model, MIDDLE, [OLD, NEW], [True, False]),
    )
    assert len(seen) == 2
    for given, pair in zip(seen, ([OLD, MIDDLE], [MIDDLE, NEW]), strict=True):
        if kind == "shared":
            with torch.no_grad():
                expected = [model.encoder(frame)[-1] for frame in pair]
            for pyramid, feature in zip(given, expected, strict=True):
                torch.testing.assert_close(pyramid[-1], feature)
        else:
            assert torch.equal(given, torch.cat(pair, dim=1))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_names(models: dict[PoseKind, DepthAndMotion], kind: PoseKind) -> None:
    model = models[kind]
    predictions = predict(model, MIDDLE, [OLD, NEW], [True, False])
    sizes = [tuple(disparity.shape) for disparity in predictions.disparities]
    assert sizes == [(2, 1, 64, 64), (2, 1, 32, 32), (2, 1, 16, 16), (2, 1, 8, 8)]
    for disparity in predictions.disparities:
        assert disparity.min() > 0 and disparity.max() < 1
    assert [tuple(transform.shape) for transform in predictions.transforms] == [(2, 4, 4)] * 2
    assert predictions.masks is None
    names = {
        "separate": {"encoder", "depth", "pose_encoder", "pose"},
        "shared": {"encoder", "depth", "pose"},
        "posecnn": {"encoder", "depth", "posecnn"},
    }[kind]
    assert set(model.networks()) == names


@pytest.mark.parametrize("kind", KINDS)
def test_at_constant_disparity_only_motion_is_predicted(
    models: dict[PoseKind, DepthAndMotion], kind: PoseKind
) -> None:
    model = models[kind]
    whole = predict(model, MIDDLE, [OLD], [True])
    constant = predict(model, MIDDLE, [OLD], [True], 0.3)
    for disparity, other in zip(constant.disparities, whole.disparities, strict=True):
        assert torch.equal(disparity, torch.full_like(other, 0.3))
    motion, expected = constant.transforms[0].double(), whole.transforms[0].double()
    if kind == "posecnn":  # its translation is in units of depth
        near = 1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * whole.disparities[0].double()
        factor = (1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * 0.3) / near.mean(dim=(1, 2, 3))
        expected[:, :3, 3] *= factor[:, None]
    torch.testing.assert_close(motion, expected, rtol=1e-4, atol=1e-6)


def test_without_a_motion_network_there_is_no_motion() -> None:
    model = DepthAndMotion(pose="none").eval()
    assert set(model.networks()) == {"encoder", "depth"}
    assert predict(model, MIDDLE, [], []).transforms == []
    with pytest.raises(ValueError, match="pose is 'none', which predicts no motion"):
        predict(model, MIDDLE, [NEW], [False])
    assert set(get_args(PoseKind)) == {*KINDS, "none"}


@pytest.mark.parametrize("sources", [1, 3])
def test_masks_have_a_channel_for_each_source(sources: int) -> None:
    torch.manual_seed(0)
    model = DepthAndMotion(pose="none", mask_sources=sources).eval()
    predictions = predict(model, MIDDLE, [], [])
    assert predictions.masks is not None
    sizes = [tuple(mask.shape) for mask in predictions.masks]
    assert sizes == [(2, sources, 64 >> scale, 64 >> scale) for scale in range(4)]
    for mask, disparity in zip(predictions.masks, predictions.disparities, strict=True):
        assert mask.min() > 0 and mask.max() < 1
        assert not torch.equal(mask[:, :1], disparity)
    # A network of its own on the depth network's features.
    assert set(model.networks()) == {"encoder", "depth", "mask"}
    assert predict(model, MIDDLE, [], [], 0.3).masks is None


def test_every_weight_but_the_classifiers_learns() -> None:
    for kind in KINDS:
        model = DepthAndMotion(pose=kind, mask_sources=2)
        frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
        classifiers = {name for name, _ in model.named_parameters() if ".fc." in name}
        assert frozen == classifiers
        assert len(frozen) == (4 if kind == "separate" else 2)


def test_depth_and_motion_of_the_chosen_depths() -> None:
    with torch.device("meta"):
        model = DepthAndMotion(34, 50)
    assert (model.encoder.num_layers, model.pose_encoder.num_layers) == (34, 50)
    assert (model.encoder.num_input_images, model.pose_encoder.num_input_images) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_in_float32_under_autocast(
    models: dict[PoseKind, DepthAndMotion], kind: PoseKind
) -> None:
    """Bfloat16 has 256 steps from one power of two to the next: far too few for a disparity."""
    model = models[kind]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = predict(model, MIDDLE, [NEW], [False])
    whole = predict(model, MIDDLE, [NEW], [False])
    for disparity, other in zip(half.disparities, whole.disparities, strict=True):
        assert disparity.dtype == torch.float32
        assert len(disparity.unique()) > 0.9 * disparity.numel()
        torch.testing.assert_close(disparity, other, rtol=0, atol=0.05)
    assert half.transforms[0].dtype == torch.float32
    if kind == "posecnn":
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            axis_angle, translation = model.posecnn(torch.cat([MIDDLE, NEW], dim=1))
        assert axis_angle.dtype == translation.dtype == torch.float32
        assert not torch.equal(axis_angle, axis_angle.bfloat16().float())
    assert not torch.equal(half.transforms[0], half.transforms[0].bfloat16().float())
    assert not torch.equal(half.disparities[0], whole.disparities[0])  # the rest was in bfloat16


# --- set_initial_depth ---


@pytest.mark.parametrize(
    ("depth", "low", "high"), [(1.0, 0.1, 100.0), (0.12, 0.1, 100.0), (80.0, 0.1, 100.0), (3, 2, 4)]
)
def test_the_initial_depth_is_that_of_every_scale(depth: float, low: float, high: float) -> None:
    decoder = DepthDecoder([64, 64, 128, 256, 512])
    set_initial_depth(decoder, depth, low, high)
    with torch.no_grad():
        for scale in range(4):  # leave the bias alone to speak
            decoder.state_dict()[f"decoder.{10 + scale}.conv.weight"].zero_()
        features = [
            torch.rand(1, channels, 32 >> level, 32 >> level)
            for level, channels in enumerate((64, 64, 128, 256, 512))
        ]
        disparities = decoder(features)
    for disparity in disparities:
        depths = 1 / (1 / high + (1 / low - 1 / high) * disparity.double())
        np.testing.assert_allclose(depths, depth, rtol=1e-4)


def test_a_decoder_that_is_reset_forgets_its_weights_and_keeps_the_depth() -> None:
    torch.manual_seed(1)
    model = DepthAndMotion(18, 18, "none", 0, MIN_DEPTH, MAX_DEPTH).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    reset_decoder(model, 1 / 7.0, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    after = {name: value.clone() for name, value in model.state_dict().items()}
    for name, value in after.items():
        is_kept = torch.equal(value, before[name])
        assert is_kept == (not name.startswith("depth.")), name
    with torch.no_grad():
        disparity = model(OLD, (), ()).disparities[0].double()
    low, high = MIN_DEPTH, MAX_DEPTH
    depths = 1 / (1 / high + (1 / low - 1 / high) * disparity)
    assert depths.median().item() == pytest.approx(7.0, rel=0.3)
    reset_decoder(model, 1 / 7.0, seed=3)
    assert all(torch.equal(value, after[name]) for name, value in model.state_dict().items())
    for inverse in (1e-6, 1e6):  # beyond the range
        reset_decoder(model, inverse, seed=3)


@pytest.mark.parametrize("depth", [0.1, 100.0, 0.05, 200.0, -1.0])
def test_an_initial_depth_outside_the_range_is_named(depth: float) -> None:
    decoder = DepthDecoder([64, 64, 128, 256, 512])
    with pytest.raises(ValueError) as caught:
        set_initial_depth(decoder, depth, 0.1, 100.0)
    assert f"the initial depth is {depth}" in str(caught.value)
    assert "between min_depth 0.1 and max_depth 100.0" in str(caught.value)


# --- load_initial_trunk ---


@pytest.fixture(scope="module")
def trunk() -> dict[str, Tensor]:
    """Weights of a ResNet as torchvision names them."""
    torch.manual_seed(5)
    from torchvision.models import resnet18  # its import takes seconds

    return dict(resnet18(weights=None).state_dict())


@pytest.fixture(scope="module")
def blank() -> DepthAndMotion:
    """Networks to load into."""
    torch.manual_seed(0)
    return DepthAndMotion(pose="separate")


def assert_has_trunk(model: DepthAndMotion, trunk: dict[str, Tensor]) -> None:
    for name, value in trunk.items():
        if name.startswith("fc."):
            continue
        first = name == "conv1.weight"
        assert torch.equal(model.encoder.encoder.state_dict()[name], value), name
        stacked = torch.cat([value / 2, value / 2], dim=1) if first else value
        assert torch.equal(model.pose_encoder.encoder.state_dict()[name], stacked), name


def write_pth(path: Path, state: object) -> str:
    torch.save(state, path)
    return str(path)


@pytest.mark.slow
def test_trunks_from_a_safetensors_file(
    trunk: dict[str, Tensor], blank: DepthAndMotion, tmp_path: Path
) -> None:
    path = tmp_path / "resnet.safetensors"
    half = {
        name: value.half() if value.is_floating_point() else value for name, value in trunk.items()
    }
    save_file(half, path)
    decoder = {name: value.clone() for name, value in blank.depth.state_dict().items()}
    load_initial_trunk(blank, str(path))
    rounded = {name: value.to(trunk[name].dtype) for name, value in half.items()}
    assert_has_trunk(blank, rounded)
    for name, value in blank.depth.state_dict().items():
        assert torch.equal(value, decoder[name]), name


@pytest.mark.slow
def test_trunks_from_a_pth_file(
    trunk: dict[str, Tensor],
    blank: DepthAndMotion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pth(tmp_path / "resnet.pth", trunk)
    monkeypatch.setenv("HOME", str(tmp_path))
    load_initial_trunk(blank, "~/resnet.pth")
    assert_has_trunk(blank, trunk)


def test_none_leaves_the_networks_as_they_are(blank: DepthAndMotion) -> None:
    before = {name: value.clone() for name, value in blank.state_dict().items()}
    load_initial_trunk(blank, "none")
    for name, value in blank.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_imagenet_weights_come_from_torchvision(
    trunk: dict[str, Tensor], blank: DepthAndMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(url: str, **_: Any) -> dict[str, Tensor]:
        asked.append(url)
        return trunk

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    load_initial_trunk(blank, "imagenet")
    assert_has_trunk(blank, trunk)
    assert asked and all("resnet18" in url for url in asked)


def test_a_failed_download_says_what_else_can_be_done(
    blank: DepthAndMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str, **_: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(ValueError) as caught:
        load_initial_trunk(blank, "imagenet")
    for part in ("--init imagenet", "resnet18", "no route to host", "--init FILE", "--init none"):
        assert part in str(caught.value)


def test_a_missing_file_is_named(blank: DepthAndMotion, tmp_path: Path) -> None:
    path = tmp_path / "absent.pth"
    with pytest.raises(FileNotFoundError) as caught:
        load_initial_trunk(blank, str(path))
    assert f"--init: {path} does not exist; give 'imagenet', 'none' or a file" in str(caught.value)


@pytest.mark.slow
def test_weights_of_another_resnet_are_named(trunk: dict[str, Tensor], tmp_path: Path) -> None:
    model = nn.Module()
    model.networks = lambda: {"encoder": ResnetEncoder(34)}  # type: ignore[assignment]
    with pytest.raises(ValueError, match="do not fit ResNet-34"):
        load_initial_trunk(model, write_pth(tmp_path / "r.pth", trunk))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth"])
def test_damaged_files_are_named(blank: DepthAndMotion, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError) as caught:
        load_initial_trunk(blank, str(path))
    assert f"--init: {path} holds no plain weights (" in str(caught.value)


@pytest.mark.parametrize("wrapped", [True, False])
def test_files_with_something_else_are_named(
    trunk: dict[str, Tensor], blank: DepthAndMotion, tmp_path: Path, wrapped: bool
) -> None:
    """Many published files wrap the weights into a dictionary."""
    content = {"epoch": 90, "state_dict": trunk} if wrapped else list(trunk.values())
    path = write_pth(tmp_path / "wrapped.pth", content)
    with pytest.raises(ValueError) as caught:
        load_initial_trunk(blank, path)
    assert f"--init: {path} is not a plain state dict; save the ResNet's alone" in str(caught.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_not_run(blank: DepthAndMotion, tmp_path: Path) -> None:
    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": Trap(tmp_path / "sprung")}, protocol=2))
    with pytest.raises(ValueError, match=r"trap\.pth holds no plain weights"):
        load_initial_trunk(blank, str(path))
    assert not (tmp_path / "sprung").exists()
