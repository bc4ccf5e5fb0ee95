# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counting what a computation must take, against counts by hand."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from torch import nn

from paths import REPOSITORY

# By its path: benchmark/ on the path of modules would put benchmark/training.py before the package.
_SPEC = importlib.util.spec_from_file_location("ceilings", REPOSITORY / "benchmark" / "ceilings.py")
ceilings = sys.modules["ceilings"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ceilings)
Ceilings, Work, count_work = ceilings.Ceilings, ceilings.Work, ceilings.count_work


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_convolution_is_counted_by_hand(mode):
    network = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=True)
    image = torch.zeros(2, 3, 10, 12)
    with mode():
        work = count_work(lambda: network(image).relu())
    outputs = 2 * 8 * 5 * 6
    assert work.multiply_adds == outputs * 3 * 9
    assert work.bytes == 4 * (image.numel() + 8 * 3 * 9 + 8 + outputs)


def test_products_add_up_in_their_own_types():
    left, right = torch.zeros(4, 5), torch.zeros(5, 6)
    half = torch.zeros(7, 5, dtype=torch.bfloat16), torch.zeros(5, 2, dtype=torch.bfloat16)
    work = count_work(lambda: (left @ right, half[0] @ half[1]))
    assert work.multiply_adds == 4 * 5 * 6 + 7 * 5 * 2
    assert work.bytes == 4 * (20 + 30 + 24) + 2 * (35 + 10 + 14)


def test_a_backward_pass_is_counted():
    network = nn.Conv2d(3, 8, 3, bias=False)
    image = torch.zeros(1, 3, 10, 12, requires_grad=True)
    forward = count_work(lambda: network(image)).multiply_adds
    both = count_work(lambda: network(image).sum().backward()).multiply_adds
    assert both == 3 * forward  # once more for the image's gradient, and once for the weights'


def test_the_floor_is_the_longer_of_two_times():
    ceilings = Ceilings(multiply_adds_per_s=1e9, bytes_per_s=1e10)
    assert ceilings.floor_s(Work(multiply_adds=2_000_000, bytes=10)) == pytest.approx(2e-3)
    assert ceilings.floor_s(Work(multiply_adds=2_000_000, bytes=50_000_000)) == pytest.approx(5e-3)
