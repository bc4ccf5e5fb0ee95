# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From an RGB image to depth in metres, a picture of it, and a packed point cloud.

All that lies between the image and the outputs is one function of arrays: NumPy's on a CPU, where
torch is not needed, and torch's on a GPU, where it waits for nothing.
:mod:`monodepth2_ros.pipeline` brings the image there and the outputs back.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from monodepth2_ros.arrays import Array, all_finite, reciprocal, to_half
from monodepth2_ros.backends import Backend, create_backend
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint
from monodepth2_ros.options import OutputOptions as OutputOptions
from monodepth2_ros.outputs import UnscaledDepth, has_fixed_colors, inverse_depth, make_outputs
from monodepth2_ros.pipeline import HostPipeline, Lap, Pipeline, Stopwatch
from monodepth2_ros.preprocessing import (
    Crop,
    check_crop,
    crop_box,
    prepare_image,
    prepare_images,
)

_Item = TypeVar("_Item")
_Ticket = TypeVar("_Ticket")
_Result = TypeVar("_Result")

#: Says what depth is to be multiplied by, given its inverse (h, w) before that.
FindFactor = Callable[[UnscaledDepth], float]

#: What :meth:`DepthPredictor.predict` can produce.
OUTPUTS = ("depth", "color", "points")


@dataclass(frozen=True)
class Prediction:
    """Outputs of one frame, on the host.

    Attributes
    ----------
    depth : ndarray (H, W), float32 metres (NaN unknown) or uint16 millimetres (0 unknown), or None
    color : ndarray (H, W, 3), uint8 RGB, or None
    points : ndarray (H', W', 4), float32, see :func:`monodepth2_ros.point_cloud.pack_points`,
        or None
    camera : PinholeCamera or None
        Camera of the depth and the picture, when the input's camera was given.
    seconds : dict of str to float
        Time of the stages "preprocess", "network" and "outputs"; on a GPU, which computes all of
        them in one go, that of the upload, the computation and the download.
    """

    depth: NDArray[Any] | None = None
    color: NDArray[np.uint8] | None = None
    points: NDArray[np.float32] | None = None
    camera: PinholeCamera | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class DepthPredictor:
    """A depth model, ready to run.

    Parameters
    ----------
    checkpoint : Checkpoint, str or path
        A loaded checkpoint, or what :func:`monodepth2_ros.checkpoint.open_checkpoint` takes.
    backend, device, precision, threads, cache_dir
        See :func:`monodepth2_ros.backends.create_backend`.
    crop : tuple of float, optional
        Fractions of the image to remove at the left, top, right and bottom, instead of the
        checkpoint's.

    Attributes
    ----------
    checkpoint : Checkpoint
    backend : Backend
    crop : tuple of float
    color_limits : ndarray or Tensor, shape (2,), float64
        Disparities at the ends of the automatic range of colours, NaN before there are any. On the
        device and changed in place, so that a recorded computation goes on with them.

    Raises
    ------
    CheckpointError, BackendError
        With the reason and what to do.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike[str] = "",
        *,
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        cache_dir: str | Path | None = None,
        crop: Crop | None = None,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = open_checkpoint(os.fspath(checkpoint))
        self.checkpoint = checkpoint
        self.crop = checkpoint.metadata.crop if crop is None else crop
        check_crop(self.crop)
        self.backend: Backend = create_backend(
            checkpoint, backend, device, precision, threads, cache_dir
        )
        self._start()

    def sharing(self, crop: Crop | None = None) -> DepthPredictor:
        """Return a predictor for another camera, with this one's network and its own colour range.

        The two must not predict at the same time.

        Parameters
        ----------
        crop : tuple of float, optional
            As for a new predictor.
        """
        other = copy.copy(self)
        other.crop = self.checkpoint.metadata.crop if crop is None else crop
        check_crop(other.crop)
        other._start()
        return other

    def _start(self) -> None:
        """Begin with nothing under way and without a colour range."""
        self.color_limits: Any = np.full(2, np.nan)
        self._is_recorded = False
        self._pipeline: Pipeline = HostPipeline()
        if self.backend.device.type == "cuda":
            self._use_device_pipeline()
        self._cameras: list[PinholeCamera | None] = []
        self._is_streaming = False

    def _use_device_pipeline(self) -> None:
        """Compute with tensors on the backend's device from now on."""
        import torch

        device = torch.device(str(self.backend.device))
        self.color_limits = torch.full((2,), torch.nan, dtype=torch.float64, device=device)
        self._is_recorded = True
        self._pipeline = self.make_pipeline([self])

    def make_pipeline(self, predictors: Sequence[DepthPredictor]) -> Pipeline:
        """Return a pipeline of this predictor's kind, for computations of these predictors."""
        if not self._is_recorded:
            return HostPipeline()
        import torch

        from monodepth2_ros.device_pipeline import DevicePipeline

        device = torch.device(str(self.backend.device))
        return DevicePipeline(device, kept=[one.color_limits for one in predictors])

    @property
    def is_recorded(self) -> bool:
        """Whether each kind of computation is recorded once, so that a new kind costs time."""
        return self._is_recorded

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict depth at the network's size.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, RGB

        Returns
        -------
        ndarray, shape (height, width) of the checkpoint, float32
            Metres along the optical axis (metres only if the model is metric).
        """
        depth = self.predict(image).depth
        assert depth is not None
        return np.array(depth)

    def network_camera(self, camera: PinholeCamera) -> PinholeCamera:
        """Return the camera of the network's image, given that of the input image."""
        metadata = self.checkpoint.metadata
        box = crop_box(camera.width, camera.height, self.crop)
        return camera.cropped(*box).resized(metadata.width, metadata.height)

    def predict(
        self,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None = None,
        options: OutputOptions | None = None,
        outputs: tuple[str, ...] = ("depth",),
        find_factor: FindFactor | None = None,
    ) -> Prediction:
        """Predict what is asked for.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, RGB
            Rectified.
        camera : PinholeCamera, optional
            Camera of `image`; needed for points.
        options : OutputOptions, optional
        outputs : tuple of str
            Any of :data:`OUTPUTS`.
        find_factor : callable, optional
            Given the inverse depth (h, w) of the network's size and crop, with `options.scale`,
            says what depth is to be multiplied by. On a CPU only: on a GPU one recording computes
            everything.

        Returns
        -------
        Prediction
            Its arrays may be reused by the next call: copy what is to be kept.

        Raises
        ------
        ValueError
            If the image is not RGB bytes, the camera is of another size, or there is none for
            points.
        RuntimeError
            While a :meth:`predict_stream` is under way.
        """
        self._check_idle()
        if find_factor is not None and self.backend.device.type == "cuda":
            raise ValueError("find_factor works on a CPU only; multiply the outputs instead")
        self._submit(image, camera, options or OutputOptions(), outputs, find_factor)
        return self._collect()

    def begin(
        self,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None = None,
        options: OutputOptions | None = None,
        outputs: tuple[str, ...] = ("depth",),
        network_image: NDArray[np.uint8] | None = None,
    ) -> Callable[[], Prediction]:
        """Do the first part of :meth:`predict`, up to the network's end.

        Parameters
        ----------
        image, camera, options, outputs
            See :meth:`predict`. The image must not change until the rest is done.
        network_image : ndarray, optional
            What :meth:`network_image` gave for the image.

        Returns
        -------
        callable
            Does the rest, to be called once. Where :attr:`can_overlap`, another thread may call it
            while this predictor, or one that shares its network, begins with the next image; in
            the order in which they were begun.

        Raises
        ------
        ValueError, RuntimeError
            As :meth:`predict`.
        """
        options = options or OutputOptions()
        if not self.can_overlap:
            prediction = self.predict(image, camera, options, outputs)
            return lambda: prediction
        self._check_idle()
        output_camera = self.output_camera(image, camera, options, outputs)
        watch = Stopwatch()
        # A copy, as the network's memory is used again for the next image.
        if network_image is None:
            network_image = self.network_image(image)
        watch.lap("preprocess")
        sigmoid = np.array(self.backend.disparity(network_image))
        watch.lap("network")

        def finish() -> Prediction:
            rest = Stopwatch()
            self.forget_colors(options, outputs)
            arrays: Any = self.make_outputs(
                image, network_image, sigmoid, output_camera, options, outputs
            )
            rest.lap("outputs")
            seconds = {**watch.seconds(), **rest.seconds()}
            return Prediction(camera=output_camera, seconds=seconds, **arrays)

        return finish

    def network_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image (H, W, 3) cropped and resized for the network; any thread may call it."""
        metadata = self.checkpoint.metadata
        prepared: NDArray[np.uint8] = prepare_image(
            image, self.crop, metadata.width, metadata.height
        )
        return prepared

    @property
    def can_overlap(self) -> bool:
        """Whether the two parts of :meth:`begin` may run at the same time for two images."""
        return bool(self.backend.device.type == "cpu")

    def predict_stream(
        self,
        images: Iterable[NDArray[np.uint8]],
        camera: PinholeCamera | None = None,
        options: OutputOptions | None = None,
        outputs: tuple[str, ...] = ("depth",),
    ) -> Iterator[Prediction]:
        """Predict for images one after the other, as :meth:`predict` does for each.

        On a GPU the next image is on its way there while the last is computed and comes back.

        Parameters
        ----------
        images : iterable of ndarray
            Taken one ahead of what is given, on a GPU.
        camera, options, outputs
            See :meth:`predict`.

        Yields
        ------
        Prediction
            Its arrays may be reused by the next step: copy what is to be kept.

        Raises
        ------
        ValueError, RuntimeError
            As :meth:`predict`.
        """
        options = options or OutputOptions()
        return self._ahead(
            images,
            lambda image: self._submit(image, camera, options, outputs),
            lambda _: self._collect(),
        )

    def predict_batch(
        self, images: NDArray[np.uint8], crop: Crop | None = None, half: bool = False
    ) -> NDArray[Any]:
        """Predict depth for many images of one size at once, where latency does not count.

        Parameters
        ----------
        images : ndarray, shape (B, H, W, 3), uint8, RGB
        crop : tuple of float, optional
            What is left to remove of images that are cropped already, instead of :attr:`crop`.
        half : bool
            Give float16, as frame stores keep depth, 65504 at most.

        Returns
        -------
        ndarray, shape (B, height, width) of the checkpoint, float32 or float16
            As calls with each image give, but for rounding. May be reused by the next call.

        Raises
        ------
        ValueError
            If the images are not RGB bytes.
        RuntimeError
            While a stream of predictions is under way.
        """
        [(depth, _)] = self.predict_batches([images], crop, half)
        return depth

    def predict_batches(
        self, batches: Iterable[NDArray[np.uint8]], crop: Crop | None = None, half: bool = False
    ) -> Iterator[tuple[NDArray[Any], bool]]:
        """Predict for batches one after the other, as :meth:`predict_batch` does for each.

        On a GPU the next batch is on its way there while the last is computed and comes back.

        Parameters
        ----------
        batches : iterable of ndarray
            Taken one ahead of what is given, on a GPU. A batch smaller than one before costs as
            much as that.
        crop, half
            See :meth:`predict_batch`.

        Yields
        ------
        depth : ndarray, shape (B, height, width) of the checkpoint, float32 or float16
            May be reused by the next step: copy what is to be kept.
        is_finite : bool
            Whether all of it are numbers; where they are not, the weights are damaged.

        Raises
        ------
        ValueError, RuntimeError
            As :meth:`predict_batch`.
        """
        crop = self.crop if crop is None else crop
        most = 0

        def compute(pixels: Any, lap: Lap) -> dict[str, Array]:
            return self._compute_batch(pixels, crop, half, lap)

        def submit(images: NDArray[np.uint8]) -> int:
            nonlocal most
            _check_batch(images)
            count = len(images)
            if self.backend.device.type == "cuda" and count < most:
                # A recording for the last, smaller batch would take longer than its prediction.
                images = np.concatenate([images, np.repeat(images[-1:], most - count, axis=0)])
            most = max(most, count)
            self._pipeline.submit(images, ("batch", crop, half), compute)
            return count

        def collect(count: int) -> tuple[NDArray[Any], bool]:
            arrays = self._pipeline.collect().arrays
            return arrays["depth"][:count], bool(arrays["is_finite"][0])

        return self._ahead(batches, submit, collect)

    def _ahead(
        self, items: Iterable[_Item], submit: Callable[[_Item], _Ticket],
        collect: Callable[[_Ticket], _Result],
    ) -> Iterator[_Result]:  # fmt: skip
        """Begin with items as many ahead as the pipeline takes, and give results in order."""
        self._check_idle()
        self._is_streaming = True
        under_way: deque[_Ticket] = deque()
        try:
            for item in items:
                under_way.append(submit(item))
                if len(under_way) == self._pipeline.depth:
                    yield collect(under_way.popleft())
            while under_way:
                yield collect(under_way.popleft())
        finally:
            while under_way:
                collect(under_way.popleft())
            self._is_streaming = False

    def _check_idle(self) -> None:
        """Refuse to mix up the order of results."""
        if self._is_streaming:
            raise RuntimeError(
                "a predict_stream of this predictor is under way; exhaust or close it first"
            )

    def _submit(
        self,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
        find_factor: FindFactor | None = None,
    ) -> None:
        """Begin with an image."""
        output_camera = self.output_camera(image, camera, options, outputs)
        self.forget_colors(options, outputs)

        def compute(pixels: Any, lap: Lap) -> dict[str, Array]:
            return self._compute(pixels, output_camera, options, outputs, lap, find_factor)

        # A recording of points has the camera in it; others serve any.
        recorded_camera = output_camera if "points" in outputs else None
        self._pipeline.submit(image, (recorded_camera, options, outputs), compute)
        self._cameras.append(output_camera)

    def forget_colors(self, options: OutputOptions, outputs: tuple[str, ...]) -> None:
        """Let an automatic range of colours start again after pictures with a given one."""
        if "color" in outputs and has_fixed_colors(options):
            self.color_limits[:] = np.nan

    def output_camera(
        self,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
    ) -> PinholeCamera | None:
        """Check what is to be predicted from; return the camera of the outputs."""
        _check_input(image, camera, outputs)
        if camera is not None and options.output_size != "image":
            return self.network_camera(camera)
        return camera

    def _collect(self) -> Prediction:
        """Give the outputs of the image that was begun first."""
        camera = self._cameras.pop(0)
        outcome = self._pipeline.collect()
        return Prediction(camera=camera, seconds=outcome.seconds, **outcome.arrays)

    def _compute(
        self,
        pixels: Any,
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
        lap: Lap,
        find_factor: FindFactor | None = None,
    ) -> dict[str, Array]:
        """Compute outputs from an image, both on the device; see :data:`pipeline.Compute`.

        Parameters
        ----------
        pixels : ndarray or Tensor, shape (H, W, 3), uint8
        camera : PinholeCamera, optional
            Camera of the outputs.
        options, outputs, find_factor
            See :meth:`predict`.
        lap : callable
            Told of the end of each stage.
        """
        network_image, sigmoid = self._run_network(pixels, lap)
        if find_factor is not None:
            factor = find_factor(UnscaledDepth(sigmoid, self.checkpoint.metadata, options.scale))
            options = dataclasses.replace(options, scale=options.scale * factor)
        return self.make_outputs(pixels, network_image, sigmoid, camera, options, outputs)

    def _run_network(self, pixels: Any, lap: Lap) -> tuple[Any, Any]:
        """Return the network's image and its sigmoid disparity."""
        metadata = self.checkpoint.metadata
        network_image = prepare_image(pixels, self.crop, metadata.width, metadata.height)
        lap("preprocess")
        if self.backend.device.type == "cuda":
            sigmoid = self.backend.disparities(network_image[None])[0]
        else:
            sigmoid = self.backend.disparity(network_image)
        lap("network")
        return network_image, sigmoid

    def make_outputs(
        self,
        pixels: Any,
        network_image: Any,
        sigmoid: Any,
        camera: PinholeCamera | None,
        options: OutputOptions,
        outputs: tuple[str, ...],
    ) -> dict[str, Array]:
        """Compute outputs from what the network says; see :meth:`_compute`."""
        metadata = self.checkpoint.metadata
        colors = network_image if options.output_size == "network" else pixels
        box = crop_box(pixels.shape[1], pixels.shape[0], self.crop)
        return make_outputs(
            sigmoid, colors, box, camera, self.color_limits, metadata, options, outputs
        )

    def _compute_batch(self, pixels: Any, crop: Crop, half: bool, lap: Lap) -> dict[str, Array]:
        """Compute the depth of many images; see :data:`pipeline.Compute`."""
        metadata = self.checkpoint.metadata
        prepared = prepare_images(pixels, crop, metadata.width, metadata.height)
        lap("preprocess")
        sigmoid = self.backend.disparities(prepared)
        lap("network")
        depth = reciprocal(inverse_depth(sigmoid, metadata, 1.0))
        finite = all_finite(depth)
        return {"depth": to_half(depth) if half else depth, "is_finite": finite}


def _check_batch(images: NDArray[np.uint8]) -> None:
    """Refuse what is not a batch of images."""
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"the images have shape {images.shape} and type {images.dtype}; (B, H, W, 3) of "
            "uint8 in RGB order is needed"
        )


def _check_input(
    image: NDArray[np.uint8], camera: PinholeCamera | None, outputs: tuple[str, ...]
) -> None:
    """Refuse what would give wrong results or an error far away from here."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"the image has shape {image.shape} and type {image.dtype}; (H, W, 3) of uint8 in RGB "
            "order is needed"
        )
    unknown = set(outputs) - set(OUTPUTS)
    if unknown:
        raise ValueError(f"unknown outputs {sorted(unknown)}; there are {', '.join(OUTPUTS)}")
    if camera and (camera.height, camera.width) != image.shape[:2]:
        raise ValueError(
            f"the camera is of a {camera.width}x{camera.height} image, the image is "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    if camera is None and "points" in outputs:
        raise ValueError("points need a camera; give the PinholeCamera of the image")
