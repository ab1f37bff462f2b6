"""What this program wrote into a folder: names, sizes and hashes, noted in the folder itself.

Only what is noted there, and is still as it was noted, is the program's own and may be replaced or
removed. Everything else is the user's, also a file that the program wrote and she changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.checked import MOST_BYTES, decoded_json
from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.files import plain_values
from napari_sem_classify.core.common.temporaries import MARK

RECORD_NAME = f"{MARK}record.jsonl"
"""A line for each group of files that was written, oldest first."""


@dataclass(frozen=True, slots=True)
class Print:
    """What a file, or a folder with all in it, is known by.

    Attributes
    ----------
    size : int
        Bytes of all files.
    changed_ns : int
        Time of the last change of any of them, as the file system has it.
    digest : str
        BLAKE2b of what they hold; of a folder, of their names too.
    """

    size: int
    changed_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class Written:
    """Some files that were written together.

    Attributes
    ----------
    asked, stem : str
        The start of their names that was asked for, and that they got.
    files : mapping of str to Print
        By name, in the record's folder.
    about : mapping
        What the writer noted with them, plain values.
    """

    asked: str
    stem: str
    files: Mapping[str, Print]
    about: Mapping[str, Any] = field(default_factory=dict)


class FolderRecord:
    """The record of one folder; reads it once, and adds a line for what is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / RECORD_NAME
        self.written: list[Written] = []
        self._known: dict[str, list[tuple[str, Print]]] = {}
        for written in _read(self._path):
            self._add(written)

    def is_ours(self, name: str, asked: str | None = None) -> bool:
        """Whether `name` is there, and as this program wrote it.

        Parameters
        ----------
        asked : str, optional
            Only where it was written under this start of a name.
        """
        noted = [one for start, one in self._known.get(_key(name), ()) if asked in (None, start)]
        found = fingerprint(self._folder / name) if noted else None
        return found is not None and any(
            (found.size, found.digest) == (one.size, one.digest) for one in noted
        )

    def is_whole(self, written: Written) -> bool:
        """Whether files are all there as they were written.

        A file of the same size and time of change is taken to be the same; of another time it is
        read and compared.
        """
        for name, noted in written.files.items():
            state = _state(self._folder / name)
            if state is None or state[0] != noted.size:
                return False
            if state[1] != noted.changed_ns:
                found = fingerprint(self._folder / name)
                if found is None or found.digest != noted.digest:
                    return False
        return bool(written.files)

    def note(self, written: Written) -> None:
        """Add a line, on the disk when this returns.

        Files are noted before they are put in their place: a kill between the two leaves nothing
        that nobody knows.

        Raises
        ------
        OutputError
            When the record cannot be written; it is then as it was before.
        """
        files = {
            name: [one.size, one.changed_ns, one.digest] for name, one in written.files.items()
        }
        line = {"asked": written.asked, "stem": written.stem, "files": files}
        try:
            _append(self._path, line | {"about": plain_values(dict(written.about))})
        except OSError as error:
            raise OutputError(cannot_write(self._path, error)) from error
        self._add(written)

    def _add(self, written: Written) -> None:
        self.written.append(written)
        for name, one in written.files.items():
            self._known.setdefault(_key(name), []).append((written.asked, one))


def fingerprint(path: Path) -> Print | None:
    """Read a file, or a folder with all in it; None for a link, a device, or what has one in it."""
    try:
        state = _state(path)
        if state is None:
            return None
        if not path.is_dir():
            return Print(*state, _digest(path))
        whole = _new_hash()
        for inside in _walk(path):
            told = _digest(inside) if inside.is_file() else "folder"
            name = inside.relative_to(path).as_posix()
            whole.update(f"{name}\0{told}\0".encode(errors="surrogateescape"))
        return Print(*state, whole.hexdigest())
    except OSError:
        return None


def _state(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change; None where there is nothing of ours."""
    try:
        state = path.lstat()
        if not stat.S_ISDIR(state.st_mode):
            return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None
        size, changed = 0, 0
        for inside in _walk(path):
            state = inside.lstat()
            if stat.S_ISREG(state.st_mode):
                size, changed = size + state.st_size, max(changed, state.st_mtime_ns)
            elif not stat.S_ISDIR(state.st_mode):
                return None
        return size, changed
    except OSError:
        return None


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder, in an order that a copy has too; links are not followed."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *names]):
            yield Path(parent, name)


def _new_hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _new_hash).hexdigest()


def _key(name: str) -> str:
    """A name as file systems see it that take A and a, or two spellings of ä, for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _append(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line with its own hash; lines before it are never touched."""
    text = json.dumps(value, allow_nan=False).encode("ascii")
    line = _sum(text) + b" " + text + b"\n"
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OSError("it is not a plain file")
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line  # after a kill in mid-line
        try:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, end)
            if not end:
                path.unlink()
            raise


def _read(path: Path) -> Iterator[Written]:
    """What a record names; a damaged line counts as not there."""
    try:
        if path.is_symlink() or not path.is_file():
            return
        with path.open("rb") as file:
            for line in iter(lambda: file.readline(MOST_BYTES), b""):
                written = _written(line.rstrip(b"\n"))
                if written is not None:
                    yield written
    except OSError:
        return


def _written(line: bytes) -> Written | None:
    """What a line names; None for a damaged one."""
    checksum, _, text = line.partition(b" ")
    if not text or checksum != _sum(text):
        return None
    try:
        value = decoded_json(text)
        files = {
            _plain_name(name): Print(int(size), int(changed_ns), str(digest))
            for name, (size, changed_ns, digest) in value["files"].items()
        }
        stem, about = _plain_name(value["stem"]), dict(value["about"])
        return Written(str(value["asked"]), stem, files, about)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sum(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode("ascii")


def _plain_name(name: Any) -> str:
    """The name, where it names something in the folder itself.

    Raises
    ------
    ValueError
        When it leads elsewhere.
    """
    if not isinstance(name, str) or name in ("", "..") or name != Path(name).name:
        raise ValueError("no name of a file")
    return name
