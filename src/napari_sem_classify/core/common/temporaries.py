"""Temporary files and folders, named so that they can be nobody else's.

A name tells computer, process and session, so that the next run in a folder can remove what one
that was killed left there, and nothing else. It does not hold the name of the file in the making:
that may be as long as the file system allows.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

from napari_sem_classify.core.common.errors import OutputError, cannot_write

MARK = ".sem-classify-"
_NAME = re.compile(
    re.escape(MARK) + r"([0-9a-f]{6})-([0-9]{1,10})-([0-9a-f]{6})-[0-9a-f]+(?:\..{1,19})?",
    re.DOTALL,
)
_SESSION = secrets.token_hex(3)  # in a container every process may have the same number
_LONGEST_SUFFIX = 20
_OTHER_COMPUTER_S = 7 * 86400.0
_count = itertools.count()


def temporary_name(suffix: str = "") -> str:
    """A name that no other file of any process has; it ends as `suffix` says, where that is short.

    Many writers choose the format by the ending.
    """
    ending = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
    return f"{MARK}{_computer()}-{os.getpid()}-{_SESSION}-{next(_count):x}{ending}"


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder in `folder`, which is deleted with all that is left in it.

    Raises
    ------
    OutputError
        When it cannot be made.
    """
    temporary = folder / temporary_name()
    try:
        temporary.mkdir()
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove temporary files and folders in `folder` whose process is dead.

    Those of another computer, of which that cannot be told, stay for a week after the last change.
    """
    try:
        with os.scandir(folder) as entries:
            left = [entry for entry in entries if _is_left_over(entry)]
    except OSError:
        return
    for entry in left:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with suppress(OSError):
                Path(entry.path).unlink()


@cache
def sweep_once(folder: Path) -> None:
    """Do as `sweep` does, once in the life of this process."""
    sweep(folder)


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    if not entry.name.startswith(MARK):
        return False
    match = _NAME.fullmatch(entry.name)
    if match is None or entry.is_symlink():
        return False
    computer, process, session = match[1], int(match[2]), match[3]
    if computer != _computer():
        with suppress(OSError):
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OTHER_COMPUTER_S
        return False
    if process == os.getpid():
        return session != _SESSION
    import psutil  # type: ignore[import-untyped]

    return not psutil.pid_exists(process)


@cache
def _computer() -> str:
    return blake2b(platform.node().encode(errors="replace"), digest_size=3).hexdigest()
