# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rebuild of the default model: what it learns from, what it must not, and that it goes on."""

from __future__ import annotations

import importlib
import json

import pytest
import torch
import yaml

from monodepth2_ros.checkpoint import load_checkpoint
from training import programs
from training.default_model import (
    HELD_OUT,
    RECIPE,
    Recipe,
    RecipeError,
    Step,
    data_steps,
    evaluation_steps,
    finishing_averaging_steps,
    finishing_steps,
    main,
    refining_steps,
    take,
    trained_model,
    training_steps,
)


def write(path, **changes):
    """Write the shipped recipe with some entries changed."""
    entries = {**yaml.safe_load(RECIPE.read_text()), **changes}
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return path


def test_the_shipped_recipe_learns_from_nothing_that_it_is_judged_by(tmp_path):
    recipe = Recipe.read(RECIPE)
    foreign = {*recipe.foreign_recordings, HELD_OUT}
    assert {"indoor_walk", "kitchen_scan", HELD_OUT} == foreign
    learned = set()
    for step in training_steps(recipe, "none", tmp_path, 1):
        words = list(step.command)
        learned |= {
            word.rpartition("/")[2] for word in words if word.startswith(f"{tmp_path}/stores/")
        }
        assert words[words.index("--truth") + 1] == "instead"
    for step in (*refining_steps(recipe, tmp_path, 1), *finishing_steps(recipe, tmp_path, 1)):
        words = list(step.command)
        learned |= {
            word.rpartition("/")[2] for word in words if word.startswith(f"{tmp_path}/stores/")
        }
    assert learned == {*recipe.worlds, *recipe.recordings, *recipe.labelled_recordings}
    extracted = {step.name: step.command for step in data_steps(recipe, tmp_path, tmp_path)}
    for name in recipe.recordings:
        words = extracted[f"extract {name}"]
        assert words[words.index("--truth-topic") + 1] == "none"
    # The last stage holds out what the recordings are judged by.
    held_out = list(recipe.stages.values())[-1]["validation_fraction"]
    assert held_out == recipe.validation_fraction
    judged = judged_by(recipe, tmp_path)
    for name in recipe.recordings:
        words = judged[f"judge on {name}, scaling median"]
        assert words[words.index("--stretch") + 1] == f"{1 - held_out:g}:1"
        assert f"{tmp_path}/stores/{name}_labelled" in words


def test_a_stage_may_learn_at_a_size_of_its_own(tmp_path):
    """Its data is rendered and extracted at that size, and the model judged at the last one."""
    changes = {
        "refine": {"sharp": {"data": {"home": 1, "simulated_flight_labelled": 1}, "steps": 5,
                             "size": [320, 192], "validation_fraction": 0.2}},
    }  # fmt: skip
    recipe = Recipe.read(write(tmp_path / "recipe.yaml", **changes))
    commands = {step.name: step.command for step in data_steps(recipe, tmp_path, tmp_path)}

    def size(name):
        words = commands[name]
        return [words[words.index(option) + 1] for option in ("--width", "--height")]

    for name in ("home", "streets", "simulated_flight", "highway_drive"):
        assert size(f"extract {name}") == ["192", "128"]
    for name in ("home", HELD_OUT, "indoor_walk", "robot_floor", "highway_drive_labelled"):
        assert size(f"extract {name}_320x192") == ["320", "192"]
    assert size("render home_320x192") == size(f"render {HELD_OUT}_320x192") == ["320", "192"]
    labelled = commands["extract simulated_flight_labelled_320x192"]
    assert "--truth-topic" not in labelled and "none" in commands["extract simulated_flight"]
    (step,) = refining_steps(recipe, tmp_path, 1)
    stores = {word for word in step.command if "/stores/" in word}
    assert {store.rpartition("/")[2] for store in stores} == {
        "home_320x192",
        "simulated_flight_labelled_320x192",
    }
    assert "--size" not in step.command
    assert all("_320x192" in " ".join(words) for words in judged_by(recipe, tmp_path).values())


