# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Motion of training samples from tracked corners, and its length from the predicted depth.

The rotation and the direction of the translation come from the images alone
(:mod:`training.learning.triangulation`), so the predicted depth cannot change them. Only the
length, one number for a sample, is taken from the predicted depth: it is the factor between that
depth and the triangulated depth of the corners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.frames.store import FrameStore
from training.learning.triangulation import (
    CERTAIN,
    FEWEST,
    Triangulation,
    median_parallax,
    track_corners,
    triangulate,
)

Floats = NDArray[np.float64]

#: Triangulated corners that a sample carries; more are thinned out evenly.
MOST_POINTS = 512

#: A sample's motion is determined if so many corners have a measurable depth, so much of what was
#: tracked is explained, and the median parallax is at least so many pixels.
FEWEST_POINTS, LEAST_EXPLAINED, LEAST_PARALLAX = 25, 0.6, 0.4

#: ... and if the direction of travel has at most this standard deviation, in degrees. Beyond,
#: directions were found wrong by 35 to 110 degrees in rendered places, and by less than 20 below.
MOST_DIRECTION = 5.0

# Frames so many times as far away help where the median parallax is below so many pixels.
_FARTHER = ((2, 2.5), (3, 1.0))

# A triangulated depth counts by its precision; none counts as more precise than this.
_LEAST_DEVIATION = 0.05

# The share of a depth that counts as much as a standard deviation of a far corner's inverse depth.
_SHARPEST = 0.1

#: No corner counts as more wrong than this.
LARGEST_ERROR = 0.5

#: Corners of at least this weight have a depth that can be told.
CERTAIN_WEIGHT = (_LEAST_DEVIATION / CERTAIN) ** 2


# A corner is compared with the predictions at its pixel and around it, the pixel itself first.
_AROUND = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))


class TrackedMotion(NamedTuple):
    """Motion and sparse depth of a batch.

    Attributes
    ----------
    transforms : Tensor, shape (B, S, 4, 4), float32
        From the target's camera to each source's, up to a factor for each sample.
    points : Tensor, shape (B, P, 4), float32
        x and y in pixels, depth in the unit of the transforms, and weight: the squared ratio of
        0.05 and the standard deviation of log depth, at most 1; weight 0 fills up.
    """

    transforms: Tensor
    points: Tensor

    def to(self, device: torch.device) -> TrackedMotion:
        """Copy to a device without waiting for it."""
        return TrackedMotion(*(part.to(device, non_blocking=True) for part in self))

    def mirrored(self, mirror: Tensor, width: int) -> TrackedMotion:
        """Mirror some samples left to right.

        Parameters
        ----------
        mirror : Tensor, shape (B,), bool
        width : int
            Width of the image in pixels.
        """
        mirror = mirror.to(self.points.device)
        flip = torch.ones(4, device=self.points.device)
        flip[0] = -1.0
        transforms = self.transforms * flip[:, None] * flip
        points = self.points.clone()
        points[..., 0] = width - 1 - points[..., 0]
        return TrackedMotion(
            torch.where(mirror[:, None, None, None], transforms, self.transforms),
            torch.where(mirror[:, None, None], points, self.points),
        )

    def log_ratio(self, depth: Tensor) -> Tensor:
        """Compare a predicted depth with the triangulated one.

        Parameters
        ----------
        depth : Tensor, shape (B, 1, H, W)

        Returns
        -------
        Tensor, shape (B, P)
            log(predicted / triangulated) at the points.
        """
        return torch.log(sample_at(depth, self.points[..., :2]) / self.points[..., 2])

    def lengthened(self, factor: Tensor) -> list[Tensor]:
        """Return the transform to each source with translations multiplied, shape (B,)."""
        scale = torch.ones_like(self.transforms)
        scale[:, :, :3, 3] = factor[:, None, None]
        return list((self.transforms * scale).unbind(dim=1))


@dataclass(frozen=True)
class SparseGeometry:
    """What :class:`TrackedMotion` is made from, for one sample, as arrays.

    Attributes
    ----------
    transforms : ndarray, shape (S, 4, 4), float32
    points : ndarray, shape (P, 4), float32
        See :class:`TrackedMotion`.
    areas : ndarray, shape (P,), float32
        Share of the image to which each point is the nearest one; see :func:`nearest_areas`.
    """

    transforms: NDArray[np.float32]
    points: NDArray[np.float32]
    areas: NDArray[np.float32]


