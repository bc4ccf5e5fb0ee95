# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time a training step with this objective against a plain formulation of the same one.

Both train copies of the same networks on the same images in one process, in turns. The plain
formulation is what one writes down from the paper: each scale computes everything it needs, window
means by pooling padded images, gradients by autograd, contiguous tensors, float32, the optimiser's
default implementation. Before timing, the two losses are compared. Each time stands next to the
floor: the least that the convolutions' multiply-adds and bytes take on this machine, see
ceilings.py.

    python benchmark/training.py --batch-size 4 --threads 2
    python benchmark/training.py --device cuda --batch-size 12
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmark.ceilings import Ceilings, Work, copy_rate, count_work, multiply_add_rate
from monodepth2_ros import geometry
from monodepth2_ros.backends import has_fast_bfloat16
from training.learning.depth_and_motion import DepthAndMotion, Predictions
from training.objective import SelfSupervisedObjective, compile_mode


def plain_ssim_loss(x: Tensor, y: Tensor) -> Tensor:
    """(1 − SSIM) / 2 over 3×3 windows."""

    def mean(image: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), 3, 1)

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x**2) - mean_x**2, mean(y**2) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    denominator = (mean_x**2 + mean_y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2)
    return ((1 - numerator / denominator) / 2).clamp(0, 1)


def plain_photometric_loss(x: Tensor, y: Tensor) -> Tensor:
    """0.85 SSIM loss + 0.15 absolute difference."""
    difference = (x - y).abs().mean(1, keepdim=True)
    return 0.85 * plain_ssim_loss(x, y).mean(1, keepdim=True) + 0.15 * difference


def plain_smoothness_loss(disparity: Tensor, image: Tensor) -> Tensor:
    """Edge-aware smoothness of the mean-normalised disparity."""
    disparity = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
    along_x = (disparity[..., :, :-1] - disparity[..., :, 1:]).abs()
    along_y = (disparity[..., :-1, :] - disparity[..., 1:, :]).abs()
    edges_x = (image[..., :, :-1] - image[..., :, 1:]).abs().mean(1, keepdim=True)
    edges_y = (image[..., :-1, :] - image[..., 1:, :]).abs().mean(1, keepdim=True)
    return (along_x * torch.exp(-edges_x)).mean() + (along_y * torch.exp(-edges_y)).mean()


def plain_objective(
    predictions: Predictions,
    target: Tensor,
    sources: Sequence[Tensor],
    intrinsics: Tensor,
    tie_break: float = 1e-5,
) -> Tensor:
    """Section 3 of arXiv:1806.01260, term by term."""
    height, width = target.shape[-2:]
    losses = []
    for scale, disparity in enumerate(predictions.disparities):
        full = functional.interpolate(
            disparity, (height, width), mode="bilinear", align_corners=False
        )
        depth = geometry.disparity_to_depth(full, 0.1, 100.0)
        errors = []
        for source in sources:
            error = plain_photometric_loss(source, target)
            errors.append(error + tie_break * torch.randn_like(error))
        for source, transform in zip(sources, predictions.transforms, strict=True):
            warped = geometry.warp(source, depth, intrinsics, transform)
            errors.append(plain_photometric_loss(warped, target))
        error = torch.cat(errors, dim=1).min(dim=1).values
        image = functional.avg_pool2d(target, 2**scale)
        losses.append(error.mean() + 1e-3 / 2**scale * plain_smoothness_loss(disparity, image))
    return torch.stack(losses).mean()


def this_objective(
    predictions: Predictions,
    target: Tensor,
    sources: Sequence[Tensor],
    intrinsics: Tensor,
    tie_break: float = 1e-5,
    compiled: bool = False,
) -> Tensor:
    """Evaluate the package's objective, by hand or as the compiler makes it."""
    objective = SelfSupervisedObjective(tie_break=tie_break, compiled=compiled)
    return objective(
        predictions.disparities, target, sources, intrinsics, predictions.transforms
    ).loss


compiled_objective = partial(this_objective, compiled=True)

