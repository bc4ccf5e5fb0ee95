# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the network on every backend and precision that this machine has.

    python benchmark/inference.py --sizes 640x192 1024x320 --rounds 30

`--int8` adds OpenVINO IR that `depth_export --int8` wrote, each file at its own size; `--compile`
adds torch.compile; `--image 1280x720` times the way from that image's bytes to those of depth and
cloud, on the GPU if there is one; `--batch 32` times images in batches.

All candidates take turns within each round, so that a machine whose speed drifts slows all of them
alike; ratios are to the plain network in eager float32 torch, of the same run. The floor is what
benchmark/ceilings.py says of the network with the fewest multiply-adds (monodepth2_ros/networks/
fused.py) in the candidate's precision, on ceilings measured just before.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ceilings import (
    DTYPES,
    Ceilings,
    Work,
    copy_rate,
    count_work,
    multiply_add_rate,
    synchronize,
    transfer_rate,
)

from monodepth2_ros.backends import BackendError, create_backend
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import Checkpoint, random_checkpoint
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.point_cloud import pack_points
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.preprocessing import NO_CROP, prepare_image, to_network_input

Runs = dict[str, Callable[[], object]]

EAGER = "torch eager fp32"


def eager(checkpoint: Checkpoint, device: str) -> Callable[[], None]:
    """Return a run of the plain network: eager, float32, default memory layout."""
    network = checkpoint.depth_network().to(device)
    image = _pixels(checkpoint).to(device)

    def run() -> None:
        with torch.inference_mode():
            network(to_network_input(image)[None])
        synchronize(device)

    return run


def compiled(checkpoint: Checkpoint, device: str) -> Runs:
    """Return runs of the plain and the rewritten network as torch.compile makes them."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    image = _pixels(checkpoint).to(device)
    plain = checkpoint.depth_network().to(device)
    runs: Runs = {}
    for name, network in (("plain", plain), ("rewritten", FusedDepthNetwork(plain))):
        made = torch.compile(network.to(memory_format=torch.channels_last))

        def run(made: Any = made) -> None:
            with torch.no_grad():  # freezing does not know inference mode
                batch = to_network_input(image)[None]
                made(batch.contiguous(memory_format=torch.channels_last))
            synchronize(device)

        runs[f"torch compiled fp32 ({name}), {device}"] = run
    return runs


def from_image_to_cloud(checkpoint: Checkpoint, width: int, height: int) -> Runs:
    """Return runs from an image's bytes to those of depth and cloud, by the plain way and ours."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (height, width, 3), np.uint8)
    camera = PinholeCamera(width, height, width, width, width / 2, height / 2)
    network = checkpoint.depth_network().to(device)
    predictor = DepthPredictor(checkpoint)
    small, metadata = predictor.network_camera(camera), checkpoint.metadata
    outputs = ("depth", "points")

    def plain() -> None:
        with torch.inference_mode():
            pixels = torch.from_numpy(image).to(device)
            prepared = prepare_image(pixels, NO_CROP, metadata.width, metadata.height)
            sigmoid = network(to_network_input(prepared)[None])[0, 0]
            depth = disparity_to_depth(sigmoid, metadata.min_depth, metadata.max_depth)
            pack_points(depth, prepared, small).cpu()
            depth.cpu()

    stream = predictor.predict_stream(_endless(image), camera, outputs=outputs)
    single = DepthPredictor(checkpoint)
    ours = f"{predictor.backend.name} {predictor.backend.precision}"
    return {
        f"{EAGER}, {device}": plain,
        f"{ours}, one by one, {device}": lambda: single.predict(image, camera, outputs=outputs),
        f"{ours}, overlapped, {device}": lambda: next(stream),
    }


