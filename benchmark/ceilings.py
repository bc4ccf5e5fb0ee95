# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine can do at most, what a computation must take, and the time that follows.

    python benchmark/ceilings.py --device cpu

A floor is the longer of two times: that of the multiply-adds at the rate of a large matrix product,
and that of the bytes at the rate of a large copy, both measured on the machine that runs the work.
Bytes are counted as if each matrix product or convolution read its inputs once and wrote its output
once, and as if all that stands between them (activations, sums, resizing) cost nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

#: Types whose matrix product can be measured, by the names that tables give them.
DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}


@dataclass(frozen=True)
class Work:
    """What a computation must take.

    Attributes
    ----------
    multiply_adds : int
        Multiply-adds of all matrix products and convolutions.
    bytes : int
        Read and written by them.
    """

    multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class Ceilings:
    """What a machine was measured to do.

    Attributes
    ----------
    multiply_adds_per_s : float
        In a large matrix product; one multiply-add is two operations.
    bytes_per_s : float
        Read and written together, in a large copy.
    """

    multiply_adds_per_s: float
    bytes_per_s: float

    def compute_s(self, work: Work) -> float:
        """Return the least time that the multiply-adds take."""
        return work.multiply_adds / self.multiply_adds_per_s

    def memory_s(self, work: Work) -> float:
        """Return the least time that the bytes take."""
        return work.bytes / self.bytes_per_s

    def floor_s(self, work: Work) -> float:
        """Return the least time: the two overlap at best."""
        return max(self.compute_s(work), self.memory_s(work))


def count_work(run: Callable[[], object]) -> Work:
    """Run a computation once and count what it must take.

    Parameters
    ----------
    run : callable
        Its operations of torch are counted, those of a backward pass included.

    Returns
    -------
    Work
        Bytes in the types that the computation itself uses.
    """
    with _Counter() as counter:
        run()
    return Work(counter.multiply_adds, counter.bytes)


def measure_ceilings(device: str = "cpu", precision: str = "fp32", repeats: int = 5) -> Ceilings:
    """Measure a large matrix product and a large copy.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".
    precision : str
        Precision of the matrix product; see :data:`DTYPES`.
    repeats : int
        The fastest of so many counts: what disturbs a machine only ever slows it.
    """
    return Ceilings(
        multiply_add_rate(device, precision, repeats=repeats), copy_rate(device, repeats=repeats)
    )


def multiply_add_rate(
    device: str = "cpu", precision: str = "fp32", size: int = 0, repeats: int = 5
) -> float:
    """Measure a product of two square matrices.

    Parameters
    ----------
    device, precision, repeats
        See :func:`measure_ceilings`.
    size : int
        Rows and columns; 0 for 2048 on a CPU and 8192 on CUDA.

    Returns
    -------
    float
        Multiply-adds per second.
    """
    size = size or (8192 if device.startswith("cuda") else 2048)
    dtype = DTYPES[precision]
    # Random numbers: zeros cost a GPU less power, and so run at a higher clock.
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    if precision == "int8":
        left, right = (matrix.mul(40.0).clamp_(-127, 127).to(dtype) for matrix in (left, right))
        seconds = fastest(lambda: torch._int_mm(left, right), device, repeats)
    else:
        left, right = left.to(dtype), right.to(dtype)
        out = torch.empty_like(left)
        seconds = fastest(lambda: torch.mm(left, right, out=out), device, repeats)
    return size**3 / seconds


def copy_rate(device: str = "cpu", megabytes: int = 0, repeats: int = 5) -> float:
    """Measure a copy from memory to memory.

    Parameters
    ----------
    device, repeats
        See :func:`measure_ceilings`.
    megabytes : int
        Size of the source; 0 for one that no cache holds.

    Returns
    -------
    float
        Bytes per second, those read and those written together.
    """
    megabytes = megabytes or (4096 if device.startswith("cuda") else 1024)
    source = torch.ones(megabytes << 18, device=device)
    target = torch.zeros_like(source)
    seconds = fastest(lambda: target.copy_(source), device, repeats)
    return 2 * source.nbytes / seconds


def transfer_rate(device: str, upload: bool, megabytes: int = 256, repeats: int = 5) -> float:
    """Measure the way between a GPU and memory of the host that it can reach by itself.

    Parameters
    ----------
    device, repeats
        See :func:`measure_ceilings`.
    upload : bool
        To the device, or from it.
    megabytes : int

    Returns
    -------
    float
        Bytes per second.
    """
    host = torch.zeros(megabytes << 20, dtype=torch.uint8, pin_memory=True)
    there = torch.zeros_like(host, device=device)
    source, target = (host, there) if upload else (there, host)
    return host.nbytes / fastest(lambda: target.copy_(source), device, repeats)


def fastest(run: Callable[[], object], device: str, repeats: int) -> float:
    """Return the shortest of several times in seconds, after one run that nobody times."""
    times = []
    for _ in range(repeats + 1):
        synchronize(device)
        start = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def synchronize(device: str) -> None:
    """Wait until a device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


class _Counter(TorchDispatchMode):
    """Counts the operations that torch has a formula for, and the tensors they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            # In inference mode a convolution arrives as one of the names that stand for it. What
            # these are made of counts, so this mode goes on within.
            with self:
                parts = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if parts is NotImplemented else parts
        out = func(*args, **kwargs)
        self.multiply_adds += formula(*args, **kwargs, out_val=out) // 2
        self.bytes += sum(tensor.nbytes for tensor in _tensors((args, kwargs, out)))
        return out


def _tensors(values: Any) -> list[Tensor]:
    """Return the tensors among an operation's arguments and results."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        return [tensor for value in values for tensor in _tensors(value)]
    return []


def main() -> None:
    """Print a table of what this machine can do."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print("| | 10⁹ multiply-adds/s |\n|---|---|")
    for precision in DTYPES:
        if precision == "fp16" and arguments.device == "cpu":
            continue
        try:
            rate = multiply_add_rate(arguments.device, precision, repeats=arguments.repeats)
        except RuntimeError as error:
            print(f"left out: {precision}: {error}")
            continue
        print(f"| matrix product, {precision} | {1e-9 * rate:.0f} |")
    rate = copy_rate(arguments.device, repeats=arguments.repeats)
    print(f"\ncopy: {1e-9 * rate:.1f} GB/s, bytes read and written together")
    if arguments.device.startswith("cuda"):
        for name, upload in (("upload", True), ("download", False)):
            print(f"{name}: {1e-9 * transfer_rate(arguments.device, upload):.1f} GB/s")


if __name__ == "__main__":
    main()
