# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether to compute in float32 or bfloat16 on this processor, by trying both.

What a processor's flags promise does not tell: with AMX bfloat16 is several times as fast, with
AVX512_BF16 alone one processor is twice as fast and another one slower. So both are timed, once for
a network and a processor, and the answer is kept next to the compiled graph, with the load of the
machine: see :mod:`monodepth2_ros.backends.second_look`. OpenVINO's graphs and torch's networks are
judged by the same rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.backends.kept_answers import KeptAnswers, time_in_turns
from monodepth2_ros.backends.processor import has_bfloat16, processor_name
from monodepth2_ros.backends.second_look import Later, kept_or_measured, look_later
from monodepth2_ros.checkpoint import CheckpointMetadata

#: bfloat16 is taken if depth changes by no more than this, relative, in the mean over an image.
LARGEST_CHANGE = 0.003

# ... and if it takes less than this share of the time of float32.
_GAIN = 0.95

# Seconds and rounds to spend on timing; both take turns.
_SECONDS = 0.4
_ROUNDS = (3, 20)

#: Compiles the graph for "fp32" or "bf16".
Compile = Callable[[str], Any]

#: From an image (H, W, 3), uint8, of the network's size to its sigmoid disparity.
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def run_of_graph(compiled: Any) -> Run:
    """Return what runs a compiled graph of OpenVINO; results hold until the next call."""
    request = compiled.create_infer_request()

    def run(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = request.infer([image[None]], share_inputs=True, share_outputs=True)
        disparity: NDArray[np.float32] = outputs[0]
        return disparity

    return run


def choose(
    compile_graph: Compile,
    answers: KeptAnswers,
    metadata: CheckpointMetadata,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
    run_of: Callable[[Any], Run] = run_of_graph,
    load: Callable[[], float] | None = None,
    later: Later = look_later,
) -> tuple[str, Any]:
    """Return the faster precision that keeps the depth.

    An answer that was measured on a busier machine is used, and measured again in the background.

    Parameters
    ----------
    compile_graph : callable
    answers : KeptAnswers
        About this graph.
    metadata : CheckpointMetadata
    threads : int
        As the user asked for; the answer may depend on it.
    clock : callable
    run_of : callable
        Returns what runs a graph that was compiled.
    load : callable, optional
        The machine's load for each core, by default :func:`machine_load`.
    later : callable
        Does something in the background.

    Returns
    -------
    str
        "fp32" or "bf16".
    openvino.CompiledModel or None
        The graph compiled for it, if it had to be to find out.
    """
    if not has_bfloat16():
        return "fp32", None
    question = ("precision", processor_name(), threads)

    def find() -> tuple[dict[str, Any], dict[str, Any]]:
        compiled = {name: compile_graph(name) for name in ("fp32", "bf16")}
        runs = {name: run_of(graph) for name, graph in compiled.items()}
        return {**measure(runs, metadata, clock), "processor": processor_name()}, compiled

    answer, compiled = kept_or_measured(
        answers, question, lambda kept: kept.get("precision") in ("fp32", "bf16"), find, load, later
    )
    precision = str(answer["precision"])
    return precision, None if compiled is None else compiled[precision]


def measure(
    runs: dict[str, Run],
    metadata: CheckpointMetadata,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Time both precisions in turns and compare their depth.

    Parameters
    ----------
    runs : dict of str to callable
        "fp32" and "bf16".
    metadata : CheckpointMetadata
    clock : callable

    Returns
    -------
    dict
        "precision", what to take; "seconds" of each; "change", the largest mean relative change
        of depth over the test images.
    """
    images = _test_images(metadata.width, metadata.height)
    order = ("fp32", "bf16")
    changes = []
    for image in images:
        exact, rounded = (np.array(runs[name](image)) for name in order)
        changes.append(relative_change(exact, rounded, metadata))
    change = float(np.max(changes))  # NaN if one is

    def timed(name: str) -> Callable[[], Any]:
        return lambda: runs[name](images[0])

    taken = time_in_turns({name: timed(name) for name in order}, _SECONDS, _ROUNDS, clock)
    # The shortest: everything else is somebody else's use of the processor.
    seconds = {name: min(values) for name, values in taken.items()}
    # A change of NaN is not accepted.
    pays = seconds["bf16"] < _GAIN * seconds["fp32"] and change <= LARGEST_CHANGE
    return {"precision": "bf16" if pays else "fp32", "seconds": seconds, "change": change}


def relative_change(
    exact: NDArray[np.float32], rounded: NDArray[np.float32], metadata: CheckpointMetadata
) -> float:
    """Return the mean relative change of depth, given two sigmoid disparities; NaN if one is."""
    depth, changed = _depth(exact, metadata), _depth(rounded, metadata)
    return float(np.mean(np.abs(changed - depth) / depth))


def _depth(sigmoid: NDArray[np.float32], metadata: CheckpointMetadata) -> NDArray[np.float64]:
    """Return depth up to scale."""
    near, far = 1.0 / metadata.min_depth, 1.0 / metadata.max_depth
    return 1.0 / (far + (near - far) * sigmoid.astype(np.float64))


def _test_images(width: int, height: int) -> list[NDArray[np.uint8]]:
    """Return images with large and small structures, dark and bright."""
    generator = np.random.default_rng(0)
    images = []
    for cells, brightness in ((6, 1.0), (24, 0.5)):
        coarse = generator.integers(0, 256, (cells, 2 * cells, 3), np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        noise = generator.integers(-12, 13, image.shape)
        images.append(np.clip(brightness * image + noise, 0, 255).astype(np.uint8))
    return images
