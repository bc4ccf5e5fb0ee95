# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What ctrl-C (SIGINT) does to a command: status 130 and one line, at every moment.

Until the command's ``main`` runs there is nothing to tidy up, and the process ends at once. In
``main`` a KeyboardInterrupt is raised, but never where it would be lost: a library may swallow one
that is raised in the middle of an import, or turn it into an ImportError.

A command imports this module before anything else, so it imports next to nothing itself (not even
``__future__``, so there are few annotations that need more than the interpreter has).
"""

import _thread
import os
import signal
import sys

TYPE_CHECKING = False  # importing typing would delay the handler
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

#: Exit status after ctrl-C: 128 and the number of the signal, as shells have it.
INTERRUPTED = 130

# Seconds until it is looked again whether an import has ended.
_IMPORT_PATIENCE = 0.002

_IMPORTS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def end_at_interrupt(command: str) -> None:
    """End this process at ctrl-C, at once, until the command's ``main`` handles it.

    An ignored SIGINT stays ignored: a shell script starts so what it puts in the background.

    Parameters
    ----------
    command : str
        Its name, with which the line on stderr begins.
    """

    def end(number: int, frame: "FrameType | None") -> None:
        _end(command)

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, end)
        _early.append(end)


def run_command(command: str, module: str, arguments: "Sequence[str] | None") -> int:
    """Import a command and run it: what its console script does.

    Parameters
    ----------
    command : str
        Its name.
    module : str
        Where its ``main`` is.
    arguments : sequence of str or None
        Those of the process if None.

    Returns
    -------
    int
        Exit status.
    """
    end_at_interrupt(command)
    from importlib import import_module

    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        from monodepth2_ros.extras import explain_missing

        text = explain_missing(error)
        if text is None or os.environ.get("DEPTH_TRACEBACK"):
            raise
        os.write(2, f"{command}: {text}\n".encode())
        return 1
    status: int = main(arguments)
    return status


# Handlers that end_at_interrupt has installed.
_early: list = []


def interrupt_at(*numbers: int) -> None:
    """Let other signals do what ctrl-C does.

    Parameters
    ----------
    *numbers : int
        Signals. SIGINT may be among them: a shell script starts what it puts in the background with
        it ignored.
    """
    handler = signal.getsignal(signal.SIGINT)
    for number in numbers:
        signal.signal(number, handler if callable(handler) else signal.default_int_handler)


_is_ending = False


def _end(command: str) -> None:
    """End this process without running any more Python.

    A signal that comes while the line is written calls this again, before the process has ended.
    Between the flag and the line there is no call, so no place for a signal's handler.
    """
    global _is_ending
    line = f"{command}: interrupted\n".encode()
    try:
        if not _is_ending:
            _is_ending = True
            os.write(2, line)
    finally:
        os._exit(INTERRUPTED)


class Interrupts:
    """While active, ctrl-C raises KeyboardInterrupt in a command's ``main``, and only there.

    In an import it is raised as soon as the import has ended; a second ctrl-C meanwhile ends the
    process at once, as does one that comes when ``main`` has ended. Nothing is changed outside the
    main thread, or where somebody else handles SIGINT, an outer command for example.

    Parameters
    ----------
    command : str
        Its name.
    main : code
        Of the function in which the exception may be raised.

    Attributes
    ----------
    is_waiting : bool
        Whether ctrl-C came and KeyboardInterrupt is still to be raised.
    """

    def __init__(self, command: str, main: "CodeType") -> None:
        self._is_raised = False
        self._command = command
        self._main = main
        self.is_waiting = self._is_due = self._is_over = False
        self._reminding = _thread.allocate_lock()
        self._previous: object = None
        self._show_unraisable = sys.unraisablehook

    def __enter__(self) -> "Interrupts":
        previous = signal.getsignal(signal.SIGINT)
        if previous is signal.default_int_handler or previous in _early:
            try:
                signal.signal(signal.SIGINT, self.hear)
            except ValueError:  # not the main thread
                return self
            self._previous = previous
            self._show_unraisable = sys.unraisablehook
            sys.unraisablehook = self._hear_unraisable
        return self

    def __exit__(self, *error: object) -> None:
        if self._previous is None:
            return
        self.stop_reminding()
        if sys.unraisablehook == self._hear_unraisable:
            sys.unraisablehook = self._show_unraisable
        if signal.getsignal(signal.SIGINT) == self.hear:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]

    @property
    def heard(self) -> bool:
        """Whether ctrl-C came, in time for KeyboardInterrupt or not."""
        return self._is_raised or self.is_waiting

    def stop_reminding(self) -> None:
        """Let no signal come again from now on: ``main`` has ended, and what was heard is said."""
        with self._reminding:
            self._is_over = True

    def hear(self, number: int, frame: "FrameType | None") -> None:
        """Handle a signal."""
        is_own, self._is_due = self._is_due, False
        if is_own and self._is_over:
            return
        if self.is_waiting and not is_own:
            _end(self._command)
        self.is_waiting = False
        is_importing = False
        while frame is not None and frame.f_code is not self._main:
            is_importing = is_importing or frame.f_code.co_filename in _IMPORTS
            frame = frame.f_back
        if frame is None:
            _end(self._command)
        if is_importing:
            self._wait()
            return
        self._is_raised = True
        raise KeyboardInterrupt

    def _wait(self) -> None:
        """Let the signal come again in a moment."""
        import time

        def remind() -> None:
            time.sleep(_IMPORT_PATIENCE)
            with self._reminding:
                if not self._is_over:
                    self._is_due = True
                    _thread.interrupt_main()

        self.is_waiting = True
        _thread.start_new_thread(remind, ())

    def _hear_unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Raise again what was lost in a destructor or a callback of the interpreter."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._wait()
        else:
            self._show_unraisable(unraisable)
