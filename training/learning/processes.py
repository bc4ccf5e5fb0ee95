# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One training run in one or several processes, as torchrun starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from monodepth2_ros.backends.torch_device import torch_device
from monodepth2_ros.options import BackendError
from training.learning.options import OptionError


@dataclass(frozen=True)
class Processes:
    """The place of this process among those of the run.

    Attributes
    ----------
    rank : int
        0 is the one that writes and reports.
    count : int
    device : torch.device
        What this process computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Return this process's rows of a batch.

        Raises
        ------
        OptionError
            If the batch cannot be shared equally.
        """
        if batch % self.count:
            raise OptionError(
                f"--batch-size is {batch} for {self.count} processes; give a multiple of "
                f"{self.count}"
            )
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def total(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values


def join_processes(device: str = "auto") -> Processes:
    """Find out about this process and, under torchrun, meet the others.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N. Under torchrun every process takes the GPU of its local rank.

    Raises
    ------
    OptionError
        If there is no such device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")), count)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count > 1:
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Processes(rank, count, chosen)


def leave_processes() -> None:
    """Part from the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _device(name: str, local_rank: int, count: int) -> torch.device:
    """Choose the device; under torchrun the GPU of the local rank."""
    try:
        device = torch_device(name)
        if device.type == "cuda" and count > 1:
            device = torch_device(f"cuda:{local_rank}")
    except BackendError as error:
        raise OptionError(f"--{error}") from error
    return device
