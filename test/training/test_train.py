# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whole training runs, short ones: options, resuming, signals, several processes, faults."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
import yaml

from monodepth2_ros import atomic_files
from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.checkpoint import load_checkpoint
from narrow_networks import command, program_of
from paths import REPOSITORY
from training.frames.store import FrameStore
from training.frames.writer import write_frame_store
from training.learning import recipe as recipe_module
from training.learning import trainer as trainer_module
from training.learning.health import TrainingFailure
from training.learning.options import TrainOptions
from training.learning.run_state import START_FILE, load_state, prepare_folder
from training.learning.trainer import Trainer
from training.train import NOTHING_LEARNED, main
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

STEPS = 6

# A few steps from random weights may or may not learn something.
COMPLETE = (0, NOTHING_LEARNED)

# What is tested here is what a run does around its networks.
pytestmark = pytest.mark.usefixtures("narrow_networks_in_file")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of a small rendered street."""
    path = tmp_path_factory.mktemp("data") / "store"
    camera = camera_from_field_of_view(96, 64, 80)
    frames = list(synthesize(3, "street", camera, 18))
    write(path, [frame.image for frame in frames], camera)
    return path


def write(path, images, camera):
    write_frame_store(path, np.stack(images), [camera])


@pytest.fixture(scope="module")
def options(store):
    return TrainOptions(
        data=(str(store),),
        init="none",
        batch_size=4,
        steps=STEPS,
        validate_every=1000,
        save_every=1,
        validation_fraction=0.25,
        device="cpu",
        precision="fp32",
        tensorboard=False,
        loader_threads=1,
        warmup_steps=2,
        motion_steps=2,
        coarse_steps=4,
    )


@pytest.fixture(scope="module")
def one_process():
    from training.learning.processes import join_processes

    return join_processes("cpu")


def arguments(options, out):
    """Spell options as a command line."""
    words = ["--out", str(out)]
    for item in dataclasses.fields(TrainOptions):
        value = getattr(options, item.name)
        if value == item.default or item.name == "out":
            continue
        name = item.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
            continue
        words.append(f"--{name}")
        words += [str(v) for v in value] if isinstance(value, tuple) else [str(value).lower()]
    return words


@pytest.fixture(scope="module")
def uninterrupted(options, tmp_path_factory):
    """The weights of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    assert main(arguments(options, folder)) in COMPLETE
    return load_checkpoint(folder / "last.safetensors")


def assert_same_weights(first, second):
    assert first.state.keys() == second.state.keys()
    for network, state in first.state.items():
        for name, value in state.items():
            assert torch.equal(value, second.state[network][name]), f"{network}.{name}"


def test_yaml_table_and_code_are_the_same():
    text = (REPOSITORY / "config" / "train.yaml").read_text()
    written = yaml.safe_load(text)
    fields = dataclasses.fields(TrainOptions)
    assert list(written) == [item.name for item in fields]
    hints = get_type_hints(TrainOptions)
    words = " ".join(re.findall(r"^# ?(.*)$", text, flags=re.MULTILINE))
    for item in fields:
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        assert written[item.name] == default and type(written[item.name]) is type(default)
        assert item.metadata["description"] in words, item.name
        choices = [c for c in get_args(hints[item.name]) if isinstance(c, str)]
        assert all(choice in words for choice in choices), item.name


