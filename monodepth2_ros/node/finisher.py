# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that finishes a frame while the worker begins with the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: What is left to do of a frame; raises nothing.
Job = Callable[[], None]


class Finisher:
    """Does one job at a time in a thread of its own, in the order in which they are given.

    The thread begins with the first job: a node whose network is faster than its camera has none.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def give(self, job: Job) -> None:
        """Wait for the job before, and hand this one over."""
        with self._condition:
            self._wait_until_idle()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="depth_finisher", daemon=True
                )
                self._thread.start()
            self._job = job
            self._condition.notify_all()

    def wait(self) -> None:
        """Wait until there is nothing left to do."""
        with self._condition:
            self._wait_until_idle()

    def close(self) -> None:
        """Wait for the last job and end the thread."""
        with self._condition:
            self._wait_until_idle()
            self._closed = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _wait_until_idle(self) -> None:
        while self._job is not None:
            self._condition.wait()

    def _work(self) -> None:
        while True:
            with self._condition:
                while self._job is None and not self._closed:
                    self._condition.wait()
                job = self._job
            if job is None:
                return
            try:
                job()
            finally:
                with self._condition:
                    self._job = None
                    self._condition.notify_all()
