"""In what tiles differ: a few numbers a tile, to group and compare them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REDUCED_SIZE = 64
BASIS_TILES = 2000
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Axes:
    """Principal components of standardised features of some tiles.

    Attributes
    ----------
    weight : float32, shape (features, at most `REDUCED_SIZE`)
    centre : float32, shape (at most `REDUCED_SIZE`,)
        Where the mean of those tiles lies.
    """

    weight: NDArray[np.float32]
    centre: NDArray[np.float32]

    def points(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Places of tiles along these axes, float32 of shape (N, components), from 0 in the middle.

        Features of shape (N, features), float16 as well, are taken block by block.
        """
        found = np.empty((len(features), len(self.centre)), dtype=np.float32)
        for start in range(0, len(features), _BLOCK):
            some = slice(start, start + _BLOCK)
            found[some] = features[some].astype(np.float32, copy=False) @ self.weight - self.centre
        return found


def find_axes(features: NDArray[Any], seed: int = 0) -> Axes:
    """Axes along which tiles differ most.

    Parameters
    ----------
    features : float, shape (N, features)
        At most `BASIS_TILES` of them, drawn at random, are used.
    """
    drawn = features
    if len(features) > BASIS_TILES:
        generator = np.random.default_rng(seed)
        drawn = features[generator.choice(len(features), BASIS_TILES, replace=False)]
    drawn = np.asarray(drawn, dtype=np.float32)
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
    scale = np.maximum(spread, 0.1 * (float(np.median(spread)) or 1.0))
    z = (drawn - mean) / scale
    # Eigenvectors of the smaller product; the features are many, the drawn tiles may be few.
    values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
    kept = np.argsort(values)[::-1][: min(REDUCED_SIZE, len(z))]
    kept = kept[values[kept] > 1e-6 * values.max()]
    axes = (z.T @ vectors[:, kept].astype(np.float32)) / np.sqrt(values[kept]).astype(np.float32)
    weight = axes / scale[:, None]
    return Axes(weight, mean @ weight)


def reduce_features(features: NDArray[Any], seed: int = 0) -> NDArray[np.float32]:
    """Places of all tiles of an image along its own axes, for clustering; once per image."""
    return find_axes(features, seed).points(features)
