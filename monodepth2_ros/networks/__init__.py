# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of Monodepth2, with the state-dict keys of the published checkpoints."""

from monodepth2_ros.networks.depth_decoder import DepthDecoder
from monodepth2_ros.networks.pose_cnn import PoseCNN
from monodepth2_ros.networks.pose_decoder import PoseDecoder
from monodepth2_ros.networks.resnet_encoder import ResnetEncoder

__all__ = ["DepthDecoder", "PoseCNN", "PoseDecoder", "ResnetEncoder"]
