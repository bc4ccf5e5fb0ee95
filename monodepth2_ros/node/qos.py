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
    LivelinessPolicy,
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

# Policies that take a word, and those that take a time in nanoseconds.
_WORDS = {
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "history": HistoryPolicy,
    "liveliness": LivelinessPolicy,
}
_TIMES = ("deadline", "lifespan", "liveliness_lease_duration")
_POLICIES = (*_WORDS, "depth", *_TIMES, "avoid_ros_namespace_conventions")


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
    prefix = _prefix(node, topic, role)
    found = [name.removeprefix(prefix) for name in override_names(node, topic, role)]
    return QoSOverridingOptions([QoSPolicyKind[name.upper()] for name in found]) if found else None


def override_names(node: Node, topic: str = "", role: str = "") -> list[str]:
    """Return the names of the QoS overrides that the user has given, all or those for a topic."""
    # rclpy has no public way to ask which overrides nobody declared.
    names = getattr(node, "_parameter_overrides", {})
    prefix = _prefix(node, topic, role) if topic else _OVERRIDES
    return [name for name in names if name.startswith(prefix)]


def check_overrides(node: Node, topics: Iterable[tuple[str, str]]) -> list[str]:
    """Check the QoS overrides that the user has given, and return those that fit no topic.

    Parameters
    ----------
    node : Node
    topics : iterable of (topic, role)
        As for :func:`overriding_options`.

    Raises
    ------
    InvalidQosOverridesError
        If a policy or a value is none, with the name of the parameter and what there is.
    """
    roles = {_prefix(node, topic, role): role for topic, role in topics}
    unused = []
    for name in override_names(node):
        prefix = next((one for one in roles if name.startswith(one)), None)
        if prefix is None:
            unused.append(name)
            continue
        problem = _override_problem(
            name.removeprefix(prefix), roles[prefix], node._parameter_overrides[name].value
        )
        if problem:
            raise InvalidQosOverridesError(f"parameter {name}: {problem}")
    return unused


def _override_problem(policy: str, role: str, value: Any) -> str:
    """Return why a policy cannot be overridden by a value, "" if it can."""
    # rclpy leaves the lifespan of a subscription out without a word.
    policies = [name for name in _POLICIES if (name, role) != ("lifespan", "subscription")]
    if policy not in policies:
        return f"'{policy}' is not a QoS policy of a {role}; there are {', '.join(policies)}"
    if policy in _WORDS:
        words = [one.name.lower() for one in _WORDS[policy] if one.name != "UNKNOWN"]
        known = isinstance(value, str) and value.lower() in words
        return "" if known else f"'{value}' is not one of {', '.join(words)}"
    if policy == "avoid_ros_namespace_conventions":
        return "" if isinstance(value, bool) else f"'{value}' is not true or false"
    least, unit = (1, "") if policy == "depth" else (0, " of nanoseconds")
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return f"'{value}' is not a whole number{unit} of at least {least}"
    return ""


def _prefix(node: Node, topic: str, role: str) -> str:
    """Return the start of the overrides of a topic."""
    return f"{_OVERRIDES}{node.resolve_topic_name(topic)}.{role}."
