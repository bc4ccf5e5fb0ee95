# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""QoS of the node's topics: profiles, the reliability that fits publishers, ROS's overrides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

RELIABILITY = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
}

_OVERRIDES = "qos_overrides."


def profile(depth: int, reliability: str, latched: bool = False) -> QoSProfile:
    """Return a profile that keeps the last messages.

    Parameters
    ----------
    depth : int
    reliability : str
        One of :data:`RELIABILITY`.
    latched : bool
        Transient local: late subscribers get the last message.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=RELIABILITY[reliability],
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def fitting_reliability(publishers: Iterable[Any]) -> str:
    """Choose the reliability with which every publisher is heard, and as much as possible arrives.

    A reliable subscription does not hear best-effort publishers at all. A best-effort one hears
    all, but large messages get lost on their way. So it is reliable where every publisher is, and
    best effort otherwise.

    Parameters
    ----------
    publishers : iterable of rclpy.topic_endpoint_info.TopicEndpointInfo

    Returns
    -------
    str
        One of :data:`RELIABILITY`; "best_effort" where nobody publishes.
    """
    offered = [info.qos_profile.reliability for info in publishers]
    is_reliable = bool(offered) and all(one == ReliabilityPolicy.RELIABLE for one in offered)
    return "reliable" if is_reliable else "best_effort"


def overriding_options(node: Node, topic: str, role: str) -> QoSOverridingOptions | None:
    """Return options for the policies that the user overrides for a topic, None if there are none.

    Only these are declared as parameters: rclpy freezes what it declares, so a policy that depends
    on a parameter of this node would keep its first value for ever.

    Parameters
    ----------
    node : Node
    topic : str
        Relative or absolute, before remapping.
    role : str
        "publisher" or "subscription".
    """
    prefix = f"{_OVERRIDES}{node.resolve_topic_name(topic)}.{role}."
    policies = {kind.name.lower(): kind for kind in QoSPolicyKind.__members__.values()}
    found = [name.removeprefix(prefix) for name in override_names(node) if name.startswith(prefix)]
    for name in found:
        if name not in policies:
            raise InvalidQosOverridesError(
                f"parameter {prefix}{name}: '{name}' is not a QoS policy; policies are "
                f"{', '.join(sorted(policies))}"
            )
    return QoSOverridingOptions([policies[name] for name in found]) if found else None


def override_names(node: Node) -> list[str]:
    """Return the names of the QoS overrides that the user has given."""
    # rclpy has no public way to ask which overrides nobody declared.
    names = getattr(node, "_parameter_overrides", {})
    return [name for name in names if name.startswith(_OVERRIDES)]


def unused_overrides(node: Node, topics: Iterable[tuple[str, str]]) -> list[str]:
    """Return the QoS overrides that fit none of a node's topics.

    Parameters
    ----------
    node : Node
    topics : iterable of (topic, role)
        As for :func:`overriding_options`.
    """
    prefixes = tuple(
        f"{_OVERRIDES}{node.resolve_topic_name(name)}.{role}." for name, role in topics
    )
    return [name for name in override_names(node) if not name.startswith(prefixes)]
