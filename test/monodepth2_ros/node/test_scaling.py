# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres: the node with odometry and with a scan, over DDS."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from geometry_msgs.msg import Vector3Stamped
from nav_msgs.msg import Odometry
from seen_wall import CAMERA, DISTANCE, STEP_NS, drive, listen, stamped, wall
from sensor_msgs.msg import Image, LaserScan, PointCloud2, PointField, Range

import node_harness as harness
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.scale.ground import measure_height
from monodepth2_ros.scale.mounting import mounting_pose
from monodepth2_ros.scale.range_messages import cloud_points
from monodepth2_ros.scale.ranges import depth_image_points, measure_beam, measure_ranges
from node_harness import NodeThread

pytestmark = pytest.mark.ros


@pytest.fixture
def start(node_settings, end_with_test, make_peer):
    def run(**parameters):
        node = end_with_test(NodeThread(**{**node_settings, **parameters}))
        return node, make_peer()

    return run


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """A drawn model, other with torch than without, whose depth of the wall is smooth in both.

    Else most points are at edges of the prediction, and what is left says too little of the image.
    """
    path = tmp_path_factory.mktemp("smooth") / "model.safetensors"
    harness.write_model(path, 96, 64, seed=7)
    return path


@pytest.mark.slow
def test_node_measures_metres_from_odometry_and_withholds_depth_until_then(start, smooth):
    node, peer = start(scaling__source="odometry", scaling__require=0.3, checkpoint=str(smooth))
    odometry = peer.node.create_publisher(Odometry, "odom", 100)
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.wait(odometry.get_subscription_count, "the node's odom subscription", node)
    predictor = DepthPredictor(smooth, backend=harness.BACKEND, device="cpu", precision="fp32")
    steps = drive(peer, node, odometry, scales, "camera_optical_frame")
    next(steps)  # nothing is known from one image
    peer.status("no depth is published", node, {"scale source": "none yet"})
    assert not peer.received["depth/image_rect"]
    *_, (stamp, x, scale) = steps
    factor, deviation = scale.vector.x, scale.vector.y
    assert 0.0 < deviation < 0.3 * factor and scale.vector.z == 0.0
    depth = harness.image_array(peer.output("depth/image_rect", stamp, node))
    expected = factor * predictor(wall(x))
    inside = (expected > 0.11) & (expected < 99.0)
    np.testing.assert_allclose(depth[inside], expected[inside], rtol=1e-3)
    # The random model knows nothing of the wall, but its depth is brought to its distance.
    assert np.median(expected) == pytest.approx(DISTANCE, rel=0.2)
    # Diagnostics say what the last depth was multiplied by.
    shown = {"scale source": "odometry", "scale factor": f"{factor:.4f}"}
    peer.status("publishing", node, shown)


def test_node_measures_metres_from_a_scan(start, smooth):
    node, peer = start(scaling__source="range", checkpoint=str(smooth))
    scans = peer.node.create_publisher(LaserScan, "scan", 10)
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.wait(scans.get_subscription_count, "the node's scan subscription", node)
    stamp = STEP_NS
    angles = -0.5 + 0.01 * np.arange(101)
    scan = LaserScan(angle_min=-0.5, angle_increment=0.01, range_min=0.1, range_max=8.0)
    scan.header.stamp.nanosec, scan.header.frame_id = stamp, "laser"
    scan.ranges = array.array("f", DISTANCE / np.cos(angles))
    scans.publish(scan)
    peer.spin(0.2)
    peer.send(harness.info_message(CAMERA), stamp)
    peer.send(harness.image_message(wall(0.0)), stamp)
    scale = peer.wait(stamped(scales, stamp), "depth/scale", node)
    predictor = DepthPredictor(smooth, backend=harness.BACKEND, device="cpu", precision="fp32")
    depth = predictor(wall(0.0))
    points = np.stack([-DISTANCE * np.tan(angles), 0 * angles, DISTANCE + 0 * angles], axis=1)
    expected = np.exp(measure_ranges(points, 1.0 / depth, CAMERA).middle)
    # The node weighs regions and frames; the drawn model differs with and without torch.
    assert scale.vector.x == pytest.approx(expected, rel=0.06)
    published = harness.image_array(peer.output("depth/image_rect", stamp, node))
    expected = scale.vector.x * depth
    inside = (expected > 0.11) & (expected < 99.0)
    np.testing.assert_allclose(published[inside], expected[inside], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["beam", "cloud", "depth"])
