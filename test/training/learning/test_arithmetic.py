# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Precision and memory layout of training on a CPU: tried once, kept, and the same to the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from monodepth2_ros.backends.kept_answers import KeptAnswers
from training.learning import arithmetic as module
from training.learning.arithmetic import (
    Arithmetic,
    find_choice,
    keep_choice,
    known_choice,
    open_choices,
    question,
    with_arithmetic,
)
from training.learning.learner import Learner
from training.learning.options import TrainOptions
from training.objective import SelfSupervisedObjective

PLAIN, LAST = Arithmetic(False, False), Arithmetic(False, True)
HALF, HALF_LAST = Arithmetic(True, False), Arithmetic(True, True)


@pytest.fixture
def can_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda: True)


def learner() -> Learner:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    return Learner(model, SelfSupervisedObjective(), (True, False))


def choose(choices: list[Arithmetic], costs: dict[Arithmetic, list[float]]) -> Arithmetic:
    """Choose where steps take these seconds, one after the other."""
    now = 0.0
    taken = {one: 0 for one in choices}

    def step(tried: Learner) -> float:
        nonlocal now
        kind = module.arithmetic_of(tried)
        seconds = costs[kind][taken[kind] % len(costs[kind])]
        taken[kind] += 1
        now += seconds
        return seconds

    choice, seconds = find_choice(choices, learner(), step, clock=lambda: now)
    assert set(seconds) == {str(one) for one in choices}
    return choice


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ({LAST: [1.0], PLAIN: [0.5], HALF: [0.8], HALF_LAST: [0.7]}, PLAIN),
        ({LAST: [1.0], PLAIN: [1.2], HALF: [1.1], HALF_LAST: [0.3]}, HALF_LAST),
        ({LAST: [1.0], PLAIN: [0.97], HALF: [2.0], HALF_LAST: [2.0]}, LAST),  # not worth a change
        ({LAST: [9.0], PLAIN: [9.5], HALF: [7.0], HALF_LAST: [6.0]}, HALF_LAST),  # one round only
        # Others have disturbed the fastest in the first round.
        ({LAST: [1.0], PLAIN: [1.2], HALF: [1.1], HALF_LAST: [3.0, 0.3, 2.0]}, HALF_LAST),
    ],
)
def test_the_fastest_is_taken(costs: dict[Arithmetic, list[float]], expected: Arithmetic) -> None:
    assert choose([LAST, PLAIN, HALF, HALF_LAST], costs) == expected


def test_processes_decide_alike() -> None:
    """One process alone would take the other: what counts is the mean over all."""
    costs = {LAST: 1.0, PLAIN: 0.8}
    means = {1.0: 1.0, 0.8: 1.5}  # the other process took 2.2 s
    choice, _ = find_choice(
        [LAST, PLAIN],
        learner(),
        lambda tried: costs[module.arithmetic_of(tried)],
        average=means.__getitem__,
        clock=lambda: 0.0,
    )
    assert choice == LAST


def test_the_networks_are_left_as_they_are() -> None:
    own = learner()
    before = {name: value.clone() for name, value in own.model.state_dict().items()}
    find_choice([PLAIN, LAST], own, lambda tried: 1.0, clock=lambda: 0.0)
    for name, value in own.model.state_dict().items():
        assert value.is_contiguous() and torch.equal(value, before[name])


@pytest.mark.parametrize("choice", [PLAIN, LAST, HALF, HALF_LAST])
def test_weights_change_their_layout_and_not_their_values(choice: Arithmetic) -> None:
    own = learner()
    before = {name: value.clone() for name, value in own.model.state_dict().items()}
    changed = with_arithmetic(with_arithmetic(own, HALF_LAST), choice)
    assert (changed.bfloat16, changed.channels_last) == (choice.bfloat16, choice.channels_last)
    weight = next(changed.model.parameters())
    is_last = weight.is_contiguous(memory_format=torch.channels_last)
    assert is_last == choice.channels_last and weight.is_contiguous() != choice.channels_last
    for name, value in changed.model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("options", "default", "expected"),
    [
        ({}, LAST, [LAST, PLAIN, HALF, HALF_LAST]),
        ({"precision": "fp32"}, LAST, [LAST, PLAIN]),
        ({"precision": "bf16"}, HALF, [HALF, HALF_LAST]),
        ({"channels_last": "no"}, PLAIN, [PLAIN, HALF]),
        ({"precision": "fp32", "channels_last": "yes"}, LAST, [LAST]),
    ],
)
def test_what_the_options_say_is_not_tried(
    can_bfloat16: None, options: dict[str, Any], default: Arithmetic, expected: list[Arithmetic]
) -> None:
    assert open_choices(TrainOptions(**options), default) == expected


def test_bfloat16_is_not_tried_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda: False)
    assert open_choices(TrainOptions(), PLAIN) == [PLAIN, LAST]


def test_an_answer_is_for_a_processor_a_size_and_what_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, options = KeptAnswers(tmp_path / "training.json"), TrainOptions()
    monkeypatch.setattr(module, "processor_name", lambda: "a processor")
    asked = question(options, 96, 64)
    choices = [LAST, PLAIN]
    assert known_choice(choices, answers, asked) is None
    keep_choice(PLAIN, {"a": 1.0}, choices, answers, asked)
    assert known_choice(choices, answers, asked) == PLAIN
    assert known_choice([LAST, PLAIN, HALF], answers, asked) is None
    assert known_choice([LAST], answers, asked) == LAST  # nothing is open
    assert known_choice(choices, answers, question(options, 192, 64)) is None
    assert known_choice(choices, answers, question(TrainOptions(num_layers=50), 96, 64)) is None
    monkeypatch.setattr(module, "processor_name", lambda: "another")
    assert known_choice(choices, answers, question(options, 96, 64)) is None


@pytest.mark.parametrize("content", ["", "[]", '{"%s": {"choice": "float8"}}', '{"%s": 1}'])
def test_a_damaged_answer_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "training.json"
    answers, choices, asked = KeptAnswers(file), [LAST, PLAIN], question(TrainOptions(), 96, 64)
    keep_choice(PLAIN, {}, choices, answers, asked)
    [key] = json.loads(file.read_text())
    file.write_text(content.replace("%s", key))
    assert known_choice(choices, answers, asked) is None
