# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clouds: packing, and the edge filter on scenes whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.point_cloud import depth_edges, pack_points

CAMERA = PinholeCamera(160, 96, 120.0, 120.0, 79.5, 30.0)


def test_colours_are_packed_bit_by_bit():
    image = torch.randint(0, 256, (96, 160, 3), dtype=torch.uint8)
    points = pack_points(torch.ones(96, 160), image, CAMERA)
    packed = points.numpy().view(np.uint32)[..., 3]
    rgb = image.numpy().astype(np.uint32)
    np.testing.assert_array_equal(packed, rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])


def test_no_depth_is_no_point():
    depth = torch.ones(96, 160)
    depth[10, 20] = torch.nan
    points = pack_points(depth, torch.zeros(96, 160, 3, dtype=torch.uint8), CAMERA)
    assert torch.isnan(points[10, 20, :3]).all()
    assert torch.isfinite(points[..., :3]).all(dim=-1).sum() == 96 * 160 - 1


def test_camera_of_another_size_is_refused():
    with pytest.raises(ValueError, match="160x96 image, the depth is 80x96"):
        pack_points(torch.ones(96, 80), torch.zeros(96, 80, 3, dtype=torch.uint8), CAMERA)


def ground_and_box(blur: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Disparity of a floor 1 m below with a box 2 m away, its outline blurred as networks do."""
    y, _ = torch.meshgrid(torch.arange(96.0), torch.arange(160.0), indexing="ij")
    floor = ((y - CAMERA.cy) / CAMERA.fy).clamp(min=1.0 / 80.0)
    box = torch.zeros(96, 160, dtype=torch.bool)
    box[10:60, 50:110] = True
    scene = torch.where(box, 0.5, floor)
    kernel = torch.ones(1, 1, 1, 2 * blur + 1) / (2 * blur + 1)
    padded = torch.nn.functional.pad(scene[None], (blur, blur), mode="replicate")
    return torch.nn.functional.conv2d(padded[None], kernel)[0, 0], floor


def test_edge_filter_drops_the_trail_and_keeps_floor_and_box():
    disparity, floor = ground_and_box(blur=2)
    edges = depth_edges(disparity, 0.1)
    # A trail is what is neither at the box nor on the floor.
    between = (disparity - 0.5).abs() > 0.02
    between &= ((disparity - floor) / floor).abs() > 0.05
    assert between.sum() > 100
    assert edges[between].float().mean() > 0.99
    # The floor is kept up to a few pixels under the horizon, though its depth changes by 10 %
    # and more from row to row there.
    assert not edges[CAMERA.height // 2 : 90, :40].any()
    assert not edges[36:90, 4:40].any()
    assert not edges[16:50, 60:100].any()


def test_edge_filter_keeps_every_plane():
    v, u = torch.meshgrid(torch.arange(96.0), torch.arange(160.0), indexing="ij")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        a, b = (torch.rand(2, generator=generator) - 0.5) * 0.01
        plane = 1.2 + a * (u - 80) + b * (v - 48)
        assert not depth_edges(plane, 0.01).any()


def test_edge_filter_grows_with_its_threshold():
    disparity, _ = ground_and_box(blur=2)
    counts = [int(depth_edges(disparity, t).sum()) for t in (0.02, 0.1, 0.5)]
    assert counts[0] >= counts[1] > counts[2]
