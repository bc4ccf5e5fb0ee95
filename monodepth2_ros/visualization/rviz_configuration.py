# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rviz configuration, fitted to a camera's frame, topic and scene."""

from __future__ import annotations

import copy
from typing import Any

#: The frame that config/depth.rviz names, in whose place the camera's own is put.
PLACEHOLDER_FRAME = "camera_optical_frame"

#: The image topic that config/depth.rviz names.
PLACEHOLDER_IMAGE = "/image"

# The view's focal point lies on the optical axis at the scene's median depth, and the eye this many
# times as far from it: about half the median depth behind the camera, so that the cloud about fills
# the width of the view from half the median depth on, whether of a room or of a street.
_DISTANCE = 1.5

# Median depths that the view follows, in metres.
_NEAREST, _FARTHEST = 0.3, 30.0


def fit_configuration(
    configuration: dict[str, Any],
    camera_frame: str,
    fixed_frame: str = "",
    image_topic: str = PLACEHOLDER_IMAGE,
    depth: float | None = None,
) -> dict[str, Any]:
    """Fit a configuration to what is to be shown.

    Parameters
    ----------
    configuration : dict
        Content of config/depth.rviz, or of one that a user has derived from it.
    camera_frame : str
        Frame of the depth and of the cloud. The view, the grid and the axes are attached to it.
        Where it is empty the configuration's stays: rviz has no frame without a name.
    fixed_frame : str, optional
        rviz's Fixed Frame; empty for the camera's.
    image_topic : str, optional
        Topic of the camera's images, with /compressed at the end for compressed ones.
    depth : float, optional
        Median depth of the scene in metres, which sets the distance of the view.

    Returns
    -------
    dict
        The given one is left as it is.
    """
    fitted = copy.deepcopy(configuration)
    camera_frame = camera_frame or PLACEHOLDER_FRAME
    manager = fitted["Visualization Manager"]
    options = manager["Global Options"]
    if fixed_frame or options.get("Fixed Frame") == PLACEHOLDER_FRAME:
        options["Fixed Frame"] = fixed_frame or camera_frame
    for display in manager.get("Displays") or ():
        if display.get("Reference Frame") == PLACEHOLDER_FRAME:
            display["Reference Frame"] = camera_frame
        topic = display.get("Topic")
        if isinstance(topic, dict) and topic.get("Value") == PLACEHOLDER_IMAGE:
            topic["Value"] = image_topic
    view = manager.get("Views", {}).get("Current", {})
    if view.get("Target Frame") == PLACEHOLDER_FRAME:
        view["Target Frame"] = camera_frame
        if depth is not None:
            focus = min(max(depth, _NEAREST), _FARTHEST)
            view["Focal Point"] = {"X": 0, "Y": 0, "Z": round(focus, 2)}
            view["Distance"] = round(_DISTANCE * focus, 2)
    return fitted
