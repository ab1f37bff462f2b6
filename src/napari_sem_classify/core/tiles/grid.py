"""Tiles over an image: where they lie, which cells of the map they stand for.

Two lattices share the specimen area. *Tiles* are the windows that the network sees: they start
every `stride` pixels and the last row and column are set flush with the border, so that every
pixel is seen and no window leaves the area. *Cells* are the elements of the class map: squares of
stride × stride pixels that divide the area (the last row and column of cells may be narrower).
With stride equal to tile and an area that is a multiple of it, the two are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import GridError
from napari_sem_classify.core.image.area import Area

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MIN_TILE_PX = 8


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Square tiles over an area of an image, all lengths in pixels of that image.

    Attributes
    ----------
    area : Area
        The pixels to cover, usually the specimen area.
    tile : int
        Side of a tile, at least `MIN_TILE_PX`.
    stride : int
        Distance between neighbouring tiles, ``1 <= stride <= tile``; less than `tile` means
        overlap.

    Raises
    ------
    GridError
        When tile or stride are out of range.
    """

    area: Area
    tile: int
    stride: int

    def __post_init__(self) -> None:
        if self.tile < MIN_TILE_PX:
            raise GridError(f"A tile of {self.tile} px is too small: use {MIN_TILE_PX} px or more.")
        if not 1 <= self.stride <= self.tile:
            raise GridError(
                f"A stride of {self.stride} px does not fit tiles of {self.tile} px: "
                "use 1 px up to the tile size, so that no part of the specimen is missed."
            )

    @classmethod
    def from_um(
        cls, area: Area, tile_um: float, pixel_size_nm: float | None, overlap: float = 0.0
    ) -> TileGrid:
        """Lay tiles of `tile_um` micrometres with a share `overlap` (0 to below 1) of overlap.

        Raises
        ------
        GridError
            When the image has no pixel size, or the tile comes out too small.
        """
        if pixel_size_nm is None:
            raise GridError(
                "This image has no pixel size, so tiles cannot be laid in µm: "
                "calibrate it or give the tile size in px."
            )
        tile = round(tile_um * 1000.0 / pixel_size_nm)
        return cls(area, tile, stride_for_overlap(tile, overlap))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells: the shape of the class map."""
        return -(-self.area.height // self.stride), -(-self.area.width // self.stride)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self.row_starts()), len(self.col_starts())

    @property
    def n_tiles(self) -> int:
        """Number of tiles, hence of windows that the network sees."""
        rows, cols = self.tile_shape
        return rows * cols

    def row_starts(self) -> NDArray[np.int64]:
        """First image row of each row of tiles, increasing."""
        return _starts(self.area.top, self.area.height, self.tile, self.stride)

    def col_starts(self) -> NDArray[np.int64]:
        """First image column of each column of tiles, increasing."""
        return _starts(self.area.left, self.area.width, self.tile, self.stride)

    def window(self, row: int, col: int) -> Area:
        """Pixels of the tile at (`row`, `col`).

        Where the area is smaller than a tile the window is the whole of that side: the reader
        reflects it up to the tile's size.
        """
        return self._square(int(self.row_starts()[row]), int(self.col_starts()[col]), self.tile)

    def windows(self) -> Iterator[Area]:
        """Every tile's window, row by row."""
        rows, cols = self.tile_shape
        return (self.window(row, col) for row in range(rows) for col in range(cols))

    def cell(self, row: int, col: int) -> Area:
        """Pixels of the cell at (`row`, `col`), cut off at the area's border."""
        top = self.area.top + row * self.stride
        return self._square(top, self.area.left + col * self.stride, self.stride)

    def _square(self, top: int, left: int, side: int) -> Area:
        return Area(top, min(top + side, self.area.bottom), left, min(left + side, self.area.right))

    def cell_sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Heights of the rows of cells and widths of the columns of cells, in pixels."""
        return (
            _cell_sizes(self.area.height, self.stride),
            _cell_sizes(self.area.width, self.stride),
        )

    def cell_areas(self) -> NDArray[np.int64]:
        """Pixels in each cell, shape `shape`; their sum is the area's number of pixels."""
        heights, widths = self.cell_sizes()
        return np.outer(heights, widths)

    @property
    def scale(self) -> tuple[float, float]:
        """Image pixels per cell along rows and columns."""
        return float(self.stride), float(self.stride)

    @property
    def translate(self) -> tuple[float, float]:
        """Centre of cell (0, 0) in image pixel coordinates, where integers are pixel centres."""
        half = (self.stride - 1) / 2.0
        return self.area.top + half, self.area.left + half

    def affine(self) -> NDArray[np.float64]:
        """3 × 3 matrix from (row, col, 1) of a cell's centre to image pixel coordinates."""
        matrix = np.eye(3)
        matrix[0, 0], matrix[1, 1] = self.scale
        matrix[0, 2], matrix[1, 2] = self.translate
        return matrix

    def cell_weights(self) -> tuple[csr_array, csr_array]:
        """How much each tile says about each cell, separately along rows and columns.

        A tile speaks for a cell when it holds the cell's centre; its weight is the Hann window
        sin²(πu) at the centre's place u (0 to 1) in the tile. The weight of tile (i, j) for cell
        (r, c) is ``rows[r, i] * cols[c, j]``; each cell has at least one tile with weight > 0.

        Returns
        -------
        rows : sparse float64, shape (cell rows, tile rows)
        cols : sparse float64, shape (cell columns, tile columns)
        """
        return (
            _weights(self.area.top, self.area.height, self.tile, self.stride),
            _weights(self.area.left, self.area.width, self.tile, self.stride),
        )


def stride_for_overlap(tile: int, overlap: float) -> int:
    """Stride in pixels that gives a share `overlap` (0 to below 1) of a tile's side in common.

    Raises
    ------
    GridError
        When `overlap` is outside 0 to below 1.
    """
    if not 0.0 <= overlap < 1.0:
        raise GridError(f"An overlap of {overlap:.0%} is out of range: use 0 % to below 100 %.")
    return max(1, round(tile * (1.0 - overlap)))


def _starts(first: int, length: int, tile: int, stride: int) -> NDArray[np.int64]:
    if length <= tile:
        return np.array([first], dtype=np.int64)
    last = length - tile
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    if starts[-1] != last:
        starts = np.append(starts, last)
    return starts + first


def _cell_sizes(length: int, stride: int) -> NDArray[np.int64]:
    count = -(-length // stride)
    sizes = np.full(count, stride, dtype=np.int64)
    sizes[-1] = length - (count - 1) * stride
    return sizes


def _weights(first: int, length: int, tile: int, stride: int) -> csr_array:
    from scipy.sparse import csr_array

    starts = _starts(first, length, tile, stride)
    sizes = _cell_sizes(length, stride)
    centres = first + np.arange(len(sizes)) * float(stride) + sizes / 2.0
    # Tiles that hold a centre are neighbours: those that start in (centre - tile, centre).
    begin = np.searchsorted(starts, centres - tile, side="right")
    end = np.searchsorted(starts, centres, side="left")
    counts = end - begin
    rows = np.repeat(np.arange(len(sizes)), counts)
    tiles = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
    place = (centres[rows] - starts[tiles]) / tile
    weights = np.sin(np.pi * place) ** 2
    return csr_array((weights, (rows, tiles)), shape=(len(sizes), len(starts)))
