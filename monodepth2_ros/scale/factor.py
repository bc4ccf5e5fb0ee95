# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One factor from many measurements: robust, in log space, forgetting the past."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

#: Relative error of predicted depth from point to point.
MODEL_NOISE = 0.15

#: Regions of the image, for each unit of x / z and of y / z.
REGIONS = 5.0

#: Relative standard deviation of a network's factor from one view to another that has nothing in
#: common with it, before it is measured: 0.32 and 0.41 on two recordings of rooms, 0.1 to 0.35 on
#: rendered worlds.
WANDER = 0.3
# The least that is believed, and after how many new views half of what was seen is forgotten.
_LEAST_CHANGE = 0.005
_LEAST_WANDER, _VIEWS_TO_FORGET, _PRIOR_VIEWS = 0.08, 2.0, 0.2
# Between the parts of an image that were compared and the image as a whole the factor wanders by so
# much times the square of WANDER. That explains both rendered worlds, where it is 0.13 to 0.22 and
# little of it is within a view, and two recordings, where it is 0.28 and a third of it is.
_WITHIN_VIEW = 1.15
# A jump by more is a mismatch, not what a network does.
_LARGEST_INNOVATION = 0.5

# A camera whose motion is not known is taken to see a new view after so many seconds.
_NEW_VIEW_S = 2.0

# Error of the image's factor for each unit of the spread between regions with points.
_UNSEEN = 0.15

# Cells across the image, as many as corners are looked for in; those without points go with the
# nearest ones.
_CELL_COLUMNS = 12

# Values of a measurement that are kept.
_MOST_VALUES = 100

#: Spread of the logarithm of distance about the image's usual one in which points count.
NEAR_USUAL = 0.5

#: How much the logarithm of the factor differs by that of the distance, as a network sees what is
#: near too far and what is far too near: 0.02 in rendered rooms, 0.12 on streets.
NEAR_TOO_FAR = 0.1

#: Relative error, for the image as a whole, of a factor measured on what is e times nearer or
#: farther than the image usually is, once this is corrected; measured on rendered worlds.
ELSEWHERE = 0.12


