# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plays a recording through the node, in time or in lock-step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monodepth2_ros.demo.node_client import Link
    from monodepth2_ros.recordings.playback import Event

_BACKLOG = 30  # finished frames until drawing goes before punctuality


@dataclass
class PlayedFrame:
    """An image that was sent, and what came back for it.

    Attributes
    ----------
    number : int
        From 0.
    event : Event
        The image.
    info : object or None
        The newest camera_info when the image was sent.
    sent : float
        Seconds of the monotonic clock, immediately before it was published.
    arrivals : dict of str to float
        The same clock, by output.
    data : dict of str to bytes
        Serialised outputs.
    messages : dict of str to object
        Outputs, as the rosbags library reads them.
    """

    number: int
    event: Event
    info: Any
    sent: float
    arrivals: dict[str, float] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    messages: dict[str, Any] = field(default_factory=dict)


def play(
    events: Iterable[Event],
    link: Link,
    rate: float | None,
    truth: Callable[[Event], None],
    draw: Callable[[PlayedFrame], None],
) -> None:
    """Play a recording through the node.

    Parameters
    ----------
    events : iterable of Event
    link : Link
        Connected and warm.
    rate : float or None
        Speed as a multiple of the recorded one; None sends each image when the one before has come
        back.
    truth : callable
        Takes depth events.
    draw : callable
        Takes frames that came back, or were passed over, in order; called in spare time.

    Raises
    ------
    PlayError
        If nothing comes back.
    """
    started, first_ns = time.monotonic(), None
    drawing = 0.0  # seconds that a frame took to draw
    backlog: list[PlayedFrame] = []
    for event in events:
        link.check()
        if event.kind == "depth":
            truth(event)
            continue
        if rate is None:
            if event.kind == "image":
                link.wait_for_last()
        else:
            first_ns = event.time_ns if first_ns is None else first_ns
            due = started + 1e-9 * (event.time_ns - first_ns) / rate
            while True:
                backlog += link.take_finished()
                left = due - time.monotonic()
                if backlog and (left > drawing or len(backlog) > _BACKLOG):
                    before = time.monotonic()
                    draw(backlog.pop(0))
                    drawing = time.monotonic() - before
                elif left > 0.0:
                    link.pause(left)
                    link.check()
                else:
                    break
        link.send(event)
        if rate is None and event.kind == "image":
            # The node is busy with this image now.
            for frame in link.take_finished():
                draw(frame)
    if rate is None:
        link.wait_for_last()
    else:
        link.settle()
    for frame in [*backlog, *link.take_finished(everything=True)]:
        draw(frame)
