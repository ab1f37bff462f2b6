"""What a search for a structure found, as files: a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_sem_classify.core.common.csv_text import csv_text
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.export.contact_sheet import SheetTile, write_contact_sheet
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import (
    IntensityRange,
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.teach.similar_search import FoundTile, Search

COLUMNS = ("image", "plane", "y", "x", "tile_px", "similarity")
TABLE, SHEET = ".similar.csv", ".similar.png"
SHOWN = 63


def write_similar(search: Search, out: Path | OutputFolder, stem: str) -> list[Path]:
    """Write ``STEM.similar.csv`` with all tiles and ``STEM.similar.png`` with the best of them.

    ``y`` and ``x`` are the tile's first row and column in pixels of the image file. Files of an
    earlier run are replaced; where one of the names is the user's, both get another start.

    Raises
    ------
    OutputError
        When the folder or a file cannot be written.
    ImageError
        When no image can be read for the picture.
    """
    rows = (
        (str(each.image), ",".join(map(str, each.plane)), each.y, each.x, each.tile, f"{value:.4f}")
        for each in search.found
        for value in (each.similarity,)
    )
    with output_folder(out) as folder, folder.staging() as staging:
        write_text(staging / f"{stem}{TABLE}", csv_text(COLUMNS, rows))
        title = f"Most like {search.sample.image.name} at {search.sample.y}, {search.sample.x}"
        shown = [search.sample, *search.found[:SHOWN]]
        write_contact_sheet(title, list(_sheet_tiles(shown)), staging / f"{stem}{SHEET}")
        return list(folder.put(staging, stem).values())


def _sheet_tiles(found: Sequence[FoundTile]) -> Iterator[SheetTile]:
    """Pictures of tiles in the order given; each image is opened once."""
    opened: dict[Path, SemImage] = {}
    ranges: dict[tuple[Path, tuple[int, ...]], IntensityRange] = {}
    for number, each in enumerate(found):
        try:
            if each.image not in opened:
                opened[each.image] = open_image(each.image)
            image = opened[each.image]
            if (each.image, each.plane) not in ranges:
                ranges[each.image, each.plane] = measure_range(image, IntensityRecipe(), each.plane)
            area = image.area
            window = Area(
                each.y,
                min(each.y + each.tile, area.bottom),
                each.x,
                min(each.x + each.tile, area.right),
            )
            pixels = image.read(window, each.plane)
        except SemClassifyError:
            continue  # it was there a moment ago; the table still tells of it
        alike = f"{each.similarity:.2f}" if number else "looked for"
        grey = stretch_to_uint8(pixels, ranges[each.image, each.plane])
        yield SheetTile(grey, f"{alike} · {each.y}, {each.x}\n{each.image.name}")
