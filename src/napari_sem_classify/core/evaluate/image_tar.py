"""The images of a tar, unpacked into a folder that is there whole or not at all.

Nothing in an archive is believed: names are only names, links and devices are passed over, and no
member is larger than the archive that holds it.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from napari_sem_classify.core.common.errors import DatasetError, OutputError, cannot_write
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.common.temporaries import temporary_folder
from napari_sem_classify.core.sem_io.listing import IMAGE_SUFFIXES

MOST_MEMBERS = 100_000
_MB = 1_000_000
_LONGEST_NAME = 200
_LONGEST_READ = 1 << 20
_BAD_LETTERS = frozenset('<>:"\\|?*')
"""Letters that are no part of a name on every file system."""


def unpack_images(archive: Path, folder: Path, *, job: Job | None = None) -> int:
    """Unpack the images of a plain tar into a new folder, whatever folders they lie in inside it.

    Only plain files with an image's ending are written, each under its own last name, so that
    nothing can land outside the folder.

    Parameters
    ----------
    folder : Path
        Not there yet, or empty; it appears when everything is unpacked.
    job : Job, optional
        Checked between images.

    Returns
    -------
    int
        Number of images.

    Raises
    ------
    DatasetError
        When the archive is damaged or packed, holds no image, too much, or names a place outside
        itself.
    OutputError
        When the folder cannot be written, or holds something already.
    Cancelled
        When the job was asked to stop.
    """
    with temporary_folder(folder.parent) as staging:
        try:
            count = _unpack(archive, staging, folder.name, job)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise DatasetError(
                f"{archive.name} is damaged or no plain tar: download it again."
            ) from error
        except FileExistsError as error:
            raise DatasetError(
                f"{archive.name} holds two images of one name: download it again."
            ) from error
        except OSError as error:
            raise OutputError(cannot_write(folder, error)) from error
        if not count:
            raise DatasetError(f"{archive.name} holds no image.")
        try:
            staging.rename(folder)
        except OSError as error:
            raise OutputError(
                f"{folder} is there already and holds something else: move it away."
            ) from error
    return count


def _unpack(archive: Path, folder: Path, title: str, job: Job | None) -> int:
    size, members, images = archive.stat().st_size, 0, 0
    with _ShortReads(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        reporter = Reporter(max(1, size // _MB), f"Unpacking {title}, MB", job)
        while (member := tar.next()) is not None:
            members += 1
            if members > MOST_MEMBERS:
                raise DatasetError(
                    f"{archive.name} holds more than {MOST_MEMBERS:,} entries: it was not unpacked."
                )
            reporter.advance(max(0, min(tar.offset // _MB, reporter.total) - reporter.done))
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise DatasetError(
                    f"{archive.name} names a file outside its own folder "
                    f"({ascii(member.name)[:80]}): it was not unpacked."
                )
            if member.issparse() or not 0 <= member.size <= size - member.offset_data:
                raise tarfile.ReadError("a member larger than the archive")
            name = path.name
            if not member.isfile() or path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if _is_bad(name):
                raise tarfile.ReadError("a name that no image has")
            content = None if name.startswith(".") else tar.extractfile(member)
            if content is not None:
                with content, (folder / name).open("xb") as image:
                    shutil.copyfileobj(content, image, _LONGEST_READ)
                images += 1
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            # tarfile takes a header that it cannot read for the end.
            raise tarfile.ReadError("no end")
    return images


def _is_bad(name: str) -> bool:
    return (
        len(os.fsencode(name)) > _LONGEST_NAME
        or not name.isprintable()
        or bool(_BAD_LETTERS.intersection(name))
    )


class _ShortReads(io.FileIO):
    """A file for tarfile, which reads a header's extension whole, however long it claims to be."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("a header longer than any")
        return super().read(size) or b""
