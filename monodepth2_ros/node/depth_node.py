# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 node ``depth``: camera images in, depth images and point clouds out.

One executor thread takes messages and leaves the newest frame in a mailbox; one worker thread
decodes, predicts and publishes. See docs/reference/node.md for topics and parameters.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from monodepth2_ros.camera import Calibration, turn_direction, turn_image
from monodepth2_ros.conversions import (
    Payload,
    decode_compressed,
    decode_image,
    fill_camera_info,
    fill_image,
    fill_point_cloud,
    stamp_ns,
)
from monodepth2_ros.encoded_size import check_encoded_size
from monodepth2_ros.node.camera_input import CameraInput, image_topic
from monodepth2_ros.node.diagnostics import (
    FrameStatistics,
    NodeStatus,
    diagnostic_status,
    judge,
    pairing_problem,
)
from monodepth2_ros.node.frames import TurnedFrame, frame_problem, image_frame, turn_points
from monodepth2_ros.node.image_camera import ImageCamera, SampleWatch, find_image_camera
from monodepth2_ros.node.mailbox import Mailbox
from monodepth2_ros.node.memory import give_memory_back
from monodepth2_ros.node.pairing import CameraInfoPairing
from monodepth2_ros.node.parameters import BY_NAME, check_together, declare_parameters
from monodepth2_ros.node.qos import override_names, overriding_options, profile, unused_overrides
from monodepth2_ros.node.scaling import Scaling
from monodepth2_ros.node.shutdown import EndSignals, run_in_thread
from monodepth2_ros.node.stamp_gaps import StampGaps
from monodepth2_ros.options import BackendError, CheckpointError, OutputOptions
from monodepth2_ros.preprocessing import crop_box
from monodepth2_ros.training_camera import camera_difference

if TYPE_CHECKING:
    from monodepth2_ros.predictor import DepthPredictor, Prediction

# What is published, as diagnostics call it.
_OUTPUTS = ("depth", "camera_info", "color", "points", "color_image", "color_info")

# Topics and types of the outputs.
_OUTPUT_TOPICS: dict[str, tuple[str, Any]] = {
    "depth": ("depth/image_rect", Image),
    "camera_info": ("depth/camera_info", CameraInfo),
    "color": ("depth/image_color", Image),
    "points": ("points", PointCloud2),
    "color_image": ("color/image_rect", Image),
    "color_info": ("color/camera_info", CameraInfo),
}

# Seconds between looks at who listens and who publishes, and until a camera that nobody needs any
# more is unsubscribed from.
_INPUT_PERIOD = 0.1
_IDLE_AFTER = 2.0

# Seconds until the log says that no image comes, and until it says so again.
_SILENCE_PATIENCE = 5.0
_SILENCE_REPEAT = 30.0

# An image waits at most this long for its camera_info before it goes on without.
_PAIRING_PATIENCE = 0.2

# A camera that alternates between settings does not pay for rectification maps with each frame.
_CAMERAS_KEPT = 4

# The end of builtin_interfaces/Time, which counts seconds in 32 bits.
_LATEST_STAMP = 2**31 * 1_000_000_000 - 1


@dataclass(frozen=True)
class _Frame:
    """An image on its way to the worker."""

    image: Image | CompressedImage
    info: CameraInfo | None
    received: float


_Transition = Callable[["DepthNode", LifecycleState], TransitionCallbackReturn]