#: Triangulates a frame of a store with its sources: store, target, sources; None if undetermined.
MeasureTracks = Callable[[int, int, tuple[int, ...]], SparseGeometry | None]


def is_determined(found: Triangulation | None) -> bool:
    """Tell whether the motion of a sample is known well enough to train with."""
    return (
        found is not None
        and found.is_certain.sum() >= FEWEST_POINTS
        and found.explained >= LEAST_EXPLAINED
        and found.parallax >= LEAST_PARALLAX
        and found.direction <= MOST_DIRECTION
    )


def remember_tracks(stores: Sequence[FrameStore]) -> MeasureTracks:
    """Return a function that triangulates each sample once.

    Parameters
    ----------
    stores : sequence of FrameStore
    """

    @cache
    def measure(store: int, target: int, sources: tuple[int, ...]) -> SparseGeometry | None:
        found = triangulate_frames(stores[store], target, sources)
        if found is None or not is_determined(found):
            return None
        size = (stores[store].width, stores[store].height)
        return sparse_geometry(found, found.transforms, size)

    return measure


def sparse_geometry(
    found: Triangulation, transforms: NDArray[np.float64], size: tuple[int, int]
) -> SparseGeometry:
    """Pack a triangulation for training and for judging.

    Parameters
    ----------
    found : Triangulation
    transforms : ndarray, shape (S, 4, 4)
        To the sources, in the unit of the depth.
    size : tuple of int
        Width and height of the image.
    """
    points = packed(found)
    areas = np.zeros(len(points), np.float32)
    known = np.flatnonzero(points[:, 3] > 0)
    areas[known] = nearest_areas(points[known, :2], size)
    return SparseGeometry(transforms.astype(np.float32), points, areas)


def standing_geometry(sources: int) -> SparseGeometry:
    """Return what is used where motion is undetermined: a camera that stands, and no points."""
    points = np.zeros((MOST_POINTS, 4), np.float32)
    points[:, 2] = 1.0
    transforms = np.tile(np.eye(4, dtype=np.float32), (sources, 1, 1))
    return SparseGeometry(transforms, points, np.zeros(MOST_POINTS, np.float32))


