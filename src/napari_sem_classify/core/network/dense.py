"""Dense evaluation: one run of the network over large blocks instead of one for every tile.

Tiles that overlap share most of their pixels, and tile by tile the network looks at these again
and again. Dense evaluation looks at each pixel about once and averages the network's maps over the
tiles. It is an approximation: a tile on its own is surrounded by zeros in every layer, in a block
by its neighbourhood. So a map made in this way says so, and how far it agrees with tiles that were
looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.tiles.dense_blocks import DenseBlock, DensePlan
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles
from napari_sem_classify.core.tiles.prefetch import prefetch
from napari_sem_classify.core.tiles.tile_source import travel_range

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.base import Engine


@dataclass(frozen=True, slots=True)
class TileFeatures:
    """Features of some tiles, shape (N, features), or what was read off them, shape (N, numbers).

    float32, or float16 where they are to be kept; `empty` are tiles found without data.
    """

    index: NDArray[np.int64]
    features: NDArray[Any]
    empty: NDArray[np.int64]


def embed_densely(
    tiles: PlaneTiles, engine: Engine, intensity: IntensityRange
) -> Generator[TileFeatures, None, None]:
    """Features of a plane's tiles from blocks of the image, for any stride.

    The network pads with zeros at the image's border alone; to multiples of `STEP` network px the
    area is mirrored at its lower and right border. Memory depends on the size of a block and on the
    tile, not on the image. `intensity` is as measured on this plane.

    Yields
    ------
    TileFeatures
        Each kept tile once, block by block.

    Raises
    ------
    GridError
        When the tiles are to be standardised one by one, which no block can do.
    ImageError
        When the image cannot be read, or the grid leaves it.
    """
    if intensity.per_tile:
        raise GridError(
            "This model gives each tile the same mean and spread, which a fine (dense) map "
            "cannot do: classify tile by tile instead."
        )
    (image, plane), grid = tiles.source, tiles.grid
    image.with_area(grid.area)  # refuses a grid that leaves the image
    wanted = np.ones(grid.tile_shape, dtype=np.bool_) if tiles.keep is None else tiles.keep
    plan = DensePlan(image, grid, engine.network_px, engine.feature_size)
    travelled = travel_range(image, intensity)
    for strip in plan.strips():

        def read(stop: Callable[[], bool], strip: Any = strip) -> Iterator[DenseBlock]:
            return plan.blocks(strip, wanted, intensity, plane, stop)

        with closing(prefetch(read, depth=1)) as blocks:
            yield from _finished_tiles(blocks, strip[2:], wanted, engine, travelled)


def _finished_tiles(
    blocks: Iterator[DenseBlock],
    columns: tuple[int, int],
    wanted: NDArray[np.bool_],
    engine: Engine,
    intensity: IntensityRange,
) -> Iterator[TileFeatures]:
    """Add up what the blocks of a strip contribute, and give tiles when their last block is in."""
    size = engine.feature_size
    first_col, last_col = columns
    # The last number of a tile counts the blocks in which it has data.
    above = below = beside = np.zeros((0, last_col - first_col, size + 1), dtype=np.float32)
    entered = first_col
    for block in blocks:
        rows, cols = block.rows, block.cols
        sums = np.zeros((rows.end - rows.begin, cols.end - cols.begin, size + 1), np.float32)
        if block.opens_row:
            above, entered = below, first_col
            below = np.zeros((rows.end - rows.done, last_col - first_col, size + 1), np.float32)
            beside = sums[:, :0]
        sums[:, : beside.shape[1]] = beside
        new = slice(entered - cols.begin, cols.end - cols.begin)
        sums[: len(above), new] += above[:, entered - first_col : cols.end - first_col]
        entered = cols.end
        if block.pixels is not None:
            sums[:, :, :size] += engine.embed_block(block.pixels, intensity, rows.span, cols.span)
            sums[:, :, size] += block.has_data
        done_rows, done_cols = rows.done - rows.begin, cols.done - cols.begin
        below[:, cols.begin - first_col : cols.done - first_col] = sums[done_rows:, :done_cols]
        beside = sums[:, done_cols:].copy()
        yield _as_tiles(sums[:done_rows, :done_cols], wanted, rows.begin, cols.begin)


def _as_tiles(
    sums: NDArray[np.float32], wanted: NDArray[np.bool_], row: int, col: int
) -> TileFeatures:
    """Finished tiles, the first of them in this row and column."""
    height, width = sums.shape[:2]
    down = np.arange(row, row + height, dtype=np.int64)[:, None]
    numbers = down * wanted.shape[1] + np.arange(col, col + width)
    has_data, mine = sums[:, :, -1] > 0, wanted[row : row + height, col : col + width]
    good, blank = mine & has_data, mine & ~has_data
    return TileFeatures(numbers[good], sums[good][:, :-1], numbers[blank])
