# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From an RGB image to depth in metres, a picture of it, and a packed point cloud.

Everything stays on the device of the backend until one copy brings the outputs to the host.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monodepth2_ros.backends import Backend, create_backend
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import Checkpoint, open_checkpoint
from monodepth2_ros.coloring import colorize, disparity_range
from monodepth2_ros.options import OutputOptions as OutputOptions
from monodepth2_ros.point_cloud import depth_edges, pack_points
from monodepth2_ros.preprocessing import Crop, check_crop, crop_box, prepare_image

#: What :meth:`DepthPredictor.predict` can produce.
OUTPUTS = ("depth", "color", "points")

# Share of a new frame in the automatic colour range: a picture that adapts, but does not flicker.
_COLOR_ADAPTATION = 0.1


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
        Of the depth and the picture, when the input's camera was given.
    seconds : dict of str to float
        Time of the stages "preprocess", "network" and "outputs".
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
        self._upload = _Transfer(self.backend.device)
        self._download = _Transfer(self.backend.device)
        self._color_range: tuple[float, float] | None = None

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

    @torch.inference_mode()
    def predict(
        self,
        image: NDArray[np.uint8],
        camera: PinholeCamera | None = None,
        options: OutputOptions | None = None,
        outputs: tuple[str, ...] = ("depth",),
    ) -> Prediction:
        """Predict what is asked for.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, RGB
            Rectified.
        camera : PinholeCamera, optional
            Of `image`; needed for points.
        options : OutputOptions, optional
        outputs : tuple of str
            Any of :data:`OUTPUTS`.

        Returns
        -------
        Prediction
            Its arrays may be reused by the next call: copy what is to be kept.

        Raises
        ------
        ValueError
            If the image is not RGB bytes, the camera is of another size, or there is none for
            points.
        """
        options = options or OutputOptions()
        _check_input(image, camera, outputs)
        metadata = self.checkpoint.metadata
        clock = _Stopwatch(self.backend.device)

        # A read-only array (a message's memory) is only read here.
        pixels = self._upload.to_device(image)
        network_image = prepare_image(pixels, self.crop, metadata.width, metadata.height)
        clock.lap("preprocess")

        sigmoid = self.backend.disparity(network_image)
        clock.lap("network")

        # Inverse depth in 1/metre: linear in the sigmoid, so it may be resized before inversion.
        near, far = 1.0 / metadata.min_depth, 1.0 / metadata.max_depth
        unit = metadata.scale * options.scale
        disparity = torch.add(far / unit, sigmoid, alpha=(near - far) / unit)
        edges = None
        if "points" in outputs and options.points_edge_filter > 0.0:
            edges = depth_edges(disparity, options.points_edge_filter)
        colors = network_image
        output_camera = self.network_camera(camera) if camera else None
        if options.output_size == "image":
            box = crop_box(image.shape[1], image.shape[0], self.crop)
            disparity = _to_image(disparity, box, pixels.shape[0], pixels.shape[1])
            if edges is not None:
                edges = _to_image(edges.float(), box, pixels.shape[0], pixels.shape[1]) > 0.5
            colors, output_camera = pixels, camera
        disparity = self._limit_range(disparity, options)
        depth = disparity.reciprocal()

        results: dict[str, Tensor] = {}
        if "depth" in outputs:
            results["depth"] = _encode_depth(depth, options.depth_encoding)
        if "color" in outputs:
            low, high = self._picture_range(disparity, options)
            results["color"] = colorize(disparity, low, high, options.color_map)
        if "points" in outputs:
            assert output_camera is not None
            results["points"] = _points(depth, colors, edges, output_camera, options)
        arrays = self._download.to_host(results)
        clock.lap("outputs")
        return Prediction(camera=output_camera, seconds=clock.seconds(), **arrays)

    def _limit_range(self, disparity: Tensor, options: OutputOptions) -> Tensor:
        """Put NaN where depth is outside the range that was asked for."""
        metadata = self.checkpoint.metadata
        unit = metadata.scale * options.scale
        # A bound that the network cannot reach costs nothing.
        if options.max_range < unit * metadata.max_depth:
            disparity = disparity.masked_fill(disparity < 1.0 / options.max_range, torch.nan)
        if options.min_range > unit * metadata.min_depth:
            disparity = disparity.masked_fill(disparity > 1.0 / options.min_range, torch.nan)
        return disparity

    def _picture_range(self, disparity: Tensor, options: OutputOptions) -> tuple[float, float]:
        """Disparities at the ends of the colour map: those asked for, or the scene's, smoothed."""
        near, far = options.color_range
        if far > near > 0.0:
            self._color_range = None
            return 1.0 / far, 1.0 / near
        low, high = disparity_range(disparity)
        if self._color_range is not None:
            old_low, old_high = self._color_range
            low = old_low + _COLOR_ADAPTATION * (low - old_low)
            high = old_high + _COLOR_ADAPTATION * (high - old_high)
        self._color_range = (low, high)
        return low, high


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
    millimetres[millimetres > 65535.0] = 0.0
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


