# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motions and depths of scenes in closed form, guesses side by side, derivatives by differences."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.learning.bundle_adjustment import (
    Guesses,
    Observed,
    _derivatives,
    _solve,
    project,
    rate,
    refine,
    sharpened,
)

FOCAL = 100.0
TRANSLATIONS = np.array([[0.05, -0.01, 0.12], [-0.08, 0.02, -0.1]])
TURNS = np.array([[0.01, -0.02, 0.004], [-0.015, 0.01, 0.0]])


def scene(count: int = 60) -> tuple[Guesses, Observed]:
    """Corners at random depths of median 1, seen without noise by two sources; and the truth."""
    random = np.random.default_rng(3)
    rays = np.vstack([random.uniform(-0.8, 0.8, (2, count)), np.ones(count)])
    inverse = random.uniform(0.3, 2.0, count)
    inverse /= np.median(inverse)
    rotations = np.array([cv2.Rodrigues(turn)[0] for turn in TURNS])
    truth = Guesses(rotations[None], TRANSLATIONS[None].copy(), inverse[None], np.zeros(1))
    ends = project(truth, rays)[1][0]
    sharpness = np.tile(np.eye(2)[..., None], count)
    return truth, Observed(rays, ends, np.ones((2, count), bool), sharpness, FOCAL, 3.0)


def disturbed(truth: Guesses, seeds: list[int]) -> Guesses:
    """Guesses near the truth."""
    parts = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        turns = [cv2.Rodrigues(random.normal(0, 0.01, 3))[0] for _ in range(2)]
        inverse = truth.inverse_depth[0] * np.exp(
            random.normal(0, 0.2, truth.inverse_depth.shape[1])
        )
        moved = truth.translations[0] + random.normal(0, 0.01, (2, 3))
        parts.append((np.array(turns) @ truth.rotations[0], moved, inverse))
    return Guesses(*(np.stack(part) for part in zip(*parts, strict=True)), np.zeros(len(seeds)))


def test_what_was_seen_is_found_up_to_one_factor() -> None:
    truth, data = scene()
    guesses = disturbed(truth, [1, 2])
    refine(guesses, data, 30, [0, 1], depth=True)
    rate(guesses, data)
    for found in (guesses.chosen([0]), guesses.chosen([1])):
        error = (project(found, data.rays)[1][0] - data.ends) * FOCAL
        assert np.abs(error).max() < 0.02  # pixels; what the weak damping leaves
        np.testing.assert_allclose(found.rotations[0], truth.rotations[0], atol=1e-3)
        factor = np.linalg.norm(found.translations[0]) / np.linalg.norm(TRANSLATIONS)
        np.testing.assert_allclose(found.translations[0], factor * TRANSLATIONS, atol=2e-3)
        np.testing.assert_allclose(found.inverse_depth, truth.inverse_depth, rtol=0.05)


def test_guesses_side_by_side_go_the_way_that_each_goes_alone() -> None:
    truth, data = scene()
    together = disturbed(truth, [1, 2, 3])
    alone = [together.chosen([index]) for index in range(3)]
    for guesses in (together, *alone):
        refine(guesses, data, 3, [1], depth=False)
        refine(guesses, data, 4, [0, 1], depth=True)
        rate(guesses, data)
    for index, own in enumerate(alone):
        np.testing.assert_allclose(together.rotations[index], own.rotations[0], atol=1e-9)
        np.testing.assert_allclose(together.inverse_depth[index], own.inverse_depth[0], rtol=1e-8)
        assert together.cost[index] == pytest.approx(own.cost[0], rel=1e-8)


def test_a_source_that_does_not_move_keeps_its_motion_and_depths_theirs() -> None:
    truth, data = scene()
    guesses = disturbed(truth, [1])
    before = guesses.chosen([0])
    refine(guesses, data, 3, [1], depth=False)
    np.testing.assert_array_equal(guesses.rotations[:, 0], before.rotations[:, 0])
    np.testing.assert_array_equal(guesses.inverse_depth, before.inverse_depth)
    assert not np.allclose(guesses.rotations[:, 1], before.rotations[:, 1])


def test_a_guess_that_leads_nowhere_harms_no_other() -> None:
    truth, data = scene()
    guesses = disturbed(truth, [1, 2])
    alone = guesses.chosen([1])
    guesses.translations[0, 0, 0] = np.nan
    for some in (guesses, alone):
        refine(some, data, 2, [0, 1], depth=True)
        rate(some, data)
    assert np.isinf(guesses.cost[0])
    np.testing.assert_allclose(guesses.cost[1], alone.cost[0], rtol=1e-9)


def test_systems_without_a_solution_are_not_a_number_and_others_are_solved() -> None:
    matrices = np.stack([np.eye(2), np.zeros((2, 2))])
    found = _solve(matrices, np.array([[1.0, 2.0], [1.0, 2.0]]))
    np.testing.assert_array_equal(found[0], [1.0, 2.0])
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("parameter", range(7))
def test_derivatives_are_those_by_differences(parameter: int) -> None:
    truth, data = scene()
    random = np.random.default_rng(0)
    data = Observed(
        data.rays, data.ends, data.seen, random.normal(1, 0.2, data.sharpness.shape), FOCAL, 3.0
    )

    def seen_at(step: float) -> np.ndarray:
        moved = truth.chosen([0])
        if parameter < 3:
            moved.translations[:, :, parameter] += step
        elif parameter < 6:
            turn = np.zeros(3)
            turn[parameter - 3] = step
            moved.rotations = cv2.Rodrigues(turn)[0] @ moved.rotations
        else:
            moved.inverse_depth = moved.inverse_depth + step
        return sharpened(data.sharpness, project(moved, data.rays)[1] * FOCAL)

    expected = (seen_at(1e-6) - seen_at(-1e-6)) / 2e-6
    by_motion, by_depth = _derivatives(truth, data, *project(truth, data.rays))
    found = by_depth if parameter == 6 else by_motion[:, :, parameter]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
