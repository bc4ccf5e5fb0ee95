# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the node can measure metres while a recording is played, and what it is told for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monodepth2_ros.options import read_scale_sources

if TYPE_CHECKING:
    from monodepth2_ros.recordings.playback import Odometry, Playback


@dataclass(frozen=True)
class LiveScale:
    """How the node finds the factor to metres.

    Attributes
    ----------
    sources : tuple of str
        See :data:`monodepth2_ros.options.SCALE_SOURCES`; empty for a fixed factor.
    odometry : Odometry or None
        That is played for it.
    arguments : tuple of str
        For the node, what follows ``--ros-args``.
    reason : str
        Why the factor is fixed although the model is not metric; "" otherwise.
    """

    sources: tuple[str, ...] = ()
    odometry: Odometry | None = None
    arguments: tuple[str, ...] = ()
    reason: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the factor is measured."""
        return bool(self.sources)


def choose_scale(asked: Mapping[str, Any], playback: Playback, wants_metres: bool) -> LiveScale:
    """Decide where the factor to metres comes from.

    What the user asks for stands. Otherwise a model that knows depth up to a factor is scaled by
    the odometry of the recording, if that leads to the camera.

    Parameters
    ----------
    asked : mapping
        Parameters of the node that the user gave: scale, scaling.source, scaling.mounting, rotate.
    playback : Playback
    wants_metres : bool
        Whether the model knows depth up to a factor, and has learned something.

    Raises
    ------
    ValueError
        If `asked` has a source that there is not.
    """
    source = asked.get("scaling.source")
    if source is not None:
        sources = read_scale_sources(str(source))
    elif not wants_metres or "scale" in asked:
        return LiveScale()
    else:
        sources = ("odometry",)
    if "odometry" not in sources:
        return LiveScale(sources)
    found = playback.find_odometry()
    odometry = found[0] if found else None
    if source is None:
        if odometry is None:
            return LiveScale(reason="the recording has no odometry")
        if playback.topics.camera_info is None:
            return LiveScale(reason="the recording has no camera_info")
        if odometry.mounting is None and "scaling.mounting" not in asked:
            return LiveScale(
                reason=f"{odometry.topic.name} is about frame '{odometry.body}', and nothing in "
                "the recording says where the camera sits there; to measure metres add -p "
                "scaling.mounting:='[x, y, z, roll, pitch, yaw]'"
            )
        if asked.get("rotate"):
            return LiveScale(reason="metres are not measured in turned images (rotate)")
    arguments = ["-p", f"scaling.source:={source or 'odometry'}"]
    if odometry is None:
        return LiveScale(sources, None, tuple(arguments))
    arguments += ["-r", f"odom:={odometry.topic.name}"]
    if odometry.mounting is not None and any(odometry.mounting) and "scaling.mounting" not in asked:
        values = ", ".join(f"{value:.6f}" for value in odometry.mounting)
        arguments += ["-p", f"scaling.mounting:=[{values}]"]
    return LiveScale(sources, odometry, tuple(arguments))
