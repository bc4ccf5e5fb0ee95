# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options from the command line and from files are the same, and mistakes get a sentence."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from monodepth2_ros.command_line import CommandLine, MissingExtra, option_words, require
from monodepth2_ros.option_fields import (
    SHARED,
    OptionError,
    check_options,
    option,
    shared_option,
)


@dataclass(frozen=True)
class Options:
    out: Path = shared_option("out", details="a folder")
    model: str | None = option(None, "The model.", positional=True)
    bags: tuple[Path, ...] = option((), "Recordings.", positional=True)
    flip: bool = option(False, "Add 5 % more.", section="how")
    mask: bool = option(True, "Mask.", section="how")
    maybe: bool | None = option(None, "Decided later.", section="how")
    steps: int | None = option(None, "Steps.", least=1)
    layers: Literal[18, 34] = option(18, "Layers.")
    mode: Literal["near", "far"] = option("near", "Mode.")
    crop: tuple[float, float, float, float] = shared_option("crop", (0.0, 0.0, 0.0, 0.0))
    sources: tuple[int, ...] = option((-1, 1), "Neighbours.")
    rate: float = option(1e-4, "Rate.", above=0, below=10)
    params: tuple[str, ...] = option((), "Parameters.", short="-p")

    def __post_init__(self) -> None:
        check_options(self)


LINE = CommandLine("depth_test", Options, "Test.", renamed={"--output": "--out DIR"})


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        LINE.parse(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("depth_test: ") and said.count("\n") == 1
    return said


def test_values_of_all_kinds() -> None:
    words = "m.safetensors a b --out x --flip --no-mask --crop 0 0.1 0 0.2 --sources -2 2 "
    words += "--layers 34 --mode far --rate 1e-3 --steps 7 -p a:=1 b:=2 --no-maybe"
    assert LINE.parse(words.split()) == Options(
        Path("x"),
        "m.safetensors",
        (Path("a"), Path("b")),
        True,
        False,
        False,
        7,
        34,
        "far",
        (0.0, 0.1, 0.0, 0.2),
        (-2, 2),
        1e-3,
        ("a:=1", "b:=2"),
    )
    assert LINE.parse(["--out", "x"]) == Options(Path("x"))


def test_a_config_file_says_the_same_and_the_command_line_more(tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(
        "out: here\nmodel: m\nbags: [a, b]\nflip: true\nmaybe: null\nrate: 1e-3\nsteps: 3\n"
        "crop: [0, 0.1, 0, 0]\n"
    )
    options = LINE.parse(["--config", str(config), "--steps", "8"])
    assert options == Options(
        Path("here"), "m", (Path("a"), Path("b")), True, steps=8, rate=1e-3, crop=(0.0, 0.1, 0, 0)
    )
    assert LINE.parse([f"--config={config}", "other", "--out", "y"]).model == "other"


def test_what_print_config_writes_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "--out",
        "x",
        "--flip",
        "--crop",
        "0",
        "0.1",
        "0",
        "0.2",
        "--rate",
        "1e-5",
        "--layers",
        "34",
    ]
    with pytest.raises(SystemExit):
        LINE.parse([*given, "--print-config"])
    config = tmp_path / "options.yaml"
    config.write_text(capsys.readouterr().out)
    assert LINE.parse(["--config", str(config)]) == LINE.parse(given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: (--)?out"),
        ("--out x --layers 19", "--layers: '19' given; it takes 18, 34"),
        ("--out x --mode left", "--mode: 'left' given; it takes near, far"),
        ("--out x --steps two", "--steps: 'two' given; it takes an integer"),
        ("--out x --rate nan", "--rate: 'nan' given; it takes a number"),
        ("--out x --crop 1 2", "--crop: expected 4 arguments"),
        ("--output x", "--output is gone; write --out DIR"),
        ("--output=x", "--output is gone; write --out DIR"),
        ("--out x --mask false", "--mask takes no value; write --no-mask"),
        ("--out x --flip=true", "--flip takes no value; write --flip"),
        ("--out x --fli", "unrecognized arguments: --fli"),
        ("--out x --config nowhere.yaml", "--config nowhere.yaml cannot be read: .*No such file"),
    ],
)
def test_mistakes_get_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    said = refused(capsys, *arguments.split())
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("flop: 1", "there is no option 'flop'"),
        ("flip: 7", "--flip is 7; it takes true or false"),
        ("layers: 50", "--layers is 50; it takes 18, 34"),
        ("bags: 7", "--bags is 7; it takes a list, each a path"),
        ("steps: true", "--steps is True; it takes an integer or null"),
        ("steps: 1.5", "--steps is 1.5; it takes an integer or null"),
        ("rate: .nan", "--rate is nan; it takes a number"),
        ("crop: [0, 0, 0]", "--crop is [0, 0, 0]; it takes 4 values, each a number"),
        ("crop: {a: 1}", "--crop is {'a': 1}; it takes 4 values"),
        ("out: null", "--out is None; it takes a path"),
        ("output: x", "output is gone; write --out DIR"),
        ("[1, 2]", "must hold a mapping"),
        ("{a: : b", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_mistakes_in_a_config_file_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    config = tmp_path / "options.yaml"
    config.write_text(content)
    said = refused(capsys, "--out", "x", "--config", str(config))
    assert message in said and str(config) in said, said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--steps 0", "--steps is 0; give at least 1"),
        ("--rate 0", "--rate is 0.0; give more than 0"),
        ("--rate 10", "--rate is 10.0; give less than 10"),
    ],
)
def test_limits(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert message in refused(capsys, "--out", "x", *arguments.split())


def test_a_library_is_told_by_an_error() -> None:
    with pytest.raises(OptionError, match="--steps is 0; give at least 1"):
        Options(Path("x"), steps=0)
    with pytest.raises(OptionError, match="--layers is 19; it takes 18, 34"):
        Options(Path("x"), layers=19)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="--kind is 'blue'; it takes red, green"):
        Choosing("blue")


