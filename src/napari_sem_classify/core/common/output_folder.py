"""The one way to put files where a user's own may lie: hers are never replaced or removed.

What stands in the way and is not this program's (see `folder_record`) stays, and the new files get
a free name beside it; a single file that the user named is refused in one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common.errors import BusyError, OutputError, cannot_write
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.folder_lock import folder_lock
from napari_sem_classify.core.common.folder_record import FolderRecord, Written, fingerprint
from napari_sem_classify.core.common.temporaries import sweep, temporary_folder, temporary_name

_WAIT_S = 10.0  # for a run that puts one file into its place


class OutputFolder:
    """A folder that nobody else's run writes into; made by `output_folder`.

    Attributes
    ----------
    path : Path
    record : FolderRecord
    told : list of str
        What the user should read: a sentence for each time that files got other names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = FolderRecord(path)
        self.told: list[str] = []

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a folder for files in the making, for `put`; what is left in it is deleted.

        Raises
        ------
        OutputError
            When it cannot be made.
        """
        with temporary_folder(self.path) as folder:
            yield folder

    def put(
        self,
        staging: Path,
        asked: str,
        *,
        is_free: Callable[[str], bool] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> dict[str, Path]:
        """Move all that is in `staging` into this folder.

        Files of one image belong together: where one of the names is taken by what is not ours,
        all of them get another start.

        Parameters
        ----------
        asked : str
            Start of all names in `staging`; it is kept where that can be.
        is_free : callable, optional
            Whether another start may be used instead; where it is not given, each may.
        about : mapping, optional
            Plain values to note with them in the record.

        Returns
        -------
        dict of str to Path
            Where they are now, by their names in `staging`, in alphabetical order.

        Raises
        ------
        OutputError
            When they cannot be moved.
        """
        sources = {path.name: path for path in sorted(staging.iterdir())}
        stem, stays = self._free_start(asked, list(sources), is_free)
        if stays is not None:
            self.told.append(
                f"{self.path / stays} was not written here by this program, or was changed since: "
                f"it stays as it is, and the new files begin with {stem}."
            )
        places = {name: stem + name.removeprefix(asked) for name in sources}
        prints = {places[name]: fingerprint(source) for name, source in sources.items()}
        files = {place: one for place, one in prints.items() if one is not None}
        self.record.note(Written(asked, stem, files, about or {}))
        for name, source in sources.items():
            _move(source, self.path / places[name], staging)
        return {name: self.path / place for name, place in places.items()}

    def start_for(self, asked: str, names: list[str]) -> str:
        """The start that `put` would give to files of these names now, which begin with `asked`."""
        return self._free_start(asked, names, None)[0]

    def remove(self, name: str) -> bool:
        """Delete a file if this program wrote it and nobody changed it since; True where it did."""
        path = self.path / name
        if not (self.record.is_ours(name) and path.is_file()):
            return False
        try:
            path.unlink()
        except OSError as error:
            raise OutputError(cannot_write(path, error)) from error
        return True

    def _free_start(
        self, asked: str, names: list[str], is_free: Callable[[str], bool] | None
    ) -> tuple[str, str | None]:
        """A start by which nothing of the user's is in the way, and what was, by the one asked."""
        stem, number, stays = asked, 1, None
        while True:
            places = [stem + name.removeprefix(asked) for name in names]
            blocked = next((place for place in places if self._is_theirs(place, asked)), None)
            if blocked is None and (stem == asked or is_free is None or is_free(stem)):
                break
            stays = stays or blocked
            number += 1
            stem = f"{asked}-{number}"
        return stem, stays

    def _is_theirs(self, name: str, asked: str) -> bool:
        return os.path.lexists(self.path / name) and not self.record.is_ours(name, asked)


@contextmanager
def output_folder(folder: Path | OutputFolder) -> Iterator[OutputFolder]:
    """Give a folder to this run alone; made when it is not there, one that is open as it is.

    Temporary files of runs that were killed there are removed.

    Raises
    ------
    OutputError
        When another run works there, or it cannot be written.
    """
    if isinstance(folder, OutputFolder):
        yield folder
        return
    ensure_folder(folder)
    with folder_lock(folder):
        sweep(folder)
        yield OutputFolder(folder)


@contextmanager
def output_file(path: Path, *, confirmed: bool = False) -> Iterator[Path]:
    """Give a temporary path for a file that the user named; it goes there when the block ends well.

    It has the same name in another folder, and may become a folder as well.

    Parameters
    ----------
    confirmed : bool
        Whether she was asked and said that the file that is there may be replaced. It counts for
        no folder: no dialog tells all that lies in one.

    Raises
    ------
    OutputError
        Before the block and after it, when something is there that is not this program's own and
        nothing was confirmed, or when the file cannot be written.
    """
    confirmed = confirmed and not path.is_dir()
    if not confirmed:
        check_target(path)
    with temporary_folder(path.parent) as staging:
        temporary = staging / path.name
        yield temporary
        if confirmed and not temporary.is_dir():
            _move(temporary, path, staging)
            return
        with ExitStack() as stack:
            # A run that works there for hours is no reason to lose a training: one file of another
            # name does it no harm.
            with suppress(BusyError):
                stack.enter_context(folder_lock(path.parent, _WAIT_S))
            record = _checked(path)
            made = fingerprint(temporary)
            if made is not None:
                record.note(Written(path.name, path.name, {path.name: made}))
            _move(temporary, path, staging)


def check_target(path: Path) -> None:
    """Refuse before a long job what `output_file` would refuse after it.

    Raises
    ------
    OutputError
        When something is there that is not this program's own.
    """
    _checked(path)


def _checked(path: Path) -> FolderRecord:
    record = FolderRecord(path.parent)
    if os.path.lexists(path) and not record.is_ours(path.name):
        raise OutputError(
            f"{path} is there, and was not written by this program or was changed since: choose "
            "another name, or move it away."
        )
    return record


def _move(source: Path, target: Path, staging: Path) -> None:
    """Put a file or folder in its place; what was there is replaced."""
    try:
        if target.is_dir() and not target.is_symlink():
            target.rename(staging / temporary_name())
        source.replace(target)
    except OSError as error:
        raise OutputError(cannot_write(target, error)) from error
