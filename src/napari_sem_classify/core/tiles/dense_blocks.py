"""Blocks for dense evaluation: large pieces of an image that the network sees in one go.

All lengths are of two kinds. *Image px* are those of the image; *network px* those of the image as
the network sees it, resampled so that a tile has the network's input size. Blocks are laid in
network px, at multiples of `STEP`, so that what one block sees of the image falls on the same
lattice as what its neighbours see. Each block has a core that is its own, and a halo around it
that only gives the core its surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange, no_data_mask, to_batch_dtype
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid

STEP = 32
"""Network px between neighbours in the network's coarsest map."""

BLOCK_PX = 1024
"""Most network px of a core's side: larger ones waste less on the halo and take more memory."""

HALO_PX = 96
"""Network px around a core; on a real image features differ by 0.02 % (at most 0.16 %) from those
with 224 px around it, with 64 px by 0.75 % (at most 4.7 %)."""

DENSE_COST = 1.5
"""Time of a fine map in that of the same area's tiles looked at one by one, without overlap."""

CARRY_BYTES = 128 << 20
_MOST_IMAGE_PX = 4096
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Span:
    """Rows, or columns, of a block.

    Attributes
    ----------
    start, stop : int
        Of the block with its halo, in network px.
    core_start, core_stop : int
        Of the core, in network px, multiples of `STEP`.
    first, last : int
        Image px that are read, in a numbering that goes on beyond the area's end (mirrored there).
    scale : float
        Network px per image px.
    tiles : float64
        Where the tiles that the core shares pixels with begin, in network px.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int
    first: int
    last: int
    scale: float
    tiles: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """One axis of a block, and which tiles it begins with, ends with and finishes."""

    span: Span
    begin: int
    end: int
    done: int


@dataclass(frozen=True, slots=True)
class DenseBlock:
    """A block in memory.

    `pixels` is uint8 or uint16, `has_data` bool of shape (rows' tiles, columns' tiles): whether a
    tile has data in this core. `pixels` is None where no kept tile needs the block. `opens_row` is
    True of the leftmost block of a row.
    """

    rows: Band
    cols: Band
    pixels: NDArray[Any] | None
    has_data: NDArray[np.bool_]
    opens_row: bool


class DensePlan:
    """How a grid's tiles are covered with blocks.

    Parameters
    ----------
    network_px : int
        Side of the network's input for a tile.
    feature_size : int
        Numbers kept for a tile that is not finished; they limit the width of a strip.
    """

    def __init__(self, image: SemImage, grid: TileGrid, network_px: int, feature_size: int) -> None:
        self.image, self.grid, self.network_px = image, grid, network_px
        self.scale = network_px / grid.tile
        area = grid.area
        self.row_starts = np.asarray((grid.row_starts() - area.top) * self.scale, np.float64)
        self.col_starts = np.asarray((grid.col_starts() - area.left) * self.scale, np.float64)
        self._lengths = tuple(
            _up(max(side, grid.tile) * self.scale) for side in (area.height, area.width)
        )
        # Few network px show many image px where large tiles are made small.
        self._block = max(STEP, min(BLOCK_PX, floor(_MOST_IMAGE_PX * self.scale / STEP) * STEP))
        pending = ceil(network_px / (grid.stride * self.scale)) * feature_size * 4
        self._strip_tiles = max(2, CARRY_BYTES // pending)

    def strips(self) -> list[tuple[list[Band], list[Band], int, int]]:
        """Rows and columns of blocks, strip by strip, and the strip's first and last tile column.

        Tiles that straddle two rows of blocks wait for the second: strips bound how many.
        """
        count = len(self.col_starts)
        edges = list(range(0, count, self._strip_tiles))
        if len(edges) > 1 and count - edges[-1] < self._strip_tiles // 2:
            edges.pop()
        found = []
        for first, last in zip(edges, [*edges[1:], count], strict=True):
            rows = self._bands(self.row_starts, 0, len(self.row_starts), 0, len(edges) == 1)
            cols = self._bands(self.col_starts, first, last, 1, len(edges) == 1)
            found.append((rows, cols, first, last))
        return found

    def _bands(
        self, starts: NDArray[np.float64], first: int, last: int, axis: int, alone: bool
    ) -> list[Band]:
        length = self._lengths[axis]
        low = floor(starts[first] / STEP) * STEP
        high = min(length, _up(starts[last - 1] + self.network_px))
        # Blocks of one size share what a backend prepares for a size; in a single strip they fit.
        core = _up((high - low) / ceil((high - low) / self._block)) if alone else self._block
        size = min(length, core + 2 * HALO_PX)
        bands = []
        begin = first
        for core_start in range(low, high, core):
            core_stop = min(core_start + core, high)
            start = min(max(0, core_start - HALO_PX), length - size)
            end = int(np.searchsorted(starts[:last], core_stop - _ROUNDING, side="left"))
            finished = core_stop - self.network_px + _ROUNDING
            done = int(np.searchsorted(starts[:last], finished, side="right"))
            done = last if core_stop == high else max(begin, done)
            reach = max(1.0, 1.0 / self.scale) + 1.0
            span = Span(
                start,
                start + size,
                core_start,
                core_stop,
                max(0, floor(start / self.scale - reach)),
                min(ceil(length / self.scale), ceil((start + size) / self.scale + reach)),
                self.scale,
                starts[begin:end],
            )
            bands.append(Band(span, begin, end, done))
            begin = done
        return bands

    def read(
        self,
        rows: Band,
        cols: Band,
        opens_row: bool,
        keep: NDArray[np.bool_],
        intensity: IntensityRange,
        plane: tuple[int, ...],
    ) -> DenseBlock:
        """Read a block; beyond the area's lower and right border it is mirrored."""
        shape = (rows.end - rows.begin, cols.end - cols.begin)
        nothing = DenseBlock(rows, cols, None, np.zeros(shape, dtype=np.bool_), opens_row)
        if not keep[rows.begin : rows.end, cols.begin : cols.end].any():
            return nothing
        area = self.grid.area
        ys = _mirrored(rows.span, area.height)
        xs = _mirrored(cols.span, area.width)
        top, left = int(ys.min()), int(xs.min())
        window = Area(
            area.top + top,
            area.top + int(ys.max()) + 1,
            area.left + left,
            area.left + int(xs.max()) + 1,
        )
        pixels = self.image.read(window, plane)
        has_data = self._has_data(~no_data_mask(pixels), rows, cols, top, left)
        if not has_data.any():
            return nothing
        pixels = to_batch_dtype(pixels, intensity)[0]
        if pixels.shape != (len(ys), len(xs)):
            pixels = pixels[np.ix_(ys - top, xs - left)]
        return DenseBlock(rows, cols, pixels, has_data, opens_row)

    def _has_data(
        self, valid: NDArray[np.bool_], rows: Band, cols: Band, top: int, left: int
    ) -> NDArray[np.bool_]:
        """Tell for each tile whether any of its pixels in this core holds data."""
        area, tile = self.grid.area, self.grid.tile
        y_edges, y_cover = _pieces(rows, self.grid.row_starts() - area.top, tile, area.height, top)
        x_edges, x_cover = _pieces(cols, self.grid.col_starts() - area.left, tile, area.width, left)
        if not len(y_edges) or not len(x_edges):
            return np.zeros((rows.end - rows.begin, cols.end - cols.begin), dtype=np.bool_)
        any_y = np.logical_or.reduceat(valid, y_edges, axis=0)
        both = np.logical_or.reduceat(any_y, x_edges, axis=1)
        return np.asarray(y_cover @ both.astype(np.float32) @ x_cover.T > 0.5)

    def blocks(
        self,
        strip: tuple[list[Band], list[Band], int, int],
        keep: NDArray[np.bool_],
        intensity: IntensityRange,
        plane: tuple[int, ...],
        stop: Callable[[], bool],
    ) -> Iterator[DenseBlock]:
        """Read a strip's blocks, row by row."""
        for rows in strip[0]:
            for cols in strip[1]:
                if stop():
                    return
                yield self.read(rows, cols, cols is strip[1][0], keep, intensity, plane)


