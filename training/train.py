# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Command line of ``depth_train``: learn depth from frame stores.

depth_train --data frames/ --out run/
depth_train --config config/train.yaml --data frames/ --batch-size 8
depth_train --resume run/
torchrun --nproc-per-node 2 -m training.train --data frames/ --out run/
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which take a second
    from monodepth2_ros.interrupts import end_at_interrupt

    end_at_interrupt("depth_train")

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from monodepth2_ros.command_guard import guarded
from monodepth2_ros.command_line import CommandLine, require
from monodepth2_ros.option_fields import OptionError
from training.learning.options import OPTIONS_FILE, TrainOptions

if TYPE_CHECKING:
    from training.learning.trainer import Trainer


#: Exit status of a run that ended without a model better than what it began with.
NOTHING_LEARNED = 3

# Seconds. Of longer runs it is said what would end within that time.
_LONG = 3600.0


@guarded("depth_train", interrupted="the same command continues after the last save")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``depth_train`` and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    line = make_command_line()
    options, others = line.parse_with_others(given)
    require("train", "torch", "torchvision")
    resume = others["resume"]
    if resume:
        options = line.parse(["--config", str(_saved_options(resume)), *given, "--out", resume])
    elif options.out and (Path(options.out).expanduser() / OPTIONS_FILE).exists():
        options = _continued(line, options)
    return train(options)


def train(options: TrainOptions) -> int:
    """Train; what was saved in ``options.out`` is continued.

    Parameters
    ----------
    options : TrainOptions

    Returns
    -------
    int
        See :meth:`training.learning.trainer.Trainer.run`.
    """
    # Imported here: --help and mistakes are answered at once.
    from training.learning import run_state
    from training.learning.processes import describe_failure, join_processes, leave_processes
    from training.learning.trainer import Trainer

    processes = join_processes(options.device)
    failure = ""
    held = ExitStack()  # the lock of the folder, in the first process
    try:
        folder = Path(options.out).expanduser()
        is_run = processes.is_first and run_state.find_run(folder)
        saved = processes.share_bytes(lambda: _read_saved(folder, held))
        state = run_state.parse_state(saved, folder) if saved else None
        if processes.is_first and options.pose in ("auto", "tracks", "recorded"):
            print("measuring how the camera moves between frames, once for each", flush=True)
        trainer = Trainer(options, processes, state)
        if processes.is_first:
            run_state.prepare_folder(folder, trainer.options.as_dict())
            if is_run and state is None:
                print(f"{folder}: nothing was saved yet, so the run begins at its beginning")
            print(_summary(trainer), flush=True)
        status = trainer.run()
        collapsed = trainer.collapsed
        if trainer.state.step < trainer.total_steps and collapsed is None:
            return status
        outcome = trainer.outcome
        if processes.is_first:
            if collapsed is not None:
                print(f"stopped at step {trainer.state.step}: {collapsed}")
            print(_conclusion(trainer))
            print(outcome.text)
        # torchrun takes every other status for a crash, and may start the run again.
        return 0 if outcome.has_learned or processes.count > 1 else NOTHING_LEARNED
    except Exception as error:
        failure = describe_failure(error)
        if failure != str(error):
            raise RuntimeError(failure) from error
        raise
    except KeyboardInterrupt:
        failure = "interrupted"
        raise
    finally:
        held.close()
        leave_processes(failure)


def _read_saved(folder: Path, held: ExitStack) -> bytes:
    """Read what was saved of a run; refuse a folder that cannot be written, or is just now."""
    from monodepth2_ros.atomic_files import check_target
    from monodepth2_ros.target_lock import exclusive
    from training.learning.run_state import read_saved

    check_target(folder / OPTIONS_FILE)
    held.enter_context(exclusive(folder))
    return read_saved(folder)


def make_command_line() -> CommandLine[TrainOptions]:
    """Describe the command line: one argument for each field of TrainOptions, and --resume."""
    line = CommandLine(
        "depth_train",
        TrainOptions,
        "Learn depth from frame stores that depth_extract wrote, without labels.",
    )
    line.add_argument("--resume", metavar="DIR", default="", help="continue the run in this folder")
    return line


def _saved_options(folder: str) -> Path:
    """Return the options of a run."""
    path = Path(folder).expanduser() / OPTIONS_FILE
    if not path.exists():
        raise OptionError(f"--resume {folder}: there is no {OPTIONS_FILE}, so no run to continue")
    return path