def test_a_stage_that_finishes_keeps_photographs_and_goes_on_from_what_was_refined(tmp_path):
    stage = {"data": {"home": 2}, "keep": {"rooms": 2, "highway_drive": 1}, "steps": 5,
             "size": [320, 192], "keep_weight": 1.5}  # fmt: skip
    rooms = {"folder": "config/panoramas", "views": 10, "seed": 0, "licence": "CC0"}
    changes = {
        "panoramas": {"rooms": rooms},
        "finish": {"last": stage},
        "finished_share": 0.25,
    }
    recipe = Recipe.read(write(tmp_path / "recipe.yaml", **changes))
    commands = {step.name: step.command for step in data_steps(recipe, tmp_path, tmp_path)}
    words = commands["cut views of rooms_320x192"]
    assert words[words.index("--width") + 1] == "320" and "--views" in words
    assert sum(word.endswith(".jpg") for word in words) == len(recipe.panoramas["rooms"].files) > 0
    assert "--truth-topic" in commands["extract highway_drive_320x192"]
    (step,) = finishing_steps(recipe, tmp_path, 1)
    words = list(step.command)
    kept = words[words.index("--keep-data") + 1 : words.index("--out")]
    assert [word.rpartition("/")[2] for word in kept] == [
        "rooms_320x192",
        "rooms_320x192",
        "highway_drive_320x192",
    ]
    assert words[words.index("--checkpoint") + 1] == str(tmp_path / "refined.safetensors")
    assert words[words.index("--keep-weight") + 1] == "1.5" and "--keep" not in words
    (step,) = finishing_averaging_steps(recipe, tmp_path)
    assert step.result == trained_model(recipe, tmp_path) == tmp_path / "finished.safetensors"
    last = str(tmp_path / "runs" / "last" / "last.safetensors")
    assert {str(tmp_path / "refined.safetensors"), last} <= set(step.command)
    whole = Recipe.read(write(tmp_path / "whole.yaml", **{**changes, "finished_share": 1.0}))
    assert not list(finishing_averaging_steps(whole, tmp_path))
    assert str(trained_model(whole, tmp_path)) == last


def judged_by(recipe, folder):
    return {step.name: step.command for step in evaluation_steps(recipe, folder / "m", folder)}


def test_a_recording_without_truth_is_judged_by_its_steadiness_alone(tmp_path):
    recipe = Recipe.read(RECIPE)
    for name, size in (("indoor_walk", [64, 64]), ("kitchen_scan", None)):
        (tmp_path / "stores" / name).mkdir(parents=True)
        header = json.dumps({"truth_size": size})
        (tmp_path / "stores" / name / "store.json").write_text(header)
    judged = judged_by(recipe, tmp_path)
    assert "judge on indoor_walk, scaling none" in judged
    assert "--picture" in judged["judge on indoor_walk, scaling median"]
    assert "judge on kitchen_scan, scaling none" not in judged
    words = judged["judge on kitchen_scan, scaling median"]
    assert "--temporal" in words and "--picture" not in words


def test_a_world_that_is_missing_is_rendered(tmp_path):
    recipe = Recipe.read(RECIPE)
    first, seed = next(iter(recipe.worlds.items()))[0], next(iter(recipe.worlds.values())).seed
    folder = tmp_path / "worlds" / first
    count = recipe.worlds[first].count
    for index in range(count):
        (folder / f"world_{seed + index:05d}").mkdir(parents=True)
    assert next(data_steps(recipe, tmp_path, tmp_path)).result.exists()
    (folder / f"world_{seed + 3:05d}").rmdir()
    assert not next(data_steps(recipe, tmp_path, tmp_path)).result.exists()


def test_no_recording_is_learned_from_before_its_last_part_is_held_out():
    recipe = Recipe.read(RECIPE)
    for name, stage in recipe.stages.items():
        if set(stage["data"]) & set(recipe.recordings):
            assert stage["validation_fraction"] == recipe.validation_fraction, name


