# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's end of ROS: sends a recording's messages to the node and takes what comes back.

Outputs are taken serialised: a recording keeps their very bytes, and the rosbags library reads
them without copying.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Vector3Stamped
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from monodepth2_ros.conversions import stamp_ns
from monodepth2_ros.demo.player import PlayedFrame
from monodepth2_ros.demo.republish import image_message, info_message
from monodepth2_ros.recordings.playback import (
    CAMERA_INFO,
    IMAGE,
    ODOMETRY,
    POINT_CLOUD,
    Event,
    PlayedTopics,
)

#: Topics and types of the node's outputs.
OUTPUT_TOPICS = {
    "depth": "/depth/image_rect",
    "camera_info": "/depth/camera_info",
    "color": "/depth/image_color",
    "points": "/points",
    "scale": "/depth/scale",
}
OUTPUT_TYPES = {
    "depth": IMAGE,
    "camera_info": CAMERA_INFO,
    "color": IMAGE,
    "points": POINT_CLOUD,
    "scale": "geometry_msgs/msg/Vector3Stamped",
}
_ROS_TYPES = {
    "depth": Image,
    "camera_info": CameraInfo,
    "color": Image,
    "points": PointCloud2,
    "scale": Vector3Stamped,
}

_START_PATIENCE = 300.0  # until the node is there: models may be converted first
_LISTEN_PATIENCE = 20.0  # from then until it subscribes, unless it loads a model all that time
_KNOWN_PATIENCE = 10.0  # from then until it says that it has discovered the demo
_WARM_UP_PATIENCE = 60.0
_FRAME_PATIENCE = 30.0  # until a frame has come back, when the next waits for it
_SILENCE_PATIENCE = 20.0  # without any output while images are sent
_GRACE = 2.0  # until the rest has come once the depth is there
_REPEAT = 3.0  # between attempts of the warm-up
_MISSES = 3  # frames without a cloud until none is waited for

# Before the first stamp: what the warm-up brings back must not be taken for the first frame.
_WARM_UP_OFFSET_NS = 1_000_000_000


class PlayError(RuntimeError):
    """Nothing comes out of the node; the message says why."""


