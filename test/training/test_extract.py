# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""depth_extract from bags to stores, and what it does with broken ones."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import status_of

from bag_builder import (
    FAR,
    HEIGHT,
    INTERVAL,
    SECOND,
    START,
    WIDTH,
    Bag,
    K,
    encode,
    scene,
    write_drive,
)
from paths import REPOSITORY
from training.extract import main
from training.extraction import job
from training.frames import writer
from training.frames.store import FrameStore, Source
from training.frames.writer import FrameStoreWriter

SPEED = 3.0  # pixels a frame: 1.9 % of the width
DRIVE = [SPEED * i for i in range(12)]


def extract(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def report(store: FrameStore | Path) -> list[dict]:
    path = store.path if isinstance(store, FrameStore) else store
    return json.loads((path / "report.json").read_text())["cameras"]


def same_content(first: Path, second: Path) -> bool:
    """Whether two stores hold the same frames."""
    names = ("images.u8", "stamps.npy", "camera.npy", "segment.npy", "partner.npy", "truth.f16")
    return all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


@pytest.mark.slow
def test_from_a_bag_to_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE, with_depth=True, with_odometry=True)
    out = tmp_path / "frames"
    assert extract(bag, "--out", out) == 0
    store = FrameStore.open(out, verify=True)
    assert (len(store), store.width, store.height) == (12, WIDTH, HEIGHT)
    assert store.truth is not None
    for i, position in enumerate(DRIVE):
        image, depth = scene(position)
        assert np.array_equal(store.images[i], image)
        assert np.allclose(store.truth[i].astype(float), depth)
    assert store.stamps.tolist() == [START + i * INTERVAL for i in range(12)]
    assert set(store.segment) == {0}
    assert store.segment_spacing == (1,)
    assert store.sources == (Source("drive", "/camera/image_raw"),)
    assert np.allclose(store.poses[:, 0, 3], np.array(DRIVE) * FAR / K[0])
    (camera,) = store.cameras
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (120.0, 120.0, 79.5, 47.5)
    assert store.baselines == (0.0,)

    (told,) = report(store)
    assert (told["seen"], told["kept"], told["truth_frames"], told["pose_frames"]) == (12,) * 4
    assert told["samples"] == 10
    assert told["verdict"]["level"] == "good"
    assert told["flow"]["p50"] == pytest.approx(SPEED / WIDTH, rel=0.15)
    printed = capsys.readouterr().out
    assert "needs at most" in printed
    assert "verdict: good" in printed
    assert (out / "report.txt").read_text().strip() in printed
    assert cv2.imread(str(out / "contact_sheet.png")).shape[1] == 4 * 320
    assert cv2.imread(str(out / "flow_histogram.png")) is not None
    assert not list(tmp_path.glob("*.partial"))


def test_a_width_of_copies_that_makes_none_or_other_ones_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE[:4])
    for wanted, size, told in (
        (70, None, "--corner-width 70 makes no copies: below 77 pixels, .* give 77 or more"),
        (100, (100, 60), ""),
        (900, (160, 96), "--corner-width 900 is more than the camera image, 160 pixels wide"),
        (0, None, ""),
    ):
        out = tmp_path / f"frames{wanted}"
        assert extract(bag, "--out", out, "--width", 64, "--corner-width", wanted) == 0
        copies = FrameStore.open(out).corner_images
        assert (copies is None and size is None) or copies.shape[2:0:-1] == size
        printed = capsys.readouterr().out
        notes = [line for line in printed.splitlines() if "--corner-width" in line]
        assert len(notes) == bool(told), printed
        assert not told or re.search(told, notes[0]), notes
    out = tmp_path / "full"
    assert extract(bag, "--out", out, "--corner-width", 640) == 0
    assert "and the camera image, 160 pixels wide after the crop, is not enlarged" in (
        capsys.readouterr().out
    )


