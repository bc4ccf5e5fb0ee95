# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node and the extraction see the same camera, whatever name, D, R, P, K, ROI and binning."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import Calibration, PinholeCamera, RegionOfInterest
from monodepth2_ros.node.image_camera import ImageCamera, find_image_camera
from monodepth2_ros.preprocessing import NO_CROP
from monodepth2_ros.rectification import as_rectify, doubtful, field_of_view, implausible
from monodepth2_ros.topic_names import is_rectified_name
from training.extraction.stored_view import make_view

K = (200.0, 0.0, 158.0, 0.0, 202.0, 118.0, 0.0, 0.0, 1.0)
P = (180.0, 0.0, 160.0, 0.0, 0.0, 181.0, 119.0, 0.0, 0.0, 0.0, 1.0, 0.0)
TURN = tuple(cv2.Rodrigues(np.array([0.0, 0.03, 0.01]))[0].reshape(-1).tolist())
PLAIN = Calibration(320, 240, K, (0.0,) * 5, "plumb_bob", p=P)

CALIBRATIONS = {
    "plain": PLAIN,
    "distorted": replace(PLAIN, d=(-0.2, 0.05, 0.0, 0.0, 0.0)),
    "fisheye": replace(PLAIN, d=(0.0,) * 4, distortion_model="equidistant"),
    "turned": replace(PLAIN, r=TURN),
    "R empty": replace(PLAIN, r=(0.0,) * 9),
    "P empty": replace(PLAIN, p=(0.0,) * 12),
    "K empty": replace(PLAIN, k=(0.0,) * 9),
    "K empty, distorted": replace(PLAIN, k=(0.0,) * 9, d=(-0.2, 0.05, 0.0, 0.0, 0.0)),
    "distorted, P empty": replace(PLAIN, d=(-0.2, 0.05, 0.0, 0.0, 0.0), p=(0.0,) * 12),
    "stereo": replace(PLAIN, p=(*P[:3], -18.0, *P[4:]), r=TURN),
    "roi": replace(PLAIN, roi=RegionOfInterest(20, 10, 280, 200), d=(-0.2, 0.05, 0.0, 0.0)),
    "binned": replace(PLAIN, binning=(2, 2), d=(-0.2, 0.05, 0.0, 0.0, 0.0)),
    "roi, binned": replace(PLAIN, roi=RegionOfInterest(20, 10, 280, 200), binning=(2, 2)),
    "eight coefficients": replace(PLAIN, d=(-0.2, 0.05, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0)),
}
TOPICS = ("/cam/image_raw", "/cam/image_rect_color", "/cam/rect/image", "/cam/image_unrectified")
TABLE = list(itertools.product(CALIBRATIONS, TOPICS, ("auto", "true", "false")))


def by_node(calibration: Calibration, topic: str, rectify: str) -> ImageCamera:
    width, height = calibration.delivered_size
    return find_image_camera(calibration, width, height, rectify, topic)


@pytest.mark.parametrize("topic", TOPICS)
def test_node_and_extraction_see_the_same_camera(topic: str) -> None:
    assert len(TABLE) >= 24
    cases = [case for case in TABLE if case[1] == topic]
    pixels = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    refused = set()
    for name, _, rectify in cases:
        calibration = CALIBRATIONS[name]
        node = by_node(calibration, topic, rectify)
        try:
            view = make_view(calibration, is_rectified_name(topic), rectify, NO_CROP, (96, 64))
        except ValueError as error:
            assert node.camera is None, (name, rectify)
            assert str(error).split(";")[0] in node.problem
            refused.add(name)
            continue
        assert node.camera is not None, (name, rectify, node.problem)
        for field in ("width", "height", "fx", "fy", "cx", "cy"):
            here, there = getattr(node.camera, field), getattr(view.source, field)
            assert here == pytest.approx(there, abs=1e-6), (name, rectify, field)
        assert (node.maps is None) == (view.maps is None), (name, rectify)
        if node.maps is not None and view.maps is not None:
            width, height = calibration.delivered_size
            image = pixels[:height, :width]
            seen = [cv2.remap(image, *maps, cv2.INTER_LINEAR) for maps in (node.maps, view.maps)]
            assert np.array_equal(*seen)
    # What cannot be rectified for want of K is refused by both, where it would have to be.
    assert refused <= {"K empty, distorted"}


