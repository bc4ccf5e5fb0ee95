# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views of panoramas: which part of the sphere a camera sees, and what is written."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from training.frames.panorama_views import (
    Gaze,
    perspective_view,
    read_panorama,
    write_views,
)
from training.frames.store import FrameStore
from training.panoramas import main


@pytest.fixture
def sphere():
    """A panorama whose red channel is the longitude and whose green one is the latitude."""
    rows, columns = np.mgrid[0:120, 0:240]
    image = np.stack([columns, 2 * rows, np.full_like(rows, 100)], axis=-1)
    return image.astype(np.uint8)


def centre(panorama, **angles):
    """Return the colour that a camera with a narrow view sees in its middle."""
    angles = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "field_of_view": math.radians(10), **angles}
    view = perspective_view(panorama, Gaze(**angles), 33, 33)
    return view[16, 16].astype(int).tolist()


@pytest.mark.parametrize(
    ("angles", "red", "green"),
    [
        ({}, 120, 120),
        ({"yaw": math.pi / 2}, 180, 120),
        ({"yaw": -math.pi / 2}, 60, 120),
        ({"pitch": math.radians(45)}, 120, 180),  # down
        ({"pitch": math.radians(-45)}, 120, 60),
        ({"yaw": math.pi / 2, "pitch": math.radians(45)}, 180, 180),
        ({"roll": math.pi / 2, "yaw": math.pi / 2}, 180, 120),
    ],
)
def test_a_camera_sees_where_it_looks(sphere, angles, red, green):
    seen = centre(sphere, **angles)
    assert seen[0] == pytest.approx(red, abs=2) and seen[1] == pytest.approx(green, abs=2)
    assert seen[2] == 100


def test_the_field_of_view_is_the_angle_between_the_edges(sphere):
    gaze = Gaze(0.0, 0.0, 0.0, math.radians(90))
    view = perspective_view(sphere, gaze, 200, 100)
    # 90 degrees are a quarter of 240 columns, half a pixel short at either edge.
    assert view[50, 0, 0] == pytest.approx(90, abs=1)
    assert view[50, -1, 0] == pytest.approx(150, abs=1)
    # Square pixels: the upper edge is at atan(1/2).
    assert view[0, 100, 1] == pytest.approx(2 * (60 - math.degrees(math.atan(0.5)) / 1.5), abs=3)


def test_a_camera_that_rolls_clockwise_sees_the_world_turn_the_other_way(sphere):
    level = perspective_view(sphere, Gaze(0.0, 0.0, 0.0, math.radians(60)), 64, 64)
    rolled = perspective_view(sphere, Gaze(0.0, 0.0, math.radians(20), math.radians(60)), 64, 64)
    # What is lower (greener) moves up at the right of the image.
    assert rolled[32, 60, 1] > level[32, 60, 1] + 5
    assert rolled[32, 3, 1] < level[32, 3, 1] - 5


def test_there_is_no_seam_behind_the_camera():
    panorama = np.full((64, 128, 3), 77, np.uint8)
    view = perspective_view(panorama, Gaze(math.pi, 0.0, 0.0, math.radians(90)), 64, 48)
    assert np.all(view == 77)
    ramp = np.abs(np.linspace(-120, 120, 128)).astype(np.uint8)  # alike at both ends
    panorama = np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2)
    view = perspective_view(panorama, Gaze(math.pi, 0.0, 0.0, math.radians(90)), 64, 48)
    assert np.abs(np.diff(view[24, :, 0].astype(int))).max() <= 4


def test_a_stop_more_is_brighter_and_never_wraps(sphere):
    bright = np.full_like(sphere, 250)
    for stops, value in ((0.0, 250), (-1.0, round(250 * 2 ** (-1 / 2.2))), (1.0, 255)):
        view = perspective_view(bright, Gaze(0.0, 0.0, 0.0, 1.0, exposure=stops), 8, 8)
        assert np.all(view == value)


def test_views_depend_on_the_seed_alone(sphere, tmp_path):
    panoramas = [("one.jpg", sphere), ("two.jpg", sphere[:, ::-1])]
    first, again, other = (
        write_views(tmp_path / name, panoramas, 3, 48, 32, seed)
        for name, seed in (("a", 4), ("b", 4), ("c", 5))
    )
    assert first.images.shape == (6, 32, 48, 3) and first.truth is None
    assert first.segment.tolist() == [0, 0, 0, 1, 1, 1]
    assert [source.recording for source in first.sources] == ["one.jpg", "two.jpg"]
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_the_command_writes_a_store(sphere, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "room.png"), sphere[..., ::-1])
    assert np.array_equal(read_panorama(tmp_path / "room.png"), sphere)
    words = [str(tmp_path / "room.png"), "--out", str(tmp_path / "store"), "--views", "4"]
    assert main([*words, "--width", "64", "--height", "32"]) == 0
    assert "4 views of 1 panorama" in capsys.readouterr().out
    store = FrameStore.open(tmp_path / "store", verify=True)
    assert store.images.shape == (4, 32, 64, 3)


def test_what_is_no_panorama_is_named_before_anything_is_written(sphere, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "square.png"), sphere[:, :120])
    (tmp_path / "text.jpg").write_text("no image")
    for name, words in (
        ("square.png", "is 120x120; an equirectangular panorama is twice as wide"),
        ("text.jpg", "is not an image"),
        ("none.jpg", "none.jpg"),
    ):
        assert main([str(tmp_path / name), "--out", str(tmp_path / "store")]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
