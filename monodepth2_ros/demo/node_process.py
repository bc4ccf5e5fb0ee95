# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth node as a process of its own, and the environment in which two processes find it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from importlib import resources
from pathlib import Path

from monodepth2_ros.node.launch_arguments import profile_environment

# Domains above use ports that Linux gives out to anyone.
_LAST_DOMAIN = 101
# Ports of a domain, and the first that is not a multicast port (DDSI-RTPS 9.6.2).
_PORT_BASE, _PORTS_PER_DOMAIN, _FIRST_UNICAST = 7400, 250, 10

# Seconds until the next harder signal.
_PATIENCE = 5.0


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Set what ROS 2 is to use, unless the user has set it: a domain, this machine only, Fast DDS.

    Must be called before ROS is initialised.

    Parameters
    ----------
    environment : mutable mapping
        ``os.environ``; children inherit it.
    """
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if environment.get("ROS_DISTRO") == "humble":  # knows only this one, later ones warn of it
        environment.setdefault("ROS_LOCALHOST_ONLY", "1")
    if not environment.get("ROS_DOMAIN_ID"):
        environment["ROS_DOMAIN_ID"] = str(_free_domain())
    profile = find_config("fastdds.xml")
    if profile is not None:
        environment.update(profile_environment(environment, profile))


def find_config(name: str) -> Path | None:
    """Return the path of a file in config/: inside the package, or next to it in a checkout."""
    package = resources.files("monodepth2_ros")
    if not isinstance(package, Path):
        return None
    candidates = (package / "config" / name, package.parent / "config" / name)
    return next((path for path in candidates if path.is_file()), None)


def _free_domain() -> int:
    """Return a ROS domain in which nobody on this machine is."""
    domains = list(range(1, _LAST_DOMAIN + 1))
    random.shuffle(domains)
    for domain in domains:
        port = _PORT_BASE + _PORTS_PER_DOMAIN * domain + _FIRST_UNICAST
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError), probe:
            probe.bind(("", port))
            return domain
    return domains[0]


class NodeProcess:
    """The depth node, running; a context manager that ends it.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``--ros-args``.
    log : Path
        File for everything it says.
    on_warning : callable
        Called with each line of a warning or error, from a thread.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, on_warning: Callable[[str], None]
    ) -> None:
        command = [sys.executable, "-u", "-m", "monodepth2_ros.node"]
        # The environment is handed on whole: the wheels of ROS 2 mark it, and a child that had the
        # mark without the library path, or the reverse, would not start. A session of its own
        # keeps ctrl-C from the node; it is ended from here.
        self._process = subprocess.Popen(
            [*command, "--ros-args", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._tail: deque[str] = deque(maxlen=8)
        self._on_warning = on_warning
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def death(self) -> str:
        """Say how the node ended and what it said last; "" while it runs."""
        status = self._process.poll()
        if status is None:
            return ""
        self._reader.join(1.0)
        how = f"with status {status}" if status >= 0 else f"by signal {-status}"
        said = "\n  ".join(self._tail) or "nothing"
        return f"the node ended {how}; it said last:\n  {said}"

    def stop(self) -> None:
        """End the node, the harder the longer it takes."""
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        self._reader.join(1.0)

    def _read(self, log: Path) -> None:
        """Keep what the node says."""
        assert self._process.stdout is not None
        with self._process.stdout as lines, log.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                file.flush()
                line = line.rstrip()
                if line:
                    self._tail.append(line)
                if any(mark in line for mark in ("[WARN]", "[ERROR]", "[FATAL]")):
                    self._on_warning(line)
