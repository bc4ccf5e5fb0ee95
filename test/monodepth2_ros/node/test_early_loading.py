# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that configures itself loads its model while the rest of it is made, and only once."""

from __future__ import annotations

import contextlib

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import fuzz_node
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

import node_harness as harness
from monodepth2_ros.node import depth_node
from monodepth2_ros.node.depth_node import DepthNode
from monodepth2_ros.options import CheckpointError

pytestmark = pytest.mark.ros

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def loaded(monkeypatch):
    """Return the checkpoints that are asked for; "" cannot be loaded."""
    asked: list[str] = []

    def load(values):
        asked.append(values["checkpoint"])
        if not values["checkpoint"]:
            raise CheckpointError("no checkpoint was given")
        return fuzz_node.StubPredictor()

    monkeypatch.setattr(depth_node, "_load", load)
    return asked


@contextlib.contextmanager
def node_of(checkpoint: str, autostart: bool = True, loads_early: bool = True):
    """Make a node that nobody spins."""
    harness.use_private_domain()
    context = rclpy.Context()
    context.init(["--ros-args", "--log-level", "fatal"])
    overrides = [Parameter("checkpoint", value=checkpoint), Parameter("autostart", value=autostart)]
    node = DepthNode(loads_early=loads_early, context=context, parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.stop_worker(10.0)
        node.destroy_node()
        context.try_shutdown()


def test_the_model_is_loaded_once_and_again_after_cleanup(loaded):
    with node_of("first") as node:
        node._loading[1].wait()
        assert loaded == ["first"]  # before it is configured
        assert node.trigger_configure() == SUCCESS
        assert loaded == ["first"]
        assert node.trigger_cleanup() == SUCCESS
        assert node.trigger_configure() == SUCCESS
        assert loaded == ["first", "first"]


def test_parameters_that_changed_meanwhile_are_those_that_count(loaded):
    with node_of("first") as node:
        node._loading[1].wait()
        node.set_parameters([Parameter("checkpoint", value="second")])
        assert node.trigger_configure() == SUCCESS
        assert loaded == ["first", "second"]


@pytest.mark.parametrize(("autostart", "loads_early"), [(False, True), (True, False)])
def test_a_node_that_others_configure_waits_for_them(loaded, autostart, loads_early):
    with node_of("first", autostart, loads_early) as node:
        assert node._loading is None and loaded == []
        assert node.trigger_configure() == SUCCESS
        assert loaded == ["first"]


def test_what_fails_early_is_told_when_the_node_configures(loaded):
    with node_of("") as node:
        said = []
        node._refuse_to_configure = lambda reason: said.append(reason) or FAILURE
        assert node.trigger_configure() == FAILURE
        assert said == ["no checkpoint was given"] and loaded == [""]


def test_a_signal_that_an_import_turns_into_an_error_ends_the_node(loaded, monkeypatch):
    from monodepth2_ros.backends import factory

    signals = depth_node.EndSignals()

    def broken(*_):
        signals.heard = True
        raise ImportError("interrupted")

    monkeypatch.setattr(factory, "import_engine", broken)
    harness.use_private_domain()
    context = rclpy.Context()
    context.init(["--ros-args", "--log-level", "fatal"])
    try:
        with pytest.raises(KeyboardInterrupt):
            DepthNode(signals, loads_early=True, context=context)
    finally:
        context.try_shutdown()
