# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the demo waits for the node to listen: as long as the node loads its model."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.qos import QoSProfile

from monodepth2_ros.demo import node_client
from monodepth2_ros.demo.node_client import PlayError

pytestmark = pytest.mark.ros


@pytest.fixture
def client(monkeypatch):
    """A client of a node whose outputs are there and which listens to no image."""
    monkeypatch.setattr(node_client, "_LISTEN_PATIENCE", 0.01)
    monkeypatch.setattr(node_client, "_KNOWN_PATIENCE", 0.01)
    made = node_client.Link.__new__(node_client.Link)
    made.listeners = 0
    made.check = lambda: None
    made.diagnostics = {"state": "configuring"}
    made.complaint = "not active: the node is configuring"
    made._outputs = ("depth",)
    made._topics = SimpleNamespace(odometry=None)
    made._changed = threading.Condition()
    offered = SimpleNamespace(qos_profile=QoSProfile(depth=1))
    made._node = SimpleNamespace(
        count_publishers=lambda _: 1,
        get_publishers_info_by_topic=lambda _: [offered],
        create_subscription=lambda *_, **__: None,
    )
    made._image_publisher = SimpleNamespace(
        topic_name="/image", get_subscription_count=lambda: made.listeners
    )
    return made


def test_a_node_that_loads_its_model_is_waited_for(client):
    asked = []

    def check():
        asked.append(1)
        client.listeners = int(len(asked) > 20)  # later than the patience with others

    client.check = check
    client.connect()
    assert len(asked) > 20


def test_the_wait_for_a_model_has_an_end(client, monkeypatch):
    monkeypatch.setattr(node_client, "_START_PATIENCE", 0.2)
    with pytest.raises(PlayError, match="does not listen to /image; .* is configuring"):
        client.connect()


def test_a_node_that_does_something_else_is_not_waited_for(client):
    client.diagnostics = {"state": "inactive"}
    asked = []
    client.check = lambda: asked.append(1)
    with pytest.raises(PlayError, match="does not listen to /image"):
        client.connect()
    assert len(asked) <= 2
