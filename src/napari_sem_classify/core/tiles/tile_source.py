"""The data path: an image and a grid in, batches of tiles out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange, to_batch_dtype
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.prefetch import prefetch
from napari_sem_classify.core.tiles.sweep import Sweep, read_dtype

MAX_BATCH_BYTES = 48 << 20


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles that lie in one region.

    Attributes
    ----------
    pixels : uint8 or uint16, shape (rows, columns)
        The region; cuts of the same region share the same array, which nobody changes.
    rows, cols : int64, shape (N,)
        First row and column of each tile in it.
    """

    pixels: NDArray[Any]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TileBatch:
    """Some tiles of a grid.

    Attributes
    ----------
    index : int64, shape (N,)
        Which tiles, ``row * columns + column`` of the grid's tiles.
    pixels : uint8 or uint16, shape (N, tile, tile)
    empty : int64, shape (M,)
        Tiles left out since the last batch because they hold no data.
    """

    index: NDArray[np.int64]
    pixels: NDArray[Any]
    empty: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CutBatch:
    """Some tiles of a grid that are still to be cut, `tile` px a side; see `TileBatch`."""

    index: NDArray[np.int64]
    tile: int
    cuts: tuple[Cut, ...]
    empty: NDArray[np.int64]


def travel_range(image: SemImage, intensity: IntensityRange) -> IntensityRange:
    """Intensity range in the units of the batches that `read_tiles` gives for this image."""
    return to_batch_dtype(np.zeros(0, read_dtype(image)), intensity)[1]


def read_tiles(
    image: SemImage,
    grid: TileGrid,
    intensity: IntensityRange,
    batch_size: int,
    *,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
) -> Generator[TileBatch, None, None]:
    """Read the tiles of a grid in batches, one step ahead of the caller.

    Each tile comes once, in the order in which the image is stored. Tiles without data (all NaN or
    inf, or nothing but zeros) and tiles that `keep` excludes do not come. An image smaller than a
    tile is reflected to the tile's size. Close the generator to end the reading early.

    Parameters
    ----------
    grid : TileGrid
        Its area must lie inside the image.
    intensity : IntensityRange
        As measured on this plane; types other than uint8 and uint16 are quantised over it.
    batch_size : int
        Most tiles in a batch; fewer come where tiles are so large that a batch would pass
        `MAX_BATCH_BYTES`.
    keep : bool, shape ``grid.tile_shape``, optional
        False for tiles to leave out.
    plane : tuple of int
        Index along the leading axes of a stack.

    Raises
    ------
    ImageError
        When the file cannot be read, or the grid leaves the image.
    """
    sweep, size = _sweep(image, grid, intensity, batch_size, keep, plane)
    yield from prefetch(lambda stop: _batches(sweep, size, stop))


def read_cuts(
    image: SemImage,
    grid: TileGrid,
    intensity: IntensityRange,
    batch_size: int,
    *,
    keep: NDArray[np.bool_] | None = None,
    plane: tuple[int, ...] = (),
) -> Generator[CutBatch, None, None]:
    """Read the tiles of a grid as `read_tiles` does, and leave it to a device to cut them.

    The pixels come as they were read, each region once, so that what overlapping tiles share is
    copied to the device once.
    """
    sweep, size = _sweep(image, grid, intensity, batch_size, keep, plane)
    yield from prefetch(lambda stop: _cut_batches(sweep, size, stop))


def _sweep(
    image: SemImage,
    grid: TileGrid,
    intensity: IntensityRange,
    batch_size: int,
    keep: NDArray[np.bool_] | None,
    plane: tuple[int, ...],
) -> tuple[Sweep, int]:
    image.with_area(grid.area)  # refuses a grid that leaves the image
    sweep = Sweep(image, grid, intensity, keep, plane)
    most = MAX_BATCH_BYTES // (grid.tile**2 * sweep.pixel_type.itemsize)
    return sweep, max(1, min(batch_size, most))


def _cut_batches(sweep: Sweep, size: int, stop: Callable[[], bool]) -> Iterator[CutBatch]:
    pieces: list[_Piece] = []
    for piece in _pieces(sweep, size, stop):
        pieces.append(piece)
        if piece.ends_batch:
            yield _together(pieces, sweep.grid.tile)
            pieces = []
    if pieces:
        yield _together(pieces, sweep.grid.tile)


def _together(pieces: list[_Piece], tile: int) -> CutBatch:
    index = np.concatenate([piece.tiles for piece in pieces])
    empty = np.concatenate([piece.empty for piece in pieces])
    return CutBatch(index, tile, tuple(each.cut for each in pieces if len(each.tiles)), empty)


def _batches(sweep: Sweep, size: int, stop: Callable[[], bool]) -> Iterator[TileBatch]:
    tile = sweep.grid.tile
    index = np.empty(size, dtype=np.int64)
    pixels: NDArray[Any] | None = None
    filled = 0
    empty: list[NDArray[np.int64]] = []
    for piece in _pieces(sweep, size, stop):
        empty.append(piece.empty)
        count = len(piece.tiles)
        if count:
            # Cut at once, so that no more than one region is held.
            windows = sliding_window_view(piece.cut.pixels, (tile, tile))
            gathered = windows[piece.cut.rows, piece.cut.cols]
            if count == size:
                pixels = gathered
            else:
                if pixels is None:
                    pixels = np.empty((size, tile, tile), dtype=sweep.pixel_type)
                pixels[filled : filled + count] = gathered
            index[filled : filled + count] = piece.tiles
            filled += count
            del gathered, windows
        if piece.ends_batch and pixels is not None:
            yield TileBatch(index, pixels, np.concatenate(empty))
            index, pixels = np.empty_like(index), None
            filled, empty = 0, []
    if pixels is None:
        pixels = np.empty((0, tile, tile), dtype=sweep.pixel_type)
    blank = np.concatenate([*empty, index[:0]])
    if filled or len(blank):
        yield TileBatch(index[:filled], pixels[:filled], blank)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a region adds to a batch: tiles, those found empty before, and whether it is full."""

    tiles: NDArray[np.int64]
    cut: Cut
    empty: NDArray[np.int64]
    ends_batch: bool


def _pieces(sweep: Sweep, size: int, stop: Callable[[], bool]) -> Iterator[_Piece]:
    filled = 0
    for region in sweep.regions(stop):
        has_data = region.has_data(sweep.grid.tile, size)
        empty = region.tiles[~has_data]
        tiles, rows, cols = (part[has_data] for part in (region.tiles, region.rows, region.cols))
        start = 0
        while start < len(tiles) or len(empty):
            if stop():
                return
            some = slice(start, start + size - filled)
            count = len(tiles[some])
            filled, start = filled + count, start + count
            full = filled == size
            yield _Piece(tiles[some], Cut(region.pixels, rows[some], cols[some]), empty, full)
            filled, empty = 0 if full else filled, empty[:0]
