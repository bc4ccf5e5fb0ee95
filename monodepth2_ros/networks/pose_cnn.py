# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small stand-alone pose network, the lighter alternative to a ResNet pose encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monodepth2_ros.networks.pose_decoder import split_pose

_CHANNELS = (16, 32, 64, 128, 256, 256, 256)
_KERNELS = (7, 5, 3, 3, 3, 3, 3)


class PoseCNN(nn.Module):
    """Seven strided convolutions from stacked frames to the motions between them.

    Parameters
    ----------
    num_input_images : int
        Number of RGB frames stacked along the channels, in temporal order.

    Notes
    -----
    The published recipe multiplies the translation by the mean inverse depth of the target
    before use; that is left to the caller, who knows the depth.
    """

    def __init__(self, num_input_images: int = 2) -> None:
        super().__init__()
        if num_input_images < 2:
            raise ValueError(f"num_input_images is {num_input_images}; motion needs at least 2")
        self.num_poses = num_input_images - 1
        layers = []
        channels = 3 * num_input_images
        for width, kernel in zip(_CHANNELS, _KERNELS, strict=True):
            layers.append(nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2))
            channels = width
        self.net = nn.ModuleList(layers)
        self.pose_conv = nn.Conv2d(channels, 6 * self.num_poses, kernel_size=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the motions of a stack of frames.

        Parameters
        ----------
        images : Tensor, shape (B, 3 * num_input_images, H, W)
            RGB in [0, 1].

        Returns
        -------
        axis_angle, translation : Tensors, shape (B, num_input_images - 1, 1, 3)
            Radians, and the unit of the depth.
        """
        x = images
        for layer in self.net:
            x = torch.relu(_convolve(layer, x))
        # In float32 also under autocast: a half-precision angle is off by pixels.
        with torch.autocast(x.device.type, enabled=False):
            pose = self.pose_conv(x.to(self.pose_conv.weight.dtype))
            return split_pose(pose, self.num_poses)


def _convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """Convolve, under autocast on a CPU in float32 where the output is one pixel wide.

    oneDNN's gradient of bfloat16 weights reads memory of others there, on processors with AMX
    (stride 2, kernel 3; found with PyTorch 2.14).
    """
    if x.device.type == "cpu" and x.shape[-1] <= 2 and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return layer(x.float())
    return layer(x)
