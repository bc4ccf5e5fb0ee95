# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scale of predicted depth from the measured motion of the camera.

Corners are followed through the images of the last seconds. Two of these images, far enough apart
to show parallax, and the motion between them give the distance of each corner; compared with the
depth that was predicted there it gives the factor.

The rotation between the two images is corrected by the images: wheels know the plane only, and an
error of a tenth of a degree moves the image as much as a metre ahead does at 20 m. The translation
is believed, as it alone knows metres.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.factor import (
    MODEL_NOISE,
    REGIONS,
    Measurement,
    even_weights,
    relative_median,
)
from monodepth2_ros.scale.poses import PoseBuffer, invert_pose
from monodepth2_ros.scale.tracking import (
    find_corners,
    follow,
    tracking_camera,
    tracking_image,
)

_NANOSECONDS = 1_000_000_000

# Factors that are tried one after the other until one is measured: with none of them corners of a
# road are not found again, with one that is right to a third or so they are.
_FIRST_FACTORS = (1.0, 2.0, 0.5, 4.0, 0.25, 8.0)

# Images are warped by a map with a node at every so many pixels.
_WARP_STEP = 8

#: Frames that are kept, and for how long.
_FRAMES = 40
_WINDOW_S = 2.5
# Frames whose triangulated corners are compared with the newest prediction.
_MAP = 20
# Of their corners at most about twice so many are compared, and at a glance.
_MOST_COMPARED = 700
_MOST_GLANCED = 600
# Images that follow each other faster are not all kept.
_INTERVAL_NS = 90_000_000

#: Parallax that is wanted between two frames, as a share of the image width, and the least.
_GOOD_PARALLAX = 0.025
_LEAST_PARALLAX = 0.006

# Metres: below, wheels and tracking systems are noise.
_SHORTEST_BASELINE = 0.01

#: A camera that has moved less than this share of the distance between two frames stands still.
_STILL = 0.05

# Noise of a corner's place, as a share of the image width: a third of 320 pixels.
_PIXEL_NOISE = 0.35 / 320.0

# Error of the measured rotation between two frames: the largest that is corrected, what is
# believed at first, and the least.
_WRONG_ROTATION = 0.035  # radians
_ROTATION_NOISE = 0.006
_LEAST_ROTATION_NOISE = 0.0002

# Reasons for which the corners of earlier frames are good enough.
_FEW_NOW = ("too few corners are found again",)

_LARGEST_ERROR = 0.3  # of the median corner, relative

_FEWEST_POINTS = 12

# Points off the epipolar lines by more than this many standard deviations move, or were lost.
_OUTLIER = 4.0
# With fewer points on them than this the motion is not that of the images.
_FEWEST_INLIERS = 0.5

#: Poses are continued at constant velocity for so long.
AHEAD_S = 0.12


@dataclass
class _Frame:
    """What is kept of an image.

    Attributes
    ----------
    stamp : int
    grey : ndarray, shape (h, w), uint8
    pose : ndarray, shape (4, 4), or None
        World from camera, once the odometry of its time has come.
    """

    stamp: int
    grey: NDArray[np.uint8]
    pose: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class _Corners:
    """Corners of a frame that were triangulated.

    Attributes
    ----------
    stamp : int
    pose : ndarray, shape (4, 4)
        World from camera.
    directions : ndarray, shape (N, 3)
        Rays (x / z, y / z, 1), turned to the axes of the world.
    inverse_depth : ndarray, shape (N,)
        1 / metre; may be negative by noise.
    noise : ndarray, shape (N,)
        Its standard deviation.
    """

    stamp: int
    pose: NDArray[np.float64]
    directions: NDArray[np.float64]
    inverse_depth: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclass(frozen=True)
class _Seen:
    """Corners as the newest image shows them.

    Attributes
    ----------
    depth : ndarray, shape (N,)
        Metres.
    rays : ndarray, shape (N, 2)
        x / z and y / z.
    noise : ndarray, shape (N,)
        Standard deviation of inverse depth.
    """

    depth: NDArray[np.float64]
    rays: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclass(frozen=True)
