# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model card says what the shipped file and its recipe say."""

from __future__ import annotations

import importlib.util
import re

import pytest

from monodepth2_ros.checkpoint import open_checkpoint
from paths import REPOSITORY
from training.default_model import RECIPE, Recipe

CARD = REPOSITORY / "docs" / "reference" / "model_card.md"


@pytest.fixture(scope="module")
def make_model_card():
    pytest.importorskip("torch", reason="torch, which its pictures need, is not installed")
    path = REPOSITORY / "docs" / "make_model_card.py"
    spec = importlib.util.spec_from_file_location("make_model_card", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def card():
    return CARD.read_text()


def test_its_tables_are_the_figures_that_the_file_carries(make_model_card, card):
    figures = open_checkpoint("").metadata.provenance["figures"]
    assert set(make_model_card.NAMES) == set(figures)
    written = card.partition(make_model_card.BEGIN)[2].partition(make_model_card.END)[0]
    assert written.strip() == make_model_card.tables(figures)


def test_its_worlds_are_those_of_the_recipe(card):
    recipe = Recipe.read(RECIPE)
    (row,) = (line for line in card.splitlines() if re.match(r"\| \d+ rendered worlds of", line))
    total, frames, *counts = map(int, re.findall(r"\d+", row))
    assert sorted(counts) == sorted(group.count for group in recipe.worlds.values())
    assert (total, frames) == (sum(counts), recipe.frames)
    for name, licence in recipe.recordings.items():
        (row,) = (
            line for line in card.splitlines() if line.startswith(f"| {name},") and "first" in line
        )
        assert licence in row and f"first {100 * (1 - recipe.validation_fraction):.0f} %" in row
    for name in recipe.foreign_recordings:
        assert name in card


def test_it_is_finished_and_shows_what_it_names(card):
    assert "@" not in card
    pictures = re.findall(r"\]\((\.\./images/[^)]+)\)", card)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (CARD.parent / picture).is_file(), picture


def test_only_what_stands_between_the_marks_is_replaced(make_model_card):
    begin, end = make_model_card.BEGIN, make_model_card.END
    changed = make_model_card.put_between(f"a {begin} old {end} b", "new")
    assert changed == f"a {begin}\n\nnew\n\n{end} b"
    with pytest.raises(ValueError, match="lacks the lines"):
        make_model_card.put_between("no marks", "new")
