# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""No message ends the node: what it cannot handle is refused, logged with its origin, counted."""

from __future__ import annotations

import importlib.util
import random
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import fuzz_node
import rclpy
import rclpy.event_handler
import rclpy.task
import yaml
from builtin_interfaces.msg import Time
from hostile_messages import hostile
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import (
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import parameter_value_to_python
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock

import node_harness as harness
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.node import ready_entities
from monodepth2_ros.node.depth_node import DepthNode
from monodepth2_ros.node.guarded_executor import GuardedExecutor

pytestmark = pytest.mark.ros

CAMERA = PinholeCamera(64, 48, 50.0, 50.0, 32.0, 24.0)
SECOND = 1_000_000_000


@pytest.mark.slow
def test_hostile_messages():
    """Every hostile value in every field, and random ones; fuzz_node.py sends more by hand."""
    harness.use_private_domain()
    counts = fuzz_node.fuzz(20_000, seed=2)
    assert len(counts) >= 15 and min(counts.values()) > 1000


def test_a_clock_message_that_waits_while_its_subscription_is_destroyed(monkeypatch):
    """As after use_sim_time is set to false: it can be refused, though its topic has no name."""
    harness.use_private_domain()
    monkeypatch.setattr(fuzz_node.predictor_module, "DepthPredictor", fuzz_node.StubPredictor)
    context = rclpy.Context()
    context.init(["--ros-args", "-p", "use_sim_time:=true", "--log-level", "fatal"])
    executor, node = fuzz_node.start(context)
    refused = []
    executor._report = lambda origin, error: refused.append((origin, str(error)))
    try:
        (clock,) = [s for s in node.subscriptions if s.topic_name == "/clock"]

        async def hear():
            clock.callback(Clock(clock=Time(sec=-5)))

        executor._make_handler(clock, node, lambda _: hear)
        node.set_parameters([rclpy.Parameter("use_sim_time", value=False)])
        for _ in range(20):
            executor.spin_once(0.0)
        assert refused == [("subscription", "Seconds value must not be negative")]
    finally:
        fuzz_node.stop(executor, node)
        context.try_shutdown()


def test_every_parameter_of_the_nodes_own_dump_loads(monkeypatch, tmp_path):
    """While it is active, where nothing that is read on configure may change."""
    harness.use_private_domain()
    monkeypatch.setattr(fuzz_node.predictor_module, "DepthPredictor", fuzz_node.StubPredictor)
    context = rclpy.Context()
    context.init(["--ros-args", "-p", "qos_overrides./points.publisher.depth:=3"])
    executor, node = fuzz_node.start(context)
    try:
        services = {service.srv_name: service.callback for service in node.services}
        names = services["depth/list_parameters"](
            ListParameters.Request(), ListParameters.Response()
        ).result.names
        values = services["depth/get_parameters"](
            GetParameters.Request(names=names), GetParameters.Response()
        ).values
        assert len(names) == len(values) > 30
        parameters = [Parameter(name=n, value=v) for n, v in zip(names, values, strict=True)]
        results = services["depth/set_parameters"](
            SetParameters.Request(parameters=parameters), SetParameters.Response()
        ).results
        refused = [n for n, r in zip(names, results, strict=True) if not r.successful]
        # rclpy never sets what it has declared read-only itself, in no node.
        rclpys = ("start_type_description_service", "qos_overrides.")
        assert not [name for name in refused if not name.startswith(rclpys)]
        plain = map(parameter_value_to_python, values)
        dump = _dump(dict(zip(names, plain, strict=True)))
    finally:
        fuzz_node.stop(executor, node)
        context.try_shutdown()
    # A new node started with the dump has the same parameters.
    file = tmp_path / "dump.yaml"
    file.write_text(yaml.safe_dump(dump), encoding="utf-8")
    context = rclpy.Context()
    context.init(["--ros-args", "--params-file", str(file)])
    executor, node = fuzz_node.start(context)
    try:
        loaded = [parameter.get_parameter_value() for parameter in node.get_parameters(names)]
        assert loaded == list(values)
    finally:
        fuzz_node.stop(executor, node)
        context.try_shutdown()


def _dump(parameters):
    """Nest parameters as `ros2 param dump` does."""
    tree = {}
    for name, value in sorted(parameters.items()):
        *groups, last = name.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value.tolist() if hasattr(value, "tolist") else value
    return {"/depth": {"ros__parameters": tree}}


def test_old_names_of_parameters_are_taken_with_a_warning():
    harness.use_private_domain()
    context = rclpy.Context()
    old = ("scale.source:=range", "front.scale.require:=0.5", "cameras:=[front, rear]")
    given = [word for assignment in old for word in ("-p", assignment)]
    context.init(["--ros-args", *given, "-p", "scaling.require:=0.3", "-p", "scale.require:=0.9"])
    node = DepthNode(context=context)
    try:
        assert node.get_parameter("scaling.source").value == "range"
        assert node.get_parameter("scaling.require").value == 0.3  # not the old name's
        assert node.get_parameter("front.scaling.require").value == 0.5
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.slow
def test_hostile_requests_and_messages_over_dds(tmp_path):
    """By the node's own process, with what Nav2's lifecycle manager sends and what it does not."""
    harness.use_private_domain()
    model = tmp_path / "model.safetensors"
    harness.write_model(model, 64, 64)
    node = harness.NodeProcess(
        checkpoint=model,
        backend=harness.PROCESS_BACKEND,
        threads=1,
        diagnostics_period=0.2,
        use_sim_time=True,
    )
    peer = harness.Peer()
    try:
        peer.listen("depth/image_rect")
        peer.connect(node)
        assert peer.state(node) == "active"

        # Transitions by id, as Nav2 sends them, allowed and not.
        for identifier in (1, 3, 99, 0, 255):
            assert not change_state(peer, node, identifier), identifier
            assert peer.state(node) == "active"
        for identifier, state in (
            (4, "inactive"),
            (2, "unconfigured"),
            (1, "inactive"),
            (3, "active"),
        ):
            assert change_state(peer, node, identifier)
            assert peer.state(node) == state
        peer.wait(lambda: "/depth/change_state: refused" in node.log(), "the report", node)

        # An undefined type; the parameter before it and the one after it are set all the same.
        request = SetParameters.Request(
            parameters=[number("scale", 2.0), undefined("scale"), number("max_range", 50.0)]
        )
        results = peer.call(SetParameters, "/depth/set_parameters", request, node).results
        assert [result.successful for result in results] == [True, False, True]
        assert "11 is not a valid" in results[1].reason
        client = peer.node.create_client(
            SetParametersAtomically, "/depth/set_parameters_atomically"
        )
        peer.wait(client.service_is_ready, "the service", node)
        request = SetParametersAtomically.Request(parameters=[undefined("scale")])
        future = client.call_async(request)
        peer.wait(future.done, "an answer", node)
        assert not future.result().result.successful and "11" in future.result().result.reason

        # Times that ROS cannot express.
        clock = peer.node.create_publisher(Clock, "/clock", 10)
        peer.wait(clock.get_subscription_count, "the clock", node)
        for seconds, nanoseconds in (
            (-5, 0),
            (-(2**31), 2**32 - 1),
            (2**31 - 1, 2**32 - 1),
            (1, 0),
        ):
            message = Clock()
            message.clock.sec, message.clock.nanosec = seconds, nanoseconds
            peer.diagnostics.clear()
            clock.publish(message)
            peer.status("no image", node)  # diagnostics go on at the end of time
        values = peer.status("no image", node)
        assert int(values["refused from /clock"]) >= 1
        assert int(values["messages refused"]) >= 7
        assert "/clock" in node.log() and "Seconds value must not be negative" in node.log()

        # Bytes that are not a message, and messages whose fields lie.
        rng = random.Random(5)
        for publisher in (peer._images, peer._infos):
            for _ in range(100):
                whole = serialize_message(hostile(publisher.msg_type, rng))
                cut = whole[: rng.randrange(4, len(whole))]
                publisher.publish(whole)
                publisher.publish(cut + rng.randbytes(rng.randrange(16)))
                peer.spin()

        rgb = np.zeros((48, 64, 3), np.uint8)
        peer.send(harness.info_message(CAMERA), 7 * SECOND)
        peer.send(harness.image_message(rgb), 7 * SECOND)
        peer.output("depth/image_rect", 7 * SECOND, node)
        assert peer.state(node) == "active"
        assert node.stop(signal.SIGINT) == 0
    finally:
        peer.close()
        node.end()


def change_state(peer, node, identifier):
    request = ChangeState.Request()
    request.transition.id = identifier
    return peer.call(ChangeState, "/depth/change_state", request, node).success


def number(name, value):
    return Parameter(name=name, value=ParameterValue(type=3, double_value=value))


def undefined(name):
    return Parameter(name=name, value=ParameterValue(type=11))


@pytest.mark.parametrize("is_light", [True, False])
def test_what_the_executor_runs(is_light):
    """Timers, messages, services, guards, tasks, coroutines that wait, and QoS events."""
    harness.use_private_domain()
    context = rclpy.Context()
    context.init(["--ros-args", "--log-level", "fatal"])
    node = rclpy.create_node("all_kinds", context=context)
    refused = []
    executor = GuardedExecutor(
        lambda origin, error: refused.append((origin, str(error))), is_light, context=context
    )
    executor.add_node(node)
    seen = set()
    answers = rclpy.task.Future(executor=executor)

    async def wait_for_answer(_):
        await answers
        seen.add("coroutine")

    def fail():
        seen.add("failing timer")
        raise RuntimeError("timer")

    try:
        events = rclpy.event_handler.PublisherEventCallbacks(
            incompatible_qos=lambda _: seen.add("event")
        )
        best_effort = rclpy.qos.qos_profile_sensor_data
        publisher = node.create_publisher(Clock, "sent", best_effort, event_callbacks=events)
        node.create_subscription(Clock, "sent", lambda _: seen.add("message"), best_effort)
        node.create_subscription(Clock, "sent", wait_for_answer, best_effort)
        node.create_subscription(Clock, "sent", lambda _: None, 10)  # reliable: does not fit
        node.create_timer(0.01, lambda: (seen.add("timer"), publisher.publish(Clock())))
        failing = node.create_timer(0.02, fail)
        guard = node.create_guard_condition(lambda: seen.add("guard"))
        name = f"{node.get_name()}/get_parameters"
        client = node.create_client(GetParameters, name)
        client.call_async(GetParameters.Request()).add_done_callback(lambda _: seen.add("answer"))
        guard.trigger()
        executor.create_task(lambda: seen.add("task"))
        wanted = {"message", "coroutine", "event", "timer", "failing timer", "guard", "task"}
        wanted.add("answer")
        end = time.monotonic() + harness.PATIENCE
        while not (wanted <= seen) and time.monotonic() < end:
            executor.spin_once(0.1)
            if "message" in seen and not answers.done():
                answers.set_result(None)
            if len(refused) > 2 and not failing.is_canceled():
                failing.cancel()
        assert wanted <= seen
        assert set(refused) == {("timer", "timer")}
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def test_the_light_way_of_waiting_is_for_the_rclpy_of_pypi():
    """If this fails, rclpy has changed: the node goes on in rclpy's own way, at more cost."""
    if not importlib.util.find_spec("ros_wheels_bootstrapper"):
        pytest.skip("this rclpy belongs to a ROS installation")
    context = rclpy.Context()
    context.init([])
    executor = GuardedExecutor(lambda *_: None, context=context)
    try:
        assert ready_entities.is_supported(executor)
    finally:
        executor.shutdown()
        context.try_shutdown()


def test_a_timeout_ends_the_wait():
    harness.use_private_domain()
    context = rclpy.Context()
    context.init([])
    executor = GuardedExecutor(lambda *_: None, context=context)
    try:
        for seconds in (0.0, 0.05):
            started = time.monotonic()
            executor.spin_once(seconds)
            assert time.monotonic() - started >= seconds
    finally:
        executor.shutdown()
        context.try_shutdown()
