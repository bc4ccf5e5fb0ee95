# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Samples from frame stores: which frames, held-out parts, order, loading, and what is refused."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore, Source
from training.frames.writer import FrameStoreWriter
from training.learning.dataset import (
    Batch,
    DatasetError,
    Samples,
    StereoMode,
    check_stores,
    epoch_order,
    find_samples,
    iterate_batches,
    split_samples,
)

SIZE = 64
CAMERA = PinholeCamera(SIZE, SIZE, 60.0, 61.0, 30.0, 32.5)
OTHER_CAMERA = PinholeCamera(SIZE, SIZE, 90.0, 92.0, 33.0, 28.0)


@dataclass(frozen=True)
class Stretch:
    """A segment to be written: its frames follow each other every 100 ns from `start`."""

    frames: int
    start: int = 0
    spacing: int = 1
    recording: str = "drive"
    camera: int = 0


@dataclass(frozen=True)
class Layout:
    """A store to be written."""

    stretches: Sequence[Stretch]
    partner: dict[int, int] = field(default_factory=dict)
    cameras: Sequence[PinholeCamera] = (CAMERA, OTHER_CAMERA)
    baselines: Sequence[float] = (0.0, 0.0)
    truth: bool = False
    seed: int = 0


Write = Callable[..., FrameStore]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a store of noise images."""
    names = itertools.count()

    def write(*stretches: Stretch, **rest: Any) -> FrameStore:
        layout = Layout(stretches, **rest)
        path = tmp_path / f"store{next(names)}"
        generator = np.random.default_rng(layout.seed)
        recordings = sorted({stretch.recording for stretch in stretches})
        with FrameStoreWriter(path, SIZE, SIZE) as writer:
            for segment, stretch in enumerate(stretches):
                for i in range(stretch.frames):
                    frame = len(writer)
                    writer.append(
                        generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
                        stretch.start + 100 * i,
                        stretch.camera,
                        segment,
                        layout.partner.get(frame, -1),
                        truth=np.full((2, 3), 1.0 + frame) if layout.truth else None,
                    )
            writer.finish(
                layout.cameras,
                [stretch.spacing for stretch in stretches],
                [recordings.index(stretch.recording) for stretch in stretches],
                [Source(recording, "/image") for recording in recordings],
                layout.baselines,
            )
        return FrameStore.open(path)

    return write


def rows(samples: Samples) -> list[list[int]]:
    """Store and frames of each sample."""
    return np.column_stack([samples.store, samples.frames]).tolist()


def every_sample(
    stores: Sequence[FrameStore], offsets: Sequence[int], spacing: int, stereo: StereoMode
) -> list[list[int]]:
    """Look at each frame in turn, as one would by hand."""
    found = []
    for index, store in enumerate(stores):
        for target in range(len(store)):
            own = store.segment_spacing[store.segment[target]]
            frames = [target]
            if stereo != "only":
                frames += [target + offset * (spacing or own) for offset in offsets]
            inside = all(
                0 <= frame < len(store) and store.segment[frame] == store.segment[target]
                for frame in frames
            )
            if stereo != "none":
                frames.append(int(store.partner[target]))
            if inside and frames[-1] >= 0:
                found.append([index, *frames])
    return found


# --- find_samples ---


def test_samples_of_a_segment(write: Write) -> None:
    samples = find_samples([write(Stretch(5))])
    assert rows(samples) == [[0, 1, 0, 2], [0, 2, 1, 3], [0, 3, 2, 4]]
    assert len(samples) == 3
    assert (samples.width, samples.height) == (SIZE, SIZE)


@pytest.mark.parametrize("spacing", [0, 1, 2, 5])
@pytest.mark.parametrize("offsets", [(-1, 1), (1, -1), (-1,), (2,), (-2, -1, 1, 3)])
def test_samples_are_all_that_fit_into_a_segment(
    write: Write, offsets: tuple[int, ...], spacing: int
) -> None:
    """Several stores with segments of every length, and spacings of their own."""
    stores = [
        write(Stretch(9, spacing=1), Stretch(3, 2000, spacing=2), Stretch(12, 4000, spacing=3)),
        write(Stretch(27, spacing=2)),
        write(Stretch(1)),
    ]
    samples = find_samples(stores, offsets, spacing=spacing)
    assert rows(samples) == every_sample(stores, offsets, spacing, "none")
    assert len(samples) > 0
    for store, frames in zip(samples.store, samples.frames, strict=True):
        assert len(set(stores[store].segment[frames])) == 1


def test_a_store_without_samples_is_passed_over(write: Write) -> None:
    short, long = write(Stretch(2)), write(Stretch(3))
    assert rows(find_samples([short, long])) == [[1, 1, 0, 2]]


@pytest.mark.parametrize("stereo", ["add", "only"])
def test_stereo_takes_targets_with_a_partner(write: Write, stereo: StereoMode) -> None:
    """Frames 0 to 5 are the left camera's, 6 to 11 the right one's; two have lost theirs."""
    partner = {i: i + 6 for i in range(6)} | {i + 6: i for i in range(6)}
    del partner[2], partner[8]
    pair = write(
        Stretch(6), Stretch(6, camera=1, spacing=2), partner=partner, baselines=(0.1, -0.1)
    )
    samples = find_samples([pair], stereo=stereo)
    assert rows(samples) == every_sample([pair], (-1, 1), 0, stereo)
    targets = samples.frames[:, 0].tolist()
    if stereo == "only":
        assert targets == sorted(partner)  # also at the borders, where a neighbour is missing
        assert samples.frames.shape[1] == 2
    else:
        assert targets == [1, 3, 4, 9]
        assert samples.frames.shape[1] == 4
    assert samples.frames[:, -1].tolist() == [partner[target] for target in targets]


def test_stereo_only_needs_no_neighbours(write: Write) -> None:
    pair = write(Stretch(1), Stretch(1, camera=1), partner={0: 1, 1: 0}, baselines=(0.1, -0.1))
    assert rows(find_samples([pair], offsets=(), stereo="only")) == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("offsets", [(0, 1), (-1, -1), ()])
def test_useless_sources_are_named(write: Write, offsets: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError) as caught:
        find_samples([write(Stretch(5))], offsets)
    assert f"sources are {list(offsets)}" in str(caught.value)
    assert "other than 0, such as -1 and 1" in str(caught.value)


def test_negative_spacing_is_named(write: Write) -> None:
    with pytest.raises(DatasetError, match="spacing is -2; give at least 1, or 0 for"):
        find_samples([write(Stretch(5))], spacing=-2)


def test_segments_that_are_too_short_are_named(write: Write) -> None:
    stores = [write(Stretch(3), Stretch(6, 1000)), write(Stretch(4))]
    with pytest.raises(DatasetError) as caught:
        find_samples(stores, spacing=4)
    for part in (
        str(stores[0].path),
        str(stores[1].path),
        "longest segment has 6 frames, too few for sources [-1, 1] at spacing 4",
        "record more, or use a smaller --spacing",
    ):
        assert part in str(caught.value)
    with pytest.raises(DatasetError, match="at spacing of the store"):
        find_samples([write(Stretch(4, spacing=2))])


# --- check_stores ---


def test_no_store_is_refused() -> None:
    with pytest.raises(DatasetError, match="no frame store is given; name at least one with --da"):
        check_stores([])


def resized(store: FrameStore, width: int, height: int) -> FrameStore:
    """Pretend that a store has images of another size."""
    camera = CAMERA.resized(width, height)
    images = np.zeros((len(store), height, width, 3), np.uint8)
    return replace(store, images=images, cameras=(camera,))


def test_mixed_sizes_are_refused(write: Write) -> None:
    store = write(Stretch(3))
    with pytest.raises(DatasetError) as caught:
        check_stores([store, replace(resized(store, 96, 64), path=Path("wide"))])
    assert "wide has images of 96x64" in str(caught.value)
    assert f"{store.path} of 64x64; extract them at one size" in str(caught.value)


@pytest.mark.parametrize("size", [(96, 48), (80, 64), (32, 64), (64, 32)])
def test_sizes_the_networks_cannot_take_are_refused(write: Write, size: tuple[int, int]) -> None:
    """The encoder reduces by 32, and the decoder's padding reflects a row of what is left."""
    store = resized(write(Stretch(3)), *size)
    with pytest.raises(DatasetError) as caught:
        check_stores([store])
    assert f"{store.path}: images of {size[0]}x{size[1]}" in str(caught.value)
    assert "multiples of 32" in str(caught.value)
    assert "at least 64" in str(caught.value)


