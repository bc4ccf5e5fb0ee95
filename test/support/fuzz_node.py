# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Throw hostile messages at every service and subscription of the node.

    python test/support/fuzz_node.py --messages 1000000 --seed 7

The node runs in this process. Messages go through its executor as if they had been taken from DDS,
which is a hundred times faster than sending them; answers are serialised. A stub takes the place of
the network.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import time
from collections import Counter
from typing import Any

import numpy as np
import rclpy
from hostile_messages import hostile
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.serialization import serialize_message

from monodepth2_ros import predictor as predictor_module
from monodepth2_ros.node.depth_node import DepthNode
from monodepth2_ros.node.guarded_executor import GuardedExecutor


class StubPredictor:
    """Stands for DepthPredictor: no network, so that the messages are what takes the time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        from types import SimpleNamespace

        metadata = SimpleNamespace(num_layers=18, width=64, height=64, is_metric=False)
        self.checkpoint = SimpleNamespace(source="stub", metadata=metadata, is_random=False)
        device = SimpleNamespace(type="cpu")
        self.backend = SimpleNamespace(name="stub", precision="fp32", device=device)

    def predict(self, pixels: Any, camera: Any, options: Any, outputs: Any) -> Any:
        from types import SimpleNamespace

        depth = np.ones((64, 64), np.float32) if "depth" in outputs else None
        return SimpleNamespace(depth=depth, color=None, points=None, camera=None, seconds={})


def fuzz(messages: int, seed: int = 0) -> Counter[str]:
    """Send messages; return how many went to each topic and service.

    Raises
    ------
    AssertionError
        If something left the executor, or a service did not answer.
    """
    rng = random.Random(seed)
    context = rclpy.Context()
    context.init(
        ["--ros-args", "-p", "use_sim_time:=true", "-p", "lazy:=false", "--log-level", "fatal"]
    )
    original, predictor_module.DepthPredictor = predictor_module.DepthPredictor, StubPredictor
    executor, node = start(context)
    sent: Counter[str] = Counter()
    try:
        while sent.total() < messages:
            if sent.total() % 50 == 49 and not revive(node):
                stop(executor, node)
                executor, node = start(context)
            entity = rng.choice([*node.services, *node.subscriptions])
            sent[getattr(entity, "srv_name", None) or entity.topic_name] += 1
            deliver(executor, node, entity, rng)
        assert context.ok()
    finally:
        predictor_module.DepthPredictor = original
        stop(executor, node)
        context.try_shutdown()
    return sent


def start(context: rclpy.Context) -> tuple[GuardedExecutor, DepthNode]:
    """Start a node, active, in an executor of its own."""
    node = DepthNode(context=context)
    executor = GuardedExecutor(node.refuse, context=context)
    executor.add_node(node)
    for step in (node.trigger_configure, node.trigger_activate):
        assert step() == TransitionCallbackReturn.SUCCESS
    return executor, node


def stop(executor: GuardedExecutor, node: DepthNode) -> None:
    node.stop_worker(5.0)
    executor.shutdown()
    node.destroy_node()


def revive(node: DepthNode) -> bool:
    """Make the node active from whatever state requests have left it in; False if it cannot be."""
    for step in (node.trigger_configure, node.trigger_activate):
        with contextlib.suppress(Exception):  # not allowed from here
            step()
    return bool(node._state_machine.current_state[1] == "active")


def deliver(executor: GuardedExecutor, node: DepthNode, entity: Any, rng: random.Random) -> None:
    """Run the callback of a service or subscription in the executor, with a hostile message."""
    kind = getattr(entity, "srv_type", None)
    answered, done = [], []

    async def serve() -> None:
        done.append(True)
        request = hostile(kind.Request, rng)
        response = entity.callback(request, kind.Response())
        answered.append(serialize_message(response))

    async def hear() -> None:
        done.append(True)
        entity.callback(hostile(entity.msg_type, rng))

    executor._make_handler(entity, node, lambda _: hear if kind is None else serve)
    # Whatever else is due, timers and what DDS brings, may come first.
    for _ in range(10):
        executor.spin_once(0.0)
        if done:
            break
    assert done, "the executor does not come to it"
    assert kind is None or answered, f"{entity.srv_name} did not answer"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    started = time.monotonic()
    counts = fuzz(options.messages, options.seed)
    for name, number in counts.most_common():
        print(f"{number:9d}  {name}")
    print(f"{counts.total()} messages in {time.monotonic() - started:.0f} s; the node still runs")
