# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network as exported graphs hold it: with depth and disparity as outputs, and its metadata."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from monodepth2_ros.checkpoint import (
    CheckpointMetadata,
)
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.networks.depth_network import DepthNetwork
from monodepth2_ros.networks.fused import FusedDepthNetwork
from training.deployment.equalization import EqualizedDepthNetwork

METADATA_KEY = "monodepth2_ros"


Images = NDArray[np.float32]


class DepthModel(nn.Module):
    """The network with both outputs of an exported graph.

    Parameters
    ----------
    network : DepthNetwork, FusedDepthNetwork or EqualizedDepthNetwork
    metadata : CheckpointMetadata
    """

    def __init__(
        self,
        network: DepthNetwork | FusedDepthNetwork | EqualizedDepthNetwork,
        metadata: CheckpointMetadata,
    ) -> None:
        super().__init__()
        self.network = network
        self.metadata = metadata

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute depth.

        Parameters
        ----------
        image : Tensor, shape (B, 3, H, W)
            RGB in [0, 1].

        Returns
        -------
        depth : Tensor, shape (B, 1, H, W)
            Along the optical axis, times the checkpoint's scale; metres if the model is metric.
        disparity : Tensor, shape (B, 1, H, W)
            The network's sigmoid, in (0, 1).
        """
        sigmoid = self.network(image)
        metadata = self.metadata
        depth = disparity_to_depth(sigmoid, metadata.min_depth, metadata.max_depth)
        return metadata.scale * depth, sigmoid


def metadata_json(metadata: CheckpointMetadata) -> str:
    """Return the metadata that exported models carry: the checkpoint's, and the graph's contract.

    Returns
    -------
    str
        A JSON object.
    """
    unit = "metres" if metadata.is_metric else "an unknown unit"
    return json.dumps(
        {
            **dataclasses.asdict(metadata),
            "image": "(B, 3, height, width) float32, RGB in [0, 1], cropped by the fractions "
            "'crop' (left, top, right, bottom), then resized with antialiasing",
            "depth": f"(B, 1, height, width) float32, {unit} along the optical axis",
            "disparity": "(B, 1, height, width) float32, sigmoid; depth = scale / "
            "(1/max_depth + (1/min_depth - 1/max_depth) * disparity)",
        }
    )
