# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learn from the same data with plain and with fast settings, and see whether learning suffers.

Both train from the same seeds, several runs each, on a rendered street; the last fifth of it is
held out. Plain is contiguous float32; fast is what `depth_train` chooses on the device by itself,
and what `--fast` adds. The difference of the two means stands next to the spread of the runs. What
is done is kept, so an interrupted run goes on where it was.

    python benchmark/fast_learning.py --out runs/fast --init none
    python benchmark/fast_learning.py --out runs/fast --device cuda --fast "--compile"
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from training.train import NOTHING_LEARNED

ROOT = Path(__file__).resolve().parents[1]

#: What the plain formulation of a training is made of.
PLAIN = ("--channels-last", "no", "--precision", "fp32", "--no-compile")


def run(module: str, arguments: Sequence[str]) -> None:
    """Run a program of the training module."""
    done = subprocess.run([sys.executable, "-m", f"training.{module}", *arguments], cwd=ROOT)
    if done.returncode not in (0, NOTHING_LEARNED):
        done.check_returncode()


def make_store(arguments: argparse.Namespace, out: Path) -> Path:
    """Render and extract, unless that was done."""
    store = out / "store"
    size = ["--width", str(arguments.width), "--height", str(arguments.height)]
    if not store.exists():
        world = ["--layout", "street", "--seed", "1", "--frames", str(arguments.frames)]
        run("synthetic", ["--out", str(out / "recording"), *world, *size, "--force"])
        run("extract", [str(out / "recording"), "--out", str(store), "--min-flow", "0", *size])
    return store


def abs_rel(folder: Path, options: Sequence[str]) -> float:
    """Train, unless that was done; return abs_rel on the held-out frames at the end."""
    history = folder / "history.jsonl"
    if not (folder / "complete").exists():
        done = ["--resume", str(folder)] if history.exists() else ["--out", str(folder), *options]
        run("train", done)
        (folder / "complete").touch()
    return float(json.loads(history.read_text().splitlines()[-1])["abs_rel"])


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--init", default="none", help="as in depth_train [%(default)s]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fast", default="", help="more options of the fast runs, in one word")
    parser.add_argument("--runs", type=int, default=3, help="seeds of each")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--height", type=int, default=64)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    common = ["--data", str(make_store(arguments, out)), "--validation-fraction", "0.2"]
    common += ["--init", arguments.init, "--device", arguments.device, "--no-tensorboard"]
    common += ["--steps", str(arguments.steps), "--batch-size", str(arguments.batch_size)]
    ways = {"plain": PLAIN, "fast": tuple(shlex.split(arguments.fast))}
    print("| | abs_rel, mean | runs | largest less smallest |\n|---|---|---|---|")
    means, spreads = [], []
    for name, options in ways.items():
        values = [
            abs_rel(out / f"{name}{seed}", [*common, *options, "--seed", str(seed)])
            for seed in range(arguments.runs)
        ]
        means.append(statistics.mean(values))
        spreads.append(max(values) - min(values))
        runs = ", ".join(f"{value:.4f}" for value in values)
        print(f"| {name} | {means[-1]:.4f} | {runs} | {spreads[-1]:.4f} |", flush=True)
    inside = abs(means[1] - means[0]) <= max(spreads)
    print(f"\ndifference {means[1] - means[0]:+.4f}: {'within' if inside else 'BEYOND'} the spread")


if __name__ == "__main__":
    main()