Objective = Callable[..., Tensor]


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, H, W), target first, and intrinsics (B, 4, 4)."""

    target: Tensor
    sources: tuple[Tensor, Tensor]
    intrinsics: Tensor


@dataclass(frozen=True)
class Variant:
    """One way to take a training step; the loss stays on its device."""

    name: str
    step: Callable[[], Tensor]


def make_batch(batch: int, height: int, width: int, device: torch.device) -> Batch:
    """Make smooth random frames that shift by a few pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    texture = functional.interpolate(coarse, (height + 16, width + 16), mode="bicubic").clamp(0, 1)
    frames = [texture[..., y : y + height, x : x + width] for x, y in ((8, 8), (4, 7), (12, 9))]
    intrinsics = torch.eye(4).repeat(batch, 1, 1)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = 0.58 * width, 1.92 * height
    intrinsics[:, 0, 2], intrinsics[:, 1, 2] = 0.5 * width, 0.5 * height
    target, before, after = (frame.contiguous().to(device) for frame in frames)
    return Batch(target, (before, after), intrinsics.to(device))


def make_variant(
    name: str,
    networks: DepthAndMotion,
    objective: Objective,
    batch: Batch,
    channels_last: bool = False,
    fused: bool = False,
    bfloat16: bool = False,
    compiled: bool = False,
) -> Variant:
    """Set up a training step with copies of the networks."""
    networks = copy.deepcopy(networks)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    networks.to(memory_format=layout)  # type: ignore[call-overload]
    images = [image.to(memory_format=layout) for image in (batch.target, *batch.sources)]
    optimizer = torch.optim.Adam(networks.parameters(), 1e-4, fused=fused or None)
    device = batch.target.device
    predict: Callable[..., Predictions] = networks
    if compiled:
        predict = torch.compile(networks, mode=compile_mode(device), dynamic=False)

    def step() -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            predictions = predict(images[0], images[1:], (True, False))
        loss = objective(predictions, batch.target, batch.sources, batch.intrinsics)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Variant(name, step)


def make_objective_variant(
    name: str, networks: DepthAndMotion, objective: Objective, batch: Batch
) -> Variant:
    """Set up forward and backward pass of the objective alone."""
    with torch.no_grad():
        predictions = networks(batch.target, batch.sources, (True, False))
    leaves = [*predictions.disparities, *predictions.transforms]
    for leaf in leaves:
        leaf.requires_grad_()

    def step() -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        loss = objective(predictions, batch.target, batch.sources, batch.intrinsics)
        torch.autograd.grad(loss, leaves)
        return loss.detach()

    return Variant(name, step)


def compare_losses(networks: DepthAndMotion, batch: Batch) -> None:
    """Stop if the two formulations do not compute the same."""
    with torch.no_grad():
        predictions = networks(batch.target, batch.sources, (True, False))
        values = [
            objective(
                predictions, batch.target, batch.sources, batch.intrinsics, tie_break=0.0
            ).item()
            for objective in (plain_objective, this_objective)
        ]
    if abs(values[0] - values[1]) > 1e-4 * values[0]:
        raise SystemExit(f"the formulations differ: {values[0]} and {values[1]}")


def timed(variant: Variant, device: torch.device) -> float:
    """Seconds of one step; on a GPU of several in a row, as a training takes them."""
    count = 10 if device.type == "cuda" else 1
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        variant.step()
    synchronize(device)
    return (time.perf_counter() - start) / count


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy_share(variant: Variant, steps: int = 5) -> float:
    """Share of the time in which the GPU runs anything, over some steps in a row."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(steps):
            variant.step()
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, end = 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return busy / (end - spans[0][0])


def peak_memory(variant: Variant, device: torch.device) -> float:
    """MiB that one step takes beyond what is held between steps; nan where it is not known."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        variant.step()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - held) / 2**20
    if platform.system() != "Linux":
        return float("nan")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    held = process_memory("VmRSS")
    variant.step()
    return process_memory("VmHWM") - held


