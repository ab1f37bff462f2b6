"""Which files a classified image gives, each kind by its name, and all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_sem_classify.core.class_map import ClassMap
from napari_sem_classify.core.errors import ImageError, OutputError
from napari_sem_classify.core.export.map_file import SavedMap
from napari_sem_classify.core.files import cannot_write, ensure_folder
from napari_sem_classify.core.image import SemImage


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
    """

    suffix: str
    title: str
    needs_image: bool = False


KINDS = {
    "csv": Kind("tiles.csv", "table of the cells"),
    "summary": Kind("summary.json", "fractions and record", needs_image=True),
    "tif": Kind("map.tif", "class map (label TIFF)"),
    "overlay": Kind("overlay.png", "picture with legend", needs_image=True),
    "regions": Kind("regions.csv", "table of the regions"),
    "geojson": Kind("regions.geojson", "outlines for QuPath (GeoJSON)"),
    "ome-zarr": Kind("map.ome.zarr", "map with picture (OME-Zarr)", needs_image=True),
    "png": Kind("figure.png", "figure, PNG", needs_image=True),
    "svg": Kind("figure.svg", "figure, SVG", needs_image=True),
    "pdf": Kind("figure.pdf", "figure, PDF", needs_image=True),
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
    from napari_sem_classify.core.export.outputs import plane_suffix

    stem += plane_suffix(class_map.plane)
    with staged(out, stem) as folder:
        for kind in kinds:
            path = folder / f"{stem}.{KINDS[kind].suffix}"
            if KINDS[kind].needs_image and image is None:
                raise ImageError(
                    f"The image of {class_map.image_name or stem} was not found, which "
                    f"{path.name} shows: put it beside the map, or leave {kind} out."
                )
            _writer(kind, class_map, image, saved)(path)
    return [out / f"{stem}.{KINDS[kind].suffix}" for kind in kinds]


def _writer(
    kind: str, class_map: ClassMap, image: SemImage | None, saved: SavedMap | None
) -> Callable[[Path], None]:
    from napari_sem_classify.core.export import (
        figure,
        geojson,
        map_file,
        ome_zarr,
        outputs,
        overlay,
    )
    from napari_sem_classify.core.files import write_json
    from napari_sem_classify.core.fractions import regions

    without_image: dict[str, Callable[[Path], None]] = {
        "csv": lambda path: outputs.write_tiles_csv(class_map, path),
        "tif": lambda path: map_file.write_map(saved or SavedMap.of(class_map, image), path),
        "regions": lambda path: regions.write_regions(regions.find_regions(class_map), path),
        "geojson": lambda path: geojson.write_geojson(class_map, path),
    }
    if image is None or kind in without_image:
        return without_image[kind]
    shown = image
    return {
        "summary": lambda path: write_json(path, outputs.summarise(class_map, shown)),
        "overlay": lambda path: overlay.write_overlay(class_map, shown, path),
        "ome-zarr": lambda path: ome_zarr.write_ome_zarr(class_map, shown, path),
    }.get(kind, lambda path: figure.write_figure(class_map, shown, path))


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
