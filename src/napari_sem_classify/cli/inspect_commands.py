"""``info`` and ``tile``: what an image is, and its tiles as files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sem_classify.cli import shared_options as shared
from napari_sem_classify.cli.shell import fail_if_any, report, table, working

if TYPE_CHECKING:
    from napari_sem_classify.core.image.sem_image import SemImage
    from napari_sem_classify.core.sem_io import Level as LevelInfo
    from napari_sem_classify.core.tiles.grid import TileGrid
    from napari_sem_classify.core.tiles.tile_files import TilesWritten


def info(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file.")],
    level: shared.Level = 0,
    as_json: shared.Json = False,
) -> None:
    """Show an image's size, type, microscope, pixel size and specimen area.

    Of a pyramid, the resolutions that it has are told too.
    """
    from napari_sem_classify.core.sem_io import open_with_levels

    opened, levels = open_with_levels(image, level)
    facts = _facts(opened)
    facts["level"] = level
    facts["levels"] = [
        {"shape": list(each.shape), "pixel_size_nm": each.pixel_size_nm} for each in levels
    ]
    rows, cols = opened.shape
    size, area = opened.pixel_size_nm, opened.area
    where = f"rows {area.top} to {area.bottom}, columns {area.left} to {area.right}"
    note = opened.metadata.get("note")
    why = f"not calibrated: {note}" if note else "not calibrated"
    lines = [
        ("Image", opened.name),
        ("Size", f"{rows} × {cols} px" + _physical(opened)),
        ("Planes", str(facts["planes"])),
        ("Type", f"{facts['dtype']}, {opened.colour}"),
        ("Microscope", opened.vendor or "unknown"),
        ("Pixel size", f"{size:.5g} nm ({opened.pixel_size_source})" if size else why),
        ("Specimen", f"{where} ({opened.specimen.reason})"),
    ]
    if len(levels) > 1:
        lines.insert(2, ("Levels", ", ".join(_level_text(*each) for each in enumerate(levels))))
    report(facts, table(lines), as_json)


def tile(
    images: shared.Images,
    out: shared.Out,
    tile: shared.TilePx = None,
    tile_um: shared.TileUm = None,
    stride: shared.Stride = None,
    level: shared.Level = 0,
    format: Annotated[
        Literal["tif", "png"], typer.Option("--format", help="File format of the tiles.")
    ] = "tif",
    stretch: Annotated[
        bool, typer.Option("--stretch", help="Write 8 bit, stretched over each image's range.")
    ] = False,
    recipe: shared.Over = "image",
    frame_px: shared.FramePx = None,
    as_json: shared.Json = False,
) -> None:
    """Write the tiles of images as files, with a CSV that tells where each comes from.

    Tiles without any data (the empty border of a mosaic) are left out. Without --tile or
    --tile-um tiles are 64 px.

    Run again into the same folder, an image's new tiles take the place of its old ones; those that
    the new grid has not are deleted. Your own files stay.
    """
    from napari_sem_classify.core.common.errors import OutputError, SemClassifyError
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.image.file_names import free_stem
    from napari_sem_classify.core.sem_io import list_images, open_image
    from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
    from napari_sem_classify.core.tiles.tile_files import write_tiles
    from napari_sem_classify.core.tiles.tile_rules import check_tiles

    shared.check_tile(tile, tile_um, stride)
    look = shared.recipe_of(recipe, frame_px)
    paths = list_images(images)
    stems: set[str] = set()
    results: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    with output_folder(out) as folder, working() as job:
        for path in paths:
            stem = free_stem(path, stems)
            write = partial(
                write_tiles, stem=stem, format=format, stretch=stretch, recipe=look, job=job
            )
            try:
                image = open_image(path, level)
                grid = _grid(image, tile, tile_um, stride)
                written = []
                for plane in image.planes():
                    keep = ~check_tiles(image, grid, plane=plane, job=job).no_data
                    written.append(write(PlaneTiles(image, grid, keep, plane), folder))
                results.append({"image": str(path), **_counts(grid, written)})
            except OutputError:
                raise  # the next image would not fit either
            except SemClassifyError as error:
                failures.append({"image": str(path), "problem": str(error)})
    from napari_sem_classify.core.export.quantities import counted

    text = "\n".join(
        f"{each['image']}: {counted(each['tiles'], 'tile')} of {each['tile_px']} px "
        f"written to {out}"
        + (f"; {each['removed']} of an earlier run deleted" if each["removed"] else "")
        for each in results
    )
    value = {"images": results, "failures": failures, "out": str(out), "renamed": folder.told}
    report(value, "\n".join([text, *folder.told]), as_json)
    fail_if_any(failures)


def _counts(grid: TileGrid, written: Sequence[TilesWritten]) -> dict[str, Any]:
    """What was written of an image's planes."""
    count = sum(each.count for each in written)
    return {
        "tiles": count,
        "left_out": grid.n_tiles * len(written) - count,
        "removed": sum(each.removed for each in written),
        "tile_px": grid.tile,
        "stride_px": grid.stride,
        "tables": [str(each.table) for each in written],
    }


def _facts(image: SemImage) -> dict[str, Any]:
    """What is known of an image, as plain JSON values."""
    return {
        "name": image.name,
        "path": None if image.path is None else str(image.path),
        "shape": list(image.shape),
        "planes": math.prod(image.leading_shape),
        "dtype": str(image.dtype),
        "colour": image.colour,
        "vendor": image.vendor,
        "pixel_size_nm": image.pixel_size_nm,
        "pixel_size_source": image.pixel_size_source,
        "specimen": image.area.as_list(),
        "specimen_source": image.specimen.source,
        "specimen_reason": image.specimen.reason,
        "metadata": dict(image.metadata),
    }


def _grid(image: SemImage, tile: int | None, tile_um: float | None, stride: int | None) -> TileGrid:
    from napari_sem_classify.core.tiles.grid import TileGrid

    if tile_um is not None:
        tile = TileGrid.from_um(image.area, tile_um, image.pixel_size_nm).tile
    side = shared.DEFAULT_TILE_PX if tile is None else tile
    return TileGrid(image.area, side, side if stride is None else stride)


def _level_text(number: int, level: LevelInfo) -> str:
    size = level.pixel_size_nm
    scale = "" if size is None else f" at {size:.4g} nm/px"
    return f"{number}: {level.shape[0]} × {level.shape[1]} px{scale}"


def _physical(image: SemImage) -> str:
    if image.pixel_size_nm is None:
        return ""
    rows, cols = (n * image.pixel_size_nm / 1000 for n in image.shape)
    return f" = {rows:.4g} × {cols:.4g} µm"
