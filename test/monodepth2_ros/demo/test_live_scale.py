# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which odometry of a recording the demo lets the node measure metres with."""

from __future__ import annotations

import numpy as np
import pytest

from bag_builder import INTERVAL, START, Bag, scene, write_drive
from monodepth2_ros.demo.live_scale import choose_scale
from monodepth2_ros.recordings.playback import Playback
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose, mounting_values
from monodepth2_ros.scale.poses import quaternion

MOUNTING = (0.3, -0.1, 1.2, 0.02, 0.3, -0.4)


def wheels(path, how: str):
    """Write a bag with odometry of base_link, and transforms from there to the camera."""
    pose = mounting_pose(MOUNTING) @ OPTICAL
    with Bag(path) as bag:
        for i in range(3):
            stamp = START + i * INTERVAL
            bag.info("/camera/camera_info", stamp)
            bag.image("/camera/image_raw", stamp, scene(3.0 * i)[0])
            bag.odometry("/wheels", stamp, (0.1 * i, 0.0, 0.0), child="base_link")
            if how == "moving":
                bag.transform("/tf", stamp, "base_link", "mast", (0.0, 0.0, 0.1 * i))
        if how == "mounted":
            rotation = quaternion(pose[:3, :3])
            bag.transform("/tf_static", START, "base_link", "camera", pose[:3, 3], rotation)
        elif how == "moving":
            bag.transform("/tf_static", START, "mast", "camera", (0.0, 0.0, 0.0))
    return path


def test_odometry_of_the_camera_needs_no_mounting(tmp_path):
    with Playback(write_drive(tmp_path / "drive", [0.0, 3.0], with_odometry=True)) as playback:
        scale = choose_scale({}, playback, wants_metres=True)
        assert scale.sources == ("odometry",) and scale.odometry.topic.name == "/odom"
        assert scale.arguments == ("-p", "scaling.source:=odometry", "-r", "odom:=/odom")
        assert not any(event.kind == "odometry" for event in playback.events())
        playback.play_odometry(scale.odometry.topic)
        kinds = [event.kind for event in playback.events()]
        assert kinds.count("odometry") == 2
        # A pose goes before the image of the same time.
        assert kinds.index("odometry") < kinds.index("image")
        # A metric model, an untrained one, or a factor that is given: nothing is measured.
        assert not choose_scale({}, playback, wants_metres=False).is_live
        assert not choose_scale({"scale": 1.5}, playback, wants_metres=True).is_live
        assert not choose_scale({"scaling.source": "fixed"}, playback, wants_metres=True).is_live
        # The user's choice stands.
        height = choose_scale({"scaling.source": "camera_height"}, playback, wants_metres=True)
        assert height.sources == ("camera_height",) and height.odometry is None
        both = choose_scale({"scaling.source": "odometry+range"}, playback, wants_metres=False)
        assert both.odometry is not None and "scaling.source:=odometry+range" in both.arguments
        with pytest.raises(ValueError, match="scaling.source is 'sonar'"):
            choose_scale({"scaling.source": "sonar"}, playback, wants_metres=True)


def test_the_mounting_comes_from_static_transforms(tmp_path):
    with Playback(wheels(tmp_path / "bag", "mounted")) as playback:
        scale = choose_scale({}, playback, wants_metres=True)
        np.testing.assert_allclose(scale.odometry.mounting, MOUNTING, atol=1e-9)
        assert "odom:=/wheels" in scale.arguments
        assert any(word.startswith("scaling.mounting:=[0.3") for word in scale.arguments)
        given = choose_scale({"scaling.mounting": [0.0] * 6}, playback, wants_metres=True)
        assert not any(word.startswith("scaling.mounting") for word in given.arguments)


@pytest.mark.parametrize("how", ["nowhere", "moving"])
def test_without_a_known_mounting_depth_stays_up_to_a_factor(tmp_path, how):
    with Playback(wheels(tmp_path / "bag", how)) as playback:
        scale = choose_scale({}, playback, wants_metres=True)
        assert not scale.is_live and "'base_link'" in scale.reason
        assert choose_scale({"scaling.mounting": [0.0] * 6}, playback, wants_metres=True).is_live
    with Playback(write_drive(tmp_path / "without", [0.0, 3.0])) as playback:
        assert "no odometry" in choose_scale({}, playback, wants_metres=True).reason


def test_mounting_values_are_those_of_the_pose():
    for values in (MOUNTING, (0.0,) * 6, (1.0, 2.0, 3.0, -3.0, -1.2, 2.9)):
        np.testing.assert_allclose(mounting_values(mounting_pose(values)), values, atol=1e-12)
