# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, validation, saving, stopping and resuming.

All randomness of a step is drawn from the seed and the step's number, so a run that was stopped
and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from monodepth2_ros.backends.kept_answers import KeptAnswers, user_cache
from monodepth2_ros.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
    open_checkpoint,
    save_checkpoint,
)
from monodepth2_ros.geometry import disparity_to_depth
from monodepth2_ros.preprocessing import to_network_input
from monodepth2_ros.training_camera import describe_cameras
from training.frames.recorded_poses import poses_agree
from training.frames.store import FrameStore
from training.frames.truth_check import truth_problem
from training.frames.verification import BackgroundVerification
from training.learning import run_state
from training.learning.affordable import affordable_size, averaged
from training.learning.arithmetic import (
    Arithmetic,
    arithmetic_of,
    find_choice,
    keep_choice,
    known_choice,
    open_choices,
    question,
    with_arithmetic,
)
from training.learning.augmentation import draw
from training.learning.baselines import measure_baselines
from training.learning.dataset import (
    Batch,
    DatasetError,
    Samples,
    epoch_order,
    find_samples,
    iterate_batches,
    on_device,
    split_samples,
)
from training.learning.depth_and_motion import Predictions, reset_decoder
from training.learning.flow import remember_flow
from training.learning.health import (
    Health,
    TrainingFailure,
    are_numbers,
    depth_spread,
    explain_not_finite,
    weights_are_finite,
)
from training.learning.interrupt import StopRequest
from training.learning.judgement import (
    Measure,
    RunOutcome,
    choose_measure,
    collapse,
    conclude,
    describe_entry,
    hardly_knows,
    is_beyond_judging,
    judged_otherwise,
    kept_entry,
)
from training.learning.kept_images import KeptImages, kept_images, with_kept
from training.learning.known_tracks import KnownTracks, default_folder
from training.learning.learner import (
    Learner,
    TrainingViews,
    build_learner,
    load_initial_weights,
    prepare,
)
from training.learning.logbook import Logbook, Meter
from training.learning.motion_from_tracks import MeasureTracks
from training.learning.optimizer import EagerAdam
from training.learning.options import SOLVED, WITHOUT_NETWORK, TrainOptions
from training.learning.processes import Processes
from training.learning.recipe import (
    DETERMINED,
    KNOWN_MOTION_RATE,
    apply_recipe,
    constant_depth_share,
    determined_share,
    learning_rate,
    may_solve_motion,
    starts_easily,
    with_decoder,
)
from training.learning.recorded_motion import remember_lengths, remember_recorded
from training.learning.run_state import RunState
from training.learning.size_choice import (
    SizeChoice,
    shrunk,
    size_of_width,
)
from training.learning.teacher import FAR_SHARE, Teacher, far_share, make_teacher
from training.learning.threads import ThreadChoice, take_idle_cores
from training.learning.timing import Duration, measure_duration, parse_duration
from training.learning.validation import (
    MOST_SPARSE,
    evenly,
    judge_at_size,
    measure_factor,
    validate,
)
from training.objective import ObjectiveOutput, compile_mode

# Streams of random numbers that must not be the same.
_AUGMENTATION, _TIE_BREAK = 1, 2

# Seconds between lines that tell how far triangulation has come.
_TOLD_EVERY = 15.0

# Networks of the model that a run began with, as far as they predict depth.
_TAUGHT = ("encoder", "depth")

# A run with fewer steps than this is not worth timing first.
_TIMED_STEPS = 50

# The factor of a checkpoint to metres is measured on so many samples that are learned from.
_MOST_FOR_FACTOR = 60

# ... and for fewer than this, it is not worth trying what the processor is fastest in. A few rows
# of a batch tell.
_COMPARED_STEPS = 500
_COMPARED_ROWS = 2


