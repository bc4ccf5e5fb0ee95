# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What predicts depth for an evaluation: networks, and baselines that need none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.networks.fused import FusedDepthNetwork
from monodepth2_ros.preprocessing import (
    crop_box,
    remaining_crop,
    to_network_input,
)
from training.evaluation.protocol import Predict, Protocol, Selection
from training.frames.store import FrameStore, depth_size, network_images
from training.metrics import (
    flip_postprocess,
)

#: Predictions in this share of the range of disparity, at its far end, are saturated.
SATURATED_RANGE = 0.01


_CHUNK = 32  # frames of truth read at once


def depth_predictor(checkpoint: Checkpoint, device: torch.device, protocol: Protocol) -> Predict:
    """Return the prediction of a checkpoint's network.

    Images go through the preprocessing of the robot: what is left to do of the checkpoint's crop
    after the store's, and the antialiased resize. The disparity is resized to the truth's size
    before it is inverted.

    Parameters
    ----------
    checkpoint : Checkpoint
    device : torch.device
    protocol : Protocol
        Gives `scaling` and `flip`.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    """
    network = FusedDepthNetwork(checkpoint.depth_network()).to(device)
    network = network.to(memory_format=torch.channels_last)
    metadata = checkpoint.metadata
    near, far = _disparity_limits(checkpoint, protocol)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        crop = remaining_crop(store.crop, metadata.crop)
        images = network_images(store, frames, crop, metadata.width, metadata.height).to(device)
        # TF32, which cuDNN takes for float32 by default, would be 0.15 % of depth.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            sigmoid = _sigmoid(network, to_network_input(images), protocol.flip)
        if not torch.isfinite(sigmoid).all():
            raise ValueError(
                f"checkpoint {checkpoint.source} predicts values that are not numbers on frames "
                f"{frames[0]} to {frames[-1]} of {store.path}; its weights are damaged"
            )
        disparity = far + (near - far) * sigmoid
        height, width = depth_size(store)
        x, y, box_width, box_height = crop_box(width, height, crop)
        resized = functional.interpolate(
            disparity[:, None], (box_height, box_width), mode="bilinear", align_corners=False
        )[:, 0]
        depth = np.ones((len(frames), height, width), np.float32)
        depth[:, y : y + box_height, x : x + box_width] = (1.0 / resized).cpu().numpy()
        return depth

    return predict


def saturation_depth(checkpoint: Checkpoint, protocol: Protocol) -> float:
    """Return the depth from which on predictions are at the far end of a network's range.

    Returns
    -------
    float
        In the unit of :func:`depth_predictor`: where the sigmoid is :data:`SATURATED_RANGE`.
    """
    near, far = _disparity_limits(checkpoint, protocol)
    return 1.0 / (far + SATURATED_RANGE * (near - far))


def constant_predictor(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Predict the same depth everywhere; scaled by the median it is the best constant."""
    return np.ones((len(frames), *depth_size(store)), np.float32)


def mean_depth_predictor(training: Sequence[Selection], protocol: Protocol) -> Predict:
    """Return a predictor that has learned nothing but the mean depth image of its store.

    Parameters
    ----------
    training : sequence of Selection
        Frames of each store from which the mean is taken.
    protocol : Protocol
        Gives the limits of depth.

    Raises
    ------
    ValueError
        If a store has no truth in these frames.
    """
    images = {}
    for selection in training:
        images[selection.store.path] = _mean_depth(selection, protocol)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.repeat(images[store.path][None], len(frames), axis=0)

    return predict


def _disparity_limits(checkpoint: Checkpoint, protocol: Protocol) -> tuple[float, float]:
    """Return the largest and the smallest disparity that a network can predict."""
    metadata = checkpoint.metadata
    unit = 1.0 if protocol.scaling == "none" else metadata.scale
    return 1.0 / (unit * metadata.min_depth), 1.0 / (unit * metadata.max_depth)


@torch.inference_mode()
def _sigmoid(network: nn.Module, images: Tensor, flip: bool) -> Tensor:
    """Run the network on (B, 3, H, W) and return (B, H, W)."""
    disparity = network(images.contiguous(memory_format=torch.channels_last))[:, 0]
    if not flip:
        return disparity
    mirrored = network(images.flip(3))[:, 0].flip(2)
    blended = flip_postprocess(disparity, mirrored)
    return torch.from_numpy(blended).to(disparity)


def _mean_depth(selection: Selection, protocol: Protocol) -> NDArray[np.float32]:
    """Average the truth pixel by pixel; a pixel that is never known gets the mean of the others."""
    store = selection.store
    assert store.truth is not None
    total = np.zeros(store.truth.shape[1:])
    count = np.zeros(store.truth.shape[1:])
    for start in range(0, len(selection.frames), _CHUNK):
        truth = store.truth[selection.frames[start : start + _CHUNK]].astype(np.float32)
        known = (truth > protocol.min_depth) & (truth < protocol.max_depth)
        total += np.where(known, truth, 0.0).sum(axis=0)
        count += known.sum(axis=0)
    if not count.any():
        raise ValueError(
            f"{store.path}: none of the {len(selection.frames)} frames to average has truth"
        )
    mean = total / np.maximum(count, 1.0)
    return np.where(count > 0.0, mean, mean[count > 0.0].mean()).astype(np.float32)
