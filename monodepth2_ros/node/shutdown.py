# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the process ends: on the first SIGINT or SIGTERM, and at a deadline if a library hangs.

This module is imported before anything else of the node, so it imports next to nothing itself.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # importing typing would delay the signal handlers
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# <signal.h> of Linux.
_SIGEV_THREAD = 2
_SIGEVENT_BYTES = 64

# <ucontext.h>: larger than ucontext_t of x86-64 (968) and AArch64 (4560).
_CONTEXT_BYTES = 8192
_STACK_BYTES = 65536

# Memory that the thread of exit_after_signal uses.
_kept_for_the_thread: list[object] = []

# Seconds. A join that never ends may not be interrupted on every system.
_SIGNAL_LATENCY = 0.2

# Seconds in which a function that runs in a thread has the GIL to itself.
_UNDISTURBED = 0.5

_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndSignals:
    """Makes the first SIGINT or SIGTERM end what the main thread does; later ones do nothing.

    rclpy shuts ROS down on either signal, but only SIGINT would interrupt the loading of a model,
    and a terminal's ctrl-C and a launcher's signal may both arrive, the second during shutdown.

    Attributes
    ----------
    heard : bool
        Whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.heard = False
        self._nothing_is_open = True

    def install(self) -> None:
        """Handle the signals. rclpy, initialised later, handles them first and passes them on."""
        for number in _END_SIGNALS:
            signal.signal(number, self._hear)
        # A parent, or this process before it executed itself again, may have blocked them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)

    def interrupt_from_now_on(self) -> None:
        """Raise KeyboardInterrupt at a signal, because there are now resources to close.

        Until this is called a signal ends the process at once with status 0: an exception that is
        raised while modules are imported may be swallowed or turned into another one.
        """
        self._nothing_is_open = False

    def _hear(self, number: int, frame: object) -> None:
        if self.heard:
            return
        self.heard = True
        if self._nothing_is_open:
            os._exit(0)
        raise KeyboardInterrupt


class BackgroundCall:
    """A function that runs in a thread, so that the main thread still hears signals.

    A signal handler of Python runs in the main thread only, and not while that thread waits inside
    a library or for a file.

    Parameters
    ----------
    function : callable
    name : str
        Name of the thread.
    """

    def __init__(self, function: Callable[[], object], name: str) -> None:
        import threading

        self._function = function
        self._results: list[object] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._errors.append(error)

    def wait(self, meanwhile: Callable[[float], object] | None = None) -> Any:
        """Wait for the end of the function and return what it returns.

        Parameters
        ----------
        meanwhile : callable, optional
            Called with seconds until the function has ended, for which it may do something else.
            Not in the first half second: most functions end sooner without it.

        Raises
        ------
        BaseException
            What the function raises, or KeyboardInterrupt at a signal; then the thread is left
            behind.
        """
        import time

        started = time.monotonic()
        while self._thread.is_alive():
            if meanwhile is None or time.monotonic() - started < _UNDISTURBED:
                self._thread.join(_SIGNAL_LATENCY)
            else:
                meanwhile(_SIGNAL_LATENCY)
        if self._errors:
            raise self._errors[0]
        return self._results[0]


def exit_after(seconds: float, status: int) -> bool:
    """End this process after a delay, even if a library holds the GIL for ever by then.

    A Python thread or a signal handler would wait for the GIL. So a timer of the C library calls
    ``_exit``; no Python code runs.

    Parameters
    ----------
    seconds : float
        Delay, above 0.
    status : int
        Exit status.

    Returns
    -------
    bool
        False if this system has no such timers; then nothing happens.
    """
    import ctypes
    import struct
    import time

    try:
        library = ctypes.CDLL(None, use_errno=True)
        function = ctypes.cast(library._exit, ctypes.c_void_p).value
        # struct sigevent: the value handed to the function, no signal, how to notify, function.
        layout = struct.pack("@PiiPP", status, 0, _SIGEV_THREAD, function, 0)
        event = ctypes.create_string_buffer(layout, _SIGEVENT_BYTES)
        timer = ctypes.c_void_p()
        if library.timer_create(ctypes.c_int(time.CLOCK_MONOTONIC), event, ctypes.byref(timer)):
            return False
        # struct itimerspec: no repetition, then seconds and nanoseconds until it fires.
        whole = int(seconds)
        setting = struct.pack("@llll", 0, 0, whole, int(1e9 * (seconds - whole)))
        return not library.timer_settime(timer, ctypes.c_int(0), setting, None)
    except (AttributeError, OSError):
        return False


def exit_after_signal(seconds: int, status: int) -> bool:
    """End this process some time after a signal, even if a library holds the GIL from now on.

    Python's own handler needs the GIL to run a function, but none to write a byte to the wakeup
    file descriptor. A thread of the C library, which runs no Python, waits for that byte: it calls
    ``read``, ``sleep`` and ``_exit`` in turn, each in a context (ucontext.h) that continues with
    the next one. Whoever ends in an orderly way is gone before.

    To be called in the main thread, once.

    Parameters
    ----------
    seconds : int
        From the signal to the end.
    status : int
        Exit status.

    Returns
    -------
    bool
        False if this system cannot do it; then nothing happens.
    """
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        calls = [library.read, library.sleep, library._exit]
        getcontext, makecontext = library.getcontext, library.makecontext
        start, pthread_create = library.setcontext, library.pthread_create
    except (AttributeError, OSError):
        return False
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    buffer = ctypes.create_string_buffer(8)
    arguments = ((reader, ctypes.addressof(buffer), 1), (seconds,), (status,))
    # The thread takes over this mask: it must leave all signals to those who run Python.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        following, kept = 0, [buffer]
        for call, values in zip(reversed(calls), reversed(arguments), strict=True):
            context = ctypes.create_string_buffer(_CONTEXT_BYTES)
            stack = ctypes.create_string_buffer(_STACK_BYTES)
            address = ctypes.addressof(context) + 15 & ~15
            if getcontext(ctypes.c_void_p(address)):
                return False
            # ucontext_t begins with: flags, the next context, the stack's address, flags and size.
            fields = (ctypes.c_size_t * 5).from_address(address)
            fields[1:] = [following, ctypes.addressof(stack), 0, _STACK_BYTES]
            words = [ctypes.c_size_t(value) for value in values]
            function = ctypes.cast(call, ctypes.c_void_p)
            makecontext(ctypes.c_void_p(address), function, ctypes.c_int(len(words)), *words)
            following = address
            kept += [context, stack]
        thread = ctypes.c_size_t()
        failed = pthread_create(
            ctypes.byref(thread),
            None,
            ctypes.cast(start, ctypes.c_void_p),
            ctypes.c_void_p(following),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if failed:
        return False
    _kept_for_the_thread.extend(kept)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return True
