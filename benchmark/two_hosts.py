# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train on two hosts that are two network namespaces, and compare with one process.

    sudo python benchmark/two_hosts.py

The namespaces are joined by a virtual cable; a torchrun in each meets the other by c10d. Both see
the same folders, as hosts that share a file system do. With frozen batch normalisation the weights
must be those of one process with the same batch, but for the order of sums. Needs the right to make
network namespaces (root) and ``ip``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monodepth2_ros.checkpoint import load_checkpoint
from monodepth2_ros.weights import arrays_of
from training.frames.writer import write_frame_store
from training.worlds.take import camera_from_field_of_view

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("depth_host_a", "depth_host_b")
CABLE = ("depth_a", "depth_b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")

#: Adam turns tiny gradients into whole steps of the learning rate, 1e-4.
LARGEST_MEAN_DIFFERENCE = 2e-5


def main() -> int:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="two_hosts.") as name:
        folder = Path(name)
        images = np.random.default_rng(0).integers(0, 256, (40, 64, 96, 3), dtype=np.uint8)
        write_frame_store(folder / "store", images, [camera_from_field_of_view(96, 64, 80)])
        words = [
            "--data", str(folder / "store"), "--init", "none", "--steps", str(options.steps),
            "--batch-size", "4", "--freeze-batch-norm", "--tie-break", "0", "--pose", "posecnn",
            "--device", "cpu", "--no-tensorboard", "--validation-fraction", "0",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        one = [sys.executable, "-m", "training.train", *words, "--out", str(folder / "one")]
        if subprocess.run(one, cwd=ROOT, env=environment).returncode not in (0, 3):
            return 1
        try:
            connect()
            run_on_both([*words, "--out", str(folder / "two")], environment)
        finally:
            for host in HOSTS:
                subprocess.run(["ip", "netns", "del", host], stderr=subprocess.DEVNULL)
        return compare(folder / "one", folder / "two")


def connect() -> None:
    """Make the two namespaces and the cable between them."""
    for host in HOSTS:
        ip("netns", "add", host)
    ip("link", "add", CABLE[0], "type", "veth", "peer", "name", CABLE[1])
    for host, end, address in zip(HOSTS, CABLE, ADDRESSES, strict=True):
        ip("link", "set", end, "netns", host)
        ip("-n", host, "addr", "add", f"{address}/24", "dev", end)
        ip("-n", host, "link", "set", end, "up")
        ip("-n", host, "link", "set", "lo", "up")


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True)


def run_on_both(words: list[str], environment: dict[str, str]) -> None:
    """Start torchrun in both namespaces and wait for both."""
    started = []
    for host, end, address in zip(HOSTS, CABLE, ADDRESSES, strict=True):
        command = [
            "ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run",
            "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", f"{ADDRESSES[0]}:29511", "--rdzv-id", "two_hosts",
            "--rdzv-conf", f"is_host={int(host == HOSTS[0])}",
            "--local-addr", address, "-m", "training.train", *words,
        ]  # fmt: skip
        settings = {**environment, "GLOO_SOCKET_IFNAME": end}
        started.append(subprocess.Popen(command, cwd=ROOT, env=settings))
    statuses = [process.wait(timeout=1800) for process in started]
    assert statuses == [0, 0], statuses


def compare(first: Path, second: Path) -> int:
    """Print how far the weights of two runs are apart; return the exit status."""
    states = [load_checkpoint(folder / "last.safetensors").state for folder in (first, second)]
    largest = mean = 0.0
    for network in states[0]:
        one, other = (arrays_of(state, network) for state in states)
        for name in one:
            if np.issubdtype(one[name].dtype, np.floating) and "fc." not in name:
                difference = np.abs(one[name].astype(np.float64) - other[name])
                largest = max(largest, float(difference.max()))
                mean = max(mean, float(difference.mean()))
    print(f"weights differ by at most {largest:.2g}, in the mean of a tensor {mean:.2g}")
    return 0 if mean < LARGEST_MEAN_DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main())
