# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From frame stores to batches: which frames form a sample, in which order, and their loading.

A sample is a target frame and its sources: neighbours in time, the stereo partner, or both. The
images go from the memory-mapped stores straight into a batch, in threads (copying releases the
interpreter), and reach the device as bytes; everything else happens there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.frames.read_ahead import in_parallel
from training.frames.store import FrameStore
from training.learning.flow import MeasureFlow
from training.learning.motion_from_tracks import (
    MeasureTracks,
    SparseGeometry,
    TrackedMotion,
    standing_geometry,
)

#: Whether the stereo partner is not a source, one more source, or the only one.
StereoMode = Literal["none", "add", "only"]

#: Whether true depth is not learned from, is learned from next to a sample's sources, or in their
#: place where there is any.
TruthMode = Literal["none", "add", "instead"]


class DatasetError(ValueError):
    """The data cannot be trained on; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Batch:
    """Samples, as stored.

    Attributes
    ----------
    images : Tensor, shape (B, F, H, W, 3), uint8
        RGB: the target, its neighbours in the order of the offsets, the stereo partner.
    intrinsics : Tensor, shape (B, 4, 4), float32
        In pixels.
    baselines : Tensor, shape (B,), float32
        x coordinate of the stereo partner in the camera's frame, metres; 0 without one.
    flow : Tensor, shape (N, F - 1, 3, h, w), float16, or None
        From the target to each of its sources, and 1 where it is to be trusted, where the samples
        have it measured.
    truth : Tensor, shape (B, H, W), float16, or None
        Depth in metres at the nearest pixel, 0 where unknown and infinite beyond the range; where
        it is learned from.
    self_supervised : int or None
        The first N = `self_supervised` samples learn from their sources, the others from their
        truth alone; all N = B if None.
    tracked : TrackedMotion of N samples, or None
        Motion and sparse depth from tracked corners, where the samples have them measured.
    kept : int
        The last `kept` samples learn from neither: they are held near what a teacher predicts
        (:mod:`training.learning.kept_images`).
    """

    images: Tensor
    intrinsics: Tensor
    baselines: Tensor
    flow: Tensor | None = None
    truth: Tensor | None = None
    self_supervised: int | None = None
    tracked: TrackedMotion | None = None
    kept: int = 0

    def to(self, device: torch.device) -> Batch:
        """Copy to a device without waiting for it."""
        return Batch(
            self.images.to(device, non_blocking=True),
            self.intrinsics.to(device, non_blocking=True),
            self.baselines.to(device, non_blocking=True),
            None if self.flow is None else self.flow.to(device, non_blocking=True),
            None if self.truth is None else self.truth.to(device, non_blocking=True),
            self.self_supervised,
            None if self.tracked is None else self.tracked.to(device),
            self.kept,
        )


@dataclass(frozen=True)
class Samples:
    """Which frames belong together.

    Attributes
    ----------
    stores : tuple of FrameStore
    store : ndarray, shape (N,), int
        Index into `stores`.
    frames : ndarray, shape (N, F), int
        Frames of the store: target, neighbours, stereo partner.
    measure_flow : callable, optional
        Measures the optical flow from targets to sources, for motion that is solved from it.
    learn_truth : TruthMode
    measure_tracks : callable, optional
        Triangulates a sample, for motion from tracked corners.
    """

    stores: tuple[FrameStore, ...]
    store: NDArray[np.int64]
    frames: NDArray[np.int64]
    measure_flow: MeasureFlow | None = None
    learn_truth: TruthMode = "none"
    measure_tracks: MeasureTracks | None = None

    def __len__(self) -> int:
        return len(self.store)

    @property
    def width(self) -> int:
        """Width of the images in pixels."""
        return self.stores[0].width

    @property
    def height(self) -> int:
        """Height of the images in pixels."""
        return self.stores[0].height

    def select(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Samples:
        """Return some of the samples."""
        return replace(self, store=self.store[chosen], frames=self.frames[chosen])

    def read(self, chosen: NDArray[np.int64], pin_memory: bool = False) -> Batch:
        """Load samples.

        Parameters
        ----------
        chosen : ndarray, shape (B,), int
        pin_memory : bool
            Load into page-locked memory, from which a GPU copies while it computes.
        """
        count = self.frames.shape[1]
        self_supervised = None
        pinned = torch.Tensor.pin_memory if pin_memory else _as_it_is
        if self.learn_truth == "instead":
            chosen = self.arranged(chosen)
            self_supervised = int((~self._has_truth(chosen)).sum())
        images = torch.empty(
            (len(chosen), count, self.height, self.width, 3),
            dtype=torch.uint8,
            pin_memory=pin_memory,
        )
        array = images.numpy()
        intrinsics = np.empty((len(chosen), 4, 4), np.float32)
        baselines = np.empty(len(chosen), np.float32)
        for row, sample in enumerate(chosen.tolist()):
            store = self.stores[int(self.store[sample])]
            pixels = store.images.view(np.ndarray)  # slicing a memmap makes costly objects
            for column, frame in enumerate(self.frames[sample].tolist()):
                array[row, column] = pixels[frame]
            camera = int(store.camera_index[self.frames[sample, 0]])
            intrinsics[row] = store.cameras[camera].matrix4
            baselines[row] = store.baselines[camera]
        flow = None
        if self.measure_flow is not None:
            first = chosen[:self_supervised].tolist()
            if first:
                flow = torch.from_numpy(np.stack([self._flow(sample) for sample in first]))
        tracked = None
        if self.measure_tracks is not None and chosen[:self_supervised].size:
            tracked = self._tracked(chosen[:self_supervised])
            if pin_memory:
                tracked = TrackedMotion(*(part.pin_memory() for part in tracked))
        truth = None
        if self.learn_truth != "none":
            truth = torch.from_numpy(np.stack([self._truth(sample) for sample in chosen.tolist()]))
        return Batch(
            images,
            pinned(torch.from_numpy(intrinsics)),
            pinned(torch.from_numpy(baselines)),
            None if flow is None else pinned(flow),
            None if truth is None else pinned(truth),
            self_supervised,
            tracked,
        )

    def arranged(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Order samples as :meth:`read` does: those that learn from truth alone come last."""
        if self.learn_truth != "instead":
            return chosen
        has_truth = self._has_truth(chosen)
        return np.concatenate([chosen[~has_truth], chosen[has_truth]])

    @property
    def with_truth(self) -> int:
        """How many samples learn from true depth."""
        if self.learn_truth == "none":
            return 0
        return int(self._has_truth(np.arange(len(self))).sum())

    def _has_truth(self, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell whose store has truth."""
        return np.array([store.truth is not None for store in self.stores])[self.store[chosen]]

    def _truth(self, sample: int) -> NDArray[np.float16]:
        """Return the target's true depth at the size of the images; 0 where unknown."""
        truth = self.truth(sample)
        if truth is None:
            return np.zeros((self.height, self.width), np.float16)
        rows = ((np.arange(self.height) + 0.5) * truth.shape[0] / self.height).astype(int)
        columns = ((np.arange(self.width) + 0.5) * truth.shape[1] / self.width).astype(int)
        return np.asarray(truth[rows[:, None], columns])

    def geometries(self, chosen: NDArray[np.int64]) -> list[SparseGeometry | None]:
        """Triangulate some samples; None for those whose motion is undetermined."""
        return [self._geometry(sample) for sample in chosen.tolist()]

    def self_supervised(self) -> NDArray[np.bool_]:
        """Tell which samples learn from their sources, shape (N,)."""
        if self.learn_truth != "instead":
            return np.ones(len(self), bool)
        return ~self._has_truth(np.arange(len(self)))

    def _geometry(self, sample: int) -> SparseGeometry | None:
        """Triangulate a sample."""
        assert self.measure_tracks is not None
        owner, (target, *sources) = int(self.store[sample]), self.frames[sample].tolist()
        return self.measure_tracks(owner, target, tuple(sources))

    def _tracked(self, chosen: NDArray[np.int64]) -> TrackedMotion:
        """Stack the motions of some samples; an undetermined one stands and has no points."""
        standing = standing_geometry(self.frames.shape[1] - 1)
        found = [standing if g is None else g for g in self.geometries(chosen)]
        return TrackedMotion(
            torch.from_numpy(np.stack([geometry.transforms for geometry in found])),
            torch.from_numpy(np.stack([geometry.points for geometry in found])),
        )

    def _flow(self, sample: int) -> NDArray[np.float16]:
        """Measure the flow of a sample's target to its sources."""
        assert self.measure_flow is not None
        owner, (target, *sources) = int(self.store[sample]), self.frames[sample].tolist()
        return np.stack([self.measure_flow(owner, target, source) for source in sources])

    def truth(self, sample: int) -> NDArray[np.float16] | None:
        """Return the target's true depth, shape (Ht, Wt) in metres, where the store has it."""
        truth = self.stores[int(self.store[sample])].truth
        return None if truth is None else truth[self.frames[sample, 0]]

    def stamps(self) -> NDArray[np.int64]:
        """Return the targets' stamps in nanoseconds, shape (N,)."""
        stamps = np.empty(len(self), np.int64)
        for index, store in enumerate(self.stores):
            mine = self.store == index
            stamps[mine] = store.stamps[self.frames[mine, 0]]
        return stamps


def check_stores(stores: Sequence[FrameStore], stereo: StereoMode = "none") -> None:
    """Refuse stores that cannot be trained on together.

    Raises
    ------
    DatasetError
        If sizes are mixed, not multiples of 32 or below 64, a principal point is outside its
        image, or stereo is wanted where there is no pair.
    """
    if not stores:
        raise DatasetError("no frame store is given; name at least one with --data")
    first = stores[0]
    for store in stores:
        if (store.width, store.height) != (first.width, first.height):
            raise DatasetError(
                f"{store.path} has images of {store.width}x{store.height}, {first.path} of "
                f"{first.width}x{first.height}; extract them at one size"
            )
        if min(store.width, store.height) < 64 or store.width % 32 or store.height % 32:
            raise DatasetError(
                f"{store.path}: images of {store.width}x{store.height}; both sides must be "
                "multiples of 32 and at least 64, extract again with such a size"
            )
        for index, camera in enumerate(store.cameras):
            inside = 0 <= camera.cx <= store.width - 1 and 0 <= camera.cy <= store.height - 1
            if not inside:
                raise DatasetError(
                    f"{store.path}: camera {index} has its principal point at ({camera.cx:.1f}, "
                    f"{camera.cy:.1f}), outside the {store.width}x{store.height} image; check "
                    "the calibration (was it made for another image size?)"
                )
            values = (camera.fx, camera.fy)
            if not all(0.1 * store.width < value < 20 * store.width for value in values):
                raise DatasetError(
                    f"{store.path}: camera {index} has focal lengths {values} for images "
                    f"{store.width} wide; check the calibration"
                )
        if stereo != "none":
            paired = store.partner >= 0
            if not paired.any():
                raise DatasetError(
                    f"{store.path} holds no stereo pairs, but stereo is '{stereo}'; extract both "
                    "cameras, or train with --stereo none"
                )
            for index in np.unique(store.camera_index[paired]).tolist():
                if not np.isfinite(store.baselines[index]) or store.baselines[index] == 0.0:
                    raise DatasetError(
                        f"{store.path}: camera {index} has a stereo partner but no baseline; its "
                        "camera_info must carry P[3] = -fx * baseline"
                    )


def find_samples(
    stores: Sequence[FrameStore],
    offsets: Sequence[int] = (-1, 1),
    stereo: StereoMode = "none",
    spacing: int = 0,
    learn_truth: TruthMode = "none",
) -> Samples:
    """Find all samples of some stores.

    Parameters
    ----------
    stores : sequence of FrameStore
    offsets : sequence of int
        Neighbours of a target in time, in units of the spacing, not 0.
    stereo : StereoMode
        With "add" and "only", targets without partner are left out; "only" ignores `offsets`.
    spacing : int
        Frames from one neighbour to the next; 0 takes each segment's own.
    learn_truth : TruthMode
        With "instead", every frame of a store with truth is a target: where a neighbour or partner
        is missing, the frame itself stands in, which nothing looks at.

    Returns
    -------
    Samples
        Targets in the order of the stores.

    Raises
    ------
    DatasetError
        If there is none; see also :func:`check_stores`.
    """
    check_stores(stores, stereo)
    offsets = () if stereo == "only" else tuple(offsets)
    if 0 in offsets or len(set(offsets)) != len(offsets) or (not offsets and stereo == "none"):
        raise DatasetError(
            f"sources are {list(offsets)}; give different offsets other than 0, such as -1 and 1"
        )
    if spacing < 0:
        raise DatasetError(f"spacing is {spacing}; give at least 1, or 0 for the store's own")
    owners, frames = [], []
    for index, store in enumerate(stores):
        for (start, stop), own in zip(store.segment_ranges(), store.segment_spacing, strict=True):
            steps = np.array((0, *offsets), np.int64) * (spacing or own)
            targets = np.arange(start - min(steps.min(), 0), stop - max(steps.max(), 0))
            alone = learn_truth == "instead" and store.truth is not None
            if alone:
                targets = np.arange(start, stop)
            rows = targets[:, None] + steps
            if alone:
                rows = np.where((rows >= start) & (rows < stop), rows, targets[:, None])
            if stereo != "none":
                partners = store.partner[targets].astype(np.int64)
                if alone:
                    partners = np.where(partners < 0, targets, partners)
                rows = np.concatenate([rows, partners[:, None]], axis=1)[partners >= 0]
            frames.append(rows)
            owners.append(np.full(len(rows), index, np.int64))
    samples = Samples(
        tuple(stores), np.concatenate(owners), np.concatenate(frames), learn_truth=learn_truth
    )
    if len(samples) == 0:
        longest = max(int(np.diff(store.segment_ranges(), axis=1).max()) for store in stores)
        raise DatasetError(
            f"no sample in {', '.join(str(store.path) for store in stores)}: the longest segment "
            f"has {longest} frames, too few for sources {list(offsets)} at spacing "
            f"{spacing or 'of the store'}; record more, or use a smaller --spacing"
        )
    return samples


def split_samples(samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Hold out the last part of every recording.

    Neighbouring frames are nearly equal, so a random choice would test on what was trained on.
    Training samples that touch a held-out frame's time are left out of both.

    Parameters
    ----------
    samples : Samples
    fraction : float
        Share of each recording's samples to hold out, below 1; 0 for none.

    Returns
    -------
    training, validation : Samples
    """
    if not 0.0 <= fraction < 1.0:
        raise DatasetError(f"validation_fraction is {fraction}; give at least 0 and less than 1")
    stamps = samples.stamps()
    training = np.ones(len(samples), bool)
    validation = np.zeros(len(samples), bool)
    for index, store in enumerate(samples.stores):
        names = [source.recording for source in store.sources] or [""]
        recordings = np.array([names[source] for source in store.segment_source])
        mine = np.flatnonzero(samples.store == index)
        of_sample = recordings[store.segment[samples.frames[mine, 0]]]
        for recording in np.unique(of_sample):
            members = mine[of_sample == recording]
            count = round(fraction * len(members))
            if count == 0:
                continue
            split = np.sort(stamps[members])[-count]
            held_out = members[stamps[members] >= split]
            validation[held_out] = True
            first = store.stamps[samples.frames[held_out]].min()
            last = store.stamps[samples.frames[members]].max(axis=1)
            training[members[last >= first]] = False
    return samples.select(training), samples.select(validation)


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of the samples in an epoch: the same for the same arguments."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def iterate_batches(
    samples: Samples,
    chunks: Iterable[NDArray[np.int64]],
    pin_memory: bool = False,
    workers: int = 2,
    ahead: int = 4,
) -> Iterator[Batch]:
    """Load batches in threads, some ahead of their use.

    Parameters
    ----------
    samples : Samples
    chunks : iterable of ndarray
        Samples of each batch.
    pin_memory : bool
        See :meth:`Samples.read`.
    workers, ahead : int
        Threads, and batches in flight.

    Yields
    ------
    Batch
        In the order of the chunks.
    """
    read = partial(samples.read, pin_memory=pin_memory)
    yield from in_parallel(read, chunks, workers, ahead, "load")


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Copy batches to a device; to a GPU, each while it still computes with the one before.

    Parameters
    ----------
    batches : iterable of Batch
        In page-locked memory for a GPU.
    device : torch.device

    Yields
    ------
    Batch
        In the same order.
    """
    if device.type != "cuda":
        for batch in batches:
            yield batch.to(device)
        return
    stream = torch.cuda.Stream(device)
    waiting: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            copied = batch.to(device)
            event = torch.cuda.Event()
            event.record(stream)
        if waiting is not None:
            yield _arrived(*waiting)
        waiting = copied, event
    if waiting is not None:
        yield _arrived(*waiting)


def _arrived(batch: Batch, event: torch.cuda.Event) -> Batch:
    """Let the current stream wait for a copy, and keep its memory until that stream is done."""
    stream = torch.cuda.current_stream(batch.images.device)
    stream.wait_event(event)
    tracked = batch.tracked or ()
    for tensor in (
        batch.images,
        batch.intrinsics,
        batch.baselines,
        batch.flow,
        batch.truth,
        *tracked,
    ):
        if tensor is not None:
            tensor.record_stream(stream)
    return batch


def _as_it_is(tensor: Tensor) -> Tensor:
    """Return the tensor."""
    return tensor