@dataclass(frozen=True)
class Cells:
    """Parts of the image, each with the points that it is nearest to.

    Attributes
    ----------
    index : ndarray, shape (N,)
        Number of the cell that each point is in.
    area : ndarray, shape (N,)
        How much of the image is nearer to the points of that cell than to others, in cells.
    """

    index: NDArray[np.intp]
    area: NDArray[np.float64]

    def weigh(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale weights (N,) so that those of each cell add up to its area."""
        return np.asarray(weights * self.area / np.bincount(self.index, weights)[self.index])


@dataclass(frozen=True)
class Measurement:
    """What one frame says about the factor.

    Attributes
    ----------
    values : ndarray, shape (N,)
        Logarithms of metres per unit of depth, point by point.
    weights : ndarray, shape (N,)
        1 / variance of each by itself.
    deviation : float
        Standard deviation of their median, as errors of neighbouring points agree.
    unseen : float
        Share of the image without points, where the factor may be another one.
    teaches : bool
        Whether a jump to or from it tells how much the network's factor wanders; one that says
        little of the image jumps by itself.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    deviation: float
    unseen: float = 0.0
    teaches: bool = True

    @classmethod
    def of_points(
        cls,
        values: NDArray[np.float64],
        errors: NDArray[np.float64],
        places: NDArray[np.float64],
        model_noise: float = MODEL_NOISE,
        importance: NDArray[np.float64] | None = None,
        regions: int = 0,
        cells: Cells | None = None,
    ) -> Measurement:
        """Weigh points, and tell from the differences between regions how sure they are.

        Parameters
        ----------
        values, errors : ndarray, shape (N,)
            Logarithms of the factor, and their standard deviations by measurement alone.
        places : ndarray, shape (N, 2)
            Where the points are, in units in which the image is about 1 wide.
        model_noise : float
            Relative error of predicted depth from point to point.
        importance : ndarray, shape (N,), optional
            Factors of the weights, once all regions count the same.
        regions : int
            How many regions the image has; those without points may have another factor.
        cells : Cells, optional
            Weigh points by the area they are nearest to; without it all regions with points count
            the same.
        """
        weights = 1.0 / (model_noise**2 + errors**2)
        total = float(weights.sum())
        # Not as many points as a part of the image has, but its area: the factor is for the whole.
        region_of = region_numbers(places)
        count = int(np.count_nonzero(np.bincount(region_of)))
        if cells is None:
            weights = weights / np.bincount(region_of, weights)[region_of]
        else:
            weights = cells.weigh(weights)
        if importance is not None:
            weights = weights * importance
        weights = weights * (total / float(weights.sum()))
        middle = relative_median(values, weights)
        # Points of a region are wrong together.
        clipped = np.clip(values - middle, -0.5, 0.5)
        sums = np.bincount(region_of, weights * clipped)
        variance = float(np.sum(sums**2)) / float(weights.sum()) ** 2
        # π / 2: a median is that much less efficient than a mean.
        variance = max(0.5 * np.pi * variance, 1.0 / float(weights.sum()))
        # A network that contradicts itself from region to region does so where no point is, too.
        shares = np.bincount(region_of, weights)
        spread = float(np.sum(sums**2 / np.maximum(shares, 1e-300))) / float(weights.sum())
        variance += _UNSEEN**2 * spread
        unseen = max(0.0, 1.0 - count / regions) if regions else 0.0
        return cls(values, weights, float(np.sqrt(variance)), unseen)

    def variance(self, wander: float) -> float:
        """Return the variance of the factor of the whole image, by :attr:`FactorFilter.wander`."""
        return self.deviation**2 + wander**2 * (self.unseen**2 + (_WITHIN_VIEW * wander) ** 2)

    @cached_property
    def middle(self) -> float:
        """Logarithm of the factor."""
        return relative_median(self.values, self.weights)


@dataclass(frozen=True)
class ScaleEstimate:
    """What is known about the factor.

    Attributes
    ----------
    factor : float
        Metres per unit of depth; 1 before anything is known.
    deviation : float
        Relative standard deviation; infinite before anything is known.
    source : str
        Which sources it comes from, joined by "+"; "" before anything is known.
    age_s : float
        Time since the last measurement; infinite before the first.
    reason : str
        Why the newest frame gave no measurement, "" if it did.
    """

    factor: float = 1.0
    deviation: float = math.inf
    source: str = ""
    age_s: float = math.inf
    reason: str = "no measurement yet"

    def is_known(self, tolerance: float) -> bool:
        """Whether the factor is known to a relative tolerance (one standard deviation)."""
        return self.deviation <= tolerance


class FactorFilter:
    """A running factor: the weighted median of the measurements of the last seconds.

    Parameters
    ----------
    time_constant_s : float
        A measurement's weight falls by e within this time.
    drift : float
        How fast the factor is believed to wander while it is not measured, relative, per √s.
    floor : float
        The deviation at best: points differ from the image as a whole.

    Attributes
    ----------
    stamp : int or None
        Nanoseconds of the last measurement.
    """

    def __init__(
        self, time_constant_s: float = 0.1, drift: float = 0.02, floor: float = 0.015
    ) -> None:
        self.stamp: int | None = None
        self._time_constant_ns = 1e9 * time_constant_s
        self._drift, self._floor = drift, floor
        self._kept: deque[tuple[int, Measurement]] = deque(maxlen=100)
        self._middle = 0.0
        self._variance = math.inf
        # Squared changes of the factor, and how many new views brought them about.
        self._changes, self._views = _PRIOR_VIEWS * WANDER**2, _PRIOR_VIEWS

    @property
    def wander(self) -> float:
        """Relative standard deviation of the factor from one view to a new one, as seen so far."""
        return max(_LEAST_WANDER, math.sqrt(self._changes / self._views))

    def add(self, stamp: int, measurement: Measurement, change: float | None = None) -> None:
        """Take a measurement.

        Parameters
        ----------
        stamp : int
            Nanoseconds; stamps that go back start over.
        measurement : Measurement
        change : float, optional
            As in :meth:`at`, since the measurement before.
        """
        if self._kept and stamp < self._kept[-1][0]:
            self._kept.clear()
        elif self._kept and measurement.teaches and self._kept[-1][1].teaches:
            self._learn(
                measurement.middle - self._kept[-1][1].middle, self._share_new(stamp, change)
            )
        self._kept.append((stamp, _thinned(measurement)))
        # Three time constants hold 95 % of the weight; pauses do not count.
        while stamp - self._kept[0][0] > 3.0 * self._time_constant_ns:
            self._kept.popleft()
        variances = np.array([m.variance(self.wander) for _, m in self._kept])
        shares = np.array([np.exp((s - stamp) / self._time_constant_ns) for s, _ in self._kept])
        shares /= variances
        values = np.concatenate([m.values for _, m in self._kept])
        weights = np.concatenate(
            [
                share / float(m.weights.sum()) * m.weights
                for share, (_, m) in zip(shares, self._kept, strict=True)
            ]
        )
        self._middle = relative_median(values, weights)
        # Errors of neighbouring frames are the same errors: their average is no better than each.
        self._variance = float(np.sum(shares * variances) / shares.sum()) + self._floor**2
        self.stamp = stamp

    def _learn(self, jump: float, change: float) -> None:
        """Learn from two measurements how much the factor wanders.

        What both have wrong alike is not seen in their difference. It is told from it all the
        same: a network whose factor differs much from view to view has one that differs much
        between the parts of a view.
        """
        if change < _LEAST_CHANGE:
            return  # the camera stands still: nothing is learned of other views
        kept = 0.5 ** (change / _VIEWS_TO_FORGET)
        jump = min(abs(jump), _LARGEST_INNOVATION)
        self._changes = kept * self._changes + jump**2
        self._views = kept * self._views + change

    def share_of_next(self, stamp: int) -> float:
        """Return the weight that a measurement at a stamp would have among those that are kept."""
        before = sum(math.exp((s - stamp) / self._time_constant_ns) for s, _ in self._kept)
        return 1.0 / (1.0 + before)

    def at(self, stamp: int, change: float | None = None) -> tuple[float, float]:
        """Return the logarithm of the factor and its variance.

        Parameters
        ----------
        stamp : int
            Nanoseconds.
        change : float, optional
            How much of the image is new since the last measurement, 0 to 1; without it so much as
            a camera that moves sees in that time.
        """
        if self.stamp is None:
            return 0.0, math.inf
        age, new = 1e-9 * max(0, stamp - self.stamp), self._share_new(stamp, change)
        return self._middle, self._variance + self._drift**2 * age + self.wander**2 * new

    def _share_new(self, stamp: int, change: float | None) -> float:
        """Return how much of the image is new since the last measurement, 0 to 1."""
        if change is not None:
            return change
        age = 0 if self.stamp is None else max(0, stamp - self.stamp)
        return min(1.0, 1e-9 * age / _NEW_VIEW_S)


def _thinned(measurement: Measurement) -> Measurement:
    """Merge neighbouring values, so that sorting those of several frames stays cheap."""
    count = len(measurement.values)
    if count <= _MOST_VALUES:
        return measurement
    order = np.argsort(measurement.values)
    starts = np.linspace(0, count, _MOST_VALUES, endpoint=False).astype(int)
    weights = measurement.weights[order]
    total = np.add.reduceat(weights, starts)
    middle = np.add.reduceat(weights * measurement.values[order], starts) / total
    return replace(measurement, values=middle, weights=total)


def region_numbers(places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of the region of the image that each point is in, (N,).

    Parameters
    ----------
    places : ndarray, shape (N, 2)
        x / z and y / z.
    """
    if not len(places):
        return np.zeros(0, np.intp)
    cell = np.floor(places * REGIONS).astype(np.intp)
    cell -= cell.min(axis=0)
    return np.asarray(cell[:, 0] * (int(cell[:, 1].max()) + 1) + cell[:, 1])


def nearest_cells(pixels: NDArray[np.float64], size: tuple[int, int]) -> Cells:
    """Divide an image among points.

    Corners are on doors and posters, hardly any on a plain wall, whose factor is another one where
    the network's shape is wrong: what has no points goes with those that are nearest.

    Parameters
    ----------
    pixels : ndarray, shape (N, 2)
        x, y; N at least 1.
    size : tuple of int
        Width and height of the image in pixels.
    """
    width, height = size
    columns = _CELL_COLUMNS
    rows = max(1, round(columns * height / width))
    x = (pixels[:, 0] * (columns / width)).astype(np.intp).clip(0, columns - 1)
    y = (pixels[:, 1] * (rows / height)).astype(np.intp).clip(0, rows - 1)
    empty = np.ones((rows, columns), np.uint8)
    empty[y, x] = 0
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = labels[y, x]
    return Cells(index, np.bincount(labels.reshape(-1))[index].astype(np.float64))


def area_weights(
    weights: NDArray[np.float64], pixels: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return weights (N,) of points by themselves and by area; see :func:`nearest_cells`."""
    return nearest_cells(pixels, size).weigh(weights)


def relative_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the logarithm of the factor with the smallest mean relative error.

    With v = log(Z / D) for a point at Z metres and predicted depth D, the factor f that minimises
    the weighted sum of |f D - Z| / Z is a weighted median with the weights times D / Z = exp(-v).
    So points that are measured far too far, by lost parallax or because something nearer hides
    them, count little.
    """
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    shift = np.clip(values - _middle_of_sorted(values, weights), -2.0, 2.0)
    return _middle_of_sorted(values, weights * np.exp(-shift))


def middle(values: NDArray[np.float64]) -> float:
    """Return the upper median: like np.median but a fraction of the time for a few hundred."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def interpolated_weighted_median(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the value that halves the weights, between two values linearly."""
    order = np.argsort(values)
    return _middle_of_sorted(values[order], weights[order])


def _middle_of_sorted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the value that halves the weights, of ascending ones."""
    cumulative = weights.cumsum()
    half = 0.5 * float(cumulative[-1])
    cumulative -= 0.5 * weights
    # np.interp of one value, without its checks.
    after = int(cumulative.searchsorted(half))
    if after == 0:
        return float(values[0])
    if after == len(values):
        return float(values[-1])
    before, beyond = float(cumulative[after - 1]), float(cumulative[after])
    share = (half - before) / (beyond - before) if beyond > before else 0.0
    return float(values[after - 1] + share * (values[after] - values[after - 1]))


def usual_weights(apart: NDArray[np.float64], spread: float = NEAR_USUAL) -> NDArray[np.float64]:
    """Return weights of points, of which those at the image's usual distance count most.

    Parameters
    ----------
    apart : ndarray, shape (N,)
        Logarithm of distance over the usual one.
    spread : float
        Standard deviation of the bell curve.
    """
    return np.asarray(np.exp(-0.5 * (apart / spread) ** 2) + 1e-9)


def apart_from_usual(
    inverse: NDArray[np.float64], inverse_depth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the logarithm of distances over the median one of the image, shape (N,).

    A network sees near things too far and far things too near, by a tenth and more in a street:
    the factor of what is a few times nearer than the rest is not that of the image.
    """
    sampled = inverse_depth[::4, ::4]
    known = sampled[np.isfinite(sampled) & (sampled > 0.0)]
    usual = float(np.median(known)) if known.size else float(np.median(inverse))
    return np.log(usual / np.maximum(inverse, 1e-12))
