# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres for the node: its subscriptions, mountings and the topic ``depth/scale``.

The factor is found by :class:`monodepth2_ros.scale.ScaleEstimator`, in a thread of its own, once
depth is published: following corners while the network runs would slow it down where cores are few.
A frame's depth is multiplied by the newest factor, brought up to date by a glance at known corners,
for which everything was made ready after the frame before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.conversions import stamp_ns
from monodepth2_ros.node.qos import profile
from monodepth2_ros.node.static_frames import StaticFrames
from monodepth2_ros.options import OutputOptions, read_scale_sources
from monodepth2_ros.outputs import UnscaledDepth
from monodepth2_ros.scale.estimator import ScaleEstimator, ScaleOptions
from monodepth2_ros.scale.factor import ScaleEstimate
from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.odometry import Take
from monodepth2_ros.scale.poses import invert_pose
from monodepth2_ros.scale.range_messages import (
    read_beam,
    read_cloud,
    read_depth_image,
    read_scan,
)

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile

    from monodepth2_ros.predictor import DepthPredictor, Prediction

# Messages that wait for the next frame; 200 Hz for two seconds.
_MOST_WAITING = 400

# Depth is compared at about this width, in pixels.
_COMPARED_WIDTH = 320

# Factors outside are errors of a sensor; the parameter `scale` has the same range.
_SMALLEST, _LARGEST = 1e-6, 1e6

_SAME_FRAME = np.eye(4)


