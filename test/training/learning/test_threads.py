# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Threads of a long training: fewer on a busy machine where that is faster, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from training.learning import threads as module
from training.learning.threads import ThreadChoice, choose_threads, take_idle_cores


def choose(most: int, load: float, seconds: Callable[[int], float]) -> ThreadChoice:
    """Choose where the work takes these seconds with a number of threads."""
    now = 0.0

    def work(count: int) -> None:
        nonlocal now
        now += seconds(count)

    return choose_threads(most, load, work, clock=lambda: now)


def test_all_threads_where_they_are_fastest_and_fewer_where_others_hold_them_up() -> None:
    assert choose(2, 1.0, lambda count: 1 / count).threads == 2
    held_up = choose(2, 3.0, lambda count: {2: 2.4, 1: 0.7}[count])
    assert held_up.threads == 1
    assert str(held_up).startswith("1 of 2 threads, as other programs use this machine: 3.4 times")
    # A little faster is not enough: the other programs may end, and the run goes on for hours.
    assert choose(2, 1.0, lambda count: {2: 1.0, 1: 0.8}[count]).threads == 2


def test_as_many_threads_as_there_are_idle_cores() -> None:
    choice = choose(16, 5.2, lambda count: 10.0 if count > 11 else 1 / count)
    assert choice.threads == 11 and set(choice.seconds) == {16, 11, 1}
    assert set(choose(4, 40.0, lambda count: 1.0).seconds) == {4, 1}


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_nothing_is_measured_on_an_idle_machine_or_where_the_user_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(module, "_convolve", asked.append)
    monkeypatch.setattr(module, "is_busy", lambda: False)
    assert take_idle_cores() is None and torch.get_num_threads() == 2
    monkeypatch.setattr(module, "is_busy", lambda: True)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert take_idle_cores() is None and not asked


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("chosen", [1, 2])
def test_torch_takes_what_was_chosen(monkeypatch: pytest.MonkeyPatch, chosen: int) -> None:
    monkeypatch.setattr(module, "is_busy", lambda: True)
    monkeypatch.setattr(module.os, "getloadavg", lambda: (1.0, 1.0, 1.0))
    real = choose_threads
    worked: list[int] = []

    def decide(most: int, load: float, work: Callable[[int], object]) -> ThreadChoice:
        def noted(count: int) -> None:
            worked.append(count)
            work(count)

        return ThreadChoice(chosen, real(most, load, noted).seconds)

    monkeypatch.setattr(module, "choose_threads", decide)
    found = take_idle_cores()
    assert torch.get_num_threads() == chosen
    assert (found is None) == (chosen == 2)
    assert {1, 2} <= set(worked)