@pytest.mark.parametrize("change", [{"cx": -0.5}, {"cx": 63.5}, {"cy": -0.5}, {"cy": 63.5}])
def test_a_principal_point_outside_is_refused(write: Write, change: dict[str, Any]) -> None:
    store = replace(write(Stretch(3)), cameras=(CAMERA, replace(CAMERA, **change)))
    with pytest.raises(DatasetError) as caught:
        check_stores([store])
    value = next(iter(change.values()))
    for part in (str(store.path), "camera 1", f"{value:.1f}", "outside the 64x64", "calibration"):
        assert part in str(caught.value)


@pytest.mark.parametrize("change", [{"fx": 6.0}, {"fy": 6.0}, {"fx": 1300.0}, {"fy": 1300.0}])
def test_impossible_focal_lengths_are_refused(write: Write, change: dict[str, Any]) -> None:
    store = replace(write(Stretch(3)), cameras=(replace(CAMERA, **change),))
    with pytest.raises(DatasetError) as caught:
        check_stores([store])
    value = next(iter(change.values()))
    for part in (str(store.path), "camera 0", f"{value}", "64 wide", "check the calibration"):
        assert part in str(caught.value)


@pytest.mark.parametrize("stereo", ["add", "only"])
def test_stereo_without_pairs_is_refused(write: Write, stereo: StereoMode) -> None:
    store = write(Stretch(3))
    check_stores([store])
    with pytest.raises(DatasetError) as caught:
        find_samples([store], stereo=stereo)
    assert f"{store.path} holds no stereo pairs, but stereo is '{stereo}'" in str(caught.value)
    assert "--stereo none" in str(caught.value)


