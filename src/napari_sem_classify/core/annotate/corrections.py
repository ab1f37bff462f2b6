"""Corrections painted on a class map: they lie over what the model says, and teach it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import ImageAnnotations
from napari_sem_classify.core.annotate.place import TilePlace, place_of
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.tiles.grid import TileGrid


def with_corrections(class_map: ClassMap, image: ImageAnnotations) -> ClassMap:
    """The map with the corrected tiles as their class, without a doubt."""
    numbers = {info.name: number for number, info in enumerate(class_map.classes)}
    corrected = [
        (cells, numbers[name])
        for place, name in image.corrections.items()
        if name in numbers and all(map(len, cells := _cells_in(class_map.grid, place)))
    ]
    if not corrected:
        return class_map
    probabilities = class_map.probabilities.copy()
    for (rows, cols), number in corrected:
        probabilities[rows[:, None], cols] = 0.0
        probabilities[rows[:, None], cols, number] = 1.0
    record = {**class_map.record, "corrected_tiles": len(corrected)}
    return replace(class_map, probabilities=probabilities, record=record)


def painted_tiles(
    said: ClassMap, labels: NDArray[Any], painted: NDArray[np.bool_], grid: TileGrid
) -> dict[TilePlace, tuple[str, str] | None]:
    """What was painted on a map, as tiles of the grid that is taught: class names and colours.

    None where what is painted is what the model says.

    Parameters
    ----------
    said : ClassMap
        As the model says it, without corrections.
    labels : int, shape ``said.grid.shape``
        Class numbers from 1 as they are now, 0 where erased.
    painted : bool, same shape
        Cells that were painted.
    """
    before = said.labels()
    tiles: dict[TilePlace, tuple[str, str] | None] = {}
    for row, col in np.argwhere(painted).tolist():
        number = int(labels[row, col])
        place = place_of(grid, *_tile_at(grid, said.grid, row, col))
        if number in (0, before[row, col]):
            tiles[place] = None
        elif number <= len(said.classes):
            info = said.classes[number - 1]
            tiles[place] = (info.name, info.colour)
    return tiles


def _tile_at(grid: TileGrid, of: TileGrid, row: int, col: int) -> tuple[int, int]:
    """The tile of `grid` that holds the centre of a cell of another grid."""
    cell = of.cell(row, col)
    centre = (cell.top + cell.height // 2, cell.left + cell.width // 2)
    rows, cols = grid.shape
    # Where the last tile lies flush with the border, its cell says best which place is meant.
    return (
        min(max(0, (centre[0] - grid.area.top) // grid.stride), rows - 1),
        min(max(0, (centre[1] - grid.area.left) // grid.stride), cols - 1),
    )


def _cells_in(grid: TileGrid, place: TilePlace) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and columns of the cells whose centre lies in a tile."""
    y, x, size = place
    heights, widths = grid.cell_sizes()
    rows = grid.area.top + np.arange(len(heights)) * grid.stride + heights // 2
    cols = grid.area.left + np.arange(len(widths)) * grid.stride + widths // 2
    inside_rows = np.flatnonzero((rows >= y) & (rows < y + size))
    inside_cols = np.flatnonzero((cols >= x) & (cols < x + size))
    if grid.stride == grid.tile == size:
        # A tile flush with the border also covers the centre of the cell before it.
        return inside_rows[-1:], inside_cols[-1:]
    return inside_rows, inside_cols
