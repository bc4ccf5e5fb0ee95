# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every engine that runs the depth network offers."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Backend(Protocol):
    """An engine with a network in it.

    Attributes
    ----------
    name : str
        "torch" or "openvino".
    device : torch.device
        Where images are taken and disparities returned.
    precision : str
        "fp32", "fp16", "bf16" or, of OpenVINO IR that holds such, "int8": of the convolutions.
    """

    name: str
    device: torch.device
    precision: str

    def disparity(self, image: Tensor) -> Tensor:
        """Run the network.

        Parameters
        ----------
        image : Tensor, shape (H, W, 3), uint8, RGB
            Of the network's size, on `device`.

        Returns
        -------
        Tensor, shape (H, W), float32
            Sigmoid disparity on `device`; valid until the next call.
        """
        ...

    def disparities(self, images: Tensor) -> Tensor:
        """Run the network on many images.

        Parameters
        ----------
        images : Tensor, shape (B, H, W, 3), uint8, RGB
            Of the network's size, on `device`.

        Returns
        -------
        Tensor, shape (B, H, W), float32
            Sigmoid disparity on `device`.
        """
        ...
