"""Which of the networks that a training passes is kept: the fitted head, an epoch, an average.

What counts is how a network does on other specimens and with other settings of the microscope. So
the cases that choose are seen as they are and turned, and a network is judged by its log-loss, at
the temperature that suits it: unlike a count of mistakes that tells also how sure it was, so that
a few cases tell it well (Gneiting & Raftery 2007, "Strictly proper scoring rules").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.evaluate.metrics import score
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.place_weights import place_weights

FITTED, HEAD, ALL, AVERAGED = "fitted head", "head", "all layers", "averaged"
"""Phases of a training: what comes by before, in and after its epochs."""

MARGIN = 0.01
"""In nats, by which something has to be better than the fitted head."""

FEWEST_CASES = 30
"""With fewer only weights near the fitted head are tried: they cannot tell what else is better."""

LEAST_PROBABILITY = 1e-4
"""A single case costs no more than this one does: one that is sure and wrong is no catastrophe."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a network makes of the cases that choose.

    Attributes
    ----------
    losses : float32, shape (N,)
        Log-loss of each case in nats; of those as they are alone where the others were not shown.
    accuracy, macro_f1 : float
        Of the cases as they are.
    turned_f1 : float
        Macro-F1 of the cases that are turned; NaN where there are none.
    """

    losses: NDArray[np.float32]
    accuracy: float
    macro_f1: float
    turned_f1: float


@dataclass(frozen=True, slots=True)
class Choosing:
    """The cases that choose between networks: some as they are, then the same turned.

    Attributes
    ----------
    truth : int64, shape (N,)
    counts : float64, shape (N,)
        How much each counts: less than 1 where others show the same place.
    plain : int
        So many, the first, are as they are.
    n_classes : int
    """

    truth: NDArray[np.int64]
    counts: NDArray[np.float64]
    plain: int
    n_classes: int

    @property
    def weights(self) -> NDArray[np.float64]:
        """How far each case counts: half for those as they are, and there each class alike."""
        found = self.counts.copy()
        for half in np.split(np.arange(len(found)), [self.plain]):
            for k in np.unique(self.truth[half]):
                mine = half[self.truth[half] == k]
                found[mine] /= found[mine].sum() * len(np.unique(self.truth[half]))
        return np.asarray(found / found.sum())

    def evidence(self, plain: NDArray[np.float32], turned: NDArray[np.float32]) -> Evidence:
        """What a network makes of the cases.

        Parameters
        ----------
        plain, turned : float32, shapes (plain, classes) and (N - plain, classes)
            Its probabilities of the cases as they are and turned; of the latter all or none.
        """
        said = np.concatenate([plain, turned])
        told = said[np.arange(len(said)), self.truth[: len(said)]]
        losses = -np.log(np.maximum(told, LEAST_PROBABILITY))
        truth = np.split(self.truth[: len(said)], [self.plain])
        as_they_are, other = (
            score(mine, each.argmax(axis=1), self.n_classes) if len(mine) else None
            for mine, each in zip(truth, (plain, turned), strict=True)
        )
        assert as_they_are is not None
        turned_f1 = float("nan") if other is None else other.macro_f1
        return Evidence(
            losses.astype(np.float32), as_they_are.accuracy, as_they_are.macro_f1, turned_f1
        )

    def loss(self, evidence: Evidence, *, turned: bool = True) -> float:
        """Mean log-loss in nats, half of it of the cases that are turned; less is better.

        Without `turned`, or where they were not looked at, that of the cases as they are.
        """
        some = len(evidence.losses) if turned else self.plain
        weights = self.weights[:some]
        return float(weights @ evidence.losses[:some] / weights.sum())

    def guesses(self, evidence: Evidence) -> bool:
        """Whether a network does no better than to name one class for all cases."""
        best = np.nanmax([evidence.macro_f1, evidence.turned_f1])
        return bool(best < 1.0 / len(np.unique(self.truth)))

    def better(self, one: Evidence, other: Evidence | None, *, simpler: bool = False) -> bool:
        """Whether a network is to be kept instead of another, or of none.

        One that is `simpler` stays unless the gain is worth having.
        """
        if not np.isfinite(one.losses).all():
            return False
        if other is None:
            return True
        turned = len(one.losses) == len(other.losses)
        margin = MARGIN if simpler else 0.0
        return self.loss(one, turned=turned) < self.loss(other, turned=turned) - margin


def cases_that_choose(
    data: TrainingSet, image: NDArray[np.int64], turned: NDArray[np.int64]
) -> Choosing:
    """The cases of a training set that choose.

    Parameters
    ----------
    data : TrainingSet
    image : int64, shape (N,)
        The image of each case.
    turned : int64, shape (M,)
        Which of them the turned cases are.
    """
    every = np.append(np.arange(len(image)), turned)
    counts = place_weights(data, image)[every]
    return Choosing(data.labels[image][every], counts, len(image), len(data.class_names))