class _Stopwatch:
    """Times stages; on CUDA by events, because kernels run after the call that launched them."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._names: list[str] = []
        self._marks: list[Any] = [self._mark()]

    def lap(self, name: str) -> None:
        self._names.append(name)
        self._marks.append(self._mark())

    def seconds(self) -> dict[str, float]:
        pairs = zip(self._names, self._marks, self._marks[1:], strict=False)
        if not self._cuda:
            return {name: end - start for name, start, end in pairs}
        self._marks[-1].synchronize()
        return {name: 1e-3 * start.elapsed_time(end) for name, start, end in pairs}

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


class _Transfer:
    """Moves arrays between host and device; on CUDA through one pinned buffer each way."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = torch.empty(0, dtype=torch.uint8)

    def to_device(self, array: NDArray[np.uint8]) -> Tensor:
        """Return an array's tensor on the device; on a CPU a view of the same memory."""
        if not array.flags.writeable and self._device.type == "cpu":
            # torch warns about read-only memory; it is only read, so the warning has no object.
            array = _writable_view(array)
        tensor = torch.from_numpy(array) if self._device.type == "cpu" else None
        if tensor is not None:
            return tensor
        staged = self._buffer(array.nbytes)
        np.copyto(staged.numpy().reshape(array.shape), array)
        return staged.view(array.shape).to(self._device, non_blocking=True)

    def to_host(self, tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        """Return tensors as arrays; from CUDA with one copy for all of them."""
        if self._device.type == "cpu":
            return {name: tensor.numpy() for name, tensor in tensors.items()}
        parts = {name: tensor.contiguous().view(-1) for name, tensor in tensors.items()}
        raw = [part.view(torch.uint8) for part in parts.values()]
        # Views of other types must begin at multiples of 16 bytes.
        sizes = [-(-part.numel() // 16) * 16 for part in raw]
        packed = torch.empty(sum(sizes), dtype=torch.uint8, device=self._device)
        staged = self._buffer(packed.numel())
        offset = 0
        for part, size in zip(raw, sizes, strict=True):
            packed[offset : offset + part.numel()] = part
            offset += size
        staged.copy_(packed, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        arrays, offset = {}, 0
        for (name, tensor), part, size in zip(tensors.items(), raw, sizes, strict=True):
            values = staged[offset : offset + part.numel()].view(tensor.dtype)
            arrays[name] = values.view(tensor.shape).numpy()
            offset += size
        return arrays

    def _buffer(self, size: int) -> Tensor:
        """Return pinned memory, allocated anew only when it must grow."""
        if self._pinned.numel() < size:
            self._pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._pinned[:size]


def _writable_view(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """View read-only memory as writable."""
    interface = dict(array.__array_interface__)
    interface["data"] = (interface["data"][0], False)
    holder = type("_Memory", (), {"__array_interface__": interface, "owner": array})()
    return np.asarray(holder)
