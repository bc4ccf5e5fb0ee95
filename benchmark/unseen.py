# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train on each recording of a folder by itself, with default options, and see whether it helped.

The last fifth of every recording is held out. The table says what depth was worth there before and
after (that of the model that was kept, and that of the last step), against ground truth where the
recording has it and against triangulated depth, next to what needs no training: the best constant
depth, the mean depth image of the rest, the best plane. In parentheses: what training began with,
at its own image size, where that is another one. Each recording is trained on from the shipped
model and from an ImageNet trunk. With ``--blind`` the runs know neither ground truth nor poses, as
those of most users, and their verdicts can be compared with the ground truth afterwards. What is
done is kept, so an interrupted benchmark goes on where it was.

    python benchmark/unseen.py recordings/ --out runs/unseen --trunk resnet18.safetensors
    python benchmark/unseen.py recordings/ --out runs/unseen --starts shipped --steps 300 --seeds 3
    python benchmark/unseen.py worlds/ --out runs/blind --starts shipped --steps 300 --blind
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from training.learning.judgement import choose_measure, kept_entry
from training.train import NOTHING_LEARNED

ROOT = Path(__file__).resolve().parents[1]

#: What the ground truth says that a run did not see.
COMPARED = "ground_truth.json"

#: A row of the table: heading and key of the figure in a validation, or in its baselines.
COLUMNS = (
    ("constant", "constant", "sparse_constant"),
    ("mean image", "mean_image", "sparse_mean_image"),
    ("plane", "", "sparse_plane"),
)


