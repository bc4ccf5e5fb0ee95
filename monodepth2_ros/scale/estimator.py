# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The factor from all sources, frame by frame: the same in the node and in evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.options import SCALE_SOURCES
from monodepth2_ros.scale.factor import FactorFilter, Measurement, ScaleEstimate
from monodepth2_ros.scale.ground import measure_height
from monodepth2_ros.scale.odometry import (
    INTERVAL_NS,
    LONGEST_INTERVAL_NS,
    CameraView,
    GlancePlan,
    OdometryScale,
    Take,
)
from monodepth2_ros.scale.ranges import measure_beam, measure_ranges

# A range measurement belongs to an image if its stamp is this near.
_RANGE_AGE_NS = 150_000_000

# The factor of two images that are so near each other hardly differs.
_GLANCE_INTERVAL_NS = 60_000_000

# An image that comes so much earlier or later than expected shows corners elsewhere.
_UNEXPECTED_NS = 50_000_000


@dataclass(frozen=True)
class ScaleOptions:
    """How to find the factor.

    Attributes
    ----------
    sources : tuple of str
        Any of :data:`monodepth2_ros.options.SCALE_SOURCES`.
    camera_height : float
        Metres above the ground; needed by "camera_height".
    time_constant_s : float
        How fast measurements are forgotten.
    """

    sources: tuple[str, ...] = ("odometry",)
    camera_height: float = 0.0
    time_constant_s: float = 0.1

    def __post_init__(self) -> None:
        unknown = set(self.sources) - set(SCALE_SOURCES)
        if unknown or not self.sources:
            raise ValueError(
                f"scale sources {self.sources}: give any of {', '.join(SCALE_SOURCES)}"
            )
        if "camera_height" in self.sources and not self.camera_height > 0.0:
            raise ValueError(
                f"scale source 'camera_height' needs the height of the camera above the ground in "
                f"metres; it is {self.camera_height:g}"
            )
        if not self.time_constant_s > 0.0:
            raise ValueError(f"scale time constant {self.time_constant_s:g} s is not positive")


@dataclass(frozen=True)
class Beam:
    """A single range reading in the camera's optical frame; see :func:`measure_beam`."""

    distance: float
    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    field_of_view: float


@dataclass(frozen=True)
class _Plan:
    """What a glance at the next image needs.

    Attributes
    ----------
    glance : GlancePlan
    known : ScaleEstimate
        To be brought up to date.
    middle, share : float
        Logarithm of the odometry's factor in it, and by which share of the difference to that
        what is seen changes the factor.
    """

    glance: GlancePlan
    known: ScaleEstimate
    middle: float
    share: float

    def suits(self, stamp: int, shape: tuple[int, ...], camera: PinholeCamera) -> bool:
        """Say whether an image is the one that was expected."""
        plan = self.glance
        return (
            abs(stamp - plan.stamp) < _UNEXPECTED_NS
            and plan.shape == shape
            and (plan.camera is camera or plan.camera == camera)
        )


