# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion and sparse depth come out of tracks and images as they were put in."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning.motion_from_tracks import (
    MOST_DIRECTION,
    is_determined,
    remember_tracks,
    triangulate_frames,
)
from training.learning.triangulation import FEWEST, CornerTracks, track_corners, triangulate
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

FOCAL, WIDTH, HEIGHT = 120.0, 192, 96
INTRINSICS = np.array([[FOCAL, 0, 95.5], [0, FOCAL, 47.5], [0, 0, 1]])

# Rotation vector in degrees, translation in the unit of depth 4 to 20.
FORWARD = ((0.3, 0.8, -0.1), (0.02, -0.03, -0.6))
SIDEWAYS = ((0.1, -0.5, 0.4), (0.5, 0.1, 0.05))
BACKWARD = ((-0.4, -0.7, 0.2), (-0.02, 0.02, 0.6))


def make_transform(motion):
    transform = np.eye(4)
    transform[:3, :3] = cv2.Rodrigues(np.radians(motion[0]))[0]
    transform[:3, 3] = motion[1]
    return transform


def make_tracks(motions, noise=0.0, wrong=0.0, count=250, seed=0, far=0.0):
    """Project random points; a share of the tracks leads to random places, one is of far things."""
    generator = np.random.default_rng(seed)
    points = generator.uniform((2, 2), (WIDTH - 3, HEIGHT - 3), (count, 2))
    depth = np.exp(generator.uniform(np.log(4), np.log(20), count))
    depth[: round(far * count)] *= 100
    rays = np.column_stack([points, np.ones(count)]) @ np.linalg.inv(INTRINSICS).T
    ends = []
    for motion in motions:
        transform = make_transform(motion)
        seen = (rays * depth[:, None]) @ transform[:3, :3].T + transform[:3, 3]
        pixels = seen @ INTRINSICS.T
        end = pixels[:, :2] / pixels[:, 2:] + generator.normal(0, noise, (count, 2))
        lost = generator.uniform(size=count) < wrong
        end[lost] += generator.uniform(-6, 6, (int(lost.sum()), 2))
        ends.append(end)
    return CornerTracks(points, np.array(ends), np.ones((len(ends), count), bool)), depth


def slide_along_edges(tracks, along, seed=3):
    """Let tracks slide along edges of random directions, by so many pixels, and say so."""
    generator = np.random.default_rng(seed)
    count = len(tracks.points)
    direction = generator.uniform(0, np.pi, count)
    edge = np.column_stack([np.cos(direction), np.sin(direction)])
    slid = tracks.ends + generator.normal(0, along, (len(tracks.ends), count, 1)) * edge
    across = np.eye(2) - np.einsum("ni,nj->nij", edge, edge)
    return replace(tracks, ends=slid, sharpness=across + (np.eye(2) - across) / 6)


