"""Class-balanced multinomial logistic regression with an L2 penalty, for long feature vectors.

With ``C`` the strength, ``w_i = N / (K n_class(i))`` the balancing weights and
``z = (x - mean) / scale`` the standardised features,
``W, b = argmin  C * sum_i w_i * crossentropy(y_i, W z_i + b) + 1/2 ||W||^2``
which is scikit-learn's `LogisticRegression(C=..., class_weight="balanced")`.

A tile's features are thousands of numbers, annotated tiles are some hundreds. The best W is a
combination of the N rows of Z, so nothing is lost by working in the N-dimensional space which they
span: with Z Z^T = L L^T (Cholesky), the rows of L are the tiles in an orthonormal basis of it, and
``||W||`` is the same there. One L serves all strengths and all folds of a cross-validation,
where scikit-learn would solve each anew: that is why this is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.model.head import Head

DEFAULT_STRENGTH = 1e-3
ABSENT_BIAS = -30.0
LOWEST_TEMPERATURE = 0.5
"""A handful of held-out images that are all right would fit any confidence, however high."""
_RIDGE = 1e-9
_MAX_ITERATIONS = 200
_BIAS_HELD = 0.01


@dataclass(frozen=True, slots=True)
class Basis:
    """Features, standardised, in the space that they span.

    Attributes
    ----------
    mean, scale : float32, shape (features,)
    coordinates : float32, shape (N, rank)
        Of each tile.
    standardised : float32, shape (N, features)
    factor : float64, shape (N, N), or None
        Cholesky factor of the Gram matrix; None where the features themselves are the basis.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    standardised: NDArray[np.float32]
    factor: NDArray[np.float64] | None

    def to_head(self, solution: Solution) -> Head:
        """Carry a solution in this basis over to the features."""
        weight = solution.weight
        if self.factor is not None:
            from scipy.linalg import solve_triangular

            share = solve_triangular(self.factor, weight.T, lower=True, trans="T")
            weight = share.T @ self.standardised
        return Head(
            self.mean, self.scale, weight.astype(np.float32), solution.bias.astype(np.float32)
        )


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights (classes, rank) and biases (classes,) in a `Basis`, float64."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, coordinates: NDArray[Any]) -> NDArray[np.float64]:
        """Logits, shape (N, classes), of tiles given by their coordinates."""
        return np.asarray(coordinates @ self.weight.T + self.bias, dtype=np.float64)


def make_basis(features: NDArray[Any], like: Head | None = None) -> Basis:
    """Standardise features of shape (N, features) and find the space that they span.

    A feature that hardly varies keeps a scale of a tenth of the usual one, so that it cannot blow
    up on tiles that were not annotated. With `like` they are standardised as that head does it.
    """
    x = np.asarray(features, dtype=np.float32)
    if like is None:
        mean = x.mean(axis=0, dtype=np.float64)
        spread = x.std(axis=0, dtype=np.float64)
        usual = float(np.median(spread)) or 1.0
        scale = np.maximum(spread, 0.1 * usual).astype(np.float32)
    else:
        mean, scale = like.mean, like.scale
    z = (x - mean.astype(np.float32)) / scale
    n, size = z.shape
    if 2 * n > size:
        return Basis(mean.astype(np.float32), scale, z, z, None)
    wide = z.astype(np.float64)
    gram = wide @ wide.T
    gram[np.diag_indices(n)] += max(_RIDGE * np.trace(gram) / n, 1e-12)
    factor = np.linalg.cholesky(gram)
    return Basis(mean.astype(np.float32), scale, factor.astype(np.float32), z, factor)


def solve(
    coordinates: NDArray[np.float32],
    labels: NDArray[Any],
    n_classes: int,
    strength: float,
    start: Solution | None = None,
    before: NDArray[Any] | None = None,
) -> Solution:
    """Fit weights and biases.

    Parameters
    ----------
    coordinates : float32, shape (N, rank)
    labels : int, shape (N,)
        Class numbers; a class without a tile gets no weight and a bias of `ABSENT_BIAS`.
    strength : float
        ``C`` above; larger fits the annotations more closely.
    start : Solution, optional
        Where to begin, for a fit that differs little from the last one.
    before : float, shape (N, classes), optional
        Logits of a head that knows all the classes: what is to be added to it is fitted, and the
        penalty keeps that small. All classes compete then, those without a tile too, and every tile
        counts alike: the head that is there has balanced the classes.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    labels = np.asarray(labels)
    counts = np.bincount(labels, minlength=n_classes)
    present = np.flatnonzero(counts) if before is None else np.arange(n_classes)
    n, rank = coordinates.shape
    own = np.searchsorted(present, labels)
    target = np.zeros((n, len(present)))
    target[np.arange(n), own] = 1.0
    weight_of = (n / (len(present) * counts[labels]))[:, None] if before is None else np.float64(1)
    split = len(present) * rank
    # Tiles of a single class must not push the bias of a head that is there without end.
    held = 0.0 if before is None else _BIAS_HELD

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = parameters[:split].reshape(len(present), rank)
        bias = parameters[split:]
        logits = coordinates @ weight.T.astype(np.float32) + bias
        if before is not None:
            logits += before
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        total = powers.sum(axis=1, keepdims=True)
        fit = float((weight_of * (np.log(total) - (target * logits).sum(1, keepdims=True))).sum())
        error = strength * weight_of * (powers / total - target)
        slope = error.T.astype(np.float32) @ coordinates + weight
        value = strength * fit + 0.5 * float((weight**2).sum() + held * (bias**2).sum())
        parts = [slope.ravel(), error.sum(axis=0) + held * bias]
        return value, np.concatenate(parts).astype(np.float64)

    first = np.zeros(split + len(present))
    if start is not None and start.weight.shape == (n_classes, rank):
        first = np.concatenate([start.weight[present].ravel(), start.bias[present]])
    # The products are too small to share: on a busy machine two threads were 50 × slower.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            loss,
            first,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "gtol": 1e-4, "ftol": 1e-6, "maxcor": 20},
        ).x
    weight = np.zeros((n_classes, rank))
    bias = np.full(n_classes, ABSENT_BIAS)
    weight[present] = found[:split].reshape(len(present), rank)
    bias[present] = found[split:] - found[split:].mean()
    return Solution(weight, bias)


def fit_temperature(logits: NDArray[Any], truth: NDArray[Any]) -> float:
    """Temperature (0.05 to 20) that makes logits of unseen tiles most likely (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    if len(truth) == 0:
        return 1.0
    values = np.asarray(logits, dtype=np.float64)
    found = minimize_scalar(
        lambda log_t: log_loss(values / np.exp(log_t), truth),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(
    logits: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
) -> float:
    """Mean cross-entropy in nats, weighted where `weights` (N,) is given."""
    top = logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    losses = log_total - logits[np.arange(len(truth)), truth]
    return float(np.average(losses, weights=weights))


def balanced_weights(labels: NDArray[Any], n_classes: int) -> NDArray[np.float64]:
    """Weights (N,) that give each class that is present the same say; their mean is 1."""
    counts = np.bincount(labels, minlength=n_classes)
    return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels]), dtype=np.float64)
