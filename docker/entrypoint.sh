#!/bin/bash
# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Source ROS, the virtual environment and the package, in this order, and run the command.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /opt/venv/bin/activate
source /opt/monodepth2_ros/setup.bash
export PATH="$PATH:/opt/monodepth2_ros/monodepth2_ros/lib/monodepth2_ros"
exec "$@"
