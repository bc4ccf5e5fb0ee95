# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a batch as loaded to the objective: augmentation, networks, loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from monodepth2_ros.backends import has_fast_bfloat16
from monodepth2_ros.checkpoint import open_checkpoint
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.preprocessing import to_network_input
from training.learning.augmentation import (
    Draws,
    is_turned,
    jitter_colors,
    mirror_samples,
    mirror_truth,
    turn_and_zoom,
)
from training.learning.dataset import Batch
from training.learning.depth_and_motion import (
    DepthAndMotion,
    PoseKind,
    Predictions,
    initial_disparity,
    load_initial_trunk,
    set_difference_filters,
    set_initial_depth,
)
from training.learning.flow import mirror_flow
from training.learning.motion_from_flow import solve_motion
from training.learning.motion_from_tracks import (
    TrackedMotion,
    factor_loss,
    factors_of_samples,
    sparse_loss,
)
from training.learning.options import SOLVED, OptionError, TrainOptions
from training.learning.recorded_motion import length_loss
from training.learning.teacher import (
    Teacher,
    away_from_corners,
    change_loss,
    far_loss,
    keeping_loss,
)
from training.learning.truth_loss import truth_loss
from training.objective import ObjectiveOutput, SelfSupervisedObjective, nothing_judged

#: Weight of the term that keeps the scale of depth where training began.
ANCHOR_WEIGHT = 0.1

#: Weight of the term that makes depth metric where recorded poses give the lengths of motions.
FACTOR_WEIGHT = 0.1


@dataclass(frozen=True)
class TrainingViews:
    """A batch on its device, ready to be learned from.

    Attributes
    ----------
    images : Tensor, shape (B, F, 3, H, W)
        What is compared: target, neighbours, stereo partner; RGB in [0, 1].
    inputs : Tensor, shape (B, F, 3, H, W)
        What the networks see: the same with other colours.
    intrinsics : Tensor, shape (B, 4, 4)
    baselines : Tensor, shape (B,)
    flow : Tensor, shape (N, F - 1, 3, h, w), or None
    truth : Tensor, shape (B, H, W), or None
    self_supervised : int or None
    tracked : TrackedMotion or None
    kept : int
        See :class:`training.learning.dataset.Batch`.
    """

    images: Tensor
    inputs: Tensor
    intrinsics: Tensor
    baselines: Tensor
    flow: Tensor | None = None
    truth: Tensor | None = None
    self_supervised: int | None = None
    tracked: TrackedMotion | None = None
    kept: int = 0


def prepare(batch: Batch, draws: Draws | None = None, compiled: bool = False) -> TrainingViews:
    """Turn a loaded batch into views.

    Parameters
    ----------
    batch : Batch
        On the device.
    draws : Draws, optional
        Augments; without it nothing is changed. On the CPU.
    compiled : bool
        Compile the changes of colour.
    """
    images = to_network_input(batch.images)
    intrinsics, baselines = batch.intrinsics, batch.baselines
    flow = None if batch.flow is None else batch.flow.float()
    truth, count = batch.truth, batch.self_supervised
    if draws is None:
        return TrainingViews(
            images, images, intrinsics, baselines, flow, truth, count, batch.tracked, batch.kept
        )
    turns = truth is not None and is_turned(draws)
    draws = draws.to(images.device)
    images, intrinsics, baselines = mirror_samples(images, intrinsics, baselines, draws.mirror)
    flow = None if flow is None else mirror_flow(flow, draws.mirror[:count])
    tracked = batch.tracked
    if tracked is not None:
        tracked = tracked.mirrored(draws.mirror[:count], images.shape[-1])
    truth = None if truth is None else mirror_truth(truth, draws.mirror)
    if truth is not None and turns and count is not None and count < len(images):
        # Those that learn from truth alone; between frames, motion would have to turn, too.
        last = slice(count, None)
        part = turn_and_zoom(images[last], truth[last], draws.turn[last], draws.zoom[last])
        images = torch.cat([images[:count], part[0]])
        truth = torch.cat([truth[:count], part[1]])
    inputs = jitter_colors(images, draws, compiled)
    return TrainingViews(
        images, inputs, intrinsics, baselines, flow, truth, count, tracked, batch.kept
    )


