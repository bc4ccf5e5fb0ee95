# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzer; `python test/support/fuzz_files.py --count 100000` is a long one."""

from __future__ import annotations

import pytest

import fuzz_files


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "checkpoint",
        "store",
        "prediction",
        "extraction progress",
        "resume.pt",
        "options",
        "recipe",
        "recording",
    ],
)
def test_damaged_files_give_the_errors_that_are_promised(kind: str) -> None:
    """Every mutation is read, or refused by the reader's own error."""
    outcomes, findings = fuzz_files.fuzz(count=60, seed=7, only=kind)
    assert findings == []
    assert sum(number for name, number in outcomes.items() if name.endswith("refused")) > 10
