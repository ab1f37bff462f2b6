"""Batches for training: drawn by class, seen in random ways, the same for the same seed.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.evaluate.dataset import drawn_by_class
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.augmentation import Augmentation
from napari_sem_classify.core.finetune.finetune_views import (
    as_seen,
    draw_views,
    in_parts,
    on_device,
)
from napari_sem_classify.core.network.engine.prepare import resize
from napari_sem_classify.core.tiles.prefetch import prefetch

SHARE_OF_MEMORY = 0.4


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

    def in_batches(self, index: NDArray[np.int64], sizes: Sequence[int]) -> Iterator[Tensor]:
        """Tiles as grey values 0 to 1, float32, shape (N, 1, side, side), on the device.

        Parameters
        ----------
        index : int64, shape (sum of sizes,)
        sizes : sequence of int
            Tiles of each batch. Whatever their number, a device that holds the tiles is told once
            which: to wait for it at every batch would let it idle.
        """
        if self._there is not None:
            for at in in_parts(torch.from_numpy(index).to(self.device), sizes):
                yield _grey(self._there[at])
            return
        parts = np.split(index, np.cumsum(sizes)[:-1])
        if self.device.type != "cuda":
            for part in parts:
                yield _grey(torch.from_numpy(self._tiles[part]).to(self.device))
            return

        def read(stop: Callable[[], bool]) -> Iterator[Tensor]:
            for part in parts:
                yield torch.from_numpy(self._tiles[part]).pin_memory()

        with closing(prefetch(read)) as ahead:
            for tiles in ahead:
                yield _grey(tiles.to(self.device, non_blocking=True))


def _grey(tiles: Tensor) -> Tensor:
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

    def some(self, chosen: NDArray[np.int64]) -> Units:
        """Some of the units, by number."""
        return Units(self.label[chosen], self.image[chosen], self.first[chosen], self.count[chosen])

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


def thinned(units: Units, most: int | None, seed: int) -> Units:
    """At most about so many cases, drawn by the seed, as many of each class as its share."""
    if most is None or len(units.label) <= most:
        return units
    return units.some(drawn_by_class(units.label, most, seed))


class TrainingBatches:
    """Augmented batches of one epoch; iterate once per epoch after `start_epoch`.

    `weight` says how much each unit counts (float64, all alike where None), and an epoch has
    `count` of them, as many as there are where None.
    """

    n_inp = 1

    def __init__(
        self,
        store: TrainingTiles,
        units: Units,
        size: int,
        batch_size: int,
        augmentation: Augmentation,
        balance: float,
        weight: NDArray[np.float64] | None = None,
        count: int | None = None,
    ) -> None:
        self.store, self.units, self.size = store, units, size
        self.batch_size = max(2, batch_size)
        self.weight = np.ones(len(units.label)) if weight is None else weight
        self.count = len(units.label) if count is None else count
        self.augmentation, self.balance = augmentation, balance
        self._generator = np.random.default_rng(0)

    def start_epoch(self, *key: int) -> None:
        """Draw the next epoch by this key and nothing else."""
        self._generator = np.random.default_rng(np.random.SeedSequence(key))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return max(1, math.ceil(self.count / self.batch_size))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of grey tiles (N, 1, size, size) and classes (N,), on the device.

        A whole epoch is drawn before its first batch, so that the device is told once.
        """
        drawn = draw_units(self.units.label, self.balance, self._generator, self.weight, self.count)
        if len(drawn) % self.batch_size == 1 or len(drawn) == 1:
            drawn = np.append(drawn, drawn[0])  # batch-norm cannot learn from one tile
        batches = [
            drawn[start : start + self.batch_size]
            for start in range(0, len(drawn), self.batch_size)
        ]
        if len(batches) > len(self):
            batches[-2:] = [np.concatenate(batches[-2:])]
        tiles, views = [], []
        for batch in batches:
            within = self._generator.integers(self.units.count[batch])
            tiles.append(self.units.first[batch] + within)
            views.append(draw_views(len(batch), self.size, self.augmentation, self._generator))
        sizes = [len(batch) for batch in batches]
        label = in_parts(torch.from_numpy(self.units.label[drawn]).to(self.store.device), sizes)
        seen = on_device(views, self.store.device)
        greys = self.store.in_batches(np.concatenate(tiles), sizes)
        for grey, view, mine in zip(greys, seen, label, strict=True):
            yield as_seen(grey, self.size, view), mine


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
        count = len(self.tile)
        if not count:
            return
        sizes = [min(self.batch_size, count - at) for at in range(0, count, self.batch_size)]
        label = in_parts(torch.from_numpy(self.label).to(self.store.device), sizes)
        for grey, mine in zip(self.store.in_batches(self.tile, sizes), label, strict=True):
            yield resize(grey, self.size), mine

    def unit_means(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over each unit's tiles of values of shape (tiles, ...)."""
        starts = np.cumsum(self.units.count) - self.units.count
        total = np.add.reduceat(values, starts, axis=0)
        return np.asarray(total / self.units.count[:, None], dtype=np.float32)


def draw_units(
    labels: NDArray[np.int64],
    balance: float,
    generator: np.random.Generator,
    weight: NDArray[np.float64] | None = None,
    count: int | None = None,
) -> NDArray[np.int64]:
    """Units in random order, rare classes more often than they are.

    Parameters
    ----------
    labels : int64, shape (N,)
    balance : float
        See `Preset.balance`.
    weight : float64, shape (N,), optional
        How much each unit counts; a class has as much as its units together.
    count : int, optional
        How many to draw, N where None.

    Returns
    -------
    int64
        About `count` numbers of units, at least one of each class. Within a class none comes
        oftener than its weight says, rounded up or down: of equal ones none comes twice before
        all came once.
    """
    weight = np.ones(len(labels)) if weight is None else weight
    amounts = np.bincount(labels, weights=weight)
    share = np.where(amounts > 0, np.maximum(amounts, 1.0) ** (1.0 - balance), 0.0)
    total = len(labels) if count is None else count
    wanted = np.maximum(np.rint(total * share / share.sum()), amounts > 0).astype(np.int64)
    drawn = []
    for k in np.flatnonzero(amounts):
        mine = generator.permutation(np.flatnonzero(labels == k))
        # Systematic sampling: a ruler with equal steps laid along the weights at a random place.
        ends = np.cumsum(weight[mine]) * (wanted[k] / weight[mine].sum())
        ends[-1] = wanted[k]
        passed = np.floor(ends + generator.random()).astype(np.int64)
        drawn.append(np.repeat(mine, np.diff(passed, prepend=0)))
    return generator.permutation(np.concatenate(drawn)).astype(np.int64)
