# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the network should use one thread or all cores while other programs want them, too.

All cores are best on a machine that has nothing else to do. On a busy one each layer ends with its
slowest thread, so that one thread may be as fast, and it leaves the other cores to others. Both are
timed at the first start on a busy machine, once for a size of the network and a processor, and the
answer is kept for the next such starts, with the load of the machine: see
:mod:`monodepth2_ros.backends.second_look`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from monodepth2_ros.backends.kept_answers import KeptAnswers, time_in_turns
from monodepth2_ros.backends.processor import is_busy, processor_name, usable_cores
from monodepth2_ros.backends.second_look import Later, kept_or_measured, look_later
from monodepth2_ros.checkpoint import CheckpointMetadata

# One thread is taken unless all cores are faster by this factor: what it leaves idle has a worth.
_GAIN = 1.1

# Seconds and rounds to spend on timing; both take turns.
_SECONDS = 0.5
_ROUNDS = (5, 25)

#: Compiles the graph for one thread (1) or all cores (0).
Compile = Callable[[int], Any]


def choose(
    compile_graph: Compile,
    answers: KeptAnswers,
    metadata: CheckpointMetadata,
    precision: str,
    busy: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    load: Callable[[], float] | None = None,
    later: Later = look_later,
) -> tuple[int, Any]:
    """Return how many threads to use, and the graph compiled for them.

    An answer that was measured on a busier machine is used, and measured again in the background.

    Parameters
    ----------
    compile_graph : callable
    answers : KeptAnswers
        About graphs of any weights: the size decides.
    metadata : CheckpointMetadata
    precision : str
        The graph's.
    busy : callable, optional
        Whether the machine is busy, by default :func:`is_busy`; asked once.
    clock : callable
    load : callable, optional
        The machine's load for each core, by default :func:`machine_load`.
    later : callable
        Does something in the background.

    Returns
    -------
    int
        1, or 0 for all cores.
    openvino.CompiledModel
    """
    if usable_cores() < 2 or not (busy or is_busy)():
        return 0, compile_graph(0)
    size = (metadata.num_layers, metadata.width, metadata.height)
    question = (processor_name(), usable_cores(), precision, *size)

    def find() -> tuple[dict[str, Any], dict[str, Any]]:
        compiled = {"all": compile_graph(0), "one": compile_graph(1)}
        seconds = _time(compiled, metadata, clock)
        threads = 1 if seconds["one"] <= _GAIN * seconds["all"] else 0
        return {"threads": threads, "seconds": seconds, "processor": processor_name()}, compiled

    def is_known(kept: Mapping[str, Any]) -> bool:
        threads = kept.get("threads")
        return type(threads) is int and threads in (0, 1)  # True and 1.0 are equal to 1, too

    answer, compiled = kept_or_measured(answers, question, is_known, find, load, later)
    threads = answer["threads"]
    if compiled is None:
        return threads, compile_graph(threads)
    return threads, compiled["one" if threads else "all"]


def _time(
    compiled: dict[str, Any], metadata: CheckpointMetadata, clock: Callable[[], float]
) -> dict[str, float]:
    """Return the seconds that compiled graphs take, by their names."""
    image = np.zeros((1, metadata.height, metadata.width, 3), np.uint8)

    def run(name: str) -> Callable[[], Any]:
        request = compiled[name].create_infer_request()
        request.infer([image])  # the first one puts weights into another layout
        return lambda: request.infer([image], share_inputs=True, share_outputs=True)

    taken = time_in_turns({name: run(name) for name in compiled}, _SECONDS, _ROUNDS, clock)
    # The medians: how others get in the way is just what is asked.
    return {name: float(np.median(values)) for name, values in taken.items()}
