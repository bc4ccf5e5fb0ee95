# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights that OpenVINO has copied do not stay in memory twice."""

from __future__ import annotations

import mmap
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from monodepth2_ros.backends.mapped_files import release_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux shows it")

MIB = 2**20


def resident(path):
    """MiB of a mapped file that are in memory."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"{re.escape(str(path))}\n(?:.*\n)*?Rss: +(\d+) kB", text)
    if not found:
        pytest.skip("this system does not show the memory of mapped files")
    return sum(map(int, found)) / 1024


def test_pages_are_given_back_and_come_back_unchanged(tmp_path):
    content = np.random.default_rng(0).integers(0, 256, 8 * MIB, dtype=np.uint8).tobytes()
    files = [tmp_path / "graph.blob", tmp_path / "other.bin", tmp_path / "changed.blob"]
    maps = []
    for path in files:
        path.write_bytes(content)
        with path.open("rb") as file:
            access = mmap.ACCESS_COPY if path.stem == "changed" else mmap.ACCESS_READ
            maps.append(mmap.mmap(file.fileno(), 0, access=access))
    for mapped in maps:
        assert bytes(mapped) == content
    maps[2][5] = 7 ^ content[5]
    before = [resident(path) for path in files]
    assert before[0] >= 8.0
    assert release_pages(tmp_path, ".blob") >= 8 * MIB
    assert resident(files[0]) < 1.0
    assert resident(files[1]) == before[1]
    # A private mapping that can be written to keeps what was written.
    assert maps[2][5] == 7 ^ content[5]
    assert bytes(maps[0]) == content


@pytest.mark.slow
def test_the_compiled_graph_is_not_kept_twice(tmp_path):
    openvino_backend = pytest.importorskip("monodepth2_ros.backends.openvino_backend")
    from monodepth2_ros.checkpoint import random_checkpoint

    checkpoint = random_checkpoint(18, 96, 64)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = openvino_backend.OpenVINOBackend(checkpoint, "fp32", 1, tmp_path)
    backend = openvino_backend.OpenVINOBackend(checkpoint, "fp32", 1, tmp_path)  # from the cache
    (blob,) = tmp_path.rglob("*.blob")
    assert blob.stat().st_size > 40 * MIB
    for thread in threading.enumerate():
        if thread.name == "page_release":
            thread.join(60)
    assert resident(blob) < 10.0
    np.testing.assert_array_equal(backend.disparity(image), expected.disparity(image))
