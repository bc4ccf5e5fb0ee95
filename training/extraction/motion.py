# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much a recording moves, and whether depth can be learned from that.

Motion is measured by dense optical flow between two small grey images, as a share of the image
width, so that it means the same at every resolution. Only textured pixels count: elsewhere the
flow is a guess. Three figures matter:

* the median flow: what the photometric loss sees. KITTI, on which the method was published, has
  about 1.7 % of the width from frame to frame;
* the parallax: what remains of the flow once the rotation is taken out. A camera that only turns
  moves the picture but shows nothing about depth;
* the matched share: how much of one image is found again in the other, by following the flow
  there and back. What is not found again cannot be learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.camera import PinholeCamera

#: Motion between neighbours to aim for, share of the image width: KITTI's, at its 10 Hz.
TARGET_FLOW = 0.017

#: Range of that motion in which training works. Below, the parallax of most pixels is under the
#: noise of the matching (1 % of 640 pixels is 6, of which a fraction tells about depth); above,
#: pixels lie outside the basin of bilinear sampling on a four-level pyramid, and the views share
#: too little.
GOOD_FLOW = (0.01, 0.04)

#: Less motion than this at the best spacing is a standstill with noise.
FAINT_FLOW = 0.003

#: Parallax below this share of the width (0.6 of 640 pixels) cannot be told from noise.
FAINT_PARALLAX = 0.001

#: Less parallax than this at the stored size is within the noise of matching, in pixels. What is
#: measured is a lower bound: the rotation that fits best swallows some of the parallax.
LEAST_PARALLAX_PIXELS = 0.4

#: Where less than this share of the motion is parallax, the camera mostly turns, and an error of
#: the rotation is as large as the parallax.
LEAST_PARALLAX_SHARE = 0.1

#: The spacing grows only while this share of the textured pixels is found again.
ENOUGH_MATCHED = 0.75

#: Neighbours at most so many frames apart.
LARGEST_SPACING = 10

_WIDTH = 256  # of the images that flow is computed on
_TEXTURE = 4.0  # grey levels per pixel
_FEW = 50  # points
_PAIRS = 40  # measured for each spacing


@dataclass(frozen=True)
class Motion:
    """What happened between two images.

    Attributes
    ----------
    flow : float
        Median length of the optical flow, share of the image width.
    parallax : float
        The same after the rotation was taken out.
    rotation : float
        Degrees.
    matched : float
        Share of the textured pixels that were found in the other image.
    texture : float
        Share of the pixels that are textured.
    """

    flow: float
    parallax: float
    rotation: float
    matched: float
    texture: float


@dataclass(frozen=True)
class SpacingMotion:
    """Median motion between frames that are `spacing` apart, over `pairs` pairs."""

    spacing: int
    motion: Motion
    pairs: int


def motion_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce an image to what the flow is computed on.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8, RGB

    Returns
    -------
    ndarray, shape (h, w), uint8
        Grey, at most 256 pixels wide.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


@dataclass(frozen=True)
class PixelTracks:
    """Where textured pixels of an image went in another; see :func:`track`.

    Attributes
    ----------
    points : ndarray, shape (N, 2)
        Pixels x, y of the first image.
    flow : ndarray, shape (N, 2)
        Their motion in pixels.
    matched : ndarray of bool, shape (N,)
        Whether the flow back from there leads home.
    texture : float
        Share of the pixels that are textured.
    width, height : int
    """

    points: NDArray[np.float64]
    flow: NDArray[np.float64]
    matched: NDArray[np.bool_]
    texture: float
    width: int
    height: int

    @property
    def median_flow(self) -> float:
        """Median length of the flow, share of the image width."""
        return float(np.median(np.hypot(*self.flow.T))) / self.width

    @property
    def matched_share(self) -> float:
        """Share of the points that were found again."""
        return float(self.matched.mean())


