# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the network's disparity to a depth image, a colour picture and the points of a cloud."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import CheckpointMetadata
from monodepth2_ros.coloring import adapt_limits, colorize, disparity_limits
from monodepth2_ros.options import OutputOptions
from monodepth2_ros.point_cloud import depth_edges, pack_points


def make_outputs(
    sigmoid: Tensor,
    colors: Tensor,
    box: tuple[int, int, int, int],
    camera: PinholeCamera | None,
    color_limits: Tensor,
    metadata: CheckpointMetadata,
    options: OutputOptions,
    outputs: tuple[str, ...],
) -> dict[str, Tensor]:
    """Compute the outputs that are asked for, without waiting for the device.

    Parameters
    ----------
    sigmoid : Tensor, shape (h, w), float32
        The network's output, at the network's size.
    colors : Tensor, shape (H, W, 3), uint8, RGB
        Image of the size of the outputs, the network's image or the camera's.
    box : tuple of int
        x, y, width and height of the network's crop in the camera's image.
    camera : PinholeCamera, optional
        Camera of the outputs; needed for points.
    color_limits : Tensor, shape (2,), float64
        Disparities at the ends of the automatic colour range, NaN before the first frame; updated
        in place.
    metadata : CheckpointMetadata
    options : OutputOptions
    outputs : tuple of str
        Any of "depth", "color", "points".

    Returns
    -------
    dict of str to Tensor
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
            edges = _to_image(edges.float(), box, height, width) > 0.5
    disparity = _limit_range(disparity, metadata, options)
    depth = disparity.reciprocal()

    results: dict[str, Tensor] = {}
    if "depth" in outputs:
        results["depth"] = _encode_depth(depth, options.depth_encoding)
    if "color" in outputs:
        low, high = _picture_range(disparity, color_limits, options)
        results["color"] = colorize(disparity, low, high, options.color_map)
    if "points" in outputs:
        assert camera is not None
        results["points"] = _points(depth, colors, edges, camera, options)
    return results


def inverse_depth(sigmoid: Tensor, metadata: CheckpointMetadata, scale: float) -> Tensor:
    """Return inverse depth in 1/metre: linear in the sigmoid, so it may be resized."""
    near, far = 1.0 / metadata.min_depth, 1.0 / metadata.max_depth
    unit = metadata.scale * scale
    return torch.add(far / unit, sigmoid, alpha=(near - far) / unit)


def _limit_range(disparity: Tensor, metadata: CheckpointMetadata, options: OutputOptions) -> Tensor:
    """Put NaN where depth is outside the range that was asked for."""
    unit = metadata.scale * options.scale
    # A bound that the network cannot reach costs nothing.
    if options.max_range < unit * metadata.max_depth:
        disparity = disparity.masked_fill(disparity < 1.0 / options.max_range, torch.nan)
    if options.min_range > unit * metadata.min_depth:
        disparity = disparity.masked_fill(disparity > 1.0 / options.min_range, torch.nan)
    return disparity


def _picture_range(
    disparity: Tensor, color_limits: Tensor, options: OutputOptions
) -> tuple[float, float] | tuple[Tensor, Tensor]:
    """Disparities at the ends of the colour map: those asked for, or the scene's, smoothed."""
    if has_fixed_colors(options):
        near, far = options.color_range
        return 1.0 / far, 1.0 / near
    color_limits.copy_(adapt_limits(color_limits, disparity_limits(disparity)))
    return color_limits[0], color_limits[1]


def has_fixed_colors(options: OutputOptions) -> bool:
    """Say whether the ends of the colour map are given."""
    near, far = options.color_range
    return far > near > 0.0


def _to_image(values: Tensor, box: tuple[int, int, int, int], height: int, width: int) -> Tensor:
    """Resize network-size values to the crop and put NaN around it."""
    x, y, box_width, box_height = box
    resized = functional.interpolate(
        values[None, None], (box_height, box_width), mode="bilinear", align_corners=False
    )[0, 0]
    if (box_width, box_height) == (width, height):
        return resized
    padding = (x, width - x - box_width, y, height - y - box_height)
    return functional.pad(resized, padding, value=torch.nan)


def _encode_depth(depth: Tensor, encoding: str) -> Tensor:
    """Give depth in the type of a REP 118 image."""
    if encoding == "32FC1":
        return depth
    millimetres = torch.nan_to_num(depth * 1000.0, nan=0.0, posinf=0.0).round_()
    millimetres = millimetres.masked_fill(millimetres > 65535.0, 0.0)
    # Through int32: conversions to uint16 are not implemented on every device.
    return millimetres.to(torch.int32).to(torch.uint16)


def _points(
    depth: Tensor,
    colors: Tensor,
    edges: Tensor | None,
    camera: PinholeCamera,
    options: OutputOptions,
) -> Tensor:
    """Select and pack points."""
    stride = options.points_stride
    if stride > 1:
        depth, colors = depth[::stride, ::stride], colors[::stride, ::stride]
        camera = camera.subsampled(stride)
        edges = edges if edges is None else edges[::stride, ::stride]
    drop = edges
    if options.points_max_range > 0.0:
        far = depth > options.points_max_range
        drop = far if drop is None else drop | far
    if drop is not None:
        depth = depth.masked_fill(drop, torch.nan)
    return pack_points(depth, colors, camera)
