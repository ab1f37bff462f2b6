"""Tiles as image files with a table, for people who train elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.csv_text import csv_text, number_text
from napari_sem_classify.core.common.errors import OutputError, cannot_write
from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.image.intensity import (
    IntensityRange,
    IntensityRecipe,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.image.tile_note import tile_note
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

TileFormat = Literal["tif", "png"]
JOB = "tile"
COLUMNS = ("file", "row", "col", "y", "x", "height", "width", "pixel_size_nm")
RANGE_COLUMNS = ("range_low", "range_high")
TABLE_SUFFIX = ".tile_files.csv"


@dataclass(frozen=True, slots=True)
class TilesWritten:
    """How many tiles were written, their table, and how many of an earlier run were deleted.

    `renamed` is a sentence where the names are others than those asked for, "" else.
    """

    count: int
    table: Path
    removed: int = 0
    renamed: str = ""


def write_tiles(
    tiles: PlaneTiles,
    out: Path | OutputFolder,
    *,
    stem: str | None = None,
    format: TileFormat = "tif",
    stretch: bool = False,
    recipe: IntensityRecipe = IntensityRecipe(),
    job: Job | None = None,
) -> TilesWritten:
    """Write each tile as a file, and ``STEM.tile_files.csv`` beside them.

    Files are named ``STEM_r0003_c0012.tif`` by row and column of the grid. Grey values stay as
    they are (16 and 32 bit too in TIFF); a PNG holds 8 or 16 bit, other types are stretched to 8.
    The table and each file tell the range of the whole image, see `tile_note`.
    All tiles appear together at the end: a cancelled or failed run leaves the folder as it was.
    Tiles that an earlier run wrote there and this run does not make are deleted, so that the folder
    holds the tiles of one grid, those of the table. No file of the user's is touched: where one has
    a name that a tile or the table should get, all of them get another start.

    Parameters
    ----------
    tiles : PlaneTiles
        Those to write.
    out : Path or OutputFolder
        Made when it is not there.
    stem : str, optional
        Start of each file's name; the image's name by default.
    format : {"tif", "png"}
    stretch : bool
        Write 8 bit, stretched over the 1 to 99 % range of the whole image (not of each tile).
    recipe : IntensityRecipe
        Where it evens out a mosaic in parts, the tiles are written as it does.
    job : Job, optional
        Told and checked after each tile.

    Raises
    ------
    OutputError
        When the folder or a file cannot be written.
    ImageError
        When the image cannot be read.
    Cancelled
        When the token was set.
    """
    grid = tiles.grid
    chosen = np.ones(grid.tile_shape, dtype=bool) if tiles.keep is None else tiles.keep
    if chosen.shape != grid.tile_shape:
        raise ValueError(f"keep has shape {chosen.shape}, not {grid.tile_shape}")
    shown = tiles.seen_by(recipe)
    image, plane = shown.source
    to_8_bit = stretch or (format == "png" and image.dtype not in (np.uint8, np.uint16))
    measured = shown.measure(replace(recipe, per_tile=False))
    intensity = measured if to_8_bit else None
    black, white = (0.0, 255.0) if to_8_bit else (measured.low, measured.high)
    stem = (stem or stem_of(image.name)) + plane_suffix(tiles.plane)
    tops, lefts = grid.row_starts(), grid.col_starts()
    size = number_text(image.pixel_size_nm)
    places = [(int(row), int(col)) for row, col in np.argwhere(chosen)]
    names = [f"{stem}_r{row:04d}_c{col:04d}.{format}" for row, col in places]
    table = f"{stem}{TABLE_SUFFIX}"
    reporter = Reporter(len(places), "Writing tiles", job)
    rows: list[tuple[Any, ...]] = []
    with output_folder(out) as folder, folder.staging() as staging:
        start = folder.start_for(stem, [*names, table])
        for (row, col), name in zip(places, names, strict=True):
            pixels = _tile(image, grid, row, col, plane, intensity)
            top, left = int(tops[row]), int(lefts[col])
            note = tile_note(black, white, image.name, top, left)
            _write_image(staging / name, pixels, format, image.pixel_size_nm, note)
            named = start + name.removeprefix(stem)
            rows.append((named, row, col, top, left, *pixels.shape, size, black, white))
            reporter.advance()
        write_text(staging / table, csv_text(COLUMNS + RANGE_COLUMNS, rows))
        before = len(folder.told)
        put = folder.put(staging, stem, about={"job": JOB})
        removed = _remove_earlier(folder, stem, {path.name for path in put.values()})
        return TilesWritten(len(rows), put[table], removed, " ".join(folder.told[before:]))


def _remove_earlier(folder: OutputFolder, stem: str, but: set[str]) -> int:
    """Delete what earlier runs wrote of the same image or plane; gives how many tiles."""
    mine = [each for each in folder.record.written if each.asked == stem]
    earlier = {name for each in mine if each.about.get("job") == JOB for name in each.files}
    gone = [name for name in sorted(earlier - but) if folder.remove(name)]
    return sum(not name.endswith(TABLE_SUFFIX) for name in gone)


def _tile(
    image: SemImage,
    grid: TileGrid,
    row: int,
    col: int,
    plane: tuple[int, ...],
    intensity: IntensityRange | None,
) -> NDArray[Any]:
    """Pixels of one tile at full size: an image smaller than a tile is reflected."""
    pixels = image.read(grid.window(row, col), plane)
    missing = [(0, max(0, grid.tile - length)) for length in pixels.shape]
    if any(after for _, after in missing):
        pixels = np.pad(pixels, missing, mode="symmetric")
    return pixels if intensity is None else stretch_to_uint8(pixels, intensity)


def _write_image(
    path: Path, pixels: NDArray[Any], format: TileFormat, pixel_size_nm: float | None, note: str
) -> None:
    try:
        if format == "png":
            from PIL import Image
            from PIL.PngImagePlugin import PngInfo

            told = PngInfo()
            told.add_text("Description", note)
            Image.fromarray(pixels).save(path, pnginfo=told)
            return
        from tifffile import imwrite

        per_cm = None if pixel_size_nm is None else (1e7 / pixel_size_nm,) * 2
        imwrite(
            path,
            pixels,
            resolution=per_cm,
            resolutionunit="CENTIMETER",
            metadata=None,
            description=note,
        )
    except OSError as error:
        raise OutputError(cannot_write(path, error)) from error