def test_size_and_crop_change_image_and_camera(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE, with_depth=True)
    out = tmp_path / "frames"
    crop = ("--crop", 0.0, 0.25, 0.1, 0.0)
    assert extract(bag, "--out", out, *crop, "--width", 96, "--height", 64) == 0
    store = FrameStore.open(out)
    assert (store.width, store.height) == (96, 64)
    assert store.crop == (0.0, 0.25, 0.1, 0.0)
    camera = store.cameras[0]
    assert camera.fx == pytest.approx(120.0 * 96 / 144)
    assert camera.fy == pytest.approx(120.0 * 64 / 72)
    assert camera.cx == pytest.approx(80.0 * 96 / 144 - 0.5)
    assert camera.cy == pytest.approx((48.0 - 24.0) * 64 / 72 - 0.5)
    assert store.truth is not None
    assert store.truth.shape == (12, 72, 144)
    assert np.allclose(store.truth[3].astype(float), scene(9.0)[1][24:, :144])
    # An independent antialiased resize agrees within rounding.
    from PIL import Image

    cropped = Image.fromarray(scene(9.0)[0][24:, :144])
    expected = np.array(cropped.resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(store.images[3].astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_several_bags_and_cameras(tmp_path: Path) -> None:
    first = write_drive(tmp_path / "first", DRIVE, with_depth=True)
    with Bag(tmp_path / "second", "mcap") as bag:
        for i in range(8):
            stamp = START + i * INTERVAL
            for name, k in (("front", K), ("rear", (130.0, *K[1:]))):
                bag.info(f"/{name}/camera_info", stamp, k=k, frame_id=name)
                bag.jpeg(f"/{name}/image_raw/compressed", stamp, scene(SPEED * i)[0], name)
    out = tmp_path / "frames"
    assert extract(first, tmp_path / "second", "--out", out) == 0
    store = FrameStore.open(out)
    assert store.segment_ranges().tolist() == [[0, 12], [12, 20], [20, 28]]
    assert store.sources == (
        Source("first", "/camera/image_raw"),
        Source("second", "/front/image_raw/compressed"),
        Source("second", "/rear/image_raw/compressed"),
    )
    assert store.segment_source == (0, 1, 2)
    assert [camera.fx for camera in store.cameras] == [120.0, 130.0]
    assert store.camera_index.tolist() == [0] * 20 + [1] * 8
    difference = store.images[15].astype(int) - scene(SPEED * 3)[0]
    assert np.abs(difference).mean() < 5.0  # JPEG
    assert store.truth is not None
    assert store.truth.any(axis=(1, 2)).tolist() == [True] * 12 + [False] * 16
    # One topic alone.
    out = tmp_path / "rear"
    assert extract(tmp_path / "second", "--out", out, "--image-topic", "/rear/image_raw") == 0
    assert FrameStore.open(out).sources == (Source("second", "/rear/image_raw/compressed"),)


def test_gaps_joins_and_halts_end_segments(tmp_path: Path) -> None:
    positions = [*DRIVE, *[DRIVE[-1]] * 15, *(DRIVE[-1] + SPEED * i for i in range(1, 8))]
    with Bag(tmp_path / "drive") as bag:
        noise = np.random.default_rng(0)
        for i, position in enumerate(positions):
            stamp = START + i * INTERVAL + (5 * SECOND if i >= 6 else 0)
            image = scene(position)[0] + noise.normal(0.0, 2.0, (HEIGHT, WIDTH, 3))
            bag.info("/camera_info", stamp)
            bag.image("/image", stamp, image.clip(0, 255).astype(np.uint8))
    out = tmp_path / "frames"
    assert extract(tmp_path / "drive", "--out", out) == 0
    store = FrameStore.open(out)
    assert store.segment_ranges().tolist() == [[0, 6], [6, 12], [12, 19]]
    (told,) = report(store)
    assert told["left_out"] == {"no motion": 15}
    assert told["segment_ends"] == {"gap in time": 1, "standstill": 1}


@pytest.mark.slow
def test_spacing_follows_the_motion_or_the_option(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "slow", [1.2 * i for i in range(16)])
    assert extract(bag, "--out", tmp_path / "auto") == 0
    store = FrameStore.open(tmp_path / "auto")
    assert store.spacing == 2  # 2.4 of 160 pixels, and some more for the boxes
    assert report(store)[0]["verdict"]["summary"] == "good at spacing 2"
    assert report(store)[0]["samples"] == 12
    assert extract(bag, "--out", tmp_path / "four", "--spacing", 4) == 0
    assert FrameStore.open(tmp_path / "four").spacing == 4


def test_broken_frames_are_counted_by_reason(tmp_path: Path) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            stamp = START + i * INTERVAL
            image = scene(position)[0]
            bag.info("/camera_info", stamp)
            data = encode(".jpg", image[..., ::-1])
            if i in (3, 8):
                data = data[: len(data) // (2 if i == 3 else 3)]
            if i == 5:
                data = encode(".jpg", image[:48])
            bag.compressed("/image/compressed", stamp, data)
        bag.writer.write(bag.connections["/image/compressed"], START + 12 * INTERVAL, b"\x00\x01")
    out = tmp_path / "frames"
    assert extract(tmp_path / "drive", "--out", out, "--max-gap", 0.25) == 0
    (told,) = report(out)
    truncated = (
        "compressed image of … bytes with format 'jpeg' is a truncated JPEG: it has no end marker"
    )
    assert told["left_out"] == {
        truncated: 2,
        "image of 160x48, but camera_info is for 160x96": 1,
        "message cannot be deserialised": 1,
    }
    assert (told["seen"], told["kept"]) == (13, 9)


def test_a_bag_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", [SPEED * i for i in range(24)])
    file = bag / "drive.db3"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\xff" * 3000
    file.write_bytes(content)
    assert extract(bag, "--out", tmp_path / "frames") == 0
    (told,) = report(tmp_path / "frames")
    assert 5 < told["kept"] < 24
    assert "/camera/image_raw breaks off: database disk image is malformed" in told["notes"][0]


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([0.0], "in a segment too short for a sample"),
        ([0.0] * 20, "19 same picture as the frame before"),
    ],
)
def test_nothing_worth_keeping(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    positions: list[float],
    message: str,
) -> None:
    bag = write_drive(tmp_path / "drive", positions)
    out = tmp_path / "frames"
    assert extract(bag, "--out", out) == 1
    printed = capsys.readouterr()
    assert message in printed.out
    assert "verdict: cannot train: nothing moves" in printed.out
    assert f"no frame is worth keeping, so {out} was not written" in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive"]


def test_a_static_bag_beside_a_good_one(tmp_path: Path) -> None:
    still = write_drive(tmp_path / "still", [0.0] * 6)
    drive = write_drive(tmp_path / "drive", DRIVE)
    assert extract(still, drive, "--out", tmp_path / "frames") == 0
    store = FrameStore.open(tmp_path / "frames")
    assert store.sources == (Source("drive", "/camera/image_raw"),)
    assert [told["verdict"]["level"] for told in report(store)] == ["static", "good"]


CALIBRATION = f"""\
image_width: {WIDTH}
image_height: {HEIGHT}
camera_matrix: {{data: [110.0, 0, 79.5, 0, 110.0, 47.5, 0, 0, 1]}}
distortion_coefficients: {{data: [0, 0, 0, 0, 0]}}
projection_matrix: {{data: [110.0, 0, 79.5, 0, 0, 110.0, 47.5, 0, 0, 0, 1, 0]}}
"""


@pytest.mark.parametrize("with_info", [False, True])
def test_missing_or_empty_camera_info(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], with_info: bool
) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            if with_info:
                bag.info("/camera_info", START + i * INTERVAL, k=(0.0,) * 9)
            bag.image("/image", START + i * INTERVAL, scene(position)[0])
    out = tmp_path / "frames"
    assert extract(tmp_path / "drive", "--out", out) == 1
    wanted = "K[0] is 0" if with_info else "no camera_info belongs to it"
    error = capsys.readouterr().err
    assert wanted in error
    assert "--camera" in error
    assert not out.exists()
    calibration = tmp_path / "calibration.yaml"
    calibration.write_text(CALIBRATION)
    assert extract(tmp_path / "drive", "--out", out, "--camera", calibration) == 0
    assert FrameStore.open(out).cameras[0].fx == 110.0