def test_a_baseline_that_is_not_finite_is_refused_when_the_store_is_opened(write: Write) -> None:
    with pytest.raises(ValueError, match=r"store\.json: baselines\[1\] is nan"):
        write(Stretch(3), Stretch(3, camera=1), partner={1: 4, 4: 1}, baselines=(0.1, math.nan))


def test_pairs_without_a_baseline_are_refused(write: Write) -> None:
    baselines = (0.1, 0.0)
    stretches = Stretch(3), Stretch(3, camera=1)
    store = write(*stretches, partner={1: 4, 4: 1}, baselines=baselines)
    check_stores([store])  # without stereo nothing is amiss
    with pytest.raises(DatasetError) as caught:
        check_stores([store], "add")
    assert "camera 1 has a stereo partner but no baseline" in str(caught.value)
    assert "P[3] = -fx * baseline" in str(caught.value)
    # A camera without partners needs no baseline.
    check_stores([write(*stretches, partner={1: 4}, baselines=baselines)], "add")


# --- split_samples ---


def recording_of(samples: Samples, i: int) -> tuple[int, str]:
    """Store and recording of a sample."""
    index = int(samples.store[i])
    store = samples.stores[index]
    source = store.segment_source[store.segment[samples.frames[i, 0]]]
    return index, store.sources[source].recording


