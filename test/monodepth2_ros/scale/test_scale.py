# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The factor to metres on scenes whose answer is known in closed form."""

from __future__ import annotations

import copy
import dataclasses
import functools

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale import Beam, ScaleEstimator, ScaleOptions, odometry
from monodepth2_ros.scale.factor import (
    FactorFilter,
    Measurement,
    area_weights,
    interpolated_weighted_median,
    nearest_cells,
)
from monodepth2_ros.scale.ground import measure_height
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import PoseBuffer, interpolate
from monodepth2_ros.scale.ranges import depth_image_points, measure_ranges, scan_points

CAMERA = PinholeCamera(320, 240, 260.0, 260.0, 159.5, 119.5)
UNIT = 2.5  # metres per unit of depth in all scenes
STEP_NS = 100_000_000
LEVEL = (0.0, 0.0, 0.0, 1.0)


def walls(
    position: np.ndarray, turn: float = 0.0, pitch: float = 0.0, nearest: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Render two textured walls, at z = `nearest` on the left and 6 m on the right.

    The camera is turned to the right and looks down by `pitch`, radians.

    Returns the image (240, 320) and the inverse depth in the network's unit.
    """
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (1024, 1024)).astype(np.float32), (0, 0), 3.0)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    x, y = np.meshgrid(np.arange(320.0), np.arange(240.0))
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x)], -1)
    c, s = np.cos(turn), np.sin(turn)
    up, down = np.cos(pitch), np.sin(pitch)
    nod = np.array([[1.0, 0.0, 0.0], [0.0, up, down], [0.0, -down, up]])
    world = rays @ (np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]) @ nod).T
    image, inverse = np.zeros((240, 320), np.float32), np.zeros((240, 320))
    for wall, side in ((nearest, -1.0), (6.0, 1.0)):
        depth = (wall - position[2]) / world[..., 2]
        place = position + world * depth[..., None]
        here = (side * place[..., 0] > 0.0) if side < 0 else (image == 0.0)
        columns = (place[..., 0] * 80.0 + 512.0).astype(np.float32)
        rows = (place[..., 1] * 80.0 + 512.0 + 100.0 * side).astype(np.float32)
        seen = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        image = np.where(here, seen + 1.0, image)
        inverse = np.where(here, UNIT / depth, inverse)
    return np.clip(image, 0, 255).astype(np.uint8), inverse


class Ride:
    """Feeds an estimator with frames of :func:`walls` and the odometry of a robot."""

    def __init__(self, mounting: np.ndarray | None = None) -> None:
        self.estimator = ScaleEstimator(ScaleOptions(("odometry",)), mounting)
        self.stamp = 0
        self.position = np.zeros(3)

    def frame(
        self, step: tuple[float, float, float], turn: float = 0.0, odometry: bool = True,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ):  # fmt: skip
        """Move, tell the odometry, and return the estimate."""
        self.stamp += STEP_NS
        self.position = self.position + step
        if odometry:
            place = tuple(self.position + offset)
            quaternion = (0.0, float(np.sin(turn / 2)), 0.0, float(np.cos(turn / 2)))
            self.estimator.add_odometry(self.stamp, place, quaternion)
        image, inverse = walls(self.position, turn)
        self.estimator.track(self.stamp, image, CAMERA)
        return self.estimator.measure(self.stamp, inverse, CAMERA)


@pytest.fixture(scope="module")
def moved() -> Ride:
    """A ride that has gone sideways for a while; copy it before going on."""
    ride = Ride()
    for _ in range(10):
        ride.frame((0.05, 0.0, 0.0))
    return ride


def test_odometry_gives_the_factor(moved):
    estimate = moved.estimator.estimate
    assert estimate.factor == pytest.approx(UNIT, rel=0.005)
    assert estimate.reason == "" and estimate.age_s == 0.0 and estimate.source == "odometry"
    assert estimate.deviation < 0.1


def test_motion_ahead_gives_the_factor():
    ride = Ride()
    for _ in range(12):
        estimate = ride.frame((0.01, 0.0, 0.07))
    assert estimate.factor == pytest.approx(UNIT, rel=0.02)


def test_wheels_that_know_the_plane_only_give_the_factor():
    """Odometry of x, y and yaw of a body that drives ahead; its camera looks left and nods."""
    mounting = mounting_pose((0.1, 0.0, 0.3, 0.0, 0.0, np.pi / 2)) @ OPTICAL
    estimator = ScaleEstimator(ScaleOptions(("odometry",)), mounting)
    rng = np.random.default_rng(5)
    for k in range(16):
        x, yaw = 0.05 * k, 0.05 * np.sin(0.5 * k)
        told = (x, 0.0, 0.0), (0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))
        estimator.add_odometry(k * STEP_NS, *told)
        # The axes of the walls: x ahead, y down, z to the left, from where the camera usually is.
        ahead, left = x + 0.1 * np.cos(yaw), 0.1 * np.sin(yaw)
        pitch, bounce = 0.01 * rng.standard_normal(), 0.003 * rng.standard_normal()
        image, inverse = walls(np.array([ahead, bounce, left]), -yaw, pitch)
        estimator.track(k * STEP_NS, image, CAMERA)
        estimate = estimator.measure(k * STEP_NS, inverse, CAMERA)
    assert estimate.reason == "" and estimate.source == "odometry"
    assert estimate.factor == pytest.approx(UNIT, rel=0.02)


@pytest.mark.parametrize("what", ["still", "turning", "jump", "lost", "late"])
def test_factor_is_held_with_a_reason(moved, what):
    ride = copy.deepcopy(moved)
    before = ride.estimator.estimate.factor
    for i in range(8):
        if what == "still":
            estimate = ride.frame((0.0, 0.0, 0.0))
        elif what == "turning":
            estimate = ride.frame((0.0, 0.0, 0.0), turn=0.02 * (i + 1))
        elif what == "jump":
            estimate = ride.frame((0.0, 0.0, 0.0), offset=(5.0, 0.0, 0.0))
        else:
            estimate = ride.frame((0.03, 0.0, 0.0), odometry=False)
        assert estimate.factor == pytest.approx(before, rel=0.02)
        if what == "late" and i >= 2:
            # It does come, 200 ms after the images.
            late = ride.position - np.array([0.06, 0.0, 0.0])
            ride.estimator.add_odometry(ride.stamp - 2 * STEP_NS, tuple(late), LEVEL)
    assert estimate.reason
    assert estimate.age_s > 0.3
    assert {"lost": "behind", "late": "behind"}.get(what, "") in estimate.reason


@functools.lru_cache(maxsize=64)
def view(x: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Walls from (x, 0, 0), rendered once."""
    return walls(np.array([x, 0.0, 0.0]), turn)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["still", "turning", "jump", "late", "lost"])
