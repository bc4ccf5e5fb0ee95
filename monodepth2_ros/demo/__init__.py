# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Play a recording through the node: ``python -m monodepth2_ros.demo``."""
