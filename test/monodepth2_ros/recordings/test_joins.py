# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording belong together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monodepth2_ros.recordings.bags import Topic
from monodepth2_ros.recordings.joins import choose_camera_info, choose_cameras, rank_depth
from monodepth2_ros.recordings.topic_kinds import classify
from monodepth2_ros.topic_names import same_frame

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"


def image(name: str, kind: str = IMAGE, count: int = 10, frame: str = "camera") -> Topic:
    return Topic(name, kind, count, frame, "rgb8", 160, 96)


def info(name: str, frame: str = "camera") -> Topic:
    return Topic(name, INFO, 10, frame)


def depth(name: str, frame: str = "camera", kind: str = IMAGE) -> Topic:
    return Topic(name, kind, 10, frame, "16UC1", 160, 96)


def cameras_of(topics: Sequence[Topic], wanted: Sequence[str] = ()) -> list[Topic]:
    return [c.chosen for c in choose_cameras(topics, wanted) if c.chosen is not None]


def info_of(camera: Topic, topics: Sequence[Topic]) -> Topic | None:
    return choose_camera_info(camera, topics).chosen


def depth_of(camera: Topic, topics: Sequence[Topic]) -> Topic | None:
    ranked = rank_depth(camera, classify(topics))
    fitting = [t for _, t in ranked if same_frame(t.frame_id, camera.frame_id)]
    return fitting[0] if fitting else None


def test_one_topic_is_taken_for_each_camera() -> None:
    topics = [
        image("/front/image_raw", count=5),
        image("/front/image_raw/compressed", COMPRESSED, count=5),
        image("/front/image_rect_color/compressed", COMPRESSED, count=5),
        image("/front/image_mono"),
        image("/rear/image_raw/compressed", COMPRESSED),
        depth("/front/depth/image_rect_raw"),
        info("/front/camera_info"),
    ]
    found = cameras_of(topics)
    assert [topic.name for topic in found] == [
        "/front/image_rect_color/compressed",
        "/rear/image_raw/compressed",
    ]
    assert found[0].is_rectified
    assert not found[1].is_rectified


def test_wanted_topics_are_found_by_name() -> None:
    topics = [image("/a/image"), image("/b/image/compressed", COMPRESSED), info("/a/camera_info")]
    assert [t.name for t in cameras_of(topics, ["/b/image", "/a/image"])] == [
        "/b/image/compressed",
        "/a/image",
    ]
    with pytest.raises(ValueError, match="no image topic /c; there are: /a/image, /b/image"):
        cameras_of(topics, ["/c"])
    with pytest.raises(ValueError, match="the recording holds /a/camera_info"):
        cameras_of([info("/a/camera_info")])


def test_rectified_is_a_word_of_the_name() -> None:
    names = {
        "/camera/image_rect": True,
        "/camera/image_rect_color/compressed": True,
        "/camera/infra1/image_rect_raw": True,
        "/direct/image_raw": False,
        "/camera/correct": False,
        "/rect/image": True,
        "/camera/rectified/image_raw": True,
        "/rect_camera/image_raw": False,
        "/camera/image_unrectified": False,
        "/camera/image_color_corrected": False,
        "/camera/imageRect": True,
    }
    for name, expected in names.items():
        assert image(name).is_rectified == expected, name


def test_the_camera_info_that_belongs_to_a_camera() -> None:
    left = image("/stereo/left/image_raw", frame="left")
    right = image("/stereo/right/image_raw", frame="right")
    left_info, right_info = info("/stereo/left/camera_info", "left"), info("/other/info", "right")
    topics = [left, right, left_info, right_info]
    assert info_of(left, topics) == left_info
    assert info_of(right, topics) == right_info  # by its frame
    # A neighbour's calibration is not borrowed.
    assert info_of(right, [left, right, left_info]) is None
    # With one camera and one camera_info there is no doubt.
    assert info_of(left, [left, info("/calibration", "")]) is not None
    assert info_of(left, [left]) is None


def test_only_registered_depth_is_truth() -> None:
    camera = image("/camera/color/image_raw", frame="color")
    own = depth("/camera/depth/image_rect_raw", "depth")
    aligned = depth("/camera/aligned_depth_to_color/image_raw", "color")
    elsewhere = depth("/robot/depth", "color")
    assert depth_of(camera, [camera, own]) is None
    assert depth_of(camera, [camera, own, elsewhere, aligned]) == aligned
