"""What has come of a download so far, and the note of which version of which file it is.

A part without its note is not ours: it is neither continued nor replaced.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import write_json

_LONGEST_NOTE = 10_000
_WORTH_KEEPING = 1 << 12


@dataclass(frozen=True, slots=True)
class PartFile:
    """The start of a file; its name ends like the file's, since readers go by that."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def check(self) -> None:
        """Refuse to touch what lies under the hidden names and is not ours.

        Raises
        ------
        OutputError
            When there is such a thing.
        """
        for path in (self.path, self._note):
            if os.path.lexists(path) and not (_is_plain(path) and self._read_note()):
                raise OutputError(
                    f"{path} stands in the way of a download: move it away and try again."
                )

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if _is_plain(self.path) else 0

    def version(self, url: str) -> str:
        """Version of the remote file that this is the start of; "" where it is not known."""
        note = self._read_note()
        return note["version"] if note.get("url") == url else ""

    def note_version(self, url: str, version: str) -> None:
        """Note what comes next, before it comes."""
        write_json(self._note, {"url": url, "version": version})

    def open(self, *, anew: bool) -> BinaryIO:
        """Open it for writing at its end, or emptied."""
        return self.path.open("wb" if anew else "ab")

    def forget(self) -> None:
        """Delete it with its note; the note last, so that no part is ever without one."""
        for path in (self.path, self._note):
            path.unlink(missing_ok=True)

    def kept(self) -> str:
        """Tell for a sentence what is kept; what no later attempt could use is deleted."""
        size = self.size()
        if size < _WORTH_KEEPING or not self._read_note().get("version"):
            self.forget()
            return "nothing of it is kept"
        return f"the {size / 1e6:.1f} MB that have come are kept, and the next try goes on there"

    def _read_note(self) -> dict[str, str]:
        """The note's address and version; nothing where there is none of ours."""
        try:
            if not _is_plain(self._note) or self._note.stat().st_size > _LONGEST_NOTE:
                return {}
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return {"url": _text(note["url"]), "version": _text(note["version"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}


def _is_plain(path: Path) -> bool:
    """Whether a regular file is there, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
