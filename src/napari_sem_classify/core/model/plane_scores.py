"""From the features of a plane's tiles to probabilities: the one place between network and map.

A head is linear, so what the surroundings add to a tile's logits is a sum too. With ``W`` and ``V``
the weights for the tile's own features ``x`` and for the mean of its neighbours', ``a`` the
alignment and ``m`` the mean of the image,
``logits = W (x - a m) + V (mean of the neighbours - a m) + bias
= W x + (mean of the neighbours' V x) - a (mean of the image's (W + V) x) + bias``.
So of each tile only ``W x`` and ``V x`` are kept, two numbers a class: an image of any size is read
once, tiles come in any order, and blocks that were looked at on different computers fit together.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.head import Head, TileClassifier, softmax
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.neighbours import AROUND, Neighbours

FEWEST_TILES = 16
"""With fewer tiles an image's mean says little of it: the usual mean stands for it."""

_BLOCK = 2048


class PlaneScores:
    """What a head says of the tiles of a plane.

    Parameters
    ----------
    raw : float32, shape (tile rows, tile columns, numbers), optional
        As `raw` of another one gives them, in place of features.

    Attributes
    ----------
    raw : float32, shape (tile rows, tile columns, numbers)
        What was found so far, NaN for tiles without features: the probabilities where a tile counts
        alone, else parts of the logits.
    """

    def __init__(
        self,
        head: Head,
        surroundings: Surroundings,
        temperature: float,
        grid: TileGrid,
        raw: NDArray[np.float32] | None = None,
    ) -> None:
        self._surroundings, self._temperature = surroundings, np.float32(temperature)
        self._head, self._grid = head, grid
        self._classes = len(head.bias)
        if raw is None:
            shape = (*grid.tile_shape, raw_numbers(self._classes, surroundings))
            raw = np.full(shape, np.nan, dtype=np.float32)
        self.raw = raw
        self._flat = raw.reshape(-1, raw.shape[-1])

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours.on(self._grid)

    @cached_property
    def _parts(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (numbers, features of a tile) and bias, with the standardisation folded in."""
        return _folded(self._head, self._surroundings)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which tiles have come in, shape (tile rows, tile columns)."""
        return ~np.isnan(self.raw[..., 0])

    def copy(self) -> PlaneScores:
        """The same, for others to add to."""
        mine = self._head, self._surroundings, float(self._temperature), self._grid
        return PlaneScores(*mine, self.raw.copy())

    def add(self, index: NDArray[np.int64], features: NDArray[Any]) -> None:
        """Take in tiles, given by their numbers, with their features (N, features of a tile)."""
        for start in range(0, len(index), _BLOCK):
            some = slice(start, start + _BLOCK)
            if self._surroundings == ALONE:
                found = self._head.probabilities(features[some], float(self._temperature))
            else:
                found = features[some].astype(np.float32, copy=False) @ self._parts[0].T
            self._flat[index[some]] = found

    def probabilities(self, *, smoothed: bool = True) -> NDArray[np.float32]:
        """Those of the tiles so far, shape (tile rows, tile columns, classes), NaN for the others.

        `smoothed` is False to leave the smoothing out.
        """
        if self._surroundings == ALONE:
            return self.raw.copy()
        logits = self.logits() / self._temperature
        found = softmax(logits)
        strength = np.float32(self._surroundings.smoothing * len(AROUND))
        if smoothed and strength:
            found = softmax(logits + strength * self._neighbours.mean(found))
        return found

    def logits(self) -> NDArray[np.float32]:
        """Logits, before temperature and smoothing, of a model with surroundings."""
        own = self.raw[..., : self._classes]
        logits: NDArray[np.float32] = own + self._parts[1]
        if self._surroundings.context:
            logits += self._neighbours.mean(self.raw[..., self._classes :])
        if self._surroundings.alignment:
            logits -= np.float32(self._surroundings.alignment) * self._image_mean()
        return logits

    def _image_mean(self) -> NDArray[np.float32]:
        """The mean embedding of the image, or the usual one, in terms of logits."""
        known = self._flat[self.known.ravel()]
        if len(known) < FEWEST_TILES and self._head.usual is not None:
            parts = np.asarray(self._parts[0] @ self._head.usual, dtype=np.float64)
        else:
            parts = known.mean(axis=0, dtype=np.float64)
        return np.asarray(parts.reshape(-1, self._classes).sum(axis=0), dtype=np.float32)


def scores_on(
    classifier: TileClassifier, grid: TileGrid, raw: NDArray[np.float32] | None = None
) -> PlaneScores:
    """Those of a model, without any tile or with `raw` of another one."""
    card = classifier.card
    return PlaneScores(classifier.head, card.surroundings, card.temperature, grid, raw)


def raw_numbers(classes: int, surroundings: Surroundings) -> int:
    """Numbers a tile in `PlaneScores.raw`."""
    return classes * (1 + surroundings.context)


def alone_probabilities(classifier: TileClassifier, features: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (N, classes) of tiles of which neither neighbours nor image are known.

    Each stands for its own neighbours, and the usual mean for that of its image.
    """
    head, temperature = classifier.head, classifier.card.temperature
    surroundings = classifier.card.surroundings
    if surroundings == ALONE:
        return head.probabilities(features, temperature)
    weight, bias = _folded(head, surroundings)
    weight = weight.reshape(-1, len(head.bias), weight.shape[1]).sum(axis=0)
    if surroundings.alignment and head.usual is not None:
        bias -= np.float32(surroundings.alignment) * (weight @ head.usual)
    logits = features.astype(np.float32, copy=False) @ weight.T + bias
    return softmax(logits / np.float32(temperature))


def _folded(
    head: Head, surroundings: Surroundings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights for own features, below them those for the neighbours', and the bias."""
    weight = head.weight / head.scale
    bias = np.asarray(head.bias - weight @ head.mean, dtype=np.float32)
    return np.concatenate(np.split(weight, 1 + surroundings.context, axis=1)), bias
