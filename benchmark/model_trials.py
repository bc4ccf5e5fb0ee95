# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Try what might better the default model, one change at a time, each for the same few steps.

Every trial goes on from the same checkpoint with the recipe of config/default_model.yaml and one
thing changed, and is judged like the model itself, on a part of the frames. The recipe's own trial
is taken with several seeds: what differs by less than those is not known to differ. Runs that are
done are kept, so an interrupted call goes on where it was.

    python -m training.default_model --recordings BAGS --init FILE --out WORK    # makes the data
    python benchmark/model_trials.py --work WORK --init FILE
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import open_checkpoint
from training.default_model import HELD_OUT, RECIPE, Recipe
from training.evaluation import (
    Protocol,
    Selection,
    depth_predictor,
    evaluate_depth,
    frames_of_stretch,
)
from training.frame_store import FrameStore

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = Protocol(scaling="median")

#: Options of every trial that are not the recipe's.
RATE, DROP_AFTER = 1e-4, 0.6

#: Worlds of their own for the trial of larger images.
LARGE = {"layout": "random", "count": 80, "seed": 700_000}
LARGE_JUDGED = {"layout": "random", "count": 30, "seed": 500_000}
LARGE_SIZE = (288, 192)


@dataclass(frozen=True)
class Trial:
    """One change of the recipe.

    Attributes
    ----------
    options : dict
        Of depth_train; they replace the recipe's.
    data : dict
        How often stores are gone through in an epoch, where that is not the recipe's.
    only : bool
        Learn from `data` alone.
    seeds : int
    """

    options: dict[str, str] = field(default_factory=dict)
    data: dict[str, int] = field(default_factory=dict)
    only: bool = False
    seeds: int = 1


def trials(init: str, seeds: int) -> dict[str, Trial]:
    """Return the trials by what they change."""
    return {
        "the recipe": Trial(seeds=seeds),
        "learning rate 4e-4": Trial({"learning-rate": "4e-4"}),
        "learning rate 2.5e-5": Trial({"learning-rate": "2.5e-5"}),
        "learning rate not lowered": Trial({"drop-after": "1"}),
        "smoothness 1e-2": Trial({"smoothness-weight": "1e-2"}),
        "smoothness 1e-4": Trial({"smoothness-weight": "1e-4"}),
        "no auto-mask": Trial({"automask": "false"}),
        "recordings at twice the spacing": Trial({"spacing": "2"}),
        "pose network": Trial({"pose": "separate", "init": init}),
        "no recordings": Trial(data={"simulated_flight": 0, "highway_drive": 0}),
        "recordings three times as often": Trial(
            data={"simulated_flight": 18, "highway_drive": 12}
        ),
        "neither turned nor enlarged": Trial({"turn-degrees": "0", "zoom": "1"}),
        "truth weighs twice as much": Trial({"truth-weight": "1"}),
        "few worlds, 192x128": Trial(data={"few": 1}, only=True),
        "the same worlds, 288x192": Trial(data={"large": 1}, only=True),
    }


def prepare(work: Path) -> None:
    """Render the worlds of the trials, unless they are there."""
    for name, group in (("large", LARGE), ("large_judged", LARGE_JUDGED)):
        bags = work / "worlds" / name
        if not (work / "stores" / name).exists():
            words = ["--width", str(LARGE_SIZE[0]), "--height", str(LARGE_SIZE[1])]
            which = ["--worlds", str(group["count"]), "--seed", str(group["seed"])]
            which += ["--layout", str(group["layout"]), "--vary", "--rate", "1", "--frames", "10"]
            _run("synthetic", ["--out", str(bags), *which, *words])
            _extract(bags, work / "stores" / name, LARGE_SIZE)
    if not (work / "stores" / "few").exists():
        _extract(work / "worlds" / "large", work / "stores" / "few", Recipe.read(RECIPE).size)


def _extract(bags: Path, store: Path, size: tuple[int, int]) -> None:
    """Extract all worlds of a folder into one store."""
    words = ["--width", str(size[0]), "--height", str(size[1]), "--min-flow", "0"]
    worlds = sorted(str(bag) for bag in bags.iterdir() if bag.is_dir())
    _run("extract", [*worlds, "--out", str(store), "--spacing", "1", "--poses", "none", *words])


