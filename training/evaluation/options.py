# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation is of, and how depth is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monodepth2_ros.option_fields import OptionError, check_options, flag, option, shared_option


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of ``depth_evaluate``.

    Raises
    ------
    OptionError
        If a value is outside its limits, or two contradict each other.
    """

    checkpoint: str | None = shared_option("checkpoint", None, positional=True)
    compare: tuple[str, str] | None = option(
        None, "Two models next to each other, instead of CHECKPOINT", metavar=("A", "B")
    )
    quiet: bool = shared_option("quiet", False)

    data: tuple[Path, ...] = shared_option(
        "data",
        (),
        "recordings are extracted to temporary ones",
        section="what to compare with",
        metavar="STORE_OR_BAG",
    )
    kitti_raw: Path | None = shared_option(
        "kitti_raw", None, section="what to compare with", metavar="DIR"
    )
    kitti_split: Path | None = shared_option(
        "kitti_split", None, section="what to compare with", metavar="FILE"
    )
    split: Literal["all", "train", "validation"] = option(
        "all",
        "Compare all frames, those that depth_train learns from, or those that it holds out",
        section="what to compare with",
    )
    validation_fraction: float | None = shared_option(
        "validation_fraction",
        None,
        "usually what the checkpoint says",
        section="what to compare with",
        metavar="F",
        least=0,
        most=0.9,
    )
    stretch: str = option(
        "0:1",
        "Part of each recording, as two fractions; 0.8:1 is the last fifth",
        section="what to compare with",
        metavar="A:B",
    )

    sparse_truth: bool = option(
        False,
        "Compare with the depth of image corners, triangulated from the recording itself, instead "
        "of recorded depth; for recordings without ground truth. It has no unit, so each frame is "
        "scaled by the ratio of the medians",
        section="what to compare with",
    )

    scaling: Literal["median", "metric", "live", "none"] | None = option(
        None,
        "median: scale each frame by the ratio of the medians; metric: take predictions for "
        "metres; live: find the factor to metres from the recorded poses, as the node does while "
        "it runs; none: take the network's own unit for metres (usually metric if the model is)",
        section="how to compare",
    )
    garg_crop: bool = option(
        False,
        "Compare only the part of the image that KITTI's Eigen split compares",
        section="how to compare",
    )
    cap: float = option(
        80.0,
        "Farthest ground truth that counts; predictions are clipped to it",
        section="how to compare",
        metavar="METRES",
        above=0,
    )
    min_truth: float = option(
        1e-3,
        "Nearest ground truth that counts; predictions are clipped to it",
        section="how to compare",
        metavar="METRES",
        above=0,
    )
    flip: bool = option(
        False,
        "Average with the prediction from the mirrored image (flip post-processing)",
        section="how to compare",
    )
    ego_motion: bool = option(
        False,
        "Also compare the pose network's motion with recorded poses, in snippets of 5 frames",
        section="how to compare",
    )
    temporal: bool = option(
        False,
        "Also measure how steady the depth is, recording by recording: flicker between "
        "neighbouring frames, drift of the scale, holes; part of it needs no ground truth",
        section="how to compare",
    )

    backend: Literal["auto", "torch", "openvino"] | None = option(
        None,
        "Engine that runs the depth network, as in the node; auto: the fastest (usually torch, and "
        "openvino for OpenVINO IR)",
        section="running",
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = shared_option(
        "precision", "fp32", "those of the depth network, as in the node", section="running"
    )
    device: str = shared_option("device", "auto", section="running")
    batch_size: int = shared_option("batch_size", 8, section="running", metavar="N", least=1)

    json: Path | None = shared_option("json", None, section="output", metavar="FILE.json")
    report: Path | None = option(
        None, "Write a page with charts and pictures", section="output", metavar="FILE.html"
    )
    picture: Path | None = shared_option(
        "picture",
        None,
        "frames from the best to the worst",
        section="output",
        metavar="FILE.png",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if (self.checkpoint is None) == (self.compare is None):
            raise OptionError(
                "give one CHECKPOINT (before --data), or two with --compare A B, not both"
            )
        if bool(self.data) == (self.kitti_raw is not None):
            raise OptionError(
                "give --data STORE or BAG, or --kitti-raw DIR with --kitti-split FILE, not both"
            )
        if (self.kitti_raw is None) != (self.kitti_split is None):
            raise OptionError("--kitti-raw DIR and --kitti-split FILE belong together; give both")
        if self.sparse_truth and self.scaling not in (None, "median"):
            raise OptionError(
                f"--sparse-truth has no unit, but --scaling is {self.scaling}; give median"
            )
        if self.min_truth >= self.cap:
            raise OptionError(
                f"--min-truth is {self.min_truth:g} and --cap {self.cap:g}; give "
                "0 < min-truth < cap, in metres"
            )
        for name in ("json", "report", "picture"):
            path = getattr(self, name)
            if path is not None and not path.absolute().parent.is_dir():
                raise OptionError(
                    f"{flag(name)} {path}: the folder {path.absolute().parent} does not exist; "
                    "make it"
                )
        _ = self.stretch_fractions

    @property
    def models(self) -> tuple[str, ...]:
        """The models to evaluate, one or two."""
        return self.compare or (self.checkpoint or "",)

    @property
    def stretch_fractions(self) -> tuple[float, float]:
        """First and last fraction of each recording.

        Raises
        ------
        OptionError
            If `stretch` is something else.
        """
        try:
            first, last = (float(part) for part in self.stretch.split(":"))
        except ValueError:
            first = last = float("nan")
        if not 0.0 <= first < last <= 1.0:
            raise OptionError(
                f"--stretch is '{self.stretch}': give two fractions A:B with 0 <= A < B <= 1, "
                "0.8:1 for the last fifth"
            )
        return first, last
