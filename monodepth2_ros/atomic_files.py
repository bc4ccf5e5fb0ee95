# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are either complete or absent, and how to find damage in them.

What is not complete yet has a hidden name next to its target, ``.NAME.xxxxxxxx.part``, and is
locked by the process that writes it. A process that is killed leaves such a part behind; the next
one that writes the same target, or calls :func:`remove_leftovers`, finds it unlocked and removes
it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

_SUFFIX = ".part"

#: File names have at most 255 bytes; a part's name repeats no more than this of its target's.
_LONGEST_STEM = 200

#: Errors of file systems that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def crc(path: Path, stop: Callable[[], bool] = lambda: False) -> int:
    """Return the CRC-32 of a file; it finds damage, at the speed of the disk.

    Parameters
    ----------
    path : Path
    stop : callable
        Asked after every block; True ends it early, with a meaningless result.
    """
    checksum = 0
    # One small buffer, which stays in the processor's cache: a new one for each block takes twice
    # as long as the sum, for the pages that the kernel gives and clears.
    buffer = memoryview(bytearray(1 << 18))
    with path.open("rb", buffering=0) as file:
        while (count := file.readinto(buffer)) and not stop():
            checksum = zlib.crc32(buffer[:count], checksum)
    return checksum


def check_target(path: Path) -> None:
    """Raise the error that writing a file or folder would meet, before any work is done for it.

    Parameters
    ----------
    path : Path
        The target. Whether it exists is not judged.

    Raises
    ------
    OSError
        If it is a device, pipe or socket (which would be replaced), a symbolic link to nothing,
        lies below a file or such a link, on a read-only file system or in a folder that may not be
        changed, or if a part of it is too long.
    """
    path = Path(os.path.abspath(path))
    try:
        _check_kind(path)
        for place in (path, *path.parents):
            try:
                os.stat(place)
            except FileNotFoundError:
                if place.is_symlink():
                    raise FileNotFoundError(
                        errno.ENOENT,
                        f"it is a symbolic link to {os.readlink(place)}, which does not exist; "
                        "mend or remove the link, or choose another path",
                    ) from None
                continue
            break
        folder = place.parent if place == path else place
        _check_folder(folder)
        limits = os.statvfs(folder)
        for name in path.parts[len(folder.parts) :]:
            if len(os.fsencode(name)) > limits.f_namemax:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    except OSError as error:
        raise _about(error, path) from error


def disk_failure(folder: Path, size: int) -> OSError | None:
    """Return the error that writing to a folder meets, None if there is none.

    For libraries that answer a full disk with an exception that does not say so.

    Parameters
    ----------
    folder : Path
    size : int
        Bytes to try with: what the library wanted to write, because some remove what they have
        written before they raise.
    """
    probe = folder / f"{secrets.token_hex(4)}{_SUFFIX}"
    try:
        with probe.open("wb") as file:
            for _ in range(0, size, 1 << 20):
                file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    finally:
        _remove(probe)
    return None


