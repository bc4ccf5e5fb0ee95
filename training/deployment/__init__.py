# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prepare a checkpoint for a robot: ONNX, OpenVINO, 8-bit integers, the published layout."""
