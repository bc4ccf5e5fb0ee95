# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`precision: auto` on a CPU: measured, kept, and never at the cost of the depth."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("openvino")

from clocks import StoppedClock

from monodepth2_ros.backends import precision_choice as module
from monodepth2_ros.backends.kept_answers import KeptAnswers
from monodepth2_ros.checkpoint import CheckpointMetadata

METADATA = CheckpointMetadata(18, 96, 64)


class Graph:
    """Stands for a compiled graph: takes a time of the clock and gives a disparity."""

    clock = StoppedClock()

    def __init__(self, seconds, factor=1.0):
        self.seconds, self.factor, self.runs = seconds, factor, 0

    def create_infer_request(self):
        return self

    def infer(self, inputs, **options):
        self.runs += 1
        self.clock.now += self.seconds
        # Near, where depth is proportional to 1 / disparity.
        return [np.full((1, 1, 64, 96), 0.5 * self.factor, np.float32)]


@pytest.fixture
def can_bfloat16(monkeypatch):
    monkeypatch.setattr(module, "has_bfloat16", lambda: True)
    monkeypatch.setattr(module, "processor_name", lambda: "a processor")


def choose(graphs, file, threads=0, load=0.0, later=None):
    """Choose; return the precision and for which ones the graph was compiled."""
    asked = []
    given = [] if later is None else later

    def compile_graph(precision):
        asked.append(precision)
        return graphs[precision]

    precision, graph = module.choose(
        *(compile_graph, KeptAnswers(file), METADATA, threads),
        clock=Graph.clock,
        load=lambda: load,
        later=given.append,
    )
    assert later is not None or not given  # nothing is left to be done unless a test asks for it
    assert graph is (graphs[precision] if asked else None)
    return precision, asked


@pytest.mark.parametrize(
    ("bf16", "expected"),
    [
        (Graph(0.001), "bf16"),
        (Graph(0.02), "fp32"),  # slower
        (Graph(0.001, factor=1.002), "bf16"),
        (Graph(0.001, factor=1.004), "fp32"),  # depth changes by 0.4 %
        (Graph(0.001, factor=float("nan")), "fp32"),
    ],
)
def test_bfloat16_must_be_faster_and_keep_the_depth(can_bfloat16, tmp_path, bf16, expected):
    graphs = {"fp32": Graph(0.01), "bf16": bf16}
    assert choose(graphs, tmp_path / "answers.json") == (expected, ["fp32", "bf16"])


def test_it_is_measured_once_for_a_processor(can_bfloat16, tmp_path, monkeypatch):
    file = tmp_path / "answers.json"
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    choose(graphs, file)
    runs = graphs["bf16"].runs
    assert choose(graphs, file) == ("bf16", [])
    assert graphs["bf16"].runs == runs
    assert len(choose(graphs, file, threads=1)[1]) == 2
    monkeypatch.setattr(module, "processor_name", lambda: "another")
    assert len(choose(graphs, file)[1]) == 2
    assert {answer["processor"] for answer in json.loads(file.read_text()).values()} == {
        "a processor",
        "another",
    }


@pytest.mark.parametrize("content", ["", "{", "[]", '{"%s": {"precision": "fp8"}}', '{"%s": 3}'])
def test_damaged_answers_are_measured_again(can_bfloat16, tmp_path, content):
    file = tmp_path / "answers.json"
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    choose(graphs, file)
    [key] = json.loads(file.read_text())
    file.write_text(content.replace("%s", key))
    assert choose(graphs, file) == ("bf16", ["fp32", "bf16"])
    assert json.loads(file.read_text())[key]["precision"] == "bf16"


def test_a_cache_that_cannot_be_written_costs_only_time(can_bfloat16, tmp_path):
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    (tmp_path / "file").touch()
    assert choose(graphs, tmp_path / "file" / "answers.json")[0] == "bf16"


def test_without_bfloat16_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "has_bfloat16", lambda: False)
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    assert choose(graphs, tmp_path / "answers.json") == ("fp32", [])
    assert graphs["fp32"].runs == 0


def test_what_a_busy_machine_said_is_measured_once_more(can_bfloat16, tmp_path):
    file = tmp_path / "answers.json"
    busy = {"fp32": Graph(0.01), "bf16": Graph(0.02)}
    quiet = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    assert choose(busy, file, load=4.0) == ("fp32", ["fp32", "bf16"])
    assert choose(quiet, file, load=2.1)[0] == "fp32"  # about as busy: nothing to be gained
    later = []
    # The start itself does not wait for it.
    assert choose(quiet, file, load=0.1, later=later) == ("fp32", [])
    [look_again] = later
    look_again()
    [answer] = json.loads(file.read_text()).values()
    assert (answer["precision"], answer["load"], answer["again"]) == ("bf16", 0.1, True)
    assert choose(busy, file, load=0.0) == ("bf16", [])  # once


def test_what_a_quiet_machine_said_stays(can_bfloat16, tmp_path):
    file = tmp_path / "answers.json"
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    choose(graphs, file, load=0.4)
    assert choose(graphs, file, load=0.0) == ("bf16", [])


def test_an_answer_of_an_earlier_version_is_measured_once_more(can_bfloat16, tmp_path):
    file = tmp_path / "answers.json"
    graphs = {"fp32": Graph(0.01), "bf16": Graph(0.001)}
    choose(graphs, file)
    [(key, answer)] = json.loads(file.read_text()).items()
    for added in ("load", "again"):
        del answer[added]
    file.write_text(json.dumps({key: answer}))
    later = []
    assert choose(graphs, file, load=3.0, later=later) == ("bf16", [])
    later[0]()
    assert json.loads(file.read_text())[key]["again"]
