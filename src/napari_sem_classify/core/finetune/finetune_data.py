"""Batches for training: drawn by class, augmented on the device, the same for the same seed.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_presets import Augmentation
from napari_sem_classify.core.network.engine.prepare import resize

SHARE_OF_MEMORY = 0.4
LEAST_CROP_PX = 32


class TrainingTiles:
    """The tiles of a training set: on the GPU where they fit, else read from the file."""

    def __init__(self, tiles: NDArray[np.uint8], device: torch.device) -> None:
        self.device = device
        self._tiles = tiles
        self._there: Tensor | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if tiles.nbytes < SHARE_OF_MEMORY * free:
                self._there = torch.from_numpy(np.array(tiles)).to(device)

    def grey(self, index: NDArray[np.int64]) -> Tensor:
        """Tiles as grey values 0 to 1, float32, shape (N, 1, side, side), on the device."""
        if self._there is not None:
            tiles = self._there[torch.from_numpy(index).to(self.device)]
        else:
            tiles = torch.from_numpy(self._tiles[index]).to(self.device)
        return tiles[:, None].to(torch.float32).div_(255.0)


@dataclass(frozen=True, slots=True)
class Units:
    """What one case is: a tile, or an image with its few tiles.

    Attributes
    ----------
    label : int64, shape (units,)
    image : int64, shape (units,)
    first, count : int64, shape (units,)
        Tiles ``first`` to ``first + count`` of the set belong to the unit.
    """

    label: NDArray[np.int64]
    image: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]

    def tiles(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every tile, and the number of the unit that it belongs to."""
        unit = np.repeat(np.arange(len(self.label)), self.count)
        within = np.arange(len(unit)) - np.repeat(np.cumsum(self.count) - self.count, self.count)
        return self.first[unit] + within, unit


def units_of(data: TrainingSet, images: NDArray[np.int64]) -> Units:
    """The cases of some images."""
    mine = np.flatnonzero(np.isin(data.tile_image, images))
    owner = data.tile_image[mine]
    if data.whole_images:
        image, start, count = np.unique(owner, return_index=True, return_counts=True)
        first = mine[start]
    else:
        image, first, count = owner, mine, np.ones(len(mine), dtype=np.int64)
    return Units(data.labels[image], image.astype(np.int64), first, count.astype(np.int64))


