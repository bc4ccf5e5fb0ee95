# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images that a run must not forget: held near what its first model predicts, and no more.

Rendered worlds teach depth that a handful of recordings cannot, but fine-tuning on them forgets
what real places look like. Photographs of such places need no depth: they are added to each batch,
and the teacher of :mod:`training.learning.teacher` says what is to be remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.frames.store import FrameStore
from training.learning.dataset import Batch, DatasetError


@dataclass(frozen=True)
class KeptImages:
    """Where kept images come from.

    Attributes
    ----------
    stores : tuple of FrameStore
        Drawn from with equal probability, whatever their numbers of frames.
    count : int
        Images in a step, over all processes.
    """

    stores: tuple[FrameStore, ...]
    count: int

    def read(self, rows: NDArray[np.int64], seed: int, step: int) -> NDArray[np.uint8]:
        """Return some of the images of a step.

        Parameters
        ----------
        rows : ndarray, shape (K,), int
            Which of the step's `count` images.
        seed, step : int
            They alone decide which images these are.

        Returns
        -------
        ndarray, shape (K, H, W, 3), uint8
        """
        draws = np.random.default_rng([seed, step]).random((self.count, 2))[rows]
        images = []
        for which, where in draws:
            store = self.stores[int(which * len(self.stores))]
            images.append(store.images[int(where * len(store.images))])
        first = self.stores[0]
        shape = (len(rows), first.height, first.width, 3)
        return np.array(images, np.uint8).reshape(shape)


def kept_images(stores: Sequence[FrameStore], count: int, trained: FrameStore) -> KeptImages:
    """Check the stores of kept images against one that is trained on.

    Raises
    ------
    DatasetError
        If images are of another size.
    """
    for store in stores:
        if (store.width, store.height) != (trained.width, trained.height):
            raise DatasetError(
                f"--keep-data {store.path} has images of {store.width}x{store.height}, --data "
                f"{trained.path} of {trained.width}x{trained.height}; extract one of them again, "
                f"with --width {trained.width} --height {trained.height} for the first"
            )
    return KeptImages(tuple(stores), count)


def with_kept(batch: Batch, images: NDArray[np.uint8]) -> Batch:
    """Append images to a batch that learn neither from neighbours nor from ground truth.

    Parameters
    ----------
    batch : Batch
        B samples on the CPU.
    images : ndarray, shape (K, H, W, 3), uint8

    Returns
    -------
    Batch
        B + K samples, of which the last K have unknown depth and no motion.
    """
    count, frames = len(images), batch.images.shape[1]
    still = torch.from_numpy(images)[:, None].expand(-1, frames, -1, -1, -1)
    samples, _, height, width, _ = batch.images.shape
    truth = batch.truth
    if truth is None:
        truth = torch.zeros(samples, height, width, dtype=torch.float16)
    unknown = truth.new_zeros(count, height, width)
    # No motion is asked of them; a camera has to be invertible all the same.
    cameras = torch.eye(4).expand(count, 4, 4)
    return replace(
        batch,
        images=torch.cat([batch.images, still]),
        intrinsics=torch.cat([batch.intrinsics, cameras]),
        baselines=torch.cat([batch.baselines, torch.zeros(count)]),
        truth=torch.cat([truth, unknown]),
        self_supervised=samples if batch.self_supervised is None else batch.self_supervised,
        kept=count,
    )
