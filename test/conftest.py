# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported, here and in what the tests start: threads that spin while they wait make
# tests ten times as long where the cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One process for each core already: more threads would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from kitti_folders import write_drive_folder
from paths import DATA

if TYPE_CHECKING:
    from torch import Tensor, nn

# Until all tests are collected: see pytest_collection below.
gc.disable()

try:
    import torch
except ModuleNotFoundError:  # a robot with a CPU
    HAS_TORCH = HAS_CUDA = False
else:
    HAS_TORCH, HAS_CUDA = True, torch.cuda.is_available()

if not HAS_CUDA:
    # Without a GPU Triton's kernels are interpreted. Read when Triton is first imported.
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect tests without collecting garbage, and leave the objects that are there then alone.

    They are half a million, all of them stay, and looking through them takes a third of a second.
    """
    yield
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, and skip what needs a CUDA device where there is none."""
    # Begun last, it would be what all other processes wait for.
    items.sort(key=lambda item: item.path.name != "test_learning.py")
    if HAS_CUDA:
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


class _ModuleOfTests(pytest.Module):
    """A file of tests that is skipped, with the reason, where it needs torch and there is none."""

    def collect(self) -> Any:
        try:
            return super().collect()
        except self.CollectError as error:
            if "No module named 'torch" not in str(error):
                raise
            pytest.skip("needs torch, which is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """Collect files of tests where there is no torch."""
    return None if HAS_TORCH else _ModuleOfTests.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let every test start from the same random numbers, alone as in company.

    A hook, because it comes before fixtures of any scope. Networks draw their first weights so.
    """
    if HAS_TORCH:
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def automatic_precision() -> Iterator[None]:
    """Let `precision: auto` mean float32 in this process, whatever its processor is good at.

    And all cores for the network, whatever else the machine does. Nodes and programs that tests
    start choose for themselves.
    """
    from monodepth2_ros.backends import processor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processor, "_CPU_INFORMATION", Path("/nonexistent"))
        patch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
        processor.forget()
        yield
    processor.forget()


@pytest.fixture
def narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build networks of few channels; see test/support/narrow_networks.py."""
    from narrow_networks import narrow

    narrow(monkeypatch.setattr)


@pytest.fixture(scope="module")
def narrow_networks_in_file() -> Iterator[None]:
    """Build networks of few channels in a whole file, for fixtures that its tests share, too."""
    from narrow_networks import narrow

    with pytest.MonkeyPatch.context() as patch:
        narrow(patch.setattr)
        yield


@pytest.fixture(scope="module")
def quarter_networks_in_file() -> Iterator[None]:
    """Build networks of a quarter of the channels, whose depth is not flat, in a whole file."""
    from narrow_networks import QUARTER, narrow

    with pytest.MonkeyPatch.context() as patch:
        narrow(patch.setattr, QUARTER)
        yield


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Write a drive of 12 frames in the folders of KITTI's raw data."""
    return write_drive_folder(tmp_path / "raw")


@pytest.fixture(scope="session")
def golden() -> dict[str, Tensor]:
    """Numbers of the published implementation in float64; see test/data/README.md."""
    with np.load(DATA / "golden.npz") as arrays:
        return {
            name: torch.from_numpy(arrays[name])
            for name in arrays.files
            if arrays[name].dtype.kind == "f"
        }


@pytest.fixture(scope="session")
def golden_weights() -> Callable[[nn.Module, str], nn.Module]:
    """Fill a network with the weights that the golden numbers belong to, drawn from its keys."""

    def fill(module: nn.Module, prefix: str) -> nn.Module:
        state = module.state_dict()
        for key, value in state.items():
            if key.endswith("num_batches_tracked"):
                continue
            seed = (zlib.crc32(f"{prefix}.{key}".encode()) + 7) % 2**32
            generator = np.random.RandomState(seed)
            shape = tuple(value.shape)
            if key.endswith("running_mean"):
                drawn = 0.1 * generator.standard_normal(shape)
            elif key.endswith("running_var"):
                drawn = 1.0 + 0.5 * generator.random_sample(shape)
            elif value.ndim == 1:
                is_norm = ("bn" in key or "downsample.1" in key) and key.endswith("weight")
                drawn = 0.1 * generator.standard_normal(shape) + is_norm
            else:
                drawn = generator.standard_normal(shape) * math.sqrt(2.0 / np.prod(shape[1:]))
            state[key] = torch.from_numpy(np.asarray(drawn))
        module.double().load_state_dict(state)
        return module.eval()

    return fill
