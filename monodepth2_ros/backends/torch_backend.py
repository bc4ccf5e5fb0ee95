# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network in PyTorch: eager on a CPU, a captured graph on CUDA."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from monodepth2_ros.backends import BackendError
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.preprocessing import to_network_input

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# Runs before a capture, so that cuDNN has chosen its kernels and the allocator has its memory.
_WARM_UP_RUNS = 3


class TorchBackend:
    """See :class:`monodepth2_ros.backends.Backend`.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : torch.device
    precision : {"fp32", "fp16", "bf16"}
    threads : int
        CPU threads of the whole process; 0 leaves torch's choice.

    Raises
    ------
    BackendError
        If the device cannot do the precision, or has too little memory.
    """

    name = "torch"

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, precision: str, threads: int = 0
    ) -> None:
        if device.type == "cpu" and precision == "fp16":
            raise BackendError(
                "precision 'fp16' is slow or missing on a CPU; set precision to 'fp32', or device "
                "to 'cuda'"
            )
        if threads > 0:
            torch.set_num_threads(threads)
        self.device = device
        self.precision = precision
        self._dtype = _DTYPES[precision]
        metadata = checkpoint.metadata
        try:
            network = FusedDepthNetwork(checkpoint.depth_network()).to(device, self._dtype)
            self._network = network.to(memory_format=torch.channels_last)
            self._image = torch.zeros(
                (metadata.height, metadata.width, 3), dtype=torch.uint8, device=device
            )
            self._graph: torch.cuda.CUDAGraph | None = None
            self._output = torch.empty(0)
            if device.type == "cuda":
                self._capture()
        except torch.cuda.OutOfMemoryError as error:
            raise BackendError(
                f"backend 'torch' finds too little memory on {device} for the network ({error}); "
                "free some, or set device to 'cpu'"
            ) from error

    def disparity(self, image: Tensor) -> Tensor:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparity`."""
        # Within a recording of more than the network, the network's kernels become part of it.
        is_recorded = self.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if self._graph is None or is_recorded:
            return self.disparities(image[None])[0]
        self._image.copy_(image, non_blocking=True)
        self._graph.replay()
        return self._output

    @torch.inference_mode()
    def disparities(self, images: Tensor) -> Tensor:
        """Run the network; see :meth:`monodepth2_ros.backends.Backend.disparities`."""
        batch = to_network_input(images).to(self._dtype, memory_format=torch.channels_last)
        with self._arithmetic():
            return self._network(batch)[:, 0].float()

    def _arithmetic(self) -> AbstractContextManager[None]:
        """Let cuDNN measure which kernels are fastest, and take fp32 at its word.

        By default it rounds what float32 convolutions multiply to 10 bits (TF32), which is 0.15 %
        of depth in the median.
        """
        if self.device.type != "cuda":
            return nullcontext()
        exact = self.precision == "fp32"
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=not exact)

    def _capture(self) -> None:
        """Record the network's kernels once, to be launched as one afterwards."""
        with torch.cuda.device(self.device), torch.inference_mode():
            # Warming up and capturing on a side stream is what CUDA graphs ask for.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP_RUNS):
                    self.disparities(self._image[None])
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._output = self.disparities(self._image[None])[0]
            self._graph = graph
