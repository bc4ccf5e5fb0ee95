# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Libraries that not every machine has, and the extra of this package that brings each.

A robot with a CPU installs ``[ros,openvino]``, one with a GPU ``[ros,cuda]``, the machine that
trains ``[train]``. What needs a library that is missing says so before it does any work.
"""

from __future__ import annotations

import importlib.util

#: The extra that brings a library, by the name under which it is imported.
EXTRAS = {
    "jinja2": "train",
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

# What pip calls a library that is imported under another name.
_DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "Pillow", "yaml": "PyYAML"}


class MissingExtra(RuntimeError):
    """A library is not installed; the message says which extra brings it."""


def is_installed(library: str) -> bool:
    """Tell whether a library can be imported, without importing it."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def how_to_install(*libraries: str, extra: str | None = None) -> str:
    """Say in one line that libraries are missing and what brings them.

    Parameters
    ----------
    libraries : str
        The names under which they are imported.
    extra : str, optional
        The extra that brings them, "" for the package itself; by default as :data:`EXTRAS` says.
    """
    if extra is None:
        extra = EXTRAS.get(libraries[0], "")
    package = f"'monodepth2_ros[{extra}]'" if extra else "monodepth2_ros"
    other = ", or source a ROS 2 installation" if "rclpy" in libraries else ""
    verb = "is" if len(libraries) == 1 else "are"
    return (
        f"{', '.join(libraries)} {verb} not installed (cannot be imported): pip install {package}"
        f"{other}"
    )


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Say in one line what to do about a library that a program needs from its first line on.

    Returns
    -------
    str or None
        None for a module of this package, which is a defect and not the user's.
    """
    library = (error.name or "").partition(".")[0]
    if library in ("", "monodepth2_ros", "training"):
        return None
    if library in EXTRAS:
        return how_to_install(library)
    return (
        f"{library} is not installed (cannot be imported). Is the virtual environment active in "
        f"this terminal? If it is: pip install {_DISTRIBUTIONS.get(library, library)}"
    )


def require(extra: str, *libraries: str) -> None:
    """Refuse to begin where libraries are missing, so that no work is lost.

    Parameters
    ----------
    extra : str
        The package's extra that brings them, "train" for example; "" for the package itself.
    libraries : str
        The names under which they are imported.

    Raises
    ------
    MissingExtra
    """
    missing = [library for library in libraries if not is_installed(library)]
    if missing:
        raise MissingExtra(how_to_install(*missing, extra=extra))