def track(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> PixelTracks:
    """Follow the textured pixels of one image into another, and back.

    Parameters
    ----------
    first, second : ndarray, shape (h, w), uint8
        From :func:`motion_image`; at least 32 × 32.
    """
    height, width = first.shape
    if min(height, width) < 32:
        raise ValueError(f"images of {width}x{height} are too small to measure motion")
    # Its third argument would be a first guess; the type stubs do not know that it may be None.
    method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    there = method.calc(first, second, None)
    back = method.calc(second, first, None)
    gradient_x = cv2.Sobel(first, cv2.CV_32F, 1, 0, scale=0.125)
    gradient_y = cv2.Sobel(first, cv2.CV_32F, 0, 1, scale=0.125)
    textured = cv2.magnitude(gradient_x, gradient_y) > _TEXTURE
    # Every second pixel of every second row is plenty.
    rows, columns = np.nonzero(textured[::2, ::2])
    if len(rows) < _FEW:  # nothing but a wall: better all pixels than none
        rows, columns = np.indices((height // 2, width // 2)).reshape(2, -1)
    points = np.stack([columns, rows], axis=1) * 2
    flow = there[points[:, 1], points[:, 0]]
    ends = (points + flow).astype(np.float32)
    returned = cv2.remap(
        back, ends[None, :, 0], ends[None, :, 1], cv2.INTER_LINEAR, borderValue=(1e3, 1e3)
    )[0]
    error = np.hypot(*(flow + returned).T)
    return PixelTracks(
        points=points.astype(np.float64),
        flow=flow.astype(np.float64),
        matched=error < np.maximum(1.0, 0.05 * np.hypot(*flow.T)),
        texture=float(textured.mean()),
        width=width,
        height=height,
    )


def measure_motion(tracks: PixelTracks, camera: PinholeCamera) -> Motion:
    """Measure the motion between two images, and what is left of it without the rotation.

    The rotation is the one that explains most of the flow. It also swallows some of the flow of
    sideways motion, so the parallax is a lower bound.

    Parameters
    ----------
    tracks : PixelTracks
        From :func:`track`.
    camera : PinholeCamera
        Camera of any size with this field of view.
    """
    camera = camera.resized(tracks.width, tracks.height)
    focal, centre = (camera.fx, camera.fy), (camera.cx, camera.cy)
    rays = (tracks.points - centre) / focal
    trusted = tracks.matched if tracks.matched.sum() >= _FEW else np.ones_like(tracks.matched)
    rotation = _fit_rotation(rays[trusted], tracks.flow[trusted] / focal)
    turned = np.column_stack([rays, np.ones(len(rays))]) @ rotation.T
    visible = turned[:, 2] > 1e-3
    turned = turned[visible, :2] / turned[visible, 2:] * focal + centre
    remaining = np.hypot(*((tracks.points + tracks.flow)[visible] - turned).T)
    return Motion(
        flow=tracks.median_flow,
        parallax=float(np.median(remaining)) / tracks.width if remaining.size else 0.0,
        rotation=rotation_angle(rotation),
        matched=tracks.matched_share,
        texture=tracks.texture,
    )


def rotation_angle(rotation: NDArray[np.float64]) -> float:
    """Return the angle of a rotation matrix in degrees."""
    vector, _ = cv2.Rodrigues(np.asarray(rotation, np.float64))
    return float(np.degrees(np.linalg.norm(vector)))


def median_motion(motions: Sequence[Motion]) -> Motion:
    """Return the median of each figure."""
    table = np.array([[m.flow, m.parallax, m.rotation, m.matched, m.texture] for m in motions])
    return Motion(*(float(value) for value in np.median(table, axis=0)))


def choose_spacing(
    image: Callable[[int], NDArray[np.uint8]],
    segment: NDArray[np.integer[Any]],
    camera: PinholeCamera,
) -> list[SpacingMotion]:
    """Find how far apart the neighbours of a recording's frames should be.

    The spacing grows until the median motion comes closest to :data:`TARGET_FLOW`, and not further
    than three quarters of the texture are found again.

    Parameters
    ----------
    image : callable
        Frame i of the recording, as from :func:`motion_image`.
    segment : ndarray, shape (N,), ascending
        Segment of each frame; pairs are taken inside segments.
    camera : PinholeCamera

    Returns
    -------
    list of SpacingMotion
        Spacing 1, 2, … as far as it was let grow; the last is the choice. Empty without any pair.
    """
    measured: list[SpacingMotion] = []
    for spacing in range(1, LARGEST_SPACING + 1):
        here = measure_spacing(image, segment, camera, spacing)
        if here is None:
            break
        if measured:
            before = measured[-1].motion.flow
            is_farther = _octaves(here.motion.flow) > _octaves(before)
            if is_farther or here.motion.matched < ENOUGH_MATCHED:
                break
        measured.append(here)
        if here.motion.flow >= TARGET_FLOW:
            break
    return measured


def measure_spacing(
    image: Callable[[int], NDArray[np.uint8]],
    segment: NDArray[np.integer[Any]],
    camera: PinholeCamera,
    spacing: int,
) -> SpacingMotion | None:
    """Measure the median motion at one spacing on pairs spread over the segments.

    See :func:`choose_spacing`; None if no segment is longer than the spacing.
    """
    starts = np.flatnonzero(segment[:-spacing] == segment[spacing:])
    if not len(starts):
        return None
    chosen = np.unique(np.linspace(0, len(starts) - 1, _PAIRS).astype(int))
    motions = [
        measure_motion(track(image(i), image(i + spacing)), camera) for i in starts[chosen].tolist()
    ]
    return SpacingMotion(spacing, median_motion(motions), len(motions))


def segment_spacing(spacing: int, typical_flow: float, flow: float, length: int) -> int:
    """Adapt a recording's spacing to a segment that moves faster or slower than the rest.

    Parameters
    ----------
    spacing : int
        Spacing of the recording.
    typical_flow, flow : float
        Median motion from frame to frame in the recording and in the segment.
    length : int
        Frames of the segment; a sample needs a neighbour on both sides.
    """
    if flow > 0.0 and typical_flow > 0.0:
        spacing = round(spacing * typical_flow / flow)
    return max(1, min(spacing, LARGEST_SPACING, (length - 1) // 2))


def _octaves(flow: float) -> float:
    """Return how far a flow is from the target, up or down, on a logarithmic scale."""
    return abs(float(np.log2(max(flow, 1e-6) / TARGET_FLOW)))


def _fit_rotation(rays: NDArray[np.float64], flow: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit the rotation whose flow explains most points: least absolute residuals.

    A point (x, y, 1) moves to R (x, y, 1); to first order in the rotation vector w, its flow is
    (−x y, 1 + x², −y) · w and (−1 − y², x y, x) · w (Longuet-Higgins and Prazdny 1980).
    """
    step = max(1, len(rays) // 300)  # three unknowns need no more
    (x, y), flow = rays[::step].T, flow[::step]
    design = np.stack([[-x * y, 1.0 + x * x, -y], [-1.0 - y * y, x * y, x]])  # (2, 3, N)
    observed = flow.T  # (2, N)
    weight = np.ones(len(x))
    vector = np.zeros(3)
    for _ in range(6):
        weighted = design * weight
        normal = np.einsum("cin,cjn->ij", weighted, design) + 1e-9 * np.eye(3)
        vector = np.linalg.solve(normal, np.einsum("cin,cn->i", weighted, observed))
        residual = np.hypot(*(observed - np.einsum("cin,i->cn", design, vector)))
        weight = 1.0 / np.maximum(residual, 0.2 * np.median(residual) + 1e-9)
    return np.asarray(cv2.Rodrigues(vector)[0], np.float64)