def _logging_errors(transition: _Transition) -> _Transition:
    """Log what a transition raises, because rclpy swallows it.

    After a signal exceptions follow from that and are not logged. rclpy, which hears of signals in
    a thread, may not have shut down yet.
    """

    @functools.wraps(transition)
    def logged(self: DepthNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception:
            if self.context.ok() and not self._signals.heard:
                self.get_logger().error(traceback.format_exc())
            raise

    return logged


class DepthNode(LifecycleNode):
    """The managed node; see docs/reference/node.md."""

    def __init__(self, signals: EndSignals | None = None, **kwargs: Any) -> None:
        super().__init__("depth", **kwargs)
        self._signals = signals or EndSignals()
        try:
            self._set_up()
        except BaseException:
            self.destroy_node()  # or its shared memory outlives the process
            raise

    def _set_up(self) -> None:
        """Declare parameters, create what a node has in every state."""
        self._state = "unconfigured"
        self._values = declare_parameters(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._predictor: DepthPredictor | None = None
        self._scaling = Scaling(self._values)
        self._scale_subscriptions: list[Any] = []
        self._options = OutputOptions()
        self._publishers_by_output: dict[str, Any] = {}
        self._payloads = {name: Payload() for name in ("depth", "color", "points", "color_image")}
        self._input: CameraInput | None = None
        self._opened = self._last_listened = 0.0
        self._gaps = StampGaps()
        self._frame = ""
        self._turned_frame = TurnedFrame(self)
        self._pairing = CameraInfoPairing(None)
        self._mailbox: Mailbox[_Frame] = Mailbox()
        self._worker: threading.Thread | None = None
        self._image_camera: ImageCamera | None = None
        self._cameras: dict[Any, ImageCamera] = {}
        self._sample_watch = SampleWatch()
        self._statistics = FrameStatistics()
        self._failure = ""
        self._is_empty = False
        self._told: dict[str, float] = {}
        self._last_stamp_ns = 0
        # Steady clocks: these timers must run while a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(
            DiagnosticArray,
            "/diagnostics",
            10,
            qos_overriding_options=overriding_options(self, "/diagnostics", "publisher"),
        )
        self._diagnostics_timer = self.create_timer(
            self._values["diagnostics_period"], self._publish_diagnostics, clock=steady
        )
        self.create_timer(_PAIRING_PATIENCE, self._expire_waiting, clock=steady)
        self.create_timer(_INPUT_PERIOD, self._tend_input, clock=steady)
        self._held_since_last_tick = 0

    # Parameters

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        """Check changes, refuse those that cannot happen now, apply the others."""
        values = dict(self._values)
        for change in changes:
            parameter = BY_NAME.get(change.name)
            if parameter is None:
                continue  # rclpy's own
            value = parameter.plain(change.value)
            refusal = parameter.check(value)
            frozen = not parameter.live and self._state != "unconfigured"
            if not refusal and frozen and value != values[change.name]:
                refusal = (
                    f"{change.name} is read when the node configures; call the lifecycle "
                    "transitions deactivate and cleanup first, or restart the node"
                )
            if refusal:
                return SetParametersResult(successful=False, reason=refusal)
            values[change.name] = value
        refusal = check_together(values)
        if refusal:
            return SetParametersResult(successful=False, reason=refusal)
        self._values = values
        self._diagnostics_timer.timer_period_ns = _nanoseconds(values["diagnostics_period"])
        if self._predictor is not None:
            self._scaling.update(values)
            self._options = _output_options(values)
            if self._values["pairing"] == "stamp":
                self._pairing.tolerance_ns = _nanoseconds(values["pairing_tolerance"])
        return SetParametersResult(successful=True)

    # Lifecycle

    @_logging_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create publishers."""
        values = self._values
        started = time.monotonic()
        try:
            # In a thread: a file on a dead network mount may never be read, and only the main
            # thread hears signals.
            self._predictor = run_in_thread(lambda: _load(values), "model_loader")
        except (CheckpointError, BackendError) as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._options = _output_options(values)
        self._scaling.close()
        self._scaling = Scaling(values)
        try:
            self._create_publishers()
        except (InvalidQosOverridesError, RuntimeError) as error:
            if not self.context.ok() or not override_names(self):
                raise
            self._release()
            self.get_logger().error(f"QoS overrides: {error}")
            return TransitionCallbackReturn.FAILURE
        checkpoint, backend = self._predictor.checkpoint, self._predictor.backend
        if checkpoint.is_random:
            self.get_logger().warning("THE WEIGHTS ARE RANDOM: depth is meaningless")
        metadata = checkpoint.metadata
        self.get_logger().info(
            f"{checkpoint.source}: ResNet-{metadata.num_layers} at {metadata.width}x"
            f"{metadata.height} on {backend.device} ({backend.name}, {backend.precision}), "
            f"{'metric' if metadata.is_metric else 'up to scale'}; loaded in "
            f"{time.monotonic() - started:.1f} s"
        )
        self._state = "inactive"
        return TransitionCallbackReturn.SUCCESS

    @_logging_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        values = self._values
        by_stamp = values["pairing"] == "stamp"
        tolerance = _nanoseconds(values["pairing_tolerance"]) if by_stamp else None
        self._pairing = CameraInfoPairing(tolerance, values["camera_info_frame"] == "any")
        self._sample_watch = SampleWatch()
        self._mailbox = Mailbox()
        self._failure = ""
        self._is_empty = False
        self._image_camera = None
        self._cameras = {}
        self._worker = threading.Thread(
            target=self._work, args=(self._mailbox,), name="depth_worker", daemon=True
        )
        self._worker.start()
        self._gaps = StampGaps()
        self._input = CameraInput(
            self,
            compressed=values["image_transport"] == "compressed",
            reliability=values["input_reliability"],
            depth=values["input_depth"],
            with_latched_info=not by_stamp,
            on_image=self._on_image,
            on_info=self._on_info,
        )
        self._last_listened = -math.inf
        self._tend_input()
        self._scale_subscriptions = [
            # Odometry comes faster than frames, and none of it should be lost.
            self.create_subscription(kind, topic, callback, profile(100, "best_effort"))
            for topic, kind, callback in self._scaling.subscriptions()
        ]
        self._state = "active"
        return super().on_activate(state)

    @_logging_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the worker finish its frame."""
        self._stop()
        self._state = "inactive"
        return super().on_deactivate(state)

    @_logging_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers."""
        self._release()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    @_logging_errors
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._stop()
        self._release()
        self._state = "finalized"
        return TransitionCallbackReturn.SUCCESS

    @_logging_errors
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after an unforeseen error in a transition."""
        self._stop()
        self._release()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def stop_worker(self, timeout: float | None = None) -> bool:
        """End the worker; return whether it has ended within `timeout` seconds."""
        self._mailbox.close()
        if self._worker is None:
            return True
        self._worker.join(timeout)
        return not self._worker.is_alive()

    def destroy_node(self) -> None:
        """Destroy the node, and what rclpy forgets when it destroys a lifecycle node.

        The state machine holds on to the node and so to its DDS participant, whose shared memory
        (70 MB with config/fastdds.xml) would outlive the process, until the machine restarts.
        """
        super().destroy_node()
        # rclpy has no public way to the state machine.
        machine = getattr(self, "_state_machine", None)
        if machine is not None:
            machine.destroy_when_not_in_use()

    def _stop(self) -> None:
        """Stop taking frames."""
        if self._input is not None:
            self._input.close()
            self._input = None
        for subscription in self._scale_subscriptions:
            self.destroy_subscription(subscription)
        self._scale_subscriptions = []
        self.stop_worker()
        self._worker = None

    def _create_publishers(self) -> None:
        """Create the outputs, and warn about QoS overrides that fit no topic."""
        values = self._values
        for name, (topic, kind) in _OUTPUT_TOPICS.items():
            self._publishers_by_output[name] = self.create_lifecycle_publisher(
                kind,
                topic,
                profile(values["output_depth"], values["output_reliability"]),
                qos_overriding_options=overriding_options(self, topic, "publisher"),
            )
        if self._scaling.is_live:
            self._publishers_by_output["scale"] = self.create_lifecycle_publisher(
                Vector3Stamped,
                "depth/scale",
                profile(values["output_depth"], values["output_reliability"]),
            )
        topics = [(topic, "publisher") for topic, _ in _OUTPUT_TOPICS.values()]
        topics += [("/diagnostics", "publisher"), ("camera_info", "subscription")]
        topics += [(self._image_topic(), "subscription")]
        for name in unused_overrides(self, topics):
            self.get_logger().warning(f"parameter '{name}' fits no topic of this node; ignored")

    def _release(self) -> None:
        """Free what configuring made."""
        for publisher in self._publishers_by_output.values():
            self.destroy_lifecycle_publisher(publisher)
        self._publishers_by_output = {}
        self._scaling.close()
        predictor, self._predictor = self._predictor, None
        if predictor is None:
            return
        is_on_gpu = predictor.backend.device.type == "cuda"
        del predictor
        give_memory_back()
        if is_on_gpu:
            import torch

            torch.cuda.empty_cache()  # for other processes

    # Executor thread: messages in

    def refuse(self, origin: str, error: Exception) -> None:
        """Log and count a message, request or timer whose callback failed.

        Parameters
        ----------
        origin : str
            Topic or service, or the kind of what ran.
        error : Exception
        """
        reason = f"{type(error).__name__}: {error}"[:500]
        self._statistics.count_refusal(origin, reason)
        where = traceback.extract_tb(error.__traceback__)
        last = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
        if self._may_tell(origin, 1.0):
            # repr: a message may hold line feeds and terminal escapes.
            self.get_logger().error(f"{origin}: refused: {reason!r}{last}")

    def _image_topic(self) -> str:
        """Return the image topic, resolved."""
        return image_topic(self, self._values["image_transport"] == "compressed")

    def _tend_input(self) -> None:
        """Subscribe to the camera while someone listens, with the reliability that fits it."""
        if self._input is None:
            return
        now = time.monotonic()
        publishers = self._publishers_by_output.values()
        if not self._values["lazy"] or any(one.get_subscription_count() for one in publishers):
            self._last_listened = now
            if not self._input.is_open:
                self._gaps.reset()
                self._opened = now
                self._input.open()
        elif self._input.is_open and now - self._last_listened > _IDLE_AFTER:
            self._input.close()
        if self._may_tell("reliability", 0.5) and self._input.follow():
            self.get_logger().info(
                f"{self._input.image_topic}: subscribed again as {self._input.reliability}, as "
                "its publishers offer"
            )

    def _on_image(self, image: Image | CompressedImage) -> None:
        self._statistics.count("received")
        stamp = stamp_ns(image.header)
        if stamp < self._last_stamp_ns:
            self._statistics.count("time jump")
        self._last_stamp_ns = stamp
        self._gaps.add(stamp)
        self._note_frame(image.header.frame_id)
        item = (image, time.monotonic())
        self._forward(self._pairing.add_image(stamp, item, image.header.frame_id))

    def _note_frame(self, frame: str) -> None:
        """Warn about a frame that cannot be that of a camera's image, when it is new."""
        if frame != self._frame or not self._told.get("frame"):
            self._frame = frame
            problem = frame_problem(self._values["output_frame"] or frame)
            if problem and self._may_tell("frame", 5.0):
                self.get_logger().warning(problem)

    def _on_info(self, info: CameraInfo) -> None:
        frame = info.header.frame_id
        self._forward(self._pairing.add_info(stamp_ns(info.header), info, frame))

    def _expire_waiting(self) -> None:
        """Release an image that waited for its camera_info since the tick before."""
        received = self._statistics.total("received")
        if received == self._held_since_last_tick:
            self._forward(self._pairing.expire())
        self._held_since_last_tick = received

    def _forward(self, pairs: list[tuple[Any, Any]]) -> None:
        for (image, received), info in pairs:
            if self._mailbox.put(_Frame(image, info, received)):
                self._statistics.count("dropped")

    # Worker thread: frames out

    def _work(self, mailbox: Mailbox[_Frame]) -> None:
        """Process frames until the mailbox closes; nothing a frame does ends the node."""
        while (frame := mailbox.take()) is not None:
            try:
                self._process(frame)
            except Exception as error:
                if not self.context.ok():
                    return  # publishing fails once ROS is shut down
                self._statistics.count("failed")
                self._failure = f"{type(error).__name__}: {error}"
                stamp = frame.image.header.stamp
                self.get_logger().error(
                    f"frame {stamp.sec}.{stamp.nanosec:09d}: {self._failure}",
                    throttle_duration_sec=1.0,
                )

    def _process(self, frame: _Frame) -> None:
        """Turn one frame into messages for those topics that someone listens to."""
        listeners = {
            name: publisher.get_subscription_count()
            for name, publisher in self._publishers_by_output.items()
        }
        if not any(listeners.values()):
            self._statistics.count("idle")
            self._failure = ""
            return
        started = time.monotonic()
        pixels = self._decode(frame.image)
        decoded = time.monotonic()
        known = self._find_camera(frame.info, pixels.shape[1], pixels.shape[0])
        if known.maps is not None:
            pixels = np.asarray(cv2.remap(pixels, *known.maps, cv2.INTER_LINEAR), dtype=np.uint8)
        rectified = time.monotonic()

        degrees = self._values["rotate"]
        pixels = turn_image(pixels, degrees)
        camera = None if known.camera is None else known.camera.turned(degrees)

        wanted = [name for name in ("depth", "color", "points") if listeners[name]]
        if wanted == ["color"] and self._may_look():
            wanted.append("depth")
        if camera is None and "points" in wanted:
            wanted.remove("points")
        if self._scaling.is_live and "depth" not in wanted:
            wanted.append("depth")  # what the factor is measured on
        options = self._options
        assert self._predictor is not None  # released only after the worker has ended
        seconds: dict[str, float] = {}
        prediction = None
        header = frame.image.header
        scaling = self._scaling
        if wanted:
            scaling.begin(header, pixels, camera)
            prediction = self._predictor.predict(
                pixels, camera, scaling.options(options), tuple(wanted)
            )
            seconds = prediction.seconds
            self._is_empty = not _has_depth(prediction)
            prediction = scaling.finish(header, prediction, camera, options.depth_encoding)
        predicted = time.monotonic()

        input_frame = header.frame_id
        header.frame_id = image_frame(input_frame, self._values["output_frame"], degrees)
        if degrees:
            self._turned_frame.announce(input_frame, header.frame_id, degrees)
        if listeners.get("scale"):
            self._publishers_by_output["scale"].publish(scaling.message(header))
        if camera is not None and (listeners["camera_info"] or listeners["color_info"]):
            of_image = options.output_size == "image"
            info = CameraInfo(header=header)
            fill_camera_info(info, camera if of_image else self._predictor.network_camera(camera))
            _keep_baseline(info, known.calibration, degrees)
            for name in ("camera_info", "color_info"):
                if listeners[name]:
                    self._publishers_by_output[name].publish(info)
        if listeners["color_image"]:
            colors = self._color_image(pixels)
            self._publish_image("color_image", header, colors, "rgb8")
        if prediction is not None and prediction.depth is not None and listeners["depth"]:
            self._publish_image("depth", header, prediction.depth, options.depth_encoding)
        if prediction is not None and prediction.color is not None:
            self._publish_image("color", header, prediction.color, "rgb8")
        if prediction is not None and prediction.points is not None:
            points = prediction.points
            cloud = PointCloud2(header=header)
            if degrees and not self._values["output_frame"]:
                # In the camera's own frame, which needs no transform.
                cloud.header.frame_id = input_frame
                points = turn_points(points, degrees)
            fill_point_cloud(cloud, points, PointField, self._payloads["points"])
            self._publishers_by_output["points"].publish(cloud)
        finished = time.monotonic()

        self._failure = ""
        self._statistics.count("published")
        self._statistics.add_latencies(
            {
                "wait": started - frame.received,
                "decode": decoded - started,
                "rectify": rectified - decoded,
                **seconds,
                "publish": finished - predicted,
                "total": finished - frame.received,
            }
        )

    def _publish_image(
        self, name: str, header: Header, pixels: NDArray[Any], encoding: str
    ) -> None:
        """Publish an output that is an image."""
        message = Image(header=header)
        fill_image(message, pixels, encoding, self._payloads[name])
        self._publishers_by_output[name].publish(message)

    def _color_image(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of the image that the depth covers, at the depth's size."""
        assert self._predictor is not None
        if self._options.output_size == "image":
            return pixels
        x, y, width, height = crop_box(pixels.shape[1], pixels.shape[0], self._predictor.crop)
        metadata = self._predictor.checkpoint.metadata
        window = pixels[y : y + height, x : x + width]
        size = (metadata.width, metadata.height)
        return np.asarray(cv2.resize(window, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _may_look(self) -> bool:
        """Return whether it is time to see if a picture comes of any depth: once a second."""
        return self._may_tell("empty picture", 1.0)

    def _decode(self, image: Image | CompressedImage) -> NDArray[np.uint8]:
        """Turn a message into RGB, unless it is too large."""
        most = self._values["max_image_pixels"]
        bits = self._values["bit_depth"] or None
        if isinstance(image, CompressedImage):
            check_encoded_size(image.data, most)
            pixels = decode_compressed(image, bits)
        elif image.width * image.height > most:
            raise ValueError(
                f"the image has {image.width}x{image.height} pixels, more than max_image_pixels "
                f"({most})"
            )
        else:
            pixels = decode_image(image, bits)
        if bits is None:
            self._sample_watch.look_at(image)
        return pixels

    def _may_tell(self, subject: str, seconds: float) -> bool:
        """Return whether a log line on a subject is due, `seconds` after the last one."""
        now = time.monotonic()
        if now - self._told.get(subject, -math.inf) < seconds:
            return False
        self._told[subject] = now
        return True

    def _find_camera(self, info: CameraInfo | None, width: int, height: int) -> ImageCamera:
        """Return the camera of a frame, computed again only when something changed."""
        key = (_fingerprint(info), width, height)
        known = self._cameras.pop(key, None)
        if known is None:
            known = self._new_camera(info, width, height)
        self._cameras[key] = known  # the last one is the newest
        while len(self._cameras) > _CAMERAS_KEPT:
            del self._cameras[next(iter(self._cameras))]
        self._image_camera = known
        return known

    def _new_camera(self, info: CameraInfo | None, width: int, height: int) -> ImageCamera:
        """Compute the camera of a frame, and log what is wrong with it."""
        calibration = None if info is None else Calibration.from_camera_info(info)
        rectify, topic = self._values["rectify"], self._image_topic()
        scales = self._values["scale_camera_info"]
        try:
            known = find_image_camera(calibration, width, height, rectify, topic, scales)
        except cv2.error as error:  # coefficients that OpenCV cannot compute with
            problem = f"camera_info cannot be used: {error}. Depth is published, points are not"
            known = ImageCamera(calibration, (width, height), None, None, problem)
        if known.problem and calibration is not None and self._may_tell("camera", 5.0):
            self.get_logger().warning(known.problem)
        return known

    # Diagnostics

    def _publish_diagnostics(self) -> None:
        """Publish state, rates, drops and latencies, and why nothing comes out if so."""
        statistics = self._statistics
        topic, source = self._image_topic(), self._input
        is_open = source is not None and source.is_open
        listeners = {
            name: publisher.get_subscription_count()
            for name, publisher in self._publishers_by_output.items()
        }
        status = NodeStatus(
            lifecycle=self._state,
            image_topic=topic,
            image_publishers=self.count_publishers(topic),
            qos_conflict="" if source is None else source.qos_conflict(),
            wrong_type="" if source is None else self._wrong_type(source.publishers()),
            other_transport=self._other_transport(),
            is_subscribed=is_open,
            subscribed_for=time.monotonic() - self._opened,
            lost_share=self._gaps.lost_share,
            loss_remedy="" if source is None else self._loss_remedy(source),
            collision=self._collision(),
            frame_problem="" if self._frame or not is_open else self._frame_problem(),
            image_age=statistics.age("received"),
            period=self._values["diagnostics_period"],
            listeners=sum(listeners.values()),
            failure=self._failure,
            is_empty=self._is_empty,
            camera_problem=self._camera_problem(),
            scale_problem=self._scaling.problem(),
            weights_are_random=bool(self._predictor and self._predictor.checkpoint.is_random),
            output_rate=statistics.rate("published"),
        )
        level, message = judge(status)
        self._tell_silence(status, message)
        predictor = self._predictor
        values = {
            "state": self._state,
            **statistics.values(),
            "images without camera_info": self._pairing.unpaired,
            "image publishers": 0 if source is None else source.connected("image"),
            "camera_info publishers": 0 if source is None else source.connected("camera_info"),
            "subscribed to the camera": "yes" if is_open else "no",
            "image reliability": source.reliability if source is not None and is_open else "",
            "camera period (ms)": f"{1e3 * self._gaps.period:.1f}",
            "images lost before the node (%)": f"{100.0 * self._gaps.lost_share:.1f}",
            **{f"{name} listeners": listeners.get(name, 0) for name in _OUTPUTS},
            **self._scaling.diagnostics(),
        }
        if predictor is not None:
            values["device"] = str(predictor.backend.device)
            values["backend"] = f"{predictor.backend.name} {predictor.backend.precision}"
            values["checkpoint"] = predictor.checkpoint.source
        if self._failure:
            values["last failure"] = self._failure
        report = DiagnosticArray()
        nanoseconds = min(self.get_clock().now().nanoseconds, _LATEST_STAMP)  # a hostile /clock
        report.header.stamp = Time(nanoseconds=nanoseconds).to_msg()
        name = self.get_fully_qualified_name().lstrip("/")
        report.status = [diagnostic_status(f"{name}: depth", level, message, topic, values)]
        self._diagnostics.publish(report)

    def _tell_silence(self, status: NodeStatus, message: str) -> None:
        """Say in the log, now and then, that no image comes and why."""
        if self._input is None or not self._input.is_open or not message.startswith("no image"):
            return
        silent = min(status.image_age, status.subscribed_for)
        if silent >= _SILENCE_PATIENCE and self._may_tell("silence", _SILENCE_REPEAT):
            transport = self._values["image_transport"]
            self.get_logger().warning(
                f"{message} (subscribed to {self._input.image_topic}, {transport}, "
                f"{self._input.reliability})"
            )

    def _loss_remedy(self, source: CameraInput) -> str:
        """Say what to do about images that get lost."""
        if source.reliability == "best_effort" and self._values["input_reliability"] != "auto":
            return "set input_reliability to 'auto'"
        return (
            "let the camera's process use config/fastdds.xml of this package "
            "(FASTRTPS_DEFAULT_PROFILES_FILE), or send smaller or compressed images"
        )

    def _collision(self) -> str:
        """Say which output another node publishes, too; "" if none."""
        for publisher in self._publishers_by_output.values():
            topic = publisher.topic_name
            infos = self.get_publishers_info_by_topic(topic)
            if len(infos) < 2:
                continue
            own = (self.get_namespace(), self.get_name())
            others = {
                f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                for info in infos
                if (info.node_namespace, info.node_name) != own
            }
            who = f"by {', '.join(sorted(others))}" if others else "by a node of the same name"
            problem = (
                f"{topic} is published {who}, too; give each node a namespace of its own, or remap "
                "its outputs"
            )
            if self._may_tell("collision", _SILENCE_REPEAT):
                self.get_logger().warning(problem)
            return problem
        return ""

    def _frame_problem(self) -> str:
        """Say that images have no frame, if there are any."""
        return frame_problem(self._values["output_frame"]) if self._told.get("frame") else ""

    def _camera_problem(self) -> str:
        """Say why the last frame had no camera, "" if it had one."""
        known = self._image_camera
        if known is None:
            return ""
        if known.calibration is not None:
            return known.problem or self._sample_watch.problem or self._camera_difference(known)
        topic = self.resolve_topic_name("camera_info")
        is_latched = self._input is not None and self._input.has_latched_info_only()
        return pairing_problem(self._pairing, topic, self.count_publishers(topic), is_latched)

    def _camera_difference(self, known: ImageCamera) -> str:
        """Say how the camera differs from those that the model was trained with."""
        predictor = self._predictor
        if predictor is None or known.camera is None:
            return ""
        training = predictor.checkpoint.metadata.training
        return camera_difference(training, known.camera, predictor.crop)

    def _wrong_type(self, publishers: list[Any]) -> str:
        """Return the type of the image topic's publishers if none has the subscribed one, or ""."""
        compressed = self._values["image_transport"] == "compressed"
        wanted = f"sensor_msgs/msg/{'CompressedImage' if compressed else 'Image'}"
        types = {info.topic_type for info in publishers}
        return "" if not types or wanted in types else ", ".join(sorted(types))

    def _other_transport(self) -> str:
        """Return the topic on which the images come with the other transport, or ""."""
        topic = self.resolve_topic_name("image")
        compressed = self._values["image_transport"] == "compressed"
        other = topic if compressed else f"{topic}/compressed"
        return other if self.count_publishers(other) else ""


def _load(values: dict[str, Any]) -> DepthPredictor:
    """Load the model that the parameters ask for."""
    _read_through(values["checkpoint"])
    # Here and not above: torch takes most of the start, and while it is imported others can
    # discover the node already.
    from monodepth2_ros.predictor import DepthPredictor

    crop = tuple(values["crop"])
    return DepthPredictor(
        values["checkpoint"],
        backend=values["backend"],
        device=values["device"],
        precision=values["precision"],
        threads=values["threads"],
        cache_dir=values["cache_dir"] or None,
        crop=None if crop[0] < 0.0 else crop,
    )


def _read_through(checkpoint: str) -> None:
    """Read the files of a checkpoint once, so that they are in memory when libraries map them.

    Libraries read while they hold the GIL. If the files never come, from a dead network mount,
    nothing of Python would run any more, not even a signal handler. Python's own reads release it.
    """
    if checkpoint in ("", "default", "random"):
        return
    path = Path(checkpoint).expanduser()
    files = sorted(path.glob("*.pth")) if path.is_dir() else [path, path.with_suffix(".bin")]
    for file in files:
        # What cannot be read is reported by those who load it.
        with contextlib.suppress(OSError), file.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def _output_options(values: dict[str, Any]) -> OutputOptions:
    """Turn parameters into the predictor's options."""
    return OutputOptions(
        output_size=values["output_size"],
        scale=values["scale"],
        min_range=values["min_range"],
        max_range=values["max_range"],
        points_stride=values["points.stride"],
        points_max_range=values["points.max_range"],
        points_far_filter=values["points.far_filter"],
        points_edge_filter=values["points.edge_filter"],
        depth_encoding=values["depth_encoding"],
        color_map=values["color_map"],
        color_range=tuple(values["color_range"]),
    )


def _has_depth(prediction: Prediction) -> bool:
    """Return whether any pixel has a depth; True where only the picture was computed."""
    if prediction.depth is not None:
        return bool(np.any(prediction.depth > 0))  # NaN or 0 is none
    if prediction.points is not None:
        return bool(np.any(prediction.points[..., 2] > 0))
    return True


def _keep_baseline(info: CameraInfo, calibration: Calibration | None, degrees: int) -> None:
    """Write the stereo baseline of the input into P of an output, in pixels of that output."""
    if calibration is None or calibration.p[0] == 0.0 or calibration.p[5] == 0.0:
        return
    # P[3] = fx * Tx and P[7] = fy * Ty, in the frame of the image before it is turned.
    x, y = calibration.p[3] / calibration.p[0], calibration.p[7] / calibration.p[5]
    x, y = turn_direction(x, y, degrees)
    if math.isfinite(x) and math.isfinite(y):
        info.p[3], info.p[7] = x * info.p[0] + 0.0, y * info.p[5] + 0.0  # no negative zeros


def _fingerprint(info: CameraInfo | None) -> Any:
    """Return what two camera_infos have in common if they say the same; NaN is equal to NaN."""
    if info is None:
        return None
    roi = info.roi
    return (
        *(info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
        *(np.asarray(values, np.float64).tobytes() for values in (info.k, info.d, info.r, info.p)),
    )


def _nanoseconds(seconds: float) -> int:
    return round(1e9 * seconds)
