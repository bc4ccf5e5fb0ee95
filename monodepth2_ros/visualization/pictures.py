# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of depth for people: image and depth side by side, with a legend in metres.

Arrays in, arrays out; nothing here knows ROS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.coloring import colorize, disparity_range

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

BACKGROUND: Color = (18, 20, 25)
TEXT: Color = (236, 236, 238)
FAINT_TEXT: Color = (150, 155, 166)
ACCENT: Color = (255, 176, 64)
_UNKNOWN: Color = (58, 62, 72)
_WARNING: Color = (255, 255, 255)

_WIDEST = 800  # panel, pixels
_GAP = 6  # between panels, pixels
_BAR_WIDTH = 0.42  # of a panel


@dataclass(frozen=True)
class DepthColors:
    """What the colours of a depth picture mean: near is bright, linear in inverse depth.

    Attributes
    ----------
    near, far : float
        Depth at the bright and the dark end, in metres.
    color_map : str
        See :data:`monodepth2_ros.coloring.COLOR_MAPS`.
    """

    near: float
    far: float
    color_map: str = "magma"

    def paint(self, depth: NDArray[np.float32]) -> Picture:
        """Paint a depth image.

        Parameters
        ----------
        depth : ndarray, shape (H, W), float32
            Metres; NaN is painted grey.

        Returns
        -------
        ndarray, shape (H, W, 3), uint8, RGB
        """
        picture: Picture = colorize(
            _disparity(depth), 1.0 / self.far, 1.0 / self.near, self.color_map
        )
        picture[np.isnan(depth)] = _UNKNOWN
        return picture


def choose_colors(
    depth: NDArray[np.float32], before: DepthColors | None = None, adaptation: float = 0.1
) -> DepthColors:
    """Choose colours that suit a depth image, without flicker from one image to the next.

    Parameters
    ----------
    depth : ndarray, shape (H, W), float32
        Metres; NaN is left out.
    before : DepthColors, optional
        Those of the image before.
    adaptation : float
        Share of this image where there was one before.
    """
    low, high = disparity_range(_disparity(depth))
    if before is not None:
        low = 1.0 / before.far + adaptation * (low - 1.0 / before.far)
        high = 1.0 / before.near + adaptation * (high - 1.0 / before.near)
    low = max(low, 1e-6)
    return DepthColors(1.0 / max(high, 1.001 * low), 1.0 / low)


