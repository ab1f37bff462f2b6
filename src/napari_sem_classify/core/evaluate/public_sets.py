"""Public sets of labelled SEM images, downloaded into a folder that ``train`` takes as it is."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_sem_classify.core.common import download
from napari_sem_classify.core.common.errors import DatasetError, OutputError
from napari_sem_classify.core.common.files import ensure_folder, write_text
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.sem_io.listing import is_image_name

SPARE_BYTES = 200_000_000
"""Left free on the disk."""


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

    @property
    def class_name(self) -> str:
        return self.name.removesuffix(".tar")


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
    on where it stopped. A class folder appears only when its archive was whole, had the right
    checksum and was unpacked to the end.

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
        When the folder cannot be written, or the disk has not enough room.
    Cancelled
        When the job was asked to stop.
    """
    info = dataset_info(id)
    ensure_folder(folder)
    missing = {name for name in info.md5 if not (folder / name.removesuffix(".tar")).is_dir()}
    if missing:
        archives = [archive for archive in _archives(info) if archive.name in missing]
        _check_room(info, archives, folder)
        for archive in sorted(archives, key=lambda archive: archive.size):
            _fetch_class(archive, folder, job)
    source = f"{info.title}\n{info.citation}\n{info.page}\nLicence: {info.licence}\n"
    write_text(folder / "SOURCE.txt", source)
    names = sorted(name.removesuffix(".tar") for name in info.md5)
    return {name: sum(map(is_image_name, (folder / name).iterdir())) for name in names}


def _archives(info: DatasetInfo) -> list[_Archive]:
    """The record's files with their addresses and sizes; their checksums are known beforehand."""
    import requests

    try:
        answer = requests.get(info.record, timeout=download.TIMEOUT_S)
        if not answer.ok:
            raise DatasetError(
                f"{info.title} cannot be found: {info.record} answered {answer.status_code}; "
                f"see {info.page}."
            )
        entries: dict[str, Any] = {each["key"]: each for each in answer.json()["entries"]}
        return [
            _Archive(name, str(entries[name]["links"]["content"]), int(entries[name]["size"]), md5)
            for name, md5 in info.md5.items()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"The record at {info.record} does not list the files that it held: download them "
            f"by hand from {info.page}."
        ) from error
    except requests.RequestException as error:
        raise DatasetError(
            f"{info.record} cannot be reached: check the internet connection and try again."
        ) from error


def _check_room(info: DatasetInfo, archives: list[_Archive], folder: Path) -> None:
    """JPEGs do not shrink in an archive, and one archive lies beside its images at a time."""
    to_come = sum(each.size - download.bytes_so_far(folder / each.name) for each in archives)
    needed = to_come + max(archive.size for archive in archives) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{info.title} needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are "
            "free: choose a folder on a larger disk, or make room."
        )


def _fetch_class(archive: _Archive, folder: Path, job: Job | None) -> None:
    def check(path: Path) -> bool:
        return download.has_checksum(path, "md5", archive.md5)

    title = f"Downloading {archive.class_name}, MB"
    remote = download.Remote(archive.url, archive.name, check, DatasetError, title)
    path = download.download(remote, folder / archive.name, job=job)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as place:
        inside = Path(place) / archive.class_name
        inside.mkdir()
        try:
            unpack_images(path, inside, job=job)
            inside.rename(folder / archive.class_name)
        except OSError as error:
            raise OutputError(
                f"{archive.name} cannot be unpacked into {folder} ({error.strerror or error}): "
                "make room there and give the same command again."
            ) from error
    path.unlink()


def unpack_images(archive: Path, folder: Path, *, job: Job | None = None) -> int:
    """Unpack the images of a tar into one folder, whatever folders they lie in inside it.

    Only plain files with an image's ending are written, each under its own last name, so that
    nothing can land outside the folder; links and devices are passed over.

    Returns
    -------
    int
        Number of images.

    Raises
    ------
    DatasetError
        When the archive is damaged, holds no image, or names a place outside itself.
    Cancelled
        When the job was asked to stop.
    """
    count = 0
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            reporter = Reporter(len(members), f"Unpacking {folder.name}", job)
            for member in members:
                reporter.advance()
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise DatasetError(
                        f"{archive.name} names a file outside its own folder ({member.name}): "
                        "it was not unpacked."
                    )
                content = tar.extractfile(member) if member.isfile() else None
                if content is None or name.name.startswith(".") or not is_image_name(Path(name)):
                    continue
                with content, (folder / name.name).open("xb") as file:
                    shutil.copyfileobj(content, file)
                count += 1
    except (tarfile.TarError, EOFError, FileExistsError) as error:
        raise DatasetError(f"{archive.name} is damaged ({error}): download it again.") from error
    if not count:
        raise DatasetError(f"{archive.name} holds no image.")
    return count