def test_a_calibration_of_another_size_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            k = (240.0, 0.0, 159.5, 0.0, 240.0, 95.5, 0.0, 0.0, 1.0)
            bag.info("/camera_info", START + i * INTERVAL, k=k, size=(320, 192))
            bag.image("/image", START + i * INTERVAL, scene(position)[0])
    assert extract(tmp_path / "drive", "--out", tmp_path / "frames") == 1
    error = capsys.readouterr().err
    assert "camera_info is for 320x192 images, but the images are 160x96" in error
    assert "--scale-camera-info" in error
    out = tmp_path / "frames"
    assert extract(tmp_path / "drive", "--out", out, "--scale-camera-info") == 0
    camera = FrameStore.open(out).cameras[0]
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (120.0, 120.0, 79.5, 47.5)


def test_unreadable_bags_are_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_drive(tmp_path / "good", DRIVE)
    bad = write_drive(tmp_path / "bad", DRIVE, "mcap")
    file = bad / "bad.mcap"
    file.write_bytes(file.read_bytes()[:100])
    assert extract(good, bad, "--out", tmp_path / "frames") == 1
    assert "bad cannot be read" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]


def write_stereo(path: Path, baseline: float = 0.1) -> Path:
    """Write a pair whose right images are what the left camera sees `baseline` further right."""
    with Bag(path) as bag:
        for i, position in enumerate(DRIVE):
            stamp = START + i * INTERVAL
            shift = K[0] * 0.1 / FAR
            bag.info("/left/camera_info", stamp, frame_id="left")
            bag.image("/left/image_rect", stamp, scene(position)[0], frame_id="left")
            if i != 5:  # lost
                late = stamp + 1_000_000
                bag.info("/right/camera_info", late, baseline=baseline, frame_id="right")
                right = scene(position + shift)[0]
                bag.image("/right/image_rect", late, right, frame_id="right")
    return path


