# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a training run, each of which is complete or absent.

::

    options.yaml          what the run was started with, recipe applied
    last.safetensors      the newest model; best.safetensors the best; epoch_0010.safetensors …
    start.safetensors     the checkpoint that it began with, where depth is kept near that
    resume.pt             everything that continuing needs: networks, optimiser, position, history
    history.jsonl         one line for each validation
    events.out.tfevents…  for TensorBoard
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import yaml
from msgspec import Meta
from torch import Tensor

from monodepth2_ros import atomic_files
from monodepth2_ros.typed_files import Count, Finite, as_structure
from training.learning.options import OPTIONS_FILE as OPTIONS_FILE

RESUME_FILE = "resume.pt"
START_FILE = "start.safetensors"
HISTORY_FILE = "history.jsonl"

_FORMAT = 1

#: Options that change nothing of what is learned.
MAY_DIFFER = (
    "out",
    "budget",
    "device",
    "loader_threads",
    "tensorboard",
    "log_every",
    "save_every",
    "keep_every",
    "verify",
)


class RunError(ValueError):
    """A run's folder cannot be used; the message says why and what to do."""


@dataclass
class RunState:
    """What a run has come to.

    Attributes
    ----------
    step : int
        Steps taken.
    best : float or None
        The best figure so far; lower is better.
    anchor : float or None
        Mean inverse depth that training is drawn to, where a checkpoint decides it.
    fresh_decoder : bool
        Whether a decoder that the options leave open got new weights.
    keeps_far : bool or None
        Whether what the start saw far is kept far; None before that is decided, and in older files.
    changes_evenly : bool or None
        Whether depth changes evenly from the start's where no corner is near; None before that is
        decided, and in older files, whose runs do not.
    bfloat16, channels_last : bool or None
        How convolutions are computed, so that the run goes on as it began; None in older files.
    threads : int or None
        Threads of a CPU, where they were chosen for the run.
    recent_loss : float
        Mean loss of the steps before the last reading.
    meter : dict
        What :meth:`training.learning.logbook.Meter.state` gave: the steps since then.
    constant, standing : int
        See :class:`training.learning.health.Health`.
    history : list of dict
        The validations.
    fingerprint : dict
        What fixes the order of the samples; it must not change between stop and resumption.
    networks, optimizer : dict
        State dicts.
    """

    step: Count = 0
    best: Finite | None = None
    anchor: Finite | None = None
    fresh_decoder: bool = False
    keeps_far: bool | None = None
    changes_evenly: bool | None = None
    bfloat16: bool | None = None
    channels_last: bool | None = None
    threads: Annotated[int, Meta(ge=1, le=4096)] | None = None
    recent_loss: float = float("nan")
    meter: dict[str, Any] = field(default_factory=dict)
    constant: Count = 0
    standing: Count = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: dict[str, int] = field(default_factory=dict)
    networks: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)


def find_run(folder: Path) -> bool:
    """Tell whether there is a run in a folder, finished or not."""
    return (folder / RESUME_FILE).exists() or (folder / OPTIONS_FILE).exists()


def read_saved(folder: Path) -> bytes:
    """Read resume.pt; empty if nothing was saved yet.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    path = folder / RESUME_FILE
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def check_same_options(folder: Path, options: Mapping[str, Any]) -> None:
    """Refuse to continue a run with other options than it was started with.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    options : mapping
        As they were given; what they leave to the recipe (None, "auto") may be anything.

    Raises
    ------
    RunError
        Naming the first option that differs.
    """
    try:
        saved = yaml.safe_load((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        saved = None
    if not isinstance(saved, dict):
        raise RunError(
            f"{folder} holds a run, but its {OPTIONS_FILE} cannot be read; choose another --out, "
            f"or remove {folder}"
        )
    for name, value in _plain(options).items():
        is_open = value in (None, "auto", "") or name in MAY_DIFFER
        if not is_open and name in saved and saved[name] != value:
            raise RunError(
                f"{folder} holds a run with --{name.replace('_', '-')} {saved[name]}, now it is "
                f"{value}; give the same to continue it, continue with --resume {folder}, or "
                "choose another --out"
            )


def prepare_folder(folder: Path, options: dict[str, Any]) -> None:
    """Create the folder of a run where it is missing, and tidy up what a killed one left.

    Raises
    ------
    RunError
        If the folder cannot be made.
    OSError
        If options.yaml cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder} cannot be made: {error.strerror}") from error
    remove_run_leftovers(folder)
    save_options(folder, options)


