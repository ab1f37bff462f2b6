"""From the features of a plane's tiles to probabilities: the one place between network and map.

A head is linear, so what the surroundings add to a tile's logits is a sum too. With ``W`` and ``V``
the weights for the tile's own features ``x`` and for the mean of its neighbours', ``a`` the
alignment and ``m`` the mean of the image,
``logits = W (x - a m) + V (mean of the neighbours - a m) + bias
= W x + (mean of the neighbours' V x) - a (mean of the image's (W + V) x) + bias``.
So of each tile only ``W x`` and ``V x`` are kept, two numbers a class: an image of any size is read
once, tiles come in any order, and blocks that were looked at on different computers fit together.
What the heads of the stages say is kept in the same way, behind it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.head import Head, TileClassifier, softmax
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.model.transfer import agreement_of
from napari_sem_classify.core.network.readout import Readout
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
    stages : StageHeads, optional
        Where their agreement is wanted too.

    Attributes
    ----------
    raw : float32, shape (tile rows, tile columns, numbers)
        What was found so far, NaN for tiles without features: the probabilities where a tile counts
        alone, else parts of the logits; then those of the stages, and the distance.
    """

    def __init__(
        self,
        head: Head,
        surroundings: Surroundings,
        temperature: float,
        grid: TileGrid,
        raw: NDArray[np.float32] | None = None,
        stages: StageHeads | None = None,
    ) -> None:
        self._surroundings, self._temperature = surroundings, np.float32(temperature)
        self._head, self._grid = head, grid
        self._stages, self._classes = stages, len(head.bias)
        self._own = raw_numbers(self._classes, surroundings)
        if raw is None:
            shape = (*grid.tile_shape, raw_numbers(self._classes, surroundings, stages))
            raw = np.full(shape, np.nan, dtype=np.float32)
        self.raw = raw
        self._flat = raw.reshape(-1, raw.shape[-1])

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours.on(self._grid)

    @cached_property
    def _parts(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (numbers, features of a tile) and bias, with the standardisation folded in."""
        weight, bias = _folded(self._head)
        return _split(weight, self._surroundings), bias

    @cached_property
    def _stage_parts(self) -> NDArray[np.float32]:
        """Weights of the heads of the stages, as in `_parts`."""
        assert self._stages is not None
        return _split(self._stages.stacked(), self._surroundings)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which tiles have come in, shape (tile rows, tile columns)."""
        return ~np.isnan(self.raw[..., 0])

    def copy(self) -> PlaneScores:
        """The same, for others to add to."""
        mine = self._head, self._surroundings, float(self._temperature), self._grid
        return PlaneScores(*mine, self.raw.copy(), self._stages)

    def add(self, index: NDArray[np.int64], features: NDArray[Any]) -> None:
        """Take in tiles, given by their numbers, with their features (N, features of a tile)."""
        for start in range(0, len(index), _BLOCK):
            some = slice(start, start + _BLOCK)
            mine = features[some].astype(np.float32, copy=False)
            if self._surroundings == ALONE:
                found = self._head.probabilities(mine, float(self._temperature))
            else:
                found = mine @ self._parts[0].T
            self._flat[index[some], : self._own] = found
            if self._stages is not None:
                self._flat[index[some], self._own : -1] = mine @ self._stage_parts.T
                self._flat[index[some], -1] = self._stages.distance(mine)

    def readout(self) -> Readout:
        """What of a tile's features is needed, for a device that they do not have to leave."""
        weight = self._parts[0]
        if self._stages is None:
            return Readout(weight)
        some = slice(None, None, self._stages.step)
        centre, scale = (
            np.ascontiguousarray(each[some]) for each in (self._stages.centre, self._stages.scale)
        )
        return Readout(np.concatenate([weight, self._stage_parts]), centre, scale, some.step)

    def add_read(self, index: NDArray[np.int64], numbers: NDArray[np.float32]) -> None:
        """Take in tiles, given by their numbers, with what `readout` makes of their features."""
        own = numbers[:, : self._own]
        if self._surroundings == ALONE:
            own = softmax((own + self._parts[1]) / self._temperature)
        self._flat[index, : self._own] = own
        self._flat[index, self._own :] = numbers[:, self._own :]

    def probabilities(self, *, smoothed: bool = True) -> NDArray[np.float32]:
        """Those of the tiles so far, shape (tile rows, tile columns, classes), NaN for the others.

        `smoothed` is False to leave the smoothing out.
        """
        if self._surroundings == ALONE:
            return self.raw[..., : self._own].copy()
        logits = self.logits() / self._temperature
        found = softmax(logits)
        strength = np.float32(self._surroundings.smoothing * len(AROUND))
        if smoothed and strength:
            found = softmax(logits + strength * self._neighbours.mean(found))
        return found

    def logits(self) -> NDArray[np.float32]:
        """Logits, before temperature and smoothing, of a model with surroundings."""
        weight, bias = self._parts
        return self._whole(self.raw[..., : self._own], weight, bias)

    def agreement(self) -> NDArray[np.float32] | None:
        """Share of pairs of stage heads that agree, shape (tile rows, tile columns), or None.

        NaN for tiles without features.
        """
        if self._stages is None:
            return None
        bias = self._stages.bias.ravel()
        logits = self._whole(self.raw[..., self._own : -1], self._stage_parts, bias)
        heads = np.split(logits, len(self._stages.bias), axis=-1)
        agreed = agreement_of([each.argmax(axis=-1) for each in heads])
        agreed[~self.known] = np.nan
        return agreed

    def distance(self) -> NDArray[np.float32] | None:
        """How far tiles lie from those that taught, shape (tile rows, tile columns), or None."""
        return None if self._stages is None else self.raw[..., -1]

    def _whole(
        self, parts: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Logits from what is kept of the tiles; `weight` is what it was made with."""
        logits: NDArray[np.float32] = parts[..., : len(bias)] + bias
        if self._surroundings.context:
            logits += self._neighbours.mean(parts[..., len(bias) :])
        if self._surroundings.alignment:
            mean = self._image_mean(parts, weight).reshape(-1, len(bias)).sum(axis=0)
            logits -= np.float32(self._surroundings.alignment) * mean.astype(np.float32)
        return logits

    def _image_mean(
        self, parts: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """What is kept of a tile, for the image's mean embedding, or the usual one."""
        known = parts[self.known]
        if len(known) < FEWEST_TILES and self._head.usual is not None:
            return np.asarray(weight @ self._head.usual, dtype=np.float64)
        return np.asarray(known.mean(axis=0, dtype=np.float64))


def scores_on(
    classifier: TileClassifier, grid: TileGrid, raw: NDArray[np.float32] | None = None
) -> PlaneScores:
    """Those of a model, without any tile or with `raw` of another one."""
    card = classifier.card
    return PlaneScores(
        classifier.head, card.surroundings, card.temperature, grid, raw, classifier.stages
    )


def raw_numbers(classes: int, surroundings: Surroundings, stages: StageHeads | None = None) -> int:
    """Numbers a tile in `PlaneScores.raw`."""
    copies = 1 + surroundings.context
    return classes * copies + (0 if stages is None else stages.bias.size * copies + 1)


def alone_probabilities(classifier: TileClassifier, features: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (N, classes) of tiles of which neither neighbours nor image are known.

    Each stands for its own neighbours, and the usual mean for that of its image.
    """
    head, temperature = classifier.head, classifier.card.temperature
    surroundings = classifier.card.surroundings
    if surroundings == ALONE:
        return head.probabilities(features, temperature)
    weight, bias = _folded(head)
    weight = _split(weight, surroundings).reshape(-1, len(head.bias), weight.shape[1]).sum(axis=0)
    if surroundings.alignment and head.usual is not None:
        bias -= np.float32(surroundings.alignment) * (weight @ head.usual)
    logits = features.astype(np.float32, copy=False) @ weight.T + bias
    return softmax(logits / np.float32(temperature))


def _folded(head: Head) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and bias on features that are not standardised."""
    weight = head.weight / head.scale
    return weight, np.asarray(head.bias - weight @ head.mean, dtype=np.float32)


def _split(weight: NDArray[np.float32], surroundings: Surroundings) -> NDArray[np.float32]:
    """Weights for own features, below them those for the neighbours'."""
    return np.concatenate(np.split(weight, 1 + surroundings.context, axis=1))
