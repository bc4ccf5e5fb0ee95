# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a user can ask of a predictor, and how it refuses; importing this does not import torch.

torch takes longer to import than everything else together. The node and the launch files check
what they are given, and are seen by others, before it is there.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Engines for the network, see :mod:`monodepth2_ros.backends`.
BACKENDS = ("auto", "torch", "openvino")

#: Arithmetic of the convolutions.
PRECISIONS = ("auto", "fp32", "fp16", "bf16")

#: Whether images are rectified, see :mod:`monodepth2_ros.rectification`.
RECTIFY = ("auto", "true", "false")

#: What can measure the factor from the unit of depth to metres, see :mod:`monodepth2_ros.scale`.
SCALE_SOURCES = ("odometry", "camera_height", "range")

#: Names that a user can choose; OpenCV's colour maps.
COLOR_MAPS = ("magma", "inferno", "plasma", "viridis", "turbo", "gray")


def read_scale_sources(text: str) -> tuple[str, ...]:
    """Read the sources of the factor to metres, such as "odometry+range".

    Returns
    -------
    tuple of str
        Any of :data:`SCALE_SOURCES`; empty for "fixed".

    Raises
    ------
    ValueError
        If it names an unknown source, or one twice.
    """
    names = tuple(part.strip() for part in text.split("+"))
    if names == ("fixed",):
        return ()
    if set(names) - set(SCALE_SOURCES) or len(set(names)) != len(names):
        raise ValueError(
            f"scaling.source is '{text}'; give 'fixed', or one or several of "
            f"{', '.join(SCALE_SOURCES)} joined by '+'"
        )
    return names


class BackendError(RuntimeError):
    """A backend cannot start; the message says why and names the alternative."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or does not fit; the message says which, why and what to do."""


@dataclass(frozen=True)
class OutputOptions:
    """How outputs are made; all of it can change from frame to frame.

    Attributes
    ----------
    output_size : {"network", "image"}
        Size of depth, picture and cloud: the network's, or the input image's, pixel for pixel,
        with NaN where the crop has no depth.
    scale : float
        Multiplies depth, after the checkpoint's own scale.
    min_range, max_range : float
        Depth outside is NaN, in metres after scaling.
    points_stride : int
        Keep every n-th row and column of the cloud.
    points_max_range : float
        Points farther away are left out; 0 for no bound of their own.
    points_far_filter : float
        Points where the network's output, 0 at its largest depth and 1 at its smallest, is less
        than this are left out; 0 keeps all.
    points_edge_filter : float
        Threshold of :func:`monodepth2_ros.point_cloud.depth_edges`; 0 keeps all points.
    depth_encoding : {"32FC1", "16UC1"}
        Metres, or millimetres with 0 for unknown.
    color_map : str
        See :data:`monodepth2_ros.coloring.COLOR_MAPS`.
    color_range : tuple of float
        Nearest and farthest depth of the picture in metres; (0, 0) adapts to the scene.
    """

    output_size: str = "network"
    scale: float = 1.0
    min_range: float = 0.0
    max_range: float = float("inf")
    points_stride: int = 1
    points_max_range: float = 0.0
    points_far_filter: float = 0.0
    points_edge_filter: float = 0.0
    depth_encoding: str = "32FC1"
    color_map: str = "magma"
    color_range: tuple[float, float] = (0.0, 0.0)
