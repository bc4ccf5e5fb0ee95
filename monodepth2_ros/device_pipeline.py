# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How images pass through a GPU: recorded, and overlapped.

Each combination of sizes and options is recorded once as a CUDA graph; an image then takes one
upload, one launch and one download, each on a stream of its own, so that the upload of the next
image and the download of the last run during the computation. The host waits for the download only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros.pipeline import Compute, PipelineResult

# Recorded combinations that are kept; each holds memory for all that is between its ends.
_MOST_RECORDED = 4

# Runs before a recording, in which libraries choose their kernels.
_WARM_UP_RUNS = 3

# Results of other types must begin at multiples of so many bytes.
_ALIGNMENT = 16


class DevicePipeline:
    """Computes on a GPU, with two images under way.

    On a CPU it takes the same steps one after the other, unrecorded, for tests.

    Parameters
    ----------
    device : torch.device
    kept : sequence of Tensor
        What `compute` changes next to its results, left alone by the runs before a recording.
    """

    depth = 2

    def __init__(self, device: torch.device, kept: Sequence[Tensor] = ()) -> None:
        self._device = device
        self._kept = kept
        self._recorded: OrderedDict[Hashable, _Recorded] = OrderedDict()
        self._slots = deque(_Slot(device) for _ in range(self.depth))
        self._pending: deque[_Slot] = deque()
        self._upload, self._compute, self._download = (
            torch.cuda.Stream(device) if device.type == "cuda" else None for _ in range(3)
        )

    @torch.inference_mode()
    def submit(self, image: NDArray[np.uint8], key: Hashable, compute: Compute) -> None:
        """See :meth:`monodepth2_ros.pipeline.Pipeline.submit`."""
        if len(self._pending) == self.depth:
            raise RuntimeError(f"{self.depth} images are under way; collect one before the next")
        slot = self._slots[0]
        is_new_memory = slot.take(image)
        if is_new_memory and self._upload is not None:
            # What had it before, in the caller's stream, may still be at it.
            self._upload.wait_stream(torch.cuda.current_stream(self._device))
        with _on(self._upload):
            slot.mark("begun", self._upload)
            slot.pixels.copy_(slot.pinned_pixels, non_blocking=True)
            slot.mark("uploaded", self._upload)
        if self._compute is not None:
            # Weights and kept tensors are written by the caller's stream.
            self._compute.wait_stream(torch.cuda.current_stream(self._device))
        with _on(self._compute):
            slot.wait_for("uploaded", self._compute)
            recorded = self._record((image.shape, key), slot.pixels, compute)
            recorded.run(slot.pixels, compute)
            slot.keep(recorded)
            slot.mark("computed", self._compute)
        with _on(self._download):
            slot.wait_for("computed", self._download)
            slot.pinned_results.copy_(slot.results, non_blocking=True)
            slot.mark("done", self._download)
        self._slots.rotate(-1)
        self._pending.append(slot)

    def collect(self) -> PipelineResult:
        """See :meth:`monodepth2_ros.pipeline.Pipeline.collect`."""
        return self._pending.popleft().outcome()

    def _record(self, key: Hashable, pixels: Tensor, compute: Compute) -> _Recorded:
        """Return the recording of a computation, made now if there is none yet."""
        if key not in self._recorded:
            before = [tensor.clone() for tensor in self._kept]
            recorded = _Recorded(pixels, compute)
            for tensor, value in zip(self._kept, before, strict=True):
                tensor.copy_(value)
            self._recorded[key] = recorded
            if len(self._recorded) > _MOST_RECORDED:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        return self._recorded[key]


@dataclass(frozen=True)
class _Place:
    """Where a result is among the bytes that come down."""

    start: int
    shape: torch.Size
    dtype: torch.dtype

    @property
    def size(self) -> int:
        return self.shape.numel() * self.dtype.itemsize

    def view(self, raw: Tensor) -> Tensor:
        """Return the result as a view of those bytes."""
        return raw[self.start : self.start + self.size].view(self.dtype).view(self.shape)