def _continued(line: CommandLine[TrainOptions], given: TrainOptions) -> TrainOptions:
    """Return the options of the run in ``given.out``, which the same command may continue.

    A killed command can be repeated as it is; what the recipe decided stays decided.
    """
    from training.learning.run_state import MAY_DIFFER, check_same_options

    check_same_options(Path(given.out).expanduser(), given.as_dict())
    saved = line.parse(["--config", str(_saved_options(given.out)), "--out", given.out])
    free = {name: getattr(given, name) for name in MAY_DIFFER if name != "budget"}
    return dataclasses.replace(saved, **free)


def _summary(trainer: Trainer) -> str:
    """Say what is about to happen."""
    options, training = trainer.options, trainer.training
    learner, processes = trainer.learner, trainer.processes
    motion: str = "known" if options.stereo == "only" else options.pose
    if motion == "flow":
        motion = (
            "solved from optical flow (a constant depth explains "
            f"{100 * trainer.constant_depth_share:.0f} % of it)"
        )
    elif motion == "tracks":
        motion = (
            "from tracked corners (they determine it for "
            f"{100 * trainer.determined_share:.0f} % of the samples)"
        )
    elif motion == "recorded":
        motion = (
            "from recorded poses, in metres (they agree with the images for "
            f"{100 * trainer.determined_share:.0f} % of the samples)"
        )
    labelled = training.with_truth
    if labelled == len(training):
        motion = "not needed, as all is learned from ground truth"
    weights = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    lines = [
        f"{len(training)} samples of {training.width}x{training.height} to train on, "
        f"{len(trainer.validation)} held out, from {len(training.stores)} store(s)"
        + (f"; {labelled} learn from ground truth" if labelled else ""),
        f"ResNet-{options.num_layers}, motion {motion}, {weights / 1e6:.1f} million weights",
        f"recipe {options.recipe}: {trainer.total_steps} steps of {options.batch_size} "
        f"({options.epochs} epochs), learning rate {options.learning_rate:g}",
        f"{processes.count} process(es) on {processes.device}, "
        f"{'bfloat16' if learner.bfloat16 else 'float32'} convolutions; out: {trainer.folder}",
    ]
    if trainer.thread_choice is not None:
        lines.append(f"{trainer.thread_choice}")
    if trainer.duration is not None:
        lines += _expectation(trainer)
    if trainer.state.step:
        lines.append(f"continuing after step {trainer.state.step}")
    crops = {store.crop for store in training.stores}
    if len(crops) > 1:
        lines.append(
            f"warning: the stores were cropped differently ({sorted(crops)}); the checkpoint "
            "notes the first one's crop"
        )
    return "\n".join(lines)


def _expectation(trainer: Trainer) -> list[str]:
    """Say how long it will take on this machine."""
    from training.learning.size_choice import expected_size
    from training.learning.timing import FEW_STEPS, describe_duration

    assert trainer.duration is not None
    seconds = trainer.duration.of_run(trainer.total_steps, trainer.validation_interval)
    lines = [
        f"a step takes {trainer.duration.step:.2f} s on this machine now, all of it about "
        f"{describe_duration(seconds)}"
    ]
    choice = trainer.size_choice
    if choice is not None:
        timed = ", ".join(f"{w}x{h}: {steps}" for (w, h), steps in choice.tried)
        lines.append(
            f"the budget is spent at {choice.size[0]}x{choice.size[1]} (--width overrides); steps "
            f"that would fit: {timed}"
        )
    if not trainer.has_budget and seconds > _LONG:
        training, batch = trainer.training, trainer.options.batch_size
        size, steps = expected_size(
            (training.width, training.height), trainer.duration.step, batch, _LONG
        )
        lines.append(
            f"hint: by the number of pixels {steps} steps of {batch} at {size[0]}x{size[1]} take "
            "an hour; --budget 1h measures that and chooses size and steps"
        )
    if trainer.has_budget and trainer.total_steps < FEW_STEPS:
        lines.append(f"warning: the budget allows {trainer.total_steps} steps only; give more time")
    if trainer.processes.device.type == "cpu" and trainer.options.batch_size > 4:
        lines.append(
            "hint: this is a CPU; a step of --batch-size 4 takes "
            f"{4 / trainer.options.batch_size:.0%} of the time"
        )
    return lines


def _conclusion(trainer: Trainer) -> str:
    """Say what came out."""
    best = trainer.folder / "best.safetensors"
    name = best if best.exists() else trainer.folder / "last.safetensors"
    return f"done: {name}\nuse it: ros2 launch monodepth2_ros depth.launch.py checkpoint:={name}"


if __name__ == "__main__":
    sys.exit(main())