def test_gates_hold_the_factor_for_long(moved, what):
    """Simulated time: 60 s of standing, 30 s of turning, a jump of 5 m, 200 ms late, 60 s lost."""
    ride = copy.deepcopy(moved)
    estimator, before = ride.estimator, ride.estimator.estimate.factor
    x = round(float(ride.position[0]), 3)
    reasons = set()
    frames = {"still": 600, "turning": 300, "jump": 12, "late": 30, "lost": 600}[what]
    noise = np.random.default_rng(0)
    for i in range(1, frames + 1):
        stamp = ride.stamp + i * STEP_NS
        turn = 0.0
        if what == "turning":
            turn = float(np.round(0.3 * np.sin(2.0 * np.pi * i / 48), 3))
        if what == "late" or what == "jump":
            x = round(x + 0.03, 3)
        # Wheels that stand tell the last bit of their encoders.
        place = (x + (5.0 if what == "jump" and i > 1 else 0.0), *(1e-4 * noise.normal(size=2)))
        quaternion = (0.0, float(np.sin(turn / 2)), 0.0, float(np.cos(turn / 2)))
        if what not in ("late", "lost"):
            estimator.add_odometry(stamp, place, quaternion)
        image, inverse = view(x, turn)
        estimator.track(stamp, image, CAMERA)
        estimate = estimator.measure(stamp, inverse, CAMERA)
        assert estimate.factor == pytest.approx(before, rel=0.02), (i, estimate)
        reasons.add(estimate.reason)
        if what == "late" and i > 2:
            estimator.add_odometry(stamp - 2 * STEP_NS, (x - 0.06, 0.0, 0.0), LEVEL)
    said = {
        "still": "still", "turning": "turning", "jump": "jump", "late": "behind", "lost": "behind",
    }[what]  # fmt: skip
    assert any(said in reason for reason in reasons), reasons
    if what == "jump":  # it goes on from the new place
        assert estimate.reason == "" and estimate.age_s == 0.0
    else:
        assert estimate.reason and estimate.age_s > 0.9 * frames * 0.1
        assert estimate.deviation > moved.estimator.estimate.deviation


def test_deviation_grows_while_it_is_held(moved):
    ride = copy.deepcopy(moved)
    first = ride.frame((0.0, 0.0, 0.0)).deviation
    for _ in range(10):
        last = ride.frame((0.0, 0.0, 0.0)).deviation
    assert last > first


def test_deviation_grows_with_what_is_new_in_the_image(moved):
    ride = copy.deepcopy(moved)
    known = ride.estimator.estimate.deviation
    # On the spot: the odometry says so, the images show nothing that could be followed.
    for turn in (0.4, 0.8):
        ride.stamp += STEP_NS
        quaternion = (0.0, float(np.sin(turn / 2)), 0.0, float(np.cos(turn / 2)))
        ride.estimator.add_odometry(ride.stamp, tuple(ride.position), quaternion)
        ride.estimator.track(ride.stamp, np.full((240, 320), 90, np.uint8), CAMERA)
        estimate = ride.estimator.measure(ride.stamp, walls(ride.position, turn)[1], CAMERA)
    assert estimate.reason and estimate.factor == pytest.approx(UNIT, rel=0.02)
    assert estimate.deviation > max(0.2, 2.0 * known)


