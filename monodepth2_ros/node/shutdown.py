# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The end of this process at a deadline, even while a library holds Python's lock."""

from __future__ import annotations

import contextlib
import ctypes
import time

# <signal.h> and <time.h> of Linux.
_SIGEV_THREAD = 2
_SIGEVENT_BYTES = 64


class _SignalEvent(ctypes.Structure):
    """What happens when a timer expires: ``struct sigevent``."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("unused", ctypes.c_char * _SIGEVENT_BYTES),  # as large as it may be, and more
    )


class _TimeSpec(ctypes.Structure):
    """``struct timespec``."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    """``struct itimerspec``."""

    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def exit_after(seconds: float, status: int) -> bool:
    """End this process later, unless it has ended by then.

    A thread of Python, or a handler of a signal, would wait for the lock that whoever does not
    come back holds. So a timer of the C library calls ``_exit``, and nothing of Python runs.

    Parameters
    ----------
    seconds : float
        More than 0.
    status : int
        Exit status.

    Returns
    -------
    bool
        False if this system has no such timers: then nothing happens.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None, use_errno=True)
        function = ctypes.cast(library._exit, ctypes.c_void_p).value
        event = _SignalEvent(value=status, notify=_SIGEV_THREAD, function=function)
        timer = ctypes.c_void_p()
        if library.timer_create(
            ctypes.c_int(time.CLOCK_MONOTONIC), ctypes.byref(event), ctypes.byref(timer)
        ):
            return False
        whole = int(seconds)
        due = _TimeSpec(whole, int(1e9 * (seconds - whole)))
        setting = _TimerSpec(value=due)
        return not library.timer_settime(timer, ctypes.c_int(0), ctypes.byref(setting), None)
    return False
