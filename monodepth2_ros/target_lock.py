# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One process at a time writes a target: the second is refused at once, with the first's number.

The lock belongs to an open file (flock), so it ends with its process, however that ends; the file
``.NAME.lock`` that a killed one leaves behind is taken over and removed by the next.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class TargetInUse(OSError):
    """Another process writes the same target; the message says which."""


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other processes, and other calls in this one, from writing a target meanwhile.

    Parameters
    ----------
    path : Path
        File or folder; missing parents are made.

    Raises
    ------
    TargetInUse
        If somebody writes it now.
    OSError
        If the lock file cannot be made.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsdecode(os.fsencode(path.name)[:200])  # file names have at most 255 bytes
    lock = path.with_name(f".{name}.lock")
    descriptor = _acquire(lock, path)
    try:
        yield
    finally:
        try:
            with contextlib.suppress(OSError):
                os.unlink(lock)
        finally:  # ctrl-C, too, leaves nothing locked
            os.close(descriptor)


def _acquire(lock: Path, path: Path) -> int:
    """Open and lock the lock file."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor  # the file system knows none
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise TargetInUse(
                f"{path} is being written by another process ({holder or 'just started'}); wait "
                "for it, end it, or choose another --out"
            ) from error
        # Whoever held it may have removed the file between opening and locking.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return descriptor
        os.close(descriptor)