class _Recorded:
    """A computation from a fixed place to a fixed place, on a GPU as one graph of kernels.

    The function is not kept: it may hold what holds this, and memory on a GPU should be free as
    soon as nobody needs it.
    """

    def __init__(self, pixels: Tensor, compute: Compute) -> None:
        self._pixels = pixels.clone()
        results: dict[str, Any] = compute(self._pixels, _no_lap)
        self.places: dict[str, _Place] = {}
        end = 0
        for name, tensor in results.items():
            place = _Place(end, tensor.shape, tensor.dtype)
            self.places[name] = place
            end += -(-place.size // _ALIGNMENT) * _ALIGNMENT
        self.packed = torch.zeros(end, dtype=torch.uint8, device=pixels.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        if pixels.is_cuda:
            self._capture(compute)

    def run(self, pixels: Tensor, compute: Compute) -> None:
        """Compute; the results are in :attr:`packed` afterwards."""
        self._pixels.copy_(pixels)
        if self._graph is None:
            self._compute(compute)
        else:
            self._graph.replay()

    def _compute(self, compute: Compute) -> None:
        """Compute and pack."""
        results: dict[str, Any] = compute(self._pixels, _no_lap)
        for name, tensor in results.items():
            self.places[name].view(self.packed).copy_(tensor)

    def _capture(self, compute: Compute) -> None:
        """Record what :meth:`_compute` launches, on the current stream."""
        for _ in range(_WARM_UP_RUNS):
            self._compute(compute)
        graph = torch.cuda.CUDAGraph()
        # Other threads, those of a node, may use the device meanwhile.
        with torch.cuda.graph(
            graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            self._compute(compute)
        self._graph = graph


class _Slot:
    """The memory of one image under way, and the events that mark how far it is."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._marks: dict[str, torch.cuda.Event] = {}
        self._places: dict[str, _Place] = {}
        self.pinned_pixels = self.pixels = torch.empty(0, dtype=torch.uint8)
        self.pinned_results = self.results = torch.empty(0, dtype=torch.uint8)

    def take(self, image: NDArray[np.uint8]) -> bool:
        """Copy an image to where the device can fetch it; say whether its place there is new."""
        is_new = self.pinned_pixels.shape != image.shape
        if is_new:
            self.pinned_pixels, self.pixels = self._pair(image.shape)
        # torch copies with all its threads, NumPy with one: twenty times as fast there.
        self.pinned_pixels.copy_(as_tensor(image))
        return is_new

    def keep(self, recorded: _Recorded) -> None:
        """Copy results to where the next image leaves them alone."""
        if self.results.shape != recorded.packed.shape:
            self.pinned_results, self.results = self._pair(recorded.packed.shape)
        self._places = recorded.places
        self.results.copy_(recorded.packed)

    def outcome(self) -> PipelineResult:
        """Wait for the results to be on the host, and give views of them."""
        seconds = {}
        if self._is_cuda:
            self._marks["done"].synchronize()
            order = ("begun", "uploaded", "computed", "done")
            seconds = {
                stage: 1e-3 * self._marks[start].elapsed_time(self._marks[end])
                for stage, start, end in zip(
                    ("preprocess", "network", "outputs"), order, order[1:], strict=False
                )
            }
        arrays = {
            name: place.view(self.pinned_results).numpy() for name, place in self._places.items()
        }
        return PipelineResult(arrays, seconds)

    def mark(self, name: str, stream: torch.cuda.Stream | None) -> None:
        """Mark how far a stream is."""
        # The current stream would be the same; asking for it takes as long as a small kernel.
        if stream is not None:
            if name not in self._marks:
                self._marks[name] = torch.cuda.Event(enable_timing=True)
            self._marks[name].record(stream)

    def wait_for(self, name: str, stream: torch.cuda.Stream | None) -> None:
        """Let a stream wait for a mark; the host goes on."""
        if stream is not None:
            stream.wait_event(self._marks[name])

    def _pair(self, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return bytes on the host, which the device can fetch by itself, and on the device."""
        return (
            torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=self._is_cuda),
            torch.empty(tuple(shape), dtype=torch.uint8, device=self._device),
        )


def as_tensor(array: NDArray[np.uint8]) -> Tensor:
    """View an array as a tensor that is only read."""
    if not array.flags.writeable:
        # torch warns about read-only memory; it is only read, so the warning has no object.
        array = _writable_view(array)
    return torch.from_numpy(array)


def _writable_view(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """View read-only memory as writable."""
    return np.asarray(_Memory(array))


class _Memory:
    """Memory that an array owns, called writable."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self.owner = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def _on(stream: torch.cuda.Stream | None) -> AbstractContextManager[Any]:
    """Make a stream the current one, if there is one."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _no_lap(stage: str) -> None:
    """Time nothing."""