@dataclass(frozen=True)
class Run:
    """One training: of which recording, from what, how."""

    recording: str
    start: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.recording}_{self.start}_{self.recipe}_{self.seed}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is left to do, and print the table after each run."""
    arguments = _parser().parse_args(argv)
    recordings = sorted(path for path in arguments.recordings.iterdir() if _is_recording(path))
    if not recordings:
        print(f"{arguments.recordings} holds no recording", file=sys.stderr)
        return 1
    stores = arguments.out / "stores"
    stores.mkdir(parents=True, exist_ok=True)
    usable: dict[str, Path] = {}
    recording_of = {path.stem: path for path in recordings}
    for path in recordings:
        store = stores / path.stem
        command = ["extract", path, "--out", store, "--width", arguments.width]
        if not (store / "store.json").exists():
            hidden = ["--truth-topic", "none", "--poses-topic", "none"] if arguments.blind else []
            _run(stores / f"{path.stem}.log", [*command, *hidden])
        if (store / "store.json").exists():
            usable[path.stem] = store
    for run in _runs(usable, arguments):
        folder = arguments.out / run.name
        if not (folder / "done").exists():
            status = _run(arguments.out / f"{run.name}.log", _command(run, usable, arguments))
            if status in (0, NOTHING_LEARNED):
                (folder / "done").write_text(f"{status}\n", encoding="utf-8")
        if arguments.blind and (folder / "done").exists():
            _compare_with_truth(run, recording_of[run.recording], arguments)
        print(table(list(_runs(usable, arguments)), arguments.out), flush=True)
    return 0


def table(runs: Sequence[Run], out: Path) -> str:
    """Return the table of all runs that have begun, as Markdown."""
    names = [heading for heading, _, _ in COLUMNS]
    lines = [
        "| recording | from | recipe | seed | judged by | start | kept | last | "
        + " | ".join(names)
        + " | spread of log depth | outcome |",
        "|---" * (10 + len(names)) + "|",
    ]
    for run in runs:
        history = out / run.name / "history.jsonl"
        if not history.exists():
            continue
        entries = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
        for measure, words in (("abs_rel", "ground truth"), ("sparse", "triangulated")):
            if entries and entries[0].get(measure) is not None:
                lines.append(_row(run, entries, measure, words, out / run.name / "done"))
        if (out / run.name / COMPARED).exists():
            lines.append(_row_of_truth(run, out / run.name))
    return "\n".join(lines)


def _row(run: Run, entries: list[dict[str, Any]], measure: str, words: str, done: Path) -> str:
    """Write one measure of a run."""
    start, last = entries[0], entries[-1]
    own = start.get("own_size", {}).get(measure)
    decides = choose_measure("auto", start)
    kept = kept_entry(entries, decides, from_checkpoint=run.start == "shipped") or start
    best = kept[measure]
    if kept is start and own is not None:
        # best.safetensors is the checkpoint as it came, at the size it was made for.
        best = min(best, own)
    baselines = start.get("baselines", {})
    cells = [run.recording, run.start, run.recipe, str(run.seed), words]
    at_own = "" if own is None else f" ({own:.3f})"
    cells += [f"{start[measure]:.3f}{at_own}", f"{best:.3f}", f"{last[measure]:.3f}"]
    for _, exact, sparse in COLUMNS:
        value = baselines.get(exact if measure == "abs_rel" else sparse)
        cells.append("" if value is None else f"{value:.3f}")
    cells.append(f"{start['spread']:.2f} → {last['spread']:.2f}")
    outcome = {"0": "better", f"{NOTHING_LEARNED}": "nothing learned"}
    cells.append(outcome[done.read_text().strip()] if done.exists() else "not finished")
    return "| " + " | ".join(cells) + " |"


def _compare_with_truth(run: Run, recording: Path, arguments: argparse.Namespace) -> None:
    """Evaluate what a run began with, kept and ended with, by the ground truth it did not see."""
    folder, log = arguments.out / run.name, arguments.out / f"{run.name}.log"
    report, store = folder / COMPARED, arguments.out / "stores" / f"{recording.stem}_truth"
    if report.exists():
        return
    if not (store / "store.json").exists():
        _run(log, ["extract", recording, "--out", store, "--width", arguments.width])
    if not (store / "store.json").exists():
        return
    # The start is the same for all runs of a recording.
    models = {"best": folder / "best.safetensors", "last": folder / "last.safetensors"}
    found = {name: folder / f"{name}.json" for name in models}
    if run.start == "shipped":
        models["start"], found["start"] = Path("default"), store / "start.json"
    figures = {}
    for name, model in models.items():
        command = ["evaluate", model, "--data", store, "--stretch", "0.8:1", "--quiet"]
        if found[name].exists() or _run(log, [*command, "--json", found[name]]) == 0:
            depth = json.loads(found[name].read_text(encoding="utf-8"))["models"][0]["depth"]
            figures[name] = depth["mean"]["abs_rel"]
    report.write_text(json.dumps(figures), encoding="utf-8")


def _row_of_truth(run: Run, folder: Path) -> str:
    """Write what the ground truth says that a run did not see."""
    figures = json.loads((folder / COMPARED).read_text(encoding="utf-8"))
    cells = [run.recording, run.start, run.recipe, str(run.seed), "ground truth, not seen"]
    cells += [
        f"{figures[name]:.3f}" if name in figures else "" for name in ("start", "best", "last")
    ]
    return "| " + " | ".join([*cells, *[""] * (len(COLUMNS) + 2)]) + " |"


def _runs(usable: dict[str, Path], arguments: argparse.Namespace) -> Iterator[Run]:
    """Name all runs, the first seed of all recordings first."""
    for seed in range(arguments.seeds):
        for start in arguments.starts:
            for recipe in arguments.recipes:
                for recording in usable:
                    yield Run(recording, start, recipe, seed)


def _command(run: Run, usable: dict[str, Path], arguments: argparse.Namespace) -> list[Any]:
    """Spell a training."""
    folder = arguments.out / run.name
    if (folder / "resume.pt").exists():
        return ["train", "--resume", folder]
    command = ["train", "--data", usable[run.recording], "--out", folder, "--seed", run.seed]
    command += ["--batch-size", "4", "--validation-fraction", "0.2", "--no-tensorboard"]
    command += ["--loader-threads", "1", "--validate-every", "50"]
    command += ["--budget", arguments.budget] if arguments.budget else ["--steps", arguments.steps]
    if run.recipe != "default":
        command += ["--recipe", run.recipe]
    if run.start == "shipped":
        return [*command, "--checkpoint", "default"]
    return [*command, "--init", arguments.trunk]


def _run(log: Path, command: Sequence[Any]) -> int:
    """Run a program of the training module, and keep what it says."""
    words = [sys.executable, "-m", f"training.{command[0]}", *map(str, command[1:])]
    with log.open("a", encoding="utf-8") as file:
        print(f"{log.stem}: {' '.join(words[2:])}", flush=True)
        return subprocess.run(words, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT).returncode


def _is_recording(path: Path) -> bool:
    """Whether a path is a bag."""
    return (path / "metadata.yaml").exists() or path.suffix in (".mcap", ".bag", ".db3")


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--trunk", default="imagenet", help="what depth_train --init takes")
    parser.add_argument("--starts", nargs="+", default=["shipped", "trunk"])
    parser.add_argument("--recipes", nargs="+", default=["default"], help="default, published")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--budget", default="", help="time of each run, such as 45min")
    parser.add_argument("--width", type=int, default=192, help="of the stored images")
    parser.add_argument("--blind", action="store_true", help="hide ground truth and poses")
    parser.add_argument("--seeds", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
