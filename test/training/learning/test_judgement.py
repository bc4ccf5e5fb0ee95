# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run is judged by its start and by what needs no learning."""

from __future__ import annotations

import pytest

from training.learning.judgement import (
    COLLAPSE_PATIENCE,
    WORSE_PATIENCE,
    choose_measure,
    collapse,
    conclude,
    describe_entry,
    hardly_knows,
    judged_otherwise,
    kept_entry,
    may_replace_start,
)

BASELINES = {
    "constant": 0.40,
    "mean_image": 0.20,
    "sparse_constant": 0.50,
    "sparse_plane": 0.30,
    "sparse_mean_image": 0.35,
}


def run(*figures, measure="abs_rel", spreads=None):
    """Make a history of a measure; the loss always falls, as it does when depth goes flat."""
    spreads = spreads or [0.6] * len(figures)
    history = [
        {
            "step": 100 * i,
            "loss": 0.1 / (i + 1),
            "abs_rel": None,
            "sparse": None,
            "spread": spread,
            measure: figure,
        }
        for i, (figure, spread) in enumerate(zip(figures, spreads, strict=True))
    ]
    history[0]["baselines"] = BASELINES
    return history


def test_ground_truth_decides_else_triangulated_depth_else_the_loss():
    entry = {"loss": 0.1, "abs_rel": 0.3, "sparse": 0.4}
    assert choose_measure("auto", entry) == "abs_rel"
    assert choose_measure("sparse", entry) == "sparse"
    assert choose_measure("loss", entry) == "loss"
    assert choose_measure("auto", {**entry, "abs_rel": None}) == "sparse"
    assert choose_measure("abs_rel", {**entry, "abs_rel": None}) == "loss"
    assert choose_measure("auto", {"loss": 0.1, "abs_rel": None, "sparse": None}) == "loss"
    assert choose_measure("auto", {"train_loss": 0.1}) == "train_loss"


@pytest.mark.parametrize("measure", ["abs_rel", "sparse"])
def test_what_got_better_has_learned_by_how_much(measure):
    outcome = conclude(run(0.30, 0.24, 0.26, measure=measure), measure, from_checkpoint=True)
    assert outcome.has_learned
    assert outcome.text.startswith("better by 20 %") and "0.2400 at step 100" in outcome.text


@pytest.mark.parametrize("figures", [(0.30, 0.35, 0.31), (0.30, 0.2995), (0.30,)])
def test_what_did_not_get_better_says_so(figures):
    outcome = conclude(run(*figures), "abs_rel", from_checkpoint=True)
    assert not outcome.has_learned
    assert "nothing was learned" in outcome.text
    assert ("began with" in outcome.text) == (min(figures) == figures[0])


def test_the_checkpoint_at_its_own_size_must_be_beaten_too():
    history = run(0.35, 0.29)
    history[0]["own_size"] = {"width": 640, "height": 192, "abs_rel": 0.28}
    outcome = conclude(history, "abs_rel", from_checkpoint=True)
    assert not outcome.has_learned and "0.2800 at its own size 640x192" in outcome.text
    history[1]["abs_rel"] = 0.21
    assert conclude(history, "abs_rel", True).text.startswith("better by 25 %")
    line = describe_entry(history[0], history[0])
    assert "the checkpoint at its own size 640x192 0.280" in line


def test_from_random_weights_a_constant_depth_must_be_beaten():
    history = run(0.60, 0.40)
    assert not conclude(history, "abs_rel", from_checkpoint=False).has_learned
    assert "no better than a constant" in conclude(history, "abs_rel", False).text
    assert not conclude(history, "abs_rel", from_checkpoint=True).has_learned
    assert conclude(run(0.60, 0.38), "abs_rel", from_checkpoint=False).has_learned


def test_the_loss_alone_is_called_what_it_is():
    history = [{"step": 0, "loss": 0.10}, {"step": 9, "loss": 0.05}]
    outcome = conclude(history, "loss", from_checkpoint=True, is_chosen=True)
    assert outcome.has_learned and "a flat depth can satisfy" in outcome.text
    assert not conclude([history[0], {"step": 9, "loss": 0.11}], "loss", True, True).has_learned
    # Nobody asked for it: whatever it says, a trained model stays.
    unknown = conclude(history, "loss", from_checkpoint=True)
    assert not unknown.has_learned and "cannot be told" in unknown.text
    assert "--best-by loss" in unknown.text
    assert not may_replace_start(history[1], history[0], "loss")
    assert may_replace_start(history[1], history[0], "loss", is_chosen=True)
    assert conclude(history, "loss", from_checkpoint=False).has_learned
    assert (
        "nothing was held out"
        in conclude([{"step": 5, "train_loss": 1.0}], "train_loss", True).text
    )
    assert conclude([], "train_loss", False).has_learned