def _run(module: str, words: list[str], processes: int = 1) -> None:
    """Run a program of the training module, quietly."""
    launch = ["torch.distributed.run", "--nproc-per-node", str(processes), "-m"]
    command = [sys.executable, "-m", *(launch if processes > 1 else []), f"training.{module}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, 2 // processes))}
    done = subprocess.run(
        [*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"training.{module} {' '.join(words)}:\n{done.stdout}\n{done.stderr}")


def train(name: str, trial: Trial, seed: int, arguments: argparse.Namespace) -> Path:
    """Take a trial's steps, unless that is done; return its last checkpoint."""
    work = arguments.work
    folder = work / "trials" / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    if (folder / "done").exists():
        return Path(folder / "last.safetensors")
    stage = list(Recipe.read(RECIPE).stages.values())[-1]
    data = trial.data if trial.only else {**stage["data"], **trial.data}
    stores = [str(work / "stores" / key) for key, times in data.items() for _ in range(times)]
    options = {
        **{key.replace("_", "-"): str(stage[key]) for key in stage if key != "data"},
        **{"checkpoint": arguments.checkpoint, "recipe": "small", "truth": "instead"},
        **{"pose": "flow", "steps": str(arguments.steps), "learning-rate": str(RATE)},
        **{"drop-after": str(DROP_AFTER), "seed": str(seed), "validate-every": "1000000"},
        **{"save-every": "1000000", "validation-samples": "12", **trial.options},
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    if folder.exists():
        # Trials are short: one that was interrupted starts anew.
        shutil.rmtree(folder)
    _run("train", ["--data", *stores, "--out", str(folder), *words], arguments.processes)
    (folder / "done").touch()
    return Path(folder / "last.safetensors")


def judge(checkpoint: str | Path, sets: dict[str, Selection]) -> dict[str, float]:
    """Return the mean abs_rel on each set of frames, scaled by the medians."""
    predict = depth_predictor(open_checkpoint(str(checkpoint)), torch.device("cpu"), PROTOCOL)
    return {
        name: float(evaluate_depth(name, predict, [chosen], PROTOCOL).values("abs_rel").mean())
        for name, chosen in sets.items()
    }


def judged_sets(work: Path) -> dict[str, Selection]:
    """Choose the frames to judge by: of the larger sets every third or fifth one."""
    stores = work / "stores"

    def chosen(name: str, first: float, step: int) -> Selection:
        store = FrameStore.open(stores / name)
        return Selection(store, frames_of_stretch(store, first, 1.0)[::step])

    return {
        "worlds": chosen(HELD_OUT, 0.0, 3),
        "flight": chosen("simulated_flight_judged", 0.8, 1),
        "walk": chosen("indoor_walk", 0.0, 3),
        "kitchen": chosen("kitchen_scan", 0.0, 5),
        "large worlds": chosen("large_judged", 0.0, 3),
    }


def main() -> None:
    """Take all trials and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder of training.default_model")
    add("--checkpoint", default="default", help="to go on from [%(default)s]")
    add("--init", required=True, help="ResNet weights for the trial of a pose network")
    add("--steps", type=int, default=100, help="of each trial [%(default)s]")
    add("--processes", type=int, default=2, help="to train with [%(default)s]")
    add("--seeds", type=int, default=3, help="of the recipe's own trial [%(default)s]")
    add("--only", nargs="+", default=[], metavar="NAME", help="these trials alone")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    arguments.init = os.path.abspath(arguments.init)
    prepare(arguments.work)
    sets = judged_sets(arguments.work)
    table = {"where all begin": [judge(arguments.checkpoint, sets)]}
    for name, trial in trials(arguments.init, arguments.seeds).items():
        if arguments.only and name not in arguments.only:
            continue
        table[name] = []
        for seed in range(trial.seeds):
            table[name].append(judge(train(name, trial, seed, arguments), sets))
            print(f"{name}, seed {seed}: {table[name][-1]}", flush=True)
        (arguments.work / "trials" / "table.json").write_text(json.dumps(table, indent=2))
    print(f"\n| | {' | '.join(sets)} |\n|---{'|---' * len(sets)}|")
    for name, rows in table.items():
        cells = []
        for key in sets:
            values = [row[key] for row in rows]
            spread = f" ({min(values):.3f}–{max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
