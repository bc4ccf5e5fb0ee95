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

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale.factor import (
    MODEL_NOISE,
    REGIONS,
    WANDER,
    Measurement,
    area_weights,
    middle,
    nearest_cells,
)
from monodepth2_ros.scale.poses import PoseBuffer, invert_pose
from monodepth2_ros.scale.tracking import (
    find_corners,
    follow,
    tracking_camera,
    tracking_image,
)

#: Returns elements (N,) of a flat inverse depth by their indices (N,).
Take = Callable[[NDArray[np.intp]], NDArray[np.floating]]

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
# Of their corners at most about twice so many are compared, and so many at a glance.
_MOST_COMPARED = 700
_MOST_GLANCED = 300
#: Images that follow each other faster are not followed, and slower ones always are.
INTERVAL_NS, LONGEST_INTERVAL_NS = 90_000_000, 270_000_000
# Between the two an image is worth it when so much of it is new.
_MUCH_NEW = 0.07

#: Parallax that is wanted between two frames, as a share of the image width, and the least.
_GOOD_PARALLAX = 0.025
_LEAST_PARALLAX = 0.006

# Metres: below, wheels and tracking systems are noise.
_SHORTEST_BASELINE = 0.01

#: A camera that has moved less than this share of the distance between two frames stands still.
_STILL = 0.05

# Noise of a corner's place, as a share of the image width: a third of 320 pixels.
_PIXEL_NOISE = 0.35 / 320.0
# Of that so much at least and at most, by how far corners are off their epipolar lines.
_LEAST_NOISE, _MOST_NOISE = 0.5, 3.0

# Error of the measured rotation between two frames: the largest that is corrected, what is
# believed at first, and the least.
_WRONG_ROTATION = 0.035  # radians
_ROTATION_NOISE = 0.006
_LEAST_ROTATION_NOISE = 0.0002

# Where more than this share of corners is lost, they are looked for as if so many times nearer.
_MANY_LOST, _NEARER = 0.33, 2.0

# At a glance, what is this many times more or less than the median is beside the thing it was on.
_ASTRAY = 2.0

# Reasons for which the corners of earlier frames are good enough.
_FEW_NOW = ("too few corners are found again",)

# A relative difference between neighbours that is an edge of the prediction. A corner is a patch
# that reaches so far, as a share of the image width: with an edge in it, it belongs to both sides.
_EDGE = 0.25
_PATCH = 5.5 / 320.0

_LARGEST_ERROR = 0.3  # of the median corner, relative

_FEWEST_POINTS = 12

# A factor that is less sure says hardly more than the last one does of a new view.
_MOST_UNSURE = 0.25

# Points off the epipolar lines by more than this many standard deviations move, or were lost.
_OUTLIER = 4.0
# With fewer points on them than this the motion is not that of the images.
_FEWEST_INLIERS = 0.5

