# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of several cameras through the network as one batch.

On a GPU a batch of four takes little longer than one image, and one recorded computation serves
all. Each camera keeps what is its own: crop, options, intrinsics, range of colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.arrays import Array
from monodepth2_ros.pipeline import Lap
from monodepth2_ros.prediction_request import Request
from monodepth2_ros.predictor import OUTPUTS, DepthPredictor, Prediction
from monodepth2_ros.preprocessing import prepare_image, prepare_images


class CameraBatch:
    """Predicts for frames of several cameras at once.

    Where computations are recorded, on a GPU, a recording for every set of cameras whose frames
    happen to come together would take seconds and memory. There is one for all cameras with images
    of a size: the last frame of a camera that has none now is computed again, and not given out.

    Parameters
    ----------
    predictors : sequence of DepthPredictor
        One for each camera; they share a network (:meth:`DepthPredictor.sharing`).

    Raises
    ------
    ValueError
        If they do not.
    """

    def __init__(self, predictors: Sequence[DepthPredictor]) -> None:
        self._predictors = list(predictors)
        first = self._predictors[0]
        if any(one.backend is not first.backend for one in self._predictors):
            raise ValueError("the predictors of a batch must share one network; use sharing()")
        self._backend = first.backend
        self._metadata = first.checkpoint.metadata
        self._is_recorded = first.is_recorded
        self._pipeline = first.make_pipeline(self._predictors)
        self._last: dict[int, Request] = {}

    def predict(self, requests: Mapping[int, Request]) -> dict[int, Prediction]:
        """Predict for one frame of each of some cameras.

        Parameters
        ----------
        requests : mapping of int to Request
            By the places of their predictors. The images have one size.

        Returns
        -------
        dict of int to Prediction
            As :meth:`DepthPredictor.predict` of each gives, but for rounding. The arrays may be
            reused by the next call; the seconds are those of the batch.

        Raises
        ------
        ValueError
            If the sizes differ, or a request cannot be met.
        """
        shapes = {request.image.shape for request in requests.values()}
        if len(shapes) != 1:
            raise ValueError(f"the images of a batch have sizes {sorted(shapes)}; give one size")
        # All of them are checked before any leaves a trace.
        cameras = {
            number: self._predictors[number].output_camera(
                request.image, request.camera, request.options, request.outputs
            )
            for number, request in requests.items()
        }
        members = self._members(requests) if self._is_recorded else dict(sorted(requests.items()))
        absent = [number for number in members if number not in requests]
        limits = {number: _copy(self._predictors[number].color_limits) for number in absent}
        for number, request in requests.items():
            self._predictors[number].forget_colors(request.options, request.outputs)
        arrays, seconds = self._compute(members)
        self._last.update(members)  # only what could be computed
        for number, values in limits.items():
            self._predictors[number].color_limits[:] = values
        return {
            number: Prediction(
                camera=cameras[number],
                seconds=dict(seconds),
                **{name: arrays[_key(number, name)] for name in request.outputs},
            )
            for number, request in requests.items()
        }

    def _members(self, requests: Mapping[int, Request]) -> dict[int, Request]:
        """Return the requests of all cameras with images of this size, absent ones' last ones.

        Outputs that a camera had in its last request, too, are computed: they come and go with
        listeners, and every other combination would be recorded.
        """
        members = dict(self._last)
        for number, request in requests.items():
            last, shape = self._last.get(number), request.image.shape
            if last is not None and last.image.shape == shape and last.options == request.options:
                wanted = {*request.outputs, *last.outputs}
                if request.camera is None:
                    wanted.discard("points")
                outputs = tuple(name for name in OUTPUTS if name in wanted)
                request = replace(request, outputs=outputs)
            members[number] = request
        shape = next(iter(requests.values())).image.shape
        return {n: one for n, one in sorted(members.items()) if one.image.shape == shape}

    def _compute(
        self, members: Mapping[int, Request]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Return the outputs of all members on the host, and the seconds of the stages."""
        cameras = {
            number: self._predictors[number].output_camera(
                request.image, request.camera, request.options, request.outputs
            )
            for number, request in members.items()
        }

        def compute(pixels: Any, lap: Lap) -> dict[str, Array]:
            prepared = self._prepare(pixels, list(members))
            lap("preprocess")
            sigmoids = self._backend.disparities(prepared)
            lap("network")
            results: dict[str, Array] = {}
            for place, (number, request) in enumerate(members.items()):
                made = self._predictors[number].make_outputs(
                    pixels[place], prepared[place], sigmoids[place], cameras[number],
                    request.options, request.outputs,
                )  # fmt: skip
                results.update({_key(number, name): array for name, array in made.items()})
            return results

        # What a recording has in it; see DepthPredictor.
        key = tuple(
            (
                *(number, request.options, request.outputs),
                cameras[number] if "points" in request.outputs else None,
            )
            for number, request in members.items()
        )
        images = np.stack([request.image for request in members.values()])
        self._pipeline.submit(images, key, compute)
        result = self._pipeline.collect()
        return result.arrays, result.seconds

    def _prepare(self, pixels: Any, numbers: Sequence[int]) -> Any:
        """Return the network's images (B, h, w, 3), given those of the cameras."""
        width, height = self._metadata.width, self._metadata.height
        crops = [self._predictors[number].crop for number in numbers]
        if len(set(crops)) == 1:
            return prepare_images(pixels, crops[0], width, height)
        prepared = [
            prepare_image(image, crop, width, height)
            for image, crop in zip(pixels, crops, strict=True)
        ]
        if isinstance(pixels, np.ndarray):
            return np.stack(prepared)
        import torch

        return torch.stack(prepared)


def _key(number: int, name: str) -> str:
    """Name an output of one camera."""
    return f"{number} {name}"


def _copy(values: Any) -> Any:
    """Copy an array or a tensor."""
    return values.copy() if isinstance(values, np.ndarray) else values.clone()