def dense_stride(tile: int, network_px: int) -> int:
    """Distance in image px between the tiles that dense evaluation gives at hardly any cost."""
    return max(1, min(tile, round(tile * STEP / network_px)))


def _up(length: float) -> int:
    return max(1, ceil(length / STEP - _ROUNDING)) * STEP


def _mirrored(span: Span, length: int) -> NDArray[np.int64]:
    """Rows (or columns) of the area that a block reads, mirrored beyond the area's end."""
    beyond = max(0, span.last - length)
    inside = np.arange(min(span.first, length), min(span.last, length))
    if not beyond:
        return inside
    whole = np.pad(np.arange(length), (0, beyond), mode="reflect")
    return whole[span.first : span.last]


def _pieces(
    band: Band, starts: NDArray[np.int64], tile: int, length: int, origin: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Cut a core's pixels where tiles begin and end; which tile covers which piece.

    Edges count from `origin`, the first pixel in memory.
    """
    span = band.span
    low = min(length, max(origin, round(span.core_start / span.scale)))
    high = min(length, round(span.core_stop / span.scale))
    begin = np.clip(starts[band.begin : band.end], low, high)
    end = np.clip(starts[band.begin : band.end] + tile, low, high)
    edges = np.unique(np.concatenate([begin, end]))
    cover = (begin[:, None] <= edges[None, :-1]) & (edges[None, 1:] <= end[:, None])
    # `reduceat` takes its last piece to the array's end, so one more piece takes what is behind.
    kept = edges[edges < length] - origin
    behind = np.zeros((len(begin), len(kept) - cover.shape[1]), dtype=np.bool_)
    return kept, np.concatenate([cover, behind], axis=1).astype(np.float32)
