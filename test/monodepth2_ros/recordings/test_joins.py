# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording belong together."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from bag_builder import texture
from monodepth2_ros.camera import Calibration
from monodepth2_ros.recordings.bags import POINT_CLOUD, RecordedTopic
from monodepth2_ros.recordings.joins import (
    JoinError,
    choose_camera_info,
    choose_cameras,
    choose_one_camera,
    rank_depth,
)
from monodepth2_ros.recordings.topic_kinds import classify, picture_content
from monodepth2_ros.topic_names import same_frame, words

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"


def image(name: str, kind: str = IMAGE, count: int = 10, frame: str = "camera") -> RecordedTopic:
    return RecordedTopic(name, kind, count, frame, "rgb8", 160, 96)


def info(name: str, frame: str = "camera") -> RecordedTopic:
    return RecordedTopic(name, INFO, 10, frame)


def depth(name: str, frame: str = "camera", kind: str = IMAGE) -> RecordedTopic:
    return RecordedTopic(name, kind, 10, frame, "16UC1", 160, 96)


def cameras_of(topics: Sequence[RecordedTopic], wanted: Sequence[str] = ()) -> list[RecordedTopic]:
    return [c.chosen for c in choose_cameras(topics, wanted) if c.chosen is not None]


def info_of(camera: RecordedTopic, topics: Sequence[RecordedTopic]) -> RecordedTopic | None:
    return choose_camera_info(camera, topics).chosen


def depth_of(camera: RecordedTopic, topics: Sequence[RecordedTopic]) -> RecordedTopic | None:
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


# What topics hold


@pytest.mark.parametrize(
    ("name", "encoding", "kind"),
    [
        ("/camera/image_raw", "rgb8", "image"),
        ("/camera/image_raw/compressed", "rgb8; jpeg compressed bgr8", "image"),
        ("/camera/depth/image_raw", "16UC1", "depth"),
        ("/camera/aligned_depth_to_color/image_raw", "16UC1", "depth"),
        ("/rgb_to_depth/image_raw", "bgra8", "image"),
        ("/depth_camera/image_raw", "rgb8", "image"),
        ("/depth_camera/depth/image_raw", "32FC1", "depth"),
        ("/depth_camera/image_raw", "32FC1", "depth"),
        ("/oak/stereo/image_raw", "16UC1", "depth"),
        ("/stereo/left/image_raw", "rgb8", "image"),
        ("/camera/depth/image_color", "rgb8", "picture"),
        ("/zed/depth/depth_confidence", "32FC1", "confidence"),
        ("/zed/confidence/confidence_map", "32FC1", "confidence"),
        ("/zed/disparity/disparity_image", "32FC1", "disparity"),
        ("/tof/amplitude", "32FC1", "amplitude values"),
        ("/tof/amplitude", "16UC1", "amplitude"),
        ("/camera/infra1/image_rect_raw", "mono8", "infrared"),
        ("/thermal/image_raw", "16UC1", "infrared"),
        ("/ouster/range_image", "16UC1", "range"),
        ("/ouster/signal_image", "16UC1", "intensity"),
        ("/camera/labels_color", "rgb8", "labels"),
        ("/camera/segmentation/colored_map", "rgb8", "labels"),
        ("/camera/semantic_labels", "mono8", "labels"),
        ("/yolo/debug_image", "rgb8", "picture"),
        ("/camera/image_raw", "16UC1", "unclear"),
        ("/camera/image", "32FC1", "unclear"),
        ("/lab/image_raw", "rgb8", "image"),  # "lab" is not the word "label"
        ("/airport/image_raw", "rgb8", "image"),  # nor is "air" the word "ir"
    ],
)
def test_what_a_topic_holds(name: str, encoding: str, kind: str) -> None:
    message = COMPRESSED if name.endswith("/compressed") else IMAGE
    (finding,) = classify([RecordedTopic(name, message, 10, "camera", encoding, 160, 96)]).findings
    assert finding.kind == kind, finding.why
    assert finding.why


