# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its subscriptions, its place in the mailbox, its outputs and its state.

Messages come in on the executor's thread; frames are processed on the worker's and on that of
:class:`monodepth2_ros.node.finisher.Finisher`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage

from monodepth2_ros.cdr import ReceivedImage
from monodepth2_ros.conversions import stamp_ns
from monodepth2_ros.node.camera_input import CameraInput, image_topic
from monodepth2_ros.node.diagnostics import (
    FrameStatistics,
    NodeStatus,
    assess_health,
    pairing_problem,
)
from monodepth2_ros.node.fixed_scale import make_scaling
from monodepth2_ros.node.frame_processor import FrameProcessor, PreparedFrame, ReceivedFrame
from monodepth2_ros.node.frames import TurnedFrame, frame_problem
from monodepth2_ros.node.log_limit import LogLimit
from monodepth2_ros.node.output_topics import OUTPUT_TOPICS, SCALE_TOPIC, OutputTopics
from monodepth2_ros.node.pairing import CameraInfoPairing
from monodepth2_ros.node.qos import overriding_options
from monodepth2_ros.node.stamp_gaps import StampGaps

if TYPE_CHECKING:
    from monodepth2_ros.predictor import DepthPredictor, Prediction

# An image waits at most this long for its camera_info before it goes on without, in seconds.
_PAIRING_PATIENCE = 0.2

# Seconds between looks at the QoS that publishers offer.
_QOS_PERIOD = 0.4

# Seconds until a camera that nobody needs any more is unsubscribed from.
_IDLE_AFTER = 2.0

# Seconds until the log says that no image comes, and until it says so again.
_SILENCE_PATIENCE = 5.0
_SILENCE_REPEAT = 30.0

#: Leaves a frame for the worker; returns whether an older one was dropped for it.
Hand = Callable[[ReceivedFrame], bool]


