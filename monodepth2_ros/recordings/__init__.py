# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read and write rosbag2 and ROS 1 recordings, without a ROS installation."""
