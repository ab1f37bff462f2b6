"""One run at a time in an output folder.

The operating system holds the lock and lets go of it when the process ends, however it ends, so
that a killed run never stands in the way. Where a file system knows no locks there are none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_sem_classify.core.common.errors import BusyError, OutputError, cannot_write
from napari_sem_classify.core.common.temporaries import MARK

LOCK_NAME = f"{MARK}lock"
_POLL_S = 0.05
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def folder_lock(folder: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Keep every other run, in this process too, out of a folder until the block ends.

    Parameters
    ----------
    wait_s : float
        Seconds to wait for another run.

    Raises
    ------
    OutputError
        When another run works there, or the folder cannot be written.
    """
    told = (
        f"Another run of this program writes into {folder}: wait until it has ended, or choose "
        "another folder."
    )
    with _lock_at(folder / LOCK_NAME, wait_s, told):
        yield


@contextmanager
def file_lock(path: Path, wait_s: float) -> Iterator[None]:
    """Keep everybody else who asks for it away from one file while it is read and written anew.

    Raises
    ------
    BusyError
        When somebody else has it for longer than `wait_s` seconds.
    OutputError
        When its folder cannot be written.
    """
    path = path.resolve()
    name = f"{LOCK_NAME}-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"
    told = f"{path} is being written by another program: it is tried again soon."
    with _lock_at(path.with_name(name), wait_s, told):
        yield


@contextmanager
def _lock_at(path: Path, wait_s: float, told: str) -> Iterator[None]:
    until = time.monotonic() + wait_s
    try:
        handle = _take(path)
        while handle is None and time.monotonic() < until:
            time.sleep(_POLL_S)
            handle = _take(path)
    except OSError as error:
        raise OutputError(cannot_write(path.parent, error)) from error
    if handle is None:
        raise BusyError(told)
    try:
        yield
    finally:
        _let_go(handle, path)


def _take(path: Path) -> int | None:
    """A handle of the locked file; None while somebody else has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        handle = os.open(path, flags, 0o666)
        try:
            if not _lock(handle):
                os.close(handle)
                return None
            if os.path.samestat(os.fstat(handle), os.lstat(path)):
                return handle
        except FileNotFoundError:
            pass
        except OSError:
            os.close(handle)
            raise
        os.close(handle)  # its last holder removed the file meanwhile: another one counts now


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def _let_go(handle: int, path: Path) -> None:
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        os.close(handle)
        with suppress(OSError):  # Windows deletes no file that another run has opened
            path.unlink()

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True

    def _let_go(handle: int, path: Path) -> None:
        with suppress(OSError):
            path.unlink()  # first, so that nobody takes a lock that is about to vanish
        os.close(handle)