def test_drawn_pictures_are_known_by_their_content() -> None:
    labels = np.zeros((96, 160, 3), np.uint8)
    for index, color in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
        labels[20 * index : 20 * index + 30, 30 * index : 30 * index + 60] = color
    depth = np.linspace(0, 255, 96 * 160).reshape(96, 160).astype(np.uint8)
    photo = texture(96, 160, 3)
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert "flat areas of 4 colours" in picture_content(labels)
    for name in ("MAGMA", "JET", "TURBO"):
        drawn = cv2.applyColorMap(depth, getattr(cv2, f"COLORMAP_{name}"))[..., ::-1]
        assert f"colour map {name.lower()}" in picture_content(drawn)
    numbers = np.where(labels.any(axis=2, keepdims=True), labels // 60, 5)
    assert "flat areas" in picture_content(numbers.astype(np.uint8))
    for picture in (photo, grey, photo // 8, None):
        assert picture_content(picture) == ""


@pytest.mark.parametrize("light", [60, 170, 250])
def test_a_camera_before_a_bare_wall_is_no_picture_of_labels(light: int) -> None:
    rows, columns = np.mgrid[0:192, 0:320]
    shade = light - 12.0 * np.hypot(rows - 90, columns - 100) / 300
    wall = np.repeat(np.rint(shade)[..., None], 3, axis=2) + np.array([0, -2, -6])
    content = picture_content(wall.clip(0, 255).astype(np.uint8))
    assert content == ""


def own_output_topics(prefix: str = "") -> list[RecordedTopic]:
    return [
        RecordedTopic(f"{prefix}/depth/image_rect", IMAGE, 10, "camera", "32FC1", 160, 96),
        RecordedTopic(f"{prefix}/depth/image_color", IMAGE, 10, "camera", "rgb8", 160, 96),
        RecordedTopic(f"{prefix}/depth/camera_info", INFO, 10, "camera"),
        RecordedTopic(f"{prefix}/points", POINT_CLOUD, 10, "camera", is_organized=True),
    ]


@pytest.mark.parametrize("prefix", ["", "/robot1/camera"])
def test_the_nodes_own_outputs_are_neither_images_nor_ground_truth(prefix: str) -> None:
    camera, calibration = image("/camera/image_raw"), info("/camera/camera_info")
    topics = [camera, calibration, *own_output_topics(prefix)]
    assert cameras_of(topics) == [camera]
    assert depth_of(camera, topics) is None
    assert info_of(camera, topics) == calibration
    kinds = {finding.topic.name: finding.kind for finding in classify(topics).findings}
    assert kinds[f"{prefix}/depth/image_rect"] == "own output"
    assert kinds[f"{prefix}/points"] == "own output"
    # A sensor's depth next to them is still found, and one with the same name is a sensor's.
    real = depth("/sensor/depth/image_raw")
    assert depth_of(camera, [*topics, real]) == real
    sensor = RecordedTopic("/camera/depth/image_rect", IMAGE, 10, "camera", "32FC1", 161, 97)
    assert depth_of(camera, [camera, sensor]) == sensor


# Which camera, which image


def test_the_topic_with_the_images_wins() -> None:
    raw = image("/camera/image_raw", count=5)
    packed = image("/camera/image_raw/compressed", COMPRESSED, count=30)
    assert cameras_of([raw, packed]) == [packed]
    rectified = image("/camera/image_rect", count=5)
    many = image("/camera/image_raw", count=30)
    (choice,) = choose_cameras([rectified, many])
    assert choice.chosen == many
    assert choice.others == (("/camera/image_rect", "5 of 30 images in 100% of the recording"),)
    assert "--image" in choice.as_text()


def test_cameras_of_one_namespace_do_not_collapse() -> None:
    sides = [image("/image_left", frame="left"), image("/image_right", frame="right")]
    assert cameras_of(sides) == sides
    same_frame_id = [image("/cam/image_left"), image("/cam/image_right")]
    assert cameras_of(same_frame_id) == same_frame_id
    with pytest.raises(JoinError, match="2 cameras are equally good: /image_left, /image_right"):
        choose_one_camera(sides)
    assert choose_one_camera(sides, "/image_right").chosen == sides[1]


def test_equal_topics_of_a_camera_are_refused_by_name() -> None:
    equal = [image("/camera/image_1/view"), image("/camera/image_1/stream")]
    with pytest.raises(JoinError, match="/view, .*/stream are equally good.*--image"):
        cameras_of(equal)
    # The driver's own name is enough to tell it from a copy.
    assert cameras_of([image("/camera/image"), image("/camera/image_raw")])[0].name.endswith("raw")


def test_other_light_is_used_only_without_an_ordinary_camera() -> None:
    color = image("/camera/color/image_raw", frame="color")
    infra = RecordedTopic("/camera/infra1/image_rect_raw", IMAGE, 10, "infra", "mono8", 160, 96)
    assert cameras_of([color, infra]) == [color]
    assert cameras_of([infra]) == [infra]
    unclear = RecordedTopic("/camera/image_raw", IMAGE, 10, "camera", "16UC1", 160, 96)
    with pytest.raises(JoinError, match=r"no image topic.*16UC1\) was taken for unclear.*--image"):
        cameras_of([unclear])
    assert cameras_of([unclear], ["/camera/image_raw"]) == [unclear]


# Which camera_info


def calibrated(
    name: str, frame: str, focal: float, size: tuple[int, int] = (160, 96)
) -> RecordedTopic:
    k = (focal, 0.0, size[0] / 2, 0.0, focal, size[1] / 2, 0.0, 0.0, 1.0)
    calibration = Calibration(*size, k)
    return RecordedTopic(name, INFO, 10, frame, frames=(frame,), calibrations=(calibration,))


def test_the_frame_decides_before_names() -> None:
    rgb = image("/camera/rgb_image", frame="rgb_frame")
    infos = [
        calibrated("/camera/depth_camera_info", "depth_frame", 240.0),
        calibrated("/camera/rgb_camera_info", "rgb_frame", 120.0),
    ]
    choice = choose_camera_info(rgb, [rgb, *infos])
    assert choice.chosen == infos[1]
    assert choice.others[0][0] == "/camera/depth_camera_info"
    assert "'depth_frame'" in choice.others[0][1]
    # Only of another frame: none, unless the user names it.
    choice = choose_camera_info(rgb, [rgb, infos[0]])
    assert choice.chosen is None
    assert choose_camera_info(rgb, [rgb, infos[0]], infos[0].name).chosen == infos[0]
    # A leading slash is ROS 1's way to write the same frame.
    slash = calibrated("/camera/rgb_camera_info", "/rgb_frame", 120.0)
    assert info_of(rgb, [rgb, slash]) == slash


def test_a_camera_info_topic_that_cameras_share_is_told_apart_by_frame() -> None:
    left, right = image("/left/image_raw", frame="left"), image("/right/image_raw", frame="right")
    one, two = calibrated("/x", "left", 100.0), calibrated("/x", "right", 200.0)
    shared = RecordedTopic(
        "/camera_info",
        INFO,
        20,
        "left",
        frames=("left", "right"),
        calibrations=one.calibrations + two.calibrations,
    )
    for camera, frame in ((left, "left"), (right, "right")):
        choice = choose_camera_info(camera, [left, right, shared])
        assert choice.chosen == shared
        assert choice.frame_id == frame


def test_robots_with_the_same_frames_keep_their_own_camera_info() -> None:
    cameras = [image(f"/robot{i}/camera/image_raw") for i in (1, 2)]
    infos = [calibrated(f"/robot{i}/camera/camera_info", "camera", 100.0 * i) for i in (1, 2)]
    for camera, own in zip(cameras, infos, strict=True):
        assert info_of(camera, [*cameras, *infos]) == own
    # The second robot published none: the first one's is not borrowed.
    assert info_of(cameras[1], [*cameras, infos[0]]) is None


def test_equal_camera_infos_that_differ_are_refused() -> None:
    camera = image("/camera/image_raw")
    one, two = calibrated("/a/info", "camera", 100.0), calibrated("/b/info", "camera", 200.0)
    with pytest.raises(JoinError, match="/a/info, /b/info fit /camera/image_raw equally well"):
        choose_camera_info(camera, [camera, one, two])
    same = calibrated("/b/info", "camera", 100.0)
    assert info_of(camera, [camera, one, same]) in (one, same)
    # The size decides where frame and names do not.
    other = calibrated("/b/info", "camera", 200.0, (320, 192))
    assert info_of(camera, [camera, one, other]) == one


def test_words_and_frames() -> None:
    assert words("image_rectColor2") == ["image", "rect", "color", "2"]
    assert words("infra1") == ["infra", "1"]
    assert same_frame("/camera", "camera") is True
    assert same_frame("camera_link", "camera_optical_frame") is False
    assert same_frame("", "camera") is None
