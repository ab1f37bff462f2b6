"""What a tile is described by in the baselines: intensity statistics, multi-scale texture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.tiles.grid import TileGrid


def intensity_statistics(pixels: NDArray[np.float32], grid: TileGrid) -> NDArray[np.float32]:
    """Mean, spread, five percentiles, and mean and spread of the gradient, of each tile.

    Parameters
    ----------
    pixels : float32, shape (grid.area.height, grid.area.width)
        Stretched to 0 to 1 as for the network.

    Returns
    -------
    float32, shape (grid.n_tiles, 9)
    """
    down, right = np.gradient(pixels)
    slope = np.hypot(down, right)
    described = []
    for part, steep in zip(_tiles(pixels, grid), _tiles(slope, grid), strict=True):
        percentiles = np.percentile(part, [5, 25, 50, 75, 95])
        described.append([part.mean(), part.std(), *percentiles, steep.mean(), steep.std()])
    return np.array(described, dtype=np.float32)


def texture_features(pixels: NDArray[np.float32], grid: TileGrid) -> NDArray[np.float32]:
    """Mean and spread in each tile of smoothed intensity, edges and Hessian eigenvalues.

    `skimage.feature.multiscale_basic_features` at sigma 1 to 16 px: what Trainable Weka
    Segmentation and ilastik compute at each pixel.
    """
    from skimage.feature import multiscale_basic_features

    maps = multiscale_basic_features(pixels, sigma_min=1, sigma_max=16)
    means = [tile.mean(axis=(0, 1)) for tile in _tiles(maps, grid)]
    spreads = [tile.std(axis=(0, 1)) for tile in _tiles(maps, grid)]
    return np.concatenate([means, spreads], axis=1).astype(np.float32)


def _tiles(pixels: NDArray[np.float32], grid: TileGrid) -> list[NDArray[np.float32]]:
    top, left = grid.area.top, grid.area.left
    return [
        pixels[w.top - top : w.bottom - top, w.left - left : w.right - left] for w in grid.windows()
    ]
