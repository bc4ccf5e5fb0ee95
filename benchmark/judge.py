# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""See whether depth that is triangulated from the images ranks models as ground truth does.

Where a recording has no ground truth, ``depth_train`` chooses its best model by triangulated
corners. This takes frame stores that do have ground truth and some checkpoints (the more unlike,
the better: early and late ones, of this and of other recordings), judges all of them on the
held-out fifth of each store in both ways, and prints both figures and their rank correlation. With
``--degraded``, depth that is made worse on purpose is judged, too.

    python benchmark/judge.py --data stores/kitchen stores/robot --models runs/*/*.safetensors
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import open_checkpoint
from training.evaluation.predictors import depth_predictor
from training.evaluation.protocol import Protocol
from training.frames.store import FrameStore
from training.learning.baselines import FARTHEST, sparse_error
from training.learning.dataset import Samples, find_samples, split_samples
from training.learning.motion_from_tracks import SparseGeometry, read_around, remember_tracks
from training.learning.validation import evenly
from training.metrics import evaluate_frame

Depth = NDArray[np.float32]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table and a correlation for each store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, help="frame stores with ground truth")
    parser.add_argument("--models", nargs="+", required=True, help="checkpoints, or 'default'")
    parser.add_argument("--frames", type=int, default=40, help="at most so many for each store")
    parser.add_argument("--degraded", action="store_true", help="judge worsened depth as well")
    arguments = parser.parse_args(argv)
    for path in arguments.data:
        store = FrameStore.open(path)
        if store.truth is None:
            print(f"{path}: no ground truth, nothing to compare with", file=sys.stderr)
            return 1
        samples = split_samples(find_samples([store], (-1, 1), "none", 0, "none"), 0.2)[1]
        samples = samples.select(evenly(len(samples), arguments.frames))
        rows = list(judge(samples, arguments.models, arguments.degraded))
        print(f"\n{path}\n\n| model | ground truth | triangulated |\n|---|---|---|")
        for name, exact, sparse in sorted(rows, key=lambda row: row[1]):
            print(f"| {name} | {exact:.3f} | {sparse:.3f} |")
        figures = np.array([row[1:] for row in rows])
        found = rank_correlation(figures[:, 0], figures[:, 1])
        print(f"\nrank correlation of {len(rows)}: {found:.2f}", flush=True)
    return 0


def judge(
    samples: Samples, models: Sequence[str], degraded: bool
) -> Iterator[tuple[str, float, float]]:
    """Yield each model's name and abs_rel against ground truth and triangulated depth.

    Parameters
    ----------
    samples : Samples
        The frames of one store with ground truth.
    models : sequence of str
    degraded : bool
        Whether the depth of each model is judged in worse versions, too.
    """
    store = samples.stores[0]
    frames = samples.frames[:, 0]
    measure = remember_tracks([store])
    geometries = [measure(0, int(row[0]), tuple(map(int, row[1:]))) for row in samples.frames]
    flat = np.ones((len(frames), store.height, store.width), np.float32)
    yield ("constant depth", *_figures(store, frames, flat, geometries))
    for model in models:
        predict = depth_predictor(open_checkpoint(model), torch.device("cpu"), Protocol())
        parts = [predict(store, frames[i : i + 8]) for i in range(0, len(frames), 8)]
        depth = np.concatenate([np.asarray(part, np.float32) for part in parts])
        name = "/".join(Path(model).parts[-2:])
        yield (name, *_figures(store, frames, depth, geometries))
        for word, worse in _worsened(depth) if degraded else ():
            yield (f"{name}, {word}", *_figures(store, frames, worse, geometries))


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation of two series without ties."""
    one, other = (np.argsort(np.argsort(values)).astype(float) for values in (first, second))
    return float(np.corrcoef(one, other)[0, 1])


def _worsened(depth: Depth) -> Iterator[tuple[str, Depth]]:
    """Flatten, exaggerate and invert depth about each image's median."""
    middle = np.median(depth, axis=(1, 2), keepdims=True)
    for word, power in (("half as deep", 0.5), ("exaggerated", 1.6), ("inverted", -0.5)):
        yield word, middle * (depth / middle) ** power


def _figures(
    store: FrameStore,
    frames: NDArray[np.int64],
    depth: Depth,
    geometries: Sequence[SparseGeometry | None],
) -> tuple[float, float]:
    """Return the mean errors against ground truth (abs_rel) and against triangulated depth."""
    assert store.truth is not None
    exact, sparse = [], []
    for frame, image, geometry in zip(frames.tolist(), depth, geometries, strict=True):
        tensor = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        truth = np.asarray(store.truth[frame])
        full = torch.nn.functional.interpolate(tensor, truth.shape, mode="bilinear")
        result = evaluate_frame(truth, full[0, 0].numpy(), max_depth=FARTHEST)
        if result is not None:
            exact.append(result.metrics["abs_rel"])
        if geometry is not None:
            size = (store.height, store.width)
            small = torch.nn.functional.interpolate(tensor, size, mode="bilinear")
            read = read_around(small, torch.from_numpy(geometry.points[None]))
            sparse.append(sparse_error(geometry, read[0].numpy()))
    return float(np.mean(exact)), float(np.mean(sparse))


if __name__ == "__main__":
    sys.exit(main())
