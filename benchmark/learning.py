# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learn from one recording and see how well: train on its first 80 %, test on the last 20 %.

The recording is a rendered street unless one with true depth is given. The table holds the model
against two baselines that need no network; the picture shows the learning curve and held-out
frames. What is done is kept, so an interrupted run goes on where it was.

    python benchmark/learning.py --out runs/street --init resnet18.safetensors
    python benchmark/learning.py --out runs/mine --recording my_bag --width 160 --height 128
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import load_checkpoint
from monodepth2_ros.coloring import colorize
from monodepth2_ros.image_files import write_image
from monodepth2_ros.visualization.pictures import Panel, choose_colors, side_by_side
from training.evaluation.depth import Evaluation, evaluate_depth
from training.evaluation.predictors import constant_predictor, depth_predictor, mean_depth_predictor
from training.evaluation.protocol import Predict, Protocol, Selection, aligned_depth, truth_of
from training.evaluation.splits import frames_of_stretch
from training.frames.store import FrameStore
from training.programs import call

PROTOCOL = Protocol(scaling="median")


def make_store(arguments: argparse.Namespace, out: Path) -> FrameStore:
    """Render, unless a recording is given, and extract."""
    store = out / "store"
    size = ["--width", str(arguments.width), "--height", str(arguments.height)]
    if not store.exists():
        recording = arguments.recording
        if recording is None:
            recording = out / "recording"
            world = ["--layout", "street", "--seed", "1", "--frames", "600"]
            call("synthesize", ["--out", str(recording), *world, *size, "--force"])
        call("extract", [str(recording), "--out", str(store), "--min-flow", "0", *size])
    return FrameStore.open(store)


def train(arguments: argparse.Namespace, out: Path) -> tuple[Path, list[dict[str, float]]]:
    """Train to the end; return the last checkpoint and the curve."""
    folder = out / "run"
    if not (out / "seconds.txt").exists():
        start = time.monotonic()
        if folder.exists():
            options = ["--resume", str(folder)]
        else:
            options = ["--data", str(out / "store"), "--out", str(folder)]
            options += ["--init", arguments.init, "--steps", str(arguments.steps)]
            options += ["--checkpoint", arguments.checkpoint]
            options += ["--batch-size", str(arguments.batch_size), "--validation-fraction", "0.2"]
            # The truth must not choose the checkpoint that it judges.
            options += ["--best-by", "loss", "--spacing", str(arguments.spacing)]
        call("train", options)
        (out / "seconds.txt").write_text(f"{time.monotonic() - start:.0f}\n")
    lines = (folder / "history.jsonl").read_text().splitlines()
    return folder / "last.safetensors", [json.loads(line) for line in lines]


def draw_curve(
    history: list[dict[str, float]], levels: dict[str, float], width: int
) -> NDArray[np.uint8]:
    """Draw abs_rel and loss over the steps, with the levels of the baselines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, 3.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [entry["step"] for entry in history]
    left.plot(steps, [entry["abs_rel"] for entry in history], "o-", label="model")
    for (name, level), style in zip(levels.items(), ("--", ":"), strict=False):
        left.axhline(level, color="0.4", linestyle=style, label=name)
    left.set(title="abs_rel on held-out frames", xlabel="step", ylim=(0, None))
    left.legend()
    right.plot(steps, [entry["train_loss"] for entry in history], "o-", label="training")
    right.plot(steps, [entry["loss"] for entry in history], "o-", label="held out")
    right.set(title="loss", xlabel="step", ylim=(0, None))
    right.legend()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def draw_frames(
    selection: Selection, predict: Predict, evaluation: Evaluation, count: int = 4
) -> NDArray[np.uint8]:
    """Draw evenly chosen held-out frames: image, truth, prediction, error."""
    rows = []
    for index in np.linspace(0, len(evaluation.scores) - 1, count).round().astype(int).tolist():
        score = evaluation.scores[index]
        truth = truth_of(selection, score.frame, PROTOCOL)
        depth = predict(selection.store, np.array([score.frame]))[0]
        depth = aligned_depth(depth, score.result, PROTOCOL)
        known = truth > 0
        shown = np.where(known, truth, np.nan).astype(np.float32)
        colors = choose_colors(shown)
        error = np.where(known, np.abs(depth - truth) / np.where(known, truth, 1.0), np.nan)
        error_picture = colorize(torch.from_numpy(error.astype(np.float32)), 0.0, 0.5, "inferno")
        panels = [
            Panel("image", selection.store.images[score.frame]),
            Panel("true depth", colors.paint(shown), colors=colors),
            Panel("learned depth", colors.paint(depth.astype(np.float32)), colors=colors),
            Panel(
                f"relative error, to 50 % (mean {score.result.metrics['abs_rel']:.3f})",
                error_picture.numpy(),
            ),
        ]
        rows.append(side_by_side(panels, area=320 * 160))
    return np.vstack(rows)


def main() -> None:
    """Render or extract, train, judge, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--recording", help="a recording with true depth [a rendered street]")
    parser.add_argument("--init", default="imagenet", help="as in depth_train [%(default)s]")
    parser.add_argument(
        "--checkpoint", default="", help="as in depth_train: default, a file [none]"
    )
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--spacing", type=int, default=0, help="as in depth_train")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--picture", type=Path, help="PNG to write [OUT/learning.png]")
    parser.add_argument("--curve-only", action="store_true", help="no frames in the picture")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if os.path.exists(arguments.init):
        arguments.init = os.path.abspath(arguments.init)
    if arguments.recording:
        arguments.recording = os.path.abspath(arguments.recording)
    store = make_store(arguments, out)
    checkpoint, history = train(arguments, out)
    selection = Selection(store, frames_of_stretch(store, 0.8, 1.0))
    fitted = Selection(store, frames_of_stretch(store, 0.0, 0.8))
    predict = depth_predictor(load_checkpoint(checkpoint), torch.device("cpu"), PROTOCOL)
    predictors = {
        "model": predict,
        "best constant depth": constant_predictor,
        "mean depth image": mean_depth_predictor([fitted], PROTOCOL),
    }
    evaluations = {
        name: evaluate_depth(name, predictor, [selection], PROTOCOL)
        for name, predictor in predictors.items()
    }
    print(f"\nlast {len(selection.frames)} of {len(store)} frames, scaled by their medians")
    print("| | abs_rel, mean | median | rmse | a1 |\n|---|---|---|---|---|")
    for name, evaluation in evaluations.items():
        abs_rel = evaluation.values("abs_rel")
        rmse, a1 = evaluation.values("rmse").mean(), evaluation.values("a1").mean()
        cells = f"{abs_rel.mean():.3f} | {np.median(abs_rel):.3f} | {rmse:.3f} | {a1:.3f}"
        print(f"| {name} | {cells} |")
    levels = {
        name: float(evaluation.values("abs_rel").mean())
        for name, evaluation in evaluations.items()
        if name != "model"
    }
    if arguments.curve_only:
        picture = draw_curve(history, levels, 1200)
    else:
        frames = draw_frames(selection, predict, evaluations["model"])
        picture = np.vstack([draw_curve(history, levels, frames.shape[1]), frames])
    target = arguments.picture or out / "learning.png"
    write_image(target, picture)
    print(f"\ntrained in {(out / 'seconds.txt').read_text().strip()} s; {target}")


if __name__ == "__main__":
    main()