def process_memory(field: str) -> float:
    """Read a line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return float("nan")


def report(
    title: str,
    variants: Sequence[Variant],
    rounds: int,
    batch: int,
    device: torch.device,
    floor: float = math.nan,
) -> list[dict[str, float | str]]:
    """Time the variants in turns and print a table; the floor is in seconds."""
    seconds: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for variant in variants:
        for _ in range(5 if device.type == "cuda" else 1):
            variant.step()
    for _ in range(rounds):
        for variant in variants:
            seconds[variant.name].append(timed(variant, device))
    memory = {variant.name: peak_memory(variant, device) for variant in variants}
    busy = {v.name: busy_share(v) if device.type == "cuda" else math.nan for v in variants}
    first = seconds[variants[0].name]
    print(f"\n{title}")
    heading = f"{'ms/step':>9s} {'samples/s':>10s} {'ratio':>6s} {'peak MiB':>9s}"
    print(f"{'':34s} {heading} {'floor':>6s} {'GPU busy':>9s}")
    rows: list[dict[str, float | str]] = []
    for variant in variants:
        own = seconds[variant.name]
        median = statistics.median(own)
        # Each round's pair ran back to back, so their ratio is free of slow drifts.
        ratio = statistics.median(a / b for a, b in zip(first, own, strict=True))
        row: dict[str, float | str] = {
            "variant": variant.name,
            "ms_per_step": 1e3 * median,
            "samples_per_s": batch / median,
            "ratio": ratio,
            "peak_mib": memory[variant.name],
            "of_floor": floor / median,
            "gpu_busy": busy[variant.name],
        }
        rows.append(row)
        print(
            f"{variant.name:34s} {1e3 * median:9.1f} {batch / median:10.2f} {ratio:6.2f} "
            f"{memory[variant.name]:9.0f} {100 * floor / median:5.0f}% "
            f"{100 * busy[variant.name]:8.0f}%"
        )
    return rows


def print_floor(name: str, ceilings: Ceilings, work: Work) -> float:
    """Print the two least times of a step, and return the longer one in seconds."""
    print(
        f"floor, {name}: {1e-9 * work.multiply_adds:.0f} · 10⁹ multiply-adds at "
        f"{1e-9 * ceilings.multiply_adds_per_s:.0f} · 10⁹/s take "
        f"{1e3 * ceilings.compute_s(work):.1f} ms, {1e-9 * work.bytes:.2f} GB at "
        f"{1e-9 * ceilings.bytes_per_s:.1f} GB/s {1e3 * ceilings.memory_s(work):.1f} ms"
    )
    return ceilings.floor_s(work)


def floor_of(variant: Variant, device: torch.device, precision: str) -> float:
    """Measure the machine, count a step, and print the floor."""
    rate = multiply_add_rate(device.type, precision)
    ceilings = Ceilings(rate, copy_rate(device.type))
    return print_floor(precision, ceilings, count_work(variant.step))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--num-layers", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each variant")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--compile", action="store_true", help="compile on a CPU, too")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    batch = make_batch(arguments.batch_size, arguments.height, arguments.width, device)
    networks = DepthAndMotion(arguments.num_layers, arguments.num_layers).to(device)
    compare_losses(networks, batch)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    print(
        f"torch {torch.__version__}, {name or platform.machine()}, {arguments.threads} CPU "
        f"threads; ResNet-{arguments.num_layers}, {arguments.width}x{arguments.height}, batch "
        f"{arguments.batch_size}, median of {arguments.rounds}"
    )
    steps = [
        make_variant("plain objective, plain step", networks, plain_objective, batch),
        make_variant("this objective, plain step", networks, this_objective, batch),
        make_variant("this objective, fused Adam", networks, this_objective, batch, fused=True),
        make_variant(
            "… and channels-last", networks, this_objective, batch, fused=True, channels_last=True
        ),
    ]
    on_gpu = device.type == "cuda"
    floor = floor_of(steps[0], device, "fp32")
    fast = {"channels_last": True, "fused": True, "bfloat16": True}
    if on_gpu or has_fast_bfloat16():
        steps.append(
            make_variant("… and bfloat16 convolutions", networks, this_objective, batch, **fast)
        )
        floor = min(floor, floor_of(steps[-1], device, "bf16"))
    if on_gpu:
        steps.append(
            make_variant(
                "… and compiled", networks, compiled_objective, batch, **fast, compiled=True
            )
        )
    else:
        print("CUDA: not measured; give --device cuda where there is a GPU")
    if arguments.compile and not on_gpu:
        steps.append(
            make_variant(
                "… and compiled networks",
                networks,
                this_objective,
                batch,
                channels_last=True,
                fused=True,
                compiled=True,
            )
        )
    alone = [
        make_objective_variant(name, networks, objective, batch)
        for name, objective in (("plain", plain_objective), ("this", this_objective))
    ]
    if on_gpu or arguments.compile:
        alone.append(make_objective_variant("compiled", networks, compiled_objective, batch))
    size = arguments.batch_size
    rows = {
        "step": report("Training step", steps, arguments.rounds, size, device, floor),
        "objective": report("Objective alone", alone, arguments.rounds, size, device),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps({"settings": vars(arguments), **rows}, default=str))


if __name__ == "__main__":
    main()
