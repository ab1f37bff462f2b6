"""A classifier of pixels that learns from tiles: no pixel is ever labelled.

The map says of each tile how probable each class is, and a tile has the class of most of its
pixels. So pixels are classified such that the mean over a tile's pixels explains what the map says
of the tile: "learning from label proportions", with a linear softmax on the looks of pixels,
``p(tile) = softmax(k · mean(softmax(W looks + b)) + c)``. Whether that tells anything is seen on
tiles that it did not learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.head import softmax

SHARPNESS = 10.0
"""Of tiles: with half of a tile on either side the classes are alike, with two thirds clear."""
LEAST_MAP, MOST_MAP = 1.0, 8.0
"""Weight of the map beside the pixels: where they tell all, and where hardly anything."""
LEAST_GAIN = 0.002
"""Pixels that explain less of what neighbouring tiles leave open do not count at all."""
CLEAR_GAIN = 0.1
"""Pixels that explain so much count in full."""
_DECAY = 3e-4
_ROUNDS = 16
"""Stopped early: later rounds explain tiles by looks as wide as they are, and edges blur."""
_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Bags:
    """Tiles that teach a pixel classifier.

    Attributes
    ----------
    looks : float32, shape (tiles, pixels a tile, looks)
    wanted : float32, shape (tiles, classes)
        Probabilities of the map.
    around : float32, shape (tiles, classes)
        Mean probabilities of the four neighbours, NaN where there are none.
    fold : int64, shape (tiles,)
        0 or 1, as on a chessboard: neighbours are in the other one.
    """

    looks: NDArray[np.float32]
    wanted: NDArray[np.float32]
    around: NDArray[np.float32]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PixelClassifier:
    """Weights (looks, classes) and bias (classes,) of a linear softmax on looks as they are."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, looks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, shape (..., classes)."""
        return np.asarray(looks @ self.weight + self.bias, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What pixels tell of an image's classes.

    Attributes
    ----------
    classifier : PixelClassifier
    map_weight : float
        How much the logarithm of the map's probability counts beside the pixel's logits.
    gain : float
        By how much pixels made tiles that were left out better explained than their neighbours
        alone do, as a share of what is to be explained (0 to 1).
    """

    classifier: PixelClassifier
    map_weight: float
    gain: float


def evidence_of(bags: Bags) -> Evidence:
    """Fit the classifier, and weigh it against the map on tiles that it did not learn from."""
    held = np.zeros_like(bags.wanted)
    for fold in (0, 1):
        mine = bags.fold == fold
        if mine.all() or not mine.any():
            return Evidence(fit_pixels(bags.looks, bags.wanted), MOST_MAP, 0.0)
        classifier = fit_pixels(bags.looks[~mine], bags.wanted[~mine])
        held[mine] = softmax(classifier.logits(bags.looks[mine])).mean(axis=1)
    known = ~np.isnan(bags.around[:, 0])
    wanted, seen = bags.wanted[known], held[known]
    beside = np.log(bags.around[known] + _LEAST)
    whole, _ = _stacked(wanted, ())
    alone, _ = _stacked(wanted, (beside,))
    both, weights = _stacked(wanted, (beside, SHARPNESS * seen))
    gain = max(0.0, (alone - both) / max(whole, 1e-6))
    ratio = weights[0] / weights[1] if weights[1] > 0 else MOST_MAP
    weight = np.clip(max(ratio, CLEAR_GAIN / max(gain, 1e-6)), LEAST_MAP, MOST_MAP)
    return Evidence(fit_pixels(bags.looks, bags.wanted), float(weight), float(gain))


def fit_pixels(looks: NDArray[np.float32], wanted: NDArray[np.float32]) -> PixelClassifier:
    """Fit a linear softmax on pixels to the probabilities of their tiles.

    Parameters
    ----------
    looks : float32, shape (tiles, pixels a tile, looks)
    wanted : float32, shape (tiles, classes)
    """
    from scipy.optimize import minimize

    tiles, pixels, count = looks.shape
    classes = wanted.shape[1]
    flat = looks.reshape(-1, count)
    mean, spread = flat.mean(axis=0), flat.std(axis=0) + np.float32(1e-6)
    x = (flat - mean) / spread
    size = count * classes

    def cost(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = vector[:size].reshape(count, classes).astype(np.float32)
        b = vector[size : size + classes].astype(np.float32)
        c, k = vector[size + classes : -1], np.exp(vector[-1])
        p = softmax(x @ w + b).reshape(tiles, pixels, classes)
        means = p.mean(axis=1, dtype=np.float64)
        q = softmax(k * means + c)
        loss = -(wanted * np.log(q + 1e-12)).sum() / tiles + 0.5 * _DECAY * float((w * w).sum())
        back = (q - wanted) / tiles
        down = (k / pixels * back).astype(np.float32)[:, None, :]
        dz = p * (down - (p * down).sum(axis=2, keepdims=True))
        dz = dz.reshape(-1, classes)
        gradient = [
            (x.T @ dz + _DECAY * w).ravel(),
            dz.sum(axis=0),
            back.sum(axis=0),
            [float((back * means).sum() * k)],
        ]
        return float(loss), np.concatenate(gradient).astype(np.float64)

    start = np.zeros(size + 2 * classes + 1)
    start[-1] = np.log(SHARPNESS)
    bounds = [(None, None)] * (len(start) - 1) + [(np.log(3.0), np.log(30.0))]
    # With equal weights every class looks alike and nothing pulls: begin where means pull.
    start[:size] = _towards_means(x, wanted, pixels).ravel()
    solver: Any = minimize
    options = {"maxiter": _ROUNDS}
    found = solver(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    weight = (found[:size].reshape(count, classes) / spread[:, None]).astype(np.float32)
    bias = (found[size : size + classes] - mean @ weight).astype(np.float32)
    return PixelClassifier(weight, bias)


def _towards_means(
    x: NDArray[np.float32], wanted: NDArray[np.float32], pixels: int
) -> NDArray[np.float64]:
    """A tenth of the way from the mean look of all tiles to that of each class's."""
    means = x.reshape(-1, pixels, x.shape[1]).mean(axis=1, dtype=np.float64)
    share = wanted / np.maximum(wanted.sum(axis=0, keepdims=True), 1e-6)
    return 0.1 * np.asarray(means.T @ (share - share.mean(axis=1, keepdims=True)))


def _stacked(
    wanted: NDArray[np.float32], parts: tuple[NDArray[np.float32], ...]
) -> tuple[float, NDArray[np.float64]]:
    """Cross-entropy of the best sum of parts, one weight a part, and the weights."""
    from scipy.optimize import minimize

    classes, n = wanted.shape[1], len(parts)

    def cost(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = np.tile(vector[n:], (len(wanted), 1))
        for weight, part in zip(vector[:n], parts, strict=True):
            z += weight * part
        q = softmax(z)
        back = (q - wanted) / len(wanted)
        gradient = [float((back * part).sum()) for part in parts]
        loss = -float((wanted * np.log(q + 1e-12)).sum()) / len(wanted)
        return loss, np.concatenate([gradient, back.sum(axis=0)])

    solver: Any = minimize
    bounds = [(0.0, None)] * n + [(None, None)] * classes
    found = solver(cost, np.zeros(n + classes), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.fun), np.asarray(found.x[:n])
