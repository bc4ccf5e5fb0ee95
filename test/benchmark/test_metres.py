# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres with the shipped model on rendered worlds: the factor, and how sure it is."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from paths import REPOSITORY

pytest.importorskip("torch", reason="torch is not installed")

_SPEC = importlib.util.spec_from_file_location("metres", REPOSITORY / "benchmark" / "metres.py")
metres = sys.modules["metres"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(metres)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["street", "room"])
def test_live_metres_are_right_and_say_how_right_they_are(layout):
    sources = ["odometry", "camera_height", "range"]
    arguments = SimpleNamespace(
        checkpoint="default", layouts=[layout], seeds=[9611], sources=sources, frames=44,
        width=192, height=128, pitch=5.0, scan_height=0.5, odometry="slip=0.02,delay=0.02",
    )  # fmt: skip
    rows = [row.split("|")[2:-1] for row in metres.rows(arguments)]
    found = {row[0].strip(): row[1:] for row in rows}
    for source in sources:
        if found[source][1].strip() == "refused":
            assert source == "range" and layout == "street"
            continue
        scaled, live = (float(value) for value in found[source][:2])
        error = float(found[source][3].split()[0])
        square, measured = float(found[source][5]), float(found[source][6].split()[0])
        # Largest ratio to the median-scaled figure, error in percent, and bounds of the normalised
        # error squared. The errors of one world are alike, so its mean scatters widely about 1.
        ratio, most, unsure, sure = {
            "odometry": (1.1, 7.0, 0.15, 2.5),
            "camera_height": (1.3, 10.0, 0.15, 3.0),
            "range": (1.3, 10.0, 0.02, 3.0),
        }[source]
        assert live < ratio * scaled and error < most, (source, found[source])
        assert unsure < square < sure, (source, found[source])
        assert measured == 100.0 or source == "range"
