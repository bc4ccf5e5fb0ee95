# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""config/depth.yaml and the node's page are what docs/make_parameters.py writes now."""

from __future__ import annotations

import importlib.util

import pytest

from paths import REPOSITORY

_SPEC = importlib.util.spec_from_file_location(
    "make_parameters", REPOSITORY / "docs" / "make_parameters.py"
)
assert _SPEC is not None and _SPEC.loader is not None
make_parameters = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_parameters)


@pytest.mark.parametrize(
    ("written", "now"),
    [
        (make_parameters.FILE, make_parameters.parameter_file),
        (make_parameters.PAGE, make_parameters.page),
    ],
)
def test_what_is_generated_is_current(written, now):
    assert written.read_text(encoding="utf-8") == now(), "run python docs/make_parameters.py"


def test_a_changed_default_changes_both(monkeypatch):
    first, *others = make_parameters.PARAMETERS
    changed = type(first)(first.name, "mine.safetensors", "Another meaning.")
    monkeypatch.setattr(make_parameters, "PARAMETERS", (changed, *others))
    text = make_parameters.parameter_file()
    assert '    # Another meaning.\n    checkpoint: "mine.safetensors"\n' in text
    row = "| `checkpoint` | string | `mine.safetensors` | no | Another meaning. [What it is worth]"
    assert row in make_parameters.page()