@pytest.mark.parametrize(
    ("name", "topic", "rectify", "rectified", "focal"),
    [
        ("plain", "/cam/image_raw", "auto", False, 200.0),  # K
        ("plain", "/cam/image_rect", "auto", False, 180.0),  # P
        ("plain", "/cam/image_raw", "false", False, 180.0),
        ("plain", "/cam/image_raw", "true", True, 180.0),
        ("distorted", "/cam/image_raw", "auto", True, 180.0),
        ("distorted", "/cam/image_rect", "auto", False, 180.0),
        ("distorted", "/cam/rectified/image", "auto", False, 180.0),
        ("distorted", "/cam/rect/image", "auto", False, 180.0),
        ("distorted", "/cam/image_unrectified", "auto", True, 180.0),
        ("distorted", "/cam/image_color_corrected", "auto", True, 180.0),
        ("distorted", "/cam/image_rect", "true", True, 180.0),
        ("distorted", "/cam/image_raw", "false", False, 180.0),
        ("distorted, P empty", "/cam/image_raw", "auto", True, 200.0),
        ("fisheye", "/cam/image_raw", "auto", True, 180.0),
        ("turned", "/cam/image_raw", "auto", True, 180.0),
        ("turned", "/cam/image_rect", "auto", False, 180.0),
        ("R empty", "/cam/image_raw", "auto", False, 200.0),
        ("P empty", "/cam/image_rect", "auto", False, 200.0),
        ("K empty", "/cam/image_raw", "auto", False, 180.0),
        ("binned", "/cam/image_raw", "auto", True, 90.0),
        ("roi, binned", "/cam/image_raw", "auto", False, 100.0),
    ],
)
def test_the_rule(name: str, topic: str, rectify: str, rectified: bool, focal: float) -> None:
    found = by_node(CALIBRATIONS[name], topic, rectify)
    assert found.camera is not None
    assert (found.maps is not None) == rectified
    assert found.camera.fx == pytest.approx(focal)


def test_rectify_is_given_in_several_ways() -> None:
    for value, expected in ((True, "true"), ("on", "true"), (False, "false"), ("auto", "auto")):
        assert as_rectify(value) == expected
    with pytest.raises(ValueError, match="rectify is 'maybe'; it must be one of auto, true, false"):
        as_rectify("maybe")


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (PinholeCamera(160, 96, 60.0, 60.0, 39.5, 23.5), "as if calibrated at 80x48"),
        (PinholeCamera(160, 96, 200.0, 200.0, 132.5, 79.0), "as if calibrated at 266x159"),
        (PinholeCamera(160, 96, 20.0, 20.0, 79.5, 47.5), "field of view of 152°"),
        (PinholeCamera(160, 96, 1200.0, 1200.0, 79.5, 47.5), "field of view of 8°"),
        (PinholeCamera(160, 96, 120.0, 150.0, 79.5, 47.5), "differ by 25%"),
        (PinholeCamera(160, 96, 120.0, 121.0, 79.5, 47.5), ""),
        (PinholeCamera(1242, 375, 721.5, 721.5, 609.6, 172.9), ""),
    ],
)
def test_unusual_intrinsics_are_noticed_by_both(camera: PinholeCamera, words: str) -> None:
    assert words in doubtful(camera)
    assert bool(words) == bool(doubtful(camera))
    assert implausible(camera) == ""
    calibration = Calibration(camera.width, camera.height, tuple(camera.matrix.reshape(-1)))
    problem = by_node(calibration, "/image_rect", "auto").problem
    assert words in problem and ("check the calibration" in problem) == bool(words)


def test_impossible_intrinsics_are_refused_by_both() -> None:
    for k in (
        (1.0, 0.0, 79.5, 0.0, 1.0, 47.5, 0.0, 0.0, 1.0),  # 179 degrees
        (120.0, 0.0, 700.0, 0.0, 120.0, 47.5, 0.0, 0.0, 1.0),
        (120.0, 0.0, 79.5, 0.0, 400.0, 47.5, 0.0, 0.0, 1.0),
    ):
        calibration = Calibration(160, 96, k)
        found = by_node(calibration, "/image_raw", "auto")
        assert found.camera is None
        assert "cannot be right" in found.problem and "points are not" in found.problem
        with pytest.raises(ValueError, match=r"cannot be right.*--camera"):
            make_view(calibration, False, "auto", NO_CROP)
    assert field_of_view(PinholeCamera(160, 96, 79.5, 80.0, 79.5, 47.5))[0] == pytest.approx(
        90.36, abs=0.01
    )


def test_a_camera_info_of_another_size() -> None:
    half = replace(CALIBRATIONS["stereo"])
    found = find_image_camera(half, 160, 120, "auto", "/image_rect")
    assert found.camera is None
    assert "camera_info is for a 320x240 image, the image is 160x120" in found.problem
    assert "scale_camera_info" in found.problem
    found = find_image_camera(half, 160, 120, "auto", "/image_rect", scale_info=True)
    assert found.camera == half.camera().resized(160, 120)
    assert half.scaled(160, 120).baseline == pytest.approx(half.baseline)
    binned = CALIBRATIONS["roi, binned"]
    assert binned.scaled(280, 200).camera() == binned.camera().resized(280, 200)
    other = find_image_camera(half, 160, 96, "auto", "/image_rect", scale_info=True)
    assert (
        other.camera is None and "cannot be scaled to 160x96: the aspect differs" in other.problem
    )
