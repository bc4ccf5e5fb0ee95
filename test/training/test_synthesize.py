# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered sequences and the recordings made of them."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from monodepth2_ros.camera import Calibration, PinholeCamera
from monodepth2_ros.scale.poses import quaternion
from paths import REPOSITORY
from training.synthesize import main
from training.worlds.bag_writer import encode_depth, write_recording
from training.worlds.camera_path import camera_path
from training.worlds.film import SyntheticFrame, render_sequence, synthesize
from training.worlds.scenes.layouts import LAYOUTS, sample_world
from training.worlds.take import camera_from_field_of_view

CAMERA = camera_from_field_of_view(96, 64, 80.0)


def sequence(seed: int = 1, layout: str = "street", frames: int = 4, **options):
    return list(synthesize(seed, layout, CAMERA, frames, **options))


def warp(target: SyntheticFrame, source: SyntheticFrame, pose: np.ndarray):
    """Sample the source where the target's pixels are in it; the image and what is visible."""
    camera = target.camera
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    z = np.where(np.isfinite(target.depth), target.depth, np.nan).astype(np.float64)  # no sky
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)
    motion = np.linalg.inv(pose) @ target.pose
    x, y, depth = np.moveaxis(points @ motion[:3, :3].T + motion[:3, 3], -1, 0)
    with np.errstate(invalid="ignore"):
        u = (x / depth * camera.fx + camera.cx).astype(np.float32)
        v = (y / depth * camera.fy + camera.cy).astype(np.float32)
        inside = (u > 0) & (u < camera.width - 1) & (v > 0) & (v < camera.height - 1)
        sampled = cv2.remap(source.depth, u, v, cv2.INTER_NEAREST)
        visible = inside & (depth > 0.0) & (np.abs(sampled - depth) < 0.03 * depth)
    return cv2.remap(source.image.astype(np.float32), u, v, cv2.INTER_LINEAR), visible


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_neighbours_agree_when_warped_with_the_true_depth_and_pose(layout):
    camera = camera_from_field_of_view(192, 96, 80.0)
    # What a shining floor reflects is not where the floor is; a slow camera needs fewer frames.
    seed = next(seed for seed in range(3, 20) if not sample_world(seed, layout, 5.0, 1.2).mirror)
    rate = 3.0 if layout in ("hall", "tabletop") else 10.0
    target, source = list(synthesize(seed, layout, camera, 10, rate))[-2:]
    warped, visible = warp(target, source, source.pose)
    # On a highway much is sky, and much of the ground leaves the picture between two frames.
    assert visible.mean() > (0.2 if layout == "highway" else 0.4)
    error = np.abs(warped - target.image).mean(axis=-1)[visible].mean()
    assert error < 4.0  # of 255
    # With the translation turned round, or with the pose of the target, it is not so.
    turned = source.pose.copy()
    turned[:3, 3] = 2.0 * target.pose[:3, 3] - source.pose[:3, 3]
    for wrong in (turned, target.pose):
        warped, _ = warp(target, source, wrong)
        assert np.abs(warped - target.image).mean(axis=-1)[visible].mean() > 3.0 * error


@pytest.mark.parametrize("layout", ["street", "room", "open"])
def test_pictures_have_contrast(layout):
    (frame,) = sequence(6, layout, 1)
    grey = frame.image.mean(axis=-1)
    assert 50.0 < grey.mean() < 210.0
    assert grey.std() > 20.0
    # Nearly everywhere that something is seen there is something to match.
    spread = cv2.dilate(grey, np.ones((7, 7))) - cv2.erode(grey, np.ones((7, 7)))
    assert (spread[np.isfinite(frame.depth)] > 6.0).mean() > 0.9


def test_frames_follow_the_seed():
    first, again, other = (sequence(seed, moving_objects=2) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        assert one.stamp == two.stamp
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.depth, two.depth)
        np.testing.assert_array_equal(one.pose, two.pose)
    assert not np.array_equal(first[0].image, other[0].image)


