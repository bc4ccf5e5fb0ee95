# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A damaged, missing or forbidden cache costs time, never the depth."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.backends import kept_answers, kept_files
from monodepth2_ros.backends.kept_answers import KeptAnswers, cache_folder, user_cache
from monodepth2_ros.checkpoint import load_checkpoint, random_checkpoint
from monodepth2_ros.options import BackendError, CheckpointError

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)

CHECKPOINT = random_checkpoint(18, 64, 64, seed=3)
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def disparity(folder):
    from monodepth2_ros.backends.openvino_backend import OpenVINOBackend

    return np.array(OpenVINOBackend(CHECKPOINT, "fp32", 1, folder).disparity(IMAGE))


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A cache that was used once, a copy of it, and what the network gave then."""
    folder = tmp_path_factory.mktemp("used")
    expected = disparity(folder / "cache")
    shutil.copytree(folder / "cache", folder / "copy")
    return folder, expected


@pytest.fixture
def warm(used):
    """The same at its place, as OpenVINO names compiled graphs by their place, too."""
    folder, expected = used
    shutil.rmtree(folder / "cache")
    shutil.copytree(folder / "copy", folder / "cache")
    return folder / "cache", expected


def overwrite(path, place, content):
    """Change bytes of a file, which keeps its size."""
    with path.open("r+b") as file:
        file.seek(int(place * path.stat().st_size))
        file.write(content)


NOISE = np.random.default_rng(5).integers(0, 256, 4096, np.uint8).tobytes()


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize(
    ("suffixes", "place", "content"),
    [
        ([".blob"], 0.5, NOISE),
        ([".blob"], 0.3, bytes(1 << 20)),  # a power cut leaves blocks of zeros
        ([".bin"], 0.5, NOISE),
        ([".bin"], 0.9, bytes(1 << 20)),
        ([".blob", ".bin"], 0.7, NOISE),
        ([".crc32"], 0.0, b"\xff"),
    ],
    ids=["compiled", "compiled, zeros", "graph", "graph, zeros", "both", "checksums"],
)
def test_weights_that_were_damaged_on_the_disk_are_not_used(warm, suffixes, place, content):
    folder, expected = warm
    damaged = [path for path in folder.rglob("*") if path.suffix in suffixes]
    assert damaged
    for path in damaged:
        overwrite(path, place, content)
    if ".blob" not in suffixes:
        for blob in folder.rglob("*.blob"):
            blob.unlink()
    for _ in range(2):  # what replaced it is sound
        np.testing.assert_allclose(disparity(folder), expected, rtol=1e-4)
    kept = [path for path in folder.rglob("*") if path.suffix in (".blob", ".bin", ".xml")]
    assert len(kept) == 3 and all(map(kept_files.is_intact, kept))


@pytest.mark.slow
@needs_openvino
def test_a_sound_cache_is_read_and_not_written(warm):
    folder, expected = warm
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    np.testing.assert_allclose(disparity(folder), expected, rtol=1e-4)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_a_file_is_intact_only_as_it_was_kept(tmp_path):
    made, place = tmp_path / "made", tmp_path / "folder" / "kept.blob"
    place.parent.mkdir()
    assert not kept_files.is_intact(place)
    for content in (b"first", b"second"):
        made.write_bytes(content)
        kept_files.keep(made, place)
        assert place.read_bytes() == content and kept_files.is_intact(place)
        assert not made.exists()
    overwrite(place, 0.5, b"x")
    assert not kept_files.is_intact(place)
    kept_files.discard(place)
    kept_files.discard(place)
    assert list(place.parent.iterdir()) == []
    place.write_bytes(b"nobody knows whose")
    assert not kept_files.is_intact(place)


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 100_000, "\0", "null", "[1]", "{}"])
def test_damaged_answers_are_none(tmp_path, content):
    file = tmp_path / "answers.json"
    file.write_text(content)
    assert KeptAnswers(file).get("question") == {}
    KeptAnswers(file).put({"value": 7}, "question")
    assert KeptAnswers(file).get("question") == {"value": 7}


@needs_openvino
@pytest.mark.parametrize("threads", [True, False, 1.0, 0.0, "1", None, [1], 2, -1])
def test_a_damaged_answer_about_threads_is_measured_again(tmp_path, monkeypatch, threads):
    from monodepth2_ros.backends import openvino_threads

    monkeypatch.setattr(openvino_threads, "usable_cores", lambda: 2)
    monkeypatch.setattr(openvino_threads, "_time", lambda *_: {"one": 1.0, "all": 9.0})
    answers = KeptAnswers(tmp_path / "threads.json")

    def choose():
        found, _ = openvino_threads.choose(
            lambda count: count, answers, CHECKPOINT.metadata, "fp32",
            busy=lambda: True, load=lambda: 0.0, later=lambda _: None,
        )  # fmt: skip
        return found

    assert choose() == 1
    (key,) = json.loads((tmp_path / "threads.json").read_text())
    (tmp_path / "threads.json").write_text(json.dumps({key: {"threads": threads}}))
    found = choose()
    assert type(found) is int and found == 1


@pytest.fixture
def homeless(monkeypatch):
    """A user with a number and nothing else, as in many containers."""

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(kept_answers.Path, "home", staticmethod(home))
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_without_a_home_nothing_is_kept(homeless):
    with pytest.raises(OSError):
        user_cache().mkdir(parents=True)
    KeptAnswers(user_cache() / "answers.json").put({"value": 1}, "question")
    assert KeptAnswers(user_cache() / "answers.json").get("question") == {}


@pytest.mark.slow
@needs_openvino
def test_without_a_home_the_network_runs(homeless, used):
    np.testing.assert_allclose(disparity(None), used[1], rtol=1e-4)


def test_a_home_that_nobody_knows_is_named(homeless):
    with pytest.raises(BackendError, match=r"cache_dir is '~/x', and .* give an absolute path"):
        cache_folder("~/x")
    with pytest.raises(CheckpointError, match=r"checkpoint ~/x\.safetensors does not exist"):
        load_checkpoint("~/x.safetensors")


def test_the_users_cache_is_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "monodepth2_ros"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert user_cache() == Path.home() / ".cache" / "monodepth2_ros"
    assert cache_folder("~/here") == Path.home() / "here"
