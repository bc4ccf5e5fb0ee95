# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An executor that no message ends.

In rclpy an exception in any callback leaves ``spin``, also one in rclpy's own services and
subscriptions: a ChangeState request with a transition that is not allowed now, a SetParameters
request with an undefined type, a negative time on /clock. Here the message is refused and reported,
and a service still answers.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node

from monodepth2_ros.node.ready_entities import ReadyEntities, is_supported

#: Receives the origin (a topic, a service or "timer") and the exception.
Report = Callable[[str, Exception], None]

# Waiting itself has never been seen to fail. If it does, and goes on to, the loop must not spin
# at full speed, and not for ever.
_WAIT_FAILURES = 50
_WAIT_FAILURE_PAUSE = 0.1

# Seconds between looks at QoS events, of which rclpy's callbacks log warnings.
_EVENT_PERIOD = 1.0


class GuardedExecutor(SingleThreadedExecutor):
    """Runs callbacks one at a time; their exceptions are reported and go no further.

    Only KeyboardInterrupt does, and, once ROS is shut down, every exception.

    Where rclpy is of a known kind, waiting takes a fraction of the time that it takes rclpy, see
    :mod:`monodepth2_ros.node.ready_entities`. Tasks, and QoS events once a second, are left to
    rclpy's own way. Callback groups play no part in the light way: one thread runs one callback at
    a time.

    Parameters
    ----------
    report : callable
        Called with origin and exception, in the thread that spins.
    is_light : bool, optional
        Whether to wait in the light way; by default where rclpy is of a known kind.
    **kwargs
        For rclpy's executor.
    """

    def __init__(self, report: Report, is_light: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._report = report
        self._running: Any = None
        self._wait_failures = 0
        light = is_supported(self) if is_light is None else is_light
        self._entities = ReadyEntities(self.context) if light else None
        self._ready: deque[tuple[Any, str]] = deque()
        self._events_due = 0.0

    def add_node(self, node: Node) -> bool:
        """Add a node; services that it has by now answer even if their callbacks fail."""
        for service in node.services:
            service.callback = _answering(service, self._report)
        return bool(super().add_node(node))

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and run it; report its exception, if it raises one.

        Parameters
        ----------
        timeout_sec : float, optional
            Seconds to wait; None waits until there is something to do.
        """
        self._running = None
        try:
            if self._entities is None:
                super().spin_once(timeout_sec)
            else:
                self._spin_lightly(self._entities, timeout_sec)
            self._wait_failures = 0
        except ExternalShutdownException:
            raise
        except Exception as error:
            if not self.context.ok():
                raise
            if self._running is None:
                self._wait_failures += 1
                if self._wait_failures >= _WAIT_FAILURES:
                    raise
                time.sleep(_WAIT_FAILURE_PAUSE)
            self._report(_origin(self._running), error)

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop running callbacks."""
        done = bool(super().shutdown(timeout_sec))
        self._ready.clear()
        return done

    def _spin_lightly(self, entities: ReadyEntities, timeout_sec: float | None) -> None:
        """Wait for one callback and run it; its exception is raised."""
        end = math.inf if timeout_sec is None or timeout_sec < 0.0 else _now() + timeout_sec
        while not self._is_shutdown:
            if self._ready:
                self._run(*self._ready.popleft())
                return
            if self._has_tasks() or _now() >= self._events_due:
                self._run_tasks_and_events()
                if self._running is not None:
                    return
            guards = [one for one in (self._guard, self._sigint_gc) if one is not None]
            patience = max(0.0, min(end, self._events_due) - _now())
            self._ready += entities.wait(self.get_nodes(), guards, round(1e9 * patience))
            if not self._is_shutdown and not self.context.ok():
                raise ExternalShutdownException
            if not self._ready and not self._has_tasks() and _now() >= end:
                return

    def _has_tasks(self) -> bool:
        """Whether there are tasks for rclpy's way; those that are done are dropped."""
        if not self._tasks:
            return False
        with self._tasks_lock:
            self._tasks = [one for one in self._tasks if not one[0].done()]
        return bool(self._tasks)

    def _run_tasks_and_events(self) -> None:
        """Run one callback in rclpy's way, if one is ready."""
        super().spin_once(0.0)
        # It goes through all that was ready before it waits again.
        if self._running is None:
            self._events_due = _now() + _EVENT_PERIOD

    def _run(self, entity: Any, take: str) -> None:
        """Take what has come and run the callback."""
        self._running = entity
        with self._work_tracker:
            if take == "_take_timer" and not _is_due(entity):
                return
            call = getattr(self, take)(entity)
            if call is None:
                return
            coroutine = call()
            try:
                coroutine.send(None)
            except StopIteration:
                return
            self.create_task(coroutine)  # a callback that waits for something

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Return the next callback to run, and note whose it is."""
        ready: Any = super().wait_for_ready_callbacks(*args, **kwargs)
        self._running = ready[1]
        return ready

    def _make_handler(self, entity: Any, node: Any, take: Callable[[Any], Any], *rest: Any) -> Any:
        """Guard the taking of a message: its failure would block the whole callback group."""

        def guarded_take(entity: Any) -> Any:
            try:
                return take(entity)
            except Exception as error:
                if not self.context.ok():
                    raise
                self._report(_origin(entity), error)
                return None  # no work

        return super()._make_handler(entity, node, guarded_take, *rest)


def _now() -> float:
    """Return seconds of a clock that nobody sets."""
    return time.monotonic()


def _is_due(timer: Any) -> bool:
    """Whether a timer is still due, and was neither cancelled nor destroyed since."""
    try:
        with timer.handle:
            return bool(timer.handle.is_timer_ready())
    except _rclpy.InvalidHandle:
        return False


def _origin(entity: Any) -> str:
    """Name the topic or service of an entity of rclpy."""
    for attribute in ("topic_name", "srv_name", "service_name"):
        # One that was destroyed while its callback waited to run cannot name its topic any more.
        with contextlib.suppress(Exception):
            name = getattr(entity, attribute)
            if name:
                return str(name)
    return "executor" if entity is None else type(entity).__name__.lower()


def _answering(service: Any, report: Report) -> Callable[[Any, Any], Any]:
    """Wrap a service's callback so that a failure becomes an answer that says so."""
    callback, kind = service.callback, service.srv_type

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Exception as error:
            report(_origin(service), error)
            if hasattr(response, "results") and hasattr(request, "parameters"):
                return _answer_each(callback, kind, request)
            return _refusal(kind, f"{type(error).__name__}: {error}")

    return answer


def _answer_each(callback: Callable[[Any, Any], Any], kind: Any, request: Any) -> Any:
    """Answer SetParameters one parameter at a time: a bad one does not refuse the others.

    Those before the bad one have been set already; setting them again changes nothing.
    """
    from rcl_interfaces.msg import SetParametersResult

    response = kind.Response()
    for parameter in request.parameters:
        try:
            one = callback(kind.Request(parameters=[parameter]), kind.Response())
            response.results.extend(one.results)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            response.results.append(SetParametersResult(successful=False, reason=reason))
    return response


def _refusal(kind: Any, reason: str) -> Any:
    """Build the answer to a request that failed, in the fields that its type has for it."""
    response = kind.Response()
    for field in ("success", "successful"):  # ChangeState and std_srvs; GetTypeDescription
        if hasattr(response, field):
            setattr(response, field, False)
    for field in ("failure_reason", "message"):
        if isinstance(getattr(response, field, None), str):
            setattr(response, field, reason)
    result: Any = getattr(response, "result", None)
    if hasattr(result, "successful"):  # SetParametersAtomically
        result.successful, result.reason = False, reason
    return response
