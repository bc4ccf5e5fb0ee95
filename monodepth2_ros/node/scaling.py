# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres for the node: its subscriptions, mountings and the topic ``depth/scale``.

The factor is found by :class:`monodepth2_ros.scale.ScaleEstimator`. Corners are followed in a
thread of their own while the network runs; once there is depth, comparing takes a fraction of a
millisecond, and the outputs of the same frame are multiplied by the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.conversions import stamp_ns
from monodepth2_ros.node.qos import profile
from monodepth2_ros.node.static_frames import StaticFrames
from monodepth2_ros.options import OutputOptions, read_scale_sources
from monodepth2_ros.scale.estimator import ScaleEstimator, ScaleOptions
from monodepth2_ros.scale.factor import ScaleEstimate
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import invert_pose
from monodepth2_ros.scale.range_messages import (
    read_beam,
    read_cloud,
    read_depth_image,
    read_scan,
)

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile

    from monodepth2_ros.predictor import Prediction

# Messages that wait for the next frame; 200 Hz for two seconds.
_MOST_WAITING = 400

# Depth is compared at about this width, in pixels.
_COMPARED_WIDTH = 320

# Factors outside are errors of a sensor; the parameter `scale` has the same range.
_SMALLEST, _LARGEST = 1e-6, 1e6


