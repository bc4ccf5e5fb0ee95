# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network in PyTorch, on a CPU or a GPU; the pipeline records it as a CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monodepth2_ros.backends import torch_threads
from monodepth2_ros.backends.base import Device
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.device_pipeline import as_tensor
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.options import BackendError
from monodepth2_ros.preprocessing import to_network_input

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchBackend:
    """See :class:`monodepth2_ros.backends.Backend`.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : Device
    precision : {"fp32", "fp16", "bf16"}
    threads : int
        CPU threads of the whole process; 0 leaves them as they are, or as they were before
        OpenVINO's backend took them away.

    Raises
    ------
    BackendError
        If the device cannot do the precision, or has too little memory.
    """

    name = "torch"

    def __init__(
        self, checkpoint: Checkpoint, device: Device, precision: str, threads: int = 0
    ) -> None:
        if device.type == "cpu" and precision == "fp16":
            raise BackendError(
                "precision 'fp16' is slow or missing on a CPU; set precision to 'fp32', or device "
                "to 'cuda'"
            )
        if threads > 0:
            torch.set_num_threads(threads)
        elif device.type == "cpu":
            torch_threads.work()
        self.device = torch.device(str(device))
        self.precision = precision
        self._dtype = _DTYPES[precision]
        try:
            self._network = self._choose_network(checkpoint)
        except torch.cuda.OutOfMemoryError as error:
            raise BackendError(
                f"backend 'torch' finds too little memory on {device} for the network ({error}); "
                "free some, or set device to 'cpu'"
            ) from error

    def disparity(self, image: Any) -> Any:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparity`."""
        return self.disparities(image[None])[0]

    @torch.inference_mode()
    def disparities(self, images: Any) -> Any:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparities`."""
        with self._arithmetic():
            if isinstance(images, np.ndarray):
                return self._network(as_tensor(images)).numpy()
            return self._network(images)

    def _choose_network(self, checkpoint: Checkpoint) -> Callable[[Tensor], Tensor]:
        """Return the network, from pixels (B, H, W, 3) to float32 disparity (B, H, W)."""
        plain = checkpoint.depth_network()
        if self.device.type == "cuda":
            try:
                # Here and not above: Triton takes time to import, and is not there without a GPU.
                from monodepth2_ros.networks.gpu_network import GpuDepthNetwork

                network = GpuDepthNetwork(plain, self.device, self._dtype)
                metadata = checkpoint.metadata
                shape = (1, metadata.height, metadata.width, 3)
                with torch.cuda.device(self.device), torch.inference_mode(), self._arithmetic():
                    network(torch.zeros(shape, dtype=torch.uint8, device=self.device))
                return network
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:
                # Triton is missing from torch for some boards, or finds no C compiler; cuDNN may
                # have no fused convolution for an old GPU. Both are many kinds of errors.
                warnings.warn(
                    f"the faster network for {self.device} cannot be used, predictions take about "
                    f"twice as long ({type(error).__name__}: {error})",
                    stacklevel=3,
                )
        fused = FusedDepthNetwork(plain).to(self.device).in_precision(self._dtype)
        fused = fused.to(memory_format=torch.channels_last)

        def run(images: Tensor) -> Tensor:
            batch = to_network_input(images).to(self._dtype, memory_format=torch.channels_last)
            return fused(batch)[:, 0].float()

        return run

    def _arithmetic(self) -> AbstractContextManager[None]:
        """Let cuDNN measure which kernels are fastest, and take fp32 at its word.

        By default it rounds what float32 convolutions multiply to 10 bits (TF32), which is 0.15 %
        of depth in the median.
        """
        if self.device.type != "cuda":
            return nullcontext()
        exact = self.precision == "fp32"
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=not exact)