class TrainingBatches:
    """Augmented batches of one epoch; iterate once per epoch after `start_epoch`."""

    n_inp = 1

    def __init__(
        self,
        store: TrainingTiles,
        units: Units,
        size: int,
        batch_size: int,
        augmentation: Augmentation,
        balance: float,
    ) -> None:
        self.store, self.units, self.size = store, units, size
        self.batch_size = max(2, batch_size)
        self.augmentation, self.balance = augmentation, balance
        self._generator = np.random.default_rng(0)

    def start_epoch(self, *key: int) -> None:
        """Draw the next epoch by this key and nothing else."""
        self._generator = np.random.default_rng(np.random.SeedSequence(key))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return max(1, math.ceil(len(self.units.label) / self.batch_size))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of grey tiles (N, 1, size, size) and classes (N,), on the device."""
        drawn = draw_units(self.units.label, self.balance, self._generator)
        if len(drawn) % self.batch_size == 1 or len(drawn) == 1:
            drawn = np.append(drawn, drawn[0])  # batch-norm cannot learn from one tile
        batches = [
            drawn[start : start + self.batch_size]
            for start in range(0, len(drawn), self.batch_size)
        ]
        if len(batches) > len(self):
            batches[-2:] = [np.concatenate(batches[-2:])]
        for batch in batches:
            within = self._generator.integers(self.units.count[batch])
            grey = self.store.grey(self.units.first[batch] + within)
            label = torch.from_numpy(self.units.label[batch]).to(self.store.device)
            yield augment(grey, self.size, self.augmentation, self._generator), label


class PlainBatches:
    """Every tile of some units as it is, in order."""

    n_inp = 1

    def __init__(self, store: TrainingTiles, units: Units, size: int, batch_size: int) -> None:
        self.store, self.units, self.size, self.batch_size = store, units, size, batch_size
        self.tile, unit = units.tiles()
        self.label = units.label[unit]

    def __len__(self) -> int:
        """Batches in all."""
        return math.ceil(len(self.tile) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of grey tiles (N, 1, size, size) and classes (N,), on the device."""
        for start in range(0, len(self.tile), self.batch_size):
            some = slice(start, start + self.batch_size)
            label = torch.from_numpy(self.label[some]).to(self.store.device)
            yield resize(self.store.grey(self.tile[some]), self.size), label

    def unit_means(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over each unit's tiles of values of shape (tiles, ...)."""
        starts = np.cumsum(self.units.count) - self.units.count
        total = np.add.reduceat(values, starts, axis=0)
        return np.asarray(total / self.units.count[:, None], dtype=np.float32)


def draw_units(
    labels: NDArray[np.int64], balance: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """As many units as there are, in random order, rare classes more often than they are.

    Parameters
    ----------
    labels : int64, shape (N,)
    balance : float
        See `Preset.balance`.

    Returns
    -------
    int64
        About N numbers of units; within a class none comes twice before all came once.
    """
    counts = np.bincount(labels)
    weight = np.where(counts > 0, np.maximum(counts, 1.0) ** (1.0 - balance), 0.0)
    wanted = np.maximum(np.rint(len(labels) * weight / weight.sum()), counts > 0).astype(np.int64)
    drawn = []
    for k in np.flatnonzero(counts):
        mine = np.flatnonzero(labels == k)
        rounds = -(-wanted[k] // len(mine))
        order = np.concatenate([generator.permutation(mine) for _ in range(rounds)])
        drawn.append(order[: wanted[k]])
    return generator.permutation(np.concatenate(drawn)).astype(np.int64)


def augment(
    grey: Tensor, size: int, recipe: Augmentation, generator: np.random.Generator
) -> Tensor:
    """Turn, flip, crop and light tiles at random, each its own way, at the training size.

    Tiles are first resized as they are in use, and flips, quarter turns and crops only move
    pixels: the network learns from the very textures that it will see. Only a rotation by another
    angle interpolates.

    Parameters
    ----------
    grey : float32 Tensor, shape (N, 1, side, side)
        0 to 1.
    size : int
        Side of a whole tile in the result.
    recipe : Augmentation
    generator : numpy Generator
        Draws on the CPU, so that the device does not change what is drawn.

    Returns
    -------
    float32 Tensor, shape (N, 1, crop, crop)
        0 to 1; `crop` is `size` or, where the recipe crops, anything down to the smallest crop.
    """
    count = len(grey)
    grey = resize(grey, size)
    if recipe.rotation_deg:
        grey = _rotated(grey, np.radians(generator.uniform(-1, 1, count) * recipe.rotation_deg))
    grey = _moved(grey, _crop_side(size, recipe, generator), recipe, generator)
    contrast = np.exp(generator.uniform(-1, 1, count) * np.log1p(recipe.lighting))
    brightness = generator.uniform(-0.5, 0.5, count) * recipe.lighting
    light = torch.from_numpy(np.stack([contrast, brightness]).astype(np.float32)).to(grey.device)
    lit = (grey - 0.5) * light[0, :, None, None, None] + 0.5 + light[1, :, None, None, None]
    return lit.clamp_(0.0, 1.0)


def _crop_side(size: int, recipe: Augmentation, generator: np.random.Generator) -> int:
    """Side of the crops of one batch: they share it, to lie in one tensor."""
    least = min(size, max(LEAST_CROP_PX, round(recipe.smallest_crop * size)))
    return int(generator.integers(least, size + 1))


def _moved(grey: Tensor, side: int, recipe: Augmentation, generator: np.random.Generator) -> Tensor:
    """A window of each tile, flipped and turned by quarters: pixels move, none is changed."""
    count, size = len(grey), grey.shape[-1]
    flip = generator.integers(2, size=(2, count)) * recipe.flips
    turn = generator.integers(4, size=count) * recipe.quarter_turns
    # A turn to the left is a flip and a transposition; to the right with the other flip.
    down, right = flip[0] ^ np.isin(turn, (2, 3)), flip[1] ^ np.isin(turn, (1, 2))
    places = np.arange(side)
    top, left = generator.integers(size - side + 1, size=(2, count, 1))
    rows = np.where(down[:, None], top + side - 1 - places, top + places)
    columns = np.where(right[:, None], left + side - 1 - places, left + places)
    turned = (turn % 2 == 1)[:, None, None]
    at = np.where(
        turned,
        rows[:, None, :] * size + columns[:, :, None],
        rows[:, :, None] * size + columns[:, None, :],
    )
    index = torch.from_numpy(at.reshape(count, -1)).to(grey.device)
    return grey.reshape(count, -1).gather(1, index).reshape(count, 1, side, side)


def _rotated(grey: Tensor, angle: NDArray[np.float64]) -> Tensor:
    """Tiles turned about their middle by angles in radians, reflected at the border."""
    theta = np.zeros((len(grey), 2, 3), dtype=np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = np.cos(angle)
    theta[:, 1, 0] = np.sin(angle)
    theta[:, 0, 1] = -theta[:, 1, 0]
    matrices = torch.from_numpy(theta).to(grey.device)
    places = functional.affine_grid(matrices, list(grey.shape), align_corners=False)
    return functional.grid_sample(
        grey, places, mode="bilinear", padding_mode="reflection", align_corners=False
    )
