# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`threads: 0`: all cores, or one where that is as good on a busy machine, measured once."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

pytest.importorskip("openvino")

from clocks import StoppedClock

from monodepth2_ros.backends import openvino_threads as module
from monodepth2_ros.backends import processor
from monodepth2_ros.backends.kept_answers import KeptAnswers, time_in_turns
from monodepth2_ros.checkpoint import CheckpointMetadata, random_checkpoint

METADATA = CheckpointMetadata(18, 96, 64)
ALL, ONE = 0, 1


class Graph:
    """Stands for a compiled graph; each run takes the next of some times."""

    def __init__(self, clock, *seconds):
        self.clock, self.seconds, self.runs = clock, seconds, 0

    def create_infer_request(self):
        return self

    def infer(self, inputs, **options):
        self.clock.now += self.seconds[self.runs % len(self.seconds)]
        self.runs += 1


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(processor, "usable_cores", lambda: 4)
    monkeypatch.setattr(module, "processor_name", lambda: "a processor")


def choose(
    file, one, everything, busy=True, precision="fp32", metadata=METADATA, load=1.0, later=None
):
    """Choose between graphs of these times; return the choice and what was compiled."""
    clock = StoppedClock()
    graphs = {ALL: Graph(clock, *everything), ONE: Graph(clock, *one)}
    asked = []
    given = [] if later is None else later

    def compile_graph(threads):
        asked.append(threads)
        return graphs[threads]

    threads, graph = module.choose(
        *(compile_graph, KeptAnswers(file), metadata, precision, lambda: busy, clock),
        load=lambda: load,
        later=given.append,
    )
    assert later is not None or not given  # nothing is left to be done unless a test asks for it
    assert graph is graphs[threads]
    return threads, asked


@pytest.mark.parametrize(
    ("one", "everything", "expected"),
    [
        ([0.010], [0.004], ALL),
        ([0.010], [0.0095], ONE),  # not worth the other cores
        ([0.010], [0.012], ONE),
        # The quickest run of all cores is what nobody disturbed: most were disturbed.
        ([0.010], [0.004, 0.030, 0.030], ONE),
        ([0.010, 0.040, 0.040], [0.009], ALL),
    ],
)
def test_one_thread_unless_all_cores_gain(tmp_path, one, everything, expected):
    assert choose(tmp_path / "threads.json", one, everything) == (expected, [ALL, ONE])


def test_a_machine_that_is_not_busy_gives_all_its_cores(tmp_path):
    file = tmp_path / "threads.json"
    assert choose(file, [0.010], [0.010], busy=False) == (ALL, [ALL])
    assert not file.exists()
    assert choose(file, [0.010], [0.010]) == (ONE, [ALL, ONE])
    assert choose(file, [0.010], [0.010], busy=False) == (
        ALL,
        [ALL],
    )  # what is kept is of busy ones


def test_a_single_core_is_all(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    assert choose(tmp_path / "threads.json", [0.010], [0.010]) == (ALL, [ALL])


def test_it_is_measured_once_for_a_size_and_a_processor(tmp_path, monkeypatch):
    file = tmp_path / "cache" / "threads.json"
    assert choose(file, [0.010], [0.010]) == (ONE, [ALL, ONE])
    assert choose(file, [0.010], [0.001]) == (ONE, [ONE])
    assert choose(file, [0.010], [0.001], precision="bf16") == (ALL, [ALL, ONE])
    larger = CheckpointMetadata(18, 192, 128)
    assert choose(file, [0.010], [0.001], metadata=larger) == (ALL, [ALL, ONE])
    monkeypatch.setattr(module, "processor_name", lambda: "another")
    assert choose(file, [0.010], [0.001]) == (ALL, [ALL, ONE])
    assert choose(file, [0.010], [0.001]) == (ALL, [ALL])


def test_what_a_very_busy_machine_said_is_measured_once_more(tmp_path):
    file = tmp_path / "threads.json"
    assert choose(file, [0.010], [0.010], load=5.0) == (ONE, [ALL, ONE])
    assert choose(file, [0.010], [0.001], load=3.0) == (ONE, [ONE])
    later = []
    assert choose(file, [0.010], [0.001], load=1.0, later=later) == (ONE, [ONE])
    [look_again] = later
    look_again()
    assert choose(file, [0.010], [0.010], load=0.6) == (ALL, [ALL])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"%s": {"threads": 7}}', '{"%s": 3}'])
def test_damaged_answers_are_measured_again(tmp_path, content):
    file = tmp_path / "threads.json"
    choose(file, [0.010], [0.010])
    [key] = json.loads(file.read_text())
    file.write_text(content.replace("%s", key))
    assert choose(file, [0.010], [0.010]) == (ONE, [ALL, ONE])
    assert json.loads(file.read_text())[key]["threads"] == ONE


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").touch()
    assert choose(tmp_path / "file" / "threads.json", [0.010], [0.010])[0] == ONE


@pytest.mark.parametrize(("load", "expected"), [(0.0, False), (1.9, False), (2.0, True)])
def test_a_machine_is_busy_if_others_want_half_of_it(monkeypatch, load, expected):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert processor.is_busy() == expected


def test_where_the_load_is_not_known_nothing_is_measured(monkeypatch):
    def fail():
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fail)
    assert not processor.is_busy()


def test_turns_end_with_the_budget_but_not_before_there_are_enough():
    clock = StoppedClock()
    order = []

    def run(name, seconds):
        def go():
            order.append(name)
            clock.now += seconds

        return go

    slow = time_in_turns({"a": run("a", 3.0), "b": run("b", 1.0)}, 1.0, (2, 9), clock)
    assert slow == {"a": [3.0, 3.0], "b": [1.0, 1.0]}
    assert order == ["a", "b", "a", "b"]
    quick = time_in_turns({"a": run("a", 0.25)}, 1.0, (2, 9), clock)
    assert len(quick["a"]) == 5  # the last begins at the budget's very end
    assert len(time_in_turns({"a": run("a", 0.0)}, 1.0, (2, 9), clock)["a"]) == 9


@pytest.mark.parametrize(
    ("threads", "busy", "expected"), [(0, True, ONE), (0, False, 0), (2, True, 2)]
)
def test_the_network_gives_the_same_depth_whatever_was_chosen(
    tmp_path, monkeypatch, threads, busy, expected
):
    from monodepth2_ros.backends.openvino_backend import OpenVINOBackend

    monkeypatch.setattr(module, "is_busy", lambda: busy)
    monkeypatch.setattr(module, "_GAIN", float("inf"))  # one thread wherever it is a question
    checkpoint = random_checkpoint(18, 96, 64)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    exact = np.array(OpenVINOBackend(checkpoint, "fp32", 1, tmp_path).disparity(image))
    backend = OpenVINOBackend(checkpoint, "auto", threads, tmp_path)
    assert backend.threads == expected
    assert backend.precision == "fp32"
    np.testing.assert_allclose(backend.disparity(image), exact, rtol=1e-5)
