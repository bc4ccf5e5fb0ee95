# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose decoder: from encoder features of a pair of frames to the motion between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Channels of the decoder's hidden layers.
_WIDTH = 256

#: The networks' output is scaled by this, so that training starts from small motions.
POSE_SCALE = 0.01


class PoseDecoder(nn.Module):
    """Decode encoder features into rigid motions.

    Parameters
    ----------
    encoder_channels : sequence of int
        Channels of the encoder's feature maps; only the last map is used.
    num_poses : int
        Motions predicted for each pair. Published checkpoints predict 2, of which the first
        is used.
    num_input_features : int
        Number of feature pyramids that :meth:`forward` is given: 1 for a pose encoder over
        stacked frames, 2 for the features of a shared encoder over each frame.
    """

    def __init__(
        self, encoder_channels: Sequence[int], num_poses: int = 2, num_input_features: int = 1
    ) -> None:
        super().__init__()
        self.num_poses = num_poses
        self.num_input_features = num_input_features
        self.net = nn.ModuleList(
            [
                nn.Conv2d(encoder_channels[-1], _WIDTH, kernel_size=1),
                nn.Conv2d(_WIDTH * num_input_features, _WIDTH, kernel_size=3, padding=1),
                nn.Conv2d(_WIDTH, _WIDTH, kernel_size=3, padding=1),
                nn.Conv2d(_WIDTH, 6 * num_poses, kernel_size=1),
            ]
        )

    def forward(
        self, features: Sequence[Tensor] | Sequence[Sequence[Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Compute the motions of a pair.

        Parameters
        ----------
        features : sequence of Tensors, or sequence of such sequences
            One feature pyramid, or `num_input_features` of them in temporal order.

        Returns
        -------
        axis_angle : Tensor, shape (B, num_poses, 1, 3)
            Rotation axis times angle, in radians.
        translation : Tensor, shape (B, num_poses, 1, 3)
            In the (arbitrary) unit of the depth that was learned with it.
        """
        pyramids = [features] if isinstance(features[0], Tensor) else features
        if len(pyramids) != self.num_input_features:
            raise ValueError(
                f"got {len(pyramids)} feature pyramids; this decoder was made for "
                f"{self.num_input_features}"
            )
        squeeze, first, second, output = self.net
        x = torch.cat([torch.relu(squeeze(pyramid[-1])) for pyramid in pyramids], dim=1)
        x = output(torch.relu(second(torch.relu(first(x)))))
        return split_pose(x, self.num_poses)


def split_pose(x: Tensor, num_poses: int) -> tuple[Tensor, Tensor]:
    """Average a pose map over space and split it.

    Parameters
    ----------
    x : Tensor, shape (B, 6 * num_poses, H, W)
    num_poses : int

    Returns
    -------
    axis_angle, translation : Tensors, shape (B, num_poses, 1, 3)
    """
    pose = POSE_SCALE * x.mean(dim=(2, 3)).view(-1, num_poses, 1, 6)
    return pose[..., :3], pose[..., 3:]
