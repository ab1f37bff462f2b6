"""The one way to write files of class maps: into a folder, all of them or none, or where chosen."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.files import ensure_folder
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.export.kinds import USUAL, Kind, find_kind
from napari_sem_classify.core.export.measured import Measured, file_stem
from napari_sem_classify.core.image.file_names import free_stem
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap


def write_outputs(
    class_map: ClassMap,
    image: SemImage | None,
    out: Path,
    stem: str,
    names: Iterable[str] = USUAL,
    saved: SavedMap | None = None,
) -> list[Path]:
    """Write some kinds of files of one class map into a folder, all of them or none.

    For a plane of a stack the plane's index goes into the names: ``STEM_z0003.tiles.csv``.

    Parameters
    ----------
    image : SemImage or None
        The image that was classified; None where it is not at hand.
    out : Path
        Folder, made when it is not there. Files of the same names are replaced.
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
    stem += plane_suffix(class_map.plane)
    measured = Measured([class_map], [image], saved=() if saved is None else (saved,))
    files = [(kind, f"{stem}{suffix}") for kind, suffix in map(find_kind, names)]
    with staged(out, stem) as folder:
        for kind, name in files:
            _write(kind, measured, folder / name)
    return [out / name for _, name in files]


def write_export(
    kind: Kind, measured: Measured, target: Path, *, job: Job | None = None
) -> list[Path]:
    """Write one kind of file of one or several class maps.

    Parameters
    ----------
    target : Path
        The file; of several maps, where `kind` is one file a map, the folder (made when it is not
        there).
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
        parts, targets = [measured], [target]
    else:
        ensure_folder(target)
        parts = [measured.one(number) for number in range(len(measured.maps))]
        taken: set[str] = set()
        stems = [free_stem(file_stem(class_map), taken) for class_map in measured.maps]
        targets = [target / f"{stem}{kind.suffixes[0]}" for stem in stems]
    start = time.perf_counter()
    for number, (part, path) in enumerate(zip(parts, targets, strict=True)):
        if job is not None:
            job.check()
            job.tell(Progress(number, len(targets), "Writing", time.perf_counter() - start))
        _write(kind, part, path)
    return targets


def _write(kind: Kind, measured: Measured, path: Path) -> None:
    if kind.needs_image:
        measured.need_images(kind.title)
    kind.write(measured, path)


@contextmanager
def staged(out: Path, stem: str) -> Iterator[Path]:
    """Give a hidden folder in `out`; when the block ends well, what is in it moves to `out`.

    What a run that was killed left half-done of the same image is deleted.

    Raises
    ------
    OutputError
        When nothing can be written there. `out` is then as it was before.
    """
    ensure_folder(out)
    _sweep(out, stem)
    try:
        folder = Path(tempfile.mkdtemp(dir=out, prefix=f".{stem}-"))
    except OSError as error:
        raise OutputError(cannot_write(out, error)) from error
    try:
        yield folder
        for item in sorted(folder.iterdir()):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
    except OSError as error:
        raise OutputError(cannot_write(out, error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(out: Path, stem: str) -> None:
    """Delete what a run that was killed left half-done of an image."""
    ending = 8  # random characters that tempfile adds
    for path in out.glob(".*"):
        name = path.name
        if name.startswith(f".{stem}-") and len(name) == len(stem) + 2 + ending and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
