# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dense depth and point clouds from one calibrated camera, in ROS 2.

Importing the package is cheap: nothing here loads torch, OpenCV or ROS. The pieces are

- :mod:`monodepth2_ros.networks` and :mod:`monodepth2_ros.geometry`: the Monodepth2 networks and
  the view geometry that inference and training share,
- :mod:`monodepth2_ros.predictor`: from an RGB image to depth in metres,
- :mod:`monodepth2_ros.node`: the ROS 2 node around it.
"""

__version__ = "0.2.0"