class ScaleEstimator:
    """A running estimate of the factor from depth to metres.

    For each image call :meth:`glance` with its predicted depth, which gives the factor for it, and
    when there is time :meth:`update`. Whoever has the time before may call :meth:`track` and
    :meth:`measure` instead.

    Parameters
    ----------
    options : ScaleOptions
    mounting : ndarray, shape (4, 4), optional
        Pose of the camera's optical frame in the body of the odometry; none: the same frame.
    down : ndarray, shape (3,), optional
        Direction of gravity in the camera's optical frame.

    Attributes
    ----------
    estimate : ScaleEstimate
        The newest.
    """

    def __init__(
        self,
        options: ScaleOptions,
        mounting: NDArray[np.float64] | None = None,
        down: NDArray[np.float64] | None = None,
    ) -> None:
        self.options = options
        self.down = down
        self.estimate = ScaleEstimate()
        self._measured: int | None = None  # stamp of the newest measurement
        self._asked: int | None = None  # and of the newest image that was to be measured
        # What the last glance at corners gave, with its stamp.
        self._glanced: tuple[int, ScaleEstimate] | None = None
        self._odometry = OdometryScale(mounting)
        self._ranges: tuple[int, NDArray[np.float64] | Beam] | None = None
        self._filters = {name: FactorFilter(options.time_constant_s) for name in options.sources}
        # From where the camera saw what was measured last.
        self._views: dict[str, CameraView | None] = {}
        # What a glance needs: logarithm of the odometry's factor, and its share of the combination.
        self._odometry_share: tuple[float, float] | None = None
        self._plan: _Plan | None = None
        # Stamp of the newest image that was asked a glance for, and how long after another.
        self._newest_stamp, self._interval = 0, 0

    @property
    def mounting(self) -> NDArray[np.float64]:
        """Pose of the camera's optical frame in the body of the odometry."""
        return self._odometry.mounting

    @mounting.setter
    def mounting(self, pose: NDArray[np.float64]) -> None:
        if pose is not self._odometry.mounting and not np.array_equal(
            pose, self._odometry.mounting
        ):
            self._odometry.mounting = np.asarray(pose, np.float64)
            self._odometry.reset()

    def add_odometry(
        self, stamp: int, position: tuple[float, ...], quaternion: tuple[float, ...]
    ) -> None:
        """Add a pose of the body: stamp in nanoseconds, metres, quaternion x, y, z, w."""
        self._odometry.poses.add(stamp, position, quaternion)

    def add_ranges(self, stamp: int, ranges: NDArray[np.float64] | Beam) -> None:
        """Add what a range sensor saw at a stamp, in the camera's optical frame.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        ranges : ndarray, shape (N, 3), or Beam
        """
        self._ranges = (stamp, ranges)

    def is_fresh(self, stamp: int) -> bool:
        """Say whether the last glance is so new that an image gets the factor of that."""
        return self._glanced is not None and 0 <= stamp - self._glanced[0] < _GLANCE_INTERVAL_NS

    def is_idle(self, stamp: int) -> bool:
        """Say whether :meth:`update` has nothing to do: the view has not had time to change.

        Of a camera with 30 images a second that is so for every second image.
        """
        age = stamp - self._asked if self._asked is not None else -1
        if not 0 <= age < LONGEST_INTERVAL_NS:
            return False
        expected = self._next_stamp(stamp)
        if "odometry" not in self._filters or expected is None:
            return age < INTERVAL_NS
        return self.is_fresh(expected)

    def _next_stamp(self, stamp: int) -> int | None:
        """Return when an image is expected after one, as they come at about the same rate."""
        return stamp + self._interval if 0 < self._interval < LONGEST_INTERVAL_NS else None

    def track(self, stamp: int, image: NDArray[np.uint8], camera: PinholeCamera) -> None:
        """Follow corners in an image; see :meth:`OdometryScale.track`."""
        if "odometry" in self._filters:
            self._odometry.track(stamp, image, camera)

    def is_due(self, stamp: int) -> bool:
        """Say whether an image is to be measured; most of a fast camera's tell nothing new.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        """
        last = self._asked
        if last is None or not 0 <= stamp - last < LONGEST_INTERVAL_NS:
            return True
        if "odometry" in self._filters:
            return self._odometry.is_due(stamp)
        return stamp - last >= INTERVAL_NS

    def update(
        self,
        stamp: int,
        image: NDArray[np.uint8],
        image_camera: PinholeCamera,
        inverse_depth: NDArray[np.floating],
        camera: PinholeCamera,
    ) -> ScaleEstimate:
        """Call :meth:`track` and :meth:`measure` if an image :meth:`is_due`, as the node does.

        Parameters
        ----------
        stamp, image, image_camera
            See :meth:`track`.
        inverse_depth, camera
            See :meth:`measure`.

        Returns
        -------
        ScaleEstimate
            The newest one.
        """
        if self.is_idle(stamp):
            return self.newest(stamp)
        if self.is_due(stamp):
            self.track(stamp, image, image_camera)
            self.measure(stamp, inverse_depth, camera)
        self._plan = None
        expected = self._next_stamp(stamp)
        if expected is not None and not self.is_fresh(expected):
            self.expect(stamp, expected, inverse_depth, camera)
        return self.newest(stamp)

    def expect(
        self,
        stamp: int,
        expected: int,
        inverse_depth: NDArray[np.floating],
        camera: PinholeCamera,
    ) -> None:
        """Get ready for a :meth:`glance` at the next image.

        Parameters
        ----------
        stamp, expected : int
            Of the newest image and of the next one, nanoseconds.
        inverse_depth, camera
            See :meth:`measure`; of the newest image.
        """
        self._plan = None
        running = self._filters.get("odometry")
        if running is None or self._odometry_share is None:
            # Nothing is known yet, or of other sources only, which are not contradicted.
            return
        glance = self._odometry.plan_glance(stamp, expected, inverse_depth, camera)
        if glance is not None:
            middle, share = self._odometry_share
            share *= running.share_of_next(expected)
            self._plan = _Plan(glance, self.estimate, middle, share)

    def measure(
        self, stamp: int, inverse_depth: NDArray[np.floating], camera: PinholeCamera
    ) -> ScaleEstimate:
        """Compare an image's depth with what is measured, and return the factor with its deviation.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        inverse_depth : ndarray, shape (h, w)
            In the inverse of the network's unit; NaN where unknown.
        camera : PinholeCamera
            Camera of its field of view, any size: the image's, or that of a crop of it.
        """
        self._asked = stamp
        reasons = []
        for name, running in self._filters.items():
            measurement = self._measure(name, stamp, inverse_depth, camera)
            if isinstance(measurement, str):
                reasons.append(measurement)
            else:
                running.add(stamp, measurement, self._odometry.view_change(self._views.get(name)))
                self._views[name] = self._odometry.view
        measured = len(reasons) < len(self._filters)
        self.estimate = self._combine(stamp, "" if measured else "; ".join(reasons))
        return self.estimate

    def newest(self, stamp: int) -> ScaleEstimate:
        """Return the newest estimate with its age at a stamp in nanoseconds."""
        known, measured = self.estimate, self._measured
        if measured is None or not known.source:
            return known
        return replace(known, age_s=1e-9 * max(0, stamp - measured))

    def glance(
        self, stamp: int, inverse_depth: NDArray[np.floating], camera: PinholeCamera
    ) -> ScaleEstimate:
        """Return the factor to apply to an image's depth, before there is time to measure it.

        That is the newest one, brought up to date by what corners at a glance say of this image, or
        said of the image before if that is fresh. Where to look was planned beforehand, so it takes
        a few hundredths of a millisecond. Changes nothing of what is measured.

        Parameters
        ----------
        stamp, inverse_depth, camera
            See :meth:`measure`.
        """
        return self.glance_at(stamp, inverse_depth.shape, inverse_depth.reshape(-1).take, camera)

    def glance_at(
        self, stamp: int, shape: tuple[int, ...], take: Take, camera: PinholeCamera
    ) -> ScaleEstimate:
        """Do what :meth:`glance` does where only some of the inverse depth is computed.

        Parameters
        ----------
        stamp, camera
            See :meth:`measure`.
        shape : tuple of int
            Of the inverse depth.
        take : callable
            Returns elements of it.
        """
        self._interval, self._newest_stamp = stamp - self._newest_stamp, stamp
        if self._glanced is not None and self.is_fresh(stamp):
            seen_at, estimate = self._glanced
            return replace(estimate, age_s=1e-9 * (stamp - seen_at))
        plan = self._plan
        if plan is None or not plan.suits(stamp, shape, camera):
            return self.newest(stamp)
        seen = plan.glance.read(take)
        if seen is None:
            return self.newest(stamp)
        factor = plan.known.factor * math.exp(plan.share * (seen - plan.middle))
        estimate = replace(plan.known, factor=factor, age_s=0.0, reason="")
        self._glanced = stamp, estimate
        return estimate

    def _measure(
        self,
        name: str,
        stamp: int,
        inverse_depth: NDArray[np.floating],
        camera: PinholeCamera,
    ) -> Measurement | str:
        """Ask one source."""
        if name == "odometry":
            return self._odometry.measure(inverse_depth, camera)
        if name == "camera_height":
            return measure_height(inverse_depth, camera, self.options.camera_height, self.down)
        if self._ranges is None:
            return "no range measurement"
        seen, ranges = self._ranges
        if abs(stamp - seen) > _RANGE_AGE_NS:
            return f"the nearest range measurement is {1e-9 * abs(stamp - seen):.2f} s away"
        if isinstance(ranges, Beam):
            return measure_beam(
                ranges.distance,
                ranges.origin,
                ranges.direction,
                ranges.field_of_view,
                inverse_depth,
                camera,
            )
        wander = self._filters[name].wander
        return measure_ranges(ranges, inverse_depth, camera, self._deviation(stamp), wander)

    def _deviation(self, stamp: int) -> float:
        """Return the relative standard deviation of what is held of all sources together."""
        weight = 0.0
        for name, running in self._filters.items():
            change = self._odometry.view_change(self._views.get(name))
            weight += 1.0 / running.at(stamp, change)[1]
        return math.inf if weight == 0.0 else math.sqrt(1.0 / weight)

    def _combine(self, stamp: int, reason: str) -> ScaleEstimate:
        """Average the sources, each weighted by 1 / variance."""
        total = weight = odometry_weight = 0.0
        names, newest = [], None
        self._odometry_share = None
        for name, running in self._filters.items():
            change = self._odometry.view_change(self._views.get(name))
            middle, variance = running.at(stamp, change)
            if not math.isfinite(variance):
                continue
            total += middle / variance
            weight += 1.0 / variance
            if name == "odometry":
                odometry_middle, odometry_weight = middle, 1.0 / variance
            names.append(name)
            if running.stamp is not None:
                newest = running.stamp if newest is None else max(newest, running.stamp)
        self._measured = newest
        if newest is None:
            return ScaleEstimate(reason=reason)
        if odometry_weight:
            self._odometry_share = (odometry_middle, odometry_weight / weight)
        return ScaleEstimate(
            factor=math.exp(total / weight),
            deviation=math.sqrt(1.0 / weight),
            source="+".join(names),
            age_s=1e-9 * max(0, stamp - newest),
            reason=reason,
        )
