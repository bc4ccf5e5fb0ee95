# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a recipe decides, and what it leaves as it was given."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from training.learning.options import OptionError, TrainOptions
from training.learning.recipe import (
    FRESH_DECODER_STEPS,
    SMALL,
    apply_recipe,
    learning_rate,
    with_decoder,
)

DECIDED = [item.name for item in dataclasses.fields(TrainOptions) if item.default is None]

# Unlike any default.
EXPLICIT: dict[str, Any] = {
    "initial_depth": 7.5,
    "difference_filters": True,
    "epochs": 3,
    "steps": 123,
    "learning_rate": 3.3e-5,
    "warmup_steps": 17,
    "clip_norm": 4.5,
    "motion_steps": 11,
    "coarse_steps": 13,
}


def test_every_option_that_a_recipe_decides_is_tested() -> None:
    assert set(EXPLICIT) == set(DECIDED)


@pytest.mark.parametrize("recipe", ["auto", "published", "small"])
@pytest.mark.parametrize("samples", [1, 12, 500, SMALL, 40_000])
def test_nothing_is_left_open_and_the_rest_is_untouched(recipe: Any, samples: int) -> None:
    given = TrainOptions(recipe=recipe, seed=5, data=("a", "b"), smoothness_weight=0.5)
    filled = apply_recipe(given, samples)
    for item in dataclasses.fields(TrainOptions):
        value = getattr(filled, item.name)
        assert value is not None, item.name
        if item.name not in (*DECIDED, "recipe", "pose", "decoder"):
            assert value == getattr(given, item.name), item.name
    assert filled.steps and filled.steps >= 1
    assert filled.learning_rate and filled.learning_rate > 0
    assert filled.motion_steps is not None and filled.motion_steps < filled.steps
    assert filled.coarse_steps is not None and filled.coarse_steps < filled.steps


@pytest.mark.parametrize("samples", [1, SMALL - 1, SMALL, 40_000])
def test_auto_chooses_by_the_number_of_samples(samples: int) -> None:
    chosen = apply_recipe(TrainOptions(recipe="auto"), samples)
    expected: Any = "small" if samples < SMALL else "published"
    assert chosen.recipe == expected
    assert chosen == apply_recipe(TrainOptions(recipe=expected), samples)


