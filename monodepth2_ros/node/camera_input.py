# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's subscriptions to a camera: made while someone listens, with the QoS that fits.

Raw images and camera_info are taken as bytes, see :mod:`monodepth2_ros.cdr`: rclpy would copy the
pixels again, and make a message of each camera_info, which is nearly always that of the last frame.
camera_info is taken when its image is there, see :mod:`monodepth2_ros.node.on_demand`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, qos_check_compatible
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from monodepth2_ros.cdr import ReceivedImage, read_image, read_stamp, without_stamp
from monodepth2_ros.node.on_demand import OnDemand, take_waiting
from monodepth2_ros.node.qos import (
    fitting_reliability,
    override_names,
    overriding_options,
    profile,
)

# A camera may alternate between a few settings.
_INFOS_KEPT = 4

# QoS depth of camera_info. Infos may come more often than images, and long before them.
_INFO_DEPTH = 120


class CameraInput:
    """Subscribes to an image topic and its camera_info.

    Parameters
    ----------
    node : Node
    compressed : bool
        Subscribe to ``image/compressed`` instead of ``image``.
    reliability : str
        "best_effort", "reliable", or "auto" to follow what the publishers offer.
    depth : int
        QoS depth of the image subscription.
    with_latched_info : bool
        Also hear a camera_info that was published before.
    on_image : callable
        Receives an Image, or what is read like one, or a CompressedImage.
    on_info : callable
        Receives a CameraInfo and its stamp in nanoseconds. The message is that of an earlier
        stamp where nothing else has changed since.
    on_fault : callable
        Receives the topic and the exception of a camera_info that could not be taken.
    prefix : str
        Before the names of the topics: "" or "<camera>/".

    Attributes
    ----------
    image_topic, info_topic : str
        As resolved.
    """

    def __init__(
        self,
        node: Node,
        *,
        compressed: bool,
        reliability: str,
        depth: int,
        with_latched_info: bool,
        on_image: Callable[[ReceivedImage | CompressedImage], None],
        on_info: Callable[[CameraInfo, int], None],
        on_fault: Callable[[str, Exception], None],
        prefix: str = "",
    ) -> None:
        self.image_topic = image_topic(node, compressed, prefix)
        self.info_topic = node.resolve_topic_name(f"{prefix}camera_info")
        self._node = node
        self._kind = CompressedImage if compressed else Image
        self._overrides = override_names(node, self.image_topic, "subscription")
        is_overridden = any(name.endswith(".reliability") for name in self._overrides)
        self._follows = reliability == "auto" and not is_overridden
        self._chosen = "best_effort" if reliability == "auto" else reliability
        self._depth = depth
        self._with_latched_info = with_latched_info
        self._on_image = on_image
        self._on_info = on_info
        self._on_fault = on_fault
        self._info_group = OnDemand()
        self._infos: dict[bytes, CameraInfo] = {}
        self._subscriptions: dict[str, Any] = {}

    @property
    def reliability(self) -> str:
        """Reliability of the image subscription at present, with the user's overrides."""
        subscription = self._subscriptions.get("image")
        if subscription is None:
            return self._chosen
        return str(subscription.qos_profile.reliability.name).lower()

    @property
    def is_open(self) -> bool:
        """Whether there are subscriptions at present."""
        return bool(self._subscriptions)

    def open(self) -> None:
        """Subscribe, unless that is done."""
        if self._subscriptions:
            return
        if self._follows:
            self._chosen = fitting_reliability(self.publishers())
        # Infos are small; many are kept, so that none is missed until an image comes.
        self._subscribe("camera_info", CameraInfo, self.info_topic, _INFO_DEPTH, "best_effort")
        self._subscribe_to_image()
        if self._with_latched_info:
            # A latched camera_info reaches late subscribers only if they ask for it, and who asks
            # for it hears no others: hence both subscriptions.
            name = "latched camera_info"
            self._subscribe(name, CameraInfo, self.info_topic, 1, "reliable", latched=True)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def take_infos(self) -> None:
        """Take each camera_info that has arrived."""
        for name, subscription in self._subscriptions.items():
            if name == "image":
                continue
            for message in take_waiting(subscription):
                try:
                    self._take_info(message)
                except Exception as error:  # of this message alone
                    self._on_fault(self.info_topic, error)

    def await_info(self, is_awaited: bool) -> None:
        """Say whether camera_info is to be taken as soon as it arrives, as an image waits."""
        self._info_group.is_awaited = is_awaited

    def follow(self) -> bool:
        """Subscribe again if publishers have come or gone so that another reliability fits.

        Returns
        -------
        bool
            Whether it has changed.
        """
        publishers = self.publishers() if self._follows and self._subscriptions else []
        if not publishers or fitting_reliability(publishers) == self._chosen:
            return False
        self._chosen = fitting_reliability(publishers)
        self._node.destroy_subscription(self._subscriptions.pop("image"))
        self._subscribe_to_image()
        return True

    def publishers(self) -> list[Any]:
        """Return what discovery knows of the publishers of the image."""
        return list(self._node.get_publishers_info_by_topic(self.image_topic))

    def connected(self, name: str) -> int:
        """Count the publishers of "image" or "camera_info" whose messages arrive from now on."""
        subscription = self._subscriptions.get(name)
        if subscription is None:
            return 0
        if hasattr(subscription, "get_publisher_count"):
            return int(subscription.get_publisher_count())
        return self._node.count_publishers(subscription.topic_name)  # an older rclpy

    def qos_conflict(self) -> str:
        """Say why no publisher's QoS fits the image subscription, "" if one's does."""
        subscription = self._subscriptions.get("image")
        offered = [info.qos_profile for info in self.publishers()]
        if subscription is None or not offered:
            return ""
        fits = [qos_check_compatible(qos, subscription.qos_profile) for qos in offered]
        if any(level != QoSCompatibility.ERROR for level, _ in fits):
            return ""
        if self._overrides:
            return (
                f"its publisher's QoS does not fit ({fits[0][1].strip(' ;')}); change "
                f"{', '.join(self._overrides)}"
            )
        return (
            "its publisher is best effort, input_reliability is 'reliable'; set it to 'auto' or "
            "'best_effort'"
        )

    def has_latched_info_only(self) -> bool:
        """Return whether every publisher of camera_info is latched, and so may publish once."""
        infos = self._node.get_publishers_info_by_topic(self.info_topic)
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        return bool(infos) and all(info.qos_profile.durability == latched for info in infos)

    def _subscribe_to_image(self) -> None:
        self._subscribe("image", self._kind, self.image_topic, self._depth, self._chosen)

    def _subscribe(
        self, name: str, kind: Any, topic: str, depth: int, reliability: str, latched: bool = False
    ) -> None:
        """Create one subscription."""
        callback: Callable[[Any], None] = {
            Image: self._take_image,
            CompressedImage: self._take_compressed,
            CameraInfo: self._take_info,
        }[kind]
        self._subscriptions[name] = self._node.create_subscription(
            kind,
            topic,
            callback,
            profile(depth, reliability, latched),
            qos_overriding_options=overriding_options(self._node, topic, "subscription"),
            callback_group=self._info_group if kind is CameraInfo else None,
            raw=kind is not CompressedImage,
        )

    def _take_image(self, message: bytes) -> None:
        image = read_image(message, Header)
        self.take_infos()
        self._on_image(image)

    def _take_compressed(self, message: CompressedImage) -> None:
        self.take_infos()
        self._on_image(message)

    def _take_info(self, message: bytes) -> None:
        seconds, nanoseconds = read_stamp(message)
        content = without_stamp(message)
        info = self._infos.pop(content, None)
        if info is None:
            info = deserialize_message(message, CameraInfo)
        self._infos[content] = info  # the last one is the newest
        while len(self._infos) > _INFOS_KEPT:
            del self._infos[next(iter(self._infos))]
        self._on_info(info, seconds * 1_000_000_000 + nanoseconds)


def image_topic(node: Node, compressed: bool, prefix: str = "") -> str:
    """Return the image topic, resolved; compressed images have one of their own below it."""
    topic = node.resolve_topic_name(f"{prefix}image")
    return f"{topic}/compressed" if compressed else topic
