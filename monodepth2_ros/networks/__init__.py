# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks of Monodepth2, with the state-dict keys of the published checkpoints.

They are imported, and torch with them, when they are first used: a robot that runs the depth
network in OpenVINO needs only :mod:`monodepth2_ros.networks.architecture`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monodepth2_ros.networks.depth_decoder import DepthDecoder
    from monodepth2_ros.networks.pose_cnn import PoseCNN
    from monodepth2_ros.networks.pose_decoder import PoseDecoder
    from monodepth2_ros.networks.resnet_encoder import ResnetEncoder

__all__ = ["DepthDecoder", "PoseCNN", "PoseDecoder", "ResnetEncoder"]

_MODULES = {
    "DepthDecoder": "depth_decoder",
    "PoseCNN": "pose_cnn",
    "PoseDecoder": "pose_decoder",
    "ResnetEncoder": "resnet_encoder",
}


def __getattr__(name: str) -> Any:
    """Import a network when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
