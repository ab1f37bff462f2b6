"""Public sets of labelled SEM images, downloaded into a folder that ``train`` takes as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sem_classify.core.common import download
from napari_sem_classify.core.common.errors import DatasetError, OutputError, cannot_write
from napari_sem_classify.core.common.files import ensure_folder, write_text
from napari_sem_classify.core.common.folder_lock import folder_lock
from napari_sem_classify.core.common.http_stream import Misled, NoAnswer, asking
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.common.temporaries import sweep
from napari_sem_classify.core.evaluate.image_tar import unpack_images
from napari_sem_classify.core.sem_io.listing import is_image_name

SPARE_BYTES = 200_000_000
"""Left free on the disk."""
ARCHIVES = ".archives"
"""Folder for archives until they are unpacked, in the folder of the set."""
MOST_RECORD_BYTES = 4_000_000
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?/[!-~]{0,2000}\Z")


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A public set: one archive per class in a record of a data repository.

    Attributes
    ----------
    page : str
        For people.
    record : str
        Address at which the repository lists the record's files, as InvenioRDM does it:
        ``{"entries": [{"key", "size", "checksum", "links": {"content"}}]}``.
    md5 : mapping of str to str
        Checksum of each archive by its name; the name without its ending is the class.
    about_bytes : int
        Size of all archives, roughly.
    """

    id: str
    title: str
    licence: str
    citation: str
    page: str
    record: str
    md5: Mapping[str, str]
    about_bytes: int


NFFA = DatasetInfo(
    id="nffa",
    title="NFFA-EUROPE 100% SEM dataset: 21,169 images in ten classes",
    licence="CC BY 4.0",
    citation="Aversa, Modarres, Cozzini, Ciancio, Chiusole: The first annotated set of scanning "
    "electron microscopy images for nanoscience, Scientific Data 5, 180172 (2018)",
    page="https://doi.org/10.23728/b2share.80df8606fcdb4b2bae1656f0dc6db8ba",
    record="https://b2share.eudat.eu/api/records/862nr-cn036/files",
    md5={
        "Biological.tar": "c3a20755e2d937d70dd7d5be18f6006e",
        "Fibres.tar": "86fb065581eb3680f08ab2de9cea86eb",
        "Films_Coated_Surface.tar": "feb2b098a150c2ba6b6b35f2f18a6e7c",
        "MEMS_devices_and_electrodes.tar": "8bc4f788ec54de267a2b8cd0ac92066a",
        "Nanowires.tar": "005ffe16579c6352d3d521f58de56e8d",
        "Particles.tar": "6b73d88e65d3c00493076238c4230579",
        "Patterned_surface.tar": "19c0417faa8f977fdbf13d9c91ac3be8",
        "Porous_Sponge.tar": "851e6daf0e7ce45b68dbe9eb1338807e",
        "Powder.tar": "82da8aeb4d7a79c53bc3fefe9770e757",
        "Tips.tar": "0a85315213af1c32a14555d46e8f093a",
    },
    about_bytes=13_600_000_000,
)
"""The images of the article, as their public record holds them today."""

DATASETS = {info.id: info for info in (NFFA,)}


@dataclass(frozen=True, slots=True)
class _Archive:
    name: str
    url: str
    size: int
    md5: str


def dataset_info(id: str) -> DatasetInfo:
    """Find a set by its id.

    Raises
    ------
    DatasetError
        When there is none.
    """
    if id not in DATASETS:
        raise DatasetError(f"There is no data set called {id!r}: choose {', '.join(DATASETS)}.")
    return DATASETS[id]


def fetch_dataset(id: str, folder: Path, *, job: Job | None = None) -> dict[str, int]:
    """Download a set and unpack it into class folders.

    Classes that are in the folder already are not downloaded again; an archive that was cut goes
    on where it stopped, and one that the user put into the folder is used and left there. A class
    folder appears only when its archive was whole, had the right checksum and was unpacked to the
    end.

    Parameters
    ----------
    folder : Path
        To unpack into; made if it is not there.
    job : Job, optional
        Checked between parts of the download and between images.

    Returns
    -------
    dict of str to int
        Images of each class.

    Raises
    ------
    DatasetError
        When there is no such set, or it cannot be downloaded or is not what it was.
    OutputError
        When the folder cannot be written or something stands in the way in it, another run writes
        into it, or the disk has not enough room.
    Cancelled
        When the job was asked to stop.
    """
    info = dataset_info(id)
    ensure_folder(folder)
    with folder_lock(folder):
        sweep(folder)
        missing = {name for name in info.md5 if not _images_in(folder / _class_name(name))}
        if missing:
            archives = [each for each in _archives(info, job) if each.name in missing]
            _check_room(info, archives, folder)
            try:
                for archive in sorted(archives, key=lambda archive: archive.size):
                    _fetch_class(archive, folder, job)
            finally:
                with suppress(OSError):  # it stays where something of a download is kept
                    (folder / ARCHIVES).rmdir()
        _write_source(info, folder)
    names = sorted(map(_class_name, info.md5))
    return {name: _images_in(folder / name) for name in names}