def test_depth_that_went_flat_is_noticed_though_the_loss_falls():
    """The recorded case: 0.288 became the constant's figure, the spread 0.37 became 0.02."""
    flat = run(0.29, 0.39, 0.40, spreads=[0.37, 0.05, 0.02])
    assert COLLAPSE_PATIENCE == 2
    assert "collapsed" in collapse(flat, "abs_rel")
    assert "from 0.37 to 0.02" in collapse(flat, "abs_rel")
    assert collapse(flat[:2], "abs_rel") is None
    recovers = run(0.29, 0.39, 0.30, spreads=[0.37, 0.05, 0.3])
    assert collapse(recovers, "abs_rel") is None


def test_depth_that_turns_upside_down_is_noticed():
    worse = run(0.29, *[0.6] * WORSE_PATIENCE)
    assert "getting worse" in collapse(worse, "abs_rel")
    assert collapse(worse[:-1], "abs_rel") is None


def test_what_began_flat_may_stay_so_for_a_while():
    slow = run(0.41, *[0.40] * 9, spreads=[0.02] * 10)
    assert collapse(slow, "abs_rel") is None
    assert collapse(run(0.1, *[0.2] * 9), "loss") is None


def test_a_line_shows_start_and_baselines_next_to_the_model():
    history = run(0.30, 0.25)
    line = describe_entry(history[1], history[0])
    assert "abs_rel 0.250 (start 0.300, constant 0.400, mean image 0.200)" in line
    first = describe_entry(history[0], history[0])
    assert "start" not in first and "constant 0.400" in first
    sparse = describe_entry(run(0.3, 0.2, measure="sparse")[0], None)
    assert "triangulated depth 0.300 (constant 0.500, plane 0.300, mean image 0.350)" in sparse


@pytest.mark.parametrize("measure", ["abs_rel", "sparse"])
def test_a_trained_model_is_not_replaced_by_one_that_knows_nothing(measure):
    """Few corners may judge a good model badly; a flat one that they judge better is not better."""
    constant = 0.40 if measure == "abs_rel" else 0.50
    history = run(0.62, constant + 0.01, constant, measure=measure, spreads=[1.3, 0.2, 0.1])
    outcome = conclude(history, measure, from_checkpoint=True)
    assert not outcome.has_learned and "no better than a constant depth" in outcome.text
    assert "is the model that training began with" in outcome.text
    assert not may_replace_start(history[2], history[0], measure)
    better = run(0.62, constant + 0.01, 0.30, measure=measure)
    assert may_replace_start(better[2], better[0], measure)
    assert conclude(better, measure, from_checkpoint=True).has_learned


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.49])
def test_without_ground_truth_a_model_that_went_flat_is_not_the_better_one(spread):
    """Corners of a highway are few, and a flat depth may fit them better than a right one."""
    history = run(0.69, 0.38, measure="sparse", spreads=[1.35, spread])
    assert not may_replace_start(history[1], history[0], "sparse")
    assert not conclude(history, "sparse", from_checkpoint=True).has_learned
    exact = run(0.69, 0.38, spreads=[1.35, 0.20])
    assert may_replace_start(exact[1], exact[0], "abs_rel")


def test_where_the_start_is_as_good_as_corners_can_tell_they_decide_nothing():
    for noise, may in ((None, True), (0.03, True), (0.06, False)):
        history = run(0.08, 0.06, measure="sparse")
        history[0]["baselines"] = history[0]["baselines"] | {"sparse_noise": noise}
        assert may_replace_start(history[1], history[0], "sparse") == may
        assert may_replace_start(history[1], history[0], "sparse", is_chosen=True)
        outcome = conclude(history, "sparse", from_checkpoint=True)
        assert outcome.has_learned == may
        assert may or ("cannot be told" in outcome.text and "0.0600" in outcome.text)
        assert conclude(history, "sparse", True, is_chosen=True).has_learned
        # What began with no depth must learn some.
        assert conclude(history, "sparse", from_checkpoint=False).has_learned
    # At its own size it is that good.
    history[0]["sparse"], history[0]["own_size"] = 0.3, {"sparse": 0.08, "width": 9, "height": 9}
    assert not may_replace_start(history[1], history[0], "sparse")


