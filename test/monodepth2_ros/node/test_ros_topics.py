# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Topics as a roboticist expects them: QoS, lazy subscriptions, frames, turned images, collisions.

Over DDS, with the node in a thread of this process.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.qos_overriding_options import InvalidQosOverridesError
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

import node_harness as harness
from monodepth2_ros.camera import PinholeCamera, turn_image
from monodepth2_ros.node.frames import TurnedFrame, turn_points
from monodepth2_ros.node.qos import check_overrides, fitting_reliability
from monodepth2_ros.node.stamp_gaps import StampGaps
from monodepth2_ros.predictor import DepthPredictor
from node_harness import NodeThread, Peer

pytestmark = pytest.mark.ros

CAMERA = PinholeCamera(96, 64, 70.0, 71.0, 44.0, 30.0)
SECOND = 1_000_000_000
MS = 1_000_000
BASELINE = 0.25
CROP = [0.0, 0.25, 0.0, 0.0]


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:64, 0:96]
    waves = [np.sin(x / 7), np.cos(y / 5), np.sin((x - y) / 9)]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture
def start(model, end_with_test):
    def start(*arguments, reliability="reliable", latched_info=False, **parameters):
        defaults = {"checkpoint": str(model), "backend": harness.BACKEND, "threads": 1}
        defaults |= {"precision": "fp32", "diagnostics_period": 0.1}
        node = end_with_test(NodeThread(*arguments, **{**defaults, **parameters}))
        return node, end_with_test(Peer(reliability=reliability, latched_info=latched_info))

    return start


def stereo_info(camera=CAMERA):
    message = harness.info_message(camera)
    message.p[3] = -camera.fx * BASELINE
    return message


@pytest.mark.slow
def test_the_camera_is_subscribed_to_while_someone_listens_with_what_it_offers(start, picture):
    node, peer = start(reliability="reliable")
    values = peer.status("so the camera is not subscribed to", node)
    assert values["level"] == "0" and values["subscribed to the camera"] == "no"
    peer.spin(0.5)
    assert not peer.is_heard()
    peer.listen("points")
    peer.connect(node)
    peer.status("waiting for the first image", node, {"image reliability": "reliable"})

    # A best-effort publisher joins: now only best effort hears both. It leaves: reliable again.
    other = Peer(reliability="best_effort")
    peer.status("", node, {"image reliability": "best_effort", "image publishers": "2"})
    assert "subscribed again as best_effort" in node.log()
    other.close()
    peer.diagnostics.clear()
    peer.status("", node, {"image reliability": "reliable", "image publishers": "1"})

    # Images that never come are told with their topic, then loss by the gaps between stamps.
    for number in range(40):
        if number % 3 != 1:
            peer.send(stereo_info(), SECOND + number * 33 * MS)
            peer.send(harness.image_message(picture), SECOND + number * 33 * MS)
            peer.output("points", SECOND + number * 33 * MS, node)
    values = peer.status("of the camera's images do not arrive; let the camera's process", node)
    assert 30 < float(values["images lost before the node (%)"]) < 37
    assert float(values["camera period (ms)"]) == pytest.approx(33.0)
    assert values["level"] == "1"

    peer.wait(lambda: "no image for" in node.log(), "the log's word about silence", node)
    assert "(subscribed to /image, raw, reliable)" in node.log()

    # Nobody listens any more: no camera traffic.
    peer.node.destroy_subscription(peer._subscriptions.pop("points"))
    peer.diagnostics.clear()
    peer.status("so the camera is not subscribed to", node, {"image publishers": "0"})
    assert not peer.is_heard()