def angle(first, second):
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize(
    "motions", [(FORWARD, BACKWARD), (SIDEWAYS, FORWARD), (SIDEWAYS,)], ids=["road", "two", "one"]
)
@pytest.mark.parametrize(("noise", "wrong"), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.15)])
def test_motion_and_depth_are_found_up_to_one_factor(motions, noise, wrong):
    tracks, depth = make_tracks(motions, noise, wrong)
    found = triangulate(tracks, INTRINSICS)
    assert found is not None and is_determined(found)
    true = [make_transform(motion) for motion in motions]
    factor = np.linalg.norm(true[0][:3, 3]) / np.linalg.norm(found.transforms[0, :3, 3])
    for transform, expected in zip(found.transforms, true, strict=True):
        turned = cv2.Rodrigues(transform[:3, :3].T @ expected[:3, :3])[0]
        assert np.degrees(np.linalg.norm(turned)) < (0.01 if noise == 0 else 0.15)
        assert angle(transform[:3, 3], expected[:3, 3]) < (0.2 if noise == 0 else 6)
        length = factor * np.linalg.norm(transform[:3, 3]) / np.linalg.norm(expected[:3, 3])
        assert abs(length - 1) < (0.01 if noise == 0 else 0.08)
    place = {tuple(point): index for index, point in enumerate(tracks.points)}
    truth = depth[[place[tuple(point)] for point in found.points]]
    ratio = found.depth / truth
    error = np.abs(np.log(ratio / np.median(ratio)))
    assert np.median(error) < (0.002 if noise == 0 else 0.1)
    # The stated deviation is of the error's size.
    if noise:
        assert 0.4 < np.median(error / found.deviation) < 1.5
    assert len(found.points) > 0.5 * (1 - 1.3 * wrong) * len(tracks.points)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_far_corners_are_kept_whether_noise_makes_them_near_or_not(seed):
    """If only those stayed whose depth is certain, the mean of what stays would come near."""
    tracks, depth = make_tracks((SIDEWAYS, FORWARD), noise=0.15, count=400, seed=seed, far=0.4)
    found = triangulate(tracks, INTRINSICS)
    place = {tuple(point): index for index, point in enumerate(tracks.points)}
    truth = depth[[place[tuple(point)] for point in found.points]]
    is_far = truth > 300
    assert is_far.sum() > 0.8 * 160
    scale = np.median(found.depth[~is_far] / truth[~is_far])
    error = (1 / found.depth - 1 / (scale * truth)) / (found.deviation / found.depth)
    assert abs(np.median(error[is_far])) < 0.5
    # Hardly any looks as if its depth could be told.
    assert (found.is_certain & is_far).sum() <= 0.05 * is_far.sum()
    assert found.is_certain[~is_far].mean() > 0.8


def test_what_turns_without_moving_is_not_determined():
    turning = ((0.5, 2.0, 0.3), (0.0, 0.0, 0.0))
    back = ((-0.5, -2.0, -0.3), (0.0, 0.0, 0.0))
    tracks, _ = make_tracks((turning, back), noise=0.1)
    assert not is_determined(triangulate(tracks, INTRINSICS))
    standing = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    tracks, _ = make_tracks((standing, standing), noise=0.05)
    assert not is_determined(triangulate(tracks, INTRINSICS))


@pytest.mark.parametrize(
    ("length", "wrong"), [(1.0, 0.0), (0.5, 0.0), (0.2, 0.0), (0.01, 0.0), (1.0, 0.3)]
)
def test_the_direction_of_travel_is_as_uncertain_as_is_said(length, wrong):
    motions = [(turn, tuple(length * np.array(shift))) for turn, shift in (FORWARD, BACKWARD)]
    squares, said = [], []
    for seed in range(24):
        tracks, _ = make_tracks(motions, noise=0.1, wrong=wrong, count=120, seed=seed)
        found = triangulate(tracks, INTRINSICS)
        assert found is not None
        for transform, motion in zip(found.transforms, motions, strict=True):
            squares.append(angle(transform[:3, 3], make_transform(motion)[:3, 3]) ** 2)
        said.append(found.direction)
    ratio = np.sqrt(np.mean(squares)) / np.sqrt(np.mean(np.square(said)))
    # What is unexplained counts as noise: with many wrong tracks, more is said than is true.
    low, high = (0.7, 1.5) if wrong == 0 else (0.1, 1.0)
    assert length == 0.01 or low < ratio < high
    # So short a motion is a guess.
    assert (np.median(said) > MOST_DIRECTION) == (length == 0.01)


def test_few_tracks_say_nothing():
    tracks, _ = make_tracks((FORWARD, BACKWARD), count=FEWEST - 1)
    assert triangulate(tracks, INTRINSICS) is None
    assert not is_determined(None)


