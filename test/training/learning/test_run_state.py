# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Saved runs: what is read back, what is damaged, what may be continued."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from training.learning.run_state import (
    RunError,
    RunState,
    check_same_options,
    load_state,
    parse_state,
    prepare_folder,
    read_saved,
    save_state,
)


def some_state() -> RunState:
    """A state with something in every field."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    return RunState(
        step=3,
        best=0.5,
        recent_loss=0.25,
        meter={"count": 2, "sums": torch.ones(1, 6)},
        constant=1,
        standing=2,
        history=[{"step": 2, "loss": 0.5}],
        fingerprint={"samples": 4},
        networks={"weight": weight.detach()},
        optimizer=optimizer.state_dict(),
    )


def test_everything_is_read_back(tmp_path: Path) -> None:
    """Tensors, and the sums of a reading that is not complete."""
    state = some_state()
    save_state(tmp_path, state)
    read = load_state(tmp_path)
    assert torch.equal(read.networks["weight"], state.networks["weight"])
    assert torch.equal(read.meter["sums"], state.meter["sums"])
    assert read.optimizer["param_groups"] == state.optimizer["param_groups"]
    for name in ("step", "best", "recent_loss", "constant", "standing", "history", "fingerprint"):
        assert getattr(read, name) == getattr(state, name)


def test_nothing_saved_is_no_error_to_read(tmp_path: Path) -> None:
    """A run that was killed before its first save begins at its beginning."""
    assert read_saved(tmp_path) == b""
    with pytest.raises(RunError, match="nothing was saved there yet"):
        load_state(tmp_path)


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    """torch itself reads over them; the checksum of the part that is hit differs."""
    save_state(tmp_path, some_state())
    content = (tmp_path / "resume.pt").read_bytes()
    place = content.index(torch.ones(3).numpy().tobytes())
    damaged = bytearray(content)
    damaged[place + 2] ^= 1
    torch.load(io.BytesIO(bytes(damaged)), weights_only=True)
    with pytest.raises(RunError, match=r"resume.pt is damaged: the checksum of its part '.*data/"):
        parse_state(bytes(damaged), tmp_path)
    for length in (0, 10, len(content) // 2, len(content) - 1):
        with pytest.raises(RunError, match=r"resume.pt is damaged \(.*--checkpoint"):
            parse_state(content[:length], tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": None}, "optimizer is not the state of an optimiser"),
        ({"optimizer": {"state": {}}}, "optimizer is not the state of an optimiser"),
        ({"networks": [1]}, "networks is not a state dict"),
        ({"networks": {"a": 1}}, "networks is not a state dict"),
        ({"step": -1}, "step is -1: expected `int` >= 0"),
        ({"step": None}, "step is None: expected `int`"),
        ({"best": "low"}, "best is 'low': expected `float | null`"),
        ({"history": {}}, "history is {}: expected `array`"),
        ({"format": 9}, "has format 9; this package reads 1"),
    ],
)
def test_states_of_other_content_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """Field and value are named, and what to do."""
    save_state(tmp_path, some_state())
    values = torch.load(tmp_path / "resume.pt", weights_only=True)
    torch.save({**values, **change}, tmp_path / "resume.pt")
    with pytest.raises(RunError, match=message):
        load_state(tmp_path)


def test_only_the_same_options_continue_a_run(tmp_path: Path) -> None:
    """What the recipe decided, and what changes nothing, may be left open."""
    decided = {"steps": 10, "pose": "flow", "seed": 3, "data": ("a", "b"), "device": "cpu"}
    prepare_folder(tmp_path / "run", decided)
    given = {"steps": None, "pose": "auto", "seed": 3, "data": ("a", "b"), "device": "cuda"}
    check_same_options(tmp_path / "run", given)
    with pytest.raises(RunError, match=r"with --seed 3, now it is 4; give the same to continue"):
        check_same_options(tmp_path / "run", {**given, "seed": 4})
    (tmp_path / "run" / "options.yaml").write_text("[")
    with pytest.raises(RunError, match=r"options.yaml cannot be read"):
        check_same_options(tmp_path / "run", given)
