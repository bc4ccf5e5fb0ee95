# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the network's disparity to a depth image, a colour picture and the points of a cloud.

Written once, for NumPy arrays on a CPU and torch tensors on a GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.arrays import (
    Array,
    affine,
    as_float,
    millimetres,
    reciprocal,
    resize,
    surround_with_nan,
    with_nan,
)
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.coloring import adapt_limits, colorize, disparity_limits
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.point_cloud import depth_edges, pack_points


@dataclass(frozen=True)
class UnscaledDepth:
    """Inverse depth before it is known what to multiply depth by; computed where it is wanted.

    Valid until the network runs again.

    Attributes
    ----------
    sigmoid : ndarray, shape (h, w), float32
        The network's output.
    metadata : CheckpointMetadata
    scale : float
        As in :class:`OutputOptions`.
    """

    sigmoid: NDArray[np.float32]
    metadata: CheckpointMetadata
    scale: float

    def take(self, index: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return elements (N,) of the flat array."""
        values = self.sigmoid.reshape(-1).take(index)
        return np.asarray(inverse_depth(values, self.metadata, self.scale))

    def whole(self) -> NDArray[np.float32]:
        """Return all of it, (h, w), in memory of its own."""
        return np.asarray(inverse_depth(self.sigmoid, self.metadata, self.scale))


def make_outputs(
    sigmoid: Any,
    colors: Any,
    box: tuple[int, int, int, int],
    camera: PinholeCamera | None,
    color_limits: Any,
    metadata: CheckpointMetadata,
    options: OutputOptions,
    outputs: tuple[str, ...],
) -> dict[str, Array]:
    """Compute the outputs that are asked for, on the device of the input, without waiting for it.

    Parameters
    ----------
    sigmoid : ndarray or Tensor, shape (h, w), float32
        The network's output, at the network's size.
    colors : ndarray or Tensor, shape (H, W, 3), uint8, RGB
        Image of the size of the outputs, the network's image or the camera's.
    box : tuple of int
        x, y, width and height of the network's crop in the camera's image.
    camera : PinholeCamera, optional
        Camera of the outputs; needed for points.
    color_limits : ndarray or Tensor, shape (2,), float64
        Disparities at the ends of the automatic colour range, NaN before the first frame; updated
        in place.
    metadata : CheckpointMetadata
    options : OutputOptions
    outputs : tuple of str
        Any of "depth", "color", "points".

    Returns
    -------
    dict of str to array
        As :class:`monodepth2_ros.predictor.Prediction` describes them.
    """
    disparity = inverse_depth(sigmoid, metadata, options.scale)
    edges = None
    if "points" in outputs and options.points_edge_filter > 0.0:
        edges = depth_edges(disparity, options.points_edge_filter)
    if options.output_size == "image":
        height, width = colors.shape[:2]
        disparity = _to_image(disparity, box, height, width)
        if edges is not None:
            # Just under a half, so that rounding does not decide about pixels that are half edge.
            edges = _to_image(as_float(edges), box, height, width) > 0.499
    disparity = _limit_range(disparity, metadata, options)
    depth = reciprocal(disparity)

    results: dict[str, Array] = {}
    if "depth" in outputs:
        results["depth"] = depth if options.depth_encoding == "32FC1" else millimetres(depth)
    if "color" in outputs:
        low, high = _picture_range(disparity, color_limits, options)
        results["color"] = colorize(disparity, low, high, options.color_map)
    if "points" in outputs:
        assert camera is not None
        farthest = _farthest_point(metadata, options)
        results["points"] = _points(depth, colors, edges, camera, farthest, options)
    return results


def inverse_depth(sigmoid: Any, metadata: CheckpointMetadata, scale: float) -> Any:
    """Return inverse depth in 1/metre: linear in the sigmoid, so it may be resized."""
    near, far = 1.0 / metadata.min_depth, 1.0 / metadata.max_depth
    unit = metadata.scale * scale
    return affine(sigmoid, (near - far) / unit, far / unit)


def _limit_range(disparity: Any, metadata: CheckpointMetadata, options: OutputOptions) -> Any:
    """Put NaN where depth is outside the range that was asked for."""
    unit = metadata.scale * options.scale
    # A bound that the network cannot reach costs nothing.
    if options.max_range < unit * metadata.max_depth:
        disparity = with_nan(disparity, disparity < 1.0 / options.max_range)
    if options.min_range > unit * metadata.min_depth:
        disparity = with_nan(disparity, disparity > 1.0 / options.min_range)
    return disparity


def _picture_range(disparity: Any, color_limits: Any, options: OutputOptions) -> tuple[Any, Any]:
    """Disparities at the ends of the colour map: those asked for, or the scene's, smoothed."""
    if has_fixed_colors(options):
        near, far = options.color_range
        return 1.0 / far, 1.0 / near
    color_limits[:] = adapt_limits(color_limits, disparity_limits(disparity))
    return color_limits[0], color_limits[1]


def has_fixed_colors(options: OutputOptions) -> bool:
    """Say whether the ends of the colour map are given."""
    near, far = options.color_range
    return far > near > 0.0


def _to_image(values: Any, box: tuple[int, int, int, int], height: int, width: int) -> Any:
    """Resize network-size values to the crop and put NaN around it."""
    x, y, box_width, box_height = box
    resized = resize(values, box_width, box_height)
    if (box_width, box_height) == (width, height):
        return resized
    return surround_with_nan(resized, x, width - x - box_width, y, height - y - box_height)


def _farthest_point(metadata: CheckpointMetadata, options: OutputOptions) -> float:
    """Return the depth in metres beyond which the cloud has no points, infinity for none."""
    bounds = [options.points_max_range] if options.points_max_range > 0.0 else []
    if options.points_far_filter > 0.0:
        near, far = 1.0 / metadata.min_depth, 1.0 / metadata.max_depth
        unit = metadata.scale * options.scale
        bounds.append(unit / (far + options.points_far_filter * (near - far)))
    return min(bounds, default=math.inf)


def _points(
    depth: Any,
    colors: Any,
    edges: Any,
    camera: PinholeCamera,
    farthest: float,
    options: OutputOptions,
) -> Any:
    """Select and pack points."""
    stride = options.points_stride
    if stride > 1:
        depth, colors = depth[::stride, ::stride], colors[::stride, ::stride]
        camera = camera.subsampled(stride)
        edges = edges if edges is None else edges[::stride, ::stride]
    drop = edges
    if farthest < math.inf:
        far = depth > farthest
        drop = far if drop is None else drop | far
    if drop is not None:
        depth = with_nan(depth, drop)
    return pack_points(depth, colors, camera)
