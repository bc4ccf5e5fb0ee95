# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says of itself: provenance, a summary, and the part that depth needs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import yaml

from monodepth2_ros.checkpoint import (
    Checkpoint,
)
from training.deployment.check import ExportError


def depth_only(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without what depth does not need.

    That is the pose and mask networks and the encoder's classifier, which is never used.
    """
    return dataclasses.replace(
        checkpoint,
        state={
            network: {
                key: value
                for key, value in checkpoint.state[network].items()
                if not key.startswith("encoder.fc.")
            }
            for network in ("encoder", "depth")
            if network in checkpoint.state
        },
    )


def with_provenance(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Return a checkpoint whose metadata say where it comes from.

    Parameters
    ----------
    checkpoint : Checkpoint
    path : Path
        YAML or JSON, a mapping: data, licences, command, commit, date, figures, whatever is worth
        knowing. Dates become text.

    Raises
    ------
    ExportError
        If the file cannot be read or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not content:
            raise ValueError("it must hold a mapping, such as 'data: …' and 'licences: …'")
        # As it will be read back: keys are text, tuples lists, dates text.
        provenance = json.loads(json.dumps(content, default=str, allow_nan=False))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ExportError(f"--provenance {path} cannot be used: {error}") from error
    metadata = dataclasses.replace(checkpoint.metadata, provenance=provenance)
    return dataclasses.replace(checkpoint, metadata=metadata)


def summarize_checkpoint(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint holds and what it says of itself, as YAML.

    Parameters
    ----------
    checkpoint : Checkpoint
    """
    networks = {}
    for name, state in checkpoint.state.items():
        types = sorted({str(value.dtype).removeprefix("torch.") for value in state.values()})
        count = sum(value.numel() for value in state.values())
        networks[name] = f"{count} numbers in {len(state)} tensors ({', '.join(types)})"
    metadata = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(checkpoint.metadata).items()
    }
    return yaml.safe_dump(
        {"checkpoint": checkpoint.source, "networks": networks, **metadata},
        sort_keys=False,
        allow_unicode=True,
        width=100,
    ).rstrip()