class CameraView:
    """Where the camera looked at something from.

    Attributes
    ----------
    pose : ndarray, shape (4, 4)
        World from camera.
    jumps : int
        How often the odometry had jumped: poses before and after a jump cannot be compared.
    nearness : float
        Median inverse depth of what it saw, 1 / metre.
    """

    pose: NDArray[np.float64]
    jumps: int
    nearness: float


class OdometryScale:
    """Compares predicted depth with that of corners triangulated by measured motion.

    Call :meth:`track` with each image, which may be while the network works on it, then
    :meth:`measure` with the depth that was predicted.

    Parameters
    ----------
    mounting : ndarray, shape (4, 4), optional
        Pose of the camera (optical frame: x right, y down, z ahead) in the body whose odometry
        comes; none: the odometry is the camera's own.

    Attributes
    ----------
    poses : PoseBuffer
        Poses of the body.
    """

    def __init__(self, mounting: NDArray[np.float64] | None = None) -> None:
        self.mounting = np.eye(4) if mounting is None else np.asarray(mounting, np.float64)
        self.poses = PoseBuffer()
        self._frames: deque[_Frame] = deque(maxlen=_FRAMES)
        self._camera: PinholeCamera | None = None
        self._jumps = 0
        self._corners: _Corners | None = None
        self._map: deque[_Corners] = deque(maxlen=_MAP)
        self._reason = "no odometry"
        self._seen: _Seen | None = None
        self._view: CameraView | None = None
        # Distance between two frames at which there is good parallax; learned from the last pair.
        self._baseline = 0.0
        self._median_inverse_depth = 0.0
        self._rotation_noise = _ROTATION_NOISE
        # The last prediction, inverse, at every node of the map by which images are warped, and the
        # factor by which it is metres: a guess until it is measured.
        self._nodes: NDArray[np.float32] | None = None
        self._factor: float | None = None
        self._guesses = 0

    def reset(self) -> None:
        """Forget all images."""
        self._frames.clear()
        self._corners = None
        self._map.clear()
        self._nodes = None

    def track(self, stamp: int, image: NDArray[np.uint8], camera: PinholeCamera) -> None:
        """Triangulate corners of the newest image whose motion is known; needs no depth.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        image : ndarray, shape (H, W, 3) RGB or (H, W) grey, uint8
        camera : PinholeCamera
            Camera of the image.
        """
        small = tracking_camera(camera)
        gap = stamp - self._frames[-1].stamp if self._frames else 0
        if small != self._camera or not 0 <= gap <= _WINDOW_S * _NANOSECONDS:
            self.reset()
            self._camera = small
        # Pairs reach far enough back with a few frames a second; those between are only located.
        if not self._frames or stamp - self._frames[-1].stamp >= _INTERVAL_NS:
            self._frames.append(_Frame(stamp, tracking_image(image)))
            while self._frames[0].stamp < stamp - _WINDOW_S * _NANOSECONDS:
                self._frames.popleft()
        self._reason = self._locate(stamp) or self._triangulate()
        if self._reason in _FEW_NOW and len(self._map) >= 3:
            self._reason = ""  # the corners of the frames before are seen in this one, too
        self._see(stamp)

    def look(self, stamp: int, camera: PinholeCamera) -> None:
        """Get ready for a :meth:`glance` at an image that is not tracked yet, in little time.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        camera : PinholeCamera
            Camera of the image.
        """
        self._seen = None
        if self._reason or not self._frames or tracking_camera(camera) != self._camera:
            return
        if 0 <= stamp - self._frames[-1].stamp <= _NANOSECONDS and not self._locate(stamp):
            self._see(stamp)

    def _see(self, stamp: int) -> None:
        """Say where the known corners are seen at a stamp."""
        self._view = self._view_at(stamp)
        self._seen = None
        if not self._reason and self._map and self._view is not None:
            self._seen = self._seen_from(self._view.pose)

    @property
    def view(self) -> CameraView | None:
        """From where the newest image was taken; None if that is not known."""
        return self._view

    def view_change(self, since: CameraView | None) -> float | None:
        """Return how much of the image is new since another view, 0 to 1; None if not known."""
        now, camera = self._view, self._camera
        if now is None or since is None or camera is None or now.jumps != since.jumps:
            return None
        cosine = 0.5 * (float(np.sum(now.pose[:3, :3] * since.pose[:3, :3])) - 1.0)
        angle = float(np.arccos(min(1.0, max(-1.0, cosine))))
        field_of_view = 2.0 * float(np.arctan(0.5 * camera.width / camera.fx))
        moved = float(np.linalg.norm(now.pose[:3, 3] - since.pose[:3, 3]))
        return min(1.0, angle / field_of_view + moved * max(now.nearness, since.nearness))

    def glance(self, inverse_depth: NDArray[np.floating], camera: PinholeCamera) -> float | None:
        """Say quickly what :meth:`measure` would find; changes nothing, for use in another thread.

        Parameters
        ----------
        inverse_depth, camera
            See :meth:`measure`.

        Returns
        -------
        float or None
            Logarithm of the factor; None if there is nothing to compare with.
        """
        seen = self._seen
        if seen is None or len(seen.depth) < _FEWEST_POINTS:
            return None
        some = slice(None, None, max(1, len(seen.depth) // _MOST_GLANCED))
        rays, depth, noise = seen.rays[some], seen.depth[some], seen.noise[some]
        scaled = camera.resized(*inverse_depth.shape[::-1])
        pixels = rays * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
        predicted = sample_smooth(inverse_depth, pixels)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.log(depth * predicted)
            errors = noise / predicted  # relative, but for the factor
        usable = np.isfinite(values)
        if np.count_nonzero(usable) < _FEWEST_POINTS:
            return None
        values, errors = values[usable], errors[usable] * np.exp(np.median(values[usable]))
        good = errors < _LARGEST_ERROR
        if np.count_nonzero(good) < _FEWEST_POINTS:
            return None
        weights = 1.0 / (MODEL_NOISE**2 + errors[good] ** 2)
        return relative_median(values[good], even_weights(weights, rays[usable][good]))

    def measure(
        self, inverse_depth: NDArray[np.floating], camera: PinholeCamera
    ) -> Measurement | str:
        """Compare the newest image's depth with the corners.

        Parameters
        ----------
        inverse_depth : ndarray, shape (h, w)
            Predicted, in the inverse of the network's unit; NaN where unknown.
        camera : PinholeCamera
            Camera of its field of view, any size: the image's, or that of a crop of it.

        Returns
        -------
        Measurement, or str
            The reason why there is none.
        """
        self._keep_nodes(inverse_depth, camera)
        if self._reason or not self._map:
            return self._reason or "no image"
        if self._seen is None:
            return "odometry is late"
        depth, rays, noise = self._seen.depth, self._seen.rays, self._seen.noise
        height, width = inverse_depth.shape
        scaled = camera.resized(width, height)
        pixels = rays * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
        predicted = sample_smooth(inverse_depth, pixels)
        usable = np.isfinite(predicted) & (depth > 1e-3)
        if usable.sum() < _FEWEST_POINTS:
            return "too few corners with parallax"
        values = np.log(depth[usable] * predicted[usable])
        # The relative error follows from the predicted distance: from the measured one, points
        # measured too near would seem the better ones.
        expected = predicted[usable] * np.exp(-np.median(values))
        errors = noise[usable] / expected
        if np.median(errors) > _LARGEST_ERROR:
            return "too little parallax"
        # Noise of inverse depth makes what is far seem farther still, without limit.
        good = errors < _LARGEST_ERROR
        if good.sum() < _FEWEST_POINTS:
            good = errors < 2.0 * _LARGEST_ERROR
        # As many regions as the image could have points in.
        regions = np.ceil(REGIONS * width / scaled.fx) * np.ceil(REGIONS * height / scaled.fy)
        found = Measurement.of_points(
            values[good], errors[good], rays[usable][good], regions=int(regions)
        )
        self._factor = float(np.exp(found.middle))
        return found

    def _keep_nodes(self, inverse_depth: NDArray[np.floating], camera: PinholeCamera) -> None:
        """Keep a prediction at the nodes of the map by which images are warped."""
        whole = self._camera
        if whole is None:
            return
        columns, rows = whole.width // _WARP_STEP, whole.height // _WARP_STEP
        nodes, part = whole.resized(columns, rows), camera.resized(*inverse_depth.shape[::-1])
        x = (np.arange(columns) - nodes.cx) * (part.fx / nodes.fx) + part.cx
        y = (np.arange(rows) - nodes.cy) * (part.fy / nodes.fy) + part.cy
        # Outside the model's crop, what is at its edge.
        x = np.rint(x).astype(np.intp).clip(0, inverse_depth.shape[1] - 1)
        y = np.rint(y).astype(np.intp).clip(0, inverse_depth.shape[0] - 1)
        nodes_seen = inverse_depth[np.ix_(y, x)].astype(np.float32)
        self._nodes = np.nan_to_num(nodes_seen, nan=0.0, posinf=0.0)

    def _view_at(self, stamp: int) -> CameraView | None:
        """Return where the camera is, continued at constant velocity if it is not known yet."""
        frame = self._frames[-1]
        pose = frame.pose if frame.stamp == stamp else None
        if pose is None:
            pose = self.poses.at([stamp], AHEAD_S)[0] @ self.mounting
            if not np.isfinite(pose).all():
                return None
        return CameraView(pose, self.poses.jumps, self._median_inverse_depth)

    def _seen_from(self, pose: NDArray[np.float64]) -> _Seen:
        """Return the corners as another frame sees them."""
        counts = np.array([len(corners.noise) for corners in self._map])
        # Some are enough, spread over all frames.
        step = max(1, int(counts.sum()) // _MOST_COMPARED)
        parts = [
            (
                c.inverse_depth[k % step :: step],
                c.directions[k % step :: step],
                c.noise[k % step :: step],
            )
            for k, c in enumerate(self._map)
        ]
        inverse = np.maximum(np.concatenate([part[0] for part in parts]), 1e-4)
        directions = np.concatenate([part[1] for part in parts])
        noise = np.concatenate([part[2] for part in parts])
        offsets = np.array([c.pose[:3, 3] for c in self._map]) - pose[:3, 3]
        offsets = np.repeat(offsets, [len(part[0]) for part in parts], axis=0)
        # Points times their inverse depth: those far away stay finite.
        points = (directions + inverse[:, None] * offsets) @ pose[:3, :3]
        ahead = np.maximum(points[:, 2], 1e-6)
        return _Seen(ahead / inverse, points[:, :2] / ahead[:, None], noise)

    def _locate(self, now: int) -> str:
        """Give poses to the frames whose odometry has come; return why there are none."""
        if self.poses.jumps != self._jumps:
            # Poses before a jump have nothing to do with those after it.
            self._jumps = self.poses.jumps
            newest = self._frames[-1]
            self._frames.clear()
            self._frames.append(newest)
            self._corners = None
            self._map.clear()
        newest_pose = self.poses.newest
        if newest_pose is None:
            return "no odometry"
        missing = [frame for frame in self._frames if frame.pose is None]
        if missing:
            poses = self.poses.at([frame.stamp for frame in missing]) @ self.mounting
            for frame, pose in zip(missing, poses, strict=True):
                if np.isfinite(pose).all():
                    frame.pose = pose
        behind = 1e-9 * (now - newest_pose)
        if behind > AHEAD_S:
            return f"odometry is {behind:.2f} s behind the images"
        return ""

    def _triangulate(self) -> str:
        """Triangulate corners of the newest frame with a pose; return why it cannot be done."""
        known = [frame for frame in self._frames if frame.pose is not None]
        if len(known) < 2:
            return "odometry has just begun" if self._jumps == 0 else "odometry jumped"
        base, camera = known[-1], self._camera
        assert base.pose is not None and camera is not None
        if self._corners is not None and base.stamp - self._corners.stamp < _INTERVAL_NS:
            return ""  # nothing new is known, or so little that it is not worth the time
        centres = np.array([frame.pose[:3, 3] for frame in known if frame.pose is not None])
        distances = np.linalg.norm(centres[:-1] - centres[-1], axis=1)
        if self._corners is not None:
            moved = float(np.linalg.norm(self._corners.pose[:3, 3] - centres[-1]))
            if moved < _STILL * self._baseline:
                return "standing still, or turning on the spot"
        enough = np.flatnonzero(distances >= self._baseline)
        chosen = int(enough[-1]) if len(enough) else int(distances.argmax())
        distance = float(distances[chosen])
        if distance < max(_SHORTEST_BASELINE, 0.4 * self._baseline):
            return "too little motion"
        reference = known[chosen]
        assert reference.pose is not None
        motion = invert_pose(reference.pose) @ base.pose
        points = find_corners(base.grey)
        centre = np.array([camera.cx, camera.cy])
        focal = np.array([camera.fx, camera.fy])
        rays = ((points - centre) / focal).astype(np.float64)
        there, found = follow(base.grey, reference.grey, points, self._warp(motion))
        if found.sum() < _FEWEST_POINTS:
            self._baseline = 0.5 * distance
            self._guesses += 1
            return "too few corners are found again"
        rays = rays[found]
        seen = ((there[found] - centre) / focal).astype(np.float64)
        noise = _PIXEL_NOISE * camera.width / camera.fx
        solution = _solve(rays, seen, motion, noise, self._rotation_noise)
        if isinstance(solution, str):
            self._baseline = 0.7 * distance
            self._guesses += 1
            return solution
        share = 0.1
        self._rotation_noise += share * (solution.rotation_error - self._rotation_noise)
        parallax = float(np.median(np.abs(solution.parallax))) * camera.fx / camera.width
        self._baseline = distance * float(np.clip(_GOOD_PARALLAX / max(parallax, 1e-9), 0.3, 3.0))
        good = solution.good
        inverse = solution.inverse_depth[good]
        self._median_inverse_depth = max(0.0, float(np.median(inverse)))
        if parallax < _LEAST_PARALLAX:
            return "too little parallax"
        directions = np.column_stack([rays[good], np.ones(len(inverse))]) @ base.pose[:3, :3].T
        noises = solution.noise[good]
        self._corners = _Corners(base.stamp, base.pose, directions, inverse, noises)
        self._map.append(self._corners)
        return ""

    def _warp(self, motion: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Say where another frame shows what the newest one does, by the last known depth.

        Parameters
        ----------
        motion : ndarray, shape (4, 4)
            Takes points of the newest frame to the other one.

        Returns
        -------
        x, y : ndarray, shape (h, w), float32
            Pixels.
        """
        camera = self._camera
        assert camera is not None
        # On every fourth pixel: between them the map is smooth.
        columns, rows = camera.width // _WARP_STEP, camera.height // _WARP_STEP
        small = camera.resized(columns, rows)
        x = ((np.arange(columns) - small.cx) / small.fx).astype(np.float32)
        y = ((np.arange(rows) - small.cy) / small.fy).astype(np.float32)[:, None]
        turn, shift = motion[:3, :3].astype(np.float32), motion[:3, 3].astype(np.float32)
        factor = self._factor
        if factor is None and self._guesses:
            factor = _FIRST_FACTORS[self._guesses % len(_FIRST_FACTORS)]
        inverse: Any = np.float32(self._median_inverse_depth)
        if factor is not None and self._nodes is not None:
            inverse = self._nodes * np.float32(1.0 / factor)
        u, v, w = (
            turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] + inverse * shift[i] for i in range(3)
        )
        w = np.maximum(w, np.float32(0.05))
        size = (camera.width, camera.height)
        return (
            cv2.resize(u / w * np.float32(camera.fx) + np.float32(camera.cx), size),
            cv2.resize(v / w * np.float32(camera.fy) + np.float32(camera.cy), size),
        )


def sample_smooth(
    values: NDArray[np.floating], pixels: NDArray[np.float64], edge: float = 0.25
) -> NDArray[np.float64]:
    """Read an image between its pixels, and NaN where it has an edge.

    Parameters
    ----------
    values : ndarray, shape (h, w)
    pixels : ndarray, shape (N, 2)
        x, y.
    edge : float
        A relative difference between the neighbours that is one.

    Returns
    -------
    ndarray, shape (N,)
    """
    height, width = values.shape
    x, y = np.rint(pixels).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    x, y = x.clip(1, max(1, width - 2)), y.clip(1, max(1, height - 2))
    around = np.stack(
        [values[y + j, x + i] for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))]
    ).astype(np.float64)
    low, high = around.min(axis=0), around.max(axis=0)
    smooth = inside & (high - low < edge * high) & (low > 0.0)
    return np.where(smooth, around.mean(axis=0), np.nan)


@dataclass(frozen=True)
class _ScaleSolution:
    """See :func:`_solve`."""

    good: NDArray[np.bool_]
    inverse_depth: NDArray[np.float64]
    noise: NDArray[np.float64]
    parallax: NDArray[np.float64]
    rotation_error: float


def _solve(
    base: NDArray[np.float64],
    reference: NDArray[np.float64],
    motion: NDArray[np.float64],
    noise: float,
    rotation_noise: float,
) -> _ScaleSolution | str:
    """Triangulate corners of two frames, the rotation between which is known roughly.

    A point of inverse depth ρ on the ray r is seen, in the reference frame, along R r + ρ t. The
    rotation is corrected by a small one, so that the points come to lie on their epipolar lines
    (iteratively reweighted least squares); where they are on these lines tells ρ.

    Parameters
    ----------
    base, reference : ndarray, shape (N, 2)
        Rays in both.
    motion : ndarray, shape (4, 4)
        Takes points of the base frame to the reference frame.
    noise : float
        Standard deviation of the rays.
    rotation_noise : float
        Standard deviation of the measured rotation about each axis, radians.

    Returns
    -------
    _Solution or str
        Which points are good, their inverse depths and the standard deviations of these, their
        parallaxes, and the error of the rotation; or the reason why there is none.
    """
    rays = np.column_stack([base, np.ones(len(base))])
    turned = rays @ motion[:3, :3].T
    t = motion[:3, 3]
    u, v = reference.T
    x, y, z = turned.T
    # (turned + ρ t) × (u, v, 1) = 0 are two equations, linear in ρ and in a small rotation.
    slope = np.stack([t[0] - u * t[2], t[1] - v * t[2]], axis=1)
    length = np.hypot(*slope.T) + 1e-12
    along = slope / length[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    offset = np.stack([x - u * z, y - v * z], axis=1)
    # The derivative of `turned` by a rotation vector w is w × turned.
    zero = np.zeros_like(x)
    first = np.stack([-u * y, z + u * x, -y], axis=1)
    second = np.stack([-z - v * y, v * x, x + zero], axis=1)
    design = across[:, :1] * first + across[:, 1:] * second
    off = np.sum(across * offset, axis=1)
    prior = np.eye(3) * (noise / rotation_noise) ** 2
    weighted = design.T
    for _ in range(3):
        normal = weighted @ design
        rotation = np.linalg.solve(normal + prior, -(weighted @ off))
        residual = (off + design @ rotation) / noise
        # Cauchy's weights: mismatches and moving things have heavy tails.
        weighted = design.T / (1.0 + residual**2 / 4.0)
    # As the images alone would have it, but for the largest rotation that is corrected.
    loose = np.linalg.inv(normal + np.eye(3) * (noise / _ROTATION_NOISE) ** 2)
    free = -loose @ (weighted @ off)
    if np.linalg.norm(free) > _WRONG_ROTATION:
        return "odometry and images disagree in rotation"
    good = np.abs(residual) < _OUTLIER
    if np.count_nonzero(good) < max(_FEWEST_POINTS, _FEWEST_INLIERS * len(x)):
        return "odometry and images disagree"
    turning = along[:, :1] * first + along[:, 1:] * second
    corrected = np.sum(along * offset, axis=1) + turning @ rotation
    covariance = np.linalg.inv(normal + prior) * noise**2
    explained = float(np.trace(loose)) * noise**2
    error = np.sqrt(max(float(free @ free) - explained, 0.0) / 3.0)
    shared = np.sum((turning @ covariance) * turning, axis=1)
    return _ScaleSolution(
        good=good,
        inverse_depth=-corrected / length,
        noise=np.sqrt(2.0 * noise**2 + shared) / length,
        parallax=corrected,
        rotation_error=max(error, _LEAST_ROTATION_NOISE),
    )
