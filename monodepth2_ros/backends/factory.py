# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the engine that a user asked for."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import warnings
from pathlib import Path

from monodepth2_ros.backends import precision_choice
from monodepth2_ros.backends.base import CPU, Backend, Device
from monodepth2_ros.backends.kept_answers import KeptAnswers, cache_folder
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.extras import how_to_install, is_installed
from monodepth2_ros.options import BACKENDS, PRECISIONS, BackendError
from monodepth2_ros.weights import digest

# The driver's library, through which CUDA devices are counted, and the device file of ROCm, whose
# torch calls its devices "cuda", too.
_CUDA_DRIVER = "libcuda.so.1"
_ROCM_DEVICE = "/dev/kfd"


def create_backend(
    checkpoint: Checkpoint,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    cache_dir: str | Path | None = None,
) -> Backend:
    """Start the engine that a user asked for, or the fastest there is.

    torch is imported only where it is needed: for a GPU, or where it runs the network.

    Parameters
    ----------
    checkpoint : Checkpoint
    backend : {"auto", "torch", "openvino"}
        "auto": torch where it runs on CUDA, else OpenVINO where it is installed, else torch.
    device : str
        "auto" (CUDA if there is any), "cpu", "cuda" or "cuda:N".
    precision : {"auto", "fp32", "fp16", "bf16"}
        "auto": fp16 on CUDA; on a CPU the faster of fp32 and bf16, measured once on this
        processor, see :mod:`monodepth2_ros.backends.precision_choice`.
    threads : int
        CPU threads; 0 leaves the choice to the engine.
    cache_dir : path, optional
        Where OpenVINO keeps compiled models, and where is kept which precision is faster; the
        user's cache folder by default.

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
    target = resolve_device(device, backend)
    if backend == "auto":
        # OpenVINO's CPU plugin has no fp16 arithmetic; torch says so with the alternative.
        use_torch = target.type == "cuda" or not is_installed("openvino") or precision == "fp16"
        if precision == "fp16" and not is_installed("torch"):
            raise BackendError(
                f"precision 'fp16' needs torch on a GPU: {how_to_install('torch')}; or set "
                "precision to 'auto'"
            )
        if not is_installed("torch") and not is_installed("openvino"):
            raise BackendError(
                f"nothing is installed that runs the network: {how_to_install('openvino')}, or "
                "'monodepth2_ros[cuda]' for torch on a GPU"
            )
        backend = "torch" if use_torch else "openvino"

    if backend == "openvino":
        if not is_installed("openvino"):
            raise BackendError(
                f"backend 'openvino': {how_to_install('openvino')}{_or_backend('torch')}"
            )
        from monodepth2_ros.backends.openvino_backend import OpenVINOBackend

        return OpenVINOBackend(checkpoint, precision, threads, cache_dir)
    if not is_installed("torch"):
        raise BackendError(f"backend 'torch': {how_to_install('torch')}{_or_backend('openvino')}")
    from monodepth2_ros.backends.torch_backend import TorchBackend

    if precision == "auto" and target.type == "cuda":
        precision = "fp16"
    elif precision == "auto":
        folder = cache_folder(cache_dir)
        precision, made = precision_choice.choose(
            lambda candidate: TorchBackend(checkpoint, target, candidate, threads),
            KeptAnswers(folder / f"{_torch_name(checkpoint)}.precision.json"),
            checkpoint.metadata,
            threads,
            run_of=lambda backend: backend.disparity,
        )
        if made is not None:
            return made
    return TorchBackend(checkpoint, target, precision, threads)


def import_engine(backend: str, device: str, precision: str) -> bool:
    """Import what runs the network, where :func:`create_backend` will choose OpenVINO.

    Parameters
    ----------
    backend, device, precision : str
        See :func:`create_backend`.

    Returns
    -------
    bool
        False if it may choose torch, whose import is left to it.
    """
    is_on_cpu = device == "cpu" or (device == "auto" and not _may_have_cuda())
    is_chosen = backend == "auto" and is_on_cpu and precision != "fp16"
    if not (backend == "openvino" or is_chosen) or not is_installed("openvino"):
        return False
    from monodepth2_ros.backends import openvino_backend  # noqa: F401

    return True


def _or_backend(other: str) -> str:
    """Name another backend for an error, if it is installed."""
    return f"; or set backend to '{other}'" if is_installed(other) else ""


def _torch_name(checkpoint: Checkpoint) -> str:
    """Name torch's network of a checkpoint by all that its speed and its depth depend on."""
    import torch

    metadata = checkpoint.metadata
    size = f"{metadata.num_layers} {metadata.width} {metadata.height}"
    weights = digest(checkpoint.state, ("encoder", "depth"))
    return hashlib.sha256(f"torch {torch.__version__} {size} {weights}".encode()).hexdigest()[:32]


def resolve_device(device: str, backend: str) -> Device:
    """Turn a user's device into one that is there, or refuse it."""
    if device == "auto":
        if backend == "openvino" or not _may_have_cuda():
            return CPU
        if not is_installed("torch"):
            warnings.warn(
                f"there is a GPU, and the CPU is used: {how_to_install('torch')}, or set device "
                "to 'cpu'",
                stacklevel=3,
            )
            return CPU
        import torch

        return Device("cuda", 0) if torch.cuda.is_available() else CPU
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", device)
    if match is None:
        raise BackendError(f"device is '{device}'; it must be auto, cpu, cuda or cuda:N")
    if match[1] == "cpu":
        return CPU
    if backend == "openvino":
        raise BackendError(
            f"backend 'openvino' runs on the CPU, device is '{device}'; set device to 'cpu', or "
            "backend to 'torch'"
        )
    if not is_installed("torch"):
        raise BackendError(
            f"device is '{device}': {how_to_install('torch')}; or set device to 'cpu'"
        )
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(match[2] or 0)
    if index >= count:
        found = f"there are {count} CUDA devices" if count else "torch finds no CUDA device here"
        raise BackendError(
            f"device is '{device}' but {found} (torch {torch.__version__}); check the driver "
            "with nvidia-smi, or set device to 'cpu'"
        )
    return Device("cuda", index)


def _may_have_cuda() -> bool:
    """Tell whether it is worth importing torch to ask for a GPU: that takes a second.

    On a machine without a driver there is none; this takes a millisecond to find out.
    """
    if os.path.exists(_ROCM_DEVICE):
        return True
    try:
        ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return False
    return True