def test_frames_are_of_the_size_the_rate_and_the_camera():
    frames = sequence(frames=5, rate=25.0)
    assert [frame.stamp - frames[0].stamp for frame in frames] == [k * 40_000_000 for k in range(5)]
    for frame in frames:
        assert frame.image.shape == (64, 96, 3) and frame.image.dtype == np.uint8
        assert frame.depth.shape == (64, 96) and frame.depth.dtype == np.float32
        assert frame.camera == CAMERA
        assert frame.pose.shape == (4, 4)


@pytest.mark.slow
def test_the_standstill_shows_only_what_moves():
    options = {"frames": 30, "rate": 10.0, "standstill": 1.0}
    empty = sequence(**options)[13:17]
    for frame in empty[1:]:
        np.testing.assert_array_equal(frame.image, empty[0].image)
        np.testing.assert_array_equal(frame.depth, empty[0].depth)
    busy = sequence(moving_objects=2, **options)[13:17]
    changed = (busy[0].image != busy[-1].image).any(axis=-1)
    assert 0.001 < changed.mean() < 0.2


@pytest.mark.slow
def test_several_processes_render_the_same():
    # More than two batches.
    alone = sequence(frames=18, moving_objects=1)
    together = sequence(frames=18, moving_objects=1, workers=2)
    assert len(together) == 18
    for one, two in zip(alone, together, strict=True):
        assert one.stamp == two.stamp
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.depth, two.depth)


def test_the_parts_can_be_used_by_themselves():
    world = sample_world(1, "open", 10.0)
    path = camera_path(world.route, 3, speed=2.0)
    frames = list(render_sequence(world, path, CAMERA, antialias=1))
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2].pose, path.poses[2])


def test_the_field_of_view_reaches_from_border_to_border():
    camera = camera_from_field_of_view(320, 96, 90.0)
    assert camera.fx == camera.fy == pytest.approx(160.0)
    # The left border of the first pixel is at −0.5.
    assert math.degrees(math.atan((camera.cx + 0.5) / camera.fx)) == pytest.approx(45.0)
    assert (camera.cx, camera.cy) == (159.5, 47.5)


