# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""View geometry against the published numbers, SciPy-free closed forms and identities."""

from __future__ import annotations

import math

import pytest
import torch

from monodepth2_ros import geometry

TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}


def intrinsics(width: int, height: int, focal: float) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 0] = matrix[1, 1] = focal
    matrix[0, 2], matrix[1, 2] = (width - 1) / 2, (height - 1) / 2
    return matrix[None]


def test_disparity_to_depth(golden):
    depth = geometry.disparity_to_depth(golden["sigmoid_disp"], 0.1, 100.0)
    torch.testing.assert_close(depth, golden["depth_from_disp"], **TOLERANCE)
    ends = geometry.disparity_to_depth(torch.tensor([1.0, 0.0], dtype=torch.float64), 0.5, 80.0)
    torch.testing.assert_close(ends, torch.tensor([0.5, 80.0], dtype=torch.float64))


@pytest.mark.parametrize(("invert", "key"), [(False, "transform"), (True, "transform_inverted")])
def test_pose_matrix_parity(invert, key, golden):
    matrix = geometry.pose_matrix(golden["axisangle"], golden["translation"], invert=invert)
    torch.testing.assert_close(matrix, golden[key], **TOLERANCE)


def test_rotation_against_the_matrix_exponential():
    vectors = torch.randn(50, 3, dtype=torch.float64)
    x, y, z = vectors.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    expected = torch.linalg.matrix_exp(cross)
    torch.testing.assert_close(geometry.rotation_matrix(vectors), expected, rtol=0, atol=1e-6)


def test_inverse_pose_undoes_the_pose():
    axis_angle = torch.randn(7, 1, 3, dtype=torch.float64)
    translation = torch.randn(7, 1, 3, dtype=torch.float64)
    forward = geometry.pose_matrix(axis_angle, translation)
    backward = geometry.pose_matrix(axis_angle, translation, invert=True)
    identity = torch.eye(4, dtype=torch.float64).expand(7, 4, 4)
    torch.testing.assert_close(backward @ forward, identity, rtol=0, atol=1e-6)


def test_view_synthesis_parity(golden):
    depth, matrix, transform = golden["depth"], golden["K"], golden["warp_T"]
    points = geometry.backproject(depth, torch.linalg.inv(matrix))
    grid = geometry.project(points, matrix, transform, *depth.shape[-2:])
    torch.testing.assert_close(grid, golden["pix_coords_normalised"], **TOLERANCE)
    warped = geometry.warp(golden["net_input"], depth, matrix, transform)
    torch.testing.assert_close(warped, golden["warped"], **TOLERANCE)


def test_float32_stays_close_to_the_reference(golden):
    warped = geometry.warp(*(golden[key].float() for key in ("net_input", "depth", "K", "warp_T")))
    torch.testing.assert_close(warped, golden["warped"].float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_warp_returns_the_source(batch, dtype):
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(80.0), indexing="ij")
    waves = torch.stack([torch.sin(0.11 * x), torch.cos(0.07 * y), torch.sin(0.05 * (x + y))])
    source = (0.5 + 0.4 * waves).to(dtype).expand(batch, 3, 48, 80)
    depth = 1 + 50 * torch.rand(batch, 1, 48, 80, dtype=dtype)
    matrix = intrinsics(80, 48, 70.0).to(dtype).expand(batch, 4, 4)
    warped = geometry.warp(source, depth, matrix, torch.eye(4, dtype=dtype).expand(batch, 4, 4))
    torch.testing.assert_close(warped, source, rtol=0, atol=1e-5)


def test_translation_before_a_wall_shifts_the_image_by_whole_pixels():
    # A wall at 5 m, focal length 100: 0.05 m sideways is one pixel.
    source = torch.rand(1, 3, 20, 30, dtype=torch.float64)
    depth = torch.full((1, 1, 20, 30), 5.0, dtype=torch.float64)
    move = torch.eye(4, dtype=torch.float64)[None].clone()
    move[0, 0, 3] = 2 * 0.05
    warped = geometry.warp(source, depth, intrinsics(30, 20, 100.0), move)
    torch.testing.assert_close(warped[..., :-2], source[..., 2:], rtol=0, atol=1e-5)


def test_yaw_moves_the_centre_by_the_tangent():
    angle = 0.1
    matrix = intrinsics(101, 51, 200.0)
    depth = torch.full((1, 1, 51, 101), 3.0, dtype=torch.float64)
    turn = geometry.pose_matrix(
        torch.tensor([[[0.0, angle, 0.0]]], dtype=torch.float64),
        torch.zeros(1, 1, 3, dtype=torch.float64),
    )
    points = geometry.backproject(depth, torch.linalg.inv(matrix))
    grid = geometry.project(points, matrix, turn, 51, 101)
    x = (grid[0, 25, 50, 0] + 1) / 2 * 100
    assert math.isclose(float(x), 50 + 200 * math.tan(angle), abs_tol=1e-4)


def test_warp_has_correct_gradients():
    torch.manual_seed(0)
    source = torch.rand(1, 2, 6, 7, dtype=torch.float64)
    depth = (2 + torch.rand(1, 1, 6, 7, dtype=torch.float64)).requires_grad_()
    axis_angle = (0.01 * torch.randn(1, 1, 3, dtype=torch.float64)).requires_grad_()
    translation = (0.01 * torch.randn(1, 1, 3, dtype=torch.float64)).requires_grad_()

    def synthesise(depth, axis_angle, translation):
        transform = geometry.pose_matrix(axis_angle, translation)
        return geometry.warp(source, depth, intrinsics(7, 6, 6.0), transform)

    assert torch.autograd.gradcheck(synthesise, (depth, axis_angle, translation), atol=1e-5)