def test_the_published_recipe_is_plain() -> None:
    """Section 4 of arXiv:1806.01260: 20 epochs at 1e-4, without an easier start."""
    filled = apply_recipe(TrainOptions(recipe="published", batch_size=12), 39_810)
    assert (filled.epochs, filled.steps) == (20, 20 * (39_810 // 12))
    assert filled.learning_rate == 1e-4
    for name in ("warmup_steps", "clip_norm", "motion_steps", "coarse_steps", "initial_depth"):
        assert getattr(filled, name) == 0, name
    assert filled.difference_filters is False


@pytest.mark.parametrize("recipe", ["published", "small"])
@pytest.mark.parametrize("name", [name for name in DECIDED if name != "epochs"])
def test_an_explicit_value_wins(name: str, recipe: Any) -> None:
    options: Any = {name: EXPLICIT[name]}
    filled = apply_recipe(TrainOptions(recipe=recipe, **options), 500)
    assert getattr(filled, name) == EXPLICIT[name]


@pytest.mark.parametrize("recipe", ["published", "small"])
@pytest.mark.parametrize(
    "name", ["warmup_steps", "clip_norm", "motion_steps", "coarse_steps", "initial_depth"]
)
def test_zero_is_a_value_too(name: str, recipe: Any) -> None:
    options: Any = {name: 0}
    assert getattr(apply_recipe(TrainOptions(recipe=recipe, **options), 500), name) == 0


def test_filters_can_be_refused() -> None:
    assert apply_recipe(TrainOptions(difference_filters=False), 500).difference_filters is False


@pytest.mark.parametrize("recipe", ["published", "small"])
def test_epochs_count_whole_batches(recipe: Any) -> None:
    """What is left of the samples at the end of an epoch makes no step."""
    filled = apply_recipe(TrainOptions(recipe=recipe, epochs=3, batch_size=8), 39)
    assert (filled.epochs, filled.steps) == (3, 12)
    filled = apply_recipe(TrainOptions(recipe=recipe, batch_size=8), 39)
    assert filled.epochs is not None
    assert filled.steps == 4 * filled.epochs


@pytest.mark.parametrize("recipe", ["published", "small"])
def test_steps_take_the_place_of_epochs(recipe: Any) -> None:
    filled = apply_recipe(TrainOptions(recipe=recipe, steps=10, epochs=50, batch_size=8), 39)
    assert (filled.steps, filled.epochs) == (10, 3)  # the third is begun
    filled = apply_recipe(TrainOptions(recipe=recipe, steps=8, batch_size=8), 39)
    assert (filled.steps, filled.epochs) == (8, 2)


def test_fewer_samples_than_a_batch_count_as_one_step() -> None:
    assert apply_recipe(TrainOptions(epochs=5, batch_size=8), 3).steps == 5


@pytest.mark.parametrize("recipe", ["auto", "published", "small"])
@pytest.mark.parametrize("steps", [None, 7])
def test_applying_a_recipe_twice_changes_nothing(recipe: Any, steps: int | None) -> None:
    """A resumed run reads options that were filled in before."""
    filled = apply_recipe(TrainOptions(recipe=recipe, steps=steps), 500)
    assert apply_recipe(filled, 500) == filled
    # The recipe stays what it was, whatever the data are now.
    assert apply_recipe(filled, 2 * SMALL).recipe == filled.recipe


def test_the_initial_depth_is_in_the_range() -> None:
    for low, high in ((0.1, 100.0), (0.01, 0.05), (5.0, 6.0), (1e-3, 1e3)):
        for recipe in ("published", "small"):
            given: Any = {"recipe": recipe, "min_depth": low, "max_depth": high}
            depth = apply_recipe(TrainOptions(**given), 500).initial_depth
            assert depth is not None
            assert depth == 0 or low < depth < high


def test_known_motion_needs_no_easier_start(tmp_path: Path) -> None:
    trained = tmp_path / "trained.safetensors"
    trained.touch()
    for given in ({"stereo": "add"}, {"stereo": "only"}, {"checkpoint": str(trained)}):
        options: Any = {"recipe": "small", **given}
        filled = apply_recipe(TrainOptions(**options), 500)
        assert filled.motion_steps == filled.coarse_steps == filled.initial_depth == 0
        assert filled.difference_filters is False


def test_stereo_alone_has_no_motion_to_learn() -> None:
    with pytest.raises(OptionError, match="--motion-steps is 5, but --stereo only .*; give 0"):
        TrainOptions(stereo="only", motion_steps=5)


# --- learning_rate ---


def rates(**given: Any) -> list[float]:
    options = apply_recipe(TrainOptions(**{"learning_rate": 8e-4, "steps": 40, **given}), 500)
    assert options.steps is not None
    return [learning_rate(options, step) for step in range(options.steps)]


def test_warmup_grows_evenly_to_the_full_rate() -> None:
    found = rates(warmup_steps=8)
    assert found[:8] == pytest.approx([1e-4 * (step + 1) for step in range(8)])
    assert found[8:30] == [8e-4] * 22


@pytest.mark.parametrize("warmup", [0, 1])
def test_without_warmup_the_first_step_is_whole(warmup: int) -> None:
    assert rates(warmup_steps=warmup)[:30] == [8e-4] * 30


def test_the_rate_drops_once_to_a_tenth() -> None:
    found = rates(warmup_steps=0, drop_after=0.75)
    assert found == pytest.approx([8e-4] * 30 + [8e-5] * 10)
    assert rates(warmup_steps=0, drop_after=1.0) == [8e-4] * 40
    assert rates(warmup_steps=0, drop_after=0.0) == pytest.approx([8e-5] * 40)


def test_a_warmup_beyond_the_drop_goes_on_below_it() -> None:
    found = rates(warmup_steps=80, drop_after=0.5)
    for half in (found[:20], found[20:]):
        assert all(before < after for before, after in itertools.pairwise(half))
    assert found[19] == pytest.approx(8e-4 * 20 / 80)
    assert found[20] == pytest.approx(8e-4 * 21 / 80 / 10)


def test_tracks_come_first_where_they_determine_the_motion() -> None:
    bare = TrainOptions(steps=600)
    assert apply_recipe(bare, 100, flat=0.99, determined=0.9).pose == "tracks"
    assert apply_recipe(bare, 100, flat=0.99, determined=0.3).pose == "flow"
    assert apply_recipe(bare, 100, flat=0.5, determined=0.3).pose == "separate"
    given = dataclasses.replace(bare, pose="separate")
    assert apply_recipe(given, 100, determined=0.9).pose == "separate"
    for other in ({"recipe": "published"}, {"stereo": "add"}, {"motion_steps": 9}):
        options: Any = other
        changed = dataclasses.replace(bare, **options)
        assert apply_recipe(changed, 100, determined=0.9).pose == "separate"
    tracks = apply_recipe(bare, 100, determined=0.9)
    assert tracks.motion_steps == 0 and tracks.coarse_steps and tracks.initial_depth
    assert apply_recipe(tracks, 100) == tracks


def test_a_trained_model_is_changed_in_small_steps_unless_motion_is_known() -> None:
    tuned = TrainOptions(steps=600, checkpoint="default", decoder="keep")
    assert apply_recipe(tuned, 100).learning_rate == 2e-5
    assert apply_recipe(tuned, 100, determined=0.9).learning_rate == 1e-4
    recorded = dataclasses.replace(tuned, pose="recorded")
    assert apply_recipe(recorded, 100).learning_rate == 1e-4
    assert apply_recipe(recorded, SMALL).learning_rate == 1e-4
    assert apply_recipe(tuned, SMALL).learning_rate == 1e-4


def test_the_decoder_of_a_checkpoint_is_left_open_where_motion_is_known_and_there_is_time() -> None:
    tuned = TrainOptions(steps=FRESH_DECODER_STEPS, checkpoint="default")
    filled = apply_recipe(tuned, 100, determined=0.9)
    assert filled.decoder == "auto" and filled.learning_rate == 1e-4
    assert apply_recipe(filled, 100, determined=0.9) == filled
    assert apply_recipe(dataclasses.replace(tuned, pose="recorded"), 100).decoder == "auto"
    for other in (
        {"steps": FRESH_DECODER_STEPS - 1},
        {"learning_rate": 2e-5},
        {"keep_weight": 0.1},
        {"truth": "add"},
        {"recipe": "published"},
        {"checkpoint": ""},
        {"decoder": "keep"},
    ):
        options: Any = other
        changed = dataclasses.replace(tuned, **options)
        assert apply_recipe(changed, 100, determined=0.9).decoder == "keep"
    assert apply_recipe(tuned, 100).decoder == "keep"  # motion is not known


def test_a_decoder_that_is_left_open_is_fresh_where_the_place_is_hardly_known() -> None:
    tuned = TrainOptions(steps=600, checkpoint="default", pose="tracks")
    filled = apply_recipe(tuned, 100)
    fresh, kept = with_decoder(filled, True), with_decoder(filled, False)
    assert (fresh.decoder, fresh.learning_rate) == ("fresh", 4e-4)
    assert kept == dataclasses.replace(filled, decoder="keep")
    for decided in (fresh, kept):
        assert with_decoder(decided, True) == with_decoder(decided, False) == decided
        assert apply_recipe(decided, 100) == decided


def test_a_decoder_that_is_asked_for_is_fresh_at_the_rate_that_is_asked_for() -> None:
    asked = TrainOptions(steps=10, checkpoint="default", pose="tracks", decoder="fresh")
    assert apply_recipe(asked, 100).learning_rate == 4e-4
    slow = dataclasses.replace(asked, learning_rate=3e-5)
    assert with_decoder(apply_recipe(slow, 100), True).learning_rate == 3e-5
    with pytest.raises(OptionError, match="--checkpoint"):
        TrainOptions(decoder="fresh")
    with pytest.raises(OptionError, match="--keep-weight"):
        TrainOptions(decoder="fresh", checkpoint="default", keep_weight=0.1)


def test_a_new_model_is_changed_in_large_steps_where_motion_is_known() -> None:
    new = TrainOptions(steps=600)
    assert apply_recipe(new, 100).learning_rate == 1e-4
    assert apply_recipe(new, 100, determined=0.9).learning_rate == 4e-4
    assert apply_recipe(dataclasses.replace(new, pose="recorded"), 100).learning_rate == 4e-4
    assert apply_recipe(dataclasses.replace(new, pose="tracks"), SMALL).learning_rate == 1e-4
