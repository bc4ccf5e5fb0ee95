# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion from tracked corners: its length from the depth, its mirror image, its loss."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from monodepth2_ros import geometry
from training.frames.writer import write_frame_store
from training.learning.augmentation import mirror_samples
from training.learning.baselines import disputed_share, sparse_error
from training.learning.motion_from_tracks import (
    CERTAIN_WEIGHT,
    MOST_POINTS,
    TrackedMotion,
    corner_errors,
    corner_noise,
    factor_loss,
    factors_of_samples,
    nearest_areas,
    packed,
    read_around,
    sample_at,
    sparse_geometry,
    sparse_loss,
    triangulate_frames,
    weighted_medians,
)
from training.learning.triangulation import Triangulation
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

HEIGHT, WIDTH = 24, 40
INTRINSICS = torch.tensor([[[30.0, 0, 18.0, 0], [0, 28.0, 12.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]])


@pytest.fixture
def depth():
    generator = torch.Generator().manual_seed(0)
    return torch.rand((2, 1, HEIGHT, WIDTH), generator=generator) * 3 + 2


@pytest.fixture
def tracked(depth):
    """Points with the depth of the image, in a unit of a third."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, WIDTH, (2, 30), generator=generator).float()
    y = torch.randint(0, HEIGHT, (2, 30), generator=generator).float()
    values = torch.stack([depth[i, 0, y[i].long(), x[i].long()] for i in range(2)]) / 3
    points = torch.stack([x, y, values, torch.ones_like(x)], dim=2)
    axis = torch.tensor([[[0.01, 0.03, -0.02]], [[0.0, -0.05, 0.01]]])
    shift = torch.tensor([[[0.1, -0.05, -0.3]], [[-0.2, 0.0, 0.1]]])
    transform = geometry.pose_matrix(axis, shift)
    return TrackedMotion(torch.stack([transform, transform.inverse()], dim=1), points)


def test_length_comes_from_the_depth_and_nothing_else_does(depth, tracked):
    ratio = tracked.log_ratio(depth)
    length = weighted_medians(ratio, tracked.points[..., 3])
    torch.testing.assert_close(length.exp(), torch.full((2,), 3.0))
    for found, given in zip(
        tracked.lengthened(length.exp()), tracked.transforms.unbind(dim=1), strict=True
    ):
        torch.testing.assert_close(found[:, :3, :3], given[:, :3, :3])
        torch.testing.assert_close(found[:, :3, 3], 3 * given[:, :3, 3])
    flat = tracked.log_ratio(torch.full_like(depth, 7.0))
    flat_length = weighted_medians(flat, tracked.points[..., 3]).exp()
    first, second = tracked.lengthened(flat_length)[0], tracked.transforms[:, 0]
    torch.testing.assert_close(first[:, :3, :3], second[:, :3, :3])
    direction = torch.nn.functional.normalize(first[:, :3, 3], dim=1)
    torch.testing.assert_close(direction, torch.nn.functional.normalize(second[:, :3, 3], dim=1))


def test_loss_is_zero_for_the_right_depth_at_any_scale_and_ignores_weight_zero(depth, tracked):
    weights = tracked.points[..., 3].clone()
    for factor in (1.0, 0.1, 25.0):
        ratio = tracked.log_ratio(factor * depth)
        assert sparse_loss(ratio, weights, weighted_medians(ratio, weights)) < 1e-5
    flat = tracked.log_ratio(torch.ones_like(depth))
    assert sparse_loss(flat, weights, weighted_medians(flat, weights)) > 0.1
    wrong = tracked.points.clone()
    wrong[:, :5, 2] *= 40
    weights[:, :5] = 0
    ratio = TrackedMotion(tracked.transforms, wrong).log_ratio(depth)
    assert sparse_loss(ratio, weights, weighted_medians(ratio, weights)) < 1e-5
    # A corner without parallax teaches nothing: it may be on a car that drives along.
    weights[:, :5] = 0.5 * CERTAIN_WEIGHT
    assert sparse_loss(ratio, weights, weighted_medians(ratio, weights)) < 1e-5
    nothing = torch.zeros_like(weights)
    assert sparse_loss(ratio, nothing, weighted_medians(ratio, nothing)) == 0


def corner(depth, deviation):
    """Pack one corner at the origin, with a standard deviation of log depth."""
    found = Triangulation(
        np.zeros((1, 2)), np.array([depth]), np.array([deviation]), np.eye(4)[None], 2.0, 1.0, 0.1
    )
    return torch.from_numpy(packed(found)[None, :1])


def test_a_certain_corner_counts_by_the_ratio_of_depths_and_by_no_more_than_a_half():
    for predicted in (1.4, 1.8, 2.0, 2.5, 3.0, 30.0, 0.01):
        read = torch.full((1, 1, 1), 3 * predicted)
        error = corner_errors(corner(2.0, 0.01), read, torch.tensor([3.0]).log())
        ratio = min(abs(math.log(predicted / 2.0)), 0.5)
        # Farther away it begins to matter that no corner is certain beyond 5 %.
        assert error.item() == pytest.approx(ratio, rel=0.2, abs=1e-6)


def test_a_far_corner_says_that_depth_is_large_and_not_how_large():
    # Its inverse depth is 0.002 with a standard deviation of 0.1, where the median is 1.
    far = corner(500.0, 50.0)
    read = torch.tensor([[[1e4], [100.0], [20.0], [4.0], [1.0]]])
    errors = corner_errors(far.expand(1, 5, 4), read, torch.zeros(1))[0]
    assert (errors.diff()[1:] > 0).all() and errors[0] < 0.01
    # All of 20 and farther is within half a standard deviation.
    assert errors[:3].max() < 0.1 * 0.5
    # Another hundredth of the inverse depth costs as much as the first one.
    near = corner_errors(far, torch.tensor([[[1 / 0.05]]]), torch.zeros(1))
    more = corner_errors(far, torch.tensor([[[1 / 0.10]]]), torch.zeros(1))
    assert (more / near).item() == pytest.approx(0.098 / 0.048, rel=0.01)


@pytest.mark.parametrize(("depth", "deviation"), [(2.0, 0.05), (1.0, 0.2), (50.0, 6.0)])
def test_the_noise_of_corners_is_the_mean_error_of_right_depth(depth, deviation):
    generator = torch.Generator().manual_seed(0)
    right = corner(depth, deviation)
    inverse = 1 / depth * (1 + deviation * torch.randn(1, 20_000, 1, generator=generator))
    found = right.expand(1, 20_000, 4).clone()
    found[..., 2] = 1 / inverse[..., 0].clamp_min(1e-6)
    # The deviation of inverse depth is the same wherever noise has put it.
    found[..., 3] = right[..., 3] * (inverse[..., 0].clamp_min(1e-6) * depth) ** 2
    errors = corner_errors(found, torch.full((1, 20_000, 1), depth), torch.zeros(1))
    expected = corner_noise(right[0].numpy())
    assert expected.item() == pytest.approx(errors.mean().item(), rel=0.1)


def test_a_corner_on_an_outline_is_met_by_the_pixel_beside_it():
    """What is in front ends one pixel to the right of the corner, or to its left."""
    depth = torch.full((1, 1, HEIGHT, WIDTH), 30.0)
    depth[..., : WIDTH // 2] = 2.0
    for x, error in ((WIDTH // 2 - 1, 0.0), (WIDTH // 2, 0.0), (WIDTH // 2 + 2, 0.5)):
        points = corner(2.0, 0.05)
        points[..., 0], points[..., 1] = x, 5
        read = read_around(depth, points)
        assert read.shape == (1, 1, 5)
        assert read[0, 0, 0] == depth[0, 0, 5, x]
        assert corner_errors(points, read, torch.zeros(1)).item() == pytest.approx(error, abs=1e-6)


def test_depth_in_metres_is_drawn_to_a_factor_of_one_and_its_shape_is_left_alone() -> None:
    shape = torch.tensor([[0.3, -0.1, 0.0, 0.2], [0.1, 0.0, 0.0, 0.0]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    for factor in (2.0, -0.7, 0.0):
        ratio = (shape + factor).requires_grad_()
        length = factors_of_samples(ratio, weights)
        assert length[1] == 0.0 and not length.requires_grad  # no points: the recorded length
        assert length[0].item() == pytest.approx(factor, abs=0.11)
        loss = factor_loss(ratio, weights, length)
        assert loss.item() == pytest.approx(abs(factor + 0.1), abs=1e-6)
        loss.backward()
        assert ratio.grad is not None
        expected = math.copysign(0.25, factor + 0.1)
        torch.testing.assert_close(ratio.grad[0], torch.full((4,), expected))
        assert not ratio.grad[1].any()


def test_a_corner_on_something_that_moves_hardly_moves_the_factor() -> None:
    ratio = torch.tensor([[0.1, 0.1, 0.1, 0.1, 6.0]])
    weights = torch.ones(1, 5)
    length = factors_of_samples(ratio, weights)
    assert length.item() == pytest.approx(0.1)
    assert factor_loss(ratio, weights, length).item() == pytest.approx(0.1 + 0.5 / 5)
    nothing = torch.zeros(1, 5)
    assert factor_loss(ratio, nothing, factors_of_samples(ratio, nothing)) == 0


def test_mirrored_motion_explains_the_mirrored_images(depth, tracked):
    """A point projects into the mirrored source where its mirror image is."""
    mirror = torch.tensor([True, False])
    images = torch.zeros(2, 3, 3, HEIGHT, WIDTH)
    intrinsics = INTRINSICS.repeat(2, 1, 1)
    _, changed, _ = mirror_samples(images, intrinsics, torch.zeros(2), mirror)
    turned = tracked.mirrored(mirror, WIDTH)

    def seen(motion, matrix, row):
        x, y, z = motion.points[row, :, :3].T
        rays = torch.linalg.inv(matrix[row, :3, :3]) @ torch.stack([x, y, torch.ones_like(x)])
        transform = motion.transforms[row, 0]
        moved = matrix[row, :3, :3] @ (transform[:3, :3] @ (rays * z) + transform[:3, 3:])
        return moved[:2] / moved[2:]

    before, after = seen(tracked, intrinsics, 0), seen(turned, changed, 0)
    torch.testing.assert_close(after[0], WIDTH - 1 - before[0], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(after[1], before[1], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(turned.transforms[1], tracked.transforms[1])
    torch.testing.assert_close(turned.points[1], tracked.points[1])


def test_median_counts_weights():
    values = torch.tensor([[3.0, 1.0, 2.0, 9.0], [3.0, 1.0, 2.0, 9.0]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.1, 1.0]])
    assert weighted_medians(values, weights).tolist() == [2.0, 9.0]


def test_an_image_is_read_at_pixel_centres():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    points = torch.tensor([[[0.0, 0.0], [3.0, 2.0], [1.5, 1.0]]])
    torch.testing.assert_close(sample_at(image, points), torch.tensor([[0.0, 11.0, 5.5]]))


def test_many_points_are_thinned_and_precise_ones_weigh_more():
    count = 2 * MOST_POINTS
    points = np.column_stack([np.arange(count), np.zeros(count)]).astype(float)
    deviation = np.linspace(0.01, 0.25, count)
    found = Triangulation(points, np.ones(count), deviation, np.eye(4)[None], 2.0, 1.0, 0.1)
    rows = packed(found)
    assert rows.shape == (MOST_POINTS, 4)
    corners = rows[:MOST_POINTS]
    assert corners[0, 0] == 0 and corners[-1, 0] == count - 1
    assert corners[0, 3] == 1 and 0 < corners[-1, 3] < 0.1
    few = Triangulation(points[:3], np.ones(3), deviation[:3], np.eye(4)[None], 2.0, 1.0, 0.1)
    rows = packed(few)
    assert (rows[3:, 3] == 0).all() and (rows[:, 2] > 0).all()


def test_areas_share_the_image_among_the_nearest_points():
    points = np.array([[2.0, 5.0], [12.0, 5.0], [12.0, 5.2]])
    areas = nearest_areas(points, (20, 10))
    assert areas.sum() == pytest.approx(1.0)
    assert areas[0] == pytest.approx(0.35, abs=0.06)  # up to x = 7
    assert areas[1] == areas[2]  # two points of one pixel share its cell
    assert nearest_areas(np.zeros((0, 2)), (20, 10)).shape == (0,)


def test_a_lonely_corner_counts_as_much_as_the_crowd_that_covers_as_much():
    """Many good corners on a poster do not hide that the rest of the image is wrong."""
    poster = np.column_stack(
        [np.repeat(np.arange(70, 90, 2), 10), np.tile(np.arange(20, 40, 2), 10)]
    )
    points = np.concatenate([poster, [[20, 10], [20, 30], [20, 50]]]).astype(float)
    depth = np.full(len(points), 2.0)
    depth[-3:] = 1.0
    found = Triangulation(points, depth, np.full(len(points), 0.05), np.eye(4)[None], 2.0, 1.0, 0.1)
    geometry = sparse_geometry(found, found.transforms, (96, 64))
    flat = sparse_error(geometry, np.ones(len(geometry.points)))
    # Half as near is wrong by more than what a corner counts at most.
    lonely = geometry.areas[len(poster) : len(points)].sum()
    assert lonely > 0.45 and flat == pytest.approx(0.5 * lonely, rel=1e-4)
    right = np.ones(len(geometry.points))
    right[: len(depth)] = 3.0 * depth
    assert sparse_error(geometry, right) == pytest.approx(0.0, abs=1e-6)
    # The lonely corners contradict who says that all is as far, twice, and nobody else.
    constant = np.ones(len(geometry.points))
    assert disputed_share(geometry, constant, 5 * constant) == pytest.approx(lonely)
    assert disputed_share(geometry, constant, right) == disputed_share(geometry, right, right) == 0


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Return a store of a street, 96 wide with copies of 384, and the true depth of frame 2."""
    large, small = camera_from_field_of_view(384, 192, 80), (96, 64)
    frames = list(synthesize(3, "street", large, 5, antialias=1))
    images = [cv2.resize(frame.image, small, interpolation=cv2.INTER_AREA) for frame in frames]
    path = tmp_path_factory.mktemp("street") / "store"
    store = write_frame_store(path, np.stack(images), [large.resized(*small)])
    grey = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) for frame in frames]
    return replace(store, corner_images=np.stack(grey)), frames[2].depth


def point_errors(found, store, depth):
    """Compare the depth of points with the truth, by their median ratio."""
    scale = np.array(depth.shape[::-1]) / [store.width, store.height]
    x, y = ((found.points + 0.5) * scale - 0.5).round().astype(int).T
    ratio = found.depth / depth[y, x]
    return np.abs(ratio / np.median(ratio) - 1)


def test_corners_are_tracked_in_larger_copies_where_there_are_some(street):
    """Points are still pixels of the stored images; more of them, and far more exact."""
    store, depth = street
    exact = triangulate_frames(store, 2, (1, 3))
    rough = triangulate_frames(replace(store, corner_images=None), 2, (1, 3))
    assert np.all(exact.points <= [95.5, 63.5])
    assert len(exact.points) > 1.5 * len(rough.points)
    errors = [np.median(point_errors(one, store, depth)) for one in (exact, rough)]
    assert errors[0] < 0.5 * errors[1] and errors[0] < 0.08
    # RGB serves as well as grey.
    again = np.repeat(store.corner_images[..., None], 3, axis=-1)
    same = triangulate_frames(replace(store, corner_images=again), 2, (1, 3))
    np.testing.assert_allclose(same.points, exact.points)