@dataclass(frozen=True)
class Learner:
    """The networks with the objective that they are judged by.

    Attributes
    ----------
    model : Module
        A :class:`DepthAndMotion`, perhaps compiled or wrapped for data-parallel training.
    objective : SelfSupervisedObjective
    precedes : tuple of bool
        For each neighbour in time, whether it is older than the target.
    stereo : bool
        Whether the last source is the stereo partner.
    bfloat16 : bool
        Run the convolutions in bfloat16.
    channels_last : bool
        Memory layout of the networks' inputs.
    constant : float or None
        Sigmoid disparity to take in place of a predicted one.
    anchor : float or None
        Geometric mean of the inverse depth that training is drawn to. Motion that is solved for any
        depth leaves nothing to hold the scale, and a scale that drifts ends at the limits of the
        range.
    truth_weight : float
        Weight of :func:`training.learning.truth_loss.truth_loss`, where views come with truth.
    sparse_weight : float
        Weight of the error against triangulated depth
        (:func:`training.learning.motion_from_tracks.sparse_loss`).
    in_metres : bool
        Whether tracked motion is in metres, and predicted depth is to be, too.
    velocity_weight : float
        Not 0: motion is predicted, and the views' tracked motion, which is recorded, gives its
        lengths (:func:`training.learning.recorded_motion.length_loss`).
    teacher : Teacher or None
        The model that training began with; while training, depth is held near what it predicts.
    keep_weight : float
        Weight of :func:`training.learning.teacher.keeping_loss`.
    far_weight : float
        Weight of :func:`training.learning.teacher.far_loss`.
    change_weight : float
        Weight of :func:`training.learning.teacher.change_loss`, of samples with tracked motion.
    """

    model: nn.Module
    objective: SelfSupervisedObjective
    precedes: tuple[bool, ...]
    stereo: bool = False
    bfloat16: bool = False
    channels_last: bool = False
    constant: float | None = None
    anchor: float | None = None
    truth_weight: float = 1.0
    sparse_weight: float = 0.0
    in_metres: bool = False
    velocity_weight: float = 0.0
    teacher: Teacher | None = None
    keep_weight: float = 0.0
    far_weight: float = 0.0
    change_weight: float = 0.0

    def at_step(self, options: TrainOptions, step: int) -> Learner:
        """Return the learner that trains at a step: at the start, an easier one.

        Motion must be found before depth can be. A motion network that knows nothing yet has the
        auto-mask hide the very pixels that would teach it, and at full resolution the error says
        nothing of motions longer than a few pixels.

        Parameters
        ----------
        options : TrainOptions
            With the recipe applied.
        step : int
            From 0.
        """
        assert options.coarse_steps is not None and options.motion_steps is not None
        learner = self
        if step < options.coarse_steps:
            objective = replace(self.objective, automask=False, full_resolution=False)
            learner = replace(learner, objective=objective)
        if step < options.motion_steps:
            disparity = initial_disparity(
                options.initial_depth or 0.0, options.min_depth, options.max_depth
            )
            learner = replace(learner, constant=disparity)
        return learner

    def evaluate(
        self,
        views: TrainingViews,
        generator: torch.Generator | None = None,
        keep_images: bool = False,
    ) -> tuple[Predictions, ObjectiveOutput]:
        """Predict, and judge the predictions.

        Parameters
        ----------
        views : TrainingViews
        generator : torch.Generator, optional
            Generator of the device; draws the noise that breaks ties.
        keep_images : bool
            Keep what the objective saw.
        """
        if self.objective.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        count = len(views.inputs) if views.self_supervised is None else views.self_supervised
        # Neighbours are seen by networks that predict motion alone.
        recorded = views.tracked if self.velocity_weight else None
        tracked = None if self.velocity_weight else views.tracked
        is_known = views.flow is not None or tracked is not None
        precedes = () if is_known or count == 0 else self.precedes
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        target, *neighbours = (
            frame.contiguous(memory_format=layout)
            for frame in views.inputs[:, : 1 + len(precedes)].unbind(dim=1)
        )
        with torch.autocast(views.inputs.device.type, torch.bfloat16, enabled=self.bfloat16):
            predictions = Predictions(*self.model(target, neighbours, precedes, self.constant))
        if views.flow is not None:
            disparity = predictions.disparities[0][:count]
            transforms = self._solve(disparity, views.flow, views.intrinsics[:count])
            predictions = predictions._replace(transforms=transforms)
        sparse = None
        if tracked is not None:
            disparity = predictions.disparities[0][:count]
            ratio = tracked.log_ratio(self._depth(disparity))
            weights = tracked.points[..., 3]
            length = factors_of_samples(ratio, weights)
            predictions = predictions._replace(transforms=tracked.lengthened(length.exp()))
            sparse = self.sparse_weight * sparse_loss(ratio, weights, length)
            if self.in_metres:
                sparse = sparse + FACTOR_WEIGHT * factor_loss(ratio, weights, length)
        if count > 0:
            output = self._judge_views(views, predictions, count, generator, keep_images)
        else:
            output = nothing_judged(predictions.disparities)
        if sparse is not None:
            output = replace(output, loss=output.loss + sparse)
        if recorded is not None and count > 0:
            transforms = [transform[:count] for transform in predictions.transforms]
            error = length_loss(transforms, recorded.transforms)
            output = replace(output, loss=output.loss + self.velocity_weight * error)
        disparity = predictions.disparities[0]
        if self.teacher is not None and self.model.training and count > 0:
            kept = self._keep(views, disparity, 0, count, tracked)
            output = replace(output, loss=output.loss + kept)
        learned = len(views.images) - views.kept
        if views.truth is not None and learned > 0:
            low, high = self.objective.min_depth, self.objective.max_depth
            scales = [scale[:learned] for scale in predictions.disparities]
            truth = truth_loss(scales, views.truth[:learned], low, high).mean()
            loss = count / learned * output.loss + self.truth_weight * truth
            output = replace(output, loss=loss, truth=truth.detach())
        if views.kept and self.model.training:
            kept = self._keep(views, disparity, learned, len(views.images))
            output = replace(output, loss=output.loss + kept)
        if self.anchor is not None and self.model.training:
            depth = self._depth(predictions.disparities[0])
            # Of the logarithm: a mean of inverse depth is held by making bare near ground nearer.
            drift = -torch.log(depth * self.anchor).mean()
            output = replace(output, loss=output.loss + ANCHOR_WEIGHT * drift.square())
        return predictions, output

    def _judge_views(
        self,
        views: TrainingViews,
        predictions: Predictions,
        count: int,
        generator: torch.Generator | None,
        keep_images: bool,
    ) -> ObjectiveOutput:
        """Judge the first `count` predictions by the views that they synthesise."""
        transforms = [transform[:count] for transform in predictions.transforms]
        if self.stereo:
            transforms.append(stereo_transform(views.baselines[:count]))
        target, *sources = views.images[:count].unbind(dim=1)
        masks = predictions.masks
        objective = self.objective
        if count < len(views.images):
            # How many is random: each number would be compiled again, minutes each time.
            objective = replace(objective, compiled=False)
        return objective(
            [disparity[:count] for disparity in predictions.disparities],
            target.contiguous(),
            [source.contiguous() for source in sources],
            views.intrinsics[:count],
            transforms,
            None if masks is None else [mask[:count] for mask in masks],
            generator,
            keep_images,
        )

    def _keep(
        self,
        views: TrainingViews,
        disparity: Tensor,
        first: int,
        last: int,
        tracked: TrackedMotion | None = None,
    ) -> Tensor:
        """Return the weighted loss that holds some samples near what the teacher predicts."""
        assert self.teacher is not None
        # It sees the colours as they are: what was changed is for those who learn.
        taught = self.teacher.depth(views.images[first:last, 0], self.bfloat16)
        depth = self._depth(disparity[first:last])
        kept = depth.new_zeros(())
        if self.keep_weight:
            kept = self.keep_weight * keeping_loss(depth, taught)
        if self.change_weight and tracked is not None:
            height, width = depth.shape[-2:]
            away = away_from_corners(tracked.points, height, width)
            kept = kept + self.change_weight * change_loss(depth, taught, away)
        if self.far_weight:
            kept = kept + self.far_weight * far_loss(depth, taught, self.teacher.metadata.max_depth)
        return kept

    def _depth(self, disparity: Tensor) -> Tensor:
        """Turn sigmoid disparity into depth, in float32."""
        low, high = self.objective.min_depth, self.objective.max_depth
        return disparity_to_depth(disparity.float(), low, high)

    @torch.no_grad()
    def _solve(self, disparity: Tensor, flow: Tensor, intrinsics: Tensor) -> list[Tensor]:
        """Solve the motion to each source from the flow to it and the depth."""
        cell = disparity.shape[-1] // flow.shape[-1]
        depth = self._depth(functional.avg_pool2d(disparity.float(), cell))[:, 0]
        with torch.autocast(disparity.device.type, enabled=False):
            return [
                solve_motion(depth, one[:, :2], intrinsics, cell, trusted=one[:, 2] > 0.5)[0]
                for one in flow.unbind(dim=1)
            ]