class CameraStream:
    """What the node has of one camera.

    Parameters
    ----------
    node : LifecycleNode
    name : str
        The camera's name; "" for the only one of a node, whose topics have no namespace of their
        own.
    values : mapping
        Its parameters.
    turned_frame : TurnedFrame
    on_fault : callable
        Receives the topic and the exception of a message that could not be taken.

    Attributes
    ----------
    name : str
    statistics : FrameStatistics
    failure : str
        Why the last frame failed; "" if it went well.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        values: Mapping[str, Any],
        turned_frame: TurnedFrame,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self.name = name
        self.statistics = FrameStatistics()
        self.failure = ""
        self._node = node
        self._values = values
        self._turned_frame = turned_frame
        self._on_fault = on_fault
        self._prefix = f"{name}/" if name else ""
        self._outputs = OutputTopics(node, self._prefix)
        self._scaling = make_scaling(values)
        self._scale_subscriptions: list[Any] = []
        self._processor: FrameProcessor | None = None
        self._input: CameraInput | None = None
        self._hand: Hand | None = None
        self._pairing = CameraInfoPairing(None)
        self._gaps = StampGaps()
        self._limit = LogLimit()
        self._frame = ""
        self._opened = self._last_listened = 0.0
        self._last_stamp_ns = 0
        self._patience: Any = None

    @property
    def image_topic(self) -> str:
        """The image topic, resolved."""
        compressed = self._values["image_transport"] == "compressed"
        return image_topic(self._node, compressed, self._prefix)

    @property
    def input_topics(self) -> tuple[str, str]:
        """The topics of image and camera_info, resolved."""
        return self.image_topic, self._node.resolve_topic_name(f"{self._prefix}camera_info")

    def topics(self) -> list[tuple[str, str]]:
        """Return each topic with "publisher" or "subscription"."""
        outputs = [topic for topic, _ in OUTPUT_TOPICS.values()]
        if self._scaling.is_live:
            outputs.append(SCALE_TOPIC)
        inputs = [*self.input_topics, *(one[0] for one in self._scaling.subscriptions())]
        return [
            *((f"{self._prefix}{topic}", "publisher") for topic in outputs),
            *((topic, "subscription") for topic in inputs),
        ]

    # Lifecycle

    def take(self, values: Mapping[str, Any]) -> None:
        """Take the parameters with which the node configures."""
        self._values = values
        self._scaling.close()
        self._scaling = make_scaling(values)

    def create_publishers(self) -> None:
        """Create the outputs, before the model is there.

        Raises
        ------
        InvalidQosOverridesError, RuntimeError
            If a QoS override cannot be used.
        """
        self._outputs.create(self._values, self._scaling.is_live)

    def use(self, predictor: DepthPredictor) -> None:
        """Take the model; `predictor` is for this camera alone."""
        self._processor = FrameProcessor(
            predictor,
            self._values,
            self._scaling,
            self._outputs,
            self._turned_frame,
            self.image_topic,
            self._warn,
        )

    def open(self, hand: Hand) -> None:
        """Subscribe; frames go to `hand`."""
        values = self._values
        by_stamp = values["pairing"] == "stamp"
        tolerance = nanoseconds(values["pairing_tolerance"]) if by_stamp else None
        self._pairing = CameraInfoPairing(tolerance, values["camera_info_frame"] == "any")
        self._gaps = StampGaps()
        self._hand = hand
        self.failure = ""
        if self._processor is not None:
            self._processor.restart()
        self._input = CameraInput(
            self._node,
            compressed=values["image_transport"] == "compressed",
            reliability=values["input_reliability"],
            depth=values["input_depth"],
            with_latched_info=not by_stamp,
            on_image=self._on_image,
            on_info=self._on_info,
            on_fault=self._on_fault,
            prefix=self._prefix,
        )
        # A steady clock, as a simulated one may stand still. It runs while an image waits.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._patience = self._node.create_timer(
            _PAIRING_PATIENCE, self._expire_waiting, clock=steady
        )
        self._patience.cancel()
        self._last_listened = -math.inf
        self.tend_input()
        self._scale_subscriptions = [
            self._node.create_subscription(
                kind,
                topic,
                callback,
                qos,
                qos_overriding_options=overriding_options(self._node, topic, "subscription"),
            )
            for topic, kind, callback, qos in self._scaling.subscriptions()
        ]

    def close(self) -> None:
        """Unsubscribe."""
        if self._input is not None:
            self._input.close()
            self._input = None
            self._node.destroy_timer(self._patience)
        for subscription in self._scale_subscriptions:
            self._node.destroy_subscription(subscription)
        self._scale_subscriptions = []

    def release(self) -> None:
        """Destroy the outputs and forget the model."""
        self._outputs.destroy()
        self._scaling.close()
        self._processor = None

    def update(self, values: Mapping[str, Any]) -> None:
        """Take changed parameters."""
        self._values = values
        if self._processor is not None:
            self._scaling.update(values)
            self._processor.update(values)
            if values["pairing"] == "stamp":
                self._pairing.tolerance_ns = nanoseconds(values["pairing_tolerance"])

    # Executor thread

    def tend_input(self) -> bool:
        """Subscribe to the camera while someone listens, with the reliability that fits it.

        Returns
        -------
        bool
            Whether that is soon to be done again, as there may be a listener by then.
        """
        if self._input is None:
            return True
        now = time.monotonic()
        if not self._values["lazy"] or any(self._outputs.listeners().values()):
            self._last_listened = now
            if not self._input.is_open:
                self._gaps.reset()
                self._opened = now
                self._input.open()
        elif self._input.is_open and now - self._last_listened > _IDLE_AFTER:
            self._input.close()
        if self._limit.is_due("reliability", _QOS_PERIOD) and self._input.follow():
            self._node.get_logger().info(
                f"{self._input.image_topic}: subscribed again as {self._input.reliability}, as "
                "its publishers offer"
            )
        # Also where no image comes, as diagnostics say what camera_info there is.
        self._input.take_infos()
        return not self._input.is_open

    def _expire_waiting(self) -> None:
        """Release an image that has waited for its camera_info long enough."""
        self._patience.cancel()
        self._forward(self._pairing.expire())

    def _on_image(self, image: ReceivedImage | CompressedImage) -> None:
        self.statistics.count("received")
        stamp = stamp_ns(image.header)
        if stamp < self._last_stamp_ns:
            self.statistics.count("time jump")
        self._last_stamp_ns = stamp
        self._gaps.add(stamp)
        self._note_frame(image.header.frame_id)
        item = (image, time.monotonic())
        self._forward(self._pairing.add_image(stamp, item, image.header.frame_id))
        if self._pairing.is_waiting:
            self._patience.reset()

    def _note_frame(self, frame: str) -> None:
        """Warn about a frame that cannot be that of a camera's image, when it is new."""
        if frame != self._frame or not self._limit.has_seen("frame"):
            self._frame = frame
            problem = frame_problem(self._values["output_frame"] or frame)
            if problem and self._limit.is_due("frame", 5.0):
                self._warn(problem)

    def _on_info(self, info: CameraInfo, stamp: int) -> None:
        self._forward(self._pairing.add_info(stamp, info, info.header.frame_id))

    def _forward(self, pairs: list[tuple[Any, Any]]) -> None:
        for (image, received), info in pairs:
            if self._hand is None:
                continue
            frame = ReceivedFrame(image, info, received)
            if self._hand(frame):
                self.statistics.count("dropped")
            if self._processor is not None:
                self._processor.prepare_ahead(frame)
        if self._input is not None:
            self._input.await_info(self._pairing.is_waiting)

    # Worker thread

    def begin(self, frame: ReceivedFrame) -> Callable[[], None] | None:
        """Process a frame up to the end of the network; what fails is raised.

        Returns
        -------
        callable, or None
            Publishes its messages; None if nobody listens. Where :attr:`can_overlap`, another
            thread may do that while this one begins with the next frame.
        """
        assert self._processor is not None  # released only after the worker has ended
        publish = self._processor.begin(frame)
        if publish is None:
            self._note_idle()
            return None

        def finish() -> None:
            self._note_published(publish())

        return finish

    def prepare(self, frame: ReceivedFrame) -> PreparedFrame | None:
        """Process a frame up to the network; None if nobody listens. What fails is raised."""
        assert self._processor is not None
        prepared = self._processor.prepare(frame)
        if prepared is None:
            self._note_idle()
        return prepared

    def conclude(self, prepared: PreparedFrame, prediction: Prediction | None) -> None:
        """Publish what was predicted of a frame."""
        self._note_published(prepared.finish(prediction))

    @property
    def can_batch(self) -> bool:
        """Whether a frame may go through the network together with those of other cameras."""
        return self._processor is not None and self._processor.can_batch

    def _note_idle(self) -> None:
        """Count a frame that nobody listened to."""
        self.failure = ""
        self.statistics.count("idle")

    def _note_published(self, seconds: dict[str, float]) -> None:
        """Count a frame whose messages are out."""
        self.failure = ""
        self.statistics.count("published")
        self.statistics.add_latencies(seconds)

    @property
    def can_overlap(self) -> bool:
        """Whether a frame may be finished while the next one begins."""
        return self._processor is not None and self._processor.can_overlap

    def note_failure(self, frame: ReceivedFrame, error: Exception) -> None:
        """Count and log what a frame raised."""
        self.statistics.count("failed")
        self.failure = f"{type(error).__name__}: {error}"
        stamp = frame.image.header.stamp
        if self._limit.is_due("failure", 1.0):
            self._node.get_logger().error(
                self._said(f"frame {stamp.sec}.{stamp.nanosec:09d}: {self.failure}")
            )

    # Diagnostics

    def report(
        self, lifecycle: str, period: float, predictor: DepthPredictor | None
    ) -> tuple[int, str, dict[str, Any]]:
        """Return level, message and values for diagnostics: why nothing comes out, if so.

        Parameters
        ----------
        lifecycle : str
            Label of the node's state.
        period : float
            Seconds between reports.
        predictor : DepthPredictor or None
        """
        statistics, source, node = self.statistics, self._input, self._node
        is_open = source is not None and source.is_open
        listeners = self._outputs.listeners()
        topic = self.image_topic
        status = NodeStatus(
            lifecycle=lifecycle,
            image_topic=topic,
            image_publishers=node.count_publishers(topic),
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
            period=period,
            listeners=sum(listeners.values()),
            failure=self.failure,
            is_empty=self._processor is not None and self._processor.is_empty,
            camera_problem=self._camera_problem(),
            scale_problem=self._scaling.problem(),
            weights_are_random=bool(predictor and predictor.checkpoint.is_random),
            output_rate=statistics.rate("published"),
        )
        level, message = assess_health(status)
        self._tell_silence(status, message)
        values = {
            "state": lifecycle,
            **statistics.values(),
            "images without camera_info": self._pairing.unpaired,
            "image publishers": 0 if source is None else source.connected("image"),
            "camera_info publishers": 0 if source is None else source.connected("camera_info"),
            "subscribed to the camera": "yes" if is_open else "no",
            "image reliability": source.reliability if source is not None and is_open else "",
            "camera period (ms)": f"{1e3 * self._gaps.period:.1f}",
            "images lost before the node (%)": f"{100.0 * self._gaps.lost_share:.1f}",
            **{f"{name} listeners": listeners.get(name, 0) for name in OUTPUT_TOPICS},
            **self._scaling.diagnostics(),
        }
        if predictor is not None:
            values["device"] = str(predictor.backend.device)
            values["backend"] = f"{predictor.backend.name} {predictor.backend.precision}"
            values["checkpoint"] = predictor.checkpoint.source
        if self.failure:
            values["last failure"] = self.failure
        return level, message, values

    def _tell_silence(self, status: NodeStatus, message: str) -> None:
        """Say in the log, now and then, that no image comes and why."""
        if self._input is None or not self._input.is_open or not message.startswith("no image"):
            return
        silent = min(status.image_age, status.subscribed_for)
        if silent >= _SILENCE_PATIENCE and self._limit.is_due("silence", _SILENCE_REPEAT):
            transport = self._values["image_transport"]
            self._warn(
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
        node = self._node
        for topic in self._outputs.topics():
            if node.count_publishers(topic) < 2:
                continue
            infos = node.get_publishers_info_by_topic(topic)
            own = (node.get_namespace(), node.get_name())
            others = {
                f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                for info in infos
                if (info.node_namespace, info.node_name) != own
            }
            # Names come with discovery, some time after the publishers.
            is_named = not any("_NODE_NAME_UNKNOWN_" in one for one in others)
            named = ", ".join(sorted(others)) if is_named else "another node"
            who = f"by {named}" if others else "by a node of the same name"
            problem = (
                f"{topic} is published {who}, too; give each node a namespace of its own, or remap "
                "its outputs"
            )
            if is_named and self._limit.is_due("collision", _SILENCE_REPEAT):
                self._warn(problem)
            return problem
        return ""

    def _frame_problem(self) -> str:
        """Say that images have no frame, if there are any."""
        has_images = self._limit.has_seen("frame")
        return frame_problem(self._values["output_frame"]) if has_images else ""

    def _camera_problem(self) -> str:
        """Say why the last frame had no camera, "" if it had one."""
        if self._processor is None or self._processor.image_camera is None:
            return ""
        if self._processor.image_camera.calibration is not None:
            return self._processor.camera_problem()
        topic = self.input_topics[1]
        is_latched = self._input is not None and self._input.has_latched_info_only()
        count = self._node.count_publishers(topic)
        return pairing_problem(self._pairing, topic, count, is_latched)

    def _wrong_type(self, publishers: list[Any]) -> str:
        """Return the type of the image topic's publishers if none has the subscribed one, or ""."""
        compressed = self._values["image_transport"] == "compressed"
        wanted = f"sensor_msgs/msg/{'CompressedImage' if compressed else 'Image'}"
        types = {info.topic_type for info in publishers}
        return "" if not types or wanted in types else ", ".join(sorted(types))

    def _other_transport(self) -> str:
        """Return the topic on which the images come with the other transport, or ""."""
        compressed = self._values["image_transport"] == "compressed"
        other = image_topic(self._node, not compressed, self._prefix)
        return other if self._node.count_publishers(other) else ""

    def _warn(self, text: str) -> None:
        """Log a warning, with the camera if there are several."""
        self._node.get_logger().warning(self._said(text))

    def _said(self, text: str) -> str:
        """Return a line for the log."""
        return f"{self.name}: {text}" if self.name else text


def nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(1e9 * seconds)
