"""Sweeping an image: regions in the order in which it is stored, each read once.

The image is swept in regions that follow its chunks, band after band. What a tile needs from the
band above or from the region to the left is carried along: fewer than `tile` rows of the band's
width, fewer than `tile` columns of the region's height. So memory depends on the tile and the
width of the image, not on its area; where the carried rows would be too much, the image is swept
in column strips, and only what lies at a strip's border is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange, no_data_mask, to_batch_dtype
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.prefetch import prefetch

REGION_BYTES = 24 << 20
"""Aim for the pixels read at once; more where one chunk or a few rows of tiles are larger."""

CARRY_BYTES = 64 << 20
"""Rows carried from band to band; above it the image is swept in strips."""

STRIP_TILES, STRIP_CHUNKS = 10, 12
_QUANTISE_PX = 1 << 20


@dataclass(frozen=True, slots=True)
class Patch:
    """Pixels in memory, and the tiles that lie in them.

    `valid` is None where a pixel's value alone tells whether it holds data.
    """

    tiles: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    pixels: NDArray[Any]
    valid: NDArray[np.bool_] | None

    def has_data(self, tile: int, at_once: int) -> NDArray[np.bool_]:
        """Tell for each tile whether any of its pixels holds data."""
        source = self.pixels if self.valid is None else self.valid
        windows = sliding_window_view(source, (tile, tile))
        # A coarse look clears nearly every tile; only the rest is looked at pixel by pixel.
        step = max(1, tile // 8)
        coarse = windows[:, :, ::step, ::step][self.rows, self.cols]
        answer = np.asarray(coarse.any(axis=(1, 2)))
        doubtful = np.flatnonzero(~answer)
        for start in range(0, len(doubtful), at_once):
            some = doubtful[start : start + at_once]
            answer[some] = windows[self.rows[some], self.cols[some]].any(axis=(1, 2))
        return answer


class Sweep:
    """Reads a plane region by region and holds what later tiles still need."""

    def __init__(
        self,
        image: SemImage,
        grid: TileGrid,
        intensity: IntensityRange,
        keep: NDArray[np.bool_] | None,
        plane: tuple[int, ...],
    ) -> None:
        if keep is None:
            keep = np.ones(grid.tile_shape, dtype=np.bool_)
        elif keep.shape != grid.tile_shape:
            raise ValueError(f"keep has shape {keep.shape}, not {grid.tile_shape}")
        self.image, self.grid, self.intensity = image, grid, intensity
        self.keep, self.plane = keep, plane
        self.row_starts, self.col_starts = grid.row_starts(), grid.col_starts()
        dtype = read_dtype(image)
        self.raw = dtype in (np.uint8, np.uint16)
        self.pixel_type = dtype if self.raw else np.dtype(np.uint16)

    def regions(self, stop: Callable[[], bool]) -> Iterator[Patch]:
        """Give the regions with tiles in them, strip by strip, band by band, left to right."""
        # What has to be fetched or decoded is so while the regions before are cut.
        ahead = type(self.image.data) is not np.ndarray
        wanted = filter(self._wanted, self._windows())
        reads: Generator[_Pixels, None, None] = (
            prefetch(lambda _stop: map(self._read, wanted), depth=1)
            if ahead
            else (self._read(window) for window in wanted)
        )
        with closing(reads):
            yield from self._regions(reads, stop)

    def _windows(self) -> Iterator[Area]:
        """All windows in the order in which `regions` comes to them."""
        for strip in self._strips():
            for top, bottom in strip.bands:
                for x0, x1 in strip.columns:
                    yield Area(top, bottom, x0, x1)

    def _regions(self, reads: Iterator[_Pixels], stop: Callable[[], bool]) -> Iterator[Patch]:
        area, tile = self.grid.area, self.grid.tile
        for strip in self._strips():
            first, last, left, right = strip.first, strip.last, strip.left, strip.right
            carried = _Pixels.nothing(self, 0, right - left)
            row = 0
            for top, bottom in strip.bands:
                begin = top - carried.height
                done = _finished(self.row_starts, row, tile, bottom, area.bottom)
                next_top = int(self.row_starts[done]) if done < len(self.row_starts) else bottom
                carry = _Pixels.nothing(self, max(0, bottom - next_top), right - left)
                col = first
                beside = _Pixels.nothing(self, bottom - begin, 0)
                for x0, x1 in strip.columns:
                    if stop():
                        return
                    window = Area(top, bottom, x0, x1)
                    work = _Pixels.nothing(self, bottom - begin, beside.width + x1 - x0)
                    work.put(0, 0, beside)
                    work.put(0, beside.width, carried.cut(0, carried.height, x0 - left, x1 - left))
                    if self._wanted(window):
                        work.put(carried.height, beside.width, next(reads))
                    fresh = work.cut(0, work.height, beside.width, work.width)
                    carry.put(0, x0 - left, fresh.cut(next_top - begin, fresh.height, 0, x1 - x0))
                    origin_x = x0 - beside.width
                    end_col = min(last, _finished(self.col_starts, col, tile, x1, right))
                    if done > row and end_col > col:
                        region = self._region(work, begin, origin_x, (row, done), (col, end_col))
                        if region is not None:
                            yield region
                    col = end_col
                    next_left = int(self.col_starts[col]) if col < last else x1
                    beside = work.cut(
                        0, work.height, min(work.width, next_left - origin_x), work.width
                    ).copy()
                carried, row = carry, done

    def _region(
        self, work: _Pixels, top: int, left: int, rows: tuple[int, int], cols: tuple[int, int]
    ) -> Patch | None:
        kept_rows, kept_cols = np.nonzero(self.keep[slice(*rows), slice(*cols)])
        if not len(kept_rows):
            return None
        kept_rows, kept_cols = kept_rows + rows[0], kept_cols + cols[0]
        work = work.reflected(self.grid.tile)
        return Patch(
            tiles=kept_rows.astype(np.int64) * len(self.col_starts) + kept_cols,
            rows=self.row_starts[kept_rows] - top,
            cols=self.col_starts[kept_cols] - left,
            pixels=work.grey,
            valid=work.valid,
        )

    def _read(self, window: Area) -> _Pixels:
        pixels = self.image.read(window, self.plane)
        if self.raw:
            return _Pixels(pixels, None)
        grey = np.empty(pixels.shape, dtype=np.uint16)
        # In blocks, since quantising takes several float64 copies.
        rows = max(1, _QUANTISE_PX // pixels.shape[1])
        for start in range(0, len(pixels), rows):
            block = slice(start, start + rows)
            grey[block] = to_batch_dtype(pixels[block], self.intensity)[0]
        return _Pixels(grey, ~no_data_mask(pixels))

    def _wanted(self, window: Area) -> bool:
        """Whether any kept tile has pixels in the window."""
        tile = self.grid.tile
        rows = slice(
            int(np.searchsorted(self.row_starts, window.top - tile, side="right")),
            int(np.searchsorted(self.row_starts, window.bottom, side="left")),
        )
        cols = slice(
            int(np.searchsorted(self.col_starts, window.left - tile, side="right")),
            int(np.searchsorted(self.col_starts, window.right, side="left")),
        )
        return bool(self.keep[rows, cols].any())

    def _region_size(self) -> tuple[int, int]:
        """Rows and columns read at once: whole chunks, and at least a tile."""
        area, tile = self.grid.area, self.grid.tile
        chunk_y, chunk_x = self.image.chunks or (1, 1)
        per_px = self.image.dtype.itemsize * (3 if self.image.colour == "colour" else 1)
        height = _round_up(min(tile, area.height), chunk_y)
        width = REGION_BYTES // (height * per_px) // chunk_x * chunk_x
        width = max(width, _round_up(min(tile, area.width), chunk_x))
        if width >= area.width:
            width = _round_up(area.width, chunk_x)
            height *= max(1, REGION_BYTES // (height * area.width * per_px))
        return height, width

    def _strips(self) -> Iterator[_Strip]:
        area, tile = self.grid.area, self.grid.tile
        step_y, step_x = self._region_size()
        bands = _cuts(area.top, area.bottom, step_y)
        for first, last in self._columns_of_strips(step_x):
            left = int(self.col_starts[first])
            right = min(int(self.col_starts[last - 1]) + tile, area.right)
            yield _Strip(first, last, left, right, bands, _cuts(left, right, step_x))

    def _columns_of_strips(self, step_x: int) -> list[tuple[int, int]]:
        """Split the columns of tiles so that the carried rows of a strip stay small."""
        tile, area = self.grid.tile, self.grid.area
        chunk_x = self.image.chunks[1] if self.image.chunks else 1
        per_px = self.pixel_type.itemsize + (0 if self.raw else 1)
        room = CARRY_BYTES // (min(tile, area.height) * per_px)
        # Wide enough that what is read twice at a strip's border stays below a tenth.
        width = max(room, STRIP_TILES * tile, STRIP_CHUNKS * chunk_x)
        if width >= area.width:
            return [(0, len(self.col_starts))]
        strips, first = [], 0
        while first < len(self.col_starts):
            edge = int(self.col_starts[first]) + width
            if chunk_x > 1:  # end where a region ends
                edge = max(edge // step_x * step_x, int(self.col_starts[first]) + tile)
            last = int(np.searchsorted(self.col_starts, edge - tile, side="right"))
            strips.append((first, last))
            first = last
        return strips


@dataclass(frozen=True, slots=True)
class _Strip:
    """Columns of tiles from `first` to before `last`, and the regions in which they are read."""

    first: int
    last: int
    left: int
    right: int
    bands: list[tuple[int, int]]
    columns: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Pixels:
    """Grey values as they travel and, where they do not tell it, which of them hold data."""

    grey: NDArray[Any]
    valid: NDArray[np.bool_] | None

    @classmethod
    def nothing(cls, sweep: Sweep, height: int, width: int) -> _Pixels:
        valid = None if sweep.raw else np.zeros((height, width), dtype=np.bool_)
        return cls(np.zeros((height, width), dtype=sweep.pixel_type), valid)

    @property
    def height(self) -> int:
        return int(self.grey.shape[0])

    @property
    def width(self) -> int:
        return int(self.grey.shape[1])

    def put(self, top: int, left: int, other: _Pixels) -> None:
        place = (slice(top, top + other.height), slice(left, left + other.width))
        self.grey[place] = other.grey
        if self.valid is not None and other.valid is not None:
            self.valid[place] = other.valid

    def cut(self, top: int, bottom: int, left: int, right: int) -> _Pixels:
        place = (slice(top, bottom), slice(left, right))
        return _Pixels(self.grey[place], None if self.valid is None else self.valid[place])

    def copy(self) -> _Pixels:
        return _Pixels(self.grey.copy(), None if self.valid is None else self.valid.copy())

    def reflected(self, tile: int) -> _Pixels:
        """Mirror pixels at the lower and right border until a tile fits."""
        lacking = ((0, max(0, tile - self.height)), (0, max(0, tile - self.width)))
        if not any(after for _, after in lacking):
            return self
        valid = None if self.valid is None else np.pad(self.valid, lacking, mode="reflect")
        return _Pixels(np.pad(self.grey, lacking, mode="reflect"), valid)


def _finished(starts: NDArray[np.int64], first: int, tile: int, end: int, last_end: int) -> int:
    """Count the starts whose tiles end at or before `end`; all of them where the area ends."""
    if end >= last_end:
        return len(starts)
    return max(first, int(np.searchsorted(starts, end - tile, side="right")))


def _round_up(length: int, step: int) -> int:
    return -(-length // step) * step


def _cuts(first: int, last: int, step: int) -> list[tuple[int, int]]:
    """Cut first…last at the multiples of `step`."""
    inner = list(range((first // step + 1) * step, last, step))
    edges = [first, *inner, last]
    return list(pairwise(edges))


def read_dtype(image: SemImage) -> np.dtype[Any]:
    """Type of the pixels that ``image.read`` gives: the luminance of rare types is float32."""
    if image.colour == "colour" and image.dtype not in (np.uint8, np.uint16):
        return np.dtype(np.float32)
    return image.dtype