@pytest.mark.slow
def test_stereo_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_stereo(tmp_path / "drive")
    out = tmp_path / "frames"
    topics = ("/left/image_rect", "/right/image_rect")
    assert extract(bag, "--out", out, "--stereo-topics", *topics) == 0
    store = FrameStore.open(out)
    assert len(store) == 23
    assert store.baselines == pytest.approx((0.1, -0.1))
    assert store.segment_ranges().tolist() == [[0, 12], [12, 17], [17, 23]]
    assert store.partner[:12].tolist() == [12, 13, 14, 15, 16, -1, 17, 18, 19, 20, 21, 22]
    for i in range(12):
        partner = store.partner[i]
        if partner >= 0:
            assert store.partner[partner] == i
            assert abs(store.stamps[partner] - store.stamps[i]) == 1_000_000
            assert np.array_equal(store.images[partner], scene(DRIVE[i] + 3.0)[0])
    assert store.camera_index.tolist() == [0] * 12 + [1] * 11
    printed = capsys.readouterr().out
    assert "stereo baseline 0.1000 m: depth will be metric" in printed
    assert "1 of the left camera's frames have no partner" in printed

    assert extract(bag, "--out", tmp_path / "swapped", "--stereo-topics", *topics[::-1]) == 1
    assert "left and right are swapped" in capsys.readouterr().err
    unknown = write_stereo(tmp_path / "unknown", baseline=0.0)
    assert extract(unknown, "--out", tmp_path / "none", "--stereo-topics", *topics) == 1
    assert "the right camera's P[3] is 0" in capsys.readouterr().err


def test_a_full_disk_is_foreseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE)
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert extract(bag, "--out", tmp_path / "frames") == 1
    error = capsys.readouterr().err
    assert "may need 0.6 MB, but only 0.1 MB are free" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive"]


@pytest.mark.slow
def test_a_disk_that_fills_up_can_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = [write_drive(tmp_path / name, DRIVE, with_depth=True) for name in ("one", "two")]
    whole, out = tmp_path / "whole", tmp_path / "frames"
    assert extract(*bags, "--out", whole) == 0
    append = FrameStoreWriter.append

    def fail(self: FrameStoreWriter, *arguments: object, **options: object) -> int:
        if len(self) == 17:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameStoreWriter, "append", fail)
    assert extract(*bags, "--out", out) == 1
    error = capsys.readouterr().err
    assert "the disk is full" in error
    assert "run the same command again" in error
    assert not out.exists()
    monkeypatch.undo()
    assert extract(*bags, "--out", out) == 0
    assert "resuming after 12 frames" in capsys.readouterr().out
    assert same_content(whole, out)
    assert report(whole) == report(out)


