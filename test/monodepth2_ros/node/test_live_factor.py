# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the node applies the factor to metres: the newest one, without waiting, whatever fails."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import node_harness as harness
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.node.parameters import PARAMETERS
from monodepth2_ros.node.scaling import Scaling, multiply
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.predictor import DepthPredictor
from monodepth2_ros.scale import ScaleEstimate

CAMERA = PinholeCamera(96, 64, 80.0, 80.0, 47.5, 31.5)
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)


class Estimator:
    """Stands for the estimator: an update ends when it is told to."""

    def __init__(self, factor: float | None) -> None:
        self.estimate = ScaleEstimate()
        if factor is not None:
            self.estimate = ScaleEstimate(factor, 0.05, "odometry", 0.1, "")
        self.go_on = threading.Event()
        self.measured: list[int] = []
        self.fails = False
        self.at_a_glance = 1.0

    def is_idle(self, stamp):
        return False

    def newest(self, stamp):
        return self.estimate

    def glance_at(self, stamp, shape, take, camera):
        self.shape, self.taken = shape, take(np.arange(5))
        if self.fails:
            raise RuntimeError("no memory")
        return dataclasses.replace(self.estimate, factor=self.at_a_glance * self.estimate.factor)

    def update(self, stamp, image, image_camera, inverse_depth, camera):
        assert image is IMAGE and image_camera is CAMERA
        assert self.go_on.wait(60.0)
        self.measured.append(stamp)
        self.inverse_depth = inverse_depth
        self.estimate = ScaleEstimate(3.0, 0.05, "odometry", 0.0, "")
        return self.estimate


def header(stamp: int):
    return SimpleNamespace(frame_id="camera", stamp=SimpleNamespace(sec=0, nanosec=stamp))


@pytest.fixture(scope="module")
def predictor(model):
    return DepthPredictor(model, backend=harness.BACKEND, device="cpu", precision="fp32")


@pytest.fixture
def make():
    made = []

    def run(factor: float | None, **given) -> Scaling:
        values = {parameter.name: parameter.default for parameter in PARAMETERS}
        scaling = Scaling(values | {"scaling.source": "odometry"} | given)
        scaling._estimator = Estimator(factor)
        made.append(scaling)
        return scaling

    yield run
    for scaling in made:
        scaling._estimator.go_on.set()
        scaling.close()


def predict(scaling: Scaling, predictor: DepthPredictor, stamp: int = 1):
    options = OutputOptions()
    return scaling.predict(predictor, header(stamp), IMAGE, CAMERA, options, ("depth",)).depth


def test_depth_waits_for_no_measurement_once_a_factor_is_known(make, predictor):
    scaling = make(2.0)
    np.testing.assert_allclose(predict(scaling, predictor), 2.0 * predictor(IMAGE), rtol=1e-5)
    scaling.measure()
    # The first image is measured, and would be for as long as one waits for it: the next ones are
    # not, so nothing piles up.
    for stamp in (2, 3):
        depth = predict(scaling, predictor, stamp)
        np.testing.assert_allclose(depth, 2.0 * predictor(IMAGE), rtol=1e-5)
        scaling.measure()
    scaling._estimator.go_on.set()
    scaling._measuring.result(60.0)
    assert scaling._estimator.measured == [1]
    # Diagnostics are about the last depth, and the newest factor is for the next one.
    assert scaling.diagnostics()["scale factor"] == "2.0000"
    np.testing.assert_allclose(predict(scaling, predictor, 4), 3.0 * predictor(IMAGE), rtol=1e-5)
    assert scaling.diagnostics()["scale factor"] == "3.0000"


def test_corners_at_a_glance_bring_the_factor_up_to_date(make, predictor):
    scaling = make(2.0)
    scaling._estimator.at_a_glance = 1.5
    depth = predict(scaling, predictor)
    np.testing.assert_allclose(depth, 3.0 * predictor(IMAGE), rtol=1e-5)
    assert scaling.message(header(1)).vector.x == pytest.approx(3.0)
    # What is read of the inverse depth is what is measured later.
    expected = 1.0 / predictor(IMAGE)
    assert scaling._estimator.shape == expected.shape
    np.testing.assert_allclose(scaling._estimator.taken, expected.reshape(-1)[:5], rtol=1e-5)
    scaling.measure()
    # The network's own output may be another one by then.
    predictor(IMAGE[::-1].copy())
    scaling._estimator.go_on.set()
    scaling._measuring.result(60.0)
    np.testing.assert_allclose(scaling._estimator.inverse_depth, expected, rtol=1e-5)


def test_the_first_factor_is_waited_for(make, predictor):
    scaling = make(None, **{"scaling.require": 0.1})
    scaling._estimator.go_on.set()
    np.testing.assert_allclose(predict(scaling, predictor), 3.0 * predictor(IMAGE), rtol=1e-5)
    scaling.measure()
    assert scaling._estimator.measured == [1]


def test_depth_goes_on_when_measuring_fails(make, predictor):
    scaling = make(2.0)
    scaling._estimator.fails = True
    scaling._waiting.append(("cloud", SimpleNamespace(header=header(0))))  # a damaged message
    scaling._estimator.go_on.set()
    np.testing.assert_allclose(predict(scaling, predictor), 2.0 * predictor(IMAGE), rtol=1e-5)
    assert "no memory" in scaling.diagnostics()["scale held because"]
    scaling.measure()
    scaling._measuring.result(60.0)
    assert "measuring failed" in scaling.diagnostics()["scale held because"]
    assert scaling._estimator.measured == [1]


def test_multiplied_outputs_are_those_that_are_computed_with_the_factor(predictor):
    for encoding in ("32FC1", "16UC1"):
        options = OutputOptions(
            min_range=0.5, max_range=20.0, points_max_range=8.0, depth_encoding=encoding
        )
        unit = dataclasses.replace(
            options, min_range=0.0, max_range=np.inf, points_max_range=0.0, depth_encoding="32FC1"
        )
        wanted = ("depth", "points")
        found = multiply(predictor.predict(IMAGE, CAMERA, unit, wanted), 2.5, options)
        shapes = []

        def factor(depth, shapes=shapes):
            shapes.append(depth.whole().shape)
            return 2.5

        expected = predictor.predict(IMAGE, CAMERA, options, wanted, factor)
        assert shapes == [(64, 96)]
        assert found.depth.dtype == expected.depth.dtype
        np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.points[..., :3], expected.points[..., :3], rtol=1e-4)
