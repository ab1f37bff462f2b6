"""The cases that choose, as they would look with other settings of the microscope.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_data import PlainBatches, TrainingTiles, Units
from napari_sem_classify.core.finetune.finetune_time import MOST_TURNED, turned_count
from napari_sem_classify.core.teach.turned import N_COPIES, turned


@dataclass(frozen=True, slots=True)
class TurnedCases:
    """Cases that are darker, brighter, out of focus or noisier than they are.

    Attributes
    ----------
    store : TrainingTiles
        Their tiles; turned once, so that every network sees the same.
    units : Units
        Tiles are counted in that store.
    of : int64, shape (M,)
        Which case each was made of.
    """

    store: TrainingTiles
    units: Units
    of: NDArray[np.int64]

    def batches(self, size: int, batch_size: int) -> PlainBatches:
        """All of them, at a size of the network's input."""
        return PlainBatches(self.store, self.units, size, batch_size)


def turned_cases(data: TrainingSet, cases: Units, device: torch.device) -> TurnedCases:
    """Turn cases, each in one way or, where they are few, in several; the same each time."""
    count = len(cases.label)
    some = np.unique(np.linspace(0, count - 1, min(count, MOST_TURNED)).astype(np.int64))
    of = np.tile(some, turned_count(count) // len(some))
    way = (of + np.arange(len(of)) // len(some)) % N_COPIES
    tiles = []
    for case, how in zip(of.tolist(), way.tolist(), strict=True):
        mine = np.arange(cases.first[case], cases.first[case] + cases.count[case])
        tiles.append(turned(data.tiles[mine], how, mine))
    sizes = cases.count[of]
    units = Units(cases.label[of], cases.image[of], np.cumsum(sizes) - sizes, sizes)
    return TurnedCases(TrainingTiles(np.concatenate(tiles), device), units, of)