def test_yaml_file_and_command_line(store, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(f"data: [{store}]\nbatch_size: 1000\ninit: none\n")
    assert main(["--config", str(file), "--out", str(tmp_path / "a")]) == 1
    assert "a step takes 1000. Use a smaller --batch-size" in capsys.readouterr().err
    assert main(["--config", str(file), "--out", str(tmp_path / "a"), "--batch-size", "999"]) == 1
    assert "a step takes 999" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_run_leaves_a_model_that_the_predictor_takes(uninterrupted):
    assert uninterrupted.metadata.training["steps"] == STEPS
    assert (uninterrupted.metadata.width, uninterrupted.metadata.height) == (96, 64)
    with torch.inference_mode():
        disparity = uninterrupted.depth_network()(torch.rand(1, 3, 64, 96))
    assert torch.isfinite(disparity).all()


@pytest.mark.slow
def test_a_run_can_be_repeated(options, uninterrupted, tmp_path):
    assert main(arguments(options, tmp_path / "again")) in COMPLETE
    assert_same_weights(uninterrupted, load_checkpoint(tmp_path / "again" / "last.safetensors"))
    other = dataclasses.replace(options, seed=1)
    assert main(arguments(other, tmp_path / "other")) in COMPLETE
    changed = load_checkpoint(tmp_path / "other" / "last.safetensors")
    weight = "decoder.0.conv.conv.weight"
    assert not torch.equal(changed.state["depth"][weight], uninterrupted.state["depth"][weight])


def start(options, out):
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [*command("training.train"), *arguments(options, out)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_save(process, folder, step=0):
    """Wait until the run has saved its state, which it first does before any step."""
    end = time.monotonic() + 120
    while not (folder / "resume.pt").exists() or (
        step and load_checkpoint(folder / "last.safetensors").metadata.training["steps"] < step
    ):
        assert process.poll() is None, "the run ended before it saved"
        assert time.monotonic() < end, "the run did not save"
        time.sleep(0.01)


#: Lets a signal arrive in a run as soon as it has saved a step.
SIGNALLED = """\
import signal
from training.learning import run_state
save, waiting = run_state.save_state, [{step}]  # a second signal would end the process
def save_and_signal(folder, state):
    save(folder, state)
    if state.step in waiting:
        waiting.clear()
        signal.raise_signal({number})
run_state.save_state = save_and_signal
"""


def run_until_signalled(options, out, number, step):
    """Train in a process of its own; return its exit status and what it printed.

    In the process of the tests a signal meets what other tests have loaded there.
    """
    program = SIGNALLED.format(step=step, number=int(number)) + program_of("training.train")
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments(options, out)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def stop_at(patch, step):
    """Let a run in this process fail at a step, after it has saved those before."""
    real, taken = Trainer._step, []

    def count_and_step(self, *rest):
        taken.append(step)
        if len(taken) == step:
            raise OSError("stopped by the test")
        real(self, *rest)

    patch.setattr(Trainer, "_step", count_and_step)


@pytest.mark.slow
def test_ctrl_c_saves_and_resuming_is_exact(options, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    process = start(options, folder)
    wait_for_save(process, folder)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    steps = load_checkpoint(folder / "last.safetensors").metadata.training["steps"]
    if steps < STEPS:  # else the signal came after the last step
        assert f"depth_train --resume {folder}" in output
        assert process.returncode == 130
    assert main(["--resume", str(folder)]) in COMPLETE
    assert_same_weights(uninterrupted, load_checkpoint(folder / "last.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_save_and_resuming_is_exact(options, uninterrupted, tmp_path, number, status):
    folder = tmp_path / "run"
    ended, said = run_until_signalled(options, folder, number, step=3)
    assert ended == status
    assert f"depth_train --resume {folder}" in said
    assert load_checkpoint(folder / "last.safetensors").metadata.training["steps"] == 3
    assert main(["--resume", str(folder)]) in COMPLETE
    assert_same_weights(uninterrupted, load_checkpoint(folder / "last.safetensors"))


@pytest.mark.slow
def test_kill_at_any_moment_leaves_a_run_that_resumes(options, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    process = start(options, folder)
    wait_for_save(process, folder)  # it saves after every step
    process.kill()
    process.communicate(timeout=60)
    load_checkpoint(folder / "last.safetensors")
    assert main(["--resume", str(folder)]) in COMPLETE
    assert_same_weights(uninterrupted, load_checkpoint(folder / "last.safetensors"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_the_same_command_continues_a_run(options, tmp_path, capsys):
    """Killed before anything was saved, between two readings of the loss, or not at all."""
    logged = dataclasses.replace(options, pose="posecnn", steps=3, log_every=3, motion_steps=0)
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert main(arguments(logged, whole)) in COMPLETE
    prepare_folder(folder, logged.as_dict())
    process = start(logged, folder)
    wait_for_save(process, folder, step=2)  # so the state of step 1 is whole: models come first
    process.kill()
    output, _ = process.communicate(timeout=60)
    assert "nothing was saved yet, so the run begins at its beginning" in output
    capsys.readouterr()
    assert main(arguments(logged, folder)) in COMPLETE
    assert "continuing after step" in capsys.readouterr().out
    first, second = (load_checkpoint(path / "last.safetensors") for path in (whole, folder))
    assert_same_weights(first, second)
    assert (folder / "history.jsonl").read_text() == (whole / "history.jsonl").read_text()
    assert main(arguments(logged, folder)) in COMPLETE  # there is nothing left to do
    other = dataclasses.replace(logged, seed=5)
    assert main(arguments(other, folder)) == 1
    assert "holds a run with --seed 0, now it is 5" in capsys.readouterr().err
    (folder / "resume.pt").write_bytes(b"PK")
    assert main(arguments(logged, folder)) == 1
    assert "resume.pt is damaged" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pose", "words"),
    [("flow", "motion solved from optical flow"), ("tracks", "motion from tracked corners")],
)
def test_run_with_solved_motion_resumes_exactly(
    options, tmp_path, capsys, monkeypatch, pose, words
):
    solved = dataclasses.replace(options, pose=pose, motion_steps=0)
    assert main(arguments(solved, tmp_path / "whole")) in COMPLETE
    assert words in capsys.readouterr().out
    whole = load_checkpoint(tmp_path / "whole" / "last.safetensors")
    assert set(whole.state) == {"encoder", "depth"}
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, step=4)
        assert main(arguments(solved, folder)) == 1
    assert "stopped by the test" in capsys.readouterr().err
    assert load_checkpoint(folder / "last.safetensors").metadata.training["steps"] == 3
    assert main(["--resume", str(folder)]) in COMPLETE
    assert words in capsys.readouterr().out
    assert_same_weights(whole, load_checkpoint(folder / "last.safetensors"))
    tuned = dataclasses.replace(
        options, checkpoint=str(folder / "last.safetensors"), motion_steps=None, steps=1
    )
    assert main(arguments(tuned, tmp_path / "tuned")) in COMPLETE
    assert "motion from tracked corners (they determine it" in capsys.readouterr().out


@pytest.mark.slow
def test_a_fresh_decoder_comes_after_the_start_was_judged_and_not_again_when_resuming(
    options, uninterrupted, tmp_path, monkeypatch, capsys
):
    tuned = dataclasses.replace(
        options, checkpoint=str(uninterrupted.source), pose="tracks", motion_steps=0, steps=3
    )
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "hardly_knows", lambda *rest: False)
        patch.setattr(recipe_module, "FRESH_DECODER_STEPS", 1)
        judged = dataclasses.replace(tuned, steps=1, best_by="loss")  # not by corners
        judged = dataclasses.replace(judged, change_weight=0.0)
        assert main(arguments(judged, kept)) in COMPLETE
    assert not (kept / START_FILE).exists()  # nothing asks for it any more
    started = []
    real = trainer_module.reset_decoder

    def begin(model, *rest):
        real(model, *rest)
        started.append({k: v.clone() for k, v in model.depth.state_dict().items()})

    monkeypatch.setattr(trainer_module, "reset_decoder", begin)
    # As where the checkpoint hardly knows the place and sees a sky, whatever it is in this test.
    monkeypatch.setattr(trainer_module, "FAR_SHARE", 0.0)
    monkeypatch.setattr(trainer_module, "hardly_knows", lambda *rest: True)
    monkeypatch.setattr(recipe_module, "FRESH_DECODER_STEPS", 3)
    assert main(arguments(tuned, tmp_path / "whole")) in COMPLETE
    said = capsys.readouterr()
    assert "its decoder gets new weights" in said.out + said.err
    with monkeypatch.context() as patch:
        stop_at(patch, step=2)
        assert main(arguments(tuned, fresh)) == 1
    assert main(["--resume", str(fresh)]) in COMPLETE
    assert len(started) == 2 and (fresh / START_FILE).exists()
    used = load_checkpoint(fresh / "last.safetensors").metadata.training["options"]
    assert (used["decoder"], used["learning_rate"]) == ("fresh", 4e-4)
    first, again = started
    for name, value in uninterrupted.state["depth"].items():
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], value), name
    whole = load_checkpoint(tmp_path / "whole" / "last.safetensors")
    assert_same_weights(whole, load_checkpoint(fresh / "last.safetensors"))
    # What the run is measured against is the checkpoint itself.
    starts = [load_state(folder).history[0] for folder in (kept, fresh)]
    assert starts[0]["loss"] == starts[1]["loss"] and starts[0]["sparse"] == starts[1]["sparse"]


@pytest.mark.slow
@pytest.mark.parametrize("sees_far", [True, False])
def test_what_the_start_sees_far_is_held_far_by_the_same_start_when_resuming(
    options, uninterrupted, one_process, tmp_path, monkeypatch, sees_far
):
    monkeypatch.setattr(trainer_module, "FAR_SHARE", 0.0 if sees_far else 1.1)
    tuned = dataclasses.replace(
        options, checkpoint=str(uninterrupted.source), pose="tracks", motion_steps=0, decoder="keep"
    )
    # Corners would compare with the start, and an even change does.
    tuned = dataclasses.replace(tuned, best_by="loss", change_weight=0.0)
    begun = Trainer(dataclasses.replace(tuned, out=str(tmp_path / "begun")), one_process)
    assert begun.learner.far_weight == (0.05 if sees_far else 0.0)
    assert (begun.learner.teacher is not None) == sees_far
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    short = dataclasses.replace(tuned, steps=2)
    assert main(arguments(short, whole)) in COMPLETE
    with monkeypatch.context() as patch:
        stop_at(patch, step=1)
        assert main(arguments(short, parts)) == 1
    # What was decided stays decided.
    monkeypatch.setattr(trainer_module, "FAR_SHARE", 1.1 if sees_far else 0.0)
    assert main(["--resume", str(parts)]) in COMPLETE
    assert (parts / START_FILE).exists() == sees_far
    first, second = (load_checkpoint(folder / "last.safetensors") for folder in (whole, parts))
    assert_same_weights(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["keep", "fresh"])
def test_depth_changes_evenly_from_the_same_start_when_resuming_and_not_from_an_unfit_one(
    options, uninterrupted, one_process, tmp_path, monkeypatch, decoder
):
    monkeypatch.setattr(recipe_module, "FRESH_DECODER_STEPS", 2)
    monkeypatch.setattr(trainer_module, "hardly_knows", lambda *rest: decoder == "fresh")
    monkeypatch.setattr(trainer_module, "FAR_SHARE", 1.1)  # no sky asks for the start
    tuned = dataclasses.replace(
        options, checkpoint=str(uninterrupted.source), pose="tracks", motion_steps=0, steps=2
    )
    tuned = dataclasses.replace(tuned, best_by="loss")
    learners = []
    real = Trainer._set_train_mode

    def note(trainer):
        learners.append(trainer.learner)
        real(trainer)

    monkeypatch.setattr(Trainer, "_set_train_mode", note)
    whole, parts, uneven = tmp_path / "whole", tmp_path / "parts", tmp_path / "uneven"
    assert main(arguments(tuned, whole)) in COMPLETE
    with monkeypatch.context() as patch:
        stop_at(patch, step=1)
        assert main(arguments(tuned, parts)) == 1
    assert main(["--resume", str(parts)]) in COMPLETE
    weights = {learner.change_weight for learner in (learners[-1], learners[1])}
    assert weights == ({0.3} if decoder == "keep" else {0.0})
    assert (learners[-1].teacher is not None) == (decoder == "keep")
    first, second = (load_checkpoint(folder / "last.safetensors") for folder in (whole, parts))
    assert_same_weights(first, second)
    assert main(arguments(dataclasses.replace(tuned, change_weight=0.0), uneven)) in COMPLETE
    other = load_checkpoint(uneven / "last.safetensors")
    name = next(iter(other.state["depth"]))
    assert torch.equal(other.state["depth"][name], first.state["depth"][name]) == (
        decoder == "fresh"
    )


@pytest.mark.slow
def test_who_resumes_compares_with_the_same_start_away_from_corners(
    options, uninterrupted, tmp_path, monkeypatch
):
    start, whole, parts = (tmp_path / name for name in ("start.safetensors", "whole", "parts"))
    start.write_bytes(Path(uninterrupted.source).read_bytes())
    tuned = dataclasses.replace(
        options, checkpoint=str(start), pose="tracks", motion_steps=0, decoder="keep", steps=4
    )
    tuned = dataclasses.replace(tuned, learning_rate=0.01, validate_every=2)
    assert main(arguments(tuned, whole)) in COMPLETE
    with monkeypatch.context() as patch:
        stop_at(patch, step=3)
        assert main(arguments(tuned, parts)) == 1
    start.write_bytes((whole / "last.safetensors").read_bytes())  # another one
    assert main(["--resume", str(parts)]) in COMPLETE
    histories = [
        [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        for folder in (whole, parts)
    ]
    changes = [[(e.get("changed"), e.get("doubt")) for e in history] for history in histories]
    assert changes[0] == changes[1]
    assert changes[0][0] == (None, None) and min(changes[0][-1]) > 1e-4


@pytest.mark.slow
def test_what_a_run_began_with_is_kept_whatever_becomes_of_its_file(
    options, uninterrupted, one_process, tmp_path
):
    """Who resumes is taught by the same model when the checkpoint has been replaced."""
    start, folder = tmp_path / "began.safetensors", tmp_path / "run"
    shutil.copy(uninterrupted.source, start)
    tuned = dataclasses.replace(options, checkpoint=str(start), pose="tracks", motion_steps=0)
    kept = dataclasses.replace(tuned, keep_weight=3.0, steps=2)
    assert main(arguments(kept, folder)) in COMPLETE
    shutil.copy(folder / "last.safetensors", start)
    state = load_state(folder)
    resumed = Trainer(dataclasses.replace(kept, out=str(folder)), one_process, state)
    taught = resumed.learner.teacher.model.networks()
    last = load_checkpoint(folder / "last.safetensors")
    for network in ("encoder", "depth"):
        for name, value in taught[network].state_dict().items():
            assert torch.equal(value, uninterrupted.state[network][name]), f"{network}.{name}"
    changed = [
        not torch.equal(value, last.state["depth"][name])
        for name, value in taught["depth"].state_dict().items()
    ]
    assert any(changed)


@pytest.mark.slow
@pytest.mark.parametrize("truth", ["none", "instead"])
def test_a_run_with_kept_images_resumes_exactly(
    options, uninterrupted, store, tmp_path, monkeypatch, truth
):
    """Which images are kept depends on the step, not on how often a run was stopped."""
    frames = FrameStore.open(store)
    labelled = tmp_path / "labelled"
    depth = np.linspace(1, 9, frames.images.size // 3).reshape(frames.images.shape[:3])
    write_frame_store(labelled, np.asarray(frames.images), frames.cameras, truth=depth)
    kept = dataclasses.replace(
        options,
        data=(str(labelled),),
        truth=truth,
        checkpoint=str(uninterrupted.source),
        pose="flow",
        keep_data=(str(store),),
        # Not 3, which makes seven images in a step: torch 2.14's oneDNN then corrupts the heap in
        # the gradients of convolutions as narrow as those of the tests (not of the real ones).
        keep_images=2,
        keep_weight=2.0,
        turn_degrees=10.0,
        motion_steps=0,
        coarse_steps=0,
        steps=4,
    )
    assert main(arguments(kept, tmp_path / "whole")) in COMPLETE
    with monkeypatch.context() as patch:
        stop_at(patch, step=3)
        assert main(arguments(kept, tmp_path / "run")) == 1
    assert main(["--resume", str(tmp_path / "run")]) in COMPLETE
    whole, resumed = (
        load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "run")
    )
    assert_same_weights(whole, resumed)
    said = whole.metadata.training
    assert "kept" in said and str(store) not in json.dumps(said)
    other = dataclasses.replace(kept, keep_weight=4.0)
    assert main(arguments(other, tmp_path / "other")) in COMPLETE
    held = load_checkpoint(tmp_path / "other" / "last.safetensors").state["depth"]
    assert any(not torch.equal(value, held[key]) for key, value in whole.state["depth"].items())


@pytest.mark.slow
def test_full_disk_does_not_end_the_run_and_keeps_the_old_file(
    options, uninterrupted, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    real = trainer_module.save_checkpoint
    calls = []

    def sometimes_full(path, *rest):
        calls.append(path)
        if len(calls) in (2, 3):
            raise OSError(28, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(trainer_module, "save_checkpoint", sometimes_full)
    assert main(arguments(options, folder)) in COMPLETE
    assert "could not be saved" in capsys.readouterr().err
    assert_same_weights(uninterrupted, load_checkpoint(folder / "last.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "resume.pt"])
@pytest.mark.parametrize("always", [False, True])
def test_a_full_disk_leaves_no_state_that_speaks_of_missing_files(
    options, tmp_path, monkeypatch, capsys, name, always
):
    """One save fails, then disk is free again; or all fail: then the run fails, too."""
    folder = tmp_path / "run"
    small = dataclasses.replace(
        options, pose="posecnn", steps=2, validate_every=1, save_every=100, motion_steps=0
    )
    fill, failures = atomic_files._fill, []

    def sometimes_full(part, content):
        if f".{name}." in part.name and (always or not failures):
            failures.append(part)
            raise OSError(28, "No space left on device")
        fill(part, content)

    monkeypatch.setattr(atomic_files, "_fill", sometimes_full)
    status = main(arguments(small, folder))
    error = capsys.readouterr().err
    assert f"No space left on device: '{folder / name}'" in error
    assert "Traceback" not in error
    if always:
        assert status == 1 and not (folder / name).exists()
    else:
        assert status in COMPLETE and (folder / name).exists()
    if (folder / "resume.pt").exists():
        best = load_state(folder).best
        assert (best is not None) == (folder / "best.safetensors").exists()
    monkeypatch.undo()
    assert main(arguments(small, folder)) in COMPLETE
    assert load_checkpoint(folder / "last.safetensors").metadata.training["steps"] == 2
    assert (folder / "best.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("verify", ["background", "first", "none"])
def test_a_damaged_store_ends_the_run_with_the_frame(options, tmp_path, capsys, verify):
    damaged = tmp_path / "store"
    shutil.copytree(options.data[0], damaged)
    content = bytearray((damaged / "images.u8").read_bytes())
    content[96 * 64 * 3 * 5 + 7] ^= 64
    (damaged / "images.u8").write_bytes(content)
    changed = dataclasses.replace(options, data=(str(damaged),), verify=verify, steps=1)
    status = main(arguments(changed, tmp_path / "run"))
    assert (status in COMPLETE) == (verify == "none")
    assert ("images.u8 is damaged" in capsys.readouterr().err) == (verify != "none")


def test_a_run_computes_as_was_found_once_and_goes_on_so(
    options, one_process, tmp_path, monkeypatch
):
    """Layouts alone are open here; the slower one is what the flags suggest."""
    from training.learning import arithmetic, trainer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(trainer, "_COMPARED_STEPS", 1)
    tried = []

    def find(choices, learner, step, average):
        assert average(step(learner)) > 0.0
        tried.append(choices)
        return choices[1], {}

    monkeypatch.setattr(trainer, "find_choice", find)
    first = Trainer(options, one_process)
    [[default, chosen]] = tried
    assert arithmetic.arithmetic_of(first.learner) == chosen != default
    weight = first.model.state_dict()["encoder.encoder.layer1.0.conv1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last) == chosen.channels_last
    assert arithmetic.arithmetic_of(Trainer(options, one_process).learner) == chosen
    assert len(tried) == 1  # the second run found the answer
    # A run that is continued does not ask.
    state = dataclasses.replace(
        first.state, channels_last=default.channels_last, networks=first.model.state_dict(),
        optimizer=first.optimizer.state_dict(),
    )  # fmt: skip
    assert arithmetic.arithmetic_of(Trainer(options, one_process, state).learner) == default


def test_not_a_number_stops_with_a_diagnosis(options, one_process, tmp_path):
    options = dataclasses.replace(options, out=str(tmp_path / "run"), motion_steps=0)
    trainer = Trainer(options, one_process)
    (tmp_path / "run").mkdir()
    with torch.no_grad():
        next(iter(trainer.model.depth.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingFailure, match="step 1: loss or motion is not finite"):
        trainer.run()


def test_what_cannot_be_trained_on_is_named_before_anything_is_written(tmp_path, capsys):
    camera = PinholeCamera(96, 64, 60.0, 60.0, 47.5, 31.5)
    images = [np.zeros((64, 96, 3), np.uint8)] * 8
    write(tmp_path / "good", images, camera)
    write(tmp_path / "single", images[:1], camera)
    write(tmp_path / "outside", images, dataclasses.replace(camera, cx=500.0))
    larger = PinholeCamera(128, 64, 60.0, 60.0, 63.5, 31.5)
    write(tmp_path / "larger", [np.zeros((64, 128, 3), np.uint8)] * 8, larger)
    for stores, reason in (
        (["nowhere"], "nowhere"),
        (["single"], "sample"),
        (["outside"], "principal point"),
        (["good", "larger"], "128x64"),
    ):
        paths = [str(tmp_path / name) for name in stores]
        out = tmp_path / "run"
        words = ["--data", *paths, "--out", str(out), "--init", "none", "--batch-size", "1"]
        assert main(words) == 1
        assert reason in capsys.readouterr().err
        assert not out.exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(options, tmp_path):
    # With batch statistics each process would normalise by its own half of the batch, so they are
    # frozen; what is left must agree but for the order of sums.
    both = dataclasses.replace(options, freeze_batch_norm=True, steps=3, tie_break=0.0)
    both = dataclasses.replace(both, motion_steps=1, coarse_steps=2)  # the depth network rests once
    # One held-out sample for two processes: the second has nothing to evaluate.
    both = dataclasses.replace(both, validation_samples=1)
    one, two = tmp_path / "one", tmp_path / "two"
    program = tmp_path / "narrow_train.py"
    program.write_text(program_of("training.train"))
    assert main(arguments(both, one)) in COMPLETE
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(program), *arguments(both, two)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )
    first = load_checkpoint(one / "last.safetensors").state
    second = load_checkpoint(two / "last.safetensors").state
    for network in ("encoder", "depth", "pose"):
        for name, value in first[network].items():
            if value.is_floating_point() and "fc." not in name:
                # Adam turns tiny gradients into whole steps of the learning rate, 1e-4 here.
                torch.testing.assert_close(value, second[network][name], rtol=0, atol=1e-3)
                difference = (value - second[network][name]).abs()
                assert difference.mean() < 2e-5, f"{network}.{name}"


@pytest.mark.slow
def test_frames_without_parallax_are_not_trained_on_by_tracks(store, tmp_path, capsys):
    still = FrameStore.open(store).images[:1].repeat(12, axis=0)
    camera = FrameStore.open(store).cameras[0]
    write(tmp_path / "still", list(still), camera)
    words = ["--data", str(tmp_path / "still"), "--out", str(tmp_path / "run"), "--init", "none"]
    words += ["--pose", "tracks", "--batch-size", "2", "--steps", "2"]
    assert main(words) == 1
    assert "the motion of 0 of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("step", "budget"), [(30.0, False), (30.0, True), (0.1, False)])
def test_a_run_of_hours_says_what_an_hour_would_do(step, budget):
    from types import SimpleNamespace

    from training.learning.timing import Duration
    from training.train import _expectation

    trainer = SimpleNamespace(
        duration=Duration(step, 1.0),
        total_steps=3000,
        validation_interval=300,
        has_budget=budget,
        size_choice=None,
        training=SimpleNamespace(width=640, height=192),
        options=SimpleNamespace(batch_size=4),
        processes=SimpleNamespace(device=SimpleNamespace(type="cpu")),
    )
    lines = "\n".join(_expectation(trainer))
    is_long = step == 30.0 and not budget
    assert ("take an hour; --budget 1h measures that" in lines) == is_long
    assert ("steps of 4 at 2" in lines) == is_long