@dataclasses.dataclass(frozen=True)
class _Predicted:
    """What the factor is measured on.

    Attributes
    ----------
    frame : str
        Frame of the image.
    stamp : int
        Nanoseconds.
    image : ndarray, shape (H, W, 3), uint8
    image_camera : PinholeCamera or None
        Camera of the image.
    inverse_depth : ndarray or UnscaledDepth, shape (h, w)
        In the inverse of the network's unit.
    camera : PinholeCamera or None
        Camera of its field of view.
    """

    frame: str
    stamp: int
    image: NDArray[np.uint8]
    image_camera: PinholeCamera | None
    inverse_depth: NDArray[np.float32] | UnscaledDepth
    camera: PinholeCamera | None

    def kept(self) -> _Predicted:
        """Return what stays valid when the network runs again."""
        if isinstance(self.inverse_depth, np.ndarray):
            return self
        return dataclasses.replace(self, inverse_depth=self.inverse_depth.whole())


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
        # Of the newest image; all of the estimator but a glance happens in the executor's thread.
        self._measuring: Future[None] | None = None
        self._to_measure: _Predicted | None = None
        self._fault = ""
        self._estimator: ScaleEstimator | None = None
        self._mounting = mounting_pose(values["scaling.mounting"]) @ OPTICAL
        # Pose of the range sensor in the camera's body.
        self._range_mounting = mounting_pose(values["scaling.range_mounting"])
        # What the user gives stands over /tf_static.
        self._asks_frames = not any(values["scaling.mounting"])
        self._asks_range_frames = not any(values["scaling.range_mounting"])
        self.frames = StaticFrames()
        self._range_camera: PinholeCamera | None = None
        # The last camera, and that of its part that the network sees.
        self._cameras: tuple[PinholeCamera, PinholeCamera] | None = None
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

    def predict(
        self,
        predictor: DepthPredictor,
        header: Any,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
    ) -> Prediction:
        """Predict in metres by the newest factor; :meth:`measure` is to follow.

        On a CPU the factor goes into the computation of the outputs, where it costs nothing, and
        corners at a glance bring it up to date. On a GPU the outputs are multiplied.

        Parameters
        ----------
        predictor : DepthPredictor
        header : std_msgs/Header
            Header of the image.
        image : ndarray, shape (H, W, 3), uint8, RGB
        camera : PinholeCamera or None
            Camera of the image.
        options : OutputOptions
        outputs : tuple of str

        Returns
        -------
        Prediction
            Without depth and points if the factor is not known well enough (scaling.require).
        """
        if predictor.backend.device.type == "cuda":
            prediction = self._predict_and_multiply(
                predictor, header, image, camera, options, outputs
            )
        else:
            stamp, part = stamp_ns(header), self._network_camera(predictor, camera)

            def find_factor(depth: UnscaledDepth) -> float:
                self._to_measure = _Predicted(header.frame_id, stamp, image, camera, depth, part)
                self.estimate = self._find(self._to_measure, depth.sigmoid.shape, depth.take)
                return _limited(self.estimate.factor)

            prediction = predictor.predict(image, camera, options, outputs, find_factor)
        if self.is_known:
            return prediction
        return dataclasses.replace(prediction, depth=None, points=None, camera=None)

    def measure(self) -> None:
        """Measure the factor on the last prediction, in another thread; once it is published."""
        predicted, self._to_measure = self._to_measure, None
        if predicted is None or self._executor is None or self._estimator is None:
            return
        # Too slow a machine measures fewer frames, and never falls behind.
        if not self._is_busy and not self._estimator.is_idle(predicted.stamp):
            self._measuring = self._executor.submit(
                self._measure, self._estimator, predicted.kept()
            )

    def _network_camera(
        self, predictor: DepthPredictor, camera: PinholeCamera | None
    ) -> PinholeCamera | None:
        """Return the camera of what the network sees; the same object for the same camera."""
        if camera is None:
            return None
        if self._cameras is None or self._cameras[0] != camera:
            self._cameras = camera, predictor.network_camera(camera)
        return self._cameras[1]

    @property
    def _is_busy(self) -> bool:
        """Whether an image is being measured."""
        return self._measuring is not None and not self._measuring.done()

    def _measure(self, estimator: ScaleEstimator, predicted: _Predicted) -> None:
        """Take what was heard, follow corners and measure, in the thread of the estimator."""
        self._fault = ""
        if predicted.camera is None or predicted.image_camera is None:
            return
        assert isinstance(predicted.inverse_depth, np.ndarray)
        self._take_messages(estimator, predicted.frame, predicted.image_camera)
        with self._held_at_fault():
            estimator.update(
                predicted.stamp,
                predicted.image,
                predicted.image_camera,
                predicted.inverse_depth,
                predicted.camera,
            )

    @contextlib.contextmanager
    def _held_at_fault(self) -> Iterator[None]:
        """Keep the factor as it is, and say why, where measuring fails: depth goes on."""
        try:
            yield
        except Exception as error:  # whatever it is, the node is to survive it
            self._fault = f"measuring failed: {error}"

    def _find(self, predicted: _Predicted, shape: tuple[int, ...], take: Take) -> ScaleEstimate:
        """Return the newest factor, without waiting once there is one."""
        estimator, camera = self._estimator, predicted.camera
        assert estimator is not None
        if camera is None:
            return dataclasses.replace(estimator.newest(predicted.stamp), reason="no camera_info")
        if not estimator.estimate.source and not self._is_busy:
            # Nothing is known yet: the first factor is worth waiting for.
            self._measure(estimator, predicted.kept())
            self._to_measure = None
            return estimator.newest(predicted.stamp)
        found = None
        with self._held_at_fault():
            found = estimator.glance_at(predicted.stamp, shape, take, camera)
        return found or estimator.newest(predicted.stamp)

    def _predict_and_multiply(
        self,
        predictor: DepthPredictor,
        header: Any,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
    ) -> Prediction:
        """Predict in the network's unit, and multiply what came of it by the factor."""
        # In steps of 5 %: on a GPU other options mean another recording of the computation.
        factor = math.exp(0.05 * round(math.log(max(self.estimate.factor, _SMALLEST)) / 0.05))
        near, far = options.color_range
        unit = dataclasses.replace(
            options,
            min_range=0.0,
            max_range=math.inf,
            points_max_range=0.0,
            depth_encoding="32FC1",
            color_range=(near / factor, far / factor),
        )
        # The factor is measured on the depth.
        wanted = outputs if "depth" in outputs else (*outputs, "depth")
        prediction = predictor.predict(image, camera, unit, wanted)
        assert prediction.depth is not None
        # Every second pixel or so tells as much, in a fraction of the time.
        step = max(1, prediction.depth.shape[1] // _COMPARED_WIDTH)
        part = prediction.depth[step // 2 :: step, step // 2 :: step]
        with np.errstate(divide="ignore"):
            inverse = 1.0 / part.astype(np.float32)
        self._to_measure = _Predicted(
            header.frame_id, stamp_ns(header), image, camera, inverse, prediction.camera
        )
        self.estimate = self._find(self._to_measure, inverse.shape, inverse.reshape(-1).take)
        return multiply(prediction, _limited(self.estimate.factor), options)

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
        """Return what diagnostics show: the factor of the last depth, and why it is held if so."""
        if self._estimator is None:
            return {"scale source": "fixed"}
        estimate, newest = self.estimate, self._estimator.estimate
        return {
            "scale source": estimate.source or "none yet",
            "scale factor": f"{estimate.factor:.4f}",
            "scale deviation": f"{estimate.deviation:.1%}",
            "scale age (s)": f"{estimate.age_s:.2f}",
            "scale held because": self._fault or newest.reason,
        }

    def problem(self) -> str:
        """Say why depth is withheld, "" if it is not."""
        if self.is_known:
            return ""
        newest = self.estimate if self._estimator is None else self._estimator.estimate
        return (
            f"no depth is published: the factor to metres is known to "
            f"{self.estimate.deviation:.0%}, scaling.require is "
            f"{self._values['scaling.require']:g} ({self._fault or newest.reason or 'measuring'})"
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

    def _take_messages(
        self, estimator: ScaleEstimator, camera_frame: str, camera: PinholeCamera
    ) -> None:
        """Hand waiting messages to the estimator, in its thread."""
        if self._asks_frames and "camera_height" in self.sources:
            pose = self.frames.body_pose(camera_frame)
            estimator.down = estimator.down if pose is None else _gravity(pose)
        while self._waiting:
            kind, message = self._waiting.popleft()
            with self._held_at_fault():
                self._take(estimator, kind, message, camera_frame, camera)

    def _take(
        self,
        estimator: ScaleEstimator,
        kind: str,
        message: Any,
        camera_frame: str,
        camera: PinholeCamera,
    ) -> None:
        """Hand a message to the estimator."""
        stamp = stamp_ns(message.header)
        if kind == "odom":
            # Odometry of the camera itself, as tracking cameras and visual odometry give it.
            own = message.child_frame_id.lstrip("/") == camera_frame.lstrip("/")
            mounting = self._mounting
            if self._asks_frames:
                known = self.frames.pose(message.child_frame_id, camera_frame)
                mounting = mounting if known is None else known
            estimator.mounting = _SAME_FRAME if own else mounting
            p, q = message.pose.pose.position, message.pose.pose.orientation
            estimator.add_odometry(stamp, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
            return
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


def multiply(prediction: Prediction, factor: float, options: OutputOptions) -> Prediction:
    """Multiply the depth of a prediction in an unlimited range, 32FC1, and limit and encode it.

    Parameters
    ----------
    prediction : Prediction
    factor : float
    options : OutputOptions
        Ranges and encoding that are wanted.
    """
    depth, points = prediction.depth, prediction.points
    if depth is not None:
        depth = depth * np.float32(factor)
        depth[(depth < options.min_range) | (depth > options.max_range)] = np.nan
        if options.depth_encoding == "16UC1":
            depth = np.nan_to_num(np.rint(1000.0 * depth))
            depth = np.where(depth > 65535.0, 0.0, depth).astype(np.uint16)
    if points is not None:
        points = np.array(points)
        points[..., :3] *= np.float32(factor)
        limit = options.points_max_range or options.max_range
        z = points[..., 2]
        points[(z < options.min_range) | (z > limit), :3] = np.nan
    return dataclasses.replace(prediction, depth=depth, points=points)


def _limited(factor: float) -> float:
    """Return a factor that is not out of this world."""
    return min(max(factor, _SMALLEST), _LARGEST)


def _gravity(mounting: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the direction of gravity in a camera, whose body is level (along its -z)."""
    return np.asarray(invert_pose(mounting)[:3, :3] @ np.array([0.0, 0.0, -1.0]))
