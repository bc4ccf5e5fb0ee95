# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the engine that a user asked for."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch

from monodepth2_ros.backends.base import Backend
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.options import BACKENDS, PRECISIONS, BackendError

_CPU_INFORMATION = Path("/proc/cpuinfo")


def create_backend(
    checkpoint: Checkpoint,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    cache_dir: str | Path | None = None,
) -> Backend:
    """Start the engine that a user asked for, or the fastest there is.

    Parameters
    ----------
    checkpoint : Checkpoint
    backend : {"auto", "torch", "openvino"}
        "auto": torch where it runs on CUDA, else OpenVINO where it is installed, else torch.
    device : str
        "auto" (CUDA if there is any), "cpu", "cuda" or "cuda:N".
    precision : {"auto", "fp32", "fp16", "bf16"}
        "auto": fp16 on CUDA; on a CPU bf16 if :func:`has_fast_bfloat16`, else fp32.
    threads : int
        CPU threads; 0 leaves the choice to the engine.
    cache_dir : path, optional
        Where OpenVINO keeps compiled models; the user's cache folder by default.

    Raises
    ------
    BackendError
        If it cannot start, with the reason and the alternative.
    """
    for name, value, known in (
        ("backend", backend, BACKENDS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise BackendError(f"{name} is '{value}'; it must be one of {', '.join(known)}")
    if checkpoint.graph is not None:
        if backend == "torch":
            raise BackendError(
                f"checkpoint {checkpoint.graph} is OpenVINO IR, which backend 'torch' cannot run; "
                "set backend to 'openvino' or 'auto'"
            )
        backend = "openvino"
    target = _resolve_device(device, backend)
    if backend == "auto":
        has_openvino = importlib.util.find_spec("openvino") is not None
        # OpenVINO's CPU plugin has no fp16 arithmetic; torch says so with the alternative.
        use_torch = target.type == "cuda" or not has_openvino or precision == "fp16"
        backend = "torch" if use_torch else "openvino"
    if precision == "auto":
        on_cpu = "bf16" if has_fast_bfloat16() else "fp32"
        precision = "fp16" if target.type == "cuda" else on_cpu

    if backend == "openvino":
        from monodepth2_ros.backends.openvino_backend import OpenVINOBackend

        return OpenVINOBackend(checkpoint, precision, threads, cache_dir)
    from monodepth2_ros.backends.torch_backend import TorchBackend

    return TorchBackend(checkpoint, target, precision, threads)


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 faster than in float32.

    x86 processors with AMX do, several times as fast. Those with AVX512_BF16 alone do not gain: it
    has a multiply-add in bfloat16, but a virtual machine of that kind was slower with it than
    without. Linux lists AMX only where it may be used.
    """
    try:
        flags = _CPU_INFORMATION.read_text()
    except OSError:  # not Linux
        return False
    return "amx_bf16" in flags.split()


def _resolve_device(device: str, backend: str) -> torch.device:
    """Turn a user's device into torch's, refusing what is not there."""
    if device == "auto":
        use_cuda = backend != "openvino" and torch.cuda.is_available()
        return torch.device("cuda:0" if use_cuda else "cpu")
    try:
        target = torch.device(device)
    except RuntimeError:
        target = None
    if target is None or target.type not in ("cpu", "cuda"):
        raise BackendError(f"device is '{device}'; it must be auto, cpu, cuda or cuda:N")
    if target.type == "cpu":
        return target
    if backend == "openvino":
        raise BackendError(
            f"backend 'openvino' runs on the CPU, device is '{device}'; set device to 'cpu', or "
            "backend to 'torch'"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = target.index or 0
    if index >= count:
        found = f"there are {count} CUDA devices" if count else "torch finds no CUDA device here"
        raise BackendError(
            f"device is '{device}' but {found} (torch {torch.__version__}); check the driver "
            "with nvidia-smi, or set device to 'cpu'"
        )
    return torch.device("cuda", index)
