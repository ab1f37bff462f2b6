"""Round grains smaller than a tile: their picture, what a map of tiles says, their overlap."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid

TILE = 32
CLASSES = (ClassInfo("matrix", "#1f77b4"), ClassInfo("grains", "#ff7f0e"))


def grains(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """True in round grains smaller than a tile, which covers them half."""
    y, x = np.indices(shape)
    truth = np.zeros(shape, bool)
    for cy, cx in np.random.default_rng(seed).uniform(0, shape, (shape[0] * shape[1] // 1600, 2)):
        truth |= (y - cy) ** 2 + (x - cx) ** 2 < 15**2
    return truth


def picture(truth: np.ndarray, bar: int = 0) -> SemImage:
    noise = np.random.default_rng(1).normal(0, 12, truth.shape)
    pixels = np.clip(np.where(truth, 150, 90) + noise, 0, 255).astype(np.uint8)
    rows, cols = truth.shape
    pixels = np.pad(pixels, ((0, bar), (0, 0)))
    return SemImage("grains", pixels, Specimen(Area(0, rows, 0, cols)), pixel_size_nm=20.0)


def tile_map(truth: np.ndarray) -> ClassMap:
    """What a model would say of tiles: sure where one class fills most of them."""
    grid = TileGrid(Area(0, truth.shape[0], 0, truth.shape[1]), TILE, TILE)
    rows, cols = grid.shape
    share = np.array(
        [[truth[grid.window(r, c).top :][:TILE, c * TILE :][:, :TILE].mean() for c in range(cols)]
         for r in range(rows)]
    )  # fmt: skip
    sure = 1 / (1 + np.exp(-10 * (share - 0.5)))
    probabilities = np.stack([1 - sure, sure], axis=-1).astype(np.float32)
    return ClassMap(probabilities, grid, CLASSES, 20.0, "grains", record={"job": "classify"})


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean intersection over union of the two classes."""
    return float(np.mean([(found & truth).sum() / (found | truth).sum(),
                          (~found & ~truth).sum() / (~found | ~truth).sum()]))  # fmt: skip