def _disparity(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return inverse depth."""
    with np.errstate(divide="ignore"):
        return np.reciprocal(np.asarray(depth, dtype=np.float32))


@dataclass(frozen=True)
class Window:
    """Where a picture lies on the camera image, as fractions of the image's size.

    A network that crops its input has depth for a part of the image only.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in pixels of an image of that size."""
        return (
            round(self.left * width),
            round(self.top * height),
            round(self.right * width),
            round(self.bottom * height),
        )


@dataclass(frozen=True)
class Panel:
    """One of the pictures that stand side by side.

    Attributes
    ----------
    label : str
    picture : ndarray, shape (H, W, 3), uint8, RGB
    window : Window
        Where it lies on the camera image.
    colors : DepthColors or None
        For the legend; None for a picture that does not show depth.
    """

    label: str
    picture: Picture
    window: Window = Window()
    colors: DepthColors | None = None


def side_by_side(
    panels: Sequence[Panel],
    area: int,
    note: str = "",
    banner: tuple[str, str] | None = None,
) -> Picture:
    """Put pictures of the same view side by side, under their labels and legends.

    Parameters
    ----------
    panels : sequence of Panel
        The camera image first: it gives the shape of all.
    area : int
        Pixels of a panel, about.
    note : str
        Stands next to the first label.
    banner : tuple of two str, optional
        Written across all panels, the first large.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, RGB
        Picture of even width and height, as video needs it.
    """
    image = panels[0].picture
    width = min(math.sqrt(area * image.shape[1] / image.shape[0]), _WIDEST)
    width = 2 * max(round(0.5 * width), 40)
    height = 2 * max(round(0.5 * width * image.shape[0] / image.shape[1]), 20)
    size = min(max(round(width / 30), 12), 24)  # of the text
    header = 2 * round(1.4 * size)
    step = width + _GAP
    canvas = np.full((header + height, step * len(panels) - _GAP, 3), BACKGROUND, np.uint8)
    for index, panel in enumerate(panels):
        x = index * step
        _place(canvas[header:, x : x + width], panel.picture, panel.window)
        middle = 0.5 * header
        draw_text(canvas, panel.label, (x + 0.5 * size, middle), size, anchor="lm")
        if index == 0 and note:
            draw_text(
                canvas, note, (x + width - 0.5 * size, middle), round(0.8 * size), FAINT_TEXT, "rm"
            )
        if panel.colors is not None:
            bar = round(_BAR_WIDTH * width)
            legend = canvas[:header, x + width - bar : x + width]
            _draw_legend(legend, panel.colors, round(0.72 * size))
    if banner:
        draw_banner(canvas[header:], *banner)
    return canvas


def _place(canvas: Picture, picture: Picture, window: Window) -> None:
    """Put a picture where it lies on the camera image."""
    left, top, right, bottom = window.box(canvas.shape[1], canvas.shape[0])
    if right <= left or bottom <= top:
        return
    shrinks = picture.shape[1] > right - left
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(picture, (right - left, bottom - top), interpolation=how)
    inside = canvas[max(top, 0) : bottom, max(left, 0) : right]
    x, y = max(-left, 0), max(-top, 0)
    inside[:] = resized[y : y + inside.shape[0], x : x + inside.shape[1]]


def _draw_legend(canvas: Picture, colors: DepthColors, size: int) -> None:
    """Draw the colour bar, near on the left, with depths at round values below it."""
    height, width = canvas.shape[:2]
    left, right = size, width - 2 * size
    top, bottom = round(0.20 * height), round(0.46 * height)
    disparity = np.linspace(1.0 / colors.near, 1.0 / colors.far, right - left, dtype=np.float32)
    canvas[top:bottom, left:right] = colors.paint(1.0 / disparity[None])
    for depth in _ticks(colors, right - left, 2.4 * size):
        share = (1.0 / colors.near - 1.0 / depth) / (1.0 / colors.near - 1.0 / colors.far)
        x = left + share * (right - left)
        column = min(max(round(x), left), right - 1)
        canvas[bottom : bottom + 3, column] = FAINT_TEXT
        label = f"{depth:g}"
        half = 0.5 * _text_mask(label, size).shape[1]
        x = min(max(x, half), width - half)  # those at the ends must not be cut off
        draw_text(canvas, label, (x, bottom + 4), size, anchor="ma")


def _ticks(colors: DepthColors, width: float, spacing: float) -> list[float]:
    """Choose round depths that are at least `spacing` apart on the bar, the roundest first."""
    near, far = colors.near, colors.far
    if far < 1.2 * near:
        return [float(f"{near:.3g}"), float(f"{far:.3g}")]
    powers = range(math.floor(math.log10(near)), math.ceil(math.log10(far)) + 1)
    digits = (1.0, 2.0, 5.0, 3.0, 1.5, 4.0, 7.0, 2.5, 6.0, 8.0, 1.2, 9.0)
    chosen: list[float] = []
    places: list[float] = []
    for digit in digits:
        for power in powers:
            depth = float(f"{digit}e{power}")
            if not near <= depth <= far:
                continue
            place = (1.0 / near - 1.0 / depth) / (1.0 / near - 1.0 / far) * width
            if all(abs(place - other) >= spacing for other in places):
                chosen.append(depth)
                places.append(place)
    return sorted(chosen)


def draw_text(
    picture: Picture,
    text: str,
    position: tuple[float, float],
    size: int,
    color: Color = TEXT,
    anchor: str = "la",
) -> None:
    """Write a line of text into a picture.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, RGB
        Changed in place.
    text : str
        What the font has: ASCII, Latin-1 letters, the middle dot, the degree sign.
    position : tuple of float
        x and y of the anchor.
    size : int
        Size of the font, in pixels.
    color : tuple of int
    anchor : str
        l, m or r (left, middle, right), then a, m or d (top, middle, bottom).
    """
    mask = _text_mask(text, size)
    height, width = mask.shape
    x = position[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * width
    y = position[1] - {"a": 0.0, "m": 0.5, "d": 1.0}[anchor[1]] * height
    _blend(picture, mask, round(x), round(y), color)


def draw_banner(picture: Picture, headline: str, line: str) -> None:
    """Write a warning across the middle of a picture, as large as fits.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8, RGB
        Changed in place.
    headline, line : str
        The second stands smaller below the first.
    """
    height, width = picture.shape[:2]
    size = 8
    while size < 0.3 * height and _text_mask(headline, size + 2).shape[1] < 0.8 * width:
        size += 2
    y = 0.5 * height - 0.9 * size
    for text, text_size in ((headline, size), (line, max(round(0.45 * size), 8))):
        mask = _text_mask(text, text_size)
        x = 0.5 * (width - mask.shape[1])
        # A dark rim keeps white letters readable on whatever is below them.
        rim = max(1, text_size // 12)
        padded = np.pad(mask, 3 * rim)
        halo = cv2.GaussianBlur(
            cv2.dilate(padded, np.ones((2 * rim + 1, 2 * rim + 1))), (0, 0), rim
        )
        _blend(picture, 0.8 * halo, round(x) - 3 * rim, round(y) - 3 * rim, (0, 0, 0))
        _blend(picture, 0.95 * mask, round(x), round(y), _WARNING)
        y += 1.15 * mask.shape[0]


def _blend(picture: Picture, mask: NDArray[np.float32], x: int, y: int, color: Color) -> None:
    """Paint a colour through a mask whose first pixel is at (x, y)."""
    height, width = picture.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    region = picture[y0:y1, x0:x1]
    opacity = mask[y0 - y : y1 - y, x0 - x : x1 - x, None]
    region[:] = np.rint(region + (np.array(color, np.float32) - region) * opacity)


@functools.lru_cache(maxsize=512)
def _text_mask(text: str, size: int) -> NDArray[np.float32]:
    """Return the opacity of a line of text, from its ascender to its descender."""
    from PIL import Image, ImageDraw, ImageFont

    try:
        font = ImageFont.load_default(size=size)
    except TypeError:  # Pillow before 10.1 has one small size
        font = ImageFont.load_default()
    right = font.getbbox(text)[2]
    bottom = font.getbbox("Ag")[3]  # the same for all texts, so that they stand on one line
    canvas = Image.new("L", (max(1, math.ceil(right)), math.ceil(bottom)))
    ImageDraw.Draw(canvas).text((0, 0), text, font=font, fill=255)
    return np.asarray(canvas, dtype=np.float32) / 255.0
