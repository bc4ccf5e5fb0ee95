# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter table, and that config/depth.yaml and docs/reference/node.md say the same."""

from __future__ import annotations

import re

import pytest
import yaml

from monodepth2_ros.node.parameters import PARAMETERS, check_together
from paths import REPOSITORY

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
DEFAULTS = {
    name: list(p.default) if isinstance(p.default, tuple) else p.default
    for name, p in BY_NAME.items()
}


def flatten(tree: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def test_names_are_unique_and_defaults_are_allowed():
    assert len(BY_NAME) == len(PARAMETERS)
    for parameter in PARAMETERS:
        assert parameter.check(DEFAULTS[parameter.name]) is None, parameter.name
        assert parameter.description.endswith("."), parameter.name
    assert check_together(DEFAULTS) is None
    # A dump nests them at the dots: no parameter may stand where a group does.
    for name in (*BY_NAME, *(f"front_camera.{name}" for name in BY_NAME)):
        for group in name.split(".")[:-1]:
            assert group not in BY_NAME, name
    for name in BY_NAME:
        assert "cannot be the name of a camera" in BY_NAME["cameras"].check([name.split(".")[0]])


def test_yaml_has_every_parameter_with_its_default_and_comment():
    text = (REPOSITORY / "config" / "depth.yaml").read_text()
    tree = yaml.safe_load(text)
    flat = flatten(tree["/**"]["ros__parameters"])
    assert flat == DEFAULTS
    assert list(flat) == list(BY_NAME)  # in the same order
    for name, value in flat.items():
        assert type(value) is type(DEFAULTS[name]), f"{name} has another type in YAML"
    words = " ".join(re.findall(r"^\s*# ?(.*)$", text, flags=re.MULTILINE))
    for parameter in PARAMETERS:
        marked = ("[live] " if parameter.live else "") + parameter.description
        assert marked in words, f"config/depth.yaml describes {parameter.name} differently"


def test_docs_table_agrees_with_the_code():
    rows = re.findall(
        r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| (yes|no) \| (.+) \|$",
        (REPOSITORY / "docs" / "reference" / "node.md").read_text(),
        flags=re.MULTILINE,
    )
    table = {
        name: (kind, default.strip("`"), live, text) for name, kind, default, live, text in rows
    }
    assert list(table) == list(BY_NAME)
    for name, (kind, default, live, text) in table.items():
        parameter = BY_NAME[name]
        assert kind == parameter.type_name, name
        assert live == ("yes" if parameter.live else "no"), name
        assert text.startswith(parameter.description), name
        for choice in parameter.choices:
            assert f"`{choice}`" in text, name
        expected = yaml.safe_dump(DEFAULTS[name], default_flow_style=True).split("\n")[0]
        assert default == ("empty" if DEFAULTS[name] == "" else expected.strip("'")), name


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("backend", "tensorrt", "must be one of auto, torch, openvino"),
        ("scale", 0.0, "the least is 1e-06"),
        ("scale", float("nan"), "must be finite"),
        ("points.stride", 65, "the most is 64"),
        ("crop", [0.1, 0.1], "has 2 values; it takes 4"),
        ("color_range", [0.0, float("inf")], "must be finite"),
    ],
)
def test_refusals_name_value_and_fix(name, value, reason):
    refusal = BY_NAME[name].check(value)
    assert refusal is not None and reason in refusal and name in refusal


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_range": 5.0, "max_range": 5.0}, "the first must be the smaller"),
        ({"color_range": [5.0, 1.0]}, "near < far"),
        ({"crop": [0.1, -1.0, 0.0, 0.0]}, "four times -1"),
        ({"crop": [0.5, 0.0, 0.5, 0.0]}, "leaves no image"),
    ],
)
def test_values_must_fit_together(change, reason):
    refusal = check_together({**DEFAULTS, **change})
    assert refusal is not None and reason in refusal
    assert check_together({**DEFAULTS, "crop": [0.0, 0.2, 0.0, 0.1]}) is None
