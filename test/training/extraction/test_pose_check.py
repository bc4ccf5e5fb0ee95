# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The check-up judges poses: stamps, axes and mounting of rendered recordings are found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.scale.mounting import OPTICAL, mounting_pose
from monodepth2_ros.scale.poses import interpolate, quaternion
from training.extract import main as extract
from training.extraction.pose_check import (
    ImageMotion,
    check_poses,
    choose_pairs,
    measure_image_motion,
)
from training.synthesize import main as render
from training.worlds.film import synthesize
from training.worlds.take import camera_from_field_of_view

Drive = tuple[list[ImageMotion], np.ndarray, np.ndarray]

SPACING = {"room": 2, "street": 1}


@pytest.fixture(scope="module", params=["room", "street"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Motions by the images, stamps, and the poses as rows."""
    camera = camera_from_field_of_view(224, 128, 80.0)
    frames = list(synthesize(3, request.param, camera, 45, gaze=25.0, antialias=1))
    pairs = choose_pairs(np.zeros(len(frames), int), SPACING[request.param])
    measured = [
        measure_image_motion((a, frames[a].image), (b, frames[b].image), camera) for a, b in pairs
    ]
    motions = [motion for motion in measured if motion is not None]
    assert len(motions) >= 0.7 * len(pairs)
    rows = np.array([[*f.pose[:3, 3], *quaternion(f.pose[:3, :3])] for f in frames])
    return motions, np.array([frame.stamp for frame in frames]), rows


def recorded(
    drive: Drive, late_s: float = 0.0, change: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Poses that are stamped late, and changed."""
    _, stamps, rows = drive
    return lambda wanted: change(interpolate(stamps + round(late_s * 1e9), rows, wanted))


@pytest.mark.slow
def test_right_poses_agree(drive: Drive) -> None:
    check = check_poses(drive[0], drive[1], recorded(drive))
    assert check.level == "agree", check.summary
    assert check.consistent > 0.9 and check.axes == "optical" and not check.advice
    assert check.offset_s == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("late", [0.048, -0.13])
def test_offset_of_the_stamps_is_found_to_5_ms(drive: Drive, late: float) -> None:
    check = check_poses(drive[0], drive[1], recorded(drive, late))
    assert check.level == "offset", check.summary
    assert check.offset_s == pytest.approx(late, abs=0.005)
    assert check.offset_deviation_s is not None and check.offset_deviation_s < 0.005
    assert check.corrected > 0.9 and "--pose-offset" in check.advice[0]
    assert ("late" if late > 0 else "early") in check.summary


def test_axes_of_the_body_are_named_with_the_offset(drive: Drive) -> None:
    body = np.linalg.inv(OPTICAL)
    check = check_poses(drive[0], drive[1], recorded(drive, 0.06, lambda poses: poses @ body))
    assert check.level == "axes" and check.axes == "link", check.summary
    assert "camera_link" in check.summary and "--pose-axes link" in check.advice[0]
    assert check.offset_s == pytest.approx(0.06, abs=0.005)
    assert check.consistent < 0.5 < 0.9 < check.corrected


def test_other_axes_are_named(drive: Drive) -> None:
    """A recording whose axes are y down, x ahead: right = z there."""
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    check = check_poses(drive[0], drive[1], recorded(drive, change=lambda poses: poses @ turn))
    assert check.level == "axes", check.summary
    # Optical x (right) is -z of the recorded axes, optical z (ahead) its x.
    found = dict(part.rsplit(" ", 1)[::-1] for part in check.axes.split(", "))
    for name, optical in (("right", 0), ("down", 1), ("ahead", 2)):
        axis = np.linalg.inv(turn)[:3, optical]
        letter = "-" * bool(axis.sum() < 0) + "xyz"[int(np.abs(axis).argmax())]
        assert found[name] == letter


def test_inverted_poses_are_named(drive: Drive) -> None:
    check = check_poses(drive[0], drive[1], recorded(drive, change=np.linalg.inv))
    assert check.level == "inverted", check.summary
    assert "camera from world" in check.summary and "--pose-axes inverted" in check.advice[0]


def test_turned_mounting_is_measured(drive: Drive) -> None:
    """The body looks down by 12° more than the recording says."""
    down = OPTICAL @ np.eye(4)
    true = mounting_pose((0, 0, 0, 0, np.radians(12.0), 0)) @ OPTICAL
    wrong = np.linalg.inv(true) @ down
    check = check_poses(drive[0], drive[1], recorded(drive, change=lambda poses: poses @ wrong))
    assert check.level == "turned", check.summary
    assert check.turn_degrees is not None
    roll, pitch, yaw = check.turn_degrees
    assert pitch == pytest.approx(12.0, abs=2.5) and abs(roll) < 3.0 and abs(yaw) < 3.0


def test_poses_of_something_else_disagree(drive: Drive) -> None:
    motions, stamps, rows = drive
    random = np.random.default_rng(0)
    steps = np.cumsum(random.normal(size=(len(rows), 3)), axis=0)
    other = np.column_stack([steps, random.normal(size=(len(rows), 4))])
    check = check_poses(motions, stamps, lambda wanted: interpolate(stamps, other, wanted))
    assert check.level == "disagree" and check.consistent < 0.3


def test_little_motion_says_nothing(drive: Drive) -> None:
    check = check_poses(drive[0][:5], drive[1], recorded(drive))
    assert check.level == "unknown" and check.offset_s is None
    assert measure_image_motion(*[(i, np.full((64, 96, 3), 90, np.uint8)) for i in (0, 1)],
        camera_from_field_of_view(96, 64, 80.0)) is None  # fmt: skip


@pytest.mark.slow
def test_extraction_reports_late_odometry_and_takes_the_offset_it_advises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Odometry of a body with slip, 60 ms late; the camera's mounting is in /tf_static."""
    pytest.importorskip("torch", reason="torch is not installed")
    bag = tmp_path / "bag"
    words = ["--layout", "room", "--seed", "8", "--frames", "60", "--width", "224"]
    words += ["--height", "128", "--antialias", "1", "--workers", "1", "--quiet"]
    words += ["--odometry", "slip,delay=0.06", "--pitch", "5", "--gaze", "25"]
    assert render(["--out", str(bag), *words]) == 0
    size = ["--width", "224", "--height", "128", "--min-flow", "0", "--spacing", "2"]
    assert extract([str(bag), "--out", str(tmp_path / "store"), *size]) == 0
    check = json.loads((tmp_path / "store" / "report.json").read_text())["cameras"][0]["pose_check"]
    assert check["level"] == "offset", check
    assert check["offset_s"] == pytest.approx(0.06, abs=0.005)
    text = capsys.readouterr().out
    assert "their stamps are" in text and "advice: extract with --pose-offset" in text
    offset = ["--pose-offset", f"{check['offset_s']:.3f}"]
    assert extract([str(bag), "--out", str(tmp_path / "again"), *size, *offset]) == 0
    report = json.loads((tmp_path / "again" / "report.json").read_text())["cameras"][0]
    assert report["pose_check"]["level"] == "agree", report["pose_check"]
    assert "--pose-offset" not in " ".join(report["verdict"]["advice"])