def save_options(folder: Path, options: dict[str, Any]) -> None:
    """Write options.yaml."""
    text = yaml.safe_dump(_plain(options), sort_keys=False)
    atomic_files.write_atomically(folder / OPTIONS_FILE, text.encode())


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as YAML gives them back."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in options.items()
    }


def save_state(folder: Path, state: RunState) -> None:
    """Write resume.pt and history.jsonl.

    Raises
    ------
    OSError
        If they cannot be written; the old ones are untouched then.
    """
    content = {"format": _FORMAT, **vars(state)}
    atomic_files.write_atomically(folder / RESUME_FILE, lambda file: torch.save(content, file))
    lines = "".join(json.dumps(entry) + "\n" for entry in state.history)
    atomic_files.write_atomically(folder / HISTORY_FILE, lines.encode())


def load_state(folder: Path) -> RunState:
    """Read resume.pt.

    Raises
    ------
    RunError
        If there is none or it cannot be read.
    """
    content = read_saved(folder)
    if not content:
        raise RunError(f"{folder} has no {RESUME_FILE}; nothing was saved there yet")
    return parse_state(content, folder)


def parse_state(content: bytes, folder: Path) -> RunState:
    """Verify and read the content of resume.pt.

    Parameters
    ----------
    content : bytes
    folder : Path
        Folder of the run, for messages.

    Raises
    ------
    RunError
        If it is damaged, of a newer format, or not what :func:`save_state` writes.
    """
    path = folder / RESUME_FILE
    advice = f"start a new run from {folder / 'last.safetensors'} with --checkpoint"

    def unusable(message: str) -> RunError:
        return RunError(f"{message}; {advice}")

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile raises many kinds for damaged files
        raise unusable(f"{path} is damaged ({_first_line(error)})") from error
    if damaged is not None:
        raise unusable(f"{path} is damaged: the checksum of its part '{damaged}' differs")
    try:
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise unusable(f"{path} cannot be read ({_first_line(error)})") from error
    if not isinstance(values, dict) or "format" not in values:
        raise unusable(f"{path} is not a saved run")
    if values["format"] != _FORMAT:
        raise RunError(f"{path} has format {values['format']}; this package reads {_FORMAT}")
    tensors = {name: values.pop(name, None) for name in ("networks", "optimizer", "meter")}
    state = as_structure(values, RunState, path, unusable)
    networks, optimizer, meter = tensors.values()
    if not isinstance(networks, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in networks.items()
    ):
        raise unusable(f"{path}: networks is not a state dict")
    if not isinstance(optimizer, dict) or not {"state", "param_groups"} <= optimizer.keys():
        raise unusable(f"{path}: optimizer is not the state of an optimiser")
    return replace(state, networks=networks, optimizer=optimizer, meter=meter or {})


def _first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return str(error).splitlines()[0] if str(error) else repr(error)


def remove_run_leftovers(folder: Path) -> None:
    """Delete what a killed process left half-written."""
    names = {RESUME_FILE, OPTIONS_FILE, HISTORY_FILE, START_FILE}
    names |= {"last.safetensors", "best.safetensors"}
    names |= {path.name for path in folder.glob("epoch_*.safetensors")}
    for name in names:
        atomic_files.remove_leftovers(folder / name)
