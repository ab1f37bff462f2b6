"""How good predicted classes are: counts, scores of each class, intervals and calibration.

Everything derives from the confusion matrix, whose rows are the true classes. Definitions are
those of scikit-learn (`sklearn.metrics`), except that a score without any case is NaN, not 0, and
does not enter a mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.intervals import wilson_interval

INTERVALS = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_f1",
    "weighted_precision",
    "weighted_f1",
)
"""Scores that have an interval; recall weighted by cases is the accuracy."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of predicted classes.

    Attributes
    ----------
    confusion : int64, shape (classes, classes)
        Rows are true classes, columns predicted ones.
    """

    confusion: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Cases in all."""
        return int(self.confusion.sum())

    @property
    def support(self) -> NDArray[np.int64]:
        """Cases of each true class."""
        return np.asarray(self.confusion.sum(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of cases with the right class, 0 to 1."""
        return float(np.trace(self.confusion) / self.n) if self.n else float("nan")

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of right ones among those predicted as each class; 0 for none of them."""
        predicted = self.confusion.sum(axis=0)
        precision = _ratio(np.diag(self.confusion), predicted)
        precision[(predicted == 0) & (self.support > 0)] = 0.0
        return precision

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of each true class that was found; NaN where there is none."""
        return _ratio(np.diag(self.confusion), self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall; NaN for a class neither true nor predicted."""
        right = np.diag(self.confusion)
        return _ratio(2 * right, self.confusion.sum(axis=0) + self.support)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes."""
        return _mean(self.f1)

    @property
    def weighted_f1(self) -> float:
        """Mean F1 weighted by the cases of each true class."""
        return self.weighted(self.f1)

    @property
    def macro_precision(self) -> float:
        """Mean precision over the classes."""
        return _mean(self.precision)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes with cases, the macro recall (Brodersen et al. 2010)."""
        return _mean(self.recall)

    def weighted(self, values: NDArray[np.float64]) -> float:
        """Mean of a score of each class, weighted by the cases of each true class."""
        known = self.support > 0
        if not known.any():
            return float("nan")
        return float(np.average(values[known], weights=self.support[known]))

    def row_normalised(self) -> NDArray[np.float64]:
        """Confusion matrix as shares of each true class; NaN rows where a class has no case."""
        return _ratio(self.confusion, self.support[:, None])

    def recall_intervals(self) -> list[tuple[float, float]]:
        """95 % Wilson interval of each class's recall."""
        return [
            wilson_interval(int(right), int(total))
            for right, total in zip(np.diag(self.confusion), self.support, strict=True)
        ]

    def accuracy_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy, as if the cases were independent."""
        return wilson_interval(int(np.trace(self.confusion)), self.n)


def score(truth: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> Scores:
    """Score predicted class numbers (0 to `n_classes` - 1) against true ones, both shape (N,).

    Raises
    ------
    ValueError
        When the lengths differ or a number is out of range.
    """
    return Scores(confusion_matrix(truth, predicted, n_classes))


def confusion_matrix(
    truth: NDArray[Any], predicted: NDArray[Any], n_classes: int
) -> NDArray[np.int64]:
    """Count cases by true class (rows) and predicted class (columns)."""
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"{truth.shape} true and {predicted.shape} predicted classes differ")
    for numbers in (truth, predicted):
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < n_classes):
            raise ValueError(f"a class number is outside 0 to {n_classes - 1}")
    pairs = np.bincount(truth * n_classes + predicted, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes).astype(np.int64)


def bootstrap_intervals(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    n_classes: int,
    *,
    groups: NDArray[Any] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of accuracy and of mean precision, recall and F1 (Efron 1979).

    Parameters
    ----------
    groups : shape (N,), optional
        Cases of one group (an image, a block) are drawn together: they are not independent, and
        an interval that drew them singly would be too narrow (Field and Welsh 2007).

    Returns
    -------
    dict of str to (float, float)
        By `INTERVALS`.
    """
    names = np.arange(len(truth)) if groups is None else np.asarray(groups)
    if not len(names):
        return dict.fromkeys(INTERVALS, (float("nan"), float("nan")))
    by_group = counts_of_groups(truth, predicted, n_classes, names)
    n_groups = len(by_group)
    flat = by_group.reshape(n_groups, -1)
    generator = np.random.default_rng(seed)
    values = np.empty((draws, len(INTERVALS)))
    for draw in range(draws):
        times = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)
        right, true, said = (times @ flat).reshape(3, n_classes)
        recall, f1 = _ratio(right, true), _ratio(2 * right, true + said)
        precision = _ratio(right, np.where(true > 0, np.maximum(said, 1), said))
        known = true > 0
        share = true[known] / true.sum()
        values[draw] = (
            right.sum() / true.sum(),
            _mean(recall),
            _mean(precision),
            _mean(f1),
            share @ precision[known],
            share @ f1[known],
        )
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return {key: (float(low[i]), float(high[i])) for i, key in enumerate(INTERVALS)}


def counts_of_groups(
    truth: NDArray[Any], predicted: NDArray[Any], n_classes: int, groups: NDArray[Any]
) -> NDArray[np.float64]:
    """Right, true and predicted cases of each class in each group.

    All scores follow from their sums; a confusion matrix of each group would be much larger.

    Returns
    -------
    float64, shape (groups, 3, classes)
    """
    group = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    counts = np.zeros((int(group.max()) + 1, 3, n_classes))
    right = predicted == truth
    np.add.at(counts[:, 0], (group[right], truth[right]), 1.0)
    np.add.at(counts[:, 1], (group, truth), 1.0)
    np.add.at(counts[:, 2], (group, predicted), 1.0)
    return counts


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often the predicted class is right, by confidence.

    Attributes
    ----------
    count : int64, shape (bins,)
        Cases in each of the equally wide bins of confidence from 0 to 1.
    confidence, accuracy : float64, shape (bins,)
        Mean confidence and share of right classes in each bin, NaN where it is empty.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al. 2015; Guo et al. 2017), 0 to 1."""
        known = self.count > 0
        if not known.any():
            return float("nan")
        gap = np.abs(self.confidence[known] - self.accuracy[known])
        return float(np.average(gap, weights=self.count[known]))


def reliability(probabilities: NDArray[Any], truth: NDArray[Any], bins: int = 15) -> Reliability:
    """Compare confidence with the share of right classes, in `bins` bins of equal width.

    Parameters
    ----------
    probabilities : float, shape (N, classes)
    truth : int, shape (N,)
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    # Bins are open below and closed above, as in the sources.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins).astype(np.int64)
    return Reliability(
        count,
        _ratio(np.bincount(place, weights=confidence, minlength=bins), count),
        _ratio(np.bincount(place, weights=right, minlength=bins), count),
    )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan), dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
