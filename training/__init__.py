# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning depth from recordings: extraction, self-supervised training, evaluation, export."""