def test_the_next_stage_starts_from_the_one_before_and_a_begun_one_goes_on(tmp_path):
    recipe = Recipe.read(RECIPE)
    first, second, *_ = training_steps(recipe, "weights.safetensors", tmp_path, 1)
    assert first.command[first.command.index("--init") + 1] == "weights.safetensors"
    start = second.command[second.command.index("--checkpoint") + 1]
    assert start == str(tmp_path / "runs" / "worlds" / "last.safetensors")
    (tmp_path / "runs" / "worlds").mkdir(parents=True)
    (tmp_path / "runs" / "worlds" / "options.yaml").touch()
    again = next(training_steps(recipe, "weights.safetensors", tmp_path, 1))
    start = again.command.index("--resume")
    assert again.command[start + 1] == str(tmp_path / "runs" / "worlds")
    assert again.command[again.command.index("--steps") + 1] == str(
        recipe.stages["worlds"]["steps"]
    )
    assert "--data" not in again.command and "--init" not in again.command
    assert again.result == first.result


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 3}, "it takes .*foreign_recordings"),
        ({"worlds": {"home": {"layout": "home"}}}, "has no field `count`"),
        ({"held_out_worlds": {"layout": "home", "count": 9, "seed": 9999}}, "seed 10000 is in"),
        ({"foreign_recordings": ["highway_drive"]}, "foreign too"),
        ({"stages": {"one": {"data": {"moon": 1}, "steps": 3}}}, "stage 'one' has data"),
        ({"stages": {"one": {"data": {"home": 1}}}}, "and steps"),
        ({"stages": {"one": {"data": {"home": 1}, "steps": 3}}}, "give two of the stages"),
        ({"mean": {"worlds": 0.5, "many": 0.6}}, "add up to 1"),
        ({"mean": {"many": 0.5, "worlds": 0.5}}, "the earlier first"),
        ({"refine": {"one": {"data": {"moon": 1}, "steps": 3}}}, "stage 'one' has data"),
        (
            {"refine": {"one": {"data": {"home": 1}, "steps": 3, "size": [320, "x"]}}},
            r"stages.one.size.*",
        ),
        ({"refine": {"many": {"data": {"home": 1}, "steps": 3}}}, "give other names"),
        (
            {
                "refine": {"a": {"data": {"home": 1}, "steps": 3}},
                "finish": {"a": {"data": {"home": 1}, "steps": 3}},
            },
            "more than one of stages",
        ),
        ({"finish": {"a": {"data": {"home": 1}, "steps": 3, "keep": {"home": 1}}}}, "it can keep"),
        (
            {"panoramas": {"rooms": {"folder": "launch", "views": 1, "seed": 0, "licence": ""}}},
            "holds no .jpg file",
        ),
        ({"labelled_recordings": {"robot_floor": "", "indoor_walk": ""}}, "foreign too"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(tmp_path, changes, words):
    with pytest.raises(RecipeError, match=words):
        Recipe.read(write(tmp_path / "recipe.yaml", **changes))


def test_steps_that_are_done_are_passed_over(tmp_path):
    ran = []
    (tmp_path / "a").mkdir()

    def run(command):
        ran.append(command)
        (tmp_path / "a" / command[0]).touch()

    steps = [Step(name, tmp_path / "a" / name, (name,)) for name in ("one", "two")]
    assert take(iter(steps), tmp_path / "log", run) == 2
    assert take(iter(steps), tmp_path / "log", run) == 0
    assert ran == [("one",), ("two",)]
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [entry["step"] for entry in log] == ["one", "two"]


def test_a_step_without_its_result_stops_the_rebuild(tmp_path):
    steps = [Step("render", tmp_path / "a" / "b", ("true",))]
    with pytest.raises(RuntimeError, match="render ended without"):
        take(iter(steps), tmp_path / "log", lambda command: None)


def test_a_recording_that_is_missing_is_named_before_any_work(tmp_path, capsys):
    assert main(["--recordings", str(tmp_path), "--out", str(tmp_path / "work")]) == 1
    assert "has no simulated_flight" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.fixture
def ran(monkeypatch):
    """Note which commands of the package are called."""
    names, call = [], programs.call

    def note(name, words):
        names.append(name)
        call(name, words)

    monkeypatch.setattr(programs, "call", note)
    return names


def test_a_command_that_fails_or_is_interrupted_ends_the_rebuild(tmp_path, capsys, monkeypatch):
    with pytest.raises(RuntimeError, match="training.export ended with status 1"):
        programs.call("export", [tmp_path / "none", tmp_path / "out.onnx"])
    with pytest.raises(RuntimeError, match="training.synthesize ended with status 2"):
        programs.call("synthesize", ["--frames", "0", "--out", tmp_path / "bag"])
    assert "give at least" in capsys.readouterr().err
    monkeypatch.setattr(importlib.import_module("training.evaluate"), "main", lambda words: 130)
    with pytest.raises(KeyboardInterrupt):
        programs.call("evaluate", [])
    with pytest.raises(ValueError, match="'bake' is not a command"):
        programs.call("bake", [])


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
def test_a_small_rebuild_from_nothing(tmp_path, ran, capsys):
    """Everything of the real one, with few and small images; then once more, when all is done."""
    synthesize = importlib.import_module("training.synthesize").main
    for seed, name in enumerate(("ride", "walk", "tour")):
        words = ["--out", str(tmp_path / "bags" / name), "--seed", str(seed), "--frames", "12"]
        words += ["--width", "64", "--height", "64", "--workers", "1", "--quiet"]
        assert synthesize(words) == 0
    stage = {"batch_size": 2, "steps": 2, "tensorboard": False, "device": "cpu"}
    recipe = write(
        tmp_path / "recipe.yaml",
        size=[64, 64],
        worlds={"room": {"layout": "room", "count": 2, "seed": 10}},
        held_out_worlds={"layout": "random", "count": 1, "seed": 50},
        frames=4,
        recordings={"ride": "a licence"},
        foreign_recordings=["walk"],
        stages={
            "first": {"data": {"room": 1}, "validation_fraction": 0, **stage},
            "second": {"data": {"room": 1, "ride": 2}, "validation_fraction": 0.2, **stage},
        },
        mean={"first": 0.25, "second": 0.75},
        labelled_recordings={"tour": "another licence"},
        refine={"third": {"data": {"tour": 1, "room": 1}, "validation_fraction": 0.2, **stage}},
        refined_share=0.5,
        panoramas={
            "photos": {"folder": "config/panoramas", "views": 2, "seed": 0, "licence": "CC0"}
        },
        finish={
            "fourth": {
                "data": {"room": 1, "ride_labelled": 1},
                "keep": {"photos": 1, "ride": 1},
                "keep_weight": 1.0,
                "keep_images": 2,
                "validation_fraction": 0.2,
                **stage,
            }
        },
        finished_share=0.75,
    )
    words = ["--recordings", str(tmp_path / "bags"), "--init", "none", "--recipe-file", str(recipe)]
    words += ["--out", str(tmp_path / "work"), "--commit", "abc"]
    assert main(words) == 0
    checkpoint = load_checkpoint(tmp_path / "work" / "default.safetensors")
    assert set(checkpoint.state) == {"encoder", "depth"}
    assert checkpoint.metadata.training["steps"] == 2
    first, second = (
        load_checkpoint(tmp_path / "work" / "runs" / name / "last.safetensors").state["depth"]
        for name in ("first", "second")
    )
    averaged = load_checkpoint(tmp_path / "work" / "averaged.safetensors").state["depth"]
    for key, value in averaged.items():
        mean = 0.25 * first[key] + 0.75 * second[key]
        torch.testing.assert_close(value.float(), mean, rtol=1e-3, atol=1e-4)
    # What goes on is half of the mean, and half of what the refining made of it.
    options = yaml.safe_load((tmp_path / "work" / "runs" / "third" / "options.yaml").read_text())
    assert options["checkpoint"] == str(tmp_path / "work" / "averaged.safetensors")
    refined = load_checkpoint(tmp_path / "work" / "runs" / "third" / "last.safetensors").state
    half = load_checkpoint(tmp_path / "work" / "refined.safetensors").state["depth"]
    for key, value in half.items():
        mean = 0.5 * averaged[key] + 0.5 * refined["depth"][key]
        torch.testing.assert_close(value.float(), mean, rtol=2e-3, atol=2e-4)
    # What is written is a quarter of that, and the rest is what finishing made of it.
    options = yaml.safe_load((tmp_path / "work" / "runs" / "fourth" / "options.yaml").read_text())
    assert options["checkpoint"] == str(tmp_path / "work" / "refined.safetensors")
    assert [name.rpartition("/")[2] for name in options["keep_data"]] == ["photos", "ride"]
    finished = load_checkpoint(tmp_path / "work" / "runs" / "fourth" / "last.safetensors").state
    for key, value in checkpoint.state["depth"].items():
        mean = 0.25 * half[key] + 0.75 * finished["depth"][key]
        torch.testing.assert_close(value.float(), mean, rtol=2e-3, atol=2e-4)
    said = checkpoint.metadata.provenance
    assert said["data"]["tour"] == "first 80 %, with its depth"
    assert said["licences"]["tour"] == "another licence"
    assert said["licences"]["photos"] == "CC0" and "2 views of each" in said["data"]["photos"]
    assert said["commit"] == "abc" and said["licences"]["ride"] == "a licence"
    assert str(tmp_path) not in json.dumps(said)
    figures = said["figures"]
    assert set(figures) == {HELD_OUT, "ride", "tour", "walk", "walk_last"}
    assert figures["tour"]["frames"] < 12  # the held-out part alone
    assert figures["walk"]["abs_rel"] > 0 and figures["walk"]["frames"] == 12
    assert "best constant depth" in figures["walk"]["baselines"]
    assert "truth itself" in figures["walk"]["steadiness"]
    assert ran.count("train") == 4 and ran.count("panoramas") == 1 and "averaging" in ran

    ran.clear()
    assert main(words) == 0
    assert ran == ["export"]
    assert "train fourth: done before" in capsys.readouterr().out
