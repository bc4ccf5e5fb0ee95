# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The optimiser takes torch's steps to the bit, and never asks for its compiler."""

from __future__ import annotations

import copy

import pytest
import torch

from training.learning.optimizer import EagerAdam


def learned(optimizer_class: type[torch.optim.Adam], fused: bool) -> tuple[torch.nn.Module, dict]:
    """Take some steps, with the rate changed and the state read back on the way."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))
    optimizer = optimizer_class(network.parameters(), lr=1e-2, fused=fused)
    for step in range(6):
        optimizer.zero_grad(set_to_none=True)
        network(torch.randn(4, 5)).square().sum().backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (1 + step)
        optimizer.step()
        if step == 3:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = optimizer_class(network.parameters(), lr=1.0, fused=fused)
            optimizer.load_state_dict(state)
    return network, optimizer.state_dict()


@pytest.mark.parametrize("fused", [False, True])
def test_steps_and_state_are_those_of_torch(fused: bool) -> None:
    (own, state), (theirs, expected) = (
        learned(kind, fused) for kind in (EagerAdam, torch.optim.Adam)
    )
    for mine, its in zip(own.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)
    assert state["param_groups"] == expected["param_groups"]
    for index, values in expected["state"].items():
        for name, value in values.items():
            assert torch.equal(state["state"][index][name], value)


def test_a_step_is_not_differentiated() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = EagerAdam([weight], lr=0.1)
    weight.square().sum().backward()
    optimizer.step()
    assert weight.is_leaf and weight.requires_grad and torch.is_grad_enabled()