def by_recording(samples: Samples) -> dict[str, list[list[int]]]:
    """The samples' stamps, shape (n, frames), of each recording."""
    found: dict[str, list[list[int]]] = {}
    for i in range(len(samples)):
        index, recording = recording_of(samples, i)
        stamps = samples.stores[index].stamps[samples.frames[i]].tolist()
        found.setdefault(f"{index}/{recording}", []).append(stamps)
    return found


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.75, 0.99])
@pytest.mark.parametrize("seed", range(5))
def test_training_ends_before_the_held_out_part_begins(
    write: Write, seed: int, fraction: float
) -> None:
    generator = np.random.default_rng(seed)
    stores = []
    for _ in range(2):
        start, stretches = 0, []
        for recording in ("a", "b", "c"):
            for _ in range(generator.integers(1, 4)):
                frames, spacing = generator.integers([5, 1], [20, 3]).tolist()
                stretches.append(Stretch(frames, start, spacing, recording))
                start += 100 * frames + 5000
        stores.append(write(*stretches))
    samples = find_samples(stores, (-1, 1, 2))
    training, validation = split_samples(samples, fraction)

    everything, trained, tested = map(by_recording, (samples, training, validation))
    for recording, of_all in everything.items():
        # Stamps are different within a recording here, so the count is exact.
        held_out = tested.get(recording, [])
        assert len(held_out) == round(fraction * len(of_all))
        assert held_out == of_all[len(of_all) - len(held_out) :]  # the last ones
        first = min((min(stamps) for stamps in held_out), default=math.inf)
        # What is trained on is over before; and nothing else was left out.
        assert trained.get(recording, []) == [stamps for stamps in of_all if max(stamps) < first]


def test_cameras_of_one_recording_are_split_at_the_same_time(write: Write) -> None:
    """The second camera starts later, so that each camera's own last quarter would differ."""
    store = write(Stretch(42), Stretch(22, 2050, camera=1), Stretch(40, 0, recording="other"))
    training, validation = split_samples(find_samples([store]), 0.25)
    camera = store.camera_index[validation.frames[:, 0]]
    other = store.segment[validation.frames[:, 0]] == 2
    # 40 + 20 samples: the last 15 in time are 7 of the first camera and 8 of the second, which
    # sees until 50 ns later.
    assert (camera[~other] == 0).sum() == 7
    assert (camera[~other] == 1).sum() == 8
    assert other.sum() == round(0.25 * 38)
    begin = store.stamps[validation.frames[~other]].min()
    trained = training.frames[store.segment[training.frames[:, 0]] != 2]
    assert store.stamps[trained].max() < begin
    assert set(store.camera_index[trained[:, 0]]) == {0, 1}


def test_equal_stamps_are_held_out_together(write: Write) -> None:
    store = write(Stretch(12), Stretch(12, camera=1), cameras=(CAMERA, OTHER_CAMERA))
    training, validation = split_samples(find_samples([store]), 0.25)  # 5 of 20 samples
    stamps = store.stamps[validation.frames[:, 0]]
    assert sorted(stamps.tolist()) == [800, 800, 900, 900, 1000, 1000]
    assert store.stamps[training.frames].max() < 700


def test_partners_belong_to_the_part_of_their_targets(write: Write) -> None:
    partner = {i: i + 12 for i in range(12)} | {i + 12: i for i in range(12)}
    store = write(Stretch(12), Stretch(12, camera=1), partner=partner, baselines=(0.1, -0.1))
    training, validation = split_samples(find_samples([store], stereo="only"), 0.25)
    assert not set(training.frames.ravel()) & set(validation.frames.ravel())
    assert sorted(validation.frames[:, 0].tolist()) == [9, 10, 11, 21, 22, 23]
    assert len(training) == 18


def test_fraction_zero_and_small_recordings_hold_out_nothing(write: Write) -> None:
    samples = find_samples([write(Stretch(6))])
    for fraction in (0.0, 0.1):  # 0.1 of 4 samples is none
        training, validation = split_samples(samples, fraction)
        assert rows(training) == rows(samples)
        assert len(validation) == 0


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, math.nan])
def test_impossible_fractions_are_named(write: Write, fraction: float) -> None:
    with pytest.raises(DatasetError) as caught:
        split_samples(find_samples([write(Stretch(5))]), fraction)
    assert f"validation_fraction is {fraction}; give at least 0 and less" in str(caught.value)


