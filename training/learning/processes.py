# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One training run in one or several processes, as torchrun starts them.

A process that fails tells the others why before it ends, and they end, too: whoever waits for a
process that will never come waits for ever otherwise.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from monodepth2_ros.backends.torch_device import torch_device
from monodepth2_ros.options import BackendError
from training.learning.options import OptionError

#: How long a process waits for the others to start, and for the slowest at each step.
_START_PATIENCE, _STEP_PATIENCE = timedelta(minutes=5), timedelta(minutes=15)

#: Seconds between looks at whether another process failed, and that a failed one waits for the
#: others to have looked.
_LOOK_EVERY, _TELL_PATIENCE = 0.5, 5.0

#: Seconds that a process whose connection broke waits for the other one to say why.
_HEAR_PATIENCE = 2.0

#: A store of the process group that does not answer for this many seconds is gone.
_STORE_PATIENCE = 20.0


#: How torch says that it lost the other processes.
_LOST = re.compile(
    r"gloo|nccl|connection (closed|reset) by peer|broken pipe|tcpstore|diststore", re.IGNORECASE
)


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

    def gather(self, values: Tensor) -> Tensor:
        """Stack a tensor of all processes, shape (count, *shape)."""
        if self.count == 1:
            return values[None].clone()
        gathered = [torch.zeros_like(values) for _ in range(self.count)]
        distributed.all_gather(gathered, values.contiguous())
        return torch.stack(gathered)

    def share_statistics(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers: the statistics of batch normalisation."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def share_bytes(self, make: Callable[[], bytes]) -> bytes:
        """Let the first process make something, and give it to all.

        Parameters
        ----------
        make : callable
            Called in the first process only. An exception there ends all processes.
        """
        content = make() if self.is_first else b""
        if self.count == 1:
            return content
        size = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(size, 0)
        if not size.item():
            return b""
        data = torch.zeros(int(size.item()), dtype=torch.uint8)
        if self.is_first:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        data = data.to(self.device)
        distributed.broadcast(data, 0)
        return data.cpu().numpy().tobytes()


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
        store, rank, count = next(rendezvous("env://", timeout=_START_PATIENCE))
        # torchrun restarts failed processes over the same store: what the ones before left in it,
        # their addresses and their failure, is not theirs.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = distributed.PrefixStore(f"attempt_{attempt}", store)
        global _watch
        _watch = _Watch(store, rank, count)
        distributed.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            store=distributed.PrefixStore("group", store),
            rank=rank,
            world_size=count,
            timeout=_STEP_PATIENCE,
        )
    return Processes(rank, count, chosen)


def leave_processes(failure: str = "") -> None:
    """Part from the other processes.

    Parameters
    ----------
    failure : str
        Why this process fails, if it does; the others print it and end with status 1.
    """
    global _watch
    watch, _watch = _watch, None
    if watch is not None:
        if failure:
            watch.tell(failure)
        watch.stop()
    # A failed process does not wait for the others, as parting would.
    if not failure and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def describe_failure(error: Exception) -> str:
    """Say what went wrong, also where a library for communication says it."""
    message = str(error) or repr(error)
    if type(error) not in (OSError, ValueError) and _LOST.search(message):
        # The connection may be gone because the other one failed and said why.
        told = "" if _watch is None else _watch.wait_for_failure()
        if told:
            return told
        return (
            f"another process ended or does not answer ({message.splitlines()[0]}); the same "
            "command continues from what was saved last"
        )
    return message


class _Watch:
    """Looks out for failures of other processes, in a thread.

    The main thread may wait in a collective operation, which nothing interrupts; so the thread
    ends the process.
    """

    def __init__(self, store: Any, rank: int, count: int) -> None:
        # Its own connection where that is possible: the main thread may block another for long.
        self._store = store.clone() if hasattr(store, "clone") else store
        self._rank, self._count = rank, count
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="failures", daemon=True)
        self._thread.start()

    def tell(self, failure: str) -> None:
        """Tell the other processes that this one fails, and wait until they have heard."""
        self._stopped.set()
        self._thread.join()
        try:
            # Only the first failure is told: the later ones mostly follow from it.
            if self._store.add("failures", 1) == 1:
                self._store.set("failure", failure)
            self._let_all_hear()
        except RuntimeError:  # the store is gone, and with it whoever kept it
            return

    def wait_for_failure(self) -> str:
        """Wait a moment for the failure that another process tells; empty if none does."""
        end = time.monotonic() + _HEAR_PATIENCE
        try:
            while not self._store.check(["failure"]):
                if time.monotonic() > end:
                    return ""
                time.sleep(0.1)
            return str(self._store.get("failure").decode(errors="replace"))
        except RuntimeError:  # the store is gone, and with it whoever kept it
            return ""

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """Look until stopped."""
        answered = time.monotonic()
        while not self._stopped.wait(_LOOK_EVERY):
            failure = ""
            try:
                if self._store.check(["failure"]):
                    failure = self._store.get("failure").decode(errors="replace")
                    self._let_all_hear()
                answered = time.monotonic()
            except RuntimeError:
                if not failure and time.monotonic() - answered > _STORE_PATIENCE:
                    failure = "the process that keeps the others together is gone"
            if failure:
                self._end(failure)

    def _let_all_hear(self) -> None:
        """Mark that this process knows of the failure; wait some seconds for the others to know.

        A process that ends closes its connections, and those who wait for it would take that for
        a failure of its own; the first one may take the store along, too.
        """
        self._store.set(f"heard_{self._rank}", "")
        everyone = [f"heard_{rank}" for rank in range(self._count)]
        end = time.monotonic() + _TELL_PATIENCE
        while not self._store.check(everyone) and time.monotonic() < end:
            time.sleep(0.1)

    def _end(self, failure: str) -> None:
        """End this process."""
        if not self._stopped.is_set():
            print(f"depth_train: {failure}", file=sys.stderr, flush=True)
            os._exit(1)


_watch: _Watch | None = None


def _device(name: str, local_rank: int, count: int) -> torch.device:
    """Choose the device; under torchrun the GPU of the local rank."""
    try:
        device = torch_device(name)
        if device.type == "cuda" and count > 1:
            device = torch_device(f"cuda:{local_rank}")
    except BackendError as error:
        raise OptionError(f"--{error}") from error
    return device
