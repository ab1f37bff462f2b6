"""Which files a classified image gives, each kind by its name, and all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError, OutputError
from napari_sem_classify.core.common.files import cannot_write, ensure_folder, write_json
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    suffix : str
        What follows the image's stem.
    title : str
        What it is, in the user's words.
    needs_image : bool
        Whether the specimen is shown in it.
    export : str
        Its name in `export.kinds`, where it is written for single maps too.
    """

    suffix: str
    title: str
    needs_image: bool = False
    export: str = ""


KINDS = {
    "csv": Kind("tiles.csv", "table of the cells", export="tiles"),
    "summary": Kind("summary.json", "fractions and record", True),
    "tif": Kind("map.tif", "class map (label TIFF)", export="map"),
    "overlay": Kind("overlay.png", "picture with legend", True),
    "regions": Kind("regions.csv", "table of the regions", export="regions"),
    "geojson": Kind("geojson", "outlines for QuPath (GeoJSON)", export="geojson"),
    "ome-zarr": Kind("map.ome.zarr", "map with image (OME-Zarr)", True, "ome-zarr"),
    "png": Kind("figure.png", "figure (PNG)", True, "figure"),
    "svg": Kind("figure.svg", "figure (SVG)", True, "figure"),
    "pdf": Kind("figure.pdf", "figure (PDF)", True, "figure"),
}
ALWAYS = ("summary", "tif")
"""A batch writes these of every image: from them a run is repeated and a map is opened again."""
USUAL = ("csv", "summary", "tif", "overlay")


def in_order(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds with those that are always written, in one order.

    Raises
    ------
    ValueError
        For a name that is no kind.
    """
    wanted = {*kinds, *ALWAYS}
    unknown = sorted(wanted - KINDS.keys())
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no kind of file: choose from {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in wanted)


def write_kinds(
    class_map: ClassMap,
    image: SemImage | None,
    out: Path,
    stem: str,
    kinds: Iterable[str],
    saved: SavedMap | None = None,
) -> list[Path]:
    """Write some kinds of files of one class map, all of them or none.

    Parameters
    ----------
    class_map : ClassMap
    image : SemImage or None
        The image that was classified; None where it is not at hand.
    out : Path
        Folder, made when it is not there. Files of the same names are replaced.
    stem : str
        Start of the names; a plane of a stack adds its index.
    kinds : names in `KINDS`
    saved : SavedMap, optional
        As the map was read, where it comes from a file.

    Raises
    ------
    OutputError
        When they cannot be written.
    ImageError
        When the image is needed and not at hand, or cannot be read.
    """
    from napari_sem_classify.core.image.plane_names import plane_suffix

    stem += plane_suffix(class_map.plane)
    with staged(out, stem) as folder:
        for kind in kinds:
            path = folder / f"{stem}.{KINDS[kind].suffix}"
            if KINDS[kind].needs_image and image is None:
                raise ImageError(
                    f"The image of {class_map.image_name or stem} was not found, which "
                    f"{path.name} shows: put it beside the map, or leave {kind} out."
                )
            _write(kind, class_map, image, saved, path)
    return [out / f"{stem}.{KINDS[kind].suffix}" for kind in kinds]


def _write(
    kind: str, class_map: ClassMap, image: SemImage | None, saved: SavedMap | None, path: Path
) -> None:
    from napari_sem_classify.core.export.kinds import Measured, kind_named, write_export
    from napari_sem_classify.core.export.outputs import summarise
    from napari_sem_classify.core.export.overlay import write_overlay

    if image is not None and kind == "summary":
        write_json(path, summarise(class_map, image))
    elif image is not None and kind == "overlay":
        write_overlay(class_map, image, path)
    else:
        measured = Measured([class_map], [image], saved=() if saved is None else (saved,))
        write_export(kind_named(KINDS[kind].export), measured, path)


@contextmanager
def staged(out: Path, stem: str) -> Iterator[Path]:
    """Give a hidden folder in `out`; when the block ends well, what is in it moves to `out`.

    Raises
    ------
    OutputError
        When nothing can be written there. `out` is then as it was before.
    """
    ensure_folder(out)
    sweep(out, stem)
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


def sweep(out: Path, stem: str) -> None:
    """Delete what a run that was killed left half-done of an image."""
    ending = 8  # random characters that tempfile adds
    for path in out.glob(".*"):
        name = path.name
        if name.startswith(f".{stem}-") and len(name) == len(stem) + 2 + ending and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def sweep_notes(out: Path, name: str) -> None:
    """Delete what a run that was killed left half-written of its note `name`."""
    stem, suffix = Path(name).stem, Path(name).suffix
    for path in out.glob(f".{stem}-????????{suffix}"):
        path.unlink(missing_ok=True)
