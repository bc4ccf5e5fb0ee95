# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every option of ``depth_train``: type, default, limits and meaning, in one table."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Literal

from monodepth2_ros.option_fields import OptionError as OptionError
from monodepth2_ros.option_fields import check_options, option
from monodepth2_ros.option_fields import flag as flag

#: Kinds of `pose` without a network: motion is solved from the images.
SOLVED = ("flow", "tracks")

#: Kinds of `pose` that have no network.
WITHOUT_NETWORK = (*SOLVED, "recorded")


#: File of a run's folder with its options, recipe applied.
OPTIONS_FILE = "options.yaml"


def _option(
    default: Any,
    section: str,
    description: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """Describe one option; see :func:`monodepth2_ros.option_fields.option`."""
    return option(default, description, section=section, least=least, above=above, most=most)


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training run; config/train.yaml says the same with more words.

    Values of None are decided by the recipe (:func:`training.learning.recipe.apply_recipe`).

    Raises
    ------
    OptionError
        If a value is outside its limits.
    """

    data: tuple[str, ...] = _option((), "data", "Frame stores of depth_extract.")
    keep_data: tuple[str, ...] = _option(
        (),
        "data",
        "Frame stores of images that are held near what --checkpoint predicts and teach nothing "
        "else: photographs of places that must not be forgotten. A store that is named twice is "
        "drawn from twice as often.",
    )
    sources: tuple[int, ...] = _option(
        (-1, 1), "data", "Neighbours of a frame that it is compared with, in units of the spacing."
    )
    spacing: int = _option(
        0, "data", "Frames from one neighbour to the next; 0 takes what extraction chose.", least=0
    )
    width: int = _option(
        0,
        "data",
        "Image width in pixels, a multiple of 32, to which stored images are shrunk in "
        "proportion; 0 takes them as they are or, with a budget, at the largest size at which "
        "enough steps fit.",
        least=0,
    )
    stereo: Literal["none", "add", "only"] = _option(
        "none", "data", "Use the stereo partner: not, as one more source, or as the only one."
    )
    truth: Literal["none", "add", "instead"] = _option(
        "none",
        "data",
        "Learn from ground truth where there is some: not, as well as from the neighbours, or "
        "instead of them.",
    )
    truth_weight: float = _option(1.0, "data", "Weight of the error against ground truth.", above=0)
    validation_fraction: float = _option(
        0.1, "data", "Share of each recording, at its end, that is held out.", least=0, most=0.9
    )
    validation_samples: int = _option(
        200, "data", "At most this many held-out samples are evaluated.", least=1
    )
    verify: Literal["background", "first", "none"] = _option(
        "background",
        "data",
        "Compare the checksums of the frame stores: while training, before its first step, or not.",
    )

    num_layers: Literal[18, 34, 50, 101, 152] = _option(
        18, "networks", "Depth of the ResNet that encodes the image."
    )
    pose: Literal["auto", "separate", "posecnn", "shared", "flow", "tracks", "recorded", "none"] = (
        _option(
            "auto",
            "networks",
            "Motion from tracked corners (tracks), from a ResNet of its own (separate), a small "
            "network (posecnn) or the depth encoder (shared), or solved from flow and depth "
            "(flow), or from recorded poses (recorded), for depth in metres; auto takes these "
            "where the check-up of depth_extract says that they agree with the images.",
        )
    )
    pose_layers: Literal[18, 34, 50, 101, 152] = _option(
        18, "networks", "Depth of the ResNet for motion (pose separate)."
    )
    init: str = _option(
        "imagenet", "networks", "Weights the ResNets start from: imagenet, none, or a file."
    )
    checkpoint: str = _option(
        "",
        "networks",
        "Depth model: a file, a folder of the published layout, or 'default' for the shipped one; "
        "training starts from it.",
    )
    decoder: Literal["auto", "keep", "fresh"] = _option(
        "auto",
        "networks",
        "Depth decoder of a checkpoint: keep its weights or begin with fresh ones; auto is fresh "
        "for a place that the checkpoint hardly knows, in 300 steps or more with known motion.",
    )
    predictive_mask: bool = _option(
        False, "networks", "Predict a mask for each source, in place of auto-masking."
    )
    min_depth: float = _option(0.1, "networks", "Nearest depth that can be predicted.", above=0)
    max_depth: float = _option(100.0, "networks", "Farthest depth that can be predicted.", above=0)
    initial_depth: float | None = _option(
        None, "networks", "Depth that training starts from; 0 leaves it to chance.", least=0
    )
    difference_filters: bool | None = _option(
        None,
        "networks",
        "Start half of the motion network's first filters as differences of the two frames.",
    )
    freeze_batch_norm: bool = _option(
        False, "networks", "Keep the statistics of batch normalisation as they are."
    )

    minimum_reprojection: bool = _option(
        True, "objective", "Take each pixel's error from its best source, not their mean."
    )
    automask: bool = _option(
        True, "objective", "Leave out pixels that an unmoved camera explains better."
    )
    full_resolution: bool = _option(
        True, "objective", "Judge the disparities of all scales at full resolution."
    )
    use_ssim: bool = _option(True, "objective", "Compare structure (SSIM) as well as colours.")
    smoothness_weight: float = _option(
        1e-3, "objective", "Weight of smooth disparity away from image edges.", least=0
    )
    velocity_weight: float = _option(
        0.0,
        "objective",
        "Weight of the error of the motion network's lengths against recorded poses, for depth in "
        "metres where odometry knows distances well and rotation poorly; 0 takes no lengths.",
        least=0,
    )
    sparse_weight: float = _option(
        0.3,
        "objective",
        "Weight of the error against the triangulated depth of corners (pose tracks).",
        least=0,
    )
    keep_weight: float = _option(
        0.0,
        "objective",
        "Weight of staying near the depth that --checkpoint predicts, up to a factor for each "
        "image, where a run forgets it (0.05 where sky or bare walls come near).",
        least=0,
    )
    change_weight: float = _option(
        0.3,
        "objective",
        "Weight of changing the depth that --checkpoint predicts evenly, where no triangulated "
        "corner is near; with --pose tracks or recorded, unless its decoder is replaced.",
        least=0,
    )
    far_weight: float = _option(
        0.05,
        "objective",
        "Weight of what --checkpoint sees far, sky for example, staying far where motion needs no "
        "network; nothing is held where it sees nothing far.",
        least=0,
    )
    keep_images: int = _option(
        4,
        "objective",
        "Images of --keep-data in a step, in addition to its samples, over all processes.",
        least=1,
    )
    tie_break: float = _option(
        1e-5, "objective", "Noise that decides between equal errors.", least=0
    )

    mirror_probability: float = _option(
        0.5, "augmentation", "Share of samples that are mirrored.", least=0, most=1
    )
    jitter_probability: float = _option(
        0.5, "augmentation", "Share of samples whose colours are changed.", least=0, most=1
    )

    turn_degrees: float = _option(
        0.0,
        "augmentation",
        "Largest random rotation of samples that learn from ground truth alone, in degrees.",
        least=0,
        most=180,
    )
    zoom: float = _option(
        1.0, "augmentation", "Largest random zoom of these samples.", least=1, most=4
    )

    recipe: Literal["auto", "published", "small"] = _option(
        "auto", "optimisation", "Decides the options below that are null."
    )
    batch_size: int = _option(
        12,
        "optimisation",
        "Images or samples computed together; in a step, over all processes.",
        least=1,
    )
    epochs: int | None = _option(None, "optimisation", "Passes over the data.", least=1)
    steps: int | None = _option(None, "optimisation", "Steps, in place of epochs.", least=1)
    budget: str = _option(
        "",
        "optimisation",
        "Time that training may take on this machine, such as 45min; it decides the image size and "
        "the steps.",
    )
    learning_rate: float | None = _option(None, "optimisation", "Adam's step size.", above=0)
    drop_after: float = _option(
        0.75, "optimisation", "Share of the steps after which the rate is divided by 10.", least=0
    )
    warmup_steps: int | None = _option(
        None, "optimisation", "Steps over which the rate grows from 0.", least=0
    )
    clip_norm: float | None = _option(
        None, "optimisation", "Maximum gradient norm (clipping); 0 disables it.", least=0
    )
    motion_steps: int | None = _option(
        None,
        "optimisation",
        "Steps at the start in which motion alone is learned, at constant depth.",
        least=0,
    )
    coarse_steps: int | None = _option(
        None,
        "optimisation",
        "Steps at the start without auto-mask, with each scale at its own resolution.",
        least=0,
    )

    device: str = _option("auto", "running", "Where to compute: auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "fp32", "bf16"] = _option(
        "auto",
        "running",
        "Arithmetic of the convolutions; auto is bf16 on GPUs that have it, and on a CPU what is "
        "measured to be faster, once for a size of images.",
    )
    channels_last: Literal["auto", "yes", "no"] = _option(
        "auto",
        "running",
        "Memory layout; auto is yes on GPUs, and on a CPU what is measured to be faster, once for "
        "a size of images.",
    )
    compile: bool = _option(False, "running", "Compile networks, and on a GPU the rest of a step.")
    loader_threads: int = _option(2, "running", "Threads that load images.", least=1)
    seed: int = _option(
        0, "running", "Seed of all random choices; weights, order, augmentation and noise.", least=0
    )

    out: str = _option("runs/depth", "output", "What to write; folder of the run, must be new.")
    best_by: Literal["auto", "loss", "abs_rel", "sparse"] = _option(
        "auto",
        "output",
        "What best.safetensors is best at: abs_rel against ground truth, against triangulated "
        "depth (sparse), or the loss; auto is the first of these that the held-out part allows.",
    )
    validate_every: int = _option(
        100, "output", "Validate after an epoch, but not before this many steps.", least=1
    )
    save_every: int = _option(
        1000, "output", "Steps between saves; every validation saves as well.", least=1
    )
    keep_every: int = _option(
        0, "output", "Epochs between checkpoints that are kept for good; 0 keeps none.", least=0
    )
    log_every: int = _option(20, "output", "Steps between log entries.", least=1)
    tensorboard: bool = _option(True, "output", "Write curves and pictures for TensorBoard.")

    def __post_init__(self) -> None:
        check_options(self)
        if self.min_depth >= self.max_depth:
            raise OptionError(
                f"--min-depth is {self.min_depth} and --max-depth {self.max_depth}; the first "
                "must be smaller"
            )
        if self.initial_depth and not self.min_depth < self.initial_depth < self.max_depth:
            raise OptionError(
                f"--initial-depth is {self.initial_depth}; give a depth between {self.min_depth} "
                f"and {self.max_depth}, or 0"
            )
        if self.motion_steps and self.stereo == "only":
            raise OptionError(
                f"--motion-steps is {self.motion_steps}, but --stereo only has no motion to learn; "
                "give 0"
            )
        if self.pose in WITHOUT_NETWORK and (self.stereo != "none" or self.motion_steps):
            raise OptionError(
                f"--pose {self.pose} goes neither with --stereo ({self.stereo}) nor with "
                f"--motion-steps ({self.motion_steps}); choose --pose separate"
            )
        if self.velocity_weight and (self.pose in WITHOUT_NETWORK or self.stereo != "none"):
            raise OptionError(
                f"--velocity-weight {self.velocity_weight:g} needs a motion network and no stereo, "
                f"but --pose is {self.pose} and --stereo {self.stereo}; choose --pose separate"
            )
        if self.keep_data and not (self.keep_weight and self.checkpoint):
            raise OptionError(
                f"--keep-data holds images near what --checkpoint predicts, but --keep-weight is "
                f"{self.keep_weight:g} and --checkpoint '{self.checkpoint}'; give both"
            )
        if self.pose == "none" and self.stereo != "only":
            raise OptionError("--pose none needs --stereo only; choose another, auto for example")
        if self.budget and self.steps is not None:
            raise OptionError(
                f"--budget is {self.budget} and --steps {self.steps}; give one of them"
            )
        if self.decoder == "fresh" and not self.checkpoint:
            raise OptionError(
                "--decoder fresh keeps the encoder of a checkpoint, and none is given; add "
                "--checkpoint, or leave it out: without one all of the decoder is new"
            )
        if self.decoder == "fresh" and self.keep_weight:
            raise OptionError(
                f"--keep-weight is {self.keep_weight:g}, but --decoder fresh keeps nothing of the "
                "depth that training begins with; give one of them"
            )
        named = self.checkpoint not in ("", "default")
        if named and not os.path.exists(os.path.expanduser(self.checkpoint)):
            raise OptionError(
                f"--checkpoint {self.checkpoint} does not exist; give a file, a folder with "
                "encoder.pth and depth.pth, or 'default' for the model that the package ships"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the options as plain data, for YAML and JSON."""
        return dataclasses.asdict(self)
