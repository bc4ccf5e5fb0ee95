# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training.panoramas``: views of panoramic photographs as a frame store.

The store holds images alone, for ``depth_train --keep-data``: a model that is trained on rendered
worlds is held near what it knew of photographs.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("panoramas")

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from monodepth2_ros.option_fields import OptionError, check_options, option, shared_option


@dataclass(frozen=True)
class PanoramaOptions:
    """Options of ``python -m training.panoramas``.

    Raises
    ------
    OptionError
        If a value is outside its limits.
    """

    out: Path = shared_option("out", details="folder of the frame store", metavar="DIR")
    panoramas: tuple[Path, ...] = option(
        (),
        "Equirectangular photographs, twice as wide as high (JPEG or PNG)",
        positional=True,
        metavar="IMAGE",
    )
    views: int = option(100, "Views of each panorama", metavar="N", least=1, most=100_000)
    width: int = option(192, "Image width in pixels", metavar="PX", least=32, most=4096)
    height: int = option(128, "Image height in pixels", metavar="PX", least=32, most=4096)
    seed: int = option(0, "Seed of where the views look", metavar="N", least=0)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.panoramas:
            raise OptionError("no panorama is named; give one image file or more")


def make_command_line() -> CommandLine[PanoramaOptions]:
    """Describe the command line."""
    return CommandLine(
        "panoramas",
        PanoramaOptions,
        "Cut perspective views out of panoramic photographs, into a frame store without depth "
        "(python -m training.panoramas).",
    )


@guarded("panoramas")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the store; return the exit status."""
    options = make_command_line().parse(arguments)
    require("train", "torch")
    from training.frames.panorama_views import read_panorama, write_views

    images = [(path.name, read_panorama(path)) for path in options.panoramas]
    store = write_views(
        options.out, images, options.views, options.width, options.height, options.seed
    )
    print(f"{options.out}: {len(store.images)} views of {len(images)} panorama(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
