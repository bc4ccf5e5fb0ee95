# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders of the published layout: encoder.pth, depth.pth and what belongs to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from monodepth2_ros.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
)
from monodepth2_ros.preprocessing import NO_CROP
from training.deployment.check import ExportError
from training.deployment.depth_model import metadata_json

# What tools for the published layout take for granted.
_PUBLISHED_RANGE = (0.1, 100.0)


_PUBLISHED_STEREO_SCALE = 5.4


_PUBLISHED_NETWORKS = ("encoder", "depth", "pose_encoder", "pose")


def write_published(folder: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Write a folder of the published layout and return what it could not hold.

    Parameters
    ----------
    folder : Path
        Must not exist. It gets encoder.pth (with height, width and use_stereo), depth.pth,
        pose_encoder.pth and pose.pth where the checkpoint has them, and monodepth2_ros.json
        for what has no place in those.
    checkpoint : Checkpoint

    Raises
    ------
    ExportError
        If tools for the layout would compute another depth from these weights.
    """
    metadata = checkpoint.metadata
    use_stereo, notes = _published_scale(metadata)
    if metadata.crop != NO_CROP:
        notes.append(
            f"the layout knows no crop: remove {list(metadata.crop)} of the image (left, top, "
            "right, bottom) before you resize it"
        )
    extra = sorted(checkpoint.state.keys() - set(_PUBLISHED_NETWORKS))
    if extra:
        notes.append(f"the layout has no place for the networks {', '.join(extra)}: left out")
    folder.mkdir()
    for name in _PUBLISHED_NETWORKS:
        if name not in checkpoint.state:
            continue
        state: dict[str, Any] = {
            key: value.float() if value.is_floating_point() else value
            for key, value in checkpoint.state[name].items()
        }
        if name == "encoder":
            # Other tools insist on the classifier, which a file may leave out.
            state = {**checkpoint.depth_network().encoder.state_dict(), **state}
            state |= {
                "height": metadata.height,
                "width": metadata.width,
                "use_stereo": use_stereo,
            }
        torch.save(state, folder / f"{name}.pth")
    (folder / "monodepth2_ros.json").write_text(metadata_json(metadata) + "\n", encoding="utf-8")
    return tuple(notes)


def _published_scale(metadata: CheckpointMetadata) -> tuple[bool, list[str]]:
    """Decide `use_stereo`, and say what the reader must know about the scale."""
    low, high = metadata.min_depth, metadata.max_depth
    if not np.isclose(high / low, _PUBLISHED_RANGE[1] / _PUBLISHED_RANGE[0], rtol=1e-6):
        raise ExportError(
            f"the published layout takes a depth range of {_PUBLISHED_RANGE[0]:g} to "
            f"{_PUBLISHED_RANGE[1]:g} for granted; this checkpoint has {low:g} to {high:g}, and "
            "its depth would come out wrong; export to onnx, openvino or safetensors"
        )
    if not metadata.is_metric:
        return False, []
    factor = metadata.scale * low / _PUBLISHED_RANGE[0]
    if np.isclose(factor, _PUBLISHED_STEREO_SCALE, rtol=1e-6):
        return True, []
    return False, [
        "the layout knows no scale but that of the published stereo models: multiply its depth "
        f"by {factor:g} to have metres"
    ]