@pytest.mark.slow
def test_color_image_baseline_frame_and_collision(start, picture, model):
    node, peer = start(crop=CROP, output_frame="cam_optical_frame", points__edge_filter=0.0)
    images, infos = [], []
    peer.node.create_subscription(Image, "color/image_rect", images.append, 10)
    peer.node.create_subscription(CameraInfo, "color/camera_info", infos.append, 10)
    peer.connect(node)
    peer.status("", node, {"color_image listeners": "1", "color_info listeners": "1"})
    peer.send(stereo_info(), SECOND, "camera_link")
    peer.send(harness.image_message(picture), SECOND, "camera_link")
    peer.wait(lambda: images and infos, "the colour image", node)
    assert not any(peer.received.values())

    peer.listen()
    peer.connect(node)
    peer.send(stereo_info(), 2 * SECOND, "camera_link")
    peer.send(harness.image_message(picture), 2 * SECOND, "camera_link")
    depth = peer.output("depth/image_rect", 2 * SECOND, node)
    info = peer.output("depth/camera_info", 2 * SECOND, node)
    cloud = peer.output("points", 2 * SECOND, node)
    peer.wait(lambda: len(images) == 2 and len(infos) == 2, "the colour image", node)
    for message in (depth, info, cloud, images[1], infos[1]):
        assert message.header.frame_id == "cam_optical_frame"
        assert message.header.stamp.sec == 2
        assert (message.width, message.height) == (96, 64)
    assert infos[1] == info
    # The window of the crop, at the depth's size; each point has its pixel's colour.
    colors = harness.image_array(images[1])
    points = harness.cloud_array(cloud)
    packed = np.ascontiguousarray(points["rgb"]).view(np.uint32)
    known = np.isfinite(points["z"])
    assert known.any()
    np.testing.assert_allclose((packed >> 16)[known], colors[..., 0][known], atol=6)
    camera = CAMERA.cropped(0, 16, 96, 48).resized(96, 64)
    assert info.p[0] == pytest.approx(camera.fx) and info.p[6] == pytest.approx(camera.cy)
    assert info.p[3] == pytest.approx(-camera.fx * BASELINE)

    # A second publisher of an output, by whatever name, is reported.
    other = peer.node.create_publisher(PointCloud2, "points", 10)
    peer.status("/points is published by /peer, too", node)
    peer.node.destroy_publisher(other)
    assert "/points is published by /peer, too" in node.log()


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_image_has_turned_intrinsics_and_a_cloud_in_the_cameras_frame(
    start, picture, model, degrees
):
    """The depth of the upright picture, and each of its points where the camera saw it."""
    node, peer = start(rotate=degrees, points__edge_filter=0.0, output_size="image")
    peer.listen("depth/image_rect", "depth/camera_info", "points")
    peer.connect(node)
    peer.send(stereo_info(), SECOND, "camera_optical_frame")
    peer.send(harness.image_message(picture), SECOND, "camera_optical_frame")
    image = peer.output("depth/image_rect", SECOND, node)
    info = peer.output("depth/camera_info", SECOND, node)
    cloud = peer.output("points", SECOND, node)
    predictor = DepthPredictor(model, backend=harness.BACKEND, device="cpu", precision="fp32")
    turned, camera = turn_image(picture, degrees), CAMERA.turned(degrees)
    from monodepth2_ros.options import OutputOptions

    expected = predictor.predict(turned, options=OutputOptions(output_size="image")).depth
    depth = harness.image_array(image)
    np.testing.assert_allclose(depth, expected, rtol=1e-4)
    assert PinholeCamera.from_camera_info(info) == camera
    assert image.header.frame_id == f"camera_optical_frame_rotated_{degrees}"
    if degrees == 180:  # the partner is on the other side now
        assert info.p[3] == pytest.approx(camera.fx * BASELINE) and info.p[7] == 0.0
    else:
        assert info.p[3] == 0.0 and abs(info.p[7]) == pytest.approx(camera.fy * BASELINE)
    # Turned back, the depth lies over the image of the camera: its rays give the cloud.
    back = turn_image(depth, -degrees % 360)
    v, u = np.mgrid[0:64, 0:96]
    points = harness.cloud_array(cloud)
    assert cloud.header.frame_id == "camera_optical_frame"
    for name, ray in (
        ("x", (u - CAMERA.cx) / CAMERA.fx),
        ("y", (v - CAMERA.cy) / CAMERA.fy),
        ("z", 1.0),
    ):
        found = turn_image(np.ascontiguousarray(points[name]), -degrees % 360)
        np.testing.assert_allclose(found, ray * back, rtol=1e-3, atol=1e-4)
    peer.wait(lambda: "static_transform_publisher" in node.log() or tf2(), "a transform", node)


@pytest.mark.slow
def test_a_topic_of_the_other_type_is_named(start):
    node, peer = start("--ros-args", "-r", "image:=/other", lazy=False)
    peer.node.create_publisher(CompressedImage, "/other", 1)
    text = "set image_transport to 'compressed' and remap image to /other"
    assert peer.status(text, node)["level"] == "2"


@pytest.mark.slow
def test_another_cameras_info_is_named(start, picture):
    node, peer = start()
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.send(harness.info_message(CAMERA), SECOND, "right_camera_optical_frame")
    peer.send(harness.image_message(picture), SECOND, "left_camera_optical_frame")
    peer.output("depth/image_rect", SECOND, node)
    peer.status("of frame 'right_camera_optical_frame', the image of 'left_camera", node)


