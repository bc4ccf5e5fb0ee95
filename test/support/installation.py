# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An installation of the package as ament finds it, with an executable that a test writes."""

from __future__ import annotations

import os
from pathlib import Path


def installation(prefix: Path) -> tuple[Path, str]:
    """Make the folders of an installation that holds nothing yet.

    Parameters
    ----------
    prefix : Path
        Folder of the installation.

    Returns
    -------
    Path
        Where the executable ``depth_node`` belongs.
    str
        AMENT_PREFIX_PATH with this installation first.
    """
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "monodepth2_ros"
    executable = prefix / "lib" / "monodepth2_ros" / "depth_node"
    for path in (marker, executable):
        path.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    others = os.environ.get("AMENT_PREFIX_PATH")
    return executable, os.pathsep.join(filter(None, [str(prefix), others]))
