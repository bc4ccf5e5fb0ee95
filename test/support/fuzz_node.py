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
import gc
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import rclpy
from hostile_messages import every_value, hostile
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.serialization import serialize_message

from monodepth2_ros import predictor as predictor_module
from monodepth2_ros.node.depth_node import DepthNode
from monodepth2_ros.node.guarded_executor import GuardedExecutor

#: Messages that are given to the executor together; waiting is what takes its time.
_BATCH = 50


class StubPredictor:
    """Stands for DepthPredictor: no network, so that the messages are what takes the time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        from types import SimpleNamespace

        metadata = SimpleNamespace(num_layers=18, width=64, height=64, is_metric=False)
        self.checkpoint = SimpleNamespace(source="stub", metadata=metadata, is_random=False)
        device = SimpleNamespace(type="cpu")
        self.backend = SimpleNamespace(name="stub", precision="fp32", device=device)

    can_overlap = True

    def begin(self, pixels: Any, camera: Any, options: Any, outputs: Any) -> Any:
        from types import SimpleNamespace

        depth = np.ones((64, 64), np.float32) if "depth" in outputs else None
        made = SimpleNamespace(depth=depth, color=None, points=None, camera=None, seconds={})
        return lambda: made


def fuzz(messages: int, seed: int = 0) -> Counter[str]:
    """Send messages; return how many went to each topic and service.

    First each field of each type gets each of its hostile values
    (:func:`hostile_messages.every_value`, 2,650 messages); the random ones come on top of these.

    Parameters
    ----------
    messages : int
        Number of random messages.
    seed : int

    Raises
    ------
    AssertionError
        If something left the executor, or a service did not answer.
    """
    rng = random.Random(seed)
    # The node collects garbage at every cleanup; not among what the libraries made before.
    was_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    context = rclpy.Context()
    context.init(
        ["--ros-args", "-p", "use_sim_time:=true", "-p", "lazy:=false", "--log-level", "fatal"]
    )
    original, predictor_module.DepthPredictor = predictor_module.DepthPredictor, StubPredictor
    executor, node = start(context)
    sent: Counter[str] = Counter()
    planned = [
        (name, message)
        for name, entity in _entities(node).items()
        for message in every_value(_type(entity), rng)
    ]
    try:
        while planned or messages:
            if not revive(node):
                stop(executor, node)
                executor, node = start(context)
            if planned:
                # It stops to listen to the clock when a message has set this to false.
                node.set_parameters([rclpy.Parameter("use_sim_time", value=True)])
            entities = _entities(node)
            batch, planned = planned[:_BATCH], planned[_BATCH:]
            if not batch:
                names = rng.choices(list(entities), k=min(_BATCH, messages))
                batch = [(name, None) for name in names]
                messages -= len(batch)
            sent.update(name for name, _ in batch)
            deliver(executor, node, [(entities[name], message) for name, message in batch], rng)
        assert context.ok()
    finally:
        predictor_module.DepthPredictor = original
        stop(executor, node)
        context.try_shutdown()
        if not was_frozen:
            gc.unfreeze()
    return sent


def _entities(node: DepthNode) -> dict[str, Any]:
    """Return the services and subscriptions of a node by name."""
    entities = (*node.services, *node.subscriptions)
    return {getattr(e, "srv_name", None) or e.topic_name: e for e in entities}


def _type(entity: Any) -> Any:
    """Return the type of what a service or subscription takes."""
    return entity.srv_type.Request if hasattr(entity, "srv_type") else entity.msg_type


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


def deliver(
    executor: GuardedExecutor,
    node: DepthNode,
    messages: Sequence[tuple[Any, Any]],
    rng: random.Random,
) -> None:
    """Run callbacks of services and subscriptions in the executor, each with its message.

    A random one where that is None, which is drawn when its turn comes.
    """
    waiting = [_Delivery(executor, node, entity, message, rng) for entity, message in messages]
    # Whatever else is due, timers and what DDS brings, may come first.
    for _ in range(10 * len(waiting)):
        executor.spin_once(0.0)
        if all(delivery.is_taken for delivery in waiting):
            break
    for delivery in waiting:
        assert delivery.is_taken, "the executor does not come to it"
        assert delivery.is_answered, f"{delivery.entity.srv_name} did not answer"


class _Delivery:
    """A hostile message on its way through the executor."""

    def __init__(
        self,
        executor: GuardedExecutor,
        node: DepthNode,
        entity: Any,
        message: Any,
        rng: random.Random,
    ) -> None:
        self.entity = entity
        self.is_taken = False
        self.kind = getattr(entity, "srv_type", None)
        self.is_answered = self.kind is None
        self.message = message
        self.rng = rng
        answer = self.hear if self.kind is None else self.serve
        executor._make_handler(entity, node, lambda _: answer)

    async def serve(self) -> None:
        self.is_taken = True
        response = self.entity.callback(self.content(), self.kind.Response())
        serialize_message(response)
        self.is_answered = True

    async def hear(self) -> None:
        self.is_taken = True
        self.entity.callback(self.content())

    def content(self) -> Any:
        return hostile(_type(self.entity), self.rng) if self.message is None else self.message


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