class Link:
    """Publishers for the recording and subscriptions to the node; a context manager.

    Parameters
    ----------
    topics : PlayedTopics
        Topics of the recording; images and camera_info are published under their names there.
    outputs : tuple of str
        Some of :data:`OUTPUT_TOPICS`.
    check : callable
        Called while waiting; raises when waiting is in vain.

    Attributes
    ----------
    played : int
        Images sent.
    check : callable
    strangers : int
        Outputs whose stamps were never sent.
    diagnostics : dict of str to str
        The node's latest values.
    complaint : str
        The node's latest sentence about itself.
    """

    def __init__(
        self, topics: PlayedTopics, outputs: tuple[str, ...], check: Callable[[], None]
    ) -> None:
        self.played = 0
        self.strangers = 0
        self.diagnostics: dict[str, str] = {}
        self.complaint = "nothing yet"
        self._topics = topics
        self._outputs = outputs
        self.check = check
        self._changed = threading.Condition()
        self._pending: dict[int, PlayedFrame] = {}
        self._last: PlayedFrame | None = None
        self._last_arrival = time.monotonic()
        self._sent_since = 0
        self._slowest = 0.0
        self._first_sent = time.monotonic()
        self._failed_before = 0  # the warm-up may fail, too
        self._failed_known = 0
        self._info: Any = None
        self._expects_points = topics.camera_info is not None
        self._misses = 0
        self._warm_up_stamp = -1
        self._warm_up_arrivals: dict[str, float] = {}
        self._diagnostics_count = 0
        self._store = get_typestore(Stores.LATEST)

        # ctrl-C ends the demo where it is, not ROS under its feet.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("depth_demo")
        image = topics.image
        kind = CompressedImage if image.is_compressed else Image
        name = f"{image.base_name}/compressed" if image.is_compressed else image.base_name
        self._image_publisher = self._node.create_publisher(kind, name, _qos(True))
        if topics.camera_info is not None:
            self._info_publisher = self._node.create_publisher(
                CameraInfo, topics.camera_info.name, _qos(True, latched=topics.info_is_rare)
            )
        if topics.odometry is not None:
            self._odometry_publisher = self._node.create_publisher(
                Odometry, topics.odometry.name, _qos(True)
            )
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, _qos(True)
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="demo_executor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(2.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def _spin(self) -> None:
        """Take messages until the end."""
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    @property
    def failed(self) -> int:
        """Frames on which the node has failed, as far as it has said."""
        return self._number("frames failed") - self._failed_before

    @property
    def seconds(self) -> float:
        """From sending the first image to the last output."""
        return max(self._last_arrival - self._first_sent, 0.0)

    # Getting ready

    def connect(self) -> None:
        """Wait for the node and subscribe to its outputs with the reliability they have.

        Raises
        ------
        PlayError
            If it does not get ready.
        """
        node = self._node

        def is_there() -> bool:
            return all(node.count_publishers(OUTPUT_TOPICS[name]) > 0 for name in self._outputs)

        def listens() -> bool:
            return self._image_publisher.get_subscription_count() > 0

        if not self._wait(is_there, _START_PATIENCE):
            raise PlayError(
                f"the node was not there within {_START_PATIENCE:.0f} s; it says: {self.complaint}"
            )
        for name in self._outputs:
            publisher = node.get_publishers_info_by_topic(OUTPUT_TOPICS[name])[0]
            reliable = publisher.qos_profile.reliability != ReliabilityPolicy.BEST_EFFORT
            node.create_subscription(
                _ROS_TYPES[name],
                OUTPUT_TOPICS[name],
                functools.partial(self._on_output, name),
                _qos(reliable),
                raw=True,
            )
        # Only now: the node subscribes to a camera while someone subscribes to its outputs.
        started = time.monotonic()
        while not self._wait(listens, _LISTEN_PATIENCE):
            # Its outputs are there before its model, which may be converted first.
            is_loading = self.diagnostics.get("state") == "configuring"
            if is_loading and time.monotonic() - started < _START_PATIENCE:
                continue
            raise PlayError(
                f"the node does not listen to {self._image_publisher.topic_name}; it says: "
                f"{self.complaint}"
            )
        if self._topics.odometry is not None:
            odometry = self._odometry_publisher
            # Without it there is depth all the same, and diagnostics say that odometry is missing.
            self._wait(lambda: odometry.get_subscription_count() > 0, _KNOWN_PATIENCE)

        def is_known() -> bool:
            listeners = all(self._number(f"{name} listeners") for name in self._outputs)
            return listeners and self._number("image publishers") > 0

        # What the node sends to subscriptions that it has not yet discovered is lost. Where it
        # rarely reports, the warm-up finds out.
        self._wait(is_known, _KNOWN_PATIENCE)

    def warm_up(self, image: Event, info: Event | None) -> None:
        """Send a frame until it comes back: connections are made and the network is warm then.

        Parameters
        ----------
        image, info : Event
            Sent with stamps before their own.

        Raises
        ------
        PlayError
            If nothing comes back.
        """
        stamp = max(1, image.stamp_ns - _WARM_UP_OFFSET_NS)
        self._warm_up_stamp = stamp
        wanted = [
            n for n in self._outputs if info is not None or n not in ("points", "camera_info")
        ]

        def back() -> bool:
            arrivals = self._warm_up_arrivals
            if self._number("frames failed") > 0:
                return True
            return _is_late(arrivals) or all(name in arrivals for name in wanted)

        deadline = time.monotonic() + _WARM_UP_PATIENCE
        while time.monotonic() < deadline:
            if info is not None:
                self._info_publisher.publish(info_message(info.message, stamp))
            self._image_publisher.publish(image_message(image.message, stamp))
            if self._wait(back, _REPEAT):
                self._failed_before = self._number("frames failed")
                return
        raise PlayError(
            f"the first image did not come back within {_WARM_UP_PATIENCE:.0f} s; the node says: "
            f"{self.complaint}"
        )

    # Playing

    def send(self, event: Event) -> None:
        """Publish an image, a camera_info or odometry."""
        if event.kind == "camera_info":
            self._info = event.message
            self._info_publisher.publish(info_message(event.message, event.stamp_ns))
            return
        if event.kind == "odometry":
            # As it is, stamps that are late included.
            self._odometry_publisher.publish(
                bytes(self._store.serialize_cdr(event.message, ODOMETRY))
            )
            return
        message = image_message(event.message, event.stamp_ns)
        frame = PlayedFrame(self.played, event, self._info, time.monotonic())
        with self._changed:
            if self._sent_since == 0:
                self._last_arrival = frame.sent
            self._sent_since += 1
            if self.played == 0:
                self._first_sent = frame.sent
            self.played += 1
            self._pending[event.stamp_ns] = frame
            self._last = frame
        self._image_publisher.publish(message)

    def wait_for_last(self) -> None:
        """Wait until all outputs of the last image are there, or the node has failed on it.

        Raises
        ------
        PlayError
            If neither happens.
        """
        frame = self._last
        if frame is None:
            return

        def settled() -> bool:
            return (
                self._is_complete(frame)
                or self.failed > self._failed_known
                or _is_late(frame.arrivals)
            )

        if not self._wait(settled, _FRAME_PATIENCE):
            raise PlayError(
                f"image {frame.number} did not come back within {_FRAME_PATIENCE:.0f} s; the node "
                f"says: {self.complaint}"
            )
        self._failed_known = self.failed
        if "depth" not in frame.arrivals:
            return
        if "points" not in frame.arrivals and self._expects_points:
            self._misses += 1
            self._expects_points = self._misses < _MISSES
        else:
            self._misses = 0

    def pause(self, seconds: float) -> None:
        """Wait a little for something to come back; notice when nothing ever does.

        Raises
        ------
        PlayError
            If nothing has come back for long although images are sent.
        """
        with self._changed:
            self._changed.wait(min(max(0.0, seconds), 0.1))
        silence = time.monotonic() - self._last_arrival
        # During a pause of the recording the node is not silent.
        if silence > _SILENCE_PATIENCE and self._sent_since > 1:
            raise PlayError(
                f"nothing came back for {silence:.0f} s; the node says: {self.complaint}"
            )

    def take_finished(self, everything: bool = False) -> list[PlayedFrame]:
        """Take the frames that are complete or were passed over, oldest first.

        A frame is left until the next has been sent, for its truth may have been recorded after
        it; `everything` takes all.
        """
        with self._changed:
            complete = [f.number for f in self._pending.values() if self._is_complete(f)]
            newest = max(complete, default=-1)
            taken = []
            for stamp, frame in self._pending.items():
                # Topics may overtake each other by one frame.
                settled = self._is_complete(frame) or frame.number < newest - 1
                if not everything and not (settled and frame.number < self.played - 1):
                    break
                taken.append(stamp)
            return [self._pending.pop(stamp) for stamp in taken]

    def settle(self) -> None:
        """Wait for the last images as long as they usually take."""
        last = self._last
        if last is None:
            return

        def quiet() -> bool:
            silence = time.monotonic() - max(self._last_arrival, last.sent)
            return self._is_complete(last) or silence > _GRACE + 2.0 * self._slowest

        self._wait(quiet, _FRAME_PATIENCE)

    def wait_for_diagnostics(self) -> None:
        """Wait a little for a report of the node that includes all that was played."""
        count = self._diagnostics_count + 2
        self._wait(lambda: self._diagnostics_count >= count, 3.0)

    def _is_complete(self, frame: PlayedFrame) -> bool:
        """Tell whether everything that is to be expected has come back."""
        optional = (
            () if self._expects_points and frame.info is not None else ("points", "camera_info")
        )
        return all(name in frame.arrivals or name in optional for name in self._outputs)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds; return whether it does."""
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                if condition():
                    return True
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return False
                self._changed.wait(min(left, 0.1))
            self.check()

    # Executor thread

    def _on_output(self, name: str, data: bytes) -> None:
        now = time.monotonic()
        message: Any = self._store.deserialize_cdr(data, OUTPUT_TYPES[name])
        stamp = stamp_ns(message.header)
        with self._changed:
            self._last_arrival = now
            self._sent_since = 0
            if stamp == self._warm_up_stamp:
                self._warm_up_arrivals.setdefault(name, now)
            elif (frame := self._pending.get(stamp)) is not None:
                frame.arrivals[name] = now
                self._slowest = max(self._slowest, now - frame.sent)
                frame.data[name] = data
                frame.messages[name] = message
                if name == "points":
                    self._expects_points, self._misses = True, 0
            else:
                self.strangers += 1
            self._changed.notify_all()

    def _on_diagnostics(self, report: DiagnosticArray) -> None:
        for status in report.status:
            if status.name != "depth: depth":
                continue
            with self._changed:
                self.complaint = status.message
                self.diagnostics = {item.key: item.value for item in status.values}
                self._diagnostics_count += 1
                self._changed.notify_all()

    def _number(self, key: str) -> int:
        """Return a count of the node's report."""
        return int(self.diagnostics.get(key, 0))


def _is_late(arrivals: Mapping[str, float]) -> bool:
    """Tell whether outputs of a frame that are still missing will not come any more.

    The factor comes before the depth, and alone while depth is withheld (scaling.require).
    """
    now = time.monotonic()
    return now - arrivals.get("depth", arrivals.get("scale", now)) > _GRACE


def _qos(reliable: bool, latched: bool = False) -> QoSProfile:
    """Return a QoS that keeps a few messages."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=10, reliability=reliability, durability=durability
    )
