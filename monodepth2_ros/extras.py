# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Libraries that not every machine has, and the extra of this package that brings each.

A robot with a CPU installs ``[ros,openvino]``, one with a GPU ``[ros,cuda]``, the machine that
trains ``[train]``. What needs a library that is missing says so before it does any work.
"""

from __future__ import annotations

import importlib.util
import sys

#: The extra that brings a library, by the name under which it is imported.
EXTRAS = {
    "jsonargparse": "train",
    "matplotlib": "train",
    "nncf": "int8",
    "onnx": "train",
    "openvino": "openvino",
    "rclpy": "ros",
    "rosbags": "ros",
    "tensorboard": "train",
    "torch": "cuda",
    "torchvision": "train",
    "triton": "cuda",
}


class MissingLibrary(ImportError):
    """A library is not installed; the message says which extra brings it."""


def is_installed(library: str) -> bool:
    """Tell whether a library can be imported, without importing it."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def how_to_install(library: str, extra: str = "") -> str:
    """Say in one line that a library is missing and what brings it.

    Parameters
    ----------
    library : str
        The name under which it is imported.
    extra : str
        The extra to name in place of the one in :data:`EXTRAS`.
    """
    extra = extra or EXTRAS.get(library, "")
    package = f"'monodepth2_ros[{extra}]'" if extra else library
    other = ", or source a ROS 2 installation" if extra == "ros" else ""
    return f"{library} cannot be imported (not installed): pip install {package}{other}"


def need(library: str, what: str, extra: str = "") -> None:
    """Raise :class:`MissingLibrary` if a library is not installed.

    Parameters
    ----------
    library : str
        The name under which it is imported.
    what : str
        What needs it, for the message.
    extra : str
        The extra to name in place of the one in :data:`EXTRAS`.
    """
    if not is_installed(library):
        raise MissingLibrary(f"{what}: {how_to_install(library, extra)}")


def require(command: str, extra: str, *libraries: str) -> None:
    """End the process with one line if a command lacks a library; the first line of a command.

    Parameters
    ----------
    command : str
        Its name.
    extra : str
        The extra that brings all of them.
    libraries : str
        The names under which they are imported.
    """
    missing = [library for library in libraries if not is_installed(library)]
    if missing:
        sys.exit(f"{command}: {how_to_install(missing[0], extra)}")
