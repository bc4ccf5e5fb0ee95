# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Switch off the parts of the objective one by one, on a world where each of them should matter.

A rendered street with things that move (one of them ahead, at the camera's own speed) and a
stretch where the camera stands still; equal budgets; several seeds of weights and order. Runs that
are done are kept, so an interrupted ablation goes on where it was.

    python benchmark/ablation.py --out runs/ablation --init resnet18.safetensors
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import load_checkpoint
from monodepth2_ros.coloring import colorize, disparity_range
from monodepth2_ros.image_files import write_image
from training.evaluation.odometry import motion_model
from training.evaluation.predictors import constant_predictor, depth_predictor, mean_depth_predictor
from training.evaluation.protocol import Protocol, Selection, aligned_depth, compare, truth_of
from training.evaluation.splits import training_split
from training.frames.store import FrameStore
from training.learning.dataset import find_samples
from training.learning.learner import Learner, prepare
from training.objective import SelfSupervisedObjective
from training.programs import call
from training.train import NOTHING_LEARNED

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 128, 64
VARIANTS = {
    "full": [],
    "without auto-mask": ["--no-automask"],
    "mean, not minimum": ["--no-minimum-reprojection"],
    "own-resolution scales": ["--no-full-resolution"],
    "none of the three": [
        "--no-automask",
        "--no-minimum-reprojection",
        "--no-full-resolution",
    ],
}


@dataclass(frozen=True)
class Score:
    """A run's figures on held-out frames.

    Attributes
    ----------
    abs_rel, a1 : float
        Over all pixels with truth, frames scaled by their medians.
    moving : float
        abs_rel over the pixels of things that move.
    holes : float
        Share of those pixels that are predicted at more than twice their distance.
    """

    abs_rel: float
    a1: float
    moving: float
    holes: float


def prepare_world(out: Path, seed: int, frames: int) -> tuple[FrameStore, FrameStore]:
    """Render the world, and the same one without what moves; extract both."""
    stores = []
    for name, moving in (("world", "4"), ("still_world", "0")):
        store, bag = out / name, out / f"{name}_bag"
        if not store.exists():
            size = ["--width", str(WIDTH), "--height", str(HEIGHT)]
            world = ["--layout", "street", "--seed", str(seed), "--frames", str(frames)]
            moves = ["--standstill", "6", "--moving-objects", moving]
            call("synthesize", ["--out", str(bag), *world, *moves, *size, "--quiet", "--force"])
            keep = ["--min-flow", "0", "--spacing", "1"]
            call("extract", [str(bag), "--out", str(store), *size, *keep])
        stores.append(FrameStore.open(store))
    return stores[0], stores[1]


def train(out: Path, variant: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Train one variant, unless that is done; return its last checkpoint."""
    folder = out / f"{variant.replace(' ', '_').replace(',', '')}_{seed}"
    done = folder / "done"
    if done.exists():
        return folder / "last.safetensors"
    if folder.exists():
        options = ["--resume", str(folder)]
    else:
        options = ["--data", str(out / "world"), "--out", str(folder), "--seed", str(seed)]
        options += ["--init", arguments.init, "--steps", str(arguments.steps)]
        options += ["--batch-size", str(arguments.batch_size), "--no-tensorboard"]
        options += ["--validation-fraction", "0.2", "--validate-every", "1000000"]
        # The start is the same for all, whatever the recipe says of it.
        start = ["--pose", "separate", "--motion-steps", str(arguments.steps // 8)]
        start += ["--coarse-steps", str(arguments.steps // 3)]
        options += ["--loader-threads", "1", "--save-every", "100", *start, *VARIANTS[variant]]
    _train_in_process(options)
    done.touch()
    return folder / "last.safetensors"


def judge(
    checkpoint: Path, store: FrameStore, moving: NDArray[np.bool_], frames: NDArray[np.int64]
) -> Score:
    """Compare a checkpoint with the truth of held-out frames."""
    protocol = Protocol(scaling="median")
    selection = Selection(store, frames)
    predict = depth_predictor(load_checkpoint(checkpoint), torch.device("cpu"), protocol)
    return _score(predict, selection, protocol, moving)


def _score(predict, selection, protocol, moving) -> Score:  # type: ignore[no-untyped-def]
    """Average a predictor's figures over the frames."""
    results, errors, ratios = [], [], []
    for frame in selection.frames.tolist():
        truth = truth_of(selection, frame, protocol)
        depth = predict(selection.store, np.array([frame]))[0]
        result = compare(truth, depth, protocol)
        results.append(result.metrics)
        mask = moving[frame] & (truth > 0)
        ratio = aligned_depth(depth, result, protocol)[mask] / truth[mask]
        errors.append(np.abs(ratio - 1.0))
        ratios.append(ratio)
    return Score(
        float(np.mean([metrics["abs_rel"] for metrics in results])),
        float(np.mean([metrics["a1"] for metrics in results])),
        float(np.concatenate(errors).mean()),
        float((np.concatenate(ratios) > 2.0).mean()),
    )


def moving_pixels(store: FrameStore, still: FrameStore) -> NDArray[np.bool_]:
    """Find what moves: where the two worlds are not equally deep."""
    assert store.truth is not None and still.truth is not None
    if not np.array_equal(store.poses, still.poses):
        raise RuntimeError("the camera's way depends on what moves; the worlds cannot be compared")
    depth, empty = (np.nan_to_num(np.asarray(s.truth, np.float32)) for s in (store, still))
    return np.abs(depth - empty) > 0.05 * np.maximum(depth, empty)


def draw(
    out: Path, checkpoints: dict[str, Path], store: FrameStore, moving: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Show, for four frames, the image, the auto-mask and the disparity of every variant.

    The first two frames have the most that moves; in the third the camera stands still.
    """
    samples = find_samples([store], (-1, 1), "none", 1)
    targets = samples.frames[:, 0]
    _, held_out = training_split(store, {"spacing": 1}, 0.2)
    share = moving[targets].mean(axis=(1, 2)) * np.isin(targets, held_out)
    steps = np.linalg.norm(
        store.poses[samples.frames[:, 1], :3, 3] - store.poses[samples.frames[:, 2], :3, 3], axis=1
    )
    busiest = int(np.argmax(share))
    far = np.abs(np.arange(len(targets)) - busiest) > 10
    chosen = [busiest, int(np.argmax(share * far)), int(np.argmin(steps)), len(targets) - 1]
    views = prepare(samples.read(np.array(chosen)))
    columns = {"image": (views.images[:, 0] * 255).round().byte().permute(0, 2, 3, 1)}
    for variant, checkpoint in checkpoints.items():
        model = motion_model(load_checkpoint(checkpoint))
        learner = Learner(model, SelfSupervisedObjective(), (True, False))
        with torch.no_grad():
            predictions, output = learner.evaluate(views, torch.Generator().manual_seed(0))
        if variant == "full":
            mask = (output.automask[0] * 255).byte()
            columns["auto-mask"] = mask[..., None].expand(-1, -1, -1, 3)
        disparities = predictions.disparities[0][:, 0]
        columns[variant] = torch.stack([colorize(d, *disparity_range(d)) for d in disparities])
    scale = 2
    rows = []
    for row in range(len(chosen)):
        images = [
            cv2.resize(column[row].numpy(), None, fx=scale, fy=scale) for column in columns.values()
        ]
        rows.append(np.hstack(images))
    head = np.full((26, rows[0].shape[1], 3), 255, np.uint8)
    for i, name in enumerate(columns):
        place = (i * WIDTH * scale + 6, 18)
        cv2.putText(head, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([head, *rows])


def _train_in_process(arguments: list[str]) -> None:
    """Train on one thread in a process of its own: several run at a time."""
    command = [sys.executable, "-m", "training.train", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, NOTHING_LEARNED):
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def main() -> None:
    """Train all, judge all, write the table and the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of worlds and runs")
    parser.add_argument("--init", default="imagenet", help="as in depth_train [%(default)s]")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=400, help="length of the world")
    parser.add_argument("--world-seed", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a thread each")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if os.path.exists(arguments.init):
        arguments.init = os.path.abspath(arguments.init)
    store, still = prepare_world(out, arguments.world_seed, arguments.frames)
    moving = moving_pixels(store, still)
    fitted, held_out = training_split(store, {"spacing": 1}, 0.2)
    runs = [(variant, seed) for seed in range(arguments.seeds) for variant in VARIANTS]

    def work(run: tuple[str, int]) -> Score:
        score = judge(train(out, *run, arguments), store, moving, held_out)
        print(f"{run[0]}, seed {run[1]}: {score}", flush=True)
        return score

    with ThreadPoolExecutor(arguments.jobs) as pool:
        scores = dict(zip(runs, pool.map(work, runs), strict=True))
    protocol = Protocol(scaling="median")
    selection = Selection(store, held_out)
    baselines = {
        "best constant depth": constant_predictor,
        "mean depth image": mean_depth_predictor([Selection(store, fitted)], protocol),
    }
    print("\n| | abs_rel | a1 | abs_rel of what moves | of it, twice too far |")
    print("|---|---|---|---|---|")
    table = {}
    for variant in VARIANTS:
        mine = [scores[variant, seed] for seed in range(arguments.seeds)]
        table[variant] = [vars(score) for score in mine]
        cells = []
        for name in ("abs_rel", "a1", "moving", "holes"):
            values = [getattr(score, name) for score in mine]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})")
        print(f"| {variant} | {' | '.join(cells)} |")
    for name, predict in baselines.items():
        score = _score(predict, selection, protocol, moving)
        table[name] = [vars(score)]
        values = (score.abs_rel, score.a1, score.moving, score.holes)
        print(f"| *{name}* | {' | '.join(f'{value:.3f}' for value in values)} |")
    (out / "table.json").write_text(json.dumps(table, indent=2))
    checkpoints = {variant: train(out, variant, 0, arguments) for variant in VARIANTS}
    picture = arguments.picture or out / "ablation.png"
    write_image(picture, draw(out, checkpoints, store, moving))
    print(f"\n{picture}, {out / 'table.json'}")


if __name__ == "__main__":
    main()