KILLED = """
import os, signal, sys
from training.extract import main
from training.frames.writer import FrameStoreWriter
append = FrameStoreWriter.append
def kill(self, *arguments, **options):
    if len(self) == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return append(self, *arguments, **options)
FrameStoreWriter.append = kill
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_extraction_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bags = [write_drive(tmp_path / name, DRIVE, with_depth=True) for name in ("one", "two")]
    whole, out = tmp_path / "whole", tmp_path / "frames"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, bags), "--out", str(out)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(FileNotFoundError, match="unfinished extraction"):
        FrameStore.open(out)
    capsys.readouterr()
    assert extract(*bags, "--out", out) == 0
    assert "resuming after 12 frames" in capsys.readouterr().out
    assert extract(*bags, "--out", whole) == 0
    assert same_content(whole, out)
    assert FrameStore.open(out, verify=True).segment_source == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["report", "rename", "progress"])
def test_the_same_command_goes_on_after_any_interruption(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Between the last frame and the end: before the report, the rename, the tidying up."""
    bag = write_drive(tmp_path / "one", DRIVE, with_depth=True)
    whole, out = tmp_path / "whole", tmp_path / "frames"
    assert extract(bag, "--out", whole) == 0
    with monkeypatch.context() as patch:
        if moment == "report":
            patch.setattr(job, "save_report", lambda *arguments: _interrupt())
        elif moment == "rename":
            patch.setattr(writer, "move_into_place", lambda *arguments: _interrupt())
        else:
            patch.setattr(Path, "unlink", lambda *arguments, **options: _interrupt())
        assert extract(bag, "--out", out) == 130
    assert extract(bag, "--out", out) == 0
    assert same_content(whole, out)
    assert report(whole) == report(out)
    assert (out / "contact_sheet.png").stat().st_size > 0
    assert (out / "flow_histogram.png").stat().st_size > 0
    capsys.readouterr()
    assert extract(bag, "--out", out) == 0
    assert "frames is complete: this very command made it" in capsys.readouterr().out
    assert extract(bag, "--out", out, "--crop", 0, 0, 0, 0.1) == 1
    assert "frames exists; remove it or choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_other_settings_begin_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = [write_drive(tmp_path / name, DRIVE) for name in ("one", "two")]
    out = tmp_path / "frames"
    with monkeypatch.context() as patch:
        patch.setattr(FrameStoreWriter, "finish", lambda *arguments, **options: _interrupt())
        assert extract(*bags, "--out", out) == 130
    assert "interrupted" in capsys.readouterr().err
    assert extract(*bags, "--out", out, "--crop", 0, 0, 0, 0.1) == 0
    assert "begins again" in capsys.readouterr().out
    store = FrameStore.open(out)
    assert len(store) == 24
    assert store.crop == (0.0, 0.0, 0.0, 0.1)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_rectification_is_part_of_it(tmp_path: Path) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            bag.info("/camera_info", START + i * INTERVAL, d=(-0.3, 0.1, 0.0, 0.0, 0.0))
            bag.image("/image", START + i * INTERVAL, scene(position)[0])
    arguments = (tmp_path / "drive", "--out")
    assert extract(*arguments, tmp_path / "auto") == 0
    assert extract(*arguments, tmp_path / "off", "--rectify", "false") == 0
    auto, off = (FrameStore.open(tmp_path / name) for name in ("auto", "off"))
    assert np.array_equal(off.images[4], scene(12.0)[0])
    coefficients = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    expected = cv2.undistort(scene(12.0)[0], np.reshape(K, (3, 3)), coefficients)
    assert np.abs(auto.images[4].astype(int) - expected).mean() < 0.5


def test_a_black_border_is_mentioned(tmp_path: Path) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            bag.info("/camera_info", START + i * INTERVAL, d=(0.4, 0.1, 0.0, 0.0, 0.0))
            bag.image("/image", START + i * INTERVAL, scene(position)[0])
    assert extract(tmp_path / "drive", "--out", tmp_path / "frames") == 0
    (told,) = report(tmp_path / "frames")
    assert "remove the borders with --crop" in told["notes"][0]