def test_node_measures_metres_from_other_range_sensors(start, smooth, kind):
    node, peer = start(scaling__source="range", checkpoint=str(smooth))
    topic, message_type = {
        "beam": ("range", Range),
        "cloud": ("range/points", PointCloud2),
        "depth": ("range/depth", Image),
    }[kind]
    sensor = peer.node.create_publisher(message_type, topic, 10)
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.wait(sensor.get_subscription_count, f"the node's subscription of {topic}", node)
    predictor = DepthPredictor(smooth, backend=harness.BACKEND, device="cpu", precision="fp32")
    inverse = 1.0 / predictor(wall(0.0))
    if kind == "beam":
        message = Range(field_of_view=0.1, min_range=0.1, max_range=8.0, range=DISTANCE)
        ahead = np.array([0.0, 0.0, 1.0])
        expected = measure_beam(DISTANCE, np.zeros(3), ahead, 0.1, inverse, CAMERA)
    elif kind == "depth":
        # Of another size than the image, with a hole.
        depth = np.full((60, 80), 1000 * DISTANCE, np.uint16)
        depth[20:30, 30:50] = 0
        message = Image(height=60, width=80, encoding="16UC1", step=160)
        message.data = array.array("B", depth.tobytes())
        metres = np.where(depth > 0, depth / 1000.0, np.nan)
        points = depth_image_points(metres, CAMERA.resized(80, 60), 2)
        expected = measure_ranges(points, inverse, CAMERA)
    else:
        y, z = (grid.ravel() for grid in np.meshgrid(np.linspace(-1, 1, 21), [-0.3, 0.0, 0.3]))
        points = np.stack([np.full(y.shape, DISTANCE), y, z], axis=1).astype(np.float32)
        message = PointCloud2(height=1, width=len(points), point_step=12, row_step=12 * len(points))
        message.fields = [
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate("xyz")
        ]
        message.data = array.array("B", points.tobytes())
        in_camera = np.stack([-points[:, 1], -points[:, 2], points[:, 0]], axis=1)
        expected = measure_ranges(in_camera.astype(np.float64), inverse, CAMERA)
    message.header.frame_id = "sensor"
    # Topics keep no order among each other: the reading may arrive after the image.
    for attempt in range(20):
        message.header.stamp.nanosec = stamp = STEP_NS + 10_000_000 * attempt
        sensor.publish(message)
        peer.spin(0.2)
        peer.send(harness.info_message(CAMERA), stamp)
        peer.send(harness.image_message(wall(0.0)), stamp)
        scale = peer.wait(stamped(scales, stamp), "depth/scale", node)
        if np.isfinite(scale.vector.y):
            break
    assert scale.vector.x == pytest.approx(np.exp(expected.middle), rel=0.05)
    peer.status("publishing", node, {"scale source": "range"})


@pytest.mark.slow
@pytest.mark.parametrize("sees", ["ground", "wall"])
def test_node_measures_metres_from_the_height_of_the_camera(start, monkeypatch, sees):
    pitch, height, unit = 0.3, 0.5, 2.5

    def whole(depth):
        small = CAMERA.resized(*depth.sigmoid.shape[::-1])
        x, y = np.meshgrid(np.arange(float(small.width)), np.arange(float(small.height)))
        rays = np.stack([(x - small.cx) / small.fx, (y - small.cy) / small.fy, 1.0 + 0.0 * x], -1)
        fall = rays @ [0.0, np.cos(pitch), np.sin(pitch)]
        floor = unit * np.maximum(fall, 0.02) / height
        return np.full_like(floor, 0.25) if sees == "wall" else floor

    monkeypatch.setattr("monodepth2_ros.outputs.UnscaledDepth.whole", whole)
    node, peer = start(
        scaling__source="camera_height",
        scaling__camera_height=height,
        scaling__mounting=[0.0, 0.0, height, 0.0, pitch, 0.0],
    )
    scales = listen(peer, Vector3Stamped, "depth/scale")
    peer.listen("depth/image_rect")
    peer.connect(node)
    peer.send(harness.info_message(CAMERA), STEP_NS)
    peer.send(harness.image_message(wall(0.0)), STEP_NS)
    scale = peer.wait(stamped(scales, STEP_NS), "depth/scale", node)
    if sees == "wall":
        assert not np.isfinite(scale.vector.y) and scale.vector.x == 1.0
        down = np.array([0.0, np.cos(pitch), np.sin(pitch)])
        reason = measure_height(np.full((64, 96), 0.25), CAMERA, height, down)
        assert "no ground in view" in reason
        expected = {"scale source": "none yet", "scale held because": reason}
        peer.status("publishing", node, expected)
        return
    assert scale.vector.x == pytest.approx(unit, rel=0.005)
    assert 0.0 < scale.vector.y < 0.2 * unit
    peer.status("publishing", node, {"scale source": "camera_height"})


def test_mounting_is_roll_then_pitch_then_yaw():
    pose = mounting_pose((1.0, 2.0, 3.0, 0.0, np.pi / 2, 0.0))
    np.testing.assert_allclose(pose @ [1.0, 0.0, 0.0, 1.0], [1.0, 2.0, 2.0, 1.0], atol=1e-12)
    pose = mounting_pose((0.0, 0.0, 0.0, 0.0, 0.0, np.pi / 2))
    np.testing.assert_allclose(pose @ [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], atol=1e-12)


def test_clouds_are_read_and_bad_ones_refused():
    points = np.array([[1.0, 2.0, 3.0, 0.0], [np.nan, 0.0, 1.0, 0.0]], np.float32)
    cloud = PointCloud2(height=1, width=2, point_step=16, row_step=32)
    cloud.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate("xyz")
    ]
    cloud.data = array.array("B", points.tobytes())
    np.testing.assert_array_equal(cloud_points(cloud), [[1.0, 2.0, 3.0]])
    cloud.width = 3
    with pytest.raises(ValueError, match="fewer bytes"):
        cloud_points(cloud)
    cloud.fields = cloud.fields[:2]
    with pytest.raises(ValueError, match="x, y and z"):
        cloud_points(cloud)
