# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion solved from flow and depth, against motions that the flow was made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning.augmentation import mirror_samples
from training.learning.dataset import find_samples
from training.learning.flow import (
    cell_size,
    measure_flow,
    mirror_flow,
    remember_flow,
    trusted_cells,
)
from training.learning.motion_from_flow import solve_motion
from training.learning.options import OptionError, TrainOptions
from training.learning.recipe import FLAT, apply_recipe, constant_depth_share
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

CELL, HEIGHT, WIDTH = 4, 64, 96
INTRINSICS = np.array([[70.0, 0, 45.0, 0], [0, 65.0, 33.0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def rodrigues(vector):
    """Rotation by a vector of axis times angle, by the matrix exponential's series."""
    x, y, z = vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result, term = np.eye(3), np.eye(3)
    for k in range(1, 20):
        term = term @ skew / k
        result = result + term
    return result


def rigid(vector, translation):
    transform = np.eye(4)
    transform[:3, :3] = rodrigues(vector)
    transform[:3, 3] = translation
    return transform


def flow_of(depth, transform):
    """Flow of the cells' centres, pixel by pixel from the definition."""
    matrix = INTRINSICS[:3, :3]
    flow = np.empty((2, *depth.shape))
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            pixel = np.array([CELL * column + (CELL - 1) / 2, CELL * row + (CELL - 1) / 2, 1.0])
            point = depth[row, column] * np.linalg.solve(matrix, pixel)
            moved = matrix @ (transform[:3, :3] @ point + transform[:3, 3])
            flow[:, row, column] = moved[:2] / moved[2] - pixel[:2]
    return flow


def as_tensors(depth, flow):
    flow, depth = torch.tensor(flow), torch.tensor(depth)
    return depth[None].float(), flow[None].float(), torch.tensor(INTRINSICS)[None].float()


@pytest.fixture
def scene():
    generator = np.random.default_rng(0)
    depth = generator.uniform(1.0, 6.0, (HEIGHT // CELL, WIDTH // CELL))
    return depth, rigid([0.02, -0.03, 0.015], [0.08, -0.05, 0.12])


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_motion_is_found_exactly_at_every_scale(scene, scale):
    depth, transform = scene
    flow = flow_of(depth, transform)
    transform[:3, 3] *= scale
    solved, residual = solve_motion(*as_tensors(depth * scale, flow), CELL, iterations=15)
    np.testing.assert_allclose(solved[0, :3, :3], transform[:3, :3], atol=2e-4)
    np.testing.assert_allclose(solved[0, :3, 3], transform[:3, 3], atol=2e-3 * scale)
    assert residual.shape == (1, *depth.shape) and residual.max() < 0.05


def test_few_iterations_are_enough(scene):
    depth, transform = scene
    solved, _ = solve_motion(*as_tensors(depth, flow_of(depth, transform)), CELL)
    np.testing.assert_allclose(solved[0], transform, atol=5e-3)


def test_a_fifth_that_moves_by_itself_does_not_mislead(scene):
    depth, transform = scene
    flow = flow_of(depth, transform)
    flow[:, :, :5] += np.array([6.0, -3.0])[:, None, None]
    solved, residual = solve_motion(*as_tensors(depth, flow), CELL, iterations=15)
    np.testing.assert_allclose(solved[0], transform, atol=1e-2)
    assert residual[0, :, :5].min() > 5.0 and residual[0, :, 5:].max() < 0.5


def test_what_is_not_trusted_does_not_count(scene):
    depth, transform = scene
    flow = flow_of(depth, transform)
    trusted = np.zeros(depth.shape, bool)
    trusted[2:9, 4:12] = True
    flow[:, ~trusted] += np.array([6.0, -3.0])[:, None]
    arrays = as_tensors(depth, flow)
    misled, _ = solve_motion(*arrays, CELL, iterations=15)
    assert np.abs(misled[0].numpy() - transform).max() > 0.02
    solved, residual = solve_motion(
        *arrays, CELL, iterations=15, trusted=torch.from_numpy(trusted)[None]
    )
    np.testing.assert_allclose(solved[0], transform, atol=5e-3)
    assert residual[0][~trusted].min() > 5.0


def test_no_flow_is_no_motion(scene):
    depth, _ = scene
    solved, _ = solve_motion(*as_tensors(depth, np.zeros((2, *depth.shape))), CELL)
    np.testing.assert_allclose(solved[0], np.eye(4), atol=1e-6)


def test_samples_of_a_batch_are_solved_by_themselves(scene):
    depth, transform = scene
    other = rigid([-0.01, 0.02, 0.0], [-0.1, 0.0, 0.05])
    singles = [as_tensors(depth, flow_of(depth, motion)) for motion in (transform, other)]
    batch = [torch.cat(parts) for parts in zip(*singles, strict=True)]
    together, _ = solve_motion(*batch, CELL)
    for row, single in enumerate(singles):
        torch.testing.assert_close(together[row], solve_motion(*single, CELL)[0][0])


def test_mirrored_flow_gives_the_mirrored_motion(scene):
    depth, transform = scene
    depths, flow, intrinsics = as_tensors(depth, flow_of(depth, transform))
    mirror = torch.tensor([True])
    images = torch.zeros(1, 2, 3, HEIGHT, WIDTH)
    _, mirrored, _ = mirror_samples(images, intrinsics, torch.zeros(1), mirror)
    trusted = torch.arange(flow[:, :1].numel()).view_as(flow[:, :1]) % 2
    flow = mirror_flow(torch.cat([flow, trusted], dim=1)[:, None], mirror)[:, 0]
    assert torch.equal(flow[:, 2:], trusted.flip(3).to(flow))
    solved, _ = solve_motion(depths.flip(2), flow[:, :2], mirrored, CELL, iterations=15)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(solved[0], flip @ transform @ flip, atol=2e-3)


def test_flow_of_a_shifted_texture_is_the_shift():
    generator = np.random.default_rng(0)
    coarse = torch.tensor(generator.uniform(0, 255, (1, 3, 20, 28)))
    texture = torch.nn.functional.interpolate(coarse, (80, 112), mode="bicubic")[0]
    texture = texture.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    first, second = texture[8:72, 8:104], texture[6:70, 5:101]  # moves by (+3, +2)
    flow = measure_flow(first, second, CELL)
    assert flow.shape == (2, HEIGHT // CELL, WIDTH // CELL)
    inside = flow[:, 2:-2, 2:-2]
    np.testing.assert_allclose(np.median(inside, axis=(1, 2)), [3, 2], atol=0.1)


@pytest.mark.parametrize("width", [64, 96, 256, 320, 640, 1024])
def test_cells_divide_all_sizes_that_train(width):
    assert width % cell_size(width) == 0 and 32 % cell_size(width) == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("alignment") / "store"
    camera = camera_from_field_of_view(WIDTH, HEIGHT, 80)
    frames = list(synthesize(3, "street", camera, 8, speed=4.0))
    write_frame_store(
        path,
        np.stack([frame.image for frame in frames]),
        [camera],
        truth=np.stack([frame.depth for frame in frames]),
        poses=np.stack([frame.pose for frame in frames]),
    )
    return FrameStore.open(path)


def test_samples_carry_the_flow_to_their_sources(store):
    samples = find_samples([store], (-1, 1), "none", 1)
    assert samples.read(np.array([0])).flow is None
    samples = dataclasses.replace(samples, measure_flow=remember_flow([store]))
    chosen = samples.select(np.array([2, 4])).read(np.array([1, 0]))
    assert chosen.flow.shape == (2, 2, 3, HEIGHT // CELL, WIDTH // CELL)
    for row, sample in enumerate((4, 2)):
        target, *sources = samples.frames[sample]
        for column, source in enumerate(sources):
            expected = measure_flow(store.images[target], store.images[source], CELL)
            found = chosen.flow[row, column]
            np.testing.assert_allclose(found[:2], expected, atol=0.02, rtol=1e-3)
            assert set(found[2].unique().tolist()) <= {0.0, 1.0}


def test_flow_is_trusted_where_there_are_corners_and_it_leads_back():
    rng = np.random.default_rng(2)
    image = np.full((64, 96, 3), 90, np.uint8)
    image[:, 32:] = rng.integers(0, 256, (16, 16, 1), np.uint8).repeat(4, 0).repeat(4, 1)
    consistent = np.ones((64, 96), bool)
    consistent[:32, 64:] = False
    trusted = trusted_cells(image, consistent, CELL)
    assert not trusted[:, :7].any() and not trusted[:8, 16:].any()
    assert trusted[:, 9:15].mean() > 0.9 and trusted[9:, 16:].mean() > 0.9
    # Without corners all that is consistent counts, and without that everything.
    bare = np.full_like(image, 90)
    assert np.array_equal(trusted_cells(bare, consistent, CELL), consistent[::CELL, ::CELL])
    assert trusted_cells(bare, np.zeros_like(consistent), CELL).all()


def test_true_depth_gives_the_recorded_motion(store):
    """Real flow of rendered frames, solved with the renderer's depth: the renderer's poses."""
    samples = find_samples([store], (-1, 1), "none", 1)
    samples = dataclasses.replace(samples, measure_flow=remember_flow([store]))
    batch = samples.read(np.arange(len(samples)))
    for row, (target, *sources) in enumerate(samples.frames.tolist()):
        truth = np.asarray(store.truth[target], np.float32)
        truth = np.where(truth > 0, truth, 100.0).clip(max=100.0)  # the sky
        inverse = torch.from_numpy(1 / truth.astype(np.float32))[None, None]
        depth = 1 / torch.nn.functional.interpolate(
            inverse, (HEIGHT // CELL, WIDTH // CELL), mode="area"
        )
        for column, source in enumerate(sources):
            solved, _ = solve_motion(
                depth[:, 0],
                batch.flow[row : row + 1, column, :2].float(),
                batch.intrinsics[row : row + 1],
                CELL,
                iterations=15,
            )
            true = np.linalg.inv(store.poses[source]) @ store.poses[target]
            step = solved[0, :3, 3].numpy()
            cosine = step @ true[:3, 3] / np.linalg.norm(step) / np.linalg.norm(true[:3, 3])
            assert cosine > 0.97
            assert 0.7 < np.linalg.norm(step) / np.linalg.norm(true[:3, 3]) < 1.3


def test_share_of_constant_depth_tells_a_wall_from_a_street(store, tmp_path):
    samples = find_samples([store], (-1, 1), "none", 1)
    street = dataclasses.replace(samples, measure_flow=remember_flow([store]))
    camera = camera_from_field_of_view(WIDTH, HEIGHT, 80)
    generator = np.random.default_rng(0)
    coarse = torch.tensor(generator.uniform(0, 255, (1, 3, 24, 32)))
    wall = torch.nn.functional.interpolate(coarse, (96, 128), mode="bicubic")[0]
    wall = wall.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    shifts = [(0, 0), (3, 1), (6, 3), (9, 5)]
    images = [wall[y : y + HEIGHT, x : x + WIDTH] for x, y in shifts]
    write_frame_store(tmp_path / "wall", np.stack(images), [camera])
    stores = [FrameStore.open(tmp_path / "wall")]
    flat = dataclasses.replace(
        find_samples(stores, (-1, 1), "none", 1), measure_flow=remember_flow(stores)
    )
    assert constant_depth_share(flat) > FLAT > constant_depth_share(street)


def test_recipe_chooses_by_that_share():
    bare = TrainOptions(steps=600)
    assert apply_recipe(bare, 100, flat=0.99).pose == "flow"
    assert apply_recipe(bare, 100, flat=0.5).pose == "separate"
    assert apply_recipe(dataclasses.replace(bare, pose="posecnn"), 100, 0.99).pose == "posecnn"
    published = dataclasses.replace(bare, recipe="published")
    assert apply_recipe(published, 100, flat=0.99).pose == "separate"
    flow = apply_recipe(bare, 100, flat=0.99)
    assert flow.motion_steps == 0 and flow.coarse_steps > 0 and flow.initial_depth > 0
    assert apply_recipe(flow, 100) == flow


def test_flow_without_its_needs_is_refused():
    with pytest.raises(OptionError, match=r"--pose flow goes neither with --stereo \(add\)"):
        TrainOptions(pose="flow", stereo="add")
    with pytest.raises(OptionError, match=r"--motion-steps \(5\)"):
        TrainOptions(pose="flow", motion_steps=5)
