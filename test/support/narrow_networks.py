# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks with few channels, for tests of what a training run does around them.

A run of the real networks saves half a gigabyte at each step; one of these saves half a megabyte
and takes a tenth of the processor's time. Depth, names and options are those of the real ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from monodepth2_ros.networks import architecture, pose_cnn, pose_decoder
from paths import REPOSITORY

_PROGRAM = """\
import sys
sys.path[:0] = {folders}
from narrow_networks import narrow
narrow()
from {module} import main
sys.exit(main())
"""

FEW: tuple[tuple[Any, str, Any], ...] = (
    (architecture, "STEM_WIDTH", 8),
    (architecture, "STAGE_WIDTHS", (8, 8, 16, 16)),
    (architecture, "DECODER_CHANNELS", (4, 4, 8, 8, 16)),
    (pose_decoder, "_WIDTH", 16),
    (pose_cnn, "_CHANNELS", (4, 4, 8, 8, 8, 8, 8)),
)


#: A quarter of the real widths: it still learns depth.
QUARTER: tuple[tuple[Any, str, Any], ...] = (
    (architecture, "STEM_WIDTH", 16),
    (architecture, "STAGE_WIDTHS", (16, 32, 64, 128)),
    (architecture, "DECODER_CHANNELS", (8, 16, 32, 32, 64)),
    (pose_decoder, "_WIDTH", 64),
)


def narrow(put: Callable[[Any, str, Any], None] = setattr, widths: tuple[Any, ...] = FEW) -> None:
    """Make the networks built from now on narrow.

    Parameters
    ----------
    put : callable
        Sets an attribute of a module: ``setattr``, or that of pytest's monkeypatch.
    widths : tuple
        What to set: module, name and value.
    """
    for module, name, value in widths:
        put(module, name, value)


def program_of(module: str) -> str:
    """Return a Python program that runs a module's ``main`` with narrow networks."""
    folders = [str(REPOSITORY), str(REPOSITORY / "test" / "support")]
    return _PROGRAM.format(folders=folders, module=module)


def command(module: str) -> list[str]:
    """Return the start of a command line that runs such a program."""
    return [sys.executable, "-c", program_of(module)]
