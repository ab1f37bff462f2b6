"""A class map as files: a table per cell, a summary, a label image, and a picture with a legend."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.files import atomic_path, ensure_folder, write_json
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.plane_names import plane_suffix
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SUFFIX, SavedMap, write_map

COLUMNS = ("row", "col", "y", "x", "height", "width", "class", "confidence", "entropy")
_CELLS_AT_ONCE = 8192


def write_outputs(class_map: ClassMap, image: SemImage, out_dir: Path, stem: str) -> list[Path]:
    """Write the table, the summary, the label image and the picture of one class map.

    For a plane of a stack the plane's index goes into the names: ``STEM_z0003.tiles.csv``.

    Parameters
    ----------
    class_map : ClassMap
    image : SemImage
        The image that was classified.
    out_dir : Path
        Made when it is not there.
    stem : str
        Start of each file's name, usually the image's.

    Returns
    -------
    list of Path
        ``STEM.tiles.csv``, ``STEM.summary.json``, ``STEM.map.tif``, ``STEM.overlay.png``.

    Raises
    ------
    OutputError
        When the folder or a file cannot be written.
    ImageError
        When the image cannot be read for the picture.
    """
    from napari_sem_classify.core.export.overlay import write_overlay

    ensure_folder(out_dir)
    stem = stem + plane_suffix(class_map.plane)
    table = out_dir / f"{stem}.tiles.csv"
    summary = out_dir / f"{stem}.summary.json"
    labels = out_dir / f"{stem}{SUFFIX}"
    overlay = out_dir / f"{stem}.overlay.png"
    write_tiles_csv(class_map, table)
    write_json(summary, summarise(class_map, image))
    write_map(SavedMap.of(class_map, image), labels)
    write_overlay(class_map, image, overlay)
    return [table, summary, labels, overlay]


def write_tiles_csv(class_map: ClassMap, path: Path) -> None:
    """Write the table, a row per cell, row by row; never the whole of it in memory.

    ``y`` and ``x`` are the cell's first row and column in pixels of the file as it lies on disk
    (info bar included), ``height`` and ``width`` its size, smaller at the border. A cell left out
    has no class and no values.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    names = [info.name for info in class_map.classes]
    step = max(1, _CELLS_AT_ONCE // class_map.grid.shape[1])
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"prob_{name}" for name in names)])
        for first in range(0, class_map.grid.shape[0], step):
            writer.writerows(_rows(_part(class_map, first, step), first))


def _part(class_map: ClassMap, first: int, count: int) -> ClassMap:
    """Some rows of cells as a map of their own."""
    grid = class_map.grid
    area = grid.area
    top = area.top + first * grid.stride
    part = Area(top, min(area.bottom, top + count * grid.stride), area.left, area.right)
    return replace(
        class_map,
        probabilities=class_map.probabilities[first : first + count],
        grid=replace(grid, area=part),
    )


def _rows(part: ClassMap, first: int) -> Iterator[list[Any]]:
    """Rows of the table for a part of the map whose first row of cells has the number `first`."""
    grid = part.grid
    heights, widths = (sizes.tolist() for sizes in grid.cell_sizes())
    names = ["", *(info.name for info in part.classes)]
    numbers = part.labels().tolist()
    sure = np.stack([part.confidence(), part.entropy()], axis=-1)
    values = np.concatenate([sure, part.probabilities], axis=-1).tolist()
    blank = [""] * (2 + len(part.classes))
    for row, height in enumerate(heights):
        y = grid.area.top + row * grid.stride
        for col, width in enumerate(widths):
            place = [first + row, col, y, grid.area.left + col * grid.stride, height, width]
            number = numbers[row][col]
            if number == 0 or not part.confidence_known:
                yield [*place, names[number], *blank]
            else:
                yield [*place, names[number], *(f"{value:.5f}" for value in values[row][col])]


def summarise(class_map: ClassMap, image: SemImage) -> dict[str, Any]:
    """The run in numbers, as plain JSON values: image, grid, classes with fractions, record.

    Fractions are shares of the classified area, 0 to 1; areas are in pixels and, where the image
    is calibrated, in µm².
    """
    grid = class_map.grid
    rows, cols = grid.shape
    left_out = class_map.left_out
    areas = grid.cell_areas()
    confidence = class_map.confidence()
    labels = class_map.labels()
    told = class_map.confidence_known
    classes = []
    for number, share in enumerate(class_map.fractions(), start=1):
        mine = labels == number
        classes.append(
            {
                "name": share.name,
                "colour": share.colour,
                "cells": share.cells,
                "fraction": share.fraction,
                "area_px": share.area_px,
                "area_um2": share.area_um2,
                "mean_confidence": float(confidence[mine].mean()) if told and mine.any() else None,
            }
        )
    classified_px = int(areas[~left_out].sum())
    size = class_map.pixel_size_nm
    return {
        "image": class_map.image_name or image.name,
        "path": None if image.path is None else str(image.path),
        "plane": list(class_map.plane),
        "shape": list(image.shape),
        "level": image.level,
        "dtype": str(image.dtype),
        "vendor": image.vendor,
        "pixel_size_nm": size,
        "pixel_size_source": image.pixel_size_source,
        "specimen": image.area.as_list(),
        "specimen_source": image.specimen.source,
        "grid": {
            "area": grid.area.as_list(),
            "tile_px": grid.tile,
            "tile_um": None if size is None else grid.tile * size / 1000.0,
            "stride_px": grid.stride,
            "tiles": grid.n_tiles,
            "rows": rows,
            "cols": cols,
        },
        "cells": rows * cols,
        "cells_left_out": int(left_out.sum()),
        "classified_area_px": classified_px,
        "classified_area_um2": None if size is None else classified_px * (size / 1000.0) ** 2,
        "classes": classes,
        "record": dict(class_map.record),
    }