def _class_name(archive_name: str) -> str:
    return archive_name.removesuffix(".tar")


def _images_in(folder: Path) -> int:
    try:
        return sum(map(is_image_name, folder.iterdir())) if folder.is_dir() else 0
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from error


def _write_source(info: DatasetInfo, folder: Path) -> None:
    """Say where the images are from; a file of the user's of that name stays as it is."""
    text = f"{info.title}\n{info.citation}\n{info.page}\nLicence: {info.licence}\n"
    for name in ("SOURCE.txt", f"SOURCE-{info.id}.txt"):
        if not os.path.lexists(folder / name):
            write_text(folder / name, text)
            return
        if (folder / name).is_file() and (folder / name).read_bytes() == text.encode():
            return


def _archives(info: DatasetInfo, job: Job | None) -> list[_Archive]:
    """The record's files with their addresses and sizes; their checksums are known beforehand."""
    try:
        status, content = _read_record(info.record, job)
        if status != 200:
            raise DatasetError(
                f"{info.title} cannot be found: {info.record} answered {status}; see {info.page}."
            )
        entries: dict[str, Any] = {each["key"]: each for each in json.loads(content)["entries"]}
        return [
            _archive(name, entries[name], md5, info.about_bytes) for name, md5 in info.md5.items()
        ]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, Misled) as error:
        raise DatasetError(
            f"The record at {info.record} does not list the files that it held: download them "
            f"by hand from {info.page}."
        ) from error
    except NoAnswer as error:
        raise DatasetError(
            f"{info.record} cannot be reached: check the internet connection and try again."
        ) from error


def _read_record(url: str, job: Job | None) -> tuple[int, bytes]:
    """Status and body of the answer, of a body only what a list of files may be long."""
    content = bytearray()
    with asking(url, {"Accept-Encoding": "identity"}, job=job) as answer:
        for chunk in answer.chunks():
            content += chunk
            if len(content) > MOST_RECORD_BYTES:
                raise ValueError("no list of files is that long")
        return answer.status, bytes(content)


def _archive(name: str, entry: Mapping[str, Any], md5: str, about_bytes: int) -> _Archive:
    url, size = str(entry["links"]["content"]), int(entry["size"])
    if not _ADDRESS.match(url) or not 0 < size <= 2 * about_bytes:
        raise ValueError("no file of this set")
    return _Archive(name, url, size, md5)


def _check_room(info: DatasetInfo, archives: list[_Archive], folder: Path) -> None:
    """JPEGs do not shrink in an archive, and one archive lies beside its images at a time."""
    place = folder / ARCHIVES
    to_come = sum(each.size - download.bytes_so_far(place / each.name) for each in archives)
    needed = to_come + max(archive.size for archive in archives) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{info.title} needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are "
            "free: choose a folder on a larger disk, or make room."
        )


def _fetch_class(archive: _Archive, folder: Path, job: Job | None) -> None:
    """Make the folder of one class, from an archive that is here or downloaded."""
    target = folder / _class_name(archive.name)
    if target.is_dir() and any(target.iterdir()):
        raise OutputError(f"{target} is there already and holds no image: move it away.")

    def check(path: Path) -> bool:
        return download.has_checksum(path, "md5", archive.md5, job)

    by_hand = folder / archive.name
    if by_hand.is_file() and by_hand.stat().st_size == archive.size and check(by_hand):
        unpack_images(by_hand, target, job=job)
        return
    title = f"Downloading {target.name}, MB"
    remote = download.Remote(
        archive.url, archive.name, check, DatasetError, archive.size, title, by_hand=folder
    )
    # Not under the archive's own name: a file of the user's may lie there.
    path = folder / ARCHIVES / archive.name
    if not (path.is_file() and check(path)):
        download.download(remote, path, job=job)
    unpack_images(path, target, job=job)
    path.unlink()
