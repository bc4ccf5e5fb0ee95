# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When an answer is measured again, and that trouble with it is no trouble."""

from __future__ import annotations

import pytest

from monodepth2_ros.backends.second_look import is_due, look_later


@pytest.mark.parametrize(
    ("answer", "load", "expected"),
    [
        ({"load": 2.0}, 0.9, True),
        ({"load": 2.0}, 1.1, False),  # not much quieter
        ({"load": 0.4}, 0.0, False),  # it was quiet
        ({"load": 2.0, "again": True}, 0.0, False),
        ({"load": 2.0, "again": False}, 0.0, True),
        ({}, 7.0, True),  # of an earlier version
        ({"load": "high"}, 0.0, True),
        ({"load": float("nan")}, 0.0, True),
    ],
)
def test_an_answer_of_a_busier_machine_is_doubtful(answer, load, expected):
    assert is_due(answer, load) == expected


def test_it_is_done_in_a_thread_that_does_not_keep_the_process():
    done = []
    thread = look_later(lambda: done.append(True), delay=0.0)
    thread.join(60)
    assert done and thread.daemon


def test_what_fails_there_fails_nothing(capfd):
    def fail():
        raise RuntimeError("cannot compile")

    look_later(fail, delay=0.0).join(60)
    assert capfd.readouterr().err == ""