#: Poses are continued at constant velocity for so long.
AHEAD_S = 0.12
# And up to the next image, where a glance needs them roughly.
_EXPECTED_AHEAD_S = 0.3


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
    """Corners of a frame, or of several, that were triangulated.

    Attributes
    ----------
    stamp : int
    pose : ndarray, shape (4, 4)
        World from camera.
    points : ndarray, shape (N, 3)
        In the world, times their inverse depth: those far away stay finite.
    inverse_depth : ndarray, shape (N,)
        1 / metre, seen from their own frame.
    noise : ndarray, shape (N,)
        Its standard deviation.
    """

    stamp: int
    pose: NDArray[np.float64]
    points: NDArray[np.float64]
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
class GlancePlan:
    """Where the next prediction is read at a glance, and what is compared with it there.

    Attributes
    ----------
    stamp : int
        Nanoseconds, when the next image is expected.
    shape : tuple of int
        Of the prediction.
    camera : PinholeCamera
        Of the prediction.
    index : ndarray, shape (N,)
        Its element at each corner.
    depth : ndarray, shape (N,)
        Metres.
    weights : ndarray, shape (N,)
    """

    stamp: int
    shape: tuple[int, ...]
    camera: PinholeCamera
    index: NDArray[np.intp]
    depth: NDArray[np.float64]
    weights: NDArray[np.float64]

    def read(self, take: Take) -> float | None:
        """Return the logarithm of the factor that a prediction asks for; None if it says little.

        This is all that is computed between the network and the depth: few calls, as each takes
        long after the network has filled the caches.

        Parameters
        ----------
        take : callable
            Returns elements of the inverse depth.
        """
        ratios = take(self.index) * self.depth
        order = ratios.argsort()
        ratios, weights = ratios.take(order), self.weights.take(order)
        cumulative = weights.cumsum()
        last = len(ratios) - 1
        half = 0.5 * cumulative[-1]
        plain = ratios[min(cumulative.searchsorted(half), last)]
        # A corner beside the thing that it was on finds the sky there. Few of those would decide
        # what follows, in which near measurements count most.
        first, end = ratios.searchsorted((plain / _ASTRAY, plain * _ASTRAY))
        ratios, weights = ratios[first:end], weights[first:end]
        if not len(ratios):
            return None
        # The smallest mean relative error, as relative_median has it.
        cumulative = (weights / ratios).cumsum()
        if weights.sum() < half:
            return None
        factor = float(ratios[min(cumulative.searchsorted(0.5 * cumulative[-1]), len(ratios) - 1)])
        return math.log(factor) if 0.0 < factor < math.inf else None


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
        # The last camera of an image, and that of its reduced copy.
        self._cameras: tuple[PinholeCamera, PinholeCamera] | None = None
        self._jumps = 0
        self._corners: _Corners | None = None
        self._map: deque[_Corners] = deque(maxlen=_MAP)
        # Those of the map together, and some of them, enough for a glance.
        self._merged: _Corners | None = None
        self._some: _Corners | None = None
        self._reason = "no odometry"
        self._seen: _Seen | None = None
        self._view: CameraView | None = None
        self._tracked: CameraView | None = None  # view of the last image that was tracked
        # Distance between two frames at which there is good parallax; learned from the last pair.
        self._baseline = 0.0
        self._median_inverse_depth = 0.0
        self._rotation_noise = _ROTATION_NOISE
        # The last prediction, inverse, at every node of the map by which images are warped, and the
        # factor by which it is metres: a guess until it is measured.
        self._nodes: NDArray[np.float32] | None = None
        self._node_places: tuple[Any, NDArray[np.intp], NDArray[np.intp]] | None = None
        self._factor: float | None = None
        self._is_measured = False  # whether the last measurement succeeded
        self._guesses = 0

    def reset(self) -> None:
        """Forget all images."""
        self._frames.clear()
        self._nodes = None
        self._forget_corners()

    def _forget_corners(self) -> None:
        """Forget what was triangulated."""
        self._corners = self._merged = self._some = None
        self._map.clear()

    def is_due(self, stamp: int) -> bool:
        """Say whether :meth:`track` and :meth:`measure` would find something new in an image.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        """
        if not self._frames:
            return True
        newest = self._frames[-1]
        age = stamp - newest.stamp
        if not 0 <= age < LONGEST_INTERVAL_NS:
            return True
        known = self.poses.newest
        if newest.pose is None and known is not None and known >= newest.stamp:
            return True  # its odometry has come since
        if age < INTERVAL_NS:
            return False
        if self._reason or self._corners is None or self._view is None:
            return True
        self._view = self._view_at(stamp)
        change = self.view_change(self._tracked)
        return change is None or change > _MUCH_NEW

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
        small = self._small_camera(camera)
        gap = stamp - self._frames[-1].stamp if self._frames else 0
        if small != self._camera or not 0 <= gap <= _WINDOW_S * _NANOSECONDS:
            self.reset()
            self._camera = small
        # Pairs reach far enough back with a few frames a second; those between are only located.
        if not self._frames or stamp - self._frames[-1].stamp >= INTERVAL_NS:
            self._frames.append(_Frame(stamp, tracking_image(image)))
            while self._frames[0].stamp < stamp - _WINDOW_S * _NANOSECONDS:
                self._frames.popleft()
        self._reason = self._locate(stamp) or self._triangulate()
        if self._reason in _FEW_NOW and len(self._map) >= 3:
            self._reason = ""  # the corners of the frames before are seen in this one, too
        self._see(stamp, self._merged)
        self._tracked = self._view

    def plan_glance(
        self,
        now: int,
        expected: int,
        inverse_depth: NDArray[np.floating],
        camera: PinholeCamera,
    ) -> GlancePlan | None:
        """Get ready for a glance at the next prediction, before its image is there.

        Corners are taken to be where the camera will see them if it goes on as it does: from one
        image to the next that is off by less than a network sees.

        Parameters
        ----------
        now, expected : int
            Stamps of the newest image and of the next one, nanoseconds.
        inverse_depth : ndarray, shape (h, w)
            Predicted for the newest image; it says where the edges are.
        camera : PinholeCamera
            Of the predictions.

        Returns
        -------
        GlancePlan or None
            None if there is nothing to compare with.
        """
        factor, corners = self._factor, self._some
        if self._reason or not self._frames or factor is None or not self._is_measured:
            return None
        if not 0 <= now - self._frames[-1].stamp <= _NANOSECONDS or self._locate(now):
            return None
        if corners is None or self._some is None:  # the odometry jumped
            return None
        pose = self.poses.at([expected], _EXPECTED_AHEAD_S)[0] @ self.mounting
        if not np.isfinite(pose).all():
            return None
        return _plan_glance(_seen_from(corners, pose), expected, inverse_depth, camera, factor)

    def _small_camera(self, camera: PinholeCamera) -> PinholeCamera:
        """Return the camera of the images that corners are followed on."""
        if self._cameras is None or self._cameras[0] is not camera:
            self._cameras = camera, tracking_camera(camera)
        return self._cameras[1]

    def _see(self, stamp: int, corners: _Corners | None) -> None:
        """Find where known corners are seen at a stamp."""
        self._view = self._view_at(stamp)
        self._seen = None
        if not self._reason and corners is not None and self._view is not None:
            self._seen = _seen_from(corners, self._view.pose)

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
        self._is_measured = False
        if self._reason or self._merged is None:
            return self._reason or "no image"
        if self._seen is None:
            return "odometry is late"
        depth, rays, noise = self._seen.depth, self._seen.rays, self._seen.noise
        height, width = inverse_depth.shape
        scaled = camera.resized(width, height)
        pixels = rays * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
        predicted = sample_smooth(inverse_depth, pixels, reach=_PATCH)
        usable = np.isfinite(predicted) & (depth > 1e-3)
        if usable.sum() < _FEWEST_POINTS:
            return "too few corners with parallax"
        values = np.log(depth[usable] * predicted[usable])
        # The relative error follows from the predicted distance: from the measured one, points
        # measured too near would seem the better ones.
        expected = predicted[usable] * math.exp(-middle(values))
        errors = noise[usable] / expected
        if middle(errors) > _LARGEST_ERROR:
            return "too little parallax"
        # Noise of inverse depth makes what is far seem farther still, without limit.
        good = errors < _LARGEST_ERROR
        if good.sum() < _FEWEST_POINTS:
            good = errors < 2.0 * _LARGEST_ERROR
        # As many regions as the image could have points in.
        regions = math.ceil(REGIONS * width / scaled.fx) * math.ceil(REGIONS * height / scaled.fy)
        found = Measurement.of_points(
            values[good],
            errors[good],
            rays[usable][good],
            regions=regions,
            cells=nearest_cells(pixels[usable][good], (width, height)),
        )
        if math.sqrt(found.variance(WANDER)) > _MOST_UNSURE:
            return "the corners say too little of the image as a whole"
        self._factor = float(np.exp(found.middle))
        self._is_measured = True
        return found

    def _keep_nodes(self, inverse_depth: NDArray[np.floating], camera: PinholeCamera) -> None:
        """Keep a prediction at the nodes of the map by which images are warped."""
        whole = self._camera
        if whole is None:
            return
        key = (whole, camera, inverse_depth.shape)
        if self._node_places is None or self._node_places[0] != key:
            columns, rows = whole.width // _WARP_STEP, whole.height // _WARP_STEP
            nodes, part = whole.resized(columns, rows), camera.resized(*inverse_depth.shape[::-1])
            x = (np.arange(columns) - nodes.cx) * (part.fx / nodes.fx) + part.cx
            y = (np.arange(rows) - nodes.cy) * (part.fy / nodes.fy) + part.cy
            # Outside the model's crop, what is at its edge.
            column = np.rint(x).astype(np.intp).clip(0, inverse_depth.shape[1] - 1)
            row = np.rint(y).astype(np.intp).clip(0, inverse_depth.shape[0] - 1)
            self._node_places = key, row[:, None], column
        _, row, column = self._node_places
        nodes_seen = inverse_depth[row, column].astype(np.float32)
        nodes_seen[~np.isfinite(nodes_seen)] = 0.0
        self._nodes = nodes_seen

    def _view_at(self, stamp: int) -> CameraView | None:
        """Return where the camera is, continued at constant velocity if it is not known yet."""
        frame = self._frames[-1]
        pose = frame.pose if frame.stamp == stamp else None
        if pose is None:
            pose = self.poses.at([stamp], AHEAD_S)[0] @ self.mounting
            if not np.isfinite(pose).all():
                return None
        return CameraView(pose, self.poses.jumps, self._median_inverse_depth)

    def _locate(self, now: int) -> str:
        """Give poses to the frames whose odometry has come; return why there are none."""
        if self.poses.jumps != self._jumps:
            # Poses before a jump have nothing to do with those after it.
            self._jumps = self.poses.jumps
            newest = self._frames[-1]
            self._frames.clear()
            self._frames.append(newest)
            self._forget_corners()
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
        if self._corners is not None and base.stamp - self._corners.stamp < INTERVAL_NS:
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
        there, found = self._find_again(base, reference, points, motion)
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
        parallax = middle(np.abs(solution.parallax)) * camera.fx / camera.width
        self._baseline = distance * min(max(_GOOD_PARALLAX / max(parallax, 1e-9), 0.3), 3.0)
        good = solution.good
        inverse = solution.inverse_depth[good]
        self._median_inverse_depth = max(0.0, middle(inverse))
        if parallax < _LEAST_PARALLAX:
            return "too little parallax"
        inverse = np.maximum(inverse, 1e-4)  # negative by noise: far away
        directions = np.column_stack([rays[good], np.ones(len(inverse))]) @ base.pose[:3, :3].T
        at_home = directions + inverse[:, None] * base.pose[:3, 3]
        self._corners = _Corners(base.stamp, base.pose, at_home, inverse, solution.noise[good])
        self._map.append(self._corners)
        self._merged = _merge(self._map, _MOST_COMPARED)
        self._some = _merge([self._merged], _MOST_GLANCED)
        return ""

    def _find_again(
        self,
        base: _Frame,
        reference: _Frame,
        points: NDArray[np.float32],
        motion: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Follow corners from the newest frame to an earlier one; see :func:`follow`.

        What is much nearer than the network says is lost, and then the factor is that of the rest:
        where many corners are lost they are looked for once more as if they were nearer.
        """
        there, found = follow(base.grey, reference.grey, points, self._warp(motion))
        lost = np.flatnonzero(~found)
        if len(lost) > _MANY_LOST * len(points):
            warp = self._warp(motion, _NEARER)
            again, found_now = follow(base.grey, reference.grey, points[lost], warp)
            there[lost[found_now]] = again[found_now]
            found[lost] = found_now
        return there, found

    def _warp(
        self, motion: NDArray[np.float64], nearer: float = 1.0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Say where another frame shows what the newest one does, by the last known depth.

        Parameters
        ----------
        motion : ndarray, shape (4, 4)
            Takes points of the newest frame to the other one.
        nearer : float
            How many times nearer than that everything is taken to be.

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
        inverse: Any = np.float32(nearer * self._median_inverse_depth)
        if factor is not None and self._nodes is not None:
            inverse = self._nodes * np.float32(nearer / factor)
        u, v, w = (
            turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] + inverse * shift[i] for i in range(3)
        )
        w = np.maximum(w, np.float32(0.05))
        size = (camera.width, camera.height)
        return (
            cv2.resize(u / w * np.float32(camera.fx) + np.float32(camera.cx), size),
            cv2.resize(v / w * np.float32(camera.fy) + np.float32(camera.cy), size),
        )


def _merge(corners: Sequence[_Corners], most: int) -> _Corners:
    """Join the corners of several frames; of many about `most`, spread over all frames."""
    step = max(1, sum(len(one.noise) for one in corners) // most)
    parts = [
        (
            one.points[k % step :: step],
            one.inverse_depth[k % step :: step],
            one.noise[k % step :: step],
        )
        for k, one in enumerate(corners)
    ]
    points, inverse, noise = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Corners(corners[-1].stamp, corners[-1].pose, points, inverse, noise)


def _seen_from(corners: _Corners, pose: NDArray[np.float64]) -> _Seen:
    """Return corners as a camera at another pose sees them."""
    inverse = corners.inverse_depth
    points = (corners.points - inverse[:, None] * pose[:3, 3]) @ pose[:3, :3]
    ahead = np.maximum(points[:, 2], 1e-6)  # distance now, as a share of that at home
    # An error of metres stays, so that of inverse depth grows where the camera came nearer.
    noise = corners.noise / np.maximum(ahead, 0.05) ** 2
    return _Seen(ahead / inverse, points[:, :2] / ahead[:, None], noise)


def _plan_glance(
    seen: _Seen,
    expected: int,
    inverse_depth: NDArray[np.floating],
    camera: PinholeCamera,
    factor: float,
) -> GlancePlan | None:
    """Say where to look at the next prediction; see :meth:`OdometryScale.plan_glance`.

    Parameters
    ----------
    seen : _Seen
        As the next image will show it.
    expected, inverse_depth, camera
        See there.
    factor : float
        The last one that was measured.
    """
    height, width = inverse_depth.shape
    scaled = camera.resized(width, height)
    pixels = seen.rays * (scaled.fx, scaled.fy) + (scaled.cx, scaled.cy)
    predicted = sample_smooth(inverse_depth, pixels, reach=_PATCH)
    smooth = np.isfinite(predicted).nonzero()[0]
    errors = seen.noise[smooth] * factor / predicted[smooth]
    good = errors < _LARGEST_ERROR
    # Too little parallax, as :meth:`OdometryScale.measure` says of more than half of them.
    if np.count_nonzero(good) < max(_FEWEST_POINTS, 0.5 * len(smooth)):
        return None
    errors, some = errors[good], smooth[good]
    x, y = np.rint(pixels[some]).astype(np.intp).T
    return GlancePlan(
        stamp=expected,
        shape=inverse_depth.shape,
        camera=camera,
        index=y * width + x,
        depth=seen.depth[some],
        weights=area_weights(1.0 / (MODEL_NOISE**2 + errors**2), pixels[some], (width, height)),
    )


def sample_smooth(
    values: NDArray[np.floating],
    pixels: NDArray[np.float64],
    edge: float = _EDGE,
    reach: float = 0.0,
) -> NDArray[np.float64]:
    """Read an image at its pixels, and NaN where it has an edge.

    Parameters
    ----------
    values : ndarray, shape (h, w)
    pixels : ndarray, shape (N, 2)
        x, y.
    edge : float
        A relative difference between the neighbours that is one.
    reach : float
        How far off the neighbours are, as a share of the width; one pixel at least.

    Returns
    -------
    ndarray, shape (N,)
    """
    height, width = values.shape
    off = max(1, min(round(reach * width), (min(height, width) - 1) // 2))
    x, y = np.rint(pixels).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    x, y = x.clip(off, max(off, width - 1 - off)), y.clip(off, max(off, height - 1 - off))
    neighbours = np.array([[-off], [off], [-off * width], [off * width], [0]])
    around = values.reshape(-1).take(y * width + x + neighbours).astype(np.float64)
    low, high = around.min(axis=0), around.max(axis=0)
    smooth = inside & (high - low < edge * high) & (low > 0.0)
    return np.where(smooth, around[-1] if off > 1 else around.mean(axis=0), np.nan)


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
    # How far off the lines corners are tells how well they were found again along them.
    seen_noise = noise * min(max(1.48 * middle(np.abs(residual)), _LEAST_NOISE), _MOST_NOISE)
    if np.count_nonzero(good) < max(_FEWEST_POINTS, _FEWEST_INLIERS * len(x)):
        return "odometry and images disagree"
    turning = along[:, :1] * first + along[:, 1:] * second
    corrected = np.sum(along * offset, axis=1) + turning @ rotation
    covariance = np.linalg.inv(normal + prior) * seen_noise**2
    explained = float(np.trace(loose)) * noise**2
    error = np.sqrt(max(float(free @ free) - explained, 0.0) / 3.0)
    shared = np.sum((turning @ covariance) * turning, axis=1)
    return _ScaleSolution(
        good=good,
        inverse_depth=-corrected / length,
        noise=np.sqrt(2.0 * seen_noise**2 + shared) / length,
        parallax=corrected,
        rotation_error=max(error, _LEAST_ROTATION_NOISE),
    )
