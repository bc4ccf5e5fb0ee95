# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO is imported without its converter, which is there all the same when it is called."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from monodepth2_ros.backends import factory

if importlib.util.find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)


def run(program: str) -> str:
    """Run a program in a fresh interpreter and return what it prints."""
    return subprocess.check_output([sys.executable, "-c", program], text=True).strip()


def test_the_converter_comes_when_it_is_called():
    assert (
        run("""
import sys
from monodepth2_ros.backends import openvino_backend
from monodepth2_ros.backends.openvino_library import openvino
assert sys.modules["openvino"] is openvino
print([name for name in sys.modules if name.startswith(("openvino.tools.ovc", "openvino_tele"))])
import openvino.tools.ovc
openvino.tools.ovc.convert_model = lambda *arguments, **options: (arguments, options)
print(openvino.convert_model("model", input=[1]))
print(openvino.convert_model is openvino.tools.ovc.convert_model)
""")
        == "[]\n(('model',), {'input': [1]})\nTrue"
    )


def test_a_whole_openvino_is_left_as_it_is():
    assert (
        run("""
import openvino
whole = openvino.convert_model
from monodepth2_ros.backends.openvino_library import openvino as taken
print(taken is openvino, openvino.convert_model is whole)
""")
        == "True True"
    )


@pytest.mark.parametrize(
    ("asked", "has_gpu", "is_there", "expected"),
    [
        (("auto", "auto", "auto"), False, True, True),
        (("auto", "auto", "auto"), True, True, False),
        (("auto", "cpu", "bf16"), True, True, True),
        (("auto", "cpu", "fp16"), False, True, False),
        (("auto", "cuda", "auto"), True, True, False),
        (("openvino", "cpu", "fp32"), False, True, True),
        (("openvino", "cpu", "fp32"), False, False, False),
        (("torch", "cpu", "fp32"), False, True, False),
    ],
)
def test_the_engine_is_imported_where_it_will_be_chosen(
    monkeypatch, asked, has_gpu, is_there, expected
):
    monkeypatch.setattr(factory, "_may_have_cuda", lambda: has_gpu)
    monkeypatch.setattr(factory, "is_installed", lambda name: is_there)
    assert factory.import_engine(*asked) is expected