def test_a_glance_says_what_measuring_would_and_changes_nothing(moved):
    ride = copy.deepcopy(moved)
    ride.stamp += STEP_NS
    ride.position = ride.position + np.array([0.05, 0.0, 0.0])
    ride.estimator.add_odometry(ride.stamp, tuple(ride.position), LEVEL)
    image, inverse = walls(ride.position)
    # The unit of the network has changed by a tenth since the last image.
    inverse *= 1.1
    ride.estimator.expect(ride.stamp - STEP_NS, ride.stamp, walls(ride.position)[1], CAMERA)
    ride.estimator.track(ride.stamp, image, CAMERA)
    before = ride.estimator.estimate
    seen = ride.estimator.glance(ride.stamp, inverse, CAMERA)
    assert ride.estimator.estimate is before
    assert seen == ride.estimator.glance(ride.stamp, inverse, CAMERA)
    measured = ride.estimator.measure(ride.stamp, inverse, CAMERA)
    assert before.factor * 1.04 < seen.factor < before.factor * 1.1
    # Near, as each weighs the frames before in its own way.
    assert seen.factor == pytest.approx(measured.factor, rel=0.04)
    assert seen.age_s == 0.0 and seen.reason == ""


@pytest.mark.parametrize(("step", "fewest", "most"), [(0.002, 2, 3), (0.12, 4, 6)])
def test_images_of_a_fast_camera_are_followed_as_often_as_they_show_something_new(
    moved, step, fewest, most
):
    """At 30 Hz: every 270 ms or so, and where the view changes fast every 90 ms."""
    ride = copy.deepcopy(moved)
    estimator, asked = ride.estimator, []
    for i in range(1, 20):
        stamp = ride.stamp + i * STEP_NS // 3
        ride.position = ride.position + np.array([step, 0.0, 0.0])
        estimator.add_odometry(stamp, tuple(ride.position), LEVEL)
        image, inverse = walls(ride.position)
        # The unit of the network changes, and each frame is given its own at a glance.
        inverse *= 1.0 + 0.003 * i
        seen = estimator.glance(stamp, inverse, CAMERA)
        assert seen.factor == pytest.approx(UNIT * (1.0 + 0.003 * i), rel=0.03)
        if estimator.is_due(stamp):
            asked.append(stamp)
        estimator.update(stamp, image, CAMERA, inverse, CAMERA)
    gaps = 1e-6 * np.diff(asked)
    assert fewest <= len(asked) <= most, gaps
    assert (gaps > 89.0).all() and (gaps < 310.0).all()