class Scaling:
    """Finds the factor from the topics of a node and applies it to predictions.

    Parameters
    ----------
    values : mapping
        The node's parameters.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.sources = read_scale_sources(values["scaling.source"])
        self.estimate = ScaleEstimate()
        self._values = values
        self._waiting: deque[tuple[str, Any]] = deque(maxlen=_MOST_WAITING)
        self._executor: ThreadPoolExecutor | None = None
        self._tracking: Future[None] | None = None
        self._estimator: ScaleEstimator | None = None
        self._mounting = mounting_pose(values["scaling.mounting"]) @ OPTICAL
        # Pose of the range sensor in the camera's body.
        self._range_mounting = mounting_pose(values["scaling.range_mounting"])
        # What the user gives stands over /tf_static.
        self._asks_frames = not any(values["scaling.mounting"])
        self._asks_range_frames = not any(values["scaling.range_mounting"])
        self.frames = StaticFrames()
        self._range_camera: PinholeCamera | None = None
        if self.sources:
            self._executor = ThreadPoolExecutor(1, "scale_tracker")
            self._estimator = self._create()

    @property
    def is_live(self) -> bool:
        """Whether the factor is measured."""
        return self._estimator is not None

    def close(self) -> None:
        """End the thread."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def update(self, values: Mapping[str, Any]) -> None:
        """Take changed parameters; the height of the camera and the time constant start over."""
        before, self._values = self._values, values
        names = ("scaling.camera_height", "scaling.time_constant")
        if self.is_live and any(before[name] != values[name] for name in names):
            self._estimator = self._create()

    def subscriptions(self) -> list[tuple[str, Any, Callable[[Any], None], QoSProfile]]:
        """Return topic, message type, callback and QoS of each input."""
        found: list[tuple[str, Any, Callable[[Any], None], QoSProfile]] = []

        def keep(kind: str) -> Callable[[Any], None]:
            return lambda message: self._waiting.append((kind, message))

        # Odometry comes faster than frames, and none of it should be lost.
        many, newest = profile(100, "best_effort"), profile(2, "best_effort")
        if "odometry" in self.sources:
            from nav_msgs.msg import Odometry

            found.append(("odom", Odometry, keep("odom"), many))
        if "range" in self.sources:
            from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, Range

            found.append(("scan", LaserScan, keep("scan"), many))
            found.append(("range", Range, keep("range"), many))
            found.append(("range/points", PointCloud2, keep("cloud"), newest))
            found.append(("range/depth", Image, keep("depth"), newest))
            found.append(("range/camera_info", CameraInfo, self._on_range_info, newest))
        if self.sources and self.frames.is_available:
            latched = profile(100, "reliable", latched=True)
            found.append(("/tf_static", self.frames.message_type, self.frames.add, latched))
        return found

    def _on_range_info(self, message: Any) -> None:
        """Take the intrinsics of a depth sensor; damaged ones are ignored."""
        with contextlib.suppress(ValueError):
            self._range_camera = PinholeCamera.from_camera_info(message)

    def begin(self, header: Any, image: NDArray[np.uint8], camera: PinholeCamera | None) -> None:
        """Begin to follow corners in an image; returns at once."""
        if self._estimator is None or self._executor is None or camera is None:
            return
        self._take_messages(header.frame_id, camera)
        self._tracking = self._executor.submit(
            self._estimator.track, stamp_ns(header), image, camera
        )

    def options(self, options: OutputOptions) -> OutputOptions:
        """Return options for a prediction that :meth:`finish` will multiply by the factor."""
        if self._estimator is None:
            return options
        # In steps of 5 %: on a GPU other options mean another recording of the computation.
        factor = math.exp(0.05 * round(math.log(max(self.estimate.factor, _SMALLEST)) / 0.05))
        near, far = options.color_range
        return dataclasses.replace(
            options,
            min_range=0.0,
            max_range=math.inf,
            points_max_range=0.0,
            depth_encoding="32FC1",
            color_range=(near / factor, far / factor),
        )

    def finish(
        self, header: Any, prediction: Prediction, camera: PinholeCamera | None, encoding: str
    ) -> Prediction:
        """Find the factor for a frame and multiply its outputs by it.

        Parameters
        ----------
        header : std_msgs/Header
            Header of the image.
        prediction : Prediction
            Made with the options of :meth:`options`.
        camera : PinholeCamera or None
            Camera of the image.
        encoding : str
            Wanted of the depth: "32FC1" or "16UC1".

        Returns
        -------
        Prediction
            Without depth and points if the factor is not known well enough (scaling.require).
        """
        if self._estimator is None:
            return prediction
        if self._tracking is not None:
            self._tracking.result()
            self._tracking = None
        stamp = stamp_ns(header)
        if camera is None:
            self.estimate = dataclasses.replace(self.estimate, reason="no camera_info")
        elif prediction.depth is not None:
            # Every second pixel or so tells as much, in a fraction of the time.
            step = max(1, prediction.depth.shape[1] // _COMPARED_WIDTH)
            part = prediction.depth[step // 2 :: step, step // 2 :: step]
            with np.errstate(divide="ignore"):
                inverse = 1.0 / part.astype(np.float32)
            self.estimate = self._estimator.measure(stamp, inverse, camera)
        factor = min(max(self.estimate.factor, _SMALLEST), _LARGEST)
        if not self.is_known:
            return dataclasses.replace(prediction, depth=None, points=None, camera=None)
        depth, points = prediction.depth, prediction.points
        if depth is not None:
            depth = depth * np.float32(factor)
            low, high = self._values["min_range"], self._values["max_range"]
            depth[(depth < low) | (depth > high)] = np.nan
            if encoding == "16UC1":
                depth = np.nan_to_num(np.rint(1000.0 * depth))
                depth = np.where(depth > 65535.0, 0.0, depth).astype(np.uint16)
        if points is not None:
            points = np.array(points)
            points[..., :3] *= np.float32(factor)
            limit = self._values["points.max_range"] or self._values["max_range"]
            z = points[..., 2]
            points[(z < self._values["min_range"]) | (z > limit), :3] = np.nan
        return dataclasses.replace(prediction, depth=depth, points=points)

    @property
    def is_known(self) -> bool:
        """Whether the factor is known as well as scaling.require asks for."""
        require = self._values["scaling.require"]
        return not self.is_live or require == 0.0 or self.estimate.is_known(require)

    def message(self, header: Any) -> Any:
        """Return the estimate as geometry_msgs/Vector3Stamped: factor, deviation, age."""
        from geometry_msgs.msg import Vector3Stamped

        message = Vector3Stamped(header=header)
        message.vector.x = float(self.estimate.factor)
        message.vector.y = float(self.estimate.factor * self.estimate.deviation)
        message.vector.z = float(self.estimate.age_s)
        return message

    def diagnostics(self) -> dict[str, str]:
        """Return what diagnostics show."""
        estimate = self.estimate
        if not self.is_live:
            return {"scale source": "fixed"}
        return {
            "scale source": estimate.source or "none yet",
            "scale factor": f"{estimate.factor:.4f}",
            "scale deviation": f"{estimate.deviation:.1%}",
            "scale age (s)": f"{estimate.age_s:.2f}",
            "scale held because": estimate.reason,
        }

    def problem(self) -> str:
        """Say why depth is withheld, "" if it is not."""
        if self.is_known:
            return ""
        return (
            f"no depth is published: the factor to metres is known to "
            f"{self.estimate.deviation:.0%}, scaling.require is "
            f"{self._values['scaling.require']:g} "
            f"({self.estimate.reason or 'measuring'})"
        )

    def _create(self) -> ScaleEstimator:
        """Make an estimator with the parameters of now."""
        options = ScaleOptions(
            self.sources,
            camera_height=self._values["scaling.camera_height"],
            time_constant_s=self._values["scaling.time_constant"],
        )
        down = None
        if any(self._values["scaling.mounting"]):
            down = _gravity(self._mounting)
        return ScaleEstimator(options, self._mounting, down)

    def _take_messages(self, camera_frame: str, camera: PinholeCamera) -> None:
        """Hand waiting messages to the estimator, in the worker's thread."""
        estimator = self._estimator
        assert estimator is not None
        if self._asks_frames and (pose := self.frames.body_pose(camera_frame)) is not None:
            estimator.down = _gravity(pose)
        while self._waiting:
            kind, message = self._waiting.popleft()
            stamp = stamp_ns(message.header)
            if kind == "odom":
                # Odometry of the camera itself, as tracking cameras and visual odometry give it.
                own = message.child_frame_id.lstrip("/") == camera_frame.lstrip("/")
                mounting = self._mounting
                if self._asks_frames:
                    known = self.frames.pose(message.child_frame_id, camera_frame)
                    mounting = mounting if known is None else known
                estimator.mounting = np.eye(4) if own else mounting
                p, q = message.pose.pose.position, message.pose.pose.orientation
                estimator.add_odometry(stamp, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
                continue
            to_camera = self._sensor_pose(message.header.frame_id, camera_frame, kind)
            if kind == "range":
                estimator.add_ranges(stamp, read_beam(message, to_camera))
            elif kind == "scan":
                estimator.add_ranges(stamp, read_scan(message, to_camera))
            elif kind == "depth":
                own_camera = self._range_camera or camera
                estimator.add_ranges(stamp, read_depth_image(message, to_camera, own_camera))
            else:
                estimator.add_ranges(stamp, read_cloud(message, to_camera))

    def _sensor_pose(self, frame: str, camera_frame: str, kind: str) -> NDArray[np.float64]:
        """Return the pose (4, 4) of a range sensor in the camera's optical frame."""
        if frame.lstrip("/") == camera_frame.lstrip("/"):
            return np.eye(4)
        if self._asks_range_frames:
            known = self.frames.pose(camera_frame, frame)
            if known is not None:
                return known
        pose = invert_pose(OPTICAL) @ self._range_mounting
        # The frame of a depth image is an optical one; those of other sensors have x ahead.
        return np.asarray(pose @ OPTICAL if kind == "depth" else pose)


def _gravity(mounting: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction of gravity in a camera, whose body is level (along its -z)."""
    return np.asarray(invert_pose(mounting)[:3, :3] @ np.array([0.0, 0.0, -1.0]))
