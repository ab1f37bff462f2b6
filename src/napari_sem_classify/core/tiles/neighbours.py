"""Which tiles surround a tile: the eight that lie one tile away, on a grid of any stride."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.tiles.grid import TileGrid

AROUND = tuple((row, col) for row in range(3) for col in range(3) if (row, col) != (1, 1))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows and columns of tiles beside each row and column of a grid.

    A neighbour is the tile nearest to one tile's length away, whatever the stride; there is none
    where even that one is off by more than half a tile, as at the border.

    Attributes
    ----------
    rows : int64, shape (3, tile rows)
        Above, the row itself, below; -1 where there is none.
    cols : int64, shape (3, tile columns)
        Left, the column itself, right.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    @classmethod
    def on(cls, grid: TileGrid) -> Neighbours:
        """Those of a grid."""
        return cls(
            *(_beside(starts, grid.tile) for starts in (grid.row_starts(), grid.col_starts()))
        )

    def of(self, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the neighbours of tiles, shape (N, 8), -1 where there is none."""
        at_row, at_col = np.divmod(tiles, self.cols.shape[1])
        found = np.empty((len(tiles), len(AROUND)), dtype=np.int64)
        for number, (row, col) in enumerate(AROUND):
            there_row, there_col = self.rows[row, at_row], self.cols[col, at_col]
            there = there_row * self.cols.shape[1] + there_col
            found[:, number] = np.where((there_row >= 0) & (there_col >= 0), there, -1)
        return found

    def mean(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over each tile's eight neighbours; in place of a missing one stands the tile itself.

        Parameters
        ----------
        values : float32, shape (tile rows, tile columns, n)
            NaN for tiles left out, which are nobody's neighbours.
        """
        known = ~np.isnan(values[..., 0])
        total = np.zeros_like(values)
        for row, col in AROUND:
            rows, cols = self.rows[row], self.cols[col]
            there = known[rows][:, cols] & (rows >= 0)[:, None] & (cols >= 0)
            total += np.where(there[..., None], values[rows][:, cols], values)
        total[~known] = np.nan
        return total / np.float32(len(AROUND))


def _beside(starts: NDArray[np.int64], tile: int) -> NDArray[np.int64]:
    """Index of the start one tile before each start, of the start itself, one tile after it."""
    itself = np.arange(len(starts))
    found = [itself]
    for step in (-tile, tile):
        after = np.searchsorted(starts, starts + step).clip(1, max(1, len(starts) - 1))
        after = after.clip(0, len(starts) - 1)
        before = np.maximum(after - 1, 0)
        far = np.abs(starts[[before, after]] - (starts + step))
        nearest = np.where(far[0] <= far[1], before, after)
        there = (far.min(axis=0) <= tile / 2) & (nearest != itself)
        found.append(np.where(there, nearest, -1))
    return np.stack([found[1], found[0], found[2]]).astype(np.int64)