def test_a_fast_camera_leaves_every_second_image_alone(moved):
    """At 30 Hz a glance is taken every 67 ms, and planned in the image before."""
    ride = copy.deepcopy(moved)
    estimator, worked, glanced = ride.estimator, [], []
    for i in range(1, 25):
        stamp = ride.stamp + i * STEP_NS // 3
        ride.position = ride.position + np.array([0.02, 0.0, 0.0])
        estimator.add_odometry(stamp, tuple(ride.position), LEVEL)
        image, inverse = walls(ride.position)
        estimator.glance(stamp, inverse, CAMERA)
        if estimator._glanced is not None and estimator._glanced[0] == stamp:
            glanced.append(i)
        if estimator.is_idle(stamp):
            continue
        worked.append(i)
        estimator.update(stamp, image, CAMERA, inverse, CAMERA)
        if estimator._plan is not None:
            assert estimator._plan.glance.stamp == pytest.approx(stamp + STEP_NS // 3, abs=2)
    assert set(np.diff(glanced)) == {2} and len(glanced) >= 10
    assert len(worked) <= 14


def test_a_glance_is_not_believed_where_corners_show_too_little_parallax(moved):
    ride = copy.deepcopy(moved)
    odometry, stamp = ride.estimator._odometry, ride.stamp + STEP_NS // 2
    ride.estimator.add_odometry(stamp, tuple(ride.position), LEVEL)
    _, inverse = walls(ride.position)
    assert odometry.plan_glance(ride.stamp, stamp, inverse, CAMERA) is not None
    odometry._some = dataclasses.replace(odometry._some, noise=100.0 * odometry._some.noise)
    assert odometry.plan_glance(ride.stamp, stamp, inverse, CAMERA) is None
    ride.estimator.expect(ride.stamp, stamp, inverse, CAMERA)
    held = ride.estimator.glance(stamp, 0.5 * inverse, CAMERA)
    assert held.factor == ride.estimator.estimate.factor


@pytest.mark.parametrize("seen", [0.02, 0.3, 4.0, np.nan])
def test_corners_beside_what_they_were_on_do_not_decide_at_a_glance(moved, seen):
    """A fifth of them finds the sky, or a pole before it, at the next image."""
    ride = copy.deepcopy(moved)
    _, inverse = walls(ride.position)
    stamp = ride.stamp + STEP_NS // 2
    plan = ride.estimator._odometry.plan_glance(ride.stamp, stamp, inverse, CAMERA)
    assert plan is not None
    right = plan.read(inverse.reshape(-1).take)
    astray = np.random.default_rng(0).permutation(len(plan.index)) < 0.2 * len(plan.index)
    values = inverse.reshape(-1)[plan.index] * np.where(astray, seen, 1.0)
    assert plan.read(lambda _: values) == pytest.approx(right, abs=0.03)
    # Where most of the image is something else, or unknown, a glance says nothing of the rest.
    assert plan.read(lambda _: np.full_like(values, np.nan)) is None


def test_factor_is_held_where_corners_are_in_a_small_part_of_the_image(moved):
    ride = copy.deepcopy(moved)
    before = ride.estimator.estimate.factor
    odometry, stamp = ride.estimator._odometry, ride.stamp + STEP_NS // 2
    ride.estimator.add_odometry(stamp, tuple(ride.position), LEVEL)
    _, inverse = walls(ride.position)
    known = odometry._merged
    here = np.argsort(np.linalg.norm(known.points - known.points[0], axis=1))[:40]
    odometry._merged = dataclasses.replace(
        known,
        points=known.points[here],
        inverse_depth=known.inverse_depth[here],
        noise=known.noise[here],
    )
    odometry._see(stamp, odometry._merged)
    estimate = ride.estimator.measure(stamp, 1.5 * inverse, CAMERA)
    assert "too little of the image" in estimate.reason
    assert estimate.factor == pytest.approx(before, rel=1e-12)


def road(ahead: float, height: float = 1.5, pitch: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Render a textured road below a camera that has gone so many metres ahead; see `walls`."""
    rng = np.random.default_rng(1)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (1024, 1024)).astype(np.float32), (0, 0), 2.0)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    x, y = np.meshgrid(np.arange(320.0), np.arange(240.0))
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones_like(x)], -1)
    fall = np.maximum(rays @ [0.0, np.cos(pitch), np.sin(pitch)], height / 60.0)
    depth = height / fall
    along = rays @ [0.0, -np.sin(pitch), np.cos(pitch)] * depth + ahead
    columns = (rays[..., 0] * depth * 24.0 + 512.0).astype(np.float32)
    rows = (along * 24.0).astype(np.float32)
    seen = cv2.remap(texture, columns, rows, cv2.INTER_AREA, borderMode=cv2.BORDER_WRAP)
    return np.clip(seen, 0, 255).astype(np.uint8), UNIT / depth


def test_a_road_is_followed_though_its_patches_change_their_shape():
    pitch, height = 0.25, 1.5
    mounting = np.eye(4)
    mounting[:3, :3] = np.array(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    )
    estimator = ScaleEstimator(ScaleOptions(("odometry",)), mounting)
    factors = []
    for i in range(14):
        image, inverse = road(0.5 * i, height, pitch)
        estimator.add_odometry(i * STEP_NS, (0.0, 0.0, 0.5 * i), LEVEL)
        estimator.track(i * STEP_NS, image, CAMERA)
        estimate = estimator.measure(i * STEP_NS, inverse, CAMERA)
        factors.append(estimate.factor)
    assert factors[5:] == pytest.approx([UNIT] * 9, rel=0.03)
    assert estimate.reason == "" and estimate.age_s == 0.0


def test_things_much_nearer_than_predicted_are_found_again(monkeypatch):
    """Most of the image is 1.8 m away, and the network takes it for the wall behind, at 6 m."""
    found_near = {}
    for share in (1.0, odometry._MANY_LOST):  # with 1.0 nothing is looked for once more
        monkeypatch.setattr(odometry, "_MANY_LOST", share)
        scale = odometry.OdometryScale()
        for k in range(3):
            scale.poses.add(k * STEP_NS, (0.4 * k, 0.0, 0.0), LEVEL)
            image, _ = walls(np.array([0.4 * k - 0.5, 0.0, 0.0]), nearest=1.8)
            scale.track(k * STEP_NS, image, CAMERA)
            found = scale.measure(np.full((240, 320), UNIT / 6.0), CAMERA)
        found_near[share] = np.count_nonzero(scale._corners.inverse_depth > 1.0 / 3.0)
    assert np.exp(found.middle) == pytest.approx(UNIT * 1.8 / 6.0, rel=0.02)
    assert found_near[odometry._MANY_LOST] > 3 * found_near[1.0]


def test_parts_of_the_image_count_by_their_area():
    """All corners but two are on a poster of a plain wall, whose factor is another one."""
    rng = np.random.default_rng(0)
    poster = rng.uniform((10.0, 10.0), (90.0, 90.0), (60, 2))
    pixels = np.concatenate([poster, [[120.0, 180.0], [230.0, 110.0]]])
    values = np.where(np.arange(62) < 60, 0.3, 0.0)
    errors, rays = np.full(62, 0.01), (pixels - (159.5, 119.5)) / 260.0
    cells = nearest_cells(pixels, (320, 240))
    counted = Measurement.of_points(values, errors, rays, cells=cells)
    assert counted.middle < 0.06
    assert Measurement.of_points(values, errors, rays).middle > 0.2
    # The poster has a twelfth of the image, and what is nearer to it than to the other two.
    weights = area_weights(np.ones(62), pixels, (320, 240))
    assert 0.3 < weights[:60].sum() / weights.sum() < 0.42
    assert weights.sum() == pytest.approx(12 * 9)


def test_corners_whose_patch_has_an_edge_are_left_out():
    inverse = np.where(np.arange(320) < 160, 1.0, 0.5)[None].repeat(240, 0)
    pixels = np.array([[100.0, 100.0], [157.0, 100.0], [163.0, 100.0], [200.0, 100.0]])
    by_patch = odometry.sample_smooth(inverse, pixels, reach=5.5 / 320.0)
    assert np.isnan(by_patch).tolist() == [False, True, True, False]
    np.testing.assert_array_equal(odometry.sample_smooth(inverse, pixels), [1.0, 1.0, 0.5, 0.5])


def test_error_of_a_corner_in_metres_stays_as_the_camera_moves():
    home, ahead = np.eye(4), np.eye(4)
    ahead[2, 3] = 3.0
    corners = odometry._Corners(
        0, home, np.array([[0.1, 0.2, 1.0]]), np.array([0.25]), np.array([0.01])
    )
    seen = odometry._seen_from(corners, ahead)
    assert seen.depth[0] == pytest.approx(1.0)
    # 0.01 / m at 4 m are 0.16 m, which are 0.16 / m at 1 m.
    assert seen.noise[0] * seen.depth[0] ** 2 == pytest.approx(0.01 * 4.0**2)


@pytest.mark.parametrize("pixels", [0.3, 0.9])
def test_noise_of_corners_is_told_by_their_distance_from_their_lines(pixels):
    rng = np.random.default_rng(3)
    points = rng.uniform((-0.5, -0.4, 2.0), (0.5, 0.4, 6.0), (400, 3)) * [[4.0, 4.0, 1.0]]
    motion = np.eye(4)
    motion[:3, 3] = (-0.2, 0.03, 0.05)
    base, moved_points = points[:, :2] / points[:, 2:], points + motion[:3, 3]
    off = pixels / CAMERA.fx * rng.standard_normal((400, 2))
    there = moved_points[:, :2] / moved_points[:, 2:] + off
    found = odometry._solve(base, there, motion, 0.35 / CAMERA.fx, 0.0005)
    error = (found.inverse_depth - 1.0 / points[:, 2])[found.good]
    # Told with both images' noise in mind, of which one alone has some here: √2 too large.
    told = np.median(found.noise[found.good]) / np.sqrt(2.0)
    assert told == pytest.approx(1.48 * np.median(np.abs(error)), rel=0.25)


def test_points_in_a_part_of_the_image_say_less_of_the_whole():
    rng = np.random.default_rng(0)
    places = rng.uniform(-0.6, 0.6, (400, 2))
    values, errors = 0.02 * rng.standard_normal(400), np.full(400, 0.05)
    everywhere = Measurement.of_points(values, errors, places, regions=36)
    part = places[:, 0] < -0.3
    some = Measurement.of_points(values[part], errors[part], places[part], regions=36)
    assert some.unseen > 0.6 > 0.05 > everywhere.unseen
    assert some.variance(0.3) > 0.2**2 > 0.12**2 > everywhere.variance(0.3)


@pytest.mark.parametrize("wander", [0.1, 0.4])
def test_deviation_follows_how_much_the_factor_wanders_from_view_to_view(wander):
    rng = np.random.default_rng(3)
    running, factor, expected = FactorFilter(), 0.0, []
    for k in range(400):
        factor += wander * np.sqrt(0.05) * rng.standard_normal()
        # What a measurement has wrong of the whole image, in proportion.
        seen = factor + 0.35 * wander * rng.standard_normal() * np.sqrt(0.05)
        running.add(k * STEP_NS, Measurement(np.array([seen]), np.array([1.0]), 0.02), 0.05)
        expected.append(running.at(k * STEP_NS, 1.0)[1])
    assert running.wander == pytest.approx(wander, rel=0.35)
    # A new view: the last factor may be wrong by as much as it wanders, at least.
    assert np.median(expected) > wander**2 * 0.6


def test_a_camera_that_stands_still_teaches_nothing_of_other_views():
    running = FactorFilter()
    running.add(0, Measurement(np.array([0.0]), np.array([1.0]), 0.05), None)
    before = running.wander
    for k in range(1, 600):
        running.add(k * STEP_NS, Measurement(np.array([0.0]), np.array([1.0]), 0.05), 0.0)
    assert running.wander == before


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.2])
def test_scan_of_near_things_gives_the_factor_of_the_image(slope):
    # The network sees what is near too far: by how much, points at several distances tell.
    true = np.tile(np.geomspace(2.0, 20.0, 64), (48, 1))
    usual = float(np.median(true))
    inverse = UNIT / true * (true / usual) ** slope
    columns = np.arange(2, 50)
    rays = np.column_stack([(columns - 31.5) / 40.0, np.zeros(48), np.ones(48)])
    points = rays * true[24, columns][:, None]
    camera = PinholeCamera(64, 48, 40.0, 40.0, 31.5, 23.5)
    measurement = measure_ranges(points[points[:, 2] < 8.0], inverse, camera)
    assert np.exp(measurement.middle) == pytest.approx(UNIT, rel=0.02)


def test_points_in_a_small_part_of_the_width_are_refused_where_more_is_known():
    inverse = np.full((240, 320), UNIT / 3.0)
    across = np.linspace(-1.7, 1.7, 60)  # metres at 3 m: the whole width
    points = np.column_stack([across, np.full(60, 0.2), np.full(60, 3.0)])
    few = points[np.abs(across + 1.0) < 0.6]
    whole = measure_ranges(points, inverse, CAMERA)
    assert np.exp(whole.middle) == pytest.approx(UNIT, rel=0.005) and whole.deviation < 0.05
    said = measure_ranges(few, inverse, CAMERA, held=0.05)
    assert isinstance(said, str) and "40% of the image's width" in said and "held to 5%" in said
    for held in (np.inf, 0.3):  # nothing is known, or less than these points say
        told = measure_ranges(few, inverse, CAMERA, held)
        assert np.exp(told.middle) == pytest.approx(UNIT, rel=0.005) and 0.1 < told.deviation < 0.3


def sensed(kind: str) -> np.ndarray | Beam:
    """Return what a range sensor sees of :func:`walls` from where the camera is, or near."""
    if kind == "beam":
        ahead = np.array([0.3, 0.0, 1.0])
        return Beam(6.0 * float(np.linalg.norm(ahead)), np.zeros(3), ahead, 0.05)
    if kind == "depth of another camera":  # of a narrow one, 5 cm to the right
        camera = PinholeCamera(160, 120, 260.0, 260.0, 79.5, 59.5)
        place = np.array([0.05, 0.0, 0.0])
        points = depth_image_points((UNIT / walls(place)[1])[60:180, 80:240], camera)
        return points + place
    if kind == "sparse cloud":
        x, y = np.random.default_rng(0).uniform((-0.6, -0.45), (0.6, 0.45), (40, 2)).T
    else:
        x = np.tan(
            np.radians(np.arange(*{"20°": (5, 25), "60°": (-30, 30), "full": (-90, 90)}[kind]))
        )
        y = np.full(len(x), 0.1)
    depth = np.where(x < 0.0, 4.0, 6.0)
    return np.column_stack([x * depth, y * depth, depth])


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("beam", 0.18, 0.22),
        ("20°", 0.15, 0.22),
        ("60°", 0.1, 0.12),
        ("full", 0.1, 0.12),
        ("sparse cloud", 0.1, 0.12),
        ("depth of another camera", 0.13, 0.17),
    ],
)
def test_any_range_sensor_gives_the_first_factor_and_says_how_well(moved, kind, least, most):
    _, inverse = walls(np.zeros(3))
    estimator = ScaleEstimator(ScaleOptions(("range",)))
    estimator.add_ranges(0, sensed(kind))
    first = estimator.measure(0, inverse, CAMERA)
    assert first.reason == "" and first.factor == pytest.approx(UNIT, rel=0.03)
    assert least < first.deviation < most
    # The same sensor keeps it up to date, as what is held is never surer than what it says.
    estimator.add_ranges(STEP_NS, sensed(kind))
    again = estimator.measure(STEP_NS, 1.2 * inverse, CAMERA)
    assert again.reason == "" and again.factor > 1.1 * UNIT
    # Where odometry knows more, the deviation decides.
    ride = copy.deepcopy(moved)
    both = ScaleEstimator(ScaleOptions(("odometry", "range")))
    both._odometry = ride.estimator._odometry
    both._filters["odometry"] = ride.estimator._filters["odometry"]
    known = both._deviation(ride.stamp)
    assert known < 0.09
    both.add_ranges(ride.stamp, sensed(kind))
    both.measure(ride.stamp, walls(ride.position)[1], CAMERA)
    taken = both._filters["range"].stamp is not None
    assert taken == (kind != "20°")


def test_scan_that_misses_what_is_near_in_the_image_is_less_sure():
    inverse = walls(np.zeros(3))[1]
    points = sensed("full")
    ahead = points[points[:, 0] / points[:, 2] < 0.1]
    # Right of it the scan hits a wall close by, below the image; or nothing.
    near = points[points[:, 0] / points[:, 2] >= 0.1] * (0.2, 0.2, 0.2) + (0.0, 2.0, 0.0)
    behind = near * (1.0, 1.0, -1.0)
    misses, hits_nothing = (
        measure_ranges(np.concatenate([ahead, others]), inverse, CAMERA)
        for others in (near, behind)
    )
    assert misses.middle == hits_nothing.middle
    assert misses.deviation > 1.5 * hits_nothing.deviation
    # Where the scan sees these columns in the image, what is below it says nothing.
    everywhere = np.concatenate([points, near])
    assert measure_ranges(everywhere, inverse, CAMERA).deviation == pytest.approx(
        measure_ranges(points, inverse, CAMERA).deviation
    )


@pytest.mark.slow
def test_mounting_turns_the_motion_into_the_camera():
    # A body with x ahead, y left, z up, whose camera looks left: ahead is the camera's -x.
    mounting = np.eye(4)
    mounting[:3, :3] = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
    ride = Ride(mounting)
    for i in range(10):
        ride.stamp += STEP_NS
        ride.position = np.array([0.05 * i, 0.0, 0.0])
        ride.estimator.add_odometry(ride.stamp, (-0.05 * i, 0.0, 0.0), LEVEL)
        image, inverse = walls(ride.position)
        ride.estimator.track(ride.stamp, image, CAMERA)
        estimate = ride.estimator.measure(ride.stamp, inverse, CAMERA)
    assert estimate.factor == pytest.approx(UNIT, rel=0.005)


def test_pose_buffer_finds_jumps_and_ignores_what_is_unusable():
    buffer = PoseBuffer()
    for i in range(5):
        assert buffer.add(i * STEP_NS, (0.1 * i, 0.0, 0.0), LEVEL)
    assert not buffer.add(4 * STEP_NS, (0.4, 0.0, 0.0), LEVEL)
    assert not buffer.add(5 * STEP_NS, (np.nan, 0.0, 0.0), LEVEL)
    assert not buffer.add(5 * STEP_NS, (0.5, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    middle = buffer.at([STEP_NS * 3 // 2])[0]
    assert middle[:3, 3] == pytest.approx([0.15, 0.0, 0.0])
    assert np.isnan(buffer.at([5 * STEP_NS])[0]).all()
    ahead = buffer.at([5 * STEP_NS], ahead_s=0.12)[0]
    assert ahead[:3, 3] == pytest.approx([0.5, 0.0, 0.0])
    assert buffer.jumps == 0
    buffer.add(5 * STEP_NS, (5.5, 0.0, 0.0), LEVEL)
    assert buffer.jumps == 1
    assert np.isnan(buffer.at([4 * STEP_NS])[0]).all()


def test_single_poses_are_those_of_many():
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.integers(5_000_000, 40_000_000, 60))
    stamps[30:] += 600_000_000  # a gap
    places = np.cumsum(0.01 * rng.normal(size=(60, 3)), axis=0)
    turns = np.cumsum(0.02 * rng.normal(size=(60, 4)), axis=0) + np.array(LEVEL)
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    buffer = PoseBuffer()
    for stamp, place, turn in zip(stamps.tolist(), places, turns, strict=True):
        assert buffer.add(stamp, place, turn)
    assert buffer.jumps == 0
    ends = (stamps[0] - 10**8, stamps[-1] + 2 * 10**8)
    wanted = np.concatenate([stamps, rng.integers(*ends, 200)])
    rows = np.hstack([places, turns])
    for ahead in (0.0, 0.12):
        expected = interpolate(stamps, rows, wanted, ahead)
        assert 0 < np.isnan(expected[:, 0, 0]).sum() < 150
        np.testing.assert_allclose(buffer.at(wanted.tolist(), ahead), expected, atol=1e-12)


def floor(height: float, pitch: float) -> np.ndarray:
    """Inverse depth (48, 64) of a floor below a camera that looks down by `pitch`."""
    small = CAMERA.resized(64, 48)
    x, y = np.meshgrid(np.arange(64.0), np.arange(48.0))
    rays = np.stack([(x - small.cx) / small.fx, (y - small.cy) / small.fy, np.ones_like(x)], -1)
    down = np.array([0.0, np.cos(pitch), np.sin(pitch)])
    return np.maximum(UNIT * (rays @ down) / height, UNIT / 30.0)


@pytest.mark.parametrize("pitch", [0.0, 0.3])
@pytest.mark.parametrize("known", [True, False])
def test_camera_height_gives_the_factor(pitch, known):
    down = np.array([0.0, np.cos(pitch), np.sin(pitch)]) if known else None
    measurement = measure_height(floor(0.4, pitch), CAMERA, 0.4, down)
    assert not isinstance(measurement, str), measurement
    assert np.exp(measurement.middle) == pytest.approx(UNIT, rel=0.005)


def test_camera_height_survives_a_box_on_the_floor():
    inverse = floor(0.4, 0.3)
    inverse[20:40, 10:25] *= 1.6
    measurement = measure_height(inverse, CAMERA, 0.4, np.array([0.0, np.cos(0.3), np.sin(0.3)]))
    assert np.exp(measurement.middle) == pytest.approx(UNIT, rel=0.005)


def test_camera_height_refuses_a_wall_and_clutter():
    wall = np.full((48, 64), UNIT / 3.0)
    assert "no ground" in measure_height(wall, CAMERA, 0.4, np.array([0.0, 1.0, 0.0]))
    rough = floor(1.0, 0.3) * np.random.default_rng(0).uniform(0.6, 1.6, (48, 64))
    assert "no ground" in measure_height(rough, CAMERA, 0.4, np.array([0.0, 1.0, 0.3]))


def test_camera_height_refuses_a_strip_of_ground():
    inverse = floor(0.4, 0.0)
    inverse[:41] = UNIT / 1.2  # a wall that reaches down nearly to the camera's feet
    said = measure_height(inverse, CAMERA, 0.4, np.array([0.0, 1.0, 0.0]))
    assert isinstance(said, str) and "ground in view" in said


def test_scan_gives_the_factor_and_ignores_what_is_hidden():
    _, inverse = walls(np.zeros(3))
    points = scan_points(np.full(181, np.inf), -1.57, 0.01745, 0.1, 8.0)
    assert points.shape == (0, 3)
    angle = -0.5 + np.arange(101) * 0.01
    # The scanner is where the camera is, turned to its axes: x ahead is z, y left is -x.
    depth = np.where(np.sin(angle) > 0.0, 4.0, 6.0)
    points = scan_points(depth / np.cos(angle), -0.5, 0.01, 0.1, 8.0)
    in_camera = np.stack([-points[:, 1], -points[:, 2], points[:, 0]], axis=1)
    behind = in_camera * 1.7  # seen by the sensor alone
    measurement = measure_ranges(np.concatenate([in_camera, behind]), inverse, CAMERA)
    assert np.exp(measurement.middle) == pytest.approx(UNIT, rel=0.005)
    assert isinstance(measure_ranges(-in_camera, inverse, CAMERA), str)


def test_depth_image_and_beam_give_the_factor():
    _, inverse = walls(np.zeros(3))
    points = depth_image_points((UNIT / inverse).astype(np.float32), CAMERA)
    measurement = measure_ranges(points, inverse, CAMERA)
    assert np.exp(measurement.middle) == pytest.approx(UNIT, rel=0.005)
    estimator = ScaleEstimator(ScaleOptions(("range",)))
    ahead = np.array([0.3, 0.0, 1.0])
    distance = 6.0 * float(np.linalg.norm(ahead))
    estimator.add_ranges(1000, Beam(distance, np.zeros(3), ahead, 0.05))
    assert estimator.measure(1000, inverse, CAMERA).factor == pytest.approx(UNIT, rel=0.005)
    held = estimator.measure(10**9, inverse, CAMERA)
    assert held.factor == pytest.approx(UNIT, rel=0.005) and "away" in held.reason


def test_sources_are_combined_by_their_uncertainty():
    pitch = 0.3
    estimator = ScaleEstimator(
        ScaleOptions(("camera_height", "range"), camera_height=0.8),
        down=np.array([0.0, np.cos(pitch), np.sin(pitch)]),
    )
    inverse = floor(0.4, pitch)  # the height that is given is wrong by 2
    depth = UNIT / inverse
    estimator.add_ranges(0, depth_image_points(depth, CAMERA.resized(64, 48), stride=2))
    estimate = estimator.measure(0, inverse, CAMERA)
    assert UNIT < estimate.factor < 2.0 * UNIT
    assert estimate.source == "camera_height+range"


def test_options_say_what_is_wrong():
    with pytest.raises(ValueError, match="camera_height"):
        ScaleOptions(("camera_height",))
    with pytest.raises(ValueError, match="odometry"):
        ScaleOptions(("gps",))


def test_weighted_median():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])
    assert interpolated_weighted_median(values, weights) == pytest.approx(2.0)
    assert interpolated_weighted_median(np.array([1.0, 9.0]), np.array([100.0, 1.0])) < 5.0
