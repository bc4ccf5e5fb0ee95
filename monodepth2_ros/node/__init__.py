# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node that turns camera images into depth and point clouds."""
