"""Tiles as image files with a table, for people who train elsewhere."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.checked import Malformed
from napari_sem_classify.core.common.csv_text import csv_text, number_text, read_csv
from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.common.files import ensure_folder, write_text
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.image.intensity import (
    IntensityRange,
    IntensityRecipe,
    measure_range,
    stretch_to_uint8,
)
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.image.tile_note import tile_note
from napari_sem_classify.core.tiles.grid import TileGrid

TileFormat = Literal["tif", "png"]
COLUMNS = ("file", "row", "col", "y", "x", "height", "width", "pixel_size_nm")
RANGE_COLUMNS = ("range_low", "range_high")
TABLE_SUFFIX = ".tile_files.csv"


@dataclass(frozen=True, slots=True)
class TilesWritten:
    """How many tiles were written, their table, and how many of an earlier run were deleted."""

    count: int
    table: Path
    removed: int = 0


def write_tiles(
    image: SemImage,
    grid: TileGrid,
    out_dir: Path,
    *,
    stem: str | None = None,
    format: TileFormat = "tif",
    keep: NDArray[np.bool_] | None = None,
    stretch: bool = False,
    plane: tuple[int, ...] = (),
    job: Job | None = None,  # nine in all: each is a choice of its own that has a usual answer
) -> TilesWritten:
    """Write each tile as a file, and ``STEM.tile_files.csv`` beside them.

    Files are named ``STEM_r0003_c0012.tif`` by row and column of the grid. Grey values stay as
    they are (16 and 32 bit too in TIFF); a PNG holds 8 or 16 bit, other types are stretched to 8.
    The table and each file tell the range of the whole image, see `tile_note`.
    All tiles appear together at the end: a cancelled or failed run leaves the folder as it was.
    Tiles that the table of an earlier run lists and this run does not make are deleted, so that the
    folder holds the tiles of one grid, those of the table; no other file is touched.

    Parameters
    ----------
    out_dir : Path
        Made when it is not there.
    stem : str, optional
        Start of each file's name; the image's name by default.
    format : {"tif", "png"}
    keep : bool, shape ``grid.tile_shape``, optional
        Tiles to write; all by default.
    stretch : bool
        Write 8 bit, stretched over the 1 to 99 % range of the whole image (not of each tile).
    plane : tuple of int
        Plane of a stack.
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
    ensure_folder(out_dir)
    chosen = np.ones(grid.tile_shape, dtype=bool) if keep is None else keep
    if chosen.shape != grid.tile_shape:
        raise ValueError(f"keep has shape {chosen.shape}, not {grid.tile_shape}")
    to_8_bit = stretch or (format == "png" and image.dtype not in (np.uint8, np.uint16))
    measured = measure_range(image, IntensityRecipe(), plane)
    intensity = measured if to_8_bit else None
    black, white = (0.0, 255.0) if to_8_bit else (measured.low, measured.high)
    stem = (stem or stem_of(image.name)) + plane_suffix(plane)
    path = out_dir / f"{stem}{TABLE_SUFFIX}"
    size = number_text(image.pixel_size_nm)
    tops, lefts = grid.row_starts(), grid.col_starts()
    reporter = Reporter(int(chosen.sum()), "Writing tiles", job)
    staging = Path(tempfile.mkdtemp(dir=out_dir, prefix=".tiles-"))
    rows: list[tuple[Any, ...]] = []
    try:
        for row, col in np.argwhere(chosen):
            name = f"{stem}_r{row:04d}_c{col:04d}.{format}"
            pixels = _tile(image, grid, int(row), int(col), plane, intensity)
            top, left = int(tops[row]), int(lefts[col])
            note = tile_note(black, white, image.name, top, left)
            _write_image(staging / name, pixels, format, image.pixel_size_nm, note)
            rows.append((name, row, col, top, left, *pixels.shape, size, black, white))
            reporter.advance()
        names = [row[0] for row in rows]
        for name in names:
            (staging / name).replace(out_dir / name)
        # Before the new table comes: a kill in between leaves the old one, which still lists them.
        removed = _remove(out_dir, _listed(path, stem) - set(names))
    except OSError as error:
        raise OutputError(
            f"The tiles cannot be written into {out_dir} ({error.strerror or error}): "
            "choose a folder you may write to, with free space."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_text(path, csv_text(COLUMNS + RANGE_COLUMNS, rows))
    return TilesWritten(len(rows), path, removed)


def _listed(table: Path, stem: str) -> set[str]:
    """Names of tiles in an earlier table; a name that this program would not give is no tile's."""
    own = re.compile(re.escape(stem) + r"_r\d{4,}_c\d{4,}\.(tif|png)")
    try:
        names = [row.get("file", "") for row in read_csv(table)]
    except (OSError, Malformed):
        return set()
    return {name for name in names if own.fullmatch(name)}


def _remove(folder: Path, names: set[str]) -> int:
    """Delete files, and count those that were there."""
    there = [folder / name for name in names if (folder / name).is_file()]
    for path in there:
        path.unlink()
    return len(there)


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
