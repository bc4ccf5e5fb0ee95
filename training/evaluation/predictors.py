# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What predicts depth for an evaluation: networks, and baselines that need none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monodepth2_ros.backends import Backend, create_backend
from monodepth2_ros.checkpoint import Checkpoint
from monodepth2_ros.preprocessing import (
    crop_box,
    remaining_crop,
)
from training.evaluation.protocol import Predict, Protocol, Selection
from training.frames.store import FrameStore, depth_size, network_images
from training.metrics import (
    flip_postprocess,
)

#: Predictions in this share of the range of disparity, at its far end, are saturated.
SATURATED_RANGE = 0.01


_CHUNK = 32  # frames of truth read at once


def depth_predictor(
    checkpoint: Checkpoint,
    device: str | torch.device,
    protocol: Protocol,
    backend: str | None = None,
    precision: str = "fp32",
) -> Predict:
    """Return the prediction of a checkpoint's network, run by the engine that runs it in the node.

    Images go through the preprocessing of the robot: what is left to do of the checkpoint's crop
    after the store's, and the antialiased resize. The disparity is resized to the size of the
    ground truth before it is inverted.

    Parameters
    ----------
    checkpoint : Checkpoint
        OpenVINO IR, of 8-bit integers too, as well as weights.
    device : str or torch.device
        See :func:`monodepth2_ros.backends.create_backend`.
    protocol : Protocol
        Gives `scaling` and `flip`.
    backend : str, optional
        See :func:`monodepth2_ros.backends.create_backend`; by default torch, and openvino for
        OpenVINO IR.
    precision : str
        See :func:`monodepth2_ros.backends.create_backend`.

    Raises
    ------
    CheckpointError, BackendError
        If the weights do not fit, or the engine cannot start.
    """
    if backend is None:
        backend = "torch" if checkpoint.graph is None else "openvino"
    engine = create_backend(checkpoint, backend, str(device), precision)
    target = torch.device(str(engine.device))
    metadata = checkpoint.metadata
    near, far = _disparity_limits(checkpoint, protocol)

    def predict(store: FrameStore, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        crop = remaining_crop(store.crop, metadata.crop)
        images = network_images(store, frames, crop, metadata.width, metadata.height)
        sigmoid = _sigmoid(engine, images.to(target), protocol.flip)
        if not torch.isfinite(sigmoid).all():
            raise ValueError(
                f"checkpoint {checkpoint.source} predicts NaN or infinite values on frames "
                f"{frames[0]} to {frames[-1]} of {store.path}; its weights are corrupt"
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
def _sigmoid(engine: Backend, images: Tensor, flip: bool) -> Tensor:
    """Run the network on images (B, H, W, 3), uint8, and return (B, H, W)."""
    disparity = engine.disparities(images)
    if not flip:
        return disparity
    disparity = disparity.clone()  # an engine may use its memory again
    mirrored = engine.disparities(images.flip(2)).flip(2)
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
