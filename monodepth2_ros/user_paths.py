# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(given: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in place of its ``~``.

    Where that home folder is not known it stays as it is, so that whoever opens it says that it
    does not exist; :meth:`pathlib.Path.expanduser` ends with a RuntimeError there.

    Parameters
    ----------
    given : str or path
    """
    return Path(os.path.expanduser(given))