class RecordingPublisher(list):
    """Keeps what is published."""

    publish = list.append


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_transform_of_a_turned_image_turns_its_points_back(degrees, monkeypatch):
    """tf2_msgs, which the wheels of ROS lack, is a list of transforms."""
    messages = types.ModuleType("tf2_msgs.msg")
    messages.TFMessage = lambda transforms: list(transforms)
    monkeypatch.setitem(sys.modules, "tf2_msgs", types.ModuleType("tf2_msgs"))
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", messages)
    sent = RecordingPublisher()
    asked = []

    def create_publisher(kind, topic, qos, qos_overriding_options):
        asked.append((topic, qos.durability))
        return sent

    now = types.SimpleNamespace(now=lambda: types.SimpleNamespace(to_msg=Time))
    node = types.SimpleNamespace(
        create_publisher=create_publisher,
        get_clock=lambda: now,
        resolve_topic_name=str,
    )
    turned = TurnedFrame(node)
    for camera in ("left", "right", "left"):
        turned.announce(camera, f"{camera}_turned", degrees)
    assert asked == [("/tf_static", DurabilityPolicy.TRANSIENT_LOCAL)]
    # Whoever comes late gets the last message: it has the transforms of both cameras.
    assert [len(message) for message in sent] == [1, 2]
    assert [(t.header.frame_id, t.child_frame_id) for t in sent[-1]] == [
        ("left", "left_turned"),
        ("right", "right_turned"),
    ]
    q = sent[-1][1].transform.rotation
    assert q.x == q.y == 0.0
    rotation = np.array(
        [
            [1 - 2 * q.z**2, -2 * q.z * q.w, 0.0],
            [2 * q.z * q.w, 1 - 2 * q.z**2, 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    points = np.random.default_rng(0).standard_normal((4, 5, 4)).astype(np.float32)
    # From the frame of the turned image to that of the camera, as the cloud is turned.
    expected = turn_points(points, degrees)[..., :3]
    np.testing.assert_allclose(points[..., :3] @ rotation.T, expected, atol=1e-6)


def tf2():
    try:
        import tf2_msgs  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.slow
def test_qos_overrides_and_hints(start, picture):
    overrides = {
        "qos_overrides./points.publisher.reliability": "best_effort",
        "qos_overrides./points.publisher.depth": 7,
        "qos_overrides./image.subscription.reliability": "best_effort",
        "qos_overrides./image.subscription.depth": 3,
        "qos_overrides./nothing.publisher.depth": 3,
    }
    node, peer = start(latched_info=True, **overrides)
    peer.listen("depth/image_rect")
    peer.connect(node)
    [points] = peer.node.get_publishers_info_by_topic("/points")
    assert points.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    [depth] = peer.node.get_publishers_info_by_topic("/depth/image_rect")
    assert depth.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    [image] = peer.node.get_subscriptions_info_by_topic("/image")
    assert image.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    peer.status("", node, {"image reliability": "best_effort"})  # although the camera is reliable
    name = "qos_overrides./points.publisher.depth"
    assert node.node.get_parameter(name).value == 7
    assert "'qos_overrides./nothing.publisher.depth' fits no topic" in node.log()
    # A frame that is none of a camera's, and a camera_info that came before.
    peer.send(harness.image_message(picture), SECOND, "base_link")
    peer.output("depth/image_rect", SECOND, node)
    peer.status("is latched: it was published before this node subscribed", node)
    assert "frame_id 'base_link' is not named like an optical frame" in node.log()
    peer.send(stereo_info(), 2 * SECOND, "")
    peer.send(harness.image_message(picture), 2 * SECOND, "")
    peer.output("depth/image_rect", 2 * SECOND, node)
    assert peer.status("the image has no frame_id", node)["level"] == "1"


@pytest.mark.slow
def test_every_policy_of_every_topic_can_be_overridden(start):
    """As other programs see it over DDS; what DDS does not tell, as the node has it."""
    asked = {
        ("/depth/scale", "publisher", "reliability"): "best_effort",
        ("/color/image_rect", "publisher", "durability"): "transient_local",
        ("/color/camera_info", "publisher", "deadline"): 2 * SECOND,
        ("/depth/image_color", "publisher", "lifespan"): SECOND,
        ("/depth/camera_info", "publisher", "history"): "keep_all",
        ("/depth/image_rect", "publisher", "liveliness_lease_duration"): 5 * SECOND,
        ("/points", "publisher", "liveliness"): "automatic",
        ("/diagnostics", "publisher", "reliability"): "best_effort",
        ("/odom", "subscription", "reliability"): "reliable",
        ("/scan", "subscription", "depth"): 7,
        ("/range", "subscription", "deadline"): 3 * SECOND,
        ("/camera_info", "subscription", "reliability"): "reliable",
    }
    if tf2():
        asked["/tf_static", "subscription", "reliability"] = "best_effort"
    overrides = {f"qos_overrides.{'.'.join(key)}": value for key, value in asked.items()}
    node, peer = start(scaling__source="odometry+range", lazy=False, **overrides)
    peer.wait(lambda: node.node._state == "active", "the node", node)
    for (topic, role, policy), value in asked.items():
        look_up = getattr(
            peer.node,
            f"get_{'publishers' if role == 'publisher' else 'subscriptions'}_info_by_topic",
        )

        def infos(look_up=look_up, topic=topic):
            return [info for info in look_up(topic) if info.node_name == "depth"]

        [info] = peer.wait(infos, topic, node)
        qos = info.qos_profile
        if policy in ("history", "depth"):  # not told over DDS
            own = node.node.publishers if role == "publisher" else node.node.subscriptions
            qos = next(one.qos_profile for one in own if one.topic_name == topic)
        found = getattr(qos, policy)
        if isinstance(value, str):
            assert found.name.lower() == value, topic
        else:
            assert getattr(found, "nanoseconds", found) == value, topic
    assert "fits no topic" not in node.log()


@pytest.mark.slow
def test_a_camera_whose_qos_does_not_fit_an_override_is_named(start):
    name = "qos_overrides./image.subscription.durability"
    node, peer = start(**{name: "transient_local"})
    peer.listen("points")
    values = peer.status("its publisher's QoS does not fit (", node)
    assert name in values["text"] and values["level"] == "2"


def test_overrides_that_are_none_stop_the_node_with_a_sentence(start):
    node, peer = start(**{"qos_overrides./points.publisher.reliability": "perhaps"})
    assert peer.status("the node is unconfigured", node)
    assert "QoS overrides" in node.log() and "perhaps" in node.log()


@pytest.mark.parametrize(
    ("role", "policy", "value", "problem"),
    [
        ("publisher", "reliabilty", "reliable", "'reliabilty' is not a QoS policy of a publisher"),
        ("publisher", "invalid", 1, "'invalid' is not a QoS policy"),
        ("subscription", "lifespan", 1, "'lifespan' is not a QoS policy of a subscription"),
        ("publisher", "reliability", "perhaps", "'perhaps' is not one of .*best_effort"),
        ("publisher", "durability", True, "'True' is not one of .*transient_local"),
        ("publisher", "history", "", "'' is not one of .*keep_last"),
        ("publisher", "liveliness", "unknown", "'unknown' is not one of .*automatic"),
        ("publisher", "depth", 0, "'0' is not a whole number of at least 1"),
        ("subscription", "depth", "three", "'three' is not a whole number"),
        ("publisher", "deadline", 0.5, "'0.5' is not a whole number of nanoseconds"),
        ("publisher", "lifespan", -1, "'-1' is not a whole number of nanoseconds"),
        ("publisher", "avoid_ros_namespace_conventions", 1, "'1' is not true or false"),
    ],
)
def test_overrides_that_are_none_are_named(role, policy, value, problem):
    name = f"qos_overrides./robot/points.{role}.{policy}"
    given = {name: types.SimpleNamespace(value=value)}
    node = types.SimpleNamespace(
        resolve_topic_name=lambda topic: f"/robot/{topic}", _parameter_overrides=given
    )
    assert check_overrides(node, [("image", role)]) == [name]  # of no topic of the node
    with pytest.raises(InvalidQosOverridesError, match=f"parameter {name}: {problem}"):
        check_overrides(node, [("image", role), ("points", role)])


def test_reliability_that_fits():
    class Info:
        def __init__(self, reliability):
            self.qos_profile = self
            self.reliability = reliability

    reliable, best_effort = Info(ReliabilityPolicy.RELIABLE), Info(ReliabilityPolicy.BEST_EFFORT)
    assert fitting_reliability([]) == "best_effort"
    assert fitting_reliability([reliable, reliable]) == "reliable"
    assert fitting_reliability([reliable, best_effort]) == "best_effort"


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.43])
def test_loss_by_gaps(loss):
    """With jitter of a fifth of the period, and what the issue's camera lost: 26 of 60."""
    rng = np.random.default_rng(3)
    gaps = StampGaps()
    arrived = 0
    for number in range(100):
        if number in (0, 99) or rng.random() >= loss:
            arrived += 1
            gaps.add(int((number + rng.uniform(-0.1, 0.1)) * 200 * MS))
    assert gaps.lost_share == pytest.approx(1.0 - arrived / 100.0, abs=0.03)
    assert gaps.period == pytest.approx(0.2, rel=0.1)
    gaps.add(0)  # a recording that starts again
    assert gaps.lost_share == 0.0 and np.isnan(gaps.period)