def stereo_transform(baselines: Tensor) -> Tensor:
    """Return the motion to the stereo partner.

    Parameters
    ----------
    baselines : Tensor, shape (B,)
        x coordinate of the partner in the camera's frame, metres.

    Returns
    -------
    Tensor, shape (B, 4, 4)
        Takes points of the camera's frame to the partner's.
    """
    transform = torch.eye(4, device=baselines.device).repeat(len(baselines), 1, 1)
    transform[:, 0, 3] = -baselines
    return transform


def has_wide_vectors() -> bool:
    """Whether this processor's convolutions are faster on channels-last tensors.

    oneDNN's are with AVX-512, where a vector holds 16 channels; with AVX2 the layout cost more
    elsewhere than it gained.
    """
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _has_fast_bfloat16(on_gpu: bool) -> bool:
    """Whether bfloat16 is what the device is fastest in."""
    if on_gpu:
        # Older GPUs emulate it, slowly.
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return has_fast_bfloat16()


def build_learner(options: TrainOptions, device: torch.device) -> tuple[DepthAndMotion, Learner]:
    """Make the networks, with random weights, and what goes with them.

    Parameters
    ----------
    options : TrainOptions
    device : torch.device
    """
    stereo = options.stereo != "none"
    offsets = () if options.stereo == "only" else options.sources
    pose = "none" if stereo and not offsets else options.pose
    if pose == "auto":
        raise ValueError("build_learner: pose is 'auto'; apply the recipe first")
    network: PoseKind = "none"
    if pose != "flow" and pose != "tracks" and pose != "recorded":
        network = pose
    model = DepthAndMotion(
        options.num_layers,
        options.pose_layers,
        network,
        (len(offsets) + stereo) if options.predictive_mask else 0,
        options.min_depth,
        options.max_depth,
    )
    on_gpu = device.type == "cuda"
    channels_last = options.channels_last == "yes" or (
        options.channels_last == "auto" and (on_gpu or has_wide_vectors())
    )
    bfloat16 = options.precision == "bf16" or (
        options.precision == "auto" and _has_fast_bfloat16(on_gpu)
    )
    objective = SelfSupervisedObjective(
        min_depth=options.min_depth,
        max_depth=options.max_depth,
        minimum_reprojection=options.minimum_reprojection,
        automask=options.automask,
        full_resolution=options.full_resolution,
        use_ssim=options.use_ssim,
        smoothness_weight=options.smoothness_weight,
        tie_break=options.tie_break,
        compiled=options.compile and on_gpu,  # on a CPU the pieces by hand are faster
    )
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    precedes = tuple(offset < 0 for offset in offsets)
    learner = Learner(model, objective, precedes, stereo, bfloat16, channels_last)
    learner = replace(learner, truth_weight=options.truth_weight)
    if pose == "tracks" or pose == "recorded":
        in_metres = pose == "recorded"
        learner = replace(learner, sparse_weight=options.sparse_weight, in_metres=in_metres)
    learner = replace(learner, velocity_weight=options.velocity_weight)
    # True depth holds the scale better.
    if options.pose in SOLVED and options.initial_depth and options.truth == "none":
        learner = replace(learner, anchor=1 / options.initial_depth)
    return model, learner