def test_bare_images_have_no_tracks_and_shifted_ones_are_followed():
    bare = np.full((64, 96, 3), 90, np.uint8)
    assert len(track_corners(bare, [bare, bare]).points) == 0
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (20, 30, 3)).astype(np.float32)
    wall = cv2.resize(coarse, (150, 100), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    wall = wall.astype(np.uint8)
    first, second, third = (wall[y : y + 64, x : x + 96] for x, y in ((20, 20), (23, 21), (18, 20)))
    tracks = track_corners(first, [second, third])
    assert len(tracks.points) > 40
    for end, shift in zip(tracks.ends, ((-3, -1), (2, 0)), strict=True):
        error = np.abs(end - tracks.points - shift)
        assert np.median(error) < 0.01 and error.max() < 0.5


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """A rendered street with exact depth and poses."""
    path = tmp_path_factory.mktemp("street") / "store"
    camera = camera_from_field_of_view(192, 96, 80)
    frames = list(synthesize(3, "street", camera, 9))
    write_frame_store(
        path,
        np.stack([frame.image for frame in frames]),
        [camera],
        truth=np.stack([frame.depth for frame in frames]),
        poses=np.stack([frame.pose for frame in frames]),
    )
    return FrameStore.open(path)


@pytest.mark.slow
def test_rendered_images_give_the_depth_and_motion_they_were_rendered_with(street):
    errors, angles = [], []
    for frame in (2, 4, 6):
        found = triangulate_frames(street, frame, (frame - 2, frame + 2))
        assert is_determined(found)
        x, y = np.round(found.points).astype(int).T
        truth = street.truth[frame][y, x].astype(float)
        known = (truth > 0) & np.isfinite(truth)
        ratio = found.depth[known] / truth[known]
        errors.append(np.median(np.abs(ratio / np.median(ratio) - 1)))
        motion = np.linalg.inv(street.poses[frame + 2]) @ street.poses[frame]
        angles.append(angle(found.transforms[1, :3, 3], motion[:3, 3]))
    assert max(errors) < 0.1 and max(angles) < 8


def test_a_sample_is_measured_once(street):
    measure = remember_tracks([street])
    first = measure(0, 4, (2, 6))
    assert first is not None and measure(0, 4, (2, 6)) is first
    assert first.points.shape[1] == 4 and (first.points[:, 3] > 0).sum() >= 25
    assert measure(0, 4, (4, 4)) is None  # nothing moves from a frame to itself


def test_tracks_that_slide_along_edges_count_across_them():
    tracks, _ = make_tracks((SIDEWAYS, FORWARD), noise=0.05, count=300)
    slid = slide_along_edges(tracks, 1.0)
    true = make_transform(SIDEWAYS)[:3, 3]
    found = triangulate(slid, INTRINSICS)
    blind = triangulate(replace(slid, sharpness=None), INTRINSICS)
    assert found is not None and blind is not None
    assert angle(found.transforms[0, :3, 3], true) < 6
    assert found.explained > 0.9 > blind.explained


def test_the_sharpness_of_a_corner_is_that_of_its_texture():
    """On the border of a stripe a track is worth much across the stripe and little along it."""
    image = np.full((64, 96, 3), 60, np.uint8)
    image[:, 40:44] = 200
    image[30:33, 44:60] = 140
    tracks = track_corners(image, [image])
    assert tracks.sharpness is not None
    assert tracks.sharpness.shape == (len(tracks.points), 2, 2)
    assert np.allclose(np.linalg.eigvalsh(tracks.sharpness)[:, 1], 1.0)
    on_stripe = np.hypot(*(tracks.points - (42, 31)).T).argmin()
    assert tracks.sharpness[on_stripe, 0, 0] > tracks.sharpness[on_stripe, 1, 1]


def test_far_things_that_hardly_move_are_not_a_turn_and_a_shift_that_cancel():
    """On a straight road most corners are far and stand still; a few near ones go by."""
    generator = np.random.default_rng(4)
    tracks, _ = make_tracks((SIDEWAYS,), count=60)
    points = tracks.points.copy()
    points[:, 1] = generator.uniform(40, 56, len(points))
    depth = np.where(np.arange(len(points)) < 45, generator.uniform(150, 400, len(points)), 12.0)
    points[45:, 0] = generator.uniform(150, 185, 15)
    rays = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(INTRINSICS).T
    ends = []
    for step in (-1.0, 1.0):
        pixels = (rays * depth[:, None] + (0, 0, step)) @ INTRINSICS.T
        ends.append(pixels[:, :2] / pixels[:, 2:] + generator.normal(0, 0.1, (len(points), 2)))
    road = CornerTracks(points, np.array(ends), np.ones((2, len(points)), bool))
    found = triangulate(road, INTRINSICS)
    assert found is not None
    turned = cv2.Rodrigues(found.transforms[1, :3, :3])[0]
    assert np.degrees(np.linalg.norm(turned)) < 1.5
    assert found.parallax < 5
