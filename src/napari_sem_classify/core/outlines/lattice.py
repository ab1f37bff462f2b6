"""Where outlines are looked at: a lattice of small squares over the specimen area.

A tile has about 32 lattice squares a side, whatever its size, so that what is seen of a pixel's
surroundings scales with the tile. The lattice begins at the area's corner and nothing depends on
the blocks in which an image is read: a block comes with a halo that covers the widest filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.intensity import IntensityRange
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.maps.class_map import ClassMap

SQUARES_A_TILE = 32
BLOCK_SQUARES = 512


@dataclass(frozen=True, slots=True)
class Lattice:
    """Squares of `px` image px over an area; `step` image px, a multiple, make a cell of outlines.

    Attributes
    ----------
    tile : int
        Side of the map's tiles in image px.
    """

    area: Area
    tile: int
    step: int
    px: int

    @classmethod
    def over(cls, area: Area, tile: int, step: int) -> Lattice:
        """With the largest squares that divide a step and are small enough for the tile."""
        most = max(1, tile // SQUARES_A_TILE)
        px = max(n for n in range(1, min(step, most) + 1) if step % n == 0)
        return cls(area, tile, step, px)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of squares; the last may reach beyond the area."""
        return -(-self.area.height // self.px), -(-self.area.width // self.px)

    def blocks(self, side: int = BLOCK_SQUARES) -> Iterator[Area]:
        """Blocks of about `side` squares a side, of whole cells, in squares."""
        side = max(1, side * self.px // self.step) * (self.step // self.px)
        rows, cols = self.shape
        for top in range(0, rows, side):
            for left in range(0, cols, side):
                yield Area(top, min(top + side, rows), left, min(left + side, cols))

    def read(
        self,
        image: SemImage,
        plane: tuple[int, ...],
        block: Area,
        halo: int,
        intensity: IntensityRange,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Area]:
        """Grey values 0 to 1 of a block's squares and `halo` squares around it, inside the area.

        Returns
        -------
        grey, square : float32, shape (rows, cols)
            Mean of the grey values and of their squares.
        got : Area
            Squares that were read.
        """
        rows, cols = self.shape
        got = Area(
            max(0, block.top - halo),
            min(rows, block.bottom + halo),
            max(0, block.left - halo),
            min(cols, block.right + halo),
        )
        area, px = self.area, self.px
        window = Area(
            area.top + got.top * px,
            min(area.bottom, area.top + got.bottom * px),
            area.left + got.left * px,
            min(area.right, area.left + got.right * px),
        )
        pixels = image.read(window, plane).astype(np.float32)
        grey = (pixels - np.float32(intensity.low)) / np.float32(intensity.high - intensity.low)
        grey = np.clip(np.nan_to_num(grey, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        beyond = [(0, -length % px) for length in grey.shape]
        if any(more for _, more in beyond):
            grey = np.pad(grey, beyond, mode="edge")
        return _means(grey, px), _means(grey * grey, px), got


def _means(pixels: NDArray[np.float32], px: int) -> NDArray[np.float32]:
    if px == 1:
        return pixels
    rows, cols = pixels.shape
    squares = pixels.reshape(rows // px, px, cols // px, px)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32))


def cell_centres(class_map: ClassMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the rows and columns of a map's cells, in px from the area's corner."""
    grid = class_map.grid
    heights, widths = grid.cell_sizes()
    return (
        np.arange(len(heights)) * grid.stride + heights / 2.0,
        np.arange(len(widths)) * grid.stride + widths / 2.0,
    )


def interpolated(
    values: NDArray[np.float32],
    centres: tuple[NDArray[np.float64], NDArray[np.float64]],
    rows: NDArray[Any],
    cols: NDArray[Any],
) -> NDArray[np.float32]:
    """Values of cells at other places, linear between the cells' middles, held beyond the last.

    Parameters
    ----------
    values : float32, shape (cell rows, cell columns, numbers)
        NaN for cells left out: they say nothing, and where nothing but they lie the result is NaN.
    rows, cols : float
        Places, in px from the area's corner.

    Returns
    -------
    float32, shape (len(rows), len(cols), numbers)
    """
    top, down = _between(centres[0], rows)
    left, right = _between(centres[1], cols)
    corner = values[top[0] : top[-1] + 2, left[0] : left[-1] + 2]
    top, left = top - top[0], left - left[0]
    known = ~np.isnan(corner[..., :1])
    some = np.where(known, corner, np.float32(0))
    whole = _weighed(some, top, down, left, right)
    if known.all():
        return whole
    weight = _weighed(known.astype(np.float32), top, down, left, right)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = whole / weight
    # A place belongs to what is left out where more than half of what speaks for it is.
    found[weight[..., 0] < 0.5] = np.nan
    return found


def _between(
    centres: NDArray[np.float64], places: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Number of the centre before each place, and how far it is on the way to the next."""
    if len(centres) == 1:
        return np.zeros(len(places), np.int64), np.zeros(len(places), np.float32)
    before = np.clip(np.searchsorted(centres, places, side="right") - 1, 0, len(centres) - 2)
    share = (places - centres[before]) / (centres[before + 1] - centres[before])
    return before.astype(np.int64), np.clip(share, 0.0, 1.0).astype(np.float32)


def _weighed(
    values: NDArray[np.float32],
    top: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.float32],
) -> NDArray[np.float32]:
    last_row, last_col = values.shape[0] - 1, values.shape[1] - 1
    some = values[top] * (1 - down)[:, None, None]
    some += values[np.minimum(top + 1, last_row)] * down[:, None, None]
    found = some[:, left] * (1 - right)[None, :, None]
    found += some[:, np.minimum(left + 1, last_col)] * right[None, :, None]
    return np.asarray(found, dtype=np.float32)
