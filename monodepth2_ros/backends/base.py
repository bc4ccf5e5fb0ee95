# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every engine that runs the depth network offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Device:
    """A processor, named as torch names it; torch is not needed for it.

    Attributes
    ----------
    type : {"cpu", "cuda"}
    index : int or None
        Number of the GPU.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


#: The processor of the machine.
CPU = Device("cpu")


class Backend(Protocol):
    """An engine with a network in it.

    Images and disparities are NumPy arrays on a CPU and torch tensors on a GPU. On a CPU torch
    tensors are taken, too, and answered with tensors.

    Attributes
    ----------
    name : str
        "torch" or "openvino".
    device : Device or torch.device
        Where images are taken and disparities returned.
    precision : str
        "fp32", "fp16", "bf16" or, for OpenVINO IR that holds such weights, "int8": arithmetic of
        the convolutions.
    """

    name: str
    device: Any
    precision: str

    def disparity(self, image: Any) -> Any:
        """Run the network.

        Parameters
        ----------
        image : ndarray or Tensor, shape (H, W, 3), uint8, RGB
            Image of the network's size, on `device`.

        Returns
        -------
        ndarray or Tensor as `image`, shape (H, W), float32
            Sigmoid disparity on `device`; valid until the next call.
        """
        ...

    def disparities(self, images: Any) -> Any:
        """Run the network on many images.

        Parameters
        ----------
        images : ndarray or Tensor, shape (B, H, W, 3), uint8, RGB
            Images of the network's size, on `device`.

        Returns
        -------
        ndarray or Tensor as `images`, shape (B, H, W), float32
            Sigmoid disparity on `device`.
        """
        ...
