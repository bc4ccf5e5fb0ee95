# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras in one node, over DDS: each has its own topics, and none disturbs the others."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.extras import is_installed
from monodepth2_ros.node.mailbox import Mailbox

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy

import node_harness as harness
from monodepth2_ros.node.depth_node import DepthNode

MS = 1_000_000
SECOND = 1_000 * MS
CAMERA = PinholeCamera(128, 96, 100.0, 100.0, 63.5, 47.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    harness.write_model(path, 64, 64)
    return path


@pytest.fixture
def start(model):
    harness.use_private_domain()
    context = rclpy.Context()
    context.init()
    started = []

    def start(*cameras, **parameters):
        settings = {"checkpoint": str(model), "backend": harness.BACKEND, "threads": 1}
        settings |= {"precision": "fp32", **parameters}
        node = harness.NodeThread(diagnostics_period=0.1, cameras=list(cameras), **settings)
        started.append(node)
        peers = [harness.Peer(camera=camera, context=context) for camera in cameras]
        started.extend(peers)
        for peer in peers:
            peer.listen("depth/image_rect", "points")
            peer.connect(node)
        return node, *peers

    yield start
    for one in reversed(started):
        one.end()
    context.try_shutdown()


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(3)]


def send(peer, picture, stamp_ns, camera=CAMERA):
    peer.send(harness.info_message(camera), stamp_ns)
    peer.send(harness.image_message(picture), stamp_ns)


def until(peer, node, condition):
    """Wait for diagnostics of the peer's camera with such values."""
    peer.wait(lambda: any(condition(values) for _, values in peer._reports()), "values", node)


@pytest.mark.slow
@pytest.mark.ros
def test_each_camera_gets_its_own_depth(start, pictures):
    node, front, left, right = start(
        *("front", "left", "right"), **{"left.scale": 3.0, "right.points.stride": 4}
    )
    for index, peer in enumerate((front, left, right)):
        send(peer, pictures[0], (index + 1) * SECOND)
    depths = [
        harness.image_array(peer.output("depth/image_rect", (index + 1) * SECOND, node))
        for index, peer in enumerate((front, left, right))
    ]
    np.testing.assert_allclose(depths[1], 3.0 * depths[0], rtol=1e-5)
    np.testing.assert_allclose(depths[2], depths[0], rtol=1e-5)  # a batch adds up in another order
    assert right.output("points", 3 * SECOND, node).width == 16
    assert front.output("points", 1 * SECOND, node).width == 64
    # Nothing of one camera comes out for another one.
    assert [len(peer.received["depth/image_rect"]) for peer in (front, left, right)] == [1, 1, 1]
    # A parameter of one camera, and one of all.
    assert not front.set_parameter("left.crop", [0.1, 0.0, 0.0, 0.0], node).successful
    assert front.set_parameter("left.scale", 2.0, node).successful
    send(left, pictures[0], 5 * SECOND)
    changed = harness.image_array(left.output("depth/image_rect", 5 * SECOND, node))
    np.testing.assert_allclose(changed, 2.0 * depths[0], rtol=1e-5)
    # The lifecycle is one.
    assert front.transition("deactivate", node) and front.state(node) == "inactive"
    for peer in (front, left, right):
        peer.status("not active", node)
    assert front.transition("activate", node)
    for peer in (front, left, right):
        peer.connect(node)
    send(right, pictures[1], 9 * SECOND)
    right.output("depth/image_rect", 9 * SECOND, node)


@pytest.mark.slow
@pytest.mark.ros
def test_a_silent_a_broken_and_a_fast_camera_leave_the_others_alone(start, pictures):
    node, fast, silent, broken = start("fast", "silent", "broken")
    wrong = harness.image_message(pictures[1])
    wrong.data = wrong.data[:100]
    for index in range(1, 21):
        send(fast, pictures[0], index * 10 * MS)
        if index % 5 == 0:
            # An image that cannot be decoded; with a camera_info of another size.
            broken.send(wrong, index * 10 * MS)
        fast.spin()
    fast.output("depth/image_rect", 200 * MS, node)
    until(broken, node, lambda values: int(values["frames failed"]) > 0)
    silent.status("", node, {"images received": "0", "frames failed": "0"})
    # A good image of the same camera, with a camera_info that does not fit: depth, no points.
    other = PinholeCamera(100, 96, 100.0, 100.0, 49.5, 47.5)
    send(broken, pictures[1], SECOND, other)
    broken.output("depth/image_rect", SECOND, node)
    assert not broken.received["points"]
    broken.status("camera_info is for a 100x96 image", node)
    until(fast, node, is_complete)


