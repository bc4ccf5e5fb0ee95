# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines that run the depth network: one small interface, the same results."""

from monodepth2_ros.backends.base import Backend
from monodepth2_ros.backends.factory import create_backend
from monodepth2_ros.backends.processor import has_fast_bfloat16
from monodepth2_ros.options import BACKENDS, PRECISIONS, BackendError

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "BackendError",
    "create_backend",
    "has_fast_bfloat16",
]
