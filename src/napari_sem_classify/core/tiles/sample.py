"""A random sample of a plane's tiles that does not read the whole of a large image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.sem_image import HELD_BYTES
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

BLOCK_TILES = 4
"""Side of the blocks of neighbouring tiles that are taken from a large image."""


def sample_tiles(
    tiles: PlaneTiles, count: int, generator: np.random.Generator, block: int = BLOCK_TILES
) -> NDArray[np.bool_]:
    """Choose some of the kept tiles at random.

    Single tiles of an image that is small enough to be held in memory; of a larger one blocks of
    neighbours, since every place that is looked at costs the reading of whole chunks.

    Parameters
    ----------
    count : int
        How many; all there are where there are fewer.
    block : int
        Side of the blocks in tiles.

    Returns
    -------
    bool, shape ``tiles.grid.tile_shape``
    """
    rows, cols = tiles.grid.tile_shape
    kept = np.ones((rows, cols), np.bool_) if tiles.keep is None else tiles.keep
    image = tiles.image
    large = image.shape[0] * image.shape[1] * image.dtype.itemsize > HELD_BYTES
    side = block if large else 1
    down, across = -(-rows // side), -(-cols // side)
    chosen = np.zeros((rows, cols), dtype=np.bool_)
    found = 0
    for block in generator.permutation(down * across):
        if found >= count:
            break
        top, left = side * (block // across), side * (block % across)
        place = slice(top, top + side), slice(left, left + side)
        chosen[place] = kept[place]
        found += int(np.count_nonzero(kept[place]))
    return chosen