def is_complete(values):
    """Whether every image that arrived was published or dropped, and none failed."""
    received, dropped = int(values["images received"]), int(values["frames dropped"])
    published, failed = int(values["frames published"]), int(values["frames failed"])
    return 0 < received <= 20 and received - dropped == published and failed == 0


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.skipif(not is_installed("torch"), reason="torch is not installed")
def test_frames_that_wait_together_are_one_batch(start, pictures, monkeypatch):
    """The worker is held with a first frame until one of each camera waits, one of them broken."""
    is_held, is_free = threading.Event(), threading.Event()
    process = DepthNode._process

    def held(self, stream, frame):
        is_held.set()
        assert is_free.wait(120)
        return process(self, stream, frame)

    monkeypatch.setattr(DepthNode, "_process", held)
    node, front, left, broken = start(
        *("front", "left", "broken"),
        **{"backend": "torch", "device": "cpu", "left.scale": 3.0, "left.points.stride": 4},
    )
    sizes = []
    predict = node.node._batch.predict
    monkeypatch.setattr(
        node.node._batch,
        "predict",
        lambda requests: (sizes.append(sorted(requests)), predict(requests))[1],
    )
    send(front, pictures[0], 1 * SECOND)
    front.wait(is_held.is_set, "a held worker", node)
    wrong = harness.image_message(pictures[1])
    wrong.data = wrong.data[:100]
    send(front, pictures[0], 2 * SECOND)
    send(left, pictures[0], 2 * SECOND)
    broken.send(wrong, 2 * SECOND)
    waiting = node.node._mailbox
    front.wait(lambda: None not in waiting._items, "three frames that wait", node)
    is_free.set()
    alone = harness.image_array(front.output("depth/image_rect", 1 * SECOND, node))
    depths = [
        harness.image_array(peer.output("depth/image_rect", 2 * SECOND, node))
        for peer in (front, left)
    ]
    assert sizes == [[0, 1]]
    np.testing.assert_allclose(depths[0], alone, rtol=1e-4)
    np.testing.assert_allclose(depths[1], 3.0 * alone, rtol=1e-4)
    assert left.output("points", 2 * SECOND, node).width == 16
    until(broken, node, lambda values: int(values["frames failed"]) == 1)
    assert not broken.received["depth/image_rect"]
    until(front, node, lambda values: values["frames failed"] == "0")


@pytest.mark.ros
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"cameras": ["a", "a"]}, "names 'a' twice"),
        ({"cameras": ["front camera"]}, "'front camera' cannot be the name of a camera"),
        ({"cameras": ["a"], "a.scale": 0.0}, "a.scale out of range"),
        ({"cameras": ["a"], "a.min_range": 200.0}, "parameters of camera 'a': min_range is 200"),
    ],
)
def test_wrong_cameras_are_refused_with_their_names(given, complaint):
    harness.use_private_domain()
    with pytest.raises(Exception, match=complaint):
        harness.NodeThread(checkpoint="random", **given)


def test_slots_are_served_in_turns_and_the_newest_wins():
    mailbox: Mailbox[str] = Mailbox(3)
    assert not mailbox.put("fast 1", 0)
    assert mailbox.take() == "fast 1"
    mailbox.put("slow 1", 2)
    mailbox.put("fast 2", 0)
    assert mailbox.put("fast 3", 0)
    # The fast one was served last: although it came first, the slow one is served.
    assert mailbox.take() == "slow 1"
    mailbox.put("slow 2", 2)
    assert [mailbox.take(), mailbox.take()] == ["fast 3", "slow 2"]
    mailbox.close()
    assert mailbox.take() is None
