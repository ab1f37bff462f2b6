"""The one way to write files of class maps: into a folder, all of them or none, or where chosen."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.common.output_folder import OutputFolder, output_file, output_folder
from napari_sem_classify.core.export.kinds import USUAL, Kind, find_kind
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.image.file_names import free_stem, is_free, take_stem
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap


def write_outputs(
    class_map: ClassMap,
    image: SemImage | None,
    out: Path | OutputFolder,
    stem: str,
    names: Iterable[str] = USUAL,
    saved: SavedMap | None = None,
) -> list[Path]:
    """Write some kinds of files of one class map into a folder, all of them or none.

    Parameters
    ----------
    image : SemImage or None
        The image that was classified; None where it is not at hand.
    out : Path or OutputFolder
        Made when it is not there. Files of an earlier run are replaced; where one of the names is
        the user's, all get another start.
    stem : str
        Start of each file's name, usually the image's.
    names : names in `kinds.EACH`
    saved : SavedMap, optional
        As the map was read, where it comes from a file.

    Returns
    -------
    list of Path
        Usually ``STEM.tiles.csv``, ``STEM.summary.json``, ``STEM.map.tif``, ``STEM.overlay.png``.

    Raises
    ------
    OutputError
        When the folder or a file cannot be written, or an image is needed and not at hand.
    ImageError
        When the image cannot be read for a picture.
    """
    with output_folder(out) as folder, folder.staging() as staging:
        staged = stage_outputs(class_map, image, staging, stem, names, saved)
        places = folder.put(staging, stem)
    return [places[name] for name in staged]


def stage_outputs(
    class_map: ClassMap,
    image: SemImage | None,
    staging: Path,
    stem: str,
    names: Iterable[str] = USUAL,
    saved: SavedMap | None = None,
) -> list[str]:
    """Write what `write_outputs` puts into its place later; gives the files' names.

    For a plane of a stack the plane's index goes into the names: ``STEM_z0003.tiles.csv``.
    """
    measured = Measured([class_map], [image], saved=() if saved is None else (saved,))
    start = stem + plane_suffix(class_map.plane)
    staged = []
    for kind, suffix in map(find_kind, names):
        _write(kind, measured, staging / f"{start}{suffix}")
        staged.append(f"{start}{suffix}")
    return staged


def write_export(
    kind: Kind,
    measured: Measured,
    target: Path,
    *,
    confirmed: bool = False,
    job: Job | None = None,
) -> list[Path]:
    """Write one kind of file of one or several class maps.

    Parameters
    ----------
    target : Path
        The file; of several maps, where `kind` is one file a map, the folder (made when it is not
        there).
    confirmed : bool
        Whether the user said that a file of that name may be replaced.
    job : Job, optional
        Told and asked before each file.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        When it needs an image that is not at hand, or a file cannot be written.
    ImageError
        When an image cannot be read.
    Cancelled
        When the job was asked to stop; files that are finished stay.
    """
    if kind.needs_image:
        measured.need_images(kind.title)
    if kind.for_all or len(measured.maps) == 1:
        if job is not None:
            job.check()
            job.tell(Progress(0, 1, "Writing"))
        with output_file(target, confirmed=confirmed) as temporary:
            _write(kind, measured, temporary)
        return [target]
    written: list[Path] = []
    taken: set[str] = set()
    start = time.perf_counter()
    with output_folder(target) as folder:
        for number, class_map in enumerate(measured.maps):
            if job is not None:
                job.check()
                elapsed = time.perf_counter() - start
                job.tell(Progress(number, len(measured.maps), "Writing", elapsed))
            stem = free_stem(file_stem(class_map), taken)
            with folder.staging() as staging:
                _write(kind, measured.one(number), staging / f"{stem}{kind.suffixes[0]}")
                places = folder.put(staging, stem, is_free=lambda other: is_free(other, taken))
            take_stem(folder.record.written[-1].stem, taken)
            written += places.values()
    return written


def _write(kind: Kind, measured: Measured, path: Path) -> None:
    if kind.needs_image:
        measured.need_images(kind.title)
    kind.write(measured, path)