def stamp_of(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def read(folder: Path) -> dict[str, list]:
    """All messages by topic; every message was received at its header's stamp."""
    messages: dict[str, list] = {}
    with AnyReader([folder]) as reader:
        for connection, received, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            assert received == stamp_of(message)
            messages.setdefault(connection.topic, []).append(message)
    return messages


def rotation_of(orientation) -> np.ndarray:
    """Rotation matrix of a quaternion, by the rotation of the basis vectors (q v q*)."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    vector = np.array([x, y, z])
    basis = np.eye(3)
    return np.stack(
        [
            e + 2 * w * np.cross(vector, e) + 2 * np.cross(vector, np.cross(vector, e))
            for e in basis
        ],
        axis=1,
    )


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recording_holds_the_frames(tmp_path, storage):
    frames = sequence(frames=3, moving_objects=1)
    assert write_recording(tmp_path / "bag", iter(frames), storage=storage) == 3
    # The files carry the folder's name, and nothing else is left.
    suffix = {"mcap": "mcap", "sqlite3": "db3"}[storage]
    assert {path.name for path in tmp_path.rglob("*")} == {"bag", "metadata.yaml", f"bag.{suffix}"}
    messages = read(tmp_path / "bag")
    assert set(messages) == {
        "/camera/image_raw",
        "/camera/camera_info",
        "/camera/depth/image_raw",
        "/odom",
    }
    for topic, received in messages.items():
        assert [stamp_of(message) for message in received] == [frame.stamp for frame in frames]
        frame_id = "world" if topic == "/odom" else "camera_optical_frame"
        assert {message.header.frame_id for message in received} == {frame_id}
    for k, frame in enumerate(frames):
        image = messages["/camera/image_raw"][k]
        assert (image.encoding, image.height, image.width, image.step) == ("rgb8", 64, 96, 288)
        np.testing.assert_array_equal(image.data.reshape(64, 96, 3), frame.image)
        depth = messages["/camera/depth/image_raw"][k]
        assert (depth.encoding, depth.step, depth.is_bigendian) == ("32FC1", 384, 0)
        np.testing.assert_array_equal(depth.data.view("<f4").reshape(64, 96), frame.depth)
        info = messages["/camera/camera_info"][k]
        assert PinholeCamera.from_camera_info(info) == CAMERA
        assert PinholeCamera.from_camera_info(info, rectified=False) == CAMERA
        assert not Calibration.from_camera_info(info).is_distorted
        assert info.distortion_model == "plumb_bob"
        np.testing.assert_array_equal(info.r.reshape(3, 3), np.eye(3))
        odometry = messages["/odom"][k]
        assert odometry.child_frame_id == "camera_optical_frame"
        pose = odometry.pose.pose
        position = (pose.position.x, pose.position.y, pose.position.z)
        np.testing.assert_array_equal(position, frame.pose[:3, 3])
        np.testing.assert_allclose(rotation_of(pose.orientation), frame.pose[:3, :3], atol=1e-12)
        assert math.isnan(odometry.twist.twist.linear.x)


def test_jpeg_and_millimetres(tmp_path):
    frames = sequence(frames=2)
    write_recording(tmp_path / "bag", frames, compressed=True, depth_encoding="16UC1")
    messages = read(tmp_path / "bag")
    assert "/camera/image_raw" not in messages
    picture = messages["/camera/image_raw/compressed"][1]
    assert "jpeg" in picture.format
    decoded = cv2.imdecode(picture.data, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - frames[1].image).mean() < 8.0
    depth = messages["/camera/depth/image_raw"][1]
    assert (depth.encoding, depth.step) == ("16UC1", 192)
    metres = depth.data.view("<u2").reshape(64, 96) / 1000.0
    near = frames[1].depth < 65.5
    np.testing.assert_allclose(metres[near], frames[1].depth[near], atol=0.0006)
    assert (metres[~near] == 0.0).all() and (~near).any()


def test_depth_in_millimetres():
    depth = np.array([[0.0004, 1.2344, 65.535, 65.536, np.nan]], dtype=np.float32)
    assert encode_depth(depth, "16UC1").tolist() == [[0, 1234, 65535, 0, 0]]
    assert encode_depth(depth, "32FC1") is depth


def test_quaternions_of_all_turns():
    rng = np.random.default_rng(0)
    cases = [np.eye(3), np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, -1.0, 1.0])]
    cases += [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(20)]
    for matrix in cases:
        matrix = matrix * np.linalg.det(matrix)
        x, y, z, w = quaternion(matrix)
        assert w >= 0.0
        assert x * x + y * y + z * z + w * w == pytest.approx(1.0)
        orientation = SimpleNamespace(x=x, y=y, z=z, w=w)
        np.testing.assert_allclose(rotation_of(orientation), matrix, atol=1e-12)


def test_nothing_is_left_of_a_recording_that_fails(tmp_path):
    def failing():
        yield from sequence(frames=2)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        write_recording(tmp_path / "bag", failing())
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_replaced_only_by_force(tmp_path):
    target = tmp_path / "bag"
    write_recording(target, sequence(frames=3))
    with pytest.raises(FileExistsError, match=r"bag exists; .*--force"):
        write_recording(target, sequence(frames=2))
    assert len(read(target)["/odom"]) == 3
    write_recording(target, sequence(frames=2), force=True)
    assert len(read(target)["/odom"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    # A folder that is not a recording stays, whatever is asked.
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(FileExistsError, match="is not a recording"):
        write_recording(other, sequence(frames=1), force=True)
    assert (other / "cat.jpg").read_bytes() == b"meow"


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match="storage is 'hdf5'; give mcap or sqlite3"):
        write_recording(tmp_path / "bag", [], storage="hdf5")
    with pytest.raises(ValueError, match="depth_encoding is '8UC1'; give 32FC1 or 16UC1"):
        write_recording(tmp_path / "bag", [], depth_encoding="8UC1")
    assert not (tmp_path / "bag").exists()


SMALL = ["--width", "64", "--height", "32", "--workers", "1", "--quiet"]


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    out = tmp_path / "deep" / "bag"
    options = ["--out", str(out), "--layout", "room", "--seed", "5", "--frames", "4"]
    options += ["--frame-rate", "5"]
    options += ["--fx", "40", "--moving-objects", "1", "--camera-height", "0.9", "--pitch", "3"]
    assert main([*options, *SMALL]) == 0
    assert "4 frames of 64x32, 0.8 s" in capsys.readouterr().out
    messages = read(out)
    camera = PinholeCamera(64, 32, 40.0, 40.0, 31.5, 15.5)
    assert PinholeCamera.from_camera_info(messages["/camera/camera_info"][0]) == camera
    expected = list(
        synthesize(5, "room", camera, 4, 5.0, moving_objects=1, camera_height=0.9, pitch=3.0)
    )
    for message, frame in zip(messages["/camera/image_raw"], expected, strict=True):
        np.testing.assert_array_equal(message.data.reshape(32, 64, 3), frame.image)


def test_the_same_command_writes_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert main(["--out", str(tmp_path / name / "bag"), "--frames", "3", *SMALL]) == 0
    first, second = (tmp_path / name / "bag" / "bag.mcap" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert main(["--out", str(tmp_path / "bag"), "--frames", "3", "--seed", "1", *SMALL]) == 0
    assert (tmp_path / "bag" / "bag.mcap").read_bytes() != first.read_bytes()


def test_the_command_refuses_to_overwrite(tmp_path, capsys):
    out = tmp_path / "bag"
    assert main(["--out", str(out), "--frames", "1", *SMALL]) == 0
    assert main(["--out", str(out), "--frames", "2", *SMALL]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["--out", str(out), "--frames", "2", "--force", *SMALL]) == 0
    assert len(read(out)["/odom"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "0"], "--frames is 0; give at least 1"),
        (["--frame-rate", "0"], "--frame-rate is 0.0; give more than 0"),
        (["--frame-rate", "nan"], "--frame-rate: 'nan' given; it takes a number"),
        (["--rate", "5"], "--rate is gone; write --frame-rate HZ"),
        (["--hfov", "180"], "--hfov is 180.0; give less than 179"),
        (["--jpeg-quality", "101"], "--jpeg-quality is 101; give at most 100"),
        (["--layout", "harbour"], "--layout: 'harbour' given; it takes"),
        (["--width", "wide"], "--width: 'wide' given; it takes an integer"),
        (["--moving-objects", "-1"], "--moving-objects is -1; give at least 0"),
        (["--standstill", "-2"], "--standstill is -2.0; give at least 0"),
    ],
)
def test_the_command_names_bad_values(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as raised:
        main(["--out", str(tmp_path / "bag"), *options])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_says_what_does_not_fit_together(tmp_path, capsys):
    options = ["--out", str(tmp_path / "bag"), "--frames", "20", "--standstill", "5", *SMALL]
    assert main(options) == 1
    assert "standstill is 5.0 s in a recording of 2 s" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def hear_interrupts() -> None:
    """Whoever runs the tests in the background may have let them ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path, number):
    command = [sys.executable, "-m", "training.synthesize", "--out", str(tmp_path / "bag")]
    command += [
        "--layout",
        "room",
        "--frames",
        "3000",
        "--width",
        "64",
        "--height",
        "32",
        "--workers",
        "2",
    ]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as process:
        deadline = time.monotonic() + 60.0
        # It is at work once the file of the recording grows.
        while not any(path.stat().st_size for path in tmp_path.glob(".bag.*/bag/*.mcap")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60.0)
    assert process.returncode == 130
    assert "interrupted; nothing was written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import os, signal, sys

if __name__ == "__mp_main__":  # a worker that starts; the first one presses ctrl-C
    try:
        os.close(os.open("pressed", os.O_CREAT | os.O_EXCL))
        os.killpg(0, signal.SIGINT)
    except FileExistsError:
        pass

from training.synthesize import main

if __name__ == "__main__":
    sys.exit(main({arguments!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--frames", "300"], ["--frames", "2", "--worlds", "2"]])
def test_ctrl_c_reaches_workers_that_still_import(tmp_path, more):
    """A terminal sends it to all: they leave it to the parent, and nobody waits for ever."""
    size = ["--width", "96", "--height", "64", "--workers", "2", "--quiet"]
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(arguments=[*size, *more, "--out", "out"]))
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=200,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    assert (tmp_path / "pressed").exists()
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr and "interrupted" in done.stderr
