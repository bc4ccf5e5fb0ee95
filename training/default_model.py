# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the model that the package ships, from nothing, by config/default_model.yaml.

    python -m training.default_model --recordings BAGS --init resnet18.safetensors --out work

Worlds are rendered, recordings extracted, networks trained and judged, and the depth network is
written as one file with its provenance: each step is a command of this package, printed before it
runs, and called in this process (but for training with several processes, which torchrun starts). A
step whose result is there is skipped and an interrupted training is resumed, so the same command
continues an interrupted rebuild.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("default_model")

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, option_words
from monodepth2_ros.option_fields import check_options, option, shared_option
from monodepth2_ros.typed_files import Count, Fraction, ImageSide, Positive, as_structure
from training import programs

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "config" / "default_model.yaml"

#: Name of the store of worlds that no training sees.
HELD_OUT = "held_out_worlds"

#: What a frame's depth is scaled by before it is compared: the ratio of the medians, or nothing.
SCALINGS = ("median", "none")

_KEEP_ALL = ("--min-flow", "0")


class RecipeError(ValueError):
    """The recipe cannot be followed; the message names the entry and what it takes."""


#: Width and height of images, in pixels.
Size = tuple[int, int]

#: How often a store is learned from in an epoch.
Times = Annotated[int, Meta(ge=1, le=1000)]


@dataclass(frozen=True)
class Worlds:
    """A group of rendered worlds: one for each seed from `seed` on."""

    layout: str
    count: Annotated[int, Meta(ge=1, le=1_000_000)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]