def test_stores_that_name_no_source_are_one_recording(write: Write) -> None:
    store = replace(write(Stretch(12), Stretch(12, 5000)), sources=())
    training, validation = split_samples(find_samples([store]), 0.5)
    assert set(store.segment[training.frames[:, 0]]) == {0}
    assert set(store.segment[validation.frames[:, 0]]) == {1}


# --- epoch_order ---


def test_epochs_are_different_permutations_that_can_be_repeated() -> None:
    orders = {
        (seed, epoch): epoch_order(50, seed, epoch) for seed in range(4) for epoch in range(4)
    }
    for (seed, epoch), order in orders.items():
        assert sorted(order.tolist()) == list(range(50))
        assert np.array_equal(order, epoch_order(50, seed, epoch))
    # Seed and epoch do not stand for each other either.
    assert len({tuple(order.tolist()) for order in orders.values()}) == len(orders)


# --- Samples ---


def two_cameras(write: Write, truth: bool = False) -> Samples:
    """Samples of a stereo store and of another with another camera."""
    partner = {i: i + 4 for i in range(4)} | {i + 4: i for i in range(4)}
    pair = write(Stretch(4), Stretch(4, camera=1), partner=partner, baselines=(0.25, -0.5))
    single = write(
        *(Stretch(4, 1000), Stretch(4, 1000)),
        partner=partner,
        cameras=[CAMERA.mirrored()],
        baselines=[0.125],
        truth=truth,
        seed=1,
    )
    return find_samples([pair, single], stereo="add")


def test_read_gives_the_bytes_and_the_camera_of_each_sample(write: Write) -> None:
    samples = two_cameras(write)
    stores = samples.stores
    assert not np.array_equal(stores[0].images, stores[1].images)
    chosen = np.array([6, 0, 3, 0, 4])  # any order, repetition too
    batch = samples.read(chosen)
    assert batch.images.shape == (5, 4, SIZE, SIZE, 3)
    assert batch.images.dtype == torch.uint8
    for row, sample in enumerate(chosen):
        store = stores[samples.store[sample]]
        raw = np.fromfile(store.path / "images.u8", np.uint8).reshape(-1, SIZE, SIZE, 3)
        for column, frame in enumerate(samples.frames[sample]):
            assert np.array_equal(batch.images[row, column].numpy(), raw[frame])
    # Of the first store, samples 0 and 1 are the left camera's, 2 and 3 the right one's; the
    # partner in the last column does not decide.
    third = CAMERA.mirrored()
    cameras = [third, CAMERA, OTHER_CAMERA, CAMERA, third]
    for matrix, camera in zip(batch.intrinsics.tolist(), cameras, strict=True):
        assert matrix == [
            [camera.fx, 0, camera.cx, 0],
            [0, camera.fy, camera.cy, 0],
            [0, 0, 1, 0],
            [0, 0, 0, 1],
        ]
    assert batch.baselines.tolist() == [0.125, 0.25, -0.5, 0.25, 0.125]
    assert batch.intrinsics.dtype == batch.baselines.dtype == torch.float32


def test_a_batch_can_be_written_to(write: Write) -> None:
    """It is a copy: augmentation in place must not reach for the read-only file."""
    samples = two_cameras(write)
    batch = samples.read(np.array([0]))
    before = samples.stores[0].images[1].copy()
    batch.images.zero_()
    assert np.array_equal(samples.stores[0].images[1], before)
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.images, batch.images)
    assert torch.equal(moved.intrinsics, batch.intrinsics)
    assert torch.equal(moved.baselines, batch.baselines)


def test_truth_and_stamps_are_those_of_the_targets(write: Write) -> None:
    samples = two_cameras(write, truth=True)
    assert samples.stamps().tolist() == [100, 200, 100, 200, 1100, 1200, 1100, 1200]
    assert samples.truth(0) is None  # the first store has none
    for sample, frame in ((4, 1), (5, 2), (6, 5), (7, 6)):
        truth = samples.truth(sample)
        assert truth is not None
        assert truth.tolist() == [[1.0 + frame] * 3] * 2


