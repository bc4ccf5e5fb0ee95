# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a training run, each of which is complete or absent.

::

    options.yaml          what the run was started with, recipe applied
    last.safetensors      the newest model; best.safetensors the best; epoch_0010.safetensors …
    resume.pt             everything that continuing needs: networks, optimiser, position, history
    history.jsonl         one line for each validation
    events.out.tfevents…  for TensorBoard
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from monodepth2_ros import atomic_files

RESUME_FILE = "resume.pt"
OPTIONS_FILE = "options.yaml"
HISTORY_FILE = "history.jsonl"

_FORMAT = 1


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
    history : list of dict
        The validations.
    fingerprint : dict
        What fixes the order of the samples; it must not change between stop and resumption.
    networks, optimizer : dict
        State dicts.
    """

    step: int = 0
    best: float | None = None
    anchor: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: dict[str, int] = field(default_factory=dict)
    networks: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)


def prepare_folder(folder: Path, options: dict[str, Any]) -> None:
    """Create the folder of a new run.

    Raises
    ------
    RunError
        If there is a run already, or the folder cannot be made.
    """
    if (folder / RESUME_FILE).exists() or (folder / OPTIONS_FILE).exists():
        raise RunError(
            f"{folder} holds a run already; continue it with --resume {folder}, or choose another "
            "--out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder} cannot be made: {error}") from error
    save_options(folder, options)


def save_options(folder: Path, options: dict[str, Any]) -> None:
    """Write options.yaml."""
    plain = {
        key: list(value) if isinstance(value, tuple) else value for key, value in options.items()
    }
    text = yaml.safe_dump(plain, sort_keys=False)
    atomic_files.write_atomically(folder / OPTIONS_FILE, text.encode())


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
    path = folder / RESUME_FILE
    if not path.exists():
        raise RunError(f"--resume {folder}: it has no {RESUME_FILE}; nothing was saved there yet")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        version = content.pop("format")
        state = RunState(**content)
    except Exception as error:  # torch raises many kinds for damaged files
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise RunError(
            f"{path} cannot be read ({reason}); start a new run from {folder}/last.safetensors "
            "with --checkpoint"
        ) from error
    if version != _FORMAT:
        raise RunError(f"{path} has format {version}; this package reads {_FORMAT}")
    return state


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed process left half-written."""
    names = {RESUME_FILE, OPTIONS_FILE, HISTORY_FILE, "last.safetensors", "best.safetensors"}
    names |= {path.name for path in folder.glob("epoch_*.safetensors")}
    for name in names:
        atomic_files.remove_leftovers(folder / name)