@dataclass(frozen=True)
class Choosing:
    kind: str = option("red", "Kind.", choices=("red", "green"))

    def __post_init__(self) -> None:
        check_options(self)


def test_the_help_shows_defaults_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        LINE.parse(["--help"])
    assert stopped.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "Mask (default: yes)",
        "Layers (default: 18)",
        "Neighbours (default: -1 1)",
        "--maybe, --no-maybe Decided later",
        "Add 5 % more",
        f"{SHARED['out']}; a folder",
        "--config FILE",
    ):
        assert part in said


def test_words_of_an_option_are_read_as_its_value() -> None:
    values = {"flip": True, "mask": False, "sources": (-2, 2), "rate": 0.5, "out": "x"}
    words = [word for name, value in values.items() for word in option_words(name, value)]
    assert words[:2] == ["--flip", "--no-mask"]
    assert LINE.parse(words) == Options(Path("x"), flip=True, mask=False, sources=(-2, 2), rate=0.5)


def test_a_missing_extra_is_named() -> None:
    require("train", "json")
    with pytest.raises(MissingExtra, match=r"no_such_package is not installed.*\[train\]"):
        require("train", "json", "no_such_package")


def test_old_values_are_refused_with_the_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass(frozen=True)
    class Precise:
        precision: Literal["auto", "fp32", "bf16"] = shared_option("precision", "auto")

        def __post_init__(self) -> None:
            check_options(self)

    line = CommandLine("depth_test", Precise, "Test.")
    (tmp_path / "old.yaml").write_text("precision: bfloat16\n")
    for words, new in (
        (["--precision", "float32"], "write fp32"),
        (["--config", str(tmp_path / "old.yaml")], "write bf16"),
    ):
        with pytest.raises(SystemExit):
            line.parse(words)
        assert new in capsys.readouterr().err
    with pytest.raises(SystemExit):
        line.parse(["--precision", "float16"])  # it has no fp16
    assert "it takes auto, fp32, bf16" in capsys.readouterr().err


def test_a_completion_script_knows_options_and_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as stopped:
        CommandLine("depth_test", Options, "Test.").parse(["--print-completion", "bash"])
    assert stopped.value.code == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("--no-mask", "--out", "near", "34"))
    assert "it takes bash" in refused(capsys, "--print-completion", "dos")
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "monodepth2_ros[completion]" in refused(capsys, "--print-completion=bash")
