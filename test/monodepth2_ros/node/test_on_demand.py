# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""camera_info is taken with its image, and waited for by an image that came first."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

import node_harness as harness
from monodepth2_ros.node.camera_input import CameraInput
from monodepth2_ros.node.guarded_executor import GuardedExecutor
from monodepth2_ros.node.on_demand import OnDemand, take_waiting
from monodepth2_ros.node.ready_entities import ReadyEntities

pytestmark = pytest.mark.ros

PATIENCE = 60.0


class Camera:
    """A node with a camera's publishers and the input that hears them, both in this process."""

    def __init__(self, is_light: bool | None = None) -> None:
        harness.use_private_domain()
        self.context = rclpy.Context()
        self.context.init(["--ros-args", "--log-level", "fatal"])
        self.node = rclpy.create_node("camera", context=self.context)
        self.heard: list[str] = []
        self.executor = GuardedExecutor(
            lambda origin, error: self.heard.append(f"executor: {origin}: {error}"),
            is_light=is_light,
            context=self.context,
        )
        self.executor.add_node(self.node)
        self.input = CameraInput(
            self.node,
            compressed=False,
            reliability="reliable",
            depth=5,
            with_latched_info=False,
            on_image=lambda image: self.heard.append(f"image {image.header.stamp.sec}"),
            on_info=lambda info, stamp: self.heard.append(f"info {stamp // 10**9} {info.width}"),
            on_fault=lambda topic, error: self.heard.append(f"{topic}: {type(error).__name__}"),
        )
        self.input.open()
        self.publishers = {
            kind: self.node.create_publisher(kind, topic, 10)
            for kind, topic in ((Image, "image"), (CameraInfo, "camera_info"))
        }
        self.wait(lambda: all(p.get_subscription_count() for p in self.publishers.values()))
        names = ("image", "camera_info")
        self.wait(lambda: all(self.input.connected(name) for name in names))

    def wait(self, is_true, spin: float = 0.0) -> None:
        """Spin until something is true."""
        end = time.monotonic() + PATIENCE
        while not is_true():
            assert time.monotonic() < end, self.heard
            self.executor.spin_once(spin) if spin else time.sleep(0.01)

    def send(self, kind, second: int, **fields) -> None:
        """Publish a message with a stamp."""
        message = kind(**fields)
        message.header.stamp.sec = second
        self.publishers[kind].publish(message)

    def arrive(self, count: int) -> None:
        """Wait until so many of the two topics have messages, which stay where they are."""
        self.input.await_info(True)
        entities = ReadyEntities(self.context)
        end = time.monotonic() + PATIENCE
        while True:
            ready = [one for one, _ in entities.wait([self.node], [], 10**8)]
            if sum(hasattr(one, "topic_name") for one in ready) == count:
                break
            assert time.monotonic() < end
        self.input.await_info(False)

    def end(self) -> None:
        """Destroy all."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(params=[True, False], ids=["light", "rclpy"])
def camera(request):
    made = Camera(request.param)
    yield made
    made.end()


def test_camera_info_is_taken_with_its_image_and_before_it(camera):
    camera.send(CameraInfo, 1, width=64)
    camera.arrive(1)
    for _ in range(5):
        camera.executor.spin_once(0.01)
    assert camera.heard == []
    camera.send(Image, 1)
    camera.wait(lambda: camera.heard, spin=0.1)
    assert camera.heard == ["info 1 64", "image 1"]
    camera.send(CameraInfo, 2, width=64)
    camera.send(CameraInfo, 3, width=32)
    camera.arrive(1)
    camera.wait(lambda: not camera.input.take_infos() and len(camera.heard) >= 4)
    assert camera.heard[2:] == ["info 2 64", "info 3 32"]


def test_an_awaited_camera_info_is_taken_when_it_arrives(camera):
    camera.input.await_info(True)
    camera.send(CameraInfo, 4, width=64)
    camera.wait(lambda: camera.heard, spin=0.1)
    assert camera.heard == ["info 4 64"]


def test_a_broken_camera_info_is_told_of_and_the_image_goes_on():
    camera = Camera()
    try:
        whole = bytes(serialize_message(CameraInfo(width=64)))
        publish = camera.publishers[CameraInfo].publish
        publish(whole[:2] + whole[:1] + whole[3:])  # options that nobody knows: read all the same
        publish(whole[:30])
        publish(b"\x09\x09" + whole[2:])
        camera.send(CameraInfo, 5, width=48)
        camera.arrive(1)
        camera.send(Image, 5)
        camera.wait(lambda: "image 5" in camera.heard, spin=0.1)
        camera.wait(lambda: not camera.input.take_infos() and "info 5 48" in camera.heard)
        faults = [one for one in camera.heard if one.startswith("/camera_info")]
        assert len(faults) == 2, camera.heard
        assert not any(one.startswith("executor") for one in camera.heard)
    finally:
        camera.end()


def test_no_more_is_taken_than_the_queue_holds_and_nothing_of_a_destroyed_one():
    harness.use_private_domain()
    context = rclpy.Context()
    context.init(["--ros-args", "--log-level", "fatal"])
    node = rclpy.create_node("taker", context=context)
    try:
        group = OnDemand()
        subscription = node.create_subscription(
            CameraInfo, "camera_info", lambda _: None, 2, callback_group=group
        )
        publisher = node.create_publisher(CameraInfo, "camera_info", 10)
        end = time.monotonic() + PATIENCE
        while not publisher.get_subscription_count() or not subscription.get_publisher_count():
            assert time.monotonic() < end
            time.sleep(0.01)
        taken = []
        for message in take_waiting(subscription):
            taken.append(message)
        assert not taken
        second = 0
        while len(taken) < 3:  # as many again as were taken: it would never end
            second += 1
            message = CameraInfo()
            message.header.stamp.sec = second
            publisher.publish(message)
            publisher.publish(message)
            publisher.publish(message)
            now = []
            for message in take_waiting(subscription):
                now.append(message)
                publisher.publish(message)
            assert len(now) <= 2
            taken += now
            assert time.monotonic() < end
        assert not group.can_execute(subscription) and group.can_execute(publisher)
        node.destroy_subscription(subscription)
        assert list(take_waiting(subscription)) == []
    finally:
        node.destroy_node()
        context.try_shutdown()
