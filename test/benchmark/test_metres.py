# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live metres with the shipped model on rendered worlds: the factor, and how sure it is."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.scale import ScaleEstimate
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
        sensor="scan",
    )  # fmt: skip
    rows = [row.split("|")[2:-1] for row in metres.rows(arguments)]
    found = {row[0].strip(): row[1:] for row in rows}
    for source in sources:
        scaled, live = (float(value) for value in found[source][:2])
        error = float(found[source][3].split()[0])
        square, measured = float(found[source][6]), float(found[source][7].split()[0])
        # Largest ratio to the median-scaled figure, error in percent, and bounds of the normalised
        # error squared. The errors of one world are alike, so its mean scatters widely about 1.
        ratio, most, unsure, sure = {
            "odometry": (1.05, 5.0, 0.2, 2.0),
            "camera_height": (1.3, 10.0, 0.2, 2.5),
            "range": (1.1, 5.0, 0.02, 2.5),
        }[source]
        if (source, layout) == ("range", "street"):
            # A scan of 8 m says little of a street: better than nothing, and it says so.
            ratio, most, sure = 1.6, 20.0, 1.0
        assert live < ratio * scaled and error < most, (source, found[source])
        assert unsure < square < sure, (source, found[source])
        assert measured == 100.0 or source == "range"


def _frame(stamp, x, turn):
    pose = np.eye(4)
    pose[0, 3] = x
    pose[:3, :3] = [
        [np.cos(turn), 0.0, np.sin(turn)], [0.0, 1.0, 0.0], [-np.sin(turn), 0.0, np.cos(turn)]
    ]  # fmt: skip
    return SimpleNamespace(stamp=stamp, pose=pose, depth=np.full((4, 5), 2.0))


def test_odometry_is_judged_while_the_camera_moves():
    """40 frames ahead at 10 Hz, then 10 that turn by 5° with a centimetre each, then 10 ahead."""
    steps, turns = [0.1] * 40 + [0.01] * 10 + [0.1] * 10, [0.0] * 40 + [0.087] * 10 + [0.0] * 10
    frames = [
        _frame(k * 10**8, x, turn)
        for k, (x, turn) in enumerate(zip(np.cumsum(steps), np.cumsum(turns), strict=True))
    ]
    (source, moves), (held, rest) = metres.judged("odometry", frames)
    assert source == "odometry" and "on the spot" in held
    assert np.flatnonzero(moves).tolist() == [*range(30, 40), *range(50, 60)]
    assert np.flatnonzero(rest).tolist() == list(range(40, 50))
    ((_, every),) = metres.judged("range", frames)
    assert np.flatnonzero(every).tolist() == list(range(30, 60))


def _room(depth=3.0):
    camera = PinholeCamera(40, 24, 24.0, 24.0, 19.5, 11.5)
    return SimpleNamespace(
        stamp=5, camera=camera, depth=np.full((24, 40), depth, np.float32), scan=SimpleNamespace(
            ranges=np.full(361, 2.0), angle_min=-np.pi, angle_increment=np.pi / 180.0,
            range_min=0.1, range_max=8.0, mounting=np.eye(4),
        ),
    )  # fmt: skip


def test_range_sensors_see_what_their_kind_sees():
    assert len(metres.sensed("scan", _room())) > 350
    narrow = metres.sensed("scan-20", _room())
    bearing = np.degrees(np.arctan2(narrow[:, 1], narrow[:, 0]))
    assert 15 <= len(narrow) <= 21 and np.abs(bearing).max() < 10.0
    beam = metres.sensed("beam", _room())
    assert beam.distance == pytest.approx(3.0, abs=0.01)
    assert np.isnan(metres.sensed("beam", _room(depth=9.0)).distance)
    cloud, depth_camera = (metres.sensed(kind, _room()) for kind in ("cloud", "depth-camera"))
    assert len(cloud) == 60 and np.allclose(cloud[:, 2], 3.0)
    assert np.abs(depth_camera[:, 0] / 3.0).max() < np.tan(np.radians(20.0))
    assert not len(metres.sensed("depth-camera", _room(depth=7.0)))


def test_the_factor_of_a_recording_is_drawn(tmp_path):
    estimates = [
        ScaleEstimate(),
        *[ScaleEstimate(1.0 + 0.1 * k, 0.1, "odometry") for k in range(9)],
    ]
    found = metres.Recorded(
        np.arange(10.0), estimates, np.linspace(1.0, 2.0, 10), np.zeros((10, 7))
    )
    metres.draw(found, tmp_path / "factor.png")
    picture = cv2.imread(str(tmp_path / "factor.png"))
    assert picture.shape == (340, 900, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
