# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m training.averaging``: the mean of the weights of two stages of one training.

A model that goes on learning from other data becomes better there and forgets some of what it knew.
As long as both are stages of one training, models on the straight line between their weights work,
too, and some way along it are often better than either end at what neither was trained for
(Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("averaging")

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monodepth2_ros.atomic_files import check_target
from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from monodepth2_ros.option_fields import check_options, option, shared_option


@dataclass(frozen=True)
class AveragingOptions:
    """Options of ``python -m training.averaging``.

    Raises
    ------
    OptionError
        If a value is outside its limits.
    """

    first: Path = option(description="Checkpoint", positional=True, metavar="FIRST.safetensors")
    second: Path = option(
        description="Checkpoint that was trained further from the first",
        positional=True,
        metavar="SECOND.safetensors",
    )
    out: Path = shared_option("out", details="a .safetensors file", metavar="FILE")
    share: float = option(
        0.5, "Weight of the second in the mean, from 0 to 1", metavar="X", least=0, most=1
    )

    def __post_init__(self) -> None:
        check_options(self)


def make_command_line() -> CommandLine[AveragingOptions]:
    """Describe the command line."""
    return CommandLine(
        "averaging",
        AveragingOptions,
        "Average the weights of two stages of one training (python -m training.averaging).",
    )


@guarded("averaging")
def main(arguments: Sequence[str] | None = None) -> int:
    """Average two files into a third; return the exit status."""
    options = make_command_line().parse(arguments)
    require("train", "torch")
    from monodepth2_ros.checkpoint import load_checkpoint, save_checkpoint
    from training.learning.averaging import average

    check_target(options.out)
    averaged = average(
        load_checkpoint(options.first), load_checkpoint(options.second), options.share
    )
    save_checkpoint(options.out, averaged.metadata, averaged.state)
    first, second = 1 - options.share, options.share
    print(f"{options.out}: {first:g} of {options.first}, {second:g} of {options.second}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