def _check_folder(folder: Path) -> None:
    """Raise the error that making something in an existing folder would meet."""
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_kind(path: Path) -> None:
    """Refuse what is neither file nor folder: root would replace /dev/null by a file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(
                errno.EINVAL, "it is a device, pipe or socket, not a file; choose another path"
            )


def write_atomically(path: Path, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """Replace a file by another content, or leave it as it was.

    Parameters
    ----------
    path : Path
    content : bytes or callable
        The content, or a function that writes it into the binary file it is given.

    Raises
    ------
    OSError
        If it cannot be written. It names `path`. Libraries such as torch answer a full disk with
        exceptions of their own; these become the OSError that caused them.
    """
    remove_leftovers(path)
    try:
        _check_kind(path)
        part, lock = _create(path, is_folder=False)
    except OSError as error:
        raise _about(error, path) from error
    try:
        _fill(part, content)
        move_into_place(part, path)
    except OSError as error:
        _remove(part)
        raise _about(error, path) from error
    except BaseException:
        _remove(part)
        raise
    finally:
        os.close(lock)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder next to a target, to make the target's content in.

    Scratch folders of the same target that killed processes left behind are removed first. What
    is complete leaves it with :func:`move_into_place`; the rest is removed at the end.

    Parameters
    ----------
    path : Path
        The target, file or folder; its parent must exist.

    Yields
    ------
    Path

    Raises
    ------
    OSError
        If it cannot be made; it names `path`.
    """
    remove_leftovers(path)
    try:
        folder, lock = _create(path, is_folder=True)
    except OSError as error:
        raise _about(error, path) from error
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def move_into_place(part: Path, path: Path) -> None:
    """Give something complete its final name, once its content is on the disk.

    Parameters
    ----------
    part : Path
        A file or folder on the same file system.
    path : Path
        A file there is replaced; a folder there must be empty.

    Raises
    ------
    OSError
        If that is impossible; it names `path`.
    """
    try:
        for folder, _, names in os.walk(part):
            for name in names:
                _sync(Path(folder, name))
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    except OSError as error:
        raise _about(error, path) from error


def remove_leftovers(path: Path) -> None:
    """Remove the parts of a target that no process is writing any more.

    Parameters
    ----------
    path : Path
        The target of :func:`write_atomically` or :func:`scratch_folder`.
    """
    prefix = _prefix(path)
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    for name in names:
        middle = name[len(prefix) : -len(_SUFFIX)]
        if not (name.startswith(prefix) and name.endswith(_SUFFIX) and len(middle) == 8):
            continue
        part = path.parent / name
        try:
            descriptor = os.open(part, os.O_RDONLY)
        except OSError:
            continue
        try:
            if _lock(descriptor):
                _remove(part)
        finally:
            os.close(descriptor)


def _prefix(path: Path) -> str:
    """Return what the names of all parts of a target begin with."""
    return "." + os.fsdecode(os.fsencode(path.name)[:_LONGEST_STEM]) + "."


def _create(path: Path, is_folder: bool) -> tuple[Path, int]:
    """Create and lock a part; return it with the descriptor that holds the lock."""
    if not path.name or (not is_folder and path.is_dir()):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # The part's own name is cut; one of the target that is too long should show at once.
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)
    while True:
        part = path.with_name(f"{_prefix(path)}{secrets.token_hex(4)}{_SUFFIX}")
        try:
            if is_folder:
                part.mkdir()
                descriptor = os.open(part, os.O_RDONLY)
            else:
                descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            continue
        # Between creation and lock another process may have taken it for a leftover.
        if _lock(descriptor) is not False and part.exists():
            return part, descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file; False if another process holds it, None if locks are not supported."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False
    return True


def _fill(part: Path, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """Write the content of a file; any failure of the disk is an OSError."""
    file = _WatchedFile(part)
    try:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(cast("IO[bytes]", file))
        file.close()
    except BaseException as error:
        with contextlib.suppress(OSError):
            file.close()  # tries to write what is left, and fails again
        if file.failure is not None and isinstance(error, Exception):
            raise file.failure from error
        raise


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, onto the disk."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot do that for folders
            raise
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    """Remove a part, whatever it is; what cannot be removed stays."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        part.unlink()


def _about(error: OSError, path: Path) -> OSError:
    """Make the same error about a path."""
    number = error.errno or errno.EIO
    return OSError(number, error.strerror or os.strerror(number), str(path))


class _WatchedFile:
    """A binary file that remembers the error of a write.

    Libraries turn it into exceptions of their own, and lose it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        """Hand over to the system what is buffered."""
        try:
            self._file.flush()
        except OSError as error:
            self.failure = self.failure or error
            raise

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or error
            raise

    def __getattr__(self, name: str) -> Any:
        """Give what else a file has."""
        return getattr(self._file, name)
