# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The image size that a budget is best spent at: as large as leaves enough steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.frames.store import FrameStore
from training.learning.timing import PLANNED, Duration

Size = tuple[int, int]

#: A run should see so many samples, whatever the size of a batch: 600 steps of 4.
ENOUGH_SAMPLES = 2400

#: Sides of images are multiples of this, and at least twice that.
_MULTIPLE = 32

#: Narrower images than this show neither parallax nor things.
NARROWEST = 128


@dataclass(frozen=True)
class SizeChoice:
    """A size, and what was found out on the way.

    Attributes
    ----------
    size : tuple of int
        Width and height in pixels.
    steps : int
        Steps that fit into the budget at that size.
    tried : tuple
        Sizes that were timed, with the steps that fit, largest first.
    """

    size: Size
    steps: int
    tried: tuple[tuple[Size, int], ...]


def candidate_sizes(stored: Size) -> list[Size]:
    """Return sizes of about the stored shape, from the stored one down.

    Each has about 0.6 times the pixels of the one before.
    """
    sizes, scale = [stored], 1.0
    while True:
        scale *= 0.78
        width = _MULTIPLE * round(stored[0] * scale / _MULTIPLE)
        if width < NARROWEST:
            return sizes
        size = size_of_width(stored, width)
        if size[0] < sizes[-1][0]:
            sizes.append(size)


def choose_size(
    sizes: Sequence[Size],
    measure: Callable[[Size], Duration],
    seconds: float,
    between: int,
    enough: int,
) -> SizeChoice:
    """Choose the largest size at which enough steps fit; else that with the most steps.

    Parameters
    ----------
    sizes : sequence of tuple
        Width and height, largest first.
    measure : callable
        Times a step at a size.
    seconds : float
        The budget.
    between : int
        Steps from one validation to the next.
    enough : int
        Steps that are enough.
    """
    tried: dict[int, int] = {}

    def fits(place: int) -> bool:
        if place not in tried:
            tried[place] = measure(sizes[place]).steps_within(seconds, between)
        return tried[place] >= enough

    # The smallest is timed at little cost and says about where to look.
    place = last = len(sizes) - 1
    if fits(last):
        area = np.array([width * height for width, height in sizes], float)
        expected = tried[last] * area[last] / area
        place = int(np.argmax(expected >= enough))
        while not fits(place):
            place += 1
        while place > 0 and place - 1 not in tried and fits(place - 1):
            place -= 1
    found = tuple((sizes[index], tried[index]) for index in sorted(tried))
    return SizeChoice(sizes[place], tried[place], found)


def expected_size(stored: Size, step: float, batch: int, seconds: float) -> tuple[Size, int]:
    """Return the largest size at which a run would see enough samples, without timing it.

    Parameters
    ----------
    stored : tuple of int
        Width and height of the images that were timed.
    step : float
        Seconds of a step with them. It is taken to go with the number of pixels, which holds for
        convolutions.
    batch : int
        Samples of a step.
    seconds : float
        What the run may take.

    Returns
    -------
    size : tuple of int
        The smallest of :func:`candidate_sizes` if enough samples fit at none.
    steps : int
        Steps of as many samples that fit.
    """
    steps = 0
    size = stored
    for size in candidate_sizes(stored):
        area = size[0] * size[1] / (stored[0] * stored[1])
        steps = max(1, int(PLANNED * seconds / (step * area)))
        if steps * batch >= ENOUGH_SAMPLES:
            break
    return size, steps


def size_of_width(stored: Size, width: int) -> Size:
    """Return the size of that width that is nearest to the stored shape."""
    height = _MULTIPLE * round(stored[1] * width / stored[0] / _MULTIPLE)
    return width, min(stored[1], max(2 * _MULTIPLE, height))


def shrunk(store: FrameStore, size: Size) -> FrameStore:
    """Return a store with smaller images, in memory; corners are tracked in the old ones.

    Parameters
    ----------
    store : FrameStore
    size : tuple of int
        Width and height in pixels.
    """
    if (store.width, store.height) == size:
        return store
    pixels = store.images.view(np.ndarray)
    images = np.empty((len(pixels), size[1], size[0], 3), np.uint8)
    for image, smaller in zip(pixels, images, strict=True):
        cv2.resize(image, size, dst=smaller, interpolation=cv2.INTER_AREA)
    cameras = tuple(camera.resized(*size) for camera in store.cameras)
    corners = store.images if store.corner_images is None else store.corner_images
    return replace(store, images=images, cameras=cameras, corner_images=corners)
