# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frame store: what is written is read, and damage is noticed."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.camera import PinholeCamera
from training.frames.store import FrameStore, Source, damaged_files
from training.frames.writer import FrameStoreWriter, _sum_of, write_frame_store

CAMERA = PinholeCamera(8, 6, 10.0, 11.0, 3.5, 2.5)


def some_images(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images = some_images()
    truth = np.random.default_rng(1).uniform(0.5, 20.0, (7, 3, 4)).astype(np.float32)
    truth[2, 1] = np.nan
    truth[3, 0, 0] = -1.0
    truth[4, 0, 0] = np.inf
    poses = np.tile(np.eye(4), (7, 1, 1))
    poses[:, 0, 3] = np.arange(7)
    segment = np.array([0, 0, 0, 1, 1, 1, 1])
    store = write_frame_store(
        tmp_path / "frames",
        images,
        [CAMERA, CAMERA.mirrored()],
        stamps=np.arange(7) * 50,
        camera_index=segment,
        segment=segment,
        partner=np.array([3, 4, 5, 0, 1, 2, -1]),
        poses=poses,
        truth=truth,
        baselines=[0.12, -0.12],
        segment_spacing=[1, 4],
        sources=[Source("bag", "/image")],
    )
    assert np.array_equal(store.images, images)
    assert store.stamps.tolist() == [0, 50, 100, 150, 200, 250, 300]
    assert store.camera_index.tolist() == store.segment.tolist() == segment.tolist()
    assert store.partner.tolist() == [3, 4, 5, 0, 1, 2, -1]
    assert np.array_equal(store.poses, poses)
    assert np.isinf(store.truth[4, 0, 0])  # beyond the range, which is known
    known = truth > 0
    assert store.truth is not None
    assert np.array_equal(store.truth == 0, ~known)
    assert np.allclose(store.truth[known], truth[known], rtol=2**-11)
    assert store.cameras == (CAMERA, CAMERA.mirrored())
    assert store.baselines == (0.12, -0.12)
    assert store.segment_spacing == (1, 4)
    assert store.spacing == 4  # of the segment with more frames
    assert store.segment_ranges().tolist() == [[0, 3], [3, 7]]
    assert store.sources == (Source("bag", "/image"),)
    assert (len(store), store.width, store.height) == (7, 8, 6)
    assert not store.images.flags.writeable
    FrameStore.open(tmp_path / "frames", verify=True)


def test_defaults_and_pickling(tmp_path: Path) -> None:
    store = write_frame_store(tmp_path / "frames", some_images(), [CAMERA])
    assert store.truth is None
    assert np.isnan(store.poses).all()
    assert set(store.partner) == {-1}
    assert store.spacing == 1
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000  # the path, not the images
    assert np.array_equal(pickle.loads(pickled).images, store.images)


def test_nothing_is_there_before_finish(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    with FrameStoreWriter(path, 8, 6) as writer:
        writer.append(some_images()[0], 0, 0, 0)
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="unfinished extraction"):
        FrameStore.open(path)


def test_resume_continues_at_the_last_save(tmp_path: Path) -> None:
    images = some_images()
    truth = np.full((2, 2), 3.0)
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        writer.append(images[0], 0, 0, 0, truth=truth)
        writer.append(images[1], 1, 0, 0)
        writer.save({"done": ["one"]})
        writer.append(images[5], 5, 0, 1, truth=truth)  # lost
    with FrameStoreWriter(tmp_path / "frames", 8, 6, resume=True) as writer:
        assert writer.state == {"done": ["one"]}
        assert len(writer) == 2
        writer.append(images[2], 2, 0, 0)
        writer.finish([CAMERA])
    store = FrameStore.open(tmp_path / "frames", verify=True)
    assert np.array_equal(store.images, images[:3])
    assert store.truth is not None
    assert store.truth.max(axis=(1, 2)).tolist() == [3.0, 0.0, 0.0]
    assert not list((tmp_path / "frames").glob("progress*"))


def test_without_resume_it_begins_again(tmp_path: Path) -> None:
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        writer.append(some_images()[0], 0, 0, 0)
        writer.save({"done": 1})
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        assert len(writer) == 0
        assert writer.state == {}


def test_another_size_begins_again(tmp_path: Path) -> None:
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        writer.append(some_images()[0], 0, 0, 0)
        writer.save({"done": 1})
    with FrameStoreWriter(tmp_path / "frames", 16, 6, resume=True) as writer:
        assert len(writer) == 0
        assert writer.state == {}


def test_truncate_forgets_frames_and_partners(tmp_path: Path) -> None:
    images = some_images()
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        for i in range(4):
            writer.append(images[i], i, 0, 0)
        writer.set_truth(3, np.ones((2, 2)))
        writer.set_partner(0, 3)
        assert writer.column("partner").tolist() == [3, -1, -1, 0]
        writer.truncate(2)
        writer.append(images[6], 6, 0, 0)
        assert np.array_equal(writer.image(2), images[6])
        assert np.array_equal(writer.image(0), images[0])
        writer.finish([CAMERA])
    store = FrameStore.open(tmp_path / "frames")
    assert np.array_equal(store.images, images[[0, 1, 6]])
    assert set(store.partner) == {-1}
    assert store.truth is not None
    assert not np.any(store.truth)


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    image = some_images()[0]
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        with pytest.raises(ValueError, match="no frame"):
            writer.finish([CAMERA])
        with pytest.raises(ValueError, match=r"\(6, 8, 3\) and uint8 needed"):
            writer.append(image[:5], 0, 0, 0)
        with pytest.raises(ValueError, match="segment 1 cannot follow segment -1"):
            writer.append(image, 0, 0, 1)
        writer.append(image, 0, 0, 0, truth=np.ones((2, 3)))
        with pytest.raises(ValueError, match="truth of 2x2 after 3x2"):
            writer.append(image, 0, 0, 0, truth=np.ones((2, 2)))
        with pytest.raises(ValueError, match="a camera of 4x3"):
            writer.finish([CAMERA.resized(4, 3)])
        with pytest.raises(ValueError, match="0 cameras"):
            writer.finish([])
        with pytest.raises(ValueError, match="1 segments, 2 spacings"):
            writer.finish([CAMERA], segment_spacing=[1, 2])
    write_frame_store(tmp_path / "taken", some_images(), [CAMERA])
    with pytest.raises(FileExistsError, match="taken exists"):
        FrameStoreWriter(tmp_path / "taken", 8, 6)


@pytest.mark.parametrize("name", ["images.u8", "stamps.npy", "truth.f16"])
def test_missing_short_and_changed_files_are_noticed(tmp_path: Path, name: str) -> None:
    store = write_frame_store(
        tmp_path / "frames", some_images(), [CAMERA], truth=np.ones((7, 2, 2))
    )
    file = store.path / name
    content = file.read_bytes()
    changed = bytearray(content)
    changed[-1] ^= 1
    file.write_bytes(changed)
    FrameStore.open(store.path)
    with pytest.raises(ValueError, match=f"{name} is damaged: its checksum is ") as caught:
        FrameStore.open(store.path, verify=True)
    # The last byte of the images and of the truth belongs to the last frame.
    assert ("(frame 6)" in str(caught.value)) == (name != "stamps.npy")
    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{name} has .* bytes, .* expected; copy or "):
        FrameStore.open(store.path)
    file.unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        FrameStore.open(store.path)


def test_a_foreign_or_newer_header_is_refused(tmp_path: Path) -> None:
    store = write_frame_store(tmp_path / "frames", some_images(), [CAMERA])
    file = store.path / "store.json"
    header = json.loads(file.read_text())
    for change, message in (
        ({"version": 99}, "version 99; this package reads up to 1"),
        ({"format": "pictures"}, "describes 'pictures'"),
        ({"segment_spacing": [1, 1]}, "2 segment_spacing, 1 segment_source"),
        ({"segment_spacing": [1, 1], "segment_source": [0, 0]}, "index does not fit"),
        ({"cameras": []}, "cameras is .*expected `array` of length >= 1"),
        ({"frames": 6}, "files.'images.u8'. has 1008 bytes, the sizes ask for 864"),
        ({"files": {}}, "files has no 'images.u8'"),
        ({"image_size": [8, None]}, r"image_size\[1\] is None: expected `int`"),
        ({"crop": [0, 0.6, 0, 0.6]}, "crop is .0.0, 0.6, 0.0, 0.6.; give the fractions"),
    ):
        file.write_text(json.dumps({**header, **change}))
        with pytest.raises(ValueError, match=message):
            FrameStore.open(store.path)
    file.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        FrameStore.open(store.path)


def test_a_damaged_progress_is_refused(tmp_path: Path) -> None:
    with FrameStoreWriter(tmp_path / "frames", 8, 6) as writer:
        writer.append(some_images()[0], 0, 0, 0)
        writer.save({})
    (tmp_path / "frames.partial" / "images.u8").write_bytes(b"")
    with pytest.raises(ValueError, match="too short"):
        FrameStoreWriter(tmp_path / "frames", 8, 6, resume=True)
    (tmp_path / "frames.partial" / "progress.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="damaged"):
        FrameStoreWriter(tmp_path / "frames", 8, 6, resume=True)


def test_stores_without_checksums_of_frames_are_read(tmp_path: Path) -> None:
    """Those of earlier versions; damage is found, but not the frame."""
    store = write_frame_store(tmp_path / "frames", some_images(), [CAMERA])
    header = json.loads((store.path / "store.json").read_text())
    del header["files"]["checksums.npy"], header["fingerprint"]
    (store.path / "store.json").write_text(json.dumps(header))
    (store.path / "checksums.npy").unlink()
    assert len(FrameStore.open(store.path, verify=True)) == 7
    images = bytearray((store.path / "images.u8").read_bytes())
    images[5] ^= 4
    (store.path / "images.u8").write_bytes(images)
    assert list(damaged_files(store.path)) != []
    with pytest.raises(ValueError, match=r"images.u8 is damaged: .* expected; copy or extract"):
        FrameStore.open(store.path, verify=True)


def test_all_damage_is_found_and_its_frames_named(tmp_path: Path) -> None:
    """Several frames and files at once; what is asked to stop, stops."""
    store = write_frame_store(
        tmp_path / "frames", some_images(), [CAMERA], truth=np.ones((7, 2, 2))
    )
    for name, length, frames in (("images.u8", 144, (1, 4)), ("truth.f16", 8, (2,))):
        content = bytearray((store.path / name).read_bytes())
        for frame in frames:
            content[frame * length + 3] ^= 1
        (store.path / name).write_bytes(content)
    found = list(damaged_files(store.path))
    assert len(found) == 2
    assert "images.u8" in found[0] and "(frames 1, 4)" in found[0]
    assert "truth.f16" in found[1] and "(frame 2)" in found[1]
    assert list(damaged_files(store.path, lambda: True)) == []


def test_corner_images_are_kept_checked_and_resumed(tmp_path: Path) -> None:
    """And an interrupted writer whose copies had another size begins again."""
    path, images = tmp_path / "frames", some_images()
    copies = np.random.default_rng(5).integers(0, 256, (7, 9, 12), np.uint8)
    with FrameStoreWriter(path, 8, 6, corner_size=(12, 9)) as writer:
        with pytest.raises(ValueError, match=r"a corner image of shape \(0, 0\); \(9, 12\) needed"):
            writer.append(images[0], 0, 0, 0)
        for index in range(3):
            writer.append(images[index], index, 0, 0, corner_image=copies[index])
        writer.save({"rows": 3})
        writer.append(images[6], 3, 0, 0, corner_image=copies[6])
    with FrameStoreWriter(path, 8, 6, resume=True, corner_size=(12, 9)) as writer:
        assert len(writer) == 3
        for index in range(3, 7):
            writer.append(images[index], index, 0, 0, corner_image=copies[index])
        writer.finish([CAMERA])
    store = FrameStore.open(path, verify=True)
    assert store.corner_images is not None
    assert np.array_equal(store.corner_images, copies) and np.array_equal(store.images, images)
    content = bytearray((path / "corners.u8").read_bytes())
    content[4 * 108 + 3] ^= 1
    (path / "corners.u8").write_bytes(content)
    (damage,) = damaged_files(path)
    assert "corners.u8 is damaged" in damage and "(frame 4)" in damage
    # As earlier versions wrote it, without the third column: found, but not the frame.
    sums = np.load(path / "checksums.npy")[:, :2]
    np.save(path / "checksums.npy", sums)
    header = json.loads((path / "store.json").read_text())
    header["files"]["checksums.npy"] = asdict(_sum_of(path / "checksums.npy"))
    (path / "store.json").write_text(json.dumps(header))
    (damage,) = damaged_files(path)
    assert "corners.u8 is damaged" in damage and "frame" not in damage.split("corners.u8")[1]
    header["corner_size"] = [12, 10]
    (path / "store.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"files\['corners.u8'\] has 756 bytes, .* ask for 840"):
        FrameStore.open(path)


def test_copies_of_another_size_begin_again(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    copy = np.zeros((9, 12), np.uint8)
    with FrameStoreWriter(path, 8, 6, corner_size=(12, 9)) as writer:
        writer.append(some_images()[0], 0, 0, 0, corner_image=copy)
        writer.save({})
    with FrameStoreWriter(path, 8, 6, resume=True, corner_size=(16, 12)) as writer:
        assert len(writer) == 0
    with FrameStoreWriter(path, 8, 6, corner_size=(12, 9)) as writer:
        writer.append(some_images()[0], 0, 0, 0, corner_image=copy)
        writer.save({})
    (path.with_name("frames.partial") / "corners.u8").write_bytes(b"")
    with pytest.raises(ValueError, match="corners.u8 is too short; remove"):
        FrameStoreWriter(path, 8, 6, resume=True, corner_size=(12, 9))


def test_what_completes_a_store_is_there_as_soon_as_it_is(tmp_path: Path) -> None:
    """An interruption meanwhile leaves the progress, from which the same can be done again."""
    path = tmp_path / "frames"

    def interrupt(folder: Path) -> None:
        assert len(FrameStore.open(folder)) == 7
        raise KeyboardInterrupt

    with FrameStoreWriter(path, 8, 6) as writer:
        for index, image in enumerate(some_images()):
            writer.append(image, index, 0, 0)
        writer.save({"done": True})
        with pytest.raises(KeyboardInterrupt):
            writer.finish([CAMERA], complete=interrupt)
    assert not path.exists()
    with FrameStoreWriter(path, 8, 6, resume=True) as writer:
        assert writer.state == {"done": True} and len(writer) == 7
        writer.finish([CAMERA], complete=lambda folder: (folder / "report.txt").write_text("all"))
    assert (path / "report.txt").read_text() == "all"
    assert not (path / "progress.npz").exists()
    assert np.array_equal(FrameStore.open(path, verify=True).images, some_images())
