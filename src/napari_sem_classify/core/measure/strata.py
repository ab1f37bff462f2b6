"""The strata of a review: the cells of each class, found by their number in a fixed order.

The order is that of the maps, and in a map row by row. No list of all cells is kept, since outlines
have a cell for every pixel of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.maps.class_map import ClassMap

MOST_LISTED = 1 << 22
"""Of so many cells or fewer all are put into a random order."""
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Strata:
    """Cells of each class in some maps of the same classes.

    Attributes
    ----------
    labels : sequence of uint16, shape (rows, cols)
        Class numbers of each map.
    heights, widths : sequence of int64
        Of the rows and columns of each map, in pixels.
    first_rows : int64, shape (maps,)
        Rows of all maps before each.
    ends : int64, shape (classes, rows of all maps)
        Cells of a class up to and with a row.
    areas_px : tuple of int
        Pixels of each class.
    """

    labels: Sequence[NDArray[np.uint16]]
    heights: Sequence[NDArray[np.int64]]
    widths: Sequence[NDArray[np.int64]]
    first_rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    areas_px: tuple[int, ...]

    @property
    def counts(self) -> list[int]:
        """Cells of each class."""
        return [int(ends[-1]) if len(ends) else 0 for ends in self.ends]

    def cell(self, k: int, index: int) -> tuple[int, int, int, int]:
        """Map, row and column of the cell with a number, of class `k` (from 0), and its pixels."""
        ends = self.ends[k]
        whole_row = int(np.searchsorted(ends, index, side="right"))
        before = int(ends[whole_row - 1]) if whole_row else 0
        image = int(np.searchsorted(self.first_rows, whole_row, side="right")) - 1
        row = whole_row - int(self.first_rows[image])
        col = int(np.flatnonzero(self.labels[image][row] == k + 1)[index - before])
        return image, row, col, int(self.heights[image][row] * self.widths[image][col])


def strata_of(maps: Sequence[ClassMap]) -> Strata:
    """Find the strata of maps of the same classes, one or more."""
    k = len(maps[0].classes)
    labels, heights, widths, counts = [], [], [], []
    areas = np.zeros(k, np.int64)
    for class_map in maps:
        mine = class_map.labels()
        down, along = class_map.grid.cell_sizes()
        by_row = np.stack([(mine == n).sum(axis=1) for n in range(1, k + 1)])
        # All columns but the last are equally wide.
        last = np.stack([mine[:, -1] == n for n in range(1, k + 1)])
        areas += (by_row * along[0] - last * (along[0] - along[-1])) @ down
        labels.append(mine)
        heights.append(down)
        widths.append(along)
        counts.append(by_row)
    first_rows = np.cumsum([0, *(len(down) for down in heights[:-1])])
    ends = np.cumsum(np.concatenate(counts, axis=1), axis=1)
    return Strata(labels, heights, widths, first_rows, ends, tuple(int(n) for n in areas))


def first_of_order(generator: np.random.Generator, count: int, n: int) -> list[int]:
    """The first `n` numbers of a random order of 0 to `count` - 1.

    More of them begin with these, where the generator is a new one of the same seed.
    """
    n = min(n, count)
    if count <= MOST_LISTED:
        return [int(each) for each in generator.permutation(count)[:n]]
    found: dict[int, None] = {}
    while len(found) < n:
        drawn = generator.integers(count, size=_AT_ONCE)
        found.update(dict.fromkeys(int(each) for each in drawn))
    return list(found)[:n]
