# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose network's motion compared with recorded poses, in snippets of five frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monodepth2_ros.checkpoint import Checkpoint, CheckpointError
from monodepth2_ros.networks.architecture import RESNET_LAYERS
from monodepth2_ros.networks.resnet_encoder import ResnetEncoder
from monodepth2_ros.preprocessing import (
    remaining_crop,
    to_network_input,
)
from training.evaluation.protocol import Progress, Selection
from training.frames.store import network_images
from training.learning.depth_and_motion import DepthAndMotion, PoseKind
from training.metrics import (
    SNIPPET_LENGTH,
    odometry_errors,
    snippet_error,
)


@dataclass(frozen=True, eq=False)
class Odometry:
    """Errors of the pose network's snippets, in metres.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (N,)
        See :func:`training.metrics.snippet_error`.
    standing, straight : ndarray, shape (N,)
        The same for a camera said to stand still, and for one said to go at constant speed in the
        one direction (in its own frame) that suits all these snippets best. As each snippet is
        scaled to fit, a network that always says the same can be as good as the latter.
    """

    name: str
    errors: NDArray[np.float64]
    standing: NDArray[np.float64]
    straight: NDArray[np.float64]


def evaluate_odometry(
    checkpoint: Checkpoint,
    selections: Sequence[Selection],
    device: torch.device,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Odometry | None:
    """Compare the pose network's motion with the recorded poses.

    Neighbours are as far apart as in training, by each segment's spacing.

    Parameters
    ----------
    checkpoint : Checkpoint
    selections : sequence of Selection
    device : torch.device
    batch_size : int
    progress : callable, optional

    Returns
    -------
    Odometry, or None if no five neighbouring frames have poses

    Raises
    ------
    CheckpointError
        If the checkpoint has no pose network.
    """
    model = motion_model(checkpoint).to(device)
    metadata = checkpoint.metadata
    truths, errors = [], []
    for selection in selections:
        store = selection.store
        crop = remaining_crop(store.crop, metadata.crop)
        for chain in pose_chains(selection):
            steps = []
            for start in range(0, len(chain) - 1, batch_size):
                frames = chain[start : start + batch_size + 1]
                images = network_images(store, frames, crop, metadata.width, metadata.height)
                steps.append(_motions(model, to_network_input(images.to(device))))
                if progress is not None:
                    progress(len(frames) - 1)
            truths.append(store.poses[chain])
            errors.append(odometry_errors(truths[-1], trajectory(np.concatenate(steps))))
    if not errors:
        return None
    snippets = np.concatenate([_snippets(poses) for poses in truths])
    # The direction in which the camera gets on most, ahead or back.
    direction = np.linalg.svd(snippets[:, -1], full_matrices=False)[2][0]
    line = np.arange(SNIPPET_LENGTH)[:, None] * direction
    return Odometry(
        checkpoint.source,
        np.concatenate(errors),
        np.array([snippet_error(snippet, np.zeros_like(snippet)) for snippet in snippets]),
        np.array([snippet_error(snippet, line) for snippet in snippets]),
    )


def pose_chains(selection: Selection) -> list[NDArray[np.int64]]:
    """Find frames that follow each other at their segment's spacing and have poses.

    Returns
    -------
    list of ndarray
        Chains of at least five frames.
    """
    store = selection.store
    usable = np.zeros(len(store), bool)
    usable[selection.frames] = True
    usable &= np.isfinite(store.poses).all(axis=(1, 2))
    chains = []
    for (first, end), spacing in zip(
        store.segment_ranges().tolist(), store.segment_spacing, strict=True
    ):
        for offset in range(spacing):
            frames = np.arange(first + offset, end, spacing)
            gaps = np.flatnonzero(~usable[frames])
            for run in np.split(frames, gaps):
                chain = run[usable[run]]
                if len(chain) >= SNIPPET_LENGTH:
                    chains.append(chain)
    return chains


def trajectory(motions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chain motions up.

    Parameters
    ----------
    motions : ndarray, shape (N, 4, 4)
        Each takes points of a frame to the next frame.

    Returns
    -------
    ndarray, shape (N + 1, 4, 4)
        Poses of the frames in the first one.
    """
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ np.linalg.inv(motion))
    return np.stack(poses)


def motion_model(checkpoint: Checkpoint) -> DepthAndMotion:
    """Build the networks that predict motion, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the checkpoint has none, or the weights do not fit.
    """
    state = checkpoint.state
    kind: PoseKind
    if "pose_encoder" in state and "pose" in state:
        kind = "separate"
    elif "posecnn" in state:
        kind = "posecnn"
    elif "pose" in state:
        kind = "shared"
    else:
        raise CheckpointError(
            f"checkpoint {checkpoint.source} has no pose network (it holds "
            f"{', '.join(sorted(state))}); evaluate one that depth_train wrote without "
            "stripping it, or leave out --ego-motion"
        )
    metadata = checkpoint.metadata
    model = DepthAndMotion(
        metadata.num_layers,
        _pose_layers(checkpoint) if kind == "separate" else 18,
        kind,
        min_depth=metadata.min_depth,
        max_depth=metadata.max_depth,
    )
    for name, network in model.networks().items():
        weights = {
            key: value.float() if value.is_floating_point() else value
            for key, value in state[name].items()
        }
        for key, value in network.state_dict().items():
            if key.startswith("encoder.fc."):  # never used; files may leave it out
                weights.setdefault(key, value)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"checkpoint {checkpoint.source}: network '{name}' does not fit: "
                f"{' '.join(str(error).split())[:300]}"
            ) from error
    return model.eval()


def _pose_layers(checkpoint: Checkpoint) -> int:
    """Tell from the keys which ResNet the pose encoder is."""
    keys = {key for key in checkpoint.state["pose_encoder"] if not key.startswith("encoder.fc.")}
    for layers in RESNET_LAYERS:
        with torch.device("meta"):
            known = ResnetEncoder(layers, num_input_images=2).state_dict()
        if keys == {key for key in known if not key.startswith("encoder.fc.")}:
            return layers
    raise CheckpointError(
        f"checkpoint {checkpoint.source}: 'pose_encoder' is not a known ResNet "
        f"({len(keys)} entries)"
    )


@torch.inference_mode()
def _motions(model: DepthAndMotion, images: Tensor) -> NDArray[np.float64]:
    """Predict the motions between successive images, from each to the next, (B − 1, 4, 4)."""
    (transforms,) = model(images[:-1], [images[1:]], [False]).transforms
    return transforms.double().cpu().numpy()


def _snippets(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions of each snippet's cameras in its first one, (S, SNIPPET_LENGTH, 3)."""
    snippets = []
    for start in range(len(poses) - SNIPPET_LENGTH + 1):
        inside = np.linalg.inv(poses[start]) @ poses[start : start + SNIPPET_LENGTH]
        # The first is 0 but for rounding, which would be scaled up where nothing moves.
        snippets.append(inside[:, :3, 3] - inside[0, :3, 3])
    return np.stack(snippets)