class Trainer:
    """A training run.

    Parameters
    ----------
    options : TrainOptions
    processes : Processes
        This process's place in the run.
    state : RunState, optional
        What to continue from.

    Attributes
    ----------
    options : TrainOptions
        With the recipe applied.
    training, validation : Samples
    thread_choice : ThreadChoice or None
        Where a busy machine made fewer threads faster.
    model : DepthAndMotion
        The networks themselves, not compiled or wrapped.
    state : RunState
        Its `networks` and `optimizer` are current in the saved file only.

    Raises
    ------
    DatasetError, OptionError, ValueError, OSError
        If the run cannot start; nothing was written then.
    """

    def __init__(
        self, options: TrainOptions, processes: Processes, state: RunState | None = None
    ) -> None:
        stores = [FrameStore.open(os.path.expanduser(path)) for path in options.data]
        self.thread_choice: ThreadChoice | None = None
        if state is not None and state.threads is not None and processes.device.type == "cpu":
            torch.set_num_threads(state.threads)
        elif options.budget and state is None:
            self.thread_choice = _choose_threads(processes)
        self.size_choice: SizeChoice | None = None
        if options.budget and not options.width and state is None:
            self.size_choice = affordable_size(options, stores, processes)
        if self.size_choice is not None:
            options = replace(options, width=self.size_choice.size[0])
        stores = _at_width(stores, options.width)
        samples = find_samples(
            stores, options.sources, options.stereo, options.spacing, options.truth
        )
        if options.truth != "none" and all(store.truth is None for store in stores):
            raise DatasetError(
                f"--truth is '{options.truth}', but no store holds ground truth; extract with "
                "--truth-topic TOPIC, or train with --truth none"
            )
        if options.truth != "none":
            for problem in filter(None, map(truth_problem, stores)):
                raise DatasetError(f"--truth is '{options.truth}', but {problem}")
        self.training, self.validation = split_samples(samples, options.validation_fraction)
        if len(self.training) < options.batch_size:
            raise DatasetError(
                f"{len(self.training)} samples to train on, {len(self.validation)} held out; a "
                f"step takes {options.batch_size}. Use a smaller --batch-size or record more"
            )
        measure = remember_flow(stores)
        # Stereo pairs are rectified, and their depth is metric: nothing is to be triangulated.
        self._measure_tracks = (
            KnownTracks(stores, default_folder()) if options.stereo == "none" else None
        )
        recorded = KnownTracks(stores, default_folder(), remember_recorded(stores), "recorded")
        flat = determined = 0.0
        if options.pose == "auto" and may_solve_motion(options, len(self.training)):
            options = self._with_recorded_poses(options, stores, recorded)
        if options.pose == "auto" and may_solve_motion(options, len(self.training)):
            determined = determined_share(
                replace(self.training, measure_tracks=self._measure_tracks)
            )
        if determined < DETERMINED:
            options = _like_checkpoint(options)
            is_open = options.pose == "auto" and starts_easily(options, len(self.training))
            if options.pose == "flow" or is_open:
                flat = constant_depth_share(replace(self.training, measure_flow=measure))
        budget = parse_duration(options.budget) if options.budget else None
        asked = options = replace(options, budget="")
        self.options = options = apply_recipe(options, len(self.training), flat, determined)
        if options.pose == "flow":
            self.training = replace(self.training, measure_flow=measure)
            self.validation = replace(self.validation, measure_flow=measure)
        self.constant_depth_share, self.determined_share = flat, determined
        self.processes = processes
        if options.pose == "tracks" or options.pose == "recorded":
            motion = recorded if options.pose == "recorded" else self._measure_tracks
            self.training = replace(self.training, measure_tracks=motion)
            self.validation = replace(self.validation, measure_tracks=motion)
            self.training = self._with_known_motion(self.training)
            if motion is not None and processes.is_first:
                motion.save()
        if options.velocity_weight:
            lengths = remember_lengths(stores)
            self.training = replace(self.training, measure_tracks=lengths)
            self.validation = replace(self.validation, measure_tracks=lengths)
            self.validation = self._with_known_motion(self.validation, fewest=0)
            self.training = self._with_known_motion(self.training)
        self.folder = Path(options.out).expanduser()
        self._rows = processes.share(options.batch_size)
        self._epoch_steps = len(self.training) // options.batch_size
        self._kept = None
        if options.keep_data:
            kept = [FrameStore.open(os.path.expanduser(path)) for path in options.keep_data]
            kept = _at_width(kept, options.width)
            self._kept = kept_images(kept, options.keep_images, stores[0])
        fingerprint = {
            "samples": len(self.training),
            "batch_size": options.batch_size,
            "seed": options.seed,
        }
        if state is None and not budget and self.total_steps >= _TIMED_STEPS:
            self.thread_choice = _choose_threads(processes)
        torch.manual_seed(options.seed)
        self.model, self.learner = build_learner(options, processes.device)
        if state is None:
            load_initial_weights(self.model, options)
        else:
            if state.fingerprint != fingerprint:
                raise run_state.RunError(
                    f"--resume: the run had {state.fingerprint}, now it is {fingerprint}; the "
                    "order of the samples would change. Restore the data and options, or start "
                    "again from its last.safetensors with --checkpoint"
                )
            if judged_otherwise(state.history):
                raise run_state.RunError(
                    "--resume: this run was judged by triangulated corners in the way of an older "
                    "version, whose figures do not compare with this one's. Finish it with that "
                    "version, or start again from its last.safetensors with --checkpoint"
                )
            _load(self.model.load_state_dict, state.networks, "networks")
        self._start = self._remembered_start(state)
        if self._may_hold(state):
            self.learner = replace(
                self.learner, teacher=self._start, keep_weight=options.keep_weight
            )
        self.learner = self._with_fastest_arithmetic(state)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = EagerAdam(parameters, lr=1e-4, fused=True)
        if state is not None:
            _load(self.optimizer.load_state_dict, state.optimizer, "optimizer")
        self.state = replace(state or RunState(fingerprint=fingerprint), networks={}, optimizer={})
        self.state.bfloat16 = self.learner.bfloat16
        self.state.channels_last = self.learner.channels_last
        self._keep_far()
        self._change_evenly()
        if self.thread_choice is not None:
            self.state.threads = self.thread_choice.threads
        if options.pose in SOLVED and options.checkpoint and options.truth == "none":
            # Drawn to the depth the checkpoint began with, not to a depth from an option.
            if self.state.anchor is None:
                self.state.anchor = self._mean_inverse_depth()
            self.learner = replace(self.learner, anchor=self.state.anchor)
        self.duration: Duration | None = None
        self.has_budget = False
        if state is None and (budget or self.total_steps >= _TIMED_STEPS):
            self.duration = self._measure_duration()
        if budget is not None and state is None:
            self.options = self._within(budget, asked, flat, determined)
        self.learner = replace(self.learner, model=self._wrapped(self.model))
        self._health = Health(self.state.constant, self.state.standing)
        self._stop = StopRequest()
        self._logbook = Logbook(None)
        self._meter = Meter(options.batch_size)
        self._meter.restore(self.state.meter, processes)
        self._recent_loss = self.state.recent_loss
        self._unsaved_best: tuple[int, float, tuple[int, int] | None] | None = None
        self._told = time.monotonic()

    def _remembered_start(self, state: RunState | None) -> Teacher | None:
        """Return the trained model that the run began with, where something asks for it."""
        options = self.options
        if not options.checkpoint or not (self._may_hold(state) or self._is_compared_at_corners()):
            return None
        path = self.folder / run_state.START_FILE
        is_saved = state is not None and path.exists()
        try:
            start = load_checkpoint(path) if is_saved else open_checkpoint(options.checkpoint)
        except (OSError, ValueError):
            # A run of an older version kept no start, unless it was held near it.
            if self._may_hold(state):
                raise
            return None
        teacher = make_teacher(self.model, start.metadata)
        if state is not None:
            for name in _TAUGHT:
                taught = teacher.model.get_submodule(name)
                _load(taught.load_state_dict, start.state[name], path.name)
        return teacher

    def _is_compared_at_corners(self) -> bool:
        """Whether what was held out can only be judged by corners, or is asked to be."""
        if self._measure_tracks is None or not len(self.validation):
            return False
        held_out = self._held_out().tolist()
        has_truth = any(self.validation.truth(sample) is not None for sample in held_out)
        by_corners = self.options.best_by == "auto" and not has_truth
        return by_corners or self.options.best_by == "sparse"

    def _held_out(self) -> NDArray[np.int64]:
        """Name the held-out samples that are evaluated."""
        return evenly(len(self.validation), self.options.validation_samples)

    def _may_hold(self, state: RunState | None) -> bool:
        """Whether depth is held near the start, or the start has to be asked if it sees far."""
        if not self.options.checkpoint:
            return False
        if self.options.keep_weight or self._may_change_evenly(state):
            return True
        if state is not None and (state.step > 0 or state.keeps_far is not None):
            return self._keeps_far(state)
        is_fresh = self.options.decoder == "fresh"
        is_alone = self.options.pose in WITHOUT_NETWORK and self.options.truth == "none"
        return bool(self.options.far_weight) and (is_alone or is_fresh)

    def _keep_far(self) -> None:
        """Decide, before the first step, whether sky is held far, and do as was decided."""
        if self.state.keeps_far is None:
            is_new = self.state.step == 0
            self.state.keeps_far = self._sees_far() if is_new else self._keeps_far(self.state)
        if self.state.keeps_far:
            self.learner = replace(self.learner, far_weight=self.options.far_weight)
        elif not self.options.keep_weight:
            self.learner = replace(self.learner, teacher=None)
            if not self._may_change_evenly(self.state) and not self._is_compared_at_corners():
                self._start = None

    def _may_change_evenly(self, state: RunState | None) -> bool:
        """Whether depth changes evenly from the start's, unless its decoder turns out unfit."""
        options = self.options
        if state is not None and (state.step > 0 or state.changes_evenly is not None):
            return bool(state.changes_evenly)
        is_known = options.pose == "tracks" or options.pose == "recorded"
        keeps = options.decoder != "fresh" and options.truth == "none"
        return bool(options.checkpoint and options.change_weight) and is_known and keeps

    def _change_evenly(self) -> None:
        """Decide whether depth changes evenly from the start's, and do as was decided."""
        evenly = self._may_change_evenly(self.state) and not self.state.fresh_decoder
        self.state.changes_evenly = evenly
        if evenly:
            self.learner = replace(
                self.learner, teacher=self._start, change_weight=self.options.change_weight
            )
        elif self.learner.change_weight:
            self.learner = replace(self.learner, change_weight=0.0)
            if not self.learner.far_weight and not self.learner.keep_weight:
                self.learner = replace(self.learner, teacher=None)

    def _keeps_far(self, state: RunState) -> bool:
        """Whether a run that has begun holds sky far; before it was kept, new decoders did."""
        if state.keeps_far is not None:
            return state.keeps_far
        return state.fresh_decoder or self.options.decoder == "fresh"

    def _sees_far(self) -> bool:
        """Whether the start sees anything far in what is learned from."""
        teacher = self.learner.teacher
        if teacher is None or self.options.keep_weight:
            return False
        far = [
            far_share(teacher.depth(image, self.learner.bfloat16), teacher.metadata.max_depth)
            for image in self._some_images()
        ]
        return sum(far) / len(far) >= FAR_SHARE

    def _save_start(self) -> None:
        """Keep the model that the run began with: resuming needs it, wherever it came from."""
        path = self.folder / run_state.START_FILE
        teacher = self._start
        if teacher is None or path.exists():
            return
        networks = {name: teacher.model.get_submodule(name) for name in _TAUGHT}
        save_checkpoint(path, teacher.metadata, networks)

    def _with_fastest_arithmetic(self, state: RunState | None) -> Learner:
        """Return the learner as it computes fastest on this CPU, or as the run has begun.

        A run of few steps is not worth trying; it computes as the processor's flags suggest.
        """
        learner, options, processes = self.learner, self.options, self.processes
        default = arithmetic_of(learner)
        if state is not None:
            if state.bfloat16 is None or state.channels_last is None:
                return learner
            return with_arithmetic(learner, Arithmetic(state.bfloat16, state.channels_last))
        if processes.device.type != "cpu" or self.total_steps < _COMPARED_STEPS:
            return learner
        choices = open_choices(options, default)
        answers = KeptAnswers(user_cache() / "training.json")
        asked = question(options, self.training.width, self.training.height)

        def find_known() -> bytes:
            known = known_choice(choices, answers, asked)
            return b"" if known is None else str(known).encode()

        name = processes.share_bytes(find_known).decode()
        chosen = next((one for one in choices if str(one) == name), None)
        if chosen is None:
            start = processes.share(options.batch_size).start
            rows = slice(start, start + min(_COMPARED_ROWS, options.batch_size // processes.count))

            def step(tried: Learner) -> float:
                return measure_duration(tried, options, self.training, rows, 0).step

            def average(seconds: float) -> float:
                return averaged(Duration(seconds, 0.0), processes).step

            chosen, seconds = find_choice(choices, learner, step, average)
            if processes.is_first:
                keep_choice(chosen, seconds, choices, answers, asked)
        return with_arithmetic(learner, chosen)

    def _measure_duration(self) -> Duration:
        """Time a step."""
        held_out = min(len(self.validation), self.options.validation_samples)
        held_out = math.ceil(held_out / self.processes.count)
        own = measure_duration(self.learner, self.options, self.training, self._rows, held_out)
        return averaged(own, self.processes)

    def _within(
        self, budget: float, asked: TrainOptions, flat: float, determined: float
    ) -> TrainOptions:
        """Apply the recipe with as many steps as a budget allows, at most the recipe's own."""
        assert self.duration is not None
        self.has_budget = True
        between = self.validation_interval
        steps = min(self.total_steps, self.duration.steps_within(budget, between))
        shorter = replace(asked, pose=self.options.pose, steps=steps)
        return apply_recipe(shorter, len(self.training), flat, determined)

    def _with_recorded_poses(
        self, options: TrainOptions, stores: Sequence[FrameStore], measure: MeasureTracks
    ) -> TrainOptions:
        """Choose the recorded poses where they are known to agree with the images."""
        if not all(poses_agree(store) for store in stores):
            return options
        recorded = replace(self.training, measure_tracks=measure)
        is_enough = determined_share(recorded) >= DETERMINED
        return replace(options, pose="recorded") if is_enough else options

    def _with_known_motion(self, samples: Samples, fewest: int | None = None) -> Samples:
        """Leave out the samples that tracked corners do not determine the motion of."""
        kept = ~samples.self_supervised()
        asked = np.flatnonzero(~kept)
        hidden = None if self.processes.is_first else True
        bar = tqdm(asked, "triangulate", unit="sample", disable=hidden, dynamic_ncols=True)
        start = told = time.monotonic()
        for done, sample in enumerate(bar, 1):
            kept[sample] = samples.geometries(np.array([sample]))[0] is not None
            now = time.monotonic()
            # Into a file goes a line now and then in place of the bar.
            if bar.disable and self.processes.is_first and now - told >= _TOLD_EVERY:
                told = now
                left = (len(asked) - done) * (now - start) / done
                print(
                    f"tracking corners: {done} of {len(asked)} samples, once for each store; "
                    f"{tqdm.format_interval(left)} left",
                    flush=True,
                )
        if kept.sum() < (self.options.batch_size if fewest is None else fewest):
            if self.options.velocity_weight:
                raise DatasetError(
                    f"--velocity-weight: {kept[asked].sum()} of {len(asked)} samples have recorded "
                    "poses; extract with --poses-topic, or give --velocity-weight 0"
                )
            if self.options.pose == "recorded":
                raise DatasetError(
                    f"--pose recorded: {kept[asked].sum()} of {len(asked)} samples have poses that "
                    "agree with the images; extract with --poses-topic, check the camera's "
                    "mounting in /tf_static and the stamps, or take another --pose"
                )
            raise DatasetError(
                f"--pose tracks: the motion of {kept[asked].sum()} of {len(asked)} samples can be "
                "determined from tracked corners; there is too little texture or parallax. Take "
                "another --pose, a larger --spacing, or record while the camera travels"
            )
        self.determined_share = float(kept[asked].mean()) if len(asked) else 0.0
        return samples.select(kept)

    def _mean_inverse_depth(self) -> float:
        """Return what the model predicts for training samples, as a geometric mean, 1 / metres."""
        low, high = self.options.min_depth, self.options.max_depth
        means = []
        self.model.eval()
        with torch.no_grad():
            for inputs in self._some_images():
                disparity = self.model(inputs, (), ()).disparities[0].float()
                means.append(disparity_to_depth(disparity, low, high).log().mean().item())
        self.model.train()
        return math.exp(-sum(means) / len(means))

    def _some_images(self, most: int = 32) -> Iterator[Tensor]:
        """Yield images that are learned from, one by one, spread over all of them."""
        count = len(self.training)
        chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
        for sample in chosen.tolist():
            store = self.training.stores[int(self.training.store[sample])]
            image = store.images[self.training.frames[sample, :1]]
            yield to_network_input(torch.from_numpy(image).to(self.processes.device))

    def run(self) -> int:
        """Train to the end, or until asked to stop.

        Returns
        -------
        int
            Exit status: 0 when complete or after SIGTERM, 130 after SIGINT.

        Raises
        ------
        TrainingFailure
            If loss or motion is not finite or nothing is learned; the last good checkpoint stays.
        OSError
            If the last checkpoint could not be written.
        """
        total = self.total_steps
        if self.processes.is_first and self.options.tensorboard:
            self._logbook = Logbook(self.folder, self.state.step + 1)
        bar = tqdm(
            total=total,
            initial=self.state.step,
            unit="step",
            dynamic_ncols=True,
            disable=None if self.processes.is_first else True,
        )
        try:
            with self._stop, bar, self._verification() as verification:
                if not self.state.history and self.state.step == 0 and len(self.validation):
                    self._validate(bar)
                self.options = with_decoder(self.options, self.state.fresh_decoder)
                self._change_evenly()
                if self.state.step == 0 and self.options.decoder == "fresh":
                    # Only now: what it replaces has been judged and kept as the start.
                    inverse_depth = self.state.anchor or self._mean_inverse_depth()
                    reset_decoder(self.model, inverse_depth, self.options.seed)
                self._set_train_mode()
                for batch in self._batches():
                    verification.raise_if_damaged()
                    self._step(batch, bar)
                    bar.update()
                    if self._validation_is_due():
                        self._validate(bar)
                        if self.collapsed is not None:
                            break
                    elif self.state.step % self.options.save_every == 0:
                        self._save()
                    if self._asked_to_stop():
                        self._save(must=True)
                        return self._report_stop()
                self._save(must=True)
                verification.finish()
        finally:
            self._logbook.close()
        return 0

    @property
    def validation_interval(self) -> int:
        """About how many steps lie between validations."""
        epochs = math.ceil(self.options.validate_every / self._epoch_steps)
        return epochs * self._epoch_steps

    @property
    def is_metric(self) -> bool:
        """Whether depth is learned in metres: from a baseline or from recorded poses."""
        options = self.options
        has_poses = options.pose == "recorded" or options.velocity_weight > 0.0
        return options.stereo != "none" or has_poses

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        assert self.options.steps is not None  # the recipe fills it in
        return self.options.steps

    def _batches(self) -> Iterator[Batch]:
        """Load the batches that are left to train on, and copy them to the device."""
        device = self.processes.device
        batches = iterate_batches(
            self.training, self._chunks(), device.type == "cuda", self.options.loader_threads
        )
        if self._kept is not None:
            batches = self._with_kept(batches, self._kept)
        return on_device(batches, device)

    def _with_kept(self, batches: Iterator[Batch], kept: KeptImages) -> Iterator[Batch]:
        """Append the images that must not be forgotten; of each step, this process's rows."""
        rows = np.array(self._kept_rows(kept), np.int64)
        for step, batch in enumerate(batches, self.state.step):
            yield with_kept(batch, kept.read(rows, self.options.seed, step))

    def _kept_rows(self, kept: KeptImages) -> list[int]:
        """Name this process's share of a step's kept images."""
        return list(range(self.processes.rank, kept.count, self.processes.count))

    def _chunks(self) -> Iterator[NDArray[np.int64]]:
        """Name the samples of the steps that are left; of each batch, this process's rows.

        Through all epochs, so that loading goes on where one ends.
        """
        size, order, current = self.options.batch_size, None, -1
        for step in range(self.state.step, self.total_steps):
            epoch, index = divmod(step, self._epoch_steps)
            if order is None or epoch != current:
                order = epoch_order(len(self.training), self.options.seed, epoch)
                current = epoch
            yield order[index * size : (index + 1) * size][self._rows]

    def _step(self, batch: Batch, bar: tqdm[Any]) -> None:
        """Learn from one batch."""
        options, step, device = self.options, self.state.step, self.processes.device
        rate = learning_rate(options, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        more = 0 if self._kept is None else self._kept.count
        draws = draw(
            options.batch_size + more,
            _generator(torch.device("cpu"), options.seed, _AUGMENTATION, step),
            options.mirror_probability,
            options.jitter_probability,
            options.turn_degrees,
            options.zoom,
        )
        rows = list(range(options.batch_size))[self._rows]
        if self._kept is not None:
            rows += [options.batch_size + row for row in self._kept_rows(self._kept)]
        views = prepare(batch, draws.rows(rows), options.compile)
        noise = _generator(device, options.seed, _TIE_BREAK, step, self.processes.rank)
        self.optimizer.zero_grad()
        predictions, output = self.learner.at_step(options, step).evaluate(views, noise)
        is_logged = (step + 1) % options.log_every == 0 or step + 1 == self.total_steps
        # On a GPU, looking at the loss means waiting for it.
        if (is_logged or device.type == "cpu") and not are_numbers(output.loss, predictions):
            self._fail_not_finite(views, predictions)
        output.loss.backward()
        if options.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self.optimizer.step()
        self.state.step = step + 1
        self._meter.add(output)
        if is_logged:
            self._log(predictions, output, rate, bar)

    def _log(
        self, predictions: Predictions, output: ObjectiveOutput, rate: float, bar: tqdm[Any]
    ) -> None:
        """Report the last steps, and judge the health of the run."""
        options = self.options
        speed, mean_losses, moving, truth = self._meter.read(self.processes)
        spread = depth_spread(predictions.disparities[0], options.min_depth, options.max_depth)
        spread = self.processes.total(spread) / self.processes.count
        loss = sum(mean_losses) / len(mean_losses)
        values = {
            "train/loss": loss,
            "train/photometric": output.photometric[0].item(),
            "train/smoothness": output.smoothness[0].item(),
            "train/moving": moving,
            "train/depth_spread": spread.item(),
            "train/learning_rate": rate,
            "speed/samples_per_second": speed,
        }
        if options.truth != "none":
            values["train/truth"] = truth
        values |= {f"train/loss_scale_{scale}": mean for scale, mean in enumerate(mean_losses)}
        self._logbook.scalars(self.state.step, values)
        self._recent_loss = loss
        words = f"loss {loss:.4f}, {speed:.1f} samples/s"
        if options.truth != "none":
            words = f"truth {truth:.4f}, {words}"
        bar.set_postfix_str(words, refresh=False)
        # Into a file goes a line now and then in place of the bar.
        if bar.disable and self.processes.is_first and time.monotonic() - self._told >= 60.0:
            self._told = time.monotonic()
            left = (self.total_steps - self.state.step) * options.batch_size / speed
            print(
                f"step {self.state.step} of {self.total_steps}: {words}, "
                f"{tqdm.format_interval(left)} left",
                flush=True,
            )
        assert options.motion_steps is not None
        if self.state.step > options.motion_steps:  # depth is constant on purpose before
            self._health.check(self.state.step, spread.item(), moving)

    def _validation_is_due(self) -> bool:
        """Whether to validate now: after an epoch, but not too often, and at the end."""
        step = self.state.step
        last = self.state.history[-1]["step"] if self.state.history else 0
        return step == self.total_steps or (
            step % self._epoch_steps == 0 and step - last >= self.options.validate_every
        )

    def _validate(self, bar: tqdm[Any]) -> None:
        """Evaluate on held-out samples, save, and note what was best."""
        options, step = self.options, self.state.step
        if not weights_are_finite(self.model):
            if step == 0:
                return  # the first step says why
            self._fail_weights()
        entry: dict[str, Any] = {"step": step, "epoch": step / self._epoch_steps}
        if step:
            entry["train_loss"] = self._recent_loss
        else:
            entry |= self._start_in_metres((self.validation.width, self.validation.height))
        if len(self.validation):
            result = validate(
                self._validated(),
                self.validation,
                self.processes,
                options.batch_size // self.processes.count,
                options.validation_samples,
                metric=self.is_metric,
                seed=options.seed,
                keep_picture=options.tensorboard,
                measure_tracks=self._measure_tracks,
                start=self._start if step else None,
                factor=entry.get("factor", 1.0),
            )
            entry |= {
                "loss": result.loss,
                "abs_rel": result.abs_rel,
                "sparse": result.sparse,
                "spread": result.spread,
            }
            if result.scale is not None:
                entry |= {"scale": result.scale, "scale_spread": result.scale_spread}
            for name in ("changed", "doubt", "disputed"):
                if getattr(result, name) is not None:
                    entry[name] = getattr(result, name)
            if not self.state.history:
                entry["baselines"] = self._baselines()
                own_size = self._at_own_size()
                if own_size is not None:
                    entry["own_size"] = own_size
            self._set_train_mode()
            curves = {"validation/loss": result.loss}
            if result.abs_rel is not None:
                curves["validation/abs_rel"] = result.abs_rel
            if result.sparse is not None:
                curves["validation/abs_rel_triangulated"] = result.sparse
            self._logbook.scalars(step, curves)
            if result.picture is not None:
                self._logbook.picture(step, "validation", result.picture)
        self.state.history.append(entry)
        measure = choose_measure(options.best_by, entry)
        figure = entry.get(measure)
        own = entry.get("own_size", {})
        # The checkpoint as it came, at the size it was made for, may be better than here.
        keeps_size = figure is not None and own.get(measure, figure) < figure
        figure = own[measure] if keeps_size else figure
        is_chosen = options.best_by == measure
        kept = kept_entry(self.state.history, measure, bool(options.checkpoint), is_chosen)
        is_best = figure is not None and kept is entry
        size = (own["width"], own["height"]) if keeps_size else None
        is_open = step == 0 and options.decoder == "auto"
        if is_open:
            self.state.fresh_decoder = hardly_knows(entry, self._measure_of_shape(entry, measure))
        self._save(best=figure if is_best else None, best_size=size)
        if self.processes.is_first:
            shown = describe_entry(entry, self.state.history[0])
            if "scale" in entry:
                shown += f", scale {entry['scale']:.3f} ± {entry['scale_spread']:.1%}"
            bar.write(f"step {step}: {shown}{' (best)' if is_best and step else ''}")
            if (
                step == 0
                and options.checkpoint
                and measure == "sparse"
                and is_beyond_judging(entry)
            ):
                bar.write(
                    "the start is as good as triangulated corners can tell; by them alone nothing "
                    "will take its place (--truth, where there is some, or --best-by sparse)"
                )
            if is_open and self.state.fresh_decoder:
                bar.write(
                    "the checkpoint hardly knows this place: its decoder gets new weights, and the "
                    f"learning rate is {KNOWN_MOTION_RATE:g} (--decoder keep: neither)"
                )

    def _validated(self) -> Learner:
        """Return the learner to validate with: not compiled, or every other shape would be again.

        Nor are its networks wrapped: a wrapped one waits for the other processes at every batch,
        and they may have fewer. All use the first one's statistics.
        """
        self.processes.share_statistics(self.model)
        objective = replace(self.learner.objective, compiled=False)
        return replace(self.learner, objective=objective, model=self.model)

    def _measure_of_shape(self, entry: dict[str, Any], measure: Measure) -> Measure:
        """Name what judges a model without its scale, if there is such a figure."""
        return "sparse" if self.is_metric and entry.get("sparse") is not None else measure

    def _start_in_metres(self, size: tuple[int, int]) -> dict[str, float | None]:
        """Return what makes the depth of a checkpoint metric, where depth is learned in metres.

        A model that knows depth up to its scale is worth what it is with the right factor, and that
        is known before a step is taken: from the recorded poses of what is learned from. Else a
        metric checkpoint has its own.
        """
        if not self.options.checkpoint or not self.is_metric:
            return {}
        if self.options.pose != "recorded":
            given = open_checkpoint(self.options.checkpoint).metadata
            own = {"factor": given.scale, "factor_spread": given.scale_spread}
            return own if given.is_metric else {}
        found = measure_factor(
            self._validated(),
            self.training,
            self.processes,
            self.options.batch_size // self.processes.count,
            _MOST_FOR_FACTOR,
            size,
        )
        return {} if found is None else {"factor": found[0], "factor_spread": found[1]}

    def _at_own_size(self) -> dict[str, Any] | None:
        """Judge the checkpoint that training begins with at its own image size."""
        if not self.options.checkpoint:
            return None
        metadata = open_checkpoint(self.options.checkpoint).metadata
        size = (metadata.width, metadata.height)
        if size == (self.validation.width, self.validation.height):
            return None
        metres = self._start_in_metres(size)
        abs_rel, sparse = judge_at_size(
            self._validated(),
            self.validation,
            self.processes,
            self.options.batch_size // self.processes.count,
            self.options.validation_samples,
            size,
            metric=self.is_metric,
            measure_tracks=self._measure_tracks,
            factor=metres.get("factor") or 1.0,
        )
        figures = {"abs_rel": abs_rel, "sparse": sparse}
        known = {name: value for name, value in figures.items() if value is not None}
        return {"width": size[0], "height": size[1], **metres, **known}

    def _baselines(self) -> dict[str, float | None]:
        """Judge what was not learned, once."""
        chosen = self._held_out()
        measure = self._measure_tracks
        found = measure_baselines(
            replace(self.training, measure_tracks=measure),
            replace(self.validation, measure_tracks=measure),
            chosen,
            chosen[evenly(len(chosen), MOST_SPARSE)],
        )
        return dataclasses.asdict(found)

    @property
    def measure(self) -> Measure:
        """The figure that decides which checkpoint is the best."""
        last = self.state.history[-1] if self.state.history else {}
        return choose_measure(self.options.best_by, last)

    @property
    def collapsed(self) -> str | None:
        """Why the run should not go on, or None."""
        history = self.state.history
        if self.options.decoder == "fresh":
            # It begins flat and needs half of the steps to become something.
            half = self.total_steps // 2
            history = [entry for entry in history if not 0 < entry["step"] < half]
        return collapse(history, self.measure)

    @property
    def outcome(self) -> RunOutcome:
        """What the run has come to."""
        options, measure = self.options, self.measure
        is_chosen = options.best_by == measure
        return conclude(self.state.history, measure, bool(options.checkpoint), is_chosen)

    def _save(
        self,
        best: float | None = None,
        must: bool = False,
        best_size: tuple[int, int] | None = None,
    ) -> None:
        """Save the model and what resuming needs.

        The state is written last: it never speaks of a checkpoint that is not there.

        Parameters
        ----------
        best : float, optional
            The figure of the model, if it is the best one.
        must : bool
            Raise OSError if that is impossible; else training goes on.
        best_size : tuple of int, optional
            Width and height that the best one is for, if not those of the training.
        """
        if not weights_are_finite(self.model):
            self._fail_weights()
        meter = self._meter.state(self.processes)
        if not self.processes.is_first:
            return
        if best is not None:
            self._unsaved_best = self.state.step, best, best_size
        if self._unsaved_best is not None and self._unsaved_best[0] != self.state.step:
            lost, self._unsaved_best = self._unsaved_best[0], None
            for entry in self.state.history:
                if entry["step"] == lost:
                    entry["lost"] = True
        names = ["last"] + ["best"] * (self._unsaved_best is not None)
        epoch, rest = divmod(self.state.step, self._epoch_steps)
        if self.options.keep_every and rest == 0 and epoch % self.options.keep_every == 0:
            names.append(f"epoch_{epoch:04d}")
        try:
            self._save_start()
            for name in names:
                metadata = self._metadata()
                if name == "best" and self._unsaved_best is not None:
                    size = self._unsaved_best[2] or (metadata.width, metadata.height)
                    metadata = replace(metadata, width=size[0], height=size[1])
                    own = self.state.history[-1].get("own_size", {}) if self.state.history else {}
                    if self._unsaved_best[2] is not None and "factor" in own:
                        metadata = replace(
                            metadata, scale=own["factor"], scale_spread=own["factor_spread"]
                        )
                save_checkpoint(
                    self.folder / f"{name}.safetensors", metadata, self.model.networks()
                )
                if name == "best" and self._unsaved_best is not None:
                    self.state.best, self._unsaved_best = self._unsaved_best[1], None
            run_state.save_state(
                self.folder,
                replace(
                    self.state,
                    recent_loss=self._recent_loss,
                    meter=meter,
                    constant=self._health.constant,
                    standing=self._health.standing,
                    networks=self.model.state_dict(),
                    optimizer=self.optimizer.state_dict(),
                ),
            )
        except OSError as error:
            if must:
                raise
            tqdm.write(
                f"step {self.state.step}: the checkpoint could not be saved ({error}); the "
                f"previous one in {self.folder} stays, training goes on",
                file=sys.stderr,
            )

    def _fail_weights(self) -> NoReturn:
        """Stop because weights are not finite."""
        raise TrainingFailure(
            f"step {self.state.step}: some weights are not finite; the last good checkpoint "
            f"is {self.folder / 'last.safetensors'}. Use a lower --learning-rate"
        )

    def _verification(self) -> BackgroundVerification:
        """Verify the stores meanwhile, once on every machine."""
        first_here = int(os.environ.get("LOCAL_RANK", "0")) == 0
        kept = () if self._kept is None else self._kept.stores
        is_asked = first_here and self.options.verify != "none"
        stores = (*self.training.stores, *kept) if is_asked else ()
        verification = BackgroundVerification(list(dict.fromkeys(s.path for s in stores)))
        if self.options.verify == "first":
            verification.finish()
        return verification

    def _metadata(self) -> CheckpointMetadata:
        """Describe the model."""
        options, first = self.options, self.training.stores[0]
        entry = self.state.history[-1] if self.state.history else {}
        is_metric, scale, spread = self.is_metric, 1.0, entry.get("scale_spread")
        if is_metric and options.checkpoint and self.state.step == 0:
            # It is the checkpoint still: in metres with its factor, or not at all.
            is_metric, scale = "factor" in entry, entry.get("factor", 1.0)
            spread = entry.get("factor_spread")
        return CheckpointMetadata(
            num_layers=options.num_layers,
            width=first.width,
            height=first.height,
            min_depth=options.min_depth,
            max_depth=options.max_depth,
            crop=first.crop,
            scale=scale,
            scale_spread=spread,
            is_metric=is_metric,
            training={
                "steps": self.state.step,
                "samples": len(self.training),
                "validation": entry,
                "recordings": recording_names(self.training.stores),
                "camera": describe_cameras(
                    [camera for store in self.training.stores for camera in store.cameras]
                ),
                "options": {
                    name: value
                    for name, value in options.as_dict().items()
                    if name not in ("data", "keep_data", "out", "init", "checkpoint")
                },
                **self._kept_recordings(),
            },
        )

    def _kept_recordings(self) -> dict[str, list[str]]:
        """Name the recordings that were not to be forgotten, if there are any."""
        return {} if self._kept is None else {"kept": recording_names(self._kept.stores)}

    def _asked_to_stop(self) -> bool:
        """Whether any process was."""
        asked = torch.tensor(float(self._stop.signal is not None), device=self.processes.device)
        return bool(self.processes.total(asked) > 0)

    def _report_stop(self) -> int:
        """Say how to go on; return the exit status."""
        if self.processes.is_first:
            print(
                f"stopped after step {self.state.step} of {self.total_steps} and saved; continue "
                f"with: depth_train --resume {self.folder}"
            )
        return 130 if self._stop.signal == signal.SIGINT else 0

    def _set_train_mode(self) -> None:
        """Put the networks into training mode, batch norms perhaps not."""
        self.learner.model.train()
        if self.options.freeze_batch_norm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _fail_not_finite(self, views: TrainingViews, predictions: Predictions) -> None:
        """Stop with a diagnosis."""
        reason = explain_not_finite(self.model, views.inputs, views.intrinsics, predictions)
        raise TrainingFailure(
            f"step {self.state.step + 1}: loss or motion is not finite: {reason}. The last good "
            f"checkpoint is {self.folder / 'last.safetensors'}, if one was saved"
        )

    def _wrapped(self, model: nn.Module) -> nn.Module:
        """Compile the networks and share them among the processes, where wanted."""
        if self.options.compile:
            model = torch.compile(  # type: ignore[assignment]
                model, mode=compile_mode(self.processes.device), dynamic=False
            )
        if self.processes.count > 1:
            # The depth network rests while motion alone is learned, and that for motion in a
            # batch that learns from truth alone.
            rests = bool(self.options.motion_steps) or (
                self.options.truth == "instead"
                and self.options.pose not in (*WITHOUT_NETWORK, "none")
            )
            model = DistributedDataParallel(model, find_unused_parameters=rests)
        return model


def recording_names(stores: Sequence[FrameStore], most: int = 10) -> list[str]:
    """Name the recordings in some stores, for a checkpoint's metadata.

    Parameters
    ----------
    stores : sequence of FrameStore
    most : int
        A store with more recordings is named in their place.
    """
    names = set()
    for store in stores:
        own = {os.path.basename(source.recording.rstrip("/")) for source in store.sources}
        names |= own if len(own) <= most else {f"{store.path.name}: {len(own)} recordings"}
    return sorted(names)


def _load(load: Callable[[Any], object], saved: dict[str, Any], name: str) -> None:
    """Restore a part of a run, or say that it does not fit."""
    try:
        load(saved)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise run_state.RunError(
            f"--resume: the saved {name} do not fit these options ({reason}); start a new run from "
            "its last.safetensors with --checkpoint"
        ) from error


def _at_width(stores: Sequence[FrameStore], width: int) -> list[FrameStore]:
    """Shrink the images of stores to a width, where one is given."""
    if not width:
        return list(stores)
    for store in stores:
        if width % 32 or not 64 <= width <= store.width:
            raise DatasetError(
                f"--width is {width}; {store.path} has images {store.width} wide, so give a "
                f"multiple of 32 from 64 to {store.width}"
            )
    return [shrunk(store, size_of_width((store.width, store.height), width)) for store in stores]


def _choose_threads(processes: Processes) -> ThreadChoice | None:
    """Leave busy cores alone, where one process trains on a CPU."""
    alone = processes.device.type == "cpu" and processes.count == 1
    return take_idle_cores() if alone else None


def _like_checkpoint(options: TrainOptions) -> TrainOptions:
    """Go on with motion from flow where the model to start from has no pose network for it."""
    if options.pose != "auto" or not options.checkpoint or options.stereo != "none":
        return options
    trained = open_checkpoint(options.checkpoint).metadata.training
    if trained.get("options", {}).get("pose") == "flow" and not options.motion_steps:
        return replace(options, pose="flow")
    return options


def _generator(device: torch.device, *numbers: int) -> torch.Generator:
    """Make a generator whose stream is fixed by the numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device).manual_seed(seed)
