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
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.dense_blocks import HALO_PX, STEP, DenseBlock, DensePlan
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.prefetch import prefetch
from napari_sem_classify.core.tiles.tile_source import read_tiles, travel_range

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.network.engine.base import DenseEngine, Engine

SAMPLE_TILES = 100
SAMPLE_SHARE = 0.1
LEAST_SAMPLE = 30


@dataclass(frozen=True, slots=True)
class TileFeatures:
    """Features of some tiles, float32 of shape (N, features), and tiles found without data."""

    index: NDArray[np.int64]
    features: NDArray[np.float32]
    empty: NDArray[np.int64]


def embed_densely(
    image: SemImage,
    grid: TileGrid,
    engine: DenseEngine,
    intensity: IntensityRange,
    *,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
) -> Generator[TileFeatures, None, None]:
    """Features of a grid's tiles from blocks of the image, for any stride.

    The network pads with zeros at the image's border alone; to multiples of `STEP` network px the
    area is mirrored at its lower and right border. Memory depends on the size of a block and on the
    tile, not on the image.

    Parameters
    ----------
    image, grid, keep, plane
        As for `read_tiles`.
    engine : DenseEngine
    intensity : IntensityRange
        As measured on this plane.

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
    image.with_area(grid.area)  # refuses a grid that leaves the image
    wanted = np.ones(grid.tile_shape, dtype=np.bool_) if keep is None else keep
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
    engine: DenseEngine,
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
        yield _as_tiles(
            sums[:done_rows, :done_cols],
            wanted[rows.begin : rows.done, cols.begin : cols.done],
            rows.begin,
            cols.begin,
            wanted.shape[1],
        )


def _as_tiles(
    sums: NDArray[np.float32], wanted: NDArray[np.bool_], row: int, col: int, n_cols: int
) -> TileFeatures:
    numbers = (np.arange(row, row + sums.shape[0]) * n_cols)[:, None]
    numbers = numbers + np.arange(col, col + sums.shape[1])[None, :]
    has_data = sums[:, :, -1] > 0
    good, blank = wanted & has_data, wanted & ~has_data
    return TileFeatures(
        numbers[good].astype(np.int64), sums[good][:, :-1], numbers[blank].astype(np.int64)
    )


def agreement_with_tiles(
    image: SemImage,
    grid: TileGrid,
    engine: Engine,
    intensity: IntensityRange,
    classifier: TileClassifier,
    dense: NDArray[np.float32],
    plane: tuple[int, ...] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Look at a random sample of tiles one by one, and compare with a dense map.

    Parameters
    ----------
    image, grid, engine, intensity, plane
        As for `embed_densely`.
    classifier : TileClassifier
    dense : float32, shape (tile rows, tile columns, classes)
        Probabilities from dense evaluation; NaN for tiles left out, but not for all.

    Returns
    -------
    dict
        What a record says of a dense map, as plain JSON values: ``approximation`` (a sentence),
        ``taught_dense`` (whether the model was made for it), ``step_network_px`` and
        ``halo_network_px``, ``compared_tiles``, ``same_class`` (share of these with the same
        class, 0 to 1), and the ``mean_difference`` and ``largest_difference`` of a probability.
    """
    done = np.flatnonzero(~np.isnan(dense[..., 0]))
    apart = len(done) * (grid.stride / grid.tile) ** 2
    count = int(min(SAMPLE_TILES, max(LEAST_SAMPLE, SAMPLE_SHARE * apart), len(done)))
    keep = np.zeros(grid.n_tiles, dtype=np.bool_)
    keep[np.random.default_rng(seed).choice(done, count, replace=False)] = True
    mine = dense.reshape(grid.n_tiles, -1)
    same, differences = [], []
    chosen = keep.reshape(grid.tile_shape)
    batches = read_tiles(image, grid, intensity, engine.batch_size, keep=chosen, plane=plane)
    travelled = travel_range(image, intensity)
    with closing(batches):
        for batch in batches:
            if not len(batch.index):
                continue
            features = engine.embed(batch.pixels, travelled)
            single = classifier.head.probabilities(features, classifier.card.temperature)
            same.append(single.argmax(axis=1) == mine[batch.index].argmax(axis=1))
            differences.append(np.abs(single - mine[batch.index]).max(axis=1))
    agrees, difference = np.concatenate(same), np.concatenate(differences)
    share = float(agrees.mean())
    return {
        "approximation": (
            f"dense: the network looked at large blocks instead of single tiles; {share:.0%} of "
            f"{len(agrees)} tiles looked at one by one have the same class"
        ),
        "taught_dense": classifier.card.dense,
        "step_network_px": STEP,
        "halo_network_px": HALO_PX,
        "compared_tiles": len(agrees),
        "same_class": round(share, 4),
        "mean_difference": round(float(difference.mean()), 4),
        "largest_difference": round(float(difference.max()), 4),
    }
