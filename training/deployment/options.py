# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What to export, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monodepth2_ros.option_fields import OptionError, check_options, flag, option, shared_option

#: Formats of an export.
FORMATS = ("onnx", "openvino", "published", "safetensors")

#: Largest difference of sigmoid disparity (0 … 1) from torch, by precision of the weights.
TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-2

#: How int8 quantises activations, the usual way first.
PRESETS = ("performance", "mixed")

#: Frames to calibrate int8 with, and the most to compare on.
CALIBRATION_FRAMES = 300

#: abs_rel of int8 may grow by this share of itself.
LARGEST_WORSENING = 0.01

#: Without ground truth: largest median of |int8 − float32| / float32 of the depth.
LARGEST_DIFFERENCE = 0.02


@dataclass(frozen=True)
class ExportOptions:
    """Options of ``depth_export``.

    Raises
    ------
    OptionError
        If a value is outside its limits, or two contradict each other.
    """

    checkpoint: str = shared_option("checkpoint", positional=True, metavar="CHECKPOINT")
    output: Path | None = option(
        None,
        "model.onnx, model.xml (OpenVINO), model.safetensors, or the name of a new folder "
        "(published layout)",
        positional=True,
        metavar="OUTPUT",
    )
    format: Literal["onnx", "openvino", "published", "safetensors"] | None = option(
        None, "Format (usually by the ending of OUTPUT)"
    )
    batch: str = option("1", "Batch size of the ONNX or OpenVINO graph, or 'dynamic'", metavar="N")
    half: bool = option(False, "Store the weights of OpenVINO IR or a .safetensors file in 16 bits")
    depth_only: bool = option(
        False,
        "Leave out what only training needs: pose and mask networks, the unused classifier",
    )
    provenance: Path | None = option(
        None,
        "Write this YAML or JSON mapping into the metadata: data, licences, command, …",
        metavar="FILE",
    )
    show: bool = option(False, "Print what CHECKPOINT holds and says of itself, and write nothing")
    tolerance: float | None = option(
        None,
        f"Largest difference of sigmoid disparity (0 … 1) from torch (usually {TOLERANCE:g}, with "
        f"--half {HALF_TOLERANCE:g})",
        metavar="X",
        least=0,
    )
    quiet: bool = shared_option("quiet", False)

    int8: bool = option(
        False,
        "OpenVINO IR that computes in 8-bit integers; written only if on held-out frames abs_rel "
        f"grows by at most {LARGEST_WORSENING:.0%} (without ground truth: if the depth changes by "
        f"at most {LARGEST_DIFFERENCE:.0%} in the median)",
        section="8-bit integers",
    )
    calibrate: tuple[Path, ...] = option(
        (),
        "Frame stores or recordings such as the robot will see; the last fifth of each recording "
        "is held out",
        section="8-bit integers",
        metavar="STORE_OR_BAG",
    )
    calibration_frames: int | None = option(
        None,
        "Frames to calibrate with, spread evenly over all recordings (usually "
        f"{CALIBRATION_FRAMES})",
        section="8-bit integers",
        metavar="N",
    )
    preset: Literal["performance", "mixed"] | None = option(
        None,
        "Zero of the activations in the middle of their range (performance, the usual), or "
        "anywhere (mixed)",
        section="8-bit integers",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.show == (self.output is not None):
            raise OptionError("give either OUTPUT, the name of what to write, or --show")
        _ = self.batch_size
        if not self.int8:
            for name in ("calibrate", "calibration_frames", "preset"):
                if getattr(self, name) not in (None, ()):
                    raise OptionError(
                        f"{flag(name)} has no meaning without --int8; give both or none"
                    )

    @property
    def batch_size(self) -> int:
        """The batch size; 0 stands for any.

        Raises
        ------
        OptionError
            If `batch` is something else.
        """
        if self.batch == "dynamic":
            return 0
        if not self.batch.isdecimal() or int(self.batch) < 1:
            raise OptionError(
                f"--batch is '{self.batch}'; give a number of at least 1, or 'dynamic'"
            )
        return int(self.batch)
