# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from monodepth2_ros import geometry
from paths import DATA
from training.losses import photometric_loss
from training.objective import ObjectiveOutput, SelfSupervisedObjective

SWITCHES: dict[str, dict[str, Any]] = {
    "full": {},
    "avg_reprojection": {"minimum_reprojection": False},
    "no_automask": {"automask": False},
    "v1_multiscale": {"full_resolution": False},
    "no_ssim": {"use_ssim": False},
    "baseline": {"minimum_reprojection": False, "automask": False, "full_resolution": False},
}


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(DATA / "golden.npz") as file:
        return {name: file[name] for name in file.files if name != "resnet18_encoder_keys"}


def golden_output(
    switch: str, dtype: torch.dtype, **options: Any
) -> tuple[ObjectiveOutput, dict[str, Tensor]]:
    """Evaluate the objective on the reference's inputs, with gradients by their names."""

    def tensor(name: str) -> Tensor:
        return torch.tensor(golden()[f"objective_{name}"], dtype=dtype)

    names = [f"disp{scale}" for scale in range(4)]
    names += [f"{kind}{frame}" for kind in ("axisangle", "translation") for frame in ("-1", "+1")]
    leaves = {name: tensor(name).requires_grad_() for name in names}
    output = SelfSupervisedObjective(tie_break=0.0, **SWITCHES[switch])(
        [leaves[f"disp{scale}"] for scale in range(4)],
        tensor("color0"),
        [tensor("color-1"), tensor("color+1")],
        torch.tensor(golden()["K"], dtype=dtype),
        [
            geometry.pose_matrix(leaves["axisangle-1"], leaves["translation-1"], invert=True),
            geometry.pose_matrix(leaves["axisangle+1"], leaves["translation+1"]),
        ],
        **options,
    )
    output.loss.backward()
    return output, {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


@pytest.mark.parametrize("switch", SWITCHES)
def test_golden_values_and_gradients(switch: str) -> None:
    output, gradients = golden_output(switch, torch.float64)
    assert output.loss.item() == pytest.approx(float(golden()[f"{switch}_loss"]), rel=1e-9)
    for scale, loss in enumerate(output.scale_losses):
        expected = float(golden()[f"{switch}_loss{scale}"])
        assert loss.item() == pytest.approx(expected, rel=1e-9)
    compared = 0
    for name, gradient in gradients.items():
        expected = golden().get(f"{switch}_grad_{name}")
        if expected is not None:
            scale = np.abs(expected).max()
            np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6, atol=1e-9 * scale)
            compared += 1
    assert compared >= 7


@pytest.mark.parametrize("switch", SWITCHES)
def test_golden_in_single_precision(switch: str) -> None:
    output, gradients = golden_output(switch, torch.float32)
    assert output.loss.item() == pytest.approx(float(golden()[f"{switch}_loss"]), rel=1e-4)
    for name, gradient in gradients.items():
        expected = golden().get(f"{switch}_grad_{name}")
        if expected is not None:
            # A pixel where two sources tie may take the other one.
            error = np.linalg.norm(gradient.numpy() - expected) / np.linalg.norm(expected)
            assert error < 1e-2, name


def test_golden_automask() -> None:
    output, _ = golden_output("full", torch.float64)
    with np.load(DATA / "golden_automask.npz") as file:
        for scale, mask in enumerate(output.automask):
            expected = np.unpackbits(file[f"scale{scale}"]).reshape(2, 64, 96)
            np.testing.assert_array_equal(mask, expected)
            assert 0.05 < expected.mean() < 0.95