def in_batches(checkpoint: Checkpoint, batch: int) -> Runs:
    """Return runs of a batch, from bytes on the host to depth there; and one by one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = np.stack([_pixels(checkpoint, seed).numpy() for seed in range(batch)])
    runs: Runs = {}
    for backend in ("torch", "openvino") if device == "cpu" else ("torch",):
        predictor = DepthPredictor(checkpoint, backend=backend, device=device)
        name = f"{backend} {predictor.backend.precision}"

        def one_by_one(predictor: DepthPredictor = predictor) -> None:
            for image in images:
                predictor(image)

        def together(predictor: DepthPredictor = predictor) -> None:
            predictor.predict_batch(images, half=True)

        runs[f"{name}, one by one, {device}"] = one_by_one
        runs[f"{name}, in a batch, {device}"] = together
    return runs


def _endless(image: NDArray[np.uint8]) -> Any:
    """Give the same image for ever."""
    while True:
        yield image


def _pixels(checkpoint: Checkpoint, seed: int = 0) -> torch.Tensor:
    """Return random pixels of a network's size."""
    metadata = checkpoint.metadata
    generator = torch.Generator().manual_seed(seed)
    shape = (metadata.height, metadata.width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def work_of(checkpoint: Checkpoint) -> Work:
    """Return what the network must take, in float32, in the form with the fewest operations."""
    network = FusedDepthNetwork(checkpoint.depth_network())
    image = to_network_input(_pixels(checkpoint))[None]
    with torch.inference_mode():
        return count_work(lambda: network(image))


class Floors:
    """Floors of a network, with each ceiling measured once.

    Parameters
    ----------
    threads : int
        Threads of the CPU's ceilings.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._copies: dict[str, float] = {}
        self._products: dict[tuple[str, str], float] = {}

    def seconds(self, work: Work, name: str) -> tuple[float, float]:
        """Return the times of multiply-adds and bytes, for a candidate's name.

        For candidates whose type no large product could be measured in, (0, 0).
        """
        device = name.rsplit(", ", maxsplit=1)[-1]
        precision = next(known for known in DTYPES if known in name)
        torch.set_num_threads(self._threads)  # OpenVINO's turns had left it one
        if device not in self._copies:
            self._copies[device] = copy_rate(device)
        if (device, precision) not in self._products:
            try:
                rate = multiply_add_rate(device, precision)
            except RuntimeError as error:
                print(f"no ceiling: {precision}, {device}: {error}")
                rate = float("inf")
            self._products[device, precision] = rate
            print(
                f"ceilings, {precision}, {device}: {1e-9 * rate:.0f} · 10⁹ multiply-adds/s, "
                f"{1e-9 * self._copies[device]:.1f} GB/s"
            )
        ceilings = Ceilings(self._products[device, precision], self._copies[device])
        size = DTYPES[precision].itemsize
        scaled = Work(work.multiply_adds, work.bytes * size // 4)
        return ceilings.compute_s(scaled), ceilings.memory_s(scaled)


def int8_runs(paths: list[Path], threads: int) -> dict[str, Runs]:
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
    runs: dict[str, Runs] = {}
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

        def run(request: Any = request, image: NDArray[np.uint8] = image) -> None:
            request.infer([image], share_inputs=True, share_outputs=True)

        runs.setdefault(f"{width}x{height}", {})[f"openvino int8 ({path.stem}), cpu"] = run
    return runs


def candidates(checkpoint: Checkpoint, threads: int) -> Runs:
    """Return a run for every backend, device and precision that starts."""
    runs: Runs = {f"{EAGER}, cpu": eager(checkpoint, "cpu")}
    if torch.cuda.is_available():
        runs[f"{EAGER}, cuda"] = eager(checkpoint, "cuda")
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
        image = _pixels(checkpoint).to(str(engine.device))

        def run(engine: Any = engine, image: torch.Tensor = image, device: str = device) -> None:
            engine.disparity(image)
            synchronize(device)

        runs[f"{backend} {precision}, {device}"] = run
    return runs


def measure(runs: Runs, rounds: int, threads: int) -> dict[str, list[float]]:
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


def report(seconds: dict[str, list[float]], work: Work, floors: Floors, images: int = 1) -> None:
    """Print a table; the first candidate of each device is what the others are compared with."""
    limits = {name: floors.seconds(work, name) for name in seconds}
    print("\n| | median ms | 95 % ms | ratio | floor ms | share of the floor |")
    print("|---|---|---|---|---|---|")
    for name, values in seconds.items():
        device = name.rsplit(", ", maxsplit=1)[-1]
        base = np.array(next(v for n, v in seconds.items() if n.endswith(device)))
        ratio = np.median(base / np.array(values))  # round by round
        median, floor = np.median(values) / images, max(limits[name])
        print(
            f"| {name} | {1e3 * median:.2f} | {1e3 * np.percentile(values, 95) / images:.2f} | "
            f"{ratio:.2f} | {1e3 * floor:.2f} | {floor / median:.0%} |"
        )


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sizes", nargs="+", default=["640x192", "1024x320"], metavar="WxH")
    parser.add_argument("--layers", type=int, default=18, help="depth of the ResNet")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: the engines' own")
    parser.add_argument("--int8", nargs="+", type=Path, default=[], metavar="MODEL.xml")
    parser.add_argument("--compile", action="store_true", help="also torch.compile; takes minutes")
    parser.add_argument("--image", metavar="WxH", help="also from such an image to depth and cloud")
    parser.add_argument("--batch", type=int, default=0, help="also so many images at once")
    parser.add_argument("--json", type=Path, help="also write the times to this file")
    arguments = parser.parse_args()

    threads = arguments.threads or torch.get_num_threads()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA"
    print(f"{platform.machine()}, {threads} threads, {device}, torch {torch.__version__}")
    if torch.cuda.is_available():
        up, down = (1e-9 * transfer_rate("cuda", upload) for upload in (True, False))
        print(f"upload {up:.1f} GB/s, download {down:.1f} GB/s")
    int8 = int8_runs(arguments.int8, arguments.threads)
    unused = int8.keys() - set(arguments.sizes)
    if unused:
        parser.error(f"--int8 is for {', '.join(sorted(unused))}; name the size among --sizes")
    floors = Floors(threads)
    results = {}
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        checkpoint = random_checkpoint(arguments.layers, width, height)
        work = work_of(checkpoint)
        tables: list[tuple[str, Runs, int]] = []
        runs = candidates(checkpoint, arguments.threads) | int8.get(size, {})
        if arguments.compile:
            runs |= compiled(checkpoint, "cuda" if torch.cuda.is_available() else "cpu")
        tables.append(("the network", runs, 1))
        if arguments.image:
            source = map(int, arguments.image.split("x"))
            title = f"from an image of {arguments.image} to depth and cloud"
            tables.append((title, from_image_to_cloud(checkpoint, *source), 1))
        if arguments.batch:
            title = f"batches of {arguments.batch}, per image"
            tables.append((title, in_batches(checkpoint, arguments.batch), arguments.batch))
        print(
            f"\nResNet-{arguments.layers}, {size}: {1e-9 * work.multiply_adds:.2f} · 10⁹ "
            f"multiply-adds, {1e-6 * work.bytes:.0f} MB in fp32"
        )
        for title, runs, images in tables:
            seconds = measure(runs, arguments.rounds, threads)
            results[f"{size}, {title}"] = seconds
            print(f"\n{size}, {title}, {arguments.rounds} rounds")
            report(seconds, work, floors, images)
    if arguments.json:
        arguments.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
