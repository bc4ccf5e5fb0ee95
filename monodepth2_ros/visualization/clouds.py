# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Point clouds as files and pictures: PLY, and drawings to scale from above and from the side.

Clouds are organised and packed as :func:`monodepth2_ros.point_cloud.pack_points` makes them, in
the camera's optical frame (x right, y down, z forward) with the camera at the origin. Nothing here
knows ROS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.visualization.pictures import (
    ACCENT,
    BACKGROUND,
    FAINT_TEXT,
    Picture,
    draw_banner,
    draw_text,
)

Floats = NDArray[np.float32]

#: Directions from which :func:`draw_cloud` looks.
VIEWS = ("above", "side")

_GRID = (44, 48, 58)
_MARGIN_LEFT, _MARGIN_TOP, _MARGIN_RIGHT, _MARGIN_BOTTOM = 64, 84, 36, 56
_LARGEST = (1180, 720)  # width and height of the plot, pixels
_NARROWEST = 560
_GRID_SPACING = 70  # pixels, at least
_OVERSAMPLING = 2

# The picture ends where this share of the points, in per cent, has been reached.
_FARTHEST = 98.0
# From above, what is higher over the camera than this share of the floor's depth below it is cut
# away: ceilings and crowns would hide everything else.
_CUT = 0.5

# Seen aside: up to how many times the median depth, and which share of the picture it fills.
_ASIDE_REACH = 4.0
_ASIDE_FILL = 0.92

_PLY_POINT = np.dtype([("position", "<f4", 3), ("color", "u1", 3)])


