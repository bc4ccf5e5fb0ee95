# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the unit of a network's depth to metres: odometry, camera height or a range sensor.

Everything here is plain arrays and free of ROS; :class:`ScaleEstimator` is the way in.
"""

from monodepth2_ros.scale.estimator import Beam as Beam
from monodepth2_ros.scale.estimator import ScaleEstimator as ScaleEstimator
from monodepth2_ros.scale.estimator import ScaleOptions as ScaleOptions
from monodepth2_ros.scale.factor import ScaleEstimate as ScaleEstimate
