# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The table of benchmark/unseen.py says what was kept, not what was best by chance."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from paths import REPOSITORY

pytest.importorskip("torch", reason="torch is not installed")

_SPEC = importlib.util.spec_from_file_location("unseen", REPOSITORY / "benchmark" / "unseen.py")
unseen = sys.modules["unseen"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(unseen)


def write_run(folder: Path, changed: float) -> None:
    """Write what a run leaves: its start, and a validation that is better at corners."""
    folder.mkdir(parents=True)
    start = {"step": 0, "loss": 0.1, "abs_rel": None, "sparse": 0.20, "spread": 0.5}
    start["baselines"] = {"sparse_constant": 0.4, "sparse_noise": 0.05}
    later = {**start, "step": 50, "sparse": 0.15, "changed": changed}
    last = {**start, "step": 100, "sparse": 0.18, "changed": changed}
    lines = [json.dumps(entry) for entry in (start, later, last)]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(("changed", "kept"), [(0.1, "0.150"), (0.9, "0.200")])
def test_a_row_says_what_was_kept(tmp_path: Path, changed: float, kept: str) -> None:
    run = unseen.Run("street", "shipped", "default", 0)
    write_run(tmp_path / run.name, changed)
    row = unseen.table([run], tmp_path).splitlines()[-1]
    assert "| triangulated | 0.200 | " + kept + " | 0.180 |" in row
    assert "not finished" in row


def test_ground_truth_that_a_run_did_not_see_stands_below_its_own_judge(tmp_path: Path) -> None:
    run, trunk = (unseen.Run("street", start, "default", 0) for start in ("shipped", "trunk"))
    for one, figures in (
        (run, {"start": 0.11, "best": 0.12, "last": 0.13}),
        (trunk, {"best": 0.14, "last": 0.15}),
    ):
        write_run(tmp_path / one.name, 0.1)
        report = tmp_path / one.name / unseen.COMPARED
        report.write_text(json.dumps(figures), encoding="utf-8")
    heading, _, *rows = unseen.table([run, trunk], tmp_path).splitlines()
    assert "ground truth, not seen | 0.110 | 0.120 | 0.130 |" in rows[1]
    assert "ground truth, not seen |  | 0.140 | 0.150 |" in rows[3]
    assert {row.count("|") for row in rows} == {heading.count("|")}