def nearest_areas(points: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the share of an image to which each point is the nearest one (its Voronoi cell).

    Corners crowd where there is texture. Weighted by these shares, a mean over corners stands for
    the whole image: a door without texture counts by the corners at its border.

    Parameters
    ----------
    points : ndarray, shape (N, 2)
        x and y in pixels.
    size : tuple of int
        Width and height of the image.

    Returns
    -------
    ndarray, shape (N,), float32
        They add up to 1; points of one pixel share its cell.
    """
    width, height = size
    if not len(points):
        return np.zeros(0, np.float32)
    x = np.clip(np.rint(points[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.rint(points[:, 1]).astype(int), 0, height - 1)
    empty = np.ones((height, width), np.uint8)
    empty[y, x] = 0
    _, nearest = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    area = np.bincount(nearest.ravel())
    label = nearest[y, x]
    shared = np.bincount(label, minlength=len(area))
    return (area[label] / shared[label] / (width * height)).astype(np.float32)


def triangulate_frames(
    store: FrameStore, target: int, sources: Sequence[int]
) -> Triangulation | None:
    """Triangulate the corners of a frame of a store with other frames of it.

    Where these show little parallax, frames two and three times as far away help, as far as the
    segment goes and corners can be followed.

    Parameters
    ----------
    store : FrameStore
    target : int
    sources : sequence of int
        Frames whose motion is wanted.

    Returns
    -------
    Triangulation, or None
        Its transforms are those to `sources`, and its points are pixels of the stored images;
        parallax and residual count in pixels of the images that corners are tracked in.
    """
    larger = store.images if store.corner_images is None else store.corner_images
    images = larger.view(np.ndarray)
    size = np.array(images.shape[2:0:-1])
    matrix = store.cameras[int(store.camera_index[target])].resized(*size.tolist()).matrix4
    tracks = track_corners(images[target], [images[source] for source in sources])
    if len(tracks.points) < FEWEST:
        return None
    start, stop = store.segment_ranges()[int(store.segment[target])]
    parallax = float(median_parallax(tracks, matrix).max())
    far = [
        target + times * (source - target)
        for times, least in _FARTHER
        for source in sources
        if parallax < least
    ]
    far = [frame for frame in dict.fromkeys(far) if start <= frame < stop and frame not in sources]
    if far:
        more = track_corners(images[target], [images[frame] for frame in (*sources, *far)])
        useful = more.seen.sum(axis=1) >= FEWEST_POINTS + FEWEST
        useful[: len(sources)] = True
        tracks = replace(more, ends=more.ends[useful], seen=more.seen[useful])
    found = triangulate(tracks, matrix)
    if found is None:
        return None
    points = (found.points + 0.5) * (np.array([store.width, store.height]) / size) - 0.5
    return replace(found, points=points, transforms=found.transforms[: len(sources)])


def packed(found: Triangulation) -> NDArray[np.float32]:
    """Return points as (P, 4): x, y, depth, weight; see :class:`TrackedMotion`."""
    rows = np.zeros((MOST_POINTS, 4), np.float32)
    count = min(len(found.points), MOST_POINTS)
    chosen = np.linspace(0, len(found.points) - 1, count).astype(int)
    deviation = np.maximum(found.deviation[chosen], _LEAST_DEVIATION)
    rows[:, 2] = 1.0
    rows[:count, :2] = found.points[chosen]
    rows[:count, 2] = found.depth[chosen]
    rows[:count, 3] = (_LEAST_DEVIATION / deviation) ** 2
    return rows


def sample_at(values: Tensor, points: Tensor) -> Tensor:
    """Read an image at pixels, bilinearly.

    Parameters
    ----------
    values : Tensor, shape (B, 1, H, W)
    points : Tensor, shape (B, P, 2)
        x and y; centres of pixels are whole numbers.

    Returns
    -------
    Tensor, shape (B, P)
    """
    height, width = values.shape[-2:]
    size = torch.tensor([width, height], device=points.device, dtype=points.dtype)
    grid = (2 * points + 1) / size - 1
    read = functional.grid_sample(
        values, grid[:, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return read[:, 0, 0]


def read_around(depth: Tensor, points: Tensor) -> Tensor:
    """Read depth at points and one pixel to each side of them.

    Parameters
    ----------
    depth : Tensor, shape (B, 1, H, W)
    points : Tensor, shape (B, P, 2 or more)
        Begin with x and y.

    Returns
    -------
    Tensor, shape (B, P, 5)
        At the points themselves first.
    """
    offsets = torch.tensor(_AROUND, dtype=points.dtype, device=points.device)
    places = (points[..., None, :2] + offsets).flatten(1, 2)
    return sample_at(depth, places).unflatten(1, (-1, len(_AROUND)))


def corner_errors(points: Tensor, read: Tensor, length: Tensor) -> Tensor:
    """Return the errors of predicted depth at triangulated corners, up to a factor.

    With the inverse depth w and its standard deviation s, both of the triangulation, and the
    predicted inverse depth v in the same unit::

        |asinh(c v / s) - asinh(c w / s)|, c = 0.1

    Where the triangulation is certain, that is |log(v / w)|. Where it cannot tell the depth from
    infinity it is c |v - w| / s: a far corner says that depth is large, not how large. It is the
    transform after which errors of the size s and of c v together count the same everywhere.

    No corner counts more than 0.5: those on a car that drives along seem to be infinitely far, and
    a few of them would decide.

    A corner on an outline belongs to what is in front, and a prediction that is right may show
    that a pixel beside it. So the best of its pixel and the four next to it counts.

    Parameters
    ----------
    points : Tensor, shape (B, P, 4)
        See :class:`TrackedMotion`.
    read : Tensor, shape (B, P, K)
        Predicted depth at each point, and perhaps around it.
    length : Tensor, shape (B,)
        Log of the factor from triangulated to predicted depth.

    Returns
    -------
    Tensor, shape (B, P)
        0 where the weight is 0.
    """
    known, weight = points[..., 2].reciprocal(), points[..., 3]
    # c / s: packed() has put the deviation of log depth, s / w, into the weight.
    slope = (_SHARPEST / _LEAST_DEVIATION * weight.sqrt() / known)[..., None]
    nearness = torch.exp(length)[:, None, None] / read
    error = torch.asinh(slope * nearness) - torch.asinh(slope * known[..., None])
    return error.abs().amin(dim=-1).clamp(max=LARGEST_ERROR)


def corner_noise(points: NDArray[np.floating]) -> Floats:
    """Return the error that a prediction without fault has on average at triangulated corners.

    By what the triangulation says of its own uncertainty; not of corners on things that move.

    Parameters
    ----------
    points : ndarray, shape (P, 4)
        See :class:`TrackedMotion`; all weights above 0.

    Returns
    -------
    ndarray, shape (P,)
        The mean of :func:`corner_errors` over normally distributed inverse depths.
    """
    steps, shares = np.polynomial.hermite_e.hermegauss(15)
    certain = (_SHARPEST / _LEAST_DEVIATION * np.sqrt(points[:, 3].astype(float)))[:, None]
    found = np.arcsinh(np.maximum(certain + _SHARPEST * steps, 0.0))
    error = np.abs(found - np.arcsinh(certain)).clip(max=LARGEST_ERROR)
    return np.asarray(error @ shares / shares.sum())


def weighted_medians(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted median of each row.

    Parameters
    ----------
    values, weights : Tensor, shape (B, P)

    Returns
    -------
    Tensor, shape (B,)
    """
    ordered, order = values.sort(dim=1)
    share = weights.gather(1, order).cumsum(dim=1)
    place = (share < 0.5 * share[:, -1:]).sum(dim=1, keepdim=True)
    return ordered.gather(1, place.clamp_max(values.shape[1] - 1))[:, 0]


def factors_of_samples(log_ratio: Tensor, weights: Tensor) -> Tensor:
    """Return the log of the factor between the two depths of each sample.

    Parameters
    ----------
    log_ratio, weights : Tensor, shape (B, P)
        See :meth:`TrackedMotion.log_ratio`.

    Returns
    -------
    Tensor, shape (B,)
        The weighted median, without a gradient; 0 for samples without points.
    """
    medians = weighted_medians(log_ratio.detach(), weights)
    return torch.where(weights.sum(dim=1) > 0, medians, torch.zeros_like(medians))


def factor_loss(log_ratio: Tensor, weights: Tensor, length: Tensor) -> Tensor:
    """Return how far the factors between the two depths are from 1, for depth in metres.

    Kept apart from :func:`sparse_loss`: recorded poses give the lengths of short motions poorly,
    by a third for a hand-held camera, and an image does not show how far. A shape that had to
    agree with each of these lengths would be learned worse.

    Parameters
    ----------
    log_ratio, weights : Tensor, shape (B, P)
        See :meth:`TrackedMotion.log_ratio`.
    length : Tensor, shape (B,)
        See :func:`factors_of_samples`.

    Returns
    -------
    Tensor, scalar
        Mean over samples of |weighted mean of the log ratio|, of which what is farther than 0.5
        from the sample's factor is cut off: |length|, but with a gradient.
    """
    near = length[:, None] + (log_ratio - length[:, None]).clamp(-0.5, 0.5)
    total = weights.sum(dim=1)
    mean = (weights * near).sum(dim=1) / total.clamp_min(1e-6)
    return mean.abs().sum() / (total > 0).sum().clamp_min(1)


def sparse_loss(log_ratio: Tensor, weights: Tensor, length: Tensor) -> Tensor:
    """Return the error against triangulated depth, up to each sample's factor.

    Only corners whose depth can be told teach. What shows no parallax may be far, but it may as
    well be a car ahead that drives as fast: that it must be far made cars holes in the image.

    Parameters
    ----------
    log_ratio, weights : Tensor, shape (B, P)
        See :meth:`TrackedMotion.log_ratio`.
    length : Tensor, shape (B,)
        Log of the factor between the two depths.

    Returns
    -------
    Tensor, scalar
        Weighted mean of |log ratio − length|, which is robust against corners on things that move.
    """
    weights = torch.where(weights >= CERTAIN_WEIGHT, weights, 0.0)
    error = (log_ratio - length[:, None]).abs()
    return (weights * error).sum() / weights.sum().clamp_min(1e-6)
