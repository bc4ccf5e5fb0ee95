# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The motion of a recording, against images that were moved by known amounts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bag_builder import scene, texture
from monodepth2_ros.camera import PinholeCamera
from training.extraction.motion import (
    FAINT_PARALLAX,
    TARGET_FLOW,
    Motion,
    SpacingMotion,
    choose_spacing,
    measure_motion,
    measure_spacing,
    motion_image,
    segment_spacing,
    track,
)
from training.extraction.verdict import assess_motion

CAMERA = PinholeCamera(256, 160, 200.0, 200.0, 127.5, 79.5)


def moved(transform: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a grey picture seen through a homography of the image plane."""
    grey = cv2.cvtColor(texture(480, 640, seed), cv2.COLOR_RGB2GRAY)
    centre = np.array([[1.0, 0.0, -190.0], [0.0, 1.0, -160.0], [0.0, 0.0, 1.0]])
    return cv2.warpPerspective(grey, transform @ centre, (256, 160))


def shifted(pixels: float) -> np.ndarray:
    return moved(np.array([[1.0, 0.0, -pixels], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def test_motion_image_is_small_and_grey() -> None:
    assert motion_image(texture(96, 512, 0)).shape == (48, 256)
    assert motion_image(texture(96, 160, 0)).shape == (96, 160)


@pytest.mark.parametrize("pixels", [0.0, 0.5, 3.0, 12.0])
def test_flow_of_a_shifted_picture(pixels: float) -> None:
    tracks = track(shifted(0.0), shifted(pixels))
    assert tracks.median_flow == pytest.approx(pixels / 256, rel=0.05, abs=0.15 / 256)
    assert tracks.matched_share > 0.9
    assert tracks.texture > 0.5


def test_other_pictures_are_not_matched() -> None:
    assert track(shifted(0.0), moved(np.eye(3), seed=9)).matched_share < 0.2


@pytest.mark.parametrize("axis", [(0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.3, -0.5, 0.8)])
def test_a_rotation_leaves_no_parallax(axis: tuple[float, float, float]) -> None:
    angle = 2.5
    vector = np.radians(angle) * np.array(axis) / np.linalg.norm(axis)
    rotation, _ = cv2.Rodrigues(vector)
    homography = CAMERA.matrix @ rotation @ np.linalg.inv(CAMERA.matrix)
    motion = measure_motion(track(shifted(0.0), moved(homography)), CAMERA.resized(640, 400))
    assert motion.rotation == pytest.approx(angle, rel=0.03)
    assert motion.flow > 0.01
    assert motion.parallax < FAINT_PARALLAX


def test_depth_leaves_parallax() -> None:
    # The wall moves 3 pixels, the box in front of it 6: no rotation does that.
    camera = PinholeCamera(160, 96, 120.0, 120.0, 79.5, 47.5)
    first, second = (motion_image(scene(position)[0]) for position in (10.0, 13.0))
    motion = measure_motion(track(first, second), camera)
    assert motion.flow == pytest.approx(3.0 / 160, rel=0.1)
    assert motion.parallax > 2.0 * FAINT_PARALLAX


def test_bare_pictures_do_not_fail() -> None:
    flat = np.full((96, 160), 100, np.uint8)
    motion = measure_motion(track(flat, flat), CAMERA)
    assert motion.flow == 0.0
    assert motion.texture == 0.0
    with pytest.raises(ValueError, match="20x20 are too small"):
        track(flat[:20, :20], flat[:20, :20])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "expected"),
    # Closest to 1.7 % on a logarithmic scale.
    [(0.0040, 4), (0.0057, 3), (0.0085, 2), (0.017, 1), (0.03, 1)],
)
def test_the_spacing_brings_the_motion_to_the_target(share: float, expected: int) -> None:
    def image(index: int) -> np.ndarray:
        return shifted(index * share * 256)

    measured = choose_spacing(image, np.zeros(24, int), CAMERA)
    assert measured[-1].spacing == expected
    assert measured[-1].motion.flow == pytest.approx(expected * share, rel=0.05)
    assert [m.spacing for m in measured] == list(range(1, expected + 1))


@pytest.mark.slow
def test_the_spacing_stops_growing_where_views_are_lost() -> None:
    # Half of the picture stands still (a sky), the rest changes completely after two frames.
    def image(index: int) -> np.ndarray:
        picture = moved(np.eye(3), seed=1).copy()
        lower = moved(np.eye(3), seed=100 + index // 2)
        picture[60:] = lower[60:]
        return picture

    measured = choose_spacing(image, np.zeros(24, int), CAMERA)
    assert measured[-1].spacing < 3


def test_pairs_stay_inside_segments() -> None:
    def image(index: int) -> np.ndarray:
        return shifted(2.0 * index) if index < 4 else moved(np.eye(3), seed=index)

    segment = np.array([0, 0, 0, 0, 1, 2, 3])
    motion = measure_spacing(image, segment, CAMERA, 1)
    assert motion is not None
    assert motion.pairs == 3
    assert motion.motion.flow == pytest.approx(2.0 / 256, rel=0.05)
    assert measure_spacing(image, segment, CAMERA, 4) is None
    assert measure_spacing(image, segment, CAMERA, 10) is None
    assert choose_spacing(image, np.arange(7), CAMERA) == []


def test_a_segment_gets_its_own_spacing() -> None:
    assert segment_spacing(3, 0.006, 0.006, 100) == 3
    assert segment_spacing(3, 0.006, 0.003, 100) == 6
    assert segment_spacing(3, 0.006, 0.018, 100) == 1
    assert segment_spacing(3, 0.006, 0.0001, 100) == 10
    assert segment_spacing(3, 0.006, 0.006, 5) == 2
    assert segment_spacing(3, 0.0, 0.0, 3) == 1


def measured(*motions: tuple[int, float, float, float]) -> list[SpacingMotion]:
    """Rows of spacing, flow, parallax (shares of the width) and matched share."""
    return [SpacingMotion(s, Motion(f, p, 1.0, m, 0.4), 40) for s, f, p, m in motions]


@pytest.mark.parametrize(
    ("motions", "level", "summary"),
    [
        ([(1, 0.018, 0.007, 0.95)], "good", "good"),
        ([(1, 0.007, 0.001, 0.98), (3, 0.02, 0.003, 0.95)], "good", "good at spacing 3"),
        ([(1, 0.002, 0.002, 0.95), (4, 0.006, 0.005, 0.8)], "weak", "usable with spacing 4"),
        ([(1, 0.06, 0.01, 0.8)], "too fast", "6.0 % of the width and 1.0° from frame to frame"),
        ([(1, 0.018, 0.0005, 0.95)], "rotation only", "no parallax"),
        ([(1, 0.0004, 0.0003, 0.99), (10, 0.002, 0.001, 0.99)], "static", "hardly moves"),
        ([(1, 0.022, 0.0018, 0.95)], "weak", "mostly turning"),
        ([], "static", "nothing moves"),
    ],
)
def test_verdicts(motions: list, level: str, summary: str) -> None:
    verdict = assess_motion(measured(*motions), frames=5000, samples=4000)
    assert verdict.level == level
    assert summary in verdict.summary
    assert verdict.advice or level == "good"


def test_parallax_must_survive_at_the_stored_size() -> None:
    motion = measured((1, 0.012, 0.0015, 0.95))
    assert assess_motion(motion, 5000, 4000, width=640).level == "good"
    small = assess_motion(motion, 5000, 4000, width=192)
    assert small.level == "weak" and "0.3 pixels of parallax at a width of 192" in small.summary
    assert "--width 288" in small.advice[0]
    assert assess_motion(motion, 5000, 4000, width=288).level == "good"


def test_verdict_on_what_else_matters() -> None:
    good = measured((1, TARGET_FLOW, 0.007, 0.95))
    assert assess_motion(good, 5000, 4000).advice == ()
    assert "200 samples are few" in " ".join(assess_motion(good, 5000, 200).advice)
    assert assess_motion([], 0, 0).level == "empty"
    assert assess_motion([], 100, 0, is_stereo=True).level == "good"
    assert (
        assess_motion(measured((1, 0.001, 0.0, 0.95)), 5000, 4000, is_stereo=True).level == "good"
    )
    bare = [SpacingMotion(1, Motion(0.02, 0.007, 1.0, 0.9, 0.05), 40)]
    assert "bare surfaces" in " ".join(assess_motion(bare, 5000, 4000).advice)
    lost = measured((1, 0.02, 0.007, 0.6))
    assert "40% of the texture is lost" in " ".join(assess_motion(lost, 5000, 4000).advice)
