"""How good a taught model will be elsewhere: cross-validation on images or blocks it has not seen.

The same out-of-fold logits choose the strength of the fit, set the temperature and give the score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.evaluate.metrics import (
    Reliability,
    Scores,
    bootstrap_intervals,
    reliability,
    score,
)
from napari_sem_classify.core.model.head import softmax
from napari_sem_classify.core.teach.folds import Folds
from napari_sem_classify.core.teach.logistic import (
    Basis,
    Solution,
    balanced_weights,
    fit_temperature,
    log_loss,
    solve,
)

STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2)

Smoothed = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Probabilities of the scored tiles, shape (M, classes): with the temperature and without."""


@dataclass(frozen=True, slots=True)
class BlockedScore:
    """Scores on tiles that the model had not seen, nor their neighbours.

    Attributes
    ----------
    scores : Scores
        Over all scored tiles.
    intervals : mapping of str to (float, float)
        95 % intervals of accuracy, balanced accuracy and macro-F1; blocks are drawn together.
    reliability, uncalibrated : Reliability
        After and before the temperature.
    how, speaks_for : str
        How the tiles were split, and what the score tells of, for the user.
    scored : int64, shape (M,)
        Which annotated tiles were scored.
    probabilities : float32, shape (M, classes)
        Of the scored tiles, out of fold, after the temperature.
    """

    scores: Scores
    intervals: Mapping[str, tuple[float, float]]
    reliability: Reliability
    uncalibrated: Reliability
    how: str
    scored: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]
    speaks_for: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a model card."""
        found = self.scores
        recalls = found.recall_intervals()
        return {
            "method": "cross-validation " + self.how,
            "speaks_for": self.speaks_for,
            "tiles": found.n,
            "accuracy": found.accuracy,
            "balanced_accuracy": found.balanced_accuracy,
            "macro_f1": found.macro_f1,
            "intervals_95": {key: list(pair) for key, pair in self.intervals.items()},
            "ece": self.reliability.ece,
            "ece_before_temperature": self.uncalibrated.ece,
            "classes": {
                name: {
                    "tiles": int(found.support[index]),
                    "precision": float(found.precision[index]),
                    "recall": float(found.recall[index]),
                    "recall_interval_95": list(recalls[index]),
                    "f1": float(found.f1[index]),
                }
                for index, name in enumerate(self.class_names)
            },
            "confusion": found.confusion.tolist(),
        }


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What heads said of tiles that they, and all near them, had not seen.

    Attributes
    ----------
    strength : float
        The one of `STRENGTHS` with the lowest balanced log-loss.
    temperature : float
    logits : float64, shape (N, classes)
        Before the temperature; NaN for tiles that no fold scores.
    solutions : tuple of Solution
        Of each fold.
    scored : int64, shape (M,)
        Tiles with logits.
    """

    strength: float
    temperature: float
    logits: NDArray[np.float64]
    solutions: tuple[Solution, ...]
    scored: NDArray[np.int64]

    def probabilities(self, *, tempered: bool = True) -> NDArray[np.float32]:
        """Of the scored tiles, shape (M, classes)."""
        return softmax(self.logits[self.scored] / (self.temperature if tempered else 1.0))


def hold_out(
    basis: Basis,
    labels: NDArray[Any],
    n_classes: int,
    folds: Folds,
    *,
    job: Job | None = None,
) -> HeldOut:
    """Fit without each fold in turn, and say what each head makes of its fold.

    Strengths are tried from the weakest up; each fit starts from the one before. The features are
    standardised once over all annotated tiles, which uses no label.

    Raises
    ------
    Cancelled
        When the job was asked to stop; nothing is kept.
    """
    labels = np.asarray(labels, dtype=np.int64)
    reporter = Reporter(len(folds.folds) * len(STRENGTHS), "Scoring", job)
    logits = np.full((len(STRENGTHS), len(labels), n_classes), np.nan)
    taught = np.zeros(len(labels), dtype=bool)
    solutions: list[list[Solution]] = []
    for fold in folds.folds:
        taught[fold.test] = np.isin(labels[fold.test], labels[fold.train])
        solution: Solution | None = None
        solutions.append([])
        for number, strength in enumerate(STRENGTHS):
            solution = solve(
                basis.coordinates[fold.train], labels[fold.train], n_classes, strength, solution
            )
            solutions[-1].append(solution)
            logits[number, fold.test] = solution.logits(basis.coordinates[fold.test])
            reporter.advance()
    scored = np.flatnonzero(~np.isnan(logits[0, :, 0]))
    truth = labels[scored]
    weights = balanced_weights(truth, n_classes)
    # A tile whose class no other fold holds has a fixed, very low logit: it says nothing here.
    told = taught[scored]
    # Without the temperature: on real specimens this chose better than with it (docs/teaching.md).
    losses = [log_loss(some[scored][told], truth[told], weights[told]) for some in logits]
    best = int(np.argmin(losses))
    temperature = fit_temperature(logits[best, scored][told], truth[told])
    chosen = tuple(each[best] for each in solutions)
    return HeldOut(STRENGTHS[best], temperature, logits[best], chosen, scored)


def blocked_score(
    held: HeldOut,
    labels: NDArray[Any],
    class_names: tuple[str, ...],
    folds: Folds,
    *,
    smoothed: Smoothed | None = None,
    seed: int = 0,
) -> BlockedScore:
    """Score what was held out.

    Parameters
    ----------
    smoothed : Smoothed, optional
        In place of what `held` says.
    seed : int
        Of the intervals.
    """
    truth, n_classes = np.asarray(labels, dtype=np.int64)[held.scored], len(class_names)
    after, before = smoothed or (held.probabilities(), held.probabilities(tempered=False))
    predicted = after.argmax(axis=1)
    return BlockedScore(
        scores=score(truth, predicted, n_classes),
        intervals=bootstrap_intervals(
            truth, predicted, n_classes, groups=folds.blocks[held.scored], seed=seed
        ),
        reliability=reliability(after, truth),
        uncalibrated=reliability(before, truth),
        how=folds.how,
        scored=held.scored,
        probabilities=after,
        class_names=class_names,
        speaks_for=folds.speaks_for,
    )
