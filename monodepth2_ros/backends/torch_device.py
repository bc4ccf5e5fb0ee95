# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The device of whatever runs in torch, as every command names it."""

from __future__ import annotations

import torch

from monodepth2_ros.backends.factory import resolve_device


def torch_device(name: str) -> torch.device:
    """Turn a user's device into torch's.

    Parameters
    ----------
    name : str
        auto (CUDA if there is any), cpu, cuda or cuda:N.

    Raises
    ------
    BackendError
        If it is not there, with the reason.
    """
    return torch.device(str(resolve_device(name, "torch")))
