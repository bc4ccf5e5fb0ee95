# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monodepth2_ros import geometry
from monodepth2_ros.camera import PinholeCamera
from training.learning.augmentation import Draws, draw, jitter_colors, mirror_samples

CAMERA = PinholeCamera(40, 24, 30.0, 31.0, 17.0, 11.0)


def random_images(batch: int = 4, frames: int = 3) -> Tensor:
    return torch.rand(batch, frames, 3, 24, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seed", range(4))
def test_jitter_is_torchvisions(seed: int) -> None:
    from torchvision.transforms import functional as torchvision_functional  # takes seconds

    images = random_images()
    draws = draw(4, torch.Generator().manual_seed(seed), jitter_probability=0.8)
    changes = [
        (torchvision_functional.adjust_brightness, draws.brightness),
        (torchvision_functional.adjust_contrast, draws.contrast),
        (torchvision_functional.adjust_saturation, draws.saturation),
        (torchvision_functional.adjust_hue, draws.hue),
    ]
    jittered = jitter_colors(images, draws)
    for i in range(4):
        expected = images[i]
        if draws.jitter[i]:
            for change in draws.order:
                adjust, factors = changes[change]
                expected = adjust(expected, factors[i].item())
        # The hue of nearly grey pixels hangs on the last digit.
        torch.testing.assert_close(jittered[i], expected, rtol=0, atol=2e-4)


def test_frames_of_a_sample_are_changed_alike() -> None:
    images = random_images()[:, :1].expand(4, 3, 3, 24, 40)
    draws = draw(4, torch.Generator().manual_seed(0), jitter_probability=1.0)
    jittered = jitter_colors(images, draws)
    assert torch.equal(jittered[:, 0], jittered[:, 1])
    assert torch.equal(jittered[:, 0], jittered[:, 2])
    changed = (jittered - images).abs().amax(dim=(1, 2, 3, 4))
    assert (changed > 0.01).all()
    assert len(set(changed.tolist())) == 4  # every sample in its own way


def test_draws_follow_probability_and_seed() -> None:
    draws = draw(4000, torch.Generator().manual_seed(0))
    assert abs(draws.mirror.float().mean() - 0.5) < 0.05
    assert abs(draws.jitter.float().mean() - 0.5) < 0.05
    assert 0.8 <= draws.brightness.min() < 0.81
    assert 1.19 < draws.saturation.max() <= 1.2
    assert -0.1 <= draws.hue.min() < -0.099
    again = draw(4000, torch.Generator().manual_seed(0))
    assert torch.equal(draws.hue, again.hue)
    never = draw(50, torch.Generator(), mirror_probability=0.0, jitter_probability=0.0)
    assert not never.mirror.any()
    images = random_images()
    assert torch.equal(jitter_colors(images, never.rows(slice(0, 4))), images)


def test_rows_are_those_of_the_whole_batch() -> None:
    """A process that works on a part of the batch augments it as one process would."""
    images = random_images()
    draws = draw(4, torch.Generator().manual_seed(5), jitter_probability=0.7)
    whole = jitter_colors(images, draws)
    parts = [jitter_colors(images[i : i + 2], draws.rows(slice(i, i + 2))) for i in (0, 2)]
    torch.testing.assert_close(torch.cat(parts), whole)
    assert isinstance(draws.rows(slice(0, 1)), Draws)


def test_mirror_moves_the_principal_point() -> None:
    intrinsics = torch.tensor(CAMERA.matrix4, dtype=torch.float32).repeat(2, 1, 1)
    baselines = torch.tensor([0.2, 0.2])
    images = random_images(2)
    kept = images.clone()
    flipped, matrices, sides = mirror_samples(
        images, intrinsics, baselines, torch.tensor([True, False])
    )
    assert torch.equal(images, kept)
    assert torch.equal(flipped[0], images[0].flip(-1))
    assert torch.equal(flipped[1], images[1])
    expected = torch.tensor(CAMERA.mirrored().matrix4, dtype=torch.float32)
    torch.testing.assert_close(matrices[0], expected)
    torch.testing.assert_close(matrices[1], intrinsics[1])
    assert sides.tolist() == pytest.approx([-0.2, 0.2])


def test_a_mirrored_world_warps_into_the_mirror_image() -> None:
    """Warping commutes with mirroring: the principal point and the baseline's sign are right."""
    source = random_images(1, 1)
    intrinsics = torch.tensor(CAMERA.matrix4, dtype=torch.float32)[None]
    baselines = torch.tensor([0.3])
    depth = 2 + torch.rand(1, 1, 24, 40, generator=torch.Generator().manual_seed(2))

    def seen(image: Tensor, depth: Tensor, intrinsics: Tensor, x: Tensor) -> Tensor:
        transform = torch.eye(4)[None].clone()
        transform[:, 0, 3] = -x  # the partner at x sees points moved by −x
        return geometry.warp(image, depth, intrinsics, transform)

    direct = seen(source[:, 0], depth, intrinsics, baselines)
    mirrored = mirror_samples(source, intrinsics, baselines, torch.tensor([True]))
    through_mirror = seen(mirrored[0][:, 0], depth.flip(-1), mirrored[1], mirrored[2])
    torch.testing.assert_close(through_mirror.flip(-1), direct, rtol=0, atol=1e-4)
