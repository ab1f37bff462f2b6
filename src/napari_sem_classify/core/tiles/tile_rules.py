"""Which tiles show nothing worth using: no data, or hardly any contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

FLAT_BELOW = 0.03
BATCH = 64


@dataclass(frozen=True, slots=True)
class TileChecks:
    """What the pixels say about each tile.

    Attributes
    ----------
    no_data : bool, shape ``grid.tile_shape``
        Tiles of nothing but NaN, inf or zeros.
    contrast : float32, shape ``grid.tile_shape``
        Standard deviation of the tile's grey values as a share of the image's 1 to 99 % range;
        NaN where there is no data.
    """

    no_data: NDArray[np.bool_]
    contrast: NDArray[np.float32]

    def flat(self, below: float = FLAT_BELOW) -> NDArray[np.bool_]:
        """Tiles with data whose contrast is under `below` (a share, 0 to 1)."""
        return np.asarray(self.contrast < below)


def check_tiles(
    image: SemImage, grid: TileGrid, *, plane: tuple[int, ...] = (), job: Job | None = None
) -> TileChecks:
    """Look at the pixels of every tile once.

    Raises
    ------
    ImageError
        When the image cannot be read.
    Cancelled
        When the token was set.
    """
    intensity = measure_range(image, IntensityRecipe(), plane)
    travelling = travel_range(image, intensity)
    width = travelling.high - travelling.low
    no_data = np.zeros(grid.n_tiles, dtype=bool)
    contrast = np.full(grid.n_tiles, np.nan, dtype=np.float32)
    reporter = Reporter(grid.n_tiles, "Looking at tiles", job)
    batches = read_tiles(image, grid, intensity, BATCH, plane=plane)
    try:
        for batch in batches:
            no_data[batch.empty] = True
            if len(batch.index):
                clipped = np.clip(batch.pixels.astype(np.float32), travelling.low, travelling.high)
                contrast[batch.index] = clipped.std(axis=(1, 2)) / width
            reporter.advance(len(batch.index) + len(batch.empty))
    finally:
        batches.close()
    shape = grid.tile_shape
    return TileChecks(no_data.reshape(shape), contrast.reshape(shape))


def covered_area(grid: TileGrid, keep: NDArray[np.bool_]) -> int:
    """Pixels seen by at least one tile where `keep`, shape ``grid.tile_shape``, is True."""
    if not keep.any():
        return 0
    row_edges, row_cover = _segments(grid.row_starts(), grid.tile, grid.area.bottom)
    col_edges, col_cover = _segments(grid.col_starts(), grid.tile, grid.area.right)
    seen = (row_cover @ keep.astype(np.float32) @ col_cover.T) > 0.5
    return int(np.diff(row_edges) @ seen.astype(np.int64) @ np.diff(col_edges))


def tile_centres(grid: TileGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of tiles' centres, in pixels of the image: float64, (rows,) and (cols,)."""
    rows = grid.row_starts() + (min(grid.tile, grid.area.height) - 1) / 2.0
    cols = grid.col_starts() + (min(grid.tile, grid.area.width) - 1) / 2.0
    return rows.astype(float), cols.astype(float)


def tiles_inside(grid: TileGrid, polygons: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Tiles whose centre lies in any of the polygons, shape ``grid.tile_shape``.

    Parameters
    ----------
    polygons : list of float arrays, shape (vertices, 2)
        Row and column in image pixel coordinates, where integers are pixel centres.
    """
    y, x = np.meshgrid(*tile_centres(grid), indexing="ij")
    inside = np.zeros(y.shape, dtype=bool)
    for polygon in polygons:
        inside |= _in_polygon(y, x, polygon)
    return inside


def _in_polygon(
    y: NDArray[np.float64], x: NDArray[np.float64], polygon: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Even-odd rule: a point is inside when a ray to the right crosses an odd number of edges."""
    inside = np.zeros(y.shape, dtype=bool)
    y0, x0 = polygon[-1]
    for y1, x1 in polygon:
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        y0, x0 = y1, x1
    return inside


def _segments(
    starts: NDArray[np.int64], tile: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Edges that cut an axis where tiles begin and end, and which tile covers which segment."""
    ends = np.minimum(starts + tile, last)
    edges = np.unique(np.concatenate([starts, ends]))
    cover = (starts[None, :] <= edges[:-1, None]) & (edges[1:, None] <= ends[None, :])
    return edges, cover.astype(np.float32)
