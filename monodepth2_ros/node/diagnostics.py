# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts, rates and latencies of the node, and the one sentence that says how it is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from monodepth2_ros import __version__

if TYPE_CHECKING:
    from monodepth2_ros.node.pairing import CameraInfoPairing

# Rates are taken over this many seconds, latencies over this many frames.
_RATE_WINDOW = 5.0
_LATENCY_WINDOW = 200


class FrameStatistics:
    """Counts and times frames; may be used from several threads.

    Times are of the monotonic clock, so that jumps of the ROS clock do not disturb rates.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._arrivals: dict[str, deque[float]] = {}
        self._stages: dict[str, deque[float]] = {}
        self._refused: dict[str, int] = {}
        self._last_refusal = ""

    def count(self, event: str) -> None:
        """Count an event, such as "received", "published", "dropped" or "failed"."""
        now = time.monotonic()
        with self._lock:
            self._counts[event] = self._counts.get(event, 0) + 1
            times = self._arrivals.setdefault(event, deque(maxlen=1000))
            times.append(now)

    def count_refusal(self, origin: str, reason: str) -> None:
        """Count a message or request that was refused, by the topic or service it came from."""
        self.count("refused")
        with self._lock:
            self._refused[origin] = self._refused.get(origin, 0) + 1
            self._last_refusal = f"{origin}: {reason}"

    def total(self, event: str) -> int:
        """Return how often an event was counted."""
        with self._lock:
            return self._counts.get(event, 0)

    def rate(self, event: str) -> float:
        """Return events a second over the last seconds."""
        now = time.monotonic()
        with self._lock:
            recent = [at for at in self._arrivals.get(event, ()) if now - at <= _RATE_WINDOW]
        if len(recent) < 2:
            return 0.0
        # To the last event while they keep coming, to now once they are overdue.
        spacing = (recent[-1] - recent[0]) / (len(recent) - 1)
        overdue = now - recent[-1]
        return (len(recent) - 1) / (recent[-1] - recent[0] + max(0.0, overdue - 2.0 * spacing))

    def age(self, event: str) -> float:
        """Return the seconds since an event was last counted; infinite if it never was."""
        with self._lock:
            times = self._arrivals.get(event)
            return time.monotonic() - times[-1] if times else float("inf")

    def add_latencies(self, seconds: dict[str, float]) -> None:
        """Keep the seconds that a frame spent in each stage."""
        with self._lock:
            for stage, value in seconds.items():
                self._stages.setdefault(stage, deque(maxlen=_LATENCY_WINDOW)).append(value)

    def latencies(self) -> dict[str, tuple[float, float]]:
        """Return median and 95th percentile of each stage, in seconds."""
        with self._lock:
            stages = {name: list(values) for name, values in self._stages.items()}
        return {
            name: (float(np.median(values)), float(np.percentile(values, 95)))
            for name, values in stages.items()
        }

    def values(self) -> dict[str, Any]:
        """Return rates, counts and latencies as diagnostics show them."""
        values: dict[str, Any] = {
            "input rate (Hz)": f"{self.rate('received'):.2f}",
            "output rate (Hz)": f"{self.rate('published'):.2f}",
            "images received": self.total("received"),
            "frames published": self.total("published"),
            "frames dropped": self.total("dropped"),
            "frames failed": self.total("failed"),
            "frames without listener": self.total("idle"),
            "time jumps": self.total("time jump"),
            "messages refused": self.total("refused"),
        }
        with self._lock:
            for origin, number in sorted(self._refused.items()):
                values[f"refused from {origin}"] = number
            if self._last_refusal:
                values["last refusal"] = self._last_refusal
        for stage, (median, high) in self.latencies().items():
            values[f"{stage} median (ms)"] = f"{1e3 * median:.2f}"
            values[f"{stage} 95 % (ms)"] = f"{1e3 * high:.2f}"
        return values


@dataclass
class NodeStatus:
    """What :func:`assess_health` needs to know.

    Attributes
    ----------
    lifecycle : str
        Label of the lifecycle state.
    image_topic : str
        As resolved.
    image_publishers : int
        Publishers that discovery sees.
    qos_conflict : str
        Why the publishers' QoS does not fit, or "".
    wrong_type : str
        Type of the publishers if it is not the subscribed one, or "".
    other_transport : str
        Topic on which images come with the other transport, or "".
    is_subscribed : bool
        Whether the node subscribes to the camera at present.
    subscribed_for : float
        Seconds since it does.
    lost_share : float
        Share of the camera's images that do not arrive, 0 to 1.
    loss_remedy : str
        What to do about it.
    collision : str
        Which output another node publishes, too, or "".
    frame_problem : str
        What is wrong with the image's frame_id, or "".
    image_age : float
        Seconds since the last image.
    period : float
        Seconds between judgements.
    listeners : int
        Subscribers of all outputs.
    failure : str
        The last frame's error, "" if it went well.
    is_empty : bool
        Whether the last frame had no depth at all.
    camera_problem : str
        Why the last frame had no camera, or was rectified doubtfully; "" if all is well.
    scale_problem : str
        Why depth is withheld because its scale is unknown; "" if it is published.
    weights_are_random : bool
    output_rate : float
    """

    lifecycle: str
    image_topic: str
    image_publishers: int = 0
    qos_conflict: str = ""
    wrong_type: str = ""
    other_transport: str = ""
    is_subscribed: bool = True
    subscribed_for: float = float("inf")
    lost_share: float = 0.0
    loss_remedy: str = ""
    collision: str = ""
    frame_problem: str = ""
    image_age: float = float("inf")
    period: float = 1.0
    listeners: int = 0
    failure: str = ""
    is_empty: bool = False
    camera_problem: str = ""
    scale_problem: str = ""
    weights_are_random: bool = False
    output_rate: float = 0.0


# Share of the images that may get lost without a warning: stamps jitter, cameras skip a frame.
_TOLERATED_LOSS = 0.1

#: Levels of diagnostic_msgs/DiagnosticStatus.
OK, WARN, ERROR = 0, 1, 2


def assess_health(status: NodeStatus) -> tuple[int, str]:
    """Say in one sentence how the node is: the first thing that is wrong, with its reason.

    Parameters
    ----------
    status : NodeStatus

    Returns
    -------
    level : int
        :data:`OK`, :data:`WARN` or :data:`ERROR`.
    message : str
    """
    if status.lifecycle != "active":
        return WARN, f"not active: the node is {status.lifecycle}"
    if not status.is_subscribed:
        return OK, "idle: nobody subscribes to an output, so the camera is not subscribed to"
    # Slow cameras exist; two seconds without an image is worth a word all the same.
    if min(status.image_age, status.subscribed_for) > max(2.0, 2.0 * status.period):
        return ERROR, _missing_image(status)
    if status.image_age == float("inf"):
        return OK, "waiting for the first image"
    if status.failure:
        return ERROR, f"frames fail: {status.failure}"
    if status.listeners == 0:
        return OK, "idle: nobody subscribes to an output"
    if status.is_empty:
        return ERROR, (
            "the depth is NaN everywhere: weights or scale are corrupt, or all depth lies outside "
            "min_range to max_range"
        )
    for problem in (
        status.scale_problem,
        status.camera_problem,
        status.collision,
        status.frame_problem,
    ):
        if problem:
            return WARN, problem
    if status.weights_are_random:
        return WARN, "the weights are random: depth is meaningless; set 'checkpoint'"
    if status.lost_share > _TOLERATED_LOSS:
        return WARN, (
            f"{status.lost_share:.0%} of the camera's images do not arrive; {status.loss_remedy}"
        )
    return OK, f"publishing at {status.output_rate:.1f} Hz"


def _missing_image(status: NodeStatus) -> str:
    """Say why there is no image."""
    since = (
        "no image yet"
        if status.image_age == float("inf")
        else f"no image for {status.image_age:.0f} s"
    )
    if status.wrong_type:
        return f"{since}: {_advise_transport(status)}"
    if status.image_publishers == 0 and status.other_transport:
        to = "compressed" if status.other_transport.endswith("/compressed") else "raw"
        return (
            f"{since}: nobody publishes {status.image_topic}, but {status.other_transport} is "
            f"published; set image_transport to '{to}'"
        )
    if status.image_publishers == 0:
        return f"{since}: nobody publishes {status.image_topic}"
    if status.qos_conflict:
        return f"{since}: {status.qos_conflict}"
    return (
        f"{since} although {status.image_topic} has {status.image_publishers} publisher(s); is the "
        "camera or the recording paused?"
    )


def _advise_transport(status: NodeStatus) -> str:
    """Say what to do about a topic of another type."""
    topic = status.image_topic
    said = f"{topic} has type {status.wrong_type}"
    if status.wrong_type == "sensor_msgs/msg/CompressedImage":
        base = topic.removesuffix("/compressed")
        return f"{said}; set image_transport to 'compressed' and remap image to {base}"
    if status.wrong_type == "sensor_msgs/msg/Image":
        return f"{said}; set image_transport to 'raw' and remap image to {topic}"
    return f"{said}, which is not an image; remap image to a camera's topic"


def pairing_problem(
    pairing: CameraInfoPairing, info_topic: str, publishers: int = 0, is_latched: bool = False
) -> str:
    """Say why an image found no camera_info, "" if that may happen now and then.

    Parameters
    ----------
    pairing : CameraInfoPairing
    info_topic : str
    publishers : int
        Publishers of the camera_info topic, as discovery sees them.
    is_latched : bool
        Whether all of them are transient local.
    """
    if is_latched and pairing.tolerance_ns is not None and pairing.received <= 1:
        return (
            f"camera_info on {info_topic} is latched: it was published before this node "
            "subscribed, or once; set pairing to 'latest'. Depth is published, points are not"
        )
    if pairing.received == 0 and publishers:
        return (
            f"no camera_info on {info_topic}, although it has {publishers} publisher(s): "
            "depth is published, points are not. If it is published once (latched), set pairing "
            "to 'latest'"
        )
    if pairing.received == 0:
        return f"no camera_info on {info_topic}: depth is published, points are not"
    if pairing.other_frames:
        names = ", ".join(f"'{frame}'" for frame in pairing.other_frames)
        return (
            f"camera_info on {info_topic} is of frame {names}, the image of "
            f"'{pairing.image_frame}': it is another camera's. Remap camera_info, or set "
            "camera_info_frame to 'any' if it is right. Depth is published, points are not"
        )
    nearest = pairing.nearest_ns
    if pairing.tolerance_ns is None or nearest is None:
        return ""
    return (
        f"camera_info and image stamps do not pair: the nearest differ by "
        f"{1e-6 * nearest:.1f} ms, pairing_tolerance is {1e-6 * pairing.tolerance_ns:.1f} ms; set "
        "pairing to 'latest' or raise the tolerance. Depth is published, points are not"
    )


def diagnostic_status(
    name: str, level: int, message: str, hardware_id: str, values: Mapping[str, Any]
) -> Any:
    """Build the ``diagnostic_msgs/DiagnosticStatus`` of the node; the version is added."""
    from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

    shown = {**values, "version": __version__}
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in shown.items()],
    )