@dataclass(frozen=True)
class Panoramas:
    """Photographs in the round, whose views are held near what a model knew of them.

    Attributes
    ----------
    folder : str
        Holds the JPEG files; relative to the repository.
    views : int
        Of each panorama.
    seed : int
        Of where the views look.
    licence : str
    """

    folder: str
    views: Annotated[int, Meta(ge=1, le=100_000)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    licence: str

    @property
    def files(self) -> list[Path]:
        """The panoramas, by name."""
        return sorted((ROOT / self.folder).glob("*.jpg"))


@dataclass(frozen=True)
class Recipe:
    """What config/default_model.yaml says; see there for each entry."""

    size: tuple[ImageSide, ImageSide]
    worlds: dict[str, Worlds]
    held_out_worlds: Worlds
    frames: Annotated[int, Meta(ge=1, le=1_000_000)]
    rate: Positive
    recordings: dict[str, str]
    validation_fraction: Fraction
    foreign_recordings: tuple[str, ...]
    stages: dict[str, dict[str, Any]]
    mean: dict[str, Fraction] = field(default_factory=dict)
    labelled_recordings: dict[str, str] = field(default_factory=dict)
    refine: dict[str, dict[str, Any]] = field(default_factory=dict)
    refined_share: Fraction = 1.0
    panoramas: dict[str, Panoramas] = field(default_factory=dict)
    finish: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished_share: Fraction = 1.0

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises
        ------
        RecipeError
            If an entry is missing, unknown, or names data that there is not.
        """
        import yaml

        try:
            entries = yaml.safe_load(path.read_bytes())
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(f"{path} cannot be read as YAML: {reason}") from error
        names = {item.name for item in fields(cls)}
        unknown = sorted(map(str, set(entries) - names)) if isinstance(entries, dict) else []
        if unknown:
            raise RecipeError(f"{path} has the entries {unknown}; it takes {sorted(names)}")
        recipe = as_structure(entries, cls, path, RecipeError)
        recipe.check_seeds(path)
        known = [*recipe.worlds, *recipe.recordings, *recipe.labelled_recordings]
        known += [_labelled(name) for name in recipe.recordings]
        groups = (recipe.stages, recipe.refine, recipe.finish)
        given = [name for stages in groups for name in stages]
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise RecipeError(
                f"{path}: {twice} are in more than one of stages, refine and finish; give other "
                "names"
            )
        for name, group in recipe.panoramas.items():
            if not group.files:
                raise RecipeError(
                    f"{path}: panoramas.{name}.folder is {group.folder}, which holds no .jpg file"
                )
        for name, stage in recipe.all_stages.items():
            data = as_structure(
                stage.get("data", {}), dict[str, Times], f"{path}: stages.{name}.data", RecipeError
            )
            as_structure(stage.get("steps", 0), Count, f"{path}: stages.{name}.steps", RecipeError)
            as_structure(
                stage.get("size", recipe.size),
                tuple[ImageSide, ImageSide],
                f"{path}: stages.{name}.size",
                RecipeError,
            )
            kept = as_structure(
                stage.get("keep", {}), dict[str, Times], f"{path}: stages.{name}.keep", RecipeError
            )
            can_keep = [*recipe.panoramas, *recipe.recordings]
            if not set(kept) <= set(can_keep):
                raise RecipeError(
                    f"{path}: stage '{name}' keeps {list(kept)}; it can keep {can_keep}"
                )
            if not data or not stage.get("steps") or not set(data) <= set(known):
                raise RecipeError(
                    f"{path}: stage '{name}' has data {list(data)} and steps "
                    f"{stage.get('steps')}; it needs data out of {known}, and steps"
                )
        order = list(recipe.stages)
        places = [order.index(name) for name in recipe.mean if name in order]
        shares = [share for share in recipe.mean.values() if 0.0 <= share <= 1.0]
        complete = (
            len(places) == len(shares) == len(recipe.mean) == 2 and abs(sum(shares) - 1) < 1e-9
        )
        if recipe.mean and not (complete and places[0] < places[1]):
            raise RecipeError(
                f"{path}: mean is {recipe.mean}; give two of the stages {order}, the earlier "
                "first, with shares that add up to 1, or leave it out"
            )
        both = set(recipe.foreign_recordings) & {*recipe.recordings, *recipe.labelled_recordings}
        if both:
            raise RecipeError(f"{path}: {sorted(both)} are learned from, and foreign too")
        return recipe

    @property
    def all_stages(self) -> dict[str, dict[str, Any]]:
        """The stages and those that refine, in their order."""
        return {**self.stages, **self.refine, **self.finish}

    def learned_part(self, name: str) -> float:
        """Return the share of a labelled recording, from its start, that is learned from."""
        held_out = [
            float(stage.get("validation_fraction", self.validation_fraction))
            for stage in self.all_stages.values()
            if {name, _labelled(name)} & set(stage["data"])
        ]
        return 1.0 - min(held_out, default=1.0)

    def uses_labels(self, name: str) -> bool:
        """Tell whether a stage learns from the depth of a recording that others learn without."""
        return bool(self.sizes(_labelled(name)))

    def sizes(self, name: str) -> list[Size]:
        """Return the image sizes at which stages learn from a store."""
        stages = self.all_stages.values()
        return sorted(
            {
                self.size_of(stage)
                for stage in stages
                if name in stage["data"] or name in stage.get("keep", {})
            }
        )

    def size_of(self, stage: Mapping[str, Any]) -> Size:
        """Return the image size that a stage learns at."""
        width, height = stage.get("size", self.size)
        return width, height

    @property
    def final_size(self) -> Size:
        """The image size of the model: that of the last stage."""
        return self.size_of(list(self.all_stages.values())[-1])

    def check_seeds(self, path: Path) -> None:
        """Refuse worlds to judge by that are learned from, too."""
        judged = _seeds(self.held_out_worlds)
        for name, group in self.worlds.items():
            common = judged & _seeds(group)
            if common:
                raise RecipeError(
                    f"{path}: seed {min(common)} is in '{name}' and in {HELD_OUT}; move one of them"
                )


def _labelled(name: str) -> str:
    """Name the store of a recording with its recorded depth."""
    return f"{name}_labelled"


def _seeds(group: Worlds) -> set[int]:
    """Return the seeds of a group of worlds."""
    return set(range(group.seed, group.seed + group.count))


@dataclass(frozen=True)
class Step:
    """A command, and the file that is there once it is done.

    Attributes
    ----------
    name : str
    result : Path
    command : tuple of str
    steps : int
        Steps of a training; its command leaves a run that may have stopped before.
    """

    name: str
    result: Path
    command: tuple[str, ...]
    steps: int = 0


def data_steps(recipe: Recipe, recordings: Path, out: Path) -> Iterator[Step]:
    """Render the worlds and extract all that is learned from or judged by.

    Parameters
    ----------
    recipe : Recipe
    recordings : Path
        Folder that holds the recordings.
    out : Path
        Folder to work in.

    Yields
    ------
    Step
    """
    groups = {**recipe.worlds, HELD_OUT: recipe.held_out_worlds}
    for name, group in groups.items():
        for size in recipe.sizes(name) or [recipe.final_size]:
            stored = _stored(recipe, name, size)
            bags = out / "worlds" / stored
            worlds = [bags / f"world_{seed:05d}" for seed in sorted(_seeds(group))]
            # An interrupted call may have left out any of them.
            missing = [world for world in worlds if not world.exists()]
            yield Step(
                f"render {stored}",
                (missing or worlds)[-1],
                _program(
                    "synthesize", "--out", bags, "--worlds", group.count, "--seed", group.seed,
                    "--layout", group.layout, "--vary", "--frame-rate", recipe.rate,
                    "--frames", recipe.frames, *_size_words(size),
                ),
            )  # fmt: skip
            yield _extract(out, stored, worlds, size, "--spacing", 1, "--poses-topic", "none")
    for name, panoramas in recipe.panoramas.items():
        for size in recipe.sizes(name):
            store = out / "stores" / _stored(recipe, name, size)
            yield Step(
                f"cut views of {store.name}",
                store / "store.json",
                _program(
                    "panoramas", *panoramas.files, "--out", store, "--views", panoramas.views,
                    "--seed", panoramas.seed, *_size_words(size),
                ),
            )  # fmt: skip
    for name in recipe.recordings:
        for size in recipe.sizes(name):
            # The truth of what is learned from without labels is in another store: no label comes
            # near that training.
            stored = _stored(recipe, name, size)
            yield _extract(out, stored, [recordings / name], size, "--truth-topic", "none")
    with_truth = {_labelled(name): name for name in recipe.recordings}
    with_truth |= {name: name for name in (*recipe.labelled_recordings, *recipe.foreign_recordings)}
    for data, name in with_truth.items():
        # What is judged is judged at the size of the model.
        for size in sorted({*recipe.sizes(data), recipe.final_size}):
            yield _extract(out, _stored(recipe, data, size), [recordings / name], size)


def _stored(recipe: Recipe, name: str, size: Size) -> str:
    """Name what holds some data at a size."""
    return name if size == tuple(recipe.size) else f"{name}_{size[0]}x{size[1]}"


def _size_words(size: Size) -> tuple[object, ...]:
    """Spell the options of a size."""
    return ("--width", size[0], "--height", size[1])


def _extract(out: Path, name: str, bags: Sequence[Path], size: Size, *words: object) -> Step:
    """Extract bags into the store of a name."""
    store = out / "stores" / name
    command = _program("extract", *bags, "--out", store, *_KEEP_ALL, *_size_words(size), *words)
    return Step(f"extract {name}", store / "store.json", command)


def training_steps(recipe: Recipe, init: str, out: Path, processes: int) -> Iterator[Step]:
    """Train one stage after the other, up to the mean.

    Parameters
    ----------
    recipe, out
        As in :func:`data_steps`.
    init : str
        What ``depth_train --init`` takes.
    processes : int
        Processes that train together.

    Yields
    ------
    Step
        As it has to be taken now: a run that was begun is resumed.
    """
    return _train(recipe, recipe.stages, ["--init", init], out, processes)


def refining_steps(recipe: Recipe, out: Path, processes: int) -> Iterator[Step]:
    """Train the stages that go on from the mean, or from the last stage.

    Parameters and steps are as in :func:`training_steps`.
    """
    start = ["--checkpoint", str(_before_refining(recipe, out))]
    return _train(recipe, recipe.refine, start, out, processes)


def finishing_steps(recipe: Recipe, out: Path, processes: int) -> Iterator[Step]:
    """Train the stages that go on from what was refined.

    Parameters and steps are as in :func:`training_steps`.
    """
    start = ["--checkpoint", str(_before_finishing(recipe, out))]
    return _train(recipe, recipe.finish, start, out, processes)


def _train(
    recipe: Recipe,
    stages: dict[str, dict[str, Any]],
    weights: list[str],
    out: Path,
    processes: int,
) -> Iterator[Step]:
    """Train stages, each from the weights of the one before; `weights` is what the first takes."""
    launch = ("-m", "torch.distributed.run", "--nproc-per-node", str(processes))
    train = (sys.executable, *(launch if processes > 1 else ()), "-m", "training.train")
    for name, stage in stages.items():
        run = out / "runs" / name
        words = [
            word
            for key, value in stage.items()
            if key not in ("data", "keep", "size")
            for word in option_words(key, value)
        ]
        if (run / "options.yaml").exists():
            # The recipe may have become longer or shorter meanwhile.
            command = (*train, "--resume", str(run), *words)
        else:
            stores = _named_stores(recipe, stage, stage["data"], out)
            kept = _named_stores(recipe, stage, stage.get("keep", {}), out)
            keep = ["--keep-data", *kept] if kept else []
            command = (
                *train, "--data", *stores, *keep, "--out", str(run), *weights,
                "--recipe", "small", "--truth", "instead", "--pose", "flow", *words,
            )  # fmt: skip
        yield Step(f"train {name}", run / f"done_{stage['steps']}", command, stage["steps"])
        weights = ["--checkpoint", str(run / "last.safetensors")]


def _named_stores(
    recipe: Recipe, stage: Mapping[str, Any], times: Mapping[str, int], out: Path
) -> list[str]:
    """Name the stores of a stage, each as often as is said."""
    return [
        str(out / "stores" / _stored(recipe, name, recipe.size_of(stage)))
        for name, count in times.items()
        for _ in range(count)
    ]


def averaging_steps(recipe: Recipe, out: Path) -> Iterator[Step]:
    """Average two stages, if the recipe says so, before what refines them.

    Parameters
    ----------
    recipe, out
        As in :func:`data_steps`.

    Yields
    ------
    Step
    """
    if not recipe.mean:
        return
    trained = _before_refining(recipe, out)
    earlier, later = (out / "runs" / name / "last.safetensors" for name in recipe.mean)
    share = list(recipe.mean.values())[1]
    yield _averaging("average two stages", earlier, later, share, trained)


def final_averaging_steps(recipe: Recipe, out: Path) -> Iterator[Step]:
    """Average what was refined with what it was refined from, if the recipe says so.

    Parameters and steps are as in :func:`averaging_steps`.
    """
    if recipe.refine and recipe.refined_share < 1.0:
        yield _averaging(
            "average before and after refining",
            _before_refining(recipe, out),
            _last_of(recipe.refine, out),
            recipe.refined_share,
            _before_finishing(recipe, out),
        )


def finishing_averaging_steps(recipe: Recipe, out: Path) -> Iterator[Step]:
    """Average what was finished with what it was finished from, if the recipe says so.

    Parameters and steps are as in :func:`averaging_steps`.
    """
    if recipe.finish and recipe.finished_share < 1.0:
        yield _averaging(
            "average before and after finishing",
            _before_finishing(recipe, out),
            _last_of(recipe.finish, out),
            recipe.finished_share,
            trained_model(recipe, out),
        )


def _averaging(name: str, earlier: Path, later: Path, share: float, trained: Path) -> Step:
    """Average the weights of two models."""
    command = ("averaging", earlier, later, "--share", share, "--out", trained)
    return Step(name, trained, _program(*command))


def trained_model(recipe: Recipe, out: Path) -> Path:
    """Return where the trained model will be."""
    if not recipe.finish:
        return _before_finishing(recipe, out)
    whole = recipe.finished_share == 1.0
    return _last_of(recipe.finish, out) if whole else out / "finished.safetensors"


def _before_finishing(recipe: Recipe, out: Path) -> Path:
    """Return where the model will be that comes out of refining."""
    if not recipe.refine:
        return _before_refining(recipe, out)
    whole = recipe.refined_share == 1.0
    return _last_of(recipe.refine, out) if whole else out / "refined.safetensors"


def _last_of(stages: Mapping[str, Any], out: Path) -> Path:
    """Return where the last of some stages leaves its model."""
    return out / "runs" / list(stages)[-1] / "last.safetensors"


def _before_refining(recipe: Recipe, out: Path) -> Path:
    """Return where the model will be that comes out of the stages and their mean."""
    if recipe.mean:
        return out / "averaged.safetensors"
    return out / "runs" / list(recipe.stages)[-1] / "last.safetensors"


def evaluation_steps(recipe: Recipe, model: Path, out: Path) -> Iterator[Step]:
    """Judge a model on everything that it has not seen.

    Parameters
    ----------
    recipe, out
        As in :func:`data_steps`.
    model : Path
        The checkpoint.

    Yields
    ------
    Step
    """
    first = 1.0 - recipe.validation_fraction
    last_part = f"{first:g}:1"
    judged: list[tuple[str, str, str, tuple[str, ...]]] = [(HELD_OUT, HELD_OUT, "0:1", ())]
    for name in {**recipe.recordings, **recipe.labelled_recordings}:
        labelled = name in recipe.labelled_recordings
        store = name if labelled else _labelled(name)
        part = f"{recipe.learned_part(name):g}:1" if labelled else last_part
        judged.append((name, store, part, ("--temporal",)))
    for name in recipe.foreign_recordings:
        judged.append((name, name, "0:1", ("--temporal",)))
        judged.append((f"{name}_last", name, last_part, ()))
    for figure, data, stretch, words in judged:
        store = _stored(recipe, data, recipe.final_size)
        has_truth = _has_truth(out / "stores" / store)
        # Without truth there is nothing to scale by, and only steadiness to judge.
        for scaling in SCALINGS if has_truth else SCALINGS[:1]:
            result = out / "figures" / f"{figure}_{scaling}.json"
            extra: tuple[object, ...] = ()
            if scaling == "median":
                extra = words
                if has_truth:
                    extra = (*extra, "--picture", result.with_suffix(".png"))
            yield Step(
                f"judge on {figure}, scaling {scaling}",
                result,
                _program(
                    "evaluate", model, "--data", out / "stores" / store, "--stretch", stretch,
                    "--scaling", scaling, "--json", result,
                    "--report", result.with_suffix(".html"), *extra,
                ),
            )  # fmt: skip


def _has_truth(store: Path) -> bool:
    """Whether a store that was extracted before holds true depth."""
    header = store / "store.json"
    return header.exists() and json.loads(header.read_text())["truth_size"] is not None


def _program(name: str, *words: object) -> tuple[str, ...]:
    """Spell the call of a program of the training module."""
    return (sys.executable, "-m", f"training.{name}", *(str(word) for word in words))


def run_command(command: Sequence[str]) -> None:
    """Run a step's command: a program of this package in this process, others in their own.

    Raises
    ------
    RuntimeError
        If a program of this package fails.
    subprocess.CalledProcessError
        If another one does.
    """
    package, _, name = command[2].partition(".")
    if package == "training":
        programs.call(name, command[3:])
    else:
        subprocess.run(command, cwd=ROOT, check=True)


def take(steps: Iterator[Step], log: Path, run: Callable[[Sequence[str]], None]) -> int:
    """Take the steps whose results are not there, one after the other.

    Parameters
    ----------
    steps : iterator of Step
    log : Path
        Gets a line of JSON for every step that was taken: its name, command and seconds.
    run : callable
        Runs a command.

    Returns
    -------
    int
        How many were taken.

    Raises
    ------
    RuntimeError
        If a step ended without its result.
    """
    taken = 0
    for step in steps:
        if step.result.exists():
            print(f"{step.name}: done before", flush=True)
            continue
        print(f"{step.name}:\n  {shlex.join(step.command)}", flush=True)
        start = time.monotonic()
        try:
            run(step.command)
        finally:
            seconds = round(time.monotonic() - start, 1)
            entry = {"step": step.name, "seconds": seconds, "command": list(step.command)}
            with log.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        if step.steps:
            _mark_finished(step)
        if not step.result.exists():
            raise RuntimeError(f"{step.name} ended without {step.result}; call again to go on")
        taken += 1
    return taken


def _mark_finished(step: Step) -> None:
    """Leave a file where a training came to its end: its checkpoints are there before."""
    from training.learning.run_state import load_state

    run = step.result.parent
    if load_state(run).step >= step.steps:
        step.result.touch()


def collect_figures(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Collect the figures of the evaluations.

    Returns
    -------
    dict
        For each set of frames: number of frames, abs_rel and a1 of the model with and without
        median scaling, abs_rel of the baselines, and how steady depth is.
    """
    figures: dict[str, Any] = {}
    for path in sorted((out / "figures").glob(f"*_{SCALINGS[0]}.json")):
        name = path.name[: -len(f"_{SCALINGS[0]}.json")]
        scaled = json.loads(path.read_text())
        entry: dict[str, Any] = {"data": scaled["data"]}
        depth = scaled["models"][0]["depth"]
        if depth is not None and depth["frames"]:
            plain = json.loads((path.parent / f"{name}_{SCALINGS[1]}.json").read_text())
            entry |= {
                "frames": depth["frames"],
                "abs_rel": _rounded(depth["mean"]["abs_rel"]),
                "a1": _rounded(depth["mean"]["a1"]),
                "abs_rel_unscaled": _rounded(plain["models"][0]["depth"]["mean"]["abs_rel"]),
                "baselines": {
                    baseline["name"]: _rounded(baseline["depth"]["mean"]["abs_rel"])
                    for baseline in scaled["baselines"]
                },
            }
        for recording in scaled.get("temporal") or ():
            keys = ("flicker", "flicker_p90", "drift", "holes", "saturated")
            entry["steadiness"] = {
                result["name"]: {key: _rounded(result[key]) for key in keys}
                for result in (*recording["results"], recording["truth"])
                if result is not None
            }
        figures[name] = entry
    return figures


def _rounded(value: Any) -> Any:
    """Round a figure, or all of a mapping, to four digits behind the point."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value if value is None else round(value, 4)


def provenance(recipe: Recipe, out: Path, log: Path, commit: str, init: str) -> dict[str, Any]:
    """Say where the model comes from, for its metadata.

    Parameters
    ----------
    recipe, out
        As in :func:`data_steps`.
    log : Path
        See :func:`take`.
    commit : str
        Commit of the code.
    init : str
        As in :func:`training_steps`.
    """
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    hours = {
        kind: round(sum(e["seconds"] for e in entries if e["step"].startswith(kind)) / 3600, 2)
        for kind in ("render", "extract", "train")
    }
    worlds = sum(group.count for group in recipe.worlds.values())
    return {
        "name": "monodepth2_ros default model",
        "card": "docs/reference/model_card.md",
        "recipe": "config/default_model.yaml",
        "command": "python -m training.default_model --recordings BAGS --init FILE --out WORK",
        "commit": commit,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hours": hours,
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, {_gpu() or 'no GPU'}",
        "initialisation": Path(init).name,
        "data": {
            "rendered worlds": f"{worlds} of {recipe.frames} frames, learned from with their depth",
            **{
                name: f"first {100 * (1 - recipe.validation_fraction):.0f} %, "
                + ("last with its depth" if recipe.uses_labels(name) else "without labels")
                for name in recipe.recordings
            },
            **{
                name: f"first {100 * recipe.learned_part(name):.0f} %, with its depth"
                for name in recipe.labelled_recordings
            },
            **{
                name: f"{group.views} views of each of {len(group.files)} panoramas, held near "
                "what the model predicted before"
                for name, group in recipe.panoramas.items()
            },
        },
        "licences": {
            "weights": "Apache-2.0",
            "rendered worlds": "made by this package",
            **recipe.recordings,
            **recipe.labelled_recordings,
            **{name: group.licence for name, group in recipe.panoramas.items()},
        },
        "figures": collect_figures(recipe, out),
    }


def _gpu() -> str:
    """Name the GPU, "" if there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def current_commit() -> str:
    """Name the commit of the code, or "unknown" outside a repository."""
    command = ("git", "describe", "--always", "--abbrev=12", "--dirty")
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


@dataclass(frozen=True)
class RebuildOptions:
    """Options of ``python -m training.default_model``.

    Raises
    ------
    OptionError
        If a value is outside its limits.
    """

    recordings: Path = option(
        description="Folder with the recordings that the recipe names", metavar="DIR"
    )
    out: Path = shared_option(
        "out", details="a folder to work in, which needs some 5 GB", metavar="DIR"
    )
    init: str = shared_option("init", "imagenet")
    recipe_file: Path | None = option(
        None, "What to learn from, and how (usually config/default_model.yaml)", metavar="FILE"
    )
    processes: int = option(
        1, "Processes that train together, one for each core or GPU", metavar="N", least=1
    )
    commit: str = option("", "Commit of the code, where it is not in a repository", metavar="ID")
    dry_run: bool = option(False, "Print the commands that are left, and run none")

    def __post_init__(self) -> None:
        check_options(self)


def make_command_line() -> CommandLine[RebuildOptions]:
    """Describe the command line."""
    return CommandLine(
        "default_model",
        RebuildOptions,
        "Make the model that the package ships; continue where an earlier call was interrupted "
        "(python -m training.default_model).",
        renamed={"--recipe": "--recipe-file FILE"},
    )


@guarded("default_model", interrupted="the same command goes on")
def main(arguments: Sequence[str] | None = None) -> int:
    """Make the model; return the exit status."""
    options = make_command_line().parse(arguments)
    out, recordings = options.out.resolve(), options.recordings.resolve()
    log = out / "steps.jsonl"
    recipe = Recipe.read(options.recipe_file or RECIPE)
    for name in (
        *recipe.recordings,
        *recipe.labelled_recordings,
        *recipe.foreign_recordings,
    ):
        if not (recordings / name).exists():
            raise RecipeError(f"--recordings {recordings} has no {name}, which the recipe names")
    trained, model = trained_model(recipe, out), out / "default.safetensors"
    making = (
        data_steps(recipe, recordings, out),
        training_steps(recipe, options.init, out, options.processes),
        averaging_steps(recipe, out),
        refining_steps(recipe, out, options.processes),
        final_averaging_steps(recipe, out),
        finishing_steps(recipe, out, options.processes),
        finishing_averaging_steps(recipe, out),
        evaluation_steps(recipe, trained, out),
    )
    if options.dry_run:
        for steps in making:
            for step in steps:
                if not step.result.exists():
                    print(shlex.join(step.command))
        return 0
    for folder in ("worlds", "stores", "runs", "figures"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for steps in making:
        take(steps, log, run_command)
    said = provenance(recipe, out, log, options.commit or current_commit(), options.init)
    (out / "provenance.json").write_text(json.dumps(said, indent=1) + "\n")
    command = _program(
        "export", trained, model, "--format", "safetensors", "--half", "--depth-only",
        "--provenance", out / "provenance.json",
    )  # fmt: skip
    model.unlink(missing_ok=True)
    take(iter([Step("write the file", model, command)]), log, run_command)
    print(json.dumps(said["figures"], indent=1))
    print(f"done: {model} ({model.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
