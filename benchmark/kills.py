# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kill extractions and trainings at random moments, repeat the same command, and compare.

    python benchmark/kills.py --count 50 --seed 3
    python benchmark/kills.py --count 100 --forked

A small recording is extracted and trained on once without a disturbance. Then the same commands
run again and again: each is killed (SIGKILL) one or more times after random times, repeated until
it completes, and what it leaves is compared byte by byte: images, index and truth of the store;
weights and history of the run. Prints a line for each difference; the exit status is 1 if there is
one.

With ``--forked`` the commands are forked from a process that has imported everything, and train
networks with few channels: all kills fall on their work, none on imports, and a save writes half a
megabyte, not half a gigabyte, so that a hundred take minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

# In place of this folder, in which training.py would hide the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

#: Files of a store that must be the same after kills; reports and pictures tell of times.
STORE_FILES = ("*.u8", "*.f16", "*.npy", "store.json")

#: Statuses of a command that has completed: depth_train says 3 if it learned nothing.
COMPLETE = (0, 3)

#: Runs of one command until it must have completed.
MOST_RUNS = 30


def main() -> int:
    """Read the options, run, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="kills of each of the two commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("extract", "train"))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--forked", action="store_true", help="see above")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills.") as name:
        folder = Path(name)
        bag, reference = folder / "bag", folder / "reference"
        run("synthesize", "--out", bag, "--frames", options.frames, "--width", 128, "--height", 96,
            "--workers", 1, "--quiet")  # fmt: skip
        extract = ("extract", bag, "--width", 96, "--height", 64, "--workers", 2, "--out")
        train = ("train", "--data", reference / "store", "--init", "none", "--steps", options.steps,
                 "--batch-size", options.batch, "--save-every", 2, "--validate-every", 6,
                 "--device", "cpu", "--pose", "posecnn", "--no-tensorboard", "--out")  # fmt: skip
        if options.forked:
            import_everything()
        seconds = {
            "extract": run(*extract, reference / "store"),
            "train": run(*train, reference / "run"),
        }
        outcomes: Counter[str] = Counter()
        for kind, command in (("extract", extract), ("train", train)):
            if options.only in (None, kind):
                outcomes += series(kind, command, seconds[kind], options.count, reference, rng)
    for outcome, number in sorted(outcomes.items()):
        print(f"{number:6d}  {outcome}")
    return 1 if any("different" in outcome for outcome in outcomes) else 0


def series(
    kind: str,
    command: tuple[object, ...],
    seconds: float,
    kills: int,
    reference: Path,
    rng: random.Random,
) -> Counter[str]:
    """Kill a command some number of times, in as many runs as it takes.

    Parameters
    ----------
    kind : str
        "extract" or "train".
    command : tuple
        Words of the command line, without the output that comes last.
    seconds : float
        How long it takes without a disturbance.
    kills : int
    reference : Path
        Folder with what comes out without a disturbance.
    rng : random.Random

    Returns
    -------
    Counter
        Numbers of kills and of results that are identical or different.
    """
    outcomes: Counter[str] = Counter()
    out = reference.parent / ("store" if kind == "extract" else "run")
    while outcomes[f"{kind}: kills"] < kills:
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(MOST_RUNS):
            wanted = outcomes[f"{kind}: kills"] < kills and rng.random() < 0.8
            limit = rng.uniform(0.0, 1.2 * seconds) if wanted else None
            begin = time.monotonic()
            status = killed_after(command, out, limit)
            if status == -9:
                outcomes[f"{kind}: kills"] += 1
                continue
            if status in COMPLETE:
                # On a machine that does other work too the first measurement may be far too long.
                seconds = min(seconds, max(0.5, time.monotonic() - begin))
                break
            print(f"{kind}: different: status {status} after {outcomes}", flush=True)
            outcomes[f"{kind}: different"] += 1
            break
        differences = compare(kind, reference / out.name, out)
        for difference in differences:
            print(f"{kind}: different: {difference}", flush=True)
        outcomes[f"{kind}: {'different' if differences else 'identical'} results"] += 1
        print(f"{kind}: {outcomes[f'{kind}: kills']} kills", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    return outcomes


def import_everything() -> None:
    """Import the two commands with all that they need; :func:`start` forks them from now on."""
    import torch

    import training.extract
    import training.extraction.job
    import training.learning.trainer
    import training.train  # noqa: F401

    sys.path.append(str(Path(__file__).resolve().parents[1] / "test" / "support"))
    from narrow_networks import narrow

    narrow()
    # A thread pool would not survive the fork.
    torch.set_num_threads(1)


def start(words: tuple[object, ...]) -> subprocess.Popen[bytes] | Forked:
    """Start a command of this package."""
    arguments = list(map(str, words[1:]))
    if "training.train" in sys.modules:
        return Forked(str(words[0]), arguments)
    command = [sys.executable, "-m", f"training.{words[0]}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


class Forked:
    """A command in a forked process, with what is used of Popen.

    Parameters
    ----------
    name : str
        Name of its module in `training`.
    arguments : list of str
    """

    def __init__(self, name: str, arguments: list[str]) -> None:
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                status = sys.modules[f"training.{name}"].main(arguments)
            finally:
                os._exit(status)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its status, as Popen does."""
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            found, status = os.waitpid(self.pid, 0 if limit is None else os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if limit is not None and time.monotonic() > limit:
                raise subprocess.TimeoutExpired([], timeout or 0.0)
            time.sleep(0.002)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


def killed_after(command: tuple[object, ...], out: Path, seconds: float | None) -> int:
    """Run a command; kill it after a time, None for never; return its status."""
    process = start((*command, out))
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def run(*words: object) -> float:
    """Run a command of this package to its end; return the seconds it took."""
    begin = time.monotonic()
    status = start(words).wait()
    if status not in COMPLETE:
        raise SystemExit(f"{words}: status {status}")
    return time.monotonic() - begin


def compare(kind: str, reference: Path, found: Path) -> list[str]:
    """Say in what a result differs from that of an undisturbed command."""
    left = [path.name for path in found.parent.glob(f".{found.name}.*")]
    differences = [f"{name} was left behind" for name in left]
    if not found.is_dir():
        return [*differences, f"there is no {found.name}"]
    if kind == "extract":
        names = {
            path.name
            for folder in (reference, found)
            for pattern in STORE_FILES
            for path in folder.glob(pattern)
        }
        for name in sorted(names):
            first, second = reference / name, found / name
            if first.exists() != second.exists():
                differences.append(f"{name} is missing")
            elif first.read_bytes() != second.read_bytes():
                differences.append(name)
        return differences
    from monodepth2_ros.checkpoint import load_checkpoint
    from monodepth2_ros.weights import arrays_of

    for name in ("last.safetensors", "best.safetensors"):
        if (reference / name).exists() != (found / name).exists():
            differences.append(f"{name} is missing")
        elif (found / name).exists():
            states = [load_checkpoint(folder / name).state for folder in (reference, found)]
            for network in states[0]:
                one, other = (arrays_of(state, network) for state in states)
                differences += [
                    f"{name}: {network}.{key}"
                    for key in one
                    if not np.array_equal(one[key], other[key])
                ]
    if (reference / "history.jsonl").read_text() != (found / "history.jsonl").read_text():
        differences.append("history.jsonl")
    return differences


if __name__ == "__main__":
    sys.exit(main())
