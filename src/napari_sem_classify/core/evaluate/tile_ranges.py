"""Black and white of tiles that were cut to files, where the files themselves do not tell them.

A tile that is stretched over its own grey values looks like nothing that its image shows: a model
taught so calls every cell of that image one class. What `tile` writes tells the range; tiles from
elsewhere are recognised, and those of one image share one range.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate.dataset import ImageRecord, Listing, RowCrop
from napari_sem_classify.core.image.intensity import IntensityRecipe, range_of
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.tile_files import RANGE_COLUMNS, TABLE_SUFFIX

Range = tuple[float, float]

LARGEST_TILE_PX = 256
"""Side of a square file above which it counts as an image of its own."""

MOST_LOOKED_AT = 24
"""Files, evenly spread over a set, that tell whether it holds tiles."""

MANY = 8
"""Files whose names tell the place in one image, from which they count as its tiles."""

MANY_WITHOUT_PLACE = 20
NARROW = 0.8
"""Tiles that fill less of their common range than this, in the middle, are parts of one picture."""

SAMPLED_PX = 1024
"""Pixels of a tile that count for the range of all of them."""

_MAX_TABLE_BYTES = 256 << 20
# "bse_r0003_c0012", "bse_y192_x768", "bse-3-12", "bse (3, 12)".
_PLACE = re.compile(
    r"(?P<source>.*?)[ _\-(\[]*(?:[ry]|row)?(?P<row>\d+)[ _\-,x]+(?:[cx]|col)?(?P<col>\d+)[)\]]?"
)


@dataclass(frozen=True, slots=True)
class TileRanges:
    """Black and white of files that are tiles of an image, and what the user is told of it."""

    of: Mapping[Path, Range] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def apply(self, image: SemImage) -> SemImage:
        """The image with the range of the one that it was cut from, where that is known."""
        found = None if image.path is None else self.of.get(image.path)
        return image if found is None else image.with_source_range(*found)


def tile_ranges(
    listing: Listing, crop: RowCrop | None = None, job: Job | None = None
) -> TileRanges:
    """Find the ranges of the files of a listing that are tiles and do not tell theirs.

    From the tables that `write_tiles` leaves, in the files' folders and those above up to the
    listing's own; else from the tiles of one image together, which their names tell or, where many
    equal squares are each only a part of the grey values of all, their pixels.

    Images of other shapes, and listings with rows of their own (`crop`), have none.
    """
    records = listing.records
    step = max(1, len(records) // MOST_LOOKED_AT)
    if crop is not None or not _all_tiles(records[::step]):
        return TileRanges()
    known = _from_tables(records, listing.source)
    without = [record for record in records if record.path not in known]
    pixels = _sampled(without, job)
    found, notes = dict(known), []
    if known:
        notes.append(f"{len(known)} tiles are stretched over the range of their image in a table.")
    rest = dict(pixels)
    for source, mine in _by_name(pixels).items():
        together = _together([pixels[path] for path in mine])
        if together is None:
            continue
        found |= dict.fromkeys(mine, together)
        for path in mine:
            del rest[path]
        notes.append(
            f"{len(mine)} equal squares are named as tiles of one image ({source or 'no name'}): "
            f"all were stretched over one range, {together[0]:.6g} to {together[1]:.6g}."
        )
    shared = _one_picture(list(rest.values()))
    if shared is not None:
        found |= dict.fromkeys(rest, shared)
        notes.append(
            f"{len(rest)} equal small squares look like tiles of one image: it was assumed that "
            f"they are, and all were stretched over one range, {shared[0]:.6g} to {shared[1]:.6g}."
        )
    return TileRanges(found, tuple(notes))


def _all_tiles(records: Sequence[ImageRecord]) -> bool:
    """Whether files are equal small squares, and one of them does not tell its image's range."""
    images = [image for record in records if (image := _open(record.path)) is not None]
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or any(image.leading_shape for image in images):
        return False
    rows, cols = shapes.pop()
    return rows == cols <= LARGEST_TILE_PX and any(image.source_range is None for image in images)


def _open(path: Path) -> SemImage | None:
    from napari_sem_classify.core.sem_io import open_image

    try:
        return open_image(path)
    except SemClassifyError:
        return None  # the reading of the set tells it


def _from_tables(records: Iterable[ImageRecord], source: Path) -> dict[Path, Range]:
    top = source if source.is_dir() else source.parent
    tables: dict[Path, dict[str, Range]] = {}
    found: dict[Path, Range] = {}
    for record in records:
        for folder in (record.path.parent, *record.path.parent.parents):
            if folder not in tables:
                tables[folder] = _told_in(folder)
            if record.path.name in tables[folder]:
                found[record.path] = tables[folder][record.path.name]
            if record.path.name in tables[folder] or folder == top:
                break
    return found


def _told_in(folder: Path) -> dict[str, Range]:
    """Ranges by the names of the tiles, from the tables in a folder."""
    found: dict[str, Range] = {}
    for table in sorted(folder.glob(f"*{TABLE_SUFFIX}")):
        try:
            if not table.is_file() or table.stat().st_size > _MAX_TABLE_BYTES:
                continue
            with table.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    low, high = (float(row[column]) for column in RANGE_COLUMNS)
                    if np.isfinite([low, high]).all() and low < high:
                        found[row["file"]] = low, high
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError):
            continue  # a table of before, or no table: the tiles are judged by themselves
    return found


def _sampled(records: Iterable[ImageRecord], job: Job | None) -> dict[Path, NDArray[Any]]:
    """Some pixels of each tile that does not tell its range."""
    found = {}
    for record in records:
        if job is not None:
            job.check()
        image = _open(record.path)
        if image is None or image.source_range is not None or image.shape[0] > LARGEST_TILE_PX:
            continue
        pixels = image.read(image.area).ravel()
        found[record.path] = pixels[:: max(1, len(pixels) // SAMPLED_PX)]
    return found


def _by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Tiles by the image that their names tell; images with few tiles are none."""
    found: dict[str, dict[Path, tuple[str, str]]] = {}
    for path in paths:
        place = _PLACE.fullmatch(path.stem)
        if place is not None:
            found.setdefault(place["source"], {})[path] = place["row"], place["col"]
    # A date or the number of a run before a counter is no row: it is the same for all.
    return {
        source: list(mine)
        for source, mine in found.items()
        if len(mine) >= MANY
        and all(len(set(each)) > 1 for each in zip(*mine.values(), strict=True))
    }


def _together(tiles: Sequence[NDArray[Any]]) -> Range | None:
    if not tiles or len({tile.dtype for tile in tiles}) > 1:
        return None
    found = range_of(np.concatenate(tiles), IntensityRecipe())
    return None if found is None else (found.low, found.high)


def _one_picture(tiles: Sequence[NDArray[Any]]) -> Range | None:
    """The range of tiles that each show a part only of the grey values of all."""
    shared = _together(tiles) if len(tiles) >= MANY_WITHOUT_PLACE else None
    if shared is None:
        return None
    own = [range_of(tile, IntensityRecipe()) for tile in tiles]
    widths = [each.high - each.low for each in own if each is not None]
    return shared if np.median(widths) < NARROW * (shared[1] - shared[0]) else None
