"""The table of a class map: a row per cell."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.csv_text import cell_text
from napari_sem_classify.core.common.files import atomic_path
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.maps.class_map import ClassMap

COLUMNS = ("row", "col", "y", "x", "height", "width", "class", "confidence", "entropy")
_CELLS_AT_ONCE = 8192


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
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
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
    names = ["", *(cell_text(info.name) for info in part.classes)]
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
