# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the network on every backend and precision that this machine has.

    python benchmark/inference.py --sizes 640x192 1024x320 --rounds 30

`--int8` adds OpenVINO IR that `depth_export --int8` wrote, each file at its own size.

All candidates take turns within each round, so that a machine whose speed drifts slows all of them
alike; ratios are to the plain network in eager float32 torch, of the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monodepth2_ros.backends import BackendError, create_backend
from monodepth2_ros.checkpoint import Checkpoint, random_checkpoint
from monodepth2_ros.preprocessing import to_network_input


def eager(checkpoint: Checkpoint, device: str) -> Callable[[], None]:
    """Return a run of the plain network: eager, float32, default memory layout."""
    network = checkpoint.depth_network().to(device)
    metadata = checkpoint.metadata
    shape = (metadata.height, metadata.width, 3)
    image = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)

    def run() -> None:
        with torch.inference_mode():
            network(to_network_input(image)[None])
        if device != "cpu":
            torch.cuda.synchronize()

    return run


def int8_runs(paths: list[Path], threads: int) -> dict[str, dict[str, Callable[[], None]]]:
    """Return a run of each OpenVINO IR in int8, by its size; from bytes like the others."""
    if not paths:
        return {}
    import openvino
    from openvino.preprocess import PrePostProcessor

    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if threads > 0:
        settings["INFERENCE_NUM_THREADS"] = threads
    runs: dict[str, dict[str, Callable[[], None]]] = {}
    for path in paths:
        graph = openvino.Core().read_model(path)
        _, _, height, width = graph.input(0).shape
        steps = PrePostProcessor(graph)
        tensor = steps.input().tensor()
        tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
        request = openvino.compile_model(steps.build(), "CPU", settings).create_infer_request()
        image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)

        def run(request=request, image=image) -> None:  # type: ignore[no-untyped-def]
            request.infer([image], share_inputs=True, share_outputs=True)

        runs.setdefault(f"{width}x{height}", {})["openvino int8, cpu"] = run
    return runs


def candidates(checkpoint: Checkpoint, threads: int) -> dict[str, Callable[[], None]]:
    """Return a run for every backend, device and precision that starts."""
    runs = {"torch eager fp32, cpu": eager(checkpoint, "cpu")}
    if torch.cuda.is_available():
        runs["torch eager fp32, cuda"] = eager(checkpoint, "cuda")
    metadata = checkpoint.metadata
    shape = (metadata.height, metadata.width, 3)
    for backend, device, precision in (
        ("torch", "cpu", "fp32"),
        ("torch", "cpu", "bf16"),
        ("openvino", "cpu", "fp32"),
        ("openvino", "cpu", "bf16"),
        ("torch", "cuda", "fp32"),
        ("torch", "cuda", "bf16"),
        ("torch", "cuda", "fp16"),
    ):
        if device == "cuda" and not torch.cuda.is_available():
            continue
        try:
            engine = create_backend(checkpoint, backend, device, precision, threads)
        except BackendError as error:
            print(f"left out: {backend} {precision}, {device}: {error}")
            continue
        image = torch.randint(0, 256, shape, dtype=torch.uint8).to(engine.device)

        def run(engine=engine, image=image) -> None:  # type: ignore[no-untyped-def]
            engine.disparity(image)
            if engine.device.type == "cuda":
                torch.cuda.synchronize()

        runs[f"{backend} {precision}, {device}"] = run
    return runs


def measure(
    runs: dict[str, Callable[[], None]], rounds: int, threads: int
) -> dict[str, list[float]]:
    """Time all candidates in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            # The OpenVINO backend leaves torch one thread in its process; torch's turns get all.
            torch.set_num_threads(1 if name.startswith("openvino") else threads)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["640x192", "1024x320"], metavar="WxH")
    parser.add_argument("--layers", type=int, default=18, help="depth of the ResNet")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: the engines' own")
    parser.add_argument("--int8", nargs="+", type=Path, default=[], metavar="MODEL.xml")
    parser.add_argument("--json", type=Path, help="also write the times to this file")
    arguments = parser.parse_args()

    threads = arguments.threads or torch.get_num_threads()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA"
    print(f"{platform.machine()}, {threads} threads, {device}, torch {torch.__version__}")
    int8 = int8_runs(arguments.int8, arguments.threads)
    unused = int8.keys() - set(arguments.sizes)
    if unused:
        parser.error(f"--int8 is for {', '.join(sorted(unused))}; name the size among --sizes")
    results = {}
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        checkpoint = random_checkpoint(arguments.layers, width, height)
        runs = candidates(checkpoint, arguments.threads) | int8.get(size, {})
        seconds = measure(runs, arguments.rounds, threads)
        results[size] = seconds
        print(f"\nResNet-{arguments.layers}, {size}, {arguments.rounds} rounds\n")
        print("| | median ms | 95 % ms | ratio to eager fp32 on the same device |")
        print("|---|---|---|---|")
        for name, values in seconds.items():
            base = np.array(seconds[f"torch eager fp32, {name.rsplit(' ', 1)[-1]}"])
            ratio = np.median(base / np.array(values))  # round by round
            print(
                f"| {name} | {1e3 * np.median(values):.1f} | "
                f"{1e3 * np.percentile(values, 95):.1f} | {ratio:.2f} |"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
