# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Subscriptions whose messages are taken when they are needed, not when they arrive.

To wake a thread for a message takes longer than to take the message. A camera_info is of no use
before its image is there; so it is taken with the image, and waited for only by an image that came
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.subscription import Subscription


class OnDemand(CallbackGroup):
    """A group whose subscriptions no executor waits for, as long as nothing waits for them.

    Their QoS events are served all the same. For one thread: that of the executor.

    Attributes
    ----------
    is_awaited : bool
        Whether executors wait for the messages at present.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = False

    def can_execute(self, entity: Any) -> bool:
        """Whether an executor may wait for an entity."""
        return self.is_awaited or not isinstance(entity, Subscription)

    def beginning_execution(self, entity: Any) -> bool:
        """Allow every callback: one thread runs one at a time."""
        return True

    def ending_execution(self, entity: Any) -> None:
        """Do nothing: no callback keeps others from running."""


def take_waiting(subscription: Any) -> Iterator[Any]:
    """Take the messages that have arrived, oldest first; at most as many as the queue holds.

    Parameters
    ----------
    subscription : rclpy.Subscription

    Yields
    ------
    message or bytes
        As the subscription's callback gets it.
    """
    # No more, because a publisher may be faster than this.
    for _ in range(max(1, subscription.qos_profile.depth)):
        try:
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        except _rclpy.InvalidHandle:
            return  # destroyed meanwhile
        if taken is None:
            return
        yield taken[0]
