"""Heads beside a model's own, each on the features of one stage of the network.

Where they disagree the model is often wrong, see `transfer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 448
"""Features, spread over all stages, that tell a distance."""


@dataclass(frozen=True, slots=True)
class StageHeads:
    """Heads of the stages, side by side.

    Attributes
    ----------
    weight : float32, shape (classes, features)
        On features as they are, not standardised; the columns of a stage belong to its head. With
        context the tile's own features come first and then the mean of its neighbours'.
    bias : float32, shape (stages, classes)
    sizes : tuple of int
        Features of a tile in each stage.
    centre, scale : float32, shape (features of a tile,)
        Mean and spread of the tiles that taught: heads may agree on what lies far from all of them.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    sizes: tuple[int, ...]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def step(self) -> int:
        """Every how many features one tells a distance."""
        return max(1, len(self.centre) // _ENOUGH)

    def distance(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far tiles lie from those that taught, in units of their spread, shape (N,).

        Parameters
        ----------
        features : float32, shape (N, features of a tile)
        """
        some = slice(None, None, self.step)
        apart = (features[:, some] - self.centre[some]) / self.scale[some]
        return np.asarray(np.sqrt(np.square(apart).mean(axis=1)), dtype=np.float32)

    def stacked(self) -> NDArray[np.float32]:
        """The weights of all heads on all features, shape (stages × classes, features)."""
        stacked = np.zeros((*self.bias.shape, self.weight.shape[1]), dtype=np.float32)
        columns = stage_columns(self.sizes, self.weight.shape[1] // sum(self.sizes))
        for mine, column in zip(stacked, columns, strict=True):
            mine[:, column] = self.weight[:, column]
        return stacked.reshape(-1, self.weight.shape[1])


def stage_columns(sizes: Sequence[int], copies: int = 1) -> list[NDArray[np.int64]]:
    """Which features come from which stage.

    Parameters
    ----------
    sizes : sequence of int
        Features of each stage of a tile.
    copies : int
        2 where the neighbours' features follow the tile's own.
    """
    total = int(sum(sizes))
    ends = np.cumsum(sizes)
    starts = ends - np.asarray(sizes)
    return [
        np.concatenate([np.arange(start, end) + copy * total for copy in range(copies)])
        for start, end in zip(starts, ends, strict=True)
    ]