def test_some_samples_can_be_selected(write: Write) -> None:
    samples = two_cameras(write)
    every = rows(samples)
    assert rows(samples.select(np.array([5, 1]))) == [every[5], every[1]]
    mask = np.arange(len(samples)) % 3 == 0
    assert rows(samples.select(mask)) == every[::3]
    picked = samples.select(np.array([5, 1])).read(np.array([1]))
    assert torch.equal(picked.images, samples.read(np.array([1])).images)


# --- iterate_batches ---


class Reader:
    """Stands in for samples whose loading is watched."""

    def __init__(self, before: Callable[[int], None] = lambda first: None) -> None:
        self.started: list[int] = []
        self._before = before

    def read(self, chosen: np.ndarray, pin_memory: bool = False) -> Batch:
        self.started.append(int(chosen[0]))
        self._before(int(chosen[0]))
        return Batch(torch.from_numpy(chosen), torch.empty(0), torch.empty(0))


def chunks_of(count: int) -> list[np.ndarray]:
    return [np.array([i, i]) for i in range(count)]


def batches_from(reader: Reader, count: int, **rest: Any) -> Iterator[Batch]:
    return iterate_batches(cast(Samples, reader), chunks_of(count), **rest)


def loading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("load")]


def firsts(batches: Iterator[Batch]) -> list[int]:
    return [int(batch.images[0]) for batch in batches]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_batches_come_in_order(count: int, workers: int) -> None:
    reader = Reader()
    assert firsts(batches_from(reader, count, workers=workers)) == list(range(count))
    assert sorted(reader.started) == list(range(count))
    assert not loading_threads()


def test_batches_are_those_that_read_gives(write: Write) -> None:
    samples = two_cameras(write)
    chunks = [np.array([0, 7]), np.array([3]), np.array([2, 2, 5])]
    for chunk, batch in zip(chunks, iterate_batches(samples, chunks), strict=True):
        expected = samples.read(chunk)
        assert torch.equal(batch.images, expected.images)
        assert torch.equal(batch.intrinsics, expected.intrinsics)
        assert torch.equal(batch.baselines, expected.baselines)


def test_a_batch_that_is_ready_early_waits_for_its_turn() -> None:
    second_is_read = threading.Event()

    def before(first: int) -> None:
        if first == 0:
            assert second_is_read.wait(60), "nothing is loaded along with the first batch"
        elif first == 1:
            second_is_read.set()

    assert firsts(batches_from(Reader(before), 4)) == [0, 1, 2, 3]


def test_only_some_batches_are_loaded_ahead() -> None:
    reader = Reader()
    batches = batches_from(reader, 50, ahead=3)
    for taken in range(10):
        assert int(next(batches).images[0]) == taken
        assert len(reader.started) <= taken + 1 + 3
    batches.close()  # type: ignore[attr-defined]


def test_leaving_early_leaves_no_thread_behind() -> None:
    for batch in batches_from(Reader(), 50):
        if batch.images[0] == 2:
            break
    assert not loading_threads()


def test_what_is_not_begun_when_leaving_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    leaving = threading.Event()
    shut_down = ThreadPoolExecutor.shutdown

    def leave(pool: ThreadPoolExecutor, *rest: Any, **options: Any) -> None:
        leaving.set()
        shut_down(pool, *rest, **options)

    def before(first: int) -> None:
        if first == 1:
            assert leaving.wait(60)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", leave)
    reader = Reader(before)
    batches = batches_from(reader, 50, workers=1)
    assert int(next(batches).images[0]) == 0
    batches.close()  # type: ignore[attr-defined]
    assert reader.started in ([0], [0, 1])  # 1 may be cancelled before the thread takes it up


def test_an_error_of_loading_reaches_the_caller() -> None:
    def before(first: int) -> None:
        if first == 3:
            raise OSError("the disk is gone")

    batches = batches_from(Reader(before), 50)
    assert firsts(itertools.islice(batches, 3)) == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not loading_threads()


def test_an_error_of_the_caller_leaves_no_thread_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        for batch in batches_from(Reader(), 50):
            _ = 1 // int(batch.images[0])
    assert not loading_threads()