def test_what_is_better_in_some_places_and_worse_in_others_does_not_replace_the_start():
    start, better = run(0.20, 0.18, measure="sparse")
    for doubt, may in ((0.005, True), (0.015, False)):
        entry = {**better, "doubt": doubt}
        assert may_replace_start(entry, start, "sparse") == may
        assert may_replace_start(entry, start, "sparse", is_chosen=True)
        assert conclude([start, entry], "sparse", from_checkpoint=True).has_learned == may
    for disputed, may in ((0.1, True), (0.3, False)):
        assert may_replace_start({**better, "disputed": disputed}, start, "sparse") == may
    truth = run(0.20, 0.18)
    assert may_replace_start({**truth[1], "doubt": 1.0}, truth[0], "abs_rel")


def test_of_models_that_are_as_good_at_corners_the_one_that_changed_least_is_kept():
    history = run(0.20, 0.16, 0.150, 0.152, 0.149, 0.170, measure="sparse")
    for entry, changed in zip(history[1:], (0.05, 0.20, 0.10, 0.15, 0.01), strict=True):
        entry |= {"changed": changed, "doubt": 0.004}
    steps = [
        kept_entry(history[:count], "sparse", from_checkpoint=True)["step"] for count in range(1, 7)
    ]
    assert steps == [0, 100, 200, 300, 300, 300]
    assert conclude(history, "sparse", from_checkpoint=True).has_learned
    # Chosen by the user, or from nothing: the lowest.
    assert kept_entry(history, "sparse", from_checkpoint=True, is_chosen=True)["step"] == 400
    for entry in history[1:]:
        del entry["changed"]
    assert kept_entry(history, "sparse", from_checkpoint=True)["step"] == 400


def test_what_could_not_be_written_is_not_kept():
    history = run(0.30, 0.20, 0.25)
    history[1]["lost"] = True
    assert kept_entry(history, "abs_rel", from_checkpoint=True)["step"] == 200
    # Without the start, the next best is better than nothing.
    worse = run(0.30, 0.35, 0.32)
    worse[0]["lost"] = True
    kept = [kept_entry(worse[:n], "abs_rel", from_checkpoint=True)["step"] for n in (2, 3)]
    assert kept == [100, 200]


def test_the_checkpoint_at_its_own_size_is_kept_until_it_is_beaten():
    history = run(0.30, 0.25, 0.21)
    history[0]["own_size"] = {"width": 96, "height": 64, "abs_rel": 0.22}
    kept = [kept_entry(history[:n], "abs_rel", from_checkpoint=True)["step"] for n in (2, 3)]
    assert kept == [0, 200]


def test_figures_of_an_older_version_are_known_by_the_noise_that_they_lack():
    history = run(0.3, 0.2, measure="sparse")
    assert judged_otherwise(history)
    history[0]["baselines"] = history[0]["baselines"] | {"sparse_noise": 0.05}
    assert not judged_otherwise(history)
    assert not judged_otherwise(run(0.3, 0.2)) and not judged_otherwise([])


@pytest.mark.parametrize(
    ("changed", "may"), [(None, True), (0.1, True), (0.29, True), (0.31, False), (1.7, False)]
)
def test_what_no_corner_judges_may_not_change_by_more_than_the_errors_explain(changed, may):
    """A city: 0.20 and then 0.10 at the corners, and a road that rose to the camera."""
    history = run(0.20, 0.10, measure="sparse")
    history[1]["changed"] = changed
    assert may_replace_start(history[1], history[0], "sparse") == may
    outcome = conclude(history, "sparse", from_checkpoint=True)
    assert outcome.has_learned == may
    assert may or "where no corner judges" in outcome.text
    line = describe_entry(history[1], history[0])
    assert ("away from corners" in line) == (changed is not None)
    assert ("too much" in line) == (not may)
    # Ground truth judges everywhere.
    exact = run(0.20, 0.10)
    exact[1]["changed"] = changed
    assert may_replace_start(exact[1], exact[0], "abs_rel")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"sparse": 0.55, "baselines": {"sparse_constant": 0.5}}, True),
        ({"sparse": 0.48, "baselines": {"sparse_constant": 0.5}}, True),
        ({"sparse": 0.47, "baselines": {"sparse_constant": 0.5}}, False),
        # At the size that the checkpoint was made for it is better.
        (
            {"sparse": 0.55, "own_size": {"sparse": 0.2}, "baselines": {"sparse_constant": 0.5}},
            False,
        ),
        ({"sparse": 0.55, "baselines": {}}, False),
        ({"sparse": None, "baselines": {"sparse_constant": 0.5}}, False),
        ({}, False),
    ],
)
def test_a_checkpoint_that_hardly_beats_a_constant_hardly_knows_the_place(start, expected):
    assert hardly_knows(start, "sparse") is expected
    assert not hardly_knows(start, "loss")
