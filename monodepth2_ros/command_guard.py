# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How every command ends when something goes wrong: one sentence on stderr and an exit status.

===============================  ======  ==========================================================
what happened                    status  what is said
===============================  ======  ==========================================================
a mistake in the command line    2       the option, its value and what it takes
the disk, a file, a library      1       the path, the reason and the fix
too little memory                1       how much was asked for, where that is known
ctrl-C                           130     that it was interrupted, and how to go on
the reader of stdout has gone    1       nothing (``depth_evaluate ... | head``)
an error of the program itself   1       the exception, its place in the code, how to see all of it
===============================  ======  ==========================================================

A traceback is printed only if the environment variable DEPTH_TRACEBACK is set. Text that the
terminal's encoding cannot express is written with escapes. This module imports next to nothing.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence

from monodepth2_ros.interrupts import INTERRUPTED, Interrupts

#: Environment variable: anything but nothing or "0" asks for tracebacks.
TRACEBACK = "DEPTH_TRACEBACK"

Command = Callable[..., int]

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space, or choose a path on another disk",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose a path on another disk",
    errno.EROFS: "the file system is read-only; choose a path on one that can be written",
    errno.ENAMETOOLONG: "the name is too long for the file system (usually 255 bytes for each "
    "part); choose a shorter one",
    errno.ENOTDIR: "something in it that must be a folder is a file or a link to nothing; choose "
    "another path",
    errno.EISDIR: "it is a folder where a file is needed; choose another path",
    errno.ELOOP: "its symbolic links lead in a circle; choose another path, or mend the link",
    errno.EACCES: "permission denied; choose another path, or change its permissions or owner",
    errno.EPERM: "the system does not permit it; choose another path, or change its permissions",
    errno.ENOENT: "it does not exist; check the spelling, or make it first",
    errno.EEXIST: "it exists already; remove it, or choose another path",
    errno.ENOTEMPTY: "the folder is not empty; remove it, or choose another path",
    errno.EIO: "the disk does not answer as it should; see the system's log (dmesg)",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine; close some programs",
    errno.EFBIG: "the file becomes larger than the file system or a limit (ulimit -f) allows",
    errno.ENOMEM: "the system has no memory left; close other programs, or ask for less",
    errno.ESTALE: "the network file system has lost it; mount it again",
    errno.ETXTBSY: "another program is using it",
    errno.EBUSY: "another program is using it",
}


def guarded(command: str, interrupted: str = "") -> Callable[[Command], Command]:
    """Make the main function of a command end as the table above says.

    Parameters
    ----------
    command : str
        Its name, with which every sentence begins.
    interrupted : str
        What to say after "interrupted" at ctrl-C: how to continue, or what is left.

    Returns
    -------
    decorator
        The function it makes has the attribute ``guarded``, the command's name.
    """

    def decorate(main: Command) -> Command:
        @functools.wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            _express_everything()
            with Interrupts(command, main.__code__) as interrupts:
                try:
                    try:
                        status = main(arguments)
                    finally:
                        # What is still buffered fails here, not while the interpreter ends.
                        sys.stdout.flush()
                    if not interrupts.is_waiting:
                        return status
                except KeyboardInterrupt:
                    pass
                except Exception as error:
                    # A library may turn an interrupt into an exception of its own.
                    if not interrupts.heard:
                        return report(command, error)
                interrupts.stop_reminding()  # it would end the process with the same line
                hint = f"; {interrupted}" if interrupted else ""
                _say(f"{command}: interrupted{hint}")
                return INTERRUPTED

        run.guarded = command  # type: ignore[attr-defined]
        return run

    return decorate


def report(command: str, error: BaseException) -> int:
    """Say in a sentence why a command failed; return its exit status, 1.

    Parameters
    ----------
    command : str
    error : BaseException
    """
    if is_traceback_wanted():
        _say("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())
    if isinstance(error, BrokenPipeError) and error.filename is None and _is_stdout_closed():
        _settle_stdout()
        return 1
    _say(f"{command}: {describe_error(error)}")
    _settle_stdout()
    return 1


def is_traceback_wanted() -> bool:
    """Tell whether DEPTH_TRACEBACK asks for tracebacks."""
    return os.environ.get(TRACEBACK, "") not in ("", "0")


def describe_error(error: BaseException) -> str:
    """Say what an exception means, with the path and the fix where they are known.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
    """
    if isinstance(error, OSError) and error.errno is not None:
        return _describe_system_error(error)
    if isinstance(error, MemoryError):
        text = f" ({error})" if str(error) else ""
        return (
            f"there is not enough memory{text}; ask for less (smaller images, a smaller batch, "
            "fewer workers), or close other programs"
        )
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{error.object[:200]!r} cannot be expressed in {error.encoding}; set a UTF-8 locale "
            "(export LC_ALL=C.UTF-8), or rename it"
        )
    # RuntimeError is what this package and torch raise for what a user can mend; these two of its
    # kind are not.
    of_processes = getattr(sys.modules.get("subprocess"), "SubprocessError", ())
    explained = isinstance(error, (OSError, ValueError, RuntimeError, ImportError, of_processes))
    if explained and not isinstance(error, (RecursionError, NotImplementedError)) and str(error):
        return str(error)
    return _describe_own_error(error)


def _describe_system_error(error: OSError) -> str:
    """Name the path, what the system says and what to do."""
    number = error.errno or 0
    said = error.strerror or os.strerror(number)
    advice = _ADVICE.get(number, said)
    if said not in (os.strerror(number), advice):
        advice = said  # the program's own words
    if error.filename is None:
        return advice
    paths = [_shown(error.filename)]
    if error.filename2 is not None:
        paths.append(_shown(error.filename2))
    if number == errno.ENOENT and isinstance(error.filename, (str, bytes, os.PathLike)):
        with contextlib.suppress(OSError, ValueError):
            target = os.readlink(os.fsdecode(error.filename))
            advice = f"it is a symbolic link to {target}, which does not exist; mend or remove it"
    return f"{' to '.join(paths)}: {advice}"


def _describe_own_error(error: BaseException) -> str:
    """Name an exception that nobody foresaw, and where it was raised."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:
        file = "/".join(frames[-1].filename.split(os.sep)[-2:])
        place = f" in {file}, line {frames[-1].lineno}"
    kind = type(error).__name__
    return (
        f"an error of the program itself: {kind}{f' ({text[:300]})' if text else ''}{place}; set "
        f"{TRACEBACK}=1 to see all of it, and please report it"
    )


def _shown(path: object) -> str:
    """Write a path; long ones shortened in the middle."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
    return text if len(text) <= 300 else f"{text[:140]}…{text[-140:]}"


def _express_everything() -> None:
    """Let stdout and stderr write escapes for what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _is_stdout_closed() -> bool:
    """Tell whether the reader of stdout, a pipe, has gone."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def _settle_stdout() -> None:
    """Lead stdout to nowhere if it cannot be written, or the interpreter's end complains."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _say(text: str) -> None:
    """Write to stderr; if that cannot be written either, the status has to do."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
