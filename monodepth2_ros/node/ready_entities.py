# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Wait until something of a node is ready, at a fraction of what rclpy's own executor takes.

For every callback rclpy waits twice, and for each wait it makes a new wait set and fills it, QoS
events included: 0.8 ms of processor time in Python for an image and as much for its camera_info.
Here QoS events are left out; :mod:`monodepth2_ros.node.guarded_executor` looks for them now and
then.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from rclpy.executors import Executor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy

#: Kinds of entities in the order of their turns: the attribute of a node, the name in a wait set,
#: and the method of rclpy's executor that takes what is ready.
_KINDS = (
    ("timers", "timer", "_take_timer"),
    ("subscriptions", "subscription", "_take_subscription"),
    ("guards", "guard_condition", "_take_guard_condition"),
    ("clients", "client", "_take_client"),
    ("services", "service", "_take_service"),
)


#: What else is used of an executor that is not rclpy's public interface.
_USED = ("_tasks", "_tasks_lock", "_guard", "_sigint_gc", "_is_shutdown", "_work_tracker")


def is_supported(executor: Executor) -> bool:
    """Whether an executor is of a kind that is known here: that of rclpy in Jazzy."""
    names = [*_USED, *(take for _, _, take in _KINDS)]
    if not all(hasattr(executor, name) for name in names) or not hasattr(_rclpy, "WaitSet"):
        return False
    # In Humble a handler is made of two functions; what one takes is a message there.
    return len(inspect.signature(Executor._make_handler).parameters) == 4


class ReadyEntities:
    """Finds what is ready of the nodes of an executor.

    Parameters
    ----------
    context : rclpy.Context
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._wait_set: Any = None
        self._counts: tuple[int, ...] = ()
        self._seen: list[list[Any]] = []
        self._groups: list[_Group] = []

    def wait(
        self, nodes: Iterable[Any], guards: Sequence[Any], timeout_ns: int
    ) -> list[tuple[Any, str]]:
        """Wait for the first that is ready, and return all that are.

        Parameters
        ----------
        nodes : iterable of rclpy.Node
        guards : sequence of rclpy.GuardCondition
            End the wait, too, and are not returned.
        timeout_ns : int
            Nanoseconds to wait; 0 only looks, negative waits for ever.

        Returns
        -------
        list of (entity, str)
            The entity, and the name of the executor's method that takes what has come.
        """
        nodes = list(nodes)
        found = [
            [one for node in nodes for one in getattr(node, kind) if _is_awaited(one)]
            for kind, _, _ in _KINDS
        ]
        found.append(list(guards))
        if found != self._seen:  # seldom: nearly all entities live as long as the node
            self._groups = [_Group(entities) for entities in found]
            self._seen = found
        held: list[Any] = []
        try:
            for group in self._groups:
                group.hold(held)
            wait_set = self._filled()
            wait_set.wait(timeout_ns)
            ready = []
            for (_, name, take), group in zip(_KINDS, self._groups, strict=False):
                if group.living:
                    pointers = wait_set.get_ready_entities(name)
                    if pointers:
                        ready += [(one, take) for one in group.at(pointers)]
            return ready
        finally:
            for handle in held:
                handle.__exit__(None, None, None)

    def _filled(self) -> Any:
        """Return a wait set with all entities; the last one serves again if it is as large."""
        timers, subscriptions, guards, clients, services, extra = (
            group.living for group in self._groups
        )
        counts = (
            *(len(subscriptions), len(guards) + len(extra), len(timers)),
            *(len(clients), len(services)),
        )
        if self._wait_set is None or counts != self._counts:
            context = self._context.handle
            with context:
                self._wait_set = _rclpy.WaitSet(*counts, 0, context)
            self._counts = counts
        wait_set = self._wait_set
        wait_set.clear_entities()
        for add, handles in (
            (wait_set.add_timer, timers),
            (wait_set.add_subscription, subscriptions),
            (wait_set.add_guard_condition, guards),
            (wait_set.add_guard_condition, extra),
            (wait_set.add_client, clients),
            (wait_set.add_service, services),
        ):
            for handle in handles:
                add(handle)
        return wait_set


def _is_awaited(entity: Any) -> bool:
    """Whether to wait for an entity, see :mod:`monodepth2_ros.node.on_demand`."""
    return getattr(entity.callback_group, "is_awaited", True)


class _Group:
    """Entities of one kind and their handles.

    Parameters
    ----------
    entities : list

    Attributes
    ----------
    living : list
        Handles of those that were not destroyed when :meth:`hold` was last called.
    """

    def __init__(self, entities: list[Any]) -> None:
        self._entities = entities
        self._handles = [entity.handle for entity in entities]
        self.living: list[Any] = []

    def hold(self, held: list[Any]) -> None:
        """Keep the entities from being destroyed; those that are kept are added to `held`."""
        before = len(held)
        for handle in self._handles:
            try:
                handle.__enter__()
            except _rclpy.InvalidHandle:
                continue
            held.append(handle)
        self.living = held[before:]

    def at(self, pointers: Sequence[int]) -> list[Any]:
        """Return the entities at these addresses, in their own order."""
        pairs = zip(self._entities, self._handles, strict=True)
        return [entity for entity, handle in pairs if handle.pointer in pointers]