def test_an_unlikely_focal_length_is_mentioned(tmp_path: Path) -> None:
    with Bag(tmp_path / "drive") as bag:
        for i, position in enumerate(DRIVE):
            k = (900.0, 0.0, 79.5, 0.0, 900.0, 47.5, 0.0, 0.0, 1.0)
            bag.info("/camera_info", START + i * INTERVAL, k=k)
            bag.image("/image", START + i * INTERVAL, scene(position)[0])
    assert extract(tmp_path / "drive", "--out", tmp_path / "frames") == 0
    (told,) = report(tmp_path / "frames")
    assert "fx = 900.0 for 160 pixels is a field of view of 10°" in told["notes"][0]


def test_point_cloud_truth(tmp_path: Path) -> None:
    with Bag(tmp_path / "drive") as bag:
        bag.transform("/tf_static", START, "camera", "lidar", (0.0, 0.0, 1.0))
        for i, position in enumerate(DRIVE):
            stamp = START + i * INTERVAL
            bag.info("/camera_info", stamp)
            bag.image("/image", stamp, scene(position)[0])
            if i != 4:
                points = np.array([[0.25 * FAR, 0.0, FAR - 1.0]])
                bag.cloud("/points", stamp + 20_000_000, points, "lidar")
    assert extract(tmp_path / "drive", "--out", tmp_path / "frames") == 0
    store = FrameStore.open(tmp_path / "frames")
    assert store.truth is not None
    assert store.truth.any(axis=(1, 2)).sum() == 11
    # At cx + fx / 4 = 109.5, and cy = 47.5; both round to even.
    row, column = np.argwhere(store.truth[0])[0]
    assert (row, column) == (48, 110)
    assert store.truth[0, 48, 110] == FAR


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--width", 100), "--width is 100; give a multiple of 32"),
        (("--crop", 0.5, 0, 0.5, 0), r"crop is [0.5, 0.0, 0.5, 0.0]"),
        (("--min-flow", -1), "--min-flow is -1.0; give at least 0"),
        (("--max-gap", 0), "--max-gap is 0.0; give more than 0"),
        (("--workers", 0), "--workers is 0; give at least 1"),
        (
            ("--image-topic", "/elsewhere"),
            "no image topic /elsewhere; there are: /camera/image_raw",
        ),
        (("--truth-topic", "/elsewhere"), "no depth image or PointCloud2 /elsewhere"),
        (("--camera", "a.yaml"), "a.yaml cannot be read"),
        (("--kitti-raw", "."), "--kitti-raw DIR and --kitti-split FILE"),
        (("--truth", "/depth"), "--truth is gone; write --truth-topic TOPIC"),
        (("--stereo", "a", "b"), "--stereo is gone; write --stereo-topics LEFT RIGHT"),
        (("--rectify", "sometimes"), "'sometimes' given; it takes auto, true, false"),
    ],
)
def test_wrong_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple, message: str
) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE[:3])
    words = [str(word) for word in (bag, "--out", tmp_path / "frames", *arguments)]
    assert status_of(main, words) in (1, 2)
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive"]


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE)
    (tmp_path / "taken").mkdir()
    assert extract(bag, "--out", tmp_path / "taken") == 1
    assert "taken exists; remove it or choose another --out" in capsys.readouterr().err
    assert extract(bag, "--out", tmp_path / "taken", "--force") == 1
    assert "taken exists" in capsys.readouterr().err  # it is not a frame store
    assert extract("--out", tmp_path / "frames") == 1
    assert "give recordings" in capsys.readouterr().err
    for arguments in ((bag,), (bag, "--out", "x", "--spacing", "0")):
        with pytest.raises(SystemExit) as exit_:
            extract(*arguments)
        assert exit_.value.code == 2


@pytest.mark.slow
def test_force_replaces_a_frame_store_and_a_config_file_says_the_same(tmp_path: Path) -> None:
    bag = write_drive(tmp_path / "drive", DRIVE)
    out = tmp_path / "frames"
    assert extract(bag, "--out", out, "--min-flow", 0) == 0
    assert FrameStore.open(out).width == 160
    config = tmp_path / "options.yaml"
    config.write_text(
        f"bags: [{bag}]\nout: {out}\nmin_flow: 0\nwidth: 64\nheight: 32\nquiet: true\n"
    )
    assert extract("--config", config) == 1  # made with other options
    assert extract("--config", config, "--force") == 0
    assert FrameStore.open(out).width == 64