def scene(batch: int = 2, height: int = 32, width: int = 64, sources: int = 2) -> dict[str, Any]:
    """Smooth random images, disparities and small motions."""
    generator = torch.Generator().manual_seed(0)

    def image() -> Tensor:
        coarse = torch.rand(batch, 3, height // 4, width // 4, generator=generator)
        return functional.interpolate(coarse, (height, width), mode="bilinear")

    def motion() -> Tensor:
        return geometry.pose_matrix(
            0.02 * torch.randn(batch, 1, 3, generator=generator),
            0.1 * torch.randn(batch, 1, 3, generator=generator),
        )

    intrinsics = torch.eye(4).repeat(batch, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = 0.6 * width
    intrinsics[:, 0, 2], intrinsics[:, 1, 2] = width / 2, height / 2
    return {
        "disparities": [
            0.1 + 0.2 * torch.rand(batch, 1, height >> s, width >> s, generator=generator)
            for s in range(4)
        ],
        "target": image(),
        "sources": [image() for _ in range(sources)],
        "intrinsics": intrinsics,
        "transforms": [motion() for _ in range(sources)],
    }


def test_images_are_those_of_the_geometry() -> None:
    """The warp that is computed piecewise here is the one of geometry.warp."""
    inputs = scene()
    output = SelfSupervisedObjective()(**inputs, keep_images=True)
    for scale, disparity in enumerate(inputs["disparities"]):
        full = functional.interpolate(disparity, (32, 64), mode="bilinear")
        depth = geometry.disparity_to_depth(full, 0.1, 100.0)
        for source, transform, warped in zip(
            inputs["sources"], inputs["transforms"], output.images[scale].warped, strict=True
        ):
            expected = geometry.warp(source, depth, inputs["intrinsics"], transform)
            torch.testing.assert_close(warped, expected, rtol=0, atol=1e-4)
    assert SelfSupervisedObjective()(**inputs).images == ()


def test_identity_motion_reproduces_the_sources() -> None:
    inputs = scene()
    inputs["transforms"] = [torch.eye(4).expand(2, 4, 4)] * 2
    output = SelfSupervisedObjective()(**inputs, keep_images=True)
    for source, warped in zip(inputs["sources"], output.images[3].warped, strict=True):
        torch.testing.assert_close(warped, source, rtol=0, atol=1e-5)


def test_a_standing_camera_is_masked() -> None:
    """Where all frames are equal no warp can win, and depth gets no gradient but smoothness."""
    inputs = scene()
    inputs["sources"] = [inputs["target"]] * 2
    inputs["disparities"][0].requires_grad_()
    output = SelfSupervisedObjective(smoothness_weight=0.0)(**inputs)
    for mask in output.automask:
        assert mask.mean() < 0.01
    output.loss.backward()
    gradient = inputs["disparities"][0].grad
    assert (gradient == 0).float().mean() > 0.99


def test_minimum_takes_the_visible_source() -> None:
    """A source that shows something else everywhere does not change the loss."""
    inputs = scene(sources=1)
    objective = SelfSupervisedObjective(automask=False, smoothness_weight=0.0)
    alone = objective(**inputs).loss
    inputs["sources"] += [1 - inputs["target"]]
    inputs["transforms"] += [torch.eye(4).expand(2, 4, 4)]
    error = photometric_loss(inputs["sources"][1], inputs["target"])
    assert objective(**inputs).loss <= alone
    mean = replace(objective, minimum_reprojection=False)(**inputs)
    torch.testing.assert_close(mean.loss, 0.5 * (alone + error.mean()))


def test_tie_break_noise_is_reproducible() -> None:
    inputs = scene()
    objective = SelfSupervisedObjective(tie_break=0.1)
    first, second, other = (
        objective(**inputs, generator=torch.Generator().manual_seed(seed)).loss.item()
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_masks_replace_the_automask() -> None:
    inputs = scene()
    open_masks = [torch.ones(2, 2, 32 >> s, 64 >> s) for s in range(4)]
    objective = SelfSupervisedObjective()
    unmasked = SelfSupervisedObjective(automask=False)(**inputs)
    masked = objective(**inputs, masks=open_masks)
    torch.testing.assert_close(masked.loss, unmasked.loss)
    half = objective(**inputs, masks=[0.5 * mask for mask in open_masks])
    for loss, data, smooth in zip(
        half.scale_losses, unmasked.photometric, unmasked.smoothness, strict=True
    ):
        expected = 0.5 * data + smooth + 0.2 * np.log(2)
        torch.testing.assert_close(loss.detach(), expected)


def test_three_sources_and_large_batches() -> None:
    """The value of a batch is the mean over its samples, for any number of sources."""
    inputs = scene(batch=3, sources=3)
    objective = SelfSupervisedObjective(tie_break=0.0)
    losses = []
    for i in range(3):
        part = slice(i, i + 1)
        losses.append(
            objective(
                [disparity[part] for disparity in inputs["disparities"]],
                inputs["target"][part],
                [source[part] for source in inputs["sources"]],
                inputs["intrinsics"][part],
                [transform[part] for transform in inputs["transforms"]],
            ).loss
        )
    torch.testing.assert_close(objective(**inputs).loss, torch.stack(losses).mean())


def test_full_precision_under_autocast() -> None:
    inputs = scene()
    objective = SelfSupervisedObjective(tie_break=0.0)
    expected = objective(**inputs).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective(**inputs).loss
    assert loss.dtype == torch.float32
    assert loss.item() == expected.item()


def test_names_a_missing_transform() -> None:
    inputs = scene()
    inputs["transforms"].pop()
    with pytest.raises(ValueError, match="2 sources and 1 transforms"):
        SelfSupervisedObjective()(**inputs)