def unpack_points(points: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """Take the valid points out of a packed cloud.

    Parameters
    ----------
    points : ndarray, shape (H, W, 4), float32

    Returns
    -------
    positions : ndarray, shape (N, 3), float32
        Metres.
    colors : ndarray, shape (N, 3), uint8
        RGB.
    """
    valid = points[np.isfinite(points[..., :3]).all(axis=-1)]
    return valid[:, :3], _colors(valid)


def write_ply(path: Path, points: Floats, comments: Sequence[str] = ()) -> int:
    """Write the valid points of a packed cloud as binary little-endian PLY.

    Parameters
    ----------
    path : Path
    points : ndarray, shape (H, W, 4), float32
    comments : sequence of str
        Lines for the header.

    Returns
    -------
    int
        The number of points.
    """
    positions, colors = unpack_points(points)
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {' '.join(comment.split())}" for comment in comments]
    header += [f"element vertex {len(positions)}"]
    header += [f"property float {name}" for name in ("x", "y", "z")]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header += ["end_header", ""]
    vertices = np.empty(len(positions), dtype=_PLY_POINT)
    vertices["position"], vertices["color"] = positions, colors
    path.write_bytes("\n".join(header).encode() + vertices.tobytes())
    return len(positions)


@dataclass(frozen=True)
class _Plot:
    """Limits of a drawing in metres, and its scale."""

    left: float
    right: float
    bottom: float
    top: float
    pixels_per_metre: float

    @property
    def width(self) -> int:
        """In pixels."""
        return round((self.right - self.left) * self.pixels_per_metre)

    @property
    def height(self) -> int:
        """In pixels."""
        return round((self.top - self.bottom) * self.pixels_per_metre)

    def column(self, across: float) -> float:
        """Return where a distance to the right lies, in pixels."""
        return (across - self.left) * self.pixels_per_metre

    def row(self, up: float) -> float:
        """Return where a distance up the page lies, in pixels."""
        return (self.top - up) * self.pixels_per_metre


def draw_cloud(
    points: Floats,
    view: str,
    camera: PinholeCamera | None = None,
    title: str = "",
    unit: str = "m",
    banner: tuple[str, str] | None = None,
) -> Picture:
    """Draw a cloud to scale on a grid, with the camera and its field of view.

    Neighbouring points of one surface are joined to tiles, so that a floor that is seen at a
    grazing angle does not fall apart into rows; all are painted from the far to the near, and
    darkened next to what stands nearer to the viewer.

    Parameters
    ----------
    points : ndarray, shape (H, W, 4), float32
    view : {"above", "side"}
        The side is the camera's right-hand one.
    camera : PinholeCamera, optional
        Camera of the depth image, for the field of view.
    title, unit : str
    banner : tuple of two str, optional
        Written across the picture, the first large.

    Returns
    -------
    ndarray, shape (H', W', 3), uint8, RGB

    Raises
    ------
    ValueError
        If the view is unknown or the cloud has no valid point.
    """
    if view not in VIEWS:
        raise ValueError(f"the view is '{view}'; it must be one of {', '.join(VIEWS)}")
    x, y, z = np.moveaxis(points[..., :3], -1, 0)
    valid = np.isfinite(points[..., :3]).all(axis=-1)
    if not valid.any():
        raise ValueError("the cloud has no valid point to draw")
    valid &= z <= np.percentile(z[valid], _FARTHEST)
    if view == "above":
        ceiling = _cut_height(y[valid])
        valid &= -y <= ceiling
        across, up, toward = x, z, -y
        caption = f"seen from above, without what is over {ceiling:.2g} m above the camera"
    else:
        across, up, toward = z, -y, x
        caption = "seen from the right"
    plot = _choose_plot(view, across[valid], up[valid], float(z[valid].max()))

    shape = (
        plot.height + _MARGIN_TOP + _MARGIN_BOTTOM,
        plot.width + _MARGIN_LEFT + _MARGIN_RIGHT,
        3,
    )
    picture: Picture = np.full(shape, BACKGROUND, np.uint8)
    canvas = picture[_MARGIN_TOP:-_MARGIN_BOTTOM, _MARGIN_LEFT:-_MARGIN_RIGHT]
    step = _grid_step(plot)
    _draw_grid(canvas, plot, step)
    index = _rasterise(plot, across, up, toward, _tiles(z, valid), valid)
    _paint(canvas, index, toward.reshape(-1), _colors(points).reshape(-1, 3), plot)
    _draw_camera(canvas, plot, view, camera)
    if banner:
        draw_banner(canvas, *banner)
    _draw_axes(picture, plot, view, step, unit)
    draw_text(picture, title or "Point cloud", (_MARGIN_LEFT, 14), 20)
    draw_text(picture, caption, (_MARGIN_LEFT, 40), 14, FAINT_TEXT)
    return picture


def draw_aside(
    points: Floats, width: int, height: int, yaw: float = 25.0, pitch: float = 20.0
) -> Picture:
    """Draw a cloud in perspective, by a camera that went aside and up and looks at its middle.

    What a wrong depth would bend shows at once: a floor is a plane, a wall is upright.

    Parameters
    ----------
    points : ndarray, shape (H, W, 4), float32
    width, height : int
        Width and height of the picture.
    yaw, pitch : float
        Degrees by which the camera went around the middle: to the right, and up.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8, RGB

    Raises
    ------
    ValueError
        If the cloud has no valid point.
    """
    valid = np.isfinite(points[..., :3]).all(axis=-1)
    if not valid.any():
        raise ValueError("the cloud has no valid point to draw")
    # What is far behind everything (the sky) would make the rest small.
    reach = _ASIDE_REACH * float(np.median(points[..., 2][valid]))
    valid &= points[..., 2] <= reach
    middle = np.median(points[valid][:, :3], axis=0)
    turned = (points[..., :3] - middle) @ _rotation(yaw, pitch).T
    distance = float(np.linalg.norm(middle)) + turned[..., 2]
    valid &= distance > 0.1 * np.linalg.norm(middle)
    away = np.where(valid, distance, np.float32(np.nan))
    right, up = turned[..., 0] / away, -turned[..., 1] / away
    # Nearly all points, centred, as large as fits.
    ends = [np.nanpercentile(values, [1.0, 99.0]) for values in (right, up)]
    focal = _ASIDE_FILL * min(
        width / float(np.ptp(ends[0])), height / float(np.ptp(ends[1])), 2.0 * width
    )
    plot = _Plot(0.0, float(width), -float(height), 0.0, 1.0)
    across = focal * (right - ends[0].mean()) + 0.5 * width
    upward = focal * (up - ends[1].mean()) - 0.5 * height
    # In pixels at the middle, as shading takes it.
    toward = -away * (focal / float(np.linalg.norm(middle)))
    picture: Picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    index = _rasterise(plot, across, upward, toward, _tiles(points[..., 2], valid), valid)
    _paint(picture, index, toward.reshape(-1), _colors(points).reshape(-1, 3), plot)
    return picture


def _rotation(yaw: float, pitch: float) -> Floats:
    """Return what turns the scene as a camera sees it that went to the right and up."""
    a, b = math.radians(yaw), math.radians(pitch)
    around = [[math.cos(a), 0.0, math.sin(a)], [0.0, 1.0, 0.0], [-math.sin(a), 0.0, math.cos(a)]]
    down = [[1.0, 0.0, 0.0], [0.0, math.cos(b), -math.sin(b)], [0.0, math.sin(b), math.cos(b)]]
    return np.asarray(np.array(down) @ np.array(around), dtype=np.float32)


def _colors(points: Floats) -> NDArray[np.uint8]:
    """Unpack the colours of points, (…, 4) → (…, 3)."""
    bits = np.ascontiguousarray(points[..., 3]).view(np.uint32)
    return np.stack([bits >> 16, bits >> 8, bits], axis=-1).astype(np.uint8)


def _cut_height(y: Floats) -> float:
    """Return how high above the camera a view from above still shows things."""
    floor = float(np.percentile(y, 95.0))
    highest = float(-np.percentile(y, 1.0))
    return min(_CUT * floor, highest) if floor > 0.0 else highest


def _choose_plot(view: str, across: Floats, up: Floats, reach: float) -> _Plot:
    """Choose limits that hold the camera and nearly all points, and the scale."""
    if view == "above":
        half = max(1.05 * float(np.percentile(np.abs(across), 99.5)), 0.3 * reach)
        left, right, bottom, top = -half, half, -0.06 * reach, 1.03 * reach
    else:
        low, high = np.percentile(up, [0.5, 99.5])
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        space = max(0.06 * (high - low), 0.5 * (0.3 * reach - (high - low)))
        left, right, bottom, top = -0.06 * reach, 1.03 * reach, low - space, high + space
    scale = min(_LARGEST[0] / (right - left), _LARGEST[1] / (top - bottom))
    missing = max(0.0, _NARROWEST / scale - (right - left))
    return _Plot(left - 0.5 * missing, right + 0.5 * missing, bottom, top, scale)


def _tiles(z: Floats, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the points that share a surface with their right, lower and lower right neighbours.

    Returns
    -------
    ndarray, shape (H, W), bool
        Never set in the last row and column.
    """
    disparity = np.where(valid, 1.0 / z, np.float32(np.nan))
    across, down = _joined(disparity, 1), _joined(disparity, 0)
    tiles = np.zeros(z.shape, dtype=bool)
    tiles[:-1, :-1] = across[:-1] & across[1:] & down[:, :-1] & down[:, 1:]
    return tiles


def _joined(disparity: Floats, axis: int) -> NDArray[np.bool_]:
    """Tell whether each point and the next along an axis are of one surface.

    On a plane inverse depth has the same slope everywhere; a step between two surfaces is far
    steeper than its surroundings, or simply too high.
    """
    slope = np.abs(np.diff(disparity, axis=axis))
    length = slope.shape[axis]
    edge = np.pad(slope, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], constant_values=np.nan)
    before = edge.take(range(length), axis)
    after = edge.take(range(2, length + 2), axis)
    level = disparity.take(range(length), axis)
    usual = np.fmax(np.fmax(before, after), 0.0)
    return np.asarray(slope <= np.minimum(2.0 * usual + 0.01 * level, 0.2 * level))


def _rasterise(
    plot: _Plot,
    across: Floats,
    up: Floats,
    toward: Floats,
    tiles: NDArray[np.bool_],
    valid: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Draw tiles and single points from the far to the near.

    Returns
    -------
    ndarray, shape (H, W) of the plot, oversampled
        Flat index of the point that is seen, −1 for none.
    """
    width = across.shape[1]
    scale = 16.0 * _OVERSAMPLING  # cv2 takes sixteenths of a pixel
    place = np.stack([across - plot.left, plot.top - up], axis=-1) * (scale * plot.pixels_per_metre)
    place = np.nan_to_num(place.reshape(-1, 2), nan=0.0, posinf=0.0, neginf=0.0)
    place = np.rint(np.clip(place, -1e6, 1e6)).astype(np.int32)
    # A single point is a tile of two by two pixels of its own.
    half = round(0.5 * scale)
    square = np.array([[-half, -half], [half, -half], [half, half], [-half, half]], dtype=np.int32)
    corners = place[:, None] + square
    joined = np.flatnonzero(tiles)
    ring = np.array([0, 1, width + 1, width])
    corners[joined] = place[joined[:, None] + ring]
    order = np.flatnonzero(valid)
    order = order[np.argsort(toward.reshape(-1)[order], kind="stable")]
    size = (plot.height * _OVERSAMPLING, plot.width * _OVERSAMPLING)
    index = np.full(size, -1, dtype=np.int32)
    for number in order.tolist():
        cv2.fillConvexPoly(index, corners[number], number, cv2.LINE_8, 4)
    # A wall seen from above is one line, of half a pixel in the end: make it a whole one.
    index[1:] = np.where(index[1:] < 0, index[:-1], index[1:])
    index[:, 1:] = np.where(index[:, 1:] < 0, index[:, :-1], index[:, 1:])
    return index


def _paint(
    canvas: Picture,
    index: NDArray[np.int32],
    toward: Floats,
    colors: NDArray[np.uint8],
    plot: _Plot,
) -> None:
    """Colour what is seen, over the canvas."""
    size = (index.shape[1], index.shape[0])
    painted = cv2.resize(canvas, size, interpolation=cv2.INTER_NEAREST)
    covered = index >= 0
    painted[covered] = colors[index[covered]]
    distance = np.full(index.shape, np.inf, dtype=np.float32)
    distance[covered] = -toward[index[covered]]
    shade = _shade(distance, 0.015 * (plot.right - plot.left))
    painted = np.rint(painted * shade[..., None]).astype(np.uint8)
    size = (canvas.shape[1], canvas.shape[0])
    canvas[:] = cv2.resize(painted, size, interpolation=cv2.INTER_AREA)


def _shade(distance: Floats, depth: float) -> Floats:
    """Darken what lies behind its neighbours (eye-dome lighting, Boucheny 2009).

    Parameters
    ----------
    distance : ndarray, shape (H, W)
        From the viewer; infinite where there is nothing.
    depth : float
        How far behind is darkest, in the same unit.

    Returns
    -------
    ndarray, shape (H, W)
        Factors of brightness; 1 where there is nothing.
    """
    covered = np.isfinite(distance)
    filled = np.where(covered, distance, np.float32(1e9))
    total = np.zeros_like(filled)
    steps = (2, 5)
    for step in steps:
        padded = np.pad(filled, step, mode="edge")
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            neighbour = padded[
                dy * step : dy * step + filled.shape[0], dx * step : dx * step + filled.shape[1]
            ]
            total += np.clip((filled - neighbour) / depth, 0.0, 1.0)
    return np.where(covered, np.exp(-total / (4 * len(steps))), 1.0).astype(np.float32)


def _grid_step(plot: _Plot) -> float:
    """Return the round distance of grid lines."""
    least = _GRID_SPACING / plot.pixels_per_metre
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least)


def _lines(low: float, high: float, step: float) -> list[float]:
    """Return the multiples of a step within limits."""
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _draw_grid(canvas: Picture, plot: _Plot, step: float) -> None:
    """Draw grid lines at round distances from the camera."""
    for value in _lines(plot.left, plot.right, step):
        canvas[:, min(round(plot.column(value)), plot.width - 1)] = _GRID
    for value in _lines(plot.bottom, plot.top, step):
        canvas[min(round(plot.row(value)), plot.height - 1)] = _GRID


def _draw_camera(canvas: Picture, plot: _Plot, view: str, camera: PinholeCamera | None) -> None:
    """Mark the camera, and the borders of what it sees."""
    slopes: tuple[float, ...] = ()
    if camera and view == "above":
        slopes = (-(camera.cx + 0.5) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx)
    elif camera:
        slopes = ((camera.cy + 0.5) / camera.fy, (camera.cy + 0.5 - camera.height) / camera.fy)
    origin = np.array([plot.column(0.0), plot.row(0.0)])
    forward = np.array([0.0, -1.0] if view == "above" else [1.0, 0.0])
    left = np.array([-1.0, 0.0] if view == "above" else [0.0, -1.0])
    sign = -1.0 if view == "above" else 1.0  # a slope is to the right, or up
    lines = canvas.copy()
    for slope in slopes:
        end = origin + 4000.0 * (forward + sign * slope * left)
        start, stop = (np.rint(16 * point).astype(int).tolist() for point in (origin, end))
        cv2.line(lines, start, stop, ACCENT, 1, cv2.LINE_AA, 4)
    cv2.addWeighted(lines, 0.6, canvas, 0.4, 0.0, dst=canvas)
    symbol = [origin, origin + 18.0 * forward + 11.0 * left, origin + 18.0 * forward - 11.0 * left]
    cv2.fillPoly(canvas, [np.rint(16 * np.array(symbol)).astype(np.int32)], ACCENT, cv2.LINE_AA, 4)


def _draw_axes(picture: Picture, plot: _Plot, view: str, step: float, unit: str) -> None:
    """Frame the plot and write distances at the grid lines."""
    left, top = _MARGIN_LEFT, _MARGIN_TOP
    bottom, right = top + plot.height, left + plot.width
    cv2.rectangle(picture, (left - 1, top - 1), (right, bottom), _GRID, 1)
    for value in _lines(plot.left, plot.right, step):
        draw_text(picture, f"{value:g}", (left + plot.column(value), bottom + 6), 14, anchor="ma")
    for value in _lines(plot.bottom, plot.top, step):
        draw_text(picture, f"{value:g}", (left - 8, top + plot.row(value)), 14, anchor="rm")
    across, up = ("right", "forward") if view == "above" else ("forward", "up")
    draw_text(picture, f"{up} ({unit})", (10, top - 8), 14, FAINT_TEXT, "ld")
    draw_text(picture, f"{across} ({unit})", (right, bottom + 28), 14, FAINT_TEXT, "ra")
