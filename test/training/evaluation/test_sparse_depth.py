# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Triangulated depth tells the right depth from a wrong one, without ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.depth import evaluate_depth
from training.evaluation.predictors import constant_predictor
from training.evaluation.protocol import Protocol, Selection
from training.evaluation.sparse_depth import (
    mean_sparse_predictor,
    neighbours_of,
    with_sparse_truth,
)
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

FRAMES = np.array([2, 5, 8])


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    path = tmp_path_factory.mktemp("street") / "store"
    camera = camera_from_field_of_view(192, 96, 80)
    frames = list(synthesize(5, "street", camera, 10))
    images, depth = (np.stack([getattr(f, name) for f in frames]) for name in ("image", "depth"))
    write_frame_store(path, images, [camera], truth=depth)
    return FrameStore.open(path)


@pytest.fixture(scope="module")
def sparse(street):
    return with_sparse_truth(street, FRAMES)


@pytest.mark.slow
def test_chosen_frames_have_points_and_others_have_none(street, sparse):
    counts = (sparse.truth > 0).sum(axis=(1, 2))
    assert counts.shape == (len(street),)
    assert (counts[FRAMES] > 25).all()
    assert counts.sum() == counts[FRAMES].sum()


def test_it_ranks_predictions_like_exact_depth_does(street, sparse):
    exact = street.truth.astype(np.float32)
    exact = np.where(np.isfinite(exact) & (exact > 0), exact, 80.0)

    def blended(share):
        """Between exact depth and a flat one."""
        return lambda store, frames: exact[frames] ** (1 - share) * 5**share

    selections = [Selection(sparse, FRAMES)]
    errors = []
    for share in (0.0, 0.3, 0.6, 0.9):
        found = evaluate_depth("blended", blended(share), selections, Protocol())
        errors.append(found.values("abs_rel").mean())
    constant = evaluate_depth("flat", constant_predictor, selections, Protocol())
    upside_down = evaluate_depth("wrong", lambda s, f: 25 / exact[f], selections, Protocol())
    flat = constant.values("abs_rel").mean()
    assert errors == sorted(errors)
    assert errors[0] < 0.2 and errors[0] < 0.6 * flat
    assert flat < upside_down.values("abs_rel").mean()


def test_mean_image_lies_between_a_constant_and_the_depth(sparse):
    predict = mean_sparse_predictor([Selection(sparse, FRAMES[:2])])
    image = predict(sparse, FRAMES)
    assert image.shape == (3, 96, 192) and (image > 0).all() and np.isfinite(image).all()
    selections = [Selection(sparse, FRAMES[2:])]
    mean = evaluate_depth("mean", predict, selections, Protocol()).values("abs_rel").mean()
    flat = evaluate_depth("flat", constant_predictor, selections, Protocol())
    assert mean < flat.values("abs_rel").mean()
    with pytest.raises(ValueError, match="no frame to average"):
        mean_sparse_predictor([Selection(sparse, np.array([0]))])


def test_neighbours_stay_inside_the_segment(street):
    last = len(street) - 1
    assert neighbours_of(street, 4) == [3, 5]
    assert neighbours_of(street, 0) == [1, 2]
    assert neighbours_of(street, last) == [last - 2, last - 1]
