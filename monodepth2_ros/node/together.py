# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of several cameras that wait at the same time: one batch for those of one size.

A camera that fails, at whatever step, leaves the others as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monodepth2_ros.camera_batch import CameraBatch
    from monodepth2_ros.node.camera_stream import CameraStream
    from monodepth2_ros.node.frame_processor import PreparedFrame, ReceivedFrame
    from monodepth2_ros.prediction_request import Request
    from monodepth2_ros.predictor import Prediction

#: Counts and logs what a frame raised.
NoteFailure = Callable[["CameraStream", "ReceivedFrame", Exception], Any]


@dataclass(frozen=True)
class _Waiting:
    """A frame that is ready for the network, and what is asked of that."""

    number: int
    stream: CameraStream
    frame: ReceivedFrame
    prepared: PreparedFrame
    request: Request


def process_together(
    batch: CameraBatch,
    streams: Sequence[CameraStream],
    items: Sequence[tuple[CameraStream, ReceivedFrame]],
    note_failure: NoteFailure,
) -> None:
    """Process one frame of each of some cameras, up to the publishing of its messages.

    Parameters
    ----------
    batch : CameraBatch
        Its predictors are those of the streams, in their order.
    streams : sequence of CameraStream
    items : sequence of (CameraStream, ReceivedFrame)
        In the order in which they are to be published where they have one size.
    note_failure : callable
    """
    by_size: dict[tuple[int, ...], list[_Waiting]] = defaultdict(list)
    for stream, frame in items:
        try:
            if not stream.can_batch:
                _process_alone(stream, frame)
                continue
            prepared = stream.prepare(frame)
            if prepared is None:
                continue
            request = prepared.request
            if request is None:
                stream.conclude(prepared, None)
                continue
            waiting = _Waiting(streams.index(stream), stream, frame, prepared, request)
            by_size[request.image.shape].append(waiting)
        except Exception as error:
            note_failure(stream, frame, error)
    for group in by_size.values():
        _predict(batch, group, note_failure)


def _process_alone(stream: CameraStream, frame: ReceivedFrame) -> None:
    """Process a frame in the way of a single camera."""
    publish = stream.begin(frame)
    if publish is not None:
        publish()


def _predict(batch: CameraBatch, group: Sequence[_Waiting], note_failure: NoteFailure) -> None:
    """Predict for frames of one size and publish."""
    predictions: dict[int, Prediction] = {}
    failed = False
    try:
        predictions = batch.predict({one.number: one.request for one in group})
    except Exception as error:
        failed = True
        if len(group) == 1:
            note_failure(group[0].stream, group[0].frame, error)
            return
    for one in group:
        try:
            if failed:  # one of them is the reason: each by itself, to find which
                predictions.update(batch.predict({one.number: one.request}))
            one.stream.conclude(one.prepared, predictions[one.number])
        except Exception as error:
            note_failure(one.stream, one.frame, error)