def load_initial_weights(model: DepthAndMotion, options: TrainOptions) -> list[str]:
    """Give the networks the weights that training starts from.

    Parameters
    ----------
    model : DepthAndMotion
        Changed in place.
    options : TrainOptions
        With the recipe applied.

    Returns
    -------
    list of str
        Networks that a given checkpoint has no weights for; they start like in a new model.

    Raises
    ------
    OptionError
        If the checkpoint is of another architecture or depth range.
    ValueError, FileNotFoundError
        If weights cannot be read; see
        :func:`training.learning.depth_and_motion.load_initial_trunk`.
    """
    checkpoint = open_checkpoint(options.checkpoint) if options.checkpoint else None
    missing = [name for name in model.networks() if checkpoint and name not in checkpoint.state]
    if checkpoint is None or "pose_encoder" in missing:
        load_initial_trunk(model, options.init)
        if options.difference_filters and options.pose == "separate":
            set_difference_filters(model.pose_encoder)
    if options.initial_depth:
        set_initial_depth(model.depth, options.initial_depth, options.min_depth, options.max_depth)
    if checkpoint is None:
        return []
    metadata = checkpoint.metadata
    for name, value in (
        ("num_layers", metadata.num_layers),
        ("min_depth", metadata.min_depth),
        ("max_depth", metadata.max_depth),
    ):
        if getattr(options, name) != value:
            raise OptionError(
                f"--checkpoint {options.checkpoint} has {name} {value}, the options have "
                f"{getattr(options, name)}; give --{name.replace('_', '-')} {value}"
            )
    for name, network in model.networks().items():
        if name in missing:
            continue
        own = network.state_dict()
        given = checkpoint.state[name]
        # The classifier is never used; files may leave it out.
        wrong = [
            key
            for key, value in own.items()
            if ".fc." not in key and (key not in given or given[key].shape != value.shape)
        ]
        if wrong:
            raise OptionError(
                f"--checkpoint {options.checkpoint}: its network '{name}' does not fit the "
                f"options ({wrong[0]} is missing or of another shape); check --pose and "
                "--pose-layers"
            )
        network.load_state_dict({key: given.get(key, value) for key, value in own.items()})
    return missing
