# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes of one run: what they share, and that all end when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from paths import REPOSITORY
from training.learning.processes import Processes, describe_failure

WORKER = """
import os, sys, time
import torch
from training.learning import processes as module
from training.learning.processes import describe_failure, join_processes, leave_processes

if sys.argv[1] == "raise" and os.environ["RANK"] == "1":
    # One of those who wait looks late: the first to hear must not close the connection before.
    module._LOOK_EVERY = 2.5

def work(processes, how):
    if how == "share":
        norm = torch.nn.BatchNorm2d(2)
        norm.running_mean.fill_(processes.rank)
        processes.share_statistics(norm)
        assert norm.running_mean.eq(0).all()
        assert processes.share_bytes(lambda: b"from the first") == b"from the first"
        assert processes.share_bytes(lambda: b"") == b""
        gathered = processes.gather(torch.full((2,), float(processes.rank)))
        assert gathered[:, 0].tolist() == list(range(processes.count))
        return
    if processes.rank == processes.count - 1:
        print("ready", flush=True)
        if how == "raise":
            raise OSError(28, "No space left on device", "last.safetensors")
        if how == "wait":
            time.sleep(600)
    processes.total(torch.ones(1))  # waits for one that never comes

processes = join_processes("cpu")
failure = ""
try:
    work(processes, sys.argv[1])
except Exception as error:
    failure = describe_failure(error)
    print("depth_train: " + failure, file=sys.stderr, flush=True)
    sys.exit(1)
finally:
    leave_processes(failure)
"""


def start(how: str, count: int, port: int) -> list[subprocess.Popen[str]]:
    """Start workers as torchrun does, but without it: it would end the others by itself."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, how],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


@pytest.fixture
def port() -> int:
    """A port that is free."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_processes_share_what_the_first_has(port: int) -> None:
    """Statistics, bytes, and a gathered tensor."""
    for process in start("share", 2, port):
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_the_failure_of_one_ends_all_with_one_message(port: int, count: int) -> None:
    """The others wait in a collective operation that nothing interrupts."""
    processes = start("raise", count, port)
    failing = processes[-1]
    assert failing.stdout is not None and failing.stdout.readline() == "ready\n"
    began = time.monotonic()
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 1, error
        assert "depth_train: [Errno 28] No space left on device: 'last.safetensors'" in error
    assert time.monotonic() - began < 30.0


@pytest.mark.slow
def test_the_death_of_one_ends_all(port: int) -> None:
    """A killed process tells nothing; the others notice that its connection is gone."""
    processes = start("wait", 2, port)
    last = processes[-1]
    assert last.stdout is not None and last.stdout.readline() == "ready\n"
    last.send_signal(signal.SIGKILL)
    _, error = processes[0].communicate(timeout=60)
    assert processes[0].returncode == 1
    assert "depth_train: another process ended or does not answer" in error
    assert "the same command continues" in error


def test_only_lost_connections_are_called_so() -> None:
    """Errors of files and data keep their words."""
    for error in (OSError(28, "No space left"), ValueError("frame store damaged")):
        assert describe_failure(error) == str(error)
    lost = RuntimeError("[/pytorch/third_party/gloo/pair.cc:547] Connection closed by peer")
    assert "another process ended" in describe_failure(lost)


def test_one_process_shares_with_itself(tmp_path: Path) -> None:
    """Nothing is communicated."""
    alone = Processes(0, 1, torch.device("cpu"))
    assert alone.share_bytes(lambda: b"x") == b"x"
    assert alone.gather(torch.ones(2)).shape == (1, 2)
